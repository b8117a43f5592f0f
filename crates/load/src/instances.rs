//! How many instances of the functions are ready, as the API tells.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use reqwest::Method;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::endpoints::Endpoint;

const PERIOD: Duration = Duration::from_secs(1);

/// Asks once a second until it is stopped. It returns what could not be asked for as nothing.
pub async fn observe(
    cluster: Cluster,
    endpoints: Vec<Endpoint>,
    stop: CancellationToken,
) -> Vec<(SystemTime, u64)> {
    let mut services: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for endpoint in &endpoints {
        // NAME.NAMESPACE.DOMAIN
        let mut labels = endpoint.hostname.split('.');
        if let (Some(name), Some(namespace)) = (labels.next(), labels.next()) {
            services.entry(namespace).or_default().push(name);
        }
    }
    let mut seen = Vec::new();
    let mut ticks = tokio::time::interval(PERIOD);
    loop {
        tokio::select! {
            () = stop.cancelled() => return seen,
            _ = ticks.tick() => {}
        }
        let counting = async {
            let mut count = 0;
            for (namespace, names) in &services {
                let path = format!("/apis/serving.knative.dev/v1/namespaces/{namespace}/revisions");
                let list = cluster.request(Method::GET, &path, None).await?;
                count += ready(&list, names);
            }
            Ok::<_, crate::cluster::Error>(count)
        };
        let counted = tokio::select! {
            () = stop.cancelled() => return seen,
            counted = counting => counted,
        };
        match counted {
            Ok(count) => seen.push((SystemTime::now(), count)),
            Err(error) => tracing::debug!(%error, "the instances are not known"),
        }
    }
}

/// Instances of all revisions of these services.
fn ready(revisions: &Value, services: &[&str]) -> u64 {
    let items = revisions["items"].as_array().into_iter().flatten();
    items
        .filter(|revision| {
            let service = &revision["metadata"]["labels"]["serving.knative.dev/service"];
            services.iter().any(|name| service == name)
        })
        .filter_map(|revision| revision["status"]["actualReplicas"].as_u64())
        .sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_instances_of_the_functions_that_are_called_count() {
        let revision = |service: &str, replicas: Value| {
            json!({
                "metadata": {"labels": {"serving.knative.dev/service": service}},
                "status": {"actualReplicas": replicas},
            })
        };
        let list = json!({"items": [
            revision("a-0", json!(2)), revision("a-0", json!(1)), revision("a-1", json!(3)),
            revision("other", json!(9)), revision("a-1", Value::Null),
        ]});
        assert_eq!(ready(&list, &["a-0", "a-1"]), 6);
        assert_eq!(ready(&json!({}), &["a-0"]), 0);
    }
}
