//! Reading one object or many.

use api::Resource;
use axum::response::Response;
use http::{StatusCode, request::Parts};
use serde_json::json;

use super::{
    Answer, Config,
    accept::{self, Form},
    error::Failure,
    json_response,
    page::{self, Page},
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
    let (list, page) = page::cut(list, &options);
    if form == Form::Table {
        let mut table = table::of(
            resource,
            &list.objects,
            list.resource_version,
            options.include_object,
        );
        page.describe(&mut table["metadata"]);
        return Ok(value_response(StatusCode::OK, &table));
    }
    Ok(encode(resource, &list, &page))
}

/// The objects that a list is of.
pub(super) fn select(
    config: &Config,
    resource: &Resource,
    namespace: Option<&str>,
    options: &ListOptions,
) -> Result<List, Failure> {
    let name = resource.qualified();
    let past = match (&options.resume, options.resource_version) {
        (Some(resume), _) => Some(resume.resource_version),
        (None, Some(wanted)) if options.exact => Some(wanted),
        _ => None,
    };
    let list = match past {
        Some(at) => config.store.list_at(&name, namespace, at),
        None => Ok(config.store.list(&name, namespace)),
    };
    let mut list = list.map_err(|error| match (error, &options.resume) {
        (store::Error::Expired { .. }, Some(_)) => page::expired(),
        (error, _) => Failure::of_store(resource, error),
    })?;
    let current = list.resource_version;
    if let Some(wanted) = options.resource_version
        && wanted > current
    {
        return Err(Failure::of_store(
            resource,
            store::Error::Future { wanted, current },
        ));
    }
    list.objects
        .retain(|object| options.labels.matches(object.labels()) && options.fields.matches(object));
    Ok(list)
}

/// Puts stored texts together without reading them.
pub(super) fn encode(resource: &Resource, list: &List, page: &Page) -> Response {
    let mut metadata = json!({"resourceVersion": list.resource_version.to_string()});
    page.describe(&mut metadata);
    let head = format!(
        r#"{{"apiVersion":"{}","kind":"{}List","metadata":{metadata},"items":["#,
        resource.api_version(),
        resource.kind,
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
