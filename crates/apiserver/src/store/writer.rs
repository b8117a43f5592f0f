//! The one thread that writes. It takes all the changes that wait, plans them one after the other, commits them in one
//! transaction (group commit), makes them visible, and only then answers.
//!
//! ```text
//!            ┌──────────── next batch ────────────┐
//!            ▼                                    │
//!   receive ─► recover ─► plan ─► commit ─► publish ─► answer
//!                 │                  │
//!                 │ cannot open      │ failed: the disk is closed, the batch is in doubt
//!                 ▼                  ▼
//!              refuse ◄────────── recover: does the file have the batch after all?
//! ```
//!
//! After a failed commit redb wants the file closed and opened again, and only the reopened file tells whether the batch
//! is in it. Until then the batch is in doubt: its callers have been told that it failed, readers do not see it, and
//! nothing else is written.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Instant,
};

use jiff::Timestamp;
use prometheus_client::metrics::histogram::Histogram;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use super::{
    Change, Error, Event, EventKind, Key, Object, Written,
    change::{self, Circumstances, Outcome},
    disk::{self, Disk},
    namespace,
    object::{DEPTH, is_within},
    state::Publisher,
};
use crate::metrics::seconds;

/// Changes that may wait before senders do.
const QUEUE: usize = 1024;
/// Changes in one transaction.
const BATCH: usize = 256;

type Answer = Result<Written, Error>;
type Reply = oneshot::Sender<Answer>;

/// A change and who asked for it.
struct Request {
    key: Key,
    change: Change,
    reply: Reply,
}

/// The thread; dropped, it finishes what was sent and closes the file.
pub(super) struct Writer {
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
    /// Seconds of each commit.
    pub(super) commits: Histogram,
}

impl Writer {
    pub(super) fn spawn(path: &Path, disk: Disk, publisher: Publisher) -> std::io::Result<Self> {
        let (requests, receiver) = mpsc::channel(QUEUE);
        let commits = seconds();
        let task = Task {
            commits: commits.clone(),
            path: path.into(),
            disk: Some(disk),
            doubt: Vec::new(),
            publisher,
        };
        let thread = thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || task.run(receiver))?;
        Ok(Self {
            requests: Some(requests),
            thread: Some(thread),
            commits,
        })
    }

    /// For a store that has no file: it writes nothing.
    pub(super) fn none() -> Self {
        Self {
            requests: None,
            thread: None,
            commits: seconds(),
        }
    }

    pub(super) async fn write(&self, key: Key, change: Change) -> Result<Written, Error> {
        let (reply, answer) = oneshot::channel();
        let request = Request { key, change, reply };
        let requests = self.requests.as_ref().ok_or(Error::Closed)?;
        requests.send(request).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the store's writer panicked");
        }
    }
}

struct Task {
    path: PathBuf,
    /// None after a failed commit, until the file could be opened again.
    disk: Option<Disk>,
    /// The batch of the failed commit.
    doubt: Vec<Event>,
    publisher: Publisher,
    commits: Histogram,
}

