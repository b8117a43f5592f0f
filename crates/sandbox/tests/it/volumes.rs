//! Volumes that are written from outside: while an instance runs, and in snapshots.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use agent::protocol::{ToGuest, ToHost};
use sandbox::{Contents, GuestFile, Handle, Memory, Mount, Process, Spec, Volume};
use testkit::guest::{Guest, well_behaved};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::timeout;

use crate::node::{LONG, Node, ready, save, saved_as, stopped};

fn word(word: &str) -> Vec<GuestFile> {
    vec![GuestFile {
        path: "word".to_owned(),
        mode: 0o644,
        contents: word.into(),
    }]
}

fn contents(text: &str) -> Vec<Contents> {
    vec![Contents {
        name: "config".to_owned(),
        files: word(text),
    }]
}

impl Node {
    /// An instance that can be saved, with a volume that holds a word.
    fn with_volume(&self, id: &str, text: &str) -> Spec {
        let spec = self.spec(id);
        let volume = Volume {
            name: "config".to_owned(),
            size_limit: 0,
            files: Some(word(text)),
            mounts: vec![Mount {
                path: "/config".to_owned(),
                sub_path: String::new(),
                read_only: true,
            }],
        };
        Spec {
            snapshot: Some(saved_as("key", Memory::File)),
            process: Process {
                volumes: vec![volume],
                ..spec.process
            },
            ..spec
        }
    }

    async fn started(&self, id: &str, text: &str) -> Handle {
        let instance = self.sandbox.start(self.with_volume(id, text));
        ready(&instance).await;
        instance
    }
}

/// How a guest came to know what its volumes hold.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Start(String),
    Update(String),
    Resume(String),
}

fn read(volumes: &[Contents]) -> String {
    let [volume] = volumes else {
        panic!("{volumes:?}");
    };
    String::from_utf8(volume.files[0].contents.clone()).unwrap()
}

/// A guest that is well behaved, and tells what it is told.
async fn listens(guest: Guest, tell: UnboundedSender<Told>) -> anyhow::Result<()> {
    let mut link = if guest.restored {
        let (link, resume) = guest.resume().await?;
        tell.send(Told::Resume(read(&resume.volumes)))?;
        link
    } else {
        let (link, process) = guest.start().await?;
        let files = process.volumes[0].files.clone().unwrap_or_default();
        tell.send(Told::Start(String::from_utf8(files[0].contents.clone())?))?;
        link
    };
    let _listener = guest.listen(8080)?;
    loop {
        match link.receive().await? {
            Some(ToGuest::Update(update)) => tell.send(Told::Update(read(&update.volumes)))?,
            Some(ToGuest::Quiesce) => {
                link.send(&ToHost::Quiesced).await?;
                let resume;
                (link, resume) = guest.resume().await?;
                tell.send(Told::Resume(read(&resume.volumes)))?;
            }
            Some(ToGuest::Shutdown(_)) => return link.exited(0).await,
            Some(_) => {}
            None => return Ok(()),
        }
    }
}

async fn listening() -> (Node, UnboundedReceiver<Told>) {
    let (tell, told) = mpsc::unbounded_channel();
    let node = Node::new(move |guest| listens(guest, tell.clone())).await;
    (node, told)
}

async fn next(told: &mut UnboundedReceiver<Told>) -> Told {
    timeout(LONG, told.recv()).await.expect("silence").unwrap()
}

/// Waits for a guest to be told something, over what it has been told already.
async fn until(told: &mut UnboundedReceiver<Told>, expected: Told) {
    while next(told).await != expected {}
}

