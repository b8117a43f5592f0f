//! `ConfigMaps` and Secrets.

use insta::assert_snapshot;

use crate::cluster::Cluster;
use crate::transcript::Transcript;

#[test]
fn values_and_secrets_are_made_changed_and_deleted() {
    let cluster = Cluster::start();
    let first = cluster.file(
        "values.yaml",
        "apiVersion: v1
kind: ConfigMap
metadata: {name: applied}
data: {colour: blue, size: small}
---
apiVersion: v1
kind: Secret
metadata: {name: applied}
stringData: {word: old}
",
    );
    let second = cluster.changed(&first, "second.yaml", "colour: blue, size", "shape");
    let second = cluster.changed(&second, "second.yaml", "word: old", "word: new");
    let mut seen = Transcript::of(&cluster);
    seen.kubectl("create configmap made --from-literal=colour=red --from-literal=empty=")
        .kubectl("create secret generic made --from-literal=word=hidden")
        .kubectl(&format!("apply -f {first}"))
        .kubectl(&format!("apply -f {second}"))
        .kubectl("get configmaps")
        .kubectl("get secrets")
        .kubectl("get cm applied -o jsonpath={.data}")
        .kubectl("get secret applied -o jsonpath={.data}")
        .kubectl("patch cm made -p '{\"data\":{\"colour\":\"green\",\"empty\":null}}'")
        .kubectl("patch cm made --type merge -p '{\"immutable\":true}'")
        .kubectl("patch cm made -p '{\"data\":{\"colour\":\"grey\"}}'")
        .kubectl("get cm made -o jsonpath={.data}")
        .kubectl("get secret made -o jsonpath={.data.word}")
        .kubectl(&format!("delete -f {second}"))
        .kubectl("delete cm,secret --all")
        .kubectl("get cm,secret");
    assert_snapshot!(seen.text());
    let created = cluster.ok(&["create", "configmap", "told", "--from-literal=a=b"]);
    assert_eq!(created, "configmap/told created\n");
    let refused = cluster.refused(&["create", "configmap", "told", "--from-literal=a=b"]);
    assert!(refused.contains("already exists"), "{refused}");
    let described = cluster.ok(&["describe", "configmap", "told"]);
    assert!(
        described.contains("Data\n====\na:\n----\nb\n"),
        "{described}"
    );
    cluster.stop();
}
