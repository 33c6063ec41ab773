//! Each edge of machine 13 by itself, and what no random schedule says by name.

use bytes::Bytes;
use holdfast_command::keys::{Compact, Operation, Put, Span, Transaction};
use holdfast_command::{Code, Command, Refusal, WatchEvent};
use holdfast_machine::Numbered;
use holdfast_server::node::Caller;
use holdfast_server::watch::limits::EVENT_BYTES_MAX;
use holdfast_server::watch::machine::{Edge, State};
use holdfast_server::watch::plant::NoPlant;
use holdfast_server::watch::{Ask, Budget, Hub, Wants};
use holdfast_wire::Message;
use holdfast_wire::message_type::BODY_CAP;

use crate::world::{World, delete, put};

const ALL: Wants = Wants { previous: false, puts: true, deletes: true, progress: true };

fn tiny() -> Budget {
    Budget {
        connection_bytes: 600,
        piece_bytes: 300,
        batch_bytes: 200,
        inline_changes: 0,
        mark_ticks: 1,
        ..Budget::default()
    }
}

fn world(budget: Budget) -> World<NoPlant> {
    World::new(1, budget)
}

/// Writes so many keys, one after the other, and applies them.
fn write(world: &mut World<NoPlant>, count: usize) {
    for number in 0..count {
        world.commit(put(format!("a/{}", number % 7), "a value of some twenty bytes"));
        world.apply(1);
        world.bounds().expect("within bounds");
    }
}

fn state(world: &World<NoPlant>, client: usize) -> Option<State> {
    world.hub.state(world.clients[client].caller?)
}

#[test]
fn t1_begin_past_delivers_history_and_then_what_comes() {
    let mut world = world(tiny());
    write(&mut world, 5);
    let client = world.open(1, Span::prefix("a/"), ALL, 2).expect("opened");
    assert_eq!((state(&world, client), world.hub.edges(Edge::BeginPast)), (Some(State::Splicing), 1));
    write(&mut world, 5);
    world.settle().expect("all is well");
    assert_eq!(world.clients[client].seen.len(), 10);
}

#[test]
fn t2_begin_live_delivers_what_comes_and_nothing_before() {
    let mut world = world(tiny());
    write(&mut world, 3);
    let now = world.open(1, Span::all(), ALL, 0).expect("opened");
    let later = world.open(2, Span::all(), ALL, 7).expect("opened");
    assert_eq!(world.hub.edges(Edge::BeginLive), 2);
    write(&mut world, 4);
    world.settle().expect("all is well");
    let first = |client: usize| world.clients[client].seen[0][0].revision();
    assert_eq!((first(now), first(later)), (5, 7));
}

#[test]
fn t3_refuse_opening_says_what_the_oldest_is() {
    let mut world = world(tiny());
    write(&mut world, 6);
    world.commit(Command::Compact(Compact { revision: 5 }));
    world.apply(1);
    let ask = |from| Ask { span: Span::all(), wants: ALL, from, index: 0 };
    let refused = world.hub.open(Caller { connection: 1, call: 1 }, ask(5), &world.store);
    assert_eq!(refused, Err(Refusal::Compacted { asked: 5, oldest: 5 }));
    assert_eq!(world.hub.edges(Edge::RefuseOpening), 1);
    let opened = world.hub.open(Caller { connection: 1, call: 2 }, ask(6), &world.store);
    assert_eq!(opened.map(|started| started.map(|started| started.from)), Ok(Some(6)), "just above it");
    assert_eq!(world.hub.faults(), [""; 0]);
}

#[test]
fn t4_drop_opening_answers_the_call_of_a_watch_that_waits_for_a_position() {
    let mut world = world(tiny());
    let (caller, store) = (Caller { connection: 1, call: 1 }, world.store.clone());
    let ask = Ask { span: Span::all(), wants: ALL, from: 0, index: 5 };
    assert_eq!(world.hub.open(caller, ask, &store), Ok(None));
    world.hub.cancel(caller, &store);
    let told = world.hub.advance(&store, &mut Vec::new());
    assert_eq!(told, [(caller, Err(Refusal::PositionNotReached { applied: 0, asked: 5 }))]);
    assert_eq!((world.hub.edges(Edge::DropOpening), world.hub.watches()), (1, 0));
}

#[test]
fn a_watch_that_waits_for_a_position_begins_behind_it() {
    let mut world = world(tiny());
    let caller = Caller { connection: 1, call: 1 };
    let ask = Ask { span: Span::all(), wants: ALL, from: 0, index: 3 };
    assert_eq!(world.hub.open(caller, ask, &world.store), Ok(None));
    write(&mut world, 2);
    assert_eq!(world.hub.advance(&world.store, &mut Vec::new()), []);
    write(&mut world, 1);
    let told = world.hub.advance(&world.store, &mut Vec::new());
    let started = told[0].1.as_ref().expect("it has begun");
    assert_eq!((started.from, started.revision), (5, 4));
}

