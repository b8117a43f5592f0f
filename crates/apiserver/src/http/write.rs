//! Writing: create, replace, patch.
//!
//! Admission looks at what an object replaces, outside the store; the write then names the version that it looked at,
//! and a patch that somebody else overtook is made again on the newer one.

use api::{Resource, Status, meta::whole_seconds};
use axum::{body::Body, response::Response};
use http::{
    HeaderValue, StatusCode,
    header::{USER_AGENT, WARNING},
    request::Parts,
};
use serde_json::Value;

use super::{
    Answer, Config,
    accept::{self, Form},
    body,
    document::Document,
    error::Failure,
    json_response, name,
    ownership::{self, StatusWrite},
    patch::{self, Patch},
    path::Part,
    query::{FieldValidation, IncludeObject, WriteOptions},
    table, value_response,
};
use crate::auth::User;
use crate::store::{self, Change, Key, Object, Written};

/// How often a patch is tried again. Each time somebody else has made progress.
const PATCH_TRIES: usize = 64;
/// How often another name is tried for `generateName`.
const NAME_TRIES: usize = 8;

pub(super) async fn create(
    config: &Config,
    parts: &Parts,
    body: Body,
    resource: &Resource,
    namespace: &str,
) -> Answer {
    let form = accept::negotiate(&parts.headers, &[Form::Table])?;
    let options = WriteOptions::parse(&parts.uri)?;
    let document = body::of(resource, &parts.headers, body).await?;
    let mut object = document.value;
    identify(resource, namespace, &mut object)?;
    let strange = strange_fields(resource, &object, &document.duplicates, options.validation)?;
    let manager = manager(parts, &options);
    let user = User::of(&parts.extensions).name;
    let tries = if name::is_generated(&object) {
        NAME_TRIES
    } else {
        1
    };
    let mut taken = None;
    for _ in 0..tries {
        let name = name::of(resource, &object)?;
        let mut object = object.clone();
        object["metadata"]["name"] = name.as_str().into();
        (config.admission)(&user, resource, &mut object, None)?;
        name::check(resource, &name)?;
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        ownership::note_update(None, &mut object, &manager, &now());
        let key = key(resource, namespace, &name)?;
        match write(config, &key, Change::CreateWithin(object), options.dry_run).await {
            Ok(written) => {
                let response = answer(resource, StatusCode::CREATED, &written.into_object(), form);
                return Ok(with_warnings(response, &strange));
            }
            Err(error @ store::Error::AlreadyExists(_)) => taken = Some(error),
            Err(error) => return Err(Failure::of_store(resource, error)),
        }
    }
    Err(taken.map_or_else(Failure::no_path, |error| Failure::of_store(resource, error)))
}

pub(super) async fn replace(
    config: &Config,
    parts: &Parts,
    body: Body,
    resource: &Resource,
    key: &Key,
    part: Part,
) -> Answer {
    let form = accept::negotiate(&parts.headers, &[Form::Table])?;
    let options = WriteOptions::parse(&parts.uri)?;
    let document = body::of(resource, &parts.headers, body).await?;
    let mut object = document.value;
    identify(resource, key.namespace(), &mut object)?;
    same_name(key, &object)?;
    let strange = strange_fields(resource, &object, &document.duplicates, options.validation)?;
    if version(&object).is_empty() {
        return Err(Failure::invalid(
            resource,
            key.name(),
            "metadata.resourceVersion",
            "Invalid value: 0: must be specified for an update",
        ));
    }
    let current = current(config, resource, key)?;
    if version(&object) != current.resource_version().to_string() {
        return Err(Status::conflict(resource, key.name()).into());
    }
    let manager = manager(parts, &options);
    let user = User::of(&parts.extensions).name;
    let change = admitted(
        config,
        &user,
        resource,
        object,
        &current,
        part,
        &Owners::Note(&manager),
    )?;
    let written = write(config, key, change, options.dry_run)
        .await
        .map_err(|error| Failure::of_store(resource, error))?;
    let response = answer(resource, StatusCode::OK, &written.into_object(), form);
    Ok(with_warnings(response, &strange))
}

