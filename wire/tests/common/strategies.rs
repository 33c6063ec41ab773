//! Generated messages of the calls of clients, of consensus and of formation.

use bytes::Bytes;
use holdfast_wire::message::{
    Append, AppendAck, AppendReject, ChangeMembers, Digests, EntryId, Examine, Examined, Figure,
    FormationAnswer, FormationAsk, FormationPrepare, Heartbeat, HeartbeatAck, Introduce, KeepLease,
    KeepSession, LeaderHint, LeaseKept, MemberStatus, MembersChanged, Notice, PeerHeader, Position, PreVote,
    PreVoteReply, Query, QueryDone, Read, ReadDone, ReadIndex, ReadIndexReply, Refused, SaveSnapshot,
    SessionKept, SnapshotAck, SnapshotChunk, SnapshotPiece, SnapshotReject, Stats, StatsReply, Status,
    StatusReply, Submit, Submitted, TimeoutNow, Trace, TraceReply, TracedBatch, Vote, VoteReply, Watch,
    WatchCancel, WatchEnded, WatchEvents, WatchProgress, WatchStarted,
};
use holdfast_wire::outbox::SHARE_BYTES;
use holdfast_wire::{Boot, ClusterEpoch, ClusterId, ClusterIdentity, Life, Message, NodeId, NodeUuid};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{identity, node};

pub(crate) fn cluster() -> impl Strategy<Value = ClusterIdentity> {
    (any::<[u8; 16]>(), 1..u64::MAX).prop_map(|(id, epoch)| ClusterIdentity {
        id: ClusterId(id),
        epoch: ClusterEpoch::new(epoch).unwrap(),
    })
}

pub(crate) fn blob(most: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..most).prop_map(Bytes::from)
}

fn id() -> impl Strategy<Value = NodeId> {
    (1..u64::MAX).prop_map(node)
}

fn position() -> impl Strategy<Value = Position> {
    (cluster(), any::<u32>(), any::<[u64; 2]>()).prop_map(|(cluster, group, [term, index])| Position {
        epoch: cluster.epoch,
        group,
        term,
        index,
    })
}

fn member() -> impl Strategy<Value = MemberStatus> {
    (id(), any::<[bool; 2]>(), any::<u64>(), ".{0,40}", ".{0,40}", ".{0,40}").prop_map(
        |(node, [voter, connected], matched, peer, client, http)| MemberStatus {
            node,
            voter,
            connected,
            matched,
            peer: peer.into(),
            client: client.into(),
            http: http.into(),
        },
    )
}

fn status_reply() -> impl Strategy<Value = StatusReply> {
    let node = (1..u64::MAX, any::<[u8; 16]>(), 1..u64::MAX);
    let numbers = (any::<[u8; 3]>(), any::<bool>(), any::<[u64; 10]>(), any::<u16>());
    (node, option::of(cluster()), option::of(id()), numbers, ".{0,40}", vec(member(), 0..5)).prop_map(
        |((id, uuid, boot), cluster, leader, (states, ready, counts, level), build, members)| {
            let [life, role, leadership] = states;
            let [term, commit, applied, durable, last, revision, oldest, keys, sessions, clock_ms] = counts;
            StatusReply {
                node: identity(id, uuid, boot),
                cluster,
                life,
                role,
                leadership,
                ready,
                leader,
                term,
                commit,
                applied,
                durable,
                last,
                revision,
                oldest,
                keys,
                sessions,
                level,
                clock_ms,
                build: build.into(),
                members,
            }
        },
    )
}

