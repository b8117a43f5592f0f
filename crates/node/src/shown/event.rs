//! Events (`core/v1`): what happened to Services, Revisions and Pods, for `kubectl describe` and `kubectl get events`.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::event_book::{Book, Entry, Happening};
use super::{EVENTS, Shown, seconds};

/// Who says so.
const COMPONENT: &str = "vhive";
/// Characters of a message, as Kubernetes has it.
const LONGEST: usize = 1024;

/// What an event is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct About {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

impl About {
    pub(super) fn pod(namespace: &str, name: &str, uid: &str) -> Self {
        Self {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: uid.to_owned(),
        }
    }
}

/// Writes events. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Recorder {
    book: Arc<Mutex<Book>>,
    shown: Shown,
}

impl Recorder {
    pub(crate) fn new(shown: Shown) -> Self {
        Self {
            book: Arc::default(),
            shown,
        }
    }

    /// Something happened as it should.
    pub(crate) fn normal(&self, about: &About, reason: &str, message: impl AsRef<str>) {
        self.record(about, false, reason, message.as_ref());
    }

    /// Something happened that somebody may have to do something about.
    pub(crate) fn warning(&self, about: &About, reason: &str, message: impl AsRef<str>) {
        self.record(about, true, reason, message.as_ref());
    }

    /// Drops what is too old to be of interest.
    pub(crate) fn expire(&self) {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        self.hide(book.expire(Timestamp::now()));
    }

    fn record(&self, about: &About, warning: bool, reason: &str, message: &str) {
        let what = Happening {
            about: about.clone(),
            warning,
            reason: reason.to_owned(),
            message: message.chars().take(LONGEST).collect(),
        };
        // Shown under the lock, so that the last count is what is shown last.
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let (entry, gone) = book.note(what, Timestamp::now());
        let object = object(&entry, self.shown.host());
        self.shown
            .show(&EVENTS, &about.namespace, &entry.name, object);
        self.hide(gone);
    }

    fn hide(&self, entries: Vec<Entry>) {
        for entry in entries {
            self.shown
                .hide(&EVENTS, &entry.what.about.namespace, &entry.name);
        }
    }
}

fn object(entry: &Entry, host: &str) -> Value {
    let Happening {
        about,
        warning,
        reason,
        message,
    } = &*entry.what;
    json!({
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": {"creationTimestamp": seconds(entry.first)},
        "involvedObject": {
            "kind": about.kind, "apiVersion": about.api_version, "namespace": about.namespace, "name": about.name,
            "uid": about.uid,
        },
        "type": if *warning { "Warning" } else { "Normal" },
        "reason": reason,
        "message": message,
        "source": {"component": COMPONENT, "host": host},
        "firstTimestamp": seconds(entry.first),
        "lastTimestamp": seconds(entry.last),
        "count": entry.count,
        "eventTime": null,
        "reportingComponent": COMPONENT,
        "reportingInstance": host,
    })
}
