//! Bodies in the Protocol Buffers of Kubernetes (`application/vnd.kubernetes.protobuf`), which Go clients send for the kinds
//! that Kubernetes itself has, unless they are told not to. Answers are JSON, which those clients take as well.
//!
//! A body is `k8s\0` and an `Unknown` (`k8s.io/apimachinery/pkg/runtime/generated.proto`): version, kind, and the object as bytes.

mod messages;

use prost::Message;
use serde::Serialize;
use serde_json::Value;

use self::messages::{
    ConfigMap, DeleteOptions, Namespace, Secret, SelfSubjectAccessReview, SelfSubjectReview,
    SelfSubjectRulesReview, Unknown,
};
use super::error::Failure;

/// The media type.
pub(super) const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

const MAGIC: &[u8; 4] = b"k8s\0";

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(
        "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
    )]
    Magic,
    #[error("cannot decode the protobuf message: {0}")]
    Message(#[from] prost::DecodeError),
    #[error("the content of the protobuf message is compressed or not protobuf itself")]
    Encoding,
    #[error("the {0} in the protobuf message cannot be represented as JSON: {1}")]
    Json(String, serde_json::Error),
    /// Nobody sends objects of this kind so.
    #[error("no kind {0} of {1} is registered for protobuf messages")]
    Kind(String, String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Kind(..) => Self::unsupported_media_type(&super::body::ACCEPTED),
            error => Self::bad_request(error.to_string()),
        }
    }
}

/// The object in a body, as JSON would have it.
pub(super) fn decode(body: &[u8]) -> Result<Value, Error> {
    let unknown = Unknown::decode(body.strip_prefix(MAGIC).ok_or(Error::Magic)?)?;
    if !unknown.content_encoding.is_empty() || !matches!(&*unknown.content_type, "" | PROTOBUF) {
        return Err(Error::Encoding);
    }
    let meta = unknown.type_meta.unwrap_or_default();
    let raw = unknown.raw.as_slice();
    let read = match (meta.api_version.as_str(), meta.kind.as_str()) {
        ("v1", "Namespace") => json::<Namespace>(raw)?,
        ("v1", "ConfigMap") => json::<ConfigMap>(raw)?,
        ("v1", "Secret") => json::<Secret>(raw)?,
        // Each group has this kind under its own version.
        (_, "DeleteOptions") => json::<DeleteOptions>(raw)?,
        ("authentication.k8s.io/v1", "SelfSubjectReview") => json::<SelfSubjectReview>(raw)?,
        ("authorization.k8s.io/v1", "SelfSubjectAccessReview") => {
            json::<SelfSubjectAccessReview>(raw)?
        }
        ("authorization.k8s.io/v1", "SelfSubjectRulesReview") => {
            json::<SelfSubjectRulesReview>(raw)?
        }
        _ => return Err(Error::Kind(meta.kind, meta.api_version)),
    };
    let mut object = read.map_err(|error| Error::Json(meta.kind.clone(), error))?;
    object["apiVersion"] = meta.api_version.into();
    object["kind"] = meta.kind.into();
    Ok(object)
}

fn json<M: Message + Default + Serialize>(
    raw: &[u8],
) -> Result<Result<Value, serde_json::Error>, prost::DecodeError> {
    M::decode(raw).map(serde_json::to_value)
}

#[cfg(test)]
mod tests;
