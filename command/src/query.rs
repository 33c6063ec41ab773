//! What can be asked beside ranges of keys: leases, queues of locks and elections, the history of a key, the audit log.
//!
//! A query changes nothing and never enters the log, so a member may be asked that does not know it: it refuses it by
//! its number. Query and answer travel as bytes of this crate, as requests and outcomes do, so that the wire knows none of
//! them.
//!
//! ```text
//!   query    u16 number, then the query
//!   answer   u16 number, then the answer;  or u16 0, u16 code, u64, u64: refused
//! ```

mod audit;
mod held;

pub use audit::{AuditPage, AuditQuery, MissingReason, MissingRecords};
pub use held::{Holding, NamespaceInfo, SessionInfo};

use bytes::{BufMut, Bytes};
use bytestring::ByteString;
use holdfast_machine::{Numbered, numbered};

use crate::envelope::Actor;
use crate::layout::{DecodeError, Reader, length, put_section};
use crate::outcome::KeyValue;
use crate::refusal::Refusal;

/// At most so many items come with one answer, whatever the query's limit says.
pub const ITEMS_MAX: u32 = 10_000;

numbered! {
    /// What is asked, and the number of its answer as well.
    pub enum QueryNumber: u16, "U" {
        /// One lease, with its keys.
        Lease = 1,
        /// Leases in the order of their ids, without their keys.
        Leases = 2,
        /// One queue: who holds a lock or an office, and who waits.
        Queue = 3,
        /// Names of queues, with who holds them.
        Queues = 4,
        /// The versions of a key, newest first.
        History = 5,
        /// Records of the audit log of the member that is asked.
        Audit = 6,
        /// Namespaces in the order of their names, with what each holds.
        Namespaces = 7,
        /// All replicated settings, and how much is held outside of all namespaces.
        Settings = 8,
        /// Client sessions in the order of their numbers.
        Sessions = 9,
    }
}

numbered! {
    /// The two kinds of queue. The same name in both is two queues.
    pub enum QueueKind: u8, "V" {
        /// Of a lock.
        Lock = 1,
        /// Of an election.
        Election = 2,
    }
}

/// When a query of a queue is answered.
///
/// Bytes: u8 kind, and for the last two an i64 lease or a u64 index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At once.
    Now,
    /// Once this lease does not wait in it any more: it holds, or has no place. Of those who wait, only its own place is
    /// given.
    Settled {
        /// Which lease.
        lease: i64,
    },
    /// Once the log index of its last change is another than this: another holder, or another proclamation, or nobody.
    ChangedFrom {
        /// Which index, as an earlier answer gave it; 0 for a queue that nobody holds.
        index: u64,
    },
}

/// What is asked. A query of many answers as many as its limit says, at most [`ITEMS_MAX`], or as fit into a frame; the
/// next ones come behind the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// See [`QueryNumber::Lease`]. Bytes: i64 lease.
    Lease {
        /// Which.
        lease: i64,
    },
    /// See [`QueryNumber::Leases`]. Bytes: i64 lease, u32 limit.
    Leases {
        /// Behind this one; 0 for the first.
        after: i64,
        /// At most so many; 0 for as many as may be.
        limit: u32,
    },
    /// See [`QueryNumber::Queue`]. Bytes: u8 kind, when, section name.
    Queue {
        /// Of a lock or of an election.
        kind: QueueKind,
        /// Its name.
        name: Bytes,
        /// When it is answered.
        when: When,
    },
    /// See [`QueryNumber::Queues`]. Bytes: u8 kind, u32 limit, section name.
    Queues {
        /// Of locks or of elections.
        kind: QueueKind,
        /// Behind this one; empty for the first.
        after: Bytes,
        /// At most so many; 0 for as many as may be.
        limit: u32,
    },
    /// See [`QueryNumber::History`]. Bytes: u64 revision, u32 limit, section key.
    History {
        /// Of which key.
        key: Bytes,
        /// Only versions of revisions below this; 0 for all.
        before: u64,
        /// At most so many; 0 for as many as may be.
        limit: u32,
    },
    /// See [`QueryNumber::Audit`]. Bytes: u64 from, u64 since, u64 until, u32 limit, section prefix, u8 whether an actor
    /// is named, section actor.
    Audit(AuditQuery),
    /// See [`QueryNumber::Namespaces`]. Bytes: u32 limit, section name.
    Namespaces {
        /// Behind this one; empty for the first.
        after: ByteString,
        /// At most so many; 0 for as many as may be.
        limit: u32,
    },
    /// See [`QueryNumber::Settings`]. Bytes: none.
    Settings,
    /// See [`QueryNumber::Sessions`]. Bytes: u64 session, u32 limit.
    Sessions {
        /// Behind this one; 0 for the first.
        after: u64,
        /// At most so many; 0 for as many as may be.
        limit: u32,
    },
}

