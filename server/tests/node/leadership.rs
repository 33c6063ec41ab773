//! Machine 15, edge by edge: what a node owes while it leads, and gives back when it does not any more.

use bytes::Bytes;
use holdfast_command::Code;
use holdfast_command::keys::Span;
use holdfast_raft::RoleState;
use holdfast_server::node::Input;
use holdfast_server::node::leadership::State;
use holdfast_wire::Message;
use holdfast_wire::message::{Consistency, Refused};

use crate::clients::{put, read};
use crate::world::{MS, Rough, World};

fn edges(world: &World, at: usize) -> Vec<(&'static str, u64)> {
    world.places[at].edges.iter().map(|(edge, count)| (*edge, *count)).collect()
}

/// Three nodes of which one is elected and cannot commit: its messages arrive, and those with acknowledgements do not.
pub(crate) fn establishing(seed: u64) -> (World, usize) {
    let mut world = World::new(seed, 3, Rough::CALM);
    world.until("somebody leads", 20_000, |world| {
        (0..3).any(|at| world.node(at).core().role() == RoleState::Leader)
    });
    let leader = (0..3).find(|at| world.node(*at).core().role() == RoleState::Leader).expect("just seen");
    world.isolate(leader);
    world.run_ms(5);
    (world, leader)
}

#[test]
fn t1_begin_lets_writes_wait_for_the_own_term_entry_and_proposes_none() {
    for seed in 1..=20 {
        println!("seed {seed}");
        let (mut world, leader) = establishing(seed);
        assert_eq!(world.node(leader).leadership(), State::Establishing, "seed {seed}");
        assert_eq!(edges(&world, leader), [("Begin", 1)], "seed {seed}");
        let last = world.node(leader).core().last();
        let caller = world.submit(leader, &put("a", "1"), 0);
        world.run_ms(50);
        assert_eq!(world.answer(caller), None, "seed {seed}");
        assert_eq!(world.node(leader).waiting_writes(), 1, "seed {seed}");
        assert_eq!(world.node(leader).core().last(), last, "seed {seed}: it was proposed");
        assert!(!world.node(leader).is_ready(), "seed {seed}");
        world.heal();
        let (position, _) = world.await_done(caller);
        assert!(position.index > last.index.0, "seed {seed}: before the own-term entry");
    }
}

#[test]
fn t2_establish_comes_with_the_own_term_entry_applied_and_not_with_the_election() {
    for seed in 1..=20 {
        println!("seed {seed}");
        let mut world = World::new(seed, 3, Rough::CALM);
        let mut elected_before = false;
        world.until("somebody is established", 20_000, |world| world.leader().is_some());
        let leader = world.await_leader();
        for at in 0..3 {
            elected_before |= edges(&world, at).contains(&("Begin", 1));
        }
        assert!(elected_before);
        let node = world.node(leader);
        assert_eq!(node.store().applied().term, node.core().term().0, "seed {seed}");
        assert_eq!(edges(&world, leader), [("Begin", 1), ("Establish", 1)], "seed {seed}");
        assert!(node.is_ready(), "seed {seed}");
        // A follower is ready when it has applied what such a leader reports.
        world.run_ms(300);
        assert!((0..3).all(|at| world.node(at).is_ready()), "seed {seed}");
    }
}

#[test]
fn t3_abort_answers_what_waited_for_a_term_that_was_of_no_use_as_not_executed() {
    for seed in 1..=20 {
        println!("seed {seed}");
        let (mut world, leader) = establishing(seed);
        let waits = world.submit(leader, &put("a", "aborted"), 0);
        // It hears nobody and gives up.
        let (code, refused) = world.await_refusal(waits);
        assert!(matches!(code, Code::NoLeader | Code::NotLeader), "seed {seed}: {code:?}");
        assert_eq!(refused.effect, Refused::NOT_APPLIED, "seed {seed}");
        assert_eq!(edges(&world, leader), [("Abort", 1), ("Begin", 1), ("Settle", 1)], "seed {seed}");
        world.heal();
        let next = world.await_leader();
        world.run_ms(1_000);
        assert!(world.node(next).store().get(b"a").is_none(), "seed {seed}: it was executed all the same");
    }
}

#[test]
fn t4_revoke_answers_all_that_was_proposed_as_unknown_whatever_became_of_it() {
    let mut survived = 0;
    for seed in 1..=20 {
        println!("seed {seed}");
        let (mut world, leader) = World::calm(seed, 3);
        // Half of the time its appends still arrive, and only the acknowledgements do not.
        if seed % 2 == 0 {
            world.isolate(leader);
        } else {
            for other in (0..3).filter(|other| *other != leader) {
                world.cut.insert((other, leader));
            }
        }
        let callers: Vec<_> =
            (0..20).map(|number| world.submit(leader, &put(&format!("k{number}"), "v"), 0)).collect();
        for caller in &callers {
            let (code, refused) = world.await_refusal(*caller);
            assert_eq!(code, Code::LeadershipLost, "seed {seed}");
            assert_eq!(refused.effect, Refused::UNKNOWN, "seed {seed}");
        }
        assert!(edges(&world, leader).contains(&("Revoke", 1)), "seed {seed}");
        world.heal();
        let next = world.await_leader();
        survived += usize::from(world.node(next).store().get(b"k0").is_some());
    }
    assert!(survived > 0, "unknown has to mean that both happens");
    assert!(survived < 20, "unknown has to mean that both happens");
}

