//! `serving.knative.dev/v1`: Service, Configuration, Revision, Route.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::core::{Container, Volume};
use crate::meta::{ObjectMeta, StringMap, is_zero};

/// `group/version` of all kinds here.
pub const API_VERSION: &str = "serving.knative.dev/v1";

/// Labels that objects of these kinds carry.
pub mod label {
    /// The Service that it belongs to.
    pub const SERVICE: &str = "serving.knative.dev/service";
    /// Uid of that Service.
    pub const SERVICE_UID: &str = "serving.knative.dev/serviceUID";
    /// The Configuration that made it.
    pub const CONFIGURATION: &str = "serving.knative.dev/configuration";
    /// Uid of that Configuration.
    pub const CONFIGURATION_UID: &str = "serving.knative.dev/configurationUID";
    /// Generation of that Configuration.
    pub const CONFIGURATION_GENERATION: &str = "serving.knative.dev/configurationGeneration";
    /// `active`, `reserve` or `pending`.
    pub const ROUTING_STATE: &str = "serving.knative.dev/routingState";
}

/// Annotations with a meaning (knative.dev/serving `pkg/apis/serving/register.go`); those of the autoscaler are in
/// [`crate::autoscaling`].
pub mod annotation {
    use crate::meta::StringMap;

    /// Who made the object.
    pub const CREATOR: &str = "serving.knative.dev/creator";
    /// Who changed its spec last.
    pub const LAST_MODIFIER: &str = "serving.knative.dev/lastModifier";
    /// How long a Revision may take to become ready, of a template or a Revision.
    pub const PROGRESS_DEADLINE: &str = "serving.knative.dev/progress-deadline";
    /// How long a new Revision takes to get all traffic, of a Service or a Route.
    pub const ROLLOUT_DURATION: &str = "serving.knative.dev/rollout-duration";
    /// Its old name.
    pub const ROLLOUT_DURATION_OLD: &str = "serving.knative.dev/rolloutDuration";

    /// Keeps a Revision from being collected, if it is `true`.
    pub const NO_GC: &str = "serving.knative.dev/no-gc";
    /// Names of the Routes that refer to a Revision.
    pub const ROUTES: &str = "serving.knative.dev/routes";
    /// When the routing state of a Revision last changed.
    pub const ROUTING_STATE_MODIFIED: &str = "serving.knative.dev/routingStateModified";

    /// Key and value of the rollout duration under either of its names, if it says anything.
    pub fn rollout_duration(annotations: &StringMap) -> Option<(&str, &str)> {
        let (key, value) = [ROLLOUT_DURATION, ROLLOUT_DURATION_OLD]
            .iter()
            .find_map(|name| annotations.get_key_value(*name))?;
        (!value.is_empty()).then_some((key, value))
    }
}

macro_rules! kind {
    ($(#[$doc:meta])* $name:ident, $spec:ty, $status:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub struct $name {
            /// [`API_VERSION`].
            pub api_version: String,
            /// The kind's name.
            pub kind: String,
            /// Metadata.
            pub metadata: ObjectMeta,
            /// What is asked for.
            pub spec: $spec,
            /// What is.
            pub status: $status,
        }

        impl $name {
            /// The kind's name.
            pub const KIND: &'static str = stringify!($name);

            /// An empty object of this kind.
            pub fn new(metadata: ObjectMeta, spec: $spec) -> Self {
                Self {
                    api_version: API_VERSION.to_owned(),
                    kind: Self::KIND.to_owned(),
                    metadata,
                    spec,
                    status: Default::default(),
                }
            }
        }
    };
}

kind!(
    /// A function: what to run and how traffic gets to it.
    Service, ServiceSpec, ServiceStatus
);
kind!(
    /// The wanted state of what runs; every change makes a Revision.
    Configuration, ConfigurationSpec, ConfigurationStatus
);
kind!(
    /// One unchangeable state of what runs.
    Revision, RevisionSpec, RevisionStatus
);
kind!(
    /// Which Revisions get which share of the traffic of a host.
    Route, RouteSpec, RouteStatus
);

/// Spec of a [`Service`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceSpec {
    /// What to run.
    pub template: RevisionTemplate,
    /// How to split the traffic.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub traffic: Vec<TrafficTarget>,
}

/// Spec of a [`Configuration`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfigurationSpec {
    /// What to run.
    pub template: RevisionTemplate,
}

