//! Columns of the kinds of core/v1 that are views, and of instances, as `k8s.io/kubernetes/pkg/printers/internalversion/printers.go`
//! makes them.

use api::Resource;
use jiff::Timestamp;
use serde_json::Value;

use super::table::{Column, Source, since};

const fn column(name: &'static str, priority: u8, source: Source) -> Column {
    Column {
        name,
        kind: "string",
        source,
        priority,
    }
}

const POD: [Column; 9] = [
    column("Name", 0, Source::Name),
    column("Ready", 0, Source::Of(pod_ready)),
    column("Status", 0, Source::Of(pod_status)),
    column("Restarts", 0, Source::Of(pod_restarts)),
    column("Age", 0, Source::Age),
    column("IP", 1, Source::Of(|pod, _| or_none(pod, "/status/podIP"))),
    column(
        "Node",
        1,
        Source::Of(|pod, _| or_none(pod, "/spec/nodeName")),
    ),
    column(
        "Nominated Node",
        1,
        Source::Of(|pod, _| or_none(pod, "/status/nominatedNodeName")),
    ),
    column(
        "Readiness Gates",
        1,
        Source::Of(|pod, _| or_none(pod, "/spec/readinessGates")),
    ),
];
const EVENT: [Column; 10] = [
    column("Last Seen", 0, Source::Of(event_last)),
    column("Type", 0, Source::At("/type")),
    column("Reason", 0, Source::At("/reason")),
    column("Object", 0, Source::Of(event_object)),
    column("Subobject", 1, Source::At("/involvedObject/fieldPath")),
    column("Source", 1, Source::Of(event_source)),
    column("Message", 0, Source::Of(event_message)),
    column("First Seen", 1, Source::Of(event_first)),
    Column {
        kind: "integer",
        ..column("Count", 1, Source::At("/count"))
    },
    column("Name", 1, Source::Name),
];
const SERVICE: [Column; 7] = [
    column("Name", 0, Source::Name),
    column("Type", 0, Source::At("/spec/type")),
    column(
        "Cluster-IP",
        0,
        Source::Of(|service, _| or_none(service, "/spec/clusterIP")),
    ),
    column(
        "External-IP",
        0,
        Source::Of(|service, _| or_none(service, "/spec/externalName")),
    ),
    column("Port(s)", 0, Source::Of(service_ports)),
    column("Age", 0, Source::Age),
    column(
        "Selector",
        1,
        Source::Of(|service, _| or_none(service, "/spec/selector")),
    ),
];
const INSTANCE: [Column; 7] = [
    column("Name", 0, Source::Name),
    column("Revision", 0, Source::At("/spec/revision")),
    column("Status", 0, Source::Of(instance_status)),
    column("Start", 0, Source::At("/status/start")),
    column("Age", 0, Source::Age),
    Column {
        kind: "integer",
        ..column("PID", 1, Source::At("/status/pid"))
    },
    column("Message", 1, Source::At("/status/message")),
];

/// As Knative's own definition prints them, and for those who want more, why it is so.
const AUTOSCALER: [Column; 6] = [
    column("Name", 0, Source::Name),
    Column {
        kind: "integer",
        ..column("DesiredScale", 0, Source::At("/status/desiredScale"))
    },
    Column {
        kind: "integer",
        ..column("ActualScale", 0, Source::At("/status/actualScale"))
    },
    column("Ready", 0, Source::Ready("status")),
    column("Reason", 0, Source::Ready("reason")),
    column("Why", 1, Source::Of(last_decision)),
];

fn last_decision(object: &Value, _: Timestamp) -> Value {
    let decisions = object["status"]["decisions"].as_array();
    decisions
        .and_then(|all| all.last())
        .map_or(Value::Null, |last| last["message"].clone())
}

