//! Manifests that are wrong. Before 1.25 `kubectl` finds unknown fields itself, by the schema that the node gives it; later the node does.

use insta::assert_snapshot;

use crate::cluster::Cluster;
use crate::transcript::Transcript;

#[test]
fn a_field_that_does_not_exist_is_refused_unless_nobody_is_to_look() {
    let cluster = Cluster::start();
    let good = cluster.hello("hello", "one");
    let unknown = cluster.changed(
        &good,
        "unknown.yaml",
        "      containers:",
        "      containerConcurency: 1\n      containers:",
    );
    for command in [
        &["create", "-f", &unknown][..],
        &["apply", "-f", &unknown],
        &["create", "--dry-run=server", "-f", &unknown],
    ] {
        let refused = cluster.refused(command);
        assert!(
            refused.contains("unknown field") && refused.contains("containerConcurency"),
            "{refused}"
        );
    }
    assert_eq!(cluster.ok(&["get", "ksvc", "-o", "name"]), "");
    cluster.ok(&["create", "--validate=false", "-f", &unknown]);
    let field = "jsonpath={.spec.template.spec.containerConcurency}";
    assert_eq!(cluster.ok(&["get", "ksvc", "hello", "-o", field]), "");
    cluster.stop();
}

#[test]
fn a_manifest_that_is_wrong_is_refused_by_name() {
    let cluster = Cluster::start();
    let good = cluster.hello("hello", "one");
    let mut seen = Transcript::of(&cluster);
    for (name, from, to) in [
        ("image", "image:", "imagee:"),
        ("name", "name: hello", "name: Hello_1"),
        ("port", "name: h2c", "name: grpc"),
        ("env", "name: WORD", "name: PORT"),
    ] {
        let file = cluster.changed(&good, &format!("{name}.yaml"), from, to);
        seen.kubectl(&format!("create --validate=false -f {file}"));
    }
    assert_snapshot!(seen.text());
    let kind = cluster.changed(&good, "kind.yaml", "kind: Service", "kind: Thing");
    let refused = cluster.refused(&["create", "-f", &kind]);
    assert!(
        refused.contains("no matches for kind \"Thing\""),
        "{refused}"
    );
    cluster.stop();
}
