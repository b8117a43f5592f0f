//! Whether the server is there, what it is, and what it has counted.

use axum::{body::Body, response::Response};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use serde_json::json;

use super::value_response;
use crate::metrics::{MEDIA_TYPE, Metrics};

/// The release of Kubernetes whose API this follows; clients compare it with their own.
const KUBERNETES_MINOR: &str = "33";

/// Paths that a client without a certificate may ask for.
pub(crate) fn is_health_path(path: &str) -> bool {
    matches!(path, "/healthz" | "/livez" | "/readyz")
}

pub(super) async fn ok() -> &'static str {
    "ok"
}

pub(super) fn metrics(metrics: &Metrics) -> Response {
    let Ok(text) = metrics.text() else {
        // Text has always room for more.
        return Response::new(Body::empty());
    };
    let mut response = Response::new(Body::from(text));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response
}

pub(super) async fn version() -> Response {
    let version = json!({
        "major": "1",
        "minor": KUBERNETES_MINOR,
        "gitVersion": format!("v1.{KUBERNETES_MINOR}.0+vhive-{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": "linux/amd64",
    });
    value_response(StatusCode::OK, &version)
}
