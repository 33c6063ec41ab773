//! What applying a command came to, as the bytes that go to the client and that a session keeps for a repetition.
//!
//! ```text
//!   0  u16  number of the reply; 0: refused
//!   2       the reply, or u16 code, u64, u64
//! ```

use bytes::{BufMut, Bytes};
use holdfast_machine::{Numbered, numbered};

use crate::keys::{DEPTH_MAX, OPERATIONS_MAX};
use crate::layout::{DecodeError, Fault, Reader, length, put_section};
use crate::number::FeatureLevel;
use crate::refusal::Refusal;
use crate::request::SessionId;

numbered! {
    /// What a reply is. A transaction's reply holds those of its operations.
    pub enum ReplyNumber: u16, "Y" {
        /// A key was written.
        Put = 1,
        /// Keys were deleted, or there were none.
        Deleted = 2,
        /// One of the two lists of a transaction was done.
        Transacted = 3,
        /// A key is again what it was.
        Restored = 4,
        /// Older revisions are gone.
        Compacted = 5,
        /// A page of a range, within a transaction.
        Ranged = 6,
        /// A namespace has these rules now.
        NamespaceSet = 101,
        /// A namespace is gone.
        NamespaceDeleted = 102,
        /// Settings are changed.
        SettingsChanged = 201,
        /// The feature level is raised.
        LevelRaised = 202,
        /// A session was opened.
        SessionOpened = 301,
        /// Sessions were renewed.
        SessionsKept = 302,
        /// A session was closed.
        SessionClosed = 303,
        /// The clock went on.
        Ticked = 401,
        /// A lease was granted.
        LeaseGranted = 501,
        /// Leases were renewed.
        LeasesRenewed = 502,
        /// A lease was ended.
        LeaseRevoked = 503,
        /// A lease was ended because its time is over; or not, because it is not.
        LeaseExpired = 504,
        /// The lock is held.
        LockGranted = 601,
        /// Others come first.
        LockQueued = 602,
        /// The lock, or the place in its queue, was given up.
        LockReleased = 603,
        /// The candidate is in office.
        Elected = 701,
        /// Others come first.
        Campaigning = 702,
        /// The value is proclaimed.
        Proclaimed = 703,
        /// The office, or the candidacy, was given up.
        Resigned = 704,
    }
    families {
        "keys" = 1..=99,
        "namespaces" = 101..=199,
        "settings" = 201..=299,
        "sessions" = 301..=399,
        "time" = 401..=499,
        "leases" = 501..=599,
        "locks" = 601..=699,
        "elections" = 701..=799,
    }
}

/// A key and what it is at some revision.
///
/// Bytes: u64 create, u64 mod, u64 version, i64 lease, u64 stamp, section key, section value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: Bytes,
    /// The value; empty as well if only keys were asked for.
    pub value: Bytes,
    /// The revision that created it; after a deletion, that which created it anew.
    pub create_revision: u64,
    /// The revision that last wrote it.
    pub mod_revision: u64,
    /// How often it was written since it was created, from 1.
    pub version: u64,
    /// The lease it is attached to, 0 for none.
    pub lease: i64,
    /// The stamp of the entry that wrote it, packed as `hlc::Stamp::to_bits`: about when.
    pub stamp: u64,
}

impl KeyValue {
    /// Bytes of one beyond key and value.
    pub const OVERHEAD_BYTES: u64 = 48;
}

/// A page of a range.
///
/// Bytes: u8 flags, u64 revision, u64 count if flagged, u32 number of keys, the keys, section continuation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangePage {
    /// The revision that was read. Later pages read the same.
    pub revision: u64,
    /// The keys, in the order asked for.
    pub entries: Vec<KeyValue>,
    /// How many keys the span has at that revision, whatever limit and bounds leave of them; if that was asked for.
    pub count: Option<u64>,
    /// Keys within the bounds come behind this page: on the next one, or left out by the limit.
    pub more: bool,
    /// Where the next page begins; empty if there is none.
    pub continuation: Bytes,
}

