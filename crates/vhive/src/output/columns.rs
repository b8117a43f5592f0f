//! The columns of each kind, as upstream's printer columns have them.

use serde_json::Value;

use crate::client::api::{Kind, Printed};

/// Text at a JSON pointer; empty if there is none.
pub(crate) fn text(object: &Value, pointer: &str) -> String {
    match object.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(flag)) => flag.to_string(),
        _ => String::new(),
    }
}

/// A field (`status`, `reason`, `message`) of a condition; `Unknown` status if the condition is not there.
pub(crate) fn condition(object: &Value, kind: &str, field: &str) -> String {
    let conditions = object
        .pointer("/status/conditions")
        .and_then(Value::as_array);
    let found = conditions
        .into_iter()
        .flatten()
        .find(|it| it.get("type").and_then(Value::as_str) == Some(kind));
    match found {
        Some(condition) => text(condition, &format!("/{field}")),
        None if field == "status" => "Unknown".to_owned(),
        None => String::new(),
    }
}

/// Header and rows of a list of objects.
pub(crate) fn rows(
    kind: Kind,
    items: &[Value],
    namespaces: bool,
    wide: bool,
) -> (Vec<String>, Vec<Vec<String>>) {
    let mut header: Vec<&str> = if namespaces {
        vec!["NAMESPACE"]
    } else {
        vec![]
    };
    header.extend(match kind {
        Kind::Service => &[
            "NAME",
            "URL",
            "LATESTCREATED",
            "LATESTREADY",
            "READY",
            "REASON",
        ][..],
        Kind::Configuration => &["NAME", "LATESTCREATED", "LATESTREADY", "READY", "REASON"],
        Kind::Revision => &[
            "NAME",
            "CONFIG NAME",
            "GENERATION",
            "READY",
            "REASON",
            "ACTUAL REPLICAS",
            "DESIRED REPLICAS",
        ],
        Kind::Route => &["NAME", "URL", "READY", "REASON"],
        Kind::Instance => &["NAME", "REVISION", "STATUS", "AGE"],
        Kind::Snapshot => &[
            "NAME",
            "REVISION",
            "MEMORY",
            "ON DISK",
            "WORKING SET",
            "RESTORES",
            "AGE",
        ],
        Kind::Namespace => &["NAME", "STATUS", "AGE"],
        Kind::ConfigMap => &["NAME", "DATA", "AGE"],
        Kind::Secret => &["NAME", "TYPE", "DATA", "AGE"],
        // Printed by the node, as `printed` has it.
        Kind::Pod | Kind::Event => &["NAME"],
        Kind::Autoscaler => &["NAME", "DESIRED", "ACTUAL", "READY", "REASON"],
    });
    match kind {
        _ if !wide => {}
        Kind::Instance => header.extend(["PID", "MESSAGE"]),
        Kind::Snapshot => header.extend(["HYPERVISOR", "ROOT"]),
        Kind::Namespace | Kind::ConfigMap | Kind::Secret | Kind::Pod | Kind::Event => {}
        Kind::Autoscaler => header.push("WHY"),
        _ => header.push("MESSAGE"),
    }
    let rows = items.iter().map(|item| {
        let mut row = if namespaces {
            vec![text(item, "/metadata/namespace")]
        } else {
            vec![]
        };
        row.push(text(item, "/metadata/name"));
        row.extend(cells(kind, item));
        match kind {
            _ if !wide => {}
            Kind::Instance => {
                row.extend([text(item, "/status/pid"), text(item, "/status/message")]);
            }
            Kind::Snapshot => {
                row.extend([text(item, "/status/hypervisor"), text(item, "/status/root")]);
            }
            Kind::Namespace | Kind::ConfigMap | Kind::Secret | Kind::Pod | Kind::Event => {}
            Kind::Autoscaler => row.push(why(item)),
            _ => row.push(condition(item, "Ready", "message")),
        }
        row
    });
    (
        header.into_iter().map(str::to_owned).collect(),
        rows.collect(),
    )
}

/// Header and rows of a list that the node has printed. Events are in the order in which they last happened.
pub(crate) fn printed(
    mut printed: Printed,
    namespaces: bool,
    wide: bool,
) -> (Vec<String>, Vec<Vec<String>>) {
    printed
        .rows
        .sort_by_cached_key(|row| text(&row.object, "/lastTimestamp"));
    let shown: Vec<bool> = printed
        .column_definitions
        .iter()
        .map(|column| wide || column.priority == 0)
        .collect();
    let mut header = Vec::new();
    if namespaces {
        header.push("NAMESPACE".to_owned());
    }
    let columns = printed.column_definitions.iter().zip(&shown);
    header.extend(
        columns
            .filter(|(_, shown)| **shown)
            .map(|(column, _)| column.name.to_uppercase()),
    );
    let rows = printed.rows.iter().map(|row| {
        let mut cells = Vec::new();
        if namespaces {
            cells.push(text(&row.object, "/metadata/namespace"));
        }
        let shown = row.cells.iter().zip(&shown).filter(|(_, shown)| **shown);
        cells.extend(shown.map(|(cell, _)| text(cell, "")));
        cells
    });
    (header, rows.collect())
}

