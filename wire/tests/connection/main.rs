//! Machine 08: one scenario per edge and cell that matters, both sides, client and peer.
//!
//! Bytes travel between two real connections in pieces of random size; each test prints its seed. Time is a
//! number that the test moves.

mod common;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use common::{
    CLUSTER, client_hello, client_welcome, encoded, identity, node, peer_hello, peer_welcome, ping, random,
};
use holdfast_machine::{Numbered, audit};
use holdfast_wire::connection::{
    ClusterFact, ConnectionMachine, DRAIN_DEADLINE_MS, Edge, Ended, Facts, HANDSHAKE_DEADLINE_MS,
    HIGH_WATER_BYTES, IDLE_DEADLINE_MS, IdentityFact, Incoming, KEEPALIVE_MS, LINGER_MS, OUTBOX_BYTES_MAX,
    Role, Row, SendError, State, decide,
};
use holdfast_wire::message::{
    ClientHello, ClientWelcome, CloseReason, Credentials, Echo, Goodbye, Lane, PeerHello, PeerWelcome,
};
use holdfast_wire::message_type::{GREETING_CAP, PING_CAP, TEXT_CAP};
use holdfast_wire::{
    CallId, ClusterEpoch, ClusterId, ClusterIdentity, Connection, Flag, Flags, GroupId, Header, Message,
    Preface, VersionRange,
};

/// Two connections and the wire between them.
struct Pair {
    dialer: Connection,
    acceptor: Connection,
    now: u64,
    seed: u64,
}

impl Pair {
    fn new(dialer: Role, acceptor: Role) -> Self {
        let seed = common::seed();
        let dialer = Connection::new(dialer, 0).unwrap();
        Self { dialer, acceptor: Connection::new(acceptor, 0).unwrap(), now: 0, seed }
    }

    fn client() -> Self {
        Self::new(Role::Client(client_hello()), Role::Server(client_welcome()))
    }

    /// An open connection of a client, its greetings already taken.
    fn open() -> Self {
        let mut pair = Self::client();
        pair.settle();
        assert_eq!((pair.dialer.state(), pair.acceptor.state()), (State::Open, State::Open));
        pair
    }

    /// Carries bytes both ways, in random pieces and random order, until none move. Yields what each side got.
    fn settle(&mut self) -> (Vec<Incoming>, Vec<Incoming>) {
        let (mut to_dialer, mut to_acceptor) = (vec![], vec![]);
        let mut still = 0;
        while still < 50 {
            let there = random(&mut self.seed).is_multiple_of(2);
            let (from, to, got) = if there {
                (&mut self.dialer, &mut self.acceptor, &mut to_acceptor)
            } else {
                (&mut self.acceptor, &mut self.dialer, &mut to_dialer)
            };
            let count = (1 + random(&mut self.seed) % 40) as usize;
            let moved = carry(from, to, count);
            while let Some(incoming) = to.next(self.now) {
                got.push(incoming);
            }
            still = if moved == 0 { still + 1 } else { 0 };
        }
        (to_dialer, to_acceptor)
    }
}

/// Moves up to `count` bytes, if the receiver wants any. How many moved.
fn carry(from: &mut Connection, to: &mut Connection, count: usize) -> usize {
    if !to.wants_read() {
        return 0;
    }
    let outbox = from.outbox();
    let count = count.min(outbox.chunk().len());
    to.buffer().extend_from_slice(&outbox.chunk()[..count]);
    outbox.advance(count);
    count
}

/// Everything a connection wants to say, as one buffer.
fn drain(connection: &mut Connection) -> Bytes {
    let waiting = connection.outbox().remaining();
    connection.outbox().copy_to_bytes(waiting)
}

fn feed(connection: &mut Connection, bytes: &[u8], now: u64) -> Vec<Incoming> {
    connection.buffer().extend_from_slice(bytes);
    std::iter::from_fn(|| connection.next(now)).collect()
}

fn bytes_of(message: &Message) -> BytesMut {
    encoded(message.header(), message)
}

fn preface() -> BytesMut {
    let mut out = BytesMut::new();
    Preface { versions: VersionRange::SUPPORTED }.encode(&mut out);
    out
}

fn reason(connection: &Connection) -> (Edge, Option<CloseReason>, bool) {
    let Ended { edge, goodbye, by_other_side } = connection.ended().expect("an ended connection");
    (*edge, goodbye.known_reason(), *by_other_side)
}

/// The Goodbye at the end of what a connection wants to say.
fn last_words(connection: &mut Connection) -> Option<Goodbye> {
    let mut bytes = BytesMut::from(&drain(connection)[..]);
    let _ = Preface::decode(&mut bytes);
    let mut codec = holdfast_wire::FrameCodec::open();
    let mut last = None;
    while let Some(frame) = codec.next(&mut bytes).expect("frames of our own") {
        if let Message::Goodbye(goodbye) = Message::decode(&frame, &mut 0).unwrap() {
            last = Some(goodbye);
        }
    }
    last
}

#[test]
fn the_table_of_machine_08_is_alive_everywhere() {
    assert_eq!(audit::faults::<ConnectionMachine>(), [""; 0]);
}

#[test]
fn t1_t2_a_client_and_a_server_shake_hands_in_any_pieces() {
    let mut pair = Pair::client();
    let (to_client, to_server) = pair.settle();
    assert_eq!(to_server, [Incoming::Accepted(client_hello().into())]);
    assert_eq!(to_client, [Incoming::Accepted(client_welcome().into())]);
    for side in [&pair.dialer, &pair.acceptor] {
        assert_eq!((side.state(), side.version()), (State::Open, Some(1)));
        let edges: Vec<Edge> = side.trace().steps().map(|step| step.edge).collect();
        assert_eq!(edges, [Edge::AgreeVersion, Edge::Accept]);
    }
}

#[test]
fn t1_t2_peers_shake_hands_on_both_lanes() {
    for &lane in Lane::ALL {
        let hello = PeerHello { lane: lane.number(), ..peer_hello() };
        let mut pair = Pair::new(Role::DialingPeer(hello.clone()), Role::AcceptingPeer(peer_welcome()));
        let (to_dialer, to_acceptor) = pair.settle();
        assert_eq!(to_acceptor, [Incoming::Accepted(hello.into())]);
        assert_eq!(to_dialer, [Incoming::Accepted(peer_welcome().into())]);
    }
}

