//! Patches: merge (RFC 7386), JSON (RFC 6902), and server-side apply, which is made in [`super::write`].
//!
//! Kinds of the core group also take Kubernetes' strategic merge, since `kubectl apply` sends them nothing else. It differs from a merge
//! in lists and in its directives; their kinds have lists in the metadata alone, so that both are refused.

use api::Resource;
use http::{HeaderMap, StatusCode};
use json_patch::Patch as Operations;
use serde_json::Value;

use super::{body, document::Document, error::Failure};

const MERGE: &str = "application/merge-patch+json";
const JSON: &str = "application/json-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// A change that can be made to any version of an object.
pub(super) enum Patch {
    Merge(Value),
    Json(Operations),
}

/// Whether the body is a configuration to apply.
pub(super) fn is_apply(headers: &HeaderMap) -> bool {
    body::media_type(headers) == APPLY
}

impl Patch {
    /// Reads a patch of the kind that the content type names, for an object of the resource, with the paths of what is in it
    /// twice.
    pub(super) fn parse(
        headers: &HeaderMap,
        bytes: &[u8],
        resource: &Resource,
    ) -> Result<(Self, Vec<String>), Failure> {
        let core = resource.group.is_empty();
        match body::media_type(headers) {
            MERGE => {
                let Document { value, duplicates } = body::parse(bytes, false)?;
                Ok((Self::Merge(value), duplicates))
            }
            STRATEGIC if core => {
                let Document { value, duplicates } = body::parse(bytes, false)?;
                if is_plain(&value) {
                    return Ok((Self::Merge(value), duplicates));
                }
                Err(Failure::bad_request(
                    "a strategic merge patch with lists or directives is not supported; use a merge patch or a JSON patch",
                ))
            }
            JSON => {
                let Document { value, duplicates } = body::parse(bytes, false)?;
                let operations = serde_json::from_value(value).map_err(|error| {
                    Failure::bad_request(format!("error decoding patch: {error}"))
                })?;
                Ok((Self::Json(operations), duplicates))
            }
            _ if core => Err(Failure::unsupported_media_type(&[
                JSON, MERGE, STRATEGIC, APPLY,
            ])),
            _ => Err(Failure::unsupported_media_type(&[JSON, MERGE, APPLY])),
        }
    }

    /// The object with the change made.
    pub(super) fn apply(&self, object: &Value) -> Result<Value, Failure> {
        let mut patched = object.clone();
        match self {
            Self::Merge(patch) => json_patch::merge(&mut patched, patch),
            Self::Json(operations) => {
                let refused = |error: json_patch::PatchError| {
                    Failure::new(
                        StatusCode::UNPROCESSABLE_ENTITY,
                        "Invalid",
                        error.to_string(),
                    )
                };
                json_patch::patch(&mut patched, operations).map_err(refused)?;
            }
        }
        if patched.is_object() {
            Ok(patched)
        } else {
            Err(Failure::bad_request("the patch leaves no object"))
        }
    }
}

/// Whether it means the same as a strategic merge and as a merge.
fn is_plain(patch: &Value) -> bool {
    match patch {
        Value::Array(_) => false,
        Value::Object(fields) => fields
            .iter()
            .all(|(name, value)| !name.starts_with('$') && is_plain(value)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use api::resource;
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
        let (patch, _) =
            Patch::parse(&headers, patch.to_string().as_bytes(), resource).ok()?;
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

    #[test]
    fn a_strategic_merge_is_taken_for_core_kinds_where_it_is_a_merge() {
        let object = json!({"data": {"a": "1", "b": "2"}});
        let patch = json!({"data": {"a": null, "c": "3"}});
        let core = |patch: &Value| patched_one(&resource::CONFIG_MAPS, STRATEGIC, &object, patch);
        assert_eq!(core(&patch), Some(json!({"data": {"b": "2", "c": "3"}})));
        assert_eq!(core(&json!({"data": {"$patch": "replace"}})), None);
        assert_eq!(core(&json!({"metadata": {"finalizers": ["a/b"]}})), None);
        assert_eq!(patched(STRATEGIC, &object, &patch), None);
    }
}
