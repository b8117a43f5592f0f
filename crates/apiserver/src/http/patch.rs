//! Patches: merge (RFC 7386), JSON (RFC 6902), strategic merge, and server-side apply, which is made in [`super::write`].

use std::{io, slice};

use api::Resource;
use http::{HeaderMap, StatusCode};
use json_patch::{Patch as Operations, PatchOperation};
use serde_json::Value;

use super::{body, document::Document, error::Failure, strategic};
use crate::store::{DEPTH, is_within};

/// Operations of a JSON patch (`k8s.io/apiserver/pkg/endpoints/handlers/patch.go`, `maxJSONPatchOperations`).
const OPERATIONS: usize = 10_000;
/// Bytes of JSON that the operations of a patch copy or move in all (`k8s.io/apiserver/pkg/server/config.go`,
/// `JSONPatchMaxCopyBytes`): a copy of the whole into itself doubles the object.
const COPIED: usize = body::LIMIT;

const MERGE: &str = "application/merge-patch+json";
const JSON: &str = "application/json-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// A change that can be made to any version of an object.
pub(super) enum Patch {
    Merge(Value),
    Json(Operations),
    /// Of kinds that clients have been built with alone.
    Strategic(Value),
}

/// Whether the body is a configuration to apply.
pub(super) fn is_apply(headers: &HeaderMap) -> bool {
    body::media_type(headers) == APPLY
}

impl Patch {
    /// Reads a patch of the kind that the content type names, for an object of the resource, with the paths of what is in it
    /// twice. Knative's are custom resources to Kubernetes, and have no strategic patches.
    pub(super) fn parse(
        headers: &HeaderMap,
        bytes: &[u8],
        resource: &Resource,
    ) -> Result<(Self, Vec<String>), Failure> {
        let core = resource.group.is_empty();
        let media_type = body::media_type(headers);
        match media_type {
            MERGE | JSON => {}
            STRATEGIC if core => {}
            _ if core => {
                let taken = [JSON, MERGE, STRATEGIC, APPLY];
                return Err(Failure::unsupported_media_type(&taken));
            }
            _ => return Err(Failure::unsupported_media_type(&[JSON, MERGE, APPLY])),
        }
        let Document { value, duplicates } = body::parse(bytes, false)?;
        let patch =
            match media_type {
                MERGE => Self::Merge(value),
                STRATEGIC => Self::Strategic(value),
                _ => Self::Json(serde_json::from_value(value).map_err(|error| {
                    Failure::bad_request(format!("error decoding patch: {error}"))
                })?),
            };
        if let Self::Json(Operations(operations)) = &patch
            && operations.len() > OPERATIONS
        {
            return Err(too_much(format!(
                "The allowed maximum operations in a JSON patch is {OPERATIONS}, got {}",
                operations.len()
            )));
        }
        Ok((patch, duplicates))
    }

    /// The object with the change made.
    pub(super) fn apply(&self, object: &Value) -> Result<Value, Failure> {
        let mut patched = object.clone();
        match self {
            Self::Merge(patch) => json_patch::merge(&mut patched, patch),
            Self::Strategic(patch) => strategic::merge(&mut patched, patch),
            Self::Json(operations) => {
                let refused = |error: json_patch::PatchError| {
                    Failure::new(
                        StatusCode::UNPROCESSABLE_ENTITY,
                        "Invalid",
                        error.to_string(),
                    )
                };
                let mut copied = 0;
                for operation in &operations.0 {
                    check(&patched, operation, &mut copied)?;
                    // Of what fails half way nothing is kept.
                    json_patch::patch_unsafe(&mut patched, slice::from_ref(operation))
                        .map_err(refused)?;
                }
            }
        }
        if patched.is_object() {
            Ok(patched)
        } else {
            Err(Failure::bad_request("the patch leaves no object"))
        }
    }
}

/// Refuses an operation that would make an object deeper or larger than patches may; `copied` is what those before it copied.
fn check(object: &Value, operation: &PatchOperation, copied: &mut usize) -> Result<(), Failure> {
    let (from, value) = match operation {
        PatchOperation::Add(add) => (None, Some(&add.value)),
        PatchOperation::Replace(replace) => (None, Some(&replace.value)),
        PatchOperation::Copy(copy) => (Some(&copy.from), None),
        PatchOperation::Move(of) => (Some(&of.from), None),
        PatchOperation::Remove(_) | PatchOperation::Test(_) => return Ok(()),
    };
    // What is not there is refused by the operation itself.
    let Some(value) = value.or_else(|| from.and_then(|from| object.pointer(from.as_str()))) else {
        return Ok(());
    };
    if from.is_some() {
        let mut room = Room(COPIED - *copied);
        if serde_json::to_writer(&mut room, value).is_err() {
            return Err(too_much(format!(
                "the operations of the patch copy or move more than {COPIED} bytes"
            )));
        }
        *copied = COPIED - room.0;
    }
    let above = operation.path().count();
    if above > DEPTH || !is_within(value, DEPTH - above) {
        return Err(too_much(format!(
            "the patch nests the object deeper than {DEPTH} levels, at {}",
            operation.path()
        )));
    }
    Ok(())
}

