//! `kubectl explain`.

use crate::cluster::Cluster;
use crate::harness::machine::said;

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
    ] {
        let output = cluster.kubectl(&["explain", what]).output();
        let output = output.expect("kubectl starts");
        assert!(output.status.success(), "{what}: {}", said(&output));
        for word in words {
            assert!(
                said(&output).contains(word),
                "{what}: no {word} in {}",
                said(&output)
            );
        }
    }
    let absent = cluster.kubectl(&["explain", "ksvc.spec.absent"]).output();
    let absent = absent.expect("kubectl starts");
    assert_eq!(absent.status.code(), Some(1), "{}", said(&absent));
    cluster.stop();
}
