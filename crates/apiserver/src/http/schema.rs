//! `OpenAPI` schemas of the kinds that the API serves.

use api::Resource;
use serde_json::{Map, Value, json};

use super::schema_table::{BARE, TYPES};

/// Schemas of some kinds and of all that is in them, by name.
pub(super) fn of(resources: &[&Resource]) -> Map<String, Value> {
    let mut schemas: Map<String, Value> = TYPES
        .iter()
        .map(|(name, description, fields)| {
            let fields: Map<String, Value> = fields
                .iter()
                .map(|(field, kind, description)| ((*field).to_owned(), typed(kind, description)))
                .collect();
            let schema =
                json!({"type": "object", "description": description, "properties": fields});
            (reference_name(name), schema)
        })
        .collect();
    for resource in resources {
        schemas.insert(kind_name(resource), kind(resource));
    }
    schemas
}

/// Name of the schema of a kind.
pub(super) fn kind_name(resource: &Resource) -> String {
    let group = match resource.group {
        "" => "core",
        group => group,
    };
    let reversed: Vec<&str> = group.split('.').rev().collect();
    format!(
        "{}.{}.{}",
        reversed.join("."),
        resource.version,
        resource.kind
    )
}

fn kind(resource: &Resource) -> Value {
    let mut fields = json!({
        "apiVersion": typed("string", "Version of the schema of this object."),
        "kind": typed("string", "Kind of this object."),
        "metadata": typed("ObjectMeta", "Name, labels, annotations and what the server keeps of the object."),
    });
    for (field, description) in [("Spec", "What is asked for."), ("Status", "What is.")] {
        let name = format!("{}{field}", resource.kind);
        if TYPES.iter().any(|(known, ..)| *known == name) {
            fields[field.to_lowercase()] = typed(&name, description);
        }
    }
    for (field, kind, description) in bare(resource).map_or(&[][..], |it| it.2) {
        fields[field] = typed(kind, description);
    }
    json!({
        "type": "object",
        "description": describe(resource),
        "properties": fields,
        "x-kubernetes-group-version-kind": [
            {"group": resource.group, "version": resource.version, "kind": resource.kind},
        ],
    })
}

fn bare(resource: &Resource) -> Option<&'static super::schema_table::Type> {
    let mut bare = BARE.iter();
    bare.find(|it| resource.group.is_empty() && it.0 == resource.kind)
}

fn describe(resource: &Resource) -> &'static str {
    match (resource.group, resource.kind) {
        ("serving.knative.dev", "Service") => "A function: what to run and how traffic gets to it.",
        ("serving.knative.dev", "Configuration") => {
            "The wanted state of what runs; every change makes a Revision."
        }
        ("serving.knative.dev", "Revision") => "One unchangeable state of what runs.",
        ("serving.knative.dev", "Route") => {
            "Which Revisions get which share of the traffic of a host."
        }
        ("", "Namespace") => "What other objects are in.",
        _ => bare(resource).map_or("", |it| it.1),
    }
}

fn typed(kind: &str, description: &str) -> Value {
    let mut schema = match kind {
        "string" | "integer" | "boolean" => json!({"type": kind}),
        "date-time" => json!({"type": "string", "format": "date-time"}),
        "map" => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        "port" => json!({"x-kubernetes-int-or-string": true}),
        "any" => json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
        _ => match kind.strip_prefix("[]") {
            Some(item) => json!({"type": "array", "items": typed(item, "")}),
            // A reference has no room for a description beside it (OpenAPI 3.0).
            None => {
                json!({"allOf": [{"$ref": format!("#/components/schemas/{}", reference_name(kind))}]})
            }
        },
    };
    if !description.is_empty() {
        schema["description"] = description.into();
    }
    schema
}

fn reference_name(name: &str) -> String {
    format!("dev.knative.serving.v1.{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An object with something in every field of a schema.
    fn filled(schemas: &Map<String, Value>, schema: &Value) -> Value {
        if let Some(reference) = schema["allOf"][0]["$ref"]
            .as_str()
            .or(schema["$ref"].as_str())
        {
            let name = reference.rsplit('/').next().unwrap();
            return filled(schemas, &schemas[name]);
        }
        match (schema["type"].as_str(), schema["format"].as_str()) {
            (_, Some("date-time")) => json!("2026-01-02T03:04:05Z"),
            (Some("string"), _) => json!("a"),
            (Some("integer") | None, _) => json!(1),
            (Some("boolean"), _) => json!(true),
            (Some("array"), _) => json!([filled(schemas, &schema["items"])]),
            _ => {
                let fields = schema["properties"].as_object().into_iter().flatten();
                fields
                    .map(|(field, schema)| (field.clone(), filled(schemas, schema)))
                    .collect()
            }
        }
    }

    #[test]
    fn every_field_of_a_kind_without_spec_is_one_of_the_type() {
        for resource in [&api::resource::CONFIG_MAPS, &api::resource::SECRETS] {
            let schemas = of(&[resource]);
            let mut object = filled(&schemas, &schemas[&kind_name(resource)]);
            object["apiVersion"] = resource.api_version().into();
            object["kind"] = resource.kind.into();
            for field in ["data", "immutable"] {
                assert!(!object[field].is_null(), "{}: {field}", resource.kind);
            }
            assert_eq!(api::unknown_fields(resource, &object), [""; 0]);
        }
    }

    #[test]
    fn every_field_of_a_schema_is_one_of_the_type() {
        let resources: Vec<&Resource> = api::kinds().iter().collect();
        let schemas = of(&resources);
        for resource in resources {
            let mut object = filled(&schemas, &schemas[&kind_name(resource)]);
            object["apiVersion"] = resource.api_version().into();
            object["kind"] = resource.kind.into();
            assert_eq!(
                api::unknown_fields(resource, &object),
                [""; 0],
                "{}",
                resource.kind
            );
            object["nonsense"] = 1.into();
            let unknown = api::unknown_fields(resource, &object);
            assert_eq!(unknown, ["nonsense"], "{}", resource.kind);
        }
    }
}
