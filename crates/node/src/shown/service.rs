//! The Services (`core/v1`) of routes. Knative makes one for each host of a route, an alias of its ingress; so does this, and
//! names the host, which is at the ingress of this node.

use std::collections::BTreeMap;

use api::meta::OwnerReference;
use api::serving::{API_VERSION, Route, label};
use control::Domain;
use serde_json::{Value, json};

use super::{SERVICES, Shown};

/// Which Services are shown for each route, by its namespace and name.
pub(crate) struct Services {
    shown: Shown,
    names: BTreeMap<(String, String), Vec<String>>,
}

impl Services {
    pub(crate) fn new(shown: Shown) -> Self {
        Self {
            shown,
            names: BTreeMap::new(),
        }
    }

    /// Shows those of a route; none where there is no route any more.
    pub(crate) fn show(&mut self, key: &(String, String), route: Option<&Route>, domain: &Domain) {
        let (namespace, _) = key;
        let objects = route.map_or_else(Vec::new, |route| objects(route, domain));
        let names = objects.iter().map(|(name, _)| name.clone()).collect();
        let before = match route {
            Some(_) => self.names.insert(key.clone(), names),
            None => self.names.remove(key),
        };
        for gone in before.unwrap_or_default() {
            if !objects.iter().any(|(name, _)| *name == gone) {
                self.shown.hide(&SERVICES, namespace, &gone);
            }
        }
        for (name, object) in objects {
            self.shown.show(&SERVICES, namespace, &name, object);
        }
    }
}

/// The Service of a route, and those of its tags, by name.
fn objects(route: &Route, domain: &Domain) -> Vec<(String, Value)> {
    let metadata = &route.metadata;
    let (route_name, namespace) = (&metadata.name, &metadata.namespace);
    let mut labels = metadata.labels.clone();
    labels.retain(|name, _| *name == label::SERVICE);
    labels.insert("serving.knative.dev/route".to_owned(), route_name.clone());
    let owner = OwnerReference {
        api_version: API_VERSION.to_owned(),
        kind: Route::KIND.to_owned(),
        name: route_name.clone(),
        uid: metadata.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    };
    let tags = route.status.traffic.iter().map(|it| it.tag.as_str());
    let tags: std::collections::BTreeSet<&str> = tags.chain([""]).collect();
    tags.into_iter()
        .map(|tag| {
            let host = domain.host(tag, route_name, namespace);
            let name = host.split('.').next().unwrap_or(route_name).to_owned();
            let object = json!({
                "kind": "Service",
                "apiVersion": "v1",
                "metadata": {"labels": labels, "ownerReferences": [owner]},
                "spec": {
                    "type": "ExternalName",
                    "externalName": host,
                    "ports": [{"name": "http2", "port": domain.port, "protocol": "TCP", "targetPort": domain.port}],
                    "sessionAffinity": "None",
                },
                "status": {"loadBalancer": {}},
            });
            (name, object)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_has_a_service_for_itself_and_for_each_tag() {
        let route: Route = serde_json::from_value(json!({
            "metadata": {"name": "hello", "namespace": "default", "uid": "u", "labels": {"serving.knative.dev/service": "hello"}},
            "status": {"traffic": [{"tag": "blue", "percent": 0}, {"percent": 100}]},
        }))
        .unwrap();
        let domain = Domain {
            suffix: "test".to_owned(),
            port: 8080,
        };
        let objects = objects(&route, &domain);
        let hosts: Vec<_> = objects
            .iter()
            .map(|(name, object)| {
                (
                    name.as_str(),
                    object["spec"]["externalName"].as_str().unwrap(),
                )
            })
            .collect();
        assert_eq!(
            hosts,
            [
                ("hello", "hello.default.test"),
                ("blue-hello", "blue-hello.default.test")
            ]
        );
    }
}
