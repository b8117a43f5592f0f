//! Namespaces, and users who may only look.

use insta::assert_snapshot;

use crate::cluster::Cluster;
use crate::transcript::Transcript;

#[test]
fn a_namespace_is_made_used_and_goes_with_what_is_in_it() {
    let cluster = Cluster::start();
    let hello = cluster.hello("hello", "one");
    let mut seen = Transcript::of(&cluster);
    seen.kubectl(&format!("apply -n team -f {hello}"))
        .kubectl("create namespace team")
        .kubectl("create namespace team")
        .kubectl("get ns -o name")
        .kubectl("get ns team -o jsonpath={.status.phase}")
        .kubectl("create configmap -n team settings --from-literal=a=b")
        .kubectl("create secret generic -n team password --from-literal=a=b")
        .kubectl(&format!("apply -n team -f {hello}"))
        .kubectl("wait -n team --for=condition=Ready ksvc/hello --timeout=60s")
        .kubectl("delete ns default")
        .kubectl("delete ns team")
        .kubectl("get ns team")
        .kubectl("get ksvc,rt,cfg,rev,cm,secret -A");
    assert_snapshot!(seen.text());
    cluster.stop();
}

#[test]
fn a_user_who_may_only_look_is_told_so() {
    let cluster = Cluster::start();
    let hello = cluster.hello("hello", "one");
    let user = |more: &[&str]| {
        let arguments = [&["kubeconfig", "--user", "ada", "--path"], more].concat();
        format!("--kubeconfig {}", cluster.machine.ok(&arguments).trim())
    };
    let ada = user(&["--read-only"]);
    let mut seen = Transcript::of(&cluster);
    seen.kubectl(&format!("apply -f {hello}"))
        .kubectl(&format!("{ada} auth whoami"))
        .kubectl(&format!("{ada} auth can-i get ksvc"))
        .kubectl(&format!("{ada} auth can-i delete ksvc"))
        .kubectl(&format!("{ada} get ksvc -o name"))
        .kubectl(&format!("{ada} get secrets"))
        .kubectl(&format!("{ada} label ksvc hello team=blue"))
        .kubectl(&format!("{ada} delete ksvc hello"))
        .kubectl(&format!("{ada} delete pod nothing"));
    for (path, counted) in [
        (
            "/metrics",
            "apiserver_storage_objects{resource=\"services.serving.knative.dev\"} 1",
        ),
        (
            "/metrics/gateway",
            "# TYPE vhive_gateway_requests_total counter",
        ),
    ] {
        let kubeconfig = ada.strip_prefix("--kubeconfig ").unwrap_or_default();
        let output = cluster
            .kubectl(&["--kubeconfig", kubeconfig, "get", "--raw", path])
            .output()
            .expect("kubectl starts");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(counted), "{path}: {text}");
    }
    // Another token, with which everything is allowed; the file is the same.
    let ada = user(&[]);
    seen.kubectl(&format!("{ada} delete ksvc hello"));
    cluster.machine.ok(&["kubeconfig", "--revoke", "ada"]);
    seen.kubectl(&format!("{ada} get ksvc"));
    assert_snapshot!(seen.text());
    cluster.stop();
}
