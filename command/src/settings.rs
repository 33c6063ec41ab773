//! The family of settings: limits that all members have to agree on, and the feature level.
//!
//! A limit that apply depends on cannot be an option of a node: two nodes with different options would apply the same
//! entry to different effect. So it is replicated, changed by a command, and the same on every node at the same index.

use bytes::BufMut;
use holdfast_machine::{Numbered, numbered};

use crate::layout::{DecodeError, Reader};
use crate::number::FeatureLevel;

numbered! {
    /// A replicated setting.
    pub enum Setting: u16, "V" {
        /// The longest request, in bytes as it stands in the log.
        RequestBytes = 1,
        /// The most comparisons and operations of a transaction, inner ones too.
        Operations = 2,
        /// The longest key, in bytes.
        KeyBytes = 3,
        /// The longest value, in bytes. A namespace may allow less.
        ValueBytes = 4,
        /// The most bytes of keys that the answer to one command, or a page of a range, gives back, with their values
        /// and numbers.
        ReplyBytes = 5,
        /// The most sessions.
        Sessions = 6,
        /// How far the sequence of a request may lie above the lowest that its client still waits for.
        SessionWindow = 7,
        /// The most bytes of answers that are kept for one session.
        SessionReplyBytes = 8,
        /// The shortest time that a session may live without a sign of its client.
        SessionTtlMin = 9,
        /// The longest.
        SessionTtlMax = 10,
        /// How long an idempotency key is remembered.
        IdempotencyTtl = 11,
        /// The most idempotency keys.
        IdempotencyKeys = 12,
        /// The most bytes of answers that are kept for all idempotency keys together.
        IdempotencyReplyBytes = 13,
        /// The most namespaces.
        Namespaces = 14,
        /// The most keys outside of all namespaces; 0 for no limit.
        QuotaKeys = 15,
        /// The most bytes of keys and values outside of all namespaces; 0 for no limit.
        QuotaBytes = 16,
        /// Revisions that were superseded longer ago than this are compacted; 0 keeps them.
        HistoryAge = 17,
        /// The oldest revisions are compacted while history takes more bytes of memory than this; 0 keeps them.
        HistoryBytes = 18,
        /// The most keys that one command may look at: by comparisons, ranges and deletions together. It bounds how
        /// long the others wait for it.
        Visits = 19,
        /// The most bytes of answers that are kept for all sessions together.
        AllSessionsReplyBytes = 20,
        /// The most leases.
        Leases = 21,
        /// The shortest time that a lease may live without being renewed.
        LeaseTtlMin = 22,
        /// The longest.
        LeaseTtlMax = 23,
        /// The most keys that hang on one lease. They all go in one step when it ends, so this bounds how long the
        /// others wait for that.
        LeaseKeys = 24,
        /// The most holders and waiters of all locks and elections together.
        Places = 25,
        /// How many entries a range has at whose end the members compare their digests. Shorter ranges find a divergence
        /// sooner, and let snapshots be taken at more places.
        DigestRange = 26,
    }
}

/// What a setting counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Milliseconds of the cluster clock.
    Milliseconds,
    /// Things.
    Count,
}

/// What a setting is when nobody changed it, and within which bounds it may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// In a new cluster.
    pub default: u64,
    /// The lowest that it may be set to.
    pub min: u64,
    /// The highest.
    pub max: u64,
    /// Of what.
    pub unit: Unit,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;

impl Setting {
    /// The lowest feature level at which it exists.
    #[must_use]
    pub const fn since(self) -> FeatureLevel {
        FeatureLevel::FIRST
    }

