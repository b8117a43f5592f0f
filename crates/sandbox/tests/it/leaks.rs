//! Nothing an instance owned outlives it, whatever its end was.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use sandbox::{Handle, Spec, State};
use sys::process::ProcessId;
use testkit::guest::{Guest, well_behaved};
use tokio::sync::mpsc;

use crate::node::{LONG, Node, settled, stopped};

/// What can be seen of an instance from outside.
struct Traces {
    process: ProcessId,
    namespace: u64,
}

impl Traces {
    fn of(node: &Node, instance: &Handle) -> Self {
        let record = fs::read(node.folder(instance.id()).join("instance.json")).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
        let name = record["namespace"].as_str().unwrap();
        let process: ProcessId = serde_json::from_value(record["process"].clone()).unwrap();
        assert_eq!(process.pid, instance.pid().unwrap());
        Self {
            process,
            namespace: fs::metadata(format!("/run/netns/{name}")).unwrap().ino(),
        }
    }

    fn assert_gone(&self, node: &Node) {
        // Not only ended but reaped: a zombie would still have its entry.
        assert_ne!(ProcessId::of(self.process.pid).ok(), Some(self.process));
        assert!(node.namespaces().is_empty());
        let held = format!("net:[{}]", self.namespace);
        for entry in fs::read_dir("/proc/self/fd").unwrap() {
            let target = fs::read_link(entry.unwrap().path()).unwrap_or_default();
            assert_ne!(
                target.to_str(),
                Some(held.as_str()),
                "the namespace is still held open"
            );
        }
        let left: Vec<_> = fs::read_dir(&node.config.run_dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, [".lock"]);
    }
}

/// The fake guest holds the namespace too, and lets go of it a moment after its process ended.
async fn gone(node: &Node, traces: &Traces) {
    let held = format!("net:[{}]", traces.namespace);
    let let_go = async {
        loop {
            let holders = fs::read_dir("/proc/self/fd").unwrap().filter(|entry| {
                let path = entry.as_ref().unwrap().path();
                fs::read_link(path).is_ok_and(|target| target.to_str() == Some(&held))
            });
            if holders.count() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, let_go)
        .await
        .expect("the namespace is still held open");
    traces.assert_gone(node);
}

#[tokio::test]
async fn a_stopped_instance_is_gone_while_its_handle_is_still_there() {
    let node = Node::new(well_behaved).await;
    let instance = node.start("hello");
    assert_eq!(settled(&instance).await, State::Ready);
    let traces = Traces::of(&node, &instance);
    instance.stop(LONG);
    assert_eq!(stopped(&instance).await, State::Stopped);
    gone(&node, &traces).await;
}

#[tokio::test]
async fn an_instance_that_never_became_ready_is_gone() {
    let (starting, mut starts) = mpsc::unbounded_channel();
    let node = Node::new(move |guest: Guest| {
        let starting = starting.clone();
        async move {
            let _link = guest.start().await?;
            starting.send(())?;
            std::future::pending().await
        }
    })
    .await;
    let instance = node.sandbox.start(Spec {
        ready_deadline: Duration::from_millis(300),
        ..node.spec("hello")
    });
    starts.recv().await.unwrap();
    let traces = Traces::of(&node, &instance);
    assert!(matches!(stopped(&instance).await, State::Failed(_)));
    gone(&node, &traces).await;
}

#[tokio::test]
async fn an_instance_whose_hypervisor_was_killed_is_gone() {
    let node = Node::new(well_behaved).await;
    let instance = node.start("hello");
    assert_eq!(settled(&instance).await, State::Ready);
    let traces = Traces::of(&node, &instance);
    let process = traces.process;
    tokio::task::spawn_blocking(move || process.kill_and_wait(LONG))
        .await
        .unwrap()
        .unwrap();
    assert!(matches!(stopped(&instance).await, State::Failed(_)));
    gone(&node, &traces).await;
}

#[test]
fn a_runtime_that_goes_away_takes_its_instances_with_it() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (node, instance, process) = runtime.block_on(async {
        let node = Node::new(well_behaved).await;
        let instance = node.start("hello");
        assert_eq!(settled(&instance).await, State::Ready);
        let process = Traces::of(&node, &instance).process;
        (node, instance, process)
    });
    drop(runtime);
    assert!(matches!(instance.state(), State::Failed(_)));
    let deadline = Instant::now() + LONG;
    while process.alive() {
        assert!(Instant::now() < deadline, "the hypervisor still runs");
        std::thread::yield_now();
    }
    assert!(node.namespaces().is_empty());
    assert!(!node.folder("hello").exists());
}
