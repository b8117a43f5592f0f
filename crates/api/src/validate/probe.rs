//! Probes. A readiness probe without a period is Knative's own kind: it is tried without pause until it succeeds.

use serde_json::Value;

use crate::core::{Container, Probe};
use crate::field_error::FieldErrors;

pub(super) fn check(container: &Container, serves: bool, path: &str, errors: &mut FieldErrors) {
    // Upstream names a port without a name so (`validateContainersPorts`).
    let port = match container.ports.first().map(|port| port.name.as_str()) {
        None | Some("") => "http",
        Some(name) => name,
    };
    for (probe, field) in [
        (&container.liveness_probe, "livenessProbe"),
        (&container.readiness_probe, "readinessProbe"),
        (&container.startup_probe, "startupProbe"),
    ] {
        if let Some(probe) = probe {
            let path = format!("{path}.{field}");
            action(probe, serves.then_some(port), &path, errors);
            if field == "readinessProbe" {
                counts(probe, &path, errors);
            }
        }
    }
}

/// Exactly one action, at the port that serves.
fn action(probe: &Probe, port: Option<&str>, path: &str, errors: &mut FieldErrors) {
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
        let written = target
            .as_str()
            .map_or_else(|| target.to_string(), ToOwned::to_owned);
        match (port, target) {
            (Some(port), Value::String(name)) if !name.is_empty() && name != port => errors
                .add_with_details(
                    format!("invalid value: {written}"),
                    format!("{path}.{}.port", actions[actions.len() - 1]),
                    "Probe port must match container port",
                ),
            (None, target) if *target == 0 || target.is_null() || *target == "" => errors
                .add_with_details(
                    format!("invalid value: {written}"),
                    format!("{path}.{name}.port"),
                    "Probe port must be specified",
                ),
            _ => {}
        }
    }
    actions.extend(probe.exec.is_some().then_some("exec"));
    actions.extend(probe.grpc.is_some().then_some("grpc"));
    let all = ["httpGet", "tcpSocket", "exec", "grpc"];
    match actions.len() {
        0 => errors.add_all(
            "expected exactly one, got neither",
            all.map(|action| format!("{path}.{action}")),
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
