//! Hypervisors that wait for a snapshot.

use std::fs;
use std::time::Duration;

use sandbox::State;
use sys::process::ProcessId;
use testkit::guest::well_behaved;
use testkit::hypervisor::FakeHypervisor;
use tokio::time::timeout;

use crate::node::{LONG, Node, names, ready, stopped};

/// A node that keeps two.
async fn node() -> Node {
    Node::with(FakeHypervisor::new(well_behaved), |config| {
        config.spare_hypervisors = 2;
    })
    .await
}

impl Node {
    async fn warm(&self) {
        timeout(LONG, self.sandbox.warm()).await.expect("never");
    }

    /// The processes of the spares, by folder.
    fn spares(&self) -> Vec<(String, ProcessId)> {
        let names = names(&self.config.run_dir);
        let spares = names.into_iter().filter(|name| name.starts_with("spare-"));
        let process = |name: &str| {
            let record = fs::read(self.folder(name).join("instance.json")).unwrap();
            let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
            serde_json::from_value(record["process"].clone()).unwrap()
        };
        spares.map(|name| (name.clone(), process(&name))).collect()
    }
}

#[tokio::test]
async fn there_are_spares_once_there_is_a_snapshot() {
    let node = node().await;
    node.warm().await;
    assert!(node.spares().is_empty(), "nothing can be restored yet");
    node.take_snapshot().await;
    node.warm().await;
    let spares = node.spares();
    assert_eq!(spares.len(), 2);
    assert!(spares.iter().all(|(_, process)| process.alive()));
    assert_eq!(node.namespaces().len(), 2);
    node.sandbox.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_restore_takes_a_spare_which_is_replaced() {
    let node = node().await;
    node.take_snapshot().await;
    node.warm().await;
    let before = node.spares();
    let instance = node.start_saveable("clone");
    ready(&instance).await;
    let pid = instance.pid().unwrap();
    assert!(
        before.iter().any(|(_, process)| process.pid == pid),
        "{pid} is none of {before:?}"
    );
    node.warm().await;
    let after = node.spares();
    assert_eq!(after.len(), 3, "the clone has kept its folder: {after:?}");
    instance.stop(LONG);
    assert_eq!(stopped(&instance).await, State::Stopped);
    assert_eq!(node.spares().len(), 2);
    assert!(node.spares().iter().all(|(_, process)| process.pid != pid));
    node.sandbox.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_burst_of_more_clones_than_there_are_spares_is_restored_all_the_same() {
    let node = node().await;
    node.take_snapshot().await;
    node.warm().await;
    let names: Vec<_> = (0..6).map(|number| format!("clone-{number}")).collect();
    let clones: Vec<_> = names.iter().map(|name| node.start_saveable(name)).collect();
    for clone in &clones {
        ready(clone).await;
        assert!(clone.snapshot().is_some());
    }
    node.sandbox.shutdown(Duration::ZERO).await;
    assert!(node.namespaces().is_empty());
}

#[tokio::test]
async fn a_spare_that_was_killed_is_passed_over() {
    let node = node().await;
    node.take_snapshot().await;
    node.warm().await;
    let spares = node.spares();
    let (dead, alive) = (&spares[0].1, &spares[1].1);
    dead.kill_and_wait(LONG).unwrap();
    let instance = node.start_saveable("clone");
    ready(&instance).await;
    assert!(instance.snapshot().is_some());
    assert_eq!(instance.pid(), Some(alive.pid));
    node.sandbox.shutdown(Duration::ZERO).await;
    assert_eq!(names(&node.config.run_dir), [".lock"]);
}

#[tokio::test]
async fn after_a_shutdown_there_is_no_spare() {
    let node = node().await;
    node.take_snapshot().await;
    node.warm().await;
    let spares = node.spares();
    node.sandbox.shutdown(Duration::ZERO).await;
    assert!(!spares.iter().any(|(_, process)| process.alive()));
    assert_eq!(names(&node.config.run_dir), [".lock"]);
    assert!(node.namespaces().is_empty());
}

#[tokio::test]
async fn a_shutdown_while_spares_are_being_made_leaves_nothing() {
    let node = node().await;
    node.take_snapshot().await;
    let down = timeout(LONG, node.sandbox.shutdown(Duration::ZERO));
    down.await.expect("never");
    assert_eq!(names(&node.config.run_dir), [".lock"]);
    assert!(node.namespaces().is_empty());
}
