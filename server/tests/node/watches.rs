//! Watches at a node: where they begin, what they are told of what is applied, and how they end.

use bytes::Bytes;
use holdfast_command::keys::{Operation, Put, Span, Transaction};
use holdfast_command::{Code, Command, Request, WatchEvent};
use holdfast_machine::Numbered;
use holdfast_server::node::{Caller, Input};
use holdfast_wire::message::{Position, Watch, WatchEnded, WatchStarted};
use holdfast_wire::{ClusterEpoch, Message};

use crate::clients::put;
use crate::world::World;

pub(crate) fn all() -> Watch {
    let mut span = Vec::new();
    Span::all().write(&mut span);
    Watch { from: 0, flags: Watch::PREVIOUS | Watch::PROGRESS, min_position: None, span: span.into() }
}

pub(crate) fn watch(world: &mut World, at: usize, watch: Watch) -> Caller {
    let caller = world.caller();
    world.input(at, Input::Watch { caller, watch });
    caller
}

pub(crate) fn started(world: &mut World, caller: Caller) -> WatchStarted {
    match world.await_answer(caller) {
        Message::WatchStarted(started) => started,
        other => panic!("{other:?}"),
    }
}

/// What a watch is told in some time: the revisions of its events, its marks and its end.
pub(crate) fn told(world: &mut World, at: usize, caller: Caller) -> (Vec<u64>, Vec<u64>, Option<WatchEnded>) {
    let (mut events, mut marks, mut end) = (Vec::new(), Vec::new(), None);
    for message in world.take_watched(at, caller) {
        match message {
            Message::WatchEvents(told) => {
                let decoded =
                    told.events.into_iter().map(|bytes| WatchEvent::decode(bytes).expect("an event"));
                events.extend(decoded.map(|event| event.revision()));
            }
            Message::WatchProgress(progress) => marks.push(progress.revision),
            Message::WatchEnded(ended) => end = Some(ended),
            other => panic!("{other:?}"),
        }
    }
    (events, marks, end)
}

fn other_than(leader: usize) -> usize {
    (leader + 1) % 3
}

#[test]
fn a_follower_tells_what_was_written_at_the_leader_and_how_far_it_is() {
    let (mut world, leader) = World::calm(1, 3);
    let at = other_than(leader);
    let caller = watch(&mut world, at, all());
    let begins = started(&mut world, caller);
    for value in ["1", "2", "3"] {
        world.done(leader, &put("a", value)).1.expect("written");
    }
    world.run_ms(1_500);
    let (events, marks, end) = told(&mut world, at, caller);
    assert_eq!(events, (begins.from..begins.from + 3).collect::<Vec<_>>());
    assert_eq!((marks, end), (vec![], None), "there is nothing that the events do not say");
    assert_eq!(world.node(at).watches().watches(), 1);
}

#[test]
fn an_entry_that_was_applied_on_another_thread_is_told_as_any_other() {
    let (mut world, leader) = World::calm(2, 3);
    let caller = watch(&mut world, leader, all());
    let begins = started(&mut world, caller);
    let one = |key: &'static str| {
        let value = Bytes::from(vec![b'x'; 200 << 10]);
        Operation::Put(Put { key: key.into(), value, ..Put::default() })
    };
    let then = vec![one("a"), one("b")];
    let large = Request::from(Command::Transact(Transaction { then, ..Transaction::default() }));
    world.done(leader, &large).1.expect("written");
    world.done(leader, &put("c", "behind it")).1.expect("written");
    let (events, ..) = told(&mut world, leader, caller);
    assert_eq!(events, [begins.from, begins.from, begins.from + 1]);
}

#[test]
fn a_member_that_is_behind_begins_a_watch_where_the_position_says_and_tells_nothing_before() {
    let (mut world, leader) = World::calm(3, 3);
    let at = other_than(leader);
    world.isolate(at);
    let (position, _) = world.done(leader, &put("a", "1"));
    let behind = watch(&mut world, at, Watch { min_position: Some(position), ..all() });
    world.run_ms(200);
    assert_eq!(world.answer(behind), None, "it has not applied that");
    world.heal();
    let begins = started(&mut world, behind);
    world.done(leader, &put("a", "2")).1.expect("written");
    world.run_ms(500);
    assert_eq!(begins.revision + 1, begins.from);
    let (events, ..) = told(&mut world, at, behind);
    assert_eq!(events, [begins.from]);
}