/// What a command that was executed answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// See [`ReplyNumber::Put`].
    Put {
        /// The revision of the write.
        revision: u64,
        /// What was there before, if it was asked for and was there.
        previous: Option<KeyValue>,
    },
    /// See [`ReplyNumber::Deleted`].
    Deleted {
        /// The revision behind it: a new one if any key was deleted.
        revision: u64,
        /// How many keys.
        count: u64,
        /// What was there before, if it was asked for.
        previous: Vec<KeyValue>,
    },
    /// See [`ReplyNumber::Transacted`].
    Transacted {
        /// The revision behind it: a new one if anything was changed.
        revision: u64,
        /// All comparisons held.
        succeeded: bool,
        /// The reply of each operation that was done, in order.
        results: Vec<Reply>,
    },
    /// See [`ReplyNumber::Restored`].
    Restored {
        /// The revision behind it: a new one unless the key neither was nor is there.
        revision: u64,
        /// The key was there at the revision it was restored to, and so it is now.
        exists: bool,
        /// What was there before, if it was asked for and was there.
        previous: Option<KeyValue>,
    },
    /// See [`ReplyNumber::Compacted`].
    Compacted {
        /// The oldest revision that can be read.
        oldest: u64,
    },
    /// See [`ReplyNumber::Ranged`].
    Ranged(RangePage),
    /// See [`ReplyNumber::NamespaceSet`].
    NamespaceSet,
    /// See [`ReplyNumber::NamespaceDeleted`].
    NamespaceDeleted,
    /// See [`ReplyNumber::SettingsChanged`].
    SettingsChanged,
    /// See [`ReplyNumber::LevelRaised`].
    LevelRaised {
        /// To this.
        level: FeatureLevel,
    },
    /// See [`ReplyNumber::SessionOpened`].
    SessionOpened {
        /// Its number.
        session: SessionId,
    },
    /// See [`ReplyNumber::SessionsKept`].
    SessionsKept {
        /// Those that could not be, in the order asked: unknown, or opened in another name.
        unknown: Vec<SessionId>,
    },
    /// See [`ReplyNumber::SessionClosed`].
    SessionClosed,
    /// See [`ReplyNumber::Ticked`].
    Ticked,
    /// See [`ReplyNumber::LeaseGranted`].
    LeaseGranted {
        /// Its number, positive.
        lease: i64,
        /// How long it lives unless it is renewed, in milliseconds of the cluster clock.
        ttl_ms: u64,
    },
    /// See [`ReplyNumber::LeasesRenewed`].
    LeasesRenewed {
        /// Those that could not be, in the order asked: unknown, or granted to another.
        unknown: Vec<i64>,
    },
    /// See [`ReplyNumber::LeaseRevoked`].
    LeaseRevoked {
        /// The revision behind it: a new one if any key hung on it.
        revision: u64,
        /// How many keys did.
        keys: u64,
    },
    /// See [`ReplyNumber::LeaseExpired`].
    LeaseExpired {
        /// It has ended by this. Not if it was renewed or granted anew since, is gone, or still has time.
        expired: bool,
        /// The revision behind it: a new one if any key hung on it.
        revision: u64,
        /// How many keys did.
        keys: u64,
    },
    /// See [`ReplyNumber::LockGranted`].
    LockGranted {
        /// The fencing token, higher than that of every grant before; below 2^53.
        token: u64,
    },
    /// See [`ReplyNumber::LockQueued`].
    LockQueued {
        /// How many come first, the holder among them.
        ahead: u64,
    },
    /// See [`ReplyNumber::LockReleased`].
    LockReleased {
        /// It was held; else it was waited for.
        held: bool,
    },
    /// See [`ReplyNumber::Elected`].
    Elected {
        /// The term of office, higher than every fencing token before; below 2^53.
        token: u64,
    },
    /// See [`ReplyNumber::Campaigning`].
    Campaigning {
        /// How many come first, whoever is in office among them.
        ahead: u64,
    },
    /// See [`ReplyNumber::Proclaimed`].
    Proclaimed,
    /// See [`ReplyNumber::Resigned`].
    Resigned {
        /// It was in office; else it was a candidate.
        held: bool,
    },
}

