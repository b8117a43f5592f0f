//! A watch as a stream of JSON lines.
//!
//! ```text
//!            what is there now          what happens
//!   start ─► Initial ────────────────► Following ─┬─► ended: timeout, shutdown
//!     │      (no resourceVersion,      ▲          └─► ERROR 410: fell behind the log
//!     │       or 0, or asked for)      │
//!     └────────────────────────────────┘
//!              from a resourceVersion
//! ```

use std::{collections::VecDeque, time::Duration};

use api::Resource;
use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, header::CONTENT_TYPE};
use serde_json::{Value, json};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::{Answer, Config, accept::Form, error::Failure, query::ListOptions, table};
use crate::metrics::Watcher;
use crate::store::{self, Event, EventKind, Object};

/// A watch that asks for no end gets this one.
const TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// One that asks for a later end than this gets it then, and goes on from there.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// Objects of the initial state in one piece of the stream.
const PIECE: usize = 64;

pub(super) fn start(
    config: &Config,
    resource: &Resource,
    namespace: Option<&str>,
    options: ListOptions,
    form: Form,
) -> Answer {
    let name = resource.qualified();
    let from_now = matches!(options.resource_version, None | Some(0)) || options.initial_events;
    let (initial, from) = if from_now {
        let list = config.store.list(&name, namespace);
        (list.objects, list.resource_version)
    } else {
        (Vec::new(), options.resource_version.unwrap_or_default())
    };
    let refused = |error| Failure::of_store(resource, error);
    if let Some(wanted) = options.resource_version
        && wanted > config.store.resource_version()
    {
        let current = config.store.resource_version();
        return Err(refused(store::Error::Future { wanted, current }));
    }
    let log = config
        .store
        .watch(Some(&name), namespace, from)
        .map_err(refused)?;
    let mut bookmarks = tokio::time::interval_at(Instant::now() + BOOKMARK_EVERY, BOOKMARK_EVERY);
    bookmarks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watch = Watch {
        watcher: config.metrics.watcher(name),
        resource: *resource,
        initial: initial.into(),
        initial_end: options.initial_events && options.bookmarks,
        deadline: Instant::now() + options.timeout.unwrap_or(TIMEOUT).min(LONGEST),
        log,
        form,
        columns_sent: false,
        options,
        bookmarks,
        shutdown: config.shutdown.clone(),
        ended: false,
    };
    let stream = stream::unfold(watch, |mut watch| async move {
        let piece = watch.next().await?;
        Some((Ok::<_, std::convert::Infallible>(piece), watch))
    });
    let mut response = Response::new(Body::from_stream(stream));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

struct Watch {
    watcher: Watcher,
    resource: Resource,
    initial: VecDeque<Object>,
    /// A bookmark is still due at the end of the initial state.
    initial_end: bool,
    log: store::Watch,
    form: Form,
    columns_sent: bool,
    options: ListOptions,
    deadline: Instant,
    bookmarks: Interval,
    shutdown: CancellationToken,
    ended: bool,
}

impl Watch {
    /// The next piece of the stream; `None` at its end. Never empty, because an empty chunk ends a chunked body.
    async fn next(&mut self) -> Option<Bytes> {
        let mut piece = Vec::new();
        while piece.is_empty() {
            if self.ended {
                return None;
            }
            if !self.initial.is_empty() {
                let count = self.initial.len().min(PIECE);
                let objects: Vec<Object> = self.initial.drain(..count).collect();
                for object in &objects {
                    if self.selects(object) {
                        self.write(&mut piece, "ADDED", object);
                    }
                }
                continue;
            }
            if std::mem::take(&mut self.initial_end) {
                self.bookmark(&mut piece, json!({"k8s.io/initial-events-end": "true"}));
                continue;
            }
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => self.ended = true,
                () = tokio::time::sleep_until(self.deadline) => {
                    // The client goes on from here.
                    self.ended = true;
                    self.bookmark(&mut piece, Value::Null);
                }
                events = self.log.next() => match events {
                    Ok(events) => self.events(&mut piece, &events),
                    Err(error) => {
                        self.ended = true;
                        self.error(&mut piece, error);
                    }
                },
                _ = self.bookmarks.tick() => self.bookmark(&mut piece, Value::Null),
            }
        }
        Some(piece.into())
    }

    fn selects(&self, object: &Object) -> bool {
        self.options.labels.matches(object.labels()) && self.options.fields.matches(object)
    }

    fn events(&mut self, piece: &mut Vec<u8>, events: &[Event]) {
        for event in events {
            let previous = event.previous.as_ref();
            let before = previous.is_some_and(|previous| self.selects(previous));
            let after = self.selects(&event.object);
            if let Some(kind) = seen_through_selector(event.kind, before, after) {
                self.write(piece, kind, &event.object);
            }
        }
    }

    fn write(&mut self, piece: &mut Vec<u8>, kind: &str, object: &Object) {
        self.watcher.sent();
        if self.form == Form::Table {
            let mut table = table::of(
                &self.resource,
                std::slice::from_ref(object),
                object.resource_version(),
                self.options.include_object,
            );
            if std::mem::replace(&mut self.columns_sent, true) {
                table["columnDefinitions"] = json!([]);
            }
            return line(piece, kind, table.to_string().as_bytes());
        }
        line(piece, kind, object.json());
    }

    fn bookmark(&self, piece: &mut Vec<u8>, annotations: Value) {
        if !self.options.bookmarks {
            return;
        }
        let mut metadata = json!({"resourceVersion": self.log.position().to_string()});
        if !annotations.is_null() {
            metadata["annotations"] = annotations;
        }
        let object = match self.form {
            Form::Table => table::bookmark(&metadata),
            _ => json!({
                "apiVersion": self.resource.api_version(), "kind": self.resource.kind, "metadata": metadata,
            }),
        };
        line(piece, "BOOKMARK", object.to_string().as_bytes());
    }

    fn error(&self, piece: &mut Vec<u8>, error: store::Error) {
        // A store that closes is a server that ends: the stream just ends, too.
        if !matches!(error, store::Error::Closed) {
            let status = Failure::of_store(&self.resource, error).to_json();
            line(piece, "ERROR", status.to_string().as_bytes());
        }
    }
}

