//! What an entry leaves behind: an audit record for people, and a digest for the other nodes.
//!
//! # Why
//! Equal logs make equal states only as long as every node computes the same. A bug, a bit that flipped in memory, two
//! builds that differ where they must not: any of these makes states drift apart in silence, and whoever notices first is
//! a customer. So every entry adds what it *did* to a running hash, and nodes compare: not what they were told, which
//! Raft has compared already, but what came of it.
//!
//! # The digest
//! ```text
//!   digest of entry n = SHA-256( digest of entry n−1 │ u16 version │ u64 index │ u64 term │ effect │ effect … )
//!   effect            = u8 what, then its fields, numbers as u64, bytes behind their length
//! ```
//! The digest is kept where a range of entries ends: where the index and one is a multiple of the setting `DigestRange`, and
//! where the entries since the last end have [`RANGE_BYTES`] or more, because a snapshot can be taken only there, and the log
//! is held in memory up to it. Two nodes that agree on a digest agree on everything before. An entry that was refused, repeated or passed over counts as well, by index, term and outcome. What is hashed, and how,
//! has a version, which the replicated feature level decides: nodes of two builds hash alike.
//!
//! # Invariants
//! - An effect is a function of the log. What nodes may differ in (how far a sweep has come, the order in which deadlines
//!   are looked at) enters neither the digest nor a record; what happens in no order is sorted first.
//! - The digest is in the snapshot, so a node that starts from one goes on with the chain.

use bytes::{Bytes, BytesMut};
use holdfast_command::audit::{TouchedKind, Touches};
use holdfast_command::{Arena, FeatureLevel, Outcome};
use holdfast_machine::{Numbered, numbered};
use imbl::Vector;
use sha2::{Digest as _, Sha256};

use crate::queues::{QueueKind, Touch, Touched};
use crate::store::LogPosition;
use crate::version::Version;

/// A hash over all that was done up to an entry.
pub type Digest = [u8; 32];

/// So many ends of ranges are kept, the last ones: a million entries by the default of the setting `DigestRange`. Who keeps logs for longer keeps its own list.
const RANGES_KEPT: usize = 4_096;

/// A range of entries ends when they have so many bytes, however few they are.
pub const RANGE_BYTES: u64 = 16 * 1024 * 1024;

/// So many bytes are gathered before they are hashed: a hasher takes a long piece sooner than many short ones.
const PIECE_BYTES: usize = 2 << 10;

/// Room that an audit record is given: mostly enough.
const RECORD_BYTES: usize = 512;

numbered! {
    /// What a digest is made of, by the kind of effect.
    pub enum Effect: u8, "F" {
        /// An entry without a command was passed over.
        Skipped = 1,
        /// Time after the entry: cluster clock and stamp.
        Time = 2,
        /// What is answered: 1 if it is a repetition, and the bytes of the outcome.
        Outcome = 3,
        /// A key has become this: key, create, mod, version, lease, value.
        Key = 4,
        /// The oldest revision.
        Oldest = 5,
        /// A namespace: name, quota of keys, quota of bytes, bytes of a value; or gone: its name alone.
        Namespace = 6,
        /// A setting and its value.
        Setting = 7,
        /// The feature level.
        Level = 8,
        /// A session and its deadline; 0 if it has ended.
        Session = 9,
        /// How many idempotency keys were forgotten.
        Forgotten = 10,
        /// A lease, its deadline and its counter; 0 and 0 if it has ended.
        Lease = 11,
        /// A place was taken in a queue: kind, name, lease, index of the lease's grant.
        Place = 12,
        /// A queue was touched: kind, name, what (1 granted, 2 left, 3 changed), lease, token.
        Queue = 13,
        /// The audit record of the command, if it has one.
        Record = 14,
    }
}

/// The digest and what the entry under way adds to it.
#[derive(Clone, Debug)]
pub(crate) struct Trail {
    digest: Digest,
    hasher: Sha256,
    /// What the hasher is to be given next.
    piece: Vec<u8>,
    /// The last ranges that are finished: last index and digest.
    finished: Vector<(u64, Digest)>,
    /// Bytes of the entries behind the last of them.
    open_bytes: u64,
    /// What the command under way has touched.
    touches: Touches,
    records: Arena,
}

impl Default for Trail {
    fn default() -> Self {
        Self {
            digest: Digest::default(),
            hasher: Sha256::new(),
            piece: Vec::new(),
            finished: Vector::new(),
            open_bytes: 0,
            touches: Touches::default(),
            records: Arena::new(),
        }
    }
}

/// By which version a cluster of this level hashes.
fn version(_: FeatureLevel) -> u16 {
    1
}

fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes()
}

impl Trail {
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    /// Bytes of the entries of the range that has not ended.
    pub(crate) fn open_bytes(&self) -> u64 {
        self.open_bytes
    }

    pub(crate) fn restore(&mut self, digest: Digest, open_bytes: u64) {
        (self.digest, self.open_bytes) = (digest, open_bytes);
    }

    pub(crate) fn finished(&self) -> impl DoubleEndedIterator<Item = (u64, Digest)> {
        self.finished.iter().copied()
    }