impl Reply {
    /// Its number.
    #[must_use]
    pub fn number(&self) -> ReplyNumber {
        match self {
            Self::Put { .. } => ReplyNumber::Put,
            Self::Deleted { .. } => ReplyNumber::Deleted,
            Self::Transacted { .. } => ReplyNumber::Transacted,
            Self::Restored { .. } => ReplyNumber::Restored,
            Self::Compacted { .. } => ReplyNumber::Compacted,
            Self::Ranged(_) => ReplyNumber::Ranged,
            Self::NamespaceSet => ReplyNumber::NamespaceSet,
            Self::NamespaceDeleted => ReplyNumber::NamespaceDeleted,
            Self::SettingsChanged => ReplyNumber::SettingsChanged,
            Self::LevelRaised { .. } => ReplyNumber::LevelRaised,
            Self::SessionOpened { .. } => ReplyNumber::SessionOpened,
            Self::SessionsKept { .. } => ReplyNumber::SessionsKept,
            Self::SessionClosed => ReplyNumber::SessionClosed,
            Self::Ticked => ReplyNumber::Ticked,
            Self::LeaseGranted { .. } => ReplyNumber::LeaseGranted,
            Self::LeasesRenewed { .. } => ReplyNumber::LeasesRenewed,
            Self::LeaseRevoked { .. } => ReplyNumber::LeaseRevoked,
            Self::LeaseExpired { .. } => ReplyNumber::LeaseExpired,
            Self::LockGranted { .. } => ReplyNumber::LockGranted,
            Self::LockQueued { .. } => ReplyNumber::LockQueued,
            Self::LockReleased { .. } => ReplyNumber::LockReleased,
            Self::Elected { .. } => ReplyNumber::Elected,
            Self::Campaigning { .. } => ReplyNumber::Campaigning,
            Self::Proclaimed => ReplyNumber::Proclaimed,
            Self::Resigned { .. } => ReplyNumber::Resigned,
        }
    }
}

/// What applying a command came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome(pub Result<Reply, Refusal>);

impl Outcome {
    /// The bytes of the outcome.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// Appends the outcome.
    pub fn write(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Ok(reply) => reply.write(out),
            Err(refusal) => {
                out.put_u16_le(0);
                refusal.write(out);
            }
        }
    }

    /// The outcome of these bytes, all of them. Keys and values share them; what is allocated beside them is at most
    /// 2.2 times their number, and 2 MiB for the replies of a transaction.
    ///
    /// # Errors
    /// [`DecodeError`] with the offset of what is wrong.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let outcome = match reader.u16()? {
            0 => Err(Refusal::read(&mut reader)?),
            number => Ok(Reply::read(number, &mut reader, 0, &mut OPERATIONS_MAX.clone())?),
        };
        reader.finish()?;
        Ok(Self(outcome))
    }
}

