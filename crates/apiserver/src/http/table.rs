//! Tables: what `kubectl get` prints (`meta.k8s.io/v1`).

use api::Resource;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{query::IncludeObject, table_core};
use crate::store::Object;

/// A column, and where its value is.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) source: Source,
    /// 0 is always shown, 1 only in wide tables.
    pub(super) priority: u8,
}

pub(super) enum Source {
    /// The object's name.
    Name,
    /// A JSON pointer (RFC 6901).
    At(&'static str),
    /// A field of the condition Ready.
    Ready(&'static str),
    /// How many fields the objects at these JSON pointers have together.
    Count(&'static [&'static str]),
    /// How long the object has been there.
    Age,
    /// Made of several fields.
    Of(fn(&Value, Timestamp) -> Value),
}

const NAME: Column = Column {
    name: "Name",
    kind: "string",
    source: Source::Name,
    priority: 0,
};

const fn text(name: &'static str, at: &'static str) -> Column {
    Column {
        name,
        kind: "string",
        source: Source::At(at),
        priority: 0,
    }
}

const fn number(name: &'static str, at: &'static str) -> Column {
    Column {
        name,
        kind: "integer",
        source: Source::At(at),
        priority: 0,
    }
}

const fn ready(name: &'static str, field: &'static str) -> Column {
    Column {
        name,
        kind: "string",
        source: Source::Ready(field),
        priority: 0,
    }
}

const fn count(name: &'static str, at: &'static [&'static str]) -> Column {
    Column {
        name,
        kind: "integer",
        source: Source::Count(at),
        priority: 0,
    }
}

/// The columns of Knative's resource definitions, `config/core/300-resources/*.yaml`.
const SERVICE: [Column; 5] = [
    text("URL", "/status/url"),
    text("LatestCreated", "/status/latestCreatedRevisionName"),
    text("LatestReady", "/status/latestReadyRevisionName"),
    ready("Ready", "status"),
    ready("Reason", "reason"),
];
const CONFIGURATION: [Column; 4] = [
    text("LatestCreated", "/status/latestCreatedRevisionName"),
    text("LatestReady", "/status/latestReadyRevisionName"),
    ready("Ready", "status"),
    ready("Reason", "reason"),
];
const REVISION: [Column; 6] = [
    text(
        "Config Name",
        "/metadata/labels/serving.knative.dev~1configuration",
    ),
    text(
        "Generation",
        "/metadata/labels/serving.knative.dev~1configurationGeneration",
    ),
    ready("Ready", "status"),
    ready("Reason", "reason"),
    number("Actual Replicas", "/status/actualReplicas"),
    number("Desired Replicas", "/status/desiredReplicas"),
];
const ROUTE: [Column; 3] = [
    text("URL", "/status/url"),
    ready("Ready", "status"),
    ready("Reason", "reason"),
];
const AGE: Column = Column {
    name: "Age",
    kind: "string",
    source: Source::Age,
    priority: 0,
};

/// The columns of Kubernetes' printers, `pkg/printers/internalversion/printers.go`.
const NAMESPACE: [Column; 2] = [text("Status", "/status/phase"), AGE];
const CONFIG_MAP: [Column; 2] = [count("Data", &["/data", "/binaryData"]), AGE];
const SECRET: [Column; 3] = [text("Type", "/type"), count("Data", &["/data"]), AGE];
const OTHER: [Column; 1] = [AGE];

/// The columns after the first, which is the name for all but those that begin otherwise.
fn columns(resource: &Resource) -> (&'static Column, &'static [Column]) {
    if let Some(columns) = table_core::columns(resource) {
        return columns.split_first().unwrap_or((&NAME, &[]));
    }
    let columns: &'static [Column] = match (resource.group, resource.kind) {
        ("serving.knative.dev", "Service") => &SERVICE,
        ("serving.knative.dev", "Configuration") => &CONFIGURATION,
        ("serving.knative.dev", "Revision") => &REVISION,
        ("serving.knative.dev", "Route") => &ROUTE,
        ("", "Namespace") => &NAMESPACE,
        ("", "ConfigMap") => &CONFIG_MAP,
        ("", "Secret") => &SECRET,
        _ => &OTHER,
    };
    (&NAME, columns)
}

/// The table of some objects of one resource.
pub(super) fn of(
    resource: &Resource,
    objects: &[Object],
    resource_version: u64,
    include: IncludeObject,
) -> Value {
    let now = Timestamp::now();
    let (first, others) = columns(resource);
    let columns = || std::iter::once(first).chain(others);
    let definitions: Vec<Value> = columns().map(Column::definition).collect();
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let value = object.value();
            let name = object.key().name();
            let cells: Vec<Value> = columns()
                .map(|column| column.cell(name, &value, now))
                .collect();
            let mut row = json!({"cells": cells});
            match include {
                IncludeObject::None => {}
                IncludeObject::Metadata => row["object"] = partial(&value["metadata"]),
                IncludeObject::Object => row["object"] = value,
            }
            row
        })
        .collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": resource_version.to_string()},
        "columnDefinitions": definitions,
        "rows": rows,
    })
}

/// A bookmark for somebody who watches tables.
pub(super) fn bookmark(metadata: &Value) -> Value {
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": metadata["resourceVersion"]},
        "columnDefinitions": [],
        "rows": [{"cells": [], "object": partial(metadata)}],
    })
}

fn partial(metadata: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
}

impl Column {
    fn definition(&self) -> Value {
        let format = if matches!(self.source, Source::Name) {
            "name"
        } else {
            ""
        };
        json!({
            "name": self.name, "type": self.kind, "format": format, "description": "", "priority": self.priority,
        })
    }

