use std::sync::Arc;

use futures_util::FutureExt as _;
use gateway::{Protocol, RevisionConfig};
use http::Request;
use tokio::sync::Semaphore;

use crate::instance::{Instance, text};
use crate::rig::{HOST, Rig, empty, key};

/// Answers when it may.
async fn held(answer: &'static str) -> (Instance, Arc<Semaphore>) {
    let go = Arc::new(Semaphore::new(0));
    let instance = Instance::http({
        let go = go.clone();
        move |_| {
            let go = go.clone();
            async move {
                go.acquire().await.unwrap().forget();
                text(answer)
            }
        }
    })
    .await;
    (instance, go)
}

#[tokio::test]
async fn an_endpoint_left_out_finishes_what_it_has_and_gets_nothing_new() {
    for protocol in [Protocol::Http1, Protocol::H2c] {
        let config = RevisionConfig {
            protocol,
            ..RevisionConfig::default()
        };
        let (old, go) = held("old").await;
        let new = Instance::answering("new").await;
        let rig = Rig::start(config, vec![old.endpoint("old")]).await;
        let under_way = rig.spawn_get().await;
        rig.until(|stats| stats.in_flight == 1).await;

        assert!(rig.gateway.serves(&key(), "old"));
        let drained = tokio::spawn(rig.gateway.drained(&key(), "old"));
        rig.gateway.set_endpoints(&key(), vec![new.endpoint("new")]);
        assert_eq!(rig.get().await.body, "new");
        assert!(!drained.is_finished());
        assert!(!rig.gateway.serves(&key(), "old") && rig.gateway.serves(&key(), "new"));
        go.add_permits(1);
        assert_eq!(under_way.await.unwrap().body, "old");
        drained.await.unwrap();
        assert_eq!(rig.gateway.drained(&key(), "old").now_or_never(), Some(()));
        assert_eq!(rig.gateway.drained(&key(), "new").now_or_never(), None);
    }
}

#[tokio::test]
async fn a_removed_revision_drains() {
    let (instance, go) = held("done").await;
    let rig = Rig::start(RevisionConfig::default(), vec![instance.endpoint("a")]).await;
    let under_way = rig.spawn_get().await;
    rig.until(|stats| stats.in_flight == 1).await;
    rig.gateway.remove_revision(&key());
    let drained = tokio::spawn(rig.gateway.drained(&key(), "a"));
    assert_eq!(rig.get().await.status, 503);
    assert!(!drained.is_finished());
    go.add_permits(1);
    assert_eq!(under_way.await.unwrap().body, "done");
    drained.await.unwrap();
}

#[tokio::test]
async fn shutting_down_lets_requests_finish() {
    let (instance, go) = held("done").await;
    let rig = Rig::start(RevisionConfig::default(), vec![instance.endpoint("a")]).await;
    let _idle = rig.http1().await;
    let mut client = rig.http1().await;
    let request = Request::get("/")
        .header("host", HOST)
        .body(empty())
        .unwrap();
    let under_way = tokio::spawn(async move { client.ask(request).await });
    rig.until(|stats| stats.in_flight == 1).await;
    rig.shutdown.cancel();
    crate::rig::until(|| std::net::TcpStream::connect(rig.address).is_err()).await;
    assert!(!rig.served.is_finished());
    go.add_permits(1);
    let answer = under_way.await.unwrap();
    assert_eq!(answer.body, "done");
    rig.served.await.unwrap();
}
