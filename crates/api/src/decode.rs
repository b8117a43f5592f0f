//! From JSON to a type, as a Kubernetes API reads it: null is absent, what the type does not have is told by its path, and
//! so is what has the wrong shape.

use serde::de::DeserializeOwned;
use serde_ignored::Path;
use serde_json::Value;

/// A decoded object and the paths of what it left behind.
pub(crate) struct Decoded<T> {
    pub(crate) object: T,
    /// As strict validation words them: `spec.template.spec.containers[0].imagePort`.
    pub(crate) unknown: Vec<String>,
}

/// Decodes `value`; the error names the path of what does not fit.
pub(crate) fn decode<T: DeserializeOwned>(value: &Value) -> Result<Decoded<T>, String> {
    let value = without_nulls(value);
    let mut unknown = Vec::new();
    let mut track = serde_path_to_error::Track::new();
    let deserializer = serde_path_to_error::Deserializer::new(value, &mut track);
    match serde_ignored::deserialize(deserializer, |path| unknown.push(written(&path))) {
        Ok(object) => Ok(Decoded { object, unknown }),
        Err(error) => match track.path().to_string().as_str() {
            "." => Err(error.to_string()),
            path => Err(format!("{path}: {error}")),
        },
    }
}

/// Go reads null as the zero value, and YAML makes a null of `env:` with nothing behind it.
pub(crate) fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key.clone(), without_nulls(value)))
            .collect(),
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

/// Kubernetes writes an index in brackets, Serde as one more part.
fn written(path: &Path<'_>) -> String {
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", written(parent)),
        Path::Map { parent, key } => match written(parent) {
            parent if parent.is_empty() => key.clone(),
            parent => format!("{parent}.{key}"),
        },
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => written(parent),
    }
}
