//! A node that is killed, and the next one.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use sandbox::{Config, Error, Memory, Recovered, Sandbox, Spec};
use sys::netns::NetNs;
use sys::process::ProcessId;
use testkit::guest::well_behaved;
use testkit::hypervisor::FakeHypervisor;
use vmm::OWNER_VARIABLE;

use crate::node::{self, Node, ready};

const VICTIM: &str = "VHIVE_TEST_VICTIM";
const NAME: &str = "recovery::what_a_killed_node_left_is_taken_down_by_the_next_and_counted";

fn hypervisor() -> FakeHypervisor {
    FakeHypervisor::new(well_behaved)
}

/// Opens a sandbox of well-behaved guests.
async fn open(config: Config) -> Result<(Sandbox, Recovered), Error> {
    let hypervisor = hypervisor();
    let kernel = hypervisor.kernel();
    Sandbox::open(config, Arc::new(hypervisor), kernel).await
}

/// Where the victim and its successor work.
fn config(run_dir: &Path) -> Config {
    Config {
        run_dir: run_dir.to_owned(),
        node_id: Config::node_id_for(run_dir),
        net_pool_size: 2,
        spare_hypervisors: 1,
        // What is in the run directory is removed.
        snapshot_dir: run_dir.with_extension("snapshots"),
        ..node::config(run_dir)
    }
}

/// An instance that can be saved.
fn spec(id: &str, root: &Path, logs: &Path) -> Spec {
    Spec {
        snapshot: Some(node::saved_as("key", Memory::File)),
        ..node::spec(id, root, logs)
    }
}

/// A node in a process of its own, until it is killed.
fn victim(run_dir: &Path) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let hypervisor = hypervisor();
        let root = hypervisor.root();
        let (sandbox, recovered) = Sandbox::open(
            config(run_dir),
            Arc::new(hypervisor.clone()),
            hypervisor.kernel(),
        )
        .await
        .unwrap();
        assert_eq!(recovered, Recovered::default());
        for id in ["one", "two"] {
            let instance = sandbox.start(spec(id, &root, &run_dir.with_extension("logs")));
            ready(&instance).await;
            if id == "two" {
                instance.save().await.unwrap();
                ready(&instance).await;
            }
        }
        sandbox.warm().await;
        eprintln!("all is up");
        std::future::pending::<()>().await;
    });
}

/// Starts the victim and waits until it has two instances, a full pool and a spare hypervisor.
fn start_victim(run_dir: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(VICTIM, run_dir)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let up = stderr.lines().any(|line| line.unwrap() == "all is up");
    assert!(up, "the victim did not come up");
    child
}

/// Removes whatever a failed test leaves.
struct Sweep(PathBuf);

impl Drop for Sweep {
    fn drop(&mut self) {
        for path in namespaces(&self.0) {
            let _ = NetNs::delete(&path);
        }
    }
}

fn namespaces(run_dir: &Path) -> Vec<PathBuf> {
    NetNs::list(&format!("vhive-{}-", Config::node_id_for(run_dir))).unwrap()
}

fn processes(run_dir: &Path) -> Vec<ProcessId> {
    ["one", "two", "spare-0"]
        .iter()
        .map(|id| fs::read(run_dir.join(id).join("instance.json")).unwrap())
        .map(|record| serde_json::from_slice::<serde_json::Value>(&record).unwrap())
        .map(|record| serde_json::from_value(record["process"].clone()).unwrap())
        .collect()
}