#[test]
fn a_handshake_takes_one_round_trip() {
    let mut pair = Pair::client();
    let there = drain(&mut pair.dialer);
    feed(&mut pair.acceptor, &there, 0);
    let back = drain(&mut pair.acceptor);
    feed(&mut pair.dialer, &back, 0);
    assert_eq!((pair.dialer.state(), pair.acceptor.state()), (State::Open, State::Open));
}

#[test]
fn an_accepting_side_says_nothing_before_it_has_seen_the_magic() {
    let mut acceptor = Connection::new(Role::Server(client_welcome()), 0).unwrap();
    assert_eq!(feed(&mut acceptor, b"HLD", 0), []);
    assert!(!acceptor.outbox().has_remaining());
}

#[test]
fn t1_both_sides_agree_on_the_highest_common_version() {
    let versions = |min, max| VersionRange::new(min, max).unwrap();
    let dialer = Connection::with_versions(Role::Client(client_hello()), versions(1, 9), 0).unwrap();
    let acceptor = Connection::with_versions(Role::Server(client_welcome()), versions(3, 5), 0).unwrap();
    let mut pair = Pair { dialer, acceptor, ..Pair::client() };
    let (to_client, _) = pair.settle();
    assert_eq!((pair.dialer.version(), pair.acceptor.version()), (Some(5), Some(5)));
    assert_eq!(to_client, [Incoming::Accepted(ClientWelcome { version: 5, ..client_welcome() }.into())]);

    let dialer = Connection::with_versions(Role::DialingPeer(peer_hello()), versions(2, 4), 0).unwrap();
    let acceptor = Connection::with_versions(Role::AcceptingPeer(peer_welcome()), versions(1, 3), 0).unwrap();
    let mut pair = Pair { dialer, acceptor, ..pair };
    let (to_dialer, _) = pair.settle();
    assert_eq!(to_dialer, [Incoming::Accepted(PeerWelcome { version: 3, ..peer_welcome() }.into())]);
}

#[test]
fn t3_refuse_without_a_common_version_names_both_ranges_on_both_sides() {
    let versions = |min, max| VersionRange::new(min, max).unwrap();
    let dialer = Connection::with_versions(Role::Client(client_hello()), versions(4, 9), 0).unwrap();
    let mut pair = Pair { dialer, ..Pair::client() };
    pair.settle();
    for (side, text) in [
        (&pair.dialer, "no common protocol version: here 4 to 9, there 1"),
        (&pair.acceptor, "no common protocol version: here 1, there 4 to 9"),
    ] {
        assert_eq!(reason(side), (Edge::Refuse, Some(CloseReason::NoCommonVersion), false));
        assert_eq!(side.ended().unwrap().goodbye.detail, text);
    }
}

#[test]
fn t3_refuse_a_foreign_cluster_and_t5_be_refused_with_its_reason() {
    let foreign = ClusterIdentity { id: ClusterId([9; 16]), ..CLUSTER };
    let hello = ClientHello { cluster: Some(foreign), ..client_hello() };
    let mut pair = Pair::new(Role::Client(hello), Role::Server(client_welcome()));
    pair.settle();
    assert_eq!(reason(&pair.acceptor), (Edge::Refuse, Some(CloseReason::WrongCluster), false));
    assert_eq!(reason(&pair.dialer), (Edge::BeRefused, Some(CloseReason::WrongCluster), true));
    assert_eq!(
        pair.dialer.ended().unwrap().goodbye.detail,
        "row G2: client billing of cluster 09090909090909090909090909090909 epoch 2 met \
         cluster 0102030405060708090a0b0c0d0e0f10 epoch 2"
    );
    assert!(pair.dialer.wants_shutdown() && pair.acceptor.wants_shutdown());
}

#[test]
fn t3_refuse_every_peer_that_should_not_be_here() {
    let epoch = |n| Some(ClusterIdentity { epoch: ClusterEpoch::new(n).unwrap(), ..CLUSTER });
    let ours = peer_welcome();
    let itself = PeerHello { node: ours.node, to: None, ..peer_hello() };
    let twin = PeerHello { node: identity(1, [0xee; 16], 9), ..itself.clone() };
    for (hello, why) in [
        (PeerHello { cluster: epoch(1), ..peer_hello() }, CloseReason::WrongEpoch),
        (PeerHello { cluster: epoch(3), ..peer_hello() }, CloseReason::WrongEpoch),
        (PeerHello { to: Some(node(5)), ..peer_hello() }, CloseReason::WrongNode),
        (
            PeerHello { credentials: Credentials(Bytes::from_static(b"secret")), ..peer_hello() },
            CloseReason::CredentialsUnsupported,
        ),
        (PeerHello { lane: 3, ..peer_hello() }, CloseReason::UnknownLane),
        (PeerHello { lane: 0, ..peer_hello() }, CloseReason::UnknownLane),
        (itself, CloseReason::OwnReflection),
        (twin, CloseReason::DuplicateNode),
    ] {
        let mut pair = Pair::new(Role::DialingPeer(hello), Role::AcceptingPeer(ours.clone()));
        pair.settle();
        assert_eq!(reason(&pair.acceptor), (Edge::Refuse, Some(why), false));
        assert_eq!(reason(&pair.dialer), (Edge::BeRefused, Some(why), true));
    }
}

#[test]
fn t3_refuse_a_welcome_from_the_wrong_place() {
    let later = Some(ClusterIdentity { epoch: ClusterEpoch::new(3).unwrap(), ..CLUSTER });
    let client = |cluster| Role::Client(ClientHello { cluster, ..client_hello() });
    // A lying server: it would accept us, and says it is something else than we asked for.
    for (dialer, welcome, why) in [
        (client(later), Message::from(client_welcome()), CloseReason::WrongEpoch),
        (
            Role::DialingPeer(peer_hello()),
            PeerWelcome { node: identity(3, [0xa3; 16], 1), ..peer_welcome() }.into(),
            CloseReason::WrongNode,
        ),
        (
            Role::DialingPeer(PeerHello { to: None, ..peer_hello() }),
            PeerWelcome { node: identity(2, [0xa2; 16], 1), ..peer_welcome() }.into(),
            CloseReason::DuplicateNode,
        ),
        (
            Role::DialingPeer(peer_hello()),
            PeerWelcome { cluster: later, ..peer_welcome() }.into(),
            CloseReason::WrongEpoch,
        ),
    ] {
        let mut dialer = Connection::new(dialer, 0).unwrap();
        assert_eq!(feed(&mut dialer, &[preface(), bytes_of(&welcome)].concat(), 0), []);
        assert_eq!(reason(&dialer), (Edge::Refuse, Some(why), false));
        assert_eq!(last_words(&mut dialer).unwrap().known_reason(), Some(why));
    }
}

