//! One call, from its asking to its end.

use std::sync::Arc;

use bytes::Bytes;
use holdfast_command::keys::{Range, Span};
use holdfast_command::query::{self, Query};
use holdfast_command::{Code, Command, Refusal, Reply, Request, RequestKey};
use holdfast_machine::Numbered;
use holdfast_wire::NodeId;
use holdfast_wire::message::{
    ChangeMembers, Consistency, Examined, MemberChange, SaveSnapshot, SnapshotPiece, StatsReply, StatusReply,
    Trace, TraceReply,
};

use super::config::ATTEMPTS_MAX;
use super::session::Bound;
use crate::client::ReadOptions;
use crate::{Attempt, Error, Failure, Kind, Outcome, Page, Position, What};

/// A call that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// What for.
    pub work: Work,
    /// For how many milliseconds; [`u64::MAX`] for no limit.
    pub timeout_ms: Option<u64>,
}

/// What a call is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// To be connected to some endpoint.
    Connect,
    /// To execute a request.
    Submit {
        /// The request.
        request: Request,
        /// Whether within the session; the core's default if it does not say.
        exactly_once: Option<bool>,
    },
    /// To read a range.
    Read {
        /// Which.
        range: Range,
        /// What it may see.
        consistency: Consistency,
        /// For a stale read, how old; 0 for any age.
        max_stale_ms: u64,
        /// What has to have been applied.
        min_position: Option<Position>,
    },
    /// To ask for what is no key.
    Query {
        /// What.
        query: Query,
        /// What it may see.
        consistency: Consistency,
        /// For a stale query, how old; 0 for any age.
        max_stale_ms: u64,
        /// What has to have been applied.
        min_position: Option<Position>,
    },
    /// To ask the node at this address for what is no key, as it has applied it.
    QueryAt(String, Query),
    /// To renew a lease.
    KeepLease(i64),
    /// To change the members, or who leads. Its timeout is filled in when it is sent.
    ChangeMembers(ChangeMembers),
    /// To ask the node at this address how it is.
    Status(String),
    /// To ask the node at this address what it has measured.
    Stats(String),
    /// To ask the node at this address where the time of writes went.
    Trace(String, Trace),
    /// To ask the node at this address to examine itself.
    Examine(String),
    /// To ask the node at this address for a piece of a snapshot.
    SaveSnapshot(String, SaveSnapshot),
}

impl Work {
    pub(crate) fn read(range: Range, options: ReadOptions) -> Self {
        let ReadOptions { consistency, min_position, max_stale_ms, timeout: _ } = options;
        Self::Read { range, consistency, max_stale_ms, min_position }
    }
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A write, or whatever else went through the log.
    Written {
        /// What the store says.
        reply: Reply,
        /// Where it was executed.
        position: Position,
    },
    /// A page of a range.
    Read(Page),
    /// What was asked for.
    Queried {
        /// What is known.
        answer: query::Answer,
        /// What had been applied.
        position: Position,
    },
    /// Whether the lease was renewed, and for how many milliseconds.
    LeaseKept {
        /// Not if the cluster does not know it, or it is somebody else's.
        known: bool,
        /// How long it lives from there on; 0 if it was not renewed.
        ttl_ms: u64,
    },
    /// The members are what was asked for.
    MembersChanged {
        /// The index of the configuration in force.
        configuration: u64,
    },
    /// How a node is.
    Status(Box<StatusReply>),
    /// What a node has measured.
    Stats(Box<StatsReply>),
    /// Where the time of writes went.
    Trace(TraceReply),
    /// What a node says of itself.
    Examined(Box<Examined>),
    /// A piece of a snapshot.
    Snapshot(SnapshotPiece),
    /// It is done, and there is nothing to say.
    Done,
}

/// Who waits for a call.
#[derive(Debug)]
pub(super) enum Owner<W> {
    /// Somebody outside.
    User(W),
    /// The session, for its number.
    Opening,
    /// The session, for its renewal.
    Keeping,
    /// The client, to be gone.
    Closing,
}

/// What is sent.
#[derive(Clone, Debug)]
pub(super) enum Payload {
    Connect,
    Submit { request: Bytes, keyed: Keyed },
    Read { range: Bytes, consistency: Consistency, max_stale_ms: u64, min_position: Option<Position> },
    Query { query: Bytes, consistency: Consistency, max_stale_ms: u64, min_position: Option<Position> },
    Keep { session: u64 },
    KeepLease { lease: i64 },
    ChangeMembers(ChangeMembers),
    Status,
    Stats,
    Trace(Trace),
    Examine,
    SaveSnapshot(SaveSnapshot),
}