    /// Its default and bounds.
    #[must_use]
    pub const fn scope(self) -> Scope {
        let (unit, default, min, max) = match self {
            // What Raft takes as one entry is 12 MiB; an envelope and the batch around it need room.
            Self::RequestBytes => (Unit::Bytes, 4 * MIB, 64 * KIB, 8 * MIB),
            Self::Operations => (Unit::Count, 4_096, 1, crate::keys::OPERATIONS_MAX as u64),
            Self::KeyBytes => (Unit::Bytes, 4 * KIB, 16, 32 * KIB),
            Self::ValueBytes => (Unit::Bytes, MIB, 16, 8 * MIB),
            Self::ReplyBytes => (Unit::Bytes, 4 * MIB, KIB, 8 * MIB),
            Self::Sessions => (Unit::Count, 10_000, 1, 1_000_000),
            Self::SessionWindow => (Unit::Count, 1_024, 1, 65_536),
            Self::SessionReplyBytes => (Unit::Bytes, 32 * KIB, 0, 16 * MIB),
            Self::SessionTtlMin => (Unit::Milliseconds, SECOND, 10, HOUR),
            Self::SessionTtlMax => (Unit::Milliseconds, HOUR, 10, 168 * HOUR),
            Self::IdempotencyTtl => (Unit::Milliseconds, HOUR, 10, 168 * HOUR),
            Self::IdempotencyKeys => (Unit::Count, 100_000, 1, 10_000_000),
            Self::IdempotencyReplyBytes => (Unit::Bytes, 64 * MIB, 0, 1_024 * MIB),
            Self::Namespaces => (Unit::Count, 1_024, 0, 65_536),
            Self::QuotaKeys => (Unit::Count, 0, 0, u64::MAX),
            Self::QuotaBytes => (Unit::Bytes, 0, 0, u64::MAX),
            Self::HistoryAge => (Unit::Milliseconds, HOUR, 0, u64::MAX),
            Self::HistoryBytes => (Unit::Bytes, 1_024 * MIB, 0, u64::MAX),
            Self::Visits => (Unit::Count, 100_000, 1, 10_000_000),
            Self::AllSessionsReplyBytes => (Unit::Bytes, 128 * MIB, 0, 4_096 * MIB),
            Self::Leases => (Unit::Count, 100_000, 1, 10_000_000),
            Self::LeaseTtlMin => (Unit::Milliseconds, SECOND, 10, HOUR),
            Self::LeaseTtlMax => (Unit::Milliseconds, 24 * HOUR, 10, 8_760 * HOUR),
            Self::LeaseKeys => (Unit::Count, 10_000, 1, 1_000_000),
            Self::Places => (Unit::Count, 100_000, 1, 10_000_000),
            Self::DigestRange => (Unit::Count, 256, 1, 65_536),
        };
        Scope { default, min, max, unit }
    }
}

/// All settings and what they are set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings([u64; Setting::ALL.len()]);

impl Default for Settings {
    fn default() -> Self {
        let mut all = [0; Setting::ALL.len()];
        for (place, setting) in all.iter_mut().zip(Setting::ALL) {
            *place = setting.scope().default;
        }
        Self(all)
    }
}

impl Settings {
    /// What `setting` is set to.
    #[must_use]
    pub fn get(&self, setting: Setting) -> u64 {
        // Numbers are dense from 1, so the number is the place.
        self.0.get(usize::from(setting.number()) - 1).copied().unwrap_or_default()
    }

    /// Sets `setting`, whatever its bounds say; see [`ChangeSettings`] for a change that is checked.
    pub fn set(&mut self, setting: Setting, value: u64) {
        if let Some(place) = self.0.get_mut(usize::from(setting.number()) - 1) {
            *place = value;
        }
    }
}

/// A change has at most so many settings.
pub const CHANGES_MAX: usize = 256;

/// Sets some settings, all or none, each once.
///
/// Bytes: u32 count; for each a u16 number and a u64 value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeSettings {
    /// Number and value of each. Numbers are not decoded, so that one that is unknown is refused by its name.
    pub changes: Vec<(u16, u64)>,
}

/// Raises the feature level.
///
/// Bytes: u16 level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaiseFeatureLevel {
    /// To this: the level behind the present one.
    pub level: FeatureLevel,
}

impl ChangeSettings {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.put_u32_le(crate::layout::length(self.changes.len()));
        for (number, value) in &self.changes {
            out.put_u16_le(*number);
            out.put_u64_le(*value);
        }
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let count = reader.count("settings", 10, CHANGES_MAX as u64)?;
        Ok(Self { changes: reader.items(count, |reader| Ok((reader.u16()?, reader.u64()?)))? })
    }
}

impl RaiseFeatureLevel {
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.put_u16_le(self.level.0);
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { level: FeatureLevel(reader.u16()?) })
    }
}