impl KeyValue {
    /// The fewest bytes of one.
    const BYTES_MIN: usize = Self::OVERHEAD_BYTES as usize;

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.put_u64_le(self.create_revision);
        out.put_u64_le(self.mod_revision);
        out.put_u64_le(self.version);
        out.put_i64_le(self.lease);
        out.put_u64_le(self.stamp);
        put_section(out, &self.key);
        put_section(out, &self.value);
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (create_revision, mod_revision, version) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let (lease, stamp) = (reader.i64()?, reader.u64()?);
        let (key, value) = (reader.section()?, reader.section()?);
        Ok(Self { key, value, create_revision, mod_revision, version, lease, stamp })
    }

    fn write_option(entry: Option<&Self>, out: &mut Vec<u8>) {
        out.put_u8(entry.is_some().into());
        if let Some(entry) = entry {
            entry.write(out);
        }
    }

    fn read_option(reader: &mut Reader) -> Result<Option<Self>, DecodeError> {
        Ok(match reader.flags(1)? {
            0 => None,
            _ => Some(Self::read(reader)?),
        })
    }

    fn write_all(entries: &[Self], out: &mut Vec<u8>) {
        out.put_u32_le(length(entries.len()));
        for entry in entries {
            entry.write(out);
        }
    }

    fn read_all(reader: &mut Reader) -> Result<Vec<Self>, DecodeError> {
        let count = reader.count("keys", Self::BYTES_MIN, u64::MAX)?;
        reader.items(count, Self::read)
    }
}

impl RangePage {
    fn write(&self, out: &mut Vec<u8>) {
        out.put_u8(u8::from(self.more) | (u8::from(self.count.is_some()) << 1));
        out.put_u64_le(self.revision);
        if let Some(count) = self.count {
            out.put_u64_le(count);
        }
        KeyValue::write_all(&self.entries, out);
        put_section(out, &self.continuation);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (flags, revision) = (reader.flags(3)?, reader.u64()?);
        let count = if flags & 2 == 0 { None } else { Some(reader.u64()?) };
        let entries = KeyValue::read_all(reader)?;
        Ok(Self { revision, entries, count, more: flags & 1 != 0, continuation: reader.section()? })
    }
}

impl Reply {
    /// Number and body.
    fn write(&self, out: &mut Vec<u8>) {
        out.put_u16_le(self.number().number());
        match self {
            Self::Put { revision, previous } => {
                out.put_u64_le(*revision);
                KeyValue::write_option(previous.as_ref(), out);
            }
            Self::Deleted { revision, count, previous } => {
                out.put_u64_le(*revision);
                out.put_u64_le(*count);
                KeyValue::write_all(previous, out);
            }
            Self::Transacted { revision, succeeded, results } => {
                out.put_u64_le(*revision);
                out.put_u8((*succeeded).into());
                out.put_u32_le(length(results.len()));
                for result in results {
                    result.write(out);
                }
            }
            Self::Restored { revision, exists, previous } => {
                out.put_u64_le(*revision);
                out.put_u8((*exists).into());
                KeyValue::write_option(previous.as_ref(), out);
            }
            Self::Compacted { oldest } => out.put_u64_le(*oldest),
            Self::Ranged(page) => page.write(out),
            Self::LevelRaised { level } => out.put_u16_le(level.0),
            Self::SessionOpened { session } => out.put_u64_le(session.0),
            Self::SessionsKept { unknown } => {
                out.put_u32_le(length(unknown.len()));
                for session in unknown {
                    out.put_u64_le(session.0);
                }
            }
            Self::LeaseGranted { lease, ttl_ms } => {
                out.put_i64_le(*lease);
                out.put_u64_le(*ttl_ms);
            }
            Self::LeasesRenewed { unknown } => {
                out.put_u32_le(length(unknown.len()));
                for lease in unknown {
                    out.put_i64_le(*lease);
                }
            }
            Self::LeaseRevoked { revision, keys } => {
                out.put_u64_le(*revision);
                out.put_u64_le(*keys);
            }
            Self::LeaseExpired { expired, revision, keys } => {
                out.put_u8((*expired).into());
                out.put_u64_le(*revision);
                out.put_u64_le(*keys);
            }
            Self::LockGranted { token } | Self::Elected { token } => out.put_u64_le(*token),
            Self::LockQueued { ahead } | Self::Campaigning { ahead } => out.put_u64_le(*ahead),
            Self::LockReleased { held } | Self::Resigned { held } => out.put_u8((*held).into()),
            Self::NamespaceSet
            | Self::NamespaceDeleted
            | Self::SettingsChanged
            | Self::SessionClosed
            | Self::Ticked
            | Self::Proclaimed => {}
        }
    }

