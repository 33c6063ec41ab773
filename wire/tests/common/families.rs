//! Samples of the calls of clients, the messages of consensus and those of formation.

use bytes::Bytes;
use holdfast_machine::Numbered;
use holdfast_wire::message::{
    Append, AppendAck, AppendReject, ChangeMembers, Consistency, Digests, EntryId, Examine, Examined, Figure,
    FormationAnswer, FormationAsk, FormationPrepare, Heartbeat, HeartbeatAck, Introduce, KeepLease,
    KeepSession, LeaderHint, LeaseKept, MemberChange, MemberStatus, MembersChanged, Notice, PeerHeader,
    Position, PreVote, PreVoteReply, Query, QueryDone, Read, ReadDone, ReadIndex, ReadIndexReply, Refused,
    SaveSnapshot, SessionKept, SnapshotAck, SnapshotChunk, SnapshotPiece, SnapshotReject, Stats, StatsReply,
    Status, StatusReply, Submit, Submitted, TimeoutNow, Trace, TraceReply, TracedBatch, Vote, VoteReply,
    Watch, WatchCancel, WatchEnded, WatchEvents, WatchProgress, WatchStarted,
};
use holdfast_wire::{Boot, ClusterId, Life, Message, NodeId, NodeUuid};

use super::{CLUSTER, identity, node};

type Sample = (String, Message);

pub(crate) const POSITION: Position =
    Position { epoch: CLUSTER.epoch, group: 0, term: 4, index: 0x0102_0304 };

pub(crate) fn read() -> Read {
    Read {
        consistency: Consistency::Linearizable.number(),
        timeout_ms: 5_000,
        max_stale_ms: 0,
        min_position: None,
        range: Bytes::from_static(b"range"),
    }
}

pub(crate) fn refused() -> Refused {
    Refused {
        code: 1201,
        effect: Refused::NOT_APPLIED,
        retry_after_ms: 25,
        first: 1,
        second: 2,
        leader: None,
        detail: "not the leader".into(),
    }
}

pub(crate) fn member(id: u64) -> MemberStatus {
    MemberStatus {
        node: node(id),
        voter: id < 3,
        connected: id != 2,
        matched: 100 + id,
        peer: format!("10.0.0.{id}:7401").into(),
        client: if id == 1 { "10.0.0.1:7400".into() } else { "".into() },
        http: if id == 1 { "10.0.0.1:7402".into() } else { "".into() },
    }
}

pub(crate) fn status_reply() -> StatusReply {
    StatusReply {
        node: identity(1, [0xa1; 16], 3),
        cluster: Some(CLUSTER),
        life: 4,
        role: 3,
        leadership: 2,
        ready: true,
        leader: Some(node(1)),
        term: 5,
        commit: 106,
        applied: 105,
        durable: 107,
        last: 108,
        revision: 99,
        oldest: 9,
        keys: 12,
        sessions: 2,
        level: 1,
        clock_ms: 1_700_000_000_000,
        build: "0.1.0".into(),
        members: vec![member(1), member(2), member(3)],
    }
}

pub(crate) fn stats_reply() -> StatsReply {
    StatsReply {
        process: 4711,
        turns: 1,
        proposed: 2,
        applied: 3,
        reads: 4,
        refused: 5,
        syncs: 6,
        log_bytes: 7,
        terms_led: 8,
        snapshots_taken: 9,
        snapshots_installed: 10,
        turn_times: Bytes::from_static(b"turns"),
        stages: vec![Bytes::from_static(b"histogram"), Bytes::new()],
    }
}

/// An answer about so many batches, the same each.
pub(crate) fn trace_reply(batches: usize) -> TraceReply {
    let batch = TracedBatch {
        first: 5,
        last: 7,
        term: 2,
        writes: 3,
        end: TracedBatch::ANSWERED,
        age: 0x0102,
        took: 0x0304,
        stages: [Some(1), Some(2), Some(3), Some(4), None, Some(6), Some(7), Some(8), Some(9)],
        acks: vec![(node(2), 0x0506), (node(3), 0x0708)],
    };
    TraceReply { slow_from: 100_000, known: 256, batches: vec![batch; batches] }
}