#[test]
fn t5_join_live_happens_when_nothing_published_is_left_and_not_when_the_clone_is_read() {
    let mut world = world(tiny());
    write(&mut world, 2);
    let client = world.open(1, Span::all(), ALL, 2).expect("opened");
    world.advance().expect("a piece is given away");
    // What is applied while the piece is read is not in it.
    write(&mut world, 1);
    assert!(world.run_job());
    assert_eq!((state(&world, client), world.hub.edges(Edge::JoinLive)), (Some(State::Splicing), 0));
    world.settle().expect("all is well");
    assert_eq!((state(&world, client), world.hub.edges(Edge::JoinLive)), (Some(State::Live), 1));
    assert_eq!(world.clients[client].seen.len(), 3);
}

#[test]
fn the_store_says_how_many_changes_are_left_so_that_the_rest_is_read_at_once() {
    let mut world = world(Budget { inline_changes: 5, ..Budget::default() });
    write(&mut world, 20);
    assert_eq!(world.store.changes(10).map(|changes| changes.size_hint()), Ok((12, Some(12))));
    let client = world.open(1, Span::all(), ALL, 18).expect("opened");
    world.advance().expect("well");
    assert!(!world.run_job(), "no other thread was asked");
    assert_eq!(state(&world, client), Some(State::Live));
}

#[test]
fn t6_pause_splice_leaves_history_where_it_is_while_the_queue_is_full() {
    let mut world = world(tiny());
    write(&mut world, 40);
    let client = world.open(1, Span::all(), ALL, 2).expect("opened");
    for _ in 0..20 {
        world.advance().expect("well");
        world.run_job();
    }
    assert_eq!((state(&world, client), world.hub.edges(Edge::PauseSplice)), (Some(State::Behind), 1));
    assert!(!world.hub.has_more(), "nothing is to be done until the connection takes something");
    world.settle().expect("all is well");
    assert_eq!(world.clients[client].seen.len(), 40);
}

#[test]
fn t7_cut_splice_says_that_history_is_gone_and_where_it_was() {
    let mut world = world(tiny());
    let client = world.open(1, Span::all(), ALL, 0).expect("opened");
    write(&mut world, 30);
    assert_eq!(state(&world, client), Some(State::Behind));
    let revision = world.store.revision();
    world.commit(Command::Compact(Compact { revision }));
    world.settle().expect("all is well");
    let client = &world.clients[client];
    let ended = client.ended.expect("it has ended");
    assert_eq!((ended.code, ended.oldest), (Code::Compacted.number(), revision));
    assert_eq!(ended.resume, client.next, "everything before was delivered");
    assert_eq!(world.hub.edges(Edge::CutSplice), 1);
}

#[test]
fn t8_restart_splice_begins_the_revision_anew_that_was_delivered_in_part() {
    let mut world = world(tiny());
    wide(&mut world, 40);
    world.apply(1);
    let client = world.open(1, Span::all(), ALL, 2).expect("opened");
    world.advance().expect("well");
    world.run_job();
    world.take(1, 150).expect("a part of it");
    world.advance().expect("well");
    world.reinstall();
    assert_eq!(world.hub.edges(Edge::RestartSplice), 1);
    world.settle().expect("all is well");
    assert_eq!(world.clients[client].seen.iter().map(Vec::len).collect::<Vec<_>>(), [40]);
}

/// One revision with so many keys.
fn wide(world: &mut World<NoPlant>, keys: usize) {
    let one = |number| {
        let key = Bytes::from(format!("w/{number:04}"));
        Operation::Put(Put { key, value: Bytes::from_static(b"some value"), ..Put::default() })
    };
    world.commit(Command::Transact(Transaction {
        then: (0..keys).map(one).collect(),
        ..Transaction::default()
    }));
}

#[test]
fn t9_t12_and_t14_a_watch_that_is_ended_says_where_to_resume_whatever_it_was_doing() {
    for edge in [Edge::EndSplice, Edge::EndLive, Edge::EndBehind] {
        let mut world = world(tiny());
        let from = if edge == Edge::EndSplice { 2 } else { 0 };
        write(&mut world, 4);
        let client = world.open(1, Span::all(), ALL, from).expect("opened");
        write(&mut world, if edge == Edge::EndBehind { 30 } else { 2 });
        world.hub.end_all(Refusal::NoLeader, &world.store);
        assert_eq!(world.hub.edges(edge), 1);
        world.settle().expect("all is well");
        let ended = world.clients[client].ended.expect("it was told");
        let seen = world.clients[client].seen.len() as u64;
        assert_eq!(ended.code, Code::NoLeader.number());
        let first = if edge == Edge::EndSplice { 2 } else { 6 };
        assert_eq!(ended.resume, first + seen, "behind what was delivered, and nothing is between");
        world.reopen(client, 2, 0).expect("opened");
        world.settle().expect("all is well, without a gap and without a repetition");
    }
}

