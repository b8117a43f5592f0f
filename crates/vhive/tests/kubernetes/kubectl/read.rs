//! What `kubectl` shows.

use insta::assert_snapshot;

use crate::cluster::Cluster;
use crate::transcript::Transcript;

#[test]
fn objects_are_shown_in_every_form() {
    let cluster = Cluster::with_hello();
    let mut seen = Transcript::of(&cluster);
    for kind in [
        "ksvc",
        "kservice",
        "rev",
        "rt",
        "cfg",
        "config",
        "services.serving.knative.dev",
        "revisions",
        "routes",
        "configurations",
    ] {
        seen.kubectl(&format!("get {kind}"));
    }
    seen.kubectl("get ksvc -o wide")
        .kubectl("get ksvc -o name")
        .kubectl("get ksvc,rt,cfg,rev -o name")
        .kubectl("get ksvc hello -o jsonpath={.status.url}")
        .kubectl("get ksvc -A --no-headers")
        .kubectl("get rev -l serving.knative.dev/service=hello -o name")
        .kubectl("get rev -l serving.knative.dev/service=other")
        .kubectl("get ksvc --field-selector metadata.name=other -o name")
        .kubectl("get ksvc -o custom-columns=NAME:.metadata.name,GENERATION:.metadata.generation")
        .kubectl("get ksvc --sort-by=.metadata.name --show-labels")
        .kubectl("get ksvc hello -o yaml")
        .kubectl("get rev hello-00001 -o json")
        .kubectl("get ksvc absent")
        .kubectl("get ksvc absent --ignore-not-found")
        .kubectl("get things");
    assert_snapshot!(seen.text());
    cluster.stop();
}

#[test]
fn the_server_tells_what_it_is_and_what_it_has() {
    let cluster = Cluster::with_hello();
    let mut seen = Transcript::of(&cluster);
    seen.kubectl("api-resources --api-group=serving.knative.dev -o name")
        .kubectl("api-versions")
        .kubectl("get --raw /healthz")
        .kubectl("get --raw /readyz")
        .kubectl("get --raw /livez")
        .kubectl("config view --minify -o jsonpath={.contexts[0].name}")
        .kubectl("config current-context");
    assert_snapshot!(seen.text());
    let server = "jsonpath={.clusters[0].cluster.server}";
    let server = cluster.ok(&["config", "view", "-o", server]);
    for (arguments, words) in [
        (&["version"][..], &["Client Version", "Server Version"][..]),
        (&["cluster-info"], &["is running at", &server]),
        (
            &["api-resources"],
            &[
                "configmaps",
                "events",
                "pods",
                "secrets",
                "ksvc",
                "snapshots",
            ],
        ),
        (
            &["describe", "ksvc", "hello"],
            &[
                "Name:",
                "hello",
                "Latest Ready Revision Name",
                "hello-00001",
            ],
        ),
        (
            &["describe", "rev", "hello-00001"],
            &["Container Statuses", "Image Digest", "Events:"],
        ),
    ] {
        let text = cluster.ok(arguments);
        for word in words {
            assert!(text.contains(word), "{arguments:?}: no {word} in {text}");
        }
    }
    cluster.stop();
}
