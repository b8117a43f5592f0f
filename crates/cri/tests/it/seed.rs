//! The ways of the original vHive: stubs with a guest beside them, and microVMs started by hand.

use testkit::guest::{Guest, well_behaved};
use tonic::Code;

use crate::containerd::BUSYBOX;
use crate::rig::Rig;
use crate::runtime_v1 as cri;

fn stub(config: &mut cri::ContainerConfig) {
    let envs = [
        ("GUEST_IMAGE", BUSYBOX),
        ("GUEST_PORT", "8080"),
        ("K_REVISION", "hello-00001"),
    ];
    config.envs = envs
        .map(|(key, value)| cri::KeyValue {
            key: key.into(),
            value: value.into(),
        })
        .into();
}

/// What the proxy of a pod gets from where it was told that the guest is.
async fn through(rig: &Rig, proxy: &str) -> String {
    let request = cri::ExecSyncRequest {
        container_id: proxy.into(),
        cmd: [
            "/busybox",
            "sh",
            "-c",
            "/busybox wget -q -O - http://$GUEST_ADDR:$GUEST_PORT/",
        ]
        .map(str::to_owned)
        .into(),
        timeout: 30,
    };
    let answer: cri::ExecSyncResponse = rig.client.call("ExecSync", request).await.unwrap();
    format!(
        "{}{}",
        String::from_utf8_lossy(&answer.stdout),
        String::from_utf8_lossy(&answer.stderr)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stub_has_a_guest_that_the_proxy_is_told_of_and_that_is_saved_when_the_stub_goes() {
    let rig = Rig::new(well_behaved).await;
    // A pod of the default class: the original patches Knative, and not its pods' class.
    let pod = rig.pod("seed", "").await;
    let first = rig.create(&pod, "user-container", stub).await.unwrap();
    let proxy = rig.create(&pod, "queue-proxy", |_| {}).await.unwrap();
    rig.start(&first).await.unwrap();
    rig.start(&proxy).await.unwrap();
    assert_eq!(through(&rig, &proxy).await, "hello");
    assert_eq!(rig.snapshots(), 0);
    rig.stop(&first, 0).await.unwrap();
    rig.remove(&first).await.unwrap();
    assert_eq!(rig.snapshots(), 1);

    // The next is reached where the first was: nobody tells the proxy anew.
    let next = rig.create(&pod, "user-container", |config| {
        stub(config);
        config.metadata.as_mut().unwrap().attempt = 1;
    });
    let next = next.await.unwrap();
    rig.start(&next).await.unwrap();
    assert_eq!(through(&rig, &proxy).await, "hello");
    rig.remove_pod(&pod).await.unwrap();
    assert!(rig.client.containers().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_a_stub_whose_guest_is_gone_is_stopped() {
    let mut rig = Rig::new(well_behaved).await;
    let pod = rig.pod("seed", "").await;
    let id = rig.create(&pod, "user-container", stub).await.unwrap();
    rig.start(&id).await.unwrap();
    rig.restart().await;
    let ended = rig.ended(&id).await;
    assert_eq!(ended.exit_code, 137);
    rig.remove_pod(&pod).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stub_that_asks_for_no_port_or_an_image_that_is_not_there_is_refused() {
    let rig = Rig::new(well_behaved).await;
    let pod = rig.pod("seed", "").await;
    let portless = rig.create(&pod, "user-container", |config| {
        stub(config);
        config.envs.retain(|it| it.key != "GUEST_PORT");
    });
    assert_eq!(portless.await.unwrap_err().code(), Code::InvalidArgument);
    let imageless = rig.create(&pod, "user-container", |config| {
        stub(config);
        config.envs[0].value = "127.0.0.1:1/none:1".into();
    });
    // containerd's own words about the pull.
    let status = imageless.await.unwrap_err();
    assert!(status.message().contains("127.0.0.1:1/none:1"), "{status}");
    assert!(rig.client.containers().await.is_empty());
}

/// `proto.StartVMReq` and its answer, `helloworld.FwdHelloReq` and its: up to three strings.
#[derive(Clone, PartialEq, prost::Message)]
struct Strings {
    #[prost(string, tag = "1")]
    first: String,
    #[prost(string, tag = "2")]
    second: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn microvms_are_started_and_stopped_by_hand() {
    let rig = Rig::new(|guest: Guest| async move {
        let (mut link, _) = guest.start().await?;
        let _listener = guest.listen(50051)?;
        let _ = link.shutdown().await?;
        Ok(())
    })
    .await;
    let client = rig.orchestrator().await;
    let call = |method: &str, first: &str, second: &str| {
        let path = format!("/proto.Orchestrator/{method}");
        let request = Strings {
            first: first.into(),
            second: second.into(),
        };
        let client = client.clone();
        async move { client.call_at::<_, Strings>(&path, request).await }
    };
    let started = call("StartVM", BUSYBOX, "a").await.unwrap();
    assert!(started.second.contains("boot: "), "{started:?}");
    let again = call("StartVM", BUSYBOX, "a").await.unwrap();
    assert!(again.first.contains("running already"), "{again:?}");
    let nothing = call("StartVM", "", "b").await.unwrap_err();
    assert_eq!(nothing.code(), Code::InvalidArgument);
    call("StopSingleVM", "a", "").await.unwrap();
    let gone = call("StopSingleVM", "a", "").await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    call("StartVM", BUSYBOX, "c").await.unwrap();
    let request = cri::VersionRequest::default();
    let stopped: Strings = client
        .call_at("/proto.Orchestrator/StopVMs", request)
        .await
        .unwrap();
    assert!(stopped.first.contains("1 microVM"), "{stopped:?}");
    let unknown = call("Other", "", "").await.unwrap_err();
    assert_eq!(unknown.code(), Code::Unimplemented);
}