fn call() -> impl Strategy<Value = Message> {
    let submit = (any::<u32>(), blob(2 * SHARE_BYTES))
        .prop_map(|(timeout_ms, request)| Submit { timeout_ms, request }.into());
    let submitted = (position(), blob(2 * SHARE_BYTES))
        .prop_map(|(position, outcome)| Submitted { position, outcome }.into());
    let read = (any::<u8>(), any::<u32>(), any::<u64>(), option::of(position()), blob(300)).prop_map(
        |(consistency, timeout_ms, max_stale_ms, min_position, range)| {
            Read { consistency, timeout_ms, max_stale_ms, min_position, range }.into()
        },
    );
    let read_done = (position(), any::<u64>(), blob(300))
        .prop_map(|(position, staleness_ms, outcome)| ReadDone { position, staleness_ms, outcome }.into());
    let query = (any::<u8>(), any::<u32>(), any::<u64>(), option::of(position()), blob(300)).prop_map(
        |(consistency, timeout_ms, max_stale_ms, min_position, query)| {
            Query { consistency, timeout_ms, max_stale_ms, min_position, query }.into()
        },
    );
    let query_done = (position(), any::<u64>(), blob(300))
        .prop_map(|(position, staleness_ms, answer)| QueryDone { position, staleness_ms, answer }.into());
    let change =
        (any::<u8>(), id(), option::of(id()), option::of(any::<[u8; 16]>()), any::<bool>(), ".{0,60}")
            .prop_map(|(change, node, other, uuid, promote, peer)| {
                let (timeout_ms, uuid) = (7, uuid.map(NodeUuid));
                ChangeMembers { timeout_ms, change, node, other, uuid, promote, peer: peer.into() }.into()
            });
    let leader = option::of((id(), ".{0,60}"));
    let refused = (any::<u16>(), any::<u8>(), any::<u32>(), any::<[u64; 2]>(), leader, ".{0,60}").prop_map(
        |(code, effect, retry_after_ms, [first, second], leader, detail)| {
            let leader = leader.map(|(node_id, address)| LeaderHint { node_id, address: address.into() });
            Refused { code, effect, retry_after_ms, first, second, leader, detail: detail.into() }.into()
        },
    );
    let stats_reply = (any::<u32>(), any::<[u64; 10]>(), blob(100), vec(blob(100), 0..10)).prop_map(
        |(process, counts, turn_times, stages)| {
            let [
                turns,
                proposed,
                applied,
                reads,
                refused,
                syncs,
                log_bytes,
                terms_led,
                snapshots_taken,
                snapshots_installed,
            ] = counts;
            StatsReply {
                process,
                turns,
                proposed,
                applied,
                reads,
                refused,
                syncs,
                log_bytes,
                terms_led,
                snapshots_taken,
                snapshots_installed,
                turn_times,
                stages,
            }
            .into()
        },
    );
    let entry = any::<[u64; 2]>().prop_map(|[term, index]| EntryId { term, index });
    let save = (option::of(entry), any::<u64>(), any::<bool>(), option::of(position())).prop_map(
        |(last, offset, newest, min_position)| SaveSnapshot { last, offset, newest, min_position }.into(),
    );
    let piece =
        (any::<[u64; 4]>(), blob(2 * SHARE_BYTES)).prop_map(|([term, index, bytes, offset], data)| {
            SnapshotPiece { last: EntryId { term, index }, bytes, offset, data }.into()
        });
    let acks = vec((1..=u64::MAX, any::<u64>()), 0..5);
    let batch = (any::<[u64; 5]>(), any::<(u32, u8)>(), any::<[Option<u64>; 9]>(), acks).prop_map(
        |([first, last, term, age, took], (writes, end), stages, acks)| {
            // The highest number is what stands for none.
            let stages = stages.map(|stage| stage.filter(|took| *took < u64::MAX));
            let acks = acks.into_iter().filter_map(|(id, after)| Some((NodeId::new(id)?, after))).collect();
            TracedBatch { first, last, term, writes, end, age, took, stages, acks }
        },
    );
    let trace_reply = (any::<[u64; 2]>(), vec(batch, 0..4))
        .prop_map(|([slow_from, known], batches)| TraceReply { slow_from, known, batches }.into());
    let examined = (any::<u64>(), vec(any::<[u64; 2]>(), 0..10), vec(".{0,20}", 0..4)).prop_map(
        |(boot, figures, words)| {
            let figures = figures.into_iter().map(|[about, value]| (Figure::RoundTrips, about, value));
            let words = words.iter().map(|word| (Figure::FileSystem, &**word));
            Examined::new(identity(1, [1; 16], boot | 1), figures, words).into()
        },
    );
    prop_oneof![
        save,
        Just(Examine {}.into()),
        examined,
        piece,
        any::<u64>().prop_map(|index| Trace { index }.into()),
        trace_reply,
        submit,
        submitted,
        read,
        read_done,
        refused,
        Just(Status {}.into()),
        status_reply().prop_map(Message::from),
        Just(Stats {}.into()),
        stats_reply,
        (any::<u32>(), any::<u64>())
            .prop_map(|(timeout_ms, session)| KeepSession { timeout_ms, session }.into()),
        (position(), any::<bool>()).prop_map(|(position, known)| SessionKept { position, known }.into()),
        query,
        query_done,
        (any::<u32>(), any::<i64>()).prop_map(|(timeout_ms, lease)| KeepLease { timeout_ms, lease }.into()),
        (position(), any::<bool>(), any::<u64>()).prop_map(|(position, known, ttl_ms)| LeaseKept {
            position,
            known,
            ttl_ms
        }
        .into()),
        change,
        (position(), any::<u64>()).prop_map(|(position, configuration)| MembersChanged {
            position,
            configuration
        }
        .into()),
        (any::<u64>(), any::<u8>(), option::of(position()), blob(300))
            .prop_map(|(from, flags, min_position, span)| Watch { from, flags, min_position, span }.into()),
        any::<(u64, u64)>().prop_map(|(from, revision)| WatchStarted { from, revision }.into()),
        (any::<bool>(), any::<bool>(), vec(blob(2 * SHARE_BYTES), 0..4))
            .prop_map(|(continues, more, events)| WatchEvents { continues, more, events }.into()),
        any::<u64>().prop_map(|revision| WatchProgress { revision }.into()),
        Just(WatchCancel {}.into()),
        any::<(u16, u64, u64)>()
            .prop_map(|(code, resume, oldest)| WatchEnded { code, resume, oldest }.into()),
    ]
}

