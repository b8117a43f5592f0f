use std::time::{Duration, SystemTime};

use gateway::{RevisionConfig, Stats};
use tokio::time::{advance, sleep};

use crate::instance::{Instance, text};
use crate::rig::{Rig, get, key};

#[tokio::test(start_paused = true)]
async fn concurrency_is_averaged_over_time_queue_included() {
    // Four seconds each, one after the other.
    let instance = Instance::http(async |_| {
        sleep(Duration::from_secs(4)).await;
        text("done")
    })
    .await;
    let config = RevisionConfig {
        container_concurrency: 1,
        ..RevisionConfig::default()
    };
    let rig = Rig::start(config, vec![instance.endpoint("a")]).await;
    assert_eq!(rig.gateway.stats(&key()), Stats::default());
    let (first, second) = (rig.spawn_get().await, rig.spawn_get().await);
    first.await.unwrap();
    second.await.unwrap();
    advance(Duration::from_secs(8)).await;
    let stats = rig.gateway.stats(&key());
    // Two for 4 s, one for 4 s, none for 8 s; timers have a resolution of a millisecond.
    assert!((stats.concurrency - 0.75).abs() < 0.01, "{stats:?}");
    let spent = stats.request_time.as_secs_f64();
    assert!((spent - 12.0).abs() < 0.1, "{stats:?}");
    assert_eq!((stats.arrived_total, stats.requests_total), (2, 2));
    assert!(stats.last_request_at.unwrap() <= SystemTime::now());
    advance(Duration::from_secs(1)).await;
    assert_eq!(
        rig.gateway.stats(&key()).concurrency.to_bits(),
        0f64.to_bits()
    );
}

#[tokio::test]
async fn metrics_name_every_revision_and_class() {
    let instance = Instance::answering("hello").await;
    let rig = Rig::start(RevisionConfig::default(), vec![instance.endpoint("a")]).await;
    let mut client = rig.http1().await;
    client.ask(get()).await;
    client.ask(get()).await;
    rig.until(|stats| stats.in_flight == 0).await;
    let metrics = rig.gateway.metrics();
    for line in [
        "# TYPE vhive_gateway_requests_total counter",
        r#"vhive_gateway_requests_total{namespace="default",revision="hello-00001",class="2xx"} 2"#,
        r#"vhive_gateway_requests_in_flight{namespace="default",revision="hello-00001"} 0"#,
    ] {
        assert!(metrics.lines().any(|it| it == line), "{line} in {metrics}");
    }
}
