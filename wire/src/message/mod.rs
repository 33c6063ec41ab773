//! The typed bodies: one struct per message type, joined by [`Message`].
//!
//! Each struct says in one `write` and one `read` which fields are metadata, which are sections and which are
//! extensions; [`crate::body`] does the rest. `docs/wire-format.md` shows every one of them laid out, drawn
//! from these structs.

mod call;
mod examine;
mod formation;
mod goodbye;
mod greeting;
mod operator;
mod peer;
mod trace;
mod watch;

use bytes::Bytes;
pub use call::{
    ChangeMembers, Consistency, KeepLease, KeepSession, LeaseKept, MemberChange, MemberStatus,
    MembersChanged, Position, Query, QueryDone, Read, ReadDone, Refused, SessionKept, Stats, StatsReply,
    Status, StatusReply, Submit, Submitted,
};
pub use examine::{Examine, Examined, Figure};
pub use formation::{FormationAnswer, FormationAsk, FormationPrepare};
pub use goodbye::{CloseReason, Goodbye};
pub use greeting::{
    ClientHello, ClientWelcome, Credentials, Features, Lane, LeaderHint, Limits, PeerHello, PeerWelcome,
};

pub use operator::{SaveSnapshot, SnapshotPiece};

pub use peer::{
    Append, AppendAck, AppendReject, Digests, EntryId, Heartbeat, HeartbeatAck, Introduce, Notice,
    PeerHeader, PreVote, PreVoteReply, ReadIndex, ReadIndexReply, SnapshotAck, SnapshotChunk, SnapshotReject,
    TimeoutNow, Vote, VoteReply,
};

pub use trace::{Trace, TraceReply, TracedBatch};

pub use watch::{Watch, WatchCancel, WatchEnded, WatchEvents, WatchProgress, WatchStarted};

use crate::body::{self, Parts};
use crate::sink::{Section, Sink};
use crate::{Frame, Header, MessageType, WireError};

