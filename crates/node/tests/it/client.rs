//! Clients of a node: of its API, with its certificate, and of its ingress.

use std::path::Path;

use futures_util::StreamExt;
use reqwest::{Certificate, Identity, Method};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::rig::LONG;

pub(crate) const SERVING: &str = "/apis/serving.knative.dev/v1/namespaces/default";
const PODS: &str = "/api/v1/namespaces/default/pods";
pub(crate) const SNAPSHOTS: &str = "/apis/vhive.dev/v1/namespaces/default/snapshots";

/// A client of the API.
#[derive(Clone)]
pub(crate) struct Api {
    http: reqwest::Client,
    server: String,
}

impl Api {
    pub(crate) fn new(server: &str, data_dir: &Path) -> Self {
        // The first of a process's tests to get here installs it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let pem = |name| std::fs::read(node::pki_dir(data_dir).join(name)).unwrap();
        let http = reqwest::Client::builder()
            .tls_certs_only([Certificate::from_pem(&pem("ca.pem")).unwrap()])
            .identity(Identity::from_pem(&pem("client.pem")).unwrap())
            .no_proxy();
        Self {
            http: http.build().unwrap(),
            server: server.to_owned(),
        }
    }

    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> reqwest::Response {
        let url = format!("{}{path}", self.server);
        let mut request = self.http.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = timeout(LONG, request.send()).await;
        answer.expect("no answer").unwrap()
    }

    /// Creates a service of one container, with these annotations of its revision.
    pub(crate) async fn create(&self, name: &str, image: &str, annotations: &Value) {
        let template = json!({
            "metadata": {"annotations": annotations},
            "spec": {"containers": [{"image": image}]},
        });
        self.create_from(name, &template).await;
    }

