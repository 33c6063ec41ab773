//! What clients ask, and what they are answered.
//!
//! A write travels as the bytes of a `Request` of `holdfast-command` and comes back as those of an
//! `Outcome`: this crate looks into neither. Numbers that a later build may add to stay
//! numbers here, so that what is unknown is refused by name and does not break the connection.

use bytes::Bytes;
use bytestring::ByteString;
use holdfast_machine::numbered;
use serde::{Deserialize, Serialize};

use super::{Body, LeaderHint, few};
use crate::body::{self, Parts};
use crate::message_type::{MEMBERS_MAX, STAGES_MAX, TEXT_CAP};
use crate::sink::{Section, Sink};
use crate::{ClusterEpoch, ClusterIdentity, Header, NodeId, NodeIdentity, NodeUuid, WireError};

/// A place in the history of a cluster: what a write returns, and what a read may ask to be behind. Clients hand it on as
/// opaque text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Which life of the cluster.
    pub epoch: ClusterEpoch,
    /// Which Raft group; 0 today.
    pub group: u32,
    /// The term of the entry.
    pub term: u64,
    /// Its index.
    pub index: u64,
}

numbered! {
    /// What a read may see.
    pub enum Consistency: u8, "Y" {
        /// Everything that was acknowledged before the read was sent. Any member answers; it asks the leader how far it
        /// has to have applied.
        Linearizable = 1,
        /// Everything up to the position in the request, and possibly more: reads one's own writes at any member, without
        /// a word to the leader.
        Follower = 2,
        /// What the member that is asked has, and how old that can be at most.
        Stale = 3,
    }
}

/// Executes a request: a write, or whatever else goes through the log.
///
/// Sections: request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submit {
    /// For how many milliseconds the caller waits; 0 for as long as the server lets anybody wait. When they are over, the answer is not waited for any
    /// more and the outcome is unknown to the caller.
    pub timeout_ms: u32,
    /// The bytes of a `Request` of `holdfast-command`.
    pub request: Bytes,
}

/// The answer to a [`Submit`] that went through the log.
///
/// Sections: outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// Where the request was executed: that of the first time, if it came twice.
    pub position: Position,
    /// The bytes of an `Outcome` of `holdfast-command`.
    pub outcome: Bytes,
}

/// Reads a range of keys.
///
/// Sections: range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Number of a [`Consistency`].
    pub consistency: u8,
    /// As in [`Submit::timeout_ms`].
    pub timeout_ms: u32,
    /// For a stale read, how many milliseconds the data may be old; 0 for any age.
    pub max_stale_ms: u64,
    /// What has to have been applied before the read; none for a linearizable read.
    pub min_position: Option<Position>,
    /// The bytes of a `Range` of `holdfast-command`.
    pub range: Bytes,
}

/// The answer to a [`Read`] that was executed.
///
/// Sections: outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadDone {
    /// What had been applied: a later read that asks for this position sees no less.
    pub position: Position,
    /// How many milliseconds old the data can be at most; 0 for a linearizable read.
    pub staleness_ms: u64,
    /// The bytes of an `Outcome` of `holdfast-command`: a page of the range, or why there is none.
    pub outcome: Bytes,
}

/// The answer to a call that this node did not take on, or gave up.
///
/// Sections: detail, leader.address if the leader is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Number of a `Code` of `holdfast-command`.
    pub code: u16,
    /// What this copy of the request has done. 1: it was not executed, and never will be; 2: unknown.
    pub effect: u8,
    /// After how many milliseconds it may be sent again; 0 if waiting does not help.
    pub retry_after_ms: u32,
    /// First particular of the code; 0 if it has none.
    pub first: u64,
    /// Second particular of the code; 0 if it has none.
    pub second: u64,
    /// Where to ask instead, if this node knows.
    pub leader: Option<LeaderHint>,
    /// For people; may be empty.
    pub detail: ByteString,
}

impl Refused {
    /// The request was not executed, and this copy never will be.
    pub const NOT_APPLIED: u8 = 1;
    /// Nobody can say yet whether it will have been executed.
    pub const UNKNOWN: u8 = 2;
}

/// Renews a session: says that its client is still there.
///
/// Sections: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepSession {
    /// As in [`Submit::timeout_ms`].
    pub timeout_ms: u32,
    /// Which session.
    pub session: u64,
}

/// The answer to a [`KeepSession`] that went through the log.
///
/// Sections: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionKept {
    /// Where it was renewed.
    pub position: Position,
    /// Whether it was: not if the cluster does not know it, or it was opened in another name.
    pub known: bool,
}

