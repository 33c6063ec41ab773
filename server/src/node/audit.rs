//! The audit log, as far as the node has a part in it: it hands on what each applied command leaves, and holds back what has
//! to wait for that.
//!
//! # Why it may come late, and may not be lost
//! A record is a function of the log. So nobody waits for the files of the records: what a crash takes of them is made again by
//! applying the log again. That ends where a snapshot takes the place of the log, so **a snapshot is taken only of what the files
//! hold durably**. And since another thread writes them, records are handed over in pieces: waking it costs more than a write.
//!
//! # When the files do not keep up
//! What was handed over and is not written counts against [`limits::AUDIT_BYTES_MAX`]; beyond it nothing is applied until some of
//! it is written. Applying what leaves no trace would be the other way to go on, and is not one.
//!
//! # Questions
//! A query of the log is made ready as any other, and given to that thread behind all records of what is applied, so that its
//! answer covers them.
//!
//! # What was refused
//! A write that is refused leaves no record: it changed nothing, and the log does not know it. The node that refused it says so
//! in a file of its own, as far as there is room: this is a hint for people, and bounded.

use std::net::IpAddr;

use bytes::Bytes;
use holdfast_command::query::AuditQuery;
use holdfast_command::{Actor, Code, Refusal, Request};
use holdfast_hlc::UnixMillis;
use holdfast_wire::Message;
use holdfast_wire::message::Position;

use super::io::{Caller, NodeEvent};
use super::plant::Plant;
use super::{Node, limits};

/// Bytes that a record, or a job, takes in memory beside its own.
const RECORD_BYTES: usize = 64;

/// A write that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedWrite {
    /// When.
    pub wall: UnixMillis,
    /// In whose name.
    pub actor: Actor,
    /// From where.
    pub address: Option<(IpAddr, u16)>,
    /// The number of the command; `None` if the request is too short to have one.
    pub command: Option<u16>,
    /// Why.
    pub refusal: Refusal,
}

/// Work on the files of the audit log, for another thread, in this order.
#[derive(Debug)]
pub enum AuditJob {
    /// Write these records; [`AuditDone::Written`] when they are.
    Append {
        /// Everything up to and with this index that leaves a record has left it, here or before.
        through: u64,
        /// Index and record, ascending.
        records: Vec<(u64, Bytes)>,
        /// What they count against [`limits::AUDIT_BYTES_MAX`].
        bytes: usize,
    },
    /// The state was replaced by one behind this index: the records in between never come.
    Reinstalled {
        /// The last entry of the snapshot.
        index: u64,
    },
    /// Make durable all that was appended, and say so with [`AuditDone::Synced`].
    Sync,
    /// Look for records, and answer with [`AuditDone::Answer`].
    Read {
        /// Whom.
        caller: Caller,
        /// What.
        query: Box<AuditQuery>,
        /// What the state is.
        position: Position,
        /// How old it is at most.
        staleness_ms: u64,
    },
    /// Note what was refused; [`AuditDone::Noted`] when it is.
    Refused {
        /// What, in the order in which it happened.
        writes: Vec<RefusedWrite>,
        /// And so many that there was no room for.
        more: u64,
    },
}

/// What became of an [`AuditJob`].
#[derive(Debug)]
pub enum AuditDone {
    /// Records of so many bytes are in the files, though not durable.
    Written {
        /// The bytes of their jobs.
        bytes: usize,
    },
    /// Everything up to this index is durable, or why not.
    Synced(Result<u64, String>),
    /// A page for a client.
    Answer(Caller, Message),
    /// What was refused is noted, or given up.
    Noted,
    /// Records cannot be written. It is tried again, and nothing is lost.
    Failed(String),
}

/// What the node knows of the log and of what is under way to it.
#[derive(Debug, Default)]
pub(super) struct Audit {
    pub(super) jobs: Vec<AuditJob>,
    /// Not handed over yet.
    records: Vec<(u64, Bytes)>,
    bytes: usize,
    /// Everything up to here was handed over.
    handed: u64,
    /// It is time to hand over, though it is little.
    is_time: bool,
    /// Bytes that were handed over, and are not written.
    outstanding: usize,
    is_failing: bool,
    /// Everything up to here is durable.
    synced: u64,
    syncing: bool,
    /// No sync before this tick.
    not_before: u64,
    /// Questions that are not answered.
    reads: usize,
    refused: Vec<RefusedWrite>,
    refused_more: u64,
    /// What was refused before is not noted yet.
    noting: bool,
}

impl Audit {
    /// Of a state that begins behind this index.
    pub(super) fn behind(index: u64) -> Self {
        Self { handed: index, ..Self::default() }
    }

    /// Whether nothing more may be applied before some of it is written.
    pub(super) fn is_full(&self) -> bool {
        self.bytes + self.outstanding >= limits::AUDIT_BYTES_MAX
    }

    /// Questions that are not answered.
    pub(super) fn waiting(&self) -> usize {
        self.reads
    }

    /// Takes what an entry has left, if it has left something.
    pub(super) fn note(&mut self, index: u64, record: Bytes) {
        if !record.is_empty() {
            self.bytes += RECORD_BYTES + record.len();
            self.records.push((index, record));
        }
    }

