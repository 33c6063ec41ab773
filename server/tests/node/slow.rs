//! Requests that took long, and where their time went.

use holdfast_command::keys::{Range, Span};
use holdfast_machine::Numbered as _;
use holdfast_server::node::{Slow, SlowCall};
use holdfast_server::stage::Stage;
use holdfast_wire::message::{Consistency, Read, Trace, TracedBatch};
use holdfast_wire::{Message, NodeId as WireNodeId};

use crate::clients::put;
use crate::world::{MS, World};

/// The one request that was slow.
fn only(world: &World) -> &Slow {
    let [slow] = world.slow.as_slice() else { panic!("{:?}", world.slow) };
    slow
}

#[test]
fn a_write_that_waits_for_followers_shows_it_in_stage_6_and_not_in_5() {
    let (mut world, leader) = World::calm(1, 3);
    world.set_slow_request(50 * MS);
    for other in (0..3).filter(|other| *other != leader) {
        world.hold_disk(other, true);
    }
    let caller = world.submit(leader, &put("app/url", "secret"), 0);
    world.run_ms(100);
    assert!(world.slow.is_empty(), "it is not answered yet");
    world.hold_disk((leader + 1) % 3, false);
    assert!(matches!(world.await_answer(caller), Message::Submitted(_)));
    let slow = only(&world);
    assert!(slow.answered && slow.took >= 100 * MS && slow.caller == caller);
    assert!(matches!(&slow.call, SlowCall::Write(Some(_))), "its entry is told: {slow:?}");
    let stage = |stage| slow.stage(stage).unwrap_or_else(|| panic!("{stage}: {slow:?}"));
    assert!(stage(Stage::Replicate) >= 99 * MS && stage(Stage::Sync) < 50 * MS, "{slow:?}");
    let along = stage(Stage::Admit) + stage(Stage::Replicate) + stage(Stage::Commit);
    assert_eq!(along, slow.took, "the stages behind one another are the whole: {slow:?}");
}

#[test]
fn a_write_that_the_own_disk_is_late_for_shows_how_long_that_has_taken_so_far() {
    let (mut world, leader) = World::calm(2, 1);
    world.set_slow_request(50 * MS);
    world.hold_disk(leader, true);
    let caller = world.submit(leader, &put("a", "1"), 0);
    world.run_ms(80);
    world.hold_disk(leader, false);
    world.await_done(caller).1.expect("executed");
    let slow = only(&world);
    assert!(slow.stage(Stage::Sync).is_some_and(|sync| sync >= 79 * MS), "{slow:?}");
}

#[test]
fn a_client_that_was_told_that_it_took_too_long_is_told_of_as_given_up() {
    let (mut world, leader) = World::calm(3, 3);
    world.set_slow_request(50 * MS);
    for other in (0..3).filter(|other| *other != leader) {
        world.hold_disk(other, true);
    }
    let caller = world.submit(leader, &put("a", "1"), 100);
    world.await_refusal(caller);
    let slow = only(&world);
    assert!(!slow.answered && slow.took >= 100 * MS, "{slow:?}");
    assert!(slow.stage(Stage::Replicate).is_some_and(|micros| micros >= 90 * MS), "{slow:?}");
    assert_eq!(slow.stage(Stage::Commit), None, "it never was");
    for other in 0..3 {
        world.hold_disk(other, false);
    }
    world.run_ms(1_000);
    assert_eq!(world.slow.len(), 1, "nobody waits when it is applied at last: {:?}", world.slow);
}

#[test]
fn a_write_whose_leader_is_deposed_is_told_of_with_what_it_waited_for() {
    let (mut world, leader) = World::calm(4, 3);
    world.set_slow_request(MS);
    world.isolate(leader);
    let caller = world.submit(leader, &put("a", "1"), 0);
    world.await_refusal(caller);
    let slow = only(&world);
    assert!(!slow.answered && slow.stage(Stage::Replicate).is_some(), "{slow:?}");
}

#[test]
fn a_read_that_nobody_confirms_is_told_of_when_it_is_given_up() {
    let (mut world, leader) = World::calm(5, 3);
    world.set_slow_request(50 * MS);
    let other = (leader + 1) % 3;
    world.isolate(other);
    let consistency = Consistency::Linearizable.number();
    let mut range = Vec::new();
    Range::of(Span::Key("a".into())).write(&mut range);
    let read =
        Read { consistency, timeout_ms: 100, max_stale_ms: 0, min_position: None, range: range.into() };
    let caller = world.read(other, read);
    world.await_refusal(caller);
    let slow = only(&world);
    assert!(matches!(slow.call, SlowCall::Range(_)) && !slow.answered, "{slow:?}");
    assert!(slow.stage(Stage::Replicate).is_some_and(|micros| micros >= 50 * MS), "{slow:?}");
}

