use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::{collection::btree_map, collection::vec, prelude::*};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{messages::TypeMeta, *};

/// A body with an object, made from its JSON.
fn body<M: Message + Default + DeserializeOwned>(object: &Value) -> Vec<u8> {
    let message: M = serde_json::from_value(object.clone()).unwrap();
    let text = |field: &str| object[field].as_str().unwrap().to_owned();
    let unknown = Unknown {
        type_meta: Some(TypeMeta {
            api_version: text("apiVersion"),
            kind: text("kind"),
        }),
        raw: message.encode_to_vec(),
        ..Unknown::default()
    };
    [MAGIC, unknown.encode_to_vec().as_slice()].concat()
}

/// What `kubectl` 1.32 sent: Go writes empty texts out, and a time of no seconds.
#[test]
fn what_go_writes_is_read() {
    let namespace = b"k8s\0\n\x0f\n\x02v1\x12\tNamespace\x12\x1c\n\x14\n\x04team\x12\0\x1a\0\"\0*\x002\x008\0B\0\x12\0\x1a\x02\n\0\x1a\0\"\0";
    assert_eq!(
        decode(namespace).unwrap(),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}, "spec": {}, "status": {}})
    );
    let secret = b"k8s\0\n\x0c\n\x02v1\x12\x06Secret\x12\x1d\n\x11\n\x01s\x12\0\x1a\0\"\0*\x002\x008\0B\0\x12\x06\n\x01a\x12\x01b\x1a\0\x1a\0\"\0";
    assert_eq!(
        decode(secret).unwrap(),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "Yg=="}})
    );
    let map = b"k8s\0\n\x0f\n\x02v1\x12\tConfigMap\x12\x1b\n\x11\n\x01c\x12\0\x1a\0\"\0*\x002\x008\0B\0\x12\x06\n\x01a\x12\x01b\x1a\0\"\0";
    assert_eq!(
        decode(map).unwrap(),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}})
    );
    let may_i = b"k8s\0\n2\n\x17authorization.k8s.io/v1\x12\x17SelfSubjectAccessReview\x12?\n\x10\n\0\x12\0\x1a\0\"\0*\x002\x008\0B\0\x12!\n\x1f\n\x07default\x12\x06create\x1a\0\"\0*\x04pods2\0:\0\x1a\x08\x08\0\x12\0\x1a\0 \0\x1a\0\"\0";
    let spec = &decode(may_i).unwrap()["spec"]["resourceAttributes"];
    assert_eq!(
        (&spec["namespace"], &spec["verb"], &spec["resource"]),
        (&json!("default"), &json!("create"), &json!("pods"))
    );
}

#[test]
fn a_body_that_is_none_is_refused_with_the_reason() {
    let raw = |kind: &str, encoding: &str, raw: &[u8]| {
        let unknown = Unknown {
            type_meta: Some(TypeMeta {
                api_version: "v1".to_owned(),
                kind: kind.to_owned(),
            }),
            raw: raw.to_vec(),
            content_encoding: encoding.to_owned(),
            content_type: String::new(),
        };
        [MAGIC, unknown.encode_to_vec().as_slice()].concat()
    };
    let broken_fields = b"\n\x0c\x8a\x01\x09:\x07\n\x05{bad}";
    for (body, why) in [
        (b"".to_vec(), "expected prefix [107 56 115 0]"),
        (b"k8s".to_vec(), "expected prefix [107 56 115 0]"),
        (b"{\"kind\": 1}".to_vec(), "expected prefix [107 56 115 0]"),
        (b"k8s\0\xff\xff".to_vec(), "cannot decode"),
        (raw("ConfigMap", "", b"\x0a\x05abc"), "cannot decode"),
        (
            raw("ConfigMap", "", b"\x12\x04\x0a\x02\xff\xfe"),
            "cannot decode",
        ),
        (
            raw("ConfigMap", "", broken_fields),
            "cannot be represented as JSON",
        ),
        (raw("ConfigMap", "gzip", b""), "compressed"),
        (raw("Pod", "", b""), "no kind Pod of v1"),
        (raw("", "", b""), "no kind"),
        (b"k8s\0".to_vec(), "no kind"),
    ] {
        let error = decode(&body).unwrap_err().to_string();
        assert!(error.contains(why), "{body:?}: {error}");
    }
}

fn texts() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map("[a-z]{1,4}", ".{1,6}", 0..3)
}

