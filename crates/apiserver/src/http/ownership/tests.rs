#![allow(
    clippy::needless_pass_by_value,
    reason = "what json! makes is given away"
)]

use proptest::prelude::*;

use super::*;

const NOW: &str = "2026-01-02T03:04:05Z";

fn config(spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": spec})
}

fn applied(live: &Value, manager: &str, spec: Value) -> Value {
    apply(live, &config(spec), manager, false, NOW).unwrap()
}

fn containers(items: Value) -> Value {
    json!({"containers": items})
}

#[test]
fn an_apply_owns_what_it_says() {
    let object = applied(
        &Value::Null,
        "me",
        containers(json!([{"name": "a", "image": "x"}])),
    );
    assert_eq!(
        object["metadata"]["managedFields"],
        json!([{
            "manager": "me", "operation": "Apply", "apiVersion": "example.com/v1", "time": NOW, "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:containers": {r#"k:{"name":"a"}"#: {".": {}, "f:image": {}, "f:name": {}}}}},
        }])
    );
}

#[test]
fn fields_of_a_status_are_owned_under_its_subresource() {
    let old = applied(&Value::Null, "me", json!({"a": 1}));
    let mut first = old.clone();
    first["status"] = json!({"url": "http://a", "ready": {"at": 1}});
    note_status(&old, &mut first, "node", StatusWrite::Updated, NOW);
    let entry = |manager: &str, fields: Value| {
        json!({
            "manager": manager, "operation": "Update", "apiVersion": "example.com/v1", "time": NOW,
            "fieldsType": "FieldsV1", "fieldsV1": {"f:status": fields}, "subresource": "status",
        })
    };
    let owners = |object: &Value| {
        object["metadata"]["managedFields"]
            .as_array()
            .unwrap()
            .clone()
    };
    assert_eq!(owners(&first)[0], owners(&old)[0], "the rest is as it was");
    assert_eq!(
        owners(&first)[1],
        entry("node", json!({"f:url": {}, "f:ready": {"f:at": {}}}))
    );
    let mut same = first.clone();
    same["metadata"]["managedFields"] = Value::Null;
    note_status(&first, &mut same, "other", StatusWrite::Updated, "later");
    assert_eq!(same, first, "who changes nothing owns nothing");

    let mut second = first.clone();
    second["status"] = json!({"url": "http://b"});
    note_status(&first, &mut second, "other", StatusWrite::Updated, NOW);
    assert_eq!(
        owners(&second)[1..],
        [entry("other", json!({"f:url": {}}))],
        "what is gone is nobody's"
    );
    let mut third = second.clone();
    third["spec"]["a"] = json!(2);
    note_update(Some(&second), &mut third, "other", NOW);
    assert_eq!(
        owners(&third).len(),
        3 - 1,
        "me no longer owns a, other owns it twice"
    );
    let mut fourth = second.clone();
    fourth["status"] = json!({"url": "http://c"});
    note_status(&second, &mut fourth, "me", StatusWrite::Applied, NOW);
    assert_eq!(owners(&fourth)[1]["operation"], "Apply");
    assert_eq!(owners(&fourth)[1]["subresource"], "status");
}

#[test]
fn what_a_manager_no_longer_says_goes_unless_another_has_it() {
    let both = json!({"a": 1, "b": {"c": 2}});
    let object = applied(&Value::Null, "me", both.clone());
    let object = applied(&object, "you", json!({"a": 1}));
    let object = applied(&object, "me", json!({"d": 3}));
    assert_eq!(object["spec"], json!({"a": 1, "d": 3}));
    let object = applied(&object, "you", json!({"d": 3}));
    assert_eq!(object["spec"], json!({"d": 3}));
}

#[test]
fn a_field_of_another_is_a_conflict_unless_it_is_forced_or_the_same() {
    let object = applied(
        &Value::Null,
        "me",
        containers(json!([{"name": "a", "image": "x"}])),
    );
    let theirs = config(containers(json!([{"name": "a", "image": "y"}])));
    let conflict = Conflict {
        with: r#"conflict with "me""#.into(),
        field: r#".spec.containers[name="a"].image"#.into(),
    };
    assert_eq!(
        apply(&object, &theirs, "you", false, NOW),
        Err(vec![conflict])
    );
    assert!(apply(&object, &config(object["spec"].clone()), "you", false, NOW).is_ok());

    let forced = apply(&object, &theirs, "you", true, NOW).unwrap();
    assert_eq!(forced["spec"]["containers"][0]["image"], "y");
    let mine = config(object["spec"].clone());
    let refused = apply(&forced, &mine, "me", false, NOW).unwrap_err();
    assert_eq!(refused[0].with, r#"conflict with "you""#);
}

#[test]
fn an_update_takes_fields_without_asking() {
    let object = applied(&Value::Null, "me", json!({"a": 1, "b": 2}));
    let mut updated = object.clone();
    updated["spec"]["a"] = json!(5);
    note_update(Some(&object), &mut updated, "editor", NOW);
    let mine = config(json!({"a": 1, "b": 2}));
    let refused = apply(&updated, &mine, "me", false, NOW).unwrap_err();
    let conflict = Conflict {
        with: r#"conflict with "editor" using example.com/v1"#.into(),
        field: ".spec.a".into(),
    };
    assert_eq!(refused, [conflict]);
    let left = applied(&updated, "me", json!({"b": 2}));
    assert_eq!(left["spec"], json!({"a": 5, "b": 2}));
}

#[test]
fn items_of_lists_are_found_by_their_keys_and_keep_their_order() {
    let live = applied(
        &Value::Null,
        "me",
        containers(json!([{"name": "a", "env": [{"name": "X", "value": "1"}]}])),
    );
    let object = applied(
        &live,
        "you",
        containers(json!([{"name": "b"}, {"name": "a", "env": [{"name": "Y", "value": "2"}]}])),
    );
    let env = json!([{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]);
    assert_eq!(
        object["spec"],
        containers(json!([{"name": "b"}, {"name": "a", "env": env}]))
    );
    let object = applied(&object, "you", json!({"x": 1}));
    assert_eq!(
        object["spec"]["containers"],
        json!([{"name": "a", "env": [{"name": "X", "value": "1"}]}])
    );
}

#[test]
fn lists_without_keys_are_one_value() {
    let object = applied(&Value::Null, "me", json!({"traffic": [{"percent": 100}]}));
    let traffic = json!({"traffic": [{"percent": 50}]});
    let refused = apply(&object, &config(traffic), "you", false, NOW).unwrap_err();
    assert_eq!(refused[0].field, ".spec.traffic");
}

#[test]
fn the_same_again_changes_nothing() {
    let spec =
        containers(json!([{"image": "x", "ports": [{}], "env": [{"name": "A", "value": "1"}]}]));
    let object = applied(&Value::Null, "me", spec.clone());
    let again = apply(&object, &config(spec), "me", false, "2027-01-01T00:00:00Z").unwrap();
    assert_eq!(again, object);
    let mut updated = object.clone();
    note_update(Some(&object), &mut updated, "editor", NOW);
    assert_eq!(updated, object);
}

/// Small specs of the shapes that matter: fields, fields in fields, lists with keys and without.
fn spec() -> impl Strategy<Value = Value> {
    let names = proptest::sample::subsequence(vec!["a", "b", "c"], 0..=3);
    let env = (names, 0..3).prop_map(|(names, value)| {
        names
            .into_iter()
            .map(|name| json!({"name": name, "value": value}))
            .collect::<Vec<_>>()
    });
    let map = proptest::collection::btree_map("[xyz]", 0..3, 1..3);
    (env, map, proptest::collection::vec(0..3, 0..3))
        .prop_map(|(env, map, list)| json!({"env": env, "map": map, "list": list, "n": 1}))
}

proptest! {
    /// One manager's apply, a merge patch and a JSON patch that make the same edit give the same object.
    #[test]
    fn patches_of_all_kinds_make_the_same_edit(before in spec(), after in spec()) {
        let live = applied(&Value::Null, "me", before.clone());
        let by_apply = applied(&live, "me", after.clone())["spec"].clone();

        let mut by_merge = before.clone();
        let mut patch = after.clone();
        for key in before["map"].as_object().unwrap().keys() {
            if after["map"].get(key).is_none() {
                patch["map"][key] = Value::Null;
            }
        }
        json_patch::merge(&mut by_merge, &patch);
        let mut by_json = before.clone();
        let replace = json!([{"op": "replace", "path": "", "value": after}]);
        json_patch::patch(&mut by_json, &serde_json::from_value::<json_patch::Patch>(replace).unwrap()).unwrap();

        prop_assert_eq!(&by_merge, &by_json);
        prop_assert_eq!(by_apply, by_json);
    }

    #[test]
    fn sets_of_fields_survive_a_round_trip(spec in spec()) {
        let set = merge::all("", &spec);
        prop_assert_eq!(Fields::from_value(&set.to_value()), Some(set.clone()));
        prop_assert_eq!(set.without(&set), Fields::default());
        prop_assert_eq!(set.union(&set), set);
    }

    /// What two managers apply lives side by side where it does not overlap, whoever is first.
    #[test]
    fn managers_of_different_fields_do_not_disturb_each_other(mine in spec(), yours in spec()) {
        let (mine, yours) = (json!({"mine": mine}), json!({"yours": yours}));
        let one = applied(&applied(&Value::Null, "me", mine.clone()), "you", yours.clone());
        let other = applied(&applied(&Value::Null, "you", yours.clone()), "me", mine.clone());
        prop_assert_eq!(&one, &other);
        let gone = applied(&one, "me", json!({"left": 1}));
        prop_assert_eq!(&gone["spec"], &json!({"left": 1, "yours": yours["yours"]}));
    }
}
