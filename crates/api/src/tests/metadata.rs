//! Names, labels, and who made an object.

use serde_json::{Value, json};

use super::{refusal, refused, sound, taken};
use crate::resource::{CONFIGURATIONS, REVISIONS, ROUTES, SERVICES};
use crate::{Resource, admit};

const RULE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
                    character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
                    validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";

#[test]
fn a_service_has_a_name_or_the_beginning_of_one() {
    let named = |name: &str, generate_name: &str| {
        sound(&json!({"metadata": {"name": name, "generateName": generate_name}}))
    };
    let long = "n".repeat(64);
    refused([
        (
            named("", ""),
            "name or generateName is required: metadata.name".to_owned(),
        ),
        (
            named("My-Service", ""),
            format!("not a DNS 1035 label: [{RULE}]: metadata.name"),
        ),
        (
            named("-a", ""),
            format!("not a DNS 1035 label: [{RULE}]: metadata.name"),
        ),
        (
            named("a_b", ""),
            format!("not a DNS 1035 label: [{RULE}]: metadata.name"),
        ),
        (
            named(&long, ""),
            "not a DNS 1035 label: [must be no more than 63 characters]: metadata.name".to_owned(),
        ),
        (
            named(&format!("{long}."), ""),
            format!(
                "not a DNS 1035 label: [must be no more than 63 characters {RULE}]: metadata.name"
            ),
        ),
        (
            named("", "My-"),
            format!("not a DNS 1035 label prefix: [{RULE}]: metadata.generateName"),
        ),
        // Of two problems the first.
        (
            named("a.b", "c.d"),
            format!("not a DNS 1035 label prefix: [{RULE}]: metadata.generateName"),
        ),
    ]);
    taken([
        named("a", ""),
        named("", "my-"),
        named("my-1", "my-"),
        named(&"n".repeat(63), ""),
    ]);
}

#[test]
fn a_revision_is_named_after_its_service() {
    let revision = |metadata: Value, service: Value| {
        sound(&json!({"metadata": service, "spec": {"template": {"metadata": metadata}}}))
    };
    let svc = || json!({"name": "svc"});
    let at = "spec.template.metadata";
    refused([
        (
            revision(json!({"name": "other-v1"}), svc()),
            format!("invalid value: \"other-v1\" must have prefix \"svc-\": {at}.name"),
        ),
        (
            revision(json!({"name": "svc"}), svc()),
            format!("invalid value: \"svc\" must have prefix \"svc-\": {at}.name"),
        ),
        (
            revision(json!({"name": "svcv1"}), svc()),
            format!("invalid value: \"svcv1\" must have prefix \"svc-\": {at}.name"),
        ),
        (
            revision(json!({"name": "svc-v1.0"}), svc()),
            format!("invalid value: not a DNS 1035 label: [{RULE}]: {at}.name"),
        ),
        (
            revision(json!({"name": format!("svc-{}", "v".repeat(60))}), svc()),
            format!(
                "invalid value: not a DNS 1035 label: [must be no more than 63 characters]: {at}.name"
            ),
        ),
        (
            revision(json!({"generateName": "svc.v"}), svc()),
            format!("invalid value: not a DNS 1035 label prefix: [{RULE}]: {at}.generateName"),
        ),
        (
            revision(
                json!({"name": "svc-v1"}),
                json!({"name": "", "generateName": "svc-"}),
            ),
            format!("must not set the field(s): {at}.name"),
        ),
    ]);
    taken([
        revision(json!({"name": "svc-v1"}), svc()),
        revision(json!({"name": "svc-00042"}), svc()),
        revision(
            json!({"name": "svc-v1"}),
            json!({"name": "svc", "generateName": "svc-"}),
        ),
        revision(json!({"generateName": "anything-"}), svc()),
    ]);
}

/// What replacing `old`, which is admitted first, by `new` is refused with.
fn refused_change(resource: &Resource, mut old: Value, mut new: Value) -> String {
    admit(resource, &mut old, None).unwrap();
    let status = admit(resource, &mut new, Some(&old)).unwrap_err();
    assert_eq!(status.code, 400);
    status.message.replace("validation failed: ", "")
}

