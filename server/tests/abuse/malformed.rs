//! Bytes that are no protocol, at any point of a connection, on both ports.

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdfast_command::keys::{Delete, Put, Range, Span};
use holdfast_command::{Command, Request};
use holdfast_machine::Numbered;
use holdfast_raft::{Configuration, Payload};
use holdfast_server::storage::encode_payload;
use holdfast_wire::message::{
    Append, AppendAck, AppendReject, CloseReason, Consistency, Echo, EntryId, FormationAnswer, FormationAsk,
    FormationPrepare, Goodbye, Heartbeat, HeartbeatAck, Introduce, KeepSession, Notice, PeerHeader, PreVote,
    PreVoteReply, Read as ReadCall, ReadIndex, ReadIndexReply, SnapshotAck, SnapshotChunk, SnapshotReject,
    Stats, Status, TimeoutNow, Vote, VoteReply,
};
use holdfast_wire::{
    Boot, ClusterEpoch, ClusterId, ClusterIdentity, GroupId, Header, Life, Message, NodeId, NodeUuid,
};

use crate::cluster::{Cluster, shared};
use crate::measure::{Random, from_env, resident_kib, run_for};
use crate::neighbour::Neighbour;
use crate::raw::{End, Raw, call_frame, encode, frame, hello, preface, seal, stranger, submit};

/// A cluster that is not the one under attack.
const FOREIGN: ClusterIdentity = ClusterIdentity { id: ClusterId([0xf0; 16]), epoch: ClusterEpoch::FIRST };

fn ping() -> Message {
    Message::Ping(Echo { payload: Bytes::from_static(b"are you there") })
}

fn put(key: &str, bytes: usize) -> Message {
    let put = Put { key: key.to_owned().into(), value: vec![b'v'; bytes].into(), ..Put::default() };
    submit(Request::from(Command::Put(put)).encode()).into()
}

fn read(key: &str) -> Message {
    let mut range = Vec::new();
    Range::of(Span::Key(key.to_owned().into())).write(&mut range);
    let consistency = Consistency::Linearizable.number();
    ReadCall { consistency, timeout_ms: 20_000, max_stale_ms: 0, min_position: None, range: range.into() }
        .into()
}

/// The header of a message of node 9 to `to`.
fn header(cluster: ClusterIdentity, to: u64, term: u64) -> PeerHeader {
    let node = |id| NodeId::new(id).expect("from 1");
    PeerHeader { cluster, from: node(9), from_boot: Boot::FIRST, to: node(to), to_boot: None, term }
}

/// Every message of consensus, with this header.
fn consensus(peer: PeerHeader, index: u64, entries: Vec<Bytes>) -> Vec<Message> {
    let id = EntryId { term: peer.term, index };
    let terms = vec![peer.term; entries.len()];
    let (commit, stretch, established) = (index, index, true);
    vec![
        PreVote { peer, last: id }.into(),
        PreVoteReply { peer, asked: peer.term, granted: true }.into(),
        Vote { peer, last: id, transfer: false }.into(),
        VoteReply { peer, granted: true }.into(),
        Append { peer, prev: id, commit, established, stretch, terms, entries }.into(),
        AppendAck { peer, matched: index, stretch, counting: true }.into(),
        AppendReject { peer, prev: id, hint: id, stretch }.into(),
        Heartbeat { peer, round: index, commit, established }.into(),
        HeartbeatAck { peer, round: index, counting: true }.into(),
        ReadIndex { peer, batch: index }.into(),
        ReadIndexReply { peer, batch: index, index: Some(index) }.into(),
        TimeoutNow { peer, last: id }.into(),
        SnapshotChunk {
            peer,
            last: id,
            configuration_index: index,
            bytes: index,
            offset: index,
            configuration: configuration(),
            data: Bytes::from_static(b"a piece"),
        }
        .into(),
        SnapshotAck { peer, last: id, offset: index }.into(),
        SnapshotReject { peer, last: id }.into(),
        Notice { peer }.into(),
    ]
}

