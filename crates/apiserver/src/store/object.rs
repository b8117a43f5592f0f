//! A stored object: its JSON text, and the few facts about it that reads need without parsing.

use std::{collections::BTreeMap, fmt, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::Key;

/// Levels of lists and objects that a stored object has at most. Serde reads 127 of JSON, and some readers wrap objects in a few
/// more, a list or an event of a watch.
pub(crate) const DEPTH: usize = 100;

/// Whether a value has so many levels of lists and objects at most.
pub(crate) fn is_within(value: &Value, depth: usize) -> bool {
    let below = |value: &Value| is_within(value, depth - 1);
    match value {
        Value::Array(items) => depth > 0 && items.iter().all(below),
        Value::Object(fields) => depth > 0 && fields.values().all(below),
        _ => true,
    }
}

/// Labels of an object, shared between the object and the watch log.
pub type Labels = Arc<BTreeMap<String, String>>;

/// One version of one object. Cheap to clone, never changes.
///
/// Objects are kept as text because a parsed [`Value`] takes about ten times the memory, and because lists and watches
/// then send what is stored without encoding it again.
#[derive(Clone)]
pub struct Object(Arc<Inner>);

struct Inner {
    key: Key,
    resource_version: u64,
    labels: Labels,
    json: Bytes,
}

#[derive(Deserialize)]
struct Head {
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    resource_version: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

impl Object {
    /// Takes over stored text. Fails if it is not an object with a numeric `metadata.resourceVersion`.
    pub(crate) fn from_json(key: Key, json: impl Into<Bytes>) -> Result<Self, serde_json::Error> {
        let json = json.into();
        let head: Head = serde_json::from_slice(&json)?;
        let resource_version = head
            .metadata
            .resource_version
            .parse()
            .map_err(serde::de::Error::custom)?;
        Ok(Self(Arc::new(Inner {
            key,
            resource_version,
            labels: Arc::new(head.metadata.labels.unwrap_or_default()),
            json,
        })))
    }

    /// Encodes `value`, whose `metadata.resourceVersion` is already set.
    pub(super) fn from_value(key: Key, value: &Value) -> Result<Self, serde_json::Error> {
        // Not with the room that was left for growing: it is kept as long as the object.
        Self::from_json(key, serde_json::to_vec(value)?.into_boxed_slice())
    }

    /// Where the object is.
    pub fn key(&self) -> &Key {
        &self.0.key
    }

    /// `metadata.resourceVersion`.
    pub fn resource_version(&self) -> u64 {
        self.0.resource_version
    }

    /// `metadata.labels`; empty where there are none.
    pub fn labels(&self) -> &Labels {
        &self.0.labels
    }

    /// The object as JSON text, with `apiVersion` and `kind`.
    pub fn json(&self) -> &Bytes {
        &self.0.json
    }

    /// The object, parsed.
    pub fn value(&self) -> Value {
        // What is stored is no deeper than can be parsed, see DEPTH; Null would be a bug that the caller sees as a missing field.
        serde_json::from_slice(&self.0.json).unwrap_or_default()
    }

    /// The object as `T`.
    ///
    /// # Errors
    /// When the stored text is not a `T`.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.0.json)
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.0.key, self.0.resource_version)
    }
}
