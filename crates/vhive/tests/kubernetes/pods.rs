//! Instances as Pods, what they print, and what happened to them.

use crate::cluster::Cluster;
use crate::harness::machine::said;

#[test]
fn an_instance_is_a_pod_with_logs_and_events() {
    let cluster = Cluster::start();
    let ok = |arguments: &[&str]| {
        let output = cluster.kubectl(arguments).output().expect("kubectl starts");
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let text = std::fs::read_to_string(cluster.hello("hello", "one")).expect("just written");
    let running = text.replace("initial-scale: \"0\"", "min-scale: \"1\"");
    ok(&["apply", "-f", &cluster.file("running.yaml", &running)]);
    ok(&[
        "wait",
        "--for=condition=Ready",
        "ksvc/hello",
        "--timeout=120s",
    ]);

    let of_hello = "serving.knative.dev/service=hello";
    let pods = ok(&["get", "pods", "-l", of_hello, "--no-headers"]);
    let columns: Vec<&str> = pods.split_whitespace().collect();
    assert_eq!(pods.lines().count(), 1, "{pods}");
    assert!(
        columns.contains(&"1/1") && columns.contains(&"Running"),
        "{pods}"
    );
    let pod = ok(&["get", "pods", "-l", of_hello, "-o", "name"]);
    let pod = pod.trim();
    ok(&["wait", "--for=condition=Ready", pod, "--timeout=60s"]);
    assert!(ok(&["logs", pod]).contains("helloworld listens on port 50051"));
    assert!(ok(&["logs", "-l", of_hello]).contains("helloworld listens on port 50051"));
    assert!(
        ok(&["logs", pod, "-c", "user-container", "--tail=1"])
            .lines()
            .count()
            <= 1
    );
    assert!(ok(&["describe", pod]).contains("dev.local/helloworld"));
    ok(&["get", "events"]);
    ok(&["describe", "ksvc", "hello"]);
    cluster.stop();
}