/// A configuration as an entry of the log has it.
fn configuration() -> Bytes {
    let uuid = holdfast_raft::NodeUuid([9; 16]);
    let member = holdfast_raft::Member { uuid, promote: false, context: Bytes::new() };
    let configuration = Configuration::initial([(holdfast_raft::NodeId(9), member)]);
    encode_payload(&Payload::Configuration(Arc::new(configuration))).expect("a configuration")
}

/// Every message of a formation, from node 9, about a cluster of which nobody has heard.
fn formation(to: u64) -> Vec<Message> {
    let (from, to) = (NodeId::new(9).expect("from 1"), NodeId::new(to).expect("from 1"));
    let (life, to_life, name) = (Life([9; 16]), Life([1; 16]), "abused");
    let ids = vec![1, 2, 9];
    let uuids = vec![NodeUuid([1; 16]), NodeUuid([2; 16]), NodeUuid([9; 16])];
    let addresses: Vec<Bytes> = ["h:1", "h:2", "h:9"].map(Bytes::from).into();
    let cluster = FOREIGN.id;
    let ask = FormationAsk { from, life, to, name: name.into(), ids, addresses };
    let (ids, addresses) = (ask.ids.clone(), ask.addresses.clone());
    let mut all: Vec<Message> = (0..=3)
        .map(|state| {
            let known = state > 0;
            let uuids = if known { uuids.clone() } else { Vec::new() };
            let (ids, addresses, name) = (ids.clone(), addresses.clone(), name.into());
            let cluster = known.then_some(cluster);
            FormationAnswer { from, life, to, to_life, state, cluster, name, ids, uuids, addresses }.into()
        })
        .collect();
    all.push(
        FormationPrepare { from, life, to, to_life, cluster, name: name.into(), ids, uuids, addresses }
            .into(),
    );
    all.push(ask.into());
    all
}

fn introduce() -> Message {
    let from = NodeId::new(9).expect("from 1");
    Introduce { from, from_boot: Boot::FIRST, level: 1, client: "h:1".into(), http: "".into() }.into()
}

/// A frame with `bytes` in the place of what stood at `at`, and the check made right.
fn patched(frame: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    seal(&mut frame);
    frame
}

/// What is broken, its bytes, and what of it the other side has to name.
type Broken = (&'static str, Vec<u8>, &'static str);

/// Frames that are wrong on any port, once a connection is open.
fn broken_frames() -> Vec<Broken> {
    let good = frame(&ping());
    let mut flipped = good.clone();
    *flipped.last_mut().expect("not empty") ^= 1;
    let over_all = [&(20 + (16u32 << 20) + 1).to_le_bytes()[..], &good[4..]].concat();
    let over_its_type = [&(20 + (64u32 << 10) + 1).to_le_bytes()[..], &good[4..]].concat();
    let goodbye = frame(&Goodbye::new(CloseReason::Done, "").into());
    let mut shorter = good[..24].to_vec();
    seal(&mut shorter);
    let mut longer = [&good[..], b"more"].concat();
    seal(&mut longer);
    vec![
        ("a flipped bit", flipped, "CRC32"),
        ("length 0", vec![0; 24], "length 0"),
        ("a length without room for a header", [&19u32.to_le_bytes()[..], &good[4..]].concat(), "length 19"),
        ("a length over the cap of all frames", over_all, "over the limit of 16777216"),
        ("a length over the cap of the type", over_its_type, "over the limit of 65536"),
        ("an unknown type", patched(&good, 8, &999u16.to_le_bytes()), "type 999 is unknown"),
        ("type 0", patched(&good, 8, &[0, 0]), "type 0 is unknown"),
        ("a flag that the type does not carry", patched(&good, 10, &[2, 0]), "flags 0x0002"),
        ("a flag that nobody knows", patched(&good, 10, &[0, 0x80]), "flags 0x8000"),
        ("a Goodbye in a call", patched(&goodbye, 16, &[7]), "belongs to no group and no call"),
        ("a Goodbye in a group", patched(&goodbye, 12, &[7]), "belongs to no group and no call"),
        ("a body that ends before it began", shorter, "cut off"),
        ("metadata that are not there", patched(&good, 24, &[9, 0]), "cut off"),
        ("bytes behind the body", longer, "trailing bytes"),
    ]
}