/// By what a write is recognised when it comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyed {
    /// By its sequence in our session.
    Session,
    /// By a key that came with it, or because a second copy does no harm.
    Own,
    /// By nothing: only one copy is ever sent.
    Not,
}

/// Which queue a call waits in. The front of a queue that cannot be sent holds up what is behind it and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// What keeps the session.
    Control,
    /// Writes of the session: to the leader.
    Session,
    /// Writes without session and linearizable reads: to the leader.
    Leader,
    /// Reads that any member answers.
    Any,
    /// To one endpoint and no other.
    Directed(usize),
}

/// Where a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the queue of its lane.
    Queued,
    /// Waiting for its next try.
    Waiting { until: u64 },
    /// Sent, and not answered.
    Sent { endpoint: usize, wire: u64, at: u64 },
}

/// A refusal that a call has met.
#[derive(Clone, Debug)]
pub(super) struct Met {
    pub(super) code: u16,
    pub(super) particulars: [u64; 2],
    pub(super) detail: String,
}

/// One call.
#[derive(Debug)]
pub(super) struct Call<W> {
    /// Which one of all that were made: its place is used again.
    pub(super) number: u64,
    pub(super) owner: Owner<W>,
    pub(super) payload: Payload,
    pub(super) lane: Lane,
    pub(super) place: Place,
    pub(super) started: u64,
    pub(super) deadline: u64,
    /// What it counts for in the bound of bytes.
    pub(super) bytes: u64,
    pub(super) bound: Option<Bound>,
    /// A copy was sent of which nobody has said that it was not executed.
    pub(super) uncertain: bool,
    pub(super) tries: u32,
    pub(super) redirects: u8,
    pub(super) sessions: u8,
    /// Who failed it last.
    pub(super) avoid: Option<usize>,
    pub(super) met: Option<Box<Met>>,
    pub(super) attempts: Vec<Attempt>,
    pub(super) attempts_before: u32,
}

impl<W> Call<W> {
    pub(super) fn is_write(&self) -> bool {
        matches!(self.payload, Payload::Submit { .. } | Payload::ChangeMembers(_))
    }

    /// Whether another copy may be sent.
    pub(super) fn may_repeat(&self) -> bool {
        match self.payload {
            Payload::Submit { keyed: Keyed::Not, .. } | Payload::ChangeMembers(_) => !self.uncertain,
            Payload::Submit { keyed: Keyed::Session | Keyed::Own, .. }
            | Payload::Connect
            | Payload::Read { .. }
            | Payload::Query { .. }
            | Payload::KeepLease { .. }
            | Payload::Keep { .. } => true,
            Payload::Status
            | Payload::Stats
            | Payload::Trace(_)
            | Payload::Examine
            | Payload::SaveSnapshot(_) => false,
        }
    }

    /// What it has done, as far as the fate of its copies says.
    pub(super) fn outcome(&self) -> Outcome {
        if self.is_write() && self.uncertain { Outcome::Unknown } else { Outcome::NotApplied }
    }

    pub(super) fn note(&mut self, endpoint: &Arc<str>, node: Option<NodeId>, what: What, ms: u64) {
        if self.attempts.len() >= ATTEMPTS_MAX {
            self.attempts.remove(0);
            self.attempts_before += 1;
        }
        self.attempts.push(Attempt { endpoint: endpoint.to_string(), node, what, ms });
    }

    /// The error of this call: what it met last is its code.
    pub(super) fn error(&mut self, kind: Kind, outcome: Outcome, detail: String, now: u64) -> Error {
        let met = self.met.take();
        let code = met.as_ref().and_then(|met| Code::from_number(met.code));
        let refusal = met.as_ref().and_then(|met| Refusal::from_parts(code?, met.particulars));
        let said = met.as_ref().map(|met| met.detail.clone()).unwrap_or_default();
        Failure {
            kind,
            outcome,
            code,
            code_number: met.map_or(0, |met| met.code),
            refusal,
            operation: self.operation(),
            write: self.is_write(),
            detail: if detail.is_empty() { said } else { detail },
            tried: std::mem::take(&mut self.attempts),
            tried_before: self.attempts_before,
            elapsed_ms: now.saturating_sub(self.started),
        }
        .into()
    }

