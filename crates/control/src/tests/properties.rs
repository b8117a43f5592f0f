//! What holds whatever happens.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::world::{World, crashed, healthy, resolved};
use crate::{Retention, RevisionObservation, plan};

#[derive(Debug, Clone)]
enum Event {
    Seen { revision: usize, what: usize },
    NewImage(u8),
    NewName(u8, u8),
    Pin { revision: usize, share: i64 },
    RevisionDeleted(usize),
    NodeRestarted,
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0usize..4, 0usize..4).prop_map(|(revision, what)| Event::Seen { revision, what }),
        2 => (0u8..4).prop_map(Event::NewImage),
        1 => (0u8..2, 0u8..3).prop_map(|(name, image)| Event::NewName(name, image)),
        1 => (0usize..4, 0i64..=100).prop_map(|(revision, share)| Event::Pin { revision, share }),
        1 => (0usize..4).prop_map(Event::RevisionDeleted),
        1 => Just(Event::NodeRestarted),
        1 => (1u64..1000).prop_map(Event::Wait),
    ]
}

fn happen(world: &mut World, event: &Event) {
    let name = |world: &World, index: usize| world.family.revisions.keys().nth(index).cloned();
    match *event {
        Event::Seen { revision, what } => {
            let seen = [
                RevisionObservation::default(),
                resolved(),
                crashed(),
                healthy(),
            ];
            if let Some(name) = name(world, revision) {
                world.observe(&name, seen[what].clone());
            }
        }
        Event::NewImage(image) => world.update(|service| {
            service.spec.template.metadata.name.clear();
            service.spec.template.spec.containers[0].image = format!("image{image}");
        }),
        Event::NewName(name, image) => world.update(|service| {
            service.spec.template.metadata.name = format!("f-n{name}");
            service.spec.template.spec.containers[0].image = format!("image{image}");
        }),
        Event::Pin { revision, share } => {
            let pinned = name(world, revision).unwrap_or_else(|| "f-gone".to_owned());
            let traffic = json!([
                {"latestRevision": true, "percent": 100 - share},
                {"latestRevision": false, "revisionName": pinned, "percent": share, "tag": "old"},
            ]);
            world.update(|service| service.spec.traffic = serde_json::from_value(traffic).unwrap());
        }
        Event::RevisionDeleted(index) => {
            if let Some(name) = name(world, index) {
                world.family.revisions.remove(&name);
                world.family.observations.remove(&name);
            }
        }
        Event::NodeRestarted => {
            for seen in world.family.observations.values_mut() {
                *seen = RevisionObservation::default();
            }
        }
        Event::Wait(seconds) => world.now += Duration::from_secs(seconds),
    }
    world.settle();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_family_comes_to_rest_and_its_status_adds_up(events in prop::collection::vec(event(), 1..20)) {
        let mut world = World::new(&json!([]));
        world.settle();
        for event in events {
            happen(&mut world, &event);
            // A plan that was carried out asks for nothing more until the time that it names.
            let deadline = world.family.next_deadline(&Retention::default(), world.now);
            world.now += Duration::from_millis(1500);
            if deadline.is_some_and(|deadline| deadline <= world.now) {
                world.settle();
            }
            prop_assert_eq!(plan(&world.family, &World::settings(), world.now), vec![]);
            let service = world.service();
            prop_assert_eq!(service.status.observed_generation, service.metadata.generation);
            let shares: i64 = service.status.traffic.iter().filter_map(|target| target.percent).sum();
            prop_assert!(shares == 100 || service.status.traffic.is_empty(), "{:?}", service.status.traffic);
            if world.said("Ready") == "True" {
                let latest = &service.status.latest_created_revision_name;
                prop_assert_eq!(latest, &service.status.latest_ready_revision_name);
                for (revision, _) in world.targets("f.ns.example.com") {
                    prop_assert!(world.family.revisions.contains_key(&revision), "{} is routed to", revision);
                }
            }
        }
    }
}
