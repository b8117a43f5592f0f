//! What happens to an object on its way into the store: unknown fields are found, defaults set, and the whole checked.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::decode::{Decoded, decode};
use crate::defaults;
use crate::field_error::FieldErrors;
use crate::forbidden;
use crate::meta::ObjectMeta;
use crate::resource::{self, Resource};
use crate::serving::{Configuration, Revision, Route, Service};
use crate::status::Status;
use crate::validate;

/// Who changes objects: the API has one user, the holder of the node's client certificate.
pub const USER: &str = "vhive-admin";

const CREATOR: &str = "serving.knative.dev/creator";
const LAST_MODIFIER: &str = "serving.knative.dev/lastModifier";

/// Sets defaults in `new` and checks it; `old` is what it replaces. Fields that its type does not have are left out. The
/// refusal is what the client gets.
pub fn admit(resource: &Resource, new: &mut Value, old: Option<&Value>) -> Result<(), Status> {
    match *resource {
        resource::SERVICES => {
            let (mut service, old) = both::<Service>(resource, new, old)?;
            defaults::default_service(&mut service);
            let old = old.as_ref();
            sign(
                &mut service.metadata,
                old.map(|old| (&old.metadata, old.spec == service.spec)),
            );
            checked(resource, new, validate::validate_service(&service, old))?;
            encode(&service, new)
        }
        resource::CONFIGURATIONS => {
            let (mut configuration, old) = both::<Configuration>(resource, new, old)?;
            defaults::default_configuration(&mut configuration);
            let old = old.as_ref();
            sign(
                &mut configuration.metadata,
                old.map(|old| (&old.metadata, old.spec == configuration.spec)),
            );
            let result = validate::validate_configuration(&configuration, old);
            checked(resource, new, result)?;
            encode(&configuration, new)
        }
        resource::REVISIONS => {
            let (mut revision, old) = both::<Revision>(resource, new, old)?;
            if old.is_none() {
                defaults::default_revision(&mut revision);
            }
            let result = validate::validate_revision(&revision, old.as_ref());
            checked(resource, new, result)?;
            encode(&revision, new)
        }
        resource::ROUTES => {
            let (mut route, old) = both::<Route>(resource, new, old)?;
            defaults::default_route(&mut route);
            let old = old.as_ref();
            sign(
                &mut route.metadata,
                old.map(|old| (&old.metadata, old.spec == route.spec)),
            );
            checked(resource, new, validate::validate_route(&route))?;
            encode(&route, new)
        }
        _ => Ok(()),
    }
}

/// Paths of fields in `object` that its type does not have, as strict validation names them. Those that Knative forbids are
/// not among them, since [`admit`] has better words for them, and none if the object is not of its type at all.
pub fn unknown_fields(resource: &Resource, object: &Value) -> Vec<String> {
    let unknown = match *resource {
        resource::SERVICES => unknown::<Service>(object),
        resource::CONFIGURATIONS => unknown::<Configuration>(object),
        resource::REVISIONS => unknown::<Revision>(object),
        resource::ROUTES => unknown::<Route>(object),
        _ => return Vec::new(),
    };
    let forbidden = forbidden::paths(resource, object);
    unknown
        .into_iter()
        // A status from a client is dropped as a whole.
        .filter(|path| !path.starts_with("status.") && !forbidden.contains(path))
        .collect()
}

fn unknown<T: DeserializeOwned>(object: &Value) -> Vec<String> {
    decode::<T>(object).map_or_else(|_| Vec::new(), |decoded| decoded.unknown)
}

fn both<T: DeserializeOwned>(
    resource: &Resource,
    new: &Value,
    old: Option<&Value>,
) -> Result<(T, Option<T>), Status> {
    let decode = |value: &Value| match decode(value) {
        Ok(Decoded { object, .. }) => Ok(object),
        Err(error) => Err(Status::bad_request(format!(
            "{kind} in version {:?} cannot be handled as a {kind}: {error}",
            resource.version,
            kind = resource.kind,
        ))),
    };
    Ok((decode(new)?, old.map(decode).transpose()?))
}

/// Notes who made the object and who changed its spec last. What the client says about that does not count. What belongs to
/// another object is not signed: its owner is.
fn sign(metadata: &mut ObjectMeta, old: Option<(&ObjectMeta, bool)>) {
    if metadata.controller().is_some() {
        return;
    }
    for key in [CREATOR, LAST_MODIFIER] {
        let kept = match old {
            Some((old, same_spec)) if key == CREATOR || same_spec => old.annotation(key),
            _ => Some(USER),
        };
        match kept {
            Some(user) => metadata.annotations.insert(key.to_owned(), user.to_owned()),
            None => metadata.annotations.remove(key),
        };
    }
}

fn checked(
    resource: &Resource,
    object: &Value,
    result: Result<(), FieldErrors>,
) -> Result<(), Status> {
    let mut errors = result.err().unwrap_or_default();
    forbidden::check(resource, object, &mut errors);
    errors
        .into_result()
        .map_err(|errors| Status::bad_request(format!("validation failed: {errors}")))
}

fn encode(object: &impl Serialize, into: &mut Value) -> Result<(), Status> {
    let mut encoded = serde_json::to_value(object)
        .map_err(|error| Status::failure(500, "InternalError", error.to_string()))?;
    // A status is what the node says; an empty one says nothing.
    if let Some(object) = encoded.as_object_mut()
        && object
            .get("status")
            .and_then(Value::as_object)
            .is_some_and(serde_json::Map::is_empty)
    {
        object.remove("status");
    }
    *into = encoded;
    Ok(())
}
