//! What happens to an object on its way into the store: unknown fields are found, defaults set, and the whole checked.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::core::{ConfigMap, Namespace, Secret};
use crate::decode::{Decoded, decode, without_nulls};
use crate::defaults;
use crate::field_error::FieldErrors;
use crate::forbidden;
use crate::invalid::Invalid;
use crate::meta::ObjectMeta;
use crate::resource::{self, Resource};
use crate::serving::{Configuration, Revision, Route, Service, annotation};
use crate::settings::Settings;
use crate::status::Status;
use crate::validate;

/// Who changes objects where nobody else is named: the holder of the node's client certificate.
pub const USER: &str = "vhive-admin";

/// [`admit_by`] the node's owner.
pub fn admit(resource: &Resource, new: &mut Value, old: Option<&Value>) -> Result<(), Status> {
    admit_by(USER, resource, new, old)
}

/// [`admit_with`] the settings that hold where nothing is set.
pub fn admit_by(
    user: &str,
    resource: &Resource,
    new: &mut Value,
    old: Option<&Value>,
) -> Result<(), Status> {
    admit_with(&Settings::default(), user, resource, new, old)
}

/// Sets defaults in `new`, which `user` writes, as the settings say, and checks it; `old` is what it replaces. Fields that its type
/// does not have are left out. The refusal is what the client gets.
pub fn admit_with(
    settings: &Settings,
    user: &str,
    resource: &Resource,
    new: &mut Value,
    old: Option<&Value>,
) -> Result<(), Status> {
    let given = &settings.defaults;
    match *resource {
        resource::SERVICES => {
            let (mut service, old) = both::<Service>(resource, new, old)?;
            defaults::default_service(&mut service, given);
            if let Some(old) = &old {
                defaults::keep_named_template(
                    &mut service.spec.template,
                    &old.spec.template,
                    given,
                );
            }
            let old = old.as_ref();
            let change = Change::of(&service.spec, old.map(|old| (&old.metadata, &old.spec)));
            sign(user, &mut service.metadata, change);
            checked(
                resource,
                new,
                validate::validate_service(&service, old, settings),
            )?;
            encode(&service, new)
        }
        resource::CONFIGURATIONS => {
            let (mut configuration, old) = both::<Configuration>(resource, new, old)?;
            defaults::default_configuration(&mut configuration, given);
            if let Some(old) = &old {
                defaults::keep_named_template(
                    &mut configuration.spec.template,
                    &old.spec.template,
                    given,
                );
            }
            let old = old.as_ref();
            if configuration.metadata.owner_references.is_empty() {
                let old = old.map(|old| (&old.metadata, &old.spec));
                let change = Change::of(&configuration.spec, old);
                sign(user, &mut configuration.metadata, change);
            }
            let result = validate::validate_configuration(&configuration, old, settings);
            checked(resource, new, result)?;
            encode(&configuration, new)
        }
        resource::REVISIONS => {
            let (mut revision, old) = both::<Revision>(resource, new, old)?;
            // Of an old one the spec must not change.
            if old.is_none() {
                defaults::default_revision(&mut revision, given);
            }
            let result = validate::validate_revision(&revision, old.as_ref(), settings);
            checked(resource, new, result)?;
            encode(&revision, new)
        }
        resource::ROUTES => {
            let (mut route, old) = both::<Route>(resource, new, old)?;
            defaults::default_route(&mut route);
            let old = old.as_ref();
            if route.metadata.owner_references.is_empty() {
                let change = Change::of(&route.spec, old.map(|old| (&old.metadata, &old.spec)));
                sign(user, &mut route.metadata, change);
            }
            checked(resource, new, validate::validate_route(&route, old))?;
            encode(&route, new)
        }
        resource::NAMESPACES => {
            let (mut namespace, old) = both::<Namespace>(resource, new, old)?;
            namespace.complete(old.as_ref());
            validate::validate_namespace(&namespace)?;
            encode(&namespace, new)
        }
        resource::CONFIG_MAPS => {
            let (map, old) = both::<ConfigMap>(resource, new, old)?;
            validate::validate_config_map(&map, old.as_ref())?;
            encode(&map, new)
        }
        resource::SECRETS => {
            let (mut secret, old) = both::<Secret>(resource, new, old)?;
            defaults::default_secret(&mut secret);
            validate::validate_secret(&secret, old.as_ref())?;
            encode(&secret, new)
        }
        _ => Ok(()),
    }
}

