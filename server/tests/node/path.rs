//! Machine 01, edge by edge: the way of a batch of writes through the leader.

use std::collections::BTreeMap;

use bytes::Bytes;
use holdfast_command::Code;
use holdfast_server::node::Input;
use holdfast_wire::Message;
use holdfast_wire::message::Refused;

use crate::clients::put;
use crate::world::World;

fn taken(world: &World, at: usize, before: &BTreeMap<&'static str, u64>) -> Vec<(&'static str, u64)> {
    let after = world.paths(at);
    let more = after.into_iter().map(|(edge, count)| (edge, count - before.get(edge).unwrap_or(&0)));
    more.filter(|(_, count)| *count > 0).collect()
}

#[test]
fn t1_append_makes_one_batch_of_all_that_a_turn_admits() {
    let (mut world, leader) = World::calm(1, 3);
    let before = world.paths(leader);
    let last = world.node(leader).core().last().index.0;
    let callers: Vec<_> =
        (0..30).map(|number| world.submit(leader, &put(&format!("k{number}"), "v"), 0)).collect();
    for caller in callers {
        world.await_answer(caller);
    }
    assert_eq!(world.node(leader).core().last().index.0, last + 30);
    let append = |(edge, count): &(&str, u64)| *edge == "Append" && *count == 1;
    assert!(taken(&world, leader, &before).iter().any(append), "{:?}", taken(&world, leader, &before));
}

#[test]
fn t2_refuse_says_that_nothing_was_appended() {
    // While the office is being handed over the core takes nothing. The node stops admitting at the same moment, so what it
    // had admitted before, in that very turn, meets a core that does not want it.
    for seed in 1..=20 {
        println!("seed {seed}");
        let (mut world, leader) = World::calm(seed, 3);
        let before = world.paths(leader);
        let last = world.node(leader).core().last();
        let caller = world.submit(leader, &put("a", "1"), 0);
        world.input(leader, Input::Stop);
        let (code, refused) = world.await_refusal(caller);
        assert_eq!((code, refused.effect), (Code::NotLeader, Refused::NOT_APPLIED), "seed {seed}");
        assert_eq!(taken(&world, leader, &before), [("Refuse", 1)], "seed {seed}");
        world.run_ms(2_000);
        let next = world.await_leader();
        assert!(world.node(next).store().get(b"a").is_none(), "seed {seed}: above {last}");
    }
}

#[test]
fn t3_count_self_and_t5_commit_when_the_own_disk_is_faster_than_the_followers() {
    let (mut world, leader) = World::calm(3, 3);
    let before = world.paths(leader);
    for other in (0..3).filter(|other| *other != leader) {
        world.hold_disk(other, true);
    }
    let caller = world.submit(leader, &put("a", "1"), 0);
    world.run_ms(50);
    assert_eq!(taken(&world, leader, &before), [("Append", 1), ("CountSelf", 1)]);
    assert_eq!(world.answer(caller), None, "one disk of three is no majority");
    world.hold_disk((leader + 1) % 3, false);
    assert!(matches!(world.await_answer(caller), Message::Submitted(_)));
    assert_eq!(
        taken(&world, leader, &before),
        [("Answer", 1), ("Append", 1), ("Commit", 1), ("CountSelf", 1)]
    );
}

#[test]
fn t4_commit_early_on_the_word_of_the_followers_before_the_own_disk_is_done() {
    let (mut world, leader) = World::calm(4, 3);
    let before = world.paths(leader);
    world.hold_disk(leader, true);
    let caller = world.submit(leader, &put("a", "1"), 0);
    assert!(matches!(world.await_answer(caller), Message::Submitted(_)));
    assert_eq!(taken(&world, leader, &before), [("Answer", 1), ("Append", 1), ("CommitEarly", 1)]);
    // Its own disk comes late, and changes nothing.
    world.hold_disk(leader, false);
    world.run_ms(50);
    assert_eq!(taken(&world, leader, &before), [("Answer", 1), ("Append", 1), ("CommitEarly", 1)]);
}

