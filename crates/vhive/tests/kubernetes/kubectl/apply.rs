//! Server-side apply.

use crate::cluster::Cluster;

#[test]
fn fields_are_owned_by_who_applied_them() {
    let cluster = Cluster::start();
    let one = cluster.hello("hello", "one");
    let two = cluster.changed(&one, "two.yaml", "value: one", "value: two");
    let word = || {
        let field = "jsonpath={.spec.template.spec.containers[0].env[0].value}";
        cluster.ok(&["get", "ksvc", "hello", "-o", field])
    };
    for (file, expected) in [(&one, "one"), (&one, "one"), (&two, "two")] {
        let applied = cluster.ok(&["apply", "--server-side", "-f", file]);
        assert_eq!(
            applied,
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
    let refused = cluster.refused(&other);
    assert!(
        refused.contains("conflict with \"kubectl\"")
            && refused.contains("env[name=\"WORD\"].value"),
        "{refused}"
    );
    assert_eq!(word(), "two");
    cluster.ok(&[&other[..], &["--force-conflicts"]].concat());
    assert_eq!(word(), "one");
    cluster.stop();
}

#[test]
fn what_was_applied_in_the_client_cannot_be_taken_over_unasked() {
    let cluster = Cluster::with_hello();
    let one = cluster.hello("hello", "one");
    let two = cluster.changed(&one, "two.yaml", "value: one", "value: two");
    let refused = cluster.refused(&["apply", "--server-side", "-f", &two]);
    assert!(refused.contains("kubectl-client-side-apply"), "{refused}");
    cluster.ok(&["apply", "--server-side", "--force-conflicts", "-f", &two]);
    cluster.stop();
}
