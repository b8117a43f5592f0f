//! What an update changes, and what it leaves as it was.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{sound, template, with_all};
use crate::admit;
use crate::resource::{REVISIONS, ROUTES, SERVICES};

#[test]
fn admission_leaves_the_status_alone() {
    // kn takes an update for a change if the answer's generation is not the observed one: nothing may be observed here.
    let mut old = template(&json!({"image": "a"}));
    admit(&SERVICES, &mut old, None).unwrap();
    assert_eq!(old.get("status"), None);
    old["metadata"]["generation"] = json!(3);
    old["status"] = json!({"observedGeneration": 3, "latestReadyRevisionName": "svc-00003"});
    let mut new = old.clone();
    new["spec"]["template"]["spec"]["containers"][0]["image"] = json!("b");
    admit(&SERVICES, &mut new, Some(&old)).unwrap();
    assert_eq!(new["status"], old["status"]);
    assert_eq!(new["metadata"]["generation"], 3);
}

#[test]
fn a_container_that_is_sent_again_without_its_defaults_makes_no_other_spec() {
    let manifest = || {
        sound(&json!({"spec": {"template": {"spec": {"containers": [
            {"image": "a", "env": [{"name": "A", "value": "1"}], "ports": [{"containerPort": 8080}]},
        ]}}}}))
    };
    let mut old = manifest();
    admit(&SERVICES, &mut old, None).unwrap();
    // What kn makes of the manifest: a merge patch that replaces the list of containers.
    let mut new = old.clone();
    new["spec"]["template"]["spec"]["containers"] =
        manifest()["spec"]["template"]["spec"]["containers"].clone();
    admit(&SERVICES, &mut new, Some(&old)).unwrap();
    assert_eq!(new, old);
}

#[test]
fn a_share_that_is_not_said_is_none_and_not_nothing() {
    let traffic = json!([{"configurationName": "svc", "percent": 100}, {"revisionName": "svc-1", "tag": "old"}]);
    let mut route = json!({"metadata": {"name": "r"}, "spec": {"traffic": traffic}});
    admit(&ROUTES, &mut route, None).unwrap();
    let mut service = sound(&json!({"spec": {"traffic": [{"percent": 100}, {"tag": "next"}]}}));
    admit(&SERVICES, &mut service, None).unwrap();
    for object in [route, service] {
        for target in object["spec"]["traffic"].as_array().unwrap() {
            assert!(target["percent"].is_i64(), "{target}");
            assert!(target["latestRevision"].is_boolean(), "{target}");
        }
    }
}

#[test]
fn a_revision_of_an_earlier_version_may_lack_defaults() {
    let old = json!({"apiVersion": "serving.knative.dev/v1", "kind": "Revision", "metadata": {"name": "r-1"},
                     "spec": {"timeoutSeconds": 600, "containers": [{"name": "c", "image": "a"}]}});
    let mut new = old.clone();
    new["metadata"]["labels"] = json!({"team": "a"});
    admit(&REVISIONS, &mut new, Some(&old)).unwrap();
    assert_eq!(new["spec"], old["spec"]);
}

#[test]
fn signatures_that_are_left_out_are_kept() {
    let mut old = template(&json!({"image": "a"}));
    admit(&SERVICES, &mut old, None).unwrap();
    let mut replaced = template(&json!({"image": "a"}));
    admit(&SERVICES, &mut replaced, Some(&old)).unwrap();
    assert_eq!(replaced, old);
}

/// Drops what admission sets for those who do not.
fn without_defaults(mut object: Value) -> Value {
    let spec = object["spec"]["template"]["spec"].as_object_mut().unwrap();
    for field in [
        "timeoutSeconds",
        "containerConcurrency",
        "enableServiceLinks",
    ] {
        spec.remove(field);
    }
    for container in spec["containers"].as_array_mut().unwrap() {
        let container = container.as_object_mut().unwrap();
        container.remove("name");
        container.remove("readinessProbe");
    }
    object
}

proptest! {
    #[test]
    fn what_is_sent_again_without_its_defaults_is_what_it_was(
        images in prop::collection::vec("[a-z]{2,8}", 1..4),
        serving in any::<prop::sample::Index>(),
        concurrency in 0i64..3,
    ) {
        let serving = serving.index(images.len());
        let containers: Vec<Value> = images.iter().enumerate().map(|(index, image)| {
            if index == serving {
                json!({"image": image, "ports": [{"containerPort": 8080}]})
            } else {
                json!({"image": image})
            }
        }).collect();
        let mut old = with_all(&containers);
        admit(&SERVICES, &mut old, None).unwrap();
        let mut new = without_defaults(old.clone());
        admit(&SERVICES, &mut new, Some(&old)).unwrap();
        prop_assert_eq!(&new, &old);
        // Another spec is another one, defaults or no defaults.
        new["spec"]["template"]["spec"]["containerConcurrency"] = json!(concurrency);
        admit(&SERVICES, &mut new, Some(&old)).unwrap();
        prop_assert_eq!(new["spec"] == old["spec"], concurrency == 0);
    }
}