impl Task {
    fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(first) = requests.blocking_recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH
                && let Ok(next) = requests.try_recv()
            {
                batch.push(next);
            }
            self.write(batch);
        }
    }

    fn write(&mut self, batch: Vec<Request>) {
        if let Err(error) = self.recover() {
            return refuse(batch, &error);
        }
        let (events, answers) = self.plan(batch);
        let result = self.commit(events);
        for (reply, answer) in answers {
            // Where the batch failed even a refusal or a no-op may rest on a write that is not there.
            let answer = result.clone().and(answer);
            // The caller may be gone; the write stands.
            let _ = reply.send(answer);
        }
    }

    fn plan(&self, batch: Vec<Request>) -> (Vec<Event>, Vec<(Reply, Answer)>) {
        let mut planned: HashMap<Key, Option<Object>> = HashMap::new();
        let mut events = Vec::with_capacity(batch.len());
        let mut answers = Vec::with_capacity(batch.len());
        let last = self.publisher.shared().read().log.last();
        for Request { key, change, reply } in batch {
            let find = |key: &Key| match planned.get(key) {
                Some(planned) => planned.clone(),
                None => self.publisher.shared().read().get(key).cloned(),
            };
            let resource_version = last + 1 + events.len() as u64;
            let current = find(&key);
            let answer = namespace::check(&key, &change, find)
                .and_then(|()| decide(&key, current.as_ref(), change, resource_version));
            let answer = answer.map(|(written, event)| {
                if let Some(event) = event {
                    let left = (event.kind != EventKind::Deleted).then(|| event.object.clone());
                    planned.insert(key, left);
                    events.push(event);
                }
                written
            });
            answers.push((reply, answer));
        }
        (events, answers)
    }

    fn commit(&mut self, events: Vec<Event>) -> Result<(), Error> {
        let Some(disk) = &self.disk else {
            return Err(Error::Closed);
        };
        if events.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        let Err(error) = disk.commit(&events) else {
            self.commits.observe(began.elapsed().as_secs_f64());
            self.publisher.publish(events);
            return Ok(());
        };
        warn!(%error, path = %self.path.display(), writes = events.len(), "commit failed");
        let failure = self.failure(error);
        self.disk = None;
        let last = events.last().map(Event::resource_version);
        self.doubt = events;
        match self.recover() {
            Ok(()) if Some(self.publisher.shared().read().log.last()) == last => Ok(()),
            _ => Err(failure),
        }
    }

    /// Opens the file again after a failed commit, and finds out whether the batch in doubt is in it.
    fn recover(&mut self) -> Result<(), Error> {
        if self.disk.is_some() {
            return Ok(());
        }
        let (disk, loaded) = Disk::open(&self.path).map_err(|error| {
            warn!(%error, path = %self.path.display(), "cannot open the store again");
            Error::Reopen {
                source: Arc::new(error),
            }
        })?;
        let doubt = std::mem::take(&mut self.doubt);
        let written = doubt
            .last()
            .is_some_and(|event| event.resource_version() == loaded.resource_version);
        info!(path = %self.path.display(), writes = doubt.len(), written, "store opened again");
        if written {
            self.publisher.publish(doubt);
        }
        self.disk = Some(disk);
        Ok(())
    }

    fn failure(&self, source: redb::Error) -> Error {
        let path = self.path.clone();
        if disk::is_disk_full(&source) {
            return Error::DiskFull { path };
        }
        Error::Write {
            path,
            source: Arc::new(source),
        }
    }
}

/// Plans one change; what it would write takes `resource_version`.
pub(super) fn decide(
    key: &Key,
    current: Option<&Object>,
    change: Change,
    resource_version: u64,
) -> Result<(Written, Option<Event>), Error> {
    let value = current.map(Object::value);
    // A deletion makes nothing deeper, and whatever there is can be deleted.
    let grows = !matches!(change, Change::Delete(..));
    let circumstances = Circumstances {
        now: Timestamp::now(),
        uid: uuid::Uuid::new_v4().to_string(),
        resource_version,
    };
    let (kind, value) = match (
        change::plan(key, value.as_ref(), change, circumstances)?,
        current,
    ) {
        (Outcome::Unchanged, Some(current)) => {
            return Ok((Written::Unchanged(current.clone()), None));
        }
        (Outcome::Unchanged, None) => return Err(Error::NotFound(key.clone())),
        (Outcome::Put(kind, value), _) => (kind, value),
        (Outcome::Remove(value), _) => (EventKind::Deleted, value),
    };
    if grows && !is_within(&value, DEPTH) {
        return Err(too_deep(key, &value));
    }
    let object = Object::from_value(key.clone(), &value).map_err(|error| Error::Invalid {
        key: key.clone(),
        field: "metadata",
        message: error.to_string(),
    })?;
    let event = Event {
        kind,
        object: object.clone(),
        previous: current.cloned(),
    };
    let written = match kind {
        EventKind::Deleted => Written::Removed(object),
        EventKind::Added | EventKind::Modified => Written::Stored(object),
    };
    Ok((written, Some(event)))
}

/// Who owns the fields of an object is a tree of their names in its metadata, so that this may be too deep where they are not.
fn too_deep(key: &Key, value: &Value) -> Error {
    let parts = ["status", "spec", "metadata"];
    let deep = |part: &&str| !is_within(&value[*part], DEPTH - 1);
    Error::Invalid {
        key: key.clone(),
        field: parts.into_iter().find(deep).unwrap_or("metadata"),
        message: format!(
            "Too deep: an object may have {DEPTH} levels of lists and objects, with those of metadata.managedFields, which has a \
             level for each level of a field and four more"
        ),
    }
}

fn refuse(batch: Vec<Request>, error: &Error) {
    for request in batch {
        let _ = request.reply.send(Err(error.clone()));
    }
}
