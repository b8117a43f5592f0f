//! What a family says when it cannot be what it is asked to be.

use std::time::Duration;

use api::serving::condition;
use serde_json::json;

use super::world::{World, crashed, healthy, resolved, told};
use crate::{InstanceFailure, Retention, RevisionObservation};

#[test]
fn conditions_name_the_kind_of_failure() {
    let failed = |reason: &str, exit_code| RevisionObservation {
        desired: 1,
        failure: Some(InstanceFailure {
            reason: reason.to_owned(),
            message: "what happened".to_owned(),
            exit_code,
        }),
        ..resolved()
    };
    let starting = RevisionObservation {
        desired: 1,
        starting: 1,
        ..resolved()
    };
    for (name, seen, expected) in [
        (
            "an image on its way",
            RevisionObservation::default(),
            [
                "Unknown Deploying",
                "Unknown ResolvingDigests",
                "Unknown",
                "Unknown Deploying",
            ],
        ),
        (
            "an instance on its way",
            starting,
            [
                "Unknown Queued",
                "Unknown Deploying",
                "Unknown",
                "Unknown Deploying",
            ],
        ),
        (
            "a process that ended",
            failed("ExitCode3", Some(3)),
            [
                "Unknown Queued",
                "False ExitCode3",
                "False",
                "Unknown Deploying",
            ],
        ),
        (
            "an instance that never listened",
            failed("NeverListened", None),
            ["Unknown Queued", "Unknown", "False", "False NeverListened"],
        ),
        ("a ready one", healthy(), ["True", "True", "True", "True"]),
    ] {
        let mut world = World::new(&json!([]));
        world.settle();
        world.observe("f-00001", seen);
        let conditions = &world.revision("f-00001").status.conditions;
        let [active, healthy, ready, available] = expected;
        assert_eq!(told(conditions, "Active"), active, "{name}");
        assert_eq!(told(conditions, "ContainerHealthy"), healthy, "{name}");
        assert_eq!(told(conditions, "ResourcesAvailable"), available, "{name}");
        assert_eq!(
            condition(conditions, "Ready").unwrap().status,
            ready,
            "{name}"
        );
    }
}

#[test]
fn a_crash_is_told_with_its_message_all_the_way_up() {
    let mut world = World::new(&json!([]));
    world.settle();
    world.observe("f-00001", crashed());
    let ready = condition(&world.service().status.conditions, "Ready").unwrap();
    assert_eq!(
        ready.message,
        "Revision \"f-00001\" failed with message: Container failed with: exited with code 3."
    );
    let route = &world.family.route.as_ref().unwrap().status.conditions;
    assert_eq!(
        condition(route, "AllTrafficAssigned").unwrap().message,
        "Configuration \"f\" does not have any ready Revision."
    );
}

#[test]
fn a_revision_that_is_never_ready_fails_at_its_deadline_and_may_still_make_it() {
    let mut world = World::new(&json!([]));
    world.settle();
    world.observe("f-00001", resolved());
    let deadline = world
        .family
        .next_deadline(&Retention::default(), world.now)
        .unwrap();
    assert_eq!(deadline, world.now + Duration::from_secs(600));
    world.now = deadline;
    world.settle();
    let conditions = &world.revision("f-00001").status.conditions;
    assert_eq!(told(conditions, "Ready"), "False ProgressDeadlineExceeded");
    assert_eq!(told(conditions, "Active"), "False TimedOut");
    assert_eq!(
        world.family.next_deadline(&Retention::default(), world.now),
        None
    );
    world.observe("f-00001", healthy());
    assert_eq!(world.said("Ready"), "True");
}

#[test]
fn traffic_for_what_cannot_be_had_stays_where_it_was() {
    let mut world = World::new(&json!([]));
    world.settle();
    world.observe("f-00001", healthy());
    world.update(|service| {
        service.spec.traffic = serde_json::from_value(
            json!([{"revisionName": "f-00009", "latestRevision": false, "percent": 100}]),
        )
        .unwrap();
    });
    assert_eq!(world.said("Ready"), "False RevisionMissing");
    assert_eq!(world.service().status.traffic[0].revision_name, "f-00001");
    assert_eq!(
        world.targets("f.ns.example.com"),
        [("f-00001".to_owned(), 100)]
    );
}