/// One message of any type that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// See [`MessageType::ClientHello`].
    ClientHello(ClientHello),
    /// See [`MessageType::PeerHello`].
    PeerHello(PeerHello),
    /// See [`MessageType::ClientWelcome`].
    ClientWelcome(ClientWelcome),
    /// See [`MessageType::PeerWelcome`].
    PeerWelcome(PeerWelcome),
    /// See [`MessageType::Goodbye`].
    Goodbye(Goodbye),
    /// See [`MessageType::Ping`].
    Ping(Echo),
    /// See [`MessageType::Pong`].
    Pong(Echo),
    /// See [`MessageType::Submit`].
    Submit(Submit),
    /// See [`MessageType::Submitted`].
    Submitted(Submitted),
    /// See [`MessageType::Read`].
    Read(Read),
    /// See [`MessageType::ReadDone`].
    ReadDone(ReadDone),
    /// See [`MessageType::Refused`].
    Refused(Refused),
    /// See [`MessageType::Status`].
    Status(Status),
    /// See [`MessageType::StatusReply`].
    StatusReply(StatusReply),
    /// See [`MessageType::Stats`].
    Stats(Stats),
    /// See [`MessageType::StatsReply`].
    StatsReply(StatsReply),
    /// See [`MessageType::Examine`].
    Examine(Examine),
    /// See [`MessageType::Examined`].
    Examined(Examined),
    /// See [`MessageType::KeepSession`].
    KeepSession(KeepSession),
    /// See [`MessageType::SessionKept`].
    SessionKept(SessionKept),
    /// See [`MessageType::Query`].
    Query(Query),
    /// See [`MessageType::QueryDone`].
    QueryDone(QueryDone),
    /// See [`MessageType::KeepLease`].
    KeepLease(KeepLease),
    /// See [`MessageType::LeaseKept`].
    LeaseKept(LeaseKept),
    /// See [`MessageType::ChangeMembers`].
    ChangeMembers(ChangeMembers),
    /// See [`MessageType::MembersChanged`].
    MembersChanged(MembersChanged),
    /// See [`MessageType::Watch`].
    Watch(Watch),
    /// See [`MessageType::WatchStarted`].
    WatchStarted(WatchStarted),
    /// See [`MessageType::WatchEvents`].
    WatchEvents(WatchEvents),
    /// See [`MessageType::WatchProgress`].
    WatchProgress(WatchProgress),
    /// See [`MessageType::WatchCancel`].
    WatchCancel(WatchCancel),
    /// See [`MessageType::WatchEnded`].
    WatchEnded(WatchEnded),
    /// See [`MessageType::SaveSnapshot`].
    SaveSnapshot(SaveSnapshot),
    /// See [`MessageType::SnapshotPiece`].
    SnapshotPiece(SnapshotPiece),
    /// See [`MessageType::Trace`].
    Trace(Trace),
    /// See [`MessageType::TraceReply`].
    TraceReply(TraceReply),
    /// See [`MessageType::PreVote`].
    PreVote(PreVote),
    /// See [`MessageType::PreVoteReply`].
    PreVoteReply(PreVoteReply),
    /// See [`MessageType::Vote`].
    Vote(Vote),
    /// See [`MessageType::VoteReply`].
    VoteReply(VoteReply),
    /// See [`MessageType::Append`].
    Append(Append),
    /// See [`MessageType::AppendAck`].
    AppendAck(AppendAck),
    /// See [`MessageType::AppendReject`].
    AppendReject(AppendReject),
    /// See [`MessageType::Heartbeat`].
    Heartbeat(Heartbeat),
    /// See [`MessageType::HeartbeatAck`].
    HeartbeatAck(HeartbeatAck),
    /// See [`MessageType::ReadIndex`].
    ReadIndex(ReadIndex),
    /// See [`MessageType::ReadIndexReply`].
    ReadIndexReply(ReadIndexReply),
    /// See [`MessageType::TimeoutNow`].
    TimeoutNow(TimeoutNow),
    /// See [`MessageType::SnapshotChunk`].
    SnapshotChunk(SnapshotChunk),
    /// See [`MessageType::SnapshotAck`].
    SnapshotAck(SnapshotAck),
    /// See [`MessageType::SnapshotReject`].
    SnapshotReject(SnapshotReject),
    /// See [`MessageType::Notice`].
    Notice(Notice),
    /// See [`MessageType::Introduce`].
    Introduce(Introduce),
    /// See [`MessageType::Digests`].
    Digests(Digests),
    /// See [`MessageType::FormationAsk`].
    FormationAsk(FormationAsk),
    /// See [`MessageType::FormationAnswer`].
    FormationAnswer(FormationAnswer),
    /// See [`MessageType::FormationPrepare`].
    FormationPrepare(FormationPrepare),
}

/// The body of a Ping and of its Pong, which gives back what came.
///
/// Sections: payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Echo {
    /// Up to [`PING_CAP`](crate::message_type::PING_CAP) bytes, less what the layout needs.
    pub payload: Bytes,
}

/// What every body can do. Private: messages are encoded and decoded through [`Message`].
trait Body: Sized {
    /// Appends the frame.
    fn write<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError>;

