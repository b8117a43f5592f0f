//! Taking snapshots of instances, and what keeps them from being taken.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent::protocol::{ToGuest, ToHost};
use sandbox::{Handle, SaveError, State};
use sys::process::ProcessId;
use testkit::guest::{Guest, well_behaved};
use testkit::hypervisor::FakeHypervisor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::node::{LONG, Node, assert_failure, failure, ready, save, stopped};

#[tokio::test]
async fn an_instance_that_was_saved_is_ready_again_and_answers() {
    let node = Node::new(well_behaved).await;
    let instance = node.start_saveable("hello");
    ready(&instance).await;
    let mut states = instance.watch();
    states.borrow_and_update();
    let snapshot = {
        let seen = async {
            let mut seen = Vec::new();
            while seen.last() != Some(&State::Ready) {
                states.changed().await.unwrap();
                seen.push(states.borrow_and_update().clone());
            }
            seen
        };
        let (seen, snapshot) = tokio::join!(seen, save(&instance));
        assert_eq!(seen, [State::Saving, State::Ready]);
        snapshot.unwrap()
    };
    assert_eq!(snapshot.manifest().key, "key");
    assert_eq!(snapshot.manifest().origin.hypervisor, "fake 1");
    assert_eq!(snapshot.manifest().memory.bytes, 128 << 20);
    assert!(instance.snapshot().is_none(), "it was booted");
    assert_eq!(instance.phases().len(), 5, "its start is told, and no more");
    let damage = snapshot.verify();
    assert!(damage.is_empty(), "{damage:?}");
    assert_eq!(node.snapshot_files(), ["key"]);

    let mut stream = instance.connect().await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    instance.stop(LONG);
    assert_eq!(stopped(&instance).await, State::Stopped);
}

#[tokio::test]
async fn an_instance_can_be_saved_again() {
    let node = Node::new(well_behaved).await;
    let instance = node.start_saveable("hello");
    ready(&instance).await;
    let first = save(&instance).await.unwrap();
    ready(&instance).await;
    let second = save(&instance).await.unwrap();
    assert_ne!(first.manifest().id, second.manifest().id);
    let newest = node.sandbox.snapshots().find("key").unwrap();
    assert_eq!(newest.manifest().id, second.manifest().id);
    node.sandbox.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn an_instance_that_is_not_ready_is_not_saved() {
    let node = Node::new(|_| std::future::pending()).await;
    let instance = node.start_saveable("starting");
    assert_eq!(save(&instance).await.unwrap_err(), SaveError::NotReady);
    instance.stop(Duration::ZERO);
    stopped(&instance).await;
    assert_eq!(save(&instance).await.unwrap_err(), SaveError::NotReady);
    assert!(node.snapshot_files().is_empty());
}

#[tokio::test]
async fn an_instance_is_saved_only_once_at_a_time() {
    let (node, mut asked) = Node::leaving(Leave::Hang).await;
    let instance = node.start_saveable("hello");
    ready(&instance).await;
    let saving = tokio::spawn({
        let instance = instance.clone();
        async move { save(&instance).await }
    });
    asked.recv().await.unwrap();
    assert_eq!(instance.state(), State::Saving);
    assert_eq!(save(&instance).await.unwrap_err(), SaveError::NotReady);
    node.sandbox.shutdown(Duration::ZERO).await;
    saving.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn what_was_started_without_a_snapshot_or_from_one_is_not_saved() {
    let node = Node::new(well_behaved).await;
    let plain = node.start("plain");
    ready(&plain).await;
    let refusal = save(&plain).await.unwrap_err();
    assert!(matches!(refusal, SaveError::NotForThis(_)), "{refusal}");
    assert_eq!(
        refusal.to_string(),
        "the instance was started without leave to be saved"
    );

    node.take_snapshot().await;
    let clone = node.start_saveable("clone");
    ready(&clone).await;
    let refusal = save(&clone).await.unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the instance was itself restored from a snapshot"
    );
    for instance in [plain, clone] {
        assert_eq!(instance.state(), State::Ready);
    }
    node.sandbox.shutdown(Duration::ZERO).await;
}

/// A file system with room for so many files and folders, itself included. Snapshots of fake guests are nothing but holes.
struct Disk<'a>(&'a Path);

