//! Chapter 1, from the open transport to an accepted greeting, or a refusal.

use super::*;

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
    let mut client = Connection::new(Role::Client(ClientHello { credentials, ..client_hello() }), 0).unwrap();
    let dialing = format!("{client:?}");
    assert!(dialing.contains("Credentials(7 bytes)"), "{dialing}");

    // On the other side they are in the read buffer, then in a frame.
    let mut server = Connection::new(Role::Server(client_welcome()), 0).unwrap();
    let said = drain(&mut client);
    server.buffer().extend_from_slice(&said);
    let accepting = format!("{server:?}");
    let frame = holdfast_wire::FrameCodec::open().next(&mut BytesMut::from(&said[8..])).unwrap().unwrap();
    for shown in [dialing, accepting, format!("{frame:?}")] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
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