    /// Reads metadata and sections; the caller checks that no section is left over and walks the extensions.
    fn read(parts: &Parts, sections: &mut body::Sections<'_>) -> Result<Self, WireError>;
}

impl Message {
    /// Which row of the message table this is.
    #[must_use]
    pub fn message_type(&self) -> MessageType {
        match self {
            Self::ClientHello(_) => MessageType::ClientHello,
            Self::PeerHello(_) => MessageType::PeerHello,
            Self::ClientWelcome(_) => MessageType::ClientWelcome,
            Self::PeerWelcome(_) => MessageType::PeerWelcome,
            Self::Goodbye(_) => MessageType::Goodbye,
            Self::Ping(_) => MessageType::Ping,
            Self::Pong(_) => MessageType::Pong,
            Self::Submit(_) => MessageType::Submit,
            Self::Submitted(_) => MessageType::Submitted,
            Self::Read(_) => MessageType::Read,
            Self::ReadDone(_) => MessageType::ReadDone,
            Self::Refused(_) => MessageType::Refused,
            Self::Status(_) => MessageType::Status,
            Self::StatusReply(_) => MessageType::StatusReply,
            Self::Stats(_) => MessageType::Stats,
            Self::StatsReply(_) => MessageType::StatsReply,
            Self::Examine(_) => MessageType::Examine,
            Self::Examined(_) => MessageType::Examined,
            Self::KeepSession(_) => MessageType::KeepSession,
            Self::SessionKept(_) => MessageType::SessionKept,
            Self::Query(_) => MessageType::Query,
            Self::QueryDone(_) => MessageType::QueryDone,
            Self::KeepLease(_) => MessageType::KeepLease,
            Self::LeaseKept(_) => MessageType::LeaseKept,
            Self::ChangeMembers(_) => MessageType::ChangeMembers,
            Self::MembersChanged(_) => MessageType::MembersChanged,
            Self::Watch(_) => MessageType::Watch,
            Self::WatchStarted(_) => MessageType::WatchStarted,
            Self::WatchEvents(_) => MessageType::WatchEvents,
            Self::WatchProgress(_) => MessageType::WatchProgress,
            Self::WatchCancel(_) => MessageType::WatchCancel,
            Self::WatchEnded(_) => MessageType::WatchEnded,
            Self::SaveSnapshot(_) => MessageType::SaveSnapshot,
            Self::SnapshotPiece(_) => MessageType::SnapshotPiece,
            Self::Trace(_) => MessageType::Trace,
            Self::TraceReply(_) => MessageType::TraceReply,
            Self::PreVote(_) => MessageType::PreVote,
            Self::PreVoteReply(_) => MessageType::PreVoteReply,
            Self::Vote(_) => MessageType::Vote,
            Self::VoteReply(_) => MessageType::VoteReply,
            Self::Append(_) => MessageType::Append,
            Self::AppendAck(_) => MessageType::AppendAck,
            Self::AppendReject(_) => MessageType::AppendReject,
            Self::Heartbeat(_) => MessageType::Heartbeat,
            Self::HeartbeatAck(_) => MessageType::HeartbeatAck,
            Self::ReadIndex(_) => MessageType::ReadIndex,
            Self::ReadIndexReply(_) => MessageType::ReadIndexReply,
            Self::TimeoutNow(_) => MessageType::TimeoutNow,
            Self::SnapshotChunk(_) => MessageType::SnapshotChunk,
            Self::SnapshotAck(_) => MessageType::SnapshotAck,
            Self::SnapshotReject(_) => MessageType::SnapshotReject,
            Self::Notice(_) => MessageType::Notice,
            Self::Introduce(_) => MessageType::Introduce,
            Self::Digests(_) => MessageType::Digests,
            Self::FormationAsk(_) => MessageType::FormationAsk,
            Self::FormationAnswer(_) => MessageType::FormationAnswer,
            Self::FormationPrepare(_) => MessageType::FormationPrepare,
        }
    }

    /// A header for this message: its type, the flags of that type, group 0, no call.
    #[must_use]
    pub fn header(&self) -> Header {
        Header::of(self.message_type())
    }

