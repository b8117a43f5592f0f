//! What a deletion says of itself, in its query and its body (`k8s.io/apimachinery`, `meta/v1`, `DeleteOptions`).

use axum::{body::Body, response::Response};
use http::request::Parts;
use serde::Deserialize;

use super::{
    audit::DryRun,
    body,
    error::Failure,
    query::{WriteOptions, dry_run},
};
use crate::store::{Preconditions, Propagation};

/// The body of a deletion, as it is sent.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DeleteOptions {
    preconditions: Option<Wanted>,
    propagation_policy: Option<String>,
    orphan_dependents: Option<bool>,
    grace_period_seconds: Option<i64>,
    dry_run: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Wanted {
    uid: Option<String>,
    resource_version: Option<String>,
}

/// What a deletion is asked to do.
pub(super) struct Deletion {
    pub(super) preconditions: Preconditions,
    pub(super) propagation: Option<Propagation>,
    /// Seconds that what runs is given to end, if it is said.
    pub(super) grace: Option<u64>,
    pub(super) dry_run: bool,
}

impl Deletion {
    /// Reads it from the query and from the body, which may be empty.
    pub(super) async fn read(parts: &Parts, body: Body) -> Result<Self, Failure> {
        let query = WriteOptions::parse(&parts.uri)?;
        let bytes = body::read(body).await?;
        let options: DeleteOptions = if bytes.is_empty() {
            DeleteOptions::default()
        } else {
            let value = body::object(&parts.headers, bytes.into()).await?.value;
            serde_json::from_value(value)
                .map_err(|error| Failure::bad_request(format!("DeleteOptions: {error}")))?
        };
        let policy = match options.propagation_policy {
            Some(policy) => policy,
            None => query.propagation,
        };
        let propagation = match (policy.as_str(), options.orphan_dependents) {
            ("", None) => None,
            ("", Some(true)) | ("Orphan", None) => Some(Propagation::Orphan),
            ("", Some(false)) | ("Background", None) => Some(Propagation::Background),
            ("Foreground", None) => Some(Propagation::Foreground),
            ("Orphan" | "Background" | "Foreground", Some(_)) => {
                return Err(Failure::bad_request(
                    "orphanDependents and propagationPolicy cannot both be set",
                ));
            }
            (other, _) => {
                return Err(Failure::bad_request(format!(
                    "propagationPolicy: Unsupported value: {other:?}: supported values: \"Background\", \"Foreground\", \
                     \"Orphan\""
                )));
            }
        };
        let preconditions = options.preconditions.unwrap_or_default();
        Ok(Self {
            preconditions: Preconditions {
                uid: preconditions.uid,
                resource_version: preconditions.resource_version,
            },
            propagation,
            grace: options
                .grace_period_seconds
                .and_then(|seconds| u64::try_from(seconds).ok()),
            dry_run: query.dry_run || dry_run(options.dry_run.iter().map(String::as_str))?,
        })
    }
}

/// The answer, from which the line of the log learns whether something was deleted.
pub(super) fn marked(mut response: Response, dry_run: bool) -> Response {
    if dry_run {
        response.extensions_mut().insert(DryRun);
    }
    response
}