    fn operation(&self) -> String {
        match &self.payload {
            Payload::Connect => "connect".to_owned(),
            Payload::Submit { request, .. } => match Request::decode(request.clone()) {
                Ok(request) => describe(&request.command),
                Err(_) => "submit".to_owned(),
            },
            Payload::Read { range, .. } => match Range::decode(range.clone()) {
                Ok(range) => format!("read {}", span(&range.span)),
                Err(_) => "read".to_owned(),
            },
            Payload::Query { query, .. } => match Query::decode(query.clone()) {
                Ok(query) => format!("ask for {}", query.number().name()),
                Err(_) => "query".to_owned(),
            },
            Payload::Keep { session } => format!("renew session {session}"),
            Payload::KeepLease { lease } => format!("renew lease {lease}"),
            Payload::ChangeMembers(change) => match MemberChange::from_number(change.change) {
                Some(kind) => format!("{} node {}", kind.name(), change.node),
                None => "change the members".to_owned(),
            },
            Payload::Status => "ask for the status".to_owned(),
            Payload::Stats => "ask for the statistics".to_owned(),
            Payload::Trace(_) => "ask where the time of writes went".to_owned(),
            Payload::Examine => "have the node examine itself".to_owned(),
            Payload::SaveSnapshot(_) => "ask for a snapshot".to_owned(),
        }
    }
}

/// A command in a few words.
fn describe(command: &Command) -> String {
    match command {
        Command::Put(put) => format!("put {}", key(&put.key)),
        Command::Delete(delete) => format!("delete {}", span(&delete.span)),
        Command::Restore(restore) => format!("restore {}", key(&restore.key)),
        Command::Transact(_) => "execute the transaction".to_owned(),
        Command::Compact(compact) => format!("compact to revision {}", compact.revision),
        Command::RevokeLease(revoke) => format!("revoke lease {}", revoke.lease),
        Command::Acquire(acquire) => format!("acquire {}", key(&acquire.name)),
        Command::Release(release) => format!("release {}", key(&release.name)),
        Command::Campaign(campaign) => format!("campaign for {}", key(&campaign.name)),
        Command::Proclaim(proclaim) => format!("proclaim to {}", key(&proclaim.name)),
        Command::Resign(resign) => format!("resign from {}", key(&resign.name)),
        Command::SetNamespace(_)
        | Command::DeleteNamespace(_)
        | Command::ChangeSettings(_)
        | Command::RaiseFeatureLevel(_)
        | Command::OpenSession(_)
        | Command::KeepSessions(_)
        | Command::CloseSession(_)
        | Command::GrantLease(_)
        | Command::RenewLeases(_)
        | Command::ExpireLease(_)
        | Command::Tick => format!("execute {}", command.number().name()),
    }
}

/// At most so many bytes of a key are shown.
const SHOWN_MAX: usize = 64;

fn key(key: &[u8]) -> String {
    let shown = key.get(..SHOWN_MAX).unwrap_or(key);
    let more = if shown.len() < key.len() { "…" } else { "" };
    format!("\"{}{more}\"", shown.escape_ascii())
}

pub(super) fn span(span: &Span) -> String {
    match span {
        Span::Key(only) => key(only),
        Span::Between { start, end } => format!("{} to {}", key(start), key(end)),
        Span::From(start) => format!("{} and above", key(start)),
    }
}

/// The request key that a write goes out with, and by what it is recognised.
pub(super) fn keyed(request: &Request, exactly_once: bool) -> Keyed {
    if request.key != RequestKey::None {
        return Keyed::Own;
    }
    match request.command {
        // These cannot be in the session that they are about. To renew or close one twice does no harm.
        Command::KeepSessions(_) | Command::CloseSession(_) => Keyed::Own,
        Command::OpenSession(_) => Keyed::Not,
        Command::Put(_)
        | Command::Delete(_)
        | Command::Transact(_)
        | Command::Restore(_)
        | Command::Compact(_)
        | Command::SetNamespace(_)
        | Command::DeleteNamespace(_)
        | Command::ChangeSettings(_)
        | Command::RaiseFeatureLevel(_)
        | Command::GrantLease(_)
        | Command::RenewLeases(_)
        | Command::RevokeLease(_)
        | Command::ExpireLease(_)
        | Command::Acquire(_)
        | Command::Release(_)
        | Command::Campaign(_)
        | Command::Proclaim(_)
        | Command::Resign(_)
        | Command::Tick => {
            if exactly_once {
                Keyed::Session
            } else {
                Keyed::Not
            }
        }
    }
}
