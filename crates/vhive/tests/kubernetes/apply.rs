//! Server-side apply.

use std::process::Output;

use crate::cluster::Cluster;
use crate::harness::machine::said;

#[test]
fn fields_are_owned_by_who_applied_them() {
    let cluster = Cluster::start();
    let one = cluster.hello("hello", "one");
    let text = std::fs::read_to_string(&one).expect("just written");
    let two = cluster.file("two.yaml", &text.replace("value: one", "value: two"));
    let run = |arguments: &[&str]| -> Output {
        cluster.kubectl(arguments).output().expect("kubectl starts")
    };
    let word = || {
        let field = "jsonpath={.spec.template.spec.containers[0].env[0].value}";
        said(&run(&["get", "ksvc", "hello", "-o", field]))
    };
    for (file, expected) in [(&one, "one"), (&one, "one"), (&two, "two")] {
        let applied = run(&["apply", "--server-side", "-f", file]);
        assert_eq!(
            said(&applied),
            "service.serving.knative.dev/hello serverside-applied\n"
        );
        assert_eq!(word(), expected);
    }

    // Another manager may not change what the first applied, unless it insists.
    let other = [
        "apply",
        "--server-side",
        "--field-manager=other",
        "-f",
        &one,
    ];
    let refused = run(&other);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("conflict"), "{}", said(&refused));
    assert_eq!(word(), "two");
    let applied = run(&[&other[..], &["--force-conflicts"]].concat());
    assert!(applied.status.success(), "{}", said(&applied));
    assert_eq!(word(), "one");
    cluster.stop();
}