/// What is known of a lease.
///
/// Bytes: i64 lease, u64 time to live, u64 milliseconds left, u64 index of the grant, u64 keys, actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseInfo {
    /// Its number.
    pub lease: i64,
    /// How long it lives after it was granted or renewed, in milliseconds of the cluster clock.
    pub ttl_ms: u64,
    /// How long it still lives, unless it is renewed; 0 if its time is over and nobody has ended it yet. By the cluster clock
    /// of the last entry, which stands still between entries: up to a second more than is left.
    pub left_ms: u64,
    /// The log index of its grant.
    pub granted_at: u64,
    /// How many keys hang on it.
    pub keys: u64,
    /// To whom it was granted.
    pub actor: Actor,
}

/// A place in a queue: whoever holds, or whoever waits.
///
/// Bytes: i64 lease, u64 token, u64 index, section value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlaceInfo {
    /// What it lives by.
    pub lease: i64,
    /// The fencing token, or the term of office; 0 while it waits.
    pub token: u64,
    /// The log index by which it came into the queue.
    pub since: u64,
    /// Who and what for, or what was proclaimed.
    pub value: Bytes,
}

/// A queue: who holds, and who waits.
///
/// Bytes: u64 index, u64 waiting, u8 whether there is a holder, the holder, u32 count of places, the places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueInfo {
    /// The log index of the last change of holder or proclamation; 0 if nobody holds it.
    pub changed_at: u64,
    /// How many wait.
    pub waiting: u64,
    /// Who holds it.
    pub holder: Option<PlaceInfo>,
    /// Those who wait, first come first, as many as were given.
    pub places: Vec<PlaceInfo>,
}

/// One version of a key.
///
/// Bytes: u8 flags, u64 revision, key and value as in a range, actor, section reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionInfo {
    /// The version; of a deletion, only key, `mod_revision` and stamp.
    pub entry: KeyValue,
    /// Whether it is a deletion.
    pub deleted: bool,
    /// In whose name it was written.
    pub actor: Actor,
    /// Why, in the words of the request.
    pub reason: ByteString,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// See [`QueryNumber::Lease`]. Bytes: the lease, u32 count, section key each.
    Lease {
        /// The lease.
        info: LeaseInfo,
        /// Its keys, in order, as many as were given.
        keys: Vec<Bytes>,
    },
    /// See [`QueryNumber::Leases`]. Bytes: u8 whether more come, u32 count, the leases.
    Leases {
        /// The leases.
        leases: Vec<LeaseInfo>,
        /// More come behind them.
        more: bool,
    },
    /// See [`QueryNumber::Queue`]. Bytes: the queue.
    Queue(QueueInfo),
    /// See [`QueryNumber::Queues`]. Bytes: u8 whether more come, u32 count, section name and queue each.
    Queues {
        /// Name and queue, without those who wait.
        queues: Vec<(Bytes, QueueInfo)>,
        /// More come behind them.
        more: bool,
    },
    /// See [`QueryNumber::History`]. Bytes: u64 oldest, u8 whether more come, u32 count, the versions.
    History {
        /// The oldest revision that is kept.
        oldest: u64,
        /// The versions, newest first.
        versions: Vec<VersionInfo>,
        /// Older ones come behind them.
        more: bool,
    },
    /// See [`QueryNumber::Audit`]. Bytes: u64 complete from, u64 through, u64 next, u32 count, section record each, u32 count,
    /// u64 first, u64 last, u8 why each.
    Audit(AuditPage),
    /// See [`QueryNumber::Namespaces`]. Bytes: u8 whether more come, u32 count, the namespaces.
    Namespaces {
        /// The namespaces.
        namespaces: Vec<NamespaceInfo>,
        /// More come behind them.
        more: bool,
    },
    /// See [`QueryNumber::Settings`]. Bytes: what is held, u32 count, u16 number and u64 value each.
    Settings {
        /// What is held outside of all namespaces.
        outside: Holding,
        /// Number of a [`Setting`](crate::Setting), or of one that a later version added, and its value.
        settings: Vec<(u16, u64)>,
    },
    /// See [`QueryNumber::Sessions`]. Bytes: u8 whether more come, u32 count, the sessions.
    Sessions {
        /// The sessions.
        sessions: Vec<SessionInfo>,
        /// More come behind them.
        more: bool,
    },
}