fn line(piece: &mut Vec<u8>, kind: &str, object: &[u8]) {
    piece.extend_from_slice(br#"{"type":""#);
    piece.extend_from_slice(kind.as_bytes());
    piece.extend_from_slice(br#"","object":"#);
    piece.extend_from_slice(object);
    piece.extend_from_slice(b"}\n");
}

/// What an event is to somebody who sees only what a selector lets through (`cacher/cache_watcher.go`).
fn seen_through_selector(kind: EventKind, before: bool, after: bool) -> Option<&'static str> {
    match (kind, before, after) {
        (EventKind::Deleted, before, after) => (before || after).then_some("DELETED"),
        (EventKind::Added, _, true) | (EventKind::Modified, false, true) => Some("ADDED"),
        (EventKind::Modified, true, true) => Some("MODIFIED"),
        (EventKind::Modified, true, false) => Some("DELETED"),
        (_, _, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_turns_changes_into_coming_and_going() {
        use EventKind::{Added, Deleted, Modified};
        let cases = [
            (Added, false, true, Some("ADDED")),
            (Added, false, false, None),
            (Modified, false, false, None),
            (Modified, false, true, Some("ADDED")),
            (Modified, true, false, Some("DELETED")),
            (Modified, true, true, Some("MODIFIED")),
            (Deleted, true, true, Some("DELETED")),
            (Deleted, false, false, None),
        ];
        for (kind, before, after, seen) in cases {
            assert_eq!(
                seen_through_selector(kind, before, after),
                seen,
                "{kind:?} {before} {after}"
            );
        }
    }
}
