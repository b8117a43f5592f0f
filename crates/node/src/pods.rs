//! Instances in the shape of Pods, read-only, with their logs: what `kubectl get pods` and `logs` ask for.

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRef, Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use futures_util::StreamExt;
use gateway::Gateway;
use sandbox::State as InstanceState;
use sandbox::logs::{self, From};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::instances::{Instance, Instances, pod_phase};

/// What discovery says of instances.
pub(crate) const ELSEWHERE: apiserver::Elsewhere = apiserver::Elsewhere {
    resource: api::Resource {
        group: "",
        version: "v1",
        kind: "Pod",
        plural: "pods",
        singular: "pod",
        short_names: &["po"],
        namespaced: true,
    },
    verbs: &["get", "list"],
    subresources: &["log"],
};

/// The routes under `/api/v1` that show instances.
pub(crate) fn router(instances: Instances, gateway: Gateway) -> Router {
    Router::new()
        .route("/api/v1/pods", get(list_all))
        .route("/api/v1/namespaces/{namespace}/pods", get(list))
        .route("/api/v1/namespaces/{namespace}/pods/{name}", get(one))
        .route("/api/v1/namespaces/{namespace}/pods/{name}/log", get(log))
        .with_state(Shown { instances, gateway })
}

/// What there is to show.
#[derive(Clone)]
struct Shown {
    instances: Instances,
    gateway: Gateway,
}

impl FromRef<Shown> for Instances {
    fn from_ref(shown: &Shown) -> Self {
        shown.instances.clone()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListQuery {
    label_selector: Option<String>,
}

async fn list_all(State(shown): State<Shown>, Query(query): Query<ListQuery>) -> Response {
    pods(&shown, None, &query)
}

async fn list(
    State(shown): State<Shown>,
    Path(namespace): Path<String>,
    Query(query): Query<ListQuery>,
) -> Response {
    pods(&shown, Some(&namespace), &query)
}

fn pods(shown: &Shown, namespace: Option<&str>, query: &ListQuery) -> Response {
    let selector = query.label_selector.as_deref().unwrap_or_default();
    let items: Vec<Value> = shown
        .instances
        .list(namespace)
        .iter()
        .map(|instance| pod(instance, &shown.gateway))
        .filter(|pod| selected(pod, selector))
        .collect();
    axum::Json(json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "0"}, "items": items}))
        .into_response()
}

async fn one(
    State(shown): State<Shown>,
    Path((namespace, name)): Path<(String, String)>,
) -> Response {
    match find(&shown.instances, &namespace, &name) {
        Some(instance) => axum::Json(pod(&instance, &shown.gateway)).into_response(),
        None => not_found(&name),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogQuery {
    #[serde(default)]
    follow: bool,
    tail_lines: Option<usize>,
    #[serde(default)]
    timestamps: bool,
}

async fn log(
    State(instances): State<Instances>,
    Path((namespace, name)): Path<(String, String)>,
    Query(query): Query<LogQuery>,
) -> Response {
    let Some(instance) = find(&instances, &namespace, &name) else {
        return not_found(&name);
    };
    // Of one that failed before its function printed anything, the failure is what there is to say.
    if instance.handle.state().is_terminal() && is_empty(instance.handle.log()).await {
        return last_words(&instance);
    }
    let from = query.tail_lines.map_or(From::Start, From::Tail);
    let lines = match logs::follow(instance.handle.log(), from, query.follow).await {
        Ok(lines) => lines,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return last_words(&instance),
        Err(error) => {
            return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response();
        }
    };
    let bytes = lines.map(move |entry| entry.map(|entry| render(&entry, query.timestamps)));
    plain(Body::from_stream(bytes))
}

async fn is_empty(log: &logs::Log) -> bool {
    let file = tokio::fs::metadata(log.path()).await;
    file.is_ok_and(|file| file.len() == 0)
}

/// An entry of the log as clients want it: the text, with its time if asked for.
fn render(entry: &[u8], timestamps: bool) -> Bytes {
    let Some(line) = logs::Line::parse(entry) else {
        return Bytes::new();
    };
    let mut text = Vec::with_capacity(entry.len() + 1);
    if timestamps {
        text.extend_from_slice(line.time.to_string().as_bytes());
        text.push(b' ');
    }
    text.extend_from_slice(line.text);
    if !line.partial {
        text.push(b'\n');
    }
    text.into()
}

fn last_words(instance: &Instance) -> Response {
    match instance.handle.state() {
        InstanceState::Failed(failure) => plain(Body::from(format!("{}\n", failure.message))),
        _ => plain(Body::empty()),
    }
}

fn plain(body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

fn find(instances: &Instances, namespace: &str, name: &str) -> Option<Instance> {
    instances
        .get(name)
        .filter(|instance| &*instance.revision.namespace == namespace)
}

fn not_found(name: &str) -> Response {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 404, "reason": "NotFound",
        "message": format!("pods {name:?} not found"), "details": {"name": name, "kind": "pods"},
    });
    (StatusCode::NOT_FOUND, axum::Json(body)).into_response()
}

/// An instance as a Pod. It is ready while it gets requests: one that is leaving finishes those it has, and no longer is.
fn pod(instance: &Instance, gateway: &Gateway) -> Value {
    let state = instance.handle.state();
    let ready =
        state == InstanceState::Ready && gateway.serves(&instance.revision, instance.handle.id());
    let mut annotations = json!({});
    if let Some(pid) = instance.handle.pid() {
        annotations["vhive.dev/pid"] = json!(pid.to_string());
    }
    let mut status = json!({
        "phase": pod_phase(&state),
        "startTime": instance.started_at.to_string(),
        "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
    });
    if let InstanceState::Failed(failure) = &state {
        status["reason"] = json!(failure.reason.name());
        status["message"] = json!(failure.message);
    }
    json!({
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": instance.handle.id(),
            "namespace": &*instance.revision.namespace,
            "creationTimestamp": instance.started_at.to_string(),
            "labels": {
                "serving.knative.dev/service": instance.service,
                "serving.knative.dev/revision": &*instance.revision.name,
            },
            "annotations": annotations,
        },
        "spec": {"containers": [{"name": "user-container"}]},
        "status": status,
    })
}

/// Whether all `name=value` parts of an equality selector hold.
fn selected(pod: &Value, selector: &str) -> bool {
    selector
        .split(',')
        .filter(|part| !part.trim().is_empty())
        .all(|part| {
            let Some((name, value)) = part.split_once('=') else {
                return false;
            };
            let label = pod
                .get("metadata")
                .and_then(|it| it.get("labels"))
                .and_then(|it| it.get(name.trim()));
            label.and_then(Value::as_str) == Some(value.trim_start_matches('=').trim())
        })
}