/// Checks that `object`, whose status is new, is of its type, for whoever reads it reads the whole; nulls are left out of the status.
///
/// # Errors
/// A `Status` of 422 where it is not, with the path of what does not fit.
pub fn admit_status(resource: &Resource, object: &mut Value) -> Result<(), Status> {
    if let Some(object) = object.as_object_mut()
        && let Some(status) = object.remove("status")
        && !status.is_null()
    {
        object.insert("status".to_owned(), without_nulls(&status));
    }
    let fits = match *resource {
        resource::SERVICES => fits::<Service>(object),
        resource::CONFIGURATIONS => fits::<Configuration>(object),
        resource::REVISIONS => fits::<Revision>(object),
        resource::ROUTES => fits::<Route>(object),
        resource::NAMESPACES => fits::<Namespace>(object),
        resource::CONFIG_MAPS => fits::<ConfigMap>(object),
        resource::SECRETS => fits::<Secret>(object),
        _ => Ok(()),
    };
    let mut invalid = Invalid::default();
    if let Err(error) = fits {
        let (path, why) = error.split_once(": ").unwrap_or(("status", &error));
        invalid.value(path, "", why);
    }
    invalid.into_result(
        resource,
        object["metadata"]["name"].as_str().unwrap_or_default(),
    )
}

fn fits<T: DeserializeOwned>(object: &Value) -> Result<(), String> {
    decode::<T>(object).map(drop)
}

/// Paths of fields in `object` that its type does not have, as strict validation names them. Those that Knative forbids are
/// not among them, since [`admit`] has better words for them, and none if the object is not of its type at all.
pub fn unknown_fields(resource: &Resource, object: &Value) -> Vec<String> {
    let unknown = match *resource {
        resource::SERVICES => unknown::<Service>(object),
        resource::CONFIGURATIONS => unknown::<Configuration>(object),
        resource::REVISIONS => unknown::<Revision>(object),
        resource::ROUTES => unknown::<Route>(object),
        resource::NAMESPACES => unknown::<Namespace>(object),
        resource::CONFIG_MAPS => unknown::<ConfigMap>(object),
        resource::SECRETS => unknown::<Secret>(object),
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

/// What happens to an object, as far as its signatures go.
#[derive(Clone, Copy)]
enum Change<'a> {
    Created,
    /// Its spec is another.
    Spec(&'a ObjectMeta),
    /// Its spec is what it was.
    Metadata(&'a ObjectMeta),
}

impl<'a> Change<'a> {
    fn of<S: PartialEq>(new: &S, old: Option<(&'a ObjectMeta, &S)>) -> Self {
        match old {
            None => Self::Created,
            Some((metadata, old)) if old == new => Self::Metadata(metadata),
            Some((metadata, _)) => Self::Spec(metadata),
        }
    }
}

/// Notes who made the object and who changed its spec last, in place of what the client says about that. Of what is not to
/// change the client may be silent, as one that replaces an object by what is in a file; if it says something else, validation
/// refuses it.
fn sign(user: &str, metadata: &mut ObjectMeta, change: Change<'_>) {
    let annotations = &mut metadata.annotations;
    let mut write = |key: &str| annotations.insert(key.to_owned(), user.to_owned());
    let (kept, old) = match change {
        Change::Created => {
            write(annotation::CREATOR);
            write(annotation::LAST_MODIFIER);
            return;
        }
        Change::Spec(old) => {
            write(annotation::LAST_MODIFIER);
            (&[annotation::CREATOR][..], old)
        }
        Change::Metadata(old) => (&[annotation::CREATOR, annotation::LAST_MODIFIER][..], old),
    };
    for key in kept {
        if let Some(user) = old.annotation(key) {
            annotations
                .entry((*key).to_owned())
                .or_insert_with(|| user.to_owned());
        }
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
