//! `kubectl get -w`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use crate::cluster::Cluster;
use crate::harness::machine::said;

/// Ended whatever happens.
struct Watching(Child);

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_watch_sees_an_object_as_it_is_then_change_and_go() {
    let cluster = Cluster::start();
    let run = |arguments: &[&str]| {
        let output = cluster.kubectl(arguments).output().expect("kubectl starts");
        assert!(output.status.success(), "{}", said(&output));
    };
    run(&["apply", "-f", &cluster.hello("hello", "one")]);
    run(&[
        "wait",
        "--for=condition=Ready",
        "ksvc/hello",
        "--timeout=60s",
    ]);

    let watch = [
        "get",
        "ksvc",
        "-w",
        "--output-watch-events",
        "--request-timeout=120s",
    ];
    let child = cluster.kubectl(&watch).stdout(Stdio::piped()).spawn();
    let mut watching = Watching(child.expect("kubectl starts"));
    let stdout = watching.0.stdout.take().expect("piped");
    let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
    // Reads up to the first line that has all of `words`, and at the latest to the end of the watch.
    let mut expect = |words: &[&str]| {
        let mut seen = Vec::new();
        let found = lines.by_ref().any(|line| {
            let found = words.iter().all(|word| line.contains(word));
            seen.push(line);
            found
        });
        assert!(found, "no {words:?} in {seen:#?}");
    };
    expect(&["ADDED", "hello", "hello-00001", "True"]);
    run(&["apply", "-f", &cluster.hello("hello", "two")]);
    expect(&["MODIFIED", "hello-00002", "True"]);
    run(&["delete", "ksvc", "hello"]);
    expect(&["DELETED", "hello"]);
    drop(watching);
    cluster.stop();
}
