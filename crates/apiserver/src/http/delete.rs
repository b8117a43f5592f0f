//! Deleting one object, or all that a selector names.

use api::{Resource, Status, resource::NAMESPACES};
use axum::body::Body;
use http::{StatusCode, request::Parts};
use serde::Deserialize;

use super::{
    Answer, Config,
    accept::{self, Form},
    body,
    error::Failure,
    json_response, page,
    query::{ListOptions, WriteOptions, dry_run},
    read, value_response,
    write::write,
};
use crate::namespaces;
use crate::store::{self, Change, Key, Preconditions, Propagation, Written};

/// The body of a deletion.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DeleteOptions {
    preconditions: Option<Wanted>,
    propagation_policy: Option<String>,
    orphan_dependents: Option<bool>,
    dry_run: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Wanted {
    uid: Option<String>,
    resource_version: Option<String>,
}

/// What a deletion is asked to do.
struct Deletion {
    preconditions: Preconditions,
    propagation: Option<Propagation>,
    dry_run: bool,
}

impl Deletion {
    async fn read(parts: &Parts, body: Body) -> Result<Self, Failure> {
        let query = WriteOptions::parse(&parts.uri)?;
        let bytes = body::read(body).await?;
        let options: DeleteOptions = if bytes.is_empty() {
            DeleteOptions::default()
        } else {
            let value = body::object(&parts.headers, bytes.into()).await?.value;
            serde_json::from_value(value)
                .map_err(|error| Failure::bad_request(format!("DeleteOptions: {error}")))?
        };
        let policy = match options.propagation_policy {
            Some(policy) => policy,
            None => query.propagation,
        };
        let propagation = match (policy.as_str(), options.orphan_dependents) {
            ("", None) => None,
            ("", Some(true)) | ("Orphan", None) => Some(Propagation::Orphan),
            ("", Some(false)) | ("Background", None) => Some(Propagation::Background),
            ("Foreground", None) => Some(Propagation::Foreground),
            ("Orphan" | "Background" | "Foreground", Some(_)) => {
                return Err(Failure::bad_request(
                    "orphanDependents and propagationPolicy cannot both be set",
                ));
            }
            (other, _) => {
                return Err(Failure::bad_request(format!(
                    "propagationPolicy: Unsupported value: {other:?}: supported values: \"Background\", \"Foreground\", \
                     \"Orphan\""
                )));
            }
        };
        let preconditions = options.preconditions.unwrap_or_default();
        Ok(Self {
            preconditions: Preconditions {
                uid: preconditions.uid,
                resource_version: preconditions.resource_version,
            },
            propagation,
            dry_run: query.dry_run || dry_run(options.dry_run.iter().map(String::as_str))?,
        })
    }
}

pub(super) async fn one(
    config: &Config,
    parts: &Parts,
    body: Body,
    resource: &Resource,
    key: &Key,
) -> Answer {
    accept::negotiate(&parts.headers, &[Form::Table])?;
    if *resource == NAMESPACES && namespaces::is_permanent(key.name()) {
        let why = "this namespace may not be deleted";
        return Err(Failure::forbidden(resource, key.name(), why));
    }
    let deletion = Deletion::read(parts, body).await?;
    let written = write(
        config,
        key,
        Change::Delete(deletion.preconditions, deletion.propagation),
        deletion.dry_run,
    )
    .await
    .map_err(|error| Failure::of_store(resource, error))?;
    match written {
        Written::Removed(object) => {
            let status = Status::success().of(resource, key.name());
            let mut status = serde_json::to_value(status).unwrap_or_default();
            status["details"]["uid"] = object.value()["metadata"]["uid"].clone();
            Ok(value_response(StatusCode::OK, &status))
        }
        // Finalizers hold it.
        Written::Unchanged(object) | Written::Stored(object) => {
            Ok(json_response(StatusCode::OK, object.json().clone()))
        }
    }
}

/// Deletes what a list with the same selectors would have shown.
pub(super) async fn collection(
    config: &Config,
    parts: &Parts,
    body: Body,
    resource: &Resource,
    namespace: Option<&str>,
) -> Answer {
    let options = ListOptions::parse(&parts.uri, resource)?;
    let deletion = Deletion::read(parts, body).await?;
    let (list, page) = page::cut(
        read::select(config, resource, namespace, &options)?,
        &options,
    );
    for object in &list.objects {
        let change = Change::Delete(deletion.preconditions.clone(), deletion.propagation);
        match write(config, object.key(), change, deletion.dry_run).await {
            // Somebody else was faster.
            Ok(_) | Err(store::Error::NotFound(_)) => {}
            Err(error) => return Err(Failure::of_store(resource, error)),
        }
    }
    Ok(read::encode(resource, &list, &page))
}
