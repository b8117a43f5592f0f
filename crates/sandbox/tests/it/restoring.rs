//! Instances that begin with a snapshot.

use std::time::Duration;

use agent::protocol::Resume;
use sandbox::{Memory, Reason, Spec, State};
use testkit::guest::{Guest, well_behaved};
use testkit::hypervisor::FakeHypervisor;
use tokio::sync::mpsc;

use crate::node::{LONG, Node, assert_failure, failure, ready, saved_as, stopped};

/// Long enough for a restore, which a test waits for in vain.
const SHORT: Duration = Duration::from_secs(1);

fn phases(instance: &sandbox::Handle) -> Vec<&'static str> {
    instance.phases().iter().map(|phase| phase.name).collect()
}

#[tokio::test]
async fn an_instance_with_the_key_of_a_snapshot_is_restored() {
    let node = Node::new(well_behaved).await;
    let snapshot = node.take_snapshot().await;
    for memory in [Memory::File, Memory::Lazy, Memory::Reap, Memory::Auto] {
        let instance = node.sandbox.start(Spec {
            snapshot: Some(saved_as("key", memory)),
            ..node.spec("clone")
        });
        ready(&instance).await;
        assert_eq!(
            phases(&instance),
            ["pool", "bind", "load", "resume", "agent"],
            "{memory:?}"
        );
        let of = instance.snapshot().unwrap();
        assert_eq!(of.manifest().id, snapshot.manifest().id);
        instance.connect().await.unwrap();
        instance.stop(LONG);
        assert_eq!(stopped(&instance).await, State::Stopped, "{memory:?}");
    }
    assert_eq!(snapshot.restores(), 4);
    assert!(node.namespaces().is_empty());
}

