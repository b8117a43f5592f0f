//! `endpoints.json`: the functions that were deployed, one entry for each.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

/// Why a file names no endpoints.
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
    /// It cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is no JSON.
    #[error("{} is not JSON", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where it is wrong.
        source: serde_json::Error,
    },
    /// It is something else than a list.
    #[error("{} is not a list of endpoints", path.display())]
    NoList {
        /// The file.
        path: PathBuf,
    },
    /// An entry is none.
    #[error("entry {entry} of {} is no endpoint", path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// From 1 on.
        entry: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// There is none.
    #[error("{} has no endpoint in it", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// Where a function answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Endpoint {
    /// `NAME.NAMESPACE.DOMAIN`, and a port where it is not the one that the invoker is told.
    pub hostname: String,
    /// Whether it begins a workflow of events, which ends somewhere else.
    #[serde(default)]
    pub eventing: bool,
    /// By which events of its end are told apart.
    #[serde(default)]
    pub matchers: Option<BTreeMap<String, String>>,
}

/// Reads such a file.
pub fn read(path: &Path) -> Result<Vec<Endpoint>, Error> {
    let path = || path.to_owned();
    let text = std::fs::read_to_string(path()).map_err(|source| Error::Read {
        path: path(),
        source,
    })?;
    let value = serde_json::from_str(&text).map_err(|source| Error::Json {
        path: path(),
        source,
    })?;
    let Value::Array(entries) = value else {
        return Err(Error::NoList { path: path() });
    };
    if entries.is_empty() {
        return Err(Error::Empty { path: path() });
    }
    let numbered = (1..).zip(entries);
    let read = numbered.map(|(entry, value)| {
        serde_json::from_value(value).map_err(|source| Error::Entry {
            path: path(),
            entry,
            source,
        })
    });
    read.collect()
}

/// Writes it, to the letter as Go's `json.MarshalIndent(endpoints, "", "\t")` does.
pub fn write(path: &Path, endpoints: &[Endpoint]) -> Result<(), Error> {
    std::fs::write(path, text(endpoints)).map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })
}

/// The file's text. It has no newline at its end.
pub fn text(endpoints: &[Endpoint]) -> String {
    if endpoints.is_empty() {
        // A slice that nothing was appended to is nil in Go.
        return "null".to_owned();
    }
    let entries: Vec<_> = endpoints.iter().map(entry).collect();
    format!("[\n{}\n]", entries.join(",\n"))
}

fn entry(endpoint: &Endpoint) -> String {
    let matchers = match &endpoint.matchers {
        None => "null".to_owned(),
        Some(matchers) if matchers.is_empty() => "{}".to_owned(),
        Some(matchers) => {
            let pairs = matchers.iter();
            let pairs: Vec<_> = pairs
                .map(|(name, value)| format!("\t\t\t{}: {}", quoted(name), quoted(value)))
                .collect();
            format!("{{\n{}\n\t\t}}", pairs.join(",\n"))
        }
    };
    format!(
        "\t{{\n\t\t\"hostname\": {},\n\t\t\"eventing\": {},\n\t\t\"matchers\": {matchers}\n\t}}",
        quoted(&endpoint.hostname),
        endpoint.eventing
    )
}

/// A string as Go's encoder writes it: also what HTML would read, and the two line separators of JavaScript, are escaped.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_what_go_writes() {
        let endpoints = [
            Endpoint {
                hostname: "helloworld-0.default.192.168.1.240.sslip.io".to_owned(),
                ..Endpoint::default()
            },
            Endpoint {
                hostname: "chain-0.default.x".to_owned(),
                eventing: true,
                matchers: Some([("type".to_owned(), "a<b".to_owned())].into()),
            },
        ];
        let expected = "[\n\t{\n\t\t\"hostname\": \"helloworld-0.default.192.168.1.240.sslip.io\",\n\t\t\"eventing\": false,\n\t\t\"matchers\": null\n\t},\n\t{\n\t\t\"hostname\": \"chain-0.default.x\",\n\t\t\"eventing\": true,\n\t\t\"matchers\": {\n\t\t\t\"type\": \"a\\u003cb\"\n\t\t}\n\t}\n]";
        assert_eq!(text(&endpoints), expected);
        assert_eq!(text(&[]), "null");
        let read: Vec<Endpoint> = serde_json::from_str(expected).unwrap();
        assert_eq!(read, endpoints);
    }

    #[test]
    fn a_file_that_is_wrong_is_told_by_its_name_and_entry() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.json");
        let error = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err().to_string();
            error.replace(&*path.to_string_lossy(), "F")
        };
        assert_eq!(error("[{\"hostname\""), "F is not JSON");
        assert_eq!(error("{}"), "F is not a list of endpoints");
        assert_eq!(error("null"), "F is not a list of endpoints");
        assert_eq!(error("[]"), "F has no endpoint in it");
        assert_eq!(
            error("[{\"hostname\": \"a\"}, {\"host\": \"b\"}]"),
            "entry 2 of F is no endpoint"
        );
        let absent = read(&folder.path().join("absent")).unwrap_err();
        assert!(matches!(absent, Error::Read { .. }));
    }
}
