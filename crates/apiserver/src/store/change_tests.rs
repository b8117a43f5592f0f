use super::*;

fn key() -> Key {
    Key::new("things.example.com", "default", "a").unwrap()
}

fn with(resource_version: u64) -> Circumstances {
    Circumstances {
        now: "2026-01-02T03:04:05.678Z".parse().unwrap(),
        uid: "uid-1".into(),
        resource_version,
    }
}

/// A stored object at version 5, generation 3.
fn stored() -> Value {
    json!({
        "apiVersion": "example.com/v1", "kind": "Thing",
        "metadata": {
            "name": "a", "namespace": "default", "uid": "uid-1", "resourceVersion": "5", "generation": 3,
            "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"color": "red"},
        },
        "spec": {"size": 1}, "status": {"ready": true},
    })
}

fn change(edit: impl FnOnce(&mut Value)) -> Value {
    let mut object = stored();
    edit(&mut object);
    object
}

fn put(outcome: Result<Outcome, Error>) -> Value {
    match outcome.unwrap() {
        Outcome::Put(_, value) => value,
        other => panic!("not stored: {other:?}"),
    }
}

#[test]
fn lists_of_an_update_with_nothing_in_them_are_left_out() {
    let owned = change(|object| {
        object["metadata"]["ownerReferences"] = json!([{"uid": "u"}]);
    });
    let released = change(|object| {
        object["metadata"]["ownerReferences"] = json!([]);
        object["metadata"]["finalizers"] = Value::Null;
    });
    let written = put(plan(
        &key(),
        Some(&owned),
        Change::Update(released),
        with(6),
    ));
    for list in ["ownerReferences", "finalizers"] {
        assert_eq!(written["metadata"].get(list), None, "{list}");
    }
}

#[test]
fn creation_sets_what_only_the_server_may_set() {
    let sent = json!({
        "apiVersion": "example.com/v1", "kind": "Thing",
        "metadata": {"uid": "mine", "generation": 9, "creationTimestamp": null, "deletionTimestamp": "2020-01-01T00:00:00Z",
            "managedFields": [], "annotations": {"k": "v"}},
        "spec": {"size": 1}, "status": {"ready": true},
    });
    assert_eq!(
        put(plan(&key(), None, Change::Create(sent), with(6))),
        json!({
            "apiVersion": "example.com/v1", "kind": "Thing",
            "metadata": {
                "name": "a", "namespace": "default", "uid": "uid-1", "resourceVersion": "6", "generation": 1,
                "creationTimestamp": "2026-01-02T03:04:05Z", "annotations": {"k": "v"},
            },
            "spec": {"size": 1},
        })
    );
}

#[test]
fn creation_of_what_exists_or_with_a_version_is_refused() {
    let again = plan(&key(), Some(&stored()), Change::Create(stored()), with(6));
    assert!(matches!(again, Err(Error::AlreadyExists(_))));
    let versioned = plan(&key(), None, Change::Create(stored()), with(6));
    assert!(matches!(
        versioned,
        Err(Error::Invalid {
            field: "metadata.resourceVersion",
            ..
        })
    ));
}

#[test]
fn generation_moves_with_the_spec_and_with_nothing_else() {
    type Edit = fn(&mut Value);
    let cases: [(&str, Edit, u64); 5] = [
        ("spec", |object| object["spec"]["size"] = json!(2), 4),
        (
            "data beside the spec",
            |object| object["data"] = json!({}),
            4,
        ),
        (
            "labels",
            |object| object["metadata"]["labels"] = json!({}),
            3,
        ),
        (
            "finalizers",
            |object| object["metadata"]["finalizers"] = json!(["x"]),
            3,
        ),
        (
            "generation and label",
            |object| {
                object["metadata"]["generation"] = json!(77);
                object["metadata"]["labels"]["color"] = json!("blue");
            },
            3,
        ),
    ];
    for (name, edit, generation) in cases {
        let new = put(plan(
            &key(),
            Some(&stored()),
            Change::Update(change(edit)),
            with(6),
        ));
        assert_eq!(new["metadata"]["generation"], generation, "{name}");
        assert_eq!(new["metadata"]["resourceVersion"], "6", "{name}");
    }
}

#[test]
fn an_update_keeps_the_status_and_a_status_update_keeps_the_rest() {
    let both = || {
        change(|object| {
            object["spec"]["size"] = json!(2);
            object["status"]["ready"] = json!(false);
            object["metadata"]["labels"]["color"] = json!("blue");
        })
    };
    let spec = put(plan(
        &key(),
        Some(&stored()),
        Change::Update(both()),
        with(6),
    ));
    assert_eq!(
        (&spec["spec"]["size"], &spec["status"]["ready"]),
        (&json!(2), &json!(true))
    );

    let status = put(plan(
        &key(),
        Some(&stored()),
        Change::UpdateStatus(both()),
        with(6),
    ));
    assert_eq!(
        (&status["spec"]["size"], &status["status"]["ready"]),
        (&json!(1), &json!(false))
    );
    assert_eq!(status["metadata"]["labels"]["color"], "red");
    assert_eq!(status["metadata"]["generation"], 3);
}

