//! Volumes, mounts, and variables that come from elsewhere.

use serde_json::{Value, json};

use super::{refusal, service, template};
use crate::resource::SERVICES;
use crate::{admit, unknown_fields};

const AT: &str = "spec.template.spec";

fn with(volumes: &Value, mounts: &Value) -> Value {
    service(
        &json!({"template": {"spec": {"volumes": volumes, "containers": [{"image": "a", "volumeMounts": mounts}]}}}),
    )
}

/// A service that mounts one volume.
fn mounted(mut volume: Value) -> Value {
    volume["name"] = json!("v");
    with(&json!([volume]), &json!([{"name": "v", "mountPath": "/v"}]))
}

#[test]
fn volumes_and_mounts_must_match() {
    let mount = json!([{"name": "v", "mountPath": "/v"}]);
    let empty = json!([{"name": "v", "emptyDir": {}}]);
    let mount_at = |path: &str| json!([{"name": "v", "mountPath": path}]);
    let at_mount = format!("{AT}.containers[0].volumeMounts[0]");
    for (object, expected) in [
        (
            with(&json!([]), &mount),
            format!("volumeMount has no matching volume: {at_mount}.name"),
        ),
        (
            with(&empty, &json!([])),
            format!("volume with name \"v\" not mounted: {AT}.volumes[0].name"),
        ),
        (
            with(&empty, &mount_at("/dev/")),
            format!("mountPath \"/dev\" is a reserved path: {at_mount}.mountPath"),
        ),
        (
            with(&empty, &mount_at("/a/../dev")),
            format!("mountPath \"/dev\" is a reserved path: {at_mount}.mountPath"),
        ),
        (
            with(&empty, &mount_at("data")),
            format!("invalid value: data: {at_mount}.mountPath"),
        ),
        (
            with(
                &empty,
                &json!([{"name": "v", "mountPath": "/v", "subPath": "../x"}]),
            ),
            format!("invalid value: ../x: {at_mount}.subPath"),
        ),
        (
            with(
                &empty,
                &json!([{"name": "v", "mountPath": "/v"}, {"name": "v", "mountPath": "/v/"}]),
            ),
            format!(
                "invalid value: \"/v/\" must be unique: {AT}.containers[0].volumeMounts[1].mountPath"
            ),
        ),
    ] {
        assert_eq!(refusal(object), expected);
    }
}

#[test]
fn a_volume_has_one_of_the_sources_that_there_are() {
    let at = format!("{AT}.volumes[0]");
    let neither = format!(
        "expected exactly one, got neither: {at}.configMap, {at}.emptyDir, {at}.projected, {at}.secret"
    );
    assert_eq!(refusal(mounted(json!({}))), neither);
    assert_eq!(
        refusal(mounted(json!({"hostPath": {"path": "/"}}))),
        format!("{neither}\nmust not set the field(s): {at}.hostPath")
    );
    assert_eq!(
        refusal(mounted(
            json!({"emptyDir": {}, "secret": {"secretName": "s"}})
        )),
        format!("expected exactly one, got both: {at}.emptyDir, {at}.secret")
    );
}

#[test]
fn what_a_volume_holds_is_checked_where_it_is_written() {
    let at = format!("{AT}.volumes[0]");
    let item = |item: Value| mounted(json!({"configMap": {"name": "c", "items": [item]}}));
    for (object, expected) in [
        (
            mounted(json!({"configMap": {}})),
            format!("missing field(s): {at}.configMap.name"),
        ),
        (
            mounted(json!({"secret": {"secretName": "s", "defaultMode": 512}})),
            format!("expected 0 <= 512 <= 511: {at}.secret.defaultMode"),
        ),
        (
            item(json!({"key": "k"})),
            format!("missing field(s): {at}.configMap.items[0].path"),
        ),
        (
            item(json!({"path": "p"})),
            format!("missing field(s): {at}.configMap.items[0].key"),
        ),
        (
            item(json!({"key": "k", "path": "a/../../b"})),
            format!("invalid value: a/../../b: {at}.configMap.items[0].path"),
        ),
        (
            item(json!({"key": "k", "path": "..data"})),
            format!("invalid value: ..data: {at}.configMap.items[0].path"),
        ),
        (
            item(json!({"key": "k", "path": "/etc/passwd"})),
            format!("invalid value: /etc/passwd: {at}.configMap.items[0].path"),
        ),
        (
            item(json!({"key": "k", "path": "p", "mode": -1})),
            format!("expected 0 <= -1 <= 511: {at}.configMap.items[0].mode"),
        ),
        (
            mounted(json!({"emptyDir": {"medium": "Disk"}})),
            format!("invalid value: Disk: {at}.emptyDir.medium"),
        ),
        (
            mounted(json!({"emptyDir": {"sizeLimit": "-1"}})),
            format!("invalid value: -1: {at}.emptyDir.sizeLimit"),
        ),
        (
            mounted(json!({"projected": {"sources": [{}]}})),
            format!(
                "expected exactly one, got neither: {at}.projected.sources[0].configMap, {at}.projected.sources[0].secret"
            ),
        ),
        (
            mounted(
                json!({"projected": {"sources": [{"secret": {"items": [{"key": "k", "path": "p"}]}}]}}),
            ),
            format!("missing field(s): {at}.projected.sources[0].secret.name"),
        ),
        (
            mounted(
                json!({"projected": {"sources": [{"serviceAccountToken": {"path": "t"}, "configMap": {"name": "c"}}]}}),
            ),
            format!("must not set the field(s): {at}.projected.sources[0].serviceAccountToken"),
        ),
    ] {
        assert_eq!(refusal(object), expected);
    }
}

