//! Functions that are saved, and restored from then on.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::FileExt as _;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::look::{eventually, get, ready};
use crate::machine::{Machine, said};
use crate::{HELLO, site};

/// Quickly at zero.
const SHORT: &str = "autoscaling.knative.dev/window: 6s";
const SERVER: &str = "exec busybox httpd -f -p 8080 -h /www";

fn snapshots(machine: &Machine) -> Vec<Value> {
    let list: Value =
        serde_json::from_str(&machine.ok(&["snapshot", "ls", "-o", "json"])).expect("JSON");
    list["items"].as_array().cloned().unwrap_or_default()
}

fn id(snapshot: &Value) -> String {
    snapshot["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// Invokes until the node has saved the function, and returns the id.
fn saved(machine: &Machine, name: &str) -> String {
    for _ in 0..2 {
        machine.ok(&["invoke", name]);
    }
    eventually("a snapshot", || !snapshots(machine).is_empty());
    id(&snapshots(machine)[0])
}

fn at_zero(machine: &Machine, name: &str) {
    eventually("scale to zero", || {
        machine.object("revisions", &format!("{name}-00001"))["status"]["actualReplicas"] == 0
    });
}

/// Wakes the function, and returns the phases of its cold start.
fn woken(machine: &Machine, name: &str) -> String {
    let output = machine.run(&["invoke", name, "--explain"]);
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a clone says of itself.
#[derive(Debug)]
struct Who {
    random: String,
    time: u64,
    name: String,
}

impl Who {
    fn ask(machine: &Machine, name: &str) -> Self {
        let answer = get(machine.ingress(), name, "/cgi-bin/who").expect("an answer");
        Self::told(&answer)
    }

    fn told(answer: &str) -> Self {
        let line = |begin: &str| {
            let mut lines = answer.lines();
            let found = lines.find_map(|line| line.strip_prefix(begin));
            found
                .unwrap_or_else(|| panic!("no {begin}in {answer}"))
                .to_owned()
        };
        Self {
            random: line("random "),
            time: line("time ").parse().expect("seconds"),
            name: line("name "),
        }
    }
}

/// A request that its instance works on for as long as its body is missing.
struct Held {
    answer: BufReader<TcpStream>,
    who: Who,
}

impl Held {
    fn begin(machine: &Machine, name: &str) -> Self {
        let mut stream = TcpStream::connect(machine.ingress()).expect("a connection");
        write!(
            stream,
            "POST /cgi-bin/hold HTTP/1.1\r\nHost: {name}.default.127.0.0.1.sslip.io\r\n\
             Connection: close\r\nContent-Length: 1\r\n\r\n"
        )
        .expect("a request");
        let mut answer = BufReader::new(stream);
        let mut said = String::new();
        while !said.lines().any(|line| line.starts_with("name ")) {
            let read = answer.read_line(&mut said).expect("an answer");
            assert_ne!(read, 0, "it ended after {said}");
        }
        Self {
            who: Who::told(&said),
            answer,
        }
    }

    fn end(mut self) -> Who {
        self.answer.get_mut().write_all(b"x").expect("a body");
        let mut rest = String::new();
        self.answer.read_to_string(&mut rest).expect("the end");
        assert!(rest.contains('x'), "{rest:?}");
        self.who
    }
}

fn was_restored(phases: &str) -> bool {
    let has = |phase: &str| phases.lines().any(|line| line.starts_with(phase));
    has("load") && has("agent") && !has("boot")
}

#[test]
fn a_function_is_restored_from_its_second_request_on_and_by_later_nodes_too() {
    let mut machine = Machine::new();
    machine.build_helloworld();
    machine.up();
    let applied = machine.apply("hello", HELLO, SHORT);
    assert!(applied.status.success(), "{}", said(&applied));
    let snapshot = saved(&machine, "hello");
    let inspected = machine.ok(&["snapshot", "inspect", &snapshot]);
    for field in ["hello-00001", "qemu ", "sha256:", "128.0 MiB"] {
        assert!(inspected.contains(field), "no {field} in {inspected}");
    }
    at_zero(&machine, "hello");
    let phases = woken(&machine, "hello");
    assert!(was_restored(&phases), "{phases}");
    // What the first restore touched is written down.
    eventually("a working set", || {
        snapshots(&machine)[0]["status"]["workingSet"]["pages"].is_u64()
    });
    assert!(
        machine.ok(&["logs", "hello"]).is_empty(),
        "a clone's log is its own"
    );

    machine.stop();
    assert_eq!(machine.leftovers(), Vec::<String>::new());
    machine.up();
    assert_eq!(id(&snapshots(&machine)[0]), snapshot);
    at_zero(&machine, "hello");
    let phases = woken(&machine, "hello");
    assert!(was_restored(&phases), "after a restart: {phases}");
    let verified = machine.ok(&["snapshot", "inspect", &snapshot, "--verify"]);
    assert!(verified.contains("is whole"), "{verified}");

    at_zero(&machine, "hello");
    let memory = fs::read_dir(machine.data_dir().join("snapshots"))
        .expect("snapshots")
        .flatten()
        .map(|key| key.path().join(&snapshot).join("memory"))
        .find(|path| path.exists())
        .expect("the memory file");
    let file = fs::File::options().write(true).open(memory).expect("open");
    // Every page of it, so that whatever was there is another now.
    file.write_all_at(&vec![0xa5; 1 << 20], 64 << 20)
        .expect("other content");
    let verified = machine.run(&["snapshot", "inspect", &snapshot, "--verify"]);
    assert_eq!(verified.status.code(), Some(1), "{}", said(&verified));
    for words in [
        "is damaged",
        r#""memory""#,
        "bytes 67108864 to 68157440",
        "next: remove it",
    ] {
        assert!(said(&verified).contains(words), "{}", said(&verified));
    }

    machine.kill();
    // A memory file that lost its end is no memory.
    file.set_len(4096).expect("shorter");
    machine.up();
    assert!(snapshots(&machine).is_empty(), "what is damaged is removed");
    at_zero(&machine, "hello");
    let phases = woken(&machine, "hello");
    assert!(phases.contains("boot"), "after the damage: {phases}");

    machine.ok(&["delete", "hello"]);
    eventually("nothing of it on the disk", || {
        fs::read_dir(machine.data_dir().join("snapshots"))
            .is_ok_and(|mut left| left.next().is_none())
    });
    machine.stop();
    assert_eq!(machine.leftovers(), Vec::<String>::new());
}

#[test]
fn clones_have_random_numbers_a_clock_and_a_name_of_their_own_whatever_the_policy() {
    let mut machine = Machine::new();
    site::build(&machine);
    machine.up();
    let bad = machine.apply("bad", &site::container(SERVER), "vhive.dev/memory: magic");
    assert!(
        said(&bad).contains("none of auto, file, lazy and reap"),
        "{}",
        said(&bad)
    );
    machine.ok(&["delete", "bad"]);
    let policies = ["auto", "file", "lazy", "reap"];
    for policy in policies {
        let annotations = format!("{SHORT}, vhive.dev/memory: {policy}");
        let applied = machine.apply(policy, &site::container(SERVER), &annotations);
        assert!(applied.status.success(), "{}", said(&applied));
        machine.ok(&["snapshot", "create", policy]);
    }
    for policy in policies {
        // The second is given what the first recorded, where the policy records.
        let clones: Vec<Who> = (0..2)
            .map(|_| {
                at_zero(&machine, policy);
                Who::ask(&machine, policy)
            })
            .collect();
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970")
            .as_secs();
        for clone in &clones {
            assert!(
                now.abs_diff(clone.time) < 60,
                "{policy}: {clone:?}, not {now}"
            );
        }
        let [first, second] = clones.as_slice() else {
            panic!("two clones");
        };
        assert_ne!(first.random, second.random, "{policy}");
        assert_ne!(first.name, second.name, "{policy}");
        assert_eq!(ready(&machine.object("services", policy)).0, "True");
    }
    for snapshot in snapshots(&machine) {
        let restores = snapshot["status"]["restores"].as_u64();
        assert!(restores >= Some(2), "{snapshot}");
        machine.ok(&["snapshot", "rm", &id(&snapshot)]);
    }
    assert!(snapshots(&machine).is_empty());
    machine.stop();
    assert_eq!(machine.leftovers(), Vec::<String>::new());
}

#[test]
fn requests_that_come_at_once_are_answered_by_as_many_clones_that_differ() {
    const REQUESTS: usize = 4;
    let mut machine = Machine::new();
    site::build(&machine);
    machine.up();
    // One request at a time in each instance.
    let manifest = machine.manifest("crowd", &site::container(SERVER), SHORT);
    let text = fs::read_to_string(&manifest).expect("the manifest");
    let text = text.replace("containers:", "containerConcurrency: 1, containers:");
    fs::write(&manifest, text).expect("the manifest");
    machine.ok(&["apply", "-f", &manifest]);
    machine.ok(&["snapshot", "create", "crowd"]);
    at_zero(&machine, "crowd");

    let seconds = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.expect("after 1970").as_secs()
    };
    let before = seconds();
    let held: Vec<Held> = thread::scope(|scope| {
        let asking: Vec<_> = (0..REQUESTS)
            .map(|_| scope.spawn(|| Held::begin(&machine, "crowd")))
            .collect();
        asking
            .into_iter()
            .map(|it| it.join().expect("an answer"))
            .collect()
    });
    let after = seconds();
    // Only now may any of them end.
    let clones: Vec<Who> = held.into_iter().map(Held::end).collect();
    for clone in &clones {
        assert!(
            (before - 1..=after + 1).contains(&clone.time),
            "{before} <= {clone:?} <= {after}"
        );
    }
    let randoms: BTreeSet<&str> = clones.iter().map(|it| it.random.as_str()).collect();
    let names: BTreeSet<&str> = clones.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(
        (randoms.len(), names.len()),
        (REQUESTS, REQUESTS),
        "{clones:?}"
    );
    let restores = snapshots(&machine)[0]["status"]["restores"].as_u64();
    assert!(restores >= Some(REQUESTS as u64), "{restores:?}");
    machine.stop();
    assert_eq!(machine.leftovers(), Vec::<String>::new());
}