/// Metadata as JSON has it: what is empty is not there.
fn metadata() -> impl Strategy<Value = Value> {
    let identity = ("[a-z]{1,8}", "[a-z]{0,8}", 0_i64..3);
    let times = (
        proptest::option::of(0_i64..4_000_000_000),
        proptest::option::of(0_i64..40),
    );
    let owner = ("[a-z]{1,8}", any::<Option<bool>>(), any::<Option<bool>>());
    let lists = (vec("[a-z/]{1,8}", 0..3), vec(owner, 0..2));
    (identity, times, texts(), texts(), lists, any::<bool>()).prop_map(
        |(identity, times, labels, annotations, (finalizers, owners), managed)| {
            let mut metadata = json!({"name": identity.0});
            let mut put = |field: &str, value: Value, empty: bool| {
                if !empty {
                    metadata[field] = value;
                }
            };
            put("namespace", json!(identity.1), identity.1.is_empty());
            put("generation", json!(identity.2), identity.2 == 0);
            let time = times.0.map(|at| jiff::Timestamp::from_second(at).unwrap().to_string());
            put("creationTimestamp", json!(time), time.is_none());
            put("deletionGracePeriodSeconds", json!(times.1), times.1.is_none());
            put("labels", json!(labels), labels.is_empty());
            put("annotations", json!(annotations), annotations.is_empty());
            put("finalizers", json!(finalizers), finalizers.is_empty());
            let owners: Vec<Value> = owners
                .into_iter()
                .map(|(name, controller, block)| {
                    let mut owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": "u"});
                    if controller.is_some() {
                        owner["controller"] = json!(controller);
                    }
                    if block.is_some() {
                        owner["blockOwnerDeletion"] = json!(block);
                    }
                    owner
                })
                .collect();
            put("ownerReferences", json!(owners), owners.is_empty());
            let entry = json!([{
                "manager": "m", "operation": "Update", "apiVersion": "v1", "time": "2026-01-02T03:04:05Z",
                "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {".": {}, "f:a": {}}}, "subresource": "status",
            }]);
            put("managedFields", entry, !managed);
            metadata
        },
    )
}

fn with(kind: &str, metadata: &Value, fields: &[(&str, Value)]) -> Value {
    let mut object = json!({"apiVersion": "v1", "kind": kind, "metadata": metadata});
    for (field, value) in fields {
        if !value.is_null() && *value != json!({}) {
            object[*field] = value.clone();
        }
    }
    object
}

fn in_base64(bytes: &BTreeMap<String, Vec<u8>>) -> Value {
    let encoded = bytes
        .iter()
        .map(|(key, value)| (key.clone(), STANDARD.encode(value).into()));
    Value::Object(encoded.collect())
}

proptest! {
    #[test]
    fn objects_are_the_same_after_a_trip_through_messages(
        metadata in metadata(),
        data in texts(),
        bytes in btree_map("[a-z]{1,4}", vec(any::<u8>(), 0..8), 0..3),
        immutable in any::<Option<bool>>(),
        finalizers in vec("[a-z]{1,8}", 1..3),
    ) {
        let immutable = json!(immutable);
        let binary = in_base64(&bytes);
        let map = with("ConfigMap", &metadata, &[
            ("data", json!(data)), ("binaryData", binary.clone()), ("immutable", immutable.clone()),
        ]);
        prop_assert_eq!(decode(&body::<ConfigMap>(&map)).unwrap(), map);
        let secret = with("Secret", &metadata, &[
            ("data", binary), ("stringData", json!(data)), ("type", "Opaque".into()), ("immutable", immutable),
        ]);
        prop_assert_eq!(decode(&body::<Secret>(&secret)).unwrap(), secret);
        let namespace = with("Namespace", &metadata, &[
            ("spec", json!({"finalizers": finalizers})), ("status", json!({"phase": "Active"})),
        ]);
        prop_assert_eq!(decode(&body::<Namespace>(&namespace)).unwrap(), namespace);
    }

    #[test]
    fn how_to_delete_is_the_same_after_a_trip_through_messages(
        grace in any::<Option<i64>>(),
        uid in any::<Option<bool>>(),
        policy in proptest::option::of("[A-Z][a-z]{3}"),
        dry in any::<bool>(),
    ) {
        let mut options = json!({"apiVersion": "serving.knative.dev/v1", "kind": "DeleteOptions"});
        if let Some(grace) = grace {
            options["gracePeriodSeconds"] = grace.into();
        }
        if let Some(orphan) = uid {
            options["preconditions"] = json!({"uid": "u", "resourceVersion": "7"});
            options["orphanDependents"] = orphan.into();
        }
        if let Some(policy) = policy {
            options["propagationPolicy"] = policy.into();
        }
        if dry {
            options["dryRun"] = json!(["All"]);
        }
        prop_assert_eq!(decode(&body::<DeleteOptions>(&options)).unwrap(), options);
    }

    #[test]
    fn no_bytes_are_too_strange(bytes in vec(any::<u8>(), 0..64), kind in 0_usize..4) {
        let kind = ["Namespace", "ConfigMap", "Secret", "DeleteOptions"][kind];
        let meta = TypeMeta { api_version: "v1".to_owned(), kind: kind.to_owned() };
        let unknown = Unknown { type_meta: Some(meta), raw: bytes.clone(), ..Unknown::default() };
        let _ = decode(&[MAGIC, bytes.as_slice()].concat());
        let _ = decode(&[MAGIC, unknown.encode_to_vec().as_slice()].concat());
    }
}
