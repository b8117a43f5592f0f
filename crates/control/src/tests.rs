//! A family driven to its rest, as the executor would.

use std::collections::BTreeMap;

use api::meta::ObjectMeta;
use api::serving::{Service, condition};
use jiff::Timestamp;
use serde_json::json;

use crate::{
    Action, Domain, Family, ImageState, InstanceFailure, Object, RevisionObservation, plan, routing,
};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// A family with the little of a store that plans need: uids and generations.
#[derive(Default)]
struct World {
    family: Family,
    uids: u32,
}

impl World {
    fn new(traffic: &serde_json::Value) -> Self {
        let mut world = Self::default();
        let mut service: Service = serde_json::from_value(json!({
            "apiVersion": "serving.knative.dev/v1", "kind": "Service",
            "metadata": {"name": "f", "namespace": "ns", "uid": "service", "generation": 1},
            "spec": {"template": {"spec": {"containers": [{"image": "repo:5000/a:tag"}]}}, "traffic": traffic},
        }))
        .unwrap();
        api::defaults::default_service(&mut service);
        world.family.service = Some(service);
        world
    }

    fn domain() -> Domain {
        Domain {
            suffix: "example.com".to_owned(),
            port: 8080,
        }
    }

    /// Plans and acts until there is nothing left to do.
    fn settle(&mut self) {
        for _ in 0..20 {
            let actions = plan(&self.family, &Self::domain(), NOW);
            if actions.is_empty() {
                return;
            }
            for action in actions {
                self.act(action);
            }
        }
        panic!(
            "the plan does not come to rest: {:?}",
            plan(&self.family, &Self::domain(), NOW)
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
            Action::Update(object) => self.put(object, |metadata| metadata.generation += 1),
            Action::UpdateStatus(object) => self.put(object, |_| ()),
            Action::Delete { resource, name, .. } => match resource.kind {
                "Configuration" => self.family.configuration = None,
                "Route" => self.family.route = None,
                _ => drop(self.family.revisions.remove(&name)),
            },
        }
    }