#[test]
fn owners_of_fields_are_forgotten_by_one_empty_entry() {
    let owned = change(|object| object["metadata"]["managedFields"] = json!([{"manager": "me"}]));
    for wrap in [Change::Update, Change::UpdateStatus] {
        let mut forgetful = owned.clone();
        forgetful["metadata"]["managedFields"] = json!([{}]);
        let written = put(plan(&key(), Some(&owned), wrap(forgetful), with(6)));
        assert_eq!(written["metadata"].get("managedFields"), None);
    }
}

#[test]
fn a_write_that_changes_nothing_is_none() {
    let same = [
        Change::Update(stored()),
        Change::UpdateStatus(stored()),
        Change::Update(change(|object| {
            object.as_object_mut().unwrap().remove("status");
            let metadata = object["metadata"].as_object_mut().unwrap();
            metadata.remove("uid");
            metadata.remove("resourceVersion");
            metadata.insert("creationTimestamp".into(), Value::Null);
            metadata.insert("managedFields".into(), json!([]));
        })),
    ];
    for change in same {
        assert_eq!(
            plan(&key(), Some(&stored()), change, with(6)).unwrap(),
            Outcome::Unchanged
        );
    }
}

#[test]
fn a_stale_version_or_another_uid_is_a_conflict() {
    for wrap in [Change::Update, Change::UpdateStatus] {
        let stale = wrap(change(|object| {
            object["metadata"]["resourceVersion"] = json!("4");
        }));
        let refused = plan(&key(), Some(&stored()), stale, with(6));
        assert!(
            matches!(refused, Err(Error::Modified { .. })),
            "{refused:?}"
        );

        let other = wrap(change(|object| object["metadata"]["uid"] = json!("uid-2")));
        let refused = plan(&key(), Some(&stored()), other, with(6));
        assert_eq!(
            refused.unwrap_err().to_string(),
            "things.example.com/default/a: Precondition failed: UID in precondition: uid-2, UID in object meta: uid-1"
        );
    }
}

#[test]
fn deletion_is_at_once_without_finalizers() {
    let outcome = plan(
        &key(),
        Some(&stored()),
        Change::Delete(Preconditions::default(), None),
        with(6),
    )
    .unwrap();
    let last = change(|object| object["metadata"]["resourceVersion"] = json!("6"));
    assert_eq!(outcome, Outcome::Remove(last));
}

#[test]
fn deletion_with_finalizers_waits_for_the_last_of_them() {
    let held = change(|object| object["metadata"]["finalizers"] = json!(["a", "b"]));
    let delete = || Change::Delete(Preconditions::default(), None);
    let marked = put(plan(&key(), Some(&held), delete(), with(6)));
    assert_eq!(
        marked["metadata"]["deletionTimestamp"],
        "2026-01-02T03:04:05Z"
    );
    assert_eq!(marked["metadata"]["generation"], 4);
    assert_eq!(
        plan(&key(), Some(&marked), delete(), with(7)).unwrap(),
        Outcome::Unchanged
    );

    let with_finalizers = |finalizers: Value| {
        let mut object = marked.clone();
        object["metadata"]["finalizers"] = finalizers;
        plan(&key(), Some(&marked), Change::Update(object), with(7))
    };
    assert!(matches!(
        with_finalizers(json!(["a"])),
        Ok(Outcome::Put(EventKind::Modified, _))
    ));
    assert!(matches!(with_finalizers(json!([])), Ok(Outcome::Remove(_))));
    assert!(matches!(
        with_finalizers(json!(["a", "c"])),
        Err(Error::Invalid { .. })
    ));
}

#[test]
fn deletion_of_another_object_than_the_one_named_is_refused() {
    let delete = |uid: Option<&str>, version: Option<&str>| {
        let preconditions = Preconditions {
            uid: uid.map(Into::into),
            resource_version: version.map(Into::into),
        };
        plan(
            &key(),
            Some(&stored()),
            Change::Delete(preconditions, None),
            with(6),
        )
    };
    assert!(delete(Some("uid-1"), Some("5")).is_ok());
    assert!(matches!(
        delete(Some("uid-2"), None),
        Err(Error::Precondition { what: "UID", .. })
    ));
    assert!(matches!(
        delete(None, Some("4")),
        Err(Error::Precondition {
            what: "ResourceVersion",
            ..
        })
    ));
    assert!(matches!(
        plan(
            &key(),
            None,
            Change::Delete(Preconditions::default(), None),
            with(6)
        ),
        Err(Error::NotFound(_))
    ));
}
