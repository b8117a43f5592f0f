//! What all Pods of a revision have in common, taken from the Revision.

use std::borrow::Cow;

use api::core::Container;
use api::meta::{OwnerReference, StringMap};
use api::serving::{API_VERSION, Revision, label};
use serde_json::{Value, json};

use super::About;

/// What a container is called that has no name.
pub(super) const CONTAINER: &str = "user-container";

/// What Knative calls the port that functions listen on.
const PORT: &str = "user-port";

const REVISION: &str = "serving.knative.dev/revision";
const REVISION_UID: &str = "serving.knative.dev/revisionUID";
/// By which `kubectl` users group Pods.
const APP: &str = "app";
/// What says something of the revision and nothing of its Pods (`pkg/reconciler/revision/resources/meta.go`).
const NOT_LABELS: [&str; 2] = [label::ROUTING_STATE, "serving.knative.dev/route"];
const NOT_ANNOTATIONS: [&str; 3] = [
    "serving.knative.dev/routes",
    "serving.knative.dev/routingStateModified",
    "serving.knative.dev/lastPinned",
];

/// The common part.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    pub(crate) namespace: String,
    pub(crate) revision: String,
    pub(super) labels: StringMap,
    pub(super) annotations: StringMap,
    pub(super) owner: OwnerReference,
    /// `spec` but for the node.
    pub(super) spec: Value,
    /// Name of the container that the function runs in.
    pub(crate) container: String,
    pub(super) image: String,
    /// As Kubernetes reckons it from what is asked for.
    pub(super) qos_class: &'static str,
}

impl Template {
    pub(crate) fn of(revision: &Revision) -> Self {
        let metadata = &revision.metadata;
        let mut labels = metadata.labels.clone();
        labels.retain(|name, _| !NOT_LABELS.contains(&name.as_str()));
        labels.insert(REVISION.to_owned(), metadata.name.clone());
        labels.insert(REVISION_UID.to_owned(), metadata.uid.clone());
        labels
            .entry(APP.to_owned())
            .or_insert_with(|| metadata.name.clone());
        let mut annotations = metadata.annotations.clone();
        annotations.retain(|name, _| !NOT_ANNOTATIONS.contains(&name.as_str()));
        let container = revision.spec.containers.first();
        let name = container.map_or("", |it| it.name.as_str());
        Self {
            namespace: metadata.namespace.clone(),
            revision: metadata.name.clone(),
            labels,
            annotations,
            owner: OwnerReference {
                api_version: API_VERSION.to_owned(),
                kind: Revision::KIND.to_owned(),
                name: metadata.name.clone(),
                uid: metadata.uid.clone(),
                controller: Some(true),
                block_owner_deletion: Some(true),
            },
            spec: spec(revision),
            container: if name.is_empty() { CONTAINER } else { name }.to_owned(),
            image: container.map(|it| it.image.clone()).unwrap_or_default(),
            qos_class: container.map_or("BestEffort", qos_class),
        }
    }

    /// The same, with what every function is given beside what its revision says: variables, and a port to listen on.
    pub(crate) fn given(mut self, env: &[(&str, Cow<'_, str>)], port: u16) -> Self {
        let container = &mut self.spec["containers"][0];
        let mut all = match container["env"].take() {
            Value::Array(written) => written,
            _ => Vec::new(),
        };
        let own = env.iter();
        all.extend(own.map(|(name, value)| json!({"name": name, "value": value})));
        container["env"] = all.into();
        if container["ports"].is_null() {
            container["ports"] = json!([{"name": PORT, "containerPort": port, "protocol": "TCP"}]);
        }
        // 0 is the container's own.
        for kind in ["tcpSocket", "httpGet"] {
            let probe = container.pointer_mut(&format!("/readinessProbe/{kind}/port"));
            if let Some(probed) = probe
                && probed.as_u64() == Some(0)
            {
                *probed = port.into();
            }
        }
        self
    }

    /// The revision, as events name it.
    pub(crate) fn about(&self) -> About {
        About {
            api_version: API_VERSION.to_owned(),
            kind: Revision::KIND.to_owned(),
            namespace: self.namespace.clone(),
            name: self.revision.clone(),
            uid: self.owner.uid.clone(),
        }
    }
}

/// Values that come from Secrets stand here as they do in the Revision: as references.
fn spec(revision: &Revision) -> Value {
    let spec = &revision.spec;
    let containers: Vec<Value> = spec
        .containers
        .iter()
        .map(|container| {
            let mut value = serde_json::to_value(container).unwrap_or_default();
            if container.name.is_empty() {
                value["name"] = CONTAINER.into();
            }
            // What Kubernetes fills in, and prints.
            let ports = value.get_mut("ports").and_then(Value::as_array_mut);
            for port in ports.into_iter().flatten() {
                for (field, value) in [("name", PORT), ("protocol", "TCP")] {
                    if port[field].is_null() {
                        port[field] = value.into();
                    }
                }
            }
            value
        })
        .collect();
    let mut value = json!({
        "containers": containers,
        // kubectl debug takes it for granted.
        "securityContext": {},
        // An instance that ends is replaced by another.
        "restartPolicy": "Never",
        "enableServiceLinks": spec.enable_service_links.unwrap_or(false),
        "terminationGracePeriodSeconds": spec.timeout_seconds.unwrap_or(300),
    });
    if !spec.volumes.is_empty() {
        value["volumes"] = json!(spec.volumes);
    }
    if let Some(class) = &spec.runtime_class_name {
        value["runtimeClassName"] = json!(class);
    }
    if !spec.service_account_name.is_empty() {
        value["serviceAccountName"] = json!(spec.service_account_name);
    }
    value
}

/// `pkg/apis/core/v1/helper/qos`: what is not requested is what it is limited to.
fn qos_class(container: &Container) -> &'static str {
    let (limits, requests) = (&container.resources.limits, &container.resources.requests);
    let counted = ["cpu", "memory"];
    let guaranteed = |name: &&str| {
        let limit = limits.get(*name);
        limit.is_some() && requests.get(*name).is_none_or(|it| Some(it) == limit)
    };
    if counted.iter().all(guaranteed) {
        "Guaranteed"
    } else if counted
        .iter()
        .any(|name| limits.contains_key(*name) || requests.contains_key(*name))
    {
        "Burstable"
    } else {
        "BestEffort"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_of_service_follows_from_what_is_asked_for() {
        for (resources, expected) in [
            (json!({}), "BestEffort"),
            (json!({"limits": {"memory": "1Gi"}}), "Burstable"),
            (json!({"requests": {"cpu": "1"}}), "Burstable"),
            (
                json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}),
                "Burstable",
            ),
            (
                json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1"}}),
                "Guaranteed",
            ),
        ] {
            let container = serde_json::from_value(json!({"resources": resources})).unwrap();
            assert_eq!(qos_class(&container), expected, "{resources}");
        }
    }
}