fn too_much(message: String) -> Failure {
    Failure::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "RequestEntityTooLarge",
        message,
    )
}

/// Counts what is written to it, down to nothing.
struct Room(usize);

impl io::Write for Room {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.0.checked_sub(bytes.len());
        self.0 = left.ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use api::resource;
    use axum::response::IntoResponse;
    use http::header::CONTENT_TYPE;
    use serde_json::json;

    use super::*;

    fn patched(media_type: &'static str, object: &Value, patch: &Value) -> Option<Value> {
        patched_one(&resource::SERVICES, media_type, object, patch)
    }

    fn patched_one(
        resource: &Resource,
        media_type: &'static str,
        object: &Value,
        patch: &Value,
    ) -> Option<Value> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, media_type.parse().unwrap());
        let bytes = patch.to_string();
        let (patch, _) = Patch::parse(&headers, bytes.as_bytes(), resource).ok()?;
        patch.apply(object).ok()
    }

    #[test]
    fn null_in_a_merge_patch_deletes_and_lists_are_replaced() {
        let object = json!({"a": {"b": 1, "c": 2}, "d": [1, 2], "e": "x"});
        let patch = json!({"a": {"b": null, "f": {"g": null}}, "d": [3], "e": null, "h": null});
        assert_eq!(
            patched(MERGE, &object, &patch),
            Some(json!({"a": {"c": 2, "f": {}}, "d": [3]}))
        );
        assert_eq!(patched(MERGE, &object, &json!("text")), None);
    }

    #[test]
    fn a_json_patch_is_made_whole_or_not_at_all() {
        let object = json!({"a": 1});
        let good = json!([{"op": "test", "path": "/a", "value": 1}, {"op": "add", "path": "/b", "value": 2}]);
        assert_eq!(patched(JSON, &object, &good), Some(json!({"a": 1, "b": 2})));
        let bad = json!([{"op": "add", "path": "/b", "value": 2}, {"op": "test", "path": "/a", "value": 2}]);
        assert_eq!(patched(JSON, &object, &bad), None);
    }

    /// The code that a patch of `{"a": "x"}` is refused with, if it is.
    fn refusal(operations: Vec<Value>) -> Option<StatusCode> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, JSON.parse().unwrap());
        let bytes = Value::Array(operations).to_string();
        let patched = Patch::parse(&headers, bytes.as_bytes(), &resource::SERVICES)
            .and_then(|(patch, _)| patch.apply(&json!({"a": "x"})));
        patched
            .err()
            .map(|failure| failure.into_response().status())
    }

    #[test]
    fn copies_that_double_an_object_again_and_again_are_refused() {
        let double = |at: usize| json!({"op": "copy", "from": "", "path": format!("/b{at}")});
        assert_eq!(refusal((0..10).map(double).collect()), None);
        let refused = Some(StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(refusal((0..60).map(double).collect()), refused);
    }

    #[test]
    fn operations_that_nest_an_object_deeper_and_deeper_are_refused() {
        let under =
            |at: usize| json!({"op": "add", "path": format!("/a{}", "/a".repeat(at)), "value": {}});
        let around = |_: usize| json!({"op": "copy", "from": "", "path": "/a"});
        assert_eq!(refusal((0..90).map(under).collect()), None);
        let refused = Some(StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(refusal((0..1_000).map(under).collect()), refused);
        assert_eq!(refusal((0..1_000).map(around).collect()), refused);
    }

    #[test]
    fn a_patch_has_so_many_operations_at_most() {
        let add = json!({"op": "add", "path": "/b", "value": 1});
        assert_eq!(refusal(vec![add.clone(); OPERATIONS]), None);
        let refused = Some(StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(refusal(vec![add; OPERATIONS + 1]), refused);
    }

    #[test]
    fn strategic_patches_are_for_kinds_that_clients_are_built_with() {
        let (object, patch) = (json!({"a": 1}), json!({"b": 2}));
        assert_eq!(
            patched_one(&resource::SECRETS, STRATEGIC, &object, &patch),
            Some(json!({"a": 1, "b": 2}))
        );
        assert_eq!(patched(STRATEGIC, &object, &patch), None);
    }

    #[test]
    fn other_patches_are_not_taken() {
        assert_eq!(patched("application/json", &json!({}), &json!({})), None);
    }
}
