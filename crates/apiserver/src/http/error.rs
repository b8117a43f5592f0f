//! How the API says no: every refusal is a `Status` object, and this is where they are made.
//!
//! Texts are those of `k8s.io/apimachinery/pkg/api/errors`, because clients show them and some compare them.

use std::error::Error as _;

use api::{Resource, Status, resource::NAMESPACES};
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};
use tracing::error;

use super::ownership::Conflict;
use crate::store;

/// A refusal on its way to the client.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    status: Box<Status>,
    /// Fields of `details` beside name, group and kind.
    details: Vec<(&'static str, Value)>,
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self {
            status: Box::new(status),
            details: Vec::new(),
        }
    }
}

impl Failure {
    pub(super) fn new(code: StatusCode, reason: &str, message: impl Into<String>) -> Self {
        Status::failure(code.as_u16(), reason, message).into()
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Status::bad_request(message).into()
    }

    /// There is nothing at this path.
    pub(super) fn no_path() -> Self {
        let message = "the server could not find the requested resource";
        Self::new(StatusCode::NOT_FOUND, "NotFound", message)
    }

    pub(super) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
    }

    pub(super) fn not_acceptable() -> Self {
        let message = "only the following media types are accepted: application/json";
        Self::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message)
    }

    pub(super) fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UnsupportedMediaType",
            message,
        )
    }

    pub(super) fn too_large(limit: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit}");
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLarge",
            message,
        )
    }

    /// A field of an object has a value that it may not have.
    pub(super) fn invalid(resource: &Resource, name: &str, field: &str, message: &str) -> Self {
        let kind = match resource.group {
            "" => resource.kind.to_owned(),
            group => format!("{}.{group}", resource.kind),
        };
        let text = format!("{kind} {name:?} is invalid: {field}: {message}");
        let mut status = Status::failure(422, "Invalid", text).of(resource, name);
        // Here, and only here, upstream gives the kind itself.
        if let Some(details) = &mut status.details {
            resource.kind.clone_into(&mut details.kind);
        }
        Self {
            status: Box::new(status),
            details: vec![(
                "causes",
                json!([{"reason": "FieldValueInvalid", "message": message, "field": field}]),
            )],
        }
    }

    /// An apply would change fields that others own.
    pub(super) fn apply_conflicts(resource: &Resource, name: &str, conflicts: &[Conflict]) -> Self {
        let plural = if conflicts.len() == 1 { "" } else { "s" };
        let listed: Vec<String> = conflicts
            .iter()
            .map(|conflict| format!("{}: {}", conflict.with, conflict.field))
            .collect();
        let message = format!(
            "Apply failed with {} conflict{plural}: {}",
            conflicts.len(),
            listed.join(", ")
        );
        let causes: Vec<Value> = conflicts
            .iter()
            .map(|conflict| {
                json!({"reason": "FieldManagerConflict", "message": conflict.with, "field": conflict.field})
            })
            .collect();
        Self {
            status: Box::new(Status::failure(409, "Conflict", message).of(resource, name)),
            details: vec![("causes", causes.into())],
        }
    }

    /// What the store says, in the words of Kubernetes.
    pub(super) fn of_store(resource: &Resource, error: store::Error) -> Self {
        use store::Error;
        let operation = |name: &str, what: &str| {
            let message = format!(
                "Operation cannot be fulfilled on {} {name:?}: {what}",
                resource.qualified()
            );
            Status::failure(409, "Conflict", message).of(resource, name)
        };
        match error {
            Error::NotFound(key) => Status::not_found(resource, key.name()).into(),
            Error::NoNamespace(key) => Status::not_found(&NAMESPACES, key.namespace()).into(),
            Error::NamespaceTerminating(key) => Self::terminating(resource, &key),
            Error::AlreadyExists(key) => Status::already_exists(resource, key.name()).into(),
            Error::Modified { key } => Status::conflict(resource, key.name()).into(),
            Error::Precondition {
                key,
                what,
                wanted,
                found,
            } => {
                let message = format!(
                    "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
                );
                operation(key.name(), &message).into()
            }
            Error::Invalid {
                key,
                field,
                message,
            } => Self::invalid(resource, key.name(), field, &message),
            Error::Expired { .. } => Self::new(StatusCode::GONE, "Expired", error.to_string()),
            Error::Future { .. } => Self::future(&error),
            Error::Closed => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "ServiceUnavailable",
                error.to_string(),
            ),
            Error::Write { .. } | Error::DiskFull { .. } | Error::Reopen { .. } => {
                error!(error = chain(&error), "the store cannot write");
                let message = format!("Internal error occurred: {}", chain(&error));
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
            }
        }
    }

    /// 403: what was asked for is never allowed, or not to this user.
    pub(super) fn forbidden(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!("{} {name:?} is forbidden: {why}", resource.qualified());
        Status::failure(403, "Forbidden", message)
            .of(resource, name)
            .into()
    }

    /// Nothing new is made in a namespace that is being deleted.
    fn terminating(resource: &Resource, key: &store::Key) -> Self {
        let namespace = key.namespace();
        let why = format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        );
        let mut failure = Self::forbidden(resource, key.name(), &why);
        let message = format!("namespace {namespace} is being terminated");
        failure.details = vec![(
            "causes",
            json!([{"reason": "NamespaceTerminating", "message": message, "field": "metadata.namespace"}]),
        )];
        failure
    }

    /// Clients take the cause for the sign to list again from the beginning.
    fn future(error: &store::Error) -> Self {
        let mut failure = Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", error.to_string());
        failure.details = vec![
            (
                "causes",
                json!([{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]),
            ),
            ("retryAfterSeconds", json!(1)),
        ];
        failure
    }

    /// As JSON.
    pub(super) fn to_json(&self) -> Value {
        let mut status = serde_json::to_value(&self.status).unwrap_or_default();
        for (field, value) in &self.details {
            status["details"][*field] = value.clone();
        }
        status
    }
}

/// An error with all that lies behind it.
fn chain(error: &store::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let code =
            StatusCode::from_u16(self.status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = Response::new(Body::from(self.to_json().to_string()));
        *response.status_mut() = code;
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

/// The client is nobody that is known here.
pub(crate) fn unauthorized() -> Failure {
    Failure::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
}