pub(crate) fn examined() -> Examined {
    let figures = [(Figure::ElectionMs, 0, 300), (Figure::RoundTripP99Us, 2, 1_250)];
    Examined::new(status_reply().node, figures, [(Figure::FileSystem, "ext4"), (Figure::MountOptions, "")])
}

fn calls() -> Vec<Sample> {
    let leader = LeaderHint { node_id: node(3), address: "10.0.0.3:7400".into() };
    let before = StatusReply {
        cluster: None,
        life: 1,
        role: 0,
        leadership: 0,
        ready: false,
        leader: None,
        members: vec![],
        ..status_reply()
    };
    let mut all: Vec<(&str, Message)> = vec![
        ("Submit", Submit { timeout_ms: 250, request: Bytes::from_static(b"request") }.into()),
        ("Submitted", Submitted { position: POSITION, outcome: Bytes::from_static(b"outcome") }.into()),
        ("Read Linearizable", read().into()),
        (
            "Read Follower",
            Read { consistency: Consistency::Follower.number(), min_position: Some(POSITION), ..read() }
                .into(),
        ),
        (
            "Read Stale",
            Read { consistency: Consistency::Stale.number(), max_stale_ms: 1_500, ..read() }.into(),
        ),
        ("Read of a later build", Read { consistency: 255, ..read() }.into()),
        (
            "ReadDone",
            ReadDone { position: POSITION, staleness_ms: 7, outcome: Bytes::from_static(b"page") }.into(),
        ),
        ("Refused", refused().into()),
        (
            "Refused unknown, leader",
            Refused { code: 1204, effect: Refused::UNKNOWN, leader: Some(leader), ..refused() }.into(),
        ),
        ("Status", Status {}.into()),
        ("StatusReply", status_reply().into()),
        ("StatusReply before formation", before.into()),
        ("Stats", Stats {}.into()),
        ("StatsReply", stats_reply().into()),
        ("StatsReply nothing measured", StatsReply { stages: vec![], ..stats_reply() }.into()),
        ("Examine", Examine {}.into()),
        ("Examined", examined().into()),
        ("Examined nothing known", Examined::new(examined().node, [], []).into()),
        ("KeepSession", KeepSession { timeout_ms: 250, session: 0x0708 }.into()),
    ];
    let watch = Watch {
        from: 0,
        flags: Watch::PREVIOUS | Watch::PROGRESS,
        min_position: None,
        span: Bytes::from_static(b"span"),
    };
    let events = vec![Bytes::from_static(b"event"), Bytes::from_static(b"another")];
    all.extend([
        ("Watch from now", Message::from(watch.clone())),
        ("Watch", Watch { from: 0x0102, flags: 0, min_position: Some(POSITION), ..watch }.into()),
        ("WatchStarted", WatchStarted { from: 0x0102, revision: 0x0304 }.into()),
        ("WatchEvents", WatchEvents { continues: false, more: true, events }.into()),
        ("WatchEvents rest", WatchEvents { continues: true, more: false, events: vec![Bytes::new()] }.into()),
        ("WatchProgress", WatchProgress { revision: 0x0304 }.into()),
        ("WatchCancel", WatchCancel {}.into()),
        ("WatchEnded", WatchEnded { code: 1302, resume: 0x0102, oldest: 0x0203 }.into()),
        ("SaveSnapshot", SaveSnapshot { min_position: Some(POSITION), ..SaveSnapshot::default() }.into()),
        (
            "SaveSnapshot further",
            SaveSnapshot {
                last: Some(EntryId { term: 3, index: 40 }),
                offset: 0x0102,
                newest: true,
                min_position: None,
            }
            .into(),
        ),
        (
            "SnapshotPiece",
            SnapshotPiece {
                last: EntryId { term: 3, index: 40 },
                bytes: 0x0304,
                offset: 0x0102,
                data: Bytes::from_static(b"piece"),
            }
            .into(),
        ),
        ("Trace", Trace { index: 0x0102 }.into()),
        ("TraceReply", trace_reply(1).into()),
        ("TraceReply nothing known", trace_reply(0).into()),
    ]);
    for (name, known) in [("SessionKept", true), ("SessionKept unknown", false)] {
        all.push((name, SessionKept { position: POSITION, known }.into()));
    }
    let node = NodeId::new(4).unwrap();
    let change = |change: MemberChange| ChangeMembers {
        timeout_ms: 5_000,
        change: change.number(),
        node,
        other: None,
        uuid: None,
        promote: false,
        peer: "".into(),
    };
    let joins = ChangeMembers {
        uuid: Some(NodeUuid(*b"0123456789abcdef")),
        promote: true,
        peer: "d.example:7401".into(),
        ..change(MemberChange::AddLearner)
    };
    let replaces = ChangeMembers { other: NodeId::new(2), ..change(MemberChange::Replace) };
    all.extend([
        (
            "Query",
            Query {
                consistency: Consistency::Linearizable.number(),
                timeout_ms: 5_000,
                max_stale_ms: 0,
                min_position: Some(POSITION),
                query: Bytes::from_static(b"query"),
            }
            .into(),
        ),
        (
            "QueryDone",
            QueryDone { position: POSITION, staleness_ms: 7, answer: Bytes::from_static(b"answer") }.into(),
        ),
        ("KeepLease", KeepLease { timeout_ms: 250, lease: 0x0708 }.into()),
        ("LeaseKept", LeaseKept { position: POSITION, known: true, ttl_ms: 10_000 }.into()),
        ("LeaseKept unknown", LeaseKept { position: POSITION, known: false, ttl_ms: 0 }.into()),
        ("ChangeMembers AddLearner", joins.into()),
        ("ChangeMembers Replace", replaces.into()),
        ("ChangeMembers Transfer", change(MemberChange::Transfer).into()),
        ("MembersChanged", MembersChanged { position: POSITION, configuration: 99 }.into()),
    ]);
    named(all)
}

