//! What is set for those who do not set it.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{service, template};
use crate::admit;
use crate::resource::SERVICES;

#[test]
fn defaults_are_set_and_setting_them_again_changes_nothing() {
    let mut once = template(&json!({"image": "a"}));
    admit(&SERVICES, &mut once, None).unwrap();
    let spec = &once["spec"]["template"]["spec"];
    assert_eq!(spec["timeoutSeconds"], 300);
    assert_eq!(spec["containerConcurrency"], 0);
    assert_eq!(spec["enableServiceLinks"], false);
    assert_eq!(spec["containers"][0]["name"], "user-container");
    assert_eq!(
        spec["containers"][0]["readinessProbe"],
        json!({"tcpSocket": {"port": 0}, "successThreshold": 1})
    );
    assert_eq!(
        once["spec"]["traffic"],
        json!([{"latestRevision": true, "percent": 100}])
    );
    let mut twice = once.clone();
    admit(&SERVICES, &mut twice, None).unwrap();
    assert_eq!(twice, once);
}

#[test]
fn a_target_without_a_share_has_none() {
    let mut object = service(
        &json!({"template": {"spec": {"containers": [{"image": "a"}]}}, "traffic": [
        {"percent": 100}, {"revisionName": "svc-00001", "tag": "old"}]}),
    );
    admit(&SERVICES, &mut object, None).unwrap();
    assert_eq!(
        object["spec"]["traffic"],
        json!([{"latestRevision": true, "percent": 100},
               {"latestRevision": false, "percent": 0, "revisionName": "svc-00001", "tag": "old"}])
    );
}

#[test]
fn a_periodic_probe_gets_kubernetes_defaults() {
    let mut object = template(
        &json!({"image": "a", "readinessProbe": {"httpGet": {"path": "/"}, "periodSeconds": 5}}),
    );
    admit(&SERVICES, &mut object, None).unwrap();
    assert_eq!(
        object["spec"]["template"]["spec"]["containers"][0]["readinessProbe"],
        json!({"httpGet": {"path": "/"}, "periodSeconds": 5, "successThreshold": 1,
               "failureThreshold": 3, "timeoutSeconds": 1})
    );
}

#[test]
fn the_maker_and_the_last_changer_are_noted_and_nobody_can_forge_them() {
    let signed = |object: &Value| {
        ["creator", "lastModifier"].map(|key| {
            object["metadata"]["annotations"][format!("serving.knative.dev/{key}")].clone()
        })
    };
    let mut old = template(&json!({"image": "a"}));
    old["metadata"]["annotations"] = json!({"serving.knative.dev/creator": "mallory"});
    admit(&SERVICES, &mut old, None).unwrap();
    assert_eq!(signed(&old), [json!("vhive-admin"), json!("vhive-admin")]);
    // As if another user had made it.
    old["metadata"]["annotations"]["serving.knative.dev/creator"] = json!("alice");
    old["metadata"]["annotations"]["serving.knative.dev/lastModifier"] = json!("alice");
    let mut same = template(&json!({"image": "a"}));
    admit(&SERVICES, &mut same, Some(&old)).unwrap();
    assert_eq!(signed(&same), [json!("alice"), json!("alice")]);
    let mut changed = template(&json!({"image": "b"}));
    admit(&SERVICES, &mut changed, Some(&old)).unwrap();
    assert_eq!(signed(&changed), [json!("alice"), json!("vhive-admin")]);
}

#[test]
fn containers_without_a_name_are_numbered_past_the_names_that_are_taken() {
    for (given, expected) in [
        (json!([{}]), json!(["user-container"])),
        (json!([{"name": "app"}]), json!(["app"])),
        (
            json!([{}, {}]),
            json!(["user-container-0", "user-container-1"]),
        ),
        (
            json!([{"name": "user-container-0"}, {}, {}]),
            json!(["user-container-0", "user-container-1", "user-container-2"]),
        ),
        (
            json!([{}, {"name": "user-container-0"}, {}]),
            json!(["user-container-1", "user-container-0", "user-container-2"]),
        ),
    ] {
        let mut containers = given.clone();
        for (index, container) in containers.as_array_mut().unwrap().iter_mut().enumerate() {
            container["image"] = json!("a");
            if index == 0 {
                container["ports"] = json!([{"containerPort": 8080}]);
            }
        }
        let mut object = service(&json!({"template": {"spec": {"containers": containers}}}));
        admit(&SERVICES, &mut object, None).unwrap();
        let containers = object["spec"]["template"]["spec"]["containers"]
            .as_array()
            .unwrap();
        let names: Value = containers.iter().map(|it| it["name"].clone()).collect();
        assert_eq!(names, expected, "{given}");
        let probed: Vec<bool> = containers
            .iter()
            .map(|it| it.get("readinessProbe").is_some())
            .collect();
        assert!(probed[0], "the one that serves is probed");
        assert!(!probed[1..].contains(&true), "the others are not");
    }
}