impl When {
    fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Now => out.put_u8(1),
            Self::Settled { lease } => {
                out.put_u8(2);
                out.put_i64_le(lease);
            }
            Self::ChangedFrom { index } => {
                out.put_u8(3);
                out.put_u64_le(index);
            }
        }
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let kind = reader.u8()?;
        Ok(match kind {
            1 => Self::Now,
            2 => Self::Settled { lease: reader.i64()? },
            3 => Self::ChangedFrom { index: reader.u64()? },
            _ => return reader.known(None, "kind of when", kind.into(), 1),
        })
    }
}

impl Query {
    /// Its number.
    #[must_use]
    pub fn number(&self) -> QueryNumber {
        match self {
            Self::Lease { .. } => QueryNumber::Lease,
            Self::Leases { .. } => QueryNumber::Leases,
            Self::Queue { .. } => QueryNumber::Queue,
            Self::Queues { .. } => QueryNumber::Queues,
            Self::History { .. } => QueryNumber::History,
            Self::Audit(_) => QueryNumber::Audit,
            Self::Namespaces { .. } => QueryNumber::Namespaces,
            Self::Settings => QueryNumber::Settings,
            Self::Sessions { .. } => QueryNumber::Sessions,
        }
    }

    /// The bytes of the query.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        out.put_u16_le(self.number().number());
        match self {
            Self::Lease { lease } => out.put_i64_le(*lease),
            Self::Leases { after, limit } => {
                out.put_i64_le(*after);
                out.put_u32_le(*limit);
            }
            Self::Queue { kind, name, when } => {
                out.put_u8(kind.number());
                when.write(&mut out);
                put_section(&mut out, name);
            }
            Self::Queues { kind, after, limit } => {
                out.put_u8(kind.number());
                out.put_u32_le(*limit);
                put_section(&mut out, after);
            }
            Self::History { key, before, limit } => {
                out.put_u64_le(*before);
                out.put_u32_le(*limit);
                put_section(&mut out, key);
            }
            Self::Audit(query) => query.write(&mut out),
            Self::Namespaces { after, limit } => {
                out.put_u32_le(*limit);
                put_section(&mut out, after.as_bytes());
            }
            Self::Settings => {}
            Self::Sessions { after, limit } => {
                out.put_u64_le(*after);
                out.put_u32_le(*limit);
            }
        }
        out.into()
    }

    /// The query of these bytes, all of them.
    ///
    /// # Errors
    /// [`DecodeError`] with the offset of what is wrong.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let number = reader.u16()?;
        let number = reader.known(QueryNumber::from_number(number), "query", number.into(), 2)?;
        let query = match number {
            QueryNumber::Lease => Self::Lease { lease: reader.i64()? },
            QueryNumber::Leases => Self::Leases { after: reader.i64()?, limit: reader.u32()? },
            QueryNumber::Queue => {
                let (kind, when) = (reader.numbered("kind of queue")?, When::read(&mut reader)?);
                Self::Queue { kind, name: reader.section()?, when }
            }
            QueryNumber::Queues => {
                let (kind, limit) = (reader.numbered("kind of queue")?, reader.u32()?);
                Self::Queues { kind, after: reader.section()?, limit }
            }
            QueryNumber::History => {
                let (before, limit) = (reader.u64()?, reader.u32()?);
                Self::History { key: reader.section()?, before, limit }
            }
            QueryNumber::Audit => Self::Audit(AuditQuery::read(&mut reader)?),
            QueryNumber::Namespaces => {
                let limit = reader.u32()?;
                Self::Namespaces { after: reader.text()?, limit }
            }
            QueryNumber::Settings => Self::Settings,
            QueryNumber::Sessions => Self::Sessions { after: reader.u64()?, limit: reader.u32()? },
        };
        reader.finish()?;
        Ok(query)
    }
}

