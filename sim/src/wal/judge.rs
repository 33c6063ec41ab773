//! Opens a disk and says whether what comes back is what had to.
//!
//! # The rule
//! Of the states that a workload went through, a power cut may leave any from the last one that was reported durable to
//! the last one that was submitted: whole, and none in between. Whether the tail was *torn* or the end *clean* is judged
//! here again from the bytes: a log that ended cleanly has nothing but zeros behind its end.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use holdfast_wal::disk::{Access, Disk, FakeDisk};
use holdfast_wal::{
    Ending, Entry, Group, HardState, Identity, Log, LogBounds, OpenError, Options, ReadError, Recovery,
    Variant,
};

use super::model::{GroupModel, Model};

/// Bytes of a segment in all workloads: the smallest there is.
pub const SEGMENT: u64 = 16 * 1024;

/// Bytes of the header of a segment.
const HEADER: usize = 512;

/// The options of the log under test. Each start of a process draws another seed; here, each start in one story has
/// another number.
#[must_use]
pub fn options(start: u64) -> Options {
    let identity = Identity { cluster: *b"holdfast-sim-one", node: *b"node-under-proof" };
    let salt_seed = 0x5eed_0000_0000_0000 ^ start.wrapping_mul(0x0123_4567_89ab_cdef);
    Options { segment_bytes: SEGMENT, ..Options::new(identity, salt_seed) }
}

/// How an image was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The log ended with its last whole record.
    Clean,
    /// A tail was cut.
    Torn,
    /// Damage was reported.
    Damaged,
    /// The directory was refused, or there is no log in it.
    Refused,
}

/// What is known about the log at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Its making has not returned.
    Creating,
    /// Nothing was ever damaged.
    Whole,
    /// Something was damaged on purpose, and may or may not be healed.
    Repairing,
}

/// What may come back.
#[derive(Clone, Copy, Debug)]
pub struct Expect<'a> {
    /// The states by number of operations.
    pub states: &'a [Model],
    /// Operations that were reported durable.
    pub acked: usize,
    /// Operations that were submitted.
    pub submitted: usize,
    /// What is known about the log.
    pub stage: Stage,
}

impl Expect<'_> {
    /// Exactly this state.
    #[must_use]
    pub fn exactly(self, state: usize) -> Self {
        let stage = if self.stage == Stage::Creating { Stage::Whole } else { self.stage };
        Self { acked: state, submitted: state, stage, ..self }
    }
}

/// An image that was opened and found right.
#[derive(Debug)]
pub struct Opened<V: Variant> {
    /// How it was taken.
    pub class: Class,
    /// Which of the states came back.
    pub state: usize,
    /// The log; none if there was none yet.
    pub log: Option<Log<FakeDisk, V>>,
    /// The disk that it is open on: a copy of the image, and what opening did to it.
    pub disk: FakeDisk,
}

/// An entry as the log answers for it.
#[derive(Debug)]
pub enum Answer {
    /// Read.
    Entry(Entry),
    /// A hole.
    Hole,
    /// Refused otherwise.
    Error(String),
}

/// Everything that a log says about a group.
#[derive(Debug)]
pub struct Seen {
    /// Its bounds.
    pub bounds: LogBounds,
    /// Term and vote.
    pub hard: HardState,
    /// The answers from the first to the last index.
    pub answers: Vec<Answer>,
}

/// Reads all that a log holds.
#[must_use]
pub fn read_all<V: Variant>(log: &Log<FakeDisk, V>) -> BTreeMap<u32, Seen> {
    let mut all = BTreeMap::new();
    for group in log.groups() {
        let Some(bounds) = log.bounds(group) else { continue };
        let answer = |index| match log.read(group, index) {
            Ok(entry) => Answer::Entry(entry),
            Err(ReadError::Hole { .. }) => Answer::Hole,
            Err(error) => Answer::Error(error.to_string()),
        };
        let answers = (bounds.first..=bounds.last).map(answer).collect();
        all.insert(group.0, Seen { bounds, hard: log.hard_state(group), answers });
    }
    all
}

/// Runs something that may panic: a log must not, whatever stands on its disk.
///
/// # Errors
/// What the panic said.
pub fn guarded<T>(run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message");
        Err(format!("it panicked: {text}"))
    })
}

/// Opens the log on a copy of `disk` and compares all of it with what may come back.
///
/// # Errors
/// What was wrong, for people.
pub fn check<V: Variant>(disk: &FakeDisk, start: u64, expect: &Expect<'_>) -> Result<Opened<V>, String> {
    guarded(|| recorded(disk, start, expect, false))
}

