//! What `kubectl` changes.

use insta::assert_snapshot;

use crate::cluster::Cluster;
use crate::transcript::Transcript;

#[test]
fn objects_are_applied_changed_and_deleted() {
    let cluster = Cluster::start();
    let one = cluster.hello("hello", "one");
    let other = cluster.hello("other", "one");
    let two = cluster.changed(&one, "two.yaml", "value: one", "value: two");
    // With what the server fills in, the manifest is what is stored.
    let full = cluster.changed(
        &one,
        "full.yaml",
        "- image: dev.local/helloworld",
        "- name: user-container
          readinessProbe: {successThreshold: 1, tcpSocket: {port: 0}}
          image: dev.local/helloworld",
    );
    let mut seen = Transcript::of(&cluster);
    let word = "jsonpath={.spec.template.spec.containers[0].env[0].value}";
    seen.kubectl(&format!("create --dry-run=server -f {one} -o name"))
        .kubectl("get ksvc")
        .kubectl(&format!("apply -f {one}"))
        .kubectl("wait --for=condition=Ready ksvc/hello --timeout=60s")
        .kubectl(&format!("apply -f {one}"))
        .kubectl("get ksvc hello -o jsonpath={.metadata.generation}")
        .kubectl(&format!("apply -f {full}"))
        .kubectl(&format!("apply -f {full}"))
        .kubectl(&format!("apply --dry-run=server -f {two}"))
        .kubectl(&format!("apply -f {two}"))
        .kubectl("wait --for=condition=Ready ksvc/hello --timeout=60s")
        .kubectl(&format!("get ksvc hello -o {word}"))
        .kubectl(&format!("create -f {one}"))
        .kubectl(&format!("create -f {other}"))
        .kubectl("label ksvc hello team=blue")
        .kubectl("label ksvc hello team=red")
        .kubectl("label ksvc hello team=red --overwrite")
        .kubectl("get ksvc -l team=red -o name")
        .kubectl("label ksvc hello team- -o name")
        .kubectl("annotate ksvc hello note=short")
        .kubectl("get ksvc hello -o jsonpath={.metadata.annotations.note}")
        .kubectl("get ksvc hello -o jsonpath={.metadata.generation}")
        .kubectl("patch ksvc hello --type merge -p '{\"spec\":{\"template\":{\"spec\":{\"timeoutSeconds\":42}}}}'")
        .kubectl("get ksvc hello -o jsonpath={.metadata.generation}")
        // With -o name, since it says "(no change)" only if no status came in between either.
        .kubectl("patch ksvc hello --type merge -p '{\"spec\":{\"template\":{\"spec\":{\"timeoutSeconds\":42}}}}' -o name")
        .kubectl("get ksvc hello -o jsonpath={.metadata.generation}")
        .kubectl("patch ksvc hello --type json -p '[{\"op\":\"replace\",\"path\":\"/spec/template/spec/timeoutSeconds\",\"value\":43}]'")
        .kubectl("get ksvc hello -o jsonpath={.spec.template.spec.timeoutSeconds}")
        .kubectl("patch ksvc hello --type merge -p '{\"spec\":{\"template\":{\"spec\":{\"timeoutSeconds\":601}}}}'")
        .kubectl(&format!("replace -f {one}"))
        .kubectl(&format!("get ksvc hello -o {word}"))
        .kubectl("delete ksvc hello")
        .kubectl("delete ksvc hello")
        .kubectl("delete ksvc hello --ignore-not-found")
        .kubectl(&format!("delete -f {other}"))
        .kubectl("get ksvc,rt,cfg,rev");
    assert_snapshot!(seen.text());
    cluster.stop();
}

#[test]
fn an_object_is_edited() {
    let cluster = Cluster::start();
    let one = cluster.hello("hello", "one");
    let mut seen = Transcript::of(&cluster);
    seen.kubectl(&format!("apply -f {one}"));
    for editor in ["sed -i s/one/three/", "true"] {
        let mut edit = cluster.kubectl(&["edit", "ksvc", "hello"]);
        edit.env("EDITOR", editor).env_remove("KUBE_EDITOR");
        seen.run("kubectl", &format!("edit ksvc hello # {editor}"), edit);
    }
    seen.kubectl("get ksvc hello -o jsonpath={.spec.template.spec.containers[0].env[0].value}");
    assert_snapshot!(seen.text());
    cluster.stop();
}

#[test]
fn a_difference_is_shown_before_it_is_applied() {
    let cluster = Cluster::start();
    let one = cluster.hello("hello", "one");
    let two = cluster.changed(&one, "two.yaml", "value: one", "value: two");
    let diff = |file: &str| {
        let output = cluster.kubectl(&["diff", "-f", file]).output();
        let output = output.expect("kubectl starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), text)
    };
    let (code, text) = diff(&one);
    assert_eq!(code, Some(1), "all of it is new: {text}");
    cluster.ok(&["apply", "-f", &one]);
    assert_eq!(diff(&one), (Some(0), String::new()));
    let (code, text) = diff(&two);
    assert_eq!(code, Some(1), "{text}");
    let changed: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with(['+', '-']) && line.contains("value: "))
        .map(str::trim_end)
        .collect();
    assert_eq!(changed.len(), 2, "{text}");
    assert!(
        changed[0].ends_with("value: one") && changed[1].ends_with("value: two"),
        "{text}"
    );
    cluster.stop();
}