#[test]
fn t3_refuse_a_client_that_has_seen_a_later_epoch_than_this_server() {
    let later = Some(ClusterIdentity { epoch: ClusterEpoch::new(3).unwrap(), ..CLUSTER });
    let hello = ClientHello { cluster: later, ..client_hello() };
    let mut pair = Pair::new(Role::Client(hello), Role::Server(client_welcome()));
    pair.settle();
    assert_eq!(reason(&pair.acceptor), (Edge::Refuse, Some(CloseReason::WrongEpoch), false));
}

#[test]
fn a_refusal_shows_what_came_without_letting_it_forge_a_log() {
    let foreign = ClusterIdentity { id: ClusterId([9; 16]), ..CLUSTER };
    let name = format!("x\nforged line \x1b[2J{}", "é".repeat(110)).into();
    let hello = ClientHello { cluster: Some(foreign), name, ..client_hello() };
    let mut pair = Pair::new(Role::Client(hello), Role::Server(client_welcome()));
    pair.settle();
    let said = &pair.dialer.ended().expect("a refusal").goodbye.detail;
    assert!(said.contains("client x\\nforged line \\u{1b}[2Jéé"), "{said}");
    assert!(!said.contains(char::is_control));
}

#[test]
fn credentials_do_not_turn_up_in_debug_output() {
    let credentials = Credentials(Bytes::from_static(b"hunter2"));
    let client = Connection::new(Role::Client(ClientHello { credentials, ..client_hello() }), 0).unwrap();
    let shown = format!("{:?}", client.trace()) + &format!("{:?}", Role::Client(client_hello()));
    assert!(!shown.contains("hunter2"));
    let whole = format!("{client:?}");
    assert!(whole.contains("Credentials(7 bytes)"), "{whole}");
}

#[test]
fn a_client_of_an_earlier_epoch_is_welcome_and_learns_the_present_one() {
    let earlier = Some(ClusterIdentity { epoch: ClusterEpoch::new(1).unwrap(), ..CLUSTER });
    let hello = ClientHello { cluster: earlier, ..client_hello() };
    let mut pair = Pair::new(Role::Client(hello), Role::Server(client_welcome()));
    pair.settle();
    assert_eq!((pair.dialer.state(), pair.acceptor.state()), (State::Open, State::Open));
}

#[test]
fn nodes_without_a_cluster_may_talk_to_form_one() {
    let hello = PeerHello { cluster: None, ..peer_hello() };
    let welcome = PeerWelcome { cluster: None, ..peer_welcome() };
    let mut pair = Pair::new(Role::DialingPeer(hello), Role::AcceptingPeer(welcome));
    pair.settle();
    assert_eq!(pair.acceptor.state(), State::Open);
}

#[test]
fn t3_refuse_a_client_on_the_peer_port_and_a_peer_on_the_client_port() {
    for (dialer, acceptor) in [
        (Role::Client(client_hello()), Role::AcceptingPeer(peer_welcome())),
        (Role::DialingPeer(peer_hello()), Role::Server(client_welcome())),
    ] {
        let mut pair = Pair::new(dialer, acceptor);
        pair.settle();
        assert_eq!(reason(&pair.acceptor), (Edge::Refuse, Some(CloseReason::WrongPort), false));
        assert_eq!(reason(&pair.dialer), (Edge::BeRefused, Some(CloseReason::WrongPort), true));
    }
}

#[test]
fn every_combination_of_greeting_facts_has_the_row_of_its_first_trouble() {
    let mut rows = std::collections::BTreeMap::new();
    for credentials in [false, true] {
        for cluster in [ClusterFact::Unnamed, ClusterFact::Same, ClusterFact::OtherEpoch, ClusterFact::Other]
        {
            for identity in [IdentityFact::Distinct, IdentityFact::Ourselves, IdentityFact::OurId] {
                for (misdirected, unknown_lane) in
                    [(false, false), (false, true), (true, false), (true, true)]
                {
                    // Each row's own condition, from its caption alone.
                    let troubles = [
                        (credentials, Row::Credentials),
                        (cluster == ClusterFact::Other, Row::ForeignCluster),
                        (cluster == ClusterFact::OtherEpoch, Row::OtherEpoch),
                        (identity == IdentityFact::Ourselves, Row::Reflection),
                        (identity == IdentityFact::OurId, Row::Duplicate),
                        (misdirected, Row::Stranger),
                        (unknown_lane, Row::Lane),
                        (true, Row::Welcome),
                    ];
                    let first = troubles.iter().find(|(holds, _)| *holds).unwrap().1;
                    let row = decide(Facts { credentials, cluster, identity, misdirected, unknown_lane });
                    assert_eq!(row, first, "{credentials} {cluster:?} {identity:?} {misdirected}");
                    *rows.entry(row).or_insert(0) += 1;
                }
            }
        }
    }
    assert_eq!(rows.values().sum::<u32>(), 96);
    assert_eq!(Vec::from_iter(rows.into_keys()), Row::ALL, "every row decides something");
}

#[test]
fn only_the_row_that_accepts_has_no_close_reason() {
    for &row in Row::ALL {
        assert_eq!(row.close_reason().is_none(), row == Row::Welcome, "{row}");
    }
}

#[test]
fn t4_break_off_another_protocol_without_a_word() {
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01", b"HLDF\x00\x00\x01\x00"] {
        let mut acceptor = Connection::new(Role::Server(client_welcome()), 0).unwrap();
        assert_eq!(feed(&mut acceptor, bytes, 0), []);
        assert_eq!(reason(&acceptor), (Edge::BreakOff, Some(CloseReason::Violation), false));
        assert!(acceptor.wants_shutdown(), "nothing is said to {bytes:?}");
        assert!(acceptor.buffer().is_empty(), "and nothing of it is kept");
    }
}

