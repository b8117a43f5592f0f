//! `ConfigMap` and Secret: values and files that functions take from outside their image.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Bytes;
use crate::meta::{ObjectMeta, StringMap};

/// Most bytes that all values of one object may have together (`k8s.io/api/core/v1`, `MaxSecretSize`).
pub const MAX_BYTES: usize = 1 << 20;

/// Values that may be known.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigMap {
    /// `v1`.
    pub api_version: String,
    /// `ConfigMap`.
    pub kind: String,
    /// Metadata.
    pub metadata: ObjectMeta,
    /// Texts by key.
    #[serde(skip_serializing_if = "StringMap::is_empty")]
    pub data: StringMap,
    /// Bytes by key; no key is here and in `data`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub binary_data: BTreeMap<String, Bytes>,
    /// Whether all this never changes again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub immutable: Option<bool>,
}

/// Values that may not be known.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Secret {
    /// `v1`.
    pub api_version: String,
    /// `Secret`.
    pub kind: String,
    /// Metadata.
    pub metadata: ObjectMeta,
    /// Bytes by key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, Bytes>,
    /// Texts by key, put into `data` when the object is written. Never read back.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub string_data: BTreeMap<String, SecretText>,
    /// What it is for; defaulted to `Opaque`.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub secret_type: String,
    /// Whether all this never changes again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub immutable: Option<bool>,
}

/// A text that is not shown when it is printed.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretText(pub String);

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}
