//! Between the messages of consensus and the bodies of the wire.
//!
//! # Why
//! The core and the wire do not know each other, so that each can be read and tested alone. This is the one place where
//! their types meet: every field of one is a field of the other, and nothing is decided here. A message that is added
//! to either does not compile until it has its line.
//!
//! # Invariants
//! - What a peer sends never panics: what cannot be a message is a [`TranslateError`], and the connection ends with it.
//! - What was translated to the wire and back is the same.
//! - Ranges are judged by the core, which counts what it drops; here only what its types cannot hold is refused.

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use holdfast_raft as raft;
use holdfast_raft::Payload;
use holdfast_raft::formation::{BadList, Body, FormationMessage, IdentityState, Life, MemberList, Mint};
use holdfast_wire as wire;
use holdfast_wire::message::{self as body, Lane, PeerHeader};

use crate::storage::{PayloadError, decode_payload, encode_payload};

/// Why a message cannot be said on the wire, or what came is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TranslateError {
    /// A number that counts from 1 is 0: a mistake on this side.
    #[error("{0} is 0, and counts from 1")]
    Zero(&'static str),
    /// An entry is none.
    #[error("entry {at} of the append: {why}")]
    Entry {
        /// Which one, counted from 0.
        at: usize,
        /// What is wrong with it.
        #[source]
        why: PayloadError,
    },
    /// What stands in the place of a snapshot's configuration is none.
    #[error("the snapshot's configuration: {0}")]
    Configuration(#[source] PayloadError),
    /// It is an entry of another kind.
    #[error("the snapshot's configuration is an entry of another kind")]
    NoConfiguration,
    /// Two lists that go together are not equally long.
    #[error("{one} {what} for {other} {of}")]
    Lengths {
        /// What one list has.
        what: &'static str,
        /// How many.
        one: usize,
        /// What the other has.
        of: &'static str,
        /// How many.
        other: usize,
    },
    /// The ids of a list of members are not in ascending order.
    #[error("the ids of the members are not in ascending order")]
    Unsorted,
    /// A list of members, or the names for it, breaks a rule.
    #[error("a list of members: {0}")]
    List(#[source] BadList),
    /// The state of an identity is unknown, or goes with other fields than it came with.
    #[error("an identity of state {state} with {names}")]
    State {
        /// The number.
        state: u8,
        /// What came with it.
        names: &'static str,
    },
}

/// The body that says this, and the connection that it goes over: what may be large does not go before what must not
/// wait.
///
/// # Errors
/// [`TranslateError::Zero`], and [`TranslateError::Entry`] for a command without an envelope: mistakes of this node.
pub fn to_wire(envelope: &raft::Envelope) -> Result<(Lane, wire::Message), TranslateError> {
    let peer = header_to_wire(envelope)?;
    let control = |message: wire::Message| Ok((Lane::Control, message));
    match &envelope.message {
        raft::Message::PreVote { last } => control(body::PreVote { peer, last: id_to_wire(*last) }.into()),
        raft::Message::PreVoteReply { asked, granted } => {
            control(body::PreVoteReply { peer, asked: asked.0, granted: *granted }.into())
        }
        raft::Message::Vote { last, transfer } => {
            control(body::Vote { peer, last: id_to_wire(*last), transfer: *transfer }.into())
        }
        raft::Message::VoteReply { granted } => control(body::VoteReply { peer, granted: *granted }.into()),
        raft::Message::Append { prev, entries, commit, established, stretch } => {
            let encode = |(at, entry): (usize, &raft::Entry)| {
                encode_payload(&entry.payload).map_err(|why| TranslateError::Entry { at, why })
            };
            let append = body::Append {
                peer,
                prev: id_to_wire(*prev),
                commit: commit.0,
                established: *established,
                stretch: stretch.0,
                terms: entries.iter().map(|entry| entry.term.0).collect(),
                entries: entries.iter().enumerate().map(encode).collect::<Result<_, _>>()?,
            };
            Ok((Lane::Bulk, append.into()))
        }
        raft::Message::AppendAck { matched, stretch, counting } => control(
            body::AppendAck { peer, matched: matched.0, stretch: stretch.0, counting: *counting }.into(),
        ),
        raft::Message::AppendReject { prev, hint, stretch } => {
            let (prev, hint) = (id_to_wire(*prev), id_to_wire(*hint));
            control(body::AppendReject { peer, prev, hint, stretch: stretch.0 }.into())
        }
        raft::Message::Heartbeat { round, commit, established } => control(
            body::Heartbeat { peer, round: round.0, commit: commit.0, established: *established }.into(),
        ),
        raft::Message::HeartbeatAck { round, counting } => {
            control(body::HeartbeatAck { peer, round: round.0, counting: *counting }.into())
        }
        raft::Message::ReadIndex { batch } => control(body::ReadIndex { peer, batch: *batch }.into()),
        raft::Message::ReadIndexReply { batch, index } => {
            control(body::ReadIndexReply { peer, batch: *batch, index: index.map(|index| index.0) }.into())
        }
        raft::Message::TimeoutNow { last } => {
            control(body::TimeoutNow { peer, last: id_to_wire(*last) }.into())
        }
        raft::Message::SnapshotChunk { meta, offset, data } => {
            let raft::SnapshotMeta { last, configuration: (index, configuration), bytes } = meta;
            let configuration = encode_payload(&Payload::Configuration(Arc::clone(configuration)))
                .map_err(TranslateError::Configuration)?;
            let chunk = body::SnapshotChunk {
                peer,
                last: id_to_wire(*last),
                configuration_index: index.0,
                bytes: *bytes,
                offset: *offset,
                configuration,
                data: data.clone(),
            };
            Ok((Lane::Bulk, chunk.into()))
        }
        raft::Message::SnapshotAck { last, offset } => {
            control(body::SnapshotAck { peer, last: id_to_wire(*last), offset: *offset }.into())
        }
        raft::Message::SnapshotReject { last } => {
            control(body::SnapshotReject { peer, last: id_to_wire(*last) }.into())
        }
        raft::Message::Notice => control(body::Notice { peer }.into()),
    }
}

/// What a body of the wire says to the core; `None` if it is not of consensus.
///
/// # Errors
/// [`TranslateError`]: the peer says what no build says.
pub fn from_wire(message: wire::Message) -> Result<Option<raft::Envelope>, TranslateError> {
    let (peer, message) = match message {
        wire::Message::PreVote(body::PreVote { peer, last }) => {
            (peer, raft::Message::PreVote { last: id_from_wire(last) })
        }
        wire::Message::PreVoteReply(body::PreVoteReply { peer, asked, granted }) => {
            (peer, raft::Message::PreVoteReply { asked: raft::Term(asked), granted })
        }
        wire::Message::Vote(body::Vote { peer, last, transfer }) => {
            (peer, raft::Message::Vote { last: id_from_wire(last), transfer })
        }
        wire::Message::VoteReply(body::VoteReply { peer, granted }) => {
            (peer, raft::Message::VoteReply { granted })
        }
        wire::Message::Append(append) => append_from_wire(append)?,
        wire::Message::AppendAck(body::AppendAck { peer, matched, stretch, counting }) => {
            let (matched, stretch) = (raft::Index(matched), raft::Stretch(stretch));
            (peer, raft::Message::AppendAck { matched, stretch, counting })
        }
        wire::Message::AppendReject(body::AppendReject { peer, prev, hint, stretch }) => {
            let (prev, hint, stretch) = (id_from_wire(prev), id_from_wire(hint), raft::Stretch(stretch));
            (peer, raft::Message::AppendReject { prev, hint, stretch })
        }
        wire::Message::Heartbeat(body::Heartbeat { peer, round, commit, established }) => {
            let (round, commit) = (raft::Round(round), raft::Index(commit));
            (peer, raft::Message::Heartbeat { round, commit, established })
        }
        wire::Message::HeartbeatAck(body::HeartbeatAck { peer, round, counting }) => {
            (peer, raft::Message::HeartbeatAck { round: raft::Round(round), counting })
        }
        wire::Message::ReadIndex(body::ReadIndex { peer, batch }) => {
            (peer, raft::Message::ReadIndex { batch })
        }
        wire::Message::ReadIndexReply(body::ReadIndexReply { peer, batch, index }) => {
            (peer, raft::Message::ReadIndexReply { batch, index: index.map(raft::Index) })
        }
        wire::Message::TimeoutNow(body::TimeoutNow { peer, last }) => {
            (peer, raft::Message::TimeoutNow { last: id_from_wire(last) })
        }
        wire::Message::SnapshotChunk(chunk) => chunk_from_wire(chunk)?,
        wire::Message::SnapshotAck(body::SnapshotAck { peer, last, offset }) => {
            (peer, raft::Message::SnapshotAck { last: id_from_wire(last), offset })
        }
        wire::Message::SnapshotReject(body::SnapshotReject { peer, last }) => {
            (peer, raft::Message::SnapshotReject { last: id_from_wire(last) })
        }
        wire::Message::Notice(body::Notice { peer }) => (peer, raft::Message::Notice),
        wire::Message::ClientHello(_)
        | wire::Message::PeerHello(_)
        | wire::Message::ClientWelcome(_)
        | wire::Message::PeerWelcome(_)
        | wire::Message::Goodbye(_)
        | wire::Message::Ping(_)
        | wire::Message::Pong(_)
        | wire::Message::Submit(_)
        | wire::Message::Submitted(_)
        | wire::Message::Read(_)
        | wire::Message::ReadDone(_)
        | wire::Message::Refused(_)
        | wire::Message::Status(_)
        | wire::Message::StatusReply(_)
        | wire::Message::Stats(_)
        | wire::Message::StatsReply(_)
        | wire::Message::Trace(_)
        | wire::Message::TraceReply(_)
        | wire::Message::Examine(_)
        | wire::Message::Examined(_)
        | wire::Message::KeepSession(_)
        | wire::Message::SessionKept(_)
        | wire::Message::Query(_)
        | wire::Message::QueryDone(_)
        | wire::Message::KeepLease(_)
        | wire::Message::LeaseKept(_)
        | wire::Message::ChangeMembers(_)
        | wire::Message::MembersChanged(_)
        | wire::Message::Watch(_)
        | wire::Message::WatchStarted(_)
        | wire::Message::WatchEvents(_)
        | wire::Message::WatchProgress(_)
        | wire::Message::WatchCancel(_)
        | wire::Message::WatchEnded(_)
        | wire::Message::SaveSnapshot(_)
        | wire::Message::SnapshotPiece(_)
        | wire::Message::Introduce(_)
        | wire::Message::Digests(_)
        | wire::Message::FormationAsk(_)
        | wire::Message::FormationAnswer(_)
        | wire::Message::FormationPrepare(_) => return Ok(None),
    };
    let PeerHeader { cluster, from, from_boot, to, to_boot, term } = peer;
    Ok(Some(raft::Envelope {
        cluster: raft::ClusterId(cluster.id.0),
        epoch: raft::ClusterEpoch(cluster.epoch.get()),
        from: raft::NodeId(from.get()),
        from_boot: raft::Boot(from_boot.get()),
        to: raft::NodeId(to.get()),
        to_boot: to_boot.map(|boot| raft::Boot(boot.get())),
        term: raft::Term(term),
        message,
    }))
}

fn append_from_wire(append: body::Append) -> Result<(PeerHeader, raft::Message), TranslateError> {
    let body::Append { peer, prev, commit, established, stretch, terms, entries } = append;
    same_length(("terms", terms.len()), ("entries", entries.len()))?;
    let decode = |(at, (term, bytes))| match decode_payload(bytes) {
        Ok(payload) => Ok(raft::Entry { term: raft::Term(term), payload }),
        Err(why) => Err(TranslateError::Entry { at, why }),
    };
    let message = raft::Message::Append {
        prev: id_from_wire(prev),
        entries: terms.into_iter().zip(entries).enumerate().map(decode).collect::<Result<_, _>>()?,
        commit: raft::Index(commit),
        established,
        stretch: raft::Stretch(stretch),
    };
    Ok((peer, message))
}

fn chunk_from_wire(chunk: body::SnapshotChunk) -> Result<(PeerHeader, raft::Message), TranslateError> {
    let body::SnapshotChunk { peer, last, configuration_index, bytes, offset, configuration, data } = chunk;
    let configuration = match decode_payload(configuration).map_err(TranslateError::Configuration)? {
        Payload::Configuration(configuration) => configuration,
        Payload::Empty | Payload::Data(_) => return Err(TranslateError::NoConfiguration),
    };
    let configuration = (raft::Index(configuration_index), configuration);
    let meta = raft::SnapshotMeta { last: id_from_wire(last), configuration, bytes };
    Ok((peer, raft::Message::SnapshotChunk { meta, offset, data }))
}

/// What a formation says, with the name that the operator gave to the cluster.
///
/// # Errors
/// [`TranslateError::Zero`]: a mistake of this node.
pub fn formation_to_wire(
    name: &ByteString,
    message: &FormationMessage,
) -> Result<wire::Message, TranslateError> {
    let FormationMessage { from, life, to, list, body } = message;
    let (from, to, life, name) =
        (node_to_wire(*from)?, node_to_wire(*to)?, life_to_wire(*life), name.clone());
    let (ids, addresses) = list.members().iter().map(|(id, address)| (id.0, address.clone())).unzip();
    let uuids_of = |mint: &Mint| mint.uuids().iter().map(|uuid| wire::NodeUuid(uuid.0)).collect();
    Ok(match body {
        Body::Ask => body::FormationAsk { from, life, to, name, ids, addresses }.into(),
        Body::Answer { to_life, identity } => {
            let state = match identity {
                IdentityState::Blank => 0,
                IdentityState::Minted(_) => 1,
                IdentityState::Prepared(_) => 2,
                IdentityState::Formed(_) => 3,
            };
            let to_life = life_to_wire(*to_life);
            let mint = identity.mint();
            let cluster = mint.map(|mint| wire::ClusterId(mint.cluster().0));
            let uuids = mint.map(uuids_of).unwrap_or_default();
            body::FormationAnswer { from, life, to, to_life, state, cluster, name, ids, uuids, addresses }
                .into()
        }
        Body::Prepare { to_life, mint } => {
            let (to_life, uuids) = (life_to_wire(*to_life), uuids_of(mint));
            let cluster = wire::ClusterId(mint.cluster().0);
            body::FormationPrepare { from, life, to, to_life, cluster, name, ids, uuids, addresses }.into()
        }
    })
}

/// What a body of the wire says to a formation, and the name that the sender's operator gave to the cluster; `None` if
/// it is not of a formation.
///
/// # Errors
/// [`TranslateError`]: the peer says what no build says.
pub fn formation_from_wire(
    message: wire::Message,
) -> Result<Option<(ByteString, FormationMessage)>, TranslateError> {
    let (from, life, to, name, list, body) = match message {
        wire::Message::FormationAsk(body::FormationAsk { from, life, to, name, ids, addresses }) => {
            (from, life, to, name, list_from_wire(&ids, addresses)?, Body::Ask)
        }
        wire::Message::FormationAnswer(answer) => {
            let body::FormationAnswer {
                from,
                life,
                to,
                to_life,
                state,
                cluster,
                name,
                ids,
                uuids,
                addresses,
            } = answer;
            let list = list_from_wire(&ids, addresses)?;
            let identity = match (state, cluster, uuids.is_empty()) {
                (0, None, true) => IdentityState::Blank,
                (1..=3, Some(cluster), _) => {
                    let mint = mint_from_wire(cluster, &list, &uuids)?;
                    match state {
                        1 => IdentityState::Minted(mint),
                        2 => IdentityState::Prepared(mint),
                        _ => IdentityState::Formed(mint),
                    }
                }
                (_, Some(_), _) => return Err(TranslateError::State { state, names: "names" }),
                (_, None, _) => return Err(TranslateError::State { state, names: "no cluster" }),
            };
            (from, life, to, name, list, Body::Answer { to_life: life_from_wire(to_life), identity })
        }
        wire::Message::FormationPrepare(prepare) => {
            let body::FormationPrepare { from, life, to, to_life, cluster, name, ids, uuids, addresses } =
                prepare;
            let list = list_from_wire(&ids, addresses)?;
            let mint = mint_from_wire(cluster, &list, &uuids)?;
            (from, life, to, name, list, Body::Prepare { to_life: life_from_wire(to_life), mint })
        }
        wire::Message::ClientHello(_)
        | wire::Message::PeerHello(_)
        | wire::Message::ClientWelcome(_)
        | wire::Message::PeerWelcome(_)
        | wire::Message::Goodbye(_)
        | wire::Message::Ping(_)
        | wire::Message::Pong(_)
        | wire::Message::Submit(_)
        | wire::Message::Submitted(_)
        | wire::Message::Read(_)
        | wire::Message::ReadDone(_)
        | wire::Message::Refused(_)
        | wire::Message::Status(_)
        | wire::Message::StatusReply(_)
        | wire::Message::Stats(_)
        | wire::Message::StatsReply(_)
        | wire::Message::Trace(_)
        | wire::Message::TraceReply(_)
        | wire::Message::Examine(_)
        | wire::Message::Examined(_)
        | wire::Message::KeepSession(_)
        | wire::Message::SessionKept(_)
        | wire::Message::Query(_)
        | wire::Message::QueryDone(_)
        | wire::Message::KeepLease(_)
        | wire::Message::LeaseKept(_)
        | wire::Message::ChangeMembers(_)
        | wire::Message::MembersChanged(_)
        | wire::Message::Watch(_)
        | wire::Message::WatchStarted(_)
        | wire::Message::WatchEvents(_)
        | wire::Message::WatchProgress(_)
        | wire::Message::WatchCancel(_)
        | wire::Message::WatchEnded(_)
        | wire::Message::SaveSnapshot(_)
        | wire::Message::SnapshotPiece(_)
        | wire::Message::PreVote(_)
        | wire::Message::PreVoteReply(_)
        | wire::Message::Vote(_)
        | wire::Message::VoteReply(_)
        | wire::Message::Append(_)
        | wire::Message::AppendAck(_)
        | wire::Message::AppendReject(_)
        | wire::Message::Heartbeat(_)
        | wire::Message::HeartbeatAck(_)
        | wire::Message::ReadIndex(_)
        | wire::Message::ReadIndexReply(_)
        | wire::Message::TimeoutNow(_)
        | wire::Message::SnapshotChunk(_)
        | wire::Message::SnapshotAck(_)
        | wire::Message::SnapshotReject(_)
        | wire::Message::Notice(_)
        | wire::Message::Introduce(_)
        | wire::Message::Digests(_) => return Ok(None),
    };
    let (from, to) = (raft::NodeId(from.get()), raft::NodeId(to.get()));
    Ok(Some((name, FormationMessage { from, life: life_from_wire(life), to, list, body })))
}

fn header_to_wire(envelope: &raft::Envelope) -> Result<PeerHeader, TranslateError> {
    let raft::Envelope { cluster, epoch, from, from_boot, to, to_boot, term, message: _ } = envelope;
    let epoch = wire::ClusterEpoch::new(epoch.0).ok_or(TranslateError::Zero("the epoch of the cluster"))?;
    let boot = |boot: &raft::Boot| wire::Boot::new(boot.0).ok_or(TranslateError::Zero("a boot"));
    Ok(PeerHeader {
        cluster: wire::ClusterIdentity { id: wire::ClusterId(cluster.0), epoch },
        from: node_to_wire(*from)?,
        from_boot: boot(from_boot)?,
        to: node_to_wire(*to)?,
        to_boot: to_boot.as_ref().map(boot).transpose()?,
        term: term.0,
    })
}

fn node_to_wire(node: raft::NodeId) -> Result<wire::NodeId, TranslateError> {
    wire::NodeId::new(node.0).ok_or(TranslateError::Zero("a node id"))
}

fn id_to_wire(id: raft::EntryId) -> body::EntryId {
    body::EntryId { term: id.term.0, index: id.index.0 }
}

fn id_from_wire(id: body::EntryId) -> raft::EntryId {
    raft::EntryId::new(id.term, id.index)
}

fn life_to_wire(life: Life) -> wire::Life {
    wire::Life(life.0.to_be_bytes())
}

fn life_from_wire(life: wire::Life) -> Life {
    Life(u128::from_be_bytes(life.0))
}

fn same_length(one: (&'static str, usize), other: (&'static str, usize)) -> Result<(), TranslateError> {
    let ((what, one), (of, other)) = (one, other);
    if one == other { Ok(()) } else { Err(TranslateError::Lengths { what, one, of, other }) }
}

fn list_from_wire(ids: &[u64], addresses: Vec<Bytes>) -> Result<MemberList, TranslateError> {
    same_length(("ids", ids.len()), ("addresses", addresses.len()))?;
    // The uuids come in the order of the ids, and those of a list are sorted.
    if !ids.is_sorted() {
        return Err(TranslateError::Unsorted);
    }
    let members = ids.iter().copied().map(raft::NodeId).zip(addresses);
    MemberList::new(members).map_err(TranslateError::List)
}

fn mint_from_wire(
    cluster: wire::ClusterId,
    list: &MemberList,
    uuids: &[wire::NodeUuid],
) -> Result<Mint, TranslateError> {
    let uuids = uuids.iter().map(|uuid| raft::NodeUuid(uuid.0));
    Mint::new(raft::ClusterId(cluster.0), list.clone(), uuids).map_err(TranslateError::List)
}
