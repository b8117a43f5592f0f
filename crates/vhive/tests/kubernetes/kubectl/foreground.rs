//! A deletion that waits for the children.

use super::cascade::CHILDREN;
use crate::cluster::Cluster;

#[test]
fn deletion_in_the_foreground_ends_after_the_children() {
    let cluster = Cluster::with_hello();
    cluster.ok(&["delete", "ksvc", "hello", "--cascade=foreground"]);
    assert_eq!(cluster.ok(&CHILDREN), "");
    cluster.stop();
}
