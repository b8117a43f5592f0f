//! Measurements, in a small way: that they run to their end and write what they promise.

use std::fs;

use crate::machine::Machine;

#[test]
fn the_control_plane_is_measured_with_a_node_of_its_own() {
    let machine = Machine::new();
    let csv = machine.folder().join("control.csv");
    let output = machine.ok(&[
        "bench",
        "control",
        "--services",
        "12",
        "--watchers",
        "3",
        "--csv",
        &csv.to_string_lossy(),
    ]);
    for row in ["apply to Ready", "list of all", "a change to all watchers"] {
        assert!(output.contains(row), "{row}: {output}");
    }
    let values = fs::read_to_string(&csv).expect("the values");
    let count = |what: &str| {
        let start = format!("{what},");
        values.lines().filter(|it| it.starts_with(&start)).count()
    };
    assert_eq!(["applied", "ready", "reached"].map(count), [12, 12, 12]);
    // Its node, and what that had, are gone.
    let left = fs::read_dir(machine.data_dir()).expect("the data directory");
    let left = left.map(|it| it.expect("an entry").file_name());
    let left: Vec<_> = left.filter(|it| it != "kernels").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn instances_killed_under_load_take_no_request_with_them_but_their_own() {
    let machine = Machine::new();
    let output = machine.ok(&[
        "bench",
        "chaos",
        "--time",
        "8",
        "--instances",
        "2",
        "--kill-every",
        "1.5",
    ]);
    for row in ["answered by the function", "violations", "instances killed"] {
        assert!(output.contains(row), "{row}: {output}");
    }
}

#[test]
fn the_load_generator_is_measured_in_both_ways_with_and_without_a_stall() {
    let machine = Machine::new();
    let output = machine.ok(&[
        "bench",
        "load",
        "--rps",
        "100",
        "--time",
        "1",
        "--rounds",
        "1",
        "--clients",
        "2",
        "--stall",
        "20",
    ]);
    for words in [
        "nothing stalls",
        "stopped for 20 ms once a second",
        "wrk2's way, 2 connections",
        "they agree within 5 %",
        "100 a second on one processor",
    ] {
        assert!(output.contains(words), "{words}: {output}");
    }
    assert_eq!(output.matches("\nopen loop").count(), 2, "{output}");
}