#[test]
fn t5_commit_with_the_own_disk_alone_where_there_is_nobody_else() {
    let (mut world, leader) = World::calm(5, 1);
    let before = world.paths(leader);
    world.hold_disk(leader, true);
    let caller = world.submit(leader, &put("a", "1"), 0);
    world.run_ms(50);
    assert_eq!(taken(&world, leader, &before), [("Append", 1)]);
    assert_eq!(world.answer(caller), None, "nobody has it on a disk");
    world.hold_disk(leader, false);
    world.await_done(caller).1.expect("executed");
    assert_eq!(
        taken(&world, leader, &before),
        [("Answer", 1), ("Append", 1), ("Commit", 1), ("CountSelf", 1)]
    );
}

#[test]
fn t6_answer_only_when_the_store_has_executed_it() {
    let (mut world, leader) = World::calm(6, 3);
    let big = Bytes::from(vec![7; 300 * 1024]);
    let keys: Vec<_> = (0..1_200).map(|number| put(&format!("k{number:05}"), "v")).collect();
    for request in &keys {
        world.submit(leader, request, 0);
    }
    world.until("all are there", 20_000, |world| world.node(leader).store().keys() == 1_200);
    world.hold_jobs(leader, true);
    let before = world.paths(leader);
    let caller = world.submit(leader, &crate::away::delete_all("k"), 0);
    let behind = world.submit(leader, &put("z", big), 0);
    world.run_ms(100);
    // Both are committed, and neither is executed.
    let count = |edge: &str| world.paths(leader)[edge] - before.get(edge).unwrap_or(&0);
    assert_eq!(count("CommitEarly") + count("Commit"), 1, "{:?}", taken(&world, leader, &before));
    assert_eq!(count("Answer"), 0);
    assert_eq!((world.answer(caller), world.answer(behind)), (None, None));
    world.hold_jobs(leader, false);
    world.await_answer(behind);
    assert_eq!(world.paths(leader)["Answer"] - before["Answer"], 1);
}

#[test]
fn t7_give_up_from_every_state_behind_the_append() {
    for (number, state) in ["appended", "synced", "committed"].into_iter().enumerate() {
        println!("seed {number}, {state}");
        let (mut world, leader) = World::calm(number as u64, 3);
        if state == "committed" {
            for key in 0..1_200 {
                world.submit(leader, &put(&format!("k{key:05}"), "v"), 0);
            }
            world.until("all are there", 20_000, |world| world.node(leader).store().keys() == 1_200);
            world.hold_jobs(leader, true);
        }
        let before = world.paths(leader);
        let callers = match state {
            "committed" => {
                // Committed, and away on another thread when leadership ends.
                let caller = world.submit(leader, &crate::away::delete_all("k"), 0);
                world.until("it is away", 1_000, |world| world.jobs(leader) == 1);
                world.isolate(leader);
                vec![caller]
            }
            "synced" => {
                world.isolate(leader);
                vec![world.submit(leader, &put("a", "1"), 0)]
            }
            _ => {
                world.isolate(leader);
                world.hold_disk(leader, true);
                vec![world.submit(leader, &put("a", "1"), 0)]
            }
        };
        for caller in callers {
            let (code, refused) = world.await_refusal(caller);
            assert_eq!((code, refused.effect), (Code::LeadershipLost, Refused::UNKNOWN));
        }
        let last: Vec<_> = taken(&world, leader, &before);
        let expected: &[&str] = match state {
            "appended" => &["Append", "GiveUp"],
            "synced" => &["Append", "CountSelf", "GiveUp"],
            _ => &["Append", "Commit", "CountSelf", "GiveUp"],
        };
        let edges: Vec<&str> = last.iter().map(|(edge, _)| *edge).collect();
        if state == "committed" && edges.contains(&"CommitEarly") {
            assert_eq!(edges, ["Append", "CommitEarly", "GiveUp"]);
        } else {
            assert_eq!(edges, expected, "{state}");
        }
        world.hold_jobs(leader, false);
        world.hold_disk(leader, false);
        world.heal();
        world.run_ms(2_000);
        world.judge_equal();
    }
}
