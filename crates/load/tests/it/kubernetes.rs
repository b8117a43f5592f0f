//! An API server that knows just enough: services are kept, watched, and become ready as the test says.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Collected, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::broadcast;

type Body = UnsyncBoxBody<Bytes, Infallible>;

pub(crate) const SERVICES: &str = "/apis/serving.knative.dev/v1/namespaces/default/services";

/// The API and what it has.
pub(crate) struct Api {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    services: Mutex<BTreeMap<String, Value>>,
    /// Method and path of each request that is no watch, with its login.
    asked: Mutex<Vec<String>>,
    changes: broadcast::Sender<Value>,
    applied: broadcast::Sender<String>,
}

impl Api {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            services: Mutex::default(),
            asked: Mutex::default(),
            changes: broadcast::channel(100).0,
            applied: broadcast::channel(100).0,
        });
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let answer = service_fn(move |request| answer(request, Arc::clone(&shared)));
                    let server = auto::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        Self { address, state }
    }

    /// The names of services as they are applied, from now on.
    pub(crate) fn applied(&self) -> broadcast::Receiver<String> {
        self.state.applied.subscribe()
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.state.asked.lock().expect("a lock").clone()
    }

    pub(crate) fn service(&self, name: &str) -> Value {
        let services = self.state.services.lock().expect("a lock");
        services.get(name).cloned().unwrap_or_default()
    }

    /// Sets the status of a service, as a controller does that has looked at it.
    pub(crate) fn set_status(&self, name: &str, conditions: &Value) {
        let mut services = self.state.services.lock().expect("a lock");
        let service = services.get_mut(name).expect("a service");
        service["status"] = json!({
            "observedGeneration": service["metadata"]["generation"],
            "url": format!("http://{name}.default.127.0.0.1.sslip.io:8080"),
            "conditions": conditions,
        });
        let _ = self.state.changes.send(service.clone());
    }

    pub(crate) fn set_ready(&self, name: &str) {
        self.set_status(name, &json!([{"type": "Ready", "status": "True"}]));
    }
}

fn reply(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(value.to_string())).boxed_unsync());
    *response.status_mut() = status;
    response
}

async fn answer(
    request: Request<Incoming>,
    state: Arc<State>,
) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let method = request.method().clone();
    if query.contains("watch=true") {
        return Ok(watch(&query, &state));
    }
    let kinds: Vec<_> = request.headers().get_all("content-type").iter().collect();
    if method == Method::PATCH && kinds != ["application/merge-patch+json"] {
        let told = json!({"kind": "Status", "message": format!("sent {kinds:?}")});
        return Ok(reply(StatusCode::UNSUPPORTED_MEDIA_TYPE, &told));
    }
    let login = request.headers().get("authorization");
    let login = login.and_then(|it| it.to_str().ok()).unwrap_or_default();
    let line = format!("{method} {path} {login}").trim_end().to_owned();
    state.asked.lock().expect("a lock").push(line);
    let body = request.into_body().collect().await.map(Collected::to_bytes);
    let sent: Value = serde_json::from_slice(&body.unwrap_or_default()).unwrap_or_default();
    let mut services = state.services.lock().expect("a lock");
    let name = path.strip_prefix(SERVICES).unwrap_or_default();
    let name = name.trim_start_matches('/').to_owned();
    Ok(match (method, services.get(&name)) {
        (Method::POST, _) if sent["spec"]["template"]["spec"]["containers"].is_null() => reply(
            StatusCode::BAD_REQUEST,
            &json!({"kind": "Status", "message": "validation failed: missing field(s): spec.template.spec.containers"}),
        ),
        (Method::POST, _) => {
            let name = sent["metadata"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            let mut service = sent;
            service["metadata"]["generation"] = json!(1);
            service["metadata"]["resourceVersion"] = json!("7");
            services.insert(name.clone(), service.clone());
            let _ = state.applied.send(name);
            reply(StatusCode::CREATED, &service)
        }
        (Method::PATCH, Some(before)) => {
            let mut service = before.clone();
            service["spec"] = sent["spec"].clone();
            service["metadata"]["generation"] = json!(2);
            services.insert(name.clone(), service.clone());
            let _ = state.applied.send(name);
            reply(StatusCode::OK, &service)
        }
        (Method::GET, Some(service)) => reply(StatusCode::OK, service),
        _ => reply(
            StatusCode::NOT_FOUND,
            &json!({"kind": "Status", "message": format!("{name:?} not found")}),
        ),
    })
}

/// Changes of one service, from now on and with what it is now.
fn watch(query: &str, state: &State) -> Response<Body> {
    let name = query.split("metadata.name%3D").nth(1).unwrap_or_default();
    let name = name.split('&').next().unwrap_or_default().to_owned();
    let changes = state.changes.subscribe();
    let now = state.services.lock().expect("a lock").get(&name).cloned();
    let later = futures_util::stream::unfold(changes, |mut changes| async {
        Some((changes.recv().await.ok()?, changes))
    });
    let events = futures_util::stream::iter(now).chain(later);
    let frames = events
        .filter(move |service| std::future::ready(service["metadata"]["name"] == *name))
        .map(|service| {
            let line = json!({"type": "MODIFIED", "object": service}).to_string() + "\n";
            Ok(Frame::data(Bytes::from(line)))
        });
    Response::new(boxed(frames))
}

fn boxed(frames: impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Send + 'static) -> Body {
    StreamBody::new(frames).boxed_unsync()
}