#[test]
fn who_made_an_object_is_never_changed() {
    let signed = |annotations: Value, image: &str| {
        sound(
            &json!({"metadata": {"annotations": annotations}, "spec": {"template": {"spec": {"containers": [{"image": image}]}}}}),
        )
    };
    let creator = "serving.knative.dev/creator";
    let modifier = "serving.knative.dev/lastModifier";
    let at = "metadata.annotations";
    for (annotations, image, expected) in [
        (
            json!({creator: "mallory"}),
            "a",
            format!("annotation value is immutable: {at}.{creator}"),
        ),
        (
            json!({creator: ""}),
            "a",
            format!("annotation value is immutable: {at}.{creator}"),
        ),
        (
            json!({creator: "mallory"}),
            "b",
            format!("annotation value is immutable: {at}.{creator}"),
        ),
        (
            json!({modifier: "mallory"}),
            "a",
            format!("invalid value: mallory: {at}.{modifier}"),
        ),
        (
            json!({modifier: ""}),
            "a",
            format!("invalid value: : {at}.{modifier}"),
        ),
        (
            json!({creator: "mallory", modifier: "mallory"}),
            "a",
            format!(
                "annotation value is immutable: {at}.{creator}\ninvalid value: mallory: {at}.{modifier}"
            ),
        ),
    ] {
        let new = signed(annotations.clone(), image);
        assert_eq!(
            refused_change(&SERVICES, signed(json!({}), "a"), new),
            expected,
            "{annotations}"
        );
    }
    // With another spec the last modifier is whoever sends it.
    let mut old = signed(json!({}), "a");
    admit(&SERVICES, &mut old, None).unwrap();
    let mut new = signed(json!({modifier: "mallory"}), "b");
    admit(&SERVICES, &mut new, Some(&old)).unwrap();
    assert_eq!(
        new["metadata"]["annotations"][modifier],
        crate::admission::USER
    );
}

