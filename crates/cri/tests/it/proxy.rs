//! What is containerd's passes as it is.

use std::time::Duration;

use testkit::guest::well_behaved;
use tonic::Code;

use crate::client::Client;
use crate::rig::Rig;
use crate::runtime_v1 as cri;

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_without_our_handler_is_containerds_in_all_its_life() {
    let rig = Rig::new(well_behaved).await;
    let pod = rig.pod("plain", "").await;
    let container = rig.create(&pod, "main", |_| {}).await.unwrap();
    rig.start(&container).await.unwrap();
    let direct = Client::connect(&rig.containerd.socket()).await;
    assert_eq!(rig.client.containers().await, direct.containers().await);
    assert_eq!(
        rig.client.container_status(&container).await.unwrap(),
        direct.container_status(&container).await.unwrap()
    );
    let request = cri::ExecSyncRequest {
        container_id: container.clone(),
        cmd: ["/busybox", "echo", "hello"].map(str::to_owned).into(),
        timeout: 30,
    };
    let answer: cri::ExecSyncResponse = rig.client.call("ExecSync", request).await.unwrap();
    assert_eq!((&*answer.stdout, answer.exit_code), (&b"hello\n"[..], 0));
    rig.stop(&container, 0).await.unwrap();
    assert_eq!(rig.ended(&container).await.exit_code, 137);
    rig.remove(&container).await.unwrap();
    rig.remove_pod(&pod).await.unwrap();
    assert!(rig.client.containers().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_containerds_codes_and_words_and_unknown_methods_are_its_to_refuse() {
    let rig = Rig::new(well_behaved).await;
    // With a pod of ours there is more than containerd knows; what is not of that pod stays its own.
    rig.pod("ours", "vhive").await;
    let direct = Client::connect(&rig.containerd.socket()).await;
    let theirs = direct.container_status("none").await.unwrap_err();
    let ours = rig.client.container_status("none").await.unwrap_err();
    assert_eq!(theirs.code(), Code::NotFound);
    assert_eq!(
        (ours.code(), ours.message()),
        (theirs.code(), theirs.message())
    );
    let unknown = rig.try_pod("other", "gvisor").await.unwrap_err();
    assert!(unknown.message().contains("gvisor"), "{unknown}");
    for path in ["/runtime.v1.RuntimeService/NotYetThought", "/a.B/C"] {
        let request = cri::VersionRequest::default();
        let refused: Result<cri::VersionResponse, _> = rig.client.call_at(path, request).await;
        assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_containerd_that_is_gone_is_unavailable_and_one_that_is_back_is_used() {
    let mut rig = Rig::new(well_behaved).await;
    let pod = rig.pod("ours", "vhive").await;
    let container = rig.create(&pod, "main", |_| {}).await.unwrap();
    rig.start(&container).await.unwrap();
    rig.containerd.kill();
    let request = cri::VersionRequest::default;
    let gone: Result<cri::VersionResponse, _> = rig.client.call("Version", request()).await;
    let gone = gone.unwrap_err();
    assert_eq!(gone.code(), Code::Unavailable);
    assert!(gone.message().contains("is it running?"), "{gone}");
    // What is ours does not need it.
    let running = rig.client.container_status(&container).await.unwrap();
    assert_eq!(running.state(), cri::ContainerState::ContainerRunning);
    rig.containerd.restart().await;
    let version: cri::VersionResponse = rig.client.call("Version", request()).await.unwrap();
    assert_eq!(version.runtime_name, "containerd");
    assert_eq!(rig.client.containers().await.len(), 1);
    let removed = tokio::time::timeout(Duration::from_secs(60), rig.remove_pod(&pod));
    removed.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_handlers_are_among_those_that_the_runtime_has() {
    let rig = Rig::new(well_behaved).await;
    let request = cri::StatusRequest::default();
    let status: cri::StatusResponse = rig.client.call("Status", request).await.unwrap();
    let names: Vec<_> = status.runtime_handlers.iter().map(|it| &*it.name).collect();
    assert!(names.contains(&"") && names.contains(&"vhive"), "{names:?}");
    assert!(status.status.unwrap().conditions.iter().all(|it| it.status));
}