#[test]
fn t10_fall_behind_and_t13_read_on_deliver_all_to_a_reader_that_pauses() {
    let mut world = world(tiny());
    let slow = world.open(1, Span::all(), ALL, 0).expect("opened");
    let quick = world.open(2, Span::all(), ALL, 0).expect("opened");
    for _ in 0..50 {
        write(&mut world, 1);
        world.take(2, 1 << 20).expect("well");
    }
    assert_eq!((state(&world, slow), state(&world, quick)), (Some(State::Behind), Some(State::Live)));
    assert_eq!(world.hub.edges(Edge::FallBehind), 1, "once, and not at each revision");
    world.settle().expect("all is well");
    assert!(world.hub.edges(Edge::ReadOn) > 0);
    assert_eq!(world.clients[slow].seen.len(), 50);
}

#[test]
fn t11_resume_from_snapshot_delivers_what_the_follower_never_applied() {
    let mut world = world(tiny());
    let client = world.open(1, Span::all(), ALL, 0).expect("opened");
    write(&mut world, 3);
    for _ in 0..4 {
        world.commit(put("b", "comes by snapshot"));
    }
    world.reinstall();
    assert_eq!(world.hub.edges(Edge::ResumeFromSnapshot), 1);
    write(&mut world, 2);
    world.settle().expect("no gap and no repetition");
    assert_eq!(world.clients[client].seen.len(), 9);
}

#[test]
fn after_a_snapshot_that_has_compacted_what_was_next_a_watch_is_cut() {
    let mut world = world(tiny());
    let client = world.open(1, Span::all(), ALL, 0).expect("opened");
    write(&mut world, 3);
    for _ in 0..4 {
        world.commit(put("b", "comes by snapshot"));
    }
    let revision = world.leader.revision();
    world.commit(Command::Compact(Compact { revision }));
    world.reinstall();
    world.settle().expect("well");
    let ended = world.clients[client].ended.expect("it was cut");
    assert_eq!((ended.code, ended.resume, ended.oldest), (Code::Compacted.number(), 5, revision));
    assert_eq!(world.clients[client].seen.len(), 3, "what was queued before was delivered");
}

#[test]
fn a_compaction_right_behind_a_write_takes_nothing_from_a_live_watch() {
    let mut world = world(tiny());
    let client = world.open(1, Span::all(), ALL, 0).expect("opened");
    for _ in 0..5 {
        world.commit(put("a", "b"));
        let revision = world.leader.revision();
        world.commit(Command::Compact(Compact { revision }));
        world.apply(2);
        world.take(1, 1 << 20).expect("well");
    }
    assert_eq!(world.clients[client].seen.len(), 5);
}

#[test]
fn a_revision_longer_than_a_message_goes_in_parts_and_one_longer_than_the_queue_too() {
    for keys in [4, 300] {
        let mut world = world(tiny());
        let client = world.open(1, Span::all(), ALL, 0).expect("opened");
        wide(&mut world, keys);
        world.settle().expect("well");
        assert_eq!(world.clients[client].seen.iter().map(Vec::len).collect::<Vec<_>>(), [keys]);
    }
}

#[test]
fn marks_come_to_a_watch_that_has_nothing_to_be_told_and_only_if_there_is_something_new() {
    let mut world = world(tiny());
    let quiet = world.open(1, Span::prefix("nothing/"), ALL, 0).expect("opened");
    let silent = Wants { progress: false, ..ALL };
    let unasked = world.open(2, Span::prefix("nothing/"), silent, 0).expect("opened");
    for _ in 0..3 {
        write(&mut world, 2);
        for _ in 0..5 {
            world.hub.tick();
        }
        world.settle().expect("well");
    }
    assert_eq!(world.clients[quiet].marks, [3, 5, 7]);
    assert!(world.clients[unasked].marks.is_empty());
    world.hub.ask(world.clients[unasked].caller.expect("it watches"));
    world.settle().expect("well");
    assert_eq!(world.clients[unasked].marks, [7], "on demand");
}

/// Found by the simulation of whole nodes, seed 335 of its first day: a watch that was opened anew behind the last revision of
/// its keys never learned that it had everything, until somebody wrote something.
#[test]
fn a_watch_whose_history_holds_nothing_for_it_is_told_so_though_nothing_new_comes() {
    let mut world = world(tiny());
    write(&mut world, 5);
    let client = world.open(1, Span::prefix("nothing/"), ALL, 2).expect("opened");
    world.settle().expect("well");
    for _ in 0..5 {
        world.hub.tick();
    }
    world.settle().expect("well");
    assert_eq!(world.clients[client].marks, [6]);
}

