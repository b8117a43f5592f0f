//! Functions that served well, and then end or do not stop talking.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::look::{eventually, get};
use crate::machine::{Machine, said};
use crate::site;

/// A log file and the one before it, with some room for the last write.
const LOG_BOUND: u64 = 2 * (8 << 20) + (1 << 20);
/// A node of few functions is far below; one that kept what is printed would be far above.
const MEMORY_BOUND_KIB: u64 = 256 << 10;

fn apply(machine: &Machine, name: &str, script: &str) {
    let applied = machine.apply(name, &site::container(script), "");
    assert!(applied.status.success(), "{}", said(&applied));
}

fn instances(machine: &Machine, service: &str) -> Vec<Value> {
    let list: Value =
        serde_json::from_str(&machine.ok(&["get", "instances", "-o", "json"])).expect("JSON");
    let mut items = list["items"].as_array().cloned().unwrap_or_default();
    items.retain(|it| it["metadata"]["labels"]["serving.knative.dev/service"] == service);
    items
}

/// The logs of all functions, wherever in the data directory they are.
fn logs(data_dir: &Path) -> Vec<(String, fs::Metadata)> {
    let mut found = Vec::new();
    let mut folders = vec![data_dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            // Files come and go meanwhile.
            match entry.metadata() {
                Ok(it) if it.is_dir() && !path.ends_with("images") => folders.push(path),
                Ok(it) if it.is_file() => {
                    let below = path.strip_prefix(data_dir).unwrap_or(&path);
                    found.push((below.to_string_lossy().into_owned(), it));
                }
                _ => {}
            }
        }
    }
    found.retain(|(name, _)| name.contains("log"));
    found
}

/// The file that was set aside, told apart from one that is set aside later.
fn set_aside(machine: &Machine) -> Option<u64> {
    let logs = logs(&machine.data_dir());
    let old = logs.iter().find(|(name, _)| name.ends_with(".1"))?;
    Some(std::os::unix::fs::MetadataExt::ino(&old.1))
}

fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the node runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.expect("a number of KiB")
}

#[test]
fn a_function_that_ends_or_floods_its_log_harms_no_other() {
    let mut machine = Machine::new();
    site::build(&machine);
    machine.up();
    apply(&machine, "quiet", "exec httpd -f -h /www -p $PORT");
    apply(
        &machine,
        "mortal",
        "mkfifo /tmp/end; httpd -h /www -p $PORT; read word </tmp/end; echo farewell; exit 7",
    );
    apply(
        &machine,
        "flood",
        "yes flood & exec httpd -f -h /www -p $PORT",
    );
    let answers =
        |name: &str| get(machine.ingress(), name, "/").is_ok_and(|it| it.contains("I am here"));

    assert!((0..5).all(|_| answers("mortal")));
    // It takes its own answer with it, which must not be waited for.
    let _ = get(machine.ingress(), "mortal", "/cgi-bin/end");
    eventually("the end of the instance", || {
        let all = instances(&machine, "mortal");
        all.iter().any(|it| it["status"]["phase"] == "Failed")
    });
    let all = instances(&machine, "mortal");
    let ended = all.iter().find(|it| it["status"]["phase"] == "Failed");
    let ended = ended.expect("it is still shown");
    let message = ended["status"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("exited with code 7"), "{message}");
    let name = ended["metadata"]["name"].as_str().unwrap_or_default();
    let last_words = machine.ok(&["logs", name]);
    assert!(last_words.contains("farewell"), "{last_words}");
    assert!(answers("quiet"));
    eventually("a new instance that answers", || answers("mortal"));

    eventually("a log that was set aside", || set_aside(&machine).is_some());
    let first = set_aside(&machine);
    eventually("a log that was set aside again", || {
        set_aside(&machine) != first
    });
    let size: u64 = logs(&machine.data_dir()).iter().map(|it| it.1.len()).sum();
    assert!(size < LOG_BOUND, "{size} bytes of logs");
    let resident = resident_kib(machine.node_pid());
    assert!(resident < MEMORY_BOUND_KIB, "{resident} KiB");
    // It goes on printing while it is read, but what is read is the end.
    let tail = machine.ok(&["logs", "flood", "--tail", "3"]);
    assert!(
        tail.lines().count() >= 3,
        "only {} lines",
        tail.lines().count()
    );
    assert!(tail.lines().all(|line| line == "flood"));
    assert!(tail.len() < 8 << 20, "{} bytes", tail.len());
    for name in ["flood", "quiet", "mortal"] {
        assert!(answers(name), "{name}");
    }
    a_reader_of_the_log_may_pause_and_leave(&machine);
    machine.stop();
    assert_eq!(machine.leftovers(), Vec::<String>::new());
}

fn a_reader_of_the_log_may_pause_and_leave(machine: &Machine) {
    let mut following = machine
        .command(&["logs", "flood", "--follow"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("vhive starts");
    let stdout = BufReader::new(following.stdout.take().expect("piped"));
    let mut lines = stdout.lines().map_while(Result::ok);
    assert_eq!(lines.next().as_deref(), Some("flood"));
    for _ in 0..4 {
        let before = set_aside(machine);
        eventually("megabytes that nobody read", || {
            set_aside(machine) != before
        });
    }
    assert_eq!(lines.by_ref().take(100_000).count(), 100_000);
    drop(lines);
    assert!(following.wait().expect("it ends").success());
}