#[test]
fn signatures_of_what_belongs_to_another_object_are_its_owners() {
    let owned = |creator: &str| {
        json!({"metadata": {
            "name": "svc", "annotations": {"serving.knative.dev/creator": creator},
            "ownerReferences": [{"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "svc", "uid": "1", "controller": true}],
        }, "spec": {"traffic": [{"configurationName": "svc", "percent": 100}]}})
    };
    let mut old = owned("alice");
    admit(&ROUTES, &mut old, None).unwrap();
    assert_eq!(old, {
        let mut expected = owned("alice");
        expected["apiVersion"] = json!("");
        expected["kind"] = json!("");
        expected["spec"]["traffic"][0]["latestRevision"] = json!(true);
        expected
    });
    admit(&ROUTES, &mut owned("bob"), Some(&old)).unwrap();
    // One that nobody owns is signed.
    let free = |creator: &str| {
        json!({"metadata": {"name": "r", "annotations": {"serving.knative.dev/creator": creator}},
               "spec": {"traffic": [{"configurationName": "svc", "percent": 100}]}})
    };
    let expected =
        "annotation value is immutable: metadata.annotations.serving.knative.dev/creator";
    assert_eq!(refused_change(&ROUTES, free(""), free("bob")), expected);
}

#[test]
fn labels_that_say_whose_an_object_is_are_true() {
    let labelled = |label: &str, owner: Option<(&str, &str)>, spec: Value| {
        let owners: Vec<Value> = owner
            .into_iter()
            .map(|(kind, name)| json!({"apiVersion": "serving.knative.dev/v1", "kind": kind, "name": name, "uid": "1"}))
            .collect();
        let label = format!("serving.knative.dev/{label}");
        json!({"metadata": {"name": "svc-1", "labels": {label: "svc"}, "ownerReferences": owners}, "spec": spec})
    };
    let template = || json!({"template": {"spec": {"containers": [{"image": "a"}]}}});
    let revision = || json!({"containers": [{"image": "a"}]});
    let traffic = || json!({"traffic": [{"configurationName": "svc", "percent": 100}]});
    for (resource, label, spec, kind) in [
        (CONFIGURATIONS, "service", template(), "Service"),
        (ROUTES, "service", traffic(), "Service"),
        (REVISIONS, "configuration", revision(), "Configuration"),
    ] {
        for owner in [None, Some((kind, "other")), Some(("Other", "svc"))] {
            let status =
                admit(&resource, &mut labelled(label, owner, spec.clone()), None).unwrap_err();
            assert_eq!(
                status.message,
                format!(
                    "validation failed: missing field(s): metadata.labels.serving.knative.dev/{label}"
                ),
                "{} {owner:?}",
                resource.kind
            );
        }
        admit(
            &resource,
            &mut labelled(label, Some((kind, "svc")), spec),
            None,
        )
        .unwrap();
    }
    // A Service's own labels are nobody's but the user's.
    taken([sound(
        &json!({"metadata": {"labels": {"serving.knative.dev/service": "x"}}}),
    )]);
}

#[test]
fn a_named_revision_changes_only_with_its_name() {
    let named = |name: &str, fields: &Value| {
        let mut spec = json!({"containers": [{"image": "a"}]});
        for (key, value) in fields.as_object().unwrap() {
            spec[key] = value.clone();
        }
        sound(&json!({"spec": {"template": {"metadata": {"name": name}, "spec": spec}}}))
    };
    let told = "Saw the following changes without a name change (-old +new): spec.template.metadata.name\n";
    for (change, expected) in [
        (
            json!({"timeoutSeconds": 20}),
            "spec.timeoutSeconds:\n\t-: 300\n\t+: 20\n",
        ),
        (
            json!({"containers": [{"image": "b"}]}),
            "spec.containers[0].image:\n\t-: \"a\"\n\t+: \"b\"\n",
        ),
        (
            json!({"containers": [{"image": "a", "env": [{"name": "A", "value": "1"}]}]}),
            "spec.containers[0].env:\n\t+: [{\"name\":\"A\",\"value\":\"1\"}]\n",
        ),
    ] {
        let found = refused_change(
            &SERVICES,
            named("svc-v1", &json!({})),
            named("svc-v1", &change),
        );
        assert_eq!(found, format!("{told}{expected}"));
    }
    let mut old = named("svc-v1", &json!({}));
    admit(&SERVICES, &mut old, None).unwrap();
    for mut new in [
        named("svc-v1", &json!({})),
        named("svc-v2", &json!({"timeoutSeconds": 20})),
        named("", &json!({"timeoutSeconds": 20})),
    ] {
        admit(&SERVICES, &mut new, Some(&old)).unwrap();
    }
}

#[test]
fn newer_defaults_do_not_change_a_named_revision() {
    let named = |timeout: i64| {
        sound(
            &json!({"spec": {"template": {"metadata": {"name": "svc-v1"}, "spec": {"timeoutSeconds": timeout}}}}),
        )
    };
    let mut old = named(600);
    admit(&SERVICES, &mut old, None).unwrap();
    // As if it had been made when there was no such default.
    let spec = old["spec"]["template"]["spec"].as_object_mut().unwrap();
    spec.remove("responseStartTimeoutSeconds").unwrap();
    let mut again = named(600);
    admit(&SERVICES, &mut again, Some(&old)).unwrap();
    assert_eq!(again["spec"], old["spec"]);
    let mut changed = named(500);
    let status = admit(&SERVICES, &mut changed, Some(&old)).unwrap_err();
    assert!(status.message.contains("spec.timeoutSeconds:"), "{status}");
}

#[test]
fn of_a_try_to_change_a_revision_nothing_else_is_told() {
    let revision = |image: &str, window: &str| {
        json!({"metadata": {"name": "r-1", "annotations": {"autoscaling.knative.dev/window": window}},
               "spec": {"containers": [{"name": "c", "image": image}]}})
    };
    let message = |old: &str, new: (&str, &str)| {
        let mut new = revision(new.0, new.1);
        admit(&REVISIONS, &mut new, Some(&revision(old, "60s")))
            .unwrap_err()
            .message
    };
    assert_eq!(
        message("a", ("b", "1s")),
        "validation failed: Immutable fields changed (-old +new): spec\ncontainers[0].image:\n\t-: \"a\"\n\t+: \"b\"\n"
    );
    assert_eq!(
        message("a", ("a", "1s")),
        "validation failed: expected 6s <= 1s <= 1h0m0s: metadata.annotations.autoscaling.knative.dev/window"
    );
}

#[test]
fn errors_of_several_places_are_sorted_and_merged() {
    let object = sound(&json!({
        "metadata": {"name": "Svc"},
        "spec": {
            "template": {
                "metadata": {"name": "x"},
                "spec": {
                    "timeoutSeconds": -1, "idleTimeoutSeconds": -1, "hostPID": true,
                    "containers": [{"stdin": true, "ports": [{"containerPort": 8012, "hostPort": 1}], "env": [{}]}],
                },
            },
            "traffic": [{"percent": 100, "url": "http://x", "tag": "a"}, {"tag": "a"}],
        },
    }));
    let at = "spec.template.spec";
    assert_eq!(
        refusal(object),
        format!(
            "Multiple definitions for \"a\": spec.traffic[0].tag, spec.traffic[1].tag\n\
             expected 0 <= -1 <= 600: {at}.idleTimeoutSeconds, {at}.timeoutSeconds\n\
             invalid value: \"x\" must have prefix \"Svc-\": spec.template.metadata.name\n\
             invalid value: 8012 is a reserved port: {at}.containers[0].ports.containerPort\n\
             8012 is a reserved port, please use a different value\n\
             missing field(s): {at}.containers[0].env[0].name, {at}.containers[0].image\n\
             must not set the field(s): {at}.containers[0].ports.hostPort, {at}.containers[0].stdin, {at}.hostPID, \
             spec.traffic[0].url\n\
             not a DNS 1035 label: [{RULE}]: metadata.name"
        )
    );
}
