use std::fmt::{Display, Write as _};

use crate::key::RevisionKey;
use crate::revision::Stats;

/// The Prometheus text exposition format, version 0.0.4.
pub(crate) fn text(revisions: &[(RevisionKey, Stats)]) -> String {
    let mut out = String::new();
    family(
        &mut out,
        "vhive_gateway_requests_in_flight",
        "gauge",
        "Requests that an instance works on.",
        revisions,
        |stats| stats.in_flight,
    );
    family(
        &mut out,
        "vhive_gateway_requests_queued",
        "gauge",
        "Requests that wait for an instance.",
        revisions,
        |stats| stats.queued,
    );
    family(
        &mut out,
        "vhive_gateway_request_seconds_total",
        "counter",
        "Time that requests spent in flight and queued; its rate is the average concurrency.",
        revisions,
        |stats| stats.request_time.as_secs_f64(),
    );
    let name = "vhive_gateway_requests_total";
    head(
        &mut out,
        name,
        "counter",
        "Answered requests by class of status.",
    );
    for (key, stats) in revisions {
        for (class, count) in (1..).zip(stats.responses) {
            if count > 0 {
                let labels = labels(key);
                let _ = writeln!(out, "{name}{{{labels},class=\"{class}xx\"}} {count}");
            }
        }
    }
    out
}

fn family<V: Display>(
    out: &mut String,
    name: &str,
    kind: &str,
    help: &str,
    revisions: &[(RevisionKey, Stats)],
    value: impl Fn(&Stats) -> V,
) {
    head(out, name, kind, help);
    for (key, stats) in revisions {
        let _ = writeln!(out, "{name}{{{}}} {}", labels(key), value(stats));
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// Names of Kubernetes objects need no escaping.
fn labels(key: &RevisionKey) -> String {
    format!("namespace=\"{}\",revision=\"{}\"", key.namespace, key.name)
}