    /// `depth` is how many transactions are around it, `budget` how many results may still come.
    fn read(number: u16, reader: &mut Reader, depth: u8, budget: &mut usize) -> Result<Self, DecodeError> {
        let number = reader.known(ReplyNumber::from_number(number), "reply", number.into(), 2)?;
        Ok(match number {
            ReplyNumber::Put => {
                Self::Put { revision: reader.u64()?, previous: KeyValue::read_option(reader)? }
            }
            ReplyNumber::Deleted => Self::Deleted {
                revision: reader.u64()?,
                count: reader.u64()?,
                previous: KeyValue::read_all(reader)?,
            },
            ReplyNumber::Transacted => {
                if depth == DEPTH_MAX {
                    let what = "transactions in one another";
                    return reader.fault(Fault::TooMany { what, limit: DEPTH_MAX.into() });
                }
                let (revision, succeeded) = (reader.u64()?, reader.flags(1)? != 0);
                let count = reader.count_of("results", 2, *budget as u64, OPERATIONS_MAX as u64)?;
                *budget -= count;
                let mut results = Vec::with_capacity(count);
                for _ in 0..count {
                    let number = reader.u16()?;
                    results.push(Self::read(number, reader, depth + 1, budget)?);
                }
                Self::Transacted { revision, succeeded, results }
            }
            ReplyNumber::Restored => Self::Restored {
                revision: reader.u64()?,
                exists: reader.flags(1)? != 0,
                previous: KeyValue::read_option(reader)?,
            },
            ReplyNumber::Compacted => Self::Compacted { oldest: reader.u64()? },
            ReplyNumber::Ranged => Self::Ranged(RangePage::read(reader)?),
            ReplyNumber::NamespaceSet => Self::NamespaceSet,
            ReplyNumber::NamespaceDeleted => Self::NamespaceDeleted,
            ReplyNumber::SettingsChanged => Self::SettingsChanged,
            ReplyNumber::LevelRaised => Self::LevelRaised { level: FeatureLevel(reader.u16()?) },
            ReplyNumber::SessionOpened => Self::SessionOpened { session: SessionId(reader.u64()?) },
            ReplyNumber::SessionsKept => {
                let count = reader.count("sessions", 8, crate::sessions::KEPT_MAX as u64)?;
                let unknown = reader.items(count, |reader| reader.u64().map(SessionId))?;
                Self::SessionsKept { unknown }
            }
            ReplyNumber::SessionClosed => Self::SessionClosed,
            ReplyNumber::Ticked => Self::Ticked,
            ReplyNumber::LeaseGranted => Self::LeaseGranted { lease: reader.i64()?, ttl_ms: reader.u64()? },
            ReplyNumber::LeasesRenewed => {
                let count = reader.count("leases", 8, crate::leases::RENEWED_MAX as u64)?;
                Self::LeasesRenewed { unknown: reader.items(count, Reader::i64)? }
            }
            ReplyNumber::LeaseRevoked => Self::LeaseRevoked { revision: reader.u64()?, keys: reader.u64()? },
            ReplyNumber::LeaseExpired => Self::LeaseExpired {
                expired: reader.flags(1)? != 0,
                revision: reader.u64()?,
                keys: reader.u64()?,
            },
            ReplyNumber::LockGranted => Self::LockGranted { token: reader.u64()? },
            ReplyNumber::LockQueued => Self::LockQueued { ahead: reader.u64()? },
            ReplyNumber::LockReleased => Self::LockReleased { held: reader.flags(1)? != 0 },
            ReplyNumber::Elected => Self::Elected { token: reader.u64()? },
            ReplyNumber::Campaigning => Self::Campaigning { ahead: reader.u64()? },
            ReplyNumber::Proclaimed => Self::Proclaimed,
            ReplyNumber::Resigned => Self::Resigned { held: reader.flags(1)? != 0 },
        })
    }
}
