//! What goes, or was left behind, is the collection's: a plan neither makes children of it nor writes to them.

use serde_json::json;

use super::world::{World, healthy};
use crate::plan;

/// A family with all there can be to do: a Revision to make, labels to write, a status to tell.
fn busy() -> World {
    let mut world = World::new(&json!([]));
    world.settle();
    world.observe("f-00001", healthy());
    let family = &mut world.family;
    let service = family.service.as_mut().unwrap();
    service.spec.template.spec.containers[0].image = "b".to_owned();
    service.metadata.generation += 1;
    let configuration = family.configuration.as_mut().unwrap();
    configuration.spec.template.spec.containers[0].image = "c".to_owned();
    configuration.metadata.generation += 1;
    family.route.as_mut().unwrap().metadata.generation += 1;
    family.observations.clear();
    family
        .observations
        .insert("f-00001".to_owned(), crate::RevisionObservation::default());
    let revision = family.revisions.get_mut("f-00001").unwrap();
    revision.metadata.labels.clear();
    world
}

/// Kinds of what is planned to be done, and to what.
fn planned(world: &World) -> Vec<(&'static str, String)> {
    let actions = plan(&world.family, &World::settings(), world.now);
    actions.iter().map(crate::Action::subject).collect()
}

#[test]
fn a_family_whose_service_is_on_its_way_out_is_left_alone() {
    let mut world = busy();
    assert_eq!(planned(&world).len(), 5);
    let service = world.family.service.as_mut().unwrap();
    service.metadata.deletion_timestamp = Some(world.now);
    assert_eq!(planned(&world), []);
    world.family.route = None;
    world.family.configuration = None;
    assert_eq!(planned(&world), [], "nothing is made anew");
}

#[test]
fn what_a_service_that_is_gone_has_left_behind_is_left_alone() {
    let mut world = busy();
    world.family.service = None;
    assert_eq!(planned(&world), []);
}

#[test]
fn a_configuration_on_its_way_out_gets_no_revision_and_a_route_no_status() {
    let mut world = busy();
    let now = Some(world.now);
    let configuration = world.family.configuration.as_mut().unwrap();
    configuration.metadata.deletion_timestamp = now;
    world
        .family
        .route
        .as_mut()
        .unwrap()
        .metadata
        .deletion_timestamp = now;
    assert_eq!(planned(&world), [("Service", "f".to_owned())]);
    world.settle();
    let said = ["ConfigurationsReady", "RoutesReady"].map(|kind| world.said(kind));
    assert_eq!(said, ["Unknown OutOfDate", "Unknown OutOfDate"]);
}

#[test]
fn children_that_were_let_go_live_on() {
    let mut world = World::new(&json!([]));
    world.settle();
    let family = &mut world.family;
    family.service = None;
    let configuration = family.configuration.as_mut().unwrap();
    configuration.metadata.owner_references.clear();
    configuration.spec.template.spec.containers[0].image = "b".to_owned();
    configuration.metadata.generation += 1;
    family
        .route
        .as_mut()
        .unwrap()
        .metadata
        .owner_references
        .clear();
    world.settle();
    world.observe("f-00002", healthy());
    assert_eq!(
        world.targets("f.ns.example.com"),
        [("f-00002".to_owned(), 100)]
    );
}

#[test]
fn a_service_made_anew_waits_for_what_the_one_before_it_has_left_behind() {
    let mut world = World::new(&json!([]));
    world.settle();
    world.observe("f-00001", healthy());
    let service = world.family.service.as_mut().unwrap();
    service.metadata.uid = "another".to_owned();
    service.status = api::serving::ServiceStatus::default();
    world.settle();
    assert_eq!(world.said("Ready"), "Unknown OutOfDate");
    let before = world.family.clone();
    // As the collection takes them, the Revision last.
    world.family.route = None;
    world.family.configuration = None;
    world.settle();
    let family = &world.family;
    assert_eq!(family.revisions, before.revisions);
    assert_eq!(
        family
            .configuration
            .as_ref()
            .unwrap()
            .metadata
            .controller()
            .unwrap()
            .uid,
        "another"
    );
    assert_eq!(world.said("ConfigurationsReady"), "Unknown");
    world.family.revisions.clear();
    world.settle();
    world.observe("f-00001", healthy());
    assert_eq!(world.said("Ready"), "True");
    assert_ne!(
        world.revision("f-00001").metadata.uid,
        before.revisions["f-00001"].metadata.uid
    );
}

#[test]
fn a_revision_that_was_deleted_is_made_anew_only_when_it_is_gone() {
    let mut world = World::new(&json!([]));
    world.settle();
    world.observe("f-00001", healthy());
    let revision = world.family.revisions.get_mut("f-00001").unwrap();
    revision.metadata.deletion_timestamp = Some(world.now);
    world.settle();
    assert_eq!(world.said("ConfigurationsReady"), "Unknown");
    world.family.revisions.clear();
    world.settle();
    world.observe("f-00001", healthy());
    assert_eq!(world.said("Ready"), "True");
}

#[test]
fn owners_that_own_each_other_are_no_riddle() {
    let mut world = World::new(&json!([]));
    world.settle();
    let family = &mut world.family;
    let configuration = family.configuration.as_ref().unwrap();
    let mut owner = configuration.metadata.owner_references[0].clone();
    owner.kind = "Configuration".to_owned();
    owner.uid.clone_from(&configuration.metadata.uid);
    let service = family.service.as_mut().unwrap();
    service.metadata.owner_references = vec![owner];
    world.update_image("b");
    world.observe("f-00002", healthy());
    assert_eq!(world.said("Ready"), "True");
}