#[test]
fn what_a_killed_node_left_is_taken_down_by_the_next_and_counted() {
    if let Some(run_dir) = std::env::var_os(VICTIM) {
        return victim(Path::new(&run_dir));
    }
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    let _sweep = Sweep(run_dir.clone());
    let runtime = tokio::runtime::Runtime::new().unwrap();

    let mut victim = start_victim(&run_dir);
    let refused = runtime.block_on(open(config(&run_dir)));
    assert!(
        matches!(refused, Err(Error::InUse { .. })),
        "two nodes in one run directory"
    );

    let processes = processes(&run_dir);
    victim.kill().unwrap();
    victim.wait().unwrap();
    assert!(
        processes.iter().all(ProcessId::alive),
        "nothing to recover from"
    );
    assert_eq!(namespaces(&run_dir).len(), 5);

    // One more that died before its process could be recorded.
    let unrecorded = run_dir.join("three");
    fs::create_dir(&unrecorded).unwrap();
    let mut orphan = Command::new("sleep")
        .arg("infinity")
        .env(OWNER_VARIABLE, &unrecorded)
        .spawn()
        .unwrap();

    let fake = hypervisor();
    let (sandbox, recovered) = runtime.block_on(open(config(&run_dir))).unwrap();
    let orphan = orphan.wait().unwrap();
    assert_eq!(
        recovered,
        Recovered {
            processes: 4,
            namespaces: 5,
            folders: 4
        }
    );
    assert!(!orphan.success());
    assert!(!processes.iter().any(ProcessId::alive));

    // And it works, with what was saved.
    runtime.block_on(async {
        let instance = sandbox.start(spec("one", &fake.root(), folder.path()));
        ready(&instance).await;
        assert!(instance.snapshot().is_some());
        sandbox.shutdown(std::time::Duration::ZERO).await;
    });
    assert!(namespaces(&run_dir).is_empty());
}

#[tokio::test]
async fn a_record_that_makes_no_sense_is_cleared_away() {
    let folder = tempfile::tempdir().unwrap();
    let config = node::config(folder.path());
    let broken = config.run_dir.join("broken");
    fs::create_dir_all(&broken).unwrap();
    fs::write(broken.join("instance.json"), "{").unwrap();
    let (_sandbox, recovered) = open(config).await.unwrap();
    assert_eq!(
        recovered,
        Recovered {
            folders: 1,
            ..Recovered::default()
        }
    );
    assert!(!broken.exists());
}

#[tokio::test]
async fn a_recorded_process_is_ended_whatever_its_environment_says() {
    let folder = tempfile::tempdir().unwrap();
    let config = node::config(folder.path());
    let old = config.run_dir.join("old");
    fs::create_dir_all(&old).unwrap();
    let mut left = Command::new("sleep").arg("infinity").spawn().unwrap();
    let process = ProcessId::of(left.id()).unwrap();
    let record = serde_json::json!({"namespace": "none", "process": process});
    fs::write(old.join("instance.json"), record.to_string()).unwrap();

    let (_sandbox, recovered) = open(config).await.unwrap();
    let ended = left.try_wait().unwrap().is_some();
    // For the case that it was not.
    let _ = left.kill();
    left.wait().unwrap();
    assert!(ended);
    assert_eq!(recovered.processes, 1);
}

#[tokio::test]
async fn a_process_that_took_over_a_recorded_pid_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let config = node::config(folder.path());
    let old = config.run_dir.join("old");
    fs::create_dir_all(&old).unwrap();
    let mut bystander = Command::new("sleep").arg("infinity").spawn().unwrap();
    let mut process = ProcessId::of(bystander.id()).unwrap();
    process.start_time -= 1;
    let record = serde_json::json!({"namespace": "none", "process": process});
    fs::write(old.join("instance.json"), record.to_string()).unwrap();

    let (_sandbox, recovered) = open(config).await.unwrap();
    let survived = bystander.try_wait().unwrap().is_none();
    bystander.kill().unwrap();
    bystander.wait().unwrap();
    assert!(survived);
    assert_eq!(recovered.processes, 0);
}

#[tokio::test]
async fn the_namespaces_of_a_node_with_a_longer_name_are_left_alone() {
    let node = Node::new(well_behaved).await;
    let other = format!("/run/netns/vhive-{}-b-0", node.config.node_id);
    NetNs::create(other.as_ref()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        run_dir: folder.path().join("run"),
        ..node.config.clone()
    };
    let (_sandbox, recovered) = open(config).await.unwrap();
    assert_eq!(recovered.namespaces, 0);
    assert_eq!(node.namespaces(), [PathBuf::from(other)]);
}

#[tokio::test]
async fn a_node_id_that_fits_no_name_is_refused() {
    for id in ["", "a/b", "a b", &"x".repeat(33)] {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            node_id: id.to_owned(),
            ..node::config(folder.path())
        };
        let refused = open(config).await;
        assert!(matches!(refused, Err(Error::NodeId { .. })), "{id:?}");
    }
}
