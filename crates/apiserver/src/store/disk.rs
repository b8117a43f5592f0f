//! The file: two tables in a redb database, written in transactions that are on disk when they return.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError,
    TableDefinition,
};

use super::{Event, EventKind, Key, Object, OpenError};

/// Key text to JSON text.
const OBJECTS: TableDefinition<&str, &[u8]> = TableDefinition::new("objects");
/// Facts about the store itself.
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const FORMAT: &str = "format";
const RESOURCE_VERSION: &str = "resource-version";

/// The format that this version writes: the tables above.
pub(super) const SUPPORTED_FORMAT: u64 = 1;
/// "0" means "any version" in the API, so an empty store is at 1.
const FIRST_RESOURCE_VERSION: u64 = 1;
/// Reads are served from the state in memory; the database only needs the branches that a write touches.
const CACHE_BYTES: usize = 4 << 20;

pub(super) struct Disk {
    database: Database,
}

/// What a store file holds.
pub(super) struct Loaded {
    pub(super) objects: Vec<Object>,
    pub(super) resource_version: u64,
}

impl Disk {
    /// Opens or makes the file. All of it is checked.
    pub(super) fn open(path: &Path) -> Result<(Self, Loaded), OpenError> {
        create_private(path).map_err(|source| from_io(path, source))?;
        let database = Builder::new()
            .set_cache_size(CACHE_BYTES)
            .set_check_integrity_on_open(true)
            .create(path)
            .map_err(|error| from_database(path, error))?;
        let disk = Self { database };
        let resource_version = disk
            .resource_version_or_init()
            .map_err(|error| from_redb(path, error))?;
        let found = disk.meta(FORMAT).map_err(|error| from_redb(path, error))?;
        match (found, resource_version) {
            (Some(SUPPORTED_FORMAT), Some(resource_version)) => {
                let objects = disk.load(path)?;
                let loaded = Loaded {
                    objects,
                    resource_version,
                };
                Ok((disk, loaded))
            }
            (Some(found), _) if found > SUPPORTED_FORMAT => Err(OpenError::Newer {
                path: path.into(),
                found,
                supported: SUPPORTED_FORMAT,
            }),
            _ => Err(corrupt(path, "its format is not marked")),
        }
    }

    /// Writes events in one transaction; they are on disk when this returns.
    pub(super) fn commit(&self, events: &[Event]) -> Result<(), redb::Error> {
        let Some(last) = events.last() else {
            return Ok(());
        };
        let transaction = self.database.begin_write()?;
        {
            let mut objects = transaction.open_table(OBJECTS)?;
            for event in events {
                let key = event.object.key().as_str();
                match event.kind {
                    EventKind::Added | EventKind::Modified => {
                        objects.insert(key, event.object.json().as_ref())?;
                    }
                    EventKind::Deleted => {
                        objects.remove(key)?;
                    }
                }
            }
            transaction
                .open_table(META)?
                .insert(RESOURCE_VERSION, last.resource_version())?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Marks an empty file as a store of this format.
    fn resource_version_or_init(&self) -> Result<Option<u64>, redb::Error> {
        let transaction = self.database.begin_write()?;
        let empty = transaction.list_tables()?.next().is_none();
        if empty {
            let mut meta = transaction.open_table(META)?;
            meta.insert(FORMAT, SUPPORTED_FORMAT)?;
            meta.insert(RESOURCE_VERSION, FIRST_RESOURCE_VERSION)?;
            transaction.open_table(OBJECTS)?;
            drop(meta);
            transaction.commit()?;
        } else {
            transaction.abort()?;
        }
        self.meta(RESOURCE_VERSION)
    }

    fn meta(&self, name: &str) -> Result<Option<u64>, redb::Error> {
        let meta = match self.database.begin_read()?.open_table(META) {
            Ok(meta) => meta,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(meta.get(name)?.map(|value| value.value()))
    }

    fn load(&self, path: &Path) -> Result<Vec<Object>, OpenError> {
        let read = || -> Result<Vec<(String, Vec<u8>)>, redb::Error> {
            let objects = self.database.begin_read()?.open_table(OBJECTS)?;
            let mut rows = Vec::new();
            for row in objects.iter()? {
                let (key, json) = row?;
                rows.push((key.value().to_owned(), json.value().to_vec()));
            }
            Ok(rows)
        };
        read()
            .map_err(|error| from_redb(path, error))?
            .into_iter()
            .map(|(key, json)| {
                let parsed =
                    Key::parse(&key).ok_or_else(|| corrupt(path, &format!("{key:?} is no key")))?;
                Object::from_json(parsed, json)
                    .map_err(|error| corrupt(path, &format!("object {key}: {error}")))
            })
            .collect()
    }
}

/// The store holds secrets: nobody else may read it.
fn create_private(path: &Path) -> io::Result<()> {
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Ok(_) => {
            // The name of a new file is only on disk when its folder is.
            let folder = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether this is the kernel saying that there is no room.
pub(super) fn is_disk_full(error: &redb::Error) -> bool {
    matches!(error, redb::Error::Io(error) if error.kind() == io::ErrorKind::StorageFull)
}

fn corrupt(path: &Path, reason: &str) -> OpenError {
    OpenError::Corrupt {
        path: path.into(),
        reason: reason.into(),
    }
}

fn from_io(path: &Path, source: io::Error) -> OpenError {
    let path = PathBuf::from(path);
    match source.kind() {
        io::ErrorKind::StorageFull => OpenError::DiskFull { path, source },
        // What redb says of a file that is none of its own, or is cut short.
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => OpenError::Corrupt {
            path,
            reason: source.to_string(),
        },
        _ => OpenError::Io { path, source },
    }
}

fn from_database(path: &Path, error: DatabaseError) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            OpenError::Locked { path: path.into() }
        }
        DatabaseError::Storage(StorageError::Io(source)) => from_io(path, source),
        other => corrupt(path, &other.to_string()),
    }
}

fn from_redb(path: &Path, error: redb::Error) -> OpenError {
    match error {
        redb::Error::Io(source) => from_io(path, source),
        other => corrupt(path, &other.to_string()),
    }
}
