//! A family, and the little of a store and of an executor that plans need.

use std::collections::BTreeMap;

use api::meta::ObjectMeta;
use api::serving::{Condition, Revision, Service, condition};
use jiff::Timestamp;
use serde_json::json;

use crate::{
    Action, Domain, Family, ImageState, InstanceFailure, Object, Retention, RevisionObservation,
    Settings, plan, routing,
};

/// A family with the little of a store that plans need: uids and generations.
#[derive(Default)]
pub(super) struct World {
    pub(super) family: Family,
    pub(super) now: Timestamp,
    uids: u32,
}

impl World {
    pub(super) fn new(traffic: &serde_json::Value) -> Self {
        let mut world = Self::default();
        let mut service: Service = serde_json::from_value(json!({
            "apiVersion": "serving.knative.dev/v1", "kind": "Service",
            "metadata": {"name": "f", "namespace": "ns", "uid": "service", "generation": 1},
            "spec": {"template": {"spec": {"containers": [{"image": "repo:5000/a:tag"}]}}, "traffic": traffic},
        }))
        .unwrap();
        api::defaults::default_service(&mut service, &api::settings::Defaults::default());
        world.family.service = Some(service);
        world
    }

    pub(super) fn domain() -> Domain {
        Domain {
            suffix: "example.com".to_owned(),
            port: 8080,
        }
    }

    pub(super) fn settings() -> Settings {
        Settings {
            domain: Self::domain(),
            retention: Retention::default(),
        }
    }

    /// Plans and acts until there is nothing left to do.
    pub(super) fn settle(&mut self) {
        for _ in 0..20 {
            let actions = plan(&self.family, &Self::settings(), self.now);
            if actions.is_empty() {
                return;
            }
            for action in actions {
                self.act(action);
            }
        }
        panic!(
            "the plan does not come to rest: {:?}",
            plan(&self.family, &Self::settings(), self.now)
        );
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Create(object) => {
                self.uids += 1;
                self.put(object, |metadata| {
                    metadata.generation = 1;
                });
            }
            Action::Update(object) => {
                let moved = u32::from(self.moves(&object));
                self.put(object, |metadata| metadata.generation += i64::from(moved));
            }
            Action::UpdateStatus(object) => self.put(object, |_| ()),
            Action::Delete { name, .. } => drop(self.family.revisions.remove(&name)),
        }
    }

    /// Whether the object's spec is another than it was, which alone moves its generation.
    fn moves(&self, object: &Object) -> bool {
        let family = &self.family;
        match object {
            Object::Service(it) => family
                .service
                .as_ref()
                .is_some_and(|old| old.spec != it.spec),
            Object::Configuration(it) => family
                .configuration
                .as_ref()
                .is_some_and(|old| old.spec != it.spec),
            Object::Route(it) => family.route.as_ref().is_some_and(|old| old.spec != it.spec),
            Object::Revision(it) => family.revisions[&it.metadata.name].spec != it.spec,
        }
    }

    fn put(&mut self, object: Object, change: impl Fn(&mut ObjectMeta)) {
        let (uid, now) = (self.uids.to_string(), self.now);
        let change = |metadata: &mut ObjectMeta| {
            if metadata.uid.is_empty() {
                metadata.uid.clone_from(&uid);
                metadata.creation_timestamp = Some(now);
            }
            change(metadata);
        };
        match object {
            Object::Service(mut it) => {
                change(&mut it.metadata);
                self.family.service = Some(*it);
            }
            Object::Configuration(mut it) => {
                change(&mut it.metadata);
                self.family.configuration = Some(*it);
            }
            Object::Route(mut it) => {
                change(&mut it.metadata);
                self.family.route = Some(*it);
            }
            Object::Revision(mut it) => {
                change(&mut it.metadata);
                self.family.revisions.insert(it.metadata.name.clone(), *it);
            }
        }
    }

    pub(super) fn observe(&mut self, revision: &str, seen: RevisionObservation) {
        self.family.observations.insert(revision.to_owned(), seen);
        self.settle();
    }

    pub(super) fn update_image(&mut self, image: &str) {
        self.update(|service| service.spec.template.spec.containers[0].image = image.to_owned());
    }

    /// Changes the Service as a client would.
    pub(super) fn update(&mut self, change: impl FnOnce(&mut Service)) {
        let service = self.family.service.as_mut().unwrap();
        let before = service.spec.clone();
        change(service);
        service.metadata.generation += i64::from(service.spec != before);
        self.settle();
    }

    pub(super) fn revision(&self, name: &str) -> &Revision {
        &self.family.revisions[name]
    }

    pub(super) fn service(&self) -> &Service {
        self.family.service.as_ref().unwrap()
    }

    /// `status reason` of the Service's condition.
    pub(super) fn said(&self, kind: &str) -> String {
        told(&self.service().status.conditions, kind)
    }

    pub(super) fn targets(&self, host: &str) -> Vec<(String, u32)> {
        let route = self.family.route.as_ref().unwrap();
        let hosts = routing::hosts(route, self.family.configuration.as_ref(), &Self::domain());
        let hosts: BTreeMap<_, _> = hosts.into_iter().map(|it| (it.host, it.targets)).collect();
        hosts.get(host).cloned().unwrap_or_default()
    }
}

/// `status reason` of a condition.
pub(super) fn told(conditions: &[Condition], kind: &str) -> String {
    let condition = condition(conditions, kind).unwrap();
    format!("{} {}", condition.status, condition.reason)
        .trim()
        .to_owned()
}

pub(super) fn resolved() -> RevisionObservation {
    RevisionObservation {
        image: ImageState::Resolved {
            digest: "sha256:d".to_owned(),
        },
        ..RevisionObservation::default()
    }
}

pub(super) fn healthy() -> RevisionObservation {
    RevisionObservation {
        ready: 1,
        desired: 1,
        ever_ready: true,
        ..resolved()
    }
}

pub(super) fn crashed() -> RevisionObservation {
    let failure = InstanceFailure {
        reason: "ExitCode3".to_owned(),
        message: "exited with code 3".to_owned(),
        exit_code: Some(3),
    };
    RevisionObservation {
        failure: Some(failure),
        ..resolved()
    }
}
