//! Many nodes over ssh, each a world of its own; ssh and scp are stood in for by scripts that enter them.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use crate::engine::world;
use crate::world::{DEBIAN, UBUNTU, World};

/// Scripts named ssh and scp, for nodes by name.
fn scripts(folder: &Path, nodes: &[(&str, &World)]) {
    let mut enter = String::from("enter() {\n    case $1 in\n");
    let mut root = String::from("root() {\n    case $1 in\n");
    for (name, world) in nodes {
        let words = world.words("$2");
        let (line, words) = words.split_last().expect("there are words");
        assert_eq!(line, "$2");
        let words = words.join(" ");
        let _ = writeln!(enter, "    {name}) {words} \"cd /node && $2\" ;;");
        let folder = world.path("/node");
        let _ = writeln!(root, "    {name}) echo {} ;;", folder.display());
    }
    enter.push_str("    esac\n}\n");
    root.push_str("    esac\n}\n");
    let skip = "while :; do case $1 in -o) shift 2 ;; -*) shift ;; *) break ;; esac; done\n";
    for (name, body) in [
        ("ssh", "enter \"$1\" \"$2\"\n"),
        ("scp", "cp -r \"$1\" \"$(root \"${2%%:*}\")/${2#*:}\"\n"),
    ] {
        let path = folder.join(name);
        fs::write(&path, format!("#!/bin/sh\n{enter}{root}{skip}{body}")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("set");
    }
}

fn tool(folder: &Path, words: &[&str]) -> Output {
    let path = format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", folder.display());
    Command::new(env!("CARGO_BIN_EXE_setup_tool"))
        .args(words)
        .env("PATH", path)
        .output()
        .expect("it starts")
}

#[test]
fn a_cluster_is_made_from_one_machine_goes_on_after_a_failure_and_is_undone() {
    let (master, worker) = (world(DEBIAN), world(UBUNTU));
    // The program asks whether it may become root.
    for world in [&master, &worker] {
        let sudo = world.path("/standin/sudo");
        fs::write(&sudo, "#!/bin/sh\nshift\nexec \"$@\"\n").expect("written");
        fs::set_permissions(&sudo, fs::Permissions::from_mode(0o755)).expect("set");
    }
    let folder = tempfile::tempdir().expect("a folder");
    scripts(folder.path(), &[("sam@m", &master), ("sam@w", &worker)]);
    let nodes = ["--nodes", "sam@m,sam@w"];
    worker.fail_once();
    let words = [&["cluster", "firecracker"][..], &nodes].concat();
    let output = tool(folder.path(), &words);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("error: set up nodes failed on sam@w; its logs are in ~/vhive-setup there"),
        "{said}"
    );
    worker.fail_no_more();
    master.calls();
    worker.calls();
    let output = tool(folder.path(), &words);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("sam@w: ") && said.contains("member/join: done in"),
        "{said}"
    );
    let next = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        next.starts_with("the cluster is ready\n") && next.contains("runtimeClassName: vhive"),
        "{next}"
    );
    let (master_calls, worker_calls) = (master.calls(), worker.calls());
    let called =
        |calls: &[String], begin: &str| calls.iter().filter(|call| call.starts_with(begin)).count();
    assert_eq!(called(&master_calls, "kubeadm init"), 1);
    assert_eq!(called(&worker_calls, "kubeadm join"), 1);
    assert_eq!(called(&worker_calls, "kubeadm init"), 0);
    // The token is in no command line of a worker.
    assert_eq!(called(&worker_calls, "kubeadm join --config"), 1);

    let output = tool(folder.path(), &[&["check"][..], &nodes].concat());
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let output = tool(folder.path(), &[&["clean"][..], &nodes].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    for world in [&master, &worker] {
        assert!(!world.path("/etc/kubernetes").exists());
        assert!(!world.path("/usr/local/bin/containerd").exists());
    }
}

#[test]
fn a_dry_run_says_what_is_done_where() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = tool(
        folder.path(),
        &[
            "cluster",
            "gvisor",
            "--nodes",
            "a@m,b@w1,b@w2",
            "--kourier",
            "--dry-run",
        ],
    );
    let text = String::from_utf8_lossy(&output.stdout)
        .replace(env!("CARGO_BIN_EXE_setup_tool"), "PROGRAM");
    insta::assert_snapshot!(text);
}

#[test]
fn a_node_that_ssh_would_take_for_an_option_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    for (nodes, said) in [
        ("-oProxyCommand=x", "is not USER@HOST or HOST"),
        ("a,a", "a is named twice"),
    ] {
        let output = tool(
            folder.path(),
            &["cluster", "gvisor", &format!("--nodes={nodes}")],
        );
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && stderr.contains(said),
            "{stderr}"
        );
    }
}
