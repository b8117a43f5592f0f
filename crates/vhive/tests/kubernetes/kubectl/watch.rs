//! `kubectl get -w`.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::cluster::Cluster;
use crate::long_running::LongRunning;

#[test]
fn a_watch_sees_an_object_as_it_is_then_change_and_go() {
    let cluster = Cluster::with_hello();
    let watch = ["get", "ksvc", "-w", "--output-watch-events"];
    let child = cluster.kubectl(&watch).stdout(Stdio::piped()).spawn();
    let mut watching = LongRunning(child.expect("kubectl starts"));
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
    cluster.ok(&["apply", "-f", &cluster.hello("hello", "two")]);
    expect(&["MODIFIED", "hello-00002", "True"]);
    cluster.ok(&["delete", "ksvc", "hello"]);
    expect(&["DELETED", "hello"]);
    drop(watching);
    cluster.stop();
}
