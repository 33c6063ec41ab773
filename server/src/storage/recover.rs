//! The log of a formed node: made once, and read back at every start after that.
//!
//! # Why the identity is told first
//! What the log reports after a crash is what it can see now. A hole that was filled is none any more, although nobody
//! knows yet what else was lost with it. So whatever is found lost or damaged is noted in the identity file before the
//! core starts, and the core is told what file and log say together.
//!
//! # The making of a log
//! ```text
//!   identity formed ─► log made ─► first term and first entry durable ─► identity says so ─► the core starts
//! ```
//! A crash before the last arrow but one leaves a log that no vote has been written to, or none: it is finished. After
//! it, a log that is missing or empty has lost votes, and the node is refused.

use bytestring::ByteString;
use holdfast_raft::formation::Formed;
use holdfast_raft::{
    Config, Configuration, Core, Damage, Entry, EntryId, HardState, Hole, Index, LogRead, Member, NodeId,
    Plant, Recovered, Rejected, SnapshotMeta, Term,
};
use holdfast_wal::disk::Disk;
use holdfast_wal::{
    Ending, Group, Kept, Log, LogBounds, Op, OpenError, Options, ReadError, Reader, Recovery,
};

use super::context::{FORMED_FEATURE_LEVEL, MemberContext};
use super::error::StorageError;
use super::identity::{DamageMark, Identity};
use super::payload::{decode_payload, encode_payload};

/// The group of the log that consensus writes to; the only one so far.
pub const GROUP: Group = Group(0);

/// How to make and open the log; the names come from the identity.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// The size of a segment in bytes: see [`Options::segment_bytes`].
    pub segment_bytes: u64,
    /// Segments that are prepared ahead, at least 2.
    pub prepared: usize,
    /// Drawn from the system's randomness, anew for every start of the process.
    pub salt_seed: u64,
}

/// What [`open_log`] found and did: for logs and metrics.
#[derive(Clone, Debug)]
pub struct Report {
    /// The log was made, or its making was finished.
    pub made: bool,
    /// What the log says of its opening; `None` if there was none before.
    pub recovery: Option<Recovery>,
    /// What this start noted about loss and damage was not known before.
    pub news: bool,
}

/// Who is in a new cluster: the same on all its nodes, byte by byte.
///
/// # Errors
/// [`StorageError::Context`] for an address that is no UTF-8.
pub fn initial_configuration(formed: &Formed) -> Result<Configuration, StorageError> {
    let member = |(id, uuid, address): &(NodeId, _, bytes::Bytes)| {
        let context = ByteString::try_from(address.clone())
            .map_err(|_| super::BadContext::NoText)
            .and_then(|peer| {
                MemberContext { peer, client: None, http: None, feature_level: FORMED_FEATURE_LEVEL }.encode()
            })
            .map_err(|why| StorageError::Context { node: *id, why })?;
        Ok((*id, Member { uuid: *uuid, promote: false, context }))
    };
    let members: Vec<(NodeId, Member)> =
        formed.members.iter().map(member).collect::<Result<_, StorageError>>()?;
    Ok(Configuration::initial(members))
}

/// Opens the log of a formed node, or makes it if it never had one, and reads it back. `store` replaces the identity
/// file ([`DataDir::store`](super::DataDir::store)); it is called before what it notes is relied on.
///
/// # Errors
/// [`StorageError`]. [`LogGone`](StorageError::LogGone) if the node had a log and has none.
pub fn open_log<D: Disk>(
    disk: D,
    identity: &mut Identity,
    mut store: impl FnMut(&Identity) -> Result<(), StorageError>,
    formed: &Formed,
    options: LogOptions,
) -> Result<(Log<D>, Recovered, Report), StorageError> {
    if identity.names() != Some((formed.cluster, formed.uuid)) {
        return Err(StorageError::NotFormed);
    }
    let LogOptions { segment_bytes, prepared, salt_seed } = options;
    let names = holdfast_wal::Identity { cluster: formed.cluster.0, node: formed.uuid.0 };
    let options = Options { segment_bytes, prepared, ..Options::new(names, salt_seed) };
    let place = disk.place();
    if !identity.log_made {
        // Who joins has heard of no configuration: the leader sends it what there is.
        let first = match identity.joining {
            Some(_) => Recovered::default(),
            None => Recovered::formed(initial_configuration(formed)?),
        };
        let (log, recovery) = make(disk, options, &first)?;
        note(identity, &mut store, |identity| identity.log_made = true)?;
        return Ok((log, first, Report { made: true, recovery, news: false }));
    }
    let gone = || StorageError::LogGone { place: place.clone() };
    // The scan has read and verified every entry: what it came past is not read once more.
    let (log, recovery, mut kept) = match Log::open_keeping(disk, options, GROUP) {
        Ok(opened) => opened,
        Err(OpenError::NoLog { .. }) => return Err(gone()),
        Err(error) => return Err(error.into()),
    };
    let reader = log.reader();
    let bounds = log.bounds(GROUP).ok_or_else(gone)?;
    let found = mark(&recovery, &reader, bounds);
    // Who joined and was stopped before the leader sent anything has term and vote, and no entry.
    let made_empty = identity.joining.is_some() && log.hard_state(GROUP).sequence > 0;
    if found.is_none() && bounds.last == 0 && !made_empty {
        // One that was just made, or whose making was just finished: not the one that this node had.
        return Err(gone());
    }
    let damage = match (identity.damage, found) {
        (Some(known), Some(found)) => Some(known.and(found)),
        (known, found) => known.or(found),
    };
    let hard_state_lost = identity.hard_state_lost || log.hard_state_lost();
    let news = note(identity, &mut store, |identity| {
        (identity.damage, identity.hard_state_lost) = (damage, hard_state_lost);
    })?;
    let hard = log.hard_state(GROUP);
    let prev = EntryId::new(bounds.prev_term, bounds.first - 1);
    let (entries, damage) = read_back(&reader, &mut kept, bounds, damage, &place)?;
    let recovered = Recovered {
        hard_state: HardState { term: Term(hard.term), vote: Some(NodeId(hard.vote)).filter(|id| id.0 != 0) },
        hard_state_lost,
        snapshot: None,
        prev,
        entries,
        damage,
    };
    Ok((log, recovered, Report { made: false, recovery: Some(recovery), news }))
}