    /// Creates a service whose revisions are to be so.
    pub(crate) async fn create_from(&self, name: &str, template: &Value) {
        let service = json!({
            "apiVersion": "serving.knative.dev/v1", "kind": "Service",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"template": template},
        });
        let path = format!("{SERVING}/services");
        let answer = self.ask(Method::POST, &path, Some(&service)).await;
        let status = answer.status();
        assert!(status.is_success(), "{status}: {:?}", answer.text().await);
    }

    pub(crate) async fn delete(&self, name: &str) {
        self.delete_with(name, &Value::Null).await;
    }

    /// Deletes a service with these options: what becomes of its children, say.
    pub(crate) async fn delete_with(&self, name: &str, options: &Value) {
        let path = format!("{SERVING}/services/{name}");
        let options = Some(options).filter(|it| !it.is_null());
        let answer = self.ask(Method::DELETE, &path, options).await;
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    /// A service, configuration, route or revision as it is now.
    pub(crate) async fn get(&self, plural: &str, name: &str) -> Value {
        let path = format!("{SERVING}/{plural}/{name}");
        let (status, object) = self.object(Method::GET, &path, None).await;
        assert_eq!(status, 200, "{object}");
        object
    }

    /// Changes a service by a merge patch, and hands over what the server answers.
    pub(crate) async fn patch(&self, name: &str, patch: &Value) -> Value {
        let url = format!("{}{SERVING}/services/{name}", self.server);
        let request = self.http.patch(url);
        let request = request.header("content-type", "application/merge-patch+json");
        let answer = timeout(LONG, request.body(patch.to_string()).send()).await;
        let answer = answer.expect("no answer").unwrap();
        let status = answer.status();
        let object = answer.json().await.unwrap();
        assert!(status.is_success(), "{status}: {object}");
        object
    }

    /// Any request, and the answer's status and object.
    pub(crate) async fn object(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> (u16, Value) {
        let answer = self.ask(method, path, body).await;
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// All objects of a kind.
    pub(crate) async fn list(&self, plural: &str) -> Vec<Value> {
        let path = match plural {
            "pods" => PODS.to_owned(),
            "snapshots" => SNAPSHOTS.to_owned(),
            plural => format!("{SERVING}/{plural}"),
        };
        let list = self.ask(Method::GET, &path, None).await;
        let mut list: Value = list.json().await.unwrap();
        serde_json::from_value(list["items"].take()).unwrap()
    }

    /// The text of an answer, once it has ended.
    pub(crate) async fn text(&self, path: &str) -> String {
        self.ask(Method::GET, path, None)
            .await
            .text()
            .await
            .unwrap()
    }

    /// What an instance has printed until now, or why there is no such log.
    pub(crate) async fn log(&self, instance: &str) -> String {
        let path = format!("{PODS}/{instance}/log");
        let log = self.ask(Method::GET, &path, None).await;
        log.text().await.unwrap()
    }

    /// Waits until an object is as it should be.
    pub(crate) async fn until(
        &self,
        plural: &str,
        name: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Value {
        let path = format!(
            "{SERVING}/{plural}?watch=true&resourceVersion=0&fieldSelector=metadata.name%3D{name}"
        );
        let event = self.watch(&path, |event| holds(&event["object"])).await;
        event["object"].clone()
    }

    /// All states of an object from `version` on, until one is as it should be.
    pub(crate) async fn history(
        &self,
        plural: &str,
        name: &str,
        version: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Vec<Value> {
        let path = format!(
            "{SERVING}/{plural}?watch=true&resourceVersion={version}&fieldSelector=metadata.name%3D{name}"
        );
        let states = std::cell::RefCell::new(Vec::new());
        self.watch(&path, |event| {
            states.borrow_mut().push(event["object"].clone());
            holds(&event["object"])
        })
        .await;
        states.into_inner()
    }

    /// Watches until an event is as it should be.
    pub(crate) async fn watch(&self, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let watching = async {
            let mut stream = self.ask(Method::GET, path, None).await.bytes_stream();
            let mut text = Vec::new();
            while let Some(chunk) = stream.next().await {
                text.extend_from_slice(&chunk.unwrap());
                while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = text.drain(..=end).collect();
                    last = serde_json::from_slice(&line).unwrap();
                    if holds(&last) {
                        return;
                    }
                }
            }
            panic!("the watch ended");
        };
        let came = timeout(LONG, watching).await;
        assert!(came.is_ok(), "{path} never came to be so: {last:#}");
        last
    }

    /// Waits until a service is ready.
    pub(crate) async fn ready(&self, service: &str) {
        self.until("services", service, |it| told(it).0 == "True")
            .await;
    }

    /// Looks at all objects of a kind until they are as they should be. Each look is a request, so it needs no pause.
    pub(crate) async fn eventually(&self, plural: &str, holds: impl Fn(&[Value]) -> bool) {
        let looking = async { while !holds(&self.list(plural).await) {} };
        let came = timeout(LONG, looking).await;
        assert!(
            came.is_ok(),
            "never came to be so: {:#?}",
            self.list(plural).await
        );
    }
}

/// Status, reason and message of an object's `Ready`.
pub(crate) fn told(object: &Value) -> (String, String, String) {
    let conditions = object["status"]["conditions"].as_array();
    let ready = conditions
        .into_iter()
        .flatten()
        .find(|it| it["type"] == "Ready");
    let text = |key: &str| {
        let text = ready.and_then(|ready| ready[key].as_str());
        text.unwrap_or_default().to_owned()
    };
    (text("status"), text("reason"), text("message"))
}

/// An answer of the ingress.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<u64>,
    pub(crate) body: String,
}

/// Calls a function.
pub(crate) async fn call(ingress: std::net::SocketAddr, service: &str) -> Answer {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = http
        .get(format!("http://{ingress}/"))
        .header("host", format!("{service}.default.test"));
    let answer = timeout(LONG, request.send()).await;
    let answer = answer.expect("no answer").unwrap();
    let retry_after = answer.headers().get("retry-after");
    Answer {
        status: answer.status().as_u16(),
        retry_after: retry_after.map(|it| it.to_str().unwrap().parse().unwrap()),
        body: answer.text().await.unwrap(),
    }
}