/// Opens the log on a disk.
///
/// # Errors
/// Those of [`Log::open`].
///
/// # Panics
/// If it kept an entry that is another than the one that is read.
pub fn opened<V: Variant>(disk: &FakeDisk, start: u64) -> Result<(Log<FakeDisk, V>, Recovery), OpenError> {
    let group = Group(0);
    let (log, recovery, mut kept) = Log::<FakeDisk, V>::open_keeping(disk.clone(), options(start), group)?;
    let reader = log.reader();
    for index in log.bounds(group).into_iter().flat_map(|bounds| bounds.first..=bounds.last) {
        let [kept, read] = [reader.read_kept(&mut kept, index), reader.read(group, index)];
        let same = match (&kept, &read) {
            (Ok(kept), Ok(read)) => kept == read,
            (kept, read) => format!("{kept:?}") == format!("{read:?}"),
        };
        assert!(same, "entry {index} was kept as {kept:?} and is read as {read:?}");
    }
    Ok((log, recovery))
}

/// As [`check`], and keeps the moments of opening if `record`. May panic if the log does.
///
/// # Errors
/// What was wrong, for people.
pub fn recorded<V: Variant>(
    disk: &FakeDisk,
    start: u64,
    expect: &Expect<'_>,
    record: bool,
) -> Result<Opened<V>, String> {
    let work = disk.after_kill();
    work.record(record);
    match opened::<V>(&work, start) {
        Ok((log, recovery)) => judge(disk, work, log, &recovery, expect),
        Err(OpenError::NoLog { .. }) if expect.stage == Stage::Creating => {
            let log = Log::create(work.clone(), options(start));
            let log: Log<FakeDisk, V> = log.map_err(|error| format!("it cannot be made again: {error}"))?;
            same(&read_all(&log), &expect.states[0], false)?;
            Ok(Opened { class: Class::Refused, state: 0, log: None, disk: work })
        }
        Err(OpenError::NoSpace { .. }) => {
            // A tail that was cut costs a segment. That is said, and with room everything has to be there.
            work.set_capacity(1 << 40);
            let again = opened::<V>(&work, start);
            let (log, recovery) = again.map_err(|error| format!("refused, and there was room: {error}"))?;
            let opened = judge(disk, work, log, &recovery, expect)?;
            Ok(Opened { class: Class::Refused, ..opened })
        }
        Err(error) => Err(format!("the log was refused: {error}")),
    }
}

fn judge<V: Variant>(
    before: &FakeDisk,
    disk: FakeDisk,
    log: Log<FakeDisk, V>,
    recovery: &Recovery,
    expect: &Expect<'_>,
) -> Result<Opened<V>, String> {
    let seen = read_all(&log);
    let class = match recovery.ending {
        Ending::Clean => Class::Clean,
        Ending::Torn => Class::Torn,
        Ending::Damaged => Class::Damaged,
    };
    let open = class == Class::Damaged && !recovery.healed;
    match expect.stage {
        Stage::Creating => {}
        Stage::Whole if class == Class::Damaged => {
            return Err(format!("a power cut was taken for damage: {:?}", recovery.regions));
        }
        Stage::Whole | Stage::Repairing if recovery.hard_state_lost => {
            return Err("the hard state is said to be lost".to_owned());
        }
        Stage::Whole | Stage::Repairing => ends_right(before, recovery)?,
    }
    if log.is_damaged() != open {
        return Err(format!("the ending is {class:?} and is_damaged() says {}", log.is_damaged()));
    }
    let states = &expect.states[..=expect.submitted];
    let found = (expect.acked..states.len()).rev().find(|state| same(&seen, &states[*state], open).is_ok());
    match found {
        Some(state) => Ok(Opened { class, state, log: Some(log), disk }),
        None => {
            let why = |state: usize| same(&seen, &states[state], open).err().unwrap_or_default();
            let (acked, submitted) = (expect.acked, expect.submitted);
            let mut text = format!(
                "{class:?}, and what came back is none of the states {acked} to {submitted}.\n  \
                 Not state {acked}, the last one acknowledged: {}\n  Not state {submitted}, the last one submitted: {}",
                why(acked),
                why(submitted)
            );
            if let Some(other) = (0..acked).rev().find(|state| same(&seen, &states[*state], open).is_ok()) {
                text.push_str(&format!("\n  It is state {other}: acknowledged operations are lost."));
            }
            Err(text)
        }
    }
}

