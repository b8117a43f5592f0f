//! The probes of a container, out of their Kubernetes shape.

use std::time::Duration;

use api::core::{Container, Probe as Asked};
use sandbox::{Check, Checks, Probe, Timing};
use serde_json::Value;

use crate::sources::expand;

/// What Kubernetes takes for a count that is not set, or 0.
const PERIOD: u64 = 10;
const TIMEOUT: u64 = 1;
const SUCCESSES: u32 = 1;
const FAILURES: u32 = 3;

/// What is asked of a function that listens on `port`.
#[derive(Debug, Clone)]
pub(crate) struct Probes {
    pub(crate) readiness: Probe,
    pub(crate) checks: Checks,
}

impl Probes {
    pub(crate) fn of(container: &Container, port: u16) -> Self {
        let check = |asked: &Asked| Check {
            probe: action(asked, container, port),
            timing: timing(asked, PERIOD),
        };
        let asked = container.readiness_probe.as_ref();
        let mut readiness =
            asked.map_or(Probe::Tcp { port }, |asked| action(asked, container, port));
        if let Probe::Exec { port: listens, .. } = &mut readiness {
            // Knative asks both: the kubelet runs the command, and queue-proxy connects to the port
            // (knative.dev/serving `pkg/reconciler/revision/resources/queue.go`).
            *listens = Some(port);
        }
        Self {
            readiness,
            checks: Checks {
                startup: container.startup_probe.as_ref().map(check),
                // Knative's own: without a period it is tried without a pause.
                readiness: asked.map_or_else(Timing::default, |asked| timing(asked, 0)),
                liveness: container.liveness_probe.as_ref().map(check),
            },
        }
    }

    /// How long a function may take by its probes, beside what any may take: as long as its startup probe may fail and be waited
    /// for, and as long as it takes until its readiness probe is believed.
    pub(crate) fn allowance(&self) -> Duration {
        let attempts = |timing: &Timing, count| timing.period.max(timing.timeout) * count;
        let startup = self.checks.startup.as_ref().map(|check| &check.timing);
        let startup = startup.map_or(Duration::ZERO, |timing| {
            timing.initial_delay + attempts(timing, timing.failure_threshold)
        });
        let readiness = &self.checks.readiness;
        // Without a period, the first success is believed.
        let believed = if readiness.period.is_zero() {
            Duration::ZERO
        } else {
            attempts(readiness, readiness.success_threshold)
        };
        startup + readiness.initial_delay + believed
    }
}

fn action(asked: &Asked, container: &Container, port: u16) -> Probe {
    let port_of = |value: &Value| {
        let number = value.as_u64().and_then(|it| u16::try_from(it).ok());
        number.filter(|it| *it != 0).unwrap_or(port)
    };
    if let Some(exec) = &asked.exec {
        return Probe::Exec {
            command: command(exec, container),
            port: None,
        };
    }
    if let Some(get) = &asked.http_get {
        let headers = get.http_headers.iter().filter_map(|header| {
            let field = |name| Some(header.get(name)?.as_str()?.to_owned());
            Some((field("name")?, field("value")?))
        });
        return Probe::Http {
            port: port_of(&get.port),
            path: if get.path.is_empty() {
                "/".to_owned()
            } else {
                get.path.clone()
            },
            headers: headers.collect(),
        };
    }
    if let Some(grpc) = &asked.grpc {
        let service = grpc.get("service").and_then(Value::as_str);
        return Probe::Grpc {
            port: grpc.get("port").map_or(port, port_of),
            service: service.unwrap_or_default().to_owned(),
        };
    }
    Probe::Tcp {
        port: asked
            .tcp_socket
            .as_ref()
            .map_or(port, |socket| port_of(&socket.port)),
    }
}

/// The command of an `exec` probe. References are to variables whose value stands in the manifest, as the kubelet has it
/// (k8s.io/kubernetes `pkg/kubelet/prober/prober.go`); the command has all of them in its environment.
fn command(exec: &Value, container: &Container) -> Vec<String> {
    let value = |name: &str| {
        let variable = container.env.iter().find(|variable| variable.name == name);
        variable
            .filter(|variable| variable.value_from.is_none())
            .map(|variable| variable.value.as_str())
    };
    let words = exec.get("command").and_then(Value::as_array);
    let words = words.into_iter().flatten().filter_map(Value::as_str);
    words.map(|word| expand(word, value)).collect()
}

