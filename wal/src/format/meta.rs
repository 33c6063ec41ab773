//! The meta file: two slots, written in turn, each a full copy of what must survive damage to the log.

use super::segment::check;
use super::{Field, Get, MAX_GROUPS, Put, VERSION, field, is_segment_size};
use crate::types::{Group, HardState, INDEX_LIMIT, Identity};

/// The name of the file.
pub const META_FILE: &str = "meta";

/// The size of a slot in bytes.
pub const SLOT_BYTES: usize = 4096;

/// Where the slots begin. A slot lies between them unused, so that no page and no large sector holds parts of both.
pub const SLOT_AT: [u64; 2] = [0, 2 * SLOT_BYTES as u64];

const MAGIC: [u8; 8] = *b"HFWALMTA";
const LOST: u32 = 1;

/// A slot, field by field; the groups follow, then zero up to the end of the slot.
pub const META_FIELDS: [Field; 12] = [
    field("magic", 8, "`HFWALMTA`; read first"),
    field("version", 4, "of the format; read second"),
    field("check", 4, "CRC32 of version and of all bytes behind this field up to the end of the slot"),
    field("cluster", 16, "id of the cluster"),
    field("node", 16, "uuid of the node's directory"),
    field("epoch", 8, "raised with every write of a slot: the larger one is the newer"),
    field("synced_upto", 8, "all positions before this are durable; 0 while the directory is being made"),
    field("first_live", 8, "segments before this one are dead"),
    field("active", 8, "the newest segment that may hold records"),
    field("size", 8, "of a segment in bytes"),
    field("groups", 4, "how many groups follow"),
    field("flags", 4, "1: the hard state was lost to damage"),
];

/// What a slot says about a group.
pub const META_GROUP_FIELDS: [Field; 7] = [
    field("group", 4, "number of the group"),
    field("reserved", 4, "zero"),
    field("term", 8, "the term"),
    field("vote", 8, "who got the vote in that term; 0: nobody"),
    field("sequence", 8, "counts the hard states of this group; the same in the log record"),
    field("first", 8, "the first index that is kept"),
    field("prev_term", 8, "term of the entry before it"),
];

/// The contents of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaSlot {
    /// Whose log this is.
    pub identity: Identity,
    /// Which write of a slot this is, counted from 1.
    pub epoch: u64,
    /// All positions before this are durable; 0 while the directory is being made.
    pub synced_upto: u64,
    /// Segments before this one are dead.
    pub first_live: u64,
    /// The newest segment that may hold records.
    pub active: u64,
    /// The size of a segment in bytes.
    pub segment_bytes: u64,
    /// The hard state was lost to damage, and stays lost.
    pub hard_state_lost: bool,
    /// Hard state, first index and the term before it, by group.
    pub groups: Vec<(Group, HardState, u64, u64)>,
}

/// What stands where a slot should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotFound {
    /// A slot.
    Valid(MetaSlot),
    /// A slot of another version of the format.
    Unsupported(u32),
    /// No slot: wrong magic or wrong check.
    Wrong,
}

impl MetaSlot {
    /// The bytes of the slot.
    ///
    /// # Panics
    /// With more than [`MAX_GROUPS`] groups.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        assert!(self.groups.len() <= MAX_GROUPS, "a slot has room for {MAX_GROUPS} groups");
        let mut bytes = Vec::with_capacity(SLOT_BYTES);
        let mut put = Put(&mut bytes);
        put.bytes(&MAGIC);
        put.u32(VERSION);
        put.u32(0);
        put.bytes(&self.identity.cluster);
        put.bytes(&self.identity.node);
        put.u64(self.epoch);
        put.u64(self.synced_upto);
        put.u64(self.first_live);
        put.u64(self.active);
        put.u64(self.segment_bytes);
        put.u32(self.groups.len() as u32);
        put.u32(if self.hard_state_lost { LOST } else { 0 });
        for (group, hard, first, prev_term) in &self.groups {
            put.u32(group.0);
            put.u32(0);
            put.u64(hard.term);
            put.u64(hard.vote);
            put.u64(hard.sequence);
            put.u64(*first);
            put.u64(*prev_term);
        }
        bytes.resize(SLOT_BYTES, 0);
        let check = check(&bytes);
        bytes[12..16].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// Reads a slot: magic, then version, then check.
    #[must_use]
    pub fn read(bytes: &[u8]) -> SlotFound {
        if bytes.len() < SLOT_BYTES || bytes[..8] != MAGIC {
            return SlotFound::Wrong;
        }
        let bytes = &bytes[..SLOT_BYTES];
        let mut get = Get(&bytes[8..]);
        let version = get.u32();
        if version != VERSION {
            return SlotFound::Unsupported(version);
        }
        if get.u32() != check(bytes) {
            return SlotFound::Wrong;
        }
        let identity = Identity { cluster: get.id(), node: get.id() };
        let (epoch, synced_upto, first_live) = (get.u64(), get.u64(), get.u64());
        let (active, segment_bytes) = (get.u64(), get.u64());
        let (count, flags) = (get.u32() as usize, get.u32());
        if count > MAX_GROUPS || !is_segment_size(segment_bytes) {
            return SlotFound::Wrong;
        }
        let groups: Vec<(Group, HardState, u64, u64)> = (0..count)
            .map(|_| {
                let group = Group(get.u32());
                get.u32();
                let hard = HardState { term: get.u64(), vote: get.u64(), sequence: get.u64() };
                (group, hard, get.u64(), get.u64())
            })
            .collect();
        // Counters that a slot of this log never reaches; adding one to them must not overflow.
        if epoch >= INDEX_LIMIT
            || groups.iter().any(|(_, hard, first, _)| hard.sequence.max(*first) >= INDEX_LIMIT)
        {
            return SlotFound::Wrong;
        }
        SlotFound::Valid(Self {
            identity,
            epoch,
            synced_upto,
            first_live,
            active,
            segment_bytes,
            hard_state_lost: flags & LOST != 0,
            groups,
        })
    }
}
