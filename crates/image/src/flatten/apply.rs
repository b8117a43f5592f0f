//! One layer onto the tree.

use std::io::Read;

use super::limits::Budget;
use super::path::{self, Place};
use super::refusal::{Refusal, Trouble, shown};
use super::spool::Spool;
use super::tar::{Entries, Entry, Kind as Told};
use super::tree::{Folder, Kind, LayerNumber, Meta, Node, ROOT, Tree};
use crate::squashfs::{Xattr, is_storable};

const SYMLINK_MAX: usize = 4095;
const XATTR_NAME_MAX: usize = 255;
const XATTR_VALUE_MAX: usize = 65536;
/// What keeping an attribute costs beside its bytes.
const XATTR_OVERHEAD: usize = 64;
/// What overlayfs writes about its own layers. A root is the lower layer of an overlay in the guest,
/// where these would not be data but orders.
const OVERLAY: &[u8] = b"trusted.overlay.";

/// What layers are applied to.
pub(super) struct Target<'a> {
    pub(super) tree: Tree,
    pub(super) spool: Spool,
    pub(super) budget: Budget<'a>,
    /// Extended attributes that squashfs has no place for.
    pub(super) xattrs_left_out: u64,
}

/// Where in a layer something went wrong.
pub(super) struct Failed {
    /// The last entry whose header could be read.
    pub(super) entry: String,
    /// Whether that entry is at fault, or what comes after it.
    pub(super) within: bool,
    pub(super) trouble: Trouble,
}

/// Applies the archive in `input` as layer number `layer`.
pub(super) fn apply(
    target: &mut Target,
    layer: LayerNumber,
    input: impl Read,
) -> Result<(), Failed> {
    let mut entries = Entries::new(input);
    let mut last = String::new();
    loop {
        let entry = match entries.next() {
            Ok(Some(entry)) => entry,
            Ok(None) => return Ok(()),
            Err(trouble) => {
                return Err(Failed {
                    entry: last,
                    within: false,
                    trouble,
                });
            }
        };
        last = shown(&entry.path);
        if let Err(trouble) = target.entry(layer, entry, &mut entries) {
            return Err(Failed {
                entry: last,
                within: true,
                trouble,
            });
        }
    }
}

impl Target<'_> {
    fn entry(
        &mut self,
        layer: LayerNumber,
        entry: Entry,
        entries: &mut Entries<impl Read>,
    ) -> Result<(), Trouble> {
        let Self {
            tree,
            budget,
            xattrs_left_out,
            spool,
        } = self;
        budget.entry()?;
        let depth = budget.max_depth();
        let (folder, name) = match path::place(&entry.path, depth)? {
            Place::Ignored => return Ok(()),
            Place::Whiteout { folder, name } => {
                let folder = tree.folder(&folder, layer, budget)?;
                tree.hide(folder, name, layer);
                return Ok(());
            }
            Place::Opaque { folder } => {
                let folder = tree.folder(&folder, layer, budget)?;
                tree.make_opaque(folder, layer);
                return Ok(());
            }
            Place::Root => {
                if !matches!(entry.kind, Told::Folder) {
                    return Err(Refusal::RootNotFolder.into());
                }
                let meta = meta(&entry, budget, xattrs_left_out)?;
                tree.describe(ROOT, meta);
                return Ok(());
            }
            Place::At { folder, name } => (folder, name),
        };
        let mut meta = meta(&entry, budget, xattrs_left_out)?;
        let kind = match entry.kind {
            Told::HardLink { target } => {
                let target = path::components(&target, depth)?;
                tree.link(&folder, name, &target, layer, budget)?;
                return Ok(());
            }
            // How overlayfs writes a whiteout. The guest's would take it for one.
            Told::CharDevice { major: 0, minor: 0 } => {
                let folder = tree.folder(&folder, layer, budget)?;
                tree.remove(folder, name);
                return Ok(());
            }
            Told::CharDevice { major, minor } => {
                let (major, minor) = device(major, minor)?;
                Kind::CharDevice { major, minor }
            }
            Told::BlockDevice { major, minor } => {
                let (major, minor) = device(major, minor)?;
                Kind::BlockDevice { major, minor }
            }
            Told::Fifo => Kind::Fifo,
            Told::Folder => Kind::Folder(Folder::new()),
            Told::Symlink { target } => {
                if target.contains(&0) {
                    return Err(Refusal::Nul.into());
                }
                if target.is_empty() || target.len() > SYMLINK_MAX {
                    return Err(Refusal::BadSymlink.into());
                }
                budget.metadata(target.len())?;
                // No Linux file system keeps any other, whatever archives say.
                meta.mode = 0o777;
                Kind::Symlink(target.into())
            }
            Told::File { len, segments } => {
                budget.file(len)?;
                let mut incoming = spool.begin();
                entries.copy(len, segments.as_deref(), &mut incoming)?;
                Kind::File(incoming.finish().map_err(Trouble::Spool)?)
            }
        };
        let folder = tree.folder(&folder, layer, budget)?;
        tree.put(folder, name, Node::new(meta, kind), layer, budget)?;
        Ok(())
    }
}

fn meta(entry: &Entry, budget: &mut Budget, left_out: &mut u64) -> Result<Meta, Refusal> {
    let mut xattrs = Vec::new();
    for (name, value) in &entry.xattrs {
        if name.starts_with(OVERLAY) {
            continue;
        }
        if !is_storable(name) {
            *left_out += 1;
            continue;
        }
        if name.contains(&0) {
            return Err(Refusal::Nul);
        }
        if name.len() > XATTR_NAME_MAX || value.len() > XATTR_VALUE_MAX {
            return Err(Refusal::BadXattr { name: shown(name) });
        }
        budget.metadata(name.len() + value.len() + XATTR_OVERHEAD)?;
        xattrs.push(Xattr {
            name: name.as_slice().into(),
            value: value.as_slice().into(),
        });
    }
    Ok(Meta {
        mode: entry.mode as u16,
        uid: owner(entry.uid)?,
        gid: owner(entry.gid)?,
        // Squashfs has 32 bits from 1970 on; what lies outside becomes the nearest time inside.
        mtime: entry.mtime.clamp(0, i64::from(u32::MAX)) as u32,
        xattrs: xattrs.into(),
    })
}

fn owner(id: i64) -> Result<u32, Refusal> {
    u32::try_from(id)
        .ok()
        .filter(|id| *id != u32::MAX)
        .ok_or(Refusal::BadOwner(id))
}

fn device(major: i64, minor: i64) -> Result<(u32, u32), Refusal> {
    match (u32::try_from(major), u32::try_from(minor)) {
        (Ok(major), Ok(minor)) if major < 1 << 12 && minor < 1 << 20 => Ok((major, minor)),
        _ => Err(Refusal::BadDevice { major, minor }),
    }
}
