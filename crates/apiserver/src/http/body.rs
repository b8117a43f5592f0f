//! Bodies of requests: bounded, and JSON or YAML by their content type.

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_TYPE};
use http_body_util::LengthLimitError;
use serde_json::Value;

use super::error::Failure;

/// What Kubernetes takes at most.
pub(super) const LIMIT: usize = 3 << 20;

/// Media types that objects are sent as; none means JSON.
const JSON: &str = "application/json";
const YAML: [&str; 4] = [
    "application/yaml",
    "application/x-yaml",
    "text/yaml",
    "text/x-yaml",
];

/// The media type of a body, without parameters.
pub(super) fn media_type(headers: &HeaderMap) -> &str {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim()
}

/// Reads a body to its end, if it is not too long.
pub(super) async fn read(body: Body) -> Result<Bytes, Failure> {
    to_bytes(body, LIMIT).await.map_err(|error| {
        let error = error.into_inner();
        if error.is::<LengthLimitError>() {
            Failure::too_large(LIMIT)
        } else {
            Failure::bad_request(format!("cannot read the body: {error}"))
        }
    })
}

/// Reads one object.
pub(super) async fn object(headers: &HeaderMap, body: Body) -> Result<Value, Failure> {
    let media_type = media_type(headers).to_ascii_lowercase();
    let yaml = YAML.contains(&media_type.as_str());
    if !yaml && !media_type.is_empty() && media_type != JSON {
        return Err(Failure::unsupported_media_type(&[JSON, YAML[0]]));
    }
    let bytes = read(body).await?;
    let object = parse(&bytes, yaml)?;
    if object.is_object() {
        Ok(object)
    } else {
        Err(Failure::bad_request("the body must be an object"))
    }
}

/// Parses JSON or YAML.
pub(super) fn parse(bytes: &[u8], yaml: bool) -> Result<Value, Failure> {
    if yaml {
        serde_yaml_ng::from_slice(bytes).map_err(|error| {
            Failure::bad_request(format!("error converting YAML to JSON: {error}"))
        })
    } else {
        serde_json::from_slice(bytes)
            .map_err(|error| Failure::bad_request(format!("the body is no JSON: {error}")))
    }
}
