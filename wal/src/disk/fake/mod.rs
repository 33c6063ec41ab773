//! A disk in memory that keeps apart what the cache shows and what is stored.
//!
//! # Why
//! The promise of the log is about every crash, and a real disk shows few of them. This one can be asked, at
//! any moment, what a power cut may leave, and makes each of these as a disk of its own; and it tells every
//! lie that disks are known to tell.
//!
//! # Shape
//! ```text
//!   name ─► inode ─► length                     each of the three is a cell, and each has
//!                └─► sector, sector, sector …   durable │ every content since the last sync │ the one shown
//!
//!   FakeDisk ── unsynced ──► the cells with more than one version
//!            ── after_power_cut(one version of each) ──► FakeDisk, settled
//!            ── after_kill ──► FakeDisk, cache and store apart as before
//!            ── record, take_moments ──► a copy from before each call that changes something
//! ```
//! Sectors are shared between copies and carry their hash; a file that nothing was written to since is shared
//! as a whole. So a crash image costs what differs, and its hash a sum over names.
//!
//! # What it models
//! - A power cut leaves of each sector *any* content it had since the last sync that succeeded (the cache may
//!   write back at any time and in any order), of each file any length, and of each name any inode, all
//!   independently: a renamed file may be there under both names or neither.
//! - What a sync lost ([`Fault::FailClean`]) or a disk swallowed ([`Fault::Lose`]) is shown by the cache,
//!   called clean by later syncs, and absent from [`Disk::read_past_cache`] and after a power cut, until it
//!   is written again.
//! - The end of a process changes nothing but the lock.
//! - Room is that of all files that have a name, or may have one after a power cut; so what is unlinked gives
//!   it back when the directory is synced.
//! - Everything is deterministic: no clock, no random number, no order that depends on an address.
//!
//! # What this leaves out
//! Sectors torn within, which the log assumes do not exist (damage can make them); calls that run at the same
//! time as a sync; the lock file, of which only the lock exists; room for names. A view made by [`Disk::map`]
//! reports an unreadable sector as an error, where a real one ends the process.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Access;
#[cfg(doc)]
use super::Disk;

mod calls;
mod cell;
mod faults;
mod inode;
mod state;

pub use faults::{Call, Fault, Injection};
use state::{Id, State};

/// A disk in memory. Clones are handles to the same one; see [`FakeDisk::after_kill`] for a copy.
#[derive(Clone)]
pub struct FakeDisk {
    shared: Arc<Mutex<Shared>>,
}

/// Poisoning is passed over: what runs under the lock panics only where the caller broke a rule, before it
/// changes anything.
struct Shared {
    state: State,
    /// Whether moments are kept.
    recording: bool,
    note: u64,
    moments: Vec<Moment>,
    injections: Vec<Injection>,
    locked: bool,
}

/// What a power cut decides about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// What it is.
    pub kind: CellKind,
    /// How many contents it may have afterwards: at least two.
    pub versions: usize,
}

/// What a [`Cell`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CellKind {
    /// What a name leads to, which may be nothing.
    Name {
        /// The name.
        name: String,
    },
    /// The content of one sector.
    Sector {
        /// A name of the file.
        name: String,
        /// The number of the file, which its names may change under.
        inode: u64,
        /// The number of the sector within the file.
        sector: u64,
    },
    /// The length of a file.
    Length {
        /// A name of the file.
        name: String,
        /// The number of the file.
        inode: u64,
    },
}

/// A disk as it was just before a call.
#[derive(Clone, Debug)]
pub struct Moment {
    /// The call, as in `write 0000000000000001.seg 1024+384`.
    pub before: String,
    /// The last [`FakeDisk::set_note`] before it.
    pub note: u64,
    /// An independent copy.
    pub state: FakeDisk,
}

/// An open file of a [`FakeDisk`]. To be used with that disk and its clones only.
#[derive(Debug)]
pub struct FakeFile {
    inode: Id,
    access: Access,
}

