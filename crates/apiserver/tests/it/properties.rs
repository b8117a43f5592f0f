//! What must hold whatever is written: objects come back as they were sent, patches of all kinds add up, and watches with a
//! selector tell what a list with it shows.

use std::collections::BTreeMap;

use apiserver::{Store, store::Key, store::Options};
use base64::{Engine, engine::general_purpose::STANDARD};
use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
};
use serde_json::{Value, json};

use crate::{inside::Inside, server::service};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const SERVICES: &str = "/apis/serving.knative.dev/v1/namespaces/default/services";
const JSON: &str = "application/json";

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(future)
}

/// What is gone after a trip, or has come: what the server adds to metadata is taken away first.
fn as_sent(mut object: Value) -> Value {
    let metadata = object["metadata"].as_object_mut().unwrap();
    for added in [
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "generation",
        "managedFields",
    ] {
        assert!(metadata.remove(added).is_some(), "{added}");
    }
    object
}

fn map() -> impl Strategy<Value = Value> {
    let key = "[a-z][a-z0-9._-]{0,6}";
    let texts = || btree_map("[a-z]{1,6}", "[A-Za-z0-9]{0,6}", 0..4);
    let bytes = btree_map(key, vec(any::<u8>(), 0..12), 0..4);
    (btree_map(key, any::<String>(), 0..4), bytes, texts(), texts(), option::of(any::<bool>())).prop_map(
        |(data, mut bytes, labels, annotations, immutable)| {
            bytes.retain(|key, _| !data.contains_key(key));
            let bytes: BTreeMap<String, String> =
                bytes.into_iter().map(|(key, value)| (key, STANDARD.encode(value))).collect();
            let mut object = json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"},
            });
            for (at, field, value) in [
                ("", "data", json!(data)),
                ("", "binaryData", json!(bytes)),
                ("", "immutable", json!(immutable)),
                ("metadata", "labels", json!(labels)),
                ("metadata", "annotations", json!(annotations)),
            ] {
                if value.is_null() || value == json!({}) {
                    continue;
                }
                match at {
                    "" => object[field] = value,
                    at => object[at][field] = value,
                }
            }
            object
        },
    )
}

async fn comes_back(sent: Value, yaml: bool) {
    let inside = Inside::new(Options::default()).await;
    let (media_type, body) = if yaml {
        ("application/yaml", serde_yaml_ng::to_string(&sent).unwrap())
    } else {
        (JSON, sent.to_string())
    };
    let path = format!("{MAPS}?fieldValidation=Strict");
    let (code, made) = inside.send("POST", &path, media_type, body).await;
    assert_eq!(code, 201, "{made}");
    let one = format!("{MAPS}/a");
    assert_eq!(
        inside.send("GET", &one, JSON, String::new()).await,
        (200, made.clone())
    );
    assert_eq!(as_sent(made.clone()), sent);
    // Written as it was read, nothing changes.
    let (code, again) = inside.send("PUT", &one, JSON, made.to_string()).await;
    assert_eq!((code, &again), (200, &made));
    let Inside {
        folder,
        store,
        router,
    } = inside;
    drop((store, router));
    let store = Store::open(&folder.path().join("store.redb")).unwrap();
    let key = Key::new("configmaps", "default", "a").unwrap();
    assert_eq!(store.get(&key).unwrap().value(), made);
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Merge,
    Json,
    Apply,
}

/// Each kind of patch sets or removes a label of its own.
async fn add_up(patches: Vec<(Kind, Option<u8>)>) {
    let inside = Inside::new(Options::default()).await;
    let (code, made) = inside
        .send("POST", SERVICES, JSON, service("a").to_string())
        .await;
    assert_eq!(code, 201, "{made}");
    let mut labels = BTreeMap::from([("app", "a".to_owned())]);
    for (kind, value) in patches {
        let value = value.map(|value| value.to_string());
        let (label, media_type, patch) = match kind {
            Kind::Merge => {
                let patch = json!({"metadata": {"labels": {"merge": value}}});
                ("merge", "application/merge-patch+json", patch)
            }
            Kind::Json => {
                let place = "/metadata/labels/json";
                let patch = match &value {
                    Some(value) => json!([{"op": "add", "path": place, "value": value}]),
                    None if labels.contains_key("json") => json!([{"op": "remove", "path": place}]),
                    None => json!([]),
                };
                ("json", "application/json-patch+json", patch)
            }
            Kind::Apply => {
                let mut patch = json!({
                    "apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "a"},
                });
                if let Some(value) = &value {
                    patch["metadata"]["labels"] = json!({"apply": value});
                }
                ("apply", "application/apply-patch+yaml", patch)
            }
        };
        let target = format!("{SERVICES}/a?fieldManager=me");
        let (code, after) = inside
            .send("PATCH", &target, media_type, patch.to_string())
            .await;
        assert_eq!(code, 200, "{after}");
        match value {
            Some(value) => drop(labels.insert(label, value)),
            None => drop(labels.remove(label)),
        }
        assert_eq!(after["metadata"]["labels"], json!(labels), "{patch}");
        assert_eq!(after["spec"], made["spec"]);
    }
}

