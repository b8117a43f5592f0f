//! An image's configuration: what it wants to be started with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::manifest::{ARCHITECTURE, Error, Manifest, OS, Platform};

/// How the image wants to be run. Empty where it does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// The start of the command line, which arguments do not replace.
    pub entrypoint: Vec<String>,
    /// The rest of it, unless arguments are given.
    pub cmd: Vec<String>,
    /// In the image's order.
    pub env: Vec<(String, String)>,
    /// Absolute; empty is `/`.
    pub workdir: String,
    /// `user`, `uid`, `user:group` or `uid:gid`; empty is root.
    pub user: String,
    /// TCP ports that the image says it listens on, ascending.
    pub exposed_ports: Vec<u16>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// When the image was made, as it says itself (RFC 3339).
    pub created: Option<String>,
}

/// The file itself.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ConfigFile {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<String>,
    pub(crate) architecture: String,
    pub(crate) os: String,
    #[serde(default)]
    pub(crate) config: Option<Execution>,
    pub(crate) rootfs: RootFs,
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "or_null"
    )]
    pub(crate) history: Vec<History>,
}

/// <https://github.com/opencontainers/image-spec/blob/main/config.md>. Docker writes `null` for what
/// is not set.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Execution {
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "or_null")]
    pub(crate) user: String,
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "or_null"
    )]
    pub(crate) exposed_ports: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_null")]
    pub(crate) env: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_null")]
    pub(crate) entrypoint: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_null")]
    pub(crate) cmd: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "or_null")]
    pub(crate) working_dir: String,
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "or_null"
    )]
    pub(crate) labels: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RootFs {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default, deserialize_with = "or_null")]
    pub(crate) diff_ids: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct History {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created_by: Option<String>,
}

fn or_null<'de, D, T>(input: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

/// Reads the configuration that belongs to `manifest`, and refuses one that no guest can run.
pub(crate) fn parse(bytes: &[u8], manifest: &Manifest) -> Result<ConfigFile, Error> {
    let file: ConfigFile = serde_json::from_slice(bytes).map_err(Error::Malformed)?;
    let platform = Platform {
        os: file.os.clone(),
        architecture: file.architecture.clone(),
    };
    if !platform.fits() {
        return Err(Error::Platform {
            found: platform.to_string(),
        });
    }
    if file.rootfs.diff_ids.len() != manifest.layers.len() {
        return Err(Error::LayerCount {
            diff_ids: file.rootfs.diff_ids.len(),
            layers: manifest.layers.len(),
        });
    }
    Ok(file)
}

impl ConfigFile {
    /// A configuration of one layer, made here.
    pub(crate) fn new(config: Execution, diff_id: String, made: &str) -> Self {
        // A time of its own would give the same input another digest on every build.
        let created = Some("1970-01-01T00:00:00Z".to_owned());
        Self {
            created: created.clone(),
            architecture: ARCHITECTURE.to_owned(),
            os: OS.to_owned(),
            config: Some(config),
            rootfs: RootFs {
                kind: "layers".to_owned(),
                diff_ids: vec![diff_id],
            },
            history: vec![History {
                created,
                created_by: Some(made.to_owned()),
            }],
        }
    }

    pub(crate) fn into_image_config(self) -> ImageConfig {
        let config = self.config.unwrap_or_default();
        let pair = |entry: String| match entry.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (entry, String::new()),
        };
        let mut exposed_ports: Vec<u16> = (config
            .exposed_ports
            .keys()
            .filter_map(|port| tcp_port(port)))
        .collect();
        exposed_ports.sort_unstable();
        ImageConfig {
            entrypoint: config.entrypoint,
            cmd: config.cmd,
            env: config.env.into_iter().map(pair).collect(),
            workdir: config.working_dir,
            user: config.user,
            exposed_ports,
            labels: config.labels,
            created: self.created,
        }
    }
}

/// `8080/tcp` or `8080`.
fn tcp_port(text: &str) -> Option<u16> {
    let port = match text.split_once('/') {
        Some((port, "tcp")) => port,
        Some(_) => return None,
        None => text,
    };
    port.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> ImageConfig {
        serde_json::from_str::<ConfigFile>(text)
            .unwrap()
            .into_image_config()
    }

    #[test]
    fn what_docker_leaves_null_is_empty() {
        let config = read(
            r#"{"architecture": "amd64", "os": "linux", "history": null,
                "rootfs": {"type": "layers", "diff_ids": null},
                "config": {"User": null, "ExposedPorts": null, "Env": null, "Entrypoint": null,
                    "Cmd": null, "WorkingDir": null, "Labels": null, "OnBuild": null}}"#,
        );
        assert_eq!(config, ImageConfig::default());
    }

    #[test]
    fn environment_and_ports_are_taken_apart() {
        let config = read(
            r#"{"architecture": "amd64", "os": "linux",
                "rootfs": {"type": "layers", "diff_ids": []},
                "config": {"Env": ["A=b=c", "EMPTY=", "BARE"],
                    "ExposedPorts": {"9000/tcp": {}, "53/udp": {}, "80": {}}}}"#,
        );
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            config.env,
            [pair("A", "b=c"), pair("EMPTY", ""), pair("BARE", "")]
        );
        assert_eq!(config.exposed_ports, [80, 9000]);
    }
}
