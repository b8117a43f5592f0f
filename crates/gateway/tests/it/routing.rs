use gateway::{HostRoute, RevisionConfig, RevisionKey};
use http::{Request, StatusCode};

use crate::instance::Instance;
use crate::rig::{Answer, HOST, Rig, empty, get, key, to_host};

#[tokio::test]
async fn a_request_reaches_its_host_whatever_the_port_and_the_case() {
    let instance = Instance::answering("hello").await;
    let rig = Rig::start(RevisionConfig::default(), vec![instance.endpoint("a")]).await;
    let mut client = rig.http1().await;
    for host in [HOST.to_owned(), format!("{}:8080", HOST.to_uppercase())] {
        let request = Request::get("/")
            .header("host", &host)
            .body(empty())
            .unwrap();
        let answer = client.ask(request).await;
        assert_eq!(
            (answer.status, &*answer.body),
            (StatusCode::OK, "hello"),
            "{host}"
        );
    }
    assert_eq!(instance.connections(), 1, "the connection is kept");
}

#[tokio::test]
async fn http2_with_prior_knowledge_is_served_on_the_same_port() {
    let instance = Instance::answering("hello").await;
    let rig = Rig::start(RevisionConfig::default(), vec![instance.endpoint("a")]).await;
    let mut client = rig.http2().await;
    let response = client.send_request(to_host("GET", empty())).await.unwrap();
    assert_eq!(Answer::of(response).await.body, "hello");
}

#[tokio::test]
async fn an_unknown_host_is_named_with_the_way_to_see_the_routes() {
    let rig = Rig::start(RevisionConfig::default(), vec![]).await;
    let request = Request::get("/")
        .header("host", "nobody.example")
        .body(empty())
        .unwrap();
    let answer = rig.http1().await.ask(request).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(answer.body.contains("nobody.example"), "{}", answer.body);
    assert!(answer.body.contains("vhive get routes"), "{}", answer.body);
}

#[tokio::test]
async fn connect_is_refused() {
    let rig = Rig::start(RevisionConfig::default(), vec![]).await;
    let request = Request::connect(format!("{HOST}:80"))
        .header("host", HOST)
        .body(empty())
        .unwrap();
    let answer = rig.http1().await.ask(request).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn traffic_is_split_by_weight() {
    const REQUESTS: usize = 2000;
    let old = Instance::answering("old").await;
    let new = Instance::answering("new").await;
    let rig = Rig::start(RevisionConfig::default(), vec![old.endpoint("a")]).await;
    let second = RevisionKey::new("default", "hello-00002");
    rig.gateway
        .upsert_revision(&second, RevisionConfig::default());
    rig.gateway.set_endpoints(&second, vec![new.endpoint("b")]);
    rig.gateway.set_routes(&[HostRoute {
        host: HOST.to_owned(),
        targets: vec![(key(), 80), (second.clone(), 20)],
    }]);
    let mut client = rig.http1().await;
    let mut to_new = 0;
    for _ in 0..REQUESTS {
        to_new += usize::from(client.ask(get()).await.body == "new");
    }
    // 20 % of 2000 is 400; six standard deviations are 107.
    assert!((293..=507).contains(&to_new), "{to_new} of {REQUESTS}");
    assert_eq!(rig.gateway.stats(&second).requests_total, to_new as u64);
}

#[tokio::test]
async fn a_route_may_come_before_its_revision() {
    let instance = Instance::answering("hello").await;
    let rig = Rig::start(RevisionConfig::default(), vec![]).await;
    let later = RevisionKey::new("default", "later-00001");
    rig.gateway.set_routes(&[HostRoute {
        host: HOST.to_owned(),
        targets: vec![(later.clone(), 1)],
    }]);
    let answer = rig.get().await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        answer.body.contains("default/later-00001"),
        "{}",
        answer.body
    );

    rig.gateway
        .upsert_revision(&later, RevisionConfig::default());
    rig.gateway
        .set_endpoints(&later, vec![instance.endpoint("a")]);
    assert_eq!(rig.get().await.body, "hello");
}

#[tokio::test]
async fn hosts_that_change_leave_the_others_as_they_are() {
    let instance = Instance::answering("hello").await;
    let rig = Rig::start(RevisionConfig::default(), vec![instance.endpoint("a")]).await;
    let routed = |host: &str| HostRoute {
        host: host.to_owned(),
        targets: vec![(key(), 100)],
    };
    let mut client = rig.http1().await;
    let mut ask = async |host: &str| {
        let request = Request::get("/").header("host", host).body(empty());
        client.ask(request.unwrap()).await.status
    };
    let hosts = ["b.example", "C.example"].map(routed);
    rig.gateway.change_routes(&hosts, &[]);
    for host in [HOST, "b.example", "c.example"] {
        assert_eq!(ask(host).await, StatusCode::OK, "{host}");
    }
    let gone = [HOST.to_owned(), "c.Example".to_owned()];
    rig.gateway.change_routes(&[], &gone);
    assert_eq!(ask(HOST).await, StatusCode::NOT_FOUND);
    assert_eq!(ask("c.example").await, StatusCode::NOT_FOUND);
    assert_eq!(ask("b.example").await, StatusCode::OK);
}

#[tokio::test]
async fn probes_are_answered_without_waking_the_function() {
    let mut rig = Rig::start(RevisionConfig::default(), vec![]).await;
    for (kind, status) in [("activator", 200), ("queue", 503), ("probe", 200)] {
        let request = Request::get("/any")
            .header("host", HOST)
            .header("k-network-probe", kind)
            .body(empty())
            .unwrap();
        let answer = rig.http1().await.ask(request).await;
        assert_eq!(answer.status.as_u16(), status, "{kind}");
    }
    let demand = futures_util::FutureExt::now_or_never(rig.demand.recv());
    assert_eq!(demand, None);
    assert_eq!(rig.gateway.stats(&key()).requests_total, 0);
}
