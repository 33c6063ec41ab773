//! The snapshots of a node: files of their own directory, each whole and durable before it has its name.
//!
//! ```text
//!   snapshots/
//!     taking.new                             being written of the own state
//!     receiving.new                          being received of a leader
//!     saving.new                             for an operator; loses its name at once, and lives while it is open
//!     0000000000000028-0000000000000003.snap up to index 40 (hexadecimal), of term 3
//! ```
//! A snapshot gets its name when all of it is synced, and counts when the directory is synced after that. A crash in between
//! leaves what was there before, or the new one as well. What has no such name is nothing, and is removed at the next start.
//!
//! # Which one is used
//! The newest that is whole. It is read to its last byte at a start, so damage is found there and not when a follower asks for
//! it. If it is damaged, an older one serves if the log holds all entries behind that one, up to the end of the damaged one at
//! least: this node may have told a leader that it has them. Otherwise the node has lost what it acknowledged, and a leader
//! has to send it again: see [`start_from`]. The newest two are kept, which makes that possible, and gives a follower that receives one the time to get
//! to its end; those that are open are read on when their name has gone.
//!
//! # Errors
//! None of them costs the node anything but the snapshot: a full disk, a failed sync or a damaged piece leave the older
//! snapshot and the log as they are. A file whose sync failed is given up and never synced again.

use std::collections::{BTreeSet, VecDeque};
use std::io;

use bytes::Bytes;
use holdfast_raft::{
    ClusterEpoch, ClusterId, Damage, EntryId, HardState, Index, Recovered, SnapshotMeta, Term,
};
use holdfast_store::snapshot::{Decoder, Encoder, Header, SnapshotError, Source};
use holdfast_store::{Halt, LogPosition, NoPlant, Plant, Store};
use holdfast_wal::disk::{Access, Disk};

use super::error::StorageError;
use super::identity::DamageMark;
use super::payload::{PayloadError, decode_membership, encode_membership};
use super::recover::with_snapshot;
use super::saves::{SAVING, Saves};
use crate::node::{NoPiece, SnapshotDone, SnapshotJob};

/// The directory of the snapshots, in the data directory.
pub const SNAPSHOT_DIRECTORY: &str = "snapshots";

const TAKING: &str = "taking.new";
const RECEIVING: &str = "receiving.new";
const SUFFIX: &str = ".snap";

/// So many are kept: see the module documentation.
const KEPT: usize = 2;

/// Files that are open for followers.
const OPEN_MAX: usize = 4;

/// Bytes that are read at a time.
const READ_BYTES: usize = 256 * 1024;

/// Bytes that are written before they are synced, so that no sync is long: the log shares the device.
const SYNC_BYTES: u64 = 8 * 1024 * 1024;

