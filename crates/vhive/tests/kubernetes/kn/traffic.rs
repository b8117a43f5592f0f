//! Traffic that is split and tagged.

use insta::assert_snapshot;

use crate::cluster::Cluster;
use crate::transcript::Transcript;

#[test]
fn traffic_is_split_tagged_and_shown() {
    let cluster = Cluster::start();
    let mut seen = Transcript::of(&cluster);
    seen.kn("service create hello --image dev.local/helloworld --port h2c:50051 --scale-init 0")
        .kn("service update hello --env WORD=two")
        .kn("service update hello --tag hello-00001=old,@latest=new")
        .kn("service update hello --traffic old=20 --traffic @latest=80")
        .kn("service describe hello")
        .kn("route list")
        .kn("route describe hello")
        .kn("route describe hello -o url")
        .kn("revision list")
        .kn("service update hello --untag old --traffic hello-00001=0 --traffic @latest=100")
        .kn("service update hello --untag absent")
        .kn("service update hello --traffic hello-00001=20")
        .kn("service update hello --traffic absent=100")
        .kn("route describe absent");
    assert_snapshot!(seen.text());
    cluster.stop();
}