/// Asks for what is no key: a lease, a queue, history, settings.
///
/// Sections: query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Number of a [`Consistency`].
    pub consistency: u8,
    /// As in [`Submit::timeout_ms`]; also for a query that waits for news.
    pub timeout_ms: u32,
    /// As in [`Read::max_stale_ms`].
    pub max_stale_ms: u64,
    /// As in [`Read::min_position`].
    pub min_position: Option<Position>,
    /// The bytes of a `Query` of `holdfast-command`.
    pub query: Bytes,
}

/// The answer to a [`Query`] that was executed.
///
/// Sections: answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryDone {
    /// What had been applied, as in [`ReadDone::position`].
    pub position: Position,
    /// As in [`ReadDone::staleness_ms`].
    pub staleness_ms: u64,
    /// The bytes of an `Answer` of `holdfast-command`, or of why there is none.
    pub answer: Bytes,
}

/// Renews a lease: says that its holder is still there.
///
/// Sections: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepLease {
    /// As in [`Submit::timeout_ms`].
    pub timeout_ms: u32,
    /// Which lease.
    pub lease: i64,
}

/// The answer to a [`KeepLease`] that went through the log.
///
/// Sections: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseKept {
    /// Where it was renewed.
    pub position: Position,
    /// Whether it was: not if the cluster does not know it, or it was granted in another name.
    pub known: bool,
    /// For how many milliseconds of the cluster clock it lives from there on; 0 if it was not renewed.
    pub ttl_ms: u64,
}

numbered! {
    /// What can be changed about the members.
    pub enum MemberChange: u8, "G" {
        /// A new member that does not vote, and is sent the log.
        AddLearner = 1,
        /// A learner that has caught up becomes a voter.
        Promote = 2,
        /// A voter becomes a learner.
        Demote = 3,
        /// A member is removed, for ever.
        Remove = 4,
        /// A learner that has caught up becomes a voter, and another member is removed, in one step.
        Replace = 5,
        /// Another peer address for a member.
        Move = 6,
        /// Another voter becomes the leader. The configuration stays.
        Transfer = 7,
    }
}

/// Changes who is a member, or who leads.
///
/// Sections: peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeMembers {
    /// As in [`Submit::timeout_ms`].
    pub timeout_ms: u32,
    /// Number of a [`MemberChange`].
    pub change: u8,
    /// Whom it is about: who is added, promoted, moved, or is to lead.
    pub node: NodeId,
    /// With [`MemberChange::Replace`], who is removed.
    pub other: Option<NodeId>,
    /// With [`MemberChange::AddLearner`], the directory of the new member.
    pub uuid: Option<NodeUuid>,
    /// With [`MemberChange::AddLearner`], that it becomes a voter as soon as it has caught up.
    pub promote: bool,
    /// With [`MemberChange::AddLearner`] and [`MemberChange::Move`], where peers reach it; else empty.
    pub peer: ByteString,
}

/// The answer to a [`ChangeMembers`] that was carried out: the configuration that it led to is committed, or there is
/// another leader.
///
/// Sections: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembersChanged {
    /// What had been applied by then.
    pub position: Position,
    /// The index of the configuration in force.
    pub configuration: u64,
}

/// Asks how the node is.
///
/// Sections: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {}

/// How the node is, as it sees itself and the cluster.
///
/// Sections: build, members one each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusReply {
    /// Who answers.
    pub node: NodeIdentity,
    /// Its cluster; `None` before it is formed.
    pub cluster: Option<ClusterIdentity>,
    /// Number of its state in machine 14.
    pub life: u8,
    /// Number of its role in machine 02; 0 before it has one.
    pub role: u8,
    /// Number of its state in machine 15; 0 before it has one.
    pub leadership: u8,
    /// Whether it serves: it knows a leader whose own-term entry is committed, and has applied up to it.
    pub ready: bool,
    /// Its leader, if it knows one.
    pub leader: Option<NodeId>,
    /// Its term.
    pub term: u64,
    /// How far it knows the log to be committed.
    pub commit: u64,
    /// How far it has applied.
    pub applied: u64,
    /// How far its own log is durable.
    pub durable: u64,
    /// The last index of its log.
    pub last: u64,
    /// The revision of its store.
    pub revision: u64,
    /// The oldest revision that it can read.
    pub oldest: u64,
    /// How many keys it holds.
    pub keys: u64,
    /// How many client sessions there are.
    pub sessions: u64,
    /// The feature level of the cluster.
    pub level: u16,
    /// The cluster clock in milliseconds.
    pub clock_ms: u64,
    /// Version of the node, for people.
    pub build: ByteString,
    /// The members, at most [`MEMBERS_MAX`].
    pub members: Vec<MemberStatus>,
}