#[test]
fn probes_get_what_their_kind_needs() {
    for (given, expected) in [
        (
            json!({}),
            json!({"tcpSocket": {"port": 0}, "successThreshold": 1}),
        ),
        (
            json!({"httpGet": {"path": "/ok"}}),
            json!({"httpGet": {"path": "/ok"}, "successThreshold": 1}),
        ),
        (
            json!({"exec": {"command": ["x"]}, "successThreshold": 3}),
            json!({"exec": {"command": ["x"]}, "successThreshold": 3}),
        ),
        (
            json!({"grpc": {"port": 9000}}),
            json!({"grpc": {"port": 9000, "service": ""}, "successThreshold": 1}),
        ),
        (
            json!({"grpc": {"port": 9000, "service": "s"}}),
            json!({"grpc": {"port": 9000, "service": "s"}, "successThreshold": 1}),
        ),
        (
            json!({"periodSeconds": 2, "timeoutSeconds": 7}),
            json!({"tcpSocket": {"port": 0}, "successThreshold": 1, "periodSeconds": 2, "timeoutSeconds": 7, "failureThreshold": 3}),
        ),
    ] {
        let mut object = template(&json!({"image": "a", "readinessProbe": given}));
        admit(&SERVICES, &mut object, None).unwrap();
        let container = &object["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["readinessProbe"], expected, "{given}");
    }
    let mut object = template(&json!({"image": "a", "livenessProbe": {"grpc": {}}}));
    admit(&SERVICES, &mut object, None).unwrap();
    let container = &object["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(
        container["livenessProbe"],
        json!({"grpc": {"service": ""}}),
        "its counts are Kubernetes' to set"
    );
}

prop_compose! {
    fn a_container()(
        name in prop::option::of("[a-z]{1,5}"),
        port in prop::option::of(1000u16..8000),
        period in prop::option::of(0i32..3),
        named in any::<bool>(),
        action in 0usize..4,
    ) -> Value {
        let mut container = json!({"image": "a"});
        if let Some(name) = name {
            container["name"] = json!(name);
        }
        if let Some(port) = port {
            container["ports"] = json!([{"containerPort": port, "name": if named { "h2c" } else { "" }}]);
        }
        if let Some(period) = period {
            let mut probe = [json!({}), json!({"grpc": {}}), json!({"httpGet": {}}), json!({"exec": {"command": ["x"]}})][action].clone();
            probe["periodSeconds"] = json!(period);
            container["readinessProbe"] = probe;
        }
        container
    }
}

proptest! {
    #[test]
    fn what_was_admitted_is_admitted_again_unchanged(
        containers in prop::collection::vec(a_container(), 1..4),
        timeout in prop::option::of(0i64..650),
        shares in prop::collection::vec(0i64..100, 0..3),
    ) {
        let mut spec = json!({"template": {"spec": {"containers": containers}}});
        if let Some(timeout) = timeout {
            spec["template"]["spec"]["timeoutSeconds"] = json!(timeout);
        }
        if !shares.is_empty() {
            let rest = 100 - shares.iter().sum::<i64>();
            let targets = shares.iter().chain([&rest]).map(|share| json!({"percent": share}));
            spec["traffic"] = targets.collect();
        }
        let mut once = service(&spec);
        if admit(&SERVICES, &mut once, None).is_ok() {
            let mut twice = once.clone();
            admit(&SERVICES, &mut twice, Some(&once)).unwrap();
            prop_assert_eq!(twice, once);
        }
    }
}
