//! The node as kubectl sees what runs on it: Pods, their logs, and events.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::HELLO;
use crate::look::eventually;
use crate::machine::{Machine, said};

/// kubectl, with a kubeconfig of the node.
struct Kubectl {
    config: String,
}

impl Kubectl {
    fn of(machine: &Machine) -> Self {
        let path = machine.folder().join("kubeconfig");
        std::fs::write(&path, machine.ok(&["kubeconfig"])).expect("a kubeconfig");
        Self {
            config: path.to_string_lossy().into_owned(),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command
            .args(["--kubeconfig", &self.config])
            // Where it keeps what it has discovered.
            .args(["--cache-dir", &format!("{}.cache", self.config)])
            .args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments)
            .output()
            .expect("there is no kubectl: https://kubernetes.io/docs/tasks/tools has it")
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "kubectl {arguments:?}: {}",
            said(&output)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The first Pod, once there is one.
    fn pod(&self) -> Value {
        let mut list = Value::Null;
        eventually("a Pod", || {
            list = serde_json::from_str(&self.ok(&["get", "pods", "-o", "json"])).expect("JSON");
            list["items"].as_array().is_some_and(|it| !it.is_empty())
        });
        list["items"][0].take()
    }
}

#[test]
fn kubectl_shows_describes_follows_and_ends_what_runs() {
    let mut machine = Machine::new();
    machine.build_helloworld();
    machine.up();
    let applied = machine.apply("hello", HELLO, "autoscaling.knative.dev/min-scale: '1'");
    assert!(applied.status.success(), "{}", said(&applied));
    let kubectl = Kubectl::of(&machine);
    let of_hello = ["-l", "serving.knative.dev/service=hello"];

    let wait = ["wait", "pod", "--for=condition=Ready", "--timeout=60s"];
    kubectl.ok(&[&wait[..], &of_hello].concat());
    let pod = kubectl.pod();
    let name = pod["metadata"]["name"].as_str().expect("a name");
    let table = kubectl.ok(&["get", "po"]);
    let mut lines = table
        .lines()
        .map(|it| it.split_whitespace().collect::<Vec<_>>());
    assert_eq!(
        lines.next().expect("a header"),
        ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    );
    assert_eq!(
        lines.next().expect("a row")[..4],
        [name, "1/1", "Running", "0"]
    );
    assert!(kubectl.ok(&["get", "pods", "-o", "wide"]).contains("NODE"));
    assert!(kubectl.ok(&["get", "svc"]).contains("ExternalName"));
    assert!(kubectl.ok(&["get", "instances"]).contains(name));

    let listens = "helloworld listens on port 50051";
    for arguments in [
        vec!["logs", name],
        vec!["logs", name, "-c", "user-container", "--tail", "1"],
        vec!["logs", of_hello[0], of_hello[1], "--all-containers"],
    ] {
        assert!(kubectl.ok(&arguments).contains(listens), "{arguments:?}");
    }
    let refused = said(&kubectl.run(&["logs", name, "-c", "queue-proxy"]));
    assert!(
        refused.contains("container queue-proxy is not valid for pod"),
        "{refused}"
    );

    for (object, reasons) in [
        (format!("pod/{name}"), ["Created", "Started"]),
        (
            "revision/hello-00001".to_owned(),
            ["ScalingReplicaSet", "RevisionReady"],
        ),
        ("ksvc/hello".to_owned(), ["Created", "ServiceReady"]),
    ] {
        let described = kubectl.ok(&["describe", &object]);
        let (_, events) = described.split_once("Events:").expect("events");
        for reason in reasons {
            assert!(events.contains(reason), "{object}: {described}");
        }
    }
    let events = kubectl.ok(&["get", "events"]);
    assert!(events.starts_with("LAST SEEN"), "{events}");
    assert!(events.contains(&format!("pod/{name}")), "{events}");

    assert!(kubectl.ok(&["cluster-info"]).contains("is running at"));
    for (arguments, advice) in [
        (vec!["exec", name, "--", "ls"], "kubectl logs"),
        (vec!["port-forward", name, ":50051"], "vhive invoke"),
    ] {
        let refused = said(&kubectl.run(&arguments));
        assert!(
            refused.contains("is not supported on pods") && refused.contains(advice),
            "{refused}"
        );
    }

    // vhive's own commands show the same.
    let table = machine.ok(&["get", "pods"]);
    assert!(table.starts_with("NAME") && table.contains(name), "{table}");
    assert!(
        machine
            .ok(&["get", "events"])
            .contains(&format!("pod/{name}"))
    );
    let described = machine.ok(&["describe", "hello"]);
    let (_, events) = described.split_once("Events:").expect("events");
    for object in [
        &format!("pod/{name}"),
        "revision/hello-00001",
        "service/hello",
    ] {
        assert!(events.contains(object), "{object}: {described}");
    }

    let refused = said(&kubectl.run(&["label", "pod", name, "a=b"]));
    assert!(refused.contains("patch is not supported"), "{refused}");

    // Who follows the log of a Pod that is deleted is there until its end; kubectl waits until it is gone.
    let mut following = kubectl
        .command(&["logs", "-f", name])
        .stdout(Stdio::piped())
        .spawn()
        .expect("kubectl starts");
    let mut lines = BufReader::new(following.stdout.take().expect("piped")).lines();
    let first = lines.next().expect("a line").expect("text");
    assert!(first.contains(listens), "{first}");
    let deleted = kubectl.ok(&["delete", "pod", name]);
    assert!(deleted.contains("deleted"), "{deleted}");
    lines.for_each(drop);
    assert!(following.wait().expect("kubectl ends").success());
    let successor = kubectl.pod();
    assert_ne!(successor["metadata"]["name"], pod["metadata"]["name"]);

    machine.ok(&["delete", "hello"]);
    eventually("no Pod", || {
        kubectl.ok(&["get", "pods", "-o", "name"]).is_empty()
    });
    machine.stop();
    assert_eq!(machine.leftovers(), Vec::<String>::new());
}