    /// Hands over all up to this index.
    fn hand_over(&mut self, applied: u64) {
        if applied > self.handed {
            // The next piece will mostly be as long: a list that grows is copied again and again.
            let next = Vec::with_capacity(self.records.len());
            let records = std::mem::replace(&mut self.records, next);
            // A job without records is not free either.
            let bytes = std::mem::take(&mut self.bytes) + RECORD_BYTES;
            self.outstanding += bytes;
            self.handed = applied;
            self.jobs.push(AuditJob::Append { through: applied, records, bytes });
        }
    }
}

impl<P: Plant> Node<P> {
    /// Says how the audit log is and what is under way to it, for whoever looks.
    #[must_use]
    pub fn audit_outstanding_bytes(&self) -> usize {
        self.audit.bytes + self.audit.outstanding
    }

    /// Whether the audit log could not be written when that was last tried.
    #[must_use]
    pub fn is_audit_failing(&self) -> bool {
        self.audit.is_failing
    }

    /// Time passes.
    pub(super) fn tick_audit(&mut self) {
        self.audit.is_time |= self.ticks.is_multiple_of(limits::AUDIT_TICKS);
    }

    /// Ends a turn: hands over what has gathered, if it is much or if it is time.
    pub(super) fn hand_over_audit(&mut self) {
        let is_time = std::mem::take(&mut self.audit.is_time) || self.stopping;
        if is_time || self.audit.bytes >= limits::AUDIT_PIECE_BYTES {
            self.hand_over_applied();
        }
        let Audit { jobs, refused, refused_more, noting, .. } = &mut self.audit;
        if is_time && !*noting && !refused.is_empty() {
            *noting = true;
            let (writes, more) = (std::mem::take(refused), std::mem::take(refused_more));
            jobs.push(AuditJob::Refused { writes, more });
        }
    }

    /// Hands over all that is applied. Not once the node has halted: what the last entry left is lost then, and nobody must say
    /// that it left nothing. The next process makes it again.
    fn hand_over_applied(&mut self) {
        if self.halted.is_none() {
            self.audit.hand_over(self.store.applied().index);
        }
    }

    /// The state is about to be replaced by one behind this index.
    pub(super) fn audit_passes_over(&mut self, index: u64) {
        self.hand_over_applied();
        self.audit.handed = self.audit.handed.max(index);
        self.audit.jobs.push(AuditJob::Reinstalled { index });
    }

    /// Up to which index the log may make way, as far as the audit log goes. Has it made durable if that is not up to
    /// `wanted`.
    pub(super) fn audit_synced(&mut self, wanted: u64) -> u64 {
        if self.audit.synced < wanted && !self.audit.syncing && self.ticks >= self.audit.not_before {
            self.audit.syncing = true;
            self.hand_over_applied();
            self.audit.jobs.push(AuditJob::Sync);
        }
        self.audit.synced
    }

    /// Asks the files, behind all that is applied.
    pub(super) fn read_audit(
        &mut self,
        caller: Caller,
        query: AuditQuery,
        position: Position,
        staleness_ms: u64,
    ) {
        if self.audit.reads >= limits::AUDIT_READS_MAX {
            let retry_after_ms = limits::RETRY_AFTER_MS.into();
            return self.refuse_untouched(caller, Refusal::Overloaded { retry_after_ms });
        }
        self.audit.reads += 1;
        self.hand_over_applied();
        let query = Box::new(query);
        self.audit.jobs.push(AuditJob::Read { caller, query, position, staleness_ms });
    }

    /// What another thread has done.
    pub(super) fn audit_done(&mut self, done: AuditDone) {
        match done {
            AuditDone::Written { bytes } => {
                self.audit.outstanding = self.audit.outstanding.saturating_sub(bytes);
                if std::mem::take(&mut self.audit.is_failing) {
                    self.events.push(NodeEvent::AuditGoesOn);
                }
            }
            AuditDone::Synced(synced) => {
                self.audit.syncing = false;
                match synced {
                    Ok(index) if index > self.audit.synced => self.audit.synced = index,
                    Ok(_) => self.audit.not_before = self.ticks + limits::AUDIT_RETRY_TICKS,
                    Err(why) => {
                        self.audit.not_before = self.ticks + limits::AUDIT_RETRY_TICKS;
                        self.events.push(NodeEvent::AuditFailed(why));
                    }
                }
            }
            AuditDone::Answer(caller, message) => {
                self.audit.reads = self.audit.reads.saturating_sub(1);
                self.replies.push((caller, message));
            }
            AuditDone::Noted => self.audit.noting = false,
            AuditDone::Failed(why) => {
                self.audit.is_failing = true;
                self.events.push(NodeEvent::AuditFailed(why));
            }
        }
    }

    /// A write was refused. What only says to ask elsewhere or once more is not worth a line.
    pub(super) fn note_refused(
        &mut self,
        (actor, address): (&Actor, Option<(IpAddr, u16)>),
        request: &[u8],
        refusal: Refusal,
    ) {
        if matches!(
            refusal.code(),
            Code::NotLeader
                | Code::NoLeader
                | Code::LeadershipLost
                | Code::TimedOut
                | Code::Starting
                | Code::Stopping
        ) {
            return;
        }
        if self.audit.refused.len() >= limits::REFUSED_NOTED {
            self.audit.refused_more += 1;
            return;
        }
        let (wall, actor, command) = (self.now.wall, actor.clone(), Request::number(request));
        self.audit.refused.push(RefusedWrite { wall, actor, address, command, refusal });
    }
}