    /// Appends this message as a frame to a buffer or an [`Outbox`](crate::Outbox). The type in `header` is
    /// replaced by that of the message.
    ///
    /// # Errors
    /// [`WireError::OverCap`], [`WireError::Unencodable`], [`WireError::BadFlags`], [`WireError::Addressed`]; nothing has
    /// then been written.
    pub fn encode<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError> {
        let header = Header { message_type: self.message_type(), ..header };
        match self {
            Self::ClientHello(body) => body.write(header, sink),
            Self::PeerHello(body) => body.write(header, sink),
            Self::ClientWelcome(body) => body.write(header, sink),
            Self::PeerWelcome(body) => body.write(header, sink),
            Self::Goodbye(body) => body.write(header, sink),
            Self::Ping(body) | Self::Pong(body) => body.write(header, sink),
            Self::Submit(body) => body.write(header, sink),
            Self::Submitted(body) => body.write(header, sink),
            Self::Read(body) => body.write(header, sink),
            Self::ReadDone(body) => body.write(header, sink),
            Self::Refused(body) => body.write(header, sink),
            Self::Status(body) => body.write(header, sink),
            Self::StatusReply(body) => body.write(header, sink),
            Self::Stats(body) => body.write(header, sink),
            Self::StatsReply(body) => body.write(header, sink),
            Self::Examine(body) => body.write(header, sink),
            Self::Examined(body) => body.write(header, sink),
            Self::KeepSession(body) => body.write(header, sink),
            Self::SessionKept(body) => body.write(header, sink),
            Self::Query(body) => body.write(header, sink),
            Self::QueryDone(body) => body.write(header, sink),
            Self::KeepLease(body) => body.write(header, sink),
            Self::LeaseKept(body) => body.write(header, sink),
            Self::ChangeMembers(body) => body.write(header, sink),
            Self::MembersChanged(body) => body.write(header, sink),
            Self::Watch(body) => body.write(header, sink),
            Self::WatchStarted(body) => body.write(header, sink),
            Self::WatchEvents(body) => body.write(header, sink),
            Self::WatchProgress(body) => body.write(header, sink),
            Self::WatchCancel(body) => body.write(header, sink),
            Self::WatchEnded(body) => body.write(header, sink),
            Self::SaveSnapshot(body) => body.write(header, sink),
            Self::SnapshotPiece(body) => body.write(header, sink),
            Self::Trace(body) => body.write(header, sink),
            Self::TraceReply(body) => body.write(header, sink),
            Self::PreVote(body) => body.write(header, sink),
            Self::PreVoteReply(body) => body.write(header, sink),
            Self::Vote(body) => body.write(header, sink),
            Self::VoteReply(body) => body.write(header, sink),
            Self::Append(body) => body.write(header, sink),
            Self::AppendAck(body) => body.write(header, sink),
            Self::AppendReject(body) => body.write(header, sink),
            Self::Heartbeat(body) => body.write(header, sink),
            Self::HeartbeatAck(body) => body.write(header, sink),
            Self::ReadIndex(body) => body.write(header, sink),
            Self::ReadIndexReply(body) => body.write(header, sink),
            Self::TimeoutNow(body) => body.write(header, sink),
            Self::SnapshotChunk(body) => body.write(header, sink),
            Self::SnapshotAck(body) => body.write(header, sink),
            Self::SnapshotReject(body) => body.write(header, sink),
            Self::Notice(body) => body.write(header, sink),
            Self::Introduce(body) => body.write(header, sink),
            Self::Digests(body) => body.write(header, sink),
            Self::FormationAsk(body) => body.write(header, sink),
            Self::FormationAnswer(body) => body.write(header, sink),
            Self::FormationPrepare(body) => body.write(header, sink),
        }
    }