#[test]
fn t4_break_off_a_broken_frame_in_every_state_and_name_its_place() {
    let hello = bytes_of(&client_hello().into());
    let mut broken = bytes_of(&ping(5));
    broken[30] ^= 1;

    let mut greeting = Connection::new(Role::Server(client_welcome()), 0).unwrap();
    feed(&mut greeting, &[preface(), broken.clone()].concat(), 0);

    let mut open = Pair::open().acceptor;
    feed(&mut open, &broken, 0);

    let mut draining = Pair::open().acceptor;
    draining.close(CloseReason::Shutdown, "", 0);
    feed(&mut draining, &broken, 0);

    for (mut side, at) in [(greeting, 0), (open, hello.len()), (draining, hello.len())] {
        assert_eq!(reason(&side), (Edge::BreakOff, Some(CloseReason::Violation), false));
        let said = last_words(&mut side).expect("a Goodbye");
        assert!(said.detail.starts_with(&format!("frame at byte {at}: byte 4: CRC32 ")), "{}", said.detail);
    }
}

#[test]
fn t4_break_off_whole_frames_in_the_wrong_place() {
    let hello = Message::from(client_hello());
    let welcome = Message::from(client_welcome());
    // To a server before a Hello, to a server after it, to a client before a Welcome.
    for (first, then) in [(ping(0), None), (welcome.clone(), None), (hello.clone(), Some(hello.clone()))] {
        let mut server = Connection::new(Role::Server(client_welcome()), 0).unwrap();
        feed(&mut server, &[preface(), bytes_of(&first)].concat(), 0);
        if let Some(then) = then {
            assert_eq!(server.state(), State::Open);
            feed(&mut server, &bytes_of(&then), 0);
        }
        assert_eq!(reason(&server), (Edge::BreakOff, Some(CloseReason::Violation), false));
    }
    for (dialer, welcome) in [
        (Role::Client(client_hello()), Message::from(ClientWelcome { version: 2, ..client_welcome() })),
        (Role::DialingPeer(peer_hello()), PeerWelcome { version: 2, ..peer_welcome() }.into()),
    ] {
        let mut dialer = Connection::new(dialer, 0).unwrap();
        feed(&mut dialer, &[preface(), bytes_of(&welcome)].concat(), 0);
        assert_eq!(reason(&dialer), (Edge::BreakOff, Some(CloseReason::Violation), false));
    }
}

#[test]
fn t4_break_off_names_the_frame_that_is_wrong_and_not_the_one_behind_it() {
    let mut open = Pair::open().acceptor;
    let sound = bytes_of(&ping(9));
    // A Ping without its section: the frame is whole, and its body is not.
    let mut bad = bytes_of(&ping(0));
    bad.truncate(24);
    bad.extend_from_slice(&[0; 4]);
    bad[..4].copy_from_slice(&24_u32.to_le_bytes());
    common::reseal(&mut bad);
    feed(&mut open, &[sound.clone(), bad, sound.clone()].concat(), 0);
    let at = bytes_of(&client_hello().into()).len() + sound.len();
    let said = &open.ended().unwrap().goodbye.detail;
    assert_eq!(*said, format!("frame at byte {at}: byte 26: section 0 is missing"));

    let mut stranger = Connection::new(Role::Server(client_welcome()), 0).unwrap();
    feed(&mut stranger, b"SSH-2.0", 0);
    assert!(stranger.ended().unwrap().goodbye.detail.starts_with("preface: byte 0: expected the magic"));
}

#[test]
fn what_was_cut_off_by_a_lost_transport_is_mentioned() {
    let mut open = Pair::open().dialer;
    feed(&mut open, &bytes_of(&ping(9))[..20], 0);
    open.lost("reset", 0);
    assert_eq!(open.ended().unwrap().goodbye.detail, "reset; 20 bytes of something unfinished had come");
}

#[test]
fn nothing_behind_a_violation_is_acted_on() {
    let mut pair = Pair::open();
    let mut bytes = bytes_of(&Message::from(client_welcome()));
    bytes.extend_from_slice(&bytes_of(&ping(1)));
    assert_eq!(feed(&mut pair.acceptor, &bytes, 0), []);
    assert_eq!(pair.acceptor.state(), State::Closed);
    assert_eq!(feed(&mut pair.acceptor, &bytes_of(&ping(1)), 0), []);
    assert!(pair.acceptor.buffer().is_empty(), "what is read to avoid a reset is thrown away");
}

#[test]
fn before_the_greeting_no_more_than_a_greeting_is_buffered() {
    let mut server = Connection::new(Role::Server(client_welcome()), 0).unwrap();
    let mut header = bytes_of(&ping(0));
    header[..4].copy_from_slice(&(20 + GREETING_CAP + 1).to_le_bytes());
    feed(&mut server, &[preface(), header.clone()].concat(), 0);
    assert_eq!(reason(&server).0, Edge::BreakOff);

    let mut open = Pair::open().acceptor;
    header[..4].copy_from_slice(&(20 + PING_CAP).to_le_bytes());
    feed(&mut open, &header, 0);
    assert_eq!(open.state(), State::Open, "once accepted, the cap of the type holds");
}

#[test]
fn t6_abandon_when_the_owner_leaves_before_the_handshake_is_done() {
    let mut prefacing = Connection::new(Role::Client(client_hello()), 0).unwrap();
    let mut greeting = Connection::new(Role::Server(client_welcome()), 0).unwrap();
    feed(&mut greeting, &preface(), 0);
    for (side, state) in [(&mut prefacing, State::Prefacing), (&mut greeting, State::Greeting)] {
        assert_eq!(side.state(), state);
        side.close(CloseReason::Done, "changed its mind", 1);
        assert_eq!(reason(side), (Edge::Abandon, Some(CloseReason::Done), false));
        assert_eq!(last_words(side), Some(Goodbye::new(CloseReason::Done, "changed its mind")));
    }
}

#[test]
fn an_accepting_side_that_was_told_nothing_leaves_without_a_word() {
    let mut abandoned = Connection::new(Role::Server(client_welcome()), 0).unwrap();
    abandoned.close(CloseReason::Shutdown, "", 0);
    let mut given_up = Connection::new(Role::AcceptingPeer(peer_welcome()), 0).unwrap();
    given_up.tick(HANDSHAKE_DEADLINE_MS);
    for side in [&mut abandoned, &mut given_up] {
        assert_eq!(side.state(), State::Closed);
        assert!(drain(side).is_empty(), "a frame without a preface is no protocol");
    }
}

