//! `/openapi/v2`, from which a `kubectl` before 1.25 checks what it applies and learns of `--dry-run=server`, and before 1.27 explains.
//!
//! It is the same as `/openapi/v3`, told in the older form, and in Protobuf alone, which those clients ask for.

use api::Resource;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
    request::Parts,
};
use prost::Message;
use serde_json::{Map, Value, json};

use super::{Answer, error::Failure, json_response, openapi, schema};

const MEDIA_TYPE: HeaderValue =
    HeaderValue::from_static("application/com.github.proto-openapi.spec.v2.v1.0+protobuf");

pub(super) fn get(parts: &Parts) -> Answer {
    if parts.method != Method::GET && parts.method != Method::HEAD {
        return Err(Failure::method_not_allowed());
    }
    if !accepts_protobuf(&parts.headers) {
        return Err(Failure::not_acceptable());
    }
    let mut answer = json_response(StatusCode::OK, document(api::kinds()).encode_to_vec());
    answer.headers_mut().insert(CONTENT_TYPE, MEDIA_TYPE);
    Ok(answer)
}

/// `kubectl` asks for `application/com.github.proto-openapi.spec.v2@v1.0+protobuf`, and takes the type as it is written now.
fn accepts_protobuf(headers: &HeaderMap) -> bool {
    let named = headers.get_all(ACCEPT).iter();
    let named: Vec<&str> = named.filter_map(|value| value.to_str().ok()).collect();
    let mut ranges = named.iter().flat_map(|it| it.split(',')).map(str::trim);
    named.is_empty()
        || ranges.any(|range| {
            range.starts_with("application/com.github.proto-openapi.spec.v2")
                || range.starts_with("application/*")
                || range.starts_with("*/*")
        })
}

fn document(resources: &[Resource]) -> Document {
    let schemas = schema::of(&resources.iter().collect::<Vec<_>>());
    Document {
        swagger: "2.0".to_owned(),
        info: Some(Info {
            title: "vhive".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }),
        paths: Some(Paths {
            path: resources.iter().map(path).collect(),
        }),
        definitions: Some(properties(&schemas)),
    }
}

/// As in [`openapi`], the path of an object with the one operation that is looked for.
fn path(resource: &Resource) -> NamedPathItem {
    let parameters = openapi::PATCH_PARAMETERS.iter().map(|name| ParametersItem {
        parameter: Some(Parameter {
            non_body_parameter: Some(NonBodyParameter {
                query: Some(QueryParameter {
                    location: "query".to_owned(),
                    name: (*name).to_owned(),
                    kind: "string".to_owned(),
                    unique_items: true,
                }),
            }),
        }),
    });
    let kind = json!({"group": resource.group, "version": resource.version, "kind": resource.kind});
    NamedPathItem {
        name: openapi::path_of_object(resource),
        value: Some(PathItem {
            patch: Some(Operation {
                parameters: parameters.collect(),
                extensions: vec![extension(openapi::KIND, &kind)],
            }),
        }),
    }
}

fn properties(of: &Map<String, Value>) -> Properties {
    let named = of.iter().map(|(name, schema)| NamedSchema {
        name: name.clone(),
        value: Some(convert(schema)),
    });
    Properties {
        named: named.collect(),
    }
}

/// A schema of `OpenAPI` 3.0, of the forms that [`schema`] makes.
fn convert(schema: &Value) -> Schema {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut converted = Schema {
        description: text(&schema["description"]),
        format: text(&schema["format"]),
        ..Schema::default()
    };
    if let Some(reference) = schema["allOf"][0]["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        converted.reference = format!("#/definitions/{name}");
        return converted;
    }
    if let Some(kind) = schema["type"].as_str() {
        converted.kind = Some(Type {
            value: vec![kind.to_owned()],
        });
    }
    if schema["x-kubernetes-int-or-string"] == true {
        // How Kubernetes itself tells it in this form.
        converted.kind = Some(Type {
            value: vec!["string".to_owned()],
        });
        "int-or-string".clone_into(&mut converted.format);
    }
    if schema["x-kubernetes-preserve-unknown-fields"] == true {
        // Without a type it is any value.
        converted.kind = None;
    }
    if let Some(item) = schema.get("items") {
        converted.items = Some(Items {
            schema: vec![convert(item)],
        });
    }
    if let Some(value) = schema.get("additionalProperties") {
        converted.additional_properties = Some(Box::new(AdditionalProperties {
            schema: Some(Box::new(convert(value))),
        }));
    }
    converted.properties = schema["properties"].as_object().map(properties);
    if let Some(kinds) = schema.get(openapi::KIND) {
        converted.extensions = vec![extension(openapi::KIND, kinds)];
    }
    converted
}

fn extension(name: &str, value: &Value) -> NamedAny {
    NamedAny {
        name: name.to_owned(),
        // JSON is YAML.
        value: Some(Any {
            yaml: value.to_string(),
        }),
    }
}

// From openapiv2/OpenAPIv2.proto of github.com/google/gnostic-models: the fields that are used.

#[derive(Clone, PartialEq, Message)]
struct Document {
    #[prost(string, tag = "1")]
    swagger: String,
    #[prost(message, tag = "2")]
    info: Option<Info>,
    #[prost(message, tag = "8")]
    paths: Option<Paths>,
    /// `Definitions`, which looks like `Properties`.
    #[prost(message, tag = "9")]
    definitions: Option<Properties>,
}

#[derive(Clone, PartialEq, Message)]
struct Info {
    #[prost(string, tag = "1")]
    title: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct Paths {
    #[prost(message, repeated, tag = "2")]
    path: Vec<NamedPathItem>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedPathItem {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, tag = "2")]
    value: Option<PathItem>,
}