/// Says all of these at one port, each on a connection of its own.
fn assert_refused(address: &str, greeting: impl Fn() -> Message, all: &[Broken]) {
    for (what, bytes, words) in all {
        let mut raw = Raw::dial(address);
        raw.say(greeting());
        raw.write(bytes);
        let end = raw.end();
        assert!(end.says(CloseReason::Violation, words), "{what}: {end:?}, expected to read of {words:?}");
    }
}

/// That the other side still answers on this connection.
fn assert_open(raw: &mut Raw, what: &str) {
    raw.call(77, ping());
    while let Some((header, message)) = raw.next_frame() {
        if matches!(message, Message::Pong(_)) && header.call.0 == 77 {
            return;
        }
    }
    panic!("{what}: {:?}", raw.end());
}

#[test]
fn a_client_that_answers_the_ping_into_its_silence_stays() {
    let cluster = shared();
    let reign = cluster.settle();
    let mut raw = Raw::dial(cluster.client(1));
    raw.say(hello());
    // A node's own Ping belongs to no call, and so does the answer to it.
    raw.write(&frame(&Message::Pong(Echo::default())));
    assert_open(&mut raw, "behind a Pong");
    cluster.assert_still(reign);
}

#[test]
fn a_client_that_breaks_a_frame_is_told_which_rule_and_nobody_else_notices() {
    let cluster = shared();
    let reign = cluster.settle();
    let neighbour = Neighbour::start(&cluster.clients, Duration::ZERO);
    let mut all = broken_frames();
    let in_group = encode(Header { group: GroupId(7), ..put("x", 1).header() }, &put("x", 1));
    let beat = consensus(header(FOREIGN, 1, 1), 1, Vec::new()).swap_remove(7);
    all.extend([
        ("a second Hello", frame(&hello().into()), "ClientHello in this place"),
        ("a Hello of a peer", frame(&stranger(None).into()), "PeerHello in this place"),
        ("a message of consensus", frame(&beat), "Heartbeat in this place"),
        ("a call in group 7", patched(&in_group, 16, &[1]), "call 1 of group 7"),
        ("a call without a number", frame(&put("x", 1)), "call 0 of group 0"),
    ]);
    for node in 1..=3 {
        assert_refused(cluster.client(node), || hello().into(), &all);
    }
    println!("{} calls beside it", neighbour.finish());
    cluster.assert_still(reign);
}

#[test]
fn a_peer_that_breaks_a_frame_or_lies_is_told_which_rule_and_the_cluster_goes_on() {
    let cluster = shared();
    let reign = cluster.settle();
    let ours = cluster.identity();
    let neighbour = Neighbour::start(&cluster.clients, Duration::ZERO);
    for node in 1..=3 {
        let peer = header(ours, node, reign.term);
        let named = |from: u64| PeerHeader { from: NodeId::new(from).expect("from 1"), ..peer };
        let other = node % 3 + 1;
        let mut all = broken_frames();
        let garbage = consensus(peer, 5, vec![Bytes::from_static(b"\xff\xfegarbage")]).swap_remove(4);
        let beat: Message = Notice { peer }.into();
        let in_group = encode(Header { group: GroupId(7), ..beat.header() }, &beat);
        let ask = |from: u64| match formation(node).pop() {
            Some(Message::FormationAsk(ask)) => {
                FormationAsk { from: NodeId::new(from).expect("from 1"), ..ask }.into()
            }
            other => panic!("{other:?} is no question"),
        };
        let unsorted = match ask(9) {
            Message::FormationAsk(ask) => Message::from(FormationAsk { ids: vec![2, 1, 9], ..ask }),
            other => other,
        };
        all.extend([
            ("a second Hello", frame(&stranger(Some(ours)).into()), "PeerHello in this place"),
            ("a Hello of a client", frame(&hello().into()), "ClientHello in this place"),
            ("a call of a client", call_frame(1, &put("x", 1)), "Submit in this place"),
            ("a message in group 7", in_group, "group 7 does not exist"),
            ("entries that are none", frame(&garbage), "entry 0 of the append"),
            (
                "a vote for another member",
                frame(&VoteReply { peer: named(other), granted: true }.into()),
                "in the name of another node",
            ),
            (
                "a heartbeat of its own",
                frame(&Notice { peer: named(node) }.into()),
                "in the name of another node",
            ),
            ("a question of another", frame(&ask(other)), "in the name of another node"),
            ("a list out of order", frame(&unsorted), "ascending order"),
        ]);
        assert_refused(cluster.peer(node), || stranger(Some(ours)).into(), &all);
    }
    println!("{} calls beside it", neighbour.finish());
    cluster.assert_still(reign);
}

