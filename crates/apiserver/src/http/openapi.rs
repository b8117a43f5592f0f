//! As much `OpenAPI` as `kubectl` asks for: that the server checks fields itself (`fieldValidation`), so that nobody needs to do
//! it before, and the schemas that `kubectl explain` shows.

use http::{Method, StatusCode, request::Parts};
use serde_json::{Map, Value, json};

use super::{Answer, error::Failure, schema, value_response};

/// The extension that says of which kinds something is.
pub(super) const KIND: &str = "x-kubernetes-group-version-kind";
/// Those of the operation PATCH, as far as they are looked for.
pub(super) const PATCH_PARAMETERS: [&str; 3] = ["dryRun", "fieldManager", "fieldValidation"];

/// `document` is what stands behind `/openapi/v3`.
pub(super) fn get(parts: &Parts, document: &str) -> Answer {
    if parts.method != Method::GET && parts.method != Method::HEAD {
        return Err(Failure::method_not_allowed());
    }
    let mut documents: Vec<(String, Vec<&api::Resource>)> = Vec::new();
    for resource in api::kinds() {
        let path = path_of_version(resource);
        match documents.iter_mut().find(|(known, _)| *known == path) {
            Some((_, resources)) => resources.push(resource),
            None => documents.push((path, vec![resource])),
        }
    }
    if document.is_empty() || document == "/" {
        let paths: Map<String, Value> = documents
            .into_iter()
            .map(|(path, _)| {
                let url = json!({"serverRelativeURL": format!("/openapi/v3/{path}")});
                (path, url)
            })
            .collect();
        return Ok(value_response(StatusCode::OK, &json!({"paths": paths})));
    }
    let (_, resources) = documents
        .into_iter()
        .find(|(path, _)| document.strip_prefix('/') == Some(path))
        .ok_or_else(Failure::no_path)?;
    let schemas = schema::of(&resources);
    let paths: Map<String, Value> = resources.into_iter().map(operations).collect();
    let document = json!({
        "openapi": "3.0.0",
        "info": {"title": "vhive", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
        "components": {"schemas": schemas},
    });
    Ok(value_response(StatusCode::OK, &document))
}

fn path_of_version(resource: &api::Resource) -> String {
    match resource.group {
        "" => format!("api/{}", resource.version),
        group => format!("apis/{group}/{}", resource.version),
    }
}

/// The path of an object, with its parameters.
pub(super) fn path_of_object(resource: &api::Resource) -> String {
    let namespace = if resource.namespaced {
        "namespaces/{namespace}/"
    } else {
        ""
    };
    let version = path_of_version(resource);
    format!("/{version}/{namespace}{}/{{name}}", resource.plural)
}

/// The path of an object, with the one operation and the parameters that are looked for.
fn operations(resource: &api::Resource) -> (String, Value) {
    let parameters = PATCH_PARAMETERS.map(|name| {
        json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}})
    });
    let operation = json!({
        "x-kubernetes-action": "patch",
        KIND: {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "parameters": parameters,
        "responses": {"200": {"description": "OK"}},
    });
    (path_of_object(resource), json!({"patch": operation}))
}
