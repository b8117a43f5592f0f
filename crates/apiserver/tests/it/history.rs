//! Any sequence of writes against a model of it: what a watch tells, what lists of the past show, and what filtered watches make of
//! it.

use std::collections::BTreeMap;

use apiserver::{
    Store,
    store::{Change, Error, EventKind, Key, Options, Preconditions, Written},
};
use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};

const THINGS: &str = "things.example.com";
/// Events that the log of the store under test keeps.
const LOG: usize = 8;

#[derive(Debug, Clone)]
enum Act {
    Create(Value),
    Update(Value),
    Status(u8),
    Delete,
}

fn act() -> impl Strategy<Value = (usize, Act)> {
    let body = (0_u8..3, any::<bool>()).prop_map(|(size, held)| {
        let mut object = json!({"spec": {"size": size}});
        if held {
            object["metadata"] = json!({"finalizers": ["example.com/hold"]});
        }
        object
    });
    let act = prop_oneof![
        3 => body.clone().prop_map(Act::Create),
        3 => body.prop_map(Act::Update),
        1 => (0_u8..3).prop_map(Act::Status),
        3 => Just(Act::Delete),
    ];
    (0_usize..4, act)
}

fn change(act: Act) -> Change {
    match act {
        Act::Create(object) => Change::Create(object),
        Act::Update(object) => Change::Update(object),
        Act::Status(size) => Change::UpdateStatus(json!({"status": {"size": size}})),
        Act::Delete => Change::Delete(Preconditions::default(), None),
    }
}

type Objects = BTreeMap<Key, Value>;

fn objects(list: &apiserver::store::List) -> Objects {
    let objects = list.objects.iter();
    objects
        .map(|object| (object.key().clone(), object.value()))
        .collect()
}

fn of_namespace(all: &Objects, namespace: &str) -> Objects {
    let own = all.iter().filter(|(key, _)| key.namespace() == namespace);
    own.map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

async fn check(acts: Vec<(usize, Act)>) {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        log_events: LOG,
        ..Options::default()
    };
    let store = Store::open_with(&folder.path().join("store.redb"), options).unwrap();
    let first = store.resource_version();
    let mut watch = store.watch(Some(THINGS), None, first).unwrap();
    let (mut told, mut model) = (Objects::new(), Objects::new());
    let mut history = BTreeMap::from([(first, model.clone())]);
    for (place, act) in acts {
        let namespace = if place % 2 == 0 { "a" } else { "b" };
        let key = Key::new(THINGS, namespace, &format!("n{}", place / 2)).unwrap();
        match store.write(&key, change(act)).await {
            Ok(Written::Stored(object)) => drop(model.insert(key, object.value())),
            Ok(Written::Removed(_)) => drop(model.remove(&key)),
            Ok(Written::Unchanged(_)) | Err(_) => continue,
        }
        history.insert(store.resource_version(), model.clone());
        for event in watch.next().await.unwrap() {
            let key = event.object.key().clone();
            let before = match event.kind {
                EventKind::Deleted => told.remove(&key),
                EventKind::Added | EventKind::Modified => told.insert(key, event.object.value()),
            };
            assert_eq!(before.is_none(), event.kind == EventKind::Added);
            assert_eq!(before, event.previous.map(|it| it.value()));
        }
        assert_eq!(told, model);
        assert_eq!(objects(&store.list(THINGS, None)), model);
    }
    let last = store.resource_version();
    assert_eq!(
        history.len() as u64,
        last - first + 1,
        "a version for each write"
    );
    for (at, then) in &history {
        let listed = store.list_at(THINGS, None, *at);
        if last - at > LOG as u64 {
            assert!(
                matches!(listed, Err(Error::Expired { .. })),
                "{at} of {last}"
            );
            continue;
        }
        let listed = listed.unwrap();
        assert_eq!(
            (listed.resource_version, objects(&listed)),
            (*at, then.clone())
        );
        for namespace in ["a", "b"] {
            let listed = store.list_at(THINGS, Some(namespace), *at).unwrap();
            assert_eq!(objects(&listed), of_namespace(then, namespace));
        }
    }
    let future = store.list_at(THINGS, None, last + 1);
    assert!(matches!(future, Err(Error::Future { .. })));
    // And nothing of it is only in memory.
    drop((watch, store));
    let store = Store::open(&folder.path().join("store.redb")).unwrap();
    assert_eq!(objects(&store.list(THINGS, None)), model);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn what_is_watched_and_what_is_listed_is_what_was_written(acts in vec(act(), 1..24)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(acts));
    }
}
