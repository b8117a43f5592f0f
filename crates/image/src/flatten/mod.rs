//! Layers of an OCI image → one read-only squashfs file.
//!
//! ```text
//! layer blob ─ blob ─▶ tar ─ apply ─▶ tree    names and metadata, in memory
//!                               └───▶ spool   content, on disk, each once
//!                        tree + spool ─ root ─▶ squashfs file
//! ```
//!
//! The same layers give the same bytes, on every machine and at any time. Layers are not trusted:
//! what breaks a rule ([`Refusal`]) or a bound ([`Limits`]) fails the whole image, and nothing of it
//! is left on disk. No name in a layer is ever used as a path on this machine.
//!
//! What layers mean: <https://github.com/opencontainers/image-spec/blob/main/layer.md>. Beyond it:
//!
//! * paths from `/` are taken from the root of the image; a `..` anywhere is refused;
//! * symlinks are never followed: see `tree.rs` on what happens below one;
//! * hard links may lead to lower layers; they keep what they link to when its other name goes;
//! * an entry, whiteouts too, implies the folders above it in its own layer, where neither an opaque
//!   folder nor a whiteout of that layer hides them; those that no layer describes are root's, mode
//!   0755, from 1970;
//! * extended attributes are kept, but for POSIX ACLs, which squashfs cannot hold (a warning says
//!   so), and `trusted.overlay.*`, which the guest's overlay would obey. A character device 0:0,
//!   which the overlay would take for a whiteout, is one.

mod apply;
mod blob;
mod limits;
mod path;
mod refusal;
mod root;
mod spool;
mod tar;
mod tree;

use std::fs::{File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use apply::{Failed, Target};
use limits::Budget;
pub use limits::Limits;
pub use refusal::Refusal;
use refusal::Trouble;
use spool::Spool;
use tree::Tree;

/// Names of results that are not complete begin with this. Such a file outlives only a process that
/// was killed, and may be removed.
pub const PARTIAL_PREFIX: &str = ".partial-";

/// One layer as it lies on disk. Its compression is told by its content (tar, gzip or zstd), as
/// container engines do: media types are often wrong, and legacy archives carry none.
#[derive(Debug, Clone)]
pub struct Layer {
    /// The blob.
    pub path: PathBuf,
    /// What errors call the layer: its digest.
    pub name: String,
}

/// A finished root file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flattened {
    /// `sha256:…` of the squashfs file.
    pub digest: String,
    /// Bytes in the file.
    pub size: u64,
    /// Names in the tree; a file with two hard links counts twice.
    pub entries: u64,
}

/// Why a root could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// [`Limits::max_layers`].
    #[error("the image has {count} layers; no more than {limit} are taken")]
    TooManyLayers {
        /// In the image.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// A blob is missing.
    #[error("cannot open layer {layer}; pull or import the image again")]
    Open {
        /// Its name.
        layer: String,
        /// Why.
        source: io::Error,
    },
    /// An entry breaks a rule.
    #[error("layer {layer} is refused {place}")]
    Refused {
        /// Its name.
        layer: String,
        /// Where in it.
        place: Place,
        /// The rule.
        source: Refusal,
    },
    /// A layer is cut off or damaged.
    #[error("cannot read layer {layer} {place}; pull or import the image again")]
    Unreadable {
        /// Its name.
        layer: String,
        /// Where in it.
        place: Place,
        /// Why.
        source: io::Error,
    },
    /// File content could not be kept while layers were applied.
    #[error("cannot keep file content in {folder}; is there space?")]
    Spool {
        /// Where the temporary file is.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The tree could not be written.
    #[error("cannot make the root file system {path}")]
    Write {
        /// The result.
        path: PathBuf,
        /// Why.
        source: crate::squashfs::Error,
    },
    /// The result could not be put in place.
    #[error("cannot put the root file system at {path}; is there space?")]
    Commit {
        /// The result.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A place in a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// At this entry.
    At(String),
    /// In what follows this entry; empty if no entry could be read.
    After(String),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::At(entry) => write!(f, "at entry {entry:?}"),
            Self::After(entry) if entry.is_empty() => write!(f, "at its first entry"),
            Self::After(entry) => write!(f, "after entry {entry:?}"),
        }
    }
}

/// Applies `layers`, the lowest first, and writes the tree they make to `out`, which appears
/// complete, synced and readable by all, or not at all; its folder must exist, and holds the
/// temporary files too, as large as what the layers unpack to. Blocking.
pub fn flatten(layers: &[Layer], out: &Path, limits: &Limits) -> Result<Flattened, Error> {
    if layers.len() > limits.max_layers {
        return Err(Error::TooManyLayers {
            count: layers.len(),
            limit: limits.max_layers,
        });
    }
    let folder = match out.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let spool_failed = |source| Error::Spool {
        folder: folder.to_owned(),
        source,
    };
    let mut target = Target {
        tree: Tree::new(),
        spool: Spool::create(folder).map_err(spool_failed)?,
        budget: Budget::new(limits),
        xattrs_left_out: 0,
    };
    let mut unpacked = 0;
    for (layer, number) in layers.iter().zip(1..) {
        let input = blob::open(&layer.path, limits.max_unpacked_bytes, &mut unpacked);
        let input = input.map_err(|source| Error::Open {
            layer: layer.name.clone(),
            source,
        })?;
        apply::apply(&mut target, number, input)
            .map_err(|failed| describe(failed, layer, folder))?;
    }
    if target.xattrs_left_out > 0 {
        let count = target.xattrs_left_out;
        tracing::warn!(count, root = %out.display(), "attributes left out: squashfs has no place for them");
    }
    let spooled = target.spool.finish().map_err(spool_failed)?;

    let commit_failed = |source| Error::Commit {
        path: out.to_owned(),
        source,
    };
    // The hypervisor reads it without privileges.
    let partial = tempfile::Builder::new()
        .prefix(PARTIAL_PREFIX)
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(folder)
        .map_err(commit_failed)?;
    let file = partial.as_file().try_clone().map_err(commit_failed)?;
    let (file, size, entries) =
        root::write(&target.tree, &spooled, file).map_err(|source| Error::Write {
            path: out.to_owned(),
            source,
        })?;
    let digest = commit(&file, partial, out).map_err(commit_failed)?;
    Ok(Flattened {
        digest,
        size,
        entries,
    })
}

/// Gives the file its name once it is on disk, and says its digest.
fn commit(file: &File, partial: NamedTempFile, out: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    let mut written = partial.reopen()?;
    loop {
        match written.read(&mut buffer)? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    file.sync_all()?;
    partial.persist(out)?;
    Ok(hasher
        .finalize()
        .iter()
        .fold("sha256:".to_owned(), |text, byte| {
            format!("{text}{byte:02x}")
        }))
}

fn describe(failed: Failed, layer: &Layer, folder: &Path) -> Error {
    let layer = layer.name.clone();
    let place = if failed.within {
        Place::At(failed.entry)
    } else {
        Place::After(failed.entry)
    };
    match failed.trouble {
        Trouble::Refused(source) => Error::Refused {
            layer,
            place,
            source,
        },
        Trouble::Unreadable(source) => Error::Unreadable {
            layer,
            place,
            source,
        },
        Trouble::Spool(source) => Error::Spool {
            folder: folder.to_owned(),
            source,
        },
    }
}