#[tokio::test]
async fn what_volumes_hold_now_is_told_to_a_guest_that_runs_and_to_one_that_is_yet_to_listen() {
    let (node, mut told) = listening().await;
    let instance = node.sandbox.start(node.with_volume("hello", "one"));
    // Nobody listens yet.
    instance.update(contents("two"));
    assert_eq!(next(&mut told).await, Told::Start("one".to_owned()));
    assert_eq!(next(&mut told).await, Told::Update("two".to_owned()));
    ready(&instance).await;
    for text in ["three", "four"] {
        instance.update(contents(text));
    }
    until(&mut told, Told::Update("four".to_owned())).await;
    node.sandbox.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn what_changes_while_an_instance_is_saved_is_told_when_it_is_back() {
    let (node, mut told) = listening().await;
    let instance = node.started("hello", "one").await;
    let folder = node.folder("hello");
    fs::write(folder.join("hold"), "").unwrap();
    let saving = tokio::spawn({
        let instance = instance.clone();
        async move { save(&instance).await }
    });
    let standing = async {
        while !folder.join("holding").exists() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, standing).await.expect("it is never saved");
    instance.update(contents("two"));
    fs::remove_file(folder.join("hold")).unwrap();
    until(&mut told, Told::Resume("two".to_owned())).await;
    saving.await.unwrap().unwrap();
    node.sandbox.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_snapshot_is_of_what_its_process_began_with_whatever_it_was_told_since() {
    let (node, mut told) = listening().await;
    let instance = node.started("hello", "one").await;
    instance.update(contents("two"));
    until(&mut told, Told::Update("two".to_owned())).await;
    save(&instance).await.unwrap();
    until(&mut told, Told::Resume("two".to_owned())).await;

    let clone = node.started("clone", "one").await;
    assert!(clone.snapshot().is_some());
    assert_eq!(next(&mut told).await, Told::Resume("one".to_owned()));
    let other = node.started("other", "two").await;
    assert!(other.snapshot().is_none(), "its process may have read one");
    assert_eq!(next(&mut told).await, Told::Start("two".to_owned()));
    node.sandbox.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn no_snapshot_of_another_process_is_restored() {
    type Change = fn(&mut Process);
    let node = Node::new(well_behaved).await;
    let others: [(&str, Change); 6] = [
        ("argument", |it| it.argv.push("-v".to_owned())),
        ("variable", |it| {
            it.env.push(("TOKEN".to_owned(), "other".to_owned()));
        }),
        ("user", |it| it.user = "app".to_owned()),
        ("mount", |it| it.volumes[0].mounts.clear()),
        ("file", |it| it.volumes[0].files = Some(word("two"))),
        ("mode", |it| {
            let files = it.volumes[0].files.iter_mut().flatten();
            files.for_each(|file| file.mode = 0o400);
        }),
    ];
    let same: [(&str, Change); 2] = [
        ("name", |it| it.hostname = "another".to_owned()),
        ("time", |it| it.time_unix_us = 1),
    ];
    let changes = others.into_iter().map(|it| (it, false));
    for ((what, change), restored) in changes.chain(same.into_iter().map(|it| (it, true))) {
        let parent = node.started("parent", "one").await;
        if parent.snapshot().is_none() {
            save(&parent).await.unwrap();
        }
        let mut spec = node.with_volume("child", "one");
        change(&mut spec.process);
        let child = node.sandbox.start(spec);
        ready(&child).await;
        assert_eq!(child.snapshot().is_some(), restored, "{what}");
        for instance in [parent, child] {
            instance.stop(Duration::ZERO);
            stopped(&instance).await;
        }
    }
    node.sandbox.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_snapshot_which_holds_a_guests_secrets_is_for_nobody_else_to_read() {
    fn modes(path: &Path, look: &mut impl FnMut(&Path, u32)) {
        let metadata = fs::metadata(path).unwrap();
        look(path, metadata.permissions().mode());
        if metadata.is_dir() {
            let entries = fs::read_dir(path).unwrap();
            entries.for_each(|entry| modes(&entry.unwrap().path(), look));
        }
    }
    let node = Node::new(well_behaved).await;
    let snapshot = node.take_snapshot().await;
    let mut seen = 0;
    modes(snapshot.state().parent().unwrap(), &mut |path, mode| {
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
        seen += 1;
    });
    assert_eq!(seen, 4, "folder, manifest, state and memory");
}
