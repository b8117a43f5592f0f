//! The finished tree as a squashfs file.
//!
//! Contents go in as a walk through the tree by name meets them, so that files of one folder lie
//! together. Inodes are numbered folder by folder from the root, and written from the deepest folder
//! up, each folder's children in one go: a listing then needs few headers, as its inodes lie together
//! and have near numbers.

use std::collections::VecDeque;
use std::fs::File;

use super::spool::Spooled;
use super::tree::{Folder, Kind, NodeId, ROOT, Tree};
use crate::squashfs::{
    Attributes, Child, Content, Error, Inode, Kind as InodeKind, Listing, Writer,
};

/// Writes the tree; returns the file, not yet synced, its size and the number of names in it.
pub(super) fn write(tree: &Tree, spooled: &Spooled, file: File) -> Result<(File, u64, u64), Error> {
    let plan = Plan::of(tree);
    let mut writer = Writer::new(file)?;
    let contents = write_contents(tree, spooled, &mut writer)?;
    let mut inodes = Inodes {
        tree,
        plan: &plan,
        contents: &contents,
        writer,
        written: vec![None; tree.node_count()],
        listings: vec![Listing::default(); tree.node_count()],
    };
    for (id, folder) in plan.folders.iter().rev() {
        inodes.write_children(*id, folder)?;
    }
    // A root has no parent; by custom it names the number after the last.
    let root = inodes.write(ROOT, plan.inodes + 1)?;
    let (file, size) = inodes.writer.finish(root)?;
    Ok((file, size, plan.names))
}

/// What has to be known before the first inode is written.
struct Plan<'a> {
    /// Every folder that can be reached, before all folders in it.
    folders: Vec<(NodeId, &'a Folder)>,
    /// By node; 0 if it cannot be reached.
    numbers: Vec<u32>,
    /// By node.
    links: Vec<u32>,
    inodes: u32,
    names: u64,
}

impl<'a> Plan<'a> {
    fn of(tree: &'a Tree) -> Self {
        let mut plan = Self {
            folders: Vec::new(),
            numbers: vec![0; tree.node_count()],
            links: vec![0; tree.node_count()],
            inodes: 1,
            names: 0,
        };
        plan.numbers[ROOT.0 as usize] = 1;
        let mut waiting = VecDeque::from([ROOT]);
        while let Some(id) = waiting.pop_front() {
            let Kind::Folder(folder) = &tree.node(id).kind else {
                continue;
            };
            plan.folders.push((id, folder));
            for name in folder.values() {
                let node = name.node.0 as usize;
                plan.names += 1;
                plan.links[node] += 1;
                if plan.numbers[node] == 0 {
                    plan.inodes += 1;
                    plan.numbers[node] = plan.inodes;
                    waiting.push_back(name.node);
                }
            }
        }
        plan
    }

    fn number(&self, id: NodeId) -> u32 {
        self.numbers[id.0 as usize]
    }
}

/// Copies the contents of all files that can be reached, and says by content where they are.
fn write_contents(
    tree: &Tree,
    spooled: &Spooled,
    writer: &mut Writer,
) -> Result<Vec<Option<Content>>, Error> {
    let mut contents: Vec<Option<Content>> = Vec::new();
    contents.resize_with(spooled.count(), || None);
    let mut waiting = vec![ROOT];
    while let Some(id) = waiting.pop() {
        match &tree.node(id).kind {
            // The last on the stack comes first.
            Kind::Folder(folder) => waiting.extend(folder.values().rev().map(|name| name.node)),
            Kind::File(content) => {
                let slot = &mut contents[content.0 as usize];
                if slot.is_none() {
                    let (len, holes, mut data) = spooled.open(*content);
                    *slot = Some(writer.content(len, holes, &mut data)?);
                }
            }
            _ => {}
        }
    }
    Ok(contents)
}

struct Inodes<'a> {
    tree: &'a Tree,
    plan: &'a Plan<'a>,
    contents: &'a [Option<Content>],
    writer: Writer,
    /// By node.
    written: Vec<Option<Inode>>,
    /// By node.
    listings: Vec<Listing>,
}

impl Inodes<'_> {
    /// Writes the inodes of all that is in a folder, then its listing. Everything in its subfolders
    /// has been written before.
    fn write_children(&mut self, id: NodeId, folder: &Folder) -> Result<(), Error> {
        let parent = self.plan.number(id);
        let mut children = Vec::with_capacity(folder.len());
        for (name, entry) in folder {
            let inode = match self.written[entry.node.0 as usize] {
                Some(inode) => inode,
                None => self.write(entry.node, parent)?,
            };
            children.push(Child { name, inode });
        }
        self.listings[id.0 as usize] = self.writer.listing(&children)?;
        Ok(())
    }

    fn write(&mut self, id: NodeId, parent: u32) -> Result<Inode, Error> {
        let node = self.tree.node(id);
        let attributes = Attributes {
            mode: node.meta.mode,
            uid: node.meta.uid,
            gid: node.meta.gid,
            mtime: node.meta.mtime,
            xattrs: self.writer.xattrs(&node.meta.xattrs)?,
        };
        let nothing = Content::empty();
        let kind = match &node.kind {
            Kind::Folder(folder) => {
                let subfolders = folder
                    .values()
                    .filter(|name| matches!(self.tree.node(name.node).kind, Kind::Folder(_)))
                    .count() as u32;
                InodeKind::Folder {
                    listing: &self.listings[id.0 as usize],
                    subfolders,
                    parent,
                }
            }
            Kind::File(content) => InodeKind::File(
                self.contents[content.0 as usize]
                    .as_ref()
                    .unwrap_or(&nothing),
            ),
            Kind::Symlink(target) => InodeKind::Symlink(target),
            Kind::CharDevice { major, minor } => InodeKind::CharDevice {
                major: *major,
                minor: *minor,
            },
            Kind::BlockDevice { major, minor } => InodeKind::BlockDevice {
                major: *major,
                minor: *minor,
            },
            Kind::Fifo => InodeKind::Fifo,
        };
        let number = self.plan.number(id);
        let links = self.plan.links[id.0 as usize];
        let inode = self.writer.inode(number, links, attributes, kind)?;
        self.written[id.0 as usize] = Some(inode);
        Ok(inode)
    }
}
