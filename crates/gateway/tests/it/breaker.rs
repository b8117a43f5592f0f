use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gateway::RevisionConfig;
use http::{Request, StatusCode};
use tokio::sync::{Semaphore, mpsc};

use crate::instance::{Instance, text};
use crate::rig::{HOST, Rig, empty, get, key};

/// Without room for bursts.
fn limited(container_concurrency: u32) -> RevisionConfig {
    RevisionConfig {
        container_concurrency,
        target_burst_capacity: 0,
        ..RevisionConfig::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_instance_ever_has_more_requests_than_its_limit() {
    const LIMIT: usize = 3;
    const CLIENTS: usize = 60;
    const REQUESTS: usize = 40;
    let most = Arc::<AtomicUsize>::default();
    let instance = async || {
        let (most, now) = (most.clone(), Arc::<AtomicUsize>::default());
        Instance::http(move |_| {
            let (most, now) = (most.clone(), now.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                for _ in 0..5 {
                    tokio::task::yield_now().await;
                }
                now.fetch_sub(1, Ordering::SeqCst);
                text("done")
            }
        })
        .await
    };
    let instances = [instance().await, instance().await, instance().await];
    let endpoints = ["a", "b", "c"].iter().zip(&instances);
    let endpoints = endpoints
        .map(|(id, instance)| instance.endpoint(id))
        .collect();
    let rig = Rig::start(limited(LIMIT as u32), endpoints).await;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let mut client = rig.http1().await;
        clients.spawn(async move {
            for _ in 0..REQUESTS {
                assert_eq!(client.ask(get()).await.body, "done");
            }
        });
    }
    clients.join_all().await;
    assert_eq!(most.load(Ordering::SeqCst), LIMIT, "reached, not passed");
    let stats = rig.gateway.stats(&key());
    assert_eq!((stats.in_flight, stats.queued), (0, 0));
    assert_eq!(stats.responses[1], (CLIENTS * REQUESTS) as u64);
    for instance in &instances {
        assert!(
            instance.connections() <= LIMIT,
            "connections are used again"
        );
    }
}

#[tokio::test]
async fn requests_over_the_limit_queue_in_order_and_then_are_refused() {
    let (seen, mut paths) = mpsc::unbounded_channel();
    let go = Arc::new(Semaphore::new(0));
    let instance = Instance::http({
        let go = go.clone();
        move |request: Request<_>| {
            seen.send(request.uri().path().to_owned()).unwrap();
            let go = go.clone();
            async move {
                go.acquire().await.unwrap().forget();
                text("done")
            }
        }
    })
    .await;
    let rig = Rig::start(limited(1), vec![instance.endpoint("a")]).await;
    let mut tasks = Vec::new();
    for number in 0..11 {
        let mut client = rig.http1().await;
        let request = Request::get(format!("/{number}"))
            .header("host", HOST)
            .body(empty())
            .unwrap();
        tasks.push(tokio::spawn(async move { client.ask(request).await }));
        rig.until(|stats| stats.in_flight + stats.queued == number + 1)
            .await;
    }
    let refused = rig.get().await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        refused.body, "pending request queue full\n",
        "as Knative has it"
    );
    let reason = refused.header("vhive-reason");
    assert!(
        reason.starts_with("10 requests already wait for revision default/hello-00001"),
        "{reason}"
    );
    assert_eq!(refused.header("retry-after"), "1");

    for number in 0..11 {
        assert_eq!(paths.recv().await.unwrap(), format!("/{number}"));
        go.add_permits(1);
    }
    for task in tasks {
        assert_eq!(task.await.unwrap().status, StatusCode::OK);
    }
    assert_eq!(instance.connections(), 1);
}

#[tokio::test]
async fn a_burst_waits_at_an_instance_that_is_there_as_it_does_at_none() {
    let go = Arc::new(Semaphore::new(0));
    let instance = Instance::http({
        let go = go.clone();
        move |_| {
            let go = go.clone();
            async move {
                go.acquire().await.unwrap().forget();
                text("done")
            }
        }
    })
    .await;
    let config = RevisionConfig {
        container_concurrency: 1,
        ..RevisionConfig::default()
    };
    let rig = Rig::start(config, vec![instance.endpoint("a")]).await;
    let mut tasks = Vec::new();
    for _ in 0..50 {
        tasks.push(rig.spawn_get().await);
    }
    rig.until(|stats| stats.queued == 49).await;
    go.add_permits(50);
    for task in tasks {
        assert_eq!(task.await.unwrap().status, StatusCode::OK);
    }
    assert_eq!(rig.gateway.stats(&key()).responses[4], 0);
}