#[test]
fn volumes_of_all_kinds_are_taken_and_read_only_but_for_empty_ones() {
    let volumes = json!([
        {"name": "c", "configMap": {"name": "c", "items": [{"key": "k", "path": "a/b", "mode": 256}], "optional": true}},
        {"name": "s", "secret": {"secretName": "s", "defaultMode": 256}},
        {"name": "p", "projected": {"sources": [{"configMap": {"name": "c"}}, {"secret": {"name": "s"}}]}},
        {"name": "e", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
    ]);
    let mounts = json!([
        {"name": "c", "mountPath": "/c", "subPath": "a/b"},
        {"name": "s", "mountPath": "/s"},
        {"name": "p", "mountPath": "/p"},
        {"name": "e", "mountPath": "/e"},
    ]);
    let mut object = with(&volumes, &mounts);
    assert_eq!(unknown_fields(&SERVICES, &object), Vec::<String>::new());
    admit(&SERVICES, &mut object, None).unwrap();
    let spec = &object["spec"]["template"]["spec"];
    assert_eq!(spec["volumes"], volumes);
    let mounts = &spec["containers"][0]["volumeMounts"];
    let read_only: Vec<bool> = (0..4).map(|it| mounts[it]["readOnly"] == true).collect();
    assert_eq!(read_only, [true, true, true, false]);
}

#[test]
fn a_misspelt_source_is_told_by_its_path() {
    let object = mounted(json!({"configMap": {"name": "c", "itmes": []}}));
    assert_eq!(
        unknown_fields(&SERVICES, &object),
        [format!("{AT}.volumes[0].configMap.itmes")]
    );
}

#[test]
fn a_variable_comes_from_one_place() {
    let at = format!("{AT}.containers[0]");
    let env = |variable: Value| template(&json!({"image": "a", "env": [variable]}));
    let from = |source: Value| template(&json!({"image": "a", "envFrom": [source]}));
    let selector = json!({"name": "c", "key": "k"});
    for (object, expected) in [
        (
            env(json!({"name": "X", "value": "x", "valueFrom": {"secretKeyRef": selector}})),
            format!("expected exactly one, got both: {at}.env[0].value, {at}.env[0].valueFrom"),
        ),
        (
            env(
                json!({"name": "X", "valueFrom": {"secretKeyRef": selector, "configMapKeyRef": selector}}),
            ),
            format!(
                "expected exactly one, got both: {at}.env[0].valueFrom.configMapKeyRef, {at}.env[0].valueFrom.secretKeyRef"
            ),
        ),
        (
            env(json!({"name": "X", "valueFrom": {"secretKeyRef": {}}})),
            format!(
                "missing field(s): {at}.env[0].valueFrom.secretKeyRef.key, {at}.env[0].valueFrom.secretKeyRef.name"
            ),
        ),
        (
            env(json!({"name": "A=B", "value": "x"})),
            format!("invalid value: A=B: {at}.env[0].name"),
        ),
        (
            from(json!({"prefix": "P_"})),
            format!(
                "expected exactly one, got neither: {at}.envFrom.configMapRef, {at}.envFrom.secretRef"
            ),
        ),
        (
            from(json!({"configMapRef": {"name": "c"}, "secretRef": {"name": "s"}})),
            format!(
                "expected exactly one, got both: {at}.envFrom.configMapRef, {at}.envFrom.secretRef"
            ),
        ),
        (
            from(json!({"configMapRef": {"optional": true}})),
            format!("missing field(s): {at}.envFrom[0].configMapRef.name"),
        ),
    ] {
        assert_eq!(refusal(object), expected);
    }
}
