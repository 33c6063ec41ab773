//! The body of checkpoints, bounds and healed records: all groups at one moment.

use super::{Field, Get, MAX_GROUPS, Put, field, width};
use crate::{Group, HardState};

const LOST: u32 = 1;
const UNSURE: u32 = 2;
const UNTRUSTED: u32 = 4;

/// The body, field by field; the groups follow, then the ranges.
pub const BOUNDS_FIELDS: [Field; 6] = [
    field("first_live", 8, "segments before this one are dead"),
    field("previous_end", 8, "in a checkpoint: the position where the previous segment ends; else 0"),
    field("groups", 4, "how many groups follow"),
    field("ranges", 4, "in a healed record: how many ranges follow the groups"),
    field(
        "flags",
        4,
        "1: the hard state was lost to damage; 2: there is damage behind which some group's end is unknown; 4: and heads in it that are unreadable",
    ),
    field("reserved", 4, "zero"),
];

/// What it says about a group.
pub const GROUP_FIELDS: [Field; 11] = [
    field("group", 4, "number of the group"),
    field("reserved", 4, "zero"),
    field("term", 8, "hard state: the term"),
    field("vote", 8, "hard state: who got the vote; 0: nobody"),
    field("sequence", 8, "hard state: its number in this group"),
    field("first", 8, "the first index that is kept"),
    field("prev_term", 8, "term of the entry before it"),
    field("last", 8, "the last index; first − 1 when there is none"),
    field("last_term", 8, "its term"),
    field("cuts", 8, "how often a conflict cut this group's log"),
    field("cut_from", 8, "where the last cut began"),
];

/// A range of positions in a healed record.
pub const RANGE_FIELDS: [Field; 2] =
    [field("from", 8, "first position of the damage"), field("to", 8, "first position behind it")];

/// One group at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupBounds {
    /// Which group.
    pub group: Group,
    /// Its term and vote.
    pub hard: HardState,
    /// The first index that is kept, at least 1.
    pub first: u64,
    /// The term of the entry before it.
    pub prev_term: u64,
    /// The last index; `first − 1` when there is none.
    pub last: u64,
    /// Its term.
    pub last_term: u64,
    /// How often a conflict cut this group's log.
    pub cuts: u64,
    /// Where the last cut began.
    pub cut_from: u64,
}

/// All groups at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Segments before this one are dead.
    pub first_live: u64,
    /// Where the previous segment ends, in a checkpoint.
    pub previous_end: u64,
    /// The hard state was lost to damage, and stays lost.
    pub hard_state_lost: bool,
    /// There is damage behind which the end of some group's log is unknown.
    pub unsure: bool,
    /// There is damage in which not every head is readable: the log may have gone on beyond all that is known.
    pub untrusted: bool,
    /// The groups.
    pub groups: Vec<GroupBounds>,
    /// The damage that is repaired, as ranges of positions, in a healed record.
    pub ranges: Vec<(u64, u64)>,
}

impl Bounds {
    /// The body.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let room = width(&BOUNDS_FIELDS) + self.groups.len() * width(&GROUP_FIELDS) + self.ranges.len() * 16;
        let mut bytes = Vec::with_capacity(room);
        let mut put = Put(&mut bytes);
        put.u64(self.first_live);
        put.u64(self.previous_end);
        put.u32(self.groups.len() as u32);
        put.u32(self.ranges.len() as u32);
        let flags = [(self.hard_state_lost, LOST), (self.unsure, UNSURE), (self.untrusted, UNTRUSTED)];
        put.u32(flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag).sum());
        put.u32(0);
        for group in &self.groups {
            put.u32(group.group.0);
            put.u32(0);
            let GroupBounds { hard, first, prev_term, last, last_term, cuts, cut_from, group: _ } = *group;
            let HardState { term, vote, sequence } = hard;
            for value in [term, vote, sequence, first, prev_term, last, last_term, cuts, cut_from] {
                put.u64(value);
            }
        }
        for (from, to) in &self.ranges {
            put.u64(*from);
            put.u64(*to);
        }
        bytes
    }

    /// Reads a body. `None` if its numbers contradict its length or each other: its checks hold, so that is a
    /// fault of the program that wrote it.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        let mut get = Get(body);
        let (first_live, previous_end) = (get.u64(), get.u64());
        let (groups, ranges, flags, _) = (get.u32() as usize, get.u32() as usize, get.u32(), get.u32());
        let room = ranges.checked_mul(width(&RANGE_FIELDS))?;
        let room = room.checked_add(groups.checked_mul(width(&GROUP_FIELDS))?)?;
        if groups > MAX_GROUPS || body.len() != room.checked_add(width(&BOUNDS_FIELDS))? {
            return None;
        }
        let group = |get: &mut Get<'_>| {
            let group = Group(get.u32());
            get.u32();
            GroupBounds {
                group,
                hard: HardState { term: get.u64(), vote: get.u64(), sequence: get.u64() },
                first: get.u64(),
                prev_term: get.u64(),
                last: get.u64(),
                last_term: get.u64(),
                cuts: get.u64(),
                cut_from: get.u64(),
            }
        };
        let groups: Vec<GroupBounds> = (0..groups).map(|_| group(&mut get)).collect();
        let ranges = (0..ranges).map(|_| (get.u64(), get.u64())).collect();
        let sound =
            groups.iter().all(|group| group.first >= 1 && group.last.checked_add(1) >= Some(group.first));
        let [hard_state_lost, unsure, untrusted] = [LOST, UNSURE, UNTRUSTED].map(|flag| flags & flag != 0);
        sound.then_some(Self { first_live, previous_end, hard_state_lost, unsure, untrusted, groups, ranges })
    }
}