    /// The message in a frame. Adds to `skipped` the extensions that this build did not know and skipped.
    ///
    /// # Errors
    /// Whatever is wrong with the body, with an offset that counts from the start of the frame.
    pub fn decode(frame: &Frame, skipped: &mut u64) -> Result<Self, WireError> {
        let body = frame.body.clone();
        Ok(match frame.header.message_type {
            MessageType::ClientHello => Self::ClientHello(read(body, skipped)?),
            MessageType::PeerHello => Self::PeerHello(read(body, skipped)?),
            MessageType::ClientWelcome => Self::ClientWelcome(read(body, skipped)?),
            MessageType::PeerWelcome => Self::PeerWelcome(read(body, skipped)?),
            MessageType::Goodbye => Self::Goodbye(read(body, skipped)?),
            MessageType::Ping => Self::Ping(read(body, skipped)?),
            MessageType::Pong => Self::Pong(read(body, skipped)?),
            MessageType::Submit => Self::Submit(read(body, skipped)?),
            MessageType::Submitted => Self::Submitted(read(body, skipped)?),
            MessageType::Read => Self::Read(read(body, skipped)?),
            MessageType::ReadDone => Self::ReadDone(read(body, skipped)?),
            MessageType::Refused => Self::Refused(read(body, skipped)?),
            MessageType::Status => Self::Status(read(body, skipped)?),
            MessageType::StatusReply => Self::StatusReply(read(body, skipped)?),
            MessageType::Stats => Self::Stats(read(body, skipped)?),
            MessageType::StatsReply => Self::StatsReply(read(body, skipped)?),
            MessageType::Examine => Self::Examine(read(body, skipped)?),
            MessageType::Examined => Self::Examined(read(body, skipped)?),
            MessageType::KeepSession => Self::KeepSession(read(body, skipped)?),
            MessageType::SessionKept => Self::SessionKept(read(body, skipped)?),
            MessageType::Query => Self::Query(read(body, skipped)?),
            MessageType::QueryDone => Self::QueryDone(read(body, skipped)?),
            MessageType::KeepLease => Self::KeepLease(read(body, skipped)?),
            MessageType::LeaseKept => Self::LeaseKept(read(body, skipped)?),
            MessageType::ChangeMembers => Self::ChangeMembers(read(body, skipped)?),
            MessageType::MembersChanged => Self::MembersChanged(read(body, skipped)?),
            MessageType::Watch => Self::Watch(read(body, skipped)?),
            MessageType::WatchStarted => Self::WatchStarted(read(body, skipped)?),
            MessageType::WatchEvents => Self::WatchEvents(read(body, skipped)?),
            MessageType::WatchProgress => Self::WatchProgress(read(body, skipped)?),
            MessageType::WatchCancel => Self::WatchCancel(read(body, skipped)?),
            MessageType::WatchEnded => Self::WatchEnded(read(body, skipped)?),
            MessageType::SaveSnapshot => Self::SaveSnapshot(read(body, skipped)?),
            MessageType::SnapshotPiece => Self::SnapshotPiece(read(body, skipped)?),
            MessageType::Trace => Self::Trace(read(body, skipped)?),
            MessageType::TraceReply => Self::TraceReply(read(body, skipped)?),
            MessageType::PreVote => Self::PreVote(read(body, skipped)?),
            MessageType::PreVoteReply => Self::PreVoteReply(read(body, skipped)?),
            MessageType::Vote => Self::Vote(read(body, skipped)?),
            MessageType::VoteReply => Self::VoteReply(read(body, skipped)?),
            MessageType::Append => Self::Append(read(body, skipped)?),
            MessageType::AppendAck => Self::AppendAck(read(body, skipped)?),
            MessageType::AppendReject => Self::AppendReject(read(body, skipped)?),
            MessageType::Heartbeat => Self::Heartbeat(read(body, skipped)?),
            MessageType::HeartbeatAck => Self::HeartbeatAck(read(body, skipped)?),
            MessageType::ReadIndex => Self::ReadIndex(read(body, skipped)?),
            MessageType::ReadIndexReply => Self::ReadIndexReply(read(body, skipped)?),
            MessageType::TimeoutNow => Self::TimeoutNow(read(body, skipped)?),
            MessageType::SnapshotChunk => Self::SnapshotChunk(read(body, skipped)?),
            MessageType::SnapshotAck => Self::SnapshotAck(read(body, skipped)?),
            MessageType::SnapshotReject => Self::SnapshotReject(read(body, skipped)?),
            MessageType::Notice => Self::Notice(read(body, skipped)?),
            MessageType::Introduce => Self::Introduce(read(body, skipped)?),
            MessageType::Digests => Self::Digests(read(body, skipped)?),
            MessageType::FormationAsk => Self::FormationAsk(read(body, skipped)?),
            MessageType::FormationAnswer => Self::FormationAnswer(read(body, skipped)?),
            MessageType::FormationPrepare => Self::FormationPrepare(read(body, skipped)?),
        })
    }
}

/// Reads a whole body: outline, metadata, sections, and that nothing else is there but extensions, none of
/// which is known to any message so far.
fn read<B: Body>(body: Bytes, skipped: &mut u64) -> Result<B, WireError> {
    let parts = Parts::parse(body)?;
    let mut sections = parts.sections();
    let value = B::read(&parts, &mut sections)?;
    *skipped += sections.finish(|_, _| Ok(false))?;
    Ok(value)
}

impl Body for Echo {
    fn write<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError> {
        body::write(sink, header, &(), &[Section::Share(&self.payload)], &[])
    }

