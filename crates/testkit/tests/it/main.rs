//! The fakes, as the tests of other crates use them.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests do")]

use std::fs::{self, File};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent::protocol::{HOST, HOST_PORT, Process, Resume};
use sys::netns::{DIRECTORY, NetNs};
use tempfile::TempDir;
use testkit::guest::well_behaved;
use testkit::hypervisor::FakeHypervisor;
use vmm::agent::{Event, Listener};
use vmm::{
    Accel, Backing, DormantConfig, Hypervisor as _, MachineConfig, RestoreConfig, SaveTarget,
};

const SOON: Duration = Duration::from_secs(20);

/// An instance's folder and namespace.
struct Instance {
    folder: TempDir,
    path: PathBuf,
    network: NetNs,
}

impl Instance {
    fn new(name: &str) -> Instance {
        let name = format!("testkit-it-{}-{name}", std::process::id());
        let path = Path::new(DIRECTORY).join(&name);
        let network = NetNs::create(&path).unwrap();
        network
            .enter(|| sys::link::add_address("lo", HOST, 32))
            .unwrap()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let record = format!(r#"{{"namespace": "{name}"}}"#);
        fs::write(folder.path().join("instance.json"), record).unwrap();
        Instance {
            folder,
            path,
            network,
        }
    }

    fn listen(&self) -> Listener {
        let address = SocketAddrV4::new(HOST, HOST_PORT);
        Listener::new(self.network.tcp_listen(address).unwrap()).unwrap()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        NetNs::delete(&self.path).unwrap();
    }
}

#[tokio::test]
async fn a_fake_guest_is_saved_and_its_clone_resumes() {
    let hypervisor = FakeHypervisor::new(well_behaved);
    let first = Instance::new("first");
    let listener = first.listen();
    let config = MachineConfig {
        name: "first".into(),
        run_dir: first.folder.path().to_owned(),
        kernel: hypervisor.kernel(),
        vcpus: 1,
        memory_mib: 64,
        root: hypervisor.root(),
        tap: File::open("/dev/null").unwrap().into(),
        accel: Accel::Tcg,
        uid_gid: None,
        extra_cmdline: String::new(),
    };
    let mut machine = hypervisor.boot(config).await.unwrap();
    let mut session = listener.accept(SOON).await.unwrap();
    session.start(Process::default(), SOON).await.unwrap();
    let (mut commands, mut events) = session.split();
    commands.quiesce().await.unwrap();
    while events.next().await.unwrap() != Event::Quiesced {}
    drop((commands, events));
    let (state, memory) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    let target = SaveTarget {
        state: state.try_clone().unwrap(),
        memory: memory.try_clone().unwrap(),
    };
    machine.save(target).await.unwrap();

    // It runs on, and is joined by a clone.
    let listener = first.listen();
    machine.resume().await.unwrap();
    let mut session = listener.accept_resumed(SOON).await.unwrap();
    session.resume(Resume::default(), SOON).await.unwrap();

    let second = Instance::new("second");
    let config = DormantConfig {
        name: "second".into(),
        run_dir: second.folder.path().to_owned(),
        vcpus: 1,
        memory_mib: 64,
        tap: File::open("/dev/null").unwrap().into(),
        accel: Accel::Tcg,
        uid_gid: None,
    };
    let dormant = hypervisor.prepare(config).await.unwrap();
    let listener = second.listen();
    let config = RestoreConfig {
        root: hypervisor.root(),
        state,
        memory: Backing::File(memory),
        before_load: None,
        before_resume: None,
    };
    let mut clone = hypervisor.restore(dormant, config).await.unwrap();
    let mut session = listener.accept_resumed(SOON).await.unwrap();
    session.resume(Resume::default(), SOON).await.unwrap();
    for machine in [&mut machine, &mut clone] {
        let exit = tokio::time::timeout(SOON, machine.kill()).await.unwrap();
        assert!(!exit.unwrap().status.success());
    }
}
