//! `kn revision`.

use insta::assert_snapshot;

use crate::cluster::Cluster;
use crate::transcript::Transcript;

#[test]
fn revisions_are_listed_shown_deleted_and_pruned() {
    let cluster = Cluster::start();
    let mut seen = Transcript::of(&cluster);
    seen.kn("service create hello --image dev.local/helloworld --port h2c:50051 --scale-init 0")
        .kn("service create other --image dev.local/helloworld --port h2c:50051 --scale-init 0")
        .kn("service update hello --env WORD=two")
        .kn("service update hello --env WORD=three")
        .kn("revision list")
        .kn("revision list -s hello")
        .kn("revision list -s absent")
        .kn("revision describe hello-00003")
        .kn("revision describe hello-00001 -o name")
        .kn("revision describe absent")
        .kn("revision delete hello-00001 --wait")
        .kn("revision delete absent")
        .kn("revision delete --prune hello --wait")
        .kn("revision list")
        .kn("service list");
    assert_snapshot!(seen.text());
    cluster.stop();
}
