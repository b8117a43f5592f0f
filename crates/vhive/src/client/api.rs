//! The node's API, as a client of it: Kubernetes paths, JSON objects, and the client certificate that the node made at
//! its first start.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use futures_util::{Stream, StreamExt, TryStreamExt};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::exit::{Code, Failure, Outcome};

/// A list as rows and columns.
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

/// A kind of object that the command line knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Service,
    Configuration,
    Revision,
    Route,
    /// An instance; while it lives it is a Pod as well.
    Instance,
    Pod,
    Event,
    Snapshot,
    Namespace,
    ConfigMap,
    Secret,
    /// What scales a revision.
    Autoscaler,
}

impl Kind {
    /// All kinds with the names they go by on the command line.
    const NAMES: &[(Self, &[&str])] = &[
        (
            Self::Service,
            &["services", "service", "ksvc", "kservice", "svc"],
        ),
        (
            Self::Configuration,
            &["configurations", "configuration", "config", "cfg"],
        ),
        (Self::Revision, &["revisions", "revision", "rev"]),
        (Self::Route, &["routes", "route", "rt"]),
        (Self::Instance, &["instances", "instance", "inst"]),
        (Self::Pod, &["pods", "pod", "po"]),
        (Self::Event, &["events", "event", "ev"]),
        (Self::Snapshot, &["snapshots", "snapshot", "snap"]),
        (Self::Namespace, &["namespaces", "namespace", "ns"]),
        (Self::ConfigMap, &["configmaps", "configmap", "cm"]),
        (Self::Secret, &["secrets", "secret"]),
        (
            Self::Autoscaler,
            &[
                "autoscalers",
                "podautoscalers",
                "podautoscaler",
                "kpa",
                "pa",
            ],
        ),
    ];

    /// The kind that `word` names.
    pub(crate) fn parse(word: &str) -> Outcome<Self> {
        let word = word.to_lowercase();
        let found = Self::NAMES
            .iter()
            .find(|(_, names)| names.contains(&word.as_str()));
        found.map(|(kind, _)| *kind).ok_or_else(|| {
            Failure::usage(format!("there is no kind {word:?}"))
                .hint(
                    "one of services, revisions, configurations, routes, instances, autoscalers, pods, events, snapshots, namespaces, configmaps, secrets",
                )
        })
    }

    fn plural(self) -> &'static str {
        match self {
            Self::Service => "services",
            Self::Configuration => "configurations",
            Self::Revision => "revisions",
            Self::Route => "routes",
            Self::Instance => "instances",
            Self::Pod => "pods",
            Self::Event => "events",
            Self::Snapshot => "snapshots",
            Self::Namespace => "namespaces",
            Self::ConfigMap => "configmaps",
            Self::Secret => "secrets",
            Self::Autoscaler => "podautoscalers",
        }
    }

    /// The kind as its objects name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::Configuration => "Configuration",
            Self::Revision => "Revision",
            Self::Route => "Route",
            Self::Instance => "Instance",
            Self::Pod => "Pod",
            Self::Event => "Event",
            Self::Snapshot => "Snapshot",
            Self::Namespace => "Namespace",
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
            Self::Autoscaler => "PodAutoscaler",
        }
    }

    fn path(self, namespace: Option<&str>) -> String {
        let group = match self {
            // In none itself.
            Self::Namespace => return "/api/v1/namespaces".to_owned(),
            Self::Pod | Self::Event | Self::ConfigMap | Self::Secret => "/api/v1",
            Self::Instance | Self::Snapshot => "/apis/vhive.dev/v1",
            Self::Autoscaler => "/apis/autoscaling.internal.knative.dev/v1alpha1",
            _ => "/apis/serving.knative.dev/v1",
        };
        match namespace {
            Some(namespace) => format!("{group}/namespaces/{namespace}/{}", self.plural()),
            None => format!("{group}/{}", self.plural()),
        }
    }
}

/// A list as the node prints it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Printed {
    pub(crate) column_definitions: Vec<Column>,
    pub(crate) rows: Vec<Row>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// Above 0 for what is too much at first.
    pub(crate) priority: u8,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Row {
    pub(crate) cells: Vec<Value>,
    pub(crate) object: Value,
}

