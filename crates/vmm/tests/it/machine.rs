//! How machines end.

use std::time::Duration;

use vmm::agent::Event;
use vmm::agent::protocol::Exited;
use vmm::qemu::Qemu;
use vmm::{Hypervisor as _, MachineConfig};

use crate::guest::{PATIENCE, Place, boot, boot_with, code, script, signal};

const LONG: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn the_guest_ends_its_machine_when_the_process_has_ended() {
    let mut guest = boot().await.start(script("exit 0")).await.unwrap();
    assert_eq!(guest.next().await, Event::Exited(code(0)));
    drop((guest.commands, guest.events));
    let exit = tokio::time::timeout(PATIENCE, guest.machine.wait())
        .await
        .unwrap()
        .unwrap();
    assert!(exit.status.success(), "{exit:?}");
    assert_eq!(exit.reason.as_deref(), Some("guest-reset"), "{exit:?}");
    assert!(!guest.machine.process().alive());
}

#[tokio::test]
async fn the_guest_ends_its_machine_when_the_host_is_gone() {
    let mut guest = boot().await.start(script("sleep 3600")).await.unwrap();
    drop((guest.commands, guest.events));
    let exit = tokio::time::timeout(PATIENCE, guest.machine.wait())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(exit.reason.as_deref(), Some("guest-reset"), "{exit:?}");
}

#[tokio::test]
async fn a_shutdown_terminates_the_process_which_may_end_in_its_own_way() {
    let guest = boot().await.start(script(
        "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done",
    ));
    let mut guest = guest.await.unwrap();
    guest.wait_for("ready\n").await;
    guest.commands.shutdown(LONG).await.unwrap();
    let outcome = guest.outcome().await;
    assert_eq!(
        (outcome.stdout.as_str(), outcome.exited),
        ("bye\n", code(3))
    );
}

#[tokio::test]
async fn a_process_that_does_not_end_is_killed_when_its_grace_is_over() {
    let mut guest = boot()
        .await
        .start(script(
            "trap '' TERM; echo ready; while :; do sleep 1; done",
        ))
        .await
        .unwrap();
    guest.wait_for("ready\n").await;
    guest
        .commands
        .shutdown(Duration::from_millis(200))
        .await
        .unwrap();
    assert_eq!(guest.outcome().await.exited, signal(9));
}

#[tokio::test]
async fn a_signal_reaches_the_process_and_a_crash_is_told_by_its_signal() {
    let guest = boot().await.start(script(
        "trap 'echo got it; kill -SEGV $$' HUP; echo ready; while :; do sleep 0.05; done",
    ));
    let mut guest = guest.await.unwrap();
    guest.wait_for("ready\n").await;
    guest.commands.signal(1).await.unwrap();
    let outcome = guest.outcome().await;
    assert_eq!(
        (outcome.stdout.as_str(), outcome.exited),
        ("got it\n", signal(11))
    );
}

#[tokio::test]
async fn a_process_that_takes_all_memory_is_reported_as_such() {
    let outcome = boot().await.run(script("exec tail /dev/zero")).await;
    assert_eq!(
        outcome.exited,
        Exited {
            code: None,
            signal: Some(9),
            oom: true
        }
    );
}

#[tokio::test]
async fn a_killed_machine_is_gone_and_leaves_nothing() {
    let mut guest = boot().await.start(script("sleep 3600")).await.unwrap();
    let process = guest.machine.process();
    assert!(process.alive());
    let exit = guest.machine.kill().await.unwrap();
    assert!(!exit.status.success() && exit.reason.is_none(), "{exit:?}");
    assert!(!process.alive());
    // A second time does no harm.
    guest.machine.kill().await.unwrap();
    let left: Vec<_> = std::fs::read_dir(guest.place.run_dir.path())
        .unwrap()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_paused_guest_is_silent_until_it_is_resumed() {
    let mut guest = boot()
        .await
        .start(script(
            "while read -t 0.05 x || :; do echo tick; sleep 0.05; done",
        ))
        .await
        .unwrap();
    guest.wait_for("tick\n").await;
    guest.machine.pause().await.unwrap();
    guest.machine.resume().await.unwrap();
    guest.wait_for("tick\n").await;
}

#[tokio::test]
async fn a_hypervisor_without_privileges_runs_a_machine() {
    // The ids of nobody and nogroup.
    let mut guest = boot_with(|config| {
        config.uid_gid = Some((65534, 65534));
        config.vcpus = 2;
    })
    .await
    .start(script("echo processors $(nproc); sleep 3600"))
    .await
    .unwrap();
    guest.wait_for("processors 2\n").await;
    let pid = guest.machine.process().pid;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let ids = |key: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .unwrap()
            .trim()
            .to_owned()
    };
    assert_eq!(ids("Uid:"), "65534\t65534\t65534\t65534");
    assert_eq!(ids("CapEff:"), "0000000000000000");
    assert_eq!(ids("Seccomp:"), "2");
    guest.machine.kill().await.unwrap();
}

#[tokio::test]
async fn an_image_that_cannot_be_mounted_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root.squashfs");
    std::fs::write(&root, vec![0; 1 << 20]).unwrap();
    let guest = boot_with(|config| config.root = root).await;
    let Err(error) = guest.start(script("true")).await else {
        panic!("it was started");
    };
    assert_eq!(
        error.to_string(),
        r#"root: cannot mount squashfs on "/image": Invalid argument"#
    );
}

#[tokio::test]
async fn a_kernel_that_panics_ends_the_machine_and_its_last_words_are_kept() {
    let place = Place::new();
    let config = MachineConfig {
        extra_cmdline: "rdinit=/no/such/init".into(),
        ..place.config()
    };
    let mut machine = Qemu::find(None).unwrap().boot(config).await.unwrap();
    let exit = tokio::time::timeout(PATIENCE, machine.wait())
        .await
        .unwrap()
        .unwrap();
    assert!(exit.console_tail.contains("Kernel panic"), "{exit:?}");
    let log = std::fs::read_to_string(place.run_dir.path().join("console.log")).unwrap();
    assert!(log.contains("Kernel panic"), "{log}");
}