#[test]
fn what_is_no_greeting_ends_a_connection_on_either_port_with_the_rule_that_it_breaks() {
    let cluster = shared();
    let reign = cluster.settle();
    let ports =
        [(cluster.client(1), frame(&hello().into())), (cluster.peer(1), frame(&stranger(None).into()))];
    for (address, good) in ports {
        let mut flipped = good.clone();
        *flipped.last_mut().expect("not empty") ^= 1;
        let named = |bytes: &[u8]| [&good[..24], bytes].concat();
        let mut nonsense = named(&[0xff; 40]);
        seal(&mut nonsense);
        let long = [&(20 + (16u32 << 10) + 1).to_le_bytes()[..], &good[4..]].concat();
        let broken: [Broken; 7] = [
            ("a flipped bit", flipped, "CRC32"),
            ("length 0", vec![0; 24], "length 0"),
            ("a Hello over its cap", long, "over the limit of 16384"),
            ("a Hello of nonsense", nonsense, "frame at byte 0"),
            ("a Hello in a call", patched(&good, 16, &[1]), "belongs to no group and no call"),
            ("a Ping first", frame(&ping()), "Ping is no greeting"),
            ("a type that nobody knows", patched(&good, 8, &999u16.to_le_bytes()), "type 999 is unknown"),
        ];
        for (what, bytes, words) in broken {
            let mut raw = Raw::dial(address);
            raw.write(&[preface(1, 1), bytes].concat());
            let end = raw.end();
            assert!(
                end.says(CloseReason::Violation, words),
                "{what}: {end:?}, expected to read of {words:?}"
            );
        }
        // Whoever has shown no preface speaks something else, and a frame would be noise to it.
        for bytes in [b"GET / HTTP/1.1\r\n\r\n".to_vec(), preface(0, 1), preface(2, 1), vec![0; 8]] {
            let mut raw = Raw::dial(address);
            raw.write(&bytes);
            assert_eq!(raw.end(), End::Silent, "{bytes:?}");
        }
        // Cut anywhere, and closed there.
        let whole = [preface(1, 1), good, frame(&ping())].concat();
        for cut in 0..whole.len() {
            let mut raw = Raw::dial(address);
            raw.write(&whole[..cut]);
            raw.hush();
            assert_eq!(raw.end(), End::Silent, "cut at {cut}");
        }
    }
    cluster.assert_still(reign);
}

