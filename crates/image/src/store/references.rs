//! The list of references: `index.json` of the layout.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::Error;
use crate::manifest::{Descriptor, Index, PINNED_FOR, REF_NAME};
use crate::{Digest, Reference};

/// Name → manifest, and who pinned → manifest. Entries that other tools made without a full name are kept as they are.
#[derive(Debug, Default)]
pub(super) struct References {
    named: BTreeMap<Reference, Descriptor>,
    pinned: BTreeMap<String, Descriptor>,
    other: Vec<Descriptor>,
}

/// The list as it was last read. It has an entry for each revision that runs, and is looked at for each that comes.
#[derive(Debug, Default)]
pub(super) struct LastRead(Mutex<Option<(Stamp, Arc<References>)>>);

/// Tells one file from another: each change makes a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl LastRead {
    /// The list as it is now; the file is read again only if it is another.
    pub(super) fn now(&self, path: &Path) -> Result<Arc<References>, Error> {
        let Some(file) = open(path)? else {
            return Ok(Arc::default());
        };
        let facts = file.metadata().map_err(Error::io("read", path))?;
        let stamp = Stamp {
            inode: facts.ino(),
            size: facts.len(),
            changed: (facts.ctime(), facts.ctime_nsec()),
        };
        // Whoever waits needs not read it.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, references)) = &*last
            && *known == stamp
        {
            return Ok(references.clone());
        }
        let references = Arc::new(References::parse(file, path)?);
        *last = Some((stamp, references.clone()));
        Ok(references)
    }
}

fn open(path: &Path) -> Result<Option<File>, Error> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

impl References {
    /// Reads the file; none is an empty list.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        match open(path)? {
            Some(file) => Self::parse(file, path),
            None => Ok(Self::default()),
        }
    }

    fn parse(mut file: File, path: &Path) -> Result<Self, Error> {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(Error::io("read", path))?;
        let index: Index =
            serde_json::from_slice(&bytes).map_err(|source| Error::IndexDamaged {
                path: path.to_owned(),
                source,
            })?;
        let mut references = Self::default();
        for entry in index.manifests {
            let noted = |key| entry.annotations.as_ref()?.get(key);
            if let Some(name) = noted(REF_NAME).and_then(|name| name.parse().ok()) {
                references.named.insert(name, entry);
            } else if let Some(holder) = noted(PINNED_FOR).cloned() {
                references.pinned.insert(holder, entry);
            } else {
                references.other.push(entry);
            }
        }
        Ok(references)
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        let all = self.all().cloned().collect();
        serde_json::to_vec_pretty(&Index::new(all)).unwrap_or_default()
    }

    /// The image of this name. A digest is enough of a name if any image has it.
    pub(super) fn find(&self, reference: &Reference) -> Option<&Descriptor> {
        let mut known = self.named.values().chain(self.pinned.values());
        let mut by_digest = |digest: &Digest| known.find(|it| it.digest == *digest);
        let exact = self.named.get(reference);
        exact.or_else(|| by_digest(reference.digest()?))
    }

    pub(super) fn set(&mut self, reference: &Reference, mut descriptor: Descriptor) {
        let name = (REF_NAME.to_owned(), reference.to_string());
        descriptor.annotations = Some(BTreeMap::from([name]));
        self.named.insert(reference.clone(), descriptor);
    }

    pub(super) fn remove(&mut self, reference: &Reference) -> bool {
        self.named.remove(reference).is_some()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Reference, &Descriptor)> {
        self.named.iter()
    }

    /// All manifests that must stay.
    pub(super) fn manifests(&self) -> BTreeSet<&Digest> {
        self.all().map(|entry| &entry.digest).collect()
    }

    /// What `holder` has pinned.
    pub(super) fn pinned(&self, holder: &str) -> Option<&Digest> {
        self.pinned.get(holder).map(|entry| &entry.digest)
    }

    pub(super) fn pin(&mut self, holder: &str, mut descriptor: Descriptor) {
        let note = (PINNED_FOR.to_owned(), holder.to_owned());
        descriptor.annotations = Some(BTreeMap::from([note]));
        self.pinned.insert(holder.to_owned(), descriptor);
    }

    pub(super) fn unpin(&mut self, holder: &str) {
        self.pinned.remove(holder);
    }

    pub(super) fn holders(&self) -> impl Iterator<Item = &str> {
        self.pinned.keys().map(String::as_str)
    }

    pub(super) fn retain_pins(&mut self, keep: impl Fn(&str) -> bool) {
        self.pinned.retain(|holder, _| keep(holder));
    }

    fn all(&self) -> impl Iterator<Item = &Descriptor> {
        let named = self.named.values();
        named.chain(self.pinned.values()).chain(&self.other)
    }
}
