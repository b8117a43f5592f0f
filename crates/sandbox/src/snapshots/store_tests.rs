//! Snapshots on a real disk.

use std::sync::Arc;

use super::super::MANIFEST;
use super::super::draft::Step;
use super::super::fit::origin;
use super::*;

const ROOM: u64 = 1 << 30;

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn draft(snapshots: &Snapshots, key: &str) -> Draft {
    let draft = snapshots.draft(key).unwrap();
    fs::write(draft.state(), "devices").unwrap();
    fs::write(draft.memory(), vec![7; 8192]).unwrap();
    draft
}

fn take(snapshots: &Snapshots, key: &str, at: Timestamp) -> Arc<Snapshot> {
    snapshots
        .commit(draft(snapshots, key), origin(), at)
        .unwrap()
}

fn whole(snapshot: &Snapshot) {
    let damage = snapshot.verify();
    assert!(damage.is_empty(), "{damage:?}");
}

fn later(seconds: i64) -> Timestamp {
    Timestamp::from_second(now().as_second() + seconds).unwrap()
}

#[test]
fn a_snapshot_is_found_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::open(folder.path(), ROOM).unwrap();
    let taken = take(&snapshots, "f-00001", now());
    let again = Snapshots::open(folder.path(), ROOM).unwrap();
    let found = again.find("f-00001").unwrap();
    assert_eq!(found.manifest(), taken.manifest());
    whole(&found);
    assert!(again.find("f-00002").is_none());
}

#[test]
fn the_newest_of_a_key_is_the_one_to_use() {
    let folder = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::open(folder.path(), ROOM).unwrap();
    let newer = take(&snapshots, "f", later(1));
    take(&snapshots, "f", now());
    assert_eq!(
        snapshots.find("f").unwrap().manifest().id,
        newer.manifest().id
    );
}

#[test]
fn what_a_process_that_was_killed_left_of_a_working_set_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::open(folder.path(), ROOM).unwrap();
    let taken = take(&snapshots, "f", now());
    let left = taken.folder.join(format!("{TEMPORARY}x7Gh2k"));
    fs::write(&left, vec![1; 4096]).unwrap();
    let again = Snapshots::open(folder.path(), ROOM).unwrap();
    let found = again.find("f").unwrap();
    assert!(!left.exists());
    whole(&found);
}

#[test]
fn a_process_that_dies_at_any_step_leaves_a_whole_snapshot_or_none() {
    for done in 0..=STEPS.len() {
        let folder = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::open(folder.path(), ROOM).unwrap();
        let mut draft = draft(&snapshots, "f");
        let (state, memory) = draft.parts().unwrap();
        let manifest = Manifest {
            format: FORMAT,
            id: draft.id.clone(),
            key: "f".into(),
            created: now(),
            origin: origin(),
            state,
            memory,
        };
        let target = folder.path().join("f").join(&draft.id);
        for step in &STEPS[..done] {
            draft.perform(*step, &manifest, &target).unwrap();
        }
        draft.abandon();
        let again = Snapshots::open(folder.path(), ROOM).unwrap();
        let renamed = STEPS[..done].contains(&Step::Rename);
        assert_eq!(again.find("f").is_some(), renamed, "after {done} steps");
        if let Some(found) = again.find("f") {
            whole(&found);
        }
        let drafts = folders(folder.path())
            .unwrap()
            .into_iter()
            .filter(|it| name(it).starts_with(draft::PREFIX));
        assert_eq!(drafts.count(), 0, "after {done} steps");
    }
}

#[test]
fn a_draft_that_is_given_up_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::open(folder.path(), ROOM).unwrap();
    drop(draft(&snapshots, "f"));
    assert!(folders(folder.path()).unwrap().is_empty());
}

#[test]
fn damage_is_named() {
    type Harm = fn(&Snapshot);
    let cases: [(&str, Harm); 5] = [
        ("its manifest cannot be read", |it| {
            fs::remove_file(it.folder.join(MANIFEST)).unwrap();
        }),
        (
            "its file \"memory\" has 100 bytes and should have 8192",
            |it| {
                fs::write(it.memory(), vec![7; 100]).unwrap();
            },
        ),
        ("its file \"state\" cannot be read", |it| {
            fs::remove_file(it.state()).unwrap();
        }),
        ("it has format 99, and 1 is known", |it| {
            let manifest = Manifest {
                format: 99,
                ..it.manifest.clone()
            };
            let text = serde_json::to_vec(&manifest).unwrap();
            fs::write(it.folder.join(MANIFEST), text).unwrap();
        }),
        ("its manifest is that of snapshot other", |it| {
            let manifest = Manifest {
                id: "other".into(),
                ..it.manifest.clone()
            };
            let text = serde_json::to_vec(&manifest).unwrap();
            fs::write(it.folder.join(MANIFEST), text).unwrap();
        }),
    ];
    for (message, harm) in cases {
        let folder = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::open(folder.path(), ROOM).unwrap();
        let taken = take(&snapshots, "f", now());
        harm(&taken);
        let error = Snapshot::load(&taken.folder, &taken.manifest.id).unwrap_err();
        assert_eq!(error.to_string(), message);
        let again = Snapshots::open(folder.path(), ROOM).unwrap();
        assert!(again.find("f").is_none(), "{message}");
        let left = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 0, "{message}");
    }
}

#[test]
fn a_byte_that_changed_is_found_by_verifying() {
    let folder = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::open(folder.path(), ROOM).unwrap();
    let taken = take(&snapshots, "f", now());
    let mut memory = vec![7; 8192];
    memory[5000] = 8;
    fs::write(taken.memory(), memory).unwrap();
    fs::write(taken.state(), "deviceS").unwrap();
    fs::write(taken.working_set(), "pages").unwrap();
    let damage: Vec<String> = taken.verify().iter().map(ToString::to_string).collect();
    assert_eq!(
        damage,
        [
            r#"the content of its file "state" is not what was written: bytes 0 to 7"#,
            r#"the content of its file "memory" is not what was written: bytes 0 to 8192"#,
            "its working set is damaged",
        ]
    );
}

#[test]
fn what_takes_too_much_room_goes_when_something_newer_comes() {
    let folder = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::open(folder.path(), 1).unwrap();
    let old = take(&snapshots, "old", now());
    let new = take(&snapshots, "new", later(1));
    assert!(snapshots.find("old").is_none() && !old.folder.exists());
    assert!(snapshots.find("new").is_some() && new.folder.exists());
}

#[test]
fn removing_by_key_leaves_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::open(folder.path(), ROOM).unwrap();
    take(&snapshots, "a", now());
    take(&snapshots, "a", later(1));
    let other = take(&snapshots, "b", now());
    snapshots.remove_all("a");
    assert_eq!(snapshots.list().len(), 1);
    assert!(other.folder.exists() && !folder.path().join("a").exists());
}

#[test]
fn a_key_that_would_leave_the_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::open(folder.path(), ROOM).unwrap();
    for key in ["", "..", "a/b", ".hidden"] {
        assert!(
            matches!(snapshots.draft(key), Err(Error::Key { .. })),
            "{key:?}"
        );
    }
}
