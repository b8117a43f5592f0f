//! Deleting one object, or all that a selector names.

use api::{Resource, Status, resource::NAMESPACES};
use axum::body::Body;
use http::{StatusCode, request::Parts};

use super::{
    Answer, Config,
    accept::{self, Form},
    deletion::{self, Deletion},
    error::Failure,
    json_response, page,
    query::ListOptions,
    read, value_response,
    write::write,
};
use crate::namespaces;
use crate::store::{self, Change, Key, Written};

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
    let dry_run = deletion.dry_run;
    let change = Change::Delete(deletion.preconditions, deletion.propagation);
    let written = write(config, key, change, dry_run)
        .await
        .map_err(|error| Failure::of_store(resource, error))?;
    let response = match written {
        Written::Removed(object) => {
            let status = Status::success().of(resource, key.name());
            let mut status = serde_json::to_value(status).unwrap_or_default();
            status["details"]["uid"] = object.value()["metadata"]["uid"].clone();
            value_response(StatusCode::OK, &status)
        }
        // Finalizers hold it.
        Written::Unchanged(object) | Written::Stored(object) => {
            json_response(StatusCode::OK, object.json().clone())
        }
    };
    Ok(deletion::marked(response, dry_run))
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
    let response = read::encode(resource, &list, &page);
    Ok(deletion::marked(response, deletion.dry_run))
}
