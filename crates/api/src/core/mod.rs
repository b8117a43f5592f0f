//! The parts of core/v1 that a function's template is made of, and the objects that it takes values and files from.

mod bytes;
mod config;
mod env;
mod namespace;
mod volume;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Number, Value};

use crate::meta::{StringMap, is_zero};

pub use bytes::Bytes;
pub use config::{ConfigMap, MAX_BYTES, Secret, SecretText};
pub use env::{EnvFromSource, EnvSourceReference, EnvVar, EnvVarSource, KeySelector};
pub use namespace::{FINALIZER, NAME_LABEL, Namespace, NamespaceSpec};
pub use volume::{
    ConfigMapVolumeSource, EmptyDirVolumeSource, KeyToPath, ProjectedVolumeSource, Projection,
    SecretVolumeSource, Volume, VolumeMount, VolumeProjection,
};

/// One container.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Name, unique in its pod; defaulted.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Image reference.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// Overrides the image's entrypoint.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Overrides the image's command.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Overrides the image's working directory.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// At most one port.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<ContainerPort>,
    /// Environment.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// Environment from whole `ConfigMaps` and `Secrets`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env_from: Vec<EnvFromSource>,
    /// CPU and memory.
    #[serde(skip_serializing_if = "ResourceRequirements::is_empty")]
    pub resources: ResourceRequirements,
    /// When the container counts as ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readiness_probe: Option<Probe>,
    /// When it must be restarted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub liveness_probe: Option<Probe>,
    /// When it has started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub startup_probe: Option<Probe>,
    /// `Always`, `IfNotPresent` or `Never`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image_pull_policy: String,
    /// User and privileges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_context: Option<Value>,
    /// Mounts of the pod's volumes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volume_mounts: Vec<VolumeMount>,
    /// Where the last words are read from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub termination_message_path: String,
    /// How they are read.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub termination_message_policy: String,
}

/// A port that a container listens on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerPort {
    /// Empty, `http1` or `h2c`: the protocol.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// TCP port.
    #[serde(skip_serializing_if = "is_zero")]
    pub container_port: i64,
    /// `TCP`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub protocol: String,
}

/// CPU and memory, as quantities.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResourceRequirements {
    /// Most it may use.
    #[serde(
        skip_serializing_if = "StringMap::is_empty",
        deserialize_with = "amounts"
    )]
    pub limits: StringMap,
    /// What it needs at least.
    #[serde(
        skip_serializing_if = "StringMap::is_empty",
        deserialize_with = "amounts"
    )]
    pub requests: StringMap,
}

/// A quantity; people write `cpu: 2` without quotes, and Kubernetes takes it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Amount {
    Text(String),
    Number(Number),
}

impl Amount {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
        }
    }
}

fn amounts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<StringMap, D::Error> {
    let amounts = BTreeMap::<String, Amount>::deserialize(deserializer)?;
    let texts = amounts.into_iter();
    Ok(texts
        .map(|(resource, amount)| (resource, amount.into_text()))
        .collect())
}

impl ResourceRequirements {
    /// Nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.limits.is_empty() && self.requests.is_empty()
    }
}

/// How to find out whether a container is well.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Probe {
    /// An HTTP GET.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_get: Option<HttpGet>,
    /// A TCP connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_socket: Option<TcpSocket>,
    /// A gRPC health check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc: Option<Value>,
    /// A command in the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec: Option<Value>,
    /// Seconds before the first try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_delay_seconds: Option<i32>,
    /// Seconds one try may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<i32>,
    /// Seconds between tries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period_seconds: Option<i32>,
    /// Successes in a row to count as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success_threshold: Option<i32>,
    /// Failures in a row to count as unwell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_threshold: Option<i32>,
    /// Seconds to stop in after a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub termination_grace_period_seconds: Option<i64>,
}

/// An HTTP GET of a path.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpGet {
    /// Path; empty is `/`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Port; 0 is the container's.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub port: Value,
    /// Host header.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// `HTTP` or `HTTPS`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scheme: String,
    /// Headers to send.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http_headers: Vec<Value>,
}

/// A TCP connection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpSocket {
    /// Port; 0 is the container's.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub port: Value,
    /// Host.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
}