impl LeaseInfo {
    const BYTES_MIN: usize = 42;

    fn write(&self, out: &mut Vec<u8>) {
        out.put_i64_le(self.lease);
        for number in [self.ttl_ms, self.left_ms, self.granted_at, self.keys] {
            out.put_u64_le(number);
        }
        self.actor.write(out);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            lease: reader.i64()?,
            ttl_ms: reader.u64()?,
            left_ms: reader.u64()?,
            granted_at: reader.u64()?,
            keys: reader.u64()?,
            actor: Actor::read_from(reader)?,
        })
    }
}

impl PlaceInfo {
    const BYTES_MIN: usize = 28;

    fn write(&self, out: &mut Vec<u8>) {
        out.put_i64_le(self.lease);
        out.put_u64_le(self.token);
        out.put_u64_le(self.since);
        put_section(out, &self.value);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (lease, token, since) = (reader.i64()?, reader.u64()?, reader.u64()?);
        Ok(Self { lease, token, since, value: reader.section()? })
    }

    /// About how many bytes of an answer one takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        Self::BYTES_MIN + self.value.len()
    }
}

impl QueueInfo {
    const BYTES_MIN: usize = 21;

    fn write(&self, out: &mut Vec<u8>) {
        out.put_u64_le(self.changed_at);
        out.put_u64_le(self.waiting);
        out.put_u8(self.holder.is_some().into());
        if let Some(holder) = &self.holder {
            holder.write(out);
        }
        out.put_u32_le(length(self.places.len()));
        for place in &self.places {
            place.write(out);
        }
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (changed_at, waiting) = (reader.u64()?, reader.u64()?);
        let holder = match reader.flags(1)? {
            0 => None,
            _ => Some(PlaceInfo::read(reader)?),
        };
        let count = reader.count("places", PlaceInfo::BYTES_MIN, ITEMS_MAX.into())?;
        Ok(Self { changed_at, waiting, holder, places: reader.items(count, PlaceInfo::read)? })
    }
}

impl VersionInfo {
    const BYTES_MIN: usize = 1 + KeyValue::OVERHEAD_BYTES as usize + 2 + 4;

    fn write(&self, out: &mut Vec<u8>) {
        out.put_u8(self.deleted.into());
        self.entry.write(out);
        self.actor.write(out);
        put_section(out, self.reason.as_bytes());
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (deleted, entry) = (reader.flags(1)? != 0, KeyValue::read(reader)?);
        Ok(Self { entry, deleted, actor: Actor::read_from(reader)?, reason: reader.text()? })
    }

    /// About how many bytes of an answer one takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        Self::BYTES_MIN + self.entry.key.len() + self.entry.value.len() + self.reason.len()
    }
}

impl Answer {
    /// Its number: that of the query.
    #[must_use]
    pub fn number(&self) -> QueryNumber {
        match self {
            Self::Lease { .. } => QueryNumber::Lease,
            Self::Leases { .. } => QueryNumber::Leases,
            Self::Queue(_) => QueryNumber::Queue,
            Self::Queues { .. } => QueryNumber::Queues,
            Self::History { .. } => QueryNumber::History,
            Self::Audit(_) => QueryNumber::Audit,
            Self::Namespaces { .. } => QueryNumber::Namespaces,
            Self::Settings { .. } => QueryNumber::Settings,
            Self::Sessions { .. } => QueryNumber::Sessions,
        }
    }

