//! Containers that are microVMs, in pods whose sandbox and network are containerd's.

use std::net::{Ipv4Addr, SocketAddrV4};

use agent::protocol::Stream;
use sys::netns::NetNs;
use testkit::guest::{Guest, well_behaved};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;

use crate::client::Client;
use crate::rig::{LONG, Rig};
use crate::runtime_v1 as cri;
use cri::ContainerState;

/// What the sample guest answers at an address in a pod's network.
async fn get(network: &NetNs, address: SocketAddrV4) -> String {
    let stream = network.tcp_connect_nonblocking(address).unwrap();
    let mut stream = TcpStream::from_std(stream).unwrap();
    stream.writable().await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 1024];
    let length = tokio::time::timeout(LONG, stream.read(&mut answer));
    let length = length.await.expect("an answer").unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

fn local(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

fn env(name: &str, value: &str) -> cri::KeyValue {
    cri::KeyValue {
        key: name.into(),
        value: value.into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_is_reached_at_the_pods_addresses_from_its_start_to_its_end() {
    let rig = Rig::new(well_behaved).await;
    let pod = rig.pod("web", "vhive").await;
    let with_port = |config: &mut cri::ContainerConfig| config.envs.push(env("PORT", "8081"));
    let id = rig.create(&pod, "main", with_port).await.unwrap();
    let status = rig.client.container_status(&id).await.unwrap();
    assert_eq!(status.state(), ContainerState::ContainerCreated);
    assert!(status.image_id.starts_with("sha256:"), "{status:?}");
    rig.start(&id).await.unwrap();

    let network = rig.network(&pod).await;
    let answer = get(&network, local(8081)).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"),
        "{answer}"
    );
    let request = cri::PodSandboxStatusRequest {
        pod_sandbox_id: pod.clone(),
        verbose: false,
    };
    let about: cri::PodSandboxStatusResponse =
        rig.client.call("PodSandboxStatus", request).await.unwrap();
    let about = about.status.unwrap();
    assert_eq!(about.runtime_handler, "vhive");
    let address = about.network.unwrap().ip.parse().unwrap();
    assert!(
        get(&network, SocketAddrV4::new(address, 8081))
            .await
            .ends_with("hello")
    );

    // containerd knows of the pod, and of no container.
    let direct = Client::connect(&rig.containerd.socket()).await;
    assert!(direct.containers().await.is_empty());
    let listed = rig.client.containers().await;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].state(), ContainerState::ContainerRunning);
    let used: cri::ListContainerStatsResponse = rig
        .client
        .call(
            "ListContainerStats",
            cri::ListContainerStatsRequest::default(),
        )
        .await
        .unwrap();
    assert_eq!(used.stats.len(), 1);
    assert!(
        used.stats[0]
            .memory
            .as_ref()
            .unwrap()
            .usage_bytes
            .as_ref()
            .unwrap()
            .value
            > 0
    );

    rig.stop(&id, 30).await.unwrap();
    let ended = rig.client.container_status(&id).await.unwrap();
    assert_eq!(
        (ended.state(), ended.exit_code, &*ended.reason),
        (ContainerState::ContainerExited, 0, "Completed")
    );
    assert!(ended.started_at > 0 && ended.finished_at >= ended.started_at);
    let log = std::fs::read_to_string(&ended.log_path).unwrap();
    assert!(log.ends_with(" stdout F listening\n"), "{log}");
    rig.remove(&id).await.unwrap();
    let gone = rig.client.container_status(&id).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    rig.remove_pod(&pod).await.unwrap();
    assert_eq!(
        direct
            .call::<_, cri::ListPodSandboxResponse>(
                "ListPodSandbox",
                cri::ListPodSandboxRequest::default()
            )
            .await
            .unwrap()
            .items,
        []
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_is_a_container_of_containerds_that_shares_the_guests_network() {
    let rig = Rig::new(well_behaved).await;
    let pod = rig.pod("knative", "vhive-qemu").await;
    let with_port = |config: &mut cri::ContainerConfig| config.envs.push(env("PORT", "8080"));
    let user = rig.create(&pod, "user-container", with_port).await.unwrap();
    let proxy = rig.create(&pod, "queue-proxy", |_| {}).await.unwrap();
    rig.start(&user).await.unwrap();
    rig.start(&proxy).await.unwrap();
    let direct = Client::connect(&rig.containerd.socket()).await;
    let theirs: Vec<_> = direct
        .containers()
        .await
        .into_iter()
        .map(|it| it.id)
        .collect();
    assert_eq!(theirs, std::slice::from_ref(&proxy));
    let mut all: Vec<_> = rig
        .client
        .containers()
        .await
        .into_iter()
        .map(|it| it.id)
        .collect();
    all.sort();
    let mut both = vec![user.clone(), proxy.clone()];
    both.sort();
    assert_eq!(all, both);
    let request = cri::ExecSyncRequest {
        container_id: proxy,
        cmd: [
            "/busybox",
            "wget",
            "-q",
            "-O",
            "-",
            "http://127.0.0.1:8080/",
        ]
        .map(str::to_owned)
        .into(),
        timeout: 30,
    };
    let answer: cri::ExecSyncResponse = rig.client.call("ExecSync", request).await.unwrap();
    assert_eq!(
        String::from_utf8_lossy(&answer.stdout),
        "hello",
        "{}",
        String::from_utf8_lossy(&answer.stderr)
    );
    // All of it goes with the pod.
    rig.remove_pod(&pod).await.unwrap();
    assert!(rig.client.containers().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_dies_is_an_end_after_which_the_container_is_started_anew() {
    let rig = Rig::new(|guest: Guest| async move {
        let (_link, process) = guest.start().await?;
        if process.env.iter().any(|(name, _)| name == "DIE") {
            guest.die().await;
        }
        std::future::pending().await
    })
    .await;
    let pod = rig.pod("dying", "vhive").await;
    let dying = |config: &mut cri::ContainerConfig| config.envs.push(env("DIE", "now"));
    let id = rig.create(&pod, "main", dying).await.unwrap();
    // It may be dead before it counts as started.
    let _ = rig.start(&id).await;
    let ended = rig.ended(&id).await;
    assert_eq!((ended.exit_code, &*ended.reason), (137, "HypervisorDied"));
    assert!(!ended.message.is_empty());
    // As a kubelet does.
    let next = rig.create(&pod, "main", |config| {
        config.metadata.as_mut().unwrap().attempt = 1;
    });
    let next = next.await.unwrap();
    rig.start(&next).await.unwrap();
    let status = rig.client.container_status(&next).await.unwrap();
    assert_eq!(status.state(), ContainerState::ContainerRunning);
    rig.remove_pod(&pod).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_pods_are_known_and_what_ran_has_ended_and_says_why() {
    let mut rig = Rig::new(well_behaved).await;
    let pod = rig.pod("kept", "vhive").await;
    let running = rig.create(&pod, "one", |_| {}).await.unwrap();
    let created = rig.create(&pod, "two", |config| config.envs.push(env("PORT", "9000")));
    let created = created.await.unwrap();
    rig.start(&running).await.unwrap();
    rig.restart().await;
    let status = rig.client.container_status(&running).await.unwrap();
    assert_eq!(status.state(), ContainerState::ContainerExited);
    assert!(status.finished_at > 0);
    let status = rig.client.container_status(&created).await.unwrap();
    assert_eq!(status.state(), ContainerState::ContainerCreated);
    rig.start(&created).await.unwrap();
    let network = rig.network(&pod).await;
    assert!(get(&network, local(9000)).await.ends_with("hello"));
    rig.remove_pod(&pod).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_was_removed_while_nobody_was_here_is_forgotten() {
    let mut rig = Rig::new(well_behaved).await;
    let pods = [
        rig.pod("gone", "vhive").await,
        rig.pod("kept", "vhive").await,
    ];
    for pod in &pods {
        rig.create(pod, "main", |_| {}).await.unwrap();
    }
    rig.end().await;
    let direct = Client::connect(&rig.containerd.socket()).await;
    for method in ["StopPodSandbox", "RemovePodSandbox"] {
        // Both have the id in the same place, and an empty answer.
        let request = cri::StopPodSandboxRequest {
            pod_sandbox_id: pods[0].clone(),
        };
        let done: Result<cri::VersionResponse, _> = direct.call(method, request).await;
        done.unwrap();
    }
    rig.begin().await;
    let forgotten = async {
        while rig.client.containers().await.len() > 1 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, forgotten).await.unwrap();
    assert_eq!(rig.client.containers().await[0].pod_sandbox_id, pods[1]);
    rig.remove_pod(&pods[1]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_has_the_code_that_says_why() {
    let rig = Rig::new(|guest: Guest| async move {
        let mut link = guest.dial().await?;
        link.hello().await?;
        link.process().await?;
        link.failed("exec", "\"/busybox\": No such file or directory")
            .await
    })
    .await;
    let pod = rig.pod("errors", "vhive").await;
    let no_image = rig.create(&pod, "a", |config| {
        config.image.as_mut().unwrap().image = "test.local/none:1".into();
    });
    assert_eq!(no_image.await.unwrap_err().code(), Code::NotFound);
    let shared = rig.create(&pod, "b", |config| {
        config.mounts.push(cri::Mount {
            container_path: "/data".into(),
            host_path: "/tmp".into(),
            ..Default::default()
        });
    });
    assert_eq!(shared.await.unwrap_err().code(), Code::InvalidArgument);
    let id = rig.create(&pod, "main", |_| {}).await.unwrap();
    let again = rig.create(&pod, "main", |_| {}).await.unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists);
    let reopen = cri::ReopenContainerLogRequest {
        container_id: id.clone(),
    };
    let reopen = rig.empty("ReopenContainerLog", reopen).await.unwrap_err();
    assert_eq!(reopen.code(), Code::FailedPrecondition);
    let started = rig.start(&id).await.unwrap_err();
    assert_eq!(started.code(), Code::FailedPrecondition, "{started}");
    assert!(started.message().contains("No such file"), "{started}");
    let status = rig.client.container_status(&id).await.unwrap();
    assert_eq!((status.exit_code, &*status.reason), (128, "StartError"));
    let twice = rig.start(&id).await.unwrap_err();
    assert_eq!(twice.code(), Code::FailedPrecondition);
    // Stopping what has ended, and removing it, succeed.
    rig.stop(&id, 0).await.unwrap();
    rig.remove_pod(&pod).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_goes_on_in_a_new_file_when_the_old_was_moved_away() {
    let rig = Rig::new(|guest: Guest| async move {
        let (mut link, _) = guest.start().await?;
        let stdout = Stream::Stdout;
        link.print(stdout, "before\n").await?;
        let listener = guest.listen(8080)?;
        // Whoever connects wants to hear more.
        listener.accept().await?;
        link.print(stdout, "after\n").await?;
        link.exited(3).await
    })
    .await;
    let pod = rig.pod("logs", "vhive").await;
    let with_port = |config: &mut cri::ContainerConfig| config.envs.push(env("PORT", "8080"));
    let id = rig.create(&pod, "main", with_port).await.unwrap();
    rig.start(&id).await.unwrap();
    let path = rig.client.container_status(&id).await.unwrap().log_path;
    let written = async {
        while !std::fs::read_to_string(&path).is_ok_and(|text| text.contains("before")) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, written).await.unwrap();
    let old = format!("{path}.old");
    std::fs::rename(&path, &old).unwrap();
    let request = cri::ReopenContainerLogRequest {
        container_id: id.clone(),
    };
    rig.empty("ReopenContainerLog", request).await.unwrap();
    let network = rig.network(&pod).await;
    let stream = network.tcp_connect_nonblocking(local(8080)).unwrap();
    let ended = rig.ended(&id).await;
    drop(stream);
    assert_eq!((ended.exit_code, &*ended.reason), (3, "Error"));
    let [old, new] = [old, path].map(|path| std::fs::read_to_string(path).unwrap());
    assert!(old.ends_with(" stdout F before\n"), "{old}");
    assert!(new.ends_with(" stdout F after\n"), "{new}");
    rig.remove_pod(&pod).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_pods_come_up_at_once() {
    const PODS: usize = 50;
    let rig = std::sync::Arc::new(Rig::new(well_behaved).await);
    let begun: Vec<_> = (0..PODS)
        .map(|number| {
            let rig = rig.clone();
            tokio::spawn(async move {
                let pod = rig.pod(&format!("pod-{number}"), "vhive").await;
                let with_port =
                    |config: &mut cri::ContainerConfig| config.envs.push(env("PORT", "8080"));
                let id = rig.create(&pod, "main", with_port).await.unwrap();
                rig.start(&id).await.unwrap();
                let network = rig.network(&pod).await;
                assert!(get(&network, local(8080)).await.ends_with("hello"));
                pod
            })
        })
        .collect();
    let mut pods = Vec::new();
    for pod in begun {
        pods.push(pod.await.unwrap());
    }
    let running = rig.client.containers().await;
    assert_eq!(running.len(), PODS);
    let ended = pods.iter().map(|pod| rig.remove_pod(pod));
    for removed in futures_util::future::join_all(ended).await {
        removed.unwrap();
    }
    assert!(rig.client.containers().await.is_empty());
}
