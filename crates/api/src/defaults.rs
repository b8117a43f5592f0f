//! Defaults, as Knative's webhook sets them. Setting them twice changes nothing.

use serde_json::json;

use crate::core::{Container, Probe, TcpSocket};
use crate::serving::{Revision, RevisionSpec, Route, Service, TrafficTarget};

const TIMEOUT_SECONDS: i64 = 300;
const CONTAINER_NAME: &str = "user-container";

/// Defaults of a Service.
pub fn default_service(service: &mut Service) {
    default_spec(&mut service.spec.template.spec);
    default_traffic(&mut service.spec.traffic);
}

/// Defaults of a Revision.
pub fn default_revision(revision: &mut Revision) {
    default_spec(&mut revision.spec);
}

/// Defaults of a Route.
pub fn default_route(route: &mut Route) {
    default_traffic(&mut route.spec.traffic);
}

/// Defaults of what runs.
pub fn default_spec(spec: &mut RevisionSpec) {
    spec.container_concurrency.get_or_insert(0);
    if spec.timeout_seconds.is_none_or(|seconds| seconds == 0) {
        spec.timeout_seconds = Some(TIMEOUT_SECONDS);
    }
    spec.enable_service_links.get_or_insert(false);
    let alone = spec.containers.len() == 1;
    for (index, container) in spec.containers.iter_mut().enumerate() {
        if container.name.is_empty() {
            container.name = if alone || index == 0 {
                CONTAINER_NAME.to_owned()
            } else {
                format!("{CONTAINER_NAME}-{index}")
            };
        }
        if alone || !container.ports.is_empty() {
            default_probe(container);
        }
    }
}

fn default_probe(container: &mut Container) {
    let probe = container.readiness_probe.get_or_insert_with(Probe::default);
    if probe.http_get.is_none() && probe.grpc.is_none() && probe.exec.is_none() {
        probe.tcp_socket.get_or_insert_with(|| TcpSocket {
            port: json!(0),
            host: String::new(),
        });
    }
    probe.success_threshold.get_or_insert(1);
}

fn default_traffic(traffic: &mut Vec<TrafficTarget>) {
    if traffic.is_empty() {
        traffic.push(TrafficTarget {
            latest_revision: Some(true),
            percent: Some(100),
            ..TrafficTarget::default()
        });
    }
    for target in traffic {
        if target.latest_revision.is_none() {
            target.latest_revision = Some(target.revision_name.is_empty());
        }
    }
}
