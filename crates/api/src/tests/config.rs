//! `ConfigMaps` and Secrets on their way into the store.

use serde_json::{Value, json};

use crate::core::MAX_BYTES;
use crate::resource::{CONFIG_MAPS, SECRETS};
use crate::{Resource, Status, admit, unknown_fields};

const KEY_RULE: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or \
                        'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

fn object(resource: &Resource, fields: &Value) -> Value {
    let mut object = json!({"apiVersion": "v1", "kind": resource.kind, "metadata": {"name": "it", "namespace": "ns"}});
    for (field, value) in fields.as_object().unwrap() {
        object[field] = value.clone();
    }
    object
}

fn stored(resource: &Resource, fields: &Value) -> Value {
    let mut object = object(resource, fields);
    admit(resource, &mut object, None).unwrap();
    object
}

fn refused(resource: &Resource, fields: &Value, old: Option<&Value>) -> Status {
    let status = admit(resource, &mut object(resource, fields), old).unwrap_err();
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
    status
}

#[test]
fn keys_are_names_of_files() {
    let long = "k".repeat(254);
    for (key, why) in [
        ("a b", KEY_RULE),
        ("a/b", KEY_RULE),
        ("", KEY_RULE),
        (".", "must not be '.'"),
        ("..", "must not be '..'"),
        ("..a", "must not start with '..'"),
        (&long, "must be no more than 253 characters"),
    ] {
        let status = refused(&CONFIG_MAPS, &json!({"data": {key: "v"}}), None);
        assert_eq!(
            status.message,
            format!("ConfigMap \"it\" is invalid: data[{key}]: Invalid value: {key:?}: {why}")
        );
        let status = refused(&SECRETS, &json!({"data": {key: "dg=="}}), None);
        let details = status.details.unwrap();
        assert_eq!(details.kind, "Secret");
        assert_eq!(details.causes[0].field, format!("data[{key}]"));
        assert_eq!(details.causes[0].reason, "FieldValueInvalid");
    }
    let sound = json!({"data": {"a.b-c_D": "", ".hidden": "x", "a..b": "y"}});
    assert_eq!(stored(&CONFIG_MAPS, &sound)["data"], sound["data"]);
}

#[test]
fn a_key_is_a_text_or_bytes() {
    let status = refused(
        &CONFIG_MAPS,
        &json!({"data": {"k": "v"}, "binaryData": {"k": "dg=="}}),
        None,
    );
    assert_eq!(
        status.message,
        "ConfigMap \"it\" is invalid: data[k]: Invalid value: \"k\": duplicate of key present in binaryData"
    );
}

#[test]
fn an_object_holds_a_mebibyte() {
    let half = "x".repeat(MAX_BYTES / 2);
    let full = json!({"data": {"a": half, "b": half}});
    stored(&CONFIG_MAPS, &full);
    let more = json!({"data": {"a": half, "b": half}, "binaryData": {"c": "eA=="}});
    assert_eq!(
        refused(&CONFIG_MAPS, &more, None).message,
        "ConfigMap \"it\" is invalid: []: Too long: may not be more than 1048576 bytes"
    );
    stored(&SECRETS, &json!({"stringData": {"a": half, "b": half}}));
    let more = json!({"stringData": {"a": half, "b": half}, "data": {"c": "eA=="}});
    assert_eq!(
        refused(&SECRETS, &more, None).message,
        "Secret \"it\" is invalid: data: Too long: may not be more than 1048576 bytes"
    );
}

#[test]
fn what_is_immutable_stays() {
    let never = "Forbidden: field is immutable when `immutable` is set";
    let old = stored(
        &CONFIG_MAPS,
        &json!({"data": {"k": "v"}, "immutable": true}),
    );
    let status = refused(&CONFIG_MAPS, &json!({"data": {"k": "w"}}), Some(&old));
    assert_eq!(
        status.message,
        format!("ConfigMap \"it\" is invalid: [immutable: {never}, data: {never}]")
    );
    // Labels are no part of it.
    let mut labelled = old.clone();
    labelled["metadata"]["labels"] = json!({"a": "b"});
    admit(&CONFIG_MAPS, &mut labelled, Some(&old)).unwrap();

    let old = stored(
        &SECRETS,
        &json!({"stringData": {"k": "v"}, "immutable": true}),
    );
    let status = refused(
        &SECRETS,
        &json!({"stringData": {"k": "w"}, "immutable": true}),
        Some(&old),
    );
    assert_eq!(
        status.message,
        format!("Secret \"it\" is invalid: data: {never}")
    );
}

