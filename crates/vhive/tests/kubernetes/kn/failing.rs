//! What `kn` says when it does not go well, and how it exits.

use insta::assert_snapshot;

use crate::cluster::Cluster;
use crate::transcript::Transcript;

#[test]
fn what_is_wrong_with_a_service_is_said_and_is_an_error() {
    let cluster = Cluster::start();
    cluster.machine.build_box();
    let mut seen = Transcript::of(&cluster);
    seen.kn("service create missing --image dev.local/nothing")
        .kn("service create Bad_Name --image dev.local/helloworld")
        .kn("service create hello --image dev.local/helloworld --concurrency-limit 1001")
        .kn("service create hello --image dev.local/helloworld --timeout 601")
        .kn("service create hello --image dev.local/helloworld --port grpc:50051")
        .kn("service create hello --image dev.local/helloworld --env PORT=1")
        .kn("service create hello --image dev.local/helloworld --scale 5..1")
        .kn("service create hello --image dev.local/helloworld --revision-name other-1")
        .kn("service update absent --env A=b")
        .kn("service describe absent")
        .kn("service list")
        .kn("service create silent --image dev.local/box --cmd /busybox --arg sleep --arg 1000 --wait-timeout 1");
    assert_snapshot!(seen.text());
    cluster.stop();
}
