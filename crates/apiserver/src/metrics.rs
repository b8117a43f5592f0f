//! What the API server counts, for Prometheus: names are those of `kube-apiserver` where it counts the same.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::StatusCode;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text},
    metrics::{
        MetricType,
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
    },
    registry::Registry,
};

use crate::{http::Attributes, process, store::Store};

/// Seconds, as `kube-apiserver` has them, with more at the low end: a node answers sooner than a cluster.
const SECONDS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// The media type of [`Metrics::text`].
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is counted. Clones count together.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    /// Group, plural and subresource of all that is served. Everything else is counted as one, or clients could make any number of
    /// counts.
    served: OnceLock<HashSet<(String, String, String)>>,
    requests: Family<Request, Counter>,
    durations: Family<Timed, Histogram>,
    watchers: Family<OfResource, Gauge>,
    events: Family<OfResource, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    verb: String,
    group: String,
    resource: String,
    subresource: String,
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Timed {
    verb: String,
    group: String,
    resource: String,
}

/// `plural.group`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfResource {
    resource: String,
}

/// A histogram of times on the scale of all.
pub(crate) fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

impl Metrics {
    /// Nothing counted yet; what a store holds is looked up when it is asked for.
    pub fn new(store: &Store) -> Self {
        let mut registry = Registry::default();
        let requests = Family::default();
        let durations: Family<Timed, Histogram> = Family::new_with_constructor(seconds);
        let (watchers, events) = (Family::default(), Family::default());
        registry.register(
            "apiserver_request",
            "Requests by what they were about and how they were answered",
            requests.clone(),
        );
        registry.register(
            "apiserver_request_duration_seconds",
            "Time until the answer of requests that have an end of their own",
            durations.clone(),
        );
        registry.register(
            "apiserver_registered_watchers",
            "Watches that are open",
            watchers.clone(),
        );
        registry.register(
            "apiserver_watch_events",
            "Events sent to watchers",
            events.clone(),
        );
        registry.register(
            "vhive_store_commit_duration_seconds",
            "Time that one commit of writes takes to be on the disk",
            store.commit_seconds(),
        );
        registry.register_collector(Box::new(Now(store.clone())));
        Self(Arc::new(Inner {
            registry,
            served: OnceLock::new(),
            requests,
            durations,
            watchers,
            events,
        }))
    }

    /// All of it in the format of `OpenMetrics`, which Prometheus reads.
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.0.registry)?;
        Ok(text)
    }

    /// Says what is served; the first to say it counts.
    pub(crate) fn serves(&self, served: impl Iterator<Item = (String, String, String)>) {
        self.0.served.get_or_init(|| served.collect());
    }

    /// Counts a request that was answered.
    pub(crate) fn count(&self, what: &Attributes, code: StatusCode, took: Duration) {
        let about = (
            what.group.clone(),
            what.resource.clone(),
            what.subresource.clone(),
        );
        let served = |served: &HashSet<_>| served.contains(&about);
        let (group, resource, subresource) = if self.0.served.get().is_some_and(served) {
            about
        } else if what.resource.is_empty() {
            Default::default()
        } else {
            (String::new(), "unknown".to_owned(), String::new())
        };
        let verb = verb(&what.verb);
        if !what.is_long_running() {
            let timed = Timed {
                verb: verb.to_owned(),
                group: group.clone(),
                resource: resource.clone(),
            };
            self.0
                .durations
                .get_or_create(&timed)
                .observe(took.as_secs_f64());
        }
        let request = Request {
            verb: verb.to_owned(),
            group,
            resource,
            subresource,
            code: code.as_u16(),
        };
        self.0.requests.get_or_create(&request).inc();
    }

    /// Counts a watch as open until what is returned is dropped.
    pub(crate) fn watcher(&self, resource: String) -> Watcher {
        let resource = OfResource { resource };
        let open = self.0.watchers.get_or_create_owned(&resource);
        open.inc();
        Watcher {
            open,
            events: self.0.events.get_or_create_owned(&resource),
        }
    }
}

/// Upper case, as `kube-apiserver` has them; methods that nobody knows are one.
fn verb(verb: &str) -> &'static str {
    match verb {
        "get" => "GET",
        "head" => "HEAD",
        "list" => "LIST",
        "watch" => "WATCH",
        "create" => "CREATE",
        "post" => "POST",
        "update" => "UPDATE",
        "put" => "PUT",
        "patch" => "PATCH",
        "delete" => "DELETE",
        "deletecollection" => "DELETECOLLECTION",
        _ => "OTHER",
    }
}

/// An open watch.
pub(crate) struct Watcher {
    open: Gauge,
    events: Counter,
}

impl Watcher {
    /// Counts an event that it was sent.
    pub(crate) fn sent(&self) {
        self.events.inc();
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.open.dec();
    }
}

/// What is looked up when it is asked for.
struct Now(Store);

impl fmt::Debug for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Now")
    }
}

impl Collector for Now {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let mut objects = encoder.encode_descriptor(
            "apiserver_storage_objects",
            "Objects in the store",
            None,
            MetricType::Gauge,
        )?;
        for (resource, count) in self.0.count() {
            let labels = [("resource", resource)];
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            ConstGauge::new(count).encode(objects.encode_family(&labels)?)?;
        }
        let mut counter = |name: &str, help: &str, value: f64| {
            let encoder = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(value).encode(encoder)
        };
        counter(
            "process_cpu_seconds",
            "Processor time of the node's process, without its guests",
            process::cpu().as_secs_f64(),
        )?;
        let mut gauge = |name: &str, help: &str, value: u64| {
            let encoder = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(encoder)
        };
        gauge(
            "vhive_store_resource_version",
            "The resourceVersion of the last write",
            self.0.resource_version(),
        )?;
        gauge(
            "process_resident_memory_bytes",
            "Memory of the node's process that is in RAM, without its guests'",
            process::resident_bytes(),
        )
    }
}