#[test]
fn texts_of_a_secret_become_bytes_and_win() {
    let secret = stored(
        &SECRETS,
        &json!({"data": {"a": "b2xk", "b": "a2VwdA=="}, "stringData": {"a": "new"}}),
    );
    assert_eq!(secret["data"], json!({"a": "bmV3", "b": "a2VwdA=="}));
    assert_eq!(secret.get("stringData"), None);
    assert_eq!(secret["type"], "Opaque");
}

#[test]
fn the_type_of_a_secret_never_changes() {
    let old = stored(&SECRETS, &json!({"type": "example.com/mine"}));
    assert_eq!(
        refused(&SECRETS, &json!({}), Some(&old)).message,
        "Secret \"it\" is invalid: type: Invalid value: \"Opaque\": field is immutable"
    );
}

#[test]
fn secrets_of_known_types_have_what_the_type_says() {
    for (kind, data, missing) in [
        (
            "kubernetes.io/tls",
            json!({"tls.crt": "dg=="}),
            "data[tls.key]",
        ),
        ("kubernetes.io/ssh-auth", json!({}), "data[ssh-privatekey]"),
        (
            "kubernetes.io/dockerconfigjson",
            json!({}),
            "data[.dockerconfigjson]",
        ),
        ("kubernetes.io/dockercfg", json!({}), "data[.dockercfg]"),
        (
            "kubernetes.io/service-account-token",
            json!({}),
            "metadata.annotations[kubernetes.io/service-account.name]",
        ),
    ] {
        let status = refused(&SECRETS, &json!({"type": kind, "data": data}), None);
        assert_eq!(
            status.message,
            format!("Secret \"it\" is invalid: {missing}: Required value")
        );
    }
    stored(
        &SECRETS,
        &json!({"type": "kubernetes.io/basic-auth", "stringData": {"password": "p"}}),
    );
}

#[test]
fn no_refusal_repeats_a_secret() {
    let status = refused(
        &SECRETS,
        &json!({"type": "kubernetes.io/dockercfg", "stringData": {".dockercfg": "hunter2"}}),
        None,
    );
    assert!(!status.message.contains("hunter2"), "{status}");
    let mut broken = object(&SECRETS, &json!({"data": {"k": "hunter2!"}}));
    let status = admit(&SECRETS, &mut broken, None).unwrap_err();
    assert_eq!(status.code, 400);
    assert!(
        status.message.contains("data.k: illegal base64 data")
            && !status.message.contains("hunter2"),
        "{status}"
    );
    let secret: crate::core::Secret = serde_json::from_value(
        json!({"data": {"k": "aHVudGVyMg=="}, "stringData": {"l": "hunter2"}}),
    )
    .unwrap();
    let printed = format!("{secret:?}");
    assert!(
        !printed.contains("hunter2") && !printed.contains("aHVu"),
        "{printed}"
    );
}

#[test]
fn fields_that_there_are_not_are_told() {
    let map = object(&CONFIG_MAPS, &json!({"stringData": {"a": "b"}}));
    assert_eq!(unknown_fields(&CONFIG_MAPS, &map), ["stringData"]);
    let secret = object(&SECRETS, &json!({"stringData": {"a": "b"}}));
    assert_eq!(unknown_fields(&SECRETS, &secret), Vec::<String>::new());
    let mut number = object(&CONFIG_MAPS, &json!({"data": {"port": 8080}}));
    let status = admit(&CONFIG_MAPS, &mut number, None).unwrap_err();
    assert!(
        status
            .message
            .contains("data.port: invalid type: integer `8080`, expected a string"),
        "{status}"
    );
}
