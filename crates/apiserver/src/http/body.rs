//! Bodies of requests: bounded, and JSON, YAML or Protocol Buffers by their content type.

use api::Resource;
use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_TYPE};
use http_body_util::LengthLimitError;

use super::{
    document::Document,
    error::Failure,
    protobuf::{self, PROTOBUF},
};

/// What Kubernetes takes at most.
pub(super) const LIMIT: usize = 3 << 20;

/// Media types that objects are sent as; none means JSON.
pub(super) const JSON: &str = "application/json";
const YAML: [&str; 4] = [
    "application/yaml",
    "application/x-yaml",
    "text/yaml",
    "text/x-yaml",
];
/// Those that any object can be sent as.
pub(super) const ACCEPTED: [&str; 2] = [JSON, YAML[0]];

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

/// Reads an object of a resource. Only what Kubernetes itself has comes as Protocol Buffers.
pub(super) async fn of(
    resource: &Resource,
    headers: &HeaderMap,
    body: Body,
) -> Result<Document, Failure> {
    if !resource.group.is_empty() && media_type(headers).eq_ignore_ascii_case(PROTOBUF) {
        return Err(Failure::unsupported_media_type(&ACCEPTED));
    }
    object(headers, body).await
}

/// Reads one object, of which it is not known what it is.
pub(super) async fn object(headers: &HeaderMap, body: Body) -> Result<Document, Failure> {
    let yaml = is_yaml(headers);
    let media_type = media_type(headers).to_ascii_lowercase();
    let protobuf = media_type == PROTOBUF;
    if !yaml && !protobuf && !media_type.is_empty() && media_type != JSON {
        return Err(Failure::unsupported_media_type(&ACCEPTED));
    }
    let bytes = read(body).await?;
    let document = if protobuf {
        Document {
            value: protobuf::decode(&bytes)?,
            ..Document::default()
        }
    } else {
        parse(&bytes, yaml)?
    };
    if document.value.is_object() {
        Ok(document)
    } else {
        Err(Failure::bad_request("the body must be an object"))
    }
}

/// Whether a body says that it is YAML.
pub(super) fn is_yaml(headers: &HeaderMap) -> bool {
    YAML.iter()
        .any(|it| it.eq_ignore_ascii_case(media_type(headers)))
}

/// Parses JSON or YAML.
pub(super) fn parse(bytes: &[u8], yaml: bool) -> Result<Document, Failure> {
    if yaml {
        Document::from_yaml(bytes).map_err(|error| {
            Failure::bad_request(format!("error converting YAML to JSON: {error}"))
        })
    } else {
        Document::from_json(bytes)
            .map_err(|error| Failure::bad_request(format!("the body is no JSON: {error}")))
    }
}