/// All columns of a resource, if it is one of these.
pub(super) fn columns(resource: &Resource) -> Option<&'static [Column]> {
    match (resource.group, resource.kind) {
        ("", "Pod") => Some(&POD),
        ("", "Event") => Some(&EVENT),
        ("", "Service") => Some(&SERVICE),
        ("vhive.dev", "Instance") => Some(&INSTANCE),
        ("autoscaling.internal.knative.dev", "PodAutoscaler") => Some(&AUTOSCALER),
        _ => None,
    }
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn or_none(object: &Value, pointer: &str) -> Value {
    match text(object, pointer) {
        "" => "<none>".into(),
        text => text.into(),
    }
}

fn containers(pod: &Value) -> &[Value] {
    pod["status"]["containerStatuses"]
        .as_array()
        .map_or(&[], Vec::as_slice)
}

fn pod_ready(pod: &Value, _: Timestamp) -> Value {
    let all = pod["spec"]["containers"].as_array().map_or(0, Vec::len);
    let ready = containers(pod).iter().filter(|it| it["ready"] == true);
    format!("{}/{all}", ready.count()).into()
}

fn pod_status(pod: &Value, _: Timestamp) -> Value {
    if pod["metadata"]["deletionTimestamp"].is_string() {
        return "Terminating".into();
    }
    let mut status = match text(pod, "/status/reason") {
        "" => text(pod, "/status/phase").to_owned(),
        reason => reason.to_owned(),
    };
    // The first container has the last word.
    for container in containers(pod).iter().rev() {
        let terminated = &container["state"]["terminated"];
        if let Some(reason) = container["state"]["waiting"]["reason"].as_str() {
            reason.clone_into(&mut status);
        } else if let Some(reason) = terminated["reason"].as_str() {
            reason.clone_into(&mut status);
        } else if terminated.is_object() {
            status = match terminated["signal"].as_i64() {
                Some(signal) if signal != 0 => format!("Signal:{signal}"),
                _ => format!("ExitCode:{}", terminated["exitCode"]),
            };
        }
    }
    status.into()
}

fn pod_restarts(pod: &Value, now: Timestamp) -> Value {
    let containers = containers(pod).iter();
    let restarts: u64 = containers
        .clone()
        .filter_map(|it| it["restartCount"].as_u64())
        .sum();
    // Times of one form: the latest text is the latest time.
    let last = containers
        .map(|it| &it["lastState"]["terminated"]["finishedAt"])
        .filter(|at| at.is_string())
        .max_by_key(|at| at.as_str());
    match last {
        Some(last) if restarts > 0 => format!("{restarts} ({} ago)", since(last, now)).into(),
        _ => restarts.to_string().into(),
    }
}

fn event_last(event: &Value, now: Timestamp) -> Value {
    match &event["lastTimestamp"] {
        Value::Null => event_first(event, now),
        last => since(last, now).into(),
    }
}

fn event_first(event: &Value, now: Timestamp) -> Value {
    match &event["firstTimestamp"] {
        Value::Null => since(&event["eventTime"], now).into(),
        first => since(first, now).into(),
    }
}

fn event_object(event: &Value, _: Timestamp) -> Value {
    let kind = text(event, "/involvedObject/kind").to_lowercase();
    match text(event, "/involvedObject/name") {
        "" => kind.into(),
        name => format!("{kind}/{name}").into(),
    }
}

fn event_source(event: &Value, _: Timestamp) -> Value {
    let component = match text(event, "/source/component") {
        "" => text(event, "/reportingComponent"),
        component => component,
    };
    match text(event, "/source/host") {
        "" => component.into(),
        host => format!("{component}, {host}").into(),
    }
}

fn event_message(event: &Value, _: Timestamp) -> Value {
    text(event, "/message").trim().into()
}

fn service_ports(service: &Value, _: Timestamp) -> Value {
    let ports = service["spec"]["ports"].as_array();
    let ports: Vec<String> = ports
        .into_iter()
        .flatten()
        .map(|port| format!("{}/{}", port["port"], text(port, "/protocol")))
        .collect();
    if ports.is_empty() {
        "<none>".into()
    } else {
        ports.join(",").into()
    }
}

