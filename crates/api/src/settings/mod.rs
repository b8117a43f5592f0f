//! What the `ConfigMaps` of the namespace `knative-serving` set: read, bounded and refused in upstream's words.

pub mod autoscaler;
pub mod defaults;
mod entries;

pub use self::autoscaler::Autoscaler;
pub use self::defaults::Defaults;

use crate::core::ConfigMap;

/// The namespace that they are in.
pub const NAMESPACE: &str = "knative-serving";

/// All settings that hold for what is admitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Of `config-autoscaler`.
    pub autoscaler: Autoscaler,
    /// Of `config-defaults`.
    pub defaults: Defaults,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            autoscaler: Autoscaler::unset(),
            defaults: Defaults::default(),
        }
    }
}

/// Why data of a `ConfigMap` cannot be used: names key, value and bound.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// Whether the platform can work with this `ConfigMap`, if it is one of those that it reads.
pub fn check(map: &ConfigMap) -> Result<(), Error> {
    if map.metadata.namespace != NAMESPACE {
        return Ok(());
    }
    match map.metadata.name.as_str() {
        autoscaler::NAME => Autoscaler::unset().with(&map.data).map(drop),
        defaults::NAME => Defaults::read(&map.data).map(drop),
        _ => Ok(()),
    }
}
