//! The list of references: `index.json` of the layout.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::Error;
use crate::manifest::{Descriptor, Index, REF_NAME};
use crate::{Digest, Reference};

/// Name → manifest. Entries that other tools made without a full name are kept as they are.
#[derive(Debug, Default)]
pub(super) struct References {
    named: BTreeMap<Reference, Descriptor>,
    other: Vec<Descriptor>,
}

impl References {
    /// Reads the file; none is an empty list.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        let index: Index =
            serde_json::from_slice(&bytes).map_err(|source| Error::IndexDamaged {
                path: path.to_owned(),
                source,
            })?;
        let mut references = Self::default();
        for entry in index.manifests {
            let names = entry.annotations.as_ref();
            match names.and_then(|names| names.get(REF_NAME)?.parse().ok()) {
                Some(name) => _ = references.named.insert(name, entry),
                None => references.other.push(entry),
            }
        }
        Ok(references)
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        let named = self.named.values().chain(&self.other);
        serde_json::to_vec_pretty(&Index::new(named.cloned().collect())).unwrap_or_default()
    }

    /// The image of this name. A digest is enough of a name if any image has it.
    pub(super) fn find(&self, reference: &Reference) -> Option<&Descriptor> {
        let by_digest = |digest: &Digest| self.named.values().find(|it| it.digest == *digest);
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
        let all = self.named.values().chain(&self.other);
        all.map(|entry| &entry.digest).collect()
    }
}