#[tokio::test]
async fn an_instance_with_another_key_or_without_one_is_booted() {
    let node = Node::new(well_behaved).await;
    node.take_snapshot().await;
    let other = Spec {
        snapshot: Some(saved_as("other", Memory::Auto)),
        ..node.spec("other")
    };
    for instance in [node.sandbox.start(other), node.start("plain")] {
        ready(&instance).await;
        assert!(instance.snapshot().is_none());
        assert_eq!(phases(&instance)[0], "network");
    }
    node.sandbox.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn clones_are_told_who_they_are_and_given_entropy_of_their_own() {
    let (told, mut tell) = mpsc::unbounded_channel();
    let node = Node::new(move |guest: Guest| {
        let told = told.clone();
        async move {
            if !guest.restored {
                return well_behaved(guest).await;
            }
            let (mut link, resume) = guest.resume().await?;
            told.send(resume)?;
            link.shutdown().await?;
            Ok(())
        }
    })
    .await;
    node.take_snapshot().await;
    let before = jiff::Timestamp::now().as_microsecond().unsigned_abs();
    let mut resumes: Vec<Resume> = Vec::new();
    for name in ["one", "two"] {
        let mut spec = Spec {
            snapshot: Some(saved_as("key", Memory::File)),
            ..node.spec(name)
        };
        name.clone_into(&mut spec.process.hostname);
        ready(&node.sandbox.start(spec)).await;
        resumes.push(tell.recv().await.unwrap());
    }
    let hostnames: Vec<_> = resumes.iter().map(|it| it.hostname.as_str()).collect();
    assert_eq!(hostnames, ["one", "two"]);
    assert!(resumes.iter().all(|it| it.time_unix_us >= before));
    assert!(resumes.iter().all(|it| it.entropy.len() == 32));
    assert_ne!(resumes[0].entropy, resumes[1].entropy);
    node.sandbox.shutdown(Duration::ZERO).await;
}

/// What a clone does instead of coming back.
#[derive(Clone, Copy, Debug)]
enum Clone {
    NeverDials,
    Dies,
    Refuses,
    TalksNonsense,
}

async fn fails(guest: Guest, clone: Clone) -> anyhow::Result<()> {
    if !guest.restored {
        return well_behaved(guest).await;
    }
    match clone {
        Clone::NeverDials => {}
        Clone::Dies => guest.die().await,
        Clone::Refuses => {
            let (mut link, _) = guest.come_back().await?;
            link.failed("resume", "I will not").await?;
        }
        Clone::TalksNonsense => guest.dial().await?.send_raw(&[0xff; 64]).await?,
    }
    std::future::pending().await
}

#[tokio::test]
async fn a_restore_that_fails_is_told_its_snapshot_goes_and_the_next_start_boots() {
    for (clone, says) in [
        (Clone::NeverDials, "restored from its snapshot"),
        (Clone::Dies, "restored from its snapshot"),
        (Clone::Refuses, "I will not"),
        (Clone::TalksNonsense, "does not keep to the protocol"),
    ] {
        let node = Node::new(well_behaved).await;
        node.take_snapshot().await;
        let hypervisor = FakeHypervisor::new(move |guest| fails(guest, clone));
        let deadline = match clone {
            Clone::NeverDials => SHORT,
            _ => LONG,
        };
        let node = node
            .succeeded_by(hypervisor, |config| config.boot_deadline = deadline)
            .await;
        let instance = node.start_saveable("clone");
        assert!(instance.snapshot().is_some(), "{clone:?}");
        let mut states = instance.watch();
        states.wait_for(State::is_terminal).await.unwrap();
        // Whoever hears of it may start another at once.
        let next = node.start_saveable("next");
        assert!(next.snapshot().is_none(), "{clone:?}");
        assert_failure(&failure(&instance).await, Reason::RestoreFailed, &[says]);
        ready(&next).await;
        assert_eq!(phases(&next)[0], "network");
        node.sandbox.shutdown(Duration::ZERO).await;
        assert!(node.sandbox.snapshots().list().is_empty());
        assert!(node.namespaces().is_empty());
    }
}

#[tokio::test]
async fn a_hypervisor_that_does_not_restore_is_told_and_the_next_start_boots() {
    let node = Node::new(well_behaved).await;
    let snapshot = node.take_snapshot().await;
    // As when somebody tidies up by hand.
    std::fs::remove_file(snapshot.state()).unwrap();
    let instance = node.start_saveable("clone");
    assert_failure(
        &failure(&instance).await,
        Reason::RestoreFailed,
        &["cannot open", "state"],
    );
    let next = node.start_saveable("next");
    ready(&next).await;
    assert!(next.snapshot().is_none());
    node.sandbox.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_stop_in_the_middle_of_a_restore_leaves_nothing_but_the_snapshot() {
    let (there, mut got) = mpsc::unbounded_channel();
    let node = Node::new(move |guest: Guest| {
        let there = there.clone();
        async move {
            if !guest.restored {
                return well_behaved(guest).await;
            }
            let _link = guest.dial().await?;
            there.send(())?;
            std::future::pending().await
        }
    })
    .await;
    node.take_snapshot().await;
    let instance = node.start_saveable("clone");
    got.recv().await.unwrap();
    instance.stop(LONG);
    assert_eq!(stopped(&instance).await, State::Stopped);
    assert!(node.namespaces().is_empty());
    assert_eq!(node.snapshot_files(), ["key"]);
}

#[tokio::test]
async fn a_snapshot_of_another_hypervisor_or_kernel_is_removed_and_the_instance_boots() {
    type Change = fn(FakeHypervisor) -> FakeHypervisor;
    let changes: [Change; 2] = [|it| it.version(2), |it| it.with_kernel("sha256:other")];
    for change in changes {
        let node = Node::new(well_behaved).await;
        node.take_snapshot().await;
        let node = node
            .succeeded_by(change(FakeHypervisor::new(well_behaved)), |_| {})
            .await;
        assert_eq!(node.sandbox.snapshots().list().len(), 1);
        let instance = node.start_saveable("hello");
        assert!(instance.snapshot().is_none());
        ready(&instance).await;
        assert!(node.sandbox.snapshots().find("key").is_none());
        // It makes room for one that fits.
        crate::node::save(&instance).await.unwrap();
        ready(&instance).await;
        let clone = node.start_saveable("clone");
        ready(&clone).await;
        assert!(clone.snapshot().is_some());
        node.sandbox.shutdown(Duration::ZERO).await;
    }
}

#[tokio::test]
async fn a_snapshot_of_another_size_of_machine_is_not_restored() {
    let node = Node::new(well_behaved).await;
    node.take_snapshot().await;
    let larger = node.sandbox.start(Spec {
        snapshot: Some(saved_as("key", Memory::File)),
        memory_mib: 256,
        ..node.spec("larger")
    });
    ready(&larger).await;
    assert!(larger.snapshot().is_none());
    node.sandbox.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn the_log_of_a_clone_is_its_own() {
    let node = Node::new(well_behaved).await;
    let parent = node.start_saveable("parent");
    ready(&parent).await;
    crate::node::save(&parent).await.unwrap();
    let clone = node.start_saveable("clone");
    ready(&clone).await;
    node.sandbox.shutdown(Duration::ZERO).await;
    let log = |instance: &sandbox::Handle| std::fs::read_to_string(instance.log().path()).unwrap();
    assert!(log(&parent).contains("listening"));
    assert_eq!(log(&clone), "");
}
