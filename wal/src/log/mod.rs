//! The log itself: synchronous, for one thread, over any disk.
//!
//! # Shape
//! [`Log::append`] encodes a batch behind the last record and writes it with one call; [`Log::sync`] makes it durable and
//! says up to where. Nothing in between is promised to anybody. Everything that is rare (a full segment, a vote, a trim)
//! costs syncs of its own and keeps the ordinary path at one write and one sync.
//!
//! # Order of things that must not be mixed up
//! | before | comes |
//! |---|---|
//! | a record in a new segment | the sync of the segment before it, then `synced_upto` and the new number in the meta file |
//! | a hard state in a meta slot | the sync of the same hard state as a record |
//! | the name of an old segment goes | the sync of the record that names the first live segment, then the meta file |
//! | a segment is given its name | the sync of its zeros and its header |

mod find;
mod open;
mod read;
mod tariff;
mod write;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use holdfast_machine::{Machine, Trace, decide};

use crate::disk::Disk;
use crate::error::Fatal;
use crate::format::{META_FILE, MetaSlot, SLOT_AT, Salt, SegmentHeader};
use crate::groups::Groups;
use crate::recovery::Region;
use crate::segment::{Event, Preparation, Prepared, Segment, SegmentMachine, State};
use crate::types::{Group, HardState, Hole, LogBounds, Options};
use crate::variant::{AsDesigned, Break, Variant};

pub use find::{Ending, GroupDamage, Recovery};
pub(crate) use find::{find, list};
pub use read::{Reader, Scrubbed};
pub use tariff::{Room, Tariff};

/// The log of a node. See the module documentation.
pub struct Log<D: Disk, V: Variant = AsDesigned> {
    disk: D,
    /// Held, not looked at.
    _lock: D::Lock,
    options: Options,
    shared: Arc<Shared<D>>,
    active: Arc<Segment<D>>,
    /// Where the next record may begin in the active segment.
    at: u64,
    prepared: VecDeque<Arc<Segment<D>>>,
    /// The number of the next segment to be prepared.
    next_number: u64,
    meta: MetaFile<D::File>,
    /// Encoded records that are not written yet, and where they go.
    buffer: Vec<u8>,
    buffer_at: u64,
    /// All before this is durable.
    durable: u64,
    /// The `synced_upto` of the last record.
    marked: u64,
    first_live: u64,
    /// Hard states or bounds are written whose copy in the meta file is not.
    meta_is_behind: bool,
    regions: Vec<Region>,
    hard_state_lost: bool,
    failed: bool,
    lives: BTreeMap<u64, State>,
    trace: Trace<SegmentMachine, 64>,
    counts: Counts,
    variant: std::marker::PhantomData<V>,
}

/// Where it stands, and not the million entries it knows.
impl<D: Disk, V: Variant> fmt::Debug for Log<D, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("place", &self.disk.place())
            .field("end", &self.end())
            .field("durable", &self.durable)
            .field("damaged", &self.is_damaged())
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

/// What the log and its readers share.
#[derive(Debug)]
pub(crate) struct Shared<D: Disk> {
    groups: RwLock<Groups>,
    segments: RwLock<BTreeMap<u64, Arc<Segment<D>>>>,
    /// All before this is written and does not change any more. Nothing else hangs on it: what it counts is read
    /// through the kernel.
    written: AtomicU64,
}

impl<D: Disk> Shared<D> {
    // A panic under these locks is one of this crate, and the process ends with it: nothing half done is read.
    pub(crate) fn groups(&self) -> RwLockReadGuard<'_, Groups> {
        self.groups.read().unwrap_or_else(PoisonError::into_inner)
    }
    pub(crate) fn groups_mut(&self) -> RwLockWriteGuard<'_, Groups> {
        self.groups.write().unwrap_or_else(PoisonError::into_inner)
    }
    pub(crate) fn segments(&self) -> RwLockReadGuard<'_, BTreeMap<u64, Arc<Segment<D>>>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner)
    }
    pub(crate) fn segments_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<u64, Arc<Segment<D>>>> {
        self.segments.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The meta file, open.
#[derive(Debug)]
struct MetaFile<F> {
    file: F,
    epoch: u64,
    /// Which slot is written next: never the only one that is readable.
    next: usize,
}

/// What the log did since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Syncs of segments and of the meta file.
    pub syncs: u64,
    /// Records written, skips and control records among them.
    pub records: u64,
    /// Bytes of bodies of entries accepted.
    pub payload_bytes: u64,
    /// Bytes written into segments by appends.
    pub written_bytes: u64,
    /// Segments begun.
    pub rotations: u64,
    /// Segments whose names were removed because nobody needs them.
    pub retired: u64,
}

impl<D: Disk, V: Variant> Log<D, V> {
    /// All positions before this are durable.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// All positions before this are written.
    fn written(&self) -> u64 {
        self.shared.written.load(Ordering::Acquire)
    }

