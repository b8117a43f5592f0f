//! `kn service`, on a function that no instance is started of.

use insta::assert_snapshot;

use crate::cluster::{Cluster, refusal};
use crate::transcript::Transcript;

#[test]
fn a_service_is_created_changed_shown_and_deleted() {
    let cluster = Cluster::start();
    let mut seen = Transcript::of(&cluster);
    seen.kn("service list")
        .kn("service create hello --image dev.local/helloworld --port h2c:50051 --scale-init 0 --env WORD=one")
        .kn("service create hello --image dev.local/helloworld")
        .kn("service update hello --env WORD=two")
        .kn("service update hello --concurrency-target 5 --scale-max 3")
        .kn("service update hello --image dev.local/helloworld:latest --revision-name hello-named")
        .kn("service update hello --env WORD- --label team=blue --annotation note=short --revision-name hello-blue")
        .kn("service list")
        .kn("service list hello")
        .kn("service list absent")
        .kn("service list -A")
        .kn("service list -o name")
        .kn("service describe hello")
        .kn("service describe hello -v")
        .kn("service describe hello -o url")
        .kn("service describe hello -o yaml")
        .kn("service wait hello");
    assert_snapshot!("service", seen.text());
    // Not to the letter: kn writes the time into the template, and two updates may be of the same second or not.
    let same_name = cluster.kn(&["service", "update", "hello", "--env", "WORD=three"]);
    let same_name = refusal(same_name);
    let reason =
        "Saw the following changes without a name change (-old +new): spec.template.metadata.name";
    assert!(same_name.contains(reason), "{same_name}");

    let mut seen = Transcript::of(&cluster);
    seen.kn("service create hello --force --image dev.local/helloworld --port h2c:50051 --scale-init 0")
        .kn("service create other --no-wait --image dev.local/helloworld --port h2c:50051 --scale-init 0")
        .kn("service export hello -o yaml")
        .kn("service delete hello --wait")
        .kn("service delete hello")
        .kn("service delete --all --wait")
        .kn("service delete --all")
        .kn("service list");
    assert_snapshot!("service_deleted", seen.text());
    cluster.stop();
}

#[test]
fn a_service_is_applied_with_flags_and_from_a_file() {
    let cluster = Cluster::start();
    let file = cluster.hello("hello", "one");
    let changed = cluster.changed(&file, "changed.yaml", "value: one", "value: two");
    let mut seen = Transcript::of(&cluster);
    seen.kn(&format!("service apply -f {file}"))
        .kn(&format!("service apply -f {file}"))
        .kn(&format!("service apply -f {changed}"))
        .kn("service apply flags --image dev.local/helloworld --port h2c:50051 --scale-init 0")
        .kn("service apply flags --image dev.local/helloworld --port h2c:50051 --scale-init 0 --env A=b")
        .kn("service list");
    assert_snapshot!(seen.text());
    cluster.stop();
}