#[derive(Clone, PartialEq, Message)]
struct PathItem {
    #[prost(message, tag = "8")]
    patch: Option<Operation>,
}

#[derive(Clone, PartialEq, Message)]
struct Operation {
    #[prost(message, repeated, tag = "8")]
    parameters: Vec<ParametersItem>,
    #[prost(message, repeated, tag = "13")]
    extensions: Vec<NamedAny>,
}

#[derive(Clone, PartialEq, Message)]
struct ParametersItem {
    #[prost(message, tag = "1")]
    parameter: Option<Parameter>,
}

#[derive(Clone, PartialEq, Message)]
struct Parameter {
    #[prost(message, tag = "2")]
    non_body_parameter: Option<NonBodyParameter>,
}

#[derive(Clone, PartialEq, Message)]
struct NonBodyParameter {
    #[prost(message, tag = "3")]
    query: Option<QueryParameter>,
}

#[derive(Clone, PartialEq, Message)]
struct QueryParameter {
    #[prost(string, tag = "2")]
    location: String,
    #[prost(string, tag = "4")]
    name: String,
    #[prost(string, tag = "6")]
    kind: String,
    #[prost(bool, tag = "20")]
    unique_items: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Properties {
    #[prost(message, repeated, tag = "1")]
    named: Vec<NamedSchema>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedSchema {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, tag = "2")]
    value: Option<Schema>,
}

#[derive(Clone, PartialEq, Message)]
struct Schema {
    #[prost(string, tag = "1")]
    reference: String,
    #[prost(string, tag = "2")]
    format: String,
    #[prost(string, tag = "4")]
    description: String,
    #[prost(message, optional, boxed, tag = "21")]
    additional_properties: Option<Box<AdditionalProperties>>,
    #[prost(message, tag = "22")]
    kind: Option<Type>,
    #[prost(message, tag = "23")]
    items: Option<Items>,
    #[prost(message, tag = "25")]
    properties: Option<Properties>,
    #[prost(message, repeated, tag = "31")]
    extensions: Vec<NamedAny>,
}

#[derive(Clone, PartialEq, Message)]
struct AdditionalProperties {
    #[prost(message, optional, boxed, tag = "1")]
    schema: Option<Box<Schema>>,
}

#[derive(Clone, PartialEq, Message)]
struct Type {
    #[prost(string, repeated, tag = "1")]
    value: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Items {
    #[prost(message, repeated, tag = "1")]
    schema: Vec<Schema>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedAny {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, tag = "2")]
    value: Option<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "2")]
    yaml: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find<'a>(properties: &'a Properties, name: &str) -> &'a Schema {
        let mut all = properties.named.iter();
        let found = all.find(|it| it.name == name);
        found.and_then(|it| it.value.as_ref()).unwrap()
    }

    /// Follows field names from a definition, through references and lists.
    fn field<'a>(all: &'a Properties, definition: &str, path: &[&str]) -> &'a Schema {
        let mut schema = find(all, definition);
        for name in path {
            if let Some(items) = &schema.items {
                schema = &items.schema[0];
            }
            if let Some(name) = schema.reference.strip_prefix("#/definitions/") {
                schema = find(all, name);
            }
            schema = find(schema.properties.as_ref().unwrap(), name);
        }
        schema
    }

    #[test]
    fn the_older_form_says_what_the_newer_does() {
        let document = document(api::kinds());
        let all = document.definitions.unwrap();
        let service = "dev.knative.serving.v1.Service";
        let kind = &find(&all, service).extensions[0];
        assert_eq!(kind.name, "x-kubernetes-group-version-kind");
        assert_eq!(
            kind.value.as_ref().unwrap().yaml,
            r#"[{"group":"serving.knative.dev","kind":"Service","version":"v1"}]"#
        );
        let kinds = |path: &[&str]| {
            let kind = field(&all, service, path).kind.clone();
            kind.map_or_else(Vec::new, |it| it.value)
        };
        let template = ["spec", "template", "spec"];
        assert_eq!(
            kinds(&[&template[..], &["timeoutSeconds"]].concat()),
            ["integer"]
        );
        let container = [&template[..], &["containers"]].concat();
        assert_eq!(kinds(&container), ["array"]);
        assert_eq!(kinds(&[&container[..], &["image"]].concat()), ["string"]);
        assert_eq!(
            kinds(&[&container[..], &["securityContext"]].concat()),
            [""; 0]
        );
        let port = [&container[..], &["readinessProbe", "tcpSocket", "port"]].concat();
        assert_eq!(field(&all, service, &port).format, "int-or-string");
        let labels = field(&all, service, &["metadata", "labels"]);
        let value = labels.additional_properties.as_ref().unwrap();
        let value = value.schema.as_ref().unwrap().kind.clone();
        assert_eq!(value.unwrap().value, ["string"]);
    }

    #[test]
    fn who_wants_another_form_is_told_that_there_is_none() {
        for (accept, accepted) in [
            (
                "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
                true,
            ),
            ("application/json, */*", true),
            ("application/json", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            assert_eq!(accepts_protobuf(&headers), accepted, "{accept}");
        }
        assert!(accepts_protobuf(&HeaderMap::new()));
    }

    #[test]
    fn every_kind_can_be_tried_without_being_done() {
        let paths = document(api::kinds()).paths.unwrap().path;
        assert_eq!(paths.len(), api::kinds().len());
        for path in paths {
            let patch = path.value.unwrap().patch.unwrap();
            let names = patch.parameters.iter().map(|it| {
                let body = it.parameter.as_ref()?.non_body_parameter.as_ref()?;
                body.query.as_ref().map(|it| it.name.as_str())
            });
            assert!(
                names.into_iter().any(|it| it == Some("dryRun")),
                "{}",
                path.name
            );
        }
    }
}