    /// The position behind the last record.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.active.header.base() + self.at
    }

    /// What the log did since it was opened.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The groups that the log knows.
    #[must_use]
    pub fn groups(&self) -> Vec<Group> {
        self.shared.groups().iter().map(|(group, _)| group).collect()
    }

    /// What the log holds of a group. `None` for a group it has never heard of.
    #[must_use]
    pub fn bounds(&self, group: Group) -> Option<LogBounds> {
        self.shared.groups().get(group).map(crate::groups::GroupLog::bounds)
    }

    /// Term and vote of a group: as last written, durable or not.
    #[must_use]
    pub fn hard_state(&self, group: Group) -> HardState {
        self.shared.groups().get(group).map(crate::groups::GroupLog::hard).unwrap_or_default()
    }

    /// The holes of a group, in order. They are left from damage that was found on open.
    #[must_use]
    pub fn holes(&self, group: Group) -> Vec<Hole> {
        self.shared.groups().get(group).map(crate::groups::GroupLog::holes).unwrap_or_default()
    }

    /// Whether damage is open: nothing healed it yet.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        !self.regions.is_empty()
    }

    /// Whether the hard state was lost to damage. It stays lost: the node must not vote, and has to be replaced.
    #[must_use]
    pub fn hard_state_lost(&self) -> bool {
        self.hard_state_lost
    }

    /// The size of a segment in bytes.
    #[must_use]
    pub fn segment_bytes(&self) -> u64 {
        self.options.segment_bytes
    }

    /// The largest body of an entry in bytes: half a segment, so that it fits behind any checkpoint.
    #[must_use]
    pub fn max_entry_bytes(&self) -> u64 {
        self.options.segment_bytes / 2
    }

    /// The edges that segments took, and the last steps.
    #[must_use]
    pub fn trace(&self) -> &Trace<SegmentMachine, 64> {
        &self.trace
    }

    /// The segment that is wanted next, to be prepared on any thread and given to [`Log::add_prepared`]. `None` if there are
    /// enough.
    #[must_use]
    pub fn wants_prepared(&mut self) -> Option<Preparation<D>> {
        (self.prepared.len() < self.options.prepared).then(|| {
            let (number, size) = (self.next_number, self.options.segment_bytes);
            self.lives.insert(number, SegmentMachine::INITIAL);
            let salt = Salt(salt(self.options.salt_seed, number));
            let header = SegmentHeader { identity: self.options.identity, number, size, salt };
            Preparation::new(self.disk.clone(), header)
        })
    }

    /// Takes a segment that was prepared.
    ///
    /// # Panics
    /// If it is not the one that was wanted next.
    pub fn add_prepared(&mut self, prepared: Prepared<D>) {
        let segment = prepared.0;
        assert_eq!(segment.header.number, self.next_number, "prepared segments come in order");
        self.shift(self.next_number, Event::Zeroed);
        self.next_number += 1;
        self.prepared.push_back(segment);
    }

    /// Prepares the segments that are wanted, here and now.
    ///
    /// # Errors
    /// Those of the disk; see [`Preparation::run`].
    pub fn prepare(&mut self) -> io::Result<()> {
        while let Some(preparation) = self.wants_prepared() {
            self.add_prepared(preparation.run::<V>()?);
        }
        Ok(())
    }

    /// The one place where a segment's state changes.
    fn shift(&mut self, number: u64, event: Event) {
        let state = self.lives.get(&number).copied().unwrap_or(SegmentMachine::INITIAL);
        if let Some(edge) = decide::<SegmentMachine>(state, event) {
            self.trace.record(number, state, event, edge);
            let target = SegmentMachine::target(edge);
            if target == State::Gone {
                self.lives.remove(&number);
            } else {
                self.lives.insert(number, target);
            }
        }
    }

    fn fatal(&mut self, doing: impl Into<String>, error: io::Error) -> Fatal {
        self.failed = true;
        Fatal { place: self.disk.place(), doing: doing.into(), error }
    }

    fn refuse_if_failed(&self) -> Result<(), Fatal> {
        if !self.failed {
            return Ok(());
        }
        let (place, doing) = (self.disk.place(), "going on after a failure".to_owned());
        Err(Fatal { place, doing, error: io::Error::other("the log failed before") })
    }

    /// Syncs a file; never twice.
    fn sync_file(&mut self, file: &SyncOf<'_, D>) -> Result<(), Fatal> {
        self.counts.syncs += 1;
        let name = match file {
            SyncOf::Segment(segment) => segment.name.clone(),
            SyncOf::Meta => META_FILE.to_owned(),
            SyncOf::Directory => "the directory".to_owned(),
        };
        let sync = || match file {
            SyncOf::Segment(segment) => self.disk.sync(&segment.file),
            SyncOf::Meta => self.disk.sync(&self.meta.file),
            SyncOf::Directory => self.disk.sync_directory(),
        };
        let result = sync();
        let result = if result.is_err() && V::breaks(Break::RetrySync) { sync() } else { result };
        result.map_err(|error| self.fatal(format!("syncing {name}"), error))
    }

    /// Writes a slot of the meta file and syncs it. `active` is the newest segment that may hold records.
    fn write_meta(&mut self, active: u64) -> Result<(), Fatal> {
        let groups = self.shared.groups().snapshot();
        let groups =
            groups.iter().map(|group| (group.group, group.hard, group.first, group.prev_term)).collect();
        let slot = MetaSlot {
            identity: self.options.identity,
            epoch: self.meta.epoch + 1,
            synced_upto: self.durable,
            first_live: self.first_live,
            active,
            segment_bytes: self.options.segment_bytes,
            hard_state_lost: self.hard_state_lost,
            groups,
        };
        let at = SLOT_AT[self.meta.next];
        if let Err(error) = self.disk.write_at(&self.meta.file, at, &slot.encode()) {
            return Err(self.fatal("writing meta", error));
        }
        self.sync_file(&SyncOf::Meta)?;
        self.meta.epoch += 1;
        self.meta.next = 1 - self.meta.next;
        Ok(())
    }
}

/// What is to be synced.
enum SyncOf<'a, D: Disk> {
    Segment(&'a Segment<D>),
    Meta,
    Directory,
}

/// The salt of a segment (splitmix64 of seed and number): each step is a bijection, so that no two segments of one
/// process share one.
fn salt(seed: u64, number: u64) -> u64 {
    let mut word = seed.wrapping_add(number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}
