//! Reading one object or many.

use api::Resource;
use axum::response::Response;
use http::{StatusCode, request::Parts};

use super::{
    Answer, Config,
    accept::{self, Form},
    error::Failure,
    json_response,
    query::{self, ListOptions},
    table, value_response, watch,
};
use crate::store::{self, Key, List, Object};

pub(super) fn get(config: &Config, parts: &Parts, resource: &Resource, key: &Key) -> Answer {
    let form = accept::negotiate(&parts.headers, &[Form::Table])?;
    let object = config
        .store
        .get(key)
        .ok_or_else(|| Failure::of_store(resource, store::Error::NotFound(key.clone())))?;
    if form == Form::Table {
        let include = query::include_object(&parts.uri)?;
        let table = table::of(
            resource,
            std::slice::from_ref(&object),
            object.resource_version(),
            include,
        );
        return Ok(value_response(StatusCode::OK, &table));
    }
    Ok(json_response(StatusCode::OK, object.json().clone()))
}

/// A list, or with `watch` what happens to it.
pub(super) fn list(
    config: &Config,
    parts: &Parts,
    resource: &Resource,
    namespace: Option<&str>,
) -> Answer {
    let form = accept::negotiate(&parts.headers, &[Form::Table])?;
    let options = ListOptions::parse(&parts.uri, resource)?;
    if options.watch {
        return watch::start(config, resource, namespace, options, form);
    }
    let list = select(config, resource, namespace, &options)?;
    if form == Form::Table {
        let table = table::of(
            resource,
            &list.objects,
            list.resource_version,
            options.include_object,
        );
        return Ok(value_response(StatusCode::OK, &table));
    }
    Ok(encode(resource, &list))
}

/// The objects that a list is of.
pub(super) fn select(
    config: &Config,
    resource: &Resource,
    namespace: Option<&str>,
    options: &ListOptions,
) -> Result<List, Failure> {
    let mut list = config.store.list(&resource.qualified(), namespace);
    let current = list.resource_version;
    match options.resource_version {
        Some(wanted) if wanted > current => {
            return Err(Failure::of_store(
                resource,
                store::Error::Future { wanted, current },
            ));
        }
        // Only the present is kept.
        Some(wanted) if options.exact && wanted < current => {
            return Err(Failure::of_store(
                resource,
                store::Error::Expired {
                    wanted,
                    oldest: current,
                },
            ));
        }
        _ => {}
    }
    list.objects
        .retain(|object| options.labels.matches(object.labels()) && options.fields.matches(object));
    Ok(list)
}

/// Puts stored texts together without reading them.
pub(super) fn encode(resource: &Resource, list: &List) -> Response {
    let head = format!(
        r#"{{"apiVersion":"{}","kind":"{}List","metadata":{{"resourceVersion":"{}"}},"items":["#,
        resource.api_version(),
        resource.kind,
        list.resource_version
    );
    let length: usize = list
        .objects
        .iter()
        .map(|object| object.json().len() + 1)
        .sum();
    let mut json = Vec::with_capacity(head.len() + length + 2);
    json.extend_from_slice(head.as_bytes());
    for (index, object) in list.objects.iter().map(Object::json).enumerate() {
        if index > 0 {
            json.push(b',');
        }
        json.extend_from_slice(object);
    }
    json.extend_from_slice(b"]}");
    json_response(StatusCode::OK, json)
}
