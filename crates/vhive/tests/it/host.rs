//! Hosts that lack something: root, a hypervisor, a network.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::machine::{ANY_PORT, KERNEL_LOCK, Machine, said, vhive};

/// `nobody`.
const NOBODY: u32 = 65_534;

fn allow(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("ours");
}

/// A program that says this and fails.
fn failing(folder: &Path, name: &str, words: &str) {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\necho '{words}' >&2\nexit 100\n")).expect("a script");
    allow(&path);
}

/// Fails as it should, and says all of this.
fn refused(name: &str, output: &Output, words: &[&str]) {
    let text = said(output);
    assert_eq!(output.status.code(), Some(1), "{name}: {text}");
    for word in words.iter().chain(&["next: "]) {
        assert!(text.contains(word), "{name}: no {word:?} in {text}");
    }
}

#[test]
fn without_root_every_command_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    allow(folder.path());
    // The build's own folder may be closed to others.
    let binary = folder.path().join("vhive");
    fs::copy(env!("CARGO_BIN_EXE_vhive"), &binary).expect("a copy of the binary");
    let pki = folder.path().join("data/pki");
    fs::create_dir_all(&pki).expect("a folder");
    fs::set_permissions(&pki, fs::Permissions::from_mode(0o700)).expect("ours");
    let manifest = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../configs/knative_workloads/helloworld.yaml"
    );
    let readable = folder.path().join("helloworld.yaml");
    fs::copy(manifest, &readable).expect("a manifest");
    let readable = readable.to_string_lossy().into_owned();
    let run = |arguments: &[&str]| {
        Command::new(&binary)
            .env_remove("VHIVE_SERVER")
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .args(arguments)
            .uid(NOBODY)
            .gid(NOBODY)
            .output()
            .expect("vhive starts")
    };
    let build = ["image", "build", "dev.local/x", "--binary", "/bin/busybox"];
    for (arguments, words) in [
        (&["up"][..], "needs root"),
        (&["quickstart", "--yes"], "needs root"),
        (&build, "Permission denied"),
        (&["kernel", "fetch"], "Permission denied"),
        (&["apply", "-f", &readable], "Permission denied"),
        (&["doctor"], "not running as root"),
    ] {
        refused(&arguments.join(" "), &run(arguments), &[words, "sudo"]);
    }
    let left: Vec<_> = fs::read_dir(folder.path().join("data"))
        .expect("ours")
        .collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn without_a_hypervisor_the_package_is_named() {
    let machine = Machine::new();
    let up = ["up", "--api", ANY_PORT, "--ingress", ANY_PORT];
    let nowhere = machine
        .folder()
        .join("empty")
        .to_string_lossy()
        .into_owned();
    let without = |arguments: &[&str]| {
        let mut command = machine.command(arguments);
        command
            .env("PATH", &nowhere)
            .output()
            .expect("vhive starts")
    };
    let package = "apt-get install --no-install-recommends qemu-system-x86";
    refused(
        "up",
        &without(&up),
        &["there is no qemu-system-x86_64 in PATH", package],
    );
    refused(
        "quickstart",
        &without(&["quickstart", "--ingress", ANY_PORT]),
        &[
            "there is no qemu-system-x86_64 in PATH",
            package,
            "quickstart with --yes",
        ],
    );
    let doctor = without(&["doctor"]);
    refused(
        "doctor",
        &doctor,
        &["there is no qemu-system-x86_64 in PATH", package],
    );
    for (arguments, named) in [
        (&up[..], "/no/such/qemu"),
        (&["quickstart", "--yes"], "/no/such/qemu"),
        (&up[..], "/bin/echo"),
    ] {
        let output = machine.run(&[arguments, &["--qemu", named]].concat());
        refused(named, &output, &[named, "name a QEMU with --qemu"]);
    }
    assert_eq!(machine.leftovers(), Vec::<String>::new());
}

#[test]
fn without_a_kernel_and_a_terminal_quickstart_says_what_is_missing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut quickstart = vhive();
    quickstart
        .arg("--data-dir")
        .arg(folder.path())
        .arg("quickstart");
    let output = quickstart.output().expect("vhive starts");
    refused(
        "quickstart",
        &output,
        &[
            "there is no guest kernel",
            "vhive kernel fetch",
            "quickstart with --yes",
        ],
    );
}

#[test]
fn without_a_network_kernel_fetch_names_the_other_way() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let stubs = folder.path().join("bin");
    fs::create_dir(&stubs).expect("a folder");
    failing(
        &stubs,
        "apt-get",
        "E: Temporary failure resolving the archive",
    );
    let path = format!(
        "{}:{}",
        stubs.display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let data = folder.path().join("data");
    for arguments in [&["kernel", "fetch"][..], &["quickstart", "--yes"]] {
        let mut command = vhive();
        command
            .arg("--data-dir")
            .arg(&data)
            .args(arguments)
            .env("PATH", &path);
        let output = command.output().expect("vhive starts");
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        for words in [
            "apt-get",
            "Temporary failure resolving the archive",
            "vhive kernel import FILE.deb",
        ] {
            assert!(
                text.contains(words),
                "{arguments:?}: no {words:?} in {text}"
            );
        }
    }
    let left = fs::read_dir(data.join("kernels")).expect("made").flatten();
    let left: Vec<_> = left
        .map(|entry| entry.file_name())
        .filter(|name| name != KERNEL_LOCK)
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