/// Template of a [`Revision`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RevisionTemplate {
    /// Name, labels and annotations of the Revision.
    pub metadata: ObjectMeta,
    /// Its spec.
    pub spec: RevisionSpec,
}

/// Spec of a [`Revision`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RevisionSpec {
    /// Most requests at once in one instance; 0 is no limit. Defaulted to 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_concurrency: Option<i64>,
    /// Longest time of a request, seconds. Defaulted to 300.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<i64>,
    /// Longest time to the head of the response, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_start_timeout_seconds: Option<i64>,
    /// Longest silence in a response, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout_seconds: Option<i64>,
    /// What runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<Container>,
    /// Volumes for the containers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// Whether service addresses are put into the environment. Defaulted to false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_service_links: Option<bool>,
    /// Account that the pod runs as.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service_account_name: String,
    /// Whether credentials of the account are put into the instance; only `false` is allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub automount_service_account_token: Option<bool>,
    /// Which sandbox runs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_class_name: Option<String>,
    /// Secrets with credentials of registries.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<Value>,
}

/// Spec of a [`Route`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteSpec {
    /// How to split the traffic.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub traffic: Vec<TrafficTarget>,
}

/// One share of the traffic.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TrafficTarget {
    /// A host name of its own: `{tag}-{name}`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tag: String,
    /// A fixed Revision.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub revision_name: String,
    /// The latest ready Revision of this Configuration.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub configuration_name: String,
    /// Whether it follows the latest ready Revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_revision: Option<bool>,
    /// Share, 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<i64>,
    /// Where the tag answers; in status only.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,
}

/// Something that is so, or not, or not known.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// What is spoken of, such as `Ready`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Empty, or `Info` for one that does not stand in the way of `Ready`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub severity: String,
    /// One word on why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// A sentence on why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When the status last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Timestamp>,
}

/// Where something answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Addressable {
    /// Its URL.
    pub url: String,
}

/// Status of a [`Service`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceStatus {
    /// Generation that this status speaks of.
    #[serde(skip_serializing_if = "is_zero")]
    pub observed_generation: i64,
    /// Sorted by type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Newest Revision.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub latest_created_revision_name: String,
    /// Newest Revision that became ready.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub latest_ready_revision_name: String,
    /// Where it answers.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// Where it answers inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Addressable>,
    /// How traffic is split now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub traffic: Vec<TrafficTarget>,
}

/// Status of a [`Configuration`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigurationStatus {
    /// Generation that this status speaks of.
    #[serde(skip_serializing_if = "is_zero")]
    pub observed_generation: i64,
    /// Sorted by type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Newest Revision.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub latest_created_revision_name: String,
    /// Newest Revision that became ready.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub latest_ready_revision_name: String,
}

/// Status of a [`Revision`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RevisionStatus {
    /// Generation that this status speaks of.
    #[serde(skip_serializing_if = "is_zero")]
    pub observed_generation: i64,
    /// Sorted by type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// What each container's image resolved to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub container_statuses: Vec<ContainerStatus>,
    /// Ready instances.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual_replicas: Option<i32>,
    /// Instances that there should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired_replicas: Option<i32>,
}

/// What a container's image resolved to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// Of the container.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// `repository@sha256:…`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image_digest: String,
}

/// Status of a [`Route`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteStatus {
    /// Generation that this status speaks of.
    #[serde(skip_serializing_if = "is_zero")]
    pub observed_generation: i64,
    /// Sorted by type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// What the node notes for itself.
    #[serde(skip_serializing_if = "StringMap::is_empty")]
    pub annotations: StringMap,
    /// Where it answers.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// Where it answers inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Addressable>,
    /// How traffic is split now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub traffic: Vec<TrafficTarget>,
}

/// The condition of that type.
pub fn condition<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.kind == kind)
}

/// Whether `Ready` is `True`.
pub fn is_ready(conditions: &[Condition]) -> bool {
    condition(conditions, "Ready").is_some_and(|condition| condition.status == "True")
}

/// A map from revision names; shorthand of callers.
pub type ByName<T> = BTreeMap<String, T>;

/// Labels that say which Service an object belongs to.
pub fn service_labels(service: &ObjectMeta) -> StringMap {
    StringMap::from([
        (label::SERVICE.to_owned(), service.name.clone()),
        (label::SERVICE_UID.to_owned(), service.uid.clone()),
    ])
}
