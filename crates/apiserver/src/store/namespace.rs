//! What the store knows of namespaces: their phase, that what holds them is in their spec, and that nothing new comes into one
//! that is not there or on its way out (`k8s.io/kubernetes/pkg/registry/core/namespace`,
//! `k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle`).
//!
//! The last is decided here because only the writer sees all writes in their order: an object cannot slip into a namespace after
//! that was found empty.

use serde_json::{Value, json};

use super::{Change, Error, Key, Object};

const RESOURCE: &str = "namespaces";

/// The phase of a namespace that can be used.
pub(super) const ACTIVE: &str = "Active";
/// The phase of one that is being deleted.
pub(super) const TERMINATING: &str = "Terminating";

/// Whether this is the key of a namespace.
pub(super) fn is(key: &Key) -> bool {
    key.resource() == RESOURCE
}

/// Whether something has to let go of a namespace before it is removed.
pub(super) fn is_held(namespace: &Value) -> bool {
    namespace["spec"]["finalizers"]
        .as_array()
        .is_some_and(|finalizers| !finalizers.is_empty())
}

pub(super) fn set_phase(namespace: &mut Value, phase: &str) {
    if !namespace["status"].is_object() {
        namespace["status"] = json!({});
    }
    namespace["status"]["phase"] = phase.into();
}

/// Whether a change finds the namespace that it needs.
pub(super) fn check(
    key: &Key,
    change: &Change,
    find: impl Fn(&Key) -> Option<Object>,
) -> Result<(), Error> {
    if !matches!(change, Change::CreateWithin(_)) || key.namespace().is_empty() {
        return Ok(());
    }
    let namespace = Key::new(RESOURCE, "", key.namespace()).and_then(|key| find(&key));
    match namespace {
        None => Err(Error::NoNamespace(key.clone())),
        Some(namespace) if !namespace.value()["metadata"]["deletionTimestamp"].is_null() => {
            Err(Error::NamespaceTerminating(key.clone()))
        }
        Some(_) => Ok(()),
    }
}