/// Changes the identity, on the disk first. Says whether there was anything to change.
fn note(
    identity: &mut Identity,
    store: &mut impl FnMut(&Identity) -> Result<(), StorageError>,
    change: impl FnOnce(&mut Identity),
) -> Result<bool, StorageError> {
    let mut next = identity.clone();
    change(&mut next);
    let news = next != *identity;
    if news {
        store(&next)?;
        *identity = next;
    }
    Ok(news)
}

/// Makes the log of a node that has never voted, as far as it is not made yet.
fn make<D: Disk>(
    disk: D,
    options: Options,
    first: &Recovered,
) -> Result<(Log<D>, Option<Recovery>), StorageError> {
    let place = disk.place();
    let (mut log, recovery) = match Log::open(disk.clone(), options) {
        Ok((log, recovery)) => (log, Some(recovery)),
        Err(OpenError::NoLog { .. }) => (Log::create(disk, options)?, None),
        Err(error) => return Err(error.into()),
    };
    if log.is_damaged() || log.hard_state_lost() {
        return Err(StorageError::UnusedLogDamaged { place });
    }
    let mut wanted = vec![Op::HardState { group: GROUP, term: first.hard_state.term.0, vote: 0 }];
    for (index, entry) in (1..).zip(&first.entries) {
        let why = |why| StorageError::Entry { place: place.clone(), index, why };
        let body = encode_payload(&entry.payload).map_err(why)?;
        wanted.push(Op::Entry { group: GROUP, index, term: entry.term.0, body });
    }
    // A crash keeps operations from the front.
    let held = held(&log)?;
    if !wanted.starts_with(&held) {
        return Err(StorageError::LogInUse { place });
    }
    log.append(&wanted.split_off(held.len()))?;
    log.sync()?;
    Ok((log, recovery))
}

/// The operations that would make what a small log holds.
fn held<D: Disk>(log: &Log<D>) -> Result<Vec<Op>, StorageError> {
    let (hard, mut ops) = (log.hard_state(GROUP), Vec::new());
    let Some(bounds) = log.bounds(GROUP) else { return Ok(ops) };
    if hard.sequence > 0 {
        ops.push(Op::HardState { group: GROUP, term: hard.term, vote: hard.vote });
    }
    if bounds.first > 1 {
        ops.push(Op::Trim { group: GROUP, first: bounds.first });
    }
    // Two are more than a log has that was not used.
    for index in (bounds.first..=bounds.last).take(2) {
        let entry = log.read(GROUP, index)?;
        ops.push(Op::Entry { group: GROUP, index, term: entry.term, body: entry.body });
    }
    Ok(ops)
}

/// What this opening says of damage: `None` if nothing is damaged, or nothing that matters.
fn mark<D: Disk>(recovery: &Recovery, reader: &Reader<D>, bounds: LogBounds) -> Option<DamageMark> {
    if recovery.ending != Ending::Damaged || recovery.healed {
        return None;
    }
    let claimed = recovery.damage.iter().find(|damage| damage.group == GROUP);
    let (term, index) = claimed.map_or((0, 0), |damage| damage.claimed_end);
    let claimed = DamageMark { claimed_end: EntryId::new(term, index), trustworthy: recovery.trustworthy };
    // Not before anything that is known of the log either: terms may fall where branches are mixed.
    let terms = (bounds.first..=bounds.last).filter_map(|index| reader.term(GROUP, index));
    let known = EntryId::new(terms.max().unwrap_or(0), bounds.last);
    Some(claimed.and(DamageMark { claimed_end: known, trustworthy: true }))
}