#[test]
fn a_wish_to_be_told_waits_until_the_watch_has_caught_up() {
    let mut world = world(tiny());
    write(&mut world, 30);
    let client = world.open(1, Span::all(), Wants { progress: false, ..ALL }, 2).expect("opened");
    world.hub.ask(world.clients[client].caller.expect("it watches"));
    world.settle().expect("well, and the mark is not ahead");
    assert_eq!(world.clients[client].marks, [31]);
}

#[test]
fn the_events_of_one_change_share_their_bytes_across_connections() {
    let mut world = world(Budget::default());
    for connection in 1..=3 {
        world.open(connection, Span::all(), ALL, 0).expect("opened");
    }
    write(&mut world, 1);
    let pointer = |connection, hub: &mut Hub<NoPlant>| {
        let mut out = Vec::new();
        hub.take(connection, 1 << 20, &mut out);
        let Some((_, Message::WatchEvents(events))) = out.pop() else { panic!("an event") };
        events.events[0].as_ptr()
    };
    let first = pointer(1, &mut world.hub);
    assert_eq!([pointer(2, &mut world.hub), pointer(3, &mut world.hub)], [first; 2]);
}

#[test]
fn an_event_that_is_too_long_with_what_was_before_says_that_it_leaves_that_out() {
    assert!(EVENT_BYTES_MAX + 64 < BODY_CAP as usize);
    let mut world = world(Budget { event_bytes: 200, ..Budget::default() });
    let caller = Caller { connection: 1, call: 1 };
    let ask = Ask { span: Span::all(), wants: Wants { previous: true, ..ALL }, from: 0, index: 0 };
    world.hub.open(caller, ask, &world.store).expect("opened");
    for _ in 0..2 {
        world.commit(put("a", "x".repeat(60)));
        world.apply(1);
    }
    let mut out = Vec::new();
    world.hub.take(1, 1 << 20, &mut out);
    let events: Vec<WatchEvent> = out
        .into_iter()
        .flat_map(|(_, message)| match message {
            Message::WatchEvents(events) => events.events,
            other => panic!("{other:?}"),
        })
        .map(|bytes| WatchEvent::decode(bytes).expect("an event"))
        .collect();
    let said: Vec<_> =
        events.iter().map(|event| (event.previous.is_some(), event.previous_left_out)).collect();
    assert_eq!(said, [(false, false), (false, true)]);
}

#[test]
fn watches_beyond_the_bounds_are_refused_and_ended_ones_give_room() {
    let mut world = world(Budget { connection_watches: 2, node_watches: 3, ..Budget::default() });
    let ask = || Ask { span: Span::all(), wants: ALL, from: 0, index: 0 };
    let caller = |connection, call| Caller { connection, call };
    let store = world.store.clone();
    let mut open = |connection, call| world.hub.open(caller(connection, call), ask(), &store).is_ok();
    assert_eq!(
        [open(1, 1), open(1, 2), open(1, 3), open(2, 1), open(2, 2)],
        [true, true, false, true, false]
    );
    world.hub.cancel(caller(1, 1), &store);
    assert!(world.hub.open(caller(2, 3), ask(), &store).is_ok());
    assert_eq!(
        world.hub.open(caller(2, 3), ask(), &store),
        Err(Refusal::Contradiction),
        "a call is one watch at a time"
    );
    for connection in [1, 2] {
        world.hub.close(connection);
    }
    assert_eq!((world.hub.watches(), world.hub.bytes()), (0, 0));
}

#[test]
fn spans_that_hold_nothing_are_refused() {
    let mut world = world(Budget::default());
    let caller = Caller { connection: 1, call: 1 };
    let ask = |span| Ask { span, wants: ALL, from: 0, index: 0 };
    let empty = world.hub.open(caller, ask(Span::Key(Bytes::new())), &world.store);
    assert_eq!(empty, Err(Refusal::EmptyKey));
    let swapped = Span::Between { start: "b".into(), end: "a".into() };
    assert_eq!(world.hub.open(caller, ask(swapped), &world.store), Err(Refusal::EmptySpan));
    assert_eq!(world.hub.faults(), [""; 0]);
}

#[test]
fn a_deletion_of_many_keys_is_one_revision() {
    let mut world = world(tiny());
    wide(&mut world, 12);
    world.apply(1);
    let client = world.open(1, Span::all(), Wants { previous: true, ..ALL }, 0).expect("opened");
    world.commit(delete(Span::prefix("w/")));
    world.settle().expect("well");
    let seen = &world.clients[client].seen;
    assert_eq!(seen.len(), 1);
    assert!(seen[0].iter().all(|event| event.deleted && event.previous.is_some()));
    assert_eq!(Edge::ALL.len(), 14, "each has a test above");
}
