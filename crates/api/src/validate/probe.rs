//! Probes. A readiness probe without a period is Knative's own kind: it is tried without pause until it succeeds.

use crate::core::{Container, Probe};
use crate::field_error::FieldErrors;

/// Checks the probes of the container that serves.
pub(super) fn check(container: &Container, path: &str, errors: &mut FieldErrors) {
    // Upstream names a port without a name so (`validateContainersPorts`).
    let port = match container.ports.first().map(|port| port.name.as_str()) {
        None | Some("") => "http",
        Some(name) => name,
    };
    for (probe, field) in probes(container) {
        let path = format!("{path}.{field}");
        action(probe, port, &path, errors);
        if field == READINESS {
            counts(probe, &path, errors);
        }
    }
}

/// Refuses the probes of a container that runs beside the one that serves, as upstream does unless `multi-container-probing`
/// is enabled.
pub(super) fn none(container: &Container, path: &str, errors: &mut FieldErrors) {
    for (probe, field) in probes(container) {
        let path = format!("{path}.{field}");
        let handled = probe.http_get.is_some()
            || probe.tcp_socket.is_some()
            || probe.exec.is_some()
            || probe.grpc.is_some();
        if handled {
            errors.disallowed(path.clone());
        }
        let set = |count: Option<i32>| count.unwrap_or(0) != 0;
        for (set, field) in [
            (set(probe.initial_delay_seconds), "initialDelaySeconds"),
            (set(probe.timeout_seconds), "timeoutSeconds"),
            (set(probe.period_seconds), "periodSeconds"),
            (set(probe.success_threshold), "successThreshold"),
            (set(probe.failure_threshold), "failureThreshold"),
            (
                probe.termination_grace_period_seconds.is_some(),
                "terminationGracePeriodSeconds",
            ),
        ] {
            if set {
                errors.disallowed(format!("{path}.{field}"));
            }
        }
    }
}

const READINESS: &str = "readinessProbe";

fn probes(container: &Container) -> impl Iterator<Item = (&Probe, &'static str)> {
    let all = [
        (&container.liveness_probe, "livenessProbe"),
        (&container.readiness_probe, READINESS),
        (&container.startup_probe, "startupProbe"),
    ];
    all.into_iter()
        .filter_map(|(probe, field)| Some((probe.as_ref()?, field)))
}

/// Exactly one action, at the port that serves.
fn action(probe: &Probe, port: &str, path: &str, errors: &mut FieldErrors) {
    let ports = [
        ("httpGet", probe.http_get.as_ref().map(|get| &get.port)),
        (
            "tcpSocket",
            probe.tcp_socket.as_ref().map(|socket| &socket.port),
        ),
    ];
    let mut actions = Vec::new();
    for (name, target) in ports {
        let Some(target) = target else { continue };
        actions.push(name);
        if let Some(target) = target.as_str().filter(|it| !it.is_empty() && *it != port) {
            errors.add_with_details(
                format!("invalid value: {target}"),
                format!("{path}.{name}.port"),
                "Probe port must match container port",
            );
        }
    }
    actions.extend(probe.exec.is_some().then_some("exec"));
    // Upstream spells it so here, and here alone.
    actions.extend(probe.grpc.is_some().then_some("gRPC"));
    match actions.len() {
        0 => errors.add_all(
            "expected exactly one, got neither",
            ["httpGet", "tcpSocket", "exec", "grpc"].map(|action| format!("{path}.{action}")),
        ),
        1 => {}
        _ => errors.add_all(
            "expected exactly one, got both",
            actions.into_iter().map(|action| format!("{path}.{action}")),
        ),
    }
}

fn counts(probe: &Probe, path: &str, errors: &mut FieldErrors) {
    let mut at_least = |count: Option<i32>, least: i32, field: &str| {
        let count = count.unwrap_or(0);
        if count < least {
            errors.out_of_bounds(count, least, i32::MAX, format!("{path}.{field}"));
        }
    };
    at_least(probe.period_seconds, 0, "periodSeconds");
    at_least(probe.initial_delay_seconds, 0, "initialDelaySeconds");
    at_least(probe.success_threshold, 1, "successThreshold");
    if probe.period_seconds.unwrap_or(0) != 0 {
        at_least(probe.timeout_seconds, 1, "timeoutSeconds");
        at_least(probe.failure_threshold, 1, "failureThreshold");
        return;
    }
    for (count, field) in [
        (probe.failure_threshold, "failureThreshold"),
        (probe.timeout_seconds, "timeoutSeconds"),
    ] {
        if count.unwrap_or(0) != 0 {
            errors.add(
                format!("{field} is disallowed when periodSeconds is zero"),
                format!("{path}.{field}"),
            );
        }
    }
}