/// Whether what was read is this state. With `holes`, what the state says is lost may be a hole; else nothing may be.
///
/// # Errors
/// The first difference.
pub fn same(seen: &BTreeMap<u32, Seen>, state: &Model, holes: bool) -> Result<(), String> {
    let nothing = GroupModel::default();
    for (group, seen) in seen {
        let group_state = state.groups.get(group).unwrap_or(&nothing);
        same_group(seen, group_state, holes).map_err(|why| format!("group {group}: {why}"))?;
    }
    for (group, known) in &state.groups {
        let blank = known.entries.is_empty() && known.first == 1 && known.hard.2 == 0;
        if !seen.contains_key(group) && !blank {
            return Err(format!("group {group} is not there"));
        }
    }
    Ok(())
}

fn same_group(seen: &Seen, state: &GroupModel, holes: bool) -> Result<(), String> {
    let Seen { bounds, hard, answers } = seen;
    if !holes && !state.is_whole() {
        return Err("nothing is said to be damaged, and the damage is not healed".to_owned());
    }
    let found = (bounds.first, bounds.prev_term, bounds.last, bounds.last_term);
    let wanted = (state.first, state.prev_term, state.last(), state.last_term());
    if found != wanted {
        return Err(format!("first, term before, last, last term are {found:?} and should be {wanted:?}"));
    }
    let (found, wanted) = ((hard.term, hard.vote, hard.sequence), state.hard);
    if found != wanted {
        return Err(format!("term, vote, number of the hard state are {found:?} and should be {wanted:?}"));
    }
    for ((index, (term, body)), answer) in state.entries.iter().zip(answers) {
        match answer {
            Answer::Entry(entry) if entry.term != *term => {
                return Err(format!("entry {index} has term {} and should have {term}", entry.term));
            }
            Answer::Entry(entry) if entry.body != body => {
                return Err(format!("entry {index} has another body"));
            }
            Answer::Entry(_) if state.lost.contains(index) => {
                return Err(format!("entry {index} was lost and is there"));
            }
            Answer::Entry(_) => {}
            Answer::Hole if holes && state.may_be_hole(*index) => {}
            Answer::Hole => return Err(format!("entry {index} is a hole")),
            Answer::Error(error) => return Err(format!("entry {index}: {error}")),
        }
    }
    Ok(())
}

/// Whether *torn* or *clean* is right by the bytes alone.
fn ends_right(before: &FakeDisk, recovery: &Recovery) -> Result<(), String> {
    let torn = match recovery.ending {
        Ending::Clean => false,
        Ending::Torn => true,
        Ending::Damaged => return Ok(()),
    };
    let stands = |view| stands_behind(before, view, &recovery.file, recovery.offset);
    let (shown, stored) = (stands(View::Cache), stands(View::Device));
    if shown != stored || shown == torn {
        // Where a failed sync left the two apart, it may be taken for either.
        return Ok(());
    }
    let (file, offset) = (&recovery.file, recovery.offset);
    Err(format!(
        "the end at {file}+{offset} was taken for {:?} and {} behind it",
        recovery.ending,
        if shown { "something stands" } else { "nothing stands" }
    ))
}

/// Which of the two contents of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// What the cache shows.
    Cache,
    /// What the device holds.
    Device,
}

/// Whether anything but zeros stands in a segment from an offset on, or in the segments after it.
#[must_use]
pub fn stands_behind(disk: &FakeDisk, view: View, file: &str, offset: u64) -> bool {
    disk.names().iter().filter(|name| name.ends_with(".seg") && name.as_str() >= file).any(|name| {
        let from = if name == file { offset as usize } else { HEADER };
        let bytes = match view {
            View::Cache => disk.content(name).unwrap_or_default(),
            View::Device => device(disk, name),
        };
        bytes.iter().skip(from).any(|byte| *byte != 0)
    })
}

/// What stands in a file, past the cache. What cannot be read is not zero.
fn device(disk: &FakeDisk, name: &str) -> Vec<u8> {
    let Ok(file) = disk.open(name, Access::Read) else { return Vec::new() };
    let mut bytes = vec![1; disk.len(&file).unwrap_or(0) as usize];
    if disk.read_past_cache(&file, 0, &mut bytes).is_err() {
        bytes.fill(1);
    }
    bytes
}

/// The group with this number.
#[must_use]
pub fn group(number: u32) -> Group {
    Group(number)
}
