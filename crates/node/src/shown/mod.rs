//! What the API shows of what runs, and nobody writes: Pods and Instances, Events, and the Services of routes.
//!
//! Instances are shown twice: as Pods, which are there while the instance lives or has something to say of its failure, and as
//! what they are, also when they have ended lately.

mod event;
mod event_book;
mod instance;
mod life;
mod log;
mod pod;
mod service;
mod template;

use std::fs;
use std::sync::Arc;

use api::Resource;
use apiserver::store::{Key, Memory};
use apiserver::{End, View, Views};
use jiff::Timestamp;
use serde_json::Value;

pub(crate) use self::event::{About, Recorder};
pub(crate) use self::life::{Life, Sight};
pub(crate) use self::log::router as logs;
pub(crate) use self::service::Services;
pub(crate) use self::template::Template;

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
        let view = |resource, subresources, end| View {
            resource,
            subresources,
            end,
        };
        let views = vec![
            view(PODS, &["log"], Some(end)),
            view(EVENTS, &[], None),
            view(SERVICES, &[], None),
            view(INSTANCES, &[], None),
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

    /// Shows nothing of an instance any more.
    pub(crate) fn hide_instance(&self, namespace: &str, name: &str) {
        for resource in [&PODS, &INSTANCES] {
            self.hide(resource, namespace, name);
        }
    }
}

/// Times of core/v1 are in whole seconds.
fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
