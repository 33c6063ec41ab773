//! Changes of the members at a node: what is carried out, what is refused, and what a leader says that goes away meanwhile.

use holdfast_command::Code;
use holdfast_machine::Numbered;
use holdfast_raft::NodeId;
use holdfast_server::node::Caller;
use holdfast_wire::message::{ChangeMembers, MemberChange, Refused};
use holdfast_wire::{Message, NodeId as WireNodeId, NodeUuid};

use crate::clients::put;
use crate::world::World;

pub(crate) fn change(kind: MemberChange, at: usize) -> ChangeMembers {
    ChangeMembers {
        timeout_ms: 0,
        change: kind.number(),
        node: WireNodeId::new(at as u64 + 1).expect("from 1"),
        other: None,
        uuid: None,
        promote: false,
        peer: "".into(),
    }
}

fn join(at: usize, promote: bool) -> ChangeMembers {
    let uuid = Some(NodeUuid([at as u8 + 1; 16]));
    let peer = format!("node-{}:2", at + 1).into();
    ChangeMembers { uuid, promote, peer, ..change(MemberChange::AddLearner, at) }
}

fn await_changed(world: &mut World, caller: Caller) -> u64 {
    match world.await_answer(caller) {
        Message::MembersChanged(changed) => changed.configuration,
        other => panic!("seed {}: not changed: {other:?}", world.seed),
    }
}

fn is_voter(world: &World, at: usize, who: usize) -> bool {
    world.node(at).core().configuration().1.is_voter(NodeId(who as u64 + 1))
}

fn await_voter(world: &mut World, leader: usize, who: usize) {
    world.until("it votes", 10_000, |world| {
        is_voter(world, leader, who) && world.node(leader).core().membership().name() == "Stable"
    });
}

#[test]
fn a_blank_node_that_is_added_is_sent_the_log_and_becomes_a_voter() {
    for seed in 1..=5 {
        println!("seed {seed}");
        let (mut world, leader) = World::calm_with_blanks(seed, 3, 1);
        world.done(leader, &put("a", "1")).1.expect("executed");
        let caller = world.change_members(leader, join(3, true));
        let configuration = await_changed(&mut world, caller);
        assert!(world.node(leader).core().commit().0 >= configuration, "seed {seed}: answered before");
        await_voter(&mut world, leader, 3);
        world.run_ms(500);
        assert_eq!(world.node(3).store().get(b"a").expect("sent").value(), b"1", "seed {seed}");
        world.judge_equal();
    }
}

#[test]
fn the_same_call_twice_adds_a_member_once_and_another_directory_is_refused() {
    let (mut world, leader) = World::calm_with_blanks(1, 3, 1);
    let first = world.change_members(leader, join(3, false));
    let configuration = await_changed(&mut world, first);
    let again = world.change_members(leader, join(3, false));
    assert_eq!(await_changed(&mut world, again), configuration);
    let other = ChangeMembers { uuid: Some(NodeUuid([9; 16])), ..join(3, false) };
    let caller = world.change_members(leader, other);
    let (code, refused) = world.await_refusal(caller);
    assert_eq!((code, refused.effect), (Code::NodeIdUsed, Refused::NOT_APPLIED));
    let caller = world.change_members(leader, change(MemberChange::Promote, 7));
    assert_eq!(world.await_refusal(caller).0, Code::UnknownMember);
    let caller = world.change_members(leader, change(MemberChange::Promote, leader));
    assert!(matches!(world.await_refusal(caller).0, Code::WrongKindOfMember | Code::NothingToChange));
    let caller = world.change_members((leader + 1) % 3, join(3, false));
    assert_eq!(world.await_refusal(caller).0, Code::NotLeader);
}

#[test]
fn a_leader_that_removes_itself_says_so_and_is_gone_and_the_others_go_on() {
    for seed in 1..=10 {
        println!("seed {seed}");
        let (mut world, leader) = World::calm(seed, 3);
        let caller = world.change_members(leader, change(MemberChange::Remove, leader));
        await_changed(&mut world, caller);
        world.until("another leads", 10_000, |world| world.leader().is_some_and(|at| at != leader));
        let next = world.leader().expect("just seen");
        world.done(next, &put("a", "1")).1.expect("two of two serve");
        assert!(world.places[leader].node.is_none(), "seed {seed}: it knows that it was removed");
        let caller = world.change_members(next, join(leader, false));
        assert_eq!(world.await_refusal(caller).0, Code::NodeIdUsed, "its number is never used again");
    }
}

