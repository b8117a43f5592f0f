//! The tree that layers build up, in memory: names, metadata, and where content lies.
//!
//! No path is ever followed on this machine, and inside the tree no symlink is followed either.
//! Where an entry lies below something that is no folder, what matters is which layer that is from:
//!
//! * from a lower layer, it is hidden by a folder, which the entry implies. So it goes wherever
//!   layers are unpacked one by one and laid over each other, as overlay storage does;
//! * from the same layer, the entry is refused: there unpackers differ, and none who means well
//!   writes it.

use std::collections::BTreeMap;

use super::Refusal;
use super::limits::Budget;
use super::refusal::shown;
use super::spool::ContentId;
use crate::squashfs::Xattr;

/// Names a node of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct NodeId(pub(super) u32);

pub(super) const ROOT: NodeId = NodeId(0);

/// Number of a layer, from 1; the tree starts with nothing but the root.
pub(super) type LayerNumber = u32;

/// A name in a folder. Which layer has it is the name's, not the node's: a hard link may come from a
/// higher layer than what it links to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name {
    pub(super) node: NodeId,
    /// The highest layer that has it, of a folder be it only on the way to something: an entry has
    /// all folders above it in its own layer.
    layer: LayerNumber,
}

pub(super) type Folder = BTreeMap<Box<[u8]>, Name>;

#[derive(Debug)]
pub(super) struct Node {
    pub(super) meta: Meta,
    pub(super) kind: Kind,
    /// Of a folder: the layer that last took away what lower ones had in it. It need not look again,
    /// however often it says so.
    opaque_in: LayerNumber,
}

impl Node {
    pub(super) fn new(meta: Meta, kind: Kind) -> Self {
        Self {
            meta,
            kind,
            opaque_in: 0,
        }
    }

    fn implied_folder() -> Self {
        Self::new(Meta::implied(), Kind::Folder(Folder::new()))
    }
}

/// What all nodes have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meta {
    /// Permission bits.
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: u32,
    pub(super) xattrs: Box<[Xattr]>,
}

impl Meta {
    /// For folders that no layer describes, which is also what `mkdir -p` as root gives, but for
    /// the time.
    fn implied() -> Self {
        Self {
            mode: 0o755,
            uid: 0,
            gid: 0,
            mtime: 0,
            xattrs: Box::default(),
        }
    }
}

#[derive(Debug)]
pub(super) enum Kind {
    Folder(Folder),
    File(ContentId),
    Symlink(Box<[u8]>),
    CharDevice { major: u32, minor: u32 },
    BlockDevice { major: u32, minor: u32 },
    Fifo,
}