    /// The bytes of an answer, or of why there is none.
    #[must_use]
    pub fn encode(answer: &Result<Self, Refusal>) -> Bytes {
        let mut out = Vec::new();
        match answer {
            Err(refusal) => {
                out.put_u16_le(0);
                refusal.write(&mut out);
            }
            Ok(answer) => {
                out.put_u16_le(answer.number().number());
                answer.write(&mut out);
            }
        }
        out.into()
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Lease { info, keys } => {
                info.write(out);
                out.put_u32_le(length(keys.len()));
                for key in keys {
                    put_section(out, key);
                }
            }
            Self::Leases { leases, more } => {
                out.put_u8((*more).into());
                out.put_u32_le(length(leases.len()));
                for lease in leases {
                    lease.write(out);
                }
            }
            Self::Queue(queue) => queue.write(out),
            Self::Queues { queues, more } => {
                out.put_u8((*more).into());
                out.put_u32_le(length(queues.len()));
                for (name, queue) in queues {
                    put_section(out, name);
                    queue.write(out);
                }
            }
            Self::History { oldest, versions, more } => {
                out.put_u64_le(*oldest);
                out.put_u8((*more).into());
                out.put_u32_le(length(versions.len()));
                for version in versions {
                    version.write(out);
                }
            }
            Self::Audit(page) => page.write(out),
            Self::Namespaces { namespaces, more } => {
                out.put_u8((*more).into());
                out.put_u32_le(length(namespaces.len()));
                for namespace in namespaces {
                    namespace.write(out);
                }
            }
            Self::Settings { outside, settings } => {
                outside.write(out);
                out.put_u32_le(length(settings.len()));
                for (number, value) in settings {
                    out.put_u16_le(*number);
                    out.put_u64_le(*value);
                }
            }
            Self::Sessions { sessions, more } => {
                out.put_u8((*more).into());
                out.put_u32_le(length(sessions.len()));
                for session in sessions {
                    session.write(out);
                }
            }
        }
    }

    /// The answer of these bytes, all of them, or why there is none.
    ///
    /// # Errors
    /// [`DecodeError`] with the offset of what is wrong.
    pub fn decode(bytes: Bytes) -> Result<Result<Self, Refusal>, DecodeError> {
        let mut reader = Reader::new(bytes);
        let number = reader.u16()?;
        if number == 0 {
            let refusal = Refusal::read(&mut reader)?;
            reader.finish()?;
            return Ok(Err(refusal));
        }
        let number = reader.known(QueryNumber::from_number(number), "answer", number.into(), 2)?;
        let most = u64::from(ITEMS_MAX);
        let answer = match number {
            QueryNumber::Lease => {
                let info = LeaseInfo::read(&mut reader)?;
                let count = reader.count("keys", 4, most)?;
                Self::Lease { info, keys: reader.items(count, Reader::section)? }
            }
            QueryNumber::Leases => {
                let more = reader.flags(1)? != 0;
                let count = reader.count("leases", LeaseInfo::BYTES_MIN, most)?;
                Self::Leases { leases: reader.items(count, LeaseInfo::read)?, more }
            }
            QueryNumber::Queue => Self::Queue(QueueInfo::read(&mut reader)?),
            QueryNumber::Queues => {
                let more = reader.flags(1)? != 0;
                let count = reader.count("queues", 4 + QueueInfo::BYTES_MIN, most)?;
                let one = |reader: &mut Reader| Ok((reader.section()?, QueueInfo::read(reader)?));
                Self::Queues { queues: reader.items(count, one)?, more }
            }
            QueryNumber::History => {
                let (oldest, more) = (reader.u64()?, reader.flags(1)? != 0);
                let count = reader.count("versions", VersionInfo::BYTES_MIN, most)?;
                Self::History { oldest, versions: reader.items(count, VersionInfo::read)?, more }
            }
            QueryNumber::Audit => Self::Audit(AuditPage::read(&mut reader)?),
            QueryNumber::Namespaces => {
                let more = reader.flags(1)? != 0;
                let count = reader.count("namespaces", NamespaceInfo::BYTES_MIN, most)?;
                Self::Namespaces { namespaces: reader.items(count, NamespaceInfo::read)?, more }
            }
            QueryNumber::Settings => {
                let outside = Holding::read(&mut reader)?;
                let count = reader.count("settings", 10, most)?;
                let one = |reader: &mut Reader| Ok((reader.u16()?, reader.u64()?));
                Self::Settings { outside, settings: reader.items(count, one)? }
            }
            QueryNumber::Sessions => {
                let more = reader.flags(1)? != 0;
                let count = reader.count("sessions", SessionInfo::BYTES_MIN, most)?;
                Self::Sessions { sessions: reader.items(count, SessionInfo::read)?, more }
            }
        };
        reader.finish()?;
        Ok(Ok(answer))
    }
}
