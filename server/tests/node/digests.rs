//! Members compare what they have made of the log: whoever differs from a majority goes no further, and without a majority
//! nobody serves.

use holdfast_command::Code;
use holdfast_command::keys::Span;
use holdfast_raft::Payload;
use holdfast_wire::Message;
use holdfast_wire::message::{ChangeMembers, Consistency, MemberChange};

use crate::clients::{put, read};
use crate::members::change;
use crate::world::{Rough, World};

/// Nodes whose ranges of digests are short.
fn world(seed: u64, nodes: usize) -> (World, usize) {
    let mut world = World::with_snapshots(seed, nodes, Rough::CALM, (1_000_000, 0));
    let leader = world.await_leader();
    (world, leader)
}

/// Writes, enough for some ranges to end.
fn fill(world: &mut World, leader: usize, from: u64) {
    for number in from..from + 12 {
        world.done(leader, &put(&format!("k/{number}"), "x")).1.expect("executed");
    }
}

/// Starts a node anew from a log in which one value is another: as a memory or a disk that lies would leave it.
fn corrupt(world: &mut World, at: usize) {
    world.crash(at);
    let changed = world.places[at].disk.change(|payload| {
        let Payload::Data(entry) = payload else { return false };
        let mut bytes = entry.to_vec();
        let Some(place) = bytes.windows(4).position(|window| window == b"k/3\x01") else { return false };
        bytes[place + 7] ^= 1;
        *payload = Payload::Data(bytes.into());
        true
    });
    assert!(changed, "no entry was changed");
    world.start(at);
}

#[test]
fn members_that_made_the_same_of_the_log_agree_on_it() {
    for seed in 1..=10 {
        let (mut world, leader) = world(seed, 3);
        fill(&mut world, leader, 0);
        let end = world.node(leader).store().last_range().expect("some range has ended").0;
        world.until("all agree", 5_000, |world| (0..3).all(|at| world.node(at).agreed() >= end));
    }
}

#[test]
fn a_member_that_differs_from_a_majority_halts_and_says_where_and_the_others_go_on() {
    for seed in 1..=10 {
        println!("seed {seed}");
        let (mut world, leader) = world(seed, 3);
        fill(&mut world, leader, 0);
        world.run_ms(500);
        let bad = (leader + 1) % 3;
        world.halts.insert(bad);
        corrupt(&mut world, bad);
        world.until("it halts", 20_000, |world| world.places[bad].node.is_none());
        let leader = world.await_leader();
        world.done(leader, &put("after", "x")).1.expect("the others serve");
    }
}

#[test]
fn without_a_majority_those_who_differ_serve_nobody_until_the_missing_member_decides() {
    for seed in 1..=5 {
        println!("seed {seed}");
        let (mut world, leader) = world(seed, 3);
        fill(&mut world, leader, 0);
        world.run_ms(500);
        let (bad, missing) = ((leader + 1) % 3, (leader + 2) % 3);
        world.halts.insert(bad);
        world.crash(missing);
        corrupt(&mut world, bad);
        world.until("the leader doubts", 20_000, |world| {
            let leader = world.leader();
            leader.is_some_and(|at| world.node(at).doubts().is_some())
        });
        for at in [leader, bad] {
            let caller = world.read(at, read(Consistency::Stale, Span::all(), None));
            assert_eq!(world.await_refusal(caller).0, Code::Diverged, "seed {seed}: node {}", at + 1);
        }
        if let Some(at) = world.leader() {
            let caller = world.submit(at, &put("no", "x"), 1_000);
            assert_eq!(world.await_refusal(caller).0, Code::Diverged, "seed {seed}");
        }
        // Whoever has to mend it may change the members.
        if let Some(at) = world.leader() {
            let peer = "elsewhere:1".into();
            let moved = ChangeMembers { peer, ..change(MemberChange::Move, missing) };
            let caller = world.change_members(at, moved);
            let answer = world.await_answer(caller);
            assert!(matches!(answer, Message::MembersChanged(_)), "seed {seed}: {answer:?}");
        }
        world.start(missing);
        world.until("it halts", 20_000, |world| world.places[bad].node.is_none());
        world.until("the others serve", 20_000, |world| {
            world.leader().is_some_and(|at| world.node(at).doubts().is_none())
        });
        let leader = world.await_leader();
        world.done(leader, &put("after", "x")).1.expect("two of three agree");
    }
}

#[test]
fn no_snapshot_is_taken_of_what_a_majority_has_not_confirmed() {
    let mut world = World::with_snapshots(7, 3, Rough::CALM, (8, 0));
    let leader = world.await_leader();
    // Nobody else says anything about digests, but everything else goes on.
    world.mute_digests = true;
    fill(&mut world, leader, 0);
    fill(&mut world, leader, 100);
    world.run_ms(1_000);
    assert!(world.places.iter().all(|place| place.snapshots[0] == 0), "taken without a word of the others");
    world.mute_digests = false;
    world.until("they are taken", 5_000, |world| world.places.iter().all(|place| place.snapshots[0] > 0));
}
