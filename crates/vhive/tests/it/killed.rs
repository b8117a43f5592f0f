//! A node that is killed in the middle of its work, and its successor.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::Value;

use crate::look::{eventually, get, ready};
use crate::machine::{Machine, said};
use crate::{AT_ZERO, HELLO};

const WARM: [&str; 2] = ["warm-a", "warm-b"];
const COLD: [&str; 3] = ["cold-a", "cold-b", "cold-c"];

/// Name and identity of each service.
fn services(machine: &Machine) -> Vec<(String, String)> {
    let list: Value =
        serde_json::from_str(&machine.ok(&["get", "services", "-o", "json"])).expect("JSON");
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let one = |it: &Value| (text(&it["metadata"]["name"]), text(&it["metadata"]["uid"]));
    items.iter().map(one).collect()
}

#[test]
fn what_a_node_killed_under_load_leaves_is_taken_down_and_its_functions_answer_again() {
    let mut machine = Machine::new();
    machine.build_helloworld();
    machine.up();
    for (names, annotations) in [(&WARM[..], ""), (&COLD[..], AT_ZERO)] {
        for name in names {
            let applied = machine.apply(name, HELLO, annotations);
            assert!(applied.status.success(), "{}", said(&applied));
        }
    }
    let before = services(&machine);
    assert_eq!(before.len(), WARM.len() + COLD.len());

    let ingress = machine.ingress().to_owned();
    let answered = AtomicUsize::new(0);
    let killed = AtomicBool::new(false);
    let mut remains = Vec::new();
    let mut files = Vec::new();
    let (from, count, over) = (&ingress, &answered, &killed);
    std::thread::scope(|scope| {
        for name in WARM.iter().cycle().take(16) {
            scope.spawn(move || {
                loop {
                    match get(from, name, "/") {
                        Ok(_) => count.fetch_add(1, Ordering::Relaxed),
                        Err(_) if over.load(Ordering::SeqCst) => break,
                        Err(error) => panic!("{name}, before the node was killed: {error}"),
                    };
                }
            });
        }
        eventually("answers under load", || {
            answered.load(Ordering::Relaxed) >= 100
        });
        for name in COLD.iter().cycle().take(12) {
            scope.spawn(move || get(from, name, "/"));
        }
        eventually("cold starts under way", || {
            machine.hypervisors().len() > WARM.len()
        });
        remains = machine.hypervisors();
        files = machine.run_files();
        killed.store(true, Ordering::SeqCst);
        machine.kill();
    });
    assert!(files.len() > WARM.len(), "{files:?}");

    machine.up();
    let running = machine.hypervisors();
    remains.retain(|it| running.contains(it));
    assert!(remains.is_empty(), "still running: {remains:?}");
    let present = machine.run_files();
    files.retain(|it| present.contains(it));
    assert!(files.is_empty(), "still in run: {files:?}");
    assert_eq!(services(&machine), before);
    for name in WARM.iter().chain(&COLD) {
        assert!(
            machine.ok(&["invoke", name]).starts_with("Hello, world!"),
            "{name}"
        );
        assert_eq!(ready(&machine.object("services", name)).0, "True", "{name}");
    }
    machine.stop();
    assert_eq!(machine.leftovers(), Vec::<String>::new());
    assert_eq!(machine.run_files(), Vec::<String>::new());
}
