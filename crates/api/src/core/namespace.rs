//! `Namespace`: what other objects are in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::meta::ObjectMeta;

/// Label with the name of the namespace, which only the server sets: selectors of labels find a namespace by its name with it.
pub const NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// Holds a namespace until nothing is in it any more.
pub const FINALIZER: &str = "kubernetes";

/// What other objects are in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Namespace {
    /// `v1`.
    pub api_version: String,
    /// `Namespace`.
    pub kind: String,
    /// Metadata.
    pub metadata: ObjectMeta,
    /// What holds it.
    pub spec: NamespaceSpec,
    /// `phase`: `Active`, or `Terminating` when it is being deleted.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub status: BTreeMap<String, Value>,
}

/// What holds a namespace.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NamespaceSpec {
    /// Who must let go before it is removed, beside those of the metadata.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub finalizers: Vec<String>,
}

impl Namespace {
    /// Sets what the server says of a namespace; `old` is what it replaces. What holds it is not changed by a write of it
    /// (`pkg/registry/core/namespace/strategy.go`).
    pub fn complete(&mut self, old: Option<&Self>) {
        let label = self.metadata.name.clone();
        self.metadata.labels.insert(NAME_LABEL.to_owned(), label);
        match old {
            Some(old) => self.spec = old.spec.clone(),
            // Others could never let go: there is no subresource `finalize` here.
            None => self.spec.finalizers = vec![FINALIZER.to_owned()],
        }
    }
}