pub(super) async fn patch(
    config: &Config,
    parts: &Parts,
    body: Body,
    resource: &Resource,
    key: &Key,
    part: Part,
) -> Answer {
    let form = accept::negotiate(&parts.headers, &[Form::Table])?;
    let options = WriteOptions::parse(&parts.uri)?;
    let bytes = body::read(body).await?;
    if patch::is_apply(&parts.headers) {
        return apply(config, parts, &bytes, resource, key, part).await;
    }
    let (patch, duplicates) = Patch::parse(&parts.headers, &bytes, resource)?;
    let manager = manager(parts, &options);
    let user = User::of(&parts.extensions).name;
    for _ in 0..PATCH_TRIES {
        let current = current(config, resource, key)?;
        let value = current.value();
        let mut object = patch.apply(&value)?;
        identify(resource, key.namespace(), &mut object)?;
        same_name(key, &object)?;
        let strange = strange_fields(resource, &object, &duplicates, options.validation)?;
        // A patch that names a version wants that one and no other.
        if version(&object) != version(&value) && !version(&object).is_empty() {
            return Err(Status::conflict(resource, key.name()).into());
        }
        object["metadata"]["resourceVersion"] = version(&value).into();
        let change = admitted(
            config,
            &user,
            resource,
            object,
            &current,
            part,
            &Owners::Note(&manager),
        )?;
        match write(config, key, change, options.dry_run).await {
            Ok(written) => {
                let response = answer(resource, StatusCode::OK, &written.into_object(), form);
                return Ok(with_warnings(response, &strange));
            }
            Err(store::Error::Modified { .. }) => {}
            Err(error) => return Err(Failure::of_store(resource, error)),
        }
    }
    Err(Status::conflict(resource, key.name()).into())
}

/// Server-side apply: the body says all that its manager wants of the object, which is made if it is not there.
async fn apply(
    config: &Config,
    parts: &Parts,
    bytes: &[u8],
    resource: &Resource,
    key: &Key,
    part: Part,
) -> Answer {
    let form = accept::negotiate(&parts.headers, &[Form::Table])?;
    let options = WriteOptions::parse(&parts.uri)?;
    let Some(manager) = options.manager.clone() else {
        let status = Status::failure(
            422,
            "Invalid",
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
        );
        return Err(status.into());
    };
    let user = User::of(&parts.extensions).name;
    let Document {
        value: mut wanted,
        duplicates,
    } = body::parse(bytes, true)?;
    if !wanted.is_object() {
        return Err(Failure::bad_request("the body must be an object"));
    }
    identify(resource, key.namespace(), &mut wanted)?;
    same_name(key, &wanted)?;
    if !matches!(&wanted["metadata"]["managedFields"], Value::Null) {
        return Err(Failure::bad_request("metadata.managedFields must be nil"));
    }
    let strange = strange_fields(resource, &wanted, &duplicates, options.validation)?;
    for _ in 0..PATCH_TRIES {
        let current = config.store.get(key);
        let live = current.as_ref().map_or(Value::Null, Object::value);
        if !version(&wanted).is_empty() && version(&wanted) != version(&live) {
            return Err(Status::conflict(resource, key.name()).into());
        }
        let mut object = ownership::apply(&live, &wanted, &manager, options.force, &now())
            .map_err(|conflicts| Failure::apply_conflicts(resource, key.name(), &conflicts))?;
        let (change, code) = if let Some(current) = &current {
            object["metadata"]["resourceVersion"] = version(&live).into();
            let change = admitted(
                config,
                &user,
                resource,
                object,
                current,
                part,
                &Owners::Noted(&manager),
            )?;
            (change, StatusCode::OK)
        } else if part == Part::Whole {
            let owners = object["metadata"]["managedFields"].clone();
            (config.admission)(&user, resource, &mut object, None)?;
            name::check(resource, key.name())?;
            object["metadata"]["managedFields"] = owners;
            (Change::CreateWithin(object), StatusCode::CREATED)
        } else {
            return Err(Failure::of_store(
                resource,
                store::Error::NotFound(key.clone()),
            ));
        };
        match write(config, key, change, options.dry_run).await {
            Ok(written) => {
                let response = answer(resource, code, &written.into_object(), form);
                return Ok(with_warnings(response, &strange));
            }
            Err(
                store::Error::Modified { .. }
                | store::Error::AlreadyExists(_)
                | store::Error::NotFound(_),
            ) => {}
            Err(error) => return Err(Failure::of_store(resource, error)),
        }
    }
    Err(Status::conflict(resource, key.name()).into())
}

