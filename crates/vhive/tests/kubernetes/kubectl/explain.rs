//! `kubectl explain`.

use crate::cluster::Cluster;

#[test]
fn kinds_and_fields_are_explained() {
    let cluster = Cluster::start();
    for (what, words) in [
        ("ksvc", &["KIND:", "Service", "spec", "status"][..]),
        (
            "ksvc.spec.template.spec",
            &["containers", "timeoutSeconds", "containerConcurrency"],
        ),
        ("ksvc.spec.traffic", &["percent", "revisionName", "tag"]),
        ("configmap", &["binaryData", "<map[string]string>"]),
        ("secret.type", &["Opaque"]),
    ] {
        let text = cluster.ok(&["explain", what]);
        for word in words {
            assert!(text.contains(word), "{what}: no {word} in {text}");
        }
    }
    cluster.refused(&["explain", "ksvc.spec.absent"]);
    cluster.stop();
}
