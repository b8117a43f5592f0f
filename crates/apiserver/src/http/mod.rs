//! The Kubernetes API over the store: paths, verbs and forms of k8s.io/apiserver, for the kinds of crate `api`.

mod accept;
mod audit;
mod authorize;
mod body;
mod delete;
mod deletion;
mod discovery;
mod document;
pub(crate) mod error;
mod field_selector;
mod health;
mod name;
mod openapi;
mod openapi_v2;
mod ownership;
mod page;
mod patch;
mod path;
mod protobuf;
mod query;
mod read;
mod reviews;
mod schema;
mod schema_table;
mod selector;
mod strategic;
mod table;
mod table_core;
mod virtual_resources;
mod watch;
mod write;

use std::sync::Arc;

use api::{Resource, Status};
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header::CONTENT_TYPE};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub use self::virtual_resources::{End, Refused, View, Views};
pub(crate) use self::{
    audit::Record,
    authorize::{Attributes, check as authorize},
    health::is_health_path,
};
use self::{error::Failure, path::Target};
use crate::{
    metrics::Metrics,
    store::{Key, Store},
};

/// What an object goes through before it is stored: defaults are set in the new one, which a user of this name writes and which
/// may replace the old, and it is checked. [`api::admit_by`], or something round it.
pub type Admission =
    Arc<dyn Fn(&str, &Resource, &mut Value, Option<&Value>) -> Result<(), Status> + Send + Sync>;

/// A resource that discovery names, and that routes beside these serve.
#[derive(Debug, Clone, Copy)]
pub struct Elsewhere {
    /// The resource.
    pub resource: Resource,
    /// What can be done with it: `get`, `list`, …
    pub verbs: &'static [&'static str],
    /// Its subresources: `log`, …
    pub subresources: &'static [&'static str],
}

/// What the API needs.
#[derive(Clone)]
pub struct Config {
    /// Where the objects are.
    pub store: Store,
    /// What they go through before they are stored.
    pub admission: Admission,
    /// Resources that other routes serve.
    pub elsewhere: Vec<Elsewhere>,
    /// Resources that are views of what runs.
    pub views: Views,
    /// What is counted.
    pub metrics: Metrics,
    /// Ends watches: the token that [`crate::serve()`] gets, or it would wait for them.
    pub shutdown: CancellationToken,
}

/// The API as routes, ready to be merged with more: whatever no other route takes is looked up here, and is a `Status`
/// of 404 if it is nothing.
pub fn router(mut config: Config) -> Router {
    config.elsewhere.extend(config.views.discovered());
    config.elsewhere.extend(reviews::ELSEWHERE);
    config.metrics.serves(discovery::parts(&config.elsewhere));
    let metrics = config.metrics.clone();
    Router::new()
        .route("/healthz", get(health::ok))
        .route("/livez", get(health::ok))
        .route("/readyz", get(health::ok))
        .route("/version", get(health::version))
        .route(
            "/metrics",
            get(move || async move { health::metrics(&metrics) }),
        )
        .route(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            get(discovery::definitions),
        )
        .fallback(dispatch)
        .with_state(Arc::new(config))
        .merge(reviews::routes())
        .method_not_allowed_fallback(|| async { Failure::method_not_allowed() })
}

type Answer = Result<Response, Failure>;

async fn dispatch(State(config): State<Arc<Config>>, request: Request) -> Response {
    route(&config, request)
        .await
        .unwrap_or_else(IntoResponse::into_response)
}

async fn route(config: &Config, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    if let Some(document) = path.strip_prefix("/openapi/v3") {
        return openapi::get(&parts, document);
    }
    if path == "/openapi/v2" {
        return openapi_v2::get(&parts);
    }
    if let Some(refusal) = config.views.refusal(path) {
        return Err(refusal);
    }
    if let Some(target) = config.views.target(path) {
        return virtual_resources::answer(config, &parts, body, target).await;
    }
    let target =
        path::parse(path, api::kinds()).or_else(|| discovery::elsewhere(path, &config.elsewhere));
    match target.ok_or_else(Failure::no_path)? {
        Target::CoreVersions => discovery::core_versions(&parts, &config.elsewhere),
        Target::Groups => discovery::groups(&parts, &config.elsewhere),
        Target::Group(group) => discovery::group(&parts, group, &config.elsewhere),
        Target::Version { group, version } => {
            discovery::version(&parts, group, version, &config.elsewhere)
        }
        Target::Collection {
            resource,
            namespace,
        } => match parts.method {
            Method::GET | Method::HEAD => read::list(config, &parts, resource, namespace),
            Method::POST if namespace.is_some() || !resource.namespaced => {
                write::create(
                    config,
                    &parts,
                    body,
                    resource,
                    namespace.unwrap_or_default(),
                )
                .await
            }
            // All namespaces at once are never deleted.
            Method::DELETE if namespace.is_some() => {
                delete::collection(config, &parts, body, resource, namespace).await
            }
            _ => Err(Failure::method_not_allowed()),
        },
        Target::Object {
            resource,
            namespace,
            name,
            part,
        } => {
            let key =
                Key::new(&resource.qualified(), namespace, name).ok_or_else(Failure::no_path)?;
            match parts.method {
                Method::GET | Method::HEAD => read::get(config, &parts, resource, &key),
                Method::PUT => write::replace(config, &parts, body, resource, &key, part).await,
                Method::PATCH => write::patch(config, &parts, body, resource, &key, part).await,
                Method::DELETE if part == path::Part::Whole => {
                    delete::one(config, &parts, body, resource, &key).await
                }
                _ => Err(Failure::method_not_allowed()),
            }
        }
    }
}

/// An answer of ready-made JSON.
fn json_response(code: StatusCode, json: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::from(json.into()));
    *response.status_mut() = code;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer of a document made for it.
fn value_response(code: StatusCode, value: &Value) -> Response {
    json_response(code, value.to_string())
}
