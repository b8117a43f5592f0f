//! A Service through its life.

use std::time::Duration;

use api::serving::{Service, condition};
use serde_json::json;

use super::world::{World, crashed, healthy, resolved, told};
use crate::{ImageState, Retention, RevisionObservation};

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
        world.revision("f-00001").status.container_statuses[0].image_digest,
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
    let conditions = &world.revision("f-00001").status.conditions;
    assert_eq!(told(conditions, "Active"), "False NoTraffic");
    assert_eq!(condition(conditions, "Active").unwrap().severity, "Info");
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
    let conditions = &world.revision("f-00001").status.conditions;
    assert_eq!(told(conditions, "Ready"), "False ContainerMissing");
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
fn a_restarted_executor_does_not_take_readiness_back() {
    let mut world = World::new(&json!([]));
    world.settle();
    world.observe("f-00001", healthy());
    world.observe("f-00001", RevisionObservation::default());
    assert_eq!(world.said("Ready"), "True");
}

#[test]
fn a_revision_that_fails_after_it_has_served_does_not_send_traffic_back_in_history() {
    let mut world = World::new(&json!([]));
    world.settle();
    world.observe("f-00001", healthy());
    world.update_image("b");
    world.observe("f-00002", healthy());
    world.observe(
        "f-00002",
        RevisionObservation {
            ever_ready: true,
            ..crashed()
        },
    );
    assert_eq!(world.said("Ready"), "False RevisionFailed");
    assert_eq!(world.service().status.latest_ready_revision_name, "f-00002");
    assert_eq!(
        world.targets("f.ns.example.com"),
        [("f-00002".to_owned(), 100)]
    );
}

#[test]
fn labels_tell_which_revisions_get_traffic() {
    let mut world = World::new(&json!([]));
    let state = |world: &World, name: &str| {
        let metadata = &world.revision(name).metadata;
        let label = metadata.labels["serving.knative.dev/routingState"].clone();
        (
            label,
            metadata.annotation("serving.knative.dev/routes").is_some(),
        )
    };
    world.settle();
    assert_eq!(state(&world, "f-00001"), ("pending".to_owned(), false));
    world.observe("f-00001", healthy());
    assert_eq!(state(&world, "f-00001"), ("active".to_owned(), true));
    world.update_image("b");
    assert_eq!(state(&world, "f-00002"), ("pending".to_owned(), false));
    world.observe("f-00002", healthy());
    assert_eq!(state(&world, "f-00001"), ("reserve".to_owned(), false));
    assert_eq!(state(&world, "f-00002"), ("active".to_owned(), true));
}

#[test]
fn labels_and_annotations_of_a_service_are_its_familys_too() {
    let mut world = World::new(&json!([]));
    world.settle();
    world.update(|service| {
        let metadata = &mut service.metadata;
        metadata.labels.insert("team".to_owned(), "a".to_owned());
        for (key, value) in [
            ("serving.knative.dev/lastModifier", "alice"),
            ("serving.knative.dev/rollout-duration", "10s"),
            ("kubectl.kubernetes.io/last-applied-configuration", "{}"),
        ] {
            metadata
                .annotations
                .insert(key.to_owned(), value.to_owned());
        }
    });
    let configuration = &world.family.configuration.as_ref().unwrap().metadata;
    let route = &world.family.route.as_ref().unwrap().metadata;
    assert_eq!(configuration.label("team"), Some("a"));
    assert_eq!(
        configuration.label("serving.knative.dev/service"),
        Some("f")
    );
    assert_eq!(configuration.annotations.len(), 1, "{configuration:?}");
    assert_eq!(route.annotations.len(), 2, "{route:?}");
    assert_eq!(configuration.generation, 1, "metadata moves no generation");
    world.update_image("b");
    let revision = &world.revision("f-00002").metadata;
    assert_eq!(
        revision.annotation("serving.knative.dev/creator"),
        Some("alice")
    );
    for (label, value) in [
        ("configuration", "f"),
        ("configurationGeneration", "2"),
        ("service", "f"),
        ("serviceUID", "service"),
    ] {
        assert_eq!(
            revision.label(&format!("serving.knative.dev/{label}")),
            Some(value)
        );
    }
}

#[test]
fn a_local_service_has_no_public_host() {
    let mut world = World::new(&json!([]));
    world.update(|service| {
        let key = "networking.knative.dev/visibility".to_owned();
        service
            .metadata
            .labels
            .insert(key, "cluster-local".to_owned());
    });
    world.observe("f-00001", healthy());
    assert_eq!(world.service().status.url, "http://f.ns.svc.cluster.local");
    assert_eq!(world.targets("f.ns.example.com"), []);
    assert_eq!(world.targets("f.ns"), [("f-00001".to_owned(), 100)]);
}

#[test]
fn a_revision_needs_no_instance_where_none_is_asked_for() {
    let mut world = World::new(&json!([]));
    world.update(|service| service.spec.template.spec.containers[0].image = "another".to_owned());
    let newest = world.service().status.latest_created_revision_name.clone();
    world.observe(
        &newest,
        RevisionObservation {
            starts_at_zero: true,
            ..resolved()
        },
    );
    assert_eq!(world.said("Ready"), "True");
}

#[test]
fn an_old_revision_that_traffic_or_the_template_goes_back_to_is_not_collected() {
    type Change = fn(&mut Service);
    // Each says in another place which one is wanted; nothing else has happened for a long time.
    let changes: [(&str, Change); 2] = [
        ("traffic", |service| {
            service.spec.traffic = serde_json::from_value(
                json!([{"revisionName": "f-0", "latestRevision": false, "percent": 100}]),
            )
            .unwrap();
        }),
        ("template", |service| {
            service.spec.template.metadata.name = "f-0".to_owned();
            service.spec.template.spec.containers[0].image = "image-0".to_owned();
        }),
    ];
    for (name, change) in changes {
        let mut world = World::new(&json!([]));
        for index in 0..22 {
            let revision = format!("f-{index}");
            world.update(|service| {
                service.spec.template.metadata.name.clone_from(&revision);
                service.spec.template.spec.containers[0].image = format!("image-{index}");
            });
            world.observe(&revision, healthy());
            world.now += Duration::from_secs(1);
        }
        assert_eq!(world.family.revisions.len(), 22, "{name}");
        let uid = world.revision("f-0").metadata.uid.clone();
        world.now = world
            .family
            .next_deadline(&Retention::default(), world.now)
            .unwrap();
        world.update(change);
        assert_eq!(
            world.targets("f.ns.example.com"),
            [("f-0".to_owned(), 100)],
            "{name}"
        );
        assert_eq!(world.revision("f-0").metadata.uid, uid, "{name}");
    }
}
