//! The probes of a container, out of their Kubernetes shape.

use std::time::Duration;

use api::core::{Container, Probe as Asked};
use sandbox::{Check, Checks, Probe, Timing};
use serde_json::Value;

/// What Kubernetes takes for a count that is not set, or 0.
const PERIOD: u64 = 10;
const TIMEOUT: u64 = 1;
const SUCCESSES: u32 = 1;
const FAILURES: u32 = 3;

/// The probe is of a kind that functions cannot have here.
#[derive(Debug, thiserror::Error)]
#[error("a probe with {0} is not supported yet: use httpGet, tcpSocket or grpc")]
pub(crate) struct Unsupported(&'static str);

/// What is asked of a function that listens on `port`.
#[derive(Debug, Clone)]
pub(crate) struct Probes {
    pub(crate) readiness: Probe,
    pub(crate) checks: Checks,
}

impl Probes {
    pub(crate) fn of(container: &Container, port: u16) -> Result<Self, Unsupported> {
        let check = |asked: &Option<Asked>| -> Result<Option<Check>, Unsupported> {
            let Some(asked) = asked else {
                return Ok(None);
            };
            Ok(Some(Check {
                probe: action(asked, port)?,
                timing: timing(asked, PERIOD),
            }))
        };
        let readiness = container.readiness_probe.as_ref();
        Ok(Self {
            readiness: match readiness {
                Some(asked) => action(asked, port)?,
                None => Probe::Tcp { port },
            },
            checks: Checks {
                startup: check(&container.startup_probe)?,
                // Knative's own: without a period it is tried without a pause.
                readiness: readiness.map_or_else(Timing::default, |asked| timing(asked, 0)),
                liveness: check(&container.liveness_probe)?,
            },
        })
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

fn action(asked: &Asked, port: u16) -> Result<Probe, Unsupported> {
    let port_of = |value: &Value| {
        let number = value.as_u64().and_then(|it| u16::try_from(it).ok());
        number.filter(|it| *it != 0).unwrap_or(port)
    };
    if asked.exec.is_some() {
        return Err(Unsupported("exec"));
    }
    if let Some(get) = &asked.http_get {
        let headers = get.http_headers.iter().filter_map(|header| {
            let field = |name| Some(header.get(name)?.as_str()?.to_owned());
            Some((field("name")?, field("value")?))
        });
        return Ok(Probe::Http {
            port: port_of(&get.port),
            path: if get.path.is_empty() {
                "/".to_owned()
            } else {
                get.path.clone()
            },
            headers: headers.collect(),
        });
    }
    if let Some(grpc) = &asked.grpc {
        let service = grpc.get("service").and_then(Value::as_str);
        return Ok(Probe::Grpc {
            port: grpc.get("port").map_or(port, port_of),
            service: service.unwrap_or_default().to_owned(),
        });
    }
    Ok(Probe::Tcp {
        port: asked
            .tcp_socket
            .as_ref()
            .map_or(port, |socket| port_of(&socket.port)),
    })
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

    fn probes(container: Value) -> Result<Probes, Unsupported> {
        Probes::of(&serde_json::from_value(container).unwrap(), 8080)
    }

    #[test]
    fn without_any_the_port_must_accept_and_nothing_else_is_asked() {
        for container in [
            json!({}),
            json!({"readinessProbe": {"tcpSocket": {"port": 0}, "successThreshold": 1}}),
        ] {
            let probes = probes(container).unwrap();
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
        }))
        .unwrap();
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
        }))
        .unwrap();
        assert_eq!(probes.allowance(), Duration::from_secs(300 + 90));
    }

    #[test]
    fn a_command_is_refused_with_what_to_use_instead() {
        for field in ["livenessProbe", "readinessProbe", "startupProbe"] {
            let error = probes(json!({field: {"exec": {"command": ["true"]}}})).unwrap_err();
            assert!(error.to_string().contains("httpGet, tcpSocket or grpc"));
        }
    }
}
