//! What the API shows of what runs, and nobody writes: Pods and Instances, Events, what scales revisions, and the Services of
//! routes.
//!
//! Instances are shown twice: as Pods, which are there from when the instance is wanted, while it lives, and when it has something to
//! say of its failure; and as what they are, also when they have ended lately.

mod autoscaler;
mod container;
mod event;
mod event_book;
mod instance;
mod life;
mod log;
mod pod;
mod service;
mod template;
mod waiting;

use std::fs;
use std::sync::Arc;

use api::Resource;
use apiserver::store::{Key, Memory};
use apiserver::{End, Refused, View, Views};
use gateway::RevisionKey;
use jiff::Timestamp;
use serde_json::Value;

pub(crate) use self::autoscaler::{Scale, Told};
pub(crate) use self::event::{About, Recorder};
pub(crate) use self::life::{Ended, Life, Sight};
pub(crate) use self::log::router as logs;
pub(crate) use self::service::Services;
pub(crate) use self::template::Template;
pub(crate) use self::waiting::{Obstacle, Place};

const fn core(
    kind: &'static str,
    plural: &'static str,
    singular: &'static str,
    short_names: &'static [&'static str],
) -> Resource {
    Resource {
        group: "",
        version: "v1",
        kind,
        plural,
        singular,
        short_names,
        namespaced: true,
    }
}

const PODS: Resource = core("Pod", "pods", "pod", &["po"]);
const EVENTS: Resource = core("Event", "events", "event", &["ev"]);
const SERVICES: Resource = core("Service", "services", "service", &["svc"]);
const INSTANCES: Resource = Resource {
    group: "vhive.dev",
    version: "v1",
    kind: "Instance",
    plural: "instances",
    singular: "instance",
    short_names: &["inst"],
    namespaced: true,
};

/// What people are used to do with Pods, and what to do here.
const NO_WAY_IN: [Refused; 4] = [
    Refused {
        subresource: "exec",
        instead: "nothing but its function runs in a microVM; kubectl logs has what it prints, and vhive invoke calls it",
    },
    Refused {
        subresource: "attach",
        instead: "kubectl logs -f has what it prints, and functions have no standard input",
    },
    Refused {
        subresource: "portforward",
        instead: "functions are reached through the ingress: vhive invoke calls one, and kubectl get ksvc has its URL",
    },
    Refused {
        subresource: "ephemeralcontainers",
        instead: "a microVM runs one container; kubectl logs has what it prints, and kubectl describe what happened to it",
    },
];

const AUTOSCALERS: Resource = Resource {
    group: "autoscaling.internal.knative.dev",
    version: "v1alpha1",
    kind: "PodAutoscaler",
    plural: "podautoscalers",
    singular: "podautoscaler",
    short_names: &["kpa", "pa"],
    namespaced: true,
};

/// Where things are shown. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Shown {
    memory: Memory,
    /// The machine's name, which Pods have as their node.
    host: Arc<str>,
}

impl Shown {
    /// Nothing is shown yet.
    pub(crate) fn new() -> Self {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = match host.trim() {
            "" => "localhost".to_owned(),
            host => host.to_lowercase(),
        };
        Self {
            memory: Memory::new(Timestamp::now()),
            host: host.into(),
        }
    }

    /// For the API; `end` is told which Pod a client wants to be ended.
    pub(crate) fn views(&self, end: End) -> Views {
        let view = |resource| View {
            resource,
            subresources: &[],
            refused: &[],
            end: None,
        };
        let pods = View {
            subresources: &["log"],
            refused: &NO_WAY_IN,
            end: Some(end),
            ..view(PODS)
        };
        let views = vec![
            pods,
            view(EVENTS),
            view(SERVICES),
            view(INSTANCES),
            view(AUTOSCALERS),
        ];
        Views::new(views, self.memory.clone())
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    fn show(&self, resource: &Resource, namespace: &str, name: &str, object: Value) {
        if let Some(key) = Key::new(&resource.qualified(), namespace, name) {
            self.memory.show(&key, object);
        }
    }

    fn hide(&self, resource: &Resource, namespace: &str, name: &str) {
        if let Some(key) = Key::new(&resource.qualified(), namespace, name) {
            self.memory.hide(&key);
        }
    }

    /// Shows an instance as it is.
    pub(crate) fn show_instance(&self, template: &Template, life: &Life) {
        let (namespace, name) = (&*template.namespace, &*life.id);
        self.show(
            &INSTANCES,
            namespace,
            name,
            instance::object(template, life),
        );
        if life.is_stopped() {
            self.hide(&PODS, namespace, name);
        } else {
            let pod = pod::object(template, life, &self.host);
            self.show(&PODS, namespace, name, pod);
        }
    }

    /// Shows a Pod that waits to be an instance, and takes the place of one that ended so.
    pub(crate) fn show_waiting(
        &self,
        template: &Template,
        place: &Place,
        (obstacle, last): (&Obstacle, Option<&Ended>),
    ) {
        let pod = pod::waiting(template, place, (obstacle, last), &self.host);
        self.show(&PODS, &template.namespace, &place.id, pod);
    }

    /// A Pod as it is shown.
    fn pod(&self, namespace: &str, name: &str) -> Option<Value> {
        let key = Key::new(&PODS.qualified(), namespace, name)?;
        Some(self.memory.store().get(&key)?.value())
    }

    /// Whose Pod it is.
    pub(crate) fn revision_of(&self, namespace: &str, name: &str) -> Option<RevisionKey> {
        let pod = self.pod(namespace, name)?;
        let revision = pod["metadata"]["ownerReferences"][0]["name"].as_str()?;
        Some(RevisionKey::new(namespace, revision))
    }

    /// Shows nothing of an instance any more.
    pub(crate) fn hide_instance(&self, namespace: &str, name: &str) {
        for resource in [&PODS, &INSTANCES] {
            self.hide(resource, namespace, name);
        }
    }
}

/// Times of core/v1 are in whole seconds.
fn seconds(time: Timestamp) -> String {
    api::meta::whole_seconds(time)
}
