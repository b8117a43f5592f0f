//! Machines that are saved, and their clones.

use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::stream::{self, StreamExt as _};
use memory::{Lazy, MemoryFile, Options, Outcome, Server};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use vmm::agent::protocol::{ExecEnd, GuestFile, Process, Resume};
use vmm::agent::{Command, Commands, Error, Event, Events};
use vmm::qemu::{self, Qemu};
use vmm::{Backing, Dormant, Hypervisor as _, Machine, RestoreConfig, SaveTarget, Saved};

use crate::guest::{MEMORY_MIB, PATIENCE, Place, Running, boot, boot_with, script};
use crate::root;

/// A web server that tells what differs between clones, and what does not. On SIGHUP it speaks on its standard output.
fn server() -> Process {
    const FACTS: &str = r#"#!/bin/sh
        printf "content-type: text/plain\r\n\r\n"; echo hostname $(hostname); echo hosts $(grep 172 /etc/hosts); echo token $(cat /run/token)
        echo time $(date +%s); echo random $(head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n')
    "#;
    let file = GuestFile {
        path: "/www/cgi-bin/facts".into(),
        mode: 0o755,
        contents: FACTS.into(),
    };
    let files = vec![file];
    Process {
        files,
        hostname: "first".into(),
        ..script(
            "busybox --install -s /bin; mkdir -p /run; echo none > /run/token
                  httpd -p 8080 -h /www; trap 'echo still here' HUP; echo ready
                  while :; do sleep 3600 & wait $!; done",
        )
    }
}

/// A snapshot in a folder of its own.
struct Snapshot {
    folder: TempDir,
    saved: Saved,
}

impl Snapshot {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn memory(&self) -> File {
        File::open(self.path("memory")).unwrap()
    }

    fn restore(&self, memory: Backing) -> RestoreConfig {
        RestoreConfig {
            root: root::image().to_owned(),
            state: File::open(self.path("state")).unwrap(),
            memory,
            before_load: None,
            before_resume: None,
        }
    }
}

/// A page server for one clone of the snapshot, and where it listens.
fn page_server(snapshot: &Snapshot) -> (Server, PathBuf) {
    let socket = snapshot.path("pages.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let memory = MemoryFile::open(&snapshot.path("memory")).unwrap();
    let server = Server::start(
        listener,
        Arc::new(memory),
        Box::new(Lazy),
        Options::default(),
    );
    (server.unwrap(), socket)
}

async fn save(machine: &mut Machine) -> Snapshot {
    let folder = tempfile::tempdir().unwrap();
    let file = |name| File::create_new(folder.path().join(name)).unwrap();
    let target = SaveTarget {
        state: file("state"),
        memory: file("memory"),
    };
    let saved = machine.save(target).await.unwrap();
    Snapshot { folder, saved }
}

async fn quiesce(commands: &mut Commands, events: &mut Events) {
    commands.quiesce().await.unwrap();
    let left = async { while !matches!(events.next().await.unwrap(), Event::Quiesced) {} };
    tokio::time::timeout(PATIENCE, left).await.unwrap();
}

/// A snapshot of a guest that has served a request and was told to quiesce.
async fn snapshot() -> Snapshot {
    let mut guest = boot().await.start(server()).await.unwrap();
    guest.wait_for("ready\n").await;
    guest.place.get("/cgi-bin/facts").await;
    quiesce(&mut guest.commands, &mut guest.events).await;
    save(&mut guest.machine).await
}

async fn prepare(place: &Place) -> Dormant {
    let qemu = Qemu::find(None).unwrap();
    qemu.prepare(place.dormant_config()).await.unwrap()
}

async fn restore(dormant: Dormant, config: RestoreConfig) -> Result<Machine, vmm::Error> {
    Qemu::find(None).unwrap().restore(dormant, config).await
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// Who the guest is to be, as the `number`th.
fn identity(number: u8) -> Resume {
    Resume {
        time_unix_us: now().as_micros() as u64,
        entropy: vec![number; 32],
        hostname: format!("clone-{number}"),
        files: vec![GuestFile {
            path: "/run/token".into(),
            mode: 0o600,
            contents: number.to_string().into(),
        }],
        ..Resume::default()
    }
}

/// Restores a clone and has it resume.
async fn clone(snapshot: &Snapshot, number: u8, memory: Backing) -> Running {
    let place = Place::new();
    let dormant = prepare(&place).await;
    let listener = place.listen();
    let machine = restore(dormant, snapshot.restore(memory)).await.unwrap();
    let mut session = match listener.accept_resumed(PATIENCE).await {
        Ok(session) => session,
        Err(error) => panic!("{error:?}; console: {}", machine.console_tail()),
    };
    session.resume(identity(number), PATIENCE).await.unwrap();
    let (commands, events) = session.split();
    Running {
        machine,
        commands,
        events,
        place,
    }
}

/// What a guest says of itself: all but time and random bytes, the time, the random bytes.
async fn facts(guest: &Running) -> (String, u64, String) {
    let facts = guest.place.get("/cgi-bin/facts").await;
    let (facts, rest) = facts.split_once("time ").unwrap();
    let (time, random) = rest.split_once("\nrandom ").unwrap();
    let random = random.trim_end().to_owned();
    (facts.to_owned(), time.parse().unwrap(), random)
}

fn expected(number: u8) -> String {
    format!("hostname clone-{number}\nhosts 172.16.0.2 clone-{number}\ntoken {number}\n")
}

fn digest(snapshot: &Snapshot) -> [u8; 32] {
    let bytes = std::fs::read(snapshot.path("memory")).unwrap();
    Sha256::digest(bytes).into()
}

#[tokio::test]
async fn commands_run_in_clones_too_and_those_under_way_are_left_behind() {
    let shell = |script: &str| Command {
        argv: ["busybox", "sh", "-c", script].map(str::to_owned).to_vec(),
        timeout: Some(PATIENCE),
        max_output: 1000,
        ..Command::default()
    };
    let mut guest = boot().await.start(server()).await.unwrap();
    guest.wait_for("ready\n").await;
    let endless = "echo $$ > /run/left; exec sleep 1000";
    let endless = guest.commands.exec(shell(endless)).await.unwrap();
    let begun = "until [ -s /run/left ]; do :; done";
    let begun = guest.commands.exec(shell(begun)).await.unwrap();
    tokio::select! {
        ended = begun.ended() => assert_eq!(ended.unwrap().end, ExecEnd::Exited { code: 0 }),
        event = guest.events.next() => panic!("{event:?} came first"),
    }
    quiesce(&mut guest.commands, &mut guest.events).await;
    let snapshot = save(&mut guest.machine).await;
    drop(guest);
    let error = endless.ended().await.unwrap_err();
    assert!(matches!(error, Error::Closed { .. }), "{error}");

    for number in 1..=2 {
        let mut clone = clone(&snapshot, number, Backing::File(snapshot.memory())).await;
        let look = "while kill -0 $(cat /run/left); do :; done 2>/dev/null; hostname; cat /proc/self/cgroup";
        let look = clone.commands.exec(shell(look)).await.unwrap();
        let seen = tokio::select! {
            ended = look.ended() => ended.unwrap(),
            event = clone.events.next() => panic!("{event:?} came first"),
        };
        assert_eq!(
            String::from_utf8(seen.stdout).unwrap(),
            format!("clone-{number}\n0::/\n")
        );
    }
}

/// Clones that are alive at the same time.
const CLONES: u8 = 32;
/// Of them, how many are restored at a time.
const AT_A_TIME: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn clones_of_one_snapshot_differ_in_what_must_differ_and_leave_it_as_it_is() {
    let snapshot = snapshot().await;
    let before = digest(&snapshot);
    let mut clones: Vec<Running> = stream::iter(1..=CLONES)
        .map(|number| clone(&snapshot, number, Backing::File(snapshot.memory())))
        .buffered(AT_A_TIME)
        .collect()
        .await;
    let mut randoms = BTreeSet::new();
    for (number, clone) in (1..).zip(&clones) {
        let before = now().as_secs();
        let (facts, time, random) = facts(clone).await;
        let after = now().as_secs();
        // All else that tells one instance from another.
        assert_eq!(facts, expected(number));
        // The guest has whole seconds, and was told the time a moment after it was.
        assert!(
            (before - 1..=after + 1).contains(&time),
            "{before} <= {time} <= {after}"
        );
        assert_eq!(random.len(), 64, "32 bytes: {random}");
        randoms.insert(random);
    }
    assert_eq!(randoms.len(), usize::from(CLONES), "{randoms:?}");
    // The first of them is alive still, as are all others.
    for clone in &mut clones {
        clone.commands.signal(1).await.unwrap();
        clone.wait_for("still here\n").await;
    }
    assert!(digest(&snapshot) == before);
}

#[tokio::test]
async fn a_snapshot_has_holes_where_the_memory_is_zero() {
    let snapshot = snapshot().await;
    let memory = snapshot.memory().metadata().unwrap();
    let size = u64::from(MEMORY_MIB) << 20;
    assert_eq!(memory.len(), size);
    assert!(
        snapshot.saved.memory_bytes < size / 2,
        "{:?}",
        snapshot.saved
    );
    assert!(memory.blocks() * 512 < size / 2);
    let state = std::fs::metadata(snapshot.path("state")).unwrap().len();
    assert_eq!(snapshot.saved.state_bytes, state);
}

#[tokio::test]
async fn a_saved_machine_runs_on_as_what_it_was() {
    let mut guest = boot().await.start(server()).await.unwrap();
    guest.wait_for("ready\n").await;
    quiesce(&mut guest.commands, &mut guest.events).await;
    save(&mut guest.machine).await;
    let listener = guest.place.listen();
    guest.machine.resume().await.unwrap();
    let mut session = listener.accept_resumed(PATIENCE).await.unwrap();
    session.resume(Resume::default(), PATIENCE).await.unwrap();
    (guest.commands, guest.events) = session.split();
    let (facts, _, _) = facts(&guest).await;
    assert_eq!(
        facts,
        "hostname first\nhosts 172.16.0.2 first\ntoken none\n"
    );
    guest.commands.signal(1).await.unwrap();
    guest.wait_for("still here\n").await;
}

#[tokio::test]
async fn a_clone_can_be_saved_and_cloned() {
    let first = snapshot().await;
    let mut parent = clone(&first, 1, Backing::File(first.memory())).await;
    quiesce(&mut parent.commands, &mut parent.events).await;
    let second = save(&mut parent.machine).await;
    drop(parent);
    let child = clone(&second, 2, Backing::File(second.memory())).await;
    assert_eq!(facts(&child).await.0, expected(2));
}

#[tokio::test]
async fn a_hypervisor_without_privileges_restores_a_clone() {
    // The ids of nobody and nogroup.
    let nobody = Some((65534, 65534));
    let mut guest = boot_with(|config| config.uid_gid = nobody)
        .await
        .start(server())
        .await
        .unwrap();
    guest.wait_for("ready\n").await;
    quiesce(&mut guest.commands, &mut guest.events).await;
    let snapshot = save(&mut guest.machine).await;
    drop(guest);

    // The socket is for everybody, in a folder that is not.
    let (_server, socket) = page_server(&snapshot);
    std::fs::set_permissions(&socket, Permissions::from_mode(0o666)).unwrap();
    for memory in [Backing::File(snapshot.memory()), Backing::Uffd(socket)] {
        let place = Place::new();
        let mut config = place.dormant_config();
        config.uid_gid = nobody;
        let dormant = Qemu::find(None).unwrap().prepare(config).await.unwrap();
        let listener = place.listen();
        let machine = restore(dormant, snapshot.restore(memory)).await.unwrap();
        listener.accept_resumed(PATIENCE).await.unwrap();
        let status = format!("/proc/{}/status", machine.process().pid);
        let status = std::fs::read_to_string(status).unwrap();
        for line in [
            "Uid:\t65534\t65534\t65534\t65534",
            "CapEff:\t0000000000000000",
            "Seccomp:\t2",
        ] {
            assert!(status.contains(line), "{status}");
        }
    }
}

#[tokio::test]
async fn a_clone_gets_its_pages_from_a_page_server_and_can_be_saved_all_the_same() {
    let first = snapshot().await;
    let (server, socket) = page_server(&first);
    let mut parent = clone(&first, 1, Backing::Uffd(socket)).await;
    assert_eq!(facts(&parent).await.0, expected(1));
    let peer = server.connected().await.unwrap();
    assert_eq!(peer.pid, parent.machine.process().pid);
    // The guest has not touched all that was saved of it.
    let touched = server.faulted().len() * 4096;
    assert!(
        (1..first.saved.memory_bytes).contains(&touched),
        "{touched}"
    );

    quiesce(&mut parent.commands, &mut parent.events).await;
    let second = save(&mut parent.machine).await;
    parent.machine.kill().await.unwrap();
    assert!(matches!(server.wait().await, Outcome::PeerEnded));
    let child = clone(&second, 2, Backing::File(second.memory())).await;
    assert_eq!(facts(&child).await.0, expected(2));
}

/// Waits, from now on, until the hypervisor has ended.
fn end_of(dormant: &Dormant) -> JoinHandle<()> {
    let pid = Pid::from_raw(dormant.process().pid as i32).unwrap();
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    tokio::task::spawn_blocking(move || {
        let patience = PATIENCE.try_into().unwrap();
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        assert_eq!(poll(&mut fds, Some(&patience)).unwrap(), 1, "it lives on");
    })
}

/// Tries to restore and returns why that failed. The hypervisor must be gone.
async fn refused(config: RestoreConfig) -> qemu::Error {
    let place = Place::new();
    let dormant = prepare(&place).await;
    let process = dormant.process();
    assert!(process.alive());
    let restored = tokio::time::timeout(PATIENCE, restore(dormant, config)).await;
    let Err(vmm::Error::Qemu(error)) = restored.unwrap() else {
        panic!("it was restored");
    };
    assert!(!process.alive());
    error
}

#[tokio::test]
async fn what_is_no_snapshot_is_refused_and_the_hypervisor_ends() {
    let snapshot = snapshot().await;
    let size = u64::from(MEMORY_MIB) << 20;

    let short = File::create_new(snapshot.path("short")).unwrap();
    short.set_len(size - 4096).unwrap();
    match refused(snapshot.restore(Backing::File(short))).await {
        qemu::Error::Bind { source, .. } => assert_eq!(
            source.to_string(),
            format!(
                "the memory file has {} bytes, the machine's memory {size}",
                size - 4096
            )
        ),
        error => panic!("{error}"),
    }

    std::fs::write(snapshot.path("garbage"), vec![7; 4096]).unwrap();
    let config = RestoreConfig {
        state: File::open(snapshot.path("garbage")).unwrap(),
        ..snapshot.restore(Backing::File(snapshot.memory()))
    };
    match refused(config).await {
        qemu::Error::Load { stderr, .. } => {
            assert!(stderr.contains("Not a migration stream"), "{stderr}");
        }
        error => panic!("{error}"),
    }

    let state = std::fs::read(snapshot.path("state")).unwrap();
    std::fs::write(snapshot.path("half"), &state[..state.len() / 2]).unwrap();
    let config = RestoreConfig {
        state: File::open(snapshot.path("half")).unwrap(),
        ..snapshot.restore(Backing::File(snapshot.memory()))
    };
    let error = refused(config).await;
    assert!(matches!(error, qemu::Error::Load { .. }), "{error}");

    let config = RestoreConfig {
        root: "/no/such/root".into(),
        ..snapshot.restore(Backing::File(snapshot.memory()))
    };
    let error = refused(config).await;
    assert!(matches!(error, qemu::Error::Open { .. }), "{error}");
}

#[tokio::test]
async fn a_page_server_that_does_not_answer_is_named() {
    let snapshot = snapshot().await;
    let socket = snapshot.path("pages.sock");

    match refused(snapshot.restore(Backing::Uffd(socket.clone()))).await {
        qemu::Error::Bind { source, .. } => {
            assert!(source.to_string().contains("pages.sock"), "{source}");
        }
        error => panic!("{error}"),
    }

    // The socket's file outlives who listened at it.
    drop(UnixListener::bind(&socket).unwrap());
    match refused(snapshot.restore(Backing::Uffd(socket))).await {
        qemu::Error::Bind { source, .. } => assert_eq!(
            source.to_string(),
            "cannot connect to the page server: Connection refused (os error 111)"
        ),
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_restore_whose_page_server_dies_can_be_given_up_and_leaves_nothing() {
    let snapshot = snapshot().await;
    let socket = snapshot.path("pages.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    // It reads the handshake, with the userfaultfd, and is gone.
    let dies = tokio::task::spawn_blocking(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read(&mut [0; 1024]).unwrap()
    });
    let place = Place::new();
    let dormant = prepare(&place).await;
    let end = end_of(&dormant);
    // QEMU waits for a page that nobody sends.
    tokio::select! {
        restored = restore(dormant, snapshot.restore(Backing::Uffd(socket))) => {
            panic!("it ended by itself: {restored:?}");
        }
        read = dies => assert!(read.unwrap() > 0),
    }
    end.await.unwrap();
}

#[tokio::test]
async fn a_dormant_machine_that_is_dropped_leaves_nothing() {
    let place = Place::new();
    let dormant = prepare(&place).await;
    let end = end_of(&dormant);
    drop(dormant);
    end.await.unwrap();
    let left: Vec<_> = std::fs::read_dir(place.run_dir.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}