pub(crate) fn peer() -> PeerHeader {
    PeerHeader {
        cluster: CLUSTER,
        from: node(2),
        from_boot: Boot::new(7).unwrap(),
        to: node(1),
        to_boot: Some(Boot::new(3).unwrap()),
        term: 5,
    }
}

pub(crate) const LAST: EntryId = EntryId { term: 4, index: 0x0203 };

pub(crate) fn append() -> Append {
    Append {
        peer: peer(),
        prev: LAST,
        commit: 0x0201,
        established: true,
        stretch: 6,
        terms: vec![4, 5, 5],
        entries: vec![Bytes::from_static(b"one"), Bytes::new(), Bytes::from_static(b"three")],
    }
}

fn peers() -> Vec<Sample> {
    let (peer, last) = (peer(), LAST);
    let mut all: Vec<(&str, Message)> = vec![
        ("PreVote", PreVote { peer, last }.into()),
        ("PreVoteReply granted", PreVoteReply { peer, asked: 6, granted: true }.into()),
        ("PreVoteReply not granted", PreVoteReply { peer, asked: 6, granted: false }.into()),
        ("Vote", Vote { peer, last, transfer: false }.into()),
        ("Vote transfer", Vote { peer, last, transfer: true }.into()),
        ("VoteReply granted", VoteReply { peer, granted: true }.into()),
        ("VoteReply not granted", VoteReply { peer, granted: false }.into()),
        ("Append", append().into()),
        ("Append nothing", Append { established: false, terms: vec![], entries: vec![], ..append() }.into()),
        ("AppendAck counting", AppendAck { peer, matched: 0x0206, stretch: 6, counting: true }.into()),
        ("AppendAck", AppendAck { peer, matched: 0x0206, stretch: 6, counting: false }.into()),
        (
            "AppendReject",
            AppendReject { peer, prev: last, hint: EntryId { term: 3, index: 0x0101 }, stretch: 6 }.into(),
        ),
        ("Heartbeat", Heartbeat { peer, round: 9, commit: 0x0201, established: false }.into()),
        ("Heartbeat established", Heartbeat { peer, round: 9, commit: 0x0201, established: true }.into()),
        ("HeartbeatAck", HeartbeatAck { peer, round: 9, counting: false }.into()),
        ("HeartbeatAck counting", HeartbeatAck { peer, round: 9, counting: true }.into()),
        ("ReadIndex", ReadIndex { peer, batch: 10 }.into()),
        ("ReadIndexReply", ReadIndexReply { peer, batch: 10, index: Some(0x0201) }.into()),
        ("ReadIndexReply cannot say", ReadIndexReply { peer, batch: 10, index: None }.into()),
        ("TimeoutNow", TimeoutNow { peer, last }.into()),
        ("SnapshotAck", SnapshotAck { peer, last, offset: 0x0001_0000 }.into()),
        ("SnapshotReject", SnapshotReject { peer, last }.into()),
        ("Notice", Notice { peer }.into()),
        ("Notice addressee's boot unknown", Notice { peer: PeerHeader { to_boot: None, ..peer } }.into()),
    ];
    let chunk = SnapshotChunk {
        peer,
        last,
        configuration_index: 0x0102,
        bytes: 0x0001_0004,
        offset: 0x0001_0000,
        configuration: Bytes::from_static(b"configuration"),
        data: Bytes::from_static(b"tail"),
    };
    all.push(("SnapshotChunk", chunk.into()));
    for (name, ranges) in
        [("Digests", vec![(256, [0x11; 32]), (0x0200, [0x22; 32])]), ("Digests of nothing", Vec::new())]
    {
        all.push((name, Digests { from: node(2), from_boot: peer.from_boot, ranges }.into()));
    }
    for (name, http) in [("Introduce", "10.0.0.2:7402"), ("Introduce without HTTP", "")] {
        let (client, http) = ("10.0.0.2:7400".into(), http.into());
        all.push((
            name,
            Introduce { from: node(2), from_boot: peer.from_boot, level: 1, client, http }.into(),
        ));
    }
    named(all)
}

