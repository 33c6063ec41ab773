//! Chapter 4, who is alive, who is not, and who waits for whom.

use super::*;

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