/// What a node knows of a member: itself among them. A body of its own.
///
/// Sections: peer, client, http.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    /// Which member.
    pub node: NodeId,
    /// Whether it votes.
    pub voter: bool,
    /// Whether this node has a connection to it, both lanes; true for itself.
    pub connected: bool,
    /// How far its log is known to equal the leader's; 0 if this node is not the leader.
    pub matched: u64,
    /// Its peer address, as the configuration has it.
    pub peer: ByteString,
    /// Its client address, as it told; empty if it has not.
    pub client: ByteString,
    /// Its HTTP address, as it told; empty if it has none, or has not.
    pub http: ByteString,
}

/// Asks what the node has measured since it started.
///
/// Sections: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {}

/// What the node has measured since it started.
///
/// Sections: turn_times, stages one each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsReply {
    /// Which process it is, so that what it costs can be measured from outside.
    pub process: u32,
    /// Turns of the node.
    pub turns: u64,
    /// Requests that were proposed.
    pub proposed: u64,
    /// Entries that were applied.
    pub applied: u64,
    /// Reads that were served.
    pub reads: u64,
    /// Calls that were refused.
    pub refused: u64,
    /// Syncs of the log.
    pub syncs: u64,
    /// Bytes written to the log.
    pub log_bytes: u64,
    /// Terms that this node has led.
    pub terms_led: u64,
    /// Snapshots that it has taken of its own state.
    pub snapshots_taken: u64,
    /// Snapshots of a leader that have taken the place of its state.
    pub snapshots_installed: u64,
    /// A histogram of microseconds in the same format: how long each turn took, from its begin to its end. Nobody is served by
    /// this node for longer than its longest.
    pub turn_times: Bytes,
    /// One histogram of microseconds for each of the nine stages, in the V2 format of `HdrHistogram`; at most
    /// [`STAGES_MAX`].
    pub stages: Vec<Bytes>,
}

#[derive(Serialize, Deserialize)]
struct SubmitMeta {
    timeout_ms: u32,
}

impl Body for Submit {
    fn write<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError> {
        let &Self { timeout_ms, ref request } = self;
        body::write(sink, header, &SubmitMeta { timeout_ms }, &[Section::Share(request)], &[])
    }

    fn read(parts: &Parts, sections: &mut body::Sections<'_>) -> Result<Self, WireError> {
        let SubmitMeta { timeout_ms } = parts.metadata()?;
        Ok(Self { timeout_ms, request: sections.bytes()? })
    }
}

#[derive(Serialize, Deserialize)]
struct SubmittedMeta {
    position: Position,
}

impl Body for Submitted {
    fn write<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError> {
        let &Self { position, ref outcome } = self;
        body::write(sink, header, &SubmittedMeta { position }, &[Section::Share(outcome)], &[])
    }

    fn read(parts: &Parts, sections: &mut body::Sections<'_>) -> Result<Self, WireError> {
        let SubmittedMeta { position } = parts.metadata()?;
        Ok(Self { position, outcome: sections.bytes()? })
    }
}

#[derive(Serialize, Deserialize)]
struct ReadMeta {
    consistency: u8,
    timeout_ms: u32,
    max_stale_ms: u64,
    min_position: Option<Position>,
}

impl Body for Read {
    fn write<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError> {
        let &Self { consistency, timeout_ms, max_stale_ms, min_position, ref range } = self;
        let metadata = ReadMeta { consistency, timeout_ms, max_stale_ms, min_position };
        body::write(sink, header, &metadata, &[Section::Share(range)], &[])
    }

    fn read(parts: &Parts, sections: &mut body::Sections<'_>) -> Result<Self, WireError> {
        let ReadMeta { consistency, timeout_ms, max_stale_ms, min_position } = parts.metadata()?;
        Ok(Self { consistency, timeout_ms, max_stale_ms, min_position, range: sections.bytes()? })
    }
}

#[derive(Serialize, Deserialize)]
struct ReadDoneMeta {
    position: Position,
    staleness_ms: u64,
}

impl Body for ReadDone {
    fn write<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError> {
        let &Self { position, staleness_ms, ref outcome } = self;
        body::write(sink, header, &ReadDoneMeta { position, staleness_ms }, &[Section::Share(outcome)], &[])
    }

    fn read(parts: &Parts, sections: &mut body::Sections<'_>) -> Result<Self, WireError> {
        let ReadDoneMeta { position, staleness_ms } = parts.metadata()?;
        Ok(Self { position, staleness_ms, outcome: sections.bytes()? })
    }
}

