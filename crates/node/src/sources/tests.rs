use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;

/// A namespace with one `ConfigMap` and one Secret.
fn lookup(reference: &ObjectName) -> Option<Object> {
    match (reference.kind, reference.name.as_str()) {
        (Kind::ConfigMap, "settings") => {
            let map =
                json!({"data": {"COLOUR": "blue", "size": "3"}, "binaryData": {"blob": "/wA="}});
            serde_json::from_value(map).ok().map(Object::ConfigMap)
        }
        (Kind::Secret, "keys") => {
            let secret = json!({"data": {"token": "czNjcmV0", "blob": "/w=="}});
            serde_json::from_value(secret).ok().map(Object::Secret)
        }
        _ => None,
    }
}

fn wishes(container: Value, volumes: Value) -> Wishes {
    let container: Container = serde_json::from_value(container).unwrap();
    let volumes: Vec<Volume> = serde_json::from_value(volumes).unwrap();
    Wishes::of(&container, &volumes)
}

fn given(container: Value, volumes: Value) -> Result<Given, Error> {
    wishes(container, volumes).fulfil("ns", &lookup, &[("PORT", "8080".into())])
}

fn env(container: Value) -> Result<Vec<(String, String)>, String> {
    let given = given(container, json!([]));
    given.map(|it| it.env).map_err(|error| error.to_string())
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn variables_come_from_whole_objects_first_and_later_ones_win() {
    let from = json!([
        {"configMapRef": {"name": "settings"}, "prefix": "S_"},
        {"configMapRef": {"name": "none", "optional": true}},
        {"configMapRef": {"name": "settings"}},
    ]);
    let own = json!([{"name": "COLOUR", "value": "not $(S_COLOUR)"}, {"name": "LATER", "value": "$(PORT) $(COLOUR)"}]);
    assert_eq!(
        env(json!({"envFrom": from, "env": own})),
        Ok(pairs(&[
            ("S_COLOUR", "blue"),
            ("S_size", "3"),
            ("COLOUR", "not blue"),
            ("size", "3"),
            // The port is declared last, so what comes before does not know it.
            ("LATER", "$(PORT) not blue"),
            ("PORT", "8080"),
        ]))
    );
}

#[test]
fn a_variable_takes_one_key() {
    let map = |key: &str| json!({"configMapKeyRef": {"name": "settings", "key": key}});
    let secret = json!({"secretKeyRef": {"name": "keys", "key": "token"}});
    let own =
        json!([{"name": "A", "valueFrom": map("COLOUR")}, {"name": "B", "valueFrom": secret}]);
    assert_eq!(
        env(json!({"env": own})),
        Ok(pairs(&[("A", "blue"), ("B", "s3cret"), ("PORT", "8080")]))
    );
    // What is kept as bytes is for files.
    let error = env(json!({"env": [{"name": "A", "valueFrom": map("blob")}]})).unwrap_err();
    assert!(error.contains("has no key \"blob\""), "{error}");
}

#[test]
fn what_may_be_missing_is_left_out_and_leaves_what_is_set() {
    let optional = |name: &str, key: &str| json!({"configMapKeyRef": {"name": name, "key": key, "optional": true}});
    let own = json!([
        {"name": "A", "valueFrom": optional("none", "k")},
        {"name": "COLOUR", "valueFrom": optional("settings", "none")},
    ]);
    let from = json!([{"configMapRef": {"name": "settings"}}]);
    assert_eq!(
        env(json!({"envFrom": from, "env": own})),
        Ok(pairs(&[
            ("COLOUR", "blue"),
            ("size", "3"),
            ("PORT", "8080")
        ]))
    );
}

#[test]
fn what_is_missing_is_told_with_who_needs_it_and_what_to_do() {
    for (container, expected) in [
        (
            json!({"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "k"}}}]}),
            "ConfigMap \"none\" does not exist in namespace \"ns\", and env A needs it: create it, and the function starts; or say \
             there that it is optional",
        ),
        (
            json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "k"}}}]}),
            "Secret \"keys\" in namespace \"ns\" has no key \"k\", and env A needs it: add the key, and the function starts; or say \
             there that it is optional",
        ),
        (
            json!({"envFrom": [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "none"}}]}),
            "Secret \"none\" does not exist in namespace \"ns\", and envFrom[1] needs it: create it, and the function starts; or \
             say there that it is optional",
        ),
        (
            json!({"envFrom": [{"secretRef": {"name": "keys"}}]}),
            "key \"blob\" of Secret \"keys\" is no text, and envFrom[0] can only have one: mount it as a file instead",
        ),
    ] {
        assert_eq!(env(container), Err(expected.to_owned()));
    }
}

