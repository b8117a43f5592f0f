//! `functions.json`: which functions are deployed, and how many of each.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Why a file names no functions.
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
    /// It is something else.
    #[error("{} is no list of functions", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Where it is wrong.
        source: serde_json::Error,
    },
    /// There is nothing to deploy.
    #[error("{} has no function to deploy", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// Functions of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Function {
    /// What their names begin with.
    pub name: String,
    /// The manifest, in the folder of manifests.
    pub file: PathBuf,
    /// How many.
    #[serde(default)]
    pub count: u32,
    /// Whether they begin a workflow of events.
    #[serde(default)]
    pub eventing: bool,
    /// By which events of its end are told apart.
    #[serde(default)]
    pub matchers: Option<BTreeMap<String, String>>,
    /// What deploys such a workflow.
    #[serde(default)]
    pub apply_script: Option<String>,
}

#[derive(Deserialize)]
struct Functions {
    functions: Vec<Function>,
}

/// Reads such a file.
pub fn read(path: &Path) -> Result<Vec<Function>, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let Functions { functions } = serde_json::from_str(&text).map_err(|source| Error::Form {
        path: path.to_owned(),
        source,
    })?;
    if functions.iter().all(|function| function.count == 0) {
        return Err(Error::Empty {
            path: path.to_owned(),
        });
    }
    Ok(functions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_this_repository_is_that_of_the_original() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tools/deployer/functions.json"
        );
        let functions = read(Path::new(path)).unwrap();
        let counts: Vec<_> = functions
            .iter()
            .map(|it| (&*it.name, it.file.to_string_lossy(), it.count))
            .collect();
        assert_eq!(
            counts,
            [
                ("helloworld", "helloworld.yaml".into(), 1),
                ("pyaes", "pyaes.yaml".into(), 2),
                ("rnn-serving", "rnn_serving.yaml".into(), 3),
            ]
        );
    }

    #[test]
    fn a_list_that_is_wrong_is_told_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.json");
        for (text, expected) in [
            ("[]", "is no list of functions"),
            (
                "{\"functions\": [{\"name\": \"a\"}]}",
                "is no list of functions",
            ),
            ("{\"functions\": []}", "has no function to deploy"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.ends_with(expected), "{error}");
        }
    }
}