#[test]
fn messages_of_another_cluster_or_with_absurd_numbers_change_nothing() {
    let cluster = shared();
    let reign = cluster.settle();
    let ours = cluster.identity();
    let neighbour = Neighbour::start(&cluster.clients, Duration::ZERO);
    let far = [u64::MAX, u64::MAX - 1, 1 << 63, 1 << 62, reign.term + (1 << 33)];
    for node in 1..=3 {
        let mut raw = Raw::dial(cluster.peer(node));
        raw.say(stranger(Some(ours)));
        let mut said = formation(node);
        said.push(introduce());
        for index in [0, 1, u64::MAX, 1 << 62] {
            said.extend(consensus(header(FOREIGN, node, reign.term), index, Vec::new()));
            let later = ClusterIdentity { epoch: ClusterEpoch::new(2).expect("from 1"), ..ours };
            said.extend(consensus(header(later, node, reign.term), index, Vec::new()));
            // Meant for somebody else.
            said.extend(consensus(header(ours, node % 3 + 1, reign.term + 1), index, Vec::new()));
            // Of a term that no cluster reaches, and of one that is over.
            for term in far {
                said.extend(consensus(header(ours, node, term), index, Vec::new()));
            }
            said.extend(consensus(header(ours, node, 0), index, Vec::new()));
            // Answers of the present term to what was never asked.
            let answers =
                consensus(header(ours, node, reign.term), index, Vec::new()).into_iter().filter(|message| {
                    matches!(
                        message,
                        Message::VoteReply(_)
                            | Message::AppendAck(_)
                            | Message::AppendReject(_)
                            | Message::HeartbeatAck(_)
                            | Message::ReadIndexReply(_)
                            | Message::SnapshotAck(_)
                            | Message::SnapshotReject(_)
                    )
                });
            said.extend(answers);
        }
        for message in &said {
            raw.write(&frame(message));
        }
        assert_open(&mut raw, "after messages that mean nothing here");
        println!("node {node}: {} messages", said.len());
    }
    println!("{} calls beside it", neighbour.finish());
    cluster.assert_still(reign);
}

/// One port, and everything that is legal to say there.
struct Target<'a> {
    address: &'a str,
    greeting: Vec<u8>,
    corpus: Vec<Vec<u8>>,
}

fn targets(cluster: &Cluster) -> Vec<Target<'_>> {
    let delete = Delete { span: Span::Key("x/1".into()), return_previous: false };
    // What is written is kept, with its history, and would count as memory of the attack: so little is written, and the
    // large one has a key that is too long.
    let calls = [
        ping(),
        put("x/1", 10),
        put(&"x".repeat(5_000), 10),
        submit(Request::from(Command::Delete(delete)).encode()).into(),
        read("x/1"),
        Status {}.into(),
        Stats {}.into(),
        KeepSession { timeout_ms: 1_000, session: 1 }.into(),
        Goodbye::new(CloseReason::Done, "").into(),
    ];
    let mut all = Vec::new();
    for node in 1..=3 {
        let corpus = calls.iter().map(|call| match call {
            Message::Goodbye(_) => frame(call),
            _ => call_frame(3, call),
        });
        let (address, greeting) = (cluster.client(node), frame(&hello().into()));
        all.push(Target { address, greeting, corpus: corpus.collect() });
        // In the name of another cluster: what a mutation makes of it is never a legal word of a member.
        let mut said = consensus(header(FOREIGN, node, 3), 7, vec![Bytes::from_static(b"\x01entry")]);
        said.extend(formation(node));
        said.extend([introduce(), ping(), Goodbye::new(CloseReason::Done, "").into()]);
        let (address, greeting) = (cluster.peer(node), frame(&stranger(None).into()));
        all.push(Target { address, greeting, corpus: said.iter().map(frame).collect() });
    }
    all
}

/// Numbers that are often treated wrongly.
const EDGES: [u32; 8] = [0, 1, 0x7f, 0xff, 0xffff, 0x8000_0000, 0x7fff_ffff, 0xffff_ffff];

/// Breaks a frame in one to four places; in four of five cases nobody can see it by length or check.
fn mutate(random: &mut Random, frame: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..1 + random.below(4) {
        let at = random.below(frame.len().max(1));
        match random.below(8) {
            _ if frame.len() < 8 => frame.extend(random.bytes(8)),
            0 | 1 => frame[at] ^= 1 << random.below(8),
            2 => frame[at] = random.next() as u8,
            3 => {
                let (edge, end) = (random.pick(&EDGES).to_le_bytes(), frame.len().min(at + 4));
                frame[at..end].copy_from_slice(&edge[..end - at]);
            }
            4 => {
                let count = 1 + random.below(16);
                frame.splice(at..at, random.bytes(count));
            }
            5 => {
                let end = (at + 1 + random.below(16)).min(frame.len());
                frame.drain(at..end);
            }
            6 => frame.truncate(at.max(8)),
            _ => {
                let from = random.below(other.len());
                frame.truncate(at);
                frame.extend_from_slice(&other[from..]);
            }
        }
    }
    if random.below(5) > 0 {
        seal(frame);
    }
}

