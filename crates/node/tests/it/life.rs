//! Services that come, serve and go.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{SERVING, told};
use crate::rig::{IMAGE, Rig};

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_created_becomes_ready_answers_and_leaves_nothing_when_deleted() {
    let rig = Rig::new().await;
    rig.deploy("hello").await;
    let answer = rig.call("hello").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "/first"));
    assert_eq!(rig.api.list("pods").await.len(), 1);
    assert_eq!(rig.remains().names("logs").len(), 1);
    assert_eq!(rig.remains().namespaces().len(), 1);

    rig.api.delete("hello").await;
    for kind in ["configurations", "routes", "revisions", "pods"] {
        rig.api.eventually(kind, <[_]>::is_empty).await;
    }
    assert_eq!(rig.call("hello").await.status, 404);
    let remains = rig.shut_down().await;
    assert_eq!(remains.names("logs"), [""; 0]);
    assert_eq!(remains.names("run"), [".lock"]);
    assert!(remains.namespaces().is_empty());
    let index = std::fs::read_to_string(remains.data_dir().join("images/index.json")).unwrap();
    assert!(!index.contains("pinned"), "{index}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_made_anew_under_its_old_name_serves_and_keeps_its_image() {
    let rig = Rig::new().await;
    rig.deploy("hello").await;
    rig.api.delete("hello").await;
    // Its children may still be on their way out.
    rig.deploy("hello").await;
    assert_eq!(rig.call("hello").await.status, 200);
    rig.api
        .eventually("revisions", |revisions| revisions.len() == 1)
        .await;
    let remains = rig.shut_down().await;
    remains.images().remove(&IMAGE.parse().unwrap()).unwrap();
    remains.images().gc().unwrap();
    let rig = Rig::on(remains).await;
    assert_eq!(rig.call("hello").await.body, "/first");
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_wakes_a_function_that_has_no_instance() {
    let rig = Rig::new().await;
    let none = json!({"autoscaling.knative.dev/initial-scale": "0"});
    rig.api.create("hello", IMAGE, &none).await;
    rig.api.ready("hello").await;
    assert!(rig.api.list("pods").await.is_empty());
    assert_eq!(rig.call("hello").await.status, 200);
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_node_carries_on() {
    let rig = Rig::new().await;
    rig.deploy("hello").await;
    let rig = Rig::on(rig.shut_down().await).await;
    let services = rig.api.list("services").await;
    assert_eq!(told(&services[0]).0, "True");
    assert_eq!(rig.call("hello").await.status, 200);
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_is_leaving_is_shown_as_not_ready() {
    let rig = Rig::new().await;
    rig.deploy("hello").await;
    let shown = |ready: &'static str| {
        move |pods: &[Value]| {
            pods.len() == 1 && pods[0]["status"]["phase"] == "Running" && told(&pods[0]).0 == ready
        }
    };
    rig.api.eventually("pods", shown("True")).await;
    let held = rig.habits.hold_answers().await;
    let call = rig.begin_call("hello");
    rig.habits.asked().await;
    rig.api.delete("hello").await;
    rig.api.eventually("pods", shown("False")).await;
    drop(held);
    assert_eq!(call.await.unwrap().status, 200);
    rig.api.eventually("pods", <[_]>::is_empty).await;
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_answers_over_tls_with_a_certificate_of_the_nodes_authority() {
    let rig = Rig::new().await;
    rig.deploy("hello").await;
    let authority = std::fs::read(node::pki_dir(rig.remains().data_dir()).join("ca.pem")).unwrap();
    let (https, host) = (rig.https(), "hello.default.test");
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(&authority).unwrap()])
        .resolve(host, https)
        .build()
        .unwrap();
    let url = format!("https://{host}:{}/", https.port());
    let answer = client.get(url).send().await.unwrap();
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    assert_eq!(
        (answer.status().as_u16(), &*answer.text().await.unwrap()),
        (200, "/first")
    );
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_is_not_ready_for_a_while_is_sent_nothing_until_it_is() {
    let rig = Rig::new().await;
    let probe = json!({"httpGet": {"path": "/ready"}, "periodSeconds": 1, "failureThreshold": 1});
    let service = json!({
        "apiVersion": "serving.knative.dev/v1", "kind": "Service",
        "metadata": {"name": "hello", "namespace": "default"},
        "spec": {"template": {"spec": {"containers": [{"image": IMAGE, "readinessProbe": probe}]}}},
    });
    let path = format!("{SERVING}/services");
    let made = rig.api.ask(Method::POST, &path, Some(&service)).await;
    assert!(made.status().is_success());
    rig.api.ready("hello").await;
    assert_eq!(rig.call("hello").await.status, 200);

    rig.habits.unready(true);
    // A call that is not answered while the function is asked three times whether it is ready is held back.
    let held = loop {
        let mut call = rig.begin_call("hello");
        let probes = async {
            for _ in 0..3 {
                rig.habits.probed().await;
            }
        };
        tokio::select! {
            biased;
            answer = &mut call => assert_eq!(answer.unwrap().status, 200),
            () = probes => break call,
        }
    };
    assert!(!held.is_finished());
    let pod_is = |status: &'static str| move |pods: &[Value]| told(&pods[0]).0 == status;
    rig.api.eventually("pods", pod_is("False")).await;
    rig.habits.unready(false);
    assert_eq!(held.await.unwrap().status, 200);
    rig.api.eventually("pods", pod_is("True")).await;
    rig.shut_down().await;
}