    /// The digest at the end of the range whose last index this is.
    pub(crate) fn finished_at(&self, index: u64) -> Option<Digest> {
        let at = self.finished.binary_search_by_key(&index, |(last, _)| *last).ok()?;
        self.finished.get(at).map(|(_, digest)| *digest)
    }

    pub(crate) fn last_finished(&self) -> Option<(u64, Digest)> {
        self.finished.back().copied()
    }

    /// An entry begins.
    pub(crate) fn begin(&mut self, at: LogPosition, level: FeatureLevel) {
        self.piece.clear();
        self.piece.extend_from_slice(&self.digest);
        self.piece.extend_from_slice(&version(level).to_le_bytes());
        self.numbers(&[at.index, at.term]);
    }

    /// An effect that is numbers.
    pub(crate) fn note(&mut self, effect: Effect, fields: &[u64]) {
        self.piece.push(effect.number());
        self.numbers(fields);
    }

    fn numbers(&mut self, fields: &[u64]) {
        for field in fields {
            self.piece.extend_from_slice(&field.to_le_bytes());
        }
    }

    /// An effect that is bytes, and numbers behind them.
    pub(crate) fn note_named(&mut self, effect: Effect, name: &[u8], fields: &[u64]) {
        self.piece.push(effect.number());
        self.bytes(name);
        self.numbers(fields);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.piece.extend_from_slice(&length(bytes));
        if self.piece.len() + bytes.len() > PIECE_BYTES {
            self.hasher.update(&self.piece);
            self.piece.clear();
        }
        if bytes.len() > PIECE_BYTES {
            self.hasher.update(bytes);
        } else {
            self.piece.extend_from_slice(bytes);
        }
    }

    /// What a command touched, for its record.
    pub(crate) fn touch(&mut self, kind: TouchedKind, name: &[u8], before: u64, gone: bool) {
        self.touches.note(kind, name, before, gone);
    }

    /// The same, of something with a number.
    pub(crate) fn touch_number(&mut self, kind: TouchedKind, number: u64, before: u64, gone: bool) {
        self.touches.note(kind, &number.to_le_bytes(), before, gone);
    }

    /// A key has become this. `sees_value` is false for a planted bug only.
    pub(crate) fn key(&mut self, version: &Version, previous: Option<&Version>, sees_value: bool) {
        let numbers = [
            version.create_revision(),
            version.mod_revision(),
            version.version(),
            version.lease().cast_unsigned(),
        ];
        self.note_named(Effect::Key, version.key(), &numbers);
        self.bytes(if sees_value { version.value() } else { &[] });
        let before = previous.map_or(0, Version::mod_revision);
        self.touch(TouchedKind::Key, version.key(), before, version.is_tombstone());
    }

    /// What was done to queues.
    pub(crate) fn queues(&mut self, touched: &[Touched]) {
        for Touched { kind, name, what } in touched {
            let (what, lease, token) = match what {
                Touch::Granted { lease, token } => (1, lease.cast_unsigned(), *token),
                Touch::Left { lease } => (2, lease.cast_unsigned(), 0),
                Touch::Changed => (3, 0, 0),
            };
            self.note_named(Effect::Queue, name, &[kind.number().into(), what, lease, token]);
        }
    }

    /// The queue of a record.
    pub(crate) fn touch_queue(&mut self, kind: QueueKind, name: &[u8], before: u64, gone: bool) {
        let kind = match kind {
            QueueKind::Lock => TouchedKind::Lock,
            QueueKind::Election => TouchedKind::Election,
        };
        self.touch(kind, name, before, gone);
    }

    /// What is answered; `scratch` is a buffer to write it in.
    pub(crate) fn outcome(&mut self, outcome: &Outcome, repeated: bool, scratch: &mut Vec<u8>) {
        scratch.clear();
        outcome.write(scratch);
        self.note_named(Effect::Outcome, scratch, &[repeated.into()]);
    }

    /// The record of a command, if it touched something: what `write` makes of it.
    pub(crate) fn record(&mut self, write: impl FnOnce(&Touches, &mut BytesMut)) -> Bytes {
        if self.touches.is_empty() {
            return Bytes::new();
        }
        write(&self.touches, self.records.begin(RECORD_BYTES));
        self.touches.clear();
        let record = self.records.take();
        self.note_named(Effect::Record, &record, &[]);
        record
    }

    /// A command was refused: it has touched nothing.
    pub(crate) fn forget_touches(&mut self) {
        self.touches.clear();
    }

    /// The entry of so many bytes ends, and with it a range: if its index is the last of one of `length` entries, or if that
    /// range has become long.
    pub(crate) fn end(&mut self, index: u64, bytes: usize, length: u64) {
        self.hasher.update(&self.piece);
        self.digest = self.hasher.finalize_reset().into();
        self.open_bytes += bytes as u64;
        if (index + 1).is_multiple_of(length) || self.open_bytes >= RANGE_BYTES {
            self.open_bytes = 0;
            if self.finished.len() == RANGES_KEPT {
                self.finished.pop_front();
            }
            self.finished.push_back((index, self.digest));
        }
    }
}