/// Why a snapshot could not be taken, stored, read or installed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotFileError {
    /// The operating system refused something.
    #[error("{place}: {doing}: {error}")]
    Io {
        /// The directory.
        place: String,
        /// What was being done.
        doing: &'static str,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// A file is no whole snapshot.
    #[error("{place}/{name}: {why}")]
    Damaged {
        /// The directory.
        place: String,
        /// The file.
        name: String,
        /// What is wrong with it.
        #[source]
        why: SnapshotError,
    },
    /// Its configuration is none.
    #[error("{place}/{name}: its configuration: {why}")]
    Membership {
        /// The directory.
        place: String,
        /// The file.
        name: String,
        /// What is wrong with it.
        #[source]
        why: PayloadError,
    },
    /// It is whole, and another than it should be.
    #[error("{place}/{name}: {what}")]
    Other {
        /// The directory.
        place: String,
        /// The file.
        name: String,
        /// In what.
        what: &'static str,
    },
    /// The state is good for nothing.
    #[error(transparent)]
    Halted(#[from] Halt),
}

/// A snapshot that is whole, and what it holds.
#[derive(Debug)]
pub struct Loaded<S: Plant = NoPlant> {
    /// What the core has to know of it.
    pub meta: SnapshotMeta,
    /// The state.
    pub store: Store<S>,
}

/// A snapshot that is being written.
#[derive(Debug)]
struct Taking<F, S: Plant> {
    file: F,
    encoder: Encoder<S>,
    last: EntryId,
    bytes: u64,
    synced: u64,
}

/// A snapshot that is being received.
#[derive(Debug)]
struct Receiving<F> {
    file: F,
    last: EntryId,
    bytes: u64,
    synced: u64,
    /// A piece could not be stored.
    broken: bool,
}

/// What a start finds.
#[derive(Debug)]
pub struct Opened<D: Disk, S: Plant = NoPlant> {
    /// The directory.
    pub files: SnapshotFiles<D, S>,
    /// The newest snapshot that is whole.
    pub loaded: Option<Loaded<S>>,
    /// Those that are newer and not whole, the newest first, and what is wrong with them.
    pub damaged: Vec<(EntryId, SnapshotFileError)>,
}

/// The snapshots of a node. All calls belong on a thread that may wait for the disk.
#[derive(Debug)]
pub struct SnapshotFiles<D: Disk, S: Plant = NoPlant> {
    pub(super) disk: D,
    /// Whose snapshots these are.
    names: (ClusterId, ClusterEpoch),
    /// Those that are whole.
    kept: BTreeSet<EntryId>,
    /// Those that are not, by name. Kept until there is a newer one, for whoever wants to know what happened.
    damaged: Vec<String>,
    open: VecDeque<(EntryId, D::File)>,
    taking: Option<Taking<D::File, S>>,
    receiving: Option<Receiving<D::File>>,
    pub(super) saves: Saves<D::File, S>,
}

fn name(last: EntryId) -> String {
    format!("{:016x}-{:016x}{SUFFIX}", last.index.0, last.term.0)
}

/// The last entry of the snapshot with this file name; `None` if it is the name of none.
#[must_use]
pub fn snapshot_of(name: &str) -> Option<EntryId> {
    parse(name)
}

fn parse(name: &str) -> Option<EntryId> {
    let (index, term) = name.strip_suffix(SUFFIX)?.split_once('-')?;
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    let last = EntryId::new(number(term)?, number(index)?);
    // One name of each.
    (self::name(last) == name).then_some(last)
}

impl<D: Disk, S: Plant> SnapshotFiles<D, S> {
    /// Opens the directory: removes what never got a name, makes names durable, and reads the newest snapshot that is whole.
    ///
    /// # Errors
    /// [`SnapshotFileError::Io`]: the directory cannot be read at all.
    pub fn open(disk: D, cluster: ClusterId, epoch: ClusterEpoch) -> Result<Opened<D, S>, SnapshotFileError> {
        let mut files = Self {
            disk,
            names: (cluster, epoch),
            kept: BTreeSet::new(),
            damaged: Vec::new(),
            open: VecDeque::new(),
            taking: None,
            receiving: None,
            saves: Saves::default(),
        };
        let mut names = files.disk.list().map_err(|error| files.io("listing", error))?;
        for left in [TAKING, RECEIVING, SAVING] {
            if names.iter().any(|name| name == left) {
                files.disk.unlink(left).map_err(|error| files.io("removing what was left", error))?;
            }
        }
        // A process that was killed may have given a name and not come to make it durable.
        files.disk.sync_directory().map_err(|error| files.io("syncing the directory", error))?;
        names.retain(|name| name.ends_with(SUFFIX));
        let mut all: Vec<EntryId> = names.iter().filter_map(|name| parse(name)).collect();
        all.sort_unstable();
        let (mut loaded, mut damaged) = (None, Vec::new());
        for last in all.into_iter().rev() {
            if loaded.is_some() {
                // Not looked at: it counts as whole until it is needed.
                files.kept.insert(last);
                continue;
            }
            match files.load(&name(last), last) {
                Ok(found) => {
                    files.kept.insert(last);
                    loaded = Some(found);
                }
                Err(error) => {
                    files.damaged.push(name(last));
                    damaged.push((last, error));
                }
            }
        }
        Ok(Opened { files, loaded, damaged })
    }

    pub(super) fn io(&self, doing: &'static str, error: io::Error) -> SnapshotFileError {
        SnapshotFileError::Io { place: self.disk.place(), doing, error }
    }

    fn other(&self, name: &str, what: &'static str) -> SnapshotFileError {
        SnapshotFileError::Other { place: self.disk.place(), name: name.to_owned(), what }
    }

    /// Reads a whole file.
    fn load(&self, name: &str, last: EntryId) -> Result<Loaded<S>, SnapshotFileError> {
        let damaged =
            |why| SnapshotFileError::Damaged { place: self.disk.place(), name: name.to_owned(), why };
        let reading = |error| self.io("reading a snapshot", error);
        let file = self.disk.open(name, Access::Read).map_err(reading)?;
        let bytes = self.disk.len(&file).map_err(reading)?;
        let mut decoder = Decoder::<S>::new();
        let (mut piece, mut at) = (vec![0; READ_BYTES], 0);
        while at < bytes {
            let count = usize::try_from(bytes - at).unwrap_or(READ_BYTES).min(READ_BYTES);
            let piece = &mut piece[..count];
            self.disk.read_at(&file, at, piece).map_err(reading)?;
            decoder.push(piece).map_err(damaged)?;
            at += count as u64;
        }
        let decoded = decoder.finish().map_err(damaged)?;
        let Header { cluster: of, epoch: life, last: LogPosition { index, term }, .. } = decoded.header;
        if (of, life) != (self.names.0.0, self.names.1.0) {
            return Err(self.other(name, "it is of another cluster, or of another life of this one"));
        }
        if EntryId::new(term, index) != last {
            return Err(self.other(name, "it is not the one that it is called"));
        }
        let configuration = decode_membership(decoded.membership).map_err(|why| {
            SnapshotFileError::Membership { place: self.disk.place(), name: name.to_owned(), why }
        })?;
        if configuration.0 > last.index {
            return Err(self.other(name, "its configuration comes behind its end"));
        }
        Ok(Loaded { meta: SnapshotMeta { last, configuration, bytes }, store: decoded.store })
    }

    /// An empty file under a name that means nothing yet.
    pub(super) fn create(&self, name: &str) -> io::Result<D::File> {
        if self.disk.list()?.iter().any(|found| found == name) {
            self.disk.unlink(name)?;
        }
        self.disk.create(name)
    }

    /// Appends, and syncs from time to time.
    pub(super) fn append(&self, file: &D::File, at: u64, synced: &mut u64, data: &[u8]) -> io::Result<u64> {
        let end = at + data.len() as u64;
        self.disk.allocate(file, end)?;
        self.disk.write_at(file, at, data)?;
        if end - *synced >= SYNC_BYTES {
            self.disk.sync(file)?;
            *synced = end;
        }
        Ok(end)
    }

    /// Makes a whole file durable, gives it its name, makes that durable, and removes those that nobody needs any more.
    fn put_in_place(&mut self, file: &D::File, from: &str, last: EntryId) -> io::Result<()> {
        self.disk.sync(file)?;
        self.disk.rename(from, &name(last))?;
        self.disk.sync_directory()?;
        self.kept.insert(last);
        self.open.retain(|(open, _)| *open != last);
        self.remove_old();
        Ok(())
    }

    /// Leaves the newest. What cannot be removed now is tried again the next time.
    fn remove_old(&mut self) {
        while self.kept.len() > KEPT
            && let Some(last) = self.kept.pop_first()
        {
            if self.disk.unlink(&name(last)).is_err() {
                self.damaged.push(name(last));
            }
        }
        // A damaged one that is newer than all says how far this node has come.
        let newest = self.newest();
        let whole: Vec<String> = self.kept.iter().map(|last| name(*last)).collect();
        let is_passed = |name: &str| parse(name).is_none_or(|last| Some(last) < newest);
        let is_gone = |name: &str| is_passed(name) && self.disk.unlink(name).is_ok();
        self.damaged.retain(|name| !(whole.contains(name) || is_gone(name)));
    }

    /// Whether [`step`](Self::step) has something to do.
    #[must_use]
    pub fn is_taking(&self) -> bool {
        self.taking.is_some() || self.saves.is_busy()
    }

    /// Writes one more chunk of the snapshot that is being taken. Says when it is done, or has failed. Before that, those are
    /// answered who have left.
    pub fn step(&mut self) -> Option<SnapshotDone<S>> {
        if let Some(answer) = self.saves.answer_dropped() {
            return Some(answer);
        }
        let Some(mut taking) = self.taking.take() else { return self.save_step() };
        let (last, doing) = (taking.last, "writing a snapshot");
        let written = match taking.encoder.next() {
            Some(chunk) => {
                let appended = self.append(&taking.file, taking.bytes, &mut taking.synced, &chunk);
                appended.map(|end| {
                    taking.bytes = end;
                    self.taking = Some(taking);
                    None
                })
            }
            // Dropping the state may take long: this is the thread for it.
            None => self.put_in_place(&taking.file, TAKING, last).map(|()| Some(taking.bytes)),
        };
        let bytes = written.map_err(|error| self.io(doing, error).to_string()).transpose()?;
        if bytes.is_err() {
            // The room is for others. If even that fails, the next start does it.
            let _ = self.disk.unlink(TAKING);
        }
        Some(SnapshotDone::Taken { last, bytes })
    }

    /// Does what is asked for. A snapshot that is to be taken is only begun: see [`step`](Self::step).
    pub fn run(&mut self, job: SnapshotJob<S>) -> Option<SnapshotDone<S>> {
        match job {
            SnapshotJob::Take { store, meta } => {
                let last = meta.last;
                match self.begin(*store, &meta) {
                    Ok(()) => None,
                    Err(error) => Some(SnapshotDone::Taken { last, bytes: Err(error.to_string()) }),
                }
            }
            SnapshotJob::Read { to, last, offset, bytes_max } => {
                let data = self.read(last, offset, bytes_max).map(|(data, _)| data);
                Some(SnapshotDone::Read { to, last, offset, data })
            }
            SnapshotJob::Store { meta, offset, data, ack } => match self.store(&meta, offset, &data) {
                Ok(()) => Some(SnapshotDone::Stored(ack)),
                Err(error) => Some(SnapshotDone::NotStored(error.to_string())),
            },
            SnapshotJob::Install { meta } => {
                let store = self.install(&meta).map_err(|error| error.to_string());
                if store.is_err() {
                    let _ = self.disk.unlink(RECEIVING);
                }
                Some(SnapshotDone::Installed { last: meta.last, store })
            }
            SnapshotJob::Forget(store) => {
                drop(store);
                None
            }
            SnapshotJob::Save { caller, store, meta } => self.save(caller, *store, &meta),
            SnapshotJob::Fetch { caller, last, offset } => {
                Some(SnapshotDone::Fetched { caller, piece: self.fetch(caller, last, offset) })
            }
            SnapshotJob::Leave(connection) => {
                self.saves.leave(connection);
                None
            }
        }
    }

    pub(super) fn encoder(
        &self,
        store: Store<S>,
        meta: &SnapshotMeta,
    ) -> Result<Encoder<S>, SnapshotFileError> {
        let (cluster, epoch) = (self.names.0.0, self.names.1.0);
        let source = Source { cluster, epoch, membership: encode_membership(&meta.configuration) };
        Ok(Encoder::new(store, source)?)
    }

    fn begin(&mut self, store: Store<S>, meta: &SnapshotMeta) -> Result<(), SnapshotFileError> {
        let encoder = self.encoder(store, meta)?;
        let file = self.create(TAKING).map_err(|error| self.io("beginning a snapshot", error))?;
        self.taking = Some(Taking { file, encoder, last: meta.last, bytes: 0, synced: 0 });
        Ok(())
    }

    /// A piece of a snapshot, and how long the whole is.
    pub(super) fn read(
        &mut self,
        last: EntryId,
        offset: u64,
        bytes_max: usize,
    ) -> Result<(Bytes, u64), NoPiece> {
        if !self.has(last) {
            return Err(NoPiece::Gone);
        }
        let place = self.disk.place();
        let failed = |error| {
            let doing = "reading a snapshot";
            NoPiece::Failed(SnapshotFileError::Io { place: place.clone(), doing, error }.to_string())
        };
        if !self.open.iter().any(|(open, _)| *open == last) {
            let file = self.disk.open(&name(last), Access::Read).map_err(failed)?;
            // The one that has been open for longest goes: a follower that still wants it is offered a newer one.
            if self.open.len() >= OPEN_MAX {
                self.open.pop_front();
            }
            self.open.push_back((last, file));
        }
        let found = self.open.iter().find(|(open, _)| *open == last);
        let Some((_, file)) = found else { return Err(NoPiece::Gone) };
        let length = self.disk.len(file).map_err(failed)?;
        Ok((self.piece(file, length, offset, bytes_max).map_err(failed)?, length))
    }

    /// What a file of this length holds from `offset` on, up to a bound.
    pub(super) fn piece(
        &self,
        file: &D::File,
        length: u64,
        offset: u64,
        bytes_max: usize,
    ) -> io::Result<Bytes> {
        let count = usize::try_from(length.saturating_sub(offset)).unwrap_or(bytes_max).min(bytes_max);
        let mut data = vec![0; count];
        self.disk.read_at(file, offset.min(length), &mut data)?;
        Ok(data.into())
    }

    /// The newest that is in place, if there is one.
    pub(super) fn newest(&self) -> Option<EntryId> {
        self.kept.last().copied()
    }

    /// Whether a snapshot can still be read: it is in place, or open.
    pub(super) fn has(&self, last: EntryId) -> bool {
        self.kept.contains(&last) || self.open.iter().any(|(open, _)| *open == last)
    }

    /// Stores a piece. The core gives them in order; what does not fit is of a transfer that broke.
    fn store(&mut self, meta: &SnapshotMeta, offset: u64, data: &[u8]) -> Result<(), SnapshotFileError> {
        if offset == 0 {
            self.receiving = None;
            let file = self.create(RECEIVING).map_err(|error| self.io("receiving a snapshot", error))?;
            self.receiving = Some(Receiving { file, last: meta.last, bytes: 0, synced: 0, broken: false });
        }
        let Some(mut receiving) = self.receiving.take() else {
            return Err(self.other(RECEIVING, "a piece before it is missing"));
        };
        let fits = receiving.last == meta.last && receiving.bytes == offset && !receiving.broken;
        let stored = if fits {
            let appended = self.append(&receiving.file, offset, &mut receiving.synced, data);
            appended.map_err(|error| self.io("receiving a snapshot", error))
        } else {
            Err(self.other(RECEIVING, "a piece before it is missing"))
        };
        receiving.broken = stored.is_err();
        receiving.bytes = *stored.as_ref().unwrap_or(&receiving.bytes);
        self.receiving = Some(receiving);
        stored.map(drop)
    }

    fn install(&mut self, meta: &SnapshotMeta) -> Result<Box<Store<S>>, SnapshotFileError> {
        let whole = |receiving: &Receiving<D::File>| {
            !receiving.broken && receiving.last == meta.last && receiving.bytes == meta.bytes
        };
        let Some(receiving) = self.receiving.take().filter(whole) else {
            return Err(self.other(RECEIVING, "not all of it could be stored"));
        };
        let loaded = self.load(RECEIVING, meta.last)?;
        if loaded.meta.configuration != meta.configuration {
            return Err(self.other(RECEIVING, "its configuration is another than the leader said"));
        }
        self.put_in_place(&receiving.file, RECEIVING, meta.last)
            .map_err(|error| self.io("putting a snapshot in place", error))?;
        Ok(Box::new(loaded.store))
    }
}

/// What the core starts from, and the state: the log and the newest snapshot that is whole.
///
/// # If a newer snapshot is damaged
/// That does no harm as long as the log holds all from the older one to the end of the newer. Otherwise something that this
/// node has acknowledged cannot be read any more: the same as a hole in the log, and dealt with in the same way. The node does
/// not lead, votes as if its log still ended where it did, and is sent by a leader what it lacks. Nothing is noted of that
/// beside the log: the damaged file stays until a newer one is in place, so a start in the middle finds the same.
///
/// # Errors
/// [`StorageError::SnapshotMissing`] if the log begins behind an entry, and no file claims to stand for what was before. A disk
/// damages files, and people lose them, or have not mounted them: who has it can bring it back.
pub fn start_from<S: Plant>(
    mut recovered: Recovered,
    loaded: Option<Loaded<S>>,
    damaged: &[(EntryId, SnapshotFileError)],
) -> Result<(Recovered, Store<S>), StorageError> {
    let covered = loaded.as_ref().map_or(EntryId::ZERO, |loaded| loaded.meta.last);
    let newest = damaged.first().map(|(last, _)| *last);
    let prev = recovered.prev;
    let begins_late = prev.index > covered.index;
    if begins_late && newest.is_none_or(|newest| newest.index < prev.index) {
        return Err(StorageError::SnapshotMissing { index: prev.index.0 });
    }
    let last = recovered.entries.last().map_or(prev.term, |entry| entry.term);
    let end = EntryId { term: last, index: Index(prev.index.0 + recovered.entries.len() as u64) };
    let ends_early = |newest: &EntryId| end.index < newest.index || end.term < newest.term;
    if let Some(newest) = newest.filter(|newest| begins_late || ends_early(newest)) {
        let damage = recovered.damage.take().unwrap_or(Damage {
            holes: Vec::new(),
            behind: Vec::new(),
            claimed_end: end,
            trustworthy: true,
        });
        let behind = damage.behind.iter().map(|(_, entry)| entry.term);
        let written = behind.fold(end.term.max(damage.claimed_end.term), Term::max);
        // Others made a snapshot of a later term than this node ever wrote in: nobody has its vote there. A log of a later term
        // would prove that the vote is lost, and the core says so.
        if newest.term > recovered.hard_state.term && written <= recovered.hard_state.term {
            recovered.hard_state = HardState { term: newest.term, vote: None };
        }
        let mark = |claimed_end| DamageMark { claimed_end, trustworthy: damage.trustworthy };
        let DamageMark { claimed_end, .. } = mark(damage.claimed_end).and(mark(newest)).and(mark(end));
        recovered.damage = Some(Damage { claimed_end, ..damage });
    }
    match loaded {
        Some(Loaded { meta, store }) => Ok((with_snapshot(recovered, meta), store)),
        None => Ok((recovered, Store::new())),
    }
}