fn timing(asked: &Asked, period: u64) -> Timing {
    let set = |count: Option<i32>| {
        count
            .and_then(|it| u32::try_from(it).ok())
            .filter(|it| *it != 0)
    };
    let seconds = |count, otherwise| Duration::from_secs(set(count).map_or(otherwise, u64::from));
    Timing {
        initial_delay: seconds(asked.initial_delay_seconds, 0),
        period: seconds(asked.period_seconds, period),
        timeout: seconds(asked.timeout_seconds, TIMEOUT),
        success_threshold: set(asked.success_threshold).unwrap_or(SUCCESSES),
        failure_threshold: set(asked.failure_threshold).unwrap_or(FAILURES),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn probes(container: Value) -> Probes {
        Probes::of(&serde_json::from_value(container).unwrap(), 8080)
    }

    #[test]
    fn without_any_the_port_must_accept_and_nothing_else_is_asked() {
        for container in [
            json!({}),
            json!({"readinessProbe": {"tcpSocket": {"port": 0}, "successThreshold": 1}}),
        ] {
            let probes = probes(container);
            assert_eq!(probes.readiness, Probe::Tcp { port: 8080 });
            assert_eq!(probes.checks, Checks::default());
            assert_eq!(probes.allowance(), Duration::ZERO);
        }
    }

    #[test]
    fn counts_that_are_not_set_are_those_of_kubernetes() {
        let probes = probes(json!({
            "livenessProbe": {"httpGet": {"path": "/alive"}},
            "startupProbe": {"grpc": {"service": "db"}, "initialDelaySeconds": 2, "periodSeconds": 3, "failureThreshold": 20},
            "readinessProbe": {"httpGet": {"port": 9000, "httpHeaders": [{"name": "a", "value": "b"}]},
                "periodSeconds": 5, "timeoutSeconds": 4, "successThreshold": 2, "initialDelaySeconds": 7},
        }));
        let liveness = probes.checks.liveness.clone().unwrap();
        assert_eq!(
            liveness.timing,
            Timing {
                period: Duration::from_secs(10),
                ..Timing::default()
            }
        );
        let path = "/alive".to_owned();
        let (port, headers) = (8080, Vec::new());
        assert_eq!(
            liveness.probe,
            Probe::Http {
                port,
                path,
                headers
            }
        );
        let startup = probes.checks.startup.clone().unwrap();
        let service = "db".to_owned();
        assert_eq!(startup.probe, Probe::Grpc { port, service });
        assert_eq!(
            probes.readiness,
            Probe::Http {
                port: 9000,
                path: "/".to_owned(),
                headers: vec![("a".to_owned(), "b".to_owned())],
            }
        );
        assert_eq!(
            probes.checks.readiness,
            Timing {
                initial_delay: Duration::from_secs(7),
                period: Duration::from_secs(5),
                timeout: Duration::from_secs(4),
                success_threshold: 2,
                failure_threshold: 3,
            }
        );
        assert_eq!(
            probes.allowance(),
            Duration::from_secs(2 + 3 * 20 + 7 + 5 * 2)
        );
    }

    #[test]
    fn a_function_has_the_time_that_attempts_take_which_run_out_of_theirs() {
        let probes = probes(json!({
            "startupProbe": {"httpGet": {}, "periodSeconds": 1, "timeoutSeconds": 10, "failureThreshold": 30},
            "readinessProbe": {"httpGet": {}, "periodSeconds": 30, "successThreshold": 3},
        }));
        assert_eq!(probes.allowance(), Duration::from_secs(300 + 90));
    }

    #[test]
    fn a_command_is_run_as_it_stands_and_readiness_wants_the_port_to_accept_as_well() {
        let probe =
            json!({"exec": {"command": ["/bin/check", "$(DEEP)", "$(SECRET)", "$$(DEEP)"]}});
        let probes = probes(json!({
            "env": [{"name": "DEEP", "value": "yes"}, {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
            "livenessProbe": probe, "startupProbe": probe, "readinessProbe": probe,
        }));
        let command = ["/bin/check", "yes", "$(SECRET)", "$(DEEP)"].map(str::to_owned);
        let exec = |port| Probe::Exec {
            command: command.to_vec(),
            port,
        };
        assert_eq!(probes.readiness, exec(Some(8080)));
        for check in [probes.checks.liveness, probes.checks.startup] {
            let check = check.unwrap();
            assert_eq!(check.probe, exec(None));
            assert_eq!(check.timing.period, Duration::from_secs(10));
            assert_eq!(check.timing.timeout, Duration::from_secs(1));
        }
    }
}