/// What an apply did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    Created,
    Configured,
    Unchanged,
}

/// A connection to a node's API.
#[derive(Clone)]
pub(crate) struct Api {
    http: reqwest::Client,
    server: String,
}

impl Api {
    /// A client of the node at `server` (`https://HOST:PORT`), with the key material under `data_dir`.
    pub(crate) fn new(server: &str, data_dir: &Path) -> Outcome<Self> {
        let pki = node::pki_dir(data_dir);
        let read = |name: &str| {
            let path = pki.join(name);
            std::fs::read(&path)
                .map_err(|error| {
                    let denied = error.kind() == std::io::ErrorKind::PermissionDenied;
                    let error = anyhow!(error).context(format!("cannot read {}", path.display()));
                    Failure::new(Code::Failed, error).hint(if denied {
                        "who may read the node's client certificate administers the node: run it with sudo"
                    } else {
                        "start a node with `vhive up` first, and use its --data-dir here"
                    })
                })
        };
        let ca = reqwest::Certificate::from_pem(&read("ca.pem")?)?;
        let pem = read("client.pem")?;
        let http = reqwest::Client::builder()
            .tls_certs_only([ca])
            .identity(reqwest::Identity::from_pem(&pem)?)
            .connect_timeout(Duration::from_secs(5))
            // Over HTTP/2 a log whose reader pauses breaks off: its lines come as many small frames, and the client library takes
            // too many of them unread for an attack. Over HTTP/1.1 the node just waits.
            .http1_only()
            .no_proxy()
            .build()?;
        Ok(Self {
            http,
            server: server.trim_end_matches('/').to_owned(),
        })
    }

    pub(crate) async fn get(&self, kind: Kind, namespace: &str, name: &str) -> Outcome<Value> {
        let path = format!("{}/{name}", kind.path(Some(namespace)));
        let found = self.request(Method::GET, &path, None).await;
        found.map_err(|failure| missing(failure, kind, namespace))
    }