#[test]
fn t7_give_up_on_a_greeting_that_does_not_come() {
    let mut prefacing = Connection::new(Role::Server(client_welcome()), 100).unwrap();
    let mut greeting = Connection::new(Role::Server(client_welcome()), 100).unwrap();
    // A byte now and then does not extend the deadline.
    feed(&mut greeting, &preface(), 2_000);
    feed(&mut greeting, &[57], 4_000);
    for side in [&mut prefacing, &mut greeting] {
        let due = 100 + HANDSHAKE_DEADLINE_MS;
        assert_eq!(side.deadline(), Some(due));
        side.tick(due - 1);
        assert_ne!(side.state(), State::Closed);
        side.tick(due);
        assert_eq!(reason(side), (Edge::GiveUp, Some(CloseReason::HandshakeTimeout), false));
    }
}

#[test]
fn t8_t9_t10_an_ordered_end_finishes_what_is_in_flight() {
    let mut pair = Pair::open();
    // The client has a call in flight when the server wants to go.
    pair.dialer.send(ping(2).header().for_call(CallId(1)), &ping(2)).unwrap();
    pair.acceptor.close(CloseReason::Shutdown, "node 1 stops", 0);
    assert_eq!(pair.acceptor.state(), State::Draining);
    pair.acceptor.close(CloseReason::Shutdown, "again", 0);
    let (to_client, to_server) = pair.settle();
    let pong = Message::Pong(Echo { payload: Bytes::from_static(&[0xab; 2]) });
    let pong = Incoming::Message(pong.header().for_call(CallId(1)), pong);
    let goodbye = Incoming::Goodbye(Goodbye::new(CloseReason::Shutdown, "node 1 stops"));
    assert!(to_client.contains(&pong) && to_client.contains(&goodbye), "{to_client:?}");
    assert_eq!(
        to_server,
        [Incoming::Goodbye(Goodbye::new(CloseReason::Done, ""))],
        "the client is done asking"
    );
    assert_eq!(pair.dialer.state(), State::Draining, "the client heeded the Goodbye");
    let refused = pair.dialer.send(ping(0).header(), &ping(0));
    assert_eq!(refused, Err(SendError::NotOpen { state: State::Draining }), "no new calls");

    pair.dialer.drained(0);
    pair.acceptor.drained(0);
    assert_eq!(reason(&pair.dialer), (Edge::FinishDrain, Some(CloseReason::Shutdown), true));
    assert_eq!(reason(&pair.acceptor), (Edge::FinishDrain, Some(CloseReason::Shutdown), false));
    assert_eq!(pair.dialer.ended().unwrap().goodbye.detail, "node 1 stops");
    assert!(pair.dialer.wants_shutdown() && pair.acceptor.wants_shutdown());
    let taken: Vec<Edge> = pair.dialer.trace().steps().map(|step| step.edge).collect();
    assert_eq!(taken, [Edge::AgreeVersion, Edge::Accept, Edge::HeedGoodbye, Edge::FinishDrain]);
}

#[test]
fn t10_a_call_that_crosses_a_goodbye_is_shown_before_the_drain_can_end() {
    let mut pair = Pair::open();
    // A Pong stands for a call here: it is shown to the owner. It is under way when the server begins to drain.
    let call = Message::Pong(Echo::default());
    let under_way = bytes_of(&call);
    pair.acceptor.close(CloseReason::Shutdown, "", 0);
    pair.acceptor.drained(0);
    assert_eq!(pair.acceptor.state(), State::Draining, "the other side has not said Goodbye yet");
    let heeded = bytes_of(&Goodbye::new(CloseReason::Done, "").into());
    let shown = feed(&mut pair.acceptor, &[under_way, heeded].concat(), 0);
    let done = Incoming::Goodbye(Goodbye::new(CloseReason::Done, ""));
    assert_eq!(shown, [Incoming::Message(call.header(), call), done]);
    pair.acceptor.drained(0);
    assert_eq!(reason(&pair.acceptor).0, Edge::FinishDrain);
}

#[test]
fn both_sides_may_want_to_go_at_once() {
    let mut pair = Pair::open();
    pair.dialer.close(CloseReason::Done, "", 0);
    pair.acceptor.close(CloseReason::Shutdown, "", 0);
    pair.settle();
    for side in [&mut pair.dialer, &mut pair.acceptor] {
        assert_eq!(side.state(), State::Draining);
        side.drained(0);
    }
    assert_eq!(reason(&pair.dialer), (Edge::FinishDrain, Some(CloseReason::Done), false));
    assert_eq!(reason(&pair.acceptor), (Edge::FinishDrain, Some(CloseReason::Shutdown), false));
}

#[test]
fn a_closed_connection_goes_on_reading_until_the_other_side_closes() {
    let mut pair = Pair::open();
    pair.acceptor.close(CloseReason::Shutdown, "", 0);
    pair.settle();
    pair.acceptor.drained(0);
    assert_eq!(pair.acceptor.state(), State::Closed);
    // Closing a socket with unread bytes in it would reset the answers that the other side has not read yet.
    assert!(pair.acceptor.wants_read() && !pair.acceptor.is_finished());
    assert_eq!(feed(&mut pair.acceptor, &bytes_of(&ping(9)), 0), []);
    assert!(pair.acceptor.wants_shutdown(), "nothing is answered any more");
    pair.acceptor.lost("end of stream", 0);
    assert!(pair.acceptor.is_finished() && !pair.acceptor.wants_read());
    assert_eq!(reason(&pair.acceptor).0, Edge::FinishDrain);
}

#[test]
fn a_closed_connection_is_finished_within_the_linger_time_whatever_the_other_side_does() {
    let mut server = Pair::open().acceptor;
    let big = ping(PING_CAP as usize - 8);
    while server.send(big.header(), &big).is_ok() {}
    server.close(CloseReason::Shutdown, "", 0);
    server.tick(DRAIN_DEADLINE_MS);
    assert_eq!((server.state(), server.wants_shutdown()), (State::Closed, false));
    let due = DRAIN_DEADLINE_MS + LINGER_MS;
    assert_eq!(server.deadline(), Some(due));
    server.tick(due - 1);
    assert!(!server.is_finished());
    server.tick(due);
    assert!(server.is_finished());
    assert_eq!((server.deadline(), server.outbox().remaining()), (None, 0));
}

#[test]
fn replies_go_out_while_draining() {
    let mut pair = Pair::open();
    pair.acceptor.close(CloseReason::Shutdown, "", 0);
    let pong = Message::Pong(Echo::default());
    assert_eq!(pair.acceptor.send(pong.header().for_call(CallId(9)), &pong), Ok(()));
}

