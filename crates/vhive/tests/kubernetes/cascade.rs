//! What becomes of the children of a service that is deleted.

use crate::cluster::Cluster;
use crate::harness::look::eventually;
use crate::harness::machine::said;

fn ok(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = cluster.kubectl(arguments).output().expect("kubectl starts");
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn deployed() -> Cluster {
    let cluster = Cluster::start();
    ok(&cluster, &["apply", "-f", &cluster.hello("hello", "one")]);
    ok(
        &cluster,
        &[
            "wait",
            "--for=condition=Ready",
            "ksvc/hello",
            "--timeout=60s",
        ],
    );
    cluster
}

const CHILDREN: [&str; 4] = ["get", "cfg,rt,rev", "-o", "name"];

#[test]
fn deletion_in_the_foreground_ends_after_the_children() {
    let cluster = deployed();
    ok(
        &cluster,
        &["delete", "ksvc", "hello", "--cascade=foreground"],
    );
    assert_eq!(ok(&cluster, &CHILDREN), "");
    cluster.stop();
}

#[test]
fn deletion_in_the_background_takes_the_children_too() {
    let cluster = deployed();
    ok(
        &cluster,
        &["delete", "ksvc", "hello", "--cascade=background"],
    );
    eventually("no children", || ok(&cluster, &CHILDREN).is_empty());
    cluster.stop();
}

#[test]
fn orphans_stay_and_are_nobodys() {
    let cluster = deployed();
    ok(&cluster, &["delete", "ksvc", "hello", "--cascade=orphan"]);
    let owner = "jsonpath={.metadata.ownerReferences}";
    eventually("orphans have no owner", || {
        ok(&cluster, &["get", "cfg", "hello", "-o", owner]).is_empty()
            && ok(&cluster, &["get", "rt", "hello", "-o", owner]).is_empty()
    });
    let children = ok(&cluster, &CHILDREN);
    assert_eq!(children.lines().count(), 3, "{children}");
    cluster.stop();
}
