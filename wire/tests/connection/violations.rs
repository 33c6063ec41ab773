//! Chapter 2, what is not the protocol, and where that is said.

use super::*;

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

/// Messages of consensus flow from who dialed to who accepted, calls from client to server, replies back; whatever comes
/// the other way, or on the other port, ends the connection.
#[test]
fn every_message_is_taken_from_the_side_that_may_say_it_and_from_no_other() {
    let ports: [fn() -> Pair; 2] =
        [Pair::client, || Pair::new(Role::DialingPeer(peer_hello()), Role::AcceptingPeer(peer_welcome()))];
    for (name, header, message) in common::samples() {
        let spec = message.message_type().spec();
        if message.message_type().number() < 100 {
            continue;
        }
        let mut taken = 0;
        for (port, pair) in ports.into_iter().enumerate() {
            for from_dialer in [true, false] {
                let mut pair = pair();
                pair.settle();
                let to = if from_dialer { &mut pair.acceptor } else { &mut pair.dialer };
                let came = feed(to, &encoded(header, &message), 0);
                let wanted: &[(usize, bool)] = match spec.direction {
                    Direction::ClientToServer => &[(0, true)],
                    Direction::ServerToClient => &[(0, false)],
                    Direction::ClientAndServer => &[(0, true), (0, false)],
                    Direction::DialerToPeer => &[(1, true)],
                    Direction::PeerToDialer => &[(1, false)],
                    Direction::Any => continue,
                };
                if wanted.contains(&(port, from_dialer)) {
                    assert_eq!(came, [Incoming::Message(header, message.clone())], "{name}");
                    taken += 1;
                } else {
                    assert_eq!(came, [], "{name}");
                    assert_eq!(reason(to), (Edge::BreakOff, Some(CloseReason::Violation), false), "{name}");
                }
            }
        }
        assert_eq!(taken, if spec.direction == Direction::ClientAndServer { 2 } else { 1 }, "{name}");
    }
}
