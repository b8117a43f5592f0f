//! A pod's volumes, and where its containers mount them.

use serde::{Deserialize, Deserializer, Serialize};

use super::Amount;

/// A folder that containers can mount. It has one of the sources.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Volume {
    /// Unique in its pod.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Keys of a `ConfigMap` as files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapVolumeSource>,
    /// Keys of a Secret as files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretVolumeSource>,
    /// Several of these in one folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projected: Option<ProjectedVolumeSource>,
    /// Nothing: a folder to write to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub empty_dir: Option<EmptyDirVolumeSource>,
}

/// Keys of a `ConfigMap` as files.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigMapVolumeSource {
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Which keys, as which files; none is all, as files of their names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<KeyToPath>,
    /// Permission bits of files that have none of their own; 0644 without.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "mode")]
    pub default_mode: Option<i32>,
    /// Whether it, and keys that are named, may be missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// Keys of a Secret as files.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretVolumeSource {
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub secret_name: String,
    /// Which keys, as which files; none is all, as files of their names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<KeyToPath>,
    /// Permission bits of files that have none of their own; 0644 without.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "mode")]
    pub default_mode: Option<i32>,
    /// Whether it, and keys that are named, may be missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// One key as a file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyToPath {
    /// The key.
    pub key: String,
    /// The file, relative to the volume.
    pub path: String,
    /// Its permission bits.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "mode")]
    pub mode: Option<i32>,
}

/// Several sources in one folder.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProjectedVolumeSource {
    /// Of two that have the same file, the later wins.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<VolumeProjection>,
    /// Permission bits of files that have none of their own; 0644 without.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "mode")]
    pub default_mode: Option<i32>,
}

/// One source of several. One of the two.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeProjection {
    /// A `ConfigMap`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map: Option<Projection>,
    /// A Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Projection>,
}

/// Keys of an object as files.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Projection {
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Which keys, as which files; none is all, as files of their names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<KeyToPath>,
    /// Whether it, and keys that are named, may be missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// A folder to write to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EmptyDirVolumeSource {
    /// Empty or `Memory`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub medium: String,
    /// Most that it may hold, as a quantity.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "amount")]
    pub size_limit: Option<String>,
}

/// Where a container sees a volume.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeMount {
    /// Name of the volume.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Absolute path in the container.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mount_path: String,
    /// What of the volume, relative to it; empty is all. A file or folder that is mounted like this stays as it is when the
    /// volume changes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sub_path: String,
    /// Whether the container may not write to it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
}

/// Permission bits. In YAML 1.1, which Kubernetes' tools read, `0400` is octal; later YAML has it as a text.
fn mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i32>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(i32),
        Octal(String),
    }
    match Written::deserialize(deserializer)? {
        Written::Number(number) => Ok(Some(number)),
        Written::Octal(text) => {
            let digits = text.strip_prefix("0o").unwrap_or(&text);
            let mode = i32::from_str_radix(digits, 8).ok();
            mode.filter(|_| text.starts_with('0'))
                .map(Some)
                .ok_or_else(|| {
                    serde::de::Error::custom(format!(
                        "{text:?} is no mode: write it in octal, such as 0400"
                    ))
                })
        }
    }
}

fn amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Amount::deserialize(deserializer).map(|it| Some(it.into_text()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal_in_yaml_whichever_version_reads_it() {
        for (text, expected) in [
            ("0400", Some(0o400)),
            ("'0400'", Some(0o400)),
            ("0o440", Some(0o440)),
            ("256", Some(256)),
            ("'400'", None),
            ("'0800'", None),
            ("r--------", None),
        ] {
            let item =
                serde_yaml_ng::from_str::<KeyToPath>(&format!("{{key: a, path: b, mode: {text}}}"));
            assert_eq!(item.ok().and_then(|it| it.mode), expected, "{text}");
        }
    }

    #[test]
    fn a_size_may_be_a_number() {
        let directory: EmptyDirVolumeSource =
            serde_yaml_ng::from_str("{sizeLimit: 1048576}").unwrap();
        assert_eq!(directory.size_limit.as_deref(), Some("1048576"));
    }
}
