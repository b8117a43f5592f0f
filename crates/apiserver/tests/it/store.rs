//! The store as a caller sees it: versions, persistence, and files that cannot be opened.

use std::{fs, path::Path};

use apiserver::{
    Store,
    store::{Change, Error, Key, OpenError, Preconditions, Written},
};
use serde_json::{Value, json};

const RESOURCE: &str = "things.example.com";

pub(crate) fn key(name: &str) -> Key {
    Key::new(RESOURCE, "default", name).unwrap()
}

pub(crate) fn thing(name: &str, size: u64) -> Value {
    json!({
        "apiVersion": "example.com/v1", "kind": "Thing",
        "metadata": {"name": name, "namespace": "default"}, "spec": {"size": size},
    })
}

fn file(folder: &tempfile::TempDir) -> std::path::PathBuf {
    folder.path().join("store.redb")
}

#[tokio::test]
async fn what_was_written_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&file(&folder)).unwrap();
    store.create(&key("a"), thing("a", 1)).await.unwrap();
    store.create(&key("b"), thing("b", 1)).await.unwrap();
    store.update(&key("a"), thing("a", 2)).await.unwrap();
    store
        .delete(&key("b"), Preconditions::default())
        .await
        .unwrap();
    let (before, version) = (store.get(&key("a")).unwrap(), store.resource_version());
    drop(store);

    let store = Store::open(&file(&folder)).unwrap();
    assert_eq!(store.get(&key("a")).unwrap().value(), before.value());
    assert!(store.get(&key("b")).is_none());
    assert_eq!(store.resource_version(), version);
    let next = store.create(&key("b"), thing("b", 1)).await.unwrap();
    assert_eq!(next.resource_version(), version + 1);
}

#[tokio::test]
async fn a_write_that_changes_nothing_takes_no_version() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&file(&folder)).unwrap();
    let first = store.create(&key("a"), thing("a", 1)).await.unwrap();
    let again = store
        .write(&key("a"), Change::Update(thing("a", 1)))
        .await
        .unwrap();
    assert!(
        matches!(&again, Written::Unchanged(object) if object.resource_version() == first.resource_version())
    );
    assert_eq!(store.resource_version(), first.resource_version());
}

#[tokio::test]
async fn of_two_writers_with_the_same_version_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&file(&folder)).unwrap();
    let first = store
        .create(&key("a"), thing("a", 1))
        .await
        .unwrap()
        .value();
    let edit = |size: u64| {
        let mut object = first.clone();
        object["spec"]["size"] = json!(size);
        object
    };
    let (one, two) = (key("a"), key("a"));
    let (one, two) = tokio::join!(store.update(&one, edit(2)), store.update(&two, edit(3)));
    let (won, lost) = if one.is_ok() { (one, two) } else { (two, one) };
    assert!(matches!(lost, Err(Error::Modified { .. })), "{lost:?}");
    assert_eq!(store.get(&key("a")).unwrap().value(), won.unwrap().value());
}

#[tokio::test]
async fn a_list_is_of_one_resource_and_one_namespace() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&file(&folder)).unwrap();
    for (resource, namespace, name) in [
        (RESOURCE, "a", "x"),
        (RESOURCE, "a", "w"),
        (RESOURCE, "a-b", "y"),
        (RESOURCE, "ab", "z"),
        ("things.example.com.au", "a", "v"),
        ("things", "a", "u"),
    ] {
        let key = Key::new(resource, namespace, name).unwrap();
        store.create(&key, json!({})).await.unwrap();
    }
    let names = |resource, namespace| -> Vec<String> {
        let objects = store.list(resource, namespace).objects;
        objects
            .iter()
            .map(|object| object.key().name().to_owned())
            .collect()
    };
    assert_eq!(names(RESOURCE, Some("a")), ["w", "x"]);
    let mut all = names(RESOURCE, None);
    all.sort();
    assert_eq!(all, ["w", "x", "y", "z"]);
    assert_eq!(names("things", None), ["u"]);
    assert_eq!(
        store.list(RESOURCE, None).resource_version,
        store.resource_version()
    );
}

#[tokio::test]
async fn a_dry_run_tells_the_outcome_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&file(&folder)).unwrap();
    let version = store.resource_version();
    let written = store
        .dry_run(&key("a"), Change::Create(thing("a", 1)))
        .unwrap();
    assert_eq!(written.into_object().value()["metadata"]["generation"], 1);
    assert!(store.get(&key("a")).is_none());
    assert_eq!(store.resource_version(), version);
}

/// The error that opening `path` gives.
fn refusal(path: &Path) -> OpenError {
    match Store::open(path) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error,
    }
}

#[test]
fn a_store_in_use_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let held = Store::open(&file(&folder)).unwrap();
    let error = refusal(&file(&folder));
    assert!(matches!(error, OpenError::Locked { .. }), "{error:?}");
    assert!(error.to_string().contains("fuser"), "{error}");
    drop(held);
    Store::open(&file(&folder)).unwrap();
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = "this is no database\n".repeat(500);
    fs::write(file(&folder), &text).unwrap();
    let error = refusal(&file(&folder));
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
    let path = file(&folder).display().to_string();
    assert!(
        error.to_string().contains(&format!("mv {path} {path}.bad")),
        "{error}"
    );
    assert_eq!(fs::read_to_string(file(&folder)).unwrap(), text);
}

#[tokio::test]
async fn a_damaged_store_never_panics_and_never_gives_wrong_objects() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&file(&folder)).unwrap();
    for name in 0..50 {
        let name = format!("n{name}");
        store.create(&key(&name), thing(&name, 1)).await.unwrap();
    }
    let objects = |store: &Store| -> Vec<Value> {
        let objects = store.list(RESOURCE, None).objects;
        objects
            .iter()
            .map(apiserver::store::Object::value)
            .collect()
    };
    let intact = objects(&store);
    drop(store);
    let sound = fs::read(file(&folder)).unwrap();
    let mut refused = 0;
    for damage in 0..200_usize {
        let mut bytes = sound.clone();
        if damage % 20 == 0 {
            bytes.truncate(sound.len() * damage / 200);
        }
        let len = bytes.len();
        for offset in 0..len.min(64) {
            bytes[(damage * 7919 * 4096 / 8 + offset) % len] ^= 0x5a;
        }
        fs::write(file(&folder), &bytes).unwrap();
        match Store::open(&file(&folder)) {
            // What was hit held nothing, or an older commit stands in for it.
            Ok(store) => assert!(objects(&store).iter().all(|object| intact.contains(object))),
            Err(error) => {
                assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "no damage was found");
}

#[test]
fn a_store_of_a_newer_version_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    drop(Store::open(&file(&folder)).unwrap());
    let database = redb::Database::open(file(&folder)).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction
        .open_table(redb::TableDefinition::<&str, u64>::new("meta"))
        .unwrap()
        .insert("format", 7)
        .unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = refusal(&file(&folder));
    assert!(
        matches!(
            error,
            OpenError::Newer {
                found: 7,
                supported: 1,
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn a_store_in_a_missing_folder_names_the_path() {
    let error = refusal(Path::new("/nonexistent/folder/store.redb"));
    assert!(matches!(error, OpenError::Io { .. }), "{error:?}");
    assert!(
        error.to_string().contains("/nonexistent/folder/store.redb"),
        "{error}"
    );
}

#[test]
fn the_store_file_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let _store = Store::open(&file(&folder)).unwrap();
    let mode = fs::metadata(file(&folder)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