    fn cell(&self, name: &str, object: &Value, now: Timestamp) -> Value {
        let found = match self.source {
            Source::Name => return name.into(),
            Source::Of(make) => return make(object, now),
            Source::At(pointer) => object.pointer(pointer),
            Source::Ready(field) => object["status"]["conditions"]
                .as_array()
                .and_then(|conditions| {
                    conditions
                        .iter()
                        .find(|condition| condition["type"] == "Ready")
                })
                .and_then(|ready| ready.get(field)),
            Source::Count(pointers) => {
                let fields = pointers
                    .iter()
                    .filter_map(|at| object.pointer(at)?.as_object());
                return fields.map(serde_json::Map::len).sum::<usize>().into();
            }
            Source::Age => return age(object, now).into(),
        };
        found.cloned().unwrap_or_default()
    }
}

fn age(object: &Value, now: Timestamp) -> String {
    since(&object["metadata"]["creationTimestamp"], now)
}

/// The time since then as `kubectl` writes it: two units while the first is small (`k8s.io/apimachinery/pkg/util/duration`).
pub(super) fn since(then: &Value, now: Timestamp) -> String {
    let Some(then) = then
        .as_str()
        .and_then(|text| text.parse::<Timestamp>().ok())
    else {
        return "<unknown>".into();
    };
    let seconds = now.duration_since(then).as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |large: i64, large_unit: char, small: i64, small_unit: char| match small {
        0 => format!("{large}{large_unit}"),
        small => format!("{large}{large_unit}{small}{small_unit}"),
    };
    if seconds < 120 {
        format!("{seconds}s")
    } else if minutes < 10 {
        two(minutes, 'm', seconds % 60, 's')
    } else if minutes < 180 {
        format!("{minutes}m")
    } else if hours < 8 {
        two(hours, 'h', minutes % 60, 'm')
    } else if hours < 48 {
        format!("{hours}h")
    } else if days < 8 {
        two(days, 'd', hours % 24, 'h')
    } else if days < 730 {
        format!("{days}d")
    } else {
        two(days / 365, 'y', days % 365, 'd')
    }
}

#[cfg(test)]
mod tests {
    use api::resource::{CONFIG_MAPS, REVISIONS, SECRETS, SERVICES};

    use super::*;
    use crate::store::Key;

    fn object(resource: &Resource, value: &Value) -> Object {
        let key = Key::new(&resource.qualified(), "default", "a").unwrap();
        Object::from_json(key, value.to_string()).unwrap()
    }

    #[test]
    fn a_row_shows_what_the_columns_name() {
        let service = object(
            &SERVICES,
            &json!({
                "metadata": {"name": "a", "resourceVersion": "3"},
                "status": {
                    "url": "http://a", "latestCreatedRevisionName": "a-00002",
                    "conditions": [{"type": "Ready", "status": "False", "reason": "RevisionFailed"}],
                },
            }),
        );
        let table = of(&SERVICES, &[service], 7, IncludeObject::Metadata);
        let cells = json!(["a", "http://a", "a-00002", null, "False", "RevisionFailed"]);
        assert_eq!(table["rows"][0]["cells"], cells);
        assert_eq!(
            table["rows"][0]["object"]["metadata"]["resourceVersion"],
            "3"
        );
        assert_eq!(table["metadata"]["resourceVersion"], "7");
        assert_eq!(table["columnDefinitions"].as_array().unwrap().len(), 6);

        let revision = object(
            &REVISIONS,
            &json!({
                "metadata": {"resourceVersion": "3", "labels": {"serving.knative.dev/configuration": "a"}},
                "status": {"actualReplicas": 2},
            }),
        );
        let table = of(&REVISIONS, &[revision], 7, IncludeObject::None);
        assert_eq!(
            table["rows"][0],
            json!({"cells": ["a", "a", null, null, null, 2, null]})
        );
    }

    #[test]
    fn keys_are_counted_and_no_value_is_shown() {
        let map = object(
            &CONFIG_MAPS,
            &json!({"metadata": {"resourceVersion": "3"}, "data": {"a": "1", "b": "2"}, "binaryData": {"c": "Mw=="}}),
        );
        let table = of(&CONFIG_MAPS, &[map], 7, IncludeObject::None);
        assert_eq!(table["rows"][0]["cells"], json!(["a", 3, "<unknown>"]));
        let secret = object(
            &SECRETS,
            &json!({"metadata": {"resourceVersion": "3"}, "type": "Opaque"}),
        );
        let table = of(&SECRETS, &[secret], 7, IncludeObject::None);
        let cells = json!(["a", "Opaque", 0, "<unknown>"]);
        assert_eq!(table["rows"][0]["cells"], cells);
    }

    #[test]
    fn ages_are_short() {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        let cases = [
            ("2026-01-01T23:59:59Z", "1s"),
            ("2026-01-01T23:55:30Z", "4m30s"),
            ("2026-01-01T23:30:10Z", "29m"),
            ("2026-01-01T19:55:00Z", "4h5m"),
            ("2025-12-29T00:00:00Z", "4d"),
            ("2025-12-01T00:00:00Z", "32d"),
            ("2023-01-02T00:00:00Z", "3y1d"),
            ("2026-01-03T00:00:00Z", "0s"),
            ("yesterday", "<unknown>"),
        ];
        for (created, age_text) in cases {
            assert_eq!(
                age(&json!({"metadata": {"creationTimestamp": created}}), now),
                age_text
            );
        }
    }
}
