//! What disks do that they should not, on request.
//!
//! Two kinds: an [`Injection`] makes a later call go wrong, and *damage* changes at once what is stored.
//! Damage to a sector that is not synced is done to every content it may have. A test that damages what is
//! not there is wrong, so it panics.

use std::io::ErrorKind;

use super::super::SECTOR;
use super::FakeDisk;
use super::state::{Id, State};

/// A call of [`Disk`](super::super::Disk), for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the method of the same name")]
pub enum Call {
    List,
    Lock,
    Open,
    Create,
    Len,
    Allocate,
    Write,
    Read,
    ReadPastCache,
    Sync,
    SyncDirectory,
    Rename,
    Unlink,
    Map,
    Free,
}

impl Call {
    /// Whether it changes what is on the disk or may be after a power cut, so that a
    /// [`Moment`](super::Moment) is kept before it.
    #[must_use]
    pub fn changes(self) -> bool {
        match self {
            Self::Create | Self::Allocate | Self::Write => true,
            Self::Sync | Self::SyncDirectory | Self::Rename | Self::Unlink => true,
            Self::List | Self::Lock | Self::Open | Self::Len | Self::Read | Self::ReadPastCache => false,
            Self::Map | Self::Free => false,
        }
    }
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Any call: it returns an error of this kind and does nothing. What was unsynced stays so, and a later
    /// sync may work.
    Fail(ErrorKind),
    /// A sync: it returns an error of this kind, nothing that was unsynced is stored, and the cache shows it
    /// and calls it clean.
    FailClean(ErrorKind),
    /// A write or a sync: it returns success. What it was to store is not, and the cache shows it and calls
    /// it clean.
    Lose,
    /// A write: it returns success. The cache shows it and calls it clean, but the disk stored the sectors
    /// elsewhere, beneath whatever the cache shows there. What would land beyond the end of that file lands
    /// nowhere.
    Misdirect {
        /// The file where they land.
        name: String,
        /// The sector where the first of them lands.
        sector: u64,
    },
    /// A write: the first bytes of it are written, then it returns an error of this kind.
    Tear {
        /// How many bytes are.
        bytes: usize,
        /// The error.
        kind: ErrorKind,
    },
}

impl Fault {
    /// Whether a call can go wrong in this way.
    fn befalls(&self, call: Call) -> bool {
        match self {
            Self::Fail(_) => true,
            Self::FailClean(_) => matches!(call, Call::Sync | Call::SyncDirectory),
            Self::Lose => matches!(call, Call::Write | Call::Sync | Call::SyncDirectory),
            Self::Misdirect { .. } | Self::Tear { .. } => call == Call::Write,
        }
    }

    /// The error of a call that can only fail.
    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            Self::Fail(kind) | Self::FailClean(kind) | Self::Tear { kind, .. } => *kind,
            Self::Lose | Self::Misdirect { .. } => ErrorKind::Other,
        }
    }
}

/// A fault that waits for its call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injection {
    /// The kind of call that goes wrong.
    pub call: Call,
    /// How many of them go well before.
    pub skip: usize,
    /// How the next one goes wrong.
    pub fault: Fault,
}

/// Counts a call against all that wait for one of its kind. If two are due at once, the one injected first
/// happens now and the other at the next call.
pub(super) fn due(injections: &mut Vec<Injection>, call: Call) -> Option<Fault> {
    let first = injections.iter().position(|waiting| waiting.call == call && waiting.skip == 0);
    let due = first.map(|at| injections.remove(at).fault);
    for waiting in injections.iter_mut().filter(|waiting| waiting.call == call) {
        waiting.skip = waiting.skip.saturating_sub(1);
    }
    due
}

impl State {
    fn existing(&self, name: &str) -> Id {
        self.find(name).unwrap_or_else(|| panic!("there is no file {name}"))
    }

    fn existing_sector(&self, name: &str, sector: u64) -> Id {
        let id = self.existing(name);
        assert!(sector * (SECTOR as u64) < self.inode(id).len(), "{name} has no sector {sector}");
        id
    }
}

impl FakeDisk {
    /// Lets a later call go wrong.
    ///
    /// # Panics
    /// If it is not a call that this fault befalls.
    pub fn inject(&self, injection: Injection) {
        let Injection { call, skip: _, fault } = &injection;
        assert!(fault.befalls(*call), "{fault:?} does not befall {call:?}");
        self.shared().injections.push(injection);
    }

    /// The injections whose call has not come.
    #[must_use]
    pub fn pending(&self) -> Vec<Injection> {
        self.shared().injections.clone()
    }