/// The files of the only volume: path, mode, contents.
fn files(volume: Value) -> Result<Vec<(String, u32, String)>, String> {
    let mut volume = volume;
    volume["name"] = json!("v");
    let mounts = json!({"volumeMounts": [{"name": "v", "mountPath": "/v", "readOnly": true}]});
    let given = given(mounts, json!([volume])).map_err(|error| error.to_string())?;
    let [volume] = given.volumes.as_slice() else {
        panic!("{:?}", given.volumes);
    };
    let files = volume.files.iter().flatten();
    Ok(files
        .map(|file| {
            let text = String::from_utf8_lossy(&file.contents).into_owned();
            (file.path.clone(), file.mode, text)
        })
        .collect())
}

fn triples(triples: &[(&str, u32, &str)]) -> Vec<(String, u32, String)> {
    let triples = triples.iter();
    triples
        .map(|(path, mode, text)| ((*path).to_owned(), *mode, (*text).to_owned()))
        .collect()
}

#[test]
fn keys_become_files_with_the_modes_that_are_asked_for() {
    assert_eq!(
        files(json!({"configMap": {"name": "settings"}})),
        Ok(triples(&[
            ("COLOUR", 0o644, "blue"),
            ("blob", 0o644, "\u{fffd}\0"),
            ("size", 0o644, "3")
        ]))
    );
    let items = json!([{"key": "token", "path": "./a//token", "mode": 0o400}, {"key": "token", "path": "b"}]);
    assert_eq!(
        files(json!({"secret": {"secretName": "keys", "items": items, "defaultMode": 0o440}})),
        Ok(triples(&[
            ("a/token", 0o400, "s3cret"),
            ("b", 0o440, "s3cret")
        ]))
    );
}

#[test]
fn several_objects_share_a_folder_and_the_later_wins() {
    let sources = json!([
        {"configMap": {"name": "settings", "items": [{"key": "COLOUR", "path": "x"}, {"key": "size", "path": "size"}]}},
        {"secret": {"name": "keys", "items": [{"key": "token", "path": "x"}]}},
        {"secret": {"name": "none", "optional": true}},
    ]);
    assert_eq!(
        files(json!({"projected": {"sources": sources, "defaultMode": 0o444}})),
        Ok(triples(&[("size", 0o444, "3"), ("x", 0o444, "s3cret")]))
    );
}

#[test]
fn a_missing_key_or_object_stands_in_the_way_of_a_volume_unless_it_is_optional() {
    let items = json!([{"key": "none", "path": "x"}, {"key": "size", "path": "size"}]);
    let error = files(json!({"configMap": {"name": "settings", "items": items}})).unwrap_err();
    assert!(
        error.starts_with("ConfigMap \"settings\" in namespace \"ns\" has no key \"none\", and volume \"v\" needs it"),
        "{error}"
    );
    assert_eq!(
        files(json!({"configMap": {"name": "settings", "items": items, "optional": true}})),
        Ok(triples(&[("size", 0o644, "3")]))
    );
    let error = files(json!({"secret": {"secretName": "none"}})).unwrap_err();
    assert!(
        error.starts_with("Secret \"none\" does not exist"),
        "{error}"
    );
    assert_eq!(
        files(json!({"secret": {"secretName": "none", "optional": true}})),
        Ok(Vec::new())
    );
}

