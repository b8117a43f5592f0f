//! Defaults, as Knative's webhook sets them (knative.dev/serving `pkg/apis/serving/v1/*_defaults.go`). Setting them twice
//! changes nothing: clients send containers again without the name and the probe that they were given.

use std::collections::BTreeSet;

use serde_json::json;

use crate::core::{Bytes, Container, Probe, Secret, TcpSocket};
use crate::meta::StringMap;
use crate::serving::{
    Configuration, Revision, RevisionSpec, RevisionTemplate, Route, Service, TrafficTarget,
};
use crate::settings::Defaults;
use crate::settings::defaults::Amounts;

/// Type of a Secret that says none.
const OPAQUE: &str = "Opaque";

/// Defaults of a Service.
pub fn default_service(service: &mut Service, given: &Defaults) {
    default_spec(&mut service.spec.template.spec, given);
    // A Service without targets sends all to its newest Revision; a Route has no such Configuration of its own.
    if service.spec.traffic.is_empty() {
        service.spec.traffic.push(TrafficTarget {
            latest_revision: Some(true),
            percent: Some(100),
            ..TrafficTarget::default()
        });
    }
    default_traffic(&mut service.spec.traffic);
}

/// Defaults of a Configuration.
pub fn default_configuration(configuration: &mut Configuration, given: &Defaults) {
    default_spec(&mut configuration.spec.template.spec, given);
}

/// Defaults of a Revision.
pub fn default_revision(revision: &mut Revision, given: &Defaults) {
    default_spec(&mut revision.spec, given);
}

/// Defaults of a Route.
pub fn default_route(route: &mut Route) {
    default_traffic(&mut route.spec.traffic);
}

/// A template whose Revision has a name of its own stays as it was if only defaults make it another: they may have been
/// others when it was made, and its Revision must not change under its name (upstream's `ConfigurationSpec.SetDefaults`).
pub(crate) fn keep_named_template(
    new: &mut RevisionTemplate,
    old: &RevisionTemplate,
    given: &Defaults,
) {
    if new.metadata.name.is_empty() || new.metadata.name != old.metadata.name {
        return;
    }
    let mut defaulted = old.clone();
    default_spec(&mut defaulted.spec, given);
    if *new == defaulted {
        *new = old.clone();
    }
}

/// Puts a Secret's texts among its bytes, over what is there, and gives it a type (`k8s.io/kubernetes` `pkg/apis/core/v1`,
/// `conversion.go` and `defaults.go`).
pub fn default_secret(secret: &mut Secret) {
    let texts = std::mem::take(&mut secret.string_data);
    let texts = texts.into_iter();
    secret
        .data
        .extend(texts.map(|(key, text)| (key, Bytes(text.0.into_bytes()))));
    if secret.secret_type.is_empty() {
        OPAQUE.clone_into(&mut secret.secret_type);
    }
}

/// Defaults of what runs.
pub fn default_spec(spec: &mut RevisionSpec, given: &Defaults) {
    spec.container_concurrency
        .get_or_insert(given.container_concurrency);
    if spec.timeout_seconds.is_none_or(|seconds| seconds == 0) {
        spec.timeout_seconds = Some(given.timeout_seconds);
    }
    // A request that may take no longer needs no limit for a part of it.
    for (seconds, field) in [
        (given.idle_timeout_seconds, &mut spec.idle_timeout_seconds),
        (
            given.response_start_timeout_seconds,
            &mut spec.response_start_timeout_seconds,
        ),
    ] {
        if seconds != 0 && spec.timeout_seconds > Some(seconds) {
            field.get_or_insert(seconds);
        }
    }
    if spec.enable_service_links.is_none() {
        spec.enable_service_links = given.enable_service_links;
    }
    default_names(&mut spec.containers, &given.container_name);
    let alone = spec.containers.len() == 1;
    for container in &mut spec.containers {
        default_amounts(&mut container.resources.requests, &given.requests);
        default_amounts(&mut container.resources.limits, &given.limits);
        if alone || !container.ports.is_empty() {
            default_probe(container.readiness_probe.get_or_insert_default());
        }
        if let Some(probe) = &mut container.readiness_probe {
            default_counts(probe);
        }
        for probe in [
            &mut container.readiness_probe,
            &mut container.liveness_probe,
            &mut container.startup_probe,
        ] {
            default_grpc(probe.as_mut());
        }
    }
    default_mounts(spec);
}

fn default_amounts(asked: &mut StringMap, given: &Amounts) {
    for (resource, amount) in [
        ("cpu", &given.cpu),
        ("memory", &given.memory),
        ("ephemeral-storage", &given.ephemeral_storage),
    ] {
        if let Some(amount) = amount {
            asked
                .entry(resource.to_owned())
                .or_insert_with(|| amount.clone());
        }
    }
}

/// One container has the default name; of several, those without a name are numbered from 0.
fn default_names(containers: &mut [Container], default: &str) {
    let mut taken: BTreeSet<String> = containers.iter().map(|it| it.name.clone()).collect();
    let alone = containers.len() == 1;
    for container in containers.iter_mut().filter(|it| it.name.is_empty()) {
        let numbered = (0..).map(|number| format!("{default}-{number}"));
        let name = std::iter::once(default.to_owned())
            .filter(|_| alone)
            .chain(numbered)
            .find(|name| !taken.contains(name));
        if let Some(name) = name {
            taken.insert(name.clone());
            container.name = name;
        }
    }
}

fn default_probe(probe: &mut Probe) {
    if probe.http_get.is_none() && probe.grpc.is_none() && probe.exec.is_none() {
        probe.tcp_socket.get_or_insert_with(|| TcpSocket {
            port: json!(0),
            host: String::new(),
        });
    }
}

fn default_counts(probe: &mut Probe) {
    let set = |field: &mut Option<i32>, value| {
        if field.unwrap_or(0) == 0 {
            *field = Some(value);
        }
    };
    set(&mut probe.success_threshold, 1);
    // Kubernetes' own defaults hold where it is Kubernetes' kind of probe.
    if probe.period_seconds.unwrap_or(0) != 0 {
        set(&mut probe.failure_threshold, 3);
        set(&mut probe.timeout_seconds, 1);
    }
}

/// A gRPC health check without a service asks for the server's own health.
fn default_grpc(probe: Option<&mut Probe>) {
    let grpc = probe.and_then(|probe| probe.grpc.as_mut()?.as_object_mut());
    if let Some(fields) = grpc {
        fields.entry("service").or_insert_with(|| json!(""));
    }
}

/// What only the platform writes is mounted read-only.
fn default_mounts(spec: &mut RevisionSpec) {
    let writable: BTreeSet<&str> = spec
        .volumes
        .iter()
        .filter(|volume| volume.empty_dir.is_some())
        .map(|volume| volume.name.as_str())
        .collect();
    for mount in spec
        .containers
        .iter_mut()
        .flat_map(|container| &mut container.volume_mounts)
    {
        mount.read_only |= !writable.contains(mount.name.as_str());
    }
}

fn default_traffic(traffic: &mut [TrafficTarget]) {
    for target in traffic {
        if target.latest_revision.is_none() {
            target.latest_revision = Some(target.revision_name.is_empty());
        }
        target.percent.get_or_insert(0);
    }
}
