//! The state machine of a node: a hash over all that was applied, and snapshots that can be seen to be whole.
//!
//! A real state machine would make runs slow and errors vague. This one holds what matters for the core: how far it is, and
//! whether it went through the same entries in the same order as every other. The bytes of a snapshot follow from index and
//! hash, so that a piece that is missing, doubled or from another snapshot is noticed.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use holdfast_raft::{Committed, Configuration, EntryId, Index, Payload, SnapshotMeta};

use super::rng::{Rng, hash_bytes, mix};

/// The hash of what an entry carries.
#[must_use]
pub fn payload_hash(payload: &Payload) -> u64 {
    match payload {
        Payload::Empty => 1,
        Payload::Data(data) => hash_bytes(data),
        Payload::Configuration(configuration) => configuration_hash(configuration),
    }
}

/// The hash of a configuration: all that it says.
#[must_use]
pub fn configuration_hash(configuration: &Configuration) -> u64 {
    let mut hash = 2;
    let voters = configuration.voters().iter().chain(configuration.outgoing());
    for id in voters.chain(configuration.removed()) {
        hash = mix(hash, id.0);
    }
    for (id, member) in configuration.members() {
        hash = mix(mix(hash, id.0), hash_bytes(&member.uuid.0) ^ u64::from(member.promote));
        hash = mix(hash, hash_bytes(&member.context));
    }
    let (voters, outgoing) = (configuration.voters().len(), configuration.outgoing().len());
    mix(hash, voters as u64 ^ (outgoing as u64) << 8 ^ (configuration.removed().len() as u64) << 16)
}

/// The hash of everything applied up to and with this entry.
#[must_use]
pub fn digest(before: u64, index: Index, payload: u64) -> u64 {
    mix(mix(before, index.0), payload)
}

/// A command that no other equals: its number, and filler that follows from it.
#[must_use]
pub fn command(number: u64, length: usize) -> Bytes {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(length.max(8), (number % 251) as u8);
    Bytes::from(bytes)
}

/// The number of a command, if it is one.
#[must_use]
pub fn command_number(data: &Bytes) -> Option<u64> {
    let number = u64::from_le_bytes(data.get(..8)?.try_into().ok()?);
    (*data == command(number, data.len())).then_some(number)
}

/// The bytes of a snapshot at this index with this hash.
#[must_use]
pub fn content(index: Index, digest: u64, length: u64) -> Bytes {
    let mut rng = Rng::new(mix(index.0, digest));
    let words = (0..length.div_ceil(8)).flat_map(|_| rng.word().to_le_bytes());
    words.take(length as usize).collect::<Vec<u8>>().into()
}

/// A snapshot that a node holds.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What the core is told of it.
    pub meta: SnapshotMeta,
    /// The hash of what was applied.
    pub digest: u64,
    /// Its bytes.
    pub bytes: Bytes,
}

/// What a node has applied. Lost with the process.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The last entry that was applied.
    pub applied: EntryId,
    /// The hash of everything up to there.
    pub digest: u64,
    /// The configuration in force there.
    pub configuration: (Index, Arc<Configuration>),
    /// Handed out by the core and not applied yet.
    pub waiting: VecDeque<Committed>,
}

impl Machine {
    /// One that starts from this snapshot, or from nothing.
    #[must_use]
    pub fn new(snapshot: Option<&Snapshot>) -> Self {
        let (applied, digest, configuration) = match snapshot {
            Some(snapshot) => (snapshot.meta.last, snapshot.digest, snapshot.meta.configuration.clone()),
            None => (EntryId::ZERO, 0, (Index(0), Arc::new(Configuration::default()))),
        };
        Self { applied, digest, configuration, waiting: VecDeque::new() }
    }

    /// The index up to which entries were handed out.
    #[must_use]
    pub fn handed(&self) -> Index {
        self.waiting.back().map_or(self.applied.index, |entry| entry.id.index)
    }

    /// Applies the oldest entry that waits.
    pub fn apply(&mut self) {
        let Some(entry) = self.waiting.pop_front() else { return };
        self.digest = digest(self.digest, entry.id.index, payload_hash(&entry.payload));
        self.applied = entry.id;
        if let Payload::Configuration(configuration) = entry.payload {
            self.configuration = (entry.id.index, configuration);
        }
    }

    /// A snapshot of what is applied now, with so many bytes.
    #[must_use]
    pub fn snapshot(&self, bytes: u64) -> Snapshot {
        let meta = SnapshotMeta { last: self.applied, configuration: self.configuration.clone(), bytes };
        Snapshot { meta, digest: self.digest, bytes: content(self.applied.index, self.digest, bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_known_by_its_bytes() {
        assert_eq!(command_number(&command(77, 20)), Some(77));
        assert_eq!(command_number(&command(77, 3)), Some(77), "never shorter than its number");
        assert_eq!(command_number(&Bytes::from_static(b"\x01\0\0\0\0\0\0\0\x02")), None);
        assert_eq!(command_number(&Bytes::from_static(b"short")), None);
    }

    #[test]
    fn the_bytes_of_a_snapshot_depend_on_index_and_hash() {
        let bytes = content(Index(5), 9, 21);
        assert_eq!(bytes.len(), 21);
        assert_ne!(bytes, content(Index(6), 9, 21));
        assert_ne!(bytes, content(Index(5), 8, 21));
        assert_eq!(content(Index(5), 9, 16), bytes.slice(..16), "one stream for one state");
    }
}