#[test]
fn a_part_that_is_mounted_alone_must_be_there() {
    let mounted = |sub_path: &str| {
        let mount = json!([{"name": "v", "mountPath": "/etc/app.conf", "subPath": sub_path}]);
        let items = json!([{"key": "size", "path": "deep/size"}]);
        let volume = json!([{"name": "v", "configMap": {"name": "settings", "items": items}}]);
        let given = given(json!({"volumeMounts": mount}), volume);
        given.map(drop).map_err(|error| error.to_string())
    };
    for there in ["", "deep", "./deep//size"] {
        assert_eq!(mounted(there), Ok(()), "{there}");
    }
    for absent in ["size", "deep/siz"] {
        let expected = format!(
            "volume \"v\" has no {absent:?}, which /etc/app.conf is to be: add such a key, and the function starts; or mount \
             another subPath"
        );
        assert_eq!(mounted(absent), Err(expected));
    }
}

#[test]
fn an_empty_volume_has_a_size_and_is_seen_wherever_it_is_mounted() {
    let container = json!({"volumeMounts": [
        {"name": "e", "mountPath": "/a"}, {"name": "e", "mountPath": "/b", "subPath": "sub", "readOnly": true}]});
    let volumes = json!([{"name": "e", "emptyDir": {"sizeLimit": "1Mi"}}]);
    let given = given(container, volumes).unwrap();
    let mount = |path: &str, sub_path: &str, read_only| sandbox::Mount {
        path: path.to_owned(),
        sub_path: sub_path.to_owned(),
        read_only,
    };
    assert_eq!(
        given.volumes,
        [sandbox::Volume {
            name: "e".to_owned(),
            size_limit: 1 << 20,
            files: None,
            mounts: vec![mount("/a", "", false), mount("/b", "sub", true)],
        }]
    );
    assert_eq!(given.contents(), []);
}

#[test]
fn more_than_can_be_passed_to_a_guest_is_refused_by_size() {
    let large = |_: &ObjectName| {
        let map = json!({"data": {"k": "x".repeat(1 << 20)}});
        serde_json::from_value(map).ok().map(Object::ConfigMap)
    };
    let volume = |name: String| json!({"name": name, "configMap": {"name": "c"}});
    let volumes: Vec<Value> = (0..5).map(|it| volume(format!("v{it}"))).collect();
    let fulfil = |count| {
        let wishes = wishes(json!({}), json!(volumes[..count]));
        wishes.fulfil("ns", &large, &[])
    };
    assert!(fulfil(4).is_ok());
    assert_eq!(fulfil(5), Err(Error::TooLarge { bytes: 5 << 20 }));
}

#[test]
fn more_files_than_a_guest_has_room_for_twice_are_refused_however_small_they_are() {
    let keyed = |count: usize| {
        let lookup = move |_: &ObjectName| {
            let data: BTreeMap<String, &str> =
                (0..count).map(|key| (format!("{key:04}"), "")).collect();
            serde_json::from_value(json!({"data": data}))
                .ok()
                .map(Object::ConfigMap)
        };
        let wishes = wishes(
            json!({}),
            json!([{"name": "v", "configMap": {"name": "c"}}]),
        );
        wishes.fulfil("ns", &lookup, &[]).map(drop)
    };
    assert_eq!(keyed(8_000), Ok(()));
    let (volume, files) = ("v".to_owned(), 8_192);
    let bytes = 8_192 * (4_096 + 4);
    assert_eq!(
        keyed(8_192),
        Err(Error::TooManyFiles {
            volume,
            files,
            bytes
        })
    );
}

#[test]
fn all_objects_that_are_named_are_known() {
    let container = json!({
        "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s1", "key": "k"}}}],
        "envFrom": [{"configMapRef": {"name": "c1"}}],
    });
    let volumes = json!([
        {"name": "a", "configMap": {"name": "c2"}},
        {"name": "b", "projected": {"sources": [{"secret": {"name": "s2"}}, {"configMap": {"name": "c1"}}]}},
        {"name": "c", "emptyDir": {}},
    ]);
    let references = wishes(container, volumes).references();
    let names: Vec<String> = references.iter().map(ToString::to_string).collect();
    assert_eq!(
        names,
        [
            "ConfigMap \"c1\"",
            "ConfigMap \"c2\"",
            "Secret \"s1\"",
            "Secret \"s2\""
        ]
    );
}