    fn put(&mut self, object: Object, change: impl Fn(&mut ObjectMeta)) {
        let uid = self.uids.to_string();
        let change = |metadata: &mut ObjectMeta| {
            if metadata.uid.is_empty() {
                metadata.uid.clone_from(&uid);
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

    fn observe(&mut self, revision: &str, seen: RevisionObservation) {
        self.family.observations.insert(revision.to_owned(), seen);
        self.settle();
    }

    fn update_image(&mut self, image: &str) {
        let service = self.family.service.as_mut().unwrap();
        service.metadata.generation += 1;
        service.spec.template.spec.containers[0].image = image.to_owned();
        self.settle();
    }

    fn service(&self) -> &Service {
        self.family.service.as_ref().unwrap()
    }

    /// `status reason` of the Service's condition.
    fn said(&self, kind: &str) -> String {
        let condition = condition(&self.service().status.conditions, kind).unwrap();
        format!("{} {}", condition.status, condition.reason)
            .trim()
            .to_owned()
    }

    fn targets(&self, host: &str) -> Vec<(String, u32)> {
        let route = self.family.route.as_ref().unwrap();
        let hosts = routing::hosts(route, self.family.configuration.as_ref(), &Self::domain());
        let hosts: BTreeMap<_, _> = hosts.into_iter().map(|it| (it.host, it.targets)).collect();
        hosts.get(host).cloned().unwrap_or_default()
    }
}

fn resolved() -> RevisionObservation {
    RevisionObservation {
        image: ImageState::Resolved {
            digest: "sha256:d".to_owned(),
        },
        ..RevisionObservation::default()
    }
}

fn healthy() -> RevisionObservation {
    RevisionObservation {
        ready: 1,
        desired: 1,
        ever_ready: true,
        ..resolved()
    }
}

fn crashed() -> RevisionObservation {
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

#[test]
fn a_new_service_becomes_ready_and_stays_ready_at_zero() {
    let mut world = World::new(&json!([]));
    world.settle();
    assert_eq!(world.said("Ready"), "Unknown");
    world.observe("f-00001", healthy());
    assert_eq!(world.said("Ready"), "True");
    let status = &world.service().status;
    assert_eq!(status.url, "http://f.ns.example.com:8080");
    assert_eq!(status.latest_ready_revision_name, "f-00001");
    assert_eq!(status.traffic[0].percent, Some(100));
    assert_eq!(
        world.family.revisions["f-00001"].status.container_statuses[0].image_digest,
        "repo:5000/a@sha256:d"
    );
    world.observe(
        "f-00001",
        RevisionObservation {
            ever_ready: true,
            ..resolved()
        },
    );
    assert_eq!(world.said("Ready"), "True");
    let active = condition(
        &world.family.revisions["f-00001"].status.conditions,
        "Active",
    )
    .unwrap();
    assert_eq!(
        (
            active.status.as_str(),
            active.reason.as_str(),
            active.severity.as_str()
        ),
        ("False", "NoTraffic", "Info")
    );
}

#[test]
fn a_missing_image_is_named_in_every_condition_above_it() {
    let mut world = World::new(&json!([]));
    world.settle();
    let image = ImageState::Failed {
        reason: "ContainerMissing".to_owned(),
        message: "Unable to fetch image".to_owned(),
    };
    world.observe(
        "f-00001",
        RevisionObservation {
            image,
            ..RevisionObservation::default()
        },
    );
    assert_eq!(world.said("ConfigurationsReady"), "False RevisionFailed");
    assert_eq!(world.said("Ready"), "False RevisionFailed");
    let ready = condition(
        &world.family.revisions["f-00001"].status.conditions,
        "Ready",
    )
    .unwrap();
    assert_eq!(ready.reason, "ContainerMissing");
}

#[test]
fn a_crash_at_start_fails_the_service_and_a_later_success_mends_it() {
    let mut world = World::new(&json!([]));
    world.settle();
    world.observe("f-00001", crashed());
    assert_eq!(world.said("Ready"), "False RevisionFailed");
    // Requests must reach the revision to learn why it does not come.
    assert_eq!(
        world.targets("f.ns.example.com"),
        [("f-00001".to_owned(), 100)]
    );
    world.observe("f-00001", healthy());
    assert_eq!(world.said("Ready"), "True");
}

#[test]
fn traffic_moves_to_a_new_revision_only_when_it_is_ready() {
    let mut world = World::new(&json!([]));
    world.settle();
    world.observe("f-00001", healthy());
    world.update_image("b");
    assert_eq!(
        world.service().status.latest_created_revision_name,
        "f-00002"
    );
    assert_eq!(
        world.targets("f.ns.example.com"),
        [("f-00001".to_owned(), 100)]
    );
    world.observe("f-00002", healthy());
    assert_eq!(
        world.targets("f.ns.example.com"),
        [("f-00002".to_owned(), 100)]
    );
    assert_eq!(world.said("Ready"), "True");
}

#[test]
fn a_failing_update_keeps_the_traffic_where_it_was() {
    let mut world = World::new(&json!([]));
    world.settle();
    world.observe("f-00001", healthy());
    world.update_image("b");
    world.observe("f-00002", crashed());
    assert_eq!(world.said("Ready"), "False RevisionFailed");
    assert_eq!(world.said("RoutesReady"), "True");
    assert_eq!(
        world.targets("f.ns.example.com"),
        [("f-00001".to_owned(), 100)]
    );
}

#[test]
fn traffic_is_split_and_tags_have_hosts_of_their_own() {
    let mut world = World::new(&json!([
        {"latestRevision": true, "percent": 90, "tag": "new"},
        {"revisionName": "f-00001", "percent": 10, "tag": "old"},
    ]));
    world.settle();
    world.observe("f-00001", healthy());
    world.update_image("b");
    world.observe("f-00002", healthy());
    assert_eq!(
        world.targets("f.ns.example.com"),
        [("f-00002".to_owned(), 90), ("f-00001".to_owned(), 10)]
    );
    assert_eq!(
        world.targets("old-f.ns.example.com"),
        [("f-00001".to_owned(), 100)]
    );
    assert_eq!(
        world.service().status.traffic[1].url,
        "http://old-f.ns.example.com:8080"
    );
}

#[test]
fn a_revision_that_does_not_exist_is_named() {
    let mut world = World::new(&json!([{"revisionName": "f-00009", "percent": 100}]));
    world.settle();
    world.observe("f-00001", healthy());
    assert_eq!(world.said("RoutesReady"), "False RevisionMissing");
}

#[test]
fn a_deleted_service_takes_its_family_with_it() {
    let mut world = World::new(&json!([]));
    world.settle();
    world.observe("f-00001", healthy());
    world.family.service = None;
    world.settle();
    assert_eq!(
        (world.family.configuration, world.family.route),
        (None, None)
    );
    assert!(world.family.revisions.is_empty());
}

#[test]
fn a_restarted_executor_does_not_take_readiness_back() {
    let mut world = World::new(&json!([]));
    world.settle();
    world.observe("f-00001", healthy());
    world.observe("f-00001", RevisionObservation::default());
    assert_eq!(world.said("Ready"), "True");
}
