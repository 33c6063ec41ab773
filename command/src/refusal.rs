//! A refusal with its particulars: the code says what kind, two numbers say how much.

use holdfast_machine::Numbered;

use crate::code::Code;
use crate::layout::{DecodeError, Reader};
use crate::number::FeatureLevel;
use crate::request::SessionId;

/// Declares [`Refusal`], and how each of its variants becomes a code and two numbers, and back.
macro_rules! refusals {
    ( $( $( #[doc = $doc:literal] )+ #[error($($text:tt)+)] $name:ident $( { $( $field:ident: $kind:ty ),+ } )?, )+ ) => {
        /// Why a request was refused. [`code`](Self::code) says what it means and what it has done.
        ///
        /// Bytes: u16 code, u64, u64: the fields in order, 0 where there is none.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
        #[allow(missing_docs, reason = "the fields are named in the text of the variant")]
        pub enum Refusal {
            $( $( #[doc = $doc] )+ #[error($($text)+)] $name $( { $( $field: $kind ),+ } )?, )+
        }

        impl Refusal {
            /// Its code.
            #[must_use]
            pub fn code(&self) -> Code {
                match self { $( Self::$name $( { $( $field: _ ),+ } )? => Code::$name, )+ }
            }

            /// Its particulars, in the order of the fields, 0 where there is none.
            #[must_use]
            pub fn particulars(&self) -> [u64; 2] {
                match *self {
                    $( Self::$name $( { $( $field ),+ } )? => {
                        #[allow(unused_mut, reason = "not every refusal has particulars")]
                        let mut all = Vec2::default();
                        $( $( all.push($field.to_bits()); )+ )?
                        all.0
                    } )+
                }
            }

            /// The refusal of a code with these particulars; `None` if they do not fit it.
            #[must_use]
            pub fn from_parts(code: Code, particulars: [u64; 2]) -> Option<Self> {
                #[allow(unused_mut, unused_variables, reason = "not every refusal has particulars")]
                let mut rest = particulars.into_iter();
                let refusal = match code {
                    $( Code::$name => Self::$name $( { $( $field: <$kind as Bits>::from_bits(rest.next()?)? ),+ } )?, )+
                };
                rest.all(|left| left == 0).then_some(refusal)
            }
        }
    };
}

/// Two numbers, filled one after the other.
#[derive(Default)]
struct Vec2([u64; 2], usize);

impl Vec2 {
    fn push(&mut self, bits: u64) {
        if let Some(place) = self.0.get_mut(self.1) {
            *place = bits;
        }
        self.1 += 1;
    }
}

/// What fits into a u64.
trait Bits: Sized {
    fn to_bits(self) -> u64;
    fn from_bits(bits: u64) -> Option<Self>;
}

impl Bits for u64 {
    fn to_bits(self) -> u64 {
        self
    }
    fn from_bits(bits: u64) -> Option<Self> {
        Some(bits)
    }
}

impl Bits for i64 {
    fn to_bits(self) -> u64 {
        self.cast_unsigned()
    }
    fn from_bits(bits: u64) -> Option<Self> {
        Some(bits.cast_signed())
    }
}

impl Bits for u16 {
    fn to_bits(self) -> u64 {
        self.into()
    }
    fn from_bits(bits: u64) -> Option<Self> {
        bits.try_into().ok()
    }
}

impl Bits for FeatureLevel {
    fn to_bits(self) -> u64 {
        self.0.into()
    }
    fn from_bits(bits: u64) -> Option<Self> {
        bits.try_into().ok().map(Self)
    }
}

impl Bits for SessionId {
    fn to_bits(self) -> u64 {
        self.0
    }
    fn from_bits(bits: u64) -> Option<Self> {
        Some(Self(bits))
    }
}

refusals! {
    /// See [`Code::Malformed`].
    #[error("the request is malformed at byte {offset}")]
    Malformed { offset: u64 },
    /// See [`Code::UnknownCommand`].
    #[error("command {number} is unknown at feature level {}", level.0)]
    UnknownCommand { number: u16, level: FeatureLevel },
    /// See [`Code::UnsupportedFeature`].
    #[error("extension {tag} is not supported at feature level {}", level.0)]
    UnsupportedFeature { tag: u16, level: FeatureLevel },
    /// See [`Code::EmptyKey`].
    #[error("a key is empty")]
    EmptyKey,
    /// See [`Code::EmptySpan`].
    #[error("the end of a span is not above its start")]
    EmptySpan,
    /// See [`Code::DuplicateKey`].
    #[error("a transaction changes the same key twice")]
    DuplicateKey,
    /// See [`Code::Contradiction`].
    #[error("the request contradicts itself")]
    Contradiction,
    /// See [`Code::TooLate`].
    #[error("the cluster clock is at {clock} ms, and the request was not to be executed after {not_after} ms")]
    TooLate { clock: u64, not_after: u64 },
    /// See [`Code::BadContinuation`].
    #[error("the continuation belongs to another range")]
    BadContinuation,
    /// See [`Code::BadSequence`].
    #[error("sequence {sequence} with low {low}")]
    BadSequence { sequence: u64, low: u64 },
    /// See [`Code::NotForClients`].
    #[error("command {number} is sent by nodes only")]
    NotForClients { number: u16 },

    /// See [`Code::KeyTooLong`].
    #[error("a key of {bytes} bytes, where {limit} are allowed")]
    KeyTooLong { bytes: u64, limit: u64 },
    /// See [`Code::ValueTooLong`].
    #[error("a value of {bytes} bytes, where {limit} are allowed")]
    ValueTooLong { bytes: u64, limit: u64 },
    /// See [`Code::RequestTooLong`].
    #[error("a request of {bytes} bytes, where {limit} are allowed")]
    RequestTooLong { bytes: u64, limit: u64 },
    /// See [`Code::TooManyOperations`].
    #[error("a transaction of {operations} operations, where {limit} are allowed")]
    TooManyOperations { operations: u64, limit: u64 },
    /// See [`Code::ReasonTooLong`].
    #[error("a reason of {bytes} bytes, where {limit} are allowed")]
    ReasonTooLong { bytes: u64, limit: u64 },
    /// See [`Code::QuotaOfKeys`].
    #[error("the namespace would hold {keys} keys, where {quota} are allowed")]
    QuotaOfKeys { keys: u64, quota: u64 },
    /// See [`Code::QuotaOfBytes`].
    #[error("the namespace would hold {bytes} bytes, where {quota} are allowed")]
    QuotaOfBytes { bytes: u64, quota: u64 },
    /// See [`Code::TooManySessions`].
    #[error("there are {limit} sessions, and no more are allowed")]
    TooManySessions { limit: u64 },
    /// See [`Code::TooManyIdempotencyKeys`].
    #[error("{limit} idempotency keys are remembered, and no more are allowed")]
    TooManyIdempotencyKeys { limit: u64 },
    /// See [`Code::TooManyNamespaces`].
    #[error("there are {limit} namespaces, and no more are allowed")]
    TooManyNamespaces { limit: u64 },
    /// See [`Code::ReplyTooLong`].
    #[error("the answer would be longer than the {limit} bytes that are allowed")]
    ReplyTooLong { limit: u64 },
    /// See [`Code::DescriptionTooLong`].
    #[error("a text or list of length {bytes}, where {limit} are allowed")]
    DescriptionTooLong { bytes: u64, limit: u64 },

    /// See [`Code::TooManyVisits`].
    #[error("the command would look at more than the {limit} keys that are allowed")]
    TooManyVisits { limit: u64 },

    /// See [`Code::NotLeader`].
    #[error("this member is not the leader")]
    NotLeader,
    /// See [`Code::Overloaded`].
    #[error("as much is waiting as is taken on; ask again in {retry_after_ms} ms")]
    Overloaded { retry_after_ms: u64 },
    /// See [`Code::NoLeader`].
    #[error("no leader is known")]
    NoLeader,
    /// See [`Code::LeadershipLost`].
    #[error("leadership was lost while the request was under way")]
    LeadershipLost,
    /// See [`Code::TimedOut`].
    #[error("not decided in time")]
    TimedOut,
    /// See [`Code::PositionNotReached`].
    #[error("applied up to {applied}, and {asked} was asked for")]
    PositionNotReached { applied: u64, asked: u64 },
    /// See [`Code::OtherEpoch`].
    #[error("the position is of epoch {asked}, and the cluster is at {current}")]
    OtherEpoch { asked: u64, current: u64 },
    /// See [`Code::OtherGroup`].
    #[error("the position is of group {asked}")]
    OtherGroup { asked: u64 },
    /// See [`Code::TooStale`].
    #[error("up to {staleness_ms} ms old, where {bound_ms} ms are allowed")]
    TooStale { staleness_ms: u64, bound_ms: u64 },
    /// See [`Code::DiskFull`].
    #[error("the disk is full: {free} bytes are free, {needed} are needed")]
    DiskFull { free: u64, needed: u64 },
    /// See [`Code::Starting`].
    #[error("the member is starting")]
    Starting,
    /// See [`Code::Diverged`].
    #[error("the members differ in what they have applied up to entry {index}, and no majority agrees")]
    Diverged { index: u64 },
    /// See [`Code::AuditUnreadable`].
    #[error("the audit log of this member cannot be read")]
    AuditUnreadable,
    /// See [`Code::NoSnapshot`].
    #[error("this member does not have that snapshot")]
    NoSnapshot,
    /// See [`Code::SnapshotFailed`].
    #[error("this member could not write or read a snapshot")]
    SnapshotFailed,
    /// See [`Code::Stopping`].
    #[error("the member is stopping")]
    Stopping,

    /// See [`Code::KeyNotFound`].
    #[error("the key does not exist")]
    KeyNotFound,
    /// See [`Code::Compacted`].
    #[error("revision {asked} was compacted; the oldest is {oldest}")]
    Compacted { asked: u64, oldest: u64 },
    /// See [`Code::FutureRevision`].
    #[error("revision {asked} is not there yet; the current one is {current}")]
    FutureRevision { asked: u64, current: u64 },
    /// See [`Code::RevisionsExhausted`].
    #[error("no revision is left")]
    RevisionsExhausted,

    /// See [`Code::WrongRevision`].
    #[error("the key is at revision {revision}, and not at the one demanded")]
    WrongRevision { revision: u64 },
    /// See [`Code::UnknownSession`].
    #[error("session {session} is unknown")]
    UnknownSession { session: SessionId },
    /// See [`Code::StaleSequence`].
    #[error("sequence {sequence} is below {low}, the lowest that the client waits for")]
    StaleSequence { sequence: u64, low: u64 },
    /// See [`Code::WindowFull`].
    #[error("sequence {sequence} is above {highest}, the highest that the window of the session allows")]
    WindowFull { sequence: u64, highest: u64 },
    /// See [`Code::AppliedReplyDropped`].
    #[error("executed before, at log index {index}; the answer was not kept")]
    AppliedReplyDropped { index: u64 },
    /// See [`Code::IdempotencyMismatch`].
    #[error("the idempotency key was used for another request, at log index {index}")]
    IdempotencyMismatch { index: u64 },
    /// See [`Code::TtlOutOfRange`].
    #[error("a time to live of {ttl_ms} ms; the bound is {bound_ms} ms")]
    TtlOutOfRange { ttl_ms: u64, bound_ms: u64 },

    /// See [`Code::UnknownSetting`].
    #[error("there is no setting {number}")]
    UnknownSetting { number: u16 },
    /// See [`Code::SettingOutOfRange`].
    #[error("setting {number} cannot be {value}")]
    SettingOutOfRange { number: u16, value: u64 },
    /// See [`Code::LevelNotNext`].
    #[error("the feature level is {}, and {} is not the next", level.0, asked.0)]
    LevelNotNext { level: FeatureLevel, asked: FeatureLevel },
    /// See [`Code::UnknownNamespace`].
    #[error("there is no such namespace")]
    UnknownNamespace,
    /// See [`Code::BadNamespaceName`].
    #[error("no namespace can be called that")]
    BadNamespaceName,

    /// See [`Code::UnknownLease`].
    #[error("lease {lease} does not exist")]
    UnknownLease { lease: i64 },
    /// See [`Code::LeaseExists`].
    #[error("lease {lease} exists already")]
    LeaseExists { lease: i64 },
    /// See [`Code::LeaseTtlOutOfRange`].
    #[error("a lease of {ttl_ms} ms; the bound is {bound_ms} ms")]
    LeaseTtlOutOfRange { ttl_ms: u64, bound_ms: u64 },
    /// See [`Code::TooManyLeases`].
    #[error("there are {limit} leases, and no more are allowed")]
    TooManyLeases { limit: u64 },
    /// See [`Code::TooManyKeysOfLease`].
    #[error("{keys} keys would hang on the lease, where {limit} are allowed")]
    TooManyKeysOfLease { keys: u64, limit: u64 },
    /// See [`Code::BadLease`].
    #[error("no lease can have the number {lease}")]
    BadLease { lease: i64 },

    /// See [`Code::LockHeld`].
    #[error("the lock is held under token {token}")]
    LockHeld { token: u64 },
    /// See [`Code::NotInQueue`].
    #[error("lease {lease} has no place there")]
    NotInQueue { lease: i64 },
    /// See [`Code::TooManyPlaces`].
    #[error("{limit} places are taken, and no more are allowed")]
    TooManyPlaces { limit: u64 },
    /// See [`Code::BadName`].
    #[error("no lock or election can be called that")]
    BadName,
    /// See [`Code::TokensExhausted`].
    #[error("no fencing token is left")]
    TokensExhausted,

    /// See [`Code::NotElected`].
    #[error("not in office in term {asked}; the current term is {current}")]
    NotElected { asked: u64, current: u64 },
    /// See [`Code::ChangePending`].
    #[error("another change of members is under way")]
    ChangePending,
    /// See [`Code::WouldLoseQuorum`].
    #[error("too few members can be reached for a quorum of the new configuration")]
    WouldLoseQuorum,
    /// See [`Code::NodeIdUsed`].
    #[error("the number of node {node} was used before")]
    NodeIdUsed { node: u64 },
    /// See [`Code::DirectoryTaken`].
    #[error("the directory belongs to another member")]
    DirectoryTaken,
    /// See [`Code::UnknownMember`].
    #[error("node {node} is no member")]
    UnknownMember { node: u64 },
    /// See [`Code::WrongKindOfMember`].
    #[error("node {node} is not of the kind that this changes")]
    WrongKindOfMember { node: u64 },
    /// See [`Code::NotCaughtUp`].
    #[error("node {node} has not caught up yet")]
    NotCaughtUp { node: u64 },
    /// See [`Code::NoVoterLeft`].
    #[error("no voter would be left")]
    NoVoterLeft,
    /// See [`Code::TooManyMembers`].
    #[error("there would be too many members or voters")]
    TooManyMembers,
    /// See [`Code::NothingToChange`].
    #[error("nothing would change")]
    NothingToChange,
    /// See [`Code::NoTransferTarget`].
    #[error("node {node} cannot lead")]
    NoTransferTarget { node: u64 },
    /// See [`Code::TransferFailed`].
    #[error("node {node} did not take over in time")]
    TransferFailed { node: u64 },
    /// See [`Code::BadAddress`].
    #[error("the address of a member is HOST:PORT, with a port from 1 to 65535")]
    BadAddress,
    /// See [`Code::NoSuchRoute`].
    #[error("there is nothing under this path")]
    NoSuchRoute,
    /// See [`Code::MethodNotAllowed`].
    #[error("this method does nothing here")]
    MethodNotAllowed,
    /// See [`Code::BadParameter`].
    #[error("a parameter is not what it has to be")]
    BadParameter,
    /// See [`Code::BadBody`].
    #[error("the body is not what this path takes")]
    BadBody,
    /// See [`Code::BodyTooLong`].
    #[error("a request of {bytes} bytes, where {limit} are allowed")]
    BodyTooLong { bytes: u64, limit: u64 },
    /// See [`Code::BodyTooSlow`].
    #[error("the request did not come to its end in time")]
    BodyTooSlow,
    /// See [`Code::ForwardFailed`].
    #[error("node {node} gave no answer to the request that was forwarded to it")]
    ForwardFailed { node: u64 },
    /// See [`Code::ForeignOrigin`].
    #[error("a page of somebody else made this request")]
    ForeignOrigin,
}

impl Refusal {
    /// The bytes of one: code and particulars.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        use bytes::BufMut;
        out.put_u16_le(self.code().number());
        for bits in self.particulars() {
            out.put_u64_le(bits);
        }
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let number = reader.u16()?;
        let code = reader.known(Code::from_number(number), "code", number.into(), 2)?;
        let particulars = [reader.u64()?, reader.u64()?];
        reader.known(Self::from_parts(code, particulars), "refusal", number.into(), 18)
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        Self::Malformed { offset: error.offset }
    }
}