#[derive(Serialize, Deserialize)]
struct QueryMeta {
    consistency: u8,
    timeout_ms: u32,
    max_stale_ms: u64,
    min_position: Option<Position>,
}

impl Body for Query {
    fn write<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError> {
        let &Self { consistency, timeout_ms, max_stale_ms, min_position, ref query } = self;
        let metadata = QueryMeta { consistency, timeout_ms, max_stale_ms, min_position };
        body::write(sink, header, &metadata, &[Section::Share(query)], &[])
    }

    fn read(parts: &Parts, sections: &mut body::Sections<'_>) -> Result<Self, WireError> {
        let QueryMeta { consistency, timeout_ms, max_stale_ms, min_position } = parts.metadata()?;
        Ok(Self { consistency, timeout_ms, max_stale_ms, min_position, query: sections.bytes()? })
    }
}

#[derive(Serialize, Deserialize)]
struct QueryDoneMeta {
    position: Position,
    staleness_ms: u64,
}

impl Body for QueryDone {
    fn write<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError> {
        let &Self { position, staleness_ms, ref answer } = self;
        body::write(sink, header, &QueryDoneMeta { position, staleness_ms }, &[Section::Share(answer)], &[])
    }

    fn read(parts: &Parts, sections: &mut body::Sections<'_>) -> Result<Self, WireError> {
        let QueryDoneMeta { position, staleness_ms } = parts.metadata()?;
        Ok(Self { position, staleness_ms, answer: sections.bytes()? })
    }
}

#[derive(Serialize, Deserialize)]
struct ChangeMembersMeta {
    timeout_ms: u32,
    change: u8,
    node: NodeId,
    other: Option<NodeId>,
    uuid: Option<NodeUuid>,
    promote: bool,
}

impl Body for ChangeMembers {
    fn write<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError> {
        let &Self { timeout_ms, change, node, other, uuid, promote, ref peer } = self;
        let metadata = ChangeMembersMeta { timeout_ms, change, node, other, uuid, promote };
        body::write(sink, header, &metadata, &[Section::text(peer, TEXT_CAP)?], &[])
    }

    fn read(parts: &Parts, sections: &mut body::Sections<'_>) -> Result<Self, WireError> {
        let ChangeMembersMeta { timeout_ms, change, node, other, uuid, promote } = parts.metadata()?;
        Ok(Self { timeout_ms, change, node, other, uuid, promote, peer: sections.text(TEXT_CAP)? })
    }
}

#[derive(Serialize, Deserialize)]
struct RefusedMeta {
    code: u16,
    effect: u8,
    retry_after_ms: u32,
    first: u64,
    second: u64,
    leader: Option<NodeId>,
}

impl Body for Refused {
    fn write<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError> {
        let &Self { code, effect, retry_after_ms, first, second, ref leader, ref detail } = self;
        let known = leader.as_ref().map(|leader| leader.node_id);
        let metadata = RefusedMeta { code, effect, retry_after_ms, first, second, leader: known };
        let detail = Section::text(detail, TEXT_CAP)?;
        match leader {
            None => body::write(sink, header, &metadata, &[detail], &[]),
            Some(leader) => {
                let address = Section::text(&leader.address, TEXT_CAP)?;
                body::write(sink, header, &metadata, &[detail, address], &[])
            }
        }
    }

    fn read(parts: &Parts, sections: &mut body::Sections<'_>) -> Result<Self, WireError> {
        let RefusedMeta { code, effect, retry_after_ms, first, second, leader } = parts.metadata()?;
        let detail = sections.text(TEXT_CAP)?;
        let leader = match leader {
            None => None,
            Some(node_id) => Some(LeaderHint { node_id, address: sections.text(TEXT_CAP)? }),
        };
        Ok(Self { code, effect, retry_after_ms, first, second, leader, detail })
    }
}

#[derive(Serialize, Deserialize)]
struct StatusReplyMeta {
    node: NodeIdentity,
    cluster: Option<ClusterIdentity>,
    life: u8,
    role: u8,
    leadership: u8,
    ready: bool,
    leader: Option<NodeId>,
    term: u64,
    commit: u64,
    applied: u64,
    durable: u64,
    last: u64,
    revision: u64,
    oldest: u64,
    keys: u64,
    sessions: u64,
    level: u16,
    clock_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct MemberStatusMeta {
    node: NodeId,
    voter: bool,
    connected: bool,
    matched: u64,
}

impl MemberStatus {
    fn to_bytes(&self) -> Result<Bytes, WireError> {
        let &Self { node, voter, connected, matched, ref peer, ref client, ref http } = self;
        let metadata = MemberStatusMeta { node, voter, connected, matched };
        let addresses = [peer, client, http].map(|address| Section::text(address, TEXT_CAP));
        let [peer, client, http] = addresses;
        body::to_bytes(&metadata, &[peer?, client?, http?], &[])
    }

