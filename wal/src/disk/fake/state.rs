//! What is on a disk and in its cache: names, and what they lead to.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::sync::Arc;

use super::cell::{Versions, hash_bytes, mix};
use super::inode::Inode;
use super::{Cell, CellKind, Choices};

/// The number of an inode. Never used twice.
pub(super) type Id = u64;

/// Cloned at every moment that is recorded, so all that is large in it is shared.
#[derive(Clone, Debug)]
pub(super) struct State {
    names: BTreeMap<Arc<str>, Versions<Option<Id>>>,
    inodes: BTreeMap<Id, Arc<Inode>>,
    next: Id,
    pub(super) capacity: u64,
}

impl State {
    pub(super) fn new(capacity: u64) -> Self {
        Self { names: BTreeMap::new(), inodes: BTreeMap::new(), next: 1, capacity }
    }

    /// The inode that a name shows.
    pub(super) fn find(&self, name: &str) -> Option<Id> {
        self.names.get(name).and_then(|versions| *versions.visible())
    }

    /// Only handles of this very disk have numbers of its inodes, and those stay.
    pub(super) fn inode(&self, id: Id) -> &Inode {
        self.inodes.get(&id).expect("a file is used with the disk it was opened on")
    }

    pub(super) fn inode_mut(&mut self, id: Id) -> &mut Inode {
        let inode = self.inodes.get_mut(&id).expect("a file is used with the disk it was opened on");
        Arc::make_mut(inode)
    }

    /// What to call an inode in messages for people.
    pub(super) fn name_of(&self, id: Id) -> String {
        let shown = self.names.iter().find(|(_, versions)| *versions.visible() == Some(id));
        let known =
            || self.names.iter().find(|(_, versions)| versions.tagged().any(|(_, to)| *to == Some(id)));
        match shown.or_else(known) {
            Some((name, _)) => name.to_string(),
            None => format!("(inode {id})"),
        }
    }

    /// The names that are shown, in order.
    pub(super) fn names(&self) -> Vec<String> {
        let shown = self.names.iter().filter(|(_, versions)| versions.visible().is_some());
        shown.map(|(name, _)| name.to_string()).collect()
    }

    pub(super) fn create(&mut self, name: &str) -> Result<Id, ErrorKind> {
        if self.find(name).is_some() {
            return Err(ErrorKind::AlreadyExists);
        }
        let id = self.add(Inode::new());
        self.point(name, Some(id));
        Ok(id)
    }

    pub(super) fn allocate(&mut self, id: Id, len: u64) -> Result<(), ErrorKind> {
        let more = len.saturating_sub(self.inode(id).len());
        if more > self.free() {
            return Err(ErrorKind::StorageFull);
        }
        self.inode_mut(id).allocate(len);
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> Result<(), ErrorKind> {
        let id = self.find(from).ok_or(ErrorKind::NotFound)?;
        if from != to {
            self.point(to, Some(id));
            self.point(from, None);
        }
        Ok(())
    }

    pub(super) fn unlink(&mut self, name: &str) -> Result<(), ErrorKind> {
        self.find(name).ok_or(ErrorKind::NotFound)?;
        self.point(name, None);
        Ok(())
    }

    /// Lets a name show another inode, until the next sync for nobody but the cache.
    fn point(&mut self, name: &str, to: Option<Id>) {
        match self.names.get_mut(name) {
            Some(versions) => versions.write(to),
            None => {
                self.names.insert(name.into(), Versions::unsynced(None, to));
            }
        }
    }

    pub(super) fn sync_names(&mut self) {
        self.settle_names(Versions::sync);
    }

    /// As [`Inode::lose`], of the directory.
    pub(super) fn lose_names(&mut self) {
        self.settle_names(Versions::lose);
    }

    fn settle_names(&mut self, how: impl Fn(&mut Versions<Option<Id>>)) {
        self.names.values_mut().for_each(how);
        self.names.retain(|_, versions| versions.tagged().any(|(_, to)| to.is_some()));
    }

    /// The inodes that a name shows, or may show after a power cut.
    fn reachable(&self) -> BTreeSet<Id> {
        let all = self.names.values().flat_map(Versions::tagged);
        all.filter_map(|(_, to)| *to).collect()
    }

    /// The room that no reachable inode takes.
    pub(super) fn free(&self) -> u64 {
        let used = self.reachable().iter().map(|&id| self.inode(id).len()).sum();
        self.capacity.saturating_sub(used)
    }

    /// What a power cut decides about, in the order of [`State::after_power_cut`].
    pub(super) fn unsynced(&self) -> Vec<Cell> {
        let names = self.names.iter().filter(|(_, versions)| versions.count() > 1);
        let cell = |name: &Arc<str>| CellKind::Name { name: name.to_string() };
        let mut cells: Vec<Cell> =
            names.map(|(name, versions)| Cell { kind: cell(name), versions: versions.count() }).collect();
        for id in self.reachable() {
            let inode = self.inode(id);
            for (sector, versions) in inode.unsynced_sectors() {
                let kind = CellKind::Sector { name: self.name_of(id), inode: id, sector };
                cells.push(Cell { kind, versions });
            }
            if inode.lengths() > 1 {
                let kind = CellKind::Length { name: self.name_of(id), inode: id };
                cells.push(Cell { kind, versions: inode.lengths() });
            }
        }
        cells
    }

    /// What a power cut leaves, with one choice for each of [`State::unsynced`].
    pub(super) fn after_power_cut(&self, choices: &mut Choices<'_>) -> Self {
        let mut left = Self::new(self.capacity);
        left.next = self.next;
        for (name, versions) in &self.names {
            if let Some(id) = *versions.version(choices.take(versions.count())) {
                left.names.insert(Arc::clone(name), Versions::new(Some(id)));
            }
        }
        let reachable = left.reachable();
        for id in self.reachable() {
            let inode = self.inodes[&id].after_power_cut(choices);
            if reachable.contains(&id) {
                left.inodes.insert(id, inode);
            }
        }
        left
    }

    /// What the end of the process leaves: everything but files without a name.
    pub(super) fn after_kill(&self) -> Self {
        let mut left = self.clone();
        let reachable = self.reachable();
        left.inodes.retain(|id, _| reachable.contains(id));
        left
    }

    /// Adds an inode that has no name yet.
    pub(super) fn add(&mut self, inode: Inode) -> Id {
        let id = self.next;
        self.next += 1;
        self.inodes.insert(id, Arc::new(inode));
        id
    }

    /// Puts another file behind a number.
    pub(super) fn replace(&mut self, id: Id, inode: Inode) {
        self.inodes.insert(id, Arc::new(inode));
    }

    /// Lets a name show an inode, or nothing, durably and without history.
    pub(super) fn pin(&mut self, name: &str, to: Option<Id>) {
        match to {
            Some(id) => self.names.insert(name.into(), Versions::new(Some(id))),
            None => self.names.remove(name),
        };
    }

    /// A hash of all names and what they lead to.
    pub(super) fn hash(&self) -> u64 {
        let mut hash = 0_u64;
        for (name, versions) in &self.names {
            let name = hash_bytes(name.as_bytes());
            for (tag, to) in versions.tagged() {
                let inode = to.map_or(0, |id| self.inode(id).hash());
                // A name that is absent, durably and shown, is no name: those two add nothing.
                if to.is_some() || tag > 1 {
                    hash = hash.wrapping_add(mix(mix(name.wrapping_add(tag)).wrapping_add(inode)));
                }
            }
        }
        mix(hash)
    }
}