/// What came of the connections of the fuzzer.
#[derive(Debug, Default)]
struct Counts {
    connections: u64,
    frames: u64,
    refused: u64,
    silent: u64,
    open: u64,
}

/// One connection: up to some point as it should be, then broken.
fn attack(random: &mut Random, target: &Target<'_>, counts: &mut Counts) {
    let mut raw = Raw::dial(target.address);
    counts.connections += 1;
    let mut said = Vec::new();
    match random.below(10) {
        0 => {
            let count = 1 + random.below(200);
            said.extend(random.bytes(count));
        }
        1 => {
            let mut bytes = [preface(1, 1), target.greeting.clone()].concat();
            let at = random.below(bytes.len());
            bytes[at] ^= 1 << random.below(8);
            said.extend(bytes);
        }
        2 | 3 => {
            let mut greeting = target.greeting.clone();
            let other = random.pick(&target.corpus).clone();
            mutate(random, &mut greeting, &other);
            said.extend([preface(1, 1), greeting].concat());
        }
        _ => said.extend([preface(1, 1), target.greeting.clone()].concat()),
    }
    for _ in 0..random.below(8) {
        let mut frame = random.pick(&target.corpus).clone();
        if random.below(3) > 0 {
            let other = random.pick(&target.corpus).clone();
            mutate(random, &mut frame, &other);
        }
        said.extend(frame);
        counts.frames += 1;
    }
    // In one piece, or in two.
    let cut = random.below(said.len().max(1));
    raw.write(&said[..cut]);
    raw.write(&said[cut..]);
    if random.below(8) > 0 {
        // Leaves without waiting; half the time with unread bytes, which resets the connection.
        raw.hush();
        if random.below(2) > 0 {
            let _ = raw.stream.set_read_timeout(Some(Duration::from_millis(1)));
            let _ = raw.stream.read(&mut [0; 512]);
        }
        return;
    }
    raw.hush();
    match raw.end() {
        End::Goodbye(..) => counts.refused += 1,
        End::Silent | End::Reset => counts.silent += 1,
        End::Open => counts.open += 1,
    }
}

#[test]
fn no_mutation_of_any_message_on_either_port_panics_a_node_disturbs_a_client_or_keeps_memory() {
    let cluster = shared();
    let reign = cluster.settle();
    let mut random = Random::seeded("mutations", 20_261_121);
    // Few calls: what they write is kept, and would count as memory of the attack.
    let neighbour = Neighbour::start(&cluster.clients, Duration::from_millis(50));
    let targets = targets(&cluster);
    let (lasts, began) = (run_for(2_000), Instant::now());
    let mut counts = Counts::default();
    let (mut warm, mut highest) = (0, 0);
    while began.elapsed() < lasts {
        for target in &targets {
            attack(&mut random, target, &mut counts);
        }
        if counts.connections.is_multiple_of(60) {
            let now = resident_kib();
            if began.elapsed() < lasts / 4 {
                warm = now.max(warm);
            } else {
                highest = now.max(highest);
            }
        }
    }
    let calls = neighbour.finish();
    let written = cluster.status(1).map_or(0, |status| status.revision);
    println!(
        "{counts:?}, {calls} calls beside it, {written} revisions in all; {warm} KiB when warm, {highest} KiB at most since"
    );
    assert_eq!(counts.open, 0, "whoever says no more is let go");
    cluster.assert_still(reign);
    if from_env("SECONDS").is_some() {
        assert!(highest <= warm + 16 * 1024, "{} KiB more than when it was warm", highest - warm);
    }
}