#[test]
fn nothing_is_slow_unless_it_is_said_from_when_on_and_a_turn_tells_of_some_only() {
    let (mut world, leader) = World::calm(6, 3);
    let slow_ones = |world: &mut World| {
        world.part(leader, (leader + 1) % 3);
        for other in (0..3).filter(|other| *other != leader) {
            world.hold_disk(other, true);
        }
        let callers: Vec<_> =
            (0..40).map(|number| world.submit(leader, &put(&format!("k{number}"), "v"), 0)).collect();
        world.run_ms(100);
        for other in 0..3 {
            world.hold_disk(other, false);
        }
        for caller in callers {
            world.await_answer(caller);
        }
        world.heal();
    };
    slow_ones(&mut world);
    assert!(world.slow.is_empty(), "{:?}", world.slow);
    world.set_slow_request(50 * MS);
    slow_ones(&mut world);
    assert_eq!(world.slow.len(), holdfast_server::node::limits::SLOW_NOTED);
}

/// The batches that a node tells of; of this index, or those that are worth it.
fn traced(world: &World, at: usize, index: u64) -> Vec<TracedBatch> {
    world.node(at).trace(Trace { index }, world.time(at).micros).batches
}

/// The node at a place, as the wire names it.
fn id(at: usize) -> WireNodeId {
    WireNodeId::new(at as u64 + 1).expect("not 0")
}

#[test]
fn a_trace_names_the_follower_that_was_late_and_the_stage_of_the_leader_that_waited() {
    let (mut world, leader) = World::calm(7, 3);
    world.set_slow_request(50 * MS);
    let (quick, late) = ((leader + 1) % 3, (leader + 2) % 3);
    world.hold_disk(leader, true);
    world.hold_disk(late, true);
    let caller = world.submit(leader, &put("a", "1"), 0);
    world.run_ms(100);
    let waiting = traced(&world, leader, 0);
    let [batch] = waiting.as_slice() else { panic!("{waiting:?}") };
    assert_eq!((batch.end, batch.writes), (TracedBatch::ON_ITS_WAY, 1), "{batch:?}");
    assert!(batch.took >= 99 * MS && batch.stages[Stage::Replicate.position()].is_none(), "{batch:?}");
    assert_eq!(batch.acks.iter().map(|(node, _)| *node).collect::<Vec<_>>(), [id(quick)]);
    world.hold_disk(late, false);
    let (at, _) = world.await_done(caller);
    world.run_ms(50);
    world.hold_disk(leader, false);
    world.run_ms(50);
    let known = traced(&world, leader, at.index);
    let [batch] = known.as_slice() else { panic!("{known:?}") };
    let stage = |stage: Stage| batch.stages[stage.position()].unwrap_or_else(|| panic!("{stage}: {batch:?}"));
    let acked = |at: usize| batch.acks.iter().find(|(node, _)| *node == id(at)).map(|(_, after)| *after);
    assert_eq!(batch.end, TracedBatch::ANSWERED);
    assert!(acked(quick).is_some_and(|after| after < 50 * MS), "{batch:?}");
    assert!(
        acked(late).is_some_and(|after| after >= 99 * MS && after <= stage(Stage::Replicate)),
        "{batch:?}"
    );
    // The own disk came later than the quorum, and is told all the same.
    assert!(stage(Stage::Sync) >= 149 * MS && stage(Stage::Replicate) < 149 * MS, "{batch:?}");
}

#[test]
fn what_a_deposed_leader_waited_for_is_given_up_and_the_next_term_says_nothing_about_it() {
    let (mut world, leader) = World::calm(8, 3);
    world.set_slow_request(MS);
    world.isolate(leader);
    let caller = world.submit(leader, &put("a", "1"), 0);
    world.await_refusal(caller);
    world.heal();
    world.await_leader();
    world.run_ms(1_000);
    let given_up = traced(&world, leader, 0);
    let batch = given_up.iter().find(|batch| batch.end == TracedBatch::GIVEN_UP);
    let batch = batch.unwrap_or_else(|| panic!("{given_up:?}"));
    assert!(batch.acks.is_empty() && batch.stages[Stage::Replicate.position()].is_none(), "{batch:?}");
    assert!(batch.age >= 900 * MS, "it is over since then: {batch:?}");
}