fn cells(kind: Kind, item: &Value) -> Vec<String> {
    let ready = || condition(item, "Ready", "status");
    let reason = || condition(item, "Ready", "reason");
    let latest = |which: &str| text(item, &format!("/status/latest{which}RevisionName"));
    match kind {
        Kind::Service => vec![
            text(item, "/status/url"),
            latest("Created"),
            latest("Ready"),
            ready(),
            reason(),
        ],
        Kind::Configuration => vec![latest("Created"), latest("Ready"), ready(), reason()],
        Kind::Revision => vec![
            text(item, "/metadata/labels/serving.knative.dev~1configuration"),
            text(
                item,
                "/metadata/labels/serving.knative.dev~1configurationGeneration",
            ),
            ready(),
            reason(),
            text(item, "/status/actualReplicas"),
            text(item, "/status/desiredReplicas"),
        ],
        Kind::Route => vec![text(item, "/status/url"), ready(), reason()],
        Kind::Snapshot => vec![
            text(item, "/spec/revision"),
            bytes(item, "/status/memoryBytes"),
            bytes(item, "/status/onDiskBytes"),
            bytes(item, "/status/workingSet/bytes"),
            text(item, "/status/restores"),
            age(&text(item, "/metadata/creationTimestamp")),
        ],
        Kind::Instance => vec![
            text(item, "/metadata/labels/serving.knative.dev~1revision"),
            match text(item, "/status/reason") {
                reason if reason.is_empty() => text(item, "/status/phase"),
                reason => reason,
            },
            age(&text(item, "/metadata/creationTimestamp")),
        ],
        Kind::Namespace => vec![
            text(item, "/status/phase"),
            age(&text(item, "/metadata/creationTimestamp")),
        ],
        Kind::Pod | Kind::Event => Vec::new(),
        Kind::Autoscaler => vec![
            text(item, "/status/desiredScale"),
            text(item, "/status/actualScale"),
            ready(),
            reason(),
        ],
        Kind::ConfigMap => vec![
            count(item, &["/data", "/binaryData"]),
            age(&text(item, "/metadata/creationTimestamp")),
        ],
        Kind::Secret => vec![
            text(item, "/type"),
            count(item, &["/data"]),
            age(&text(item, "/metadata/creationTimestamp")),
        ],
    }
}

/// The reason of the last decision, in words.
fn why(item: &Value) -> String {
    let decisions = item.pointer("/status/decisions").and_then(Value::as_array);
    let last = decisions.and_then(|all| all.last());
    last.map_or_else(String::new, |last| text(last, "/message"))
}

/// How many fields the objects at these JSON pointers have together.
fn count(item: &Value, pointers: &[&str]) -> String {
    let fields = pointers
        .iter()
        .filter_map(|at| item.pointer(at)?.as_object());
    fields.map(serde_json::Map::len).sum::<usize>().to_string()
}

/// A size at a JSON pointer; `-` if there is none.
fn bytes(item: &Value, pointer: &str) -> String {
    let bytes = item.pointer(pointer).and_then(Value::as_u64);
    bytes.map_or_else(|| "-".to_owned(), super::size)
}

/// Time since an RFC 3339 timestamp, in its largest unit: `12s`, `3m`, `5h`, `2d`.
fn age(created: &str) -> String {
    let Ok(created) = created.parse::<jiff::Timestamp>() else {
        return String::new();
    };
    let seconds = jiff::Timestamp::now().duration_since(created).as_secs();
    match seconds {
        ..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_node_prints_is_ordered_by_time_and_wide_on_demand() {
        let list = || -> Printed {
            let row = |cell: &str, at: &str| json!({"cells": [cell, 1], "object": {"lastTimestamp": at, "metadata": {"namespace": "n"}}});
            serde_json::from_value(json!({
                "columnDefinitions": [{"name": "Reason", "priority": 0}, {"name": "Count", "priority": 1}],
                "rows": [row("later", "2026-01-02T00:00:00Z"), row("first", "2026-01-01T00:00:00Z")],
            }))
            .unwrap()
        };
        let (header, rows) = printed(list(), false, false);
        assert_eq!(
            (header, rows),
            (
                vec!["REASON".to_owned()],
                vec![vec!["first".to_owned()], vec!["later".to_owned()]]
            )
        );
        let (header, rows) = printed(list(), true, true);
        assert_eq!(header, ["NAMESPACE", "REASON", "COUNT"]);
        assert_eq!(rows[0], ["n", "first", "1"]);
    }
}
