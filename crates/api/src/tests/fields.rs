//! Fields that are unknown, forbidden, empty or of the wrong shape.

use serde_json::{Value, json};

use super::{refusal, service, template};
use crate::resource::SERVICES;
use crate::{admit, unknown_fields};

#[test]
fn unknown_fields_are_named_by_path() {
    let object = service(
        &json!({"tempalte": {"a": 1}, "template": {"spec": {"containers": [{"image": "a", "imagePort": 1, "args": []}]}}}),
    );
    assert_eq!(
        unknown_fields(&SERVICES, &object),
        [
            "spec.tempalte",
            "spec.template.spec.containers[0].imagePort"
        ]
    );
}

#[test]
fn a_field_of_the_wrong_type_is_a_bad_request_that_says_where() {
    let mut object = service(&json!({"template": {"spec": {"containers": "none"}}}));
    let status = admit(&SERVICES, &mut object, None).unwrap_err();
    assert_eq!(status.code, 400);
    assert!(status.message.contains("expected a sequence"), "{status}");
}

#[test]
fn what_a_pod_has_and_a_function_must_not_is_refused_by_path() {
    let pod = |field: &str, value: Value| {
        let mut object = template(&json!({"image": "a"}));
        object["spec"]["template"]["spec"][field] = value;
        object
    };
    let container = |field: &str, value: Value| {
        let mut container = json!({"image": "a"});
        container[field] = value;
        template(&container)
    };
    let mut mount = container(
        "volumeMounts",
        json!([{"name": "a", "mountPath": "/a", "mountPropagation": "Bidirectional"}]),
    );
    mount["spec"]["template"]["spec"]["volumes"] = json!([{"name": "a", "emptyDir": {}}]);
    for (object, path) in [
        (pod("hostNetwork", json!(true)), "hostNetwork"),
        (pod("nodeSelector", json!({"a": "b"})), "nodeSelector"),
        (
            pod("initContainers", json!([{"image": "b"}])),
            "initContainers",
        ),
        (pod("restartPolicy", json!("Never")), "restartPolicy"),
        (
            pod("automountServiceAccountToken", json!(true)),
            "automountServiceAccountToken",
        ),
        (
            container("lifecycle", json!({"preStop": {}})),
            "containers[0].lifecycle",
        ),
        (container("stdin", json!(true)), "containers[0].stdin"),
        (mount, "containers[0].volumeMounts[0].mountPropagation"),
        (
            container("securityContext", json!({"privileged": true})),
            "containers[0].securityContext.privileged",
        ),
        (
            container("ports", json!([{"containerPort": 80, "hostPort": 80}])),
            "containers[0].ports.hostPort",
        ),
        (
            container(
                "env",
                json!([{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
            ),
            "containers[0].env[0].valueFrom.fieldRef",
        ),
    ] {
        assert_eq!(
            unknown_fields(&SERVICES, &object),
            Vec::<String>::new(),
            "{path} is known"
        );
        assert_eq!(
            refusal(object),
            format!("must not set the field(s): spec.template.spec.{path}")
        );
    }
}

#[test]
fn forbidden_fields_that_say_nothing_are_let_through() {
    let mut object =
        template(&json!({"image": "a", "tty": false, "securityContext": {"privileged": false}}));
    object["spec"]["template"]["spec"]["hostNetwork"] = json!(false);
    object["spec"]["template"]["spec"]["securityContext"] = json!({});
    admit(&SERVICES, &mut object, None).unwrap();
    assert_eq!(object["spec"]["template"]["spec"].get("hostNetwork"), None);
}

#[test]
fn null_is_absent() {
    let mut object = template(&json!({"image": "a", "env": null, "resources": null}));
    object["spec"]["traffic"] = json!(null);
    object["spec"]["template"]["metadata"] = json!({"creationTimestamp": null});
    assert_eq!(unknown_fields(&SERVICES, &object), Vec::<String>::new());
    admit(&SERVICES, &mut object, None).unwrap();
}

#[test]
fn empty_fields_are_unknown_too() {
    let object = template(&json!({"image": "a", "enabel": false, "resources": {"limts": {}}}));
    let at = "spec.template.spec.containers[0]";
    assert_eq!(
        unknown_fields(&SERVICES, &object),
        [format!("{at}.enabel"), format!("{at}.resources.limts")]
    );
}

#[test]
fn a_number_is_a_quantity() {
    let mut object =
        template(&json!({"image": "a", "resources": {"limits": {"cpu": 2, "memory": "1Gi"}}}));
    admit(&SERVICES, &mut object, None).unwrap();
    assert_eq!(
        object["spec"]["template"]["spec"]["containers"][0]["resources"],
        json!({"limits": {"cpu": "2", "memory": "1Gi"}})
    );
}

#[test]
fn the_manifests_that_come_with_vhive_are_sound_once_they_have_a_name() {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../configs/knative_workloads"
    );
    let mut count = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut object: Value = serde_yaml_ng::from_str(&text).unwrap();
        object["metadata"]["name"] = json!("svc");
        assert_eq!(
            unknown_fields(&SERVICES, &object),
            Vec::<String>::new(),
            "{}",
            path.display()
        );
        admit(&SERVICES, &mut object, None)
            .unwrap_or_else(|status| panic!("{}: {status}", path.display()));
        count += 1;
    }
    assert!(count > 0, "no manifest in {folder}");
}

#[test]
fn the_stub_containers_of_the_original_vhive_are_taken() {
    let mut object = template(&json!({
        "image": "crccheck/hello-world:latest",
        "ports": [{"name": "h2c", "containerPort": 50051}],
        "env": [{"name": "GUEST_PORT", "value": "50051"}, {"name": "GUEST_IMAGE", "value": "ghcr.io/ease-lab/helloworld:var_workload"}],
    }));
    admit(&SERVICES, &mut object, None).unwrap();
}
