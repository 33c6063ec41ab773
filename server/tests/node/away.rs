//! Entries that are applied on another thread: everything else goes on, and nothing gets out of order.

use bytes::Bytes;
use holdfast_command::keys::{Delete, Span};
use holdfast_command::{Command, Reply, Request};
use holdfast_wire::Message;
use holdfast_wire::message::Consistency;

use crate::clients::{put, read};
use crate::world::{World, outcome};

pub(crate) fn delete_all(prefix: &str) -> Request {
    let span = Span::prefix(Bytes::copy_from_slice(prefix.as_bytes()));
    Request::from(Command::Delete(Delete { span, return_previous: false }))
}

/// A leader with more keys than a deletion may look at on its own thread.
fn filled(seed: u64) -> (World, usize) {
    let (mut world, leader) = World::calm(seed, 3);
    for key in 0..1_200 {
        world.submit(leader, &put(&format!("k{key:05}"), "v"), 0);
    }
    world.until("all are there", 20_000, |world| {
        (0..3).all(|at| world.node(at).store().keys() == 1_200 && world.node(at).is_ready())
    });
    (world, leader)
}

fn keys(message: &Message) -> u64 {
    let Message::ReadDone(done) = message else { panic!("{message:?}") };
    match outcome(done.outcome.clone()) {
        Ok(Reply::Ranged(page)) => page.entries.len() as u64,
        other => panic!("{other:?}"),
    }
}

#[test]
fn while_an_entry_is_away_heartbeats_go_on_and_leadership_stays() {
    for seed in 1..=5 {
        println!("seed {seed}");
        let (mut world, leader) = filled(seed);
        let term = world.node(leader).core().term();
        for at in 0..3 {
            world.hold_jobs(at, true);
        }
        let caller = world.submit(leader, &delete_all("k"), 0);
        world.until("it is away everywhere", 1_000, |world| (0..3).all(|at| world.jobs(at) == 1));
        let (sent, ticks) = (world.heartbeats, world.node(leader).counts().turns);
        world.run_ms(3_000);
        // One to each of two followers every 50 ms.
        assert!(world.heartbeats - sent >= 100, "seed {seed}: {}", world.heartbeats - sent);
        assert!(world.node(leader).counts().turns > ticks + 250, "seed {seed}");
        assert_eq!(world.leader(), Some(leader), "seed {seed}");
        assert_eq!(world.node(leader).core().term(), term, "seed {seed}");
        assert_eq!(world.answer(caller), None, "seed {seed}");
        for at in 0..3 {
            world.hold_jobs(at, false);
        }
        let (_, reply) = world.await_done(caller);
        assert!(matches!(reply, Ok(Reply::Deleted { count: 1_200, .. })), "seed {seed}: {reply:?}");
    }
}

#[test]
fn a_read_in_between_sees_the_state_before_the_entry_that_is_away() {
    let (mut world, leader) = filled(7);
    world.hold_jobs(leader, true);
    let caller = world.submit(leader, &delete_all("k"), 0);
    world.until("it is away", 1_000, |world| world.jobs(leader) == 1);
    let one = Span::Key(Bytes::from_static(b"k00001"));
    let seen = world.read(leader, read(Consistency::Follower, one.clone(), None));
    let stale = world.read(leader, read(Consistency::Stale, one.clone(), None));
    // It has to see what was committed, so it waits.
    let waits = world.read(leader, read(Consistency::Linearizable, one, None));
    world.run_ms(100);
    assert_eq!(keys(world.answer(seen).expect("served at once")), 1);
    assert_eq!(keys(world.answer(stale).expect("served at once")), 1);
    assert_eq!(world.answer(waits), None);
    world.hold_jobs(leader, false);
    assert_eq!(keys(&world.await_answer(waits)), 0);
    world.await_done(caller).1.expect("executed");
}

#[test]
fn answers_come_in_the_order_of_the_log_around_an_entry_that_was_away() {
    for seed in 11..=15 {
        println!("seed {seed}");
        let (mut world, leader) = filled(seed);
        world.hold_jobs(leader, true);
        let mut callers = Vec::new();
        // One batch each, so that urgency does not change the order.
        for request in [put("a", "1"), delete_all("k"), put("b", "2"), delete_all("a"), put("a", "3")] {
            callers.push(world.submit(leader, &request, 0));
            world.run_ms(20);
        }
        assert!(world.answer(callers[0]).is_some(), "seed {seed}");
        assert!(callers[1..].iter().all(|caller| world.answer(*caller).is_none()), "seed {seed}");
        world.hold_jobs(leader, false);
        let positions: Vec<_> = callers.iter().map(|caller| world.await_done(*caller).0.index).collect();
        assert!(positions.is_sorted(), "seed {seed}: {positions:?}");
        let order: Vec<_> =
            world.answers.iter().map(|(_, to, _)| *to).filter(|to| callers.contains(to)).collect();
        assert_eq!(order, callers, "seed {seed}");
        world.run_ms(1_000);
        world.judge_equal();
        assert_eq!(world.node(leader).store().get(b"a").expect("written last").value(), b"3");
    }
}

#[test]
fn a_crash_while_an_entry_is_away_loses_nothing() {
    for seed in 21..=25 {
        println!("seed {seed}");
        let (mut world, leader) = filled(seed);
        world.hold_jobs(leader, true);
        let before = world.done(leader, &put("a", "kept")).0;
        world.submit(leader, &delete_all("k"), 0);
        world.submit(leader, &put("b", "kept"), 0);
        world.until("it is away", 1_000, |world| world.jobs(leader) == 1);
        world.run_ms(100);
        world.crash(leader);
        world.places[leader].jobs_held = false;
        world.start(leader);
        world.run_ms(3_000);
        world.judge_equal();
        let store = world.node(leader).store();
        assert!(store.applied().index > before.index, "seed {seed}");
        assert_eq!(store.keys(), 2, "seed {seed}");
    }
}

#[test]
fn a_wide_read_of_many_keys_is_answered_from_the_moment_at_which_it_was_taken() {
    let (mut world, leader) = filled(31);
    world.hold_jobs(leader, true);
    let caller = world.read(leader, read(Consistency::Linearizable, Span::all(), None));
    world.until("it is on another thread", 1_000, |world| world.jobs(leader) == 1);
    let later = world.done(leader, &put("later", "1")).0;
    world.hold_jobs(leader, false);
    let Message::ReadDone(done) = world.await_answer(caller) else { panic!("it is a read") };
    assert!(done.position.index < later.index);
    assert_eq!(keys(&Message::ReadDone(done)), 1_200);
}