    /// Damage: the bit with this number, counted from the least of the first byte, is the other one.
    ///
    /// # Panics
    /// As all damage: if what is to be damaged is not there.
    pub fn flip_bit(&self, name: &str, bit: u64) {
        let state = &mut self.shared().state;
        let (byte, mask) = (bit / 8, 1 << (bit % 8));
        let (sector, place) = (byte / SECTOR as u64, (byte % SECTOR as u64) as usize);
        let id = state.existing(name);
        assert!(byte < state.inode(id).len(), "{name} has no byte {byte}");
        state.inode_mut(id).edit(sector, |bytes| bytes[place] ^= mask);
    }

    /// Damage: other bytes at an offset.
    ///
    /// # Panics
    /// See [`FakeDisk::flip_bit`].
    pub fn overwrite(&self, name: &str, offset: u64, bytes: &[u8]) {
        let state = &mut self.shared().state;
        let id = state.existing(name);
        let end = offset + bytes.len() as u64;
        assert!(end <= state.inode(id).len(), "{name} has no byte {end}");
        state.inode_mut(id).overwrite(offset, bytes);
    }

    /// Damage: two sectors, of one file or two, have each other's contents.
    ///
    /// # Panics
    /// See [`FakeDisk::flip_bit`].
    pub fn swap_sectors(&self, name: &str, sector: u64, name2: &str, sector2: u64) {
        let state = &mut self.shared().state;
        let (id, id2) = (state.existing_sector(name, sector), state.existing_sector(name2, sector2));
        let (cell, cell2) = (state.inode(id).cell(sector), state.inode(id2).cell(sector2));
        state.inode_mut(id).put(sector, cell2);
        state.inode_mut(id2).put(sector2, cell);
    }

    /// Damage: a file is this long. What is beyond is gone, what is new is zero. No room is asked for.
    ///
    /// # Panics
    /// See [`FakeDisk::flip_bit`].
    pub fn set_length(&self, name: &str, len: u64) {
        let state = &mut self.shared().state;
        let id = state.existing(name);
        state.inode_mut(id).set_len(len);
    }

    /// Damage: reads that touch this sector fail, with the kind `Other`, until it is written whole.
    ///
    /// # Panics
    /// See [`FakeDisk::flip_bit`].
    pub fn make_unreadable(&self, name: &str, sector: u64) {
        let state = &mut self.shared().state;
        let id = state.existing_sector(name, sector);
        state.inode_mut(id).make_unreadable(sector);
    }

    /// Damage: a sector holds what `earlier` shows there: a stale one.
    ///
    /// # Panics
    /// See [`FakeDisk::flip_bit`]; also if `earlier` has no such sector.
    pub fn restore_sector(&self, name: &str, sector: u64, earlier: &FakeDisk) {
        let old = {
            let earlier = &earlier.shared().state;
            let id = earlier.existing_sector(name, sector);
            earlier.inode(id).cell(sector).settled()
        };
        let state = &mut self.shared().state;
        let id = state.existing_sector(name, sector);
        state.inode_mut(id).put(sector, old);
    }

    /// Damage: a file is as `earlier` shows it, durably: a stale one. It is made if it is not there.
    ///
    /// # Panics
    /// If `earlier` has no such file.
    pub fn restore_file(&self, name: &str, earlier: &FakeDisk) {
        let old = {
            let earlier = &earlier.shared().state;
            earlier.inode(earlier.existing(name)).settled()
        };
        let state = &mut self.shared().state;
        match state.find(name) {
            Some(id) => state.replace(id, old),
            None => {
                let id = state.add(old);
                state.pin(name, Some(id));
            }
        }
    }

    /// Damage: a second file with what the first one shows, durably, replacing what had its name.
    ///
    /// # Panics
    /// See [`FakeDisk::flip_bit`].
    pub fn copy_file(&self, from: &str, to: &str) {
        let state = &mut self.shared().state;
        let copy = state.inode(state.existing(from)).settled();
        let id = state.add(copy);
        state.pin(to, Some(id));
    }

    /// Damage: a file has another name, durably, replacing what had it.
    ///
    /// # Panics
    /// See [`FakeDisk::flip_bit`].
    pub fn rename_file(&self, from: &str, to: &str) {
        let state = &mut self.shared().state;
        let id = state.existing(from);
        state.pin(from, None);
        state.pin(to, Some(id));
    }

    /// Damage: a name is gone, durably.
    ///
    /// # Panics
    /// See [`FakeDisk::flip_bit`].
    pub fn remove_file(&self, name: &str) {
        let state = &mut self.shared().state;
        state.existing(name);
        state.pin(name, None);
    }
}
