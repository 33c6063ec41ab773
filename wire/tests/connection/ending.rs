//! Chapter 3, how a connection ends in order, and when it does not.

use super::*;

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
fn what_was_cut_off_by_a_lost_transport_is_mentioned() {
    let mut open = Pair::open().dialer;
    feed(&mut open, &bytes_of(&ping(9))[..20], 0);
    open.lost("reset", 0);
    assert_eq!(open.ended().unwrap().goodbye.detail, "reset; 20 bytes of something unfinished had come");
}