/// Gives all entries that the opening of the log kept: those up to the first hole, or the first fall of the term in a damaged
/// log, and what is damaged behind them.
fn read_back<D: Disk>(
    reader: &Reader<D>,
    kept: &mut Kept,
    bounds: LogBounds,
    mark: Option<DamageMark>,
    place: &str,
) -> Result<(Vec<Entry>, Option<Damage>), StorageError> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut holes: Vec<Hole> = Vec::new();
    let mut behind = Vec::new();
    let mut term = Term(bounds.prev_term);
    for index in bounds.first..=bounds.last {
        let at = Index(index);
        let Some(entry) = readable(reader, kept, index, place)? else {
            match holes.last_mut() {
                Some(hole) if hole.last.next() == at => hole.last = at,
                Some(_) | None => holes.push(Hole { first: at, last: at }),
            }
            continue;
        };
        let contiguous = holes.is_empty() && behind.is_empty();
        if contiguous && (mark.is_none() || entry.term >= term) {
            term = entry.term;
            entries.push(entry);
        } else {
            behind.push((at, entry));
        }
    }
    match mark {
        Some(DamageMark { claimed_end, trustworthy }) => {
            Ok((entries, Some(Damage { holes, behind, claimed_end, trustworthy })))
        }
        None => match holes.first() {
            // The log explains every hole by damage, or does not open.
            Some(hole) => Err(ReadError::Hole { index: hole.first.0 }.into()),
            None => Ok((entries, None)),
        },
    }
}

/// The entry at an index that the log counts; `None` for a hole. What is readable and doubtful is one too: the log does
/// not give it out, and a leader sends it again.
fn readable<D: Disk>(
    reader: &Reader<D>,
    kept: &mut Kept,
    index: u64,
    place: &str,
) -> Result<Option<Entry>, StorageError> {
    match reader.read_kept(kept, index) {
        Ok(entry) => decoded(entry, index, place).map(Some),
        Err(ReadError::Hole { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What an entry of the log is to the core.
fn decoded(entry: holdfast_wal::Entry, index: u64, place: &str) -> Result<Entry, StorageError> {
    let why = |why| StorageError::Entry { place: place.to_owned(), index, why };
    Ok(Entry { term: Term(entry.term), payload: decode_payload(entry.body).map_err(why)? })
}

/// Reads entries back that a core holds on the disk only: as many as are wanted, or as can be read. With an error it says what
/// the one behind the last suffers from; that it is trimmed by now is none.
pub fn read_run<D: Disk>(
    reader: &Reader<D>,
    wanted: &LogRead,
    place: &str,
) -> (Vec<Entry>, Option<StorageError>) {
    let mut failed = None;
    let entries = (wanted.first.0..=wanted.last.0).map_while(|index| {
        let read = reader.read(GROUP, index).map_err(StorageError::from);
        match read.and_then(|entry| decoded(entry, index, place)) {
            Ok(entry) => Some(entry),
            Err(StorageError::Read(ReadError::Trimmed { .. })) => None,
            Err(error) => {
                failed = Some(error);
                None
            }
        }
    });
    (wanted.fit(entries), failed)
}

/// Adds the newest durable snapshot to what the log says. Use this instead of the field: a log that was trimmed inside
/// damage may not know the term of the entry before its first one, and the core would drop all that follows; the
/// snapshot that ends there knows it.
#[must_use]
pub fn with_snapshot(mut recovered: Recovered, meta: SnapshotMeta) -> Recovered {
    let unknown = recovered.prev.index > Index(0) && recovered.prev.term == Term(0);
    if unknown && recovered.prev.index == meta.last.index {
        recovered.prev.term = meta.last.term;
    }
    recovered.snapshot = Some(meta);
    recovered
}

/// Makes the core. If the log proves that term and vote are not the last that were written, that is noted for good, and
/// the core is made as one that takes part in no quorum.
///
/// # Errors
/// [`StorageError::Rejected`], and those of `store`.
pub fn start_core<P: Plant>(
    config: Config,
    mut recovered: Recovered,
    identity: &mut Identity,
    mut store: impl FnMut(&Identity) -> Result<(), StorageError>,
) -> Result<Core<P>, StorageError> {
    // The clone shares all bodies.
    match Core::new(config.clone(), recovered.clone()) {
        Ok(core) => Ok(core),
        Err(Rejected::HardStateOlder { .. }) => {
            note(identity, &mut store, |identity| identity.hard_state_lost = true)?;
            recovered.hard_state_lost = true;
            Core::new(config, recovered).map_err(StorageError::Rejected)
        }
        Err(Rejected::Config(error)) => Err(StorageError::Config(error)),
        Err(rejected @ Rejected::Contradiction(_)) => Err(StorageError::Rejected(rejected)),
    }
}

/// Notes that the log is whole again: once a [`Heal`](holdfast_raft::LogOp::Heal) is durable, and not before. A crash
/// in between costs another healing.
///
/// # Errors
/// Those of `store`.
pub fn clear_damage(
    identity: &mut Identity,
    mut store: impl FnMut(&Identity) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    note(identity, &mut store, |identity| identity.damage = None).map(drop)
}