#[test]
fn a_pinned_revision_gets_traffic_when_it_is_ready() {
    let mut world = World::new(&json!([
        {"latestRevision": true, "percent": 50}, {"revisionName": "f-00002", "percent": 50}]));
    world.settle();
    world.observe("f-00001", healthy());
    assert_eq!(world.said("RoutesReady"), "False RevisionMissing");
    world.update_image("b");
    assert_eq!(world.said("RoutesReady"), "Unknown RevisionMissing");
    world.observe("f-00002", crashed());
    assert_eq!(world.said("RoutesReady"), "False RevisionMissing");
    world.observe("f-00002", healthy());
    assert_eq!(world.said("Ready"), "True");
}

#[test]
fn children_that_others_made_are_not_taken() {
    let mut world = World::new(&json!([]));
    world.settle();
    world.observe("f-00001", healthy());
    let configuration = world.family.configuration.as_mut().unwrap();
    configuration.metadata.owner_references.clear();
    world.update_image("b");
    assert_eq!(world.said("ConfigurationsReady"), "False NotOwned");
    assert_eq!(world.said("Ready"), "False NotOwned");
    assert_eq!(world.family.revisions.len(), 1);
}

/// Names the Revision, and gives it another image.
fn named(world: &mut World, name: &str, image: &str) {
    world.update(|service| {
        service.spec.template.metadata.name = name.to_owned();
        service.spec.template.spec.containers[0].image = image.to_owned();
    });
}

#[test]
fn a_revision_can_be_named_and_gone_back_to() {
    let mut world = World::new(&json!([]));
    for (name, image) in [("f-a", "a"), ("f-b", "b"), ("f-a", "a")] {
        named(&mut world, name, image);
        world.observe(name, healthy());
        assert_eq!(world.said("Ready"), "True");
        assert_eq!(world.service().status.latest_created_revision_name, name);
        assert_eq!(world.targets("f.ns.example.com"), [(name.to_owned(), 100)]);
    }
    // The next one fails: the one that was gone back to serves on, not the one that was made after it.
    named(&mut world, "f-c", "c");
    world.observe("f-c", crashed());
    assert_eq!(world.targets("f.ns.example.com"), [("f-a".to_owned(), 100)]);
}

#[test]
fn a_name_of_another_revision_is_refused_and_traffic_stays() {
    let mut world = World::new(&json!([]));
    for (name, image) in [("f-a", "a"), ("f-b", "b")] {
        named(&mut world, name, image);
        world.observe(name, healthy());
    }
    named(&mut world, "f-a", "c");
    assert_eq!(world.said("ConfigurationsReady"), "False RevisionFailed");
    assert_eq!(world.said("RoutesReady"), "False RevisionNameTaken");
    assert_eq!(world.targets("f.ns.example.com"), [("f-b".to_owned(), 100)]);
}

#[test]
fn the_name_of_another_services_revision_is_refused_too() {
    let mut world = World::new(&json!([]));
    world.settle();
    world.observe("f-00001", healthy());
    let mut stranger = world.revision("f-00001").clone();
    stranger.metadata.name = "f-g-00001".to_owned();
    for owner in &mut stranger.metadata.owner_references {
        "g".clone_into(&mut owner.name);
        "g".clone_into(&mut owner.uid);
    }
    let strangers = &mut world.family.strangers;
    strangers.insert("f-g-00001".to_owned(), stranger);
    named(&mut world, "f-g-00001", "b");
    assert_eq!(world.said("ConfigurationsReady"), "False RevisionFailed");
    assert_eq!(world.said("RoutesReady"), "False RevisionNameTaken");
    assert_eq!(
        world.targets("f.ns.example.com"),
        [("f-00001".to_owned(), 100)]
    );
}

#[test]
fn a_function_that_crashes_again_and_again_says_so_with_its_exit_code() {
    let mut world = World::new(&json!([]));
    world.settle();
    world.observe("f-00001", healthy());
    let crashes = |failures| RevisionObservation {
        ever_ready: true,
        failures,
        next_try: Some(world_time(8)),
        ..crashed()
    };
    world.observe("f-00001", crashes(1));
    let ready = |world: &World| {
        let conditions = &world.revision("f-00001").status.conditions;
        let message = condition(conditions, "Ready").unwrap().message.clone();
        (told(conditions, "Ready"), message)
    };
    assert_eq!(ready(&world).0, "False ExitCode3");
    world.observe("f-00001", crashes(3));
    let (reason, message) = ready(&world);
    assert_eq!(reason, "False CrashLoopBackOff");
    for part in ["3 times", "1970-01-01T00:00:08Z", "exited with code 3"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    world.observe("f-00001", healthy());
    assert_eq!(ready(&world).0, "True");
}

fn world_time(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(second).unwrap()
}