/// A view of a file of a [`FakeDisk`].
#[derive(Debug)]
pub struct FakeMap {
    disk: FakeDisk,
    inode: Id,
    len: u64,
}

/// The lock of a [`FakeDisk`].
#[derive(Debug)]
pub struct FakeLock {
    disk: FakeDisk,
}

impl Drop for FakeLock {
    fn drop(&mut self) {
        self.disk.shared().locked = false;
    }
}

impl fmt::Debug for FakeDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeDisk").field("names", &self.names()).finish_non_exhaustive()
    }
}

/// The version numbers given to a power cut.
struct Choices<'a>(std::slice::Iter<'a, usize>);

impl Choices<'_> {
    /// The version to keep of a cell that has `count`; nobody is asked about a cell with one.
    fn take(&mut self, count: usize) -> usize {
        if count == 1 {
            return 0;
        }
        let number = *self.0.next().expect("one choice for each unsynced cell");
        assert!(number < count, "version {number} of a cell that has {count}");
        number
    }
}

impl FakeDisk {
    /// What the lock says holds it. Not that of this process, so that runs are alike.
    pub const PID: u32 = 4711;

    /// An empty disk on which `capacity` bytes can be allocated.
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        Self::holding(State::new(capacity))
    }

    fn holding(state: State) -> Self {
        let (moments, injections) = (Vec::new(), Vec::new());
        let shared = Shared { state, recording: false, note: 0, moments, injections, locked: false };
        Self { shared: Arc::new(Mutex::new(shared)) }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a power cut now would decide about, in a fixed order.
    #[must_use]
    pub fn unsynced(&self) -> Vec<Cell> {
        self.shared().state.unsynced()
    }

    /// The disk after a power cut that kept, of each cell of [`FakeDisk::unsynced`] in that order, the
    /// version with the given number: 0 is the durable one, the others follow in the order in which they were
    /// first written. An independent disk with nothing unsynced, injected or recorded. Files without a name
    /// are gone.
    ///
    /// # Panics
    /// If there is not exactly one number for each cell, below its number of versions.
    #[must_use]
    pub fn after_power_cut(&self, choices: &[usize]) -> Self {
        let shared = self.shared();
        let mut choices = Choices(choices.iter());
        let state = shared.state.after_power_cut(&mut choices);
        assert!(choices.0.next().is_none(), "more choices than unsynced cells");
        Self::holding(state)
    }

    /// The disk after the end of the process: an independent one, cache and store apart as they are, nobody
    /// holding the lock, nothing injected or recorded. Files without a name are gone.
    #[must_use]
    pub fn after_kill(&self) -> Self {
        Self::holding(self.shared().state.after_kill())
    }

    /// Whether to keep a [`Moment`] before each call that changes something.
    pub fn record(&self, on: bool) {
        self.shared().recording = on;
    }

    /// Sets the note that moments carry from now on.
    pub fn set_note(&self, note: u64) {
        self.shared().note = note;
    }

    /// The moments kept since the last call of this.
    #[must_use]
    pub fn take_moments(&self) -> Vec<Moment> {
        std::mem::take(&mut self.shared().moments)
    }

    /// The disk as it is now.
    #[must_use]
    pub fn moment(&self, before: impl Into<String>) -> Moment {
        self.shared().moment(before.into())
    }

    /// The names that are shown, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.shared().state.names()
    }

    /// What the cache shows of a file, unreadable sectors included; `None` if the name leads nowhere.
    #[must_use]
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let shared = self.shared();
        Some(shared.state.inode(shared.state.find(name)?).shown())
    }

    /// A hash of all names, lengths and contents, of those stored, shown, and possible after a power cut. The
    /// same for the same image whatever led to it; copies under two names count as one file with two.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.shared().state.hash()
    }

    /// Changes how many bytes can be allocated in all: another user of the disk came or went.
    pub fn set_capacity(&self, capacity: u64) {
        self.shared().state.capacity = capacity;
    }
}

impl Shared {
    fn moment(&self, before: String) -> Moment {
        Moment { before, note: self.note, state: FakeDisk::holding(self.state.clone()) }
    }
}