    /// The object, or `None` if there is none of that name.
    pub(crate) async fn find(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
    ) -> Outcome<Option<Value>> {
        match self.get(kind, namespace, name).await {
            Ok(object) => Ok(Some(object)),
            Err(failure) if failure.is_not_found() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// All objects of a kind, in one namespace or in all; `selector` is a label selector.
    pub(crate) async fn list(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        selector: Option<&str>,
    ) -> Outcome<Vec<Value>> {
        let mut path = kind.path(namespace);
        if let Some(selector) = selector {
            path = format!("{path}?labelSelector={selector}");
        }
        Ok(self.listed(&path).await?.1)
    }

    /// All objects of a kind in a namespace, and the version of the store that they are of: what [`Self::changes`] goes on from.
    pub(crate) async fn list_with_version(
        &self,
        kind: Kind,
        namespace: &str,
    ) -> Outcome<(String, Vec<Value>)> {
        self.listed(&kind.path(Some(namespace))).await
    }

    /// Objects as rows of a table that the node makes: what kubectl prints. All of a kind, or one.
    pub(crate) async fn rows(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> Outcome<Printed> {
        let mut path = format!("{}?includeObject=Object", kind.path(namespace));
        if let Some(name) = name {
            path = format!("{path}&fieldSelector=metadata.name%3D{name}");
        }
        let response = self.send_accepting(TABLE, Method::GET, &path, None).await?;
        let printed: Printed = response
            .json()
            .await
            .context("the node's answer is no table")?;
        match name {
            Some(name) if printed.rows.is_empty() => {
                let kind_name = kind.plural();
                let failure = Failure::not_found(format!("{kind_name} {name:?} not found"));
                Err(missing(failure, kind, namespace.unwrap_or_default()))
            }
            _ => Ok(printed),
        }
    }

    async fn listed(&self, path: &str) -> Outcome<(String, Vec<Value>)> {
        let mut list = self.request(Method::GET, path, None).await?;
        let version = list.pointer("/metadata/resourceVersion");
        let version = version.and_then(Value::as_str).unwrap_or_default();
        let version = version.to_owned();
        match list.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => Ok((version, items)),
            _ => Err(anyhow!("the node sent no list for {path}").into()),
        }
    }

    /// What happens to the objects of a kind in a namespace from a version on: one JSON text for each event, until the stream
    /// ends.
    pub(crate) async fn changes(
        &self,
        kind: Kind,
        namespace: &str,
        version: &str,
    ) -> Outcome<impl Stream<Item = std::io::Result<String>> + Unpin + use<>> {
        let path = format!(
            "{}?watch=true&resourceVersion={version}",
            kind.path(Some(namespace))
        );
        self.lines(&path).await
    }

    /// The lines of an answer as they come.
    async fn lines(
        &self,
        path: &str,
    ) -> Outcome<impl Stream<Item = std::io::Result<String>> + Unpin + use<>> {
        let response = self.send(Method::GET, path, None).await?;
        let lines = BufReader::new(tokio_util::io::StreamReader::new(
            response.bytes_stream().map_err(std::io::Error::other),
        ))
        .lines();
        let lines = futures_util::stream::unfold(lines, |mut lines| async {
            Some((lines.next_line().await.transpose()?, lines))
        });
        Ok(lines.boxed())
    }

    /// Creates the object, or merges it into the one that is there. Fields that no type has are refused. Of a `ConfigMap` or
    /// Secret, keys that the object does not have are removed.
    pub(crate) async fn apply(
        &self,
        kind: Kind,
        namespace: &str,
        object: &Value,
    ) -> Outcome<(Value, Applied)> {
        let name = object
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        match self.find(kind, namespace, name).await? {
            None => {
                let path = format!("{}?fieldValidation=Strict", kind.path(Some(namespace)));
                let created = self.request(Method::POST, &path, Some(object)).await;
                let created = created.map_err(|failure| {
                    if !failure.is_not_found() {
                        return failure;
                    }
                    failure.hint(format!(
                        "make the namespace first: kubectl create namespace {namespace}"
                    ))
                })?;
                Ok((created, Applied::Created))
            }
            Some(before) => {
                let path = format!(
                    "{}/{name}?fieldValidation=Strict",
                    kind.path(Some(namespace))
                );
                let merged = without_lost_keys(object, &before);
                let after = self.request(Method::PATCH, &path, Some(&merged)).await?;
                let version = |object: &Value| object.pointer("/metadata/resourceVersion").cloned();
                let unchanged = version(&before) == version(&after);
                Ok((
                    after,
                    if unchanged {
                        Applied::Unchanged
                    } else {
                        Applied::Configured
                    },
                ))
            }
        }
    }

    /// Creates an object.
    pub(crate) async fn create(
        &self,
        kind: Kind,
        namespace: &str,
        object: &Value,
    ) -> Outcome<Value> {
        let path = kind.path(Some(namespace));
        self.request(Method::POST, &path, Some(object)).await
    }

    pub(crate) async fn delete(&self, kind: Kind, namespace: &str, name: &str) -> Outcome {
        let options =
            json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"});
        let path = format!("{}/{name}", kind.path(Some(namespace)));
        let deleted = self.request(Method::DELETE, &path, Some(&options)).await;
        deleted
            .map(drop)
            .map_err(|failure| missing(failure, kind, namespace))
    }

    /// The object now and after every change, until the stream ends or the object is deleted.
    pub(crate) async fn watch(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
    ) -> Outcome<impl Stream<Item = Outcome<Value>> + use<>> {
        let path = format!(
            "{}?watch=true&fieldSelector=metadata.name%3D{name}&resourceVersion=0",
            kind.path(Some(namespace))
        );
        let lines = self.lines(&path).await?;
        let events = futures_util::stream::unfold(lines, |mut lines| async {
            loop {
                let line = match lines.next().await? {
                    Ok(line) => line,
                    Err(error) => return Some((Err(Failure::from(error)), lines)),
                };
                let Ok(mut event) = serde_json::from_str::<Value>(&line) else {
                    continue;
                };
                match event.get("type").and_then(Value::as_str) {
                    Some("ADDED" | "MODIFIED") => {
                        let object = event.get_mut("object").map(Value::take).unwrap_or_default();
                        return Some((Ok(object), lines));
                    }
                    Some("DELETED") => return None,
                    _ => {}
                }
            }
        });
        Ok(events.boxed())
    }

    /// The log of an instance as it comes: chunks of text.
    pub(crate) async fn log(
        &self,
        namespace: &str,
        instance: &str,
        follow: bool,
        tail: Option<usize>,
    ) -> Outcome<impl Stream<Item = reqwest::Result<bytes::Bytes>> + use<>> {
        // As kubectl asks for it, though of instances that have ended, too.
        let mut path =
            format!("/api/v1/namespaces/{namespace}/pods/{instance}/log?follow={follow}");
        if let Some(tail) = tail {
            path = format!("{path}&tailLines={tail}");
        }
        Ok(self.send(Method::GET, &path, None).await?.bytes_stream())
    }

    async fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Outcome<Value> {
        let response = self.send(method, path, body).await?;
        for warning in response.headers().get_all("warning") {
            eprintln!("warning: {}", warning.to_str().unwrap_or_default());
        }
        Ok(response
            .json()
            .await
            .context("the node's answer is not JSON")?)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Outcome<reqwest::Response> {
        self.send_accepting("*/*", method, path, body).await
    }

    async fn send_accepting(
        &self,
        accept: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Outcome<reqwest::Response> {
        let mut request = self
            .http
            .request(method.clone(), format!("{}{path}", self.server))
            .header("accept", accept);
        if let Some(body) = body {
            let kind = if method == Method::PATCH {
                "application/merge-patch+json"
            } else {
                "application/json"
            };
            request = request
                .header("content-type", kind)
                .body(serde_json::to_vec(body)?);
        }
        let response = request.send().await.map_err(|error| {
            Failure::new(
                Code::Failed,
                anyhow!(error).context(format!("cannot reach the node at {}", self.server)),
            )
            .hint("start it with `vhive up`, or name its address with --server")
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let code = match response.status() {
            StatusCode::NOT_FOUND => Code::NotFound,
            StatusCode::GATEWAY_TIMEOUT => Code::TimedOut,
            _ => Code::Failed,
        };
        let text = response.text().await.unwrap_or_default();
        // Every refusal of the API is a Kubernetes Status, whose message is meant for people.
        let status: Value = serde_json::from_str(&text).unwrap_or_default();
        let message = status
            .get("message")
            .and_then(Value::as_str)
            .map_or(text.clone(), str::to_owned);
        Err(Failure::new(code, anyhow!(message)))
    }
}

/// What to do when there is no such object.
fn missing(failure: Failure, kind: Kind, namespace: &str) -> Failure {
    if !failure.is_not_found() {
        return failure;
    }
    let listed = kind.plural();
    failure.hint(format!("`vhive get {listed} -n {namespace}` shows all"))
}

/// `object` as a patch of `before` that removes the keys of `data` and `binaryData` which only `before` has. The manifest says
/// all that there is to be.
fn without_lost_keys(object: &Value, before: &Value) -> Value {
    let mut patch = object.clone();
    for field in ["data", "binaryData"] {
        let Some(keys) = before.get(field).and_then(Value::as_object) else {
            continue;
        };
        if !matches!(
            object.get(field),
            None | Some(Value::Null | Value::Object(_))
        ) {
            // No fields can be told; the node refuses it.
            continue;
        }
        for key in keys.keys() {
            let kept = [field, "stringData"]
                .iter()
                .any(|field| object.get(field).is_some_and(|it| it.get(key).is_some()));
            if !kept {
                patch[field][key] = Value::Null;
            }
        }
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_a_manifest_has_lost_are_removed() {
        let before =
            json!({"data": {"a": "MQ==", "b": "Mg==", "c": "Mw=="}, "binaryData": {"d": ""}});
        let object = json!({"data": {"a": "NA=="}, "stringData": {"b": "5"}});
        assert_eq!(
            without_lost_keys(&object, &before),
            json!({"data": {"a": "NA==", "c": null}, "stringData": {"b": "5"}, "binaryData": {"d": null}})
        );
        let service = json!({"spec": {}});
        assert_eq!(without_lost_keys(&service, &service), service);
    }
}
