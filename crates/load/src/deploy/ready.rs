//! Waits until a service is ready, and says why it is not.

use std::time::Duration;

use futures_util::StreamExt;
use reqwest::Method;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};

use super::{Error, services};
use crate::cluster::Cluster;

/// How long a failure must last, as with kn: what was mended a moment ago may be told as broken until somebody has looked.
const LASTING: Duration = Duration::from_secs(2);
/// Before a watch that has ended is begun anew.
const PAUSE: Duration = Duration::from_millis(200);

/// How a service stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stand {
    Ready,
    Failed(String),
    /// Not yet, with what is said.
    Waits(String),
}

fn stand(service: &Value, generation: i64) -> Stand {
    let observed = service["status"]["observedGeneration"].as_i64();
    if observed.is_none_or(|observed| observed < generation) {
        return Stand::Waits("nobody has looked at it yet".to_owned());
    }
    let ready = conditions(service).find(|it| it["type"] == "Ready");
    match ready.and_then(|it| it["status"].as_str()) {
        Some("True") => Stand::Ready,
        Some("False") => Stand::Failed(unmet(service)),
        _ => Stand::Waits(unmet(service)),
    }
}

fn conditions(object: &Value) -> impl Iterator<Item = &Value> {
    object["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
}

/// The conditions that are not met, with their reasons; the same words are said once.
fn unmet(object: &Value) -> String {
    let mut said: Vec<String> = Vec::new();
    // Ready says what the others say; it is for when they say nothing.
    let others = conditions(object).filter(|it| it["type"] != "Ready");
    let ready = conditions(object).filter(|it| it["type"] == "Ready");
    for it in others.chain(ready) {
        // What is told for information is no reason.
        if it["status"] == "True" || it["severity"] == "Info" {
            continue;
        }
        let field = |name: &str| it[name].as_str().unwrap_or_default();
        let words = [field("reason"), field("message")];
        let words: Vec<_> = words.into_iter().filter(|it| !it.is_empty()).collect();
        let words = words.join(": ");
        if !words.is_empty() && !said.iter().any(|before| before.ends_with(&words)) {
            said.push(format!("{} {words}", field("type")));
        }
    }
    if said.is_empty() {
        "no condition says why".to_owned()
    } else {
        said.join("; ")
    }
}

/// Waits until a service is ready as it was applied, and returns it.
pub(super) async fn wait(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    applied: &Value,
    limit: Duration,
) -> Result<Value, Error> {
    let generation = applied["metadata"]["generation"].as_i64().unwrap_or(0);
    let end = Instant::now() + limit;
    let path = format!("{}/{name}", services(namespace));
    let mut failing: Option<(Instant, String)> = None;
    loop {
        let mut service = match cluster.request(Method::GET, &path, None).await {
            Err(error) if error.is_not_found() => return Err(Error::Deleted),
            found => found?,
        };
        let version = service["metadata"]["resourceVersion"].as_str();
        let query = format!(
            "{}?watch=true&fieldSelector=metadata.name%3D{name}&timeoutSeconds=300&resourceVersion={}",
            services(namespace),
            version.unwrap_or("0")
        );
        let mut changes = None;
        loop {
            match stand(&service, generation) {
                Stand::Ready => return Ok(service),
                Stand::Failed(why) => {
                    let since = failing.take().map(|(since, _)| since);
                    failing = Some((since.unwrap_or_else(Instant::now), why));
                }
                Stand::Waits(_) => failing = None,
            }
            let until = match &failing {
                Some((since, _)) => end.min(*since + LASTING),
                None => end,
            };
            let next = async {
                if changes.is_none() {
                    changes = Some(cluster.watch(&query).await?);
                }
                match &mut changes {
                    Some(changes) => Ok(changes.next().await),
                    None => Ok(None),
                }
            };
            match timeout_at(until, next).await {
                Ok(Ok(Some(Ok(line)))) => match event(&line) {
                    Event::Changed(object) => service = object,
                    Event::Deleted => return Err(Error::Deleted),
                    Event::Other => {}
                    Event::Expired => break,
                },
                // The stream has ended, or broken off.
                Ok(Ok(_)) => break,
                Ok(Err(error)) => return Err(Error::Cluster(error)),
                Err(_) => match failing {
                    Some((since, why)) if since + LASTING <= Instant::now() => {
                        let why = explained(cluster, namespace, &service, why).await;
                        return Err(Error::Failed(why));
                    }
                    _ => {
                        let told = explained(cluster, namespace, &service, unmet(&service)).await;
                        return Err(Error::Late { limit, told });
                    }
                },
            }
        }
        sleep(PAUSE).await;
    }
}

enum Event {
    Changed(Value),
    Deleted,
    /// A bookmark, or nothing that is known.
    Other,
    /// The version that it was to go on from is too old.
    Expired,
}

fn event(line: &str) -> Event {
    let Ok(mut event) = serde_json::from_str::<Value>(line) else {
        return Event::Other;
    };
    match event["type"].as_str() {
        Some("ADDED" | "MODIFIED") => Event::Changed(event["object"].take()),
        Some("DELETED") => Event::Deleted,
        Some("ERROR") => Event::Expired,
        _ => Event::Other,
    }
}

/// With what the newest revision says, if that is more.
async fn explained(cluster: &Cluster, namespace: &str, service: &Value, why: String) -> String {
    let Some(revision) = service["status"]["latestCreatedRevisionName"].as_str() else {
        return why;
    };
    let path = format!("/apis/serving.knative.dev/v1/namespaces/{namespace}/revisions/{revision}");
    let Ok(found) = cluster.request(Method::GET, &path, None).await else {
        return why;
    };
    let more = unmet(&found);
    let ready = conditions(&found).any(|it| it["type"] == "Ready" && it["status"] == "True");
    if ready || more == "no condition says why" || why.contains(&more) {
        return why;
    }
    format!("{why}; its revision {revision}: {more}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(conditions: &Value) -> Value {
        json!({"metadata": {"generation": 2}, "status": {"observedGeneration": 2, "conditions": conditions}})
    }

    #[test]
    fn only_what_has_been_looked_at_is_ready() {
        let ready = service(&json!([{"type": "Ready", "status": "True"}]));
        assert_eq!(stand(&ready, 2), Stand::Ready);
        assert!(matches!(stand(&ready, 3), Stand::Waits(_)));
        assert!(matches!(stand(&json!({}), 1), Stand::Waits(_)));
    }

    #[test]
    fn a_failure_is_told_once_with_its_reason() {
        let failed = service(&json!([
            {"type": "ConfigurationsReady", "status": "False", "reason": "RevisionFailed", "message": "no image x"},
            {"type": "Ready", "status": "False", "reason": "RevisionFailed", "message": "no image x"},
            {"type": "RoutesReady", "status": "Unknown", "reason": "RevisionMissing"},
            {"type": "Active", "status": "False", "severity": "Info", "reason": "NoTraffic"},
        ]));
        assert_eq!(
            stand(&failed, 2),
            Stand::Failed(
                "ConfigurationsReady RevisionFailed: no image x; RoutesReady RevisionMissing"
                    .to_owned()
            )
        );
    }
}
