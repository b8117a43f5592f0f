//! Patches: merge (RFC 7386), JSON (RFC 6902), strategic merge, and server-side apply, which is made in [`super::write`].

use api::Resource;
use http::{HeaderMap, StatusCode};
use json_patch::Patch as Operations;
use serde_json::Value;

use super::{body, document::Document, error::Failure, strategic};

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
