//! `vhive functions`: samples made of Debian packages, called in microVMs, and what is said when they cannot be made.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::look::eventually;
use crate::machine::{Machine, said};
use crate::workloads::manifest;

/// AES-128 in counter mode with the function's key, counting from 1, as `openssl enc -aes-128-ctr` has it too.
const ENCRYPTED: &str = "pyaes 1b237ff9fa ";

/// What `vhive functions ls` says of a function.
fn listed(machine: &Machine, name: &str) -> Value {
    let all: Value =
        serde_json::from_str(&machine.ok(&["functions", "ls", "-o", "json"])).expect("JSON");
    let mut all = all.as_array().expect("a list").iter();
    let found = all.find(|it| it["name"] == name);
    found.expect("a function of this name").clone()
}

#[test]
fn samples_are_built_the_same_every_time_and_deployed_as_often_as_asked() {
    let mut machine = Machine::new();
    let build = || {
        let built = machine.run(&["functions", "build", "pyaes", "helloworld"]);
        assert!(
            built.status.success(),
            "images are made of packages that apt-get downloads (`apt-get update` helps if it does not know them):\n{}",
            said(&built)
        );
        String::from_utf8_lossy(&built.stdout).into_owned()
    };
    let first = build();
    let names: Vec<_> = first
        .lines()
        .filter_map(|it| it.split(' ').next())
        .collect();
    assert_eq!(
        names,
        ["dev.local/pyaes:latest", "dev.local/helloworld:latest"]
    );
    assert_eq!(first, build(), "the same digests");
    let pyaes = listed(&machine, "pyaes");
    assert_eq!(
        (&pyaes["built"], &pyaes["services"]),
        (&true.into(), &Value::Null)
    );

    machine.up();
    assert_eq!(listed(&machine, "lr_serving")["built"], false);
    let deployed = machine.run(&["functions", "deploy", "pyaes", "--count", "2"]);
    assert!(deployed.status.success(), "{}", said(&deployed));
    for words in [
        "service pyaes-0 created",
        "ready at http://pyaes-1.default.",
        "vhive --data-dir",
    ] {
        assert!(
            said(&deployed).contains(words),
            "{words}: {}",
            said(&deployed)
        );
    }
    assert_eq!(
        listed(&machine, "pyaes")["services"],
        serde_json::json!(["pyaes-0", "pyaes-1"])
    );
    for call in [
        &["invoke", "pyaes-0", "--data", "hello"][..],
        &["invoke", "pyaes-1", "--data", "hello", "--http"],
    ] {
        let answer = machine.ok(call);
        assert!(answer.starts_with(ENCRYPTED), "{call:?}: {answer}");
    }
    assert!(
        machine
            .ok(&["logs", "pyaes-0"])
            .contains("pyaes listens on port 50051")
    );

    // The manifest that other programs deploy it by is the same.
    let again = machine.run(&["apply", "pyaes-0", "-f", &manifest("pyaes.yaml")]);
    assert!(
        said(&again).contains("service pyaes-0 unchanged"),
        "{}",
        said(&again)
    );
    machine.stop();
    assert_eq!(machine.leftovers(), Vec::<String>::new());
}

