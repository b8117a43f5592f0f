//! Versions and addresses: configs/setup/{system,kube,knative,vhive}.json, with the keys of vHive's own.
//!
//! What a file of the user's does not say is as in ours, which are part of the binary. Keys that are not known here are left
//! unread, so that the files of vHive's own repository can be used as they are.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

/// All four files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// system.json
    pub system: System,
    /// kube.json
    pub kube: Kube,
    /// knative.json
    pub knative: Knative,
    /// vhive.json
    pub vhive: Vhive,
    /// Checksums that were published, by address: checksums.json
    pub checksums: Value,
}

/// What is installed on each node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the names are the contract's, and say it")]
pub struct System {
    pub containerd_version: String,
    pub containerd_download_url_template: String,
    pub runc_version: String,
    pub runc_download_url_template: String,
    pub runsc_version: String,
    pub runsc_download_url_template: String,
    pub runsc_containerd_shim_download_url_template: String,
    pub cni_plugins_version: String,
    pub cni_plugins_download_url_template: String,
    pub kube_version: String,
    pub kube_repo_url: String,
    pub pmu_tools_repo_url: String,
    pub log_verbosity: u8,
}

/// The cluster.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the names are the contract's, and say it")]
pub struct Kube {
    pub k8s_version: String,
    pub alternative_image_repo: String,
    pub apiserver_advertise_address: String,
    pub pod_network_cidr: String,
    pub apiserver_port: String,
    pub apiserver_token: String,
    pub apiserver_token_hash: String,
    pub calico_version: String,
    pub calico_manifest_url_template: String,
}

/// What runs in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the names are the contract's, and say it")]
pub struct Knative {
    pub knative_version: String,
    pub knative_serving_url_template: String,
    pub knative_eventing_url_template: String,
    pub knative_net_istio_url_template: String,
    pub knative_net_kourier_url_template: String,
    #[serde(rename = "KnativeCLIVersion")]
    pub knative_cli_version: String,
    #[serde(rename = "KnativeCLIDownloadUrlTemplate")]
    pub knative_cli_download_url_template: String,
    pub istio_version: String,
    pub istio_download_url_template: String,
    pub istio_zipkin_version: String,
    pub istio_zipkin_download_url_template: String,
    #[serde(rename = "MetalLBVersion")]
    pub metal_lb_version: String,
    #[serde(rename = "MetalLBManifestUrlTemplate")]
    pub metal_lb_manifest_url_template: String,
    #[serde(rename = "MetalLBAddresses")]
    pub metal_lb_addresses: String,
    pub local_registry_repo_volume_size: String,
    pub queue_proxy_image: String,
}

/// What functions run in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the names are the contract's, and say it")]
pub struct Vhive {
    pub firecracker_version: String,
    pub firecracker_download_url_template: String,
    pub stargz_version: String,
    pub stargz_download_url_template: String,
}

/// Why the files cannot be used.
#[derive(Debug, Error)]
pub enum Error {
    /// A file is there and cannot be read.
    #[error("cannot read {}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{} is not as it should be; configs/setup/{} has every key", file.display(), file.file_name().unwrap_or_default().to_string_lossy())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The folder has none of the files.
    #[error("{} has none of system.json, kube.json, knative.json and vhive.json", .0.display())]
    Empty(PathBuf),
}

const OURS: [(&str, &str); 5] = [
    (
        "system.json",
        include_str!("../../../configs/setup/system.json"),
    ),
    (
        "kube.json",
        include_str!("../../../configs/setup/kube.json"),
    ),
    (
        "knative.json",
        include_str!("../../../configs/setup/knative.json"),
    ),
    (
        "vhive.json",
        include_str!("../../../configs/setup/vhive.json"),
    ),
    (
        "checksums.json",
        include_str!("../../../configs/setup/checksums.json"),
    ),
];

impl Config {
    /// Ours, with what the files in `folder` say instead.
    pub fn load(folder: Option<&Path>) -> Result<Self, Error> {
        if let Some(folder) = folder
            && !OURS.iter().any(|(name, _)| folder.join(name).exists())
        {
            return Err(Error::Empty(folder.to_owned()));
        }
        Ok(Self {
            system: file(folder, 0)?,
            kube: file(folder, 1)?,
            knative: file(folder, 2)?,
            vhive: file(folder, 3)?,
            checksums: file(folder, 4)?,
        })
    }
}

fn file<T: DeserializeOwned>(folder: Option<&Path>, index: usize) -> Result<T, Error> {
    let (name, ours) = OURS[index];
    let malformed = |file: &Path| {
        let file = file.to_owned();
        move |source| Error::Malformed { file, source }
    };
    let path = folder.unwrap_or(Path::new("configs/setup")).join(name);
    let mut value: Value = serde_json::from_str(ours).map_err(malformed(&path))?;
    if folder.is_some() {
        match fs::read_to_string(&path) {
            Ok(text) => {
                let theirs: Value = serde_json::from_str(&text).map_err(malformed(&path))?;
                if let (Value::Object(value), Value::Object(theirs)) = (&mut value, theirs) {
                    value.extend(theirs);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(Error::Unreadable { file: path, source }),
        }
    }
    serde_json::from_value(value).map_err(malformed(&path))
}

/// A template of Go's `fmt.Sprintf`: each `%s` is the next of `words`.
pub fn fill(template: &str, words: &[&str]) -> String {
    let mut parts = template.split("%s");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for (part, word) in parts.zip(words) {
        out.push_str(word);
        out.push_str(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_takes_its_words_in_order() {
        assert_eq!(fill("v%s/x-%s.%s", &["1", "2", "amd64"]), "v1/x-2.amd64");
        assert_eq!(fill("plain", &["1"]), "plain");
    }

    #[test]
    fn a_file_of_the_users_changes_what_it_names_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = r#"{"RuncVersion": "9.9.9", "GoVersion": "1.21.1"}"#;
        fs::write(folder.path().join("system.json"), text).expect("written");
        let config = Config::load(Some(folder.path())).expect("it is whole");
        let ours = Config::load(None).expect("ours are whole");
        assert_eq!(config.system.runc_version, "9.9.9");
        assert_eq!(
            config.system.containerd_version,
            ours.system.containerd_version
        );
        assert_eq!(config.kube, ours.kube);
    }

    #[test]
    fn a_folder_without_any_of_the_files_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(matches!(
            Config::load(Some(folder.path())),
            Err(Error::Empty(_))
        ));
    }
}