fn instance_status(instance: &Value, _: Timestamp) -> Value {
    match text(instance, "/status/reason") {
        "" => text(instance, "/status/phase").into(),
        reason => reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        "2026-01-02T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn an_autoscaler_says_what_it_wants_and_last_of_all_why() {
        let told = json!({"status": {"decisions": [{"message": "before"}, {"message": "now"}]}});
        assert_eq!(last_decision(&told, now()), "now");
        assert_eq!(last_decision(&json!({}), now()), Value::Null);
        let kpa = Resource {
            group: "autoscaling.internal.knative.dev",
            version: "v1alpha1",
            kind: "PodAutoscaler",
            plural: "podautoscalers",
            singular: "podautoscaler",
            short_names: &[],
            namespaced: true,
        };
        let names = columns(&kpa)
            .into_iter()
            .flatten()
            .map(|column| column.name);
        assert_eq!(
            names.collect::<Vec<_>>(),
            [
                "Name",
                "DesiredScale",
                "ActualScale",
                "Ready",
                "Reason",
                "Why"
            ]
        );
    }

    #[test]
    fn a_pods_status_is_what_its_container_does_or_that_it_is_leaving() {
        let pod = |phase: &str, state: Value| json!({"status": {"phase": phase, "containerStatuses": [{"state": state, "restartCount": 0}]}});
        let leaving = json!({
            "metadata": {"deletionTimestamp": "2026-01-01T23:59:00Z"}, "status": {"phase": "Running"},
        });
        for (pod, expected) in [
            (pod("Running", json!({"running": {}})), "Running"),
            (
                pod(
                    "Pending",
                    json!({"waiting": {"reason": "ContainerCreating"}}),
                ),
                "ContainerCreating",
            ),
            (
                pod(
                    "Failed",
                    json!({"terminated": {"reason": "Error", "exitCode": 3}}),
                ),
                "Error",
            ),
            (
                pod("Failed", json!({"terminated": {"exitCode": 3}})),
                "ExitCode:3",
            ),
            (
                pod(
                    "Failed",
                    json!({"terminated": {"exitCode": 137, "signal": 9}}),
                ),
                "Signal:9",
            ),
            (leaving, "Terminating"),
        ] {
            assert_eq!(pod_status(&pod, now()), expected);
        }
    }

    #[test]
    fn a_pods_restarts_are_counted_and_the_last_is_dated() {
        let pod = |restarts: u64, last: Value| json!({"status": {"containerStatuses": [{"restartCount": restarts, "lastState": last}]}});
        let ended = json!({"terminated": {"finishedAt": "2026-01-01T23:59:30Z"}});
        assert_eq!(pod_restarts(&pod(0, json!({})), now()), "0");
        assert_eq!(pod_restarts(&pod(3, ended), now()), "3 (30s ago)");
        assert_eq!(pod_restarts(&json!({}), now()), "0");
    }

    #[test]
    fn an_events_row_says_when_last_about_what_and_why() {
        let event = json!({
            "involvedObject": {"kind": "Revision", "name": "hello-00001"},
            "source": {"component": "vhive", "host": "here"},
            "firstTimestamp": "2026-01-01T23:58:00Z", "lastTimestamp": "2026-01-01T23:59:30Z",
            "message": "as ever\n",
        });
        let cells = [
            event_last(&event, now()),
            event_first(&event, now()),
            event_object(&event, now()),
            event_source(&event, now()),
            event_message(&event, now()),
        ];
        assert_eq!(
            cells,
            [
                "30s",
                "2m",
                "revision/hello-00001",
                "vhive, here",
                "as ever"
            ]
        );
    }

    #[test]
    fn a_services_ports_are_named_with_their_protocol() {
        let service = json!({"spec": {"ports": [{"port": 80, "protocol": "TCP"}, {"port": 81, "protocol": "TCP"}]}});
        assert_eq!(service_ports(&service, now()), "80/TCP,81/TCP");
        assert_eq!(service_ports(&json!({}), now()), "<none>");
    }
}
