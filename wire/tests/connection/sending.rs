//! Chapter 5, what may be sent, how much of it, and what is skipped.

use super::*;

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