#[test]
fn having_nothing_in_flight_ends_only_a_drain() {
    let mut pair = Pair::client();
    pair.dialer.drained(0);
    assert_eq!(pair.dialer.state(), State::Prefacing);
    pair.settle();
    pair.dialer.drained(0);
    assert_eq!(pair.dialer.state(), State::Open);
    pair.dialer.lost("reset", 0);
    pair.dialer.drained(0);
    pair.dialer.close(CloseReason::Done, "", 0);
    pair.dialer.lost("again", 0);
    assert_eq!(reason(&pair.dialer), (Edge::Lose, Some(CloseReason::Lost), false));
    assert_eq!(pair.dialer.ended().unwrap().goodbye.detail, "reset", "the first reason stays");
}

#[test]
fn t11_cut_a_drain_that_takes_too_long() {
    let mut pair = Pair::open();
    pair.acceptor.close(CloseReason::Shutdown, "", 50);
    pair.acceptor.tick(50 + DRAIN_DEADLINE_MS - 1);
    assert_eq!(pair.acceptor.state(), State::Draining);
    pair.acceptor.tick(50 + DRAIN_DEADLINE_MS);
    assert_eq!(reason(&pair.acceptor), (Edge::CutDrain, Some(CloseReason::DrainTimeout), false));
    assert_eq!(last_words(&mut pair.acceptor).unwrap().known_reason(), Some(CloseReason::DrainTimeout));
}

#[test]
fn t12_presume_dead_after_silence_but_not_before_asking() {
    let mut client = Pair::open().dialer;
    let mut pings = 0;
    while client.state() == State::Open {
        let due = client.deadline().unwrap();
        client.tick(due - 1);
        assert!(!client.outbox().has_remaining(), "nothing is due before {due}");
        client.tick(due);
        let said = drain(&mut client);
        pings += u32::from(said == bytes_of(&ping(0)));
        assert!(due <= IDLE_DEADLINE_MS);
    }
    assert_eq!(pings, 3);
    assert_eq!(reason(&client), (Edge::PresumeDead, Some(CloseReason::Silence), false));
}

#[test]
fn after_a_pause_of_this_process_nobody_is_dead_who_was_not_asked() {
    let mut client = Pair::open().dialer;
    let late = 3 * IDLE_DEADLINE_MS;
    assert_eq!(client.next(late), None);
    client.tick(late);
    assert_eq!((client.state(), drain(&mut client)), (State::Open, bytes_of(&ping(0)).freeze()));
    client.tick(late + KEEPALIVE_MS);
    assert_eq!(reason(&client), (Edge::PresumeDead, Some(CloseReason::Silence), false));
}

#[test]
fn a_busy_connection_is_not_pinged() {
    let mut client = Pair::open().dialer;
    client.tick(KEEPALIVE_MS);
    assert!(client.outbox().has_remaining());
    drain(&mut client);
    for now in (KEEPALIVE_MS..20 * KEEPALIVE_MS).step_by(1000) {
        feed(&mut client, &bytes_of(&Message::Pong(Echo::default())), now);
        client.tick(now + 999);
        assert_eq!(client.deadline(), Some(now + KEEPALIVE_MS));
        assert!(!client.outbox().has_remaining(), "at {now}");
    }
}

#[test]
fn a_slow_reader_that_goes_on_reading_is_alive() {
    let mut server = Pair::open().acceptor;
    let big = ping(PING_CAP as usize - 8);
    while server.outbox().remaining() < 8 * HIGH_WATER_BYTES {
        server.send(big.header(), &big).unwrap();
    }
    let mut now = 0;
    while server.outbox().remaining() > HIGH_WATER_BYTES + 300_000 {
        assert!(!server.wants_read());
        server.outbox().advance(200_000);
        now += 5_000;
        server.tick(now);
        assert_eq!(server.state(), State::Open, "at {now}");
    }
    assert!(now > 5 * IDLE_DEADLINE_MS);
}

#[test]
fn two_sides_with_much_to_say_do_not_wait_for_each_other() {
    let mut pair = Pair::open();
    let big = ping(PING_CAP as usize - 8);
    for side in [&mut pair.dialer, &mut pair.acceptor] {
        while side.outbox().remaining() <= 2 * HIGH_WATER_BYTES {
            side.send(big.header(), &big).unwrap();
        }
    }
    let mut moved = 1;
    while moved > 0 {
        moved = carry(&mut pair.dialer, &mut pair.acceptor, 100_000);
        moved += carry(&mut pair.acceptor, &mut pair.dialer, 100_000);
        while pair.dialer.next(0).is_some() {}
        while pair.acceptor.next(0).is_some() {}
    }
    assert_eq!((pair.dialer.outbox().remaining(), pair.acceptor.outbox().remaining()), (0, 0));
}

#[test]
fn a_quiet_connection_lives_on_as_long_as_pings_are_answered() {
    let mut pair = Pair::open();
    for _ in 0..50 {
        pair.now = pair.dialer.deadline().unwrap().min(pair.acceptor.deadline().unwrap());
        pair.dialer.tick(pair.now);
        pair.acceptor.tick(pair.now);
        pair.settle();
    }
    assert_eq!((pair.dialer.state(), pair.acceptor.state()), (State::Open, State::Open));
    assert!(pair.now > 10 * IDLE_DEADLINE_MS);
}

#[test]
fn what_arrived_during_a_pause_of_this_process_counts_as_heard() {
    let mut pair = Pair::open();
    let late = 10 * IDLE_DEADLINE_MS;
    let said = bytes_of(&Message::Pong(Echo::default()));
    pair.dialer.buffer().extend_from_slice(&said);
    assert!(pair.dialer.next(late).is_some());
    pair.dialer.tick(late);
    assert_eq!(pair.dialer.state(), State::Open);
    assert_eq!(pair.dialer.deadline(), Some(late + KEEPALIVE_MS));
}

#[test]
fn t13_lose_the_transport_in_every_state() {
    let prefacing = Pair::client().dialer;
    let mut greeting = Pair::client().dialer;
    feed(&mut greeting, &preface(), 0);
    let open = Pair::open().dialer;
    let mut draining = Pair::open().dialer;
    draining.close(CloseReason::Done, "", 0);
    for (mut side, state, why) in [
        (prefacing, State::Prefacing, CloseReason::Lost),
        (greeting, State::Greeting, CloseReason::Lost),
        (open, State::Open, CloseReason::Lost),
        // Why a drain began is what people ask for; that it was cut short is in the edge.
        (draining, State::Draining, CloseReason::Done),
    ] {
        assert_eq!(side.state(), state);
        side.lost("connection reset by peer", 5);
        assert_eq!(reason(&side), (Edge::Lose, Some(why), false));
        assert!(side.is_finished(), "nothing is left to write to a lost transport");
    }
}

