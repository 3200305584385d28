//! The names of one file system: what the process sees, and what the device would show after a power loss.
//!
//! Names and files are apart, as in real file systems: a file can be durable while its name is not, and the other
//! way round. Each operation on names changes the view of the process at once and is kept as pending; syncing a
//! directory makes its pending operations durable. A power loss keeps some of the rest, each operation as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Component, Path};

use super::image::FileImage;
use crate::random::Random;

/// A file or directory, by a number that is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NodeId(pub(super) u64);

/// What a name stands for.
#[derive(Debug)]
pub(super) enum Node {
    File(FileImage),
    Directory(Names),
}

/// The names in a directory.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) live: BTreeMap<String, NodeId>,
    durable: BTreeMap<String, NodeId>,
}

/// A change of names that is not durable yet.
#[derive(Debug)]
struct Pending {
    /// The node that loses or gets a name.
    node: NodeId,
    /// The name that it loses.
    from: Option<(NodeId, String)>,
    /// The name that it gets.
    to: Option<(NodeId, String)>,
}

/// All names and files of a file system.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) nodes: BTreeMap<NodeId, Node>,
    pending: Vec<Pending>,
    /// The one name that each node has on the device, if any.
    durable_places: BTreeMap<NodeId, (NodeId, String)>,
    next_node: u64,
    /// Files that a process has open keep their contents without a name.
    pub(super) open_counts: BTreeMap<NodeId, u64>,
}

impl Tree {
    pub(super) fn new() -> Self {
        let root = Node::Directory(Names::default());
        Self {
            nodes: BTreeMap::from([(ROOT, root)]),
            pending: Vec::new(),
            durable_places: BTreeMap::new(),
            next_node: ROOT.0 + 1,
            open_counts: BTreeMap::new(),
        }
    }

    /// The node at `path`.
    pub(super) fn find(&self, path: &Path) -> io::Result<NodeId> {
        self.walk(&parts(path)?)
    }

    /// The directory that holds the last name of `path`, and that name.
    pub(super) fn parent(&self, path: &Path) -> io::Result<(NodeId, String)> {
        let mut parts = parts(path)?;
        let name = parts.pop().ok_or(ErrorKind::InvalidInput)?;
        let directory = self.walk(&parts)?;
        self.names(directory)?;
        Ok((directory, name.to_owned()))
    }

