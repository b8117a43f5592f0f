//! A whole server, with TLS, and a client for it.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use apiserver::{
    Config, Metrics, Store, View, Views, auth, collect, namespaces, router, serve, store::Memory,
};
use axum::Router;
use reqwest::{Certificate, Client, ClientBuilder, Method, Response};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub(crate) const SERVICES: &str = "/apis/serving.knative.dev/v1/namespaces/default/services";

pub(crate) struct Server {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) store: Store,
    /// What is shown in the views.
    pub(crate) shown: Memory,
    pub(crate) pki: auth::Pki,
    pub(crate) address: SocketAddr,
    pub(crate) client: Client,
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with_views(Vec::new()).await
    }

    pub(crate) async fn with_views(views: Vec<View>) -> Self {
        Self::with(views, Router::new()).await
    }

    /// With more routes beside the API's.
    pub(crate) async fn with(views: Vec<View>, beside: Router) -> Self {
        let shown = Memory::new(jiff::Timestamp::now());
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store.redb")).unwrap();
        let pki = auth::ensure(&folder.path().join("pki"), &[], SystemTime::now()).unwrap();
        let shutdown = CancellationToken::new();
        namespaces::ensure(&store).await.unwrap();
        tokio::spawn(collect(store.clone(), shutdown.clone()));
        tokio::spawn(namespaces::empty(store.clone(), shutdown.clone()));
        let metrics = Metrics::new(&store);
        let router = router(Config {
            store: store.clone(),
            admission: Arc::new(api::admit_by),
            elsewhere: Vec::new(),
            views: Views::new(views, shown.clone()),
            metrics: metrics.clone(),
            shutdown: shutdown.clone(),
        })
        .merge(beside);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = apiserver::Server {
            router,
            authenticator: Some(pki.authenticator().unwrap()),
            metrics,
        };
        let task = tokio::spawn(serve(
            listener,
            serving,
            shutdown.clone(),
            Duration::from_secs(5),
        ));
        let client = client(&pki).build().unwrap();
        Self {
            folder,
            store,
            shown,
            pki,
            address,
            client,
            shutdown,
            task,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.client.get(self.url(path)).send().await.unwrap()).await
    }

    /// Sends a JSON body and reads a JSON answer.
    pub(crate) async fn send(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let media_type = match method {
            Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        let request = self
            .client
            .request(method, self.url(path))
            .header("content-type", media_type);
        answer(request.body(body.to_string()).send().await.unwrap()).await
    }

    pub(crate) async fn create(&self, name: &str) -> Value {
        let (code, object) = self.send(Method::POST, SERVICES, &service(name)).await;
        assert_eq!(code, 201, "{object}");
        object
    }
}

/// A client that trusts the authority and shows its certificate.
pub(crate) fn client(pki: &auth::Pki) -> ClientBuilder {
    let identity = format!("{}{}", pki.client.certificate, pki.client.key);
    strangers_client(pki).identity(reqwest::Identity::from_pem(identity.as_bytes()).unwrap())
}

/// A client that trusts the authority and shows nothing.
pub(crate) fn strangers_client(pki: &auth::Pki) -> ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ca = Certificate::from_pem(pki.ca.as_bytes()).unwrap();
    Client::builder().tls_certs_only([ca]).no_proxy()
}

pub(crate) async fn answer(response: Response) -> (u16, Value) {
    let code = response.status().as_u16();
    let text = response.text().await.unwrap();
    let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    (code, value)
}

pub(crate) fn service(name: &str) -> Value {
    serde_json::json!({
        "apiVersion": "serving.knative.dev/v1", "kind": "Service",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"template": {"spec": {"containers": [{"image": "example.com/helloworld"}]}}},
    })
}