/// How owners of fields come into an object that passed admission.
enum Owners<'a> {
    /// They are in it; this one applied it.
    Noted(&'a str),
    /// This one changed what is new.
    Note(&'a str),
}

/// Who writes: what the request says, or else the name of the program.
fn manager(parts: &Parts, options: &WriteOptions) -> String {
    let agent = || {
        let agent = parts.headers.get(USER_AGENT)?.to_str().ok()?;
        let name = agent.split('/').next()?.trim();
        (!name.is_empty()).then(|| name.to_owned())
    };
    options
        .manager
        .clone()
        .or_else(agent)
        .unwrap_or_else(|| "unknown".to_owned())
}

fn now() -> String {
    whole_seconds(jiff::Timestamp::now())
}

/// Writes, or tells what writing would do.
pub(super) async fn write(
    config: &Config,
    key: &Key,
    change: Change,
    dry_run: bool,
) -> Result<Written, store::Error> {
    if dry_run {
        config.store.dry_run(key, change)
    } else {
        config.store.write(key, change).await
    }
}

fn current(config: &Config, resource: &Resource, key: &Key) -> Result<Object, Failure> {
    config
        .store
        .get(key)
        .ok_or_else(|| Failure::of_store(resource, store::Error::NotFound(key.clone())))
}

/// Passes a new version of an object through admission. A status is written by controllers, and is only to be of its type: they
/// read the object as a whole, and could not go on.
fn admitted(
    config: &Config,
    user: &str,
    resource: &Resource,
    mut object: Value,
    current: &Object,
    part: Part,
    owners: &Owners<'_>,
) -> Result<Change, Failure> {
    if part == Part::Status {
        let (manager, how) = match owners {
            Owners::Note(manager) => (manager, StatusWrite::Updated),
            Owners::Noted(manager) => (manager, StatusWrite::Applied),
        };
        let live = current.value();
        let mut whole = live.clone();
        whole["status"] = object["status"].take();
        api::admit_status(resource, &mut whole)?;
        let fields = object.as_object_mut().zip(whole.as_object_mut());
        if let Some((object, whole)) = fields {
            object.remove("status");
            object.extend(whole.remove_entry("status"));
        }
        ownership::note_status(&live, &mut object, manager, how, &now());
        return Ok(Change::UpdateStatus(object));
    }
    let kept = ["resourceVersion", "uid", "managedFields"]
        .map(|field| (field, object["metadata"][field].clone()));
    let live = current.value();
    (config.admission)(user, resource, &mut object, Some(&live))?;
    for (field, value) in kept {
        object["metadata"][field] = value;
    }
    if let Owners::Note(manager) = owners {
        ownership::note_update(Some(&live), &mut object, manager, &now());
    }
    Ok(Change::Update(object))
}

/// Checks that an object is what its path says, and fills in what the path says better.
fn identify(resource: &Resource, namespace: &str, object: &mut Value) -> Result<(), Failure> {
    let expected = [
        ("apiVersion", resource.api_version()),
        ("kind", resource.kind.to_owned()),
    ];
    for (field, expected) in expected {
        match &object[field] {
            Value::Null => object[field] = expected.into(),
            Value::String(found) if *found == expected => {}
            found => {
                return Err(Failure::bad_request(format!(
                    "the {field} in the data ({}) does not match the expected {field} ({expected})",
                    found.as_str().unwrap_or("not a text"),
                )));
            }
        }
    }
    if !matches!(object["metadata"], Value::Null | Value::Object(_)) {
        return Err(Failure::bad_request("metadata must be an object"));
    }
    match object["metadata"]["namespace"].as_str() {
        Some(found) if !found.is_empty() && found != namespace => Err(Failure::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        )),
        _ if namespace.is_empty() => Ok(()),
        _ => {
            object["metadata"]["namespace"] = namespace.into();
            Ok(())
        }
    }
}

fn same_name(key: &Key, object: &Value) -> Result<(), Failure> {
    let found = object["metadata"]["name"].as_str().unwrap_or_default();
    if found == key.name() {
        return Ok(());
    }
    Err(Failure::bad_request(format!(
        "the name of the object ({found}) does not match the name on the URL ({})",
        key.name()
    )))
}

fn version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"]
        .as_str()
        .unwrap_or_default()
}

fn key(resource: &Resource, namespace: &str, name: &str) -> Result<Key, Failure> {
    Key::new(&resource.qualified(), namespace, name).ok_or_else(Failure::no_path)
}

/// Finds fields that are there twice or that nobody knows: a refusal, something to warn of, or nothing at all.
fn strange_fields(
    resource: &Resource,
    object: &Value,
    duplicates: &[String],
    validation: FieldValidation,
) -> Result<Vec<String>, Failure> {
    if validation == FieldValidation::Ignore {
        return Ok(Vec::new());
    }
    let duplicates = duplicates
        .iter()
        .map(|field| format!("duplicate field {field:?}"));
    let unknown = api::unknown_fields(resource, object)
        .into_iter()
        .map(|field| format!("unknown field {field:?}"));
    let strange: Vec<String> = duplicates.chain(unknown).collect();
    if validation == FieldValidation::Strict && !strange.is_empty() {
        return Err(Failure::bad_request(format!(
            "{kind} in version {:?} cannot be handled as a {kind}: strict decoding error: {}",
            resource.version,
            strange.join(", "),
            kind = resource.kind,
        )));
    }
    Ok(strange)
}

/// Adds what to warn of (RFC 7234 §5.5; 299 is "miscellaneous persistent").
fn with_warnings(mut response: Response, warnings: &[String]) -> Response {
    for warning in warnings {
        let quoted = format!("299 - {warning:?}");
        if let Ok(value) = HeaderValue::from_str(&quoted) {
            response.headers_mut().append(WARNING, value);
        }
    }
    response
}

fn answer(resource: &Resource, code: StatusCode, object: &Object, form: Form) -> Response {
    if form == Form::Table {
        let objects = std::slice::from_ref(object);
        let table = table::of(
            resource,
            objects,
            object.resource_version(),
            IncludeObject::Metadata,
        );
        return value_response(code, &table);
    }
    json_response(code, object.json().clone())
}