#[test]
fn last_words_that_nobody_can_hear_do_not_keep_a_connection_unfinished() {
    let mut server = Pair::open().acceptor;
    feed(&mut server, &bytes_of(&client_hello().into()), 0);
    assert_eq!(reason(&server).0, Edge::BreakOff);
    assert!(!server.wants_shutdown(), "a Goodbye waits to be written");
    server.lost("reset", 0);
    assert!(server.is_finished());
    assert_eq!(reason(&server).0, Edge::BreakOff, "the first reason stays");
}

#[test]
fn a_ping_is_answered_with_its_group_call_and_payload() {
    let mut pair = Pair::open();
    let asked = ping(100);
    let header = Header { group: GroupId(3), ..asked.header().for_call(CallId(77)) };
    pair.acceptor.send(header, &asked).unwrap();
    let (_, to_server) = pair.settle();
    let Message::Ping(Echo { payload }) = asked else { panic!("a Ping") };
    let pong = Message::Pong(Echo { payload });
    let header = Header { group: GroupId(3), ..pong.header().for_call(CallId(77)) };
    assert_eq!(to_server, [Incoming::Message(header, pong)]);
}

#[test]
fn a_flood_of_pings_stops_being_read_when_its_answers_are_not() {
    let mut server = Pair::open().acceptor;
    let flood = bytes_of(&ping(PING_CAP as usize - 8));
    let mut fed = 0;
    while server.wants_read() {
        feed(&mut server, &flood, 0);
        fed += 1;
        assert!(fed < 1000, "the flood is read for ever");
    }
    let most = HIGH_WATER_BYTES + flood.len();
    assert!(server.outbox().remaining() <= most, "{} bytes of answers", server.outbox().remaining());
    feed(&mut server, &flood, 0);
    assert!(server.outbox().remaining() <= most, "one more is left in the buffer");
    drain(&mut server);
    assert!(server.wants_read());
    assert_eq!(server.next(0), None);
    assert_eq!(server.outbox().remaining(), flood.len(), "and answered once there is room");
}

#[test]
fn t12_presume_dead_who_leaves_our_answers_unread_and_say_so() {
    let mut server = Pair::open().acceptor;
    let flood = bytes_of(&ping(PING_CAP as usize - 8));
    while server.wants_read() {
        feed(&mut server, &flood, 0);
    }
    while server.state() == State::Open {
        let due = server.deadline().unwrap();
        server.tick(due);
        assert!(due <= IDLE_DEADLINE_MS);
    }
    assert_eq!(reason(&server), (Edge::PresumeDead, Some(CloseReason::Unread), false));
}

#[test]
fn time_may_start_anywhere_even_at_its_end() {
    let mut pair = Pair::client();
    pair.now = u64::MAX - 1;
    pair.dialer = Connection::new(Role::Client(client_hello()), pair.now).unwrap();
    pair.acceptor = Connection::new(Role::Server(client_welcome()), pair.now).unwrap();
    pair.settle();
    assert_eq!(pair.acceptor.deadline(), Some(u64::MAX));
    pair.acceptor.close(CloseReason::Shutdown, "", u64::MAX);
    pair.acceptor.tick(u64::MAX);
    assert_eq!(reason(&pair.acceptor).0, Edge::CutDrain);
}

#[test]
fn sending_is_refused_in_words_when_it_cannot_be() {
    let mut greeting = Pair::client().dialer;
    let refused = greeting.send(ping(0).header(), &ping(0));
    assert_eq!(refused, Err(SendError::NotOpen { state: State::Prefacing }));

    let mut pair = Pair::open();
    for message in
        [Message::from(client_hello()), client_welcome().into(), Goodbye::new(CloseReason::Done, "").into()]
    {
        let message_type = message.message_type();
        let refused = pair.dialer.send(message.header(), &message);
        assert_eq!(refused, Err(SendError::NotOurs { message_type }));
    }
    let header = Header { flags: Flags::of(Flag::More), ..ping(0).header() };
    assert!(matches!(pair.dialer.send(header, &ping(0)), Err(SendError::Unencodable(_))));

    let big = ping(PING_CAP as usize - 8);
    let mut refused = Ok(());
    while refused.is_ok() {
        refused = pair.dialer.send(big.header(), &big);
    }
    let waiting = pair.dialer.outbox().remaining();
    assert_eq!(refused, Err(SendError::Full { waiting, limit: OUTBOX_BYTES_MAX }));
    assert!(waiting <= OUTBOX_BYTES_MAX + bytes_of(&big).len());
}

#[test]
fn an_outbox_at_its_limit_takes_one_more_message_and_then_none() {
    let mut side = Pair::open().dialer;
    let largest = 24 + PING_CAP as usize;
    loop {
        let room = OUTBOX_BYTES_MAX - side.outbox().remaining();
        // Frames that fill the room to the byte; each has 24 bytes of header and 8 of layout.
        let frame = if room > 2 * largest { largest } else { room.div_ceil(1 + room / largest) };
        let filling = ping(frame - 32);
        side.send(filling.header(), &filling).unwrap();
        if frame == room {
            break;
        }
    }
    assert_eq!(side.outbox().remaining(), OUTBOX_BYTES_MAX);
    let one_more = ping(0);
    assert_eq!(side.send(one_more.header(), &one_more), Ok(()), "any one message can be sent");
    let waiting = OUTBOX_BYTES_MAX + 32;
    let full = SendError::Full { waiting, limit: OUTBOX_BYTES_MAX };
    assert_eq!(side.send(one_more.header(), &one_more), Err(full));
}