pub(super) struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    pub(super) fn new() -> Self {
        Self {
            nodes: vec![Node::implied_folder()],
        }
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// One more than the highest node id.
    pub(super) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    fn children(&self, id: NodeId) -> Option<&Folder> {
        match &self.node(id).kind {
            Kind::Folder(folder) => Some(folder),
            _ => None,
        }
    }

    fn children_mut(&mut self, id: NodeId) -> Option<&mut Folder> {
        match &mut self.nodes[id.0 as usize].kind {
            Kind::Folder(folder) => Some(folder),
            _ => None,
        }
    }

    fn push(&mut self, node: Node) -> NodeId {
        let id = NodeId(self.nodes.len() as u32);
        self.nodes.push(node);
        id
    }

    fn name(
        &mut self,
        folder: NodeId,
        name: &[u8],
        node: NodeId,
        layer: LayerNumber,
        budget: &mut Budget,
    ) -> Result<(), Refusal> {
        budget.metadata(name.len())?;
        if let Some(children) = self.children_mut(folder) {
            children.insert(name.into(), Name { node, layer });
        }
        Ok(())
    }

    /// The node at a path, if there is one.
    fn find(&self, path: &[&[u8]]) -> Option<NodeId> {
        path.iter().try_fold(ROOT, |folder, part| {
            Some(self.children(folder)?.get(*part)?.node)
        })
    }

    /// The folder at a path, made where it is missing. Then `layer` has it and all above it.
    pub(super) fn folder(
        &mut self,
        path: &[&[u8]],
        layer: LayerNumber,
        budget: &mut Budget,
    ) -> Result<NodeId, Refusal> {
        let mut folder = ROOT;
        for part in path {
            let found = self
                .children(folder)
                .and_then(|names| names.get(*part))
                .copied();
            folder = match found {
                Some(name) if self.children(name.node).is_some() => {
                    self.claim(folder, part, layer);
                    name.node
                }
                Some(name) if name.layer == layer => {
                    let at = shown(part);
                    return Err(Refusal::BelowNonFolder { at });
                }
                _ => {
                    budget.entry()?;
                    let new = self.push(Node::implied_folder());
                    self.name(folder, part, new, layer, budget)?;
                    new
                }
            };
        }
        Ok(folder)
    }

    /// Notes that a layer has a name.
    fn claim(&mut self, folder: NodeId, name: &[u8], layer: LayerNumber) {
        let names = self.children_mut(folder);
        if let Some(found) = names.and_then(|names| names.get_mut(name)) {
            found.layer = layer;
        }
    }

    /// Puts a node at a name. A folder on a folder gives it new metadata and leaves what is in it;
    /// all else takes the place of what was there.
    pub(super) fn put(
        &mut self,
        folder: NodeId,
        name: &[u8],
        node: Node,
        layer: LayerNumber,
        budget: &mut Budget,
    ) -> Result<(), Refusal> {
        let there = self
            .children(folder)
            .and_then(|names| names.get(name))
            .copied();
        let id = match (&node.kind, there) {
            (Kind::Folder(_), Some(there)) if self.children(there.node).is_some() => {
                self.describe(there.node, node.meta);
                there.node
            }
            _ => self.push(node),
        };
        self.name(folder, name, id, layer, budget)
    }

    /// Gives a node new metadata.
    pub(super) fn describe(&mut self, id: NodeId, meta: Meta) {
        self.nodes[id.0 as usize].meta = meta;
    }

    /// Adds a name to the node at `target`.
    pub(super) fn link(
        &mut self,
        folder: &[&[u8]],
        name: &[u8],
        target: &[&[u8]],
        layer: LayerNumber,
        budget: &mut Budget,
    ) -> Result<(), Refusal> {
        let shown_target = || shown(&target.join(&b'/'));
        if target.split_last() == Some((&name, folder)) {
            return Err(Refusal::LinkToItself);
        }
        // Looked up first: a folder on the way to the new name may hide what is linked to.
        let node = self
            .find(target)
            .ok_or_else(|| Refusal::MissingLinkTarget {
                target: shown_target(),
            })?;
        if self.children(node).is_some() {
            return Err(Refusal::LinkToFolder {
                target: shown_target(),
            });
        }
        let folder = self.folder(folder, layer, budget)?;
        self.name(folder, name, node, layer, budget)
    }

    /// Takes a name away, whichever layer it is from.
    pub(super) fn remove(&mut self, folder: NodeId, name: &[u8]) {
        if let Some(names) = self.children_mut(folder) {
            names.remove(name);
        }
    }

    /// A whiteout: takes away what lower layers have at a name. What `layer` itself has put there,
    /// earlier in its archive, stays.
    pub(super) fn hide(&mut self, folder: NodeId, name: &[u8], layer: LayerNumber) {
        let found = self
            .children(folder)
            .and_then(|names| names.get(name))
            .copied();
        if found.is_some_and(|found| !self.keeps(found, layer)) {
            self.remove(folder, name);
        }
    }

    /// Takes away what lower layers have in a folder.
    pub(super) fn make_opaque(&mut self, folder: NodeId, layer: LayerNumber) {
        let node = &mut self.nodes[folder.0 as usize];
        let Kind::Folder(names) = &mut node.kind else {
            return;
        };
        if node.opaque_in == layer {
            return;
        }
        node.opaque_in = layer;
        // Out of the tree while it is gone through: what is asked about its names looks at others.
        let names = std::mem::take(names);
        let kept = names
            .into_iter()
            .filter(|(_, name)| self.keeps(*name, layer))
            .collect();
        if let Some(names) = self.children_mut(folder) {
            *names = kept;
        }
    }

    /// Whether `layer` has a name. If so, what is there is emptied of what lower layers have in it. No
    /// deeper than paths may be.
    fn keeps(&mut self, name: Name, layer: LayerNumber) -> bool {
        let has = name.layer == layer;
        if has {
            self.make_opaque(name.node, layer);
        }
        has
    }
}
