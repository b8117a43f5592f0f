//! One line for every write: who did what to which object, what came of it, and how long it took.
//!
//! Target `audit`, so that it can be had alone: `RUST_LOG=audit=info`.

use std::time::Instant;

use axum::body::Body;
use http::{Method, Request, StatusCode, header::USER_AGENT};
use tracing::info;

use crate::auth::User;

/// A write that is under way.
pub(crate) struct Record {
    user: String,
    method: Method,
    path: String,
    agent: String,
    dry_run: bool,
    began: Instant,
}

impl Record {
    /// None where nothing is written.
    pub(crate) fn of(request: &Request<Body>) -> Option<Self> {
        let method = request.method();
        if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return None;
        }
        let agent = request.headers().get(USER_AGENT);
        let agent = agent.and_then(|agent| agent.to_str().ok());
        Some(Self {
            user: User::of(request.extensions()).name,
            method: method.clone(),
            path: request.uri().path().to_owned(),
            agent: agent.unwrap_or_default().to_owned(),
            dry_run: request
                .uri()
                .query()
                .is_some_and(|query| query.contains("dryRun=All")),
            began: Instant::now(),
        })
    }

    /// Writes the line.
    pub(crate) fn write(self, code: StatusCode) {
        info!(
            target: "audit",
            user = self.user,
            agent = self.agent,
            verb = verb(&self.method),
            object = self.path,
            code = code.as_u16(),
            dry_run = self.dry_run,
            micros = self.began.elapsed().as_micros() as u64,
            "write"
        );
    }
}

/// What Kubernetes calls a method (`k8s.io/apiserver/pkg/endpoints/request/requestinfo.go`).
fn verb(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    }
}