impl Disk<'_> {
    fn has_room_for(&self, files: usize, remount: &str) {
        let options = format!("{remount}nr_inodes={files}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]);
        assert!(mount.arg(self.0).status().unwrap().success(), "needs root");
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[tokio::test]
async fn a_snapshot_that_does_not_fit_on_the_disk_leaves_nothing_but_a_ready_instance() {
    let node = Node::new(well_behaved).await;
    let disk = Disk(&node.config.snapshot_dir);
    disk.has_room_for(100, "");
    let instance = node.start_saveable("hello");
    ready(&instance).await;
    // Each time there is room for one more of the draft, state, memory, manifest and the folder of the key.
    for files in 1..=5 {
        disk.has_room_for(files, "remount,");
        let refusal = save(&instance).await.unwrap_err();
        assert!(matches!(refusal, SaveError::Failed(_)), "{refusal}");
        let told = refusal.to_string();
        assert!(told.contains("No space left on device"), "{files}: {told}");
        assert_eq!(node.snapshot_files(), [""; 0], "{files}");
        ready(&instance).await;
        instance.connect().await.unwrap();
    }
    disk.has_room_for(100, "remount,");
    save(&instance).await.unwrap();
    ready(&instance).await;
    node.sandbox.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_place_that_cannot_be_written_to_is_named() {
    let node = Node::new(well_behaved).await;
    let instance = node.start_saveable("hello");
    ready(&instance).await;
    fs::remove_dir(&node.config.snapshot_dir).unwrap();
    fs::write(&node.config.snapshot_dir, "no folder").unwrap();
    let told = save(&instance).await.unwrap_err().to_string();
    assert!(told.contains("cannot write the snapshot of key"), "{told}");
    ready(&instance).await;
    node.sandbox.shutdown(Duration::ZERO).await;
}

/// How far a guest gets with leaving and coming back.
#[derive(Clone, Copy)]
enum Leave {
    /// Does not answer.
    Hang,
    /// Dials again, and says nothing.
    ComeBackMute,
    /// Dials again, and refuses to go on.
    Refuse,
    /// Its machine ends.
    Die,
}

impl Node {
    /// A node whose guests leave so. The receiver tells when one has got there.
    async fn leaving(leave: Leave) -> (Self, mpsc::UnboundedReceiver<()>) {
        let (there, got) = mpsc::unbounded_channel();
        let node = Self::new(move |guest| leaves(guest, leave, there.clone())).await;
        (node, got)
    }
}

async fn leaves(
    guest: Guest,
    leave: Leave,
    there: mpsc::UnboundedSender<()>,
) -> anyhow::Result<()> {
    let (mut link, _) = guest.start().await?;
    let _listener = guest.listen(8080)?;
    while link.receive().await? != Some(ToGuest::Quiesce) {}
    match leave {
        Leave::Hang => {}
        Leave::Die => guest.die().await,
        Leave::ComeBackMute => {
            link.send(&ToHost::Quiesced).await?;
            link = loop {
                if let Ok(link) = guest.dial().await {
                    break link;
                }
                tokio::task::yield_now().await;
            };
        }
        Leave::Refuse => {
            link.send(&ToHost::Quiesced).await?;
            link = guest.come_back().await?.0;
            link.failed("resume", "I will not").await?;
        }
    }
    there.send(())?;
    let _stays_open = link;
    std::future::pending().await
}

#[tokio::test]
async fn a_stop_while_an_instance_leaves_ends_it_cleanly_and_takes_no_snapshot() {
    for leave in [Leave::Hang, Leave::ComeBackMute] {
        for grace in [Duration::ZERO, LONG] {
            let (node, mut there) = Node::leaving(leave).await;
            let instance = node.start_saveable("hello");
            ready(&instance).await;
            let saving = tokio::spawn({
                let instance = instance.clone();
                async move { save(&instance).await }
            });
            there.recv().await.unwrap();
            instance.stop(grace);
            assert_eq!(stopped(&instance).await, State::Stopped);
            if let Leave::Hang = leave {
                let told = saving.await.unwrap().unwrap_err().to_string();
                assert!(told.contains("ended while it was saved"), "{told}");
                assert_eq!(node.snapshot_files(), [""; 0]);
            } else {
                // It was written by then.
                saving.await.unwrap().unwrap();
                assert_eq!(node.snapshot_files(), ["key"]);
            }
            assert!(node.namespaces().is_empty());
            assert!(!node.folder("hello").exists());
        }
    }
}

/// An instance that is saved and stands still, until [`go_on`].
async fn standing_still(
    node: &Node,
) -> (
    Handle,
    JoinHandle<Result<Arc<sandbox::snapshots::Snapshot>, SaveError>>,
) {
    let instance = node.start_saveable("hello");
    ready(&instance).await;
    let folder = node.folder("hello");
    fs::write(folder.join("hold"), "").unwrap();
    let saving = tokio::spawn({
        let instance = instance.clone();
        async move { save(&instance).await }
    });
    let holding = async {
        while !folder.join("holding").exists() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, holding).await.expect("it is never saved");
    (instance, saving)
}

fn go_on(node: &Node) {
    fs::remove_file(node.folder("hello").join("hold")).unwrap();
}

#[tokio::test]
async fn a_stop_while_the_guest_is_written_waits_for_that() {
    let node = Node::new(well_behaved).await;
    let (instance, saving) = standing_still(&node).await;
    instance.stop(Duration::ZERO);
    let mut states = instance.watch();
    states.wait_for(|it| *it == State::Draining).await.unwrap();
    go_on(&node);
    assert_eq!(stopped(&instance).await, State::Stopped);
    saving.await.unwrap().unwrap();
    assert_eq!(node.snapshot_files(), ["key"]);
    assert!(node.namespaces().is_empty());
}

#[tokio::test]
async fn a_hypervisor_that_dies_while_it_writes_is_a_failure_and_leaves_no_snapshot() {
    let node = Node::new(well_behaved).await;
    let (instance, saving) = standing_still(&node).await;
    let process = ProcessId::of(instance.pid().unwrap()).unwrap();
    process.kill_and_wait(LONG).unwrap();
    let failed = failure(&instance).await;
    assert_failure(&failed, sandbox::Reason::SaveFailed, &["did not come back"]);
    saving.await.unwrap().unwrap_err();
    assert_eq!(node.snapshot_files(), [""; 0]);
    assert!(node.namespaces().is_empty());
}

#[tokio::test]
async fn a_guest_that_does_not_come_back_from_being_saved_is_a_failure() {
    for (leave, says) in [
        (Leave::Die, "did not come back"),
        (Leave::Refuse, "I will not"),
    ] {
        let (node, _there) = Node::leaving(leave).await;
        let instance = node.start_saveable("hello");
        ready(&instance).await;
        let (_, failed) = tokio::join!(save(&instance), failure(&instance));
        assert_failure(&failed, sandbox::Reason::SaveFailed, &[says]);
        assert!(node.namespaces().is_empty());
    }
}

#[tokio::test]
async fn what_a_function_prints_while_it_is_saved_is_in_its_log() {
    // The test lets the guest print when it is back.
    let (print, printing) = oneshot::channel::<()>();
    let printing = Arc::new(Mutex::new(Some(printing)));
    let hypervisor = FakeHypervisor::new(move |guest| {
        let printing = printing.clone();
        async move {
            let (mut link, _) = guest.start().await?;
            let _listener = guest.listen(8080)?;
            while link.receive().await? != Some(ToGuest::Quiesce) {}
            link.print(agent::protocol::Stream::Stdout, "before\n")
                .await?;
            link.send(&ToHost::Quiesced).await?;
            let (mut link, _) = guest.resume().await?;
            let printing = printing.lock().unwrap().take().unwrap();
            printing.await?;
            link.print(agent::protocol::Stream::Stdout, "after\n")
                .await?;
            link.exited(0).await
        }
    });
    let node = Node::with(hypervisor, |_| {}).await;
    let instance = node.start_saveable("hello");
    ready(&instance).await;
    save(&instance).await.unwrap();
    ready(&instance).await;
    print.send(()).unwrap();
    timeout(LONG, instance.stopped()).await.unwrap();
    let log = fs::read_to_string(instance.log().path()).unwrap();
    let (before, after) = log.split_once("before").unwrap();
    assert!(after.contains("after"), "{before}{after}");
}
