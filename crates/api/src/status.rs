//! `Status`: how the API says no (`k8s.io/apimachinery`, `meta/v1`).

use serde::{Deserialize, Serialize};

use crate::resource::Resource;

/// The answer to a request that was not fulfilled, or of a deletion that was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// `Status`.
    pub kind: String,
    /// `v1`.
    pub api_version: String,
    /// Empty.
    #[serde(default)]
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// `Success` or `Failure`.
    pub status: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// For programs: `NotFound`, `Conflict`, …
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Which object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Box<StatusDetails>>,
    /// HTTP status code.
    pub code: u16,
}

/// Which object a [`Status`] speaks of.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatusDetails {
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its API group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The plural of its kind.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Its uid.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// What is wrong with it, field by field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<StatusCause>,
}

/// One thing that is wrong with an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusCause {
    /// For programs: `FieldValueInvalid`, …
    pub reason: String,
    /// For people.
    pub message: String,
    /// Path of the field.
    pub field: String,
}

impl Status {
    /// A refusal.
    pub fn failure(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Self {
            kind: "Status".to_owned(),
            api_version: "v1".to_owned(),
            metadata: serde_json::Map::new(),
            status: "Failure".to_owned(),
            message: message.into(),
            reason: reason.to_owned(),
            details: None,
            code,
        }
    }

    /// What was asked for is done.
    pub fn success() -> Self {
        Self {
            status: "Success".to_owned(),
            ..Self::failure(200, "", "")
        }
    }

    /// Adds which object it is about.
    pub fn of(mut self, resource: &Resource, name: &str) -> Self {
        self.details = Some(Box::new(StatusDetails {
            name: name.to_owned(),
            group: resource.group.to_owned(),
            kind: resource.plural.to_owned(),
            uid: String::new(),
            causes: Vec::new(),
        }));
        self
    }

    /// 422: fields have values that they may not have. Here, and only here, the details name the kind itself.
    pub fn invalid(resource: &Resource, name: &str, what: &str, causes: Vec<StatusCause>) -> Self {
        let kind = match resource.group {
            "" => resource.kind.to_owned(),
            group => format!("{}.{group}", resource.kind),
        };
        let message = format!("{kind} {name:?} is invalid: {what}");
        let details = StatusDetails {
            name: name.to_owned(),
            group: resource.group.to_owned(),
            kind: resource.kind.to_owned(),
            uid: String::new(),
            causes,
        };
        Self {
            details: Some(Box::new(details)),
            ..Self::failure(422, "Invalid", message)
        }
    }

    /// 404: there is no such object.
    pub fn not_found(resource: &Resource, name: &str) -> Self {
        Self::failure(
            404,
            "NotFound",
            format!("{} {name:?} not found", resource.qualified()),
        )
        .of(resource, name)
    }

    /// 409: there is one already.
    pub fn already_exists(resource: &Resource, name: &str) -> Self {
        Self::failure(
            409,
            "AlreadyExists",
            format!("{} {name:?} already exists", resource.qualified()),
        )
        .of(resource, name)
    }

    /// 409: somebody else was faster.
    pub fn conflict(resource: &Resource, name: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: the object has been modified; please apply your changes to \
             the latest version and try again",
            resource.qualified()
        );
        Self::failure(409, "Conflict", message).of(resource, name)
    }

    /// 400: the request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::failure(400, "BadRequest", message)
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}
