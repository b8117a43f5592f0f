//! Field selectors: `field=value`, `==` or `!=`, joined by commas (`k8s.io/apimachinery/pkg/fields/selector.go`).

use std::cell::OnceCell;

use api::Resource;
use serde_json::Value;

use crate::store::Object;

/// What fields must be like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FieldSelector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    path: Vec<String>,
    value: String,
    equal: bool,
}

/// Why a text is no field selector of a resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("invalid selector: {text:?}; can't understand {term:?}")]
    Term { text: String, term: String },
    #[error("field label not supported: {0}")]
    Field(String),
}

/// What else than by name and namespace objects can be selected by (`k8s.io/kubernetes/pkg/apis/core/v1/conversion.go`).
/// `kubectl describe` finds the events of an object so.
fn fields(resource: &Resource) -> &'static [&'static str] {
    match (resource.group, resource.kind) {
        ("", "Event") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        ("", "Pod") => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.phase",
            "status.podIP",
        ],
        ("", "Namespace") => &["status.phase"],
        ("", "Service") => &["spec.clusterIP", "spec.type"],
        _ => &[],
    }
}

impl FieldSelector {
    /// Whether it lets everything through.
    pub(super) fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn parse(text: &str, resource: &Resource) -> Result<Self, Error> {
        let terms = text.split(',').filter(|term| !term.is_empty());
        let requirement = |term: &str| {
            let (field, value, equal) = if let Some((field, value)) = term.split_once("!=") {
                (field, value, false)
            } else if let Some((field, value)) = term.split_once("==") {
                (field, value, true)
            } else if let Some((field, value)) = term.split_once('=') {
                (field, value, true)
            } else {
                return Err(Error::Term {
                    text: text.into(),
                    term: term.into(),
                });
            };
            let known = match field {
                "metadata.name" => true,
                "metadata.namespace" => resource.namespaced,
                _ => fields(resource).contains(&field),
            };
            if !known {
                return Err(Error::Field(field.into()));
            }
            Ok(Requirement {
                path: field.split('.').map(Into::into).collect(),
                value: value.into(),
                equal,
            })
        };
        terms.map(requirement).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn matches(&self, object: &Object) -> bool {
        // Parsed once, and only for fields that are looked for inside.
        let parsed = OnceCell::new();
        let value = || parsed.get_or_init(|| object.value());
        self.0.iter().all(|requirement| {
            let path: Vec<&str> = requirement.path.iter().map(String::as_str).collect();
            let found = match path.as_slice() {
                ["metadata", "name"] => object.key().name() == requirement.value,
                ["metadata", "namespace"] => object.key().namespace() == requirement.value,
                // A word for the component in an object.
                ["source"] => text(value(), &["source", "component"]) == requirement.value,
                path => text(value(), path) == requirement.value,
            };
            found == requirement.equal
        })
    }
}

/// A text field; empty where it is missing.
fn text(object: &Value, path: &[&str]) -> String {
    path.iter()
        .try_fold(object, |value, field| value.get(field))
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use api::resource::SERVICES;
    use serde_json::json;

    use super::*;
    use crate::store::Key;

    #[test]
    fn name_and_namespace_select() {
        let services = &SERVICES;
        let key = Key::new("services.serving.knative.dev", "default", "a").unwrap();
        let object = json!({"metadata": {"resourceVersion": "1"}}).to_string();
        let object = Object::from_json(key, object).unwrap();
        let cases = [
            ("", true),
            ("metadata.name=a", true),
            ("metadata.name==a", true),
            ("metadata.name=b", false),
            ("metadata.name!=b", true),
            ("metadata.name=a,metadata.namespace=default", true),
            ("metadata.name=a,metadata.namespace!=default", false),
        ];
        for (text, selected) in cases {
            let selector = FieldSelector::parse(text, services).unwrap();
            assert_eq!(selector.matches(&object), selected, "{text}");
        }
    }

    #[test]
    fn unknown_fields_and_broken_terms_are_refused() {
        let services = &SERVICES;
        let refused = |text| {
            FieldSelector::parse(text, services)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            refused("spec.size=1"),
            "field label not supported: spec.size"
        );
        assert_eq!(
            refused("metadata.name"),
            "invalid selector: \"metadata.name\"; can't understand \"metadata.name\""
        );
        assert_eq!(
            refused("involvedObject.name=a"),
            "field label not supported: involvedObject.name"
        );
    }
}