#[test]
fn a_node_that_has_known_no_leader_for_long_ends_its_watches_and_opens_none() {
    let (mut world, leader) = World::calm(4, 3);
    let at = other_than(leader);
    let caller = watch(&mut world, at, all());
    let begins = started(&mut world, caller);
    world.isolate(at);
    world.run_ms(4_000);
    assert_eq!(told(&mut world, at, caller).2, None, "an election is no reason");
    world.run_ms(3_000);
    let ended = told(&mut world, at, caller).2.expect("it has ended");
    assert_eq!((ended.code, ended.resume), (Code::NoLeader.number(), begins.from));
    let again = watch(&mut world, at, Watch { from: ended.resume, ..all() });
    assert_eq!(world.await_refusal(again).0, Code::NoLeader);
    world.heal();
    world.run_ms(2_000);
    let again = watch(&mut world, at, Watch { from: ended.resume, ..all() });
    assert_eq!(started(&mut world, again).from, ended.resume);
}

#[test]
fn a_node_that_stops_tells_its_watches_where_to_resume_and_opens_none() {
    let (mut world, leader) = World::calm(5, 3);
    let caller = watch(&mut world, leader, all());
    let begins = started(&mut world, caller);
    world.done(leader, &put("a", "1")).1.expect("written");
    world.input(leader, Input::Stop);
    let (events, _, ended) = told(&mut world, leader, caller);
    let ended = ended.expect("it has ended");
    assert_eq!(events, [begins.from]);
    assert_eq!((ended.code, ended.resume), (Code::Stopping.number(), begins.from + 1));
    let late = watch(&mut world, leader, all());
    assert_eq!(world.await_refusal(late).0, Code::Stopping);
}

#[test]
fn a_node_that_has_not_caught_up_begins_no_watch_with_what_comes_next_there() {
    let (mut world, leader) = World::calm(6, 3);
    let at = other_than(leader);
    let revision = {
        world.done(leader, &put("a", "1")).1.expect("written");
        world.node(leader).store().revision()
    };
    world.run_ms(500);
    world.crash(at);
    world.start(at);
    let blind = watch(&mut world, at, all());
    let resumed = watch(&mut world, at, Watch { from: revision + 1, ..all() });
    assert_eq!(world.await_refusal(blind).0, Code::NoLeader);
    assert_eq!(started(&mut world, resumed).from, revision + 1);
    world.run_ms(2_000);
    world.done(leader, &put("a", "2")).1.expect("written");
    world.run_ms(500);
    assert_eq!(told(&mut world, at, resumed).0, [revision + 1], "and not what was applied once more");
}

#[test]
fn what_makes_no_sense_is_refused_with_what_is_wrong() {
    let (mut world, leader) = World::calm(7, 1);
    let epoch = ClusterEpoch::new(77).expect("not zero");
    let elsewhere = Position { epoch, group: 0, term: 1, index: 1 };
    for (asked, code) in [
        (Watch { flags: 16, ..all() }, Code::Malformed),
        (Watch { span: Bytes::from_static(b"\x09"), ..all() }, Code::Malformed),
        (Watch { min_position: Some(elsewhere), ..all() }, Code::OtherEpoch),
    ] {
        let caller = watch(&mut world, leader, asked);
        assert_eq!(world.await_refusal(caller).0, code);
    }
    assert_eq!(world.node(leader).watches().watches(), 0);
}

#[test]
fn a_watch_that_is_not_wanted_or_whose_connection_is_gone_leaves_nothing_behind() {
    let (mut world, leader) = World::calm(8, 1);
    let (one, other) = (watch(&mut world, leader, all()), watch(&mut world, leader, all()));
    started(&mut world, one);
    started(&mut world, other);
    world.input(leader, Input::Unwatch(one));
    let ended = told(&mut world, leader, one).2.expect("it has ended");
    assert_eq!(ended.code, 0);
    world.input(leader, Input::Gone(other.connection));
    world.done(leader, &put("a", "1")).1.expect("written");
    let hub = world.node(leader).watches();
    assert_eq!((hub.watches(), hub.bytes()), (0, 0));
}
