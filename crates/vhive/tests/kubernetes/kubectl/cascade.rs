//! What becomes of the children of a service that is deleted.

use crate::cluster::Cluster;
use crate::harness::look::eventually;

pub(super) const CHILDREN: [&str; 4] = ["get", "cfg,rt,rev", "-o", "name"];

#[test]
fn deletion_in_the_background_takes_the_children_too() {
    let cluster = Cluster::with_hello();
    cluster.ok(&["delete", "ksvc", "hello", "--cascade=background"]);
    eventually("no children", || cluster.ok(&CHILDREN).is_empty());
    cluster.stop();
}

#[test]
fn orphans_stay_and_are_nobodys() {
    let cluster = Cluster::with_hello();
    cluster.ok(&["delete", "ksvc", "hello", "--cascade=orphan"]);
    let owner = "jsonpath={.metadata.ownerReferences}";
    for kind in ["cfg", "rt"] {
        assert_eq!(cluster.ok(&["get", kind, "hello", "-o", owner]), "");
    }
    let children = cluster.ok(&CHILDREN);
    assert_eq!(children.lines().count(), 3, "{children}");
    cluster.stop();
}