#[test]
fn t5_settle_leaves_nothing_that_depends_on_leading_and_comes_before_anything_is_served_as_a_follower() {
    for seed in 1..=20 {
        println!("seed {seed}");
        let (mut world, leader) = World::calm(seed, 3);
        world.isolate(leader);
        let writes: Vec<_> =
            (0..5).map(|number| world.submit(leader, &put(&format!("k{number}"), "v"), 0)).collect();
        let renewal = world.keep(leader, holdfast_command::SessionId(9));
        // Served as soon as it is a follower that has applied what the next leader commits.
        let next_index = world.node(leader).core().last().index.0 + 6;
        let position = crate::clients::position(1, 0, 1, next_index);
        let behind = world.read(leader, read(Consistency::Follower, Span::all(), Some(position)));
        world.until("another leader", 20_000, |world| world.leader().is_some_and(|other| other != leader));
        world.heal();
        let next = world.leader().expect("just seen");
        for number in 0..12 {
            world.done(next, &put("more", format!("{number}"))).1.expect("executed");
        }
        world.await_answer(behind);
        let place = |caller| {
            world.answers.iter().position(|(_, to, _)| *to == caller).expect("everybody was answered")
        };
        for write in writes.iter().chain([&renewal]) {
            assert!(place(*write) < place(behind), "seed {seed}");
        }
        assert_eq!(world.node(leader).leadership(), State::Revoked, "seed {seed}");
        assert_eq!(world.node(leader).waiting(), 0, "seed {seed}");
        let (code, refused) = {
            let caller = world.submit(leader, &put("x", "y"), 0);
            world.await_refusal(caller)
        };
        assert_eq!((code, refused.effect), (Code::NotLeader, Refused::NOT_APPLIED), "seed {seed}");
        let hint = refused.leader.expect("it knows the next one");
        assert_eq!(hint.address, crate::world::address(next), "seed {seed}");
    }
}

#[test]
fn t4_revoke_comes_before_the_entries_of_the_next_leader_are_applied_in_the_place_of_what_was_proposed() {
    for seed in 1..=20 {
        println!("seed {seed}");
        let (mut world, leader) = World::calm(seed, 3);
        world.isolate(leader);
        let first = world.node(leader).core().last().index.0 + 1;
        let mine: Vec<_> =
            (0..5).map(|number| world.submit(leader, &put(&format!("k{number}"), "mine"), 0)).collect();
        world.run_ms(5);
        assert_eq!(world.node(leader).core().last().index.0, first + 4, "seed {seed}");
        // Suspended, so that what the next leader did is all there when it wakes up: entries and commit index in one turn.
        world.places[leader].paused_until = world.now + 5_000 * MS;
        world.heal();
        world.until("another leader", 4_000, |world| world.leader().is_some_and(|other| other != leader));
        let next = world.leader().expect("just seen");
        for number in 0..8 {
            let theirs = world.submit(next, &put(&format!("t{number}"), "theirs"), 0);
            assert!(matches!(world.await_answer(theirs), Message::Submitted(_)), "seed {seed}");
        }
        world.run_ms(500);
        world.run_until_awake(leader);
        for caller in mine {
            assert_eq!(world.await_refusal(caller).0, Code::LeadershipLost, "seed {seed}");
        }
        world.run_ms(1_000);
        assert!(world.node(leader).store().get(b"k0").is_none(), "seed {seed}");
        assert!(world.node(leader).store().applied().index > first + 8, "seed {seed}");
    }
}

#[test]
fn a_follower_takes_no_write_and_no_renewal_and_nothing_of_them_waits_there() {
    let (mut world, leader) = World::calm(1, 3);
    world.run_ms(200);
    let follower = (leader + 1) % 3;
    let write = world.submit(follower, &put("a", "1"), 0);
    let renewal = world.keep(follower, holdfast_command::SessionId(1));
    let own = world.submit_bytes(follower, Bytes::from_static(b"\xff"), 0);
    world.run_ms(1);
    for caller in [write, renewal, own] {
        let (code, refused) = world.await_refusal(caller);
        assert_eq!((code, refused.effect), (Code::NotLeader, Refused::NOT_APPLIED));
    }
    assert_eq!(world.node(follower).waiting(), 0);
}

#[test]
fn a_leader_that_is_told_to_stop_admits_nothing_and_answers_what_is_under_way() {
    for seed in 1..=20 {
        println!("seed {seed}");
        let (mut world, leader) = World::calm(seed, 3);
        let before = world.submit(leader, &put("a", "before"), 0);
        world.run_ms(1);
        world.input(leader, Input::Stop);
        let after = world.submit(leader, &put("a", "after"), 0);
        let (code, refused) = world.await_refusal(after);
        assert_eq!((code, refused.effect), (Code::Stopping, Refused::NOT_APPLIED), "seed {seed}");
        assert!(matches!(world.await_answer(before), Message::Submitted(_)), "seed {seed}");
        world.until("another leader", 300, |world| world.leader().is_some_and(|other| other != leader));
    }
}