fn peer_header() -> impl Strategy<Value = PeerHeader> {
    (cluster(), id(), 1..u64::MAX, id(), option::of(1..u64::MAX), any::<u64>()).prop_map(
        |(cluster, from, from_boot, to, to_boot, term)| PeerHeader {
            cluster,
            from,
            from_boot: Boot::new(from_boot).unwrap(),
            to,
            to_boot: to_boot.and_then(Boot::new),
            term,
        },
    )
}

fn entry_id() -> impl Strategy<Value = EntryId> {
    any::<[u64; 2]>().prop_map(|[term, index]| EntryId { term, index })
}

fn peer() -> impl Strategy<Value = Message> {
    let fields = (peer_header(), [entry_id(), entry_id()], any::<[u64; 3]>(), any::<bool>());
    let fixed = (fields, 0..14_u8).prop_map(|((peer, [last, other], [a, b, c], flag), kind)| match kind {
        0 => PreVote { peer, last }.into(),
        1 => PreVoteReply { peer, asked: a, granted: flag }.into(),
        2 => Vote { peer, last, transfer: flag }.into(),
        3 => VoteReply { peer, granted: flag }.into(),
        4 => AppendAck { peer, matched: a, stretch: b, counting: flag }.into(),
        5 => AppendReject { peer, prev: last, hint: other, stretch: c }.into(),
        6 => Heartbeat { peer, round: a, commit: b, established: flag }.into(),
        7 => HeartbeatAck { peer, round: a, counting: flag }.into(),
        8 => ReadIndex { peer, batch: a }.into(),
        9 => ReadIndexReply { peer, batch: a, index: flag.then_some(b) }.into(),
        10 => TimeoutNow { peer, last }.into(),
        11 => SnapshotAck { peer, last, offset: a }.into(),
        12 => SnapshotReject { peer, last }.into(),
        _ => Notice { peer }.into(),
    });
    let entries = vec((any::<u64>(), prop_oneof![8 => blob(40), 1 => blob(2 * SHARE_BYTES)]), 0..20);
    let append = (peer_header(), entry_id(), any::<[u64; 2]>(), any::<bool>(), entries).prop_map(
        |(peer, prev, [commit, stretch], established, entries)| {
            let (terms, entries) = entries.into_iter().unzip();
            Append { peer, prev, commit, established, stretch, terms, entries }.into()
        },
    );
    let chunk = (peer_header(), entry_id(), any::<[u64; 3]>(), blob(100), blob(2 * SHARE_BYTES)).prop_map(
        |(peer, last, [configuration_index, bytes, offset], configuration, data)| {
            SnapshotChunk { peer, last, configuration_index, bytes, offset, configuration, data }.into()
        },
    );
    let introduce = (peer_header(), any::<u16>(), ".{0,60}", ".{0,60}").prop_map(
        |(PeerHeader { from, from_boot, .. }, level, client, http)| {
            Introduce { from, from_boot, level, client: client.into(), http: http.into() }.into()
        },
    );
    let digests = (peer_header(), vec(any::<(u64, [u8; 32])>(), 0..5))
        .prop_map(|(PeerHeader { from, from_boot, .. }, ranges)| Digests { from, from_boot, ranges }.into());
    prop_oneof![6 => fixed, 2 => append, 1 => chunk, 1 => introduce, 1 => digests]
}

fn formation() -> impl Strategy<Value = Message> {
    let who = (id(), any::<[u8; 16]>(), id(), any::<[u8; 16]>());
    let list = (vec(any::<u64>(), 0..8), vec(any::<[u8; 16]>(), 0..8), vec(blob(40), 0..8));
    (who, 0..3_u8, any::<u8>(), option::of(any::<[u8; 16]>()), ".{0,40}", list).prop_map(
        |((from, life, to, to_life), kind, state, cluster, name, (ids, uuids, addresses))| {
            let (life, to_life, name) = (Life(life), Life(to_life), name.into());
            let uuids = uuids.into_iter().map(NodeUuid).collect();
            let cluster = cluster.map(ClusterId);
            match (kind, cluster) {
                (0, _) => FormationAsk { from, life, to, name, ids, addresses }.into(),
                (1, Some(cluster)) => {
                    FormationPrepare { from, life, to, to_life, cluster, name, ids, uuids, addresses }.into()
                }
                _ => FormationAnswer { from, life, to, to_life, state, cluster, name, ids, uuids, addresses }
                    .into(),
            }
        },
    )
}

/// A message of one of the three families.
pub(crate) fn message() -> impl Strategy<Value = Message> {
    prop_oneof![call(), peer(), formation()]
}