#[test]
fn a_follower_that_is_removed_learns_of_it_and_serves_nobody_any_more() {
    for seed in 1..=5 {
        let (mut world, leader) = World::calm(seed, 3);
        let gone = (leader + 1) % 3;
        let caller = world.change_members(leader, change(MemberChange::Remove, gone));
        await_changed(&mut world, caller);
        world.until("it is gone", 10_000, |world| world.places[gone].node.is_none());
        world.done(leader, &put("a", "1")).1.expect("the others serve");
    }
}

#[test]
fn a_member_is_replaced_in_one_step() {
    for seed in 1..=5 {
        println!("seed {seed}");
        let (mut world, leader) = World::calm_with_blanks(seed, 3, 1);
        let old = (leader + 1) % 3;
        world.crash(old);
        let caller = world.change_members(leader, join(3, false));
        await_changed(&mut world, caller);
        let replace =
            ChangeMembers { other: WireNodeId::new(old as u64 + 1), ..change(MemberChange::Replace, 3) };
        let mut tries = 0;
        loop {
            let caller = world.change_members(leader, replace.clone());
            match world.await_answer(caller) {
                Message::MembersChanged(_) => break,
                Message::Refused(refused) => {
                    assert_eq!(refused.code, Code::NotCaughtUp.number(), "{refused:?}");
                }
                other => panic!("{other:?}"),
            }
            tries += 1;
            assert!(tries < 50, "seed {seed}: it never catches up");
            world.run_ms(100);
        }
        let (_, configuration) = world.node(leader).core().configuration();
        assert_eq!(configuration.voters().len(), 3, "seed {seed}");
        assert!(is_voter(&world, leader, 3) && !is_voter(&world, leader, old), "seed {seed}");
    }
}

#[test]
fn an_address_that_is_no_host_and_port_is_refused_and_nothing_is_changed() {
    let (mut world, leader) = World::calm(9, 3);
    let before = world.node(leader).core().configuration().0;
    for peer in ["", "bla", "host:", ":7401", "host:0", "host:99999", "two words:1"] {
        let moved = ChangeMembers { peer: peer.into(), ..change(MemberChange::Move, 1) };
        let caller = world.change_members(leader, moved);
        assert_eq!(world.await_refusal(caller).0, Code::BadAddress, "{peer:?}");
    }
    assert_eq!(world.node(leader).core().configuration().0, before);
}

#[test]
fn leadership_is_handed_to_whom_the_operator_names() {
    for seed in 1..=10 {
        let (mut world, leader) = World::calm(seed, 3);
        let next = (leader + 1) % 3;
        let caller = world.change_members(leader, change(MemberChange::Transfer, next));
        await_changed(&mut world, caller);
        world.until("it leads", 5_000, |world| world.leader() == Some(next));
        // To itself is no work.
        let caller = world.change_members(next, change(MemberChange::Transfer, next));
        await_changed(&mut world, caller);
    }
}

#[test]
fn a_transfer_to_a_voter_that_is_dead_is_said_to_have_failed_and_the_leader_goes_on() {
    let (mut world, leader) = World::calm(2, 3);
    let dead = (leader + 1) % 3;
    world.crash(dead);
    let caller = world.change_members(leader, change(MemberChange::Transfer, dead));
    let (code, refused) = world.await_refusal(caller);
    assert!(matches!(code, Code::TransferFailed | Code::NoTransferTarget), "{refused:?}");
    world.run_ms(1_000);
    let leader = world.await_leader();
    world.done(leader, &put("a", "1")).1.expect("it leads on");
}

#[test]
fn a_leader_that_is_cut_off_during_a_change_says_that_it_does_not_know() {
    for seed in 1..=10 {
        println!("seed {seed}");
        let (mut world, leader) = World::calm_with_blanks(seed, 3, 1);
        world.isolate(leader);
        let caller = world.change_members(leader, join(3, false));
        let (code, refused) = world.await_refusal(caller);
        assert_eq!((code, refused.effect), (Code::LeadershipLost, Refused::UNKNOWN), "seed {seed}");
        assert_eq!(world.node(leader).waiting(), 0);
    }
}