    pub(super) fn names(&self, node: NodeId) -> io::Result<&Names> {
        match self.nodes.get(&node) {
            Some(Node::Directory(names)) => Ok(names),
            Some(Node::File(_)) => Err(ErrorKind::NotADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn file(&mut self, node: NodeId) -> io::Result<&mut FileImage> {
        match self.nodes.get_mut(&node) {
            Some(Node::File(image)) => Ok(image),
            Some(Node::Directory(_)) => Err(ErrorKind::IsADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    /// Makes a file or directory under a free name.
    pub(super) fn create(&mut self, directory: NodeId, name: String, node: Node) -> NodeId {
        let id = NodeId(self.next_node);
        self.next_node += 1;
        self.nodes.insert(id, node);
        self.change(Pending { node: id, from: None, to: Some((directory, name)) });
        id
    }

    /// Makes a directory and those above it.
    pub(super) fn create_directories(&mut self, path: &Path) -> io::Result<()> {
        let mut here = ROOT;
        for part in parts(path)? {
            here = match self.names(here)?.live.get(part) {
                Some(node) => *node,
                None => self.create(here, part.to_owned(), Node::Directory(Names::default())),
            };
        }
        self.names(here).map(|_| ())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = self.find(from)?;
        let (source, target) = (self.parent(from)?, self.parent(to)?);
        if source == target {
            return Ok(());
        }
        let replaced = self.names(target.0)?.live.get(&target.1).copied();
        let moves_directory = self.names(node).is_ok();
        if moves_directory && self.is_within(target.0, node) {
            return Err(ErrorKind::InvalidInput.into());
        }
        match replaced.map(|replaced| self.names(replaced)) {
            Some(Ok(_)) if !moves_directory => return Err(ErrorKind::IsADirectory.into()),
            Some(Ok(names)) if !names.live.is_empty() => {
                return Err(ErrorKind::DirectoryNotEmpty.into());
            }
            Some(Err(_)) if moves_directory => return Err(ErrorKind::NotADirectory.into()),
            Some(_) | None => {}
        }
        self.change(Pending { node, from: Some(source), to: Some(target) });
        Ok(())
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        let node = self.find(path)?;
        self.file(node)?;
        let from = self.parent(path)?;
        self.change(Pending { node, from: Some(from), to: None });
        Ok(())
    }

    /// Removes a directory and everything in it, from the leaves up.
    pub(super) fn remove_directory(&mut self, path: &Path) -> io::Result<()> {
        let node = self.find(path)?;
        self.names(node)?;
        let from = self.parent(path)?;
        self.remove_tree(node, from);
        Ok(())
    }

    /// Makes the names of a directory durable.
    pub(super) fn sync_directory(&mut self, directory: NodeId) {
        let touches = |place: &Option<(NodeId, String)>| {
            place.as_ref().is_some_and(|(parent, _)| *parent == directory)
        };
        let pending = std::mem::take(&mut self.pending);
        let (due, rest): (Vec<_>, Vec<_>) =
            pending.into_iter().partition(|change| touches(&change.from) || touches(&change.to));
        self.pending = rest;
        for change in due {
            self.make_durable(change);
        }
        self.forget_unreachable();
    }

    /// Keeps some of what is pending, and shows what is left. Says how many changes were (lost, kept).
    pub(super) fn lose_power(&mut self, random: &mut Random) -> (u64, u64) {
        let pending = std::mem::take(&mut self.pending);
        let total = pending.len();
        // Either as a journal does it, up to some point, or each change by itself.
        let journal_end = random.chance(0.5).then(|| random.index(total + 1));
        let mut kept = 0;
        for (index, change) in pending.into_iter().enumerate() {
            let is_kept = journal_end.map_or_else(|| random.chance(0.5), |end| index < end);
            if is_kept {
                kept += 1;
                self.make_durable(change);
            }
        }
        for node in self.nodes.values_mut() {
            if let Node::Directory(names) = node {
                names.live = names.durable.clone();
            }
        }
        self.open_counts.clear();
        self.forget_unreachable();
        (total as u64 - kept, kept)
    }

    /// Forgets files and directories that neither a name, nor a pending change, nor an open file leads to.
    pub(super) fn forget_unreachable(&mut self) {
        let mut reached = BTreeSet::new();
        let mut next = vec![ROOT];
        for Pending { node, from, to } in &self.pending {
            next.push(*node);
            next.extend(from.iter().chain(to).map(|(parent, _)| *parent));
        }
        next.extend(self.open_counts.keys());
        while let Some(node) = next.pop() {
            if reached.insert(node)
                && let Some(Node::Directory(names)) = self.nodes.get(&node)
            {
                next.extend(names.live.values().chain(names.durable.values()));
            }
        }
        self.nodes.retain(|node, _| reached.contains(node));
        self.durable_places.retain(|node, _| reached.contains(node));
    }

    /// Bytes that files with a name take.
    pub(super) fn allocated(&self) -> u64 {
        let mut total = 0;
        let mut next = vec![ROOT];
        while let Some(node) = next.pop() {
            match self.nodes.get(&node) {
                Some(Node::Directory(names)) => next.extend(names.live.values()),
                Some(Node::File(image)) => total += image.allocated(),
                None => {}
            }
        }
        total
    }

    fn walk(&self, parts: &[&str]) -> io::Result<NodeId> {
        let mut here = ROOT;
        for part in parts {
            here = *self.names(here)?.live.get(*part).ok_or(ErrorKind::NotFound)?;
        }
        Ok(here)
    }

    fn is_within(&self, node: NodeId, directory: NodeId) -> bool {
        node == directory
            || self
                .names(directory)
                .is_ok_and(|names| names.live.values().any(|child| self.is_within(node, *child)))
    }

    fn remove_tree(&mut self, node: NodeId, from: (NodeId, String)) {
        let children: Vec<_> = match self.names(node) {
            Ok(names) => names.live.iter().map(|(name, child)| (name.clone(), *child)).collect(),
            Err(_) => Vec::new(),
        };
        for (name, child) in children {
            self.remove_tree(child, (node, name));
        }
        self.change(Pending { node, from: Some(from), to: None });
    }

    /// Changes the view of the process, and remembers the change.
    fn change(&mut self, change: Pending) {
        if let Some((parent, name)) = &change.from {
            self.directory(*parent).live.remove(name);
        }
        if let Some((parent, name)) = &change.to {
            self.directory(*parent).live.insert(name.clone(), change.node);
        }
        self.pending.push(change);
    }

    /// Changes the view of the device. A change before this one may have been lost, so the node is taken from
    /// wherever the device has it: it never has two names.
    fn make_durable(&mut self, change: Pending) {
        if let Some((parent, name)) = self.durable_places.remove(&change.node) {
            self.directory(parent).durable.remove(&name);
        }
        if let Some((parent, name)) = change.to {
            let replaced = self.directory(parent).durable.insert(name.clone(), change.node);
            if let Some(replaced) = replaced {
                self.durable_places.remove(&replaced);
            }
            self.durable_places.insert(change.node, (parent, name));
        }
    }

    fn directory(&mut self, node: NodeId) -> &mut Names {
        match self.nodes.get_mut(&node) {
            Some(Node::Directory(names)) => names,
            Some(Node::File(_)) | None => panic!("{node:?} is pending or named, and a directory"),
        }
    }
}

/// The names along a path. Everything starts at the root, so that `data` and `/data` are the same.
fn parts(path: &Path) -> io::Result<Vec<&str>> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => parts.push(name.to_str().ok_or(ErrorKind::InvalidInput)?),
            Component::ParentDir | Component::Prefix(_) => {
                return Err(ErrorKind::InvalidInput.into());
            }
        }
    }
    Ok(parts)
}

const ROOT: NodeId = NodeId(1);