pub(crate) fn formation_answer() -> FormationAnswer {
    FormationAnswer {
        from: node(2),
        life: Life([0xb2; 16]),
        to: node(1),
        to_life: Life([0xa1; 16]),
        state: 3,
        cluster: Some(CLUSTER.id),
        name: "prod".into(),
        ids: vec![1, 2],
        uuids: vec![NodeUuid([0xa1; 16]), NodeUuid([0xb2; 16])],
        addresses: vec![Bytes::from_static(b"10.0.0.1:7401"), Bytes::from_static(b"10.0.0.2:7401")],
    }
}

fn formation() -> Vec<Sample> {
    let FormationAnswer { from, life, to, to_life, name, ids, uuids, addresses, .. } = formation_answer();
    let ask =
        FormationAsk { from, life, to, name: name.clone(), ids: ids.clone(), addresses: addresses.clone() };
    let cluster = ClusterId(CLUSTER.id.0);
    let prepare = FormationPrepare { from, life, to, to_life, cluster, name, ids, uuids, addresses };
    let nothing = FormationAnswer { state: 0, cluster: None, uuids: vec![], ..formation_answer() };
    let mut all: Vec<(&str, Message)> = vec![
        ("FormationAsk", ask.into()),
        ("FormationAnswer nothing", nothing.into()),
        ("FormationPrepare", prepare.into()),
    ];
    for (name, state) in
        [("FormationAnswer minted", 1), ("FormationAnswer prepared", 2), ("FormationAnswer formed", 3)]
    {
        all.push((name, FormationAnswer { state, ..formation_answer() }.into()));
    }
    named(all)
}

fn named(samples: Vec<(&str, Message)>) -> Vec<Sample> {
    samples.into_iter().map(|(name, message)| (name.to_owned(), message)).collect()
}

/// All of them, each under a name of its own that begins with its type.
pub(crate) fn samples() -> Vec<Sample> {
    [calls(), peers(), formation()].concat()
}