    /// The next section, which is a body of its own.
    fn read(outer: &mut body::Sections<'_>) -> Result<Self, WireError> {
        let parts = outer.nested()?;
        let MemberStatusMeta { node, voter, connected, matched } = parts.metadata()?;
        let mut sections = parts.sections();
        let (peer, client) = (sections.text(TEXT_CAP)?, sections.text(TEXT_CAP)?);
        let http = sections.text(TEXT_CAP)?;
        outer.skipped_inside(sections.finish(|_, _| Ok(false))?);
        Ok(Self { node, voter, connected, matched, peer, client, http })
    }
}

impl Body for StatusReply {
    fn write<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError> {
        let metadata = StatusReplyMeta {
            node: self.node,
            cluster: self.cluster,
            life: self.life,
            role: self.role,
            leadership: self.leadership,
            ready: self.ready,
            leader: self.leader,
            term: self.term,
            commit: self.commit,
            applied: self.applied,
            durable: self.durable,
            last: self.last,
            revision: self.revision,
            oldest: self.oldest,
            keys: self.keys,
            sessions: self.sessions,
            level: self.level,
            clock_ms: self.clock_ms,
        };
        few("members", self.members.len(), MEMBERS_MAX)?;
        let members = self.members.iter().map(MemberStatus::to_bytes).collect::<Result<Vec<_>, _>>()?;
        let mut sections = vec![Section::text(&self.build, TEXT_CAP)?];
        sections.extend(members.iter().map(Section::Share));
        body::write(sink, header, &metadata, &sections, &[])
    }

    fn read(parts: &Parts, sections: &mut body::Sections<'_>) -> Result<Self, WireError> {
        let meta: StatusReplyMeta = parts.metadata()?;
        let build = sections.text(TEXT_CAP)?;
        let members = super::at_most(parts, sections, MEMBERS_MAX, MemberStatus::read)?;
        Ok(Self {
            node: meta.node,
            cluster: meta.cluster,
            life: meta.life,
            role: meta.role,
            leadership: meta.leadership,
            ready: meta.ready,
            leader: meta.leader,
            term: meta.term,
            commit: meta.commit,
            applied: meta.applied,
            durable: meta.durable,
            last: meta.last,
            revision: meta.revision,
            oldest: meta.oldest,
            keys: meta.keys,
            sessions: meta.sessions,
            level: meta.level,
            clock_ms: meta.clock_ms,
            build,
            members,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct StatsReplyMeta {
    process: u32,
    turns: u64,
    proposed: u64,
    applied: u64,
    reads: u64,
    refused: u64,
    syncs: u64,
    log_bytes: u64,
    terms_led: u64,
    snapshots_taken: u64,
    snapshots_installed: u64,
}

impl Body for StatsReply {
    fn write<S: Sink>(&self, header: Header, sink: &mut S) -> Result<(), WireError> {
        let metadata = StatsReplyMeta {
            process: self.process,
            turns: self.turns,
            proposed: self.proposed,
            applied: self.applied,
            reads: self.reads,
            refused: self.refused,
            syncs: self.syncs,
            log_bytes: self.log_bytes,
            terms_led: self.terms_led,
            snapshots_taken: self.snapshots_taken,
            snapshots_installed: self.snapshots_installed,
        };
        few("stages", self.stages.len(), STAGES_MAX)?;
        let sections: Vec<Section<'_>> =
            [&self.turn_times].into_iter().chain(&self.stages).map(Section::Share).collect();
        body::write(sink, header, &metadata, &sections, &[])
    }

    fn read(parts: &Parts, sections: &mut body::Sections<'_>) -> Result<Self, WireError> {
        let meta: StatsReplyMeta = parts.metadata()?;
        let turn_times = sections.bytes()?;
        let stages = super::at_most(parts, sections, STAGES_MAX, body::Sections::bytes)?;
        Ok(Self {
            process: meta.process,
            turns: meta.turns,
            proposed: meta.proposed,
            applied: meta.applied,
            reads: meta.reads,
            refused: meta.refused,
            syncs: meta.syncs,
            log_bytes: meta.log_bytes,
            terms_led: meta.terms_led,
            snapshots_taken: meta.snapshots_taken,
            snapshots_installed: meta.snapshots_installed,
            turn_times,
            stages,
        })
    }
}