/// Toggles labels of objects, and follows those that have the label, and those of one name, until the last write.
async fn told_as_listed(writes: Vec<(u8, Option<bool>)>) {
    let inside = Inside::new(Options::default()).await;
    let from = inside.store.resource_version();
    let mut there = BTreeMap::<u8, bool>::new();
    let mut said = 0;
    for (name, on) in writes {
        said += 1;
        let one = format!("{MAPS}/n{name}");
        let on_text = |on: bool| if on { "yes" } else { "no" };
        match (on, there.get(&name)) {
            (Some(on), None) => {
                let object = json!({"metadata": {"name": format!("n{name}"), "labels": {"on": on_text(on)}}});
                assert_eq!(
                    inside.send("POST", MAPS, JSON, object.to_string()).await.0,
                    201
                );
                there.insert(name, on);
            }
            (Some(on), Some(_)) => {
                let patch = json!({"metadata": {"labels": {"on": on_text(on)}}, "data": {"said": said.to_string()}});
                let merge = "application/merge-patch+json";
                assert_eq!(
                    inside.send("PATCH", &one, merge, patch.to_string()).await.0,
                    200
                );
                there.insert(name, on);
            }
            (None, Some(_)) => {
                assert_eq!(
                    inside.send("DELETE", &one, JSON, String::new()).await.0,
                    200
                );
                there.remove(&name);
            }
            (None, None) => {}
        }
    }
    let last = json!({"metadata": {"name": "last", "labels": {"on": "yes"}}});
    assert_eq!(
        inside.send("POST", MAPS, JSON, last.to_string()).await.0,
        201
    );
    for selector in [
        "labelSelector=on%3Dyes",
        "labelSelector=on",
        "fieldSelector=metadata.name!%3Dn0",
        "",
    ] {
        let query = format!("{MAPS}?watch=true&resourceVersion={from}&{selector}");
        let mut events = inside.watch(&query).await;
        let mut told = BTreeMap::new();
        loop {
            let event = events.next().await.unwrap();
            let object = event["object"].clone();
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            match event["type"].as_str().unwrap() {
                "ADDED" => assert!(told.insert(name.clone(), object).is_none()),
                "MODIFIED" => assert!(told.insert(name.clone(), object).is_some()),
                "DELETED" => assert!(told.remove(&name).is_some()),
                other => panic!("{other}"),
            }
            if name == "last" {
                break;
            }
        }
        let shown = inside
            .send("GET", &format!("{MAPS}?{selector}"), JSON, String::new())
            .await
            .1;
        let listed: BTreeMap<String, Value> = shown["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| {
                (
                    it["metadata"]["name"].as_str().unwrap().to_owned(),
                    it.clone(),
                )
            })
            .collect();
        assert_eq!(told, listed, "{selector}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn an_object_comes_back_as_it_was_sent(sent in map(), yaml in any::<bool>()) {
        run(comes_back(sent, yaml));
    }

    #[test]
    fn patches_of_all_kinds_add_up_in_any_order(
        patches in vec((prop_oneof![Just(Kind::Merge), Just(Kind::Json), Just(Kind::Apply)], option::of(0_u8..3)), 1..12),
    ) {
        run(add_up(patches));
    }

    #[test]
    fn a_watch_with_a_selector_tells_what_a_list_with_it_shows(
        writes in vec((0_u8..3, option::of(any::<bool>())), 1..20),
    ) {
        run(told_as_listed(writes));
    }
}
