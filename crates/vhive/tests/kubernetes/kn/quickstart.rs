//! The lines that a user of vHive knows.

use insta::assert_snapshot;

use crate::cluster::Cluster;
use crate::transcript::Transcript;

#[test]
fn a_function_is_deployed_called_and_deleted_as_the_quickstart_does() {
    let cluster = Cluster::start();
    let mut seen = Transcript::of(&cluster);
    let apply = "service apply helloworld -f configs/knative_workloads/helloworld.yaml --concurrency-target 1";
    seen.kn(apply);
    let answer = cluster.machine.ok(&["invoke", "helloworld"]);
    assert!(answer.starts_with("Hello, world!"), "{answer}");
    seen.kn(apply)
        .kn("service list")
        .kn("service update helloworld --scale-min 1");
    let answer = cluster.machine.ok(&["invoke", "helloworld"]);
    assert!(answer.starts_with("Hello, world!"), "{answer}");
    seen.kn("service delete --all").kn("service list");
    assert_snapshot!(seen.text());
    cluster.stop();
}
