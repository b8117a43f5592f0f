//! A container's environment.

use serde::{Deserialize, Serialize};

/// One environment variable.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvVar {
    /// Its name.
    pub name: String,
    /// Its value, if written out. `$(NAME)` is replaced by the value of a variable that comes before it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// Where its value comes from, if not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_from: Option<EnvVarSource>,
}

/// Where a variable's value comes from. One of the two.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvVarSource {
    /// A key of a `ConfigMap`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeySelector>,
    /// A key of a Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeySelector>,
}

/// One key of an object in the same namespace.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeySelector {
    /// Name of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The key.
    pub key: String,
    /// Whether it may be missing: then the variable is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// An object all of whose keys become variables.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvFromSource {
    /// Put before each key.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// A `ConfigMap`, or else a Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<EnvSourceReference>,
    /// A Secret, or else a `ConfigMap`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<EnvSourceReference>,
}

/// An object in the same namespace.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EnvSourceReference {
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Whether it may be missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}
