//! A function's manifest, and what is made of it for one of many.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

/// Instances are wanted as soon as there is more than this at once on one: what the original asks `kn` for.
const TARGET: &str = "autoscaling.knative.dev/target";

/// Why a file is no manifest of a function.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is no YAML.
    #[error("{} is not YAML", path.display())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// Where it is wrong.
        source: serde_yaml_ng::Error,
    },
    /// It has something else in it.
    #[error("{} is not one Service of serving.knative.dev/v1", path.display())]
    NoService {
        /// The file.
        path: PathBuf,
    },
}

/// The manifest in `file`, for the function `name`.
pub(super) fn read(file: &Path, name: &str, namespace: &str) -> Result<Value, Error> {
    let path = || file.to_owned();
    let text = std::fs::read_to_string(file).map_err(|source| Error::Read {
        path: path(),
        source,
    })?;
    let mut objects = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(&text) {
        let object = Value::deserialize(document).map_err(|source| Error::Yaml {
            path: path(),
            source,
        })?;
        if !object.is_null() {
            objects.push(object);
        }
    }
    let [service] = objects.as_mut_slice() else {
        return Err(Error::NoService { path: path() });
    };
    complete(service, name, namespace).ok_or_else(|| Error::NoService { path: path() })?;
    Ok(service.take())
}

/// Gives it its name, its namespace and its target. Nothing if it is no service.
fn complete(service: &mut Value, name: &str, namespace: &str) -> Option<()> {
    let is_service =
        service["kind"] == "Service" && service["apiVersion"] == "serving.knative.dev/v1";
    if !is_service {
        return None;
    }
    let root = service.as_object_mut()?;
    let metadata = section(root, "metadata")?;
    metadata.insert("name".to_owned(), json!(name));
    metadata.insert("namespace".to_owned(), json!(namespace));
    let template = section(section(root, "spec")?, "template")?;
    let annotations = section(section(template, "metadata")?, "annotations")?;
    annotations.insert(TARGET.to_owned(), json!("1"));
    Some(())
}

type Object = serde_json::Map<String, Value>;

/// A part of an object, which is made if it is not there.
fn section<'a>(object: &'a mut Object, name: &str) -> Option<&'a mut Object> {
    let part = object.entry(name).or_insert(Value::Null);
    if part.is_null() {
        *part = json!({});
    }
    part.as_object_mut()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Value, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f.yaml");
        std::fs::write(&file, text).unwrap();
        let service = read(&file, "f-1", "team");
        service.map_err(|error| error.to_string().replace(&*file.to_string_lossy(), "F"))
    }

    #[test]
    fn a_manifest_gets_its_name_namespace_and_target_and_keeps_the_rest() {
        let text = "# a comment\napiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {namespace: default}\n\
            spec:\n  template:\n    metadata: {annotations: {a: b}}\n    spec: {containers: [{image: x}]}\n";
        let expected = json!({
            "apiVersion": "serving.knative.dev/v1", "kind": "Service",
            "metadata": {"name": "f-1", "namespace": "team"},
            "spec": {"template": {
                "metadata": {"annotations": {"a": "b", "autoscaling.knative.dev/target": "1"}},
                "spec": {"containers": [{"image": "x"}]},
            }},
        });
        assert_eq!(read_text(text).unwrap(), expected);
    }

    #[test]
    fn what_is_no_service_is_refused_by_the_name_of_its_file() {
        for text in [
            "",
            "kind: Service\napiVersion: v1\n",
            "[1]",
            "kind: Service\napiVersion: serving.knative.dev/v1\nspec: 3\n",
            "kind: Service\napiVersion: serving.knative.dev/v1\n---\nkind: Secret\n",
        ] {
            assert_eq!(
                read_text(text).unwrap_err(),
                "F is not one Service of serving.knative.dev/v1",
                "{text}"
            );
        }
        assert_eq!(read_text("a: [").unwrap_err(), "F is not YAML");
    }
}
