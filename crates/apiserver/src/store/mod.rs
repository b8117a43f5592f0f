//! The embedded object store: Kubernetes' view of a database, in one file.
//!
//! Objects are JSON under `(resource, namespace, name)`. One counter, the resourceVersion, orders all writes. Reads come
//! from memory; a write is on disk before it is visible, and visible before it is answered.

mod change;
mod disk;
mod error;
mod key;
mod log;
mod memory;
mod namespace;
mod object;
mod state;
mod watch;
mod writer;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use prometheus_client::metrics::histogram::Histogram;
use serde_json::Value;

pub(crate) use self::change::finalizer;
pub(crate) use self::object::{DEPTH, is_within};
pub use self::{
    change::{Change, Preconditions, Propagation},
    error::{Error, OpenError},
    key::Key,
    log::{Event, EventKind},
    memory::Memory,
    object::{Labels, Object},
    watch::Watch,
};
use self::{
    disk::Disk,
    log::Log,
    state::{Shared, State},
    writer::Writer,
};

/// How much of the past watches can be resumed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Events in the watch log.
    pub log_events: usize,
    /// Bytes of JSON in the watch log.
    pub log_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            log_events: 16_384,
            log_bytes: 16 << 20,
        }
    }
}

/// A store. Clones share it; the file is closed when the last one is dropped.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    writer: Arc<Writer>,
}

/// What a write did.
#[derive(Debug, Clone)]
pub enum Written {
    /// Nothing: this was there already.
    Unchanged(Object),
    /// This is stored now.
    Stored(Object),
    /// It is gone; this was its last state.
    Removed(Object),
}

impl Written {
    /// The object as the write left it.
    pub fn into_object(self) -> Object {
        match self {
            Self::Unchanged(object) | Self::Stored(object) | Self::Removed(object) => object,
        }
    }
}

/// Objects at one moment.
#[derive(Debug, Clone)]
pub struct List {
    /// In the order of namespace and name.
    pub objects: Vec<Object>,
    /// The moment: a watch from here misses nothing.
    pub resource_version: u64,
}

impl Store {
    /// Opens the store file, or makes it. Blocks for I/O.
    ///
    /// # Errors
    /// [`OpenError`], each with what to do next.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_with(path, Options::default())
    }

    /// [`Store::open`] with a watch log of another size.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with(path: &Path, options: Options) -> Result<Self, OpenError> {
        let (disk, loaded) = Disk::open(path)?;
        let log = Log::new(
            loaded.resource_version,
            options.log_events,
            options.log_bytes,
        );
        let (shared, publisher) = Shared::new(State::new(loaded.objects, log));
        let writer = Writer::spawn(path, disk, publisher).map_err(|source| OpenError::Io {
            path: path.into(),
            source,
        })?;
        Ok(Self {
            shared,
            writer: Arc::new(writer),
        })
    }

    /// The object, if there is one.
    pub fn get(&self, key: &Key) -> Option<Object> {
        self.shared.read().get(key).cloned()
    }

    /// All objects of `resource` (`plural.group`), in one namespace or in all.
    pub fn list(&self, resource: &str, namespace: Option<&str>) -> List {
        let state = self.shared.read();
        List {
            objects: state.list(resource, namespace),
            resource_version: state.log.last(),
        }
    }

    /// The objects of `resource` as they were at an earlier moment.
    ///
    /// # Errors
    /// [`Error::Expired`] when the watch log does not reach back to `at`; [`Error::Future`] when it has not happened.
    pub fn list_at(&self, resource: &str, namespace: Option<&str>, at: u64) -> Result<List, Error> {
        let state = self.shared.read();
        Ok(List {
            objects: state.list_at(resource, namespace, at)?,
            resource_version: at,
        })
    }

    /// All objects of all resources, at one moment.
    pub fn everything(&self) -> List {
        let state = self.shared.read();
        List {
            objects: state.everything(),
            resource_version: state.log.last(),
        }
    }

    /// How many objects of each resource there are.
    pub fn count(&self) -> BTreeMap<String, usize> {
        self.shared.read().count()
    }

    /// How long commits took.
    pub(crate) fn commit_seconds(&self) -> Histogram {
        self.writer.commits.clone()
    }

    /// The resourceVersion of the last write.
    pub fn resource_version(&self) -> u64 {
        self.shared.read().log.last()
    }

    /// Events after `from`: of all resources, of one, or of one in one namespace.
    ///
    /// # Errors
    /// [`Error::Expired`] when the log does not reach back to `from`; [`Error::Future`] when `from` has not happened.
    pub fn watch(
        &self,
        resource: Option<&str>,
        namespace: Option<&str>,
        from: u64,
    ) -> Result<Watch, Error> {
        Watch::new(self.shared.clone(), resource, namespace, from)
    }

    /// Makes a change; it is on disk when this returns.
    ///
    /// # Errors
    /// [`Error`]. After [`Error::Closed`] and the errors of the disk the change may or may not have been made.
    pub async fn write(&self, key: &Key, change: Change) -> Result<Written, Error> {
        self.writer.write(key.clone(), change).await
    }

    /// What [`Store::write`] would do now.
    ///
    /// # Errors
    /// As [`Store::write`], but for those of the disk.
    pub fn dry_run(&self, key: &Key, change: Change) -> Result<Written, Error> {
        let current = self.get(key);
        // Not a version of its own: nothing is written.
        let resource_version = self.resource_version();
        namespace::check(key, &change, |namespace| self.get(namespace))?;
        writer::decide(key, current.as_ref(), change, resource_version).map(|(written, _)| written)
    }

    /// Stores a new object.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`], and as [`Store::write`].
    pub async fn create(&self, key: &Key, object: Value) -> Result<Object, Error> {
        self.write(key, Change::Create(object))
            .await
            .map(Written::into_object)
    }

    /// Replaces everything but the status. If the object has a resourceVersion or uid, they must match.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Modified`], and as [`Store::write`].
    pub async fn update(&self, key: &Key, object: Value) -> Result<Object, Error> {
        self.write(key, Change::Update(object))
            .await
            .map(Written::into_object)
    }

    /// Replaces the status, under the same conditions.
    ///
    /// # Errors
    /// As [`Store::update`].
    pub async fn update_status(&self, key: &Key, object: Value) -> Result<Object, Error> {
        self.write(key, Change::UpdateStatus(object))
            .await
            .map(Written::into_object)
    }

    /// Removes the object, or marks it when it has finalizers.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Precondition`], and as [`Store::write`].
    pub async fn delete(&self, key: &Key, preconditions: Preconditions) -> Result<Written, Error> {
        self.write(key, Change::Delete(preconditions, None)).await
    }
}