    fn read(parts: &Parts, sections: &mut body::Sections<'_>) -> Result<Self, WireError> {
        let () = parts.metadata()?;
        Ok(Self { payload: sections.bytes()? })
    }
}

/// Bodies that are nothing but metadata: the struct itself is what is encoded.
macro_rules! plain_bodies {
    ($( $name:ident ),+ $(,)?) => { $(
        impl Body for $name {
            fn write<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError> {
                body::write(sink, header, self, &[], &[])
            }

            fn read(parts: &Parts, _: &mut body::Sections<'_>) -> Result<Self, WireError> {
                parts.metadata()
            }
        }
    )+ };
}

plain_bodies!(
    KeepSession,
    SessionKept,
    KeepLease,
    LeaseKept,
    MembersChanged,
    Status,
    Stats,
    Examine,
    WatchStarted,
    WatchProgress,
    WatchCancel,
    WatchEnded,
    SaveSnapshot,
    Trace,
    PreVote,
    PreVoteReply,
    Vote,
    VoteReply,
    AppendAck,
    AppendReject,
    Heartbeat,
    HeartbeatAck,
    ReadIndex,
    ReadIndexReply,
    TimeoutNow,
    SnapshotAck,
    SnapshotReject,
    Notice
);

/// All sections that have not been taken yet, read by `one` each, if there are no more than `limit`. A section can be
/// empty, and what it becomes cannot: the limit is what keeps a short body from taking much memory.
fn at_most<'a, T>(
    parts: &Parts,
    sections: &mut body::Sections<'a>,
    limit: usize,
    mut one: impl FnMut(&mut body::Sections<'a>) -> Result<T, WireError>,
) -> Result<Vec<T>, WireError> {
    let count = usize::from(sections.left());
    if count > limit {
        return Err(parts.contradiction(format!("{count} sections repeat, where {limit} may")));
    }
    let mut all = Vec::with_capacity(count);
    while sections.left() > 0 {
        all.push(one(sections)?);
    }
    Ok(all)
}

/// The same limit on the way out.
fn few(what: &'static str, count: usize, limit: usize) -> Result<(), WireError> {
    match count {
        count if count > limit => {
            Err(WireError::Unencodable { what, count: count as u64, limit: limit as u64 })
        }
        _ => Ok(()),
    }
}

macro_rules! from_body {
    ($( $variant:ident ),+) => { $(
        impl From<$variant> for Message {
            fn from(body: $variant) -> Self {
                Self::$variant(body)
            }
        }
    )+ };
}

from_body!(
    ClientHello,
    PeerHello,
    ClientWelcome,
    PeerWelcome,
    Goodbye,
    Submit,
    Submitted,
    Read,
    ReadDone,
    Refused,
    KeepSession,
    SessionKept,
    Query,
    QueryDone,
    KeepLease,
    LeaseKept,
    ChangeMembers,
    MembersChanged,
    Watch,
    WatchStarted,
    WatchEvents,
    WatchProgress,
    WatchCancel,
    WatchEnded,
    SaveSnapshot,
    SnapshotPiece,
    Trace,
    TraceReply,
    Status,
    StatusReply,
    Stats,
    StatsReply,
    Examine,
    Examined,
    PreVote,
    PreVoteReply,
    Vote,
    VoteReply,
    Append,
    AppendAck,
    AppendReject,
    Heartbeat,
    HeartbeatAck,
    ReadIndex,
    ReadIndexReply,
    TimeoutNow,
    SnapshotChunk,
    SnapshotAck,
    SnapshotReject,
    Notice,
    Introduce,
    Digests,
    FormationAsk,
    FormationAnswer,
    FormationPrepare
);