#[test]
fn the_limit_that_the_accepting_side_names_holds_both_ways() {
    // Above the floor that leaves room for a Goodbye, below the cap of a Ping.
    let limit = 20_000;
    assert!(GREETING_CAP < limit && limit < PING_CAP);
    let mut server = client_welcome();
    server.limits.frame_bytes = limit;
    let peer = PeerWelcome { frame_bytes: limit, ..peer_welcome() };
    let (fits, over) = (ping(limit as usize - 8), ping(limit as usize - 7));
    for make in [
        || Pair::new(Role::Client(client_hello()), Role::Server(client_welcome())),
        || Pair::new(Role::DialingPeer(peer_hello()), Role::AcceptingPeer(peer_welcome())),
    ] {
        let mut unlimited = make();
        unlimited.settle();
        assert_eq!(unlimited.dialer.send(over.header(), &over), Ok(()), "the cap of the type is above");
    }
    for (dialer, acceptor) in [
        (Role::Client(client_hello()), Role::Server(server)),
        (Role::DialingPeer(peer_hello()), Role::AcceptingPeer(peer)),
    ] {
        let mut pair = Pair::new(dialer, acceptor);
        pair.settle();
        for side in [&mut pair.dialer, &mut pair.acceptor] {
            assert_eq!(side.send(fits.header(), &fits), Ok(()));
            let refused = side.send(over.header(), &over);
            assert!(matches!(refused, Err(SendError::Unencodable(_))), "{refused:?}");
        }
        pair.settle();
        assert_eq!((pair.dialer.state(), pair.acceptor.state()), (State::Open, State::Open));
        for side in [&mut pair.dialer, &mut pair.acceptor] {
            feed(side, &bytes_of(&over), 0);
            assert_eq!(reason(side).0, Edge::BreakOff);
        }
    }
}

#[test]
fn a_limit_below_a_goodbye_does_not_silence_it() {
    let mut welcome = client_welcome();
    welcome.limits.frame_bytes = 0;
    let mut pair = Pair::new(Role::Client(client_hello()), Role::Server(welcome));
    pair.settle();
    pair.dialer.close(CloseReason::Done, &"x".repeat(3000), 0);
    pair.settle();
    assert_eq!(pair.acceptor.state(), State::Draining);
}

#[test]
fn a_greeting_that_does_not_fit_is_refused_where_it_is_made() {
    for (count, fits) in [(TEXT_CAP as usize, true), (TEXT_CAP as usize + 1, false)] {
        let name = "n".repeat(count).into();
        assert_eq!(Connection::new(Role::Client(ClientHello { name, ..client_hello() }), 0).is_ok(), fits);
        let build = "b".repeat(count).into();
        assert_eq!(
            Connection::new(Role::Server(ClientWelcome { build, ..client_welcome() }), 0).is_ok(),
            fits
        );
    }
    let credentials = Credentials(vec![0; GREETING_CAP as usize].into());
    assert!(Connection::new(Role::Client(ClientHello { credentials, ..client_hello() }), 0).is_err());
}

#[test]
fn a_long_detail_is_cut_between_characters() {
    let mut pair = Pair::open();
    pair.acceptor.close(CloseReason::Shutdown, &"é".repeat(2000), 0);
    let said = last_words(&mut pair.acceptor).unwrap();
    assert_eq!((said.detail.len(), said.detail.chars().all(|c| c == 'é')), (1024, true));
}

#[test]
fn skipped_frames_and_extensions_are_counted_per_connection() {
    let mut pair = Pair::open();
    let mut unknown = bytes_of(&ping(0));
    unknown[8..10].copy_from_slice(&999_u16.to_le_bytes());
    unknown[10..12].copy_from_slice(&Flags::of(Flag::MayIgnore).bits().to_le_bytes());
    common::reseal(&mut unknown);
    let mut extended = bytes_of(&ping(0));
    extended.extend_from_slice(&[1, 0, 0, 0, 0, 0]);
    let length = extended.len() as u32 - 4;
    extended[..4].copy_from_slice(&length.to_le_bytes());
    common::reseal(&mut extended);
    feed(&mut pair.acceptor, &[unknown, extended].concat(), 0);
    assert_eq!((pair.acceptor.state(), pair.acceptor.skipped()), (State::Open, (1, 1)));
}

/// Lives of connections under everything at once: valid frames of every type, broken ones, in pieces, with the
/// owner closing, losing the transport and letting time pass at random. How often each edge was taken.
fn storm(rounds: u32) -> Vec<u64> {
    let mut seed = common::seed();
    let samples = common::samples();
    let mut taken = vec![0; Edge::ALL.len()];
    for round in 0..rounds {
        let (role, hello): (Role, Message) = match random(&mut seed) % 4 {
            0 => (Role::Client(client_hello()), client_welcome().into()),
            1 => (Role::Server(client_welcome()), client_hello().into()),
            2 => (Role::DialingPeer(peer_hello()), peer_welcome().into()),
            _ => (Role::AcceptingPeer(peer_welcome()), peer_hello().into()),
        };
        let mut connection = Connection::new(role, 0).unwrap();
        let mut bytes = preface();
        if !random(&mut seed).is_multiple_of(4) {
            bytes.unsplit(bytes_of(&hello));
        }
        for _ in 0..random(&mut seed) % 6 {
            let (_, header, message) = &samples[random(&mut seed) as usize % samples.len()];
            bytes.unsplit(encoded(*header, message));
        }
        if round % 2 == 0 {
            let at = random(&mut seed) as usize % bytes.len();
            bytes[at] = random(&mut seed) as u8;
        }
        let mut now = 0;
        while bytes.has_remaining() {
            let count = (1 + random(&mut seed) as usize % 200).min(bytes.len());
            connection.buffer().put(bytes.split_to(count));
            match random(&mut seed) % 40 {
                0 => connection.close(CloseReason::Shutdown, "", now),
                1 => connection.drained(now),
                2 => connection.lost("reset", now),
                3 => now += random(&mut seed) % 20_000,
                4 => drop(drain(&mut connection)),
                _ => {}
            }
            while connection.next(now).is_some() {}
            connection.tick(now);
        }
        if random(&mut seed).is_multiple_of(4) {
            connection.tick(now + 2 * IDLE_DEADLINE_MS);
            connection.tick(now + 3 * IDLE_DEADLINE_MS);
        }
        let state = connection.state();
        assert_eq!(connection.ended().is_some(), state == State::Closed);
        assert_eq!(connection.deadline().is_none(), connection.is_finished());
        for (edge, count) in Edge::ALL.iter().zip(&mut taken) {
            *count += connection.trace().count(*edge);
        }
    }
    taken
}

#[test]
fn any_bytes_in_any_state_end_in_a_state_and_every_drawn_edge_is_taken_by_code() {
    let taken = storm(20_000);
    for (edge, count) in Edge::ALL.iter().zip(taken) {
        println!("{count:>6} × {edge}");
        assert!(count > 0, "{edge} is drawn and never taken");
    }
}
