//! One line for every write: who did what to which object, what came of it, and how long it took. It is written where every request
//! passes, also those that routes beside the API's answer.
//!
//! Target `audit`, so that it can be had alone: `RUST_LOG=audit=info`.

use std::time::Instant;

use axum::body::Body;
use http::{Method, Request, Response, header::USER_AGENT};
use tracing::info;

use super::reviews;
use crate::auth::User;

/// On an answer: nothing was written, though the path does not say so. Options of a deletion come in its body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DryRun;

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
    /// None where nothing is written: by its method, or because it only asks what its user may do.
    pub(crate) fn of(request: &Request<Body>) -> Option<Self> {
        let method = request.method();
        if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
            || reviews::is(request.uri().path())
        {
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
    pub(crate) fn write(self, response: &Response<Body>) {
        info!(
            target: "audit",
            user = self.user,
            agent = self.agent,
            verb = verb(&self.method),
            object = self.path,
            code = response.status().as_u16(),
            dry_run = self.dry_run || response.extensions().get::<DryRun>().is_some(),
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
