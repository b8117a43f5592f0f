//! What happens to an object on its way into the store: unknown fields are found, defaults set, and the whole checked.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::defaults;
use crate::field_error::FieldErrors;
use crate::resource::{self, Resource};
use crate::serving::{Configuration, Revision, Route, Service};
use crate::status::Status;
use crate::validate;

/// Sets defaults in `new` and checks it; `old` is what it replaces. The refusal is what the client gets.
pub fn admit(resource: &Resource, new: &mut Value, old: Option<&Value>) -> Result<(), Status> {
    match *resource {
        resource::SERVICES => {
            let mut service: Service = decode(resource, new)?;
            defaults::default_service(&mut service);
            let old: Option<Service> = old.map(|old| decode(resource, old)).transpose()?;
            checked(validate::validate_service(&service, old.as_ref()))?;
            encode(&service, new)
        }
        resource::CONFIGURATIONS => {
            let mut configuration: Configuration = decode(resource, new)?;
            defaults::default_spec(&mut configuration.spec.template.spec);
            checked(validate::validate_template(
                &configuration.spec.template,
                &configuration.metadata.name,
            ))?;
            encode(&configuration, new)
        }
        resource::REVISIONS => {
            let mut revision: Revision = decode(resource, new)?;
            defaults::default_revision(&mut revision);
            if let Some(old) = old {
                let old: Revision = decode(resource, old)?;
                if old.spec != revision.spec {
                    return Err(Status::bad_request(
                        "validation failed: Immutable fields changed (-old +new): spec",
                    ));
                }
            }
            encode(&revision, new)
        }
        resource::ROUTES => {
            let mut route: Route = decode(resource, new)?;
            defaults::default_route(&mut route);
            checked(validate::validate_traffic(&route.spec.traffic))?;
            encode(&route, new)
        }
        _ => Ok(()),
    }
}

/// Paths of fields in `object` that its type does not have, as strict validation names them.
pub fn unknown_fields(resource: &Resource, object: &Value) -> Vec<String> {
    let known = match *resource {
        resource::SERVICES => round_trip::<Service>(object),
        resource::CONFIGURATIONS => round_trip::<Configuration>(object),
        resource::REVISIONS => round_trip::<Revision>(object),
        resource::ROUTES => round_trip::<Route>(object),
        _ => None,
    };
    let mut unknown = Vec::new();
    if let Some(known) = known {
        missing_from(&known, object, "", &mut unknown);
    }
    unknown
}

/// The object with only the fields that its type has; `None` if it is not of the type at all, which decoding tells better.
fn round_trip<T: Serialize + DeserializeOwned>(object: &Value) -> Option<Value> {
    serde_json::from_value::<T>(object.clone())
        .ok()
        .and_then(|typed| serde_json::to_value(typed).ok())
}

fn missing_from(known: &Value, given: &Value, path: &str, unknown: &mut Vec<String>) {
    match (known, given) {
        (Value::Object(known), Value::Object(given)) => {
            for (key, value) in given {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                match known.get(key) {
                    Some(known) => missing_from(known, value, &path, unknown),
                    None if is_empty(value) => {}
                    None => unknown.push(path),
                }
            }
        }
        (Value::Array(known), Value::Array(given)) => {
            for (index, (known, given)) in known.iter().zip(given).enumerate() {
                missing_from(known, given, &format!("{path}[{index}]"), unknown);
            }
        }
        _ => {}
    }
}

/// Values that a type leaves out when it writes itself: they may be of known fields.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
    }
}

fn decode<T: DeserializeOwned>(resource: &Resource, value: &Value) -> Result<T, Status> {
    T::deserialize(value).map_err(|error| {
        Status::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: {error}",
            resource.kind, resource.version, resource.kind
        ))
    })
}

fn encode(object: &impl Serialize, into: &mut Value) -> Result<(), Status> {
    let mut encoded = serde_json::to_value(object)
        .map_err(|error| Status::failure(500, "InternalError", error.to_string()))?;
    // A status is what the node says; an empty one says nothing.
    if let Some(object) = encoded.as_object_mut()
        && object.get("status").is_some_and(is_empty)
    {
        object.remove("status");
    }
    *into = encoded;
    Ok(())
}

fn checked(result: Result<(), FieldErrors>) -> Result<(), Status> {
    result.map_err(|errors| Status::bad_request(format!("validation failed: {errors}")))
}
