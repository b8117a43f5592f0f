//! Deploys functions: each from its manifest under a name of its own, with a concurrency target of 1, until it is ready.

mod functions;
mod manifest;
mod ready;

use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::Method;
use serde_json::Value;

pub use functions::{Error as FunctionsError, Function, read};
pub use manifest::Error as ManifestError;

use crate::cluster::{self, Cluster};
use crate::endpoints::Endpoint;

/// Why a function is not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The API.
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    /// It has failed, in the API's own words.
    #[error("it failed: {0}")]
    Failed(String),
    /// It has not become ready.
    #[error("it is not ready after {} s: {told}", limit.as_secs())]
    Late {
        /// What was waited.
        limit: Duration,
        /// The conditions that are not met.
        told: String,
    },
    /// Somebody deleted it.
    #[error("it was deleted while it was waited for")]
    Deleted,
    /// It begins a workflow of events.
    #[error(
        "it is an eventing workflow, which is deployed by hand{}",
        script(apply_script.as_deref())
    )]
    Eventing {
        /// Its script, if the file of functions names one.
        apply_script: Option<String>,
    },
}

fn script(apply_script: Option<&str>) -> String {
    apply_script.map_or(String::new(), |script| format!(": run {script}"))
}

/// One function under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// `NAME-i`.
    pub name: String,
    /// Its manifest.
    pub file: PathBuf,
    /// For its entry among the endpoints.
    pub eventing: bool,
    /// For its entry among the endpoints.
    pub matchers: Option<std::collections::BTreeMap<String, String>>,
    /// What deploys an eventing workflow.
    pub apply_script: Option<String>,
}

/// How functions are deployed.
#[derive(Debug, Clone)]
pub struct Options {
    /// The namespace of all of them.
    pub namespace: String,
    /// So many at once.
    pub at_once: usize,
    /// How long each may take.
    pub limit: Duration,
    /// The domain of their names, instead of what the API says their URLs are.
    pub gateway: Option<String>,
}

/// All deployments of a list of functions, in its order: `count` of each, numbered from 0 on.
pub fn deployments(functions: &[Function], folder: &std::path::Path) -> Vec<Deployment> {
    let each = functions.iter().flat_map(|function| {
        (0..function.count).map(|number| Deployment {
            name: format!("{}-{number}", function.name),
            file: folder.join(&function.file),
            eventing: function.eventing,
            matchers: function.matchers.clone(),
            apply_script: function.apply_script.clone(),
        })
    });
    each.collect()
}

/// Deploys all of them, some at once, and tells of each as it is done. What comes back is in the order of `deployments`.
pub async fn deploy(
    cluster: &Cluster,
    deployments: &[Deployment],
    options: &Options,
    told: impl Fn(&Deployment, &Result<Endpoint, Error>),
) -> Vec<Result<Endpoint, Error>> {
    let told = &told;
    let work = deployments
        .iter()
        .enumerate()
        .map(|(place, deployment)| async move {
            let done = one(cluster, deployment, options).await;
            told(deployment, &done);
            (place, done)
        });
    let work = futures_util::stream::iter(work).buffer_unordered(options.at_once.max(1));
    let mut done: Vec<_> = work.collect().await;
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, done)| done).collect()
}

async fn one(
    cluster: &Cluster,
    deployment: &Deployment,
    options: &Options,
) -> Result<Endpoint, Error> {
    if deployment.eventing {
        return Err(Error::Eventing {
            apply_script: deployment.apply_script.clone(),
        });
    }
    let Deployment { name, file, .. } = deployment;
    let service = manifest::read(file, name, &options.namespace)?;
    let applied = apply(cluster, &options.namespace, name, &service).await?;
    let ready = ready::wait(cluster, &options.namespace, name, &applied, options.limit).await?;
    let hostname = match &options.gateway {
        Some(gateway) => format!("{name}.{}.{gateway}", options.namespace),
        None => host(&ready),
    };
    Ok(Endpoint {
        hostname,
        eventing: deployment.eventing,
        matchers: deployment.matchers.clone(),
    })
}

fn services(namespace: &str) -> String {
    format!("/apis/serving.knative.dev/v1/namespaces/{namespace}/services")
}

/// Creates the service, or merges the manifest into the one that is there.
async fn apply(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    service: &Value,
) -> Result<Value, cluster::Error> {
    let path = format!("{}/{name}", services(namespace));
    match cluster.request(Method::GET, &path, None).await {
        Ok(_) => cluster.request(Method::PATCH, &path, Some(service)).await,
        Err(error) if error.is_not_found() => {
            let path = services(namespace);
            cluster.request(Method::POST, &path, Some(service)).await
        }
        Err(error) => Err(error),
    }
}

/// Host and port of a service's URL.
fn host(service: &Value) -> String {
    let url = service["status"]["url"].as_str().unwrap_or_default();
    let host = url.split_once("://").map_or(url, |(_, host)| host);
    host.split('/').next().unwrap_or(host).to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_function_is_numbered_from_zero_on() {
        let functions: Vec<Function> = serde_json::from_value(json!([
            {"name": "helloworld", "file": "helloworld.yaml", "count": 1},
            {"name": "pyaes", "file": "pyaes.yaml", "count": 2},
        ]))
        .unwrap();
        let all = deployments(&functions, std::path::Path::new("configs"));
        let all: Vec<_> = all
            .iter()
            .map(|it| (&*it.name, it.file.to_string_lossy()))
            .collect();
        assert_eq!(
            all,
            [
                ("helloworld-0", "configs/helloworld.yaml".into()),
                ("pyaes-0", "configs/pyaes.yaml".into()),
                ("pyaes-1", "configs/pyaes.yaml".into()),
            ]
        );
    }

    #[test]
    fn an_endpoint_is_the_host_of_the_url_with_its_port() {
        let of = |url: &str| host(&json!({"status": {"url": url}}));
        assert_eq!(
            of("http://f-0.default.127.0.0.1.sslip.io:8080"),
            "f-0.default.127.0.0.1.sslip.io:8080"
        );
        assert_eq!(
            of("http://f-0.default.example.com/"),
            "f-0.default.example.com"
        );
    }
}
