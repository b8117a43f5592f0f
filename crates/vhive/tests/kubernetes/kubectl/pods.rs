//! Instances as Pods, what they print, and what happened to them.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::cluster::Cluster;
use crate::harness::look::eventually;
use crate::long_running::LongRunning;

const OF_HELLO: &str = "serving.knative.dev/service=hello";
const LISTENS: &str = "helloworld listens on port 50051";

#[test]
fn an_instance_is_a_pod_with_logs_and_events() {
    let cluster = Cluster::start();
    let running = cluster.changed(
        &cluster.hello("hello", "one"),
        "running.yaml",
        "initial-scale: \"0\"",
        "min-scale: \"1\"",
    );
    cluster.ok(&["apply", "-f", &running]);
    cluster.wait_for_hello();

    let pods = cluster.ok(&["get", "pods", "-l", OF_HELLO, "--no-headers"]);
    let columns: Vec<&str> = pods.split_whitespace().collect();
    assert_eq!(pods.lines().count(), 1, "{pods}");
    assert!(
        columns.contains(&"1/1") && columns.contains(&"Running"),
        "{pods}"
    );
    let pod = cluster.ok(&["get", "pods", "-l", OF_HELLO, "-o", "name"]);
    let pod = pod.trim();
    cluster.ok(&["wait", "--for=condition=Ready", pod, "--timeout=60s"]);

    assert!(cluster.ok(&["logs", pod]).contains(LISTENS));
    assert!(cluster.ok(&["logs", "-l", OF_HELLO]).contains(LISTENS));
    let last = cluster.ok(&["logs", pod, "-c", "user-container", "--tail=1"]);
    assert_eq!(last.lines().count(), 1, "{last}");
    assert_eq!(cluster.ok(&["logs", pod, "--tail=0"]), "");
    cluster.refused(&["logs", "pod/absent"]);

    let described = cluster.ok(&["describe", pod]);
    for word in ["dev.local/helloworld", "Events:", "Started"] {
        assert!(described.contains(word), "no {word} in {described}");
    }
    let described = cluster.ok(&["describe", "rev", "hello-00001"]);
    assert!(described.contains("RevisionReady"), "{described}");
    let events = cluster.ok(&["get", "events", "-o", "name"]);
    assert!(events.lines().count() > 1, "{events}");

    // Followed to the end: the log is over when the instance is.
    let follow = ["logs", "-f", pod];
    let follow = cluster.kubectl(&follow).stdout(Stdio::piped()).spawn();
    let mut following = LongRunning(follow.expect("kubectl starts"));
    let stdout = following.0.stdout.take().expect("piped");
    let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains(LISTENS)), "it was printed");
    cluster.ok(&["delete", "ksvc", "hello"]);
    lines.for_each(drop);
    eventually("no Pods", || {
        cluster.ok(&["get", "pods", "-o", "name"]).is_empty()
    });
    cluster.stop();
}