#[test]
fn an_image_that_cannot_be_made_is_said_with_the_reason() {
    let machine = Machine::new();
    let build = |words: &[&str], change: &dyn Fn(&mut Command)| -> Output {
        let mut command = machine.command(&[&["functions", "build"], words].concat());
        change(&mut command);
        command.output().expect("vhive starts")
    };

    let absent = build(&["absent"], &|_| ());
    assert_eq!(absent.status.code(), Some(3), "{}", said(&absent));
    assert!(
        said(&absent).contains("the samples are helloworld, "),
        "{}",
        said(&absent)
    );

    // A system that is not Debian's: only what the scripts begin with.
    let tools = machine.folder().join("tools");
    fs::create_dir(&tools).expect("a folder");
    for tool in ["dirname", "basename", "mktemp", "rm"] {
        symlink(Path::new("/usr/bin").join(tool), tools.join(tool)).expect("a link");
    }
    let other = build(&["pyaes"], &|command| {
        command.env("PATH", &tools);
    });
    assert_eq!(other.status.code(), Some(1), "{}", said(&other));
    for words in [
        "error: the image of pyaes cannot be made",
        "run this on Debian or Ubuntu",
        "vhive image import",
    ] {
        assert!(said(&other).contains(words), "{words}: {}", said(&other));
    }

    // A folder whose script makes no image that its manifest names, and one whose script fails, beside a sample that does not.
    let folder = machine.folder().join("mine");
    let path = folder.to_string_lossy().into_owned();
    machine.ok(&[
        "functions",
        "new",
        "mine",
        "--language",
        "binary",
        "--folder",
        &path,
    ]);
    for (script, words) in [
        ("#!/bin/sh\n", "made no image dev.local/mine:latest"),
        (
            "#!/bin/sh\necho it is Monday >&2\nexit 3\n",
            "because: it is Monday",
        ),
    ] {
        fs::write(folder.join("build"), script).expect("a script");
        let failed = build(&[&path, "helloworld"], &|_| ());
        assert_eq!(failed.status.code(), Some(1), "{}", said(&failed));
        for words in [
            words,
            "1 of 2 images were not made: mine",
            "dev.local/helloworld:latest sha256:",
        ] {
            assert!(said(&failed).contains(words), "{words}: {}", said(&failed));
        }
    }
}

#[test]
fn without_a_network_the_build_says_what_it_did_not_reach() {
    let machine = Machine::new();
    let mut command = Command::new("unshare");
    let inner = machine.command(&["functions", "build", "pyaes"]);
    command
        .arg("--net")
        .arg(inner.get_program())
        .args(inner.get_args());
    let cut_off = command
        .env("XDG_CACHE_HOME", machine.folder().join("cache"))
        .output()
        .expect("unshare, of util-linux");
    assert_eq!(cut_off.status.code(), Some(1), "{}", said(&cut_off));
    for words in [
        "error: the image of pyaes cannot be made",
        "see that this host reaches its package servers",
    ] {
        assert!(
            said(&cut_off).contains(words),
            "{words}: {}",
            said(&cut_off)
        );
    }
}

#[test]
fn a_build_that_is_stopped_takes_along_what_it_has_started() {
    let machine = Machine::new();
    let folder = machine.folder().join("mine");
    let path = folder.to_string_lossy().into_owned();
    let new = ["functions", "new", "mine", "--language", "binary"];
    machine.ok(&[&new[..], &["--folder", &path]].concat());
    let script =
        "#!/bin/sh\ntrap 'echo tidied >&2; exit 1' TERM\nsleep 1000 &\necho begun $! >&2\nwait\n";
    fs::write(folder.join("build"), script).expect("a script");
    let mut building = machine
        .command(&["functions", "build", &path])
        .stderr(Stdio::piped())
        .spawn()
        .expect("vhive starts");
    let mut said = BufReader::new(building.stderr.take().expect("piped"));
    let mut line = String::new();
    said.read_line(&mut line).expect("its first line");
    let sleeper = line.trim().strip_prefix("begun ").expect("a process");
    let status = Path::new("/proc").join(sleeper).join("status");
    let told = Command::new("kill").arg(building.id().to_string()).status();
    assert!(told.is_ok_and(|it| it.success()));
    let mut rest = String::new();
    said.read_to_string(&mut rest).expect("the rest");
    assert!(rest.contains("stopped before the end"), "{rest}");
    assert_eq!(building.wait().expect("it ends").code(), Some(1));
    eventually("the sleeper's end", || {
        fs::read_to_string(&status).map_or(true, |it| it.contains("State:\tZ"))
    });
}
