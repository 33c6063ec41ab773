//! Snapshots: taken while everything goes on, in the place of the log, and the way back for whoever was away too long.

use bytes::Bytes;
use holdfast_command::keys::Span;
use holdfast_command::sessions::OpenSession;
use holdfast_command::{Code, Command, Reply, Request, RequestKey, SessionId};
use holdfast_raft::TransferState;
use holdfast_server::node::limits::SAVES_MAX;
use holdfast_server::node::{Input, SnapshotPolicy};
use holdfast_store::NoPlant;
use holdfast_store::snapshot::{Decoder, Encoder, Source};
use holdfast_wire::Message;
use holdfast_wire::message::{Consistency, MemberChange, Position, SaveSnapshot};

use crate::away::delete_all;
use crate::clients::{position, put, read};
use crate::members::change;
use crate::watches::{all, started, told, watch};
use crate::world::{MS, Rough, World};

/// A calm world whose nodes take a snapshot every 20 entries and keep nothing of the log that nobody needs.
fn calm(seed: u64, nodes: usize) -> (World, usize) {
    let mut world = World::with_snapshots(seed, nodes, Rough::CALM, (20, 0));
    let leader = world.await_leader();
    (world, leader)
}

/// Writes so many keys, one after the other.
fn write(world: &mut World, at: usize, name: &str, count: u64) -> Position {
    let mut last = position(1, 0, 0, 0);
    for number in 0..count {
        let (at, outcome) = world.done(at, &put(&format!("{name}/{number:04}"), format!("{number}")));
        outcome.expect("it is executed");
        last = at;
    }
    last
}

/// All that a node holds, byte for byte.
fn bytes(world: &World, at: usize) -> Vec<u8> {
    let source = Source { cluster: [7; 16], epoch: 1, membership: Bytes::new() };
    Encoder::new(world.node(at).store().clone(), source).expect("no halt").flatten().collect()
}

/// Waits until all are equally far, and compares every byte.
fn judge_equal(world: &mut World) {
    world.until("all are equally far", 20_000, World::all_equally_far);
    for at in 1..world.places.len() {
        assert!(bytes(world, 0) == bytes(world, at), "seed {}: node {} differs", world.seed, at + 1);
    }
}

/// Waits until the log of the leader does not reach back to where another node is: a majority has to agree on a state before a
/// snapshot of it takes the place of the log.
fn outrun(world: &mut World, leader: usize, away: usize) {
    world.until("the log does not reach back", 5_000, |world| {
        world.node(leader).core().prev() > world.node(away).core().last()
    });
}

fn another(leader: usize) -> usize {
    usize::from(leader == 0)
}

#[test]
fn a_snapshot_is_taken_when_enough_was_applied_and_takes_the_place_of_the_log() {
    let (mut world, leader) = calm(1, 3);
    assert!(world.node(leader).core().snapshot().is_none());
    write(&mut world, leader, "k", 30);
    world.run_ms(1_000);
    for at in 0..3 {
        let covered = world.node(at).core().snapshot().map_or(0, |meta| meta.last.index.0);
        assert!((20..40).contains(&covered), "node {}: {covered}", at + 1);
        assert_eq!(world.node(at).core().prev().index.0, covered, "the log before it is gone");
        assert_eq!(world.places[at].disk.prev().0, covered, "from the disk as well");
        assert_eq!(world.places[at].snapshots[0], 1, "one, until enough was applied again");
    }
    judge_equal(&mut world);
}

#[test]
fn a_snapshot_waits_until_as_much_was_applied_as_the_last_one_has_bytes_or_as_may_be_held_in_memory() {
    for (bytes_max, waits) in [(u64::MAX, true), (2_000, false)] {
        let (mut world, leader) = calm(12, 3);
        world.set_snapshot_policy(SnapshotPolicy { entries: 20, bytes_max, ..SnapshotPolicy::default() });
        for number in 0..20 {
            world
                .done(leader, &put(&format!("large/{number}"), "v".repeat(2_000)))
                .1
                .expect("it is executed");
        }
        world.run_ms(1_000);
        let first = world.node(leader).core().snapshot().expect("enough was applied").clone();
        assert!((20_000..100_000).contains(&first.bytes), "{}", first.bytes);
        write(&mut world, leader, "small", 60);
        world.run_ms(1_000);
        let now = world.node(leader).core().snapshot().map(|meta| meta.last.index);
        assert_eq!(now == Some(first.last.index), waits, "three times as many entries, and few bytes");
        // Each counts 128 bytes beside its own.
        write(&mut world, leader, "more", first.bytes / 128);
        world.run_ms(1_000);
        let now = world.node(leader).core().snapshot().map(|meta| meta.last.index);
        assert!(now > Some(first.last.index), "as much as the snapshot has bytes");
        judge_equal(&mut world);
    }
}

#[test]
fn a_node_that_starts_again_goes_on_from_snapshot_and_log() {
    let (mut world, leader) = calm(2, 3);
    write(&mut world, leader, "k", 50);
    world.until("a second snapshot", 5_000, |world| world.places.iter().all(|place| place.snapshots[0] == 2));
    for at in 0..3 {
        world.crash(at);
        world.start(at);
        let (covered, applied) = (world.places[at].covered, world.node(at).store().applied().index);
        assert!(covered >= 40 && applied == covered, "node {}: {covered}, {applied}", at + 1);
    }
    let leader = world.await_leader();
    write(&mut world, leader, "more", 5);
    judge_equal(&mut world);
    assert_eq!(world.node(0).store().keys(), 55);
    assert!(world.places.iter().all(|place| place.snapshots[1..] == [0, 0]), "nobody needed another's");
}

/// A new leader has heard it, but has no acknowledgement of it, when it comes back: its log is asked before it is sent all.
#[test]
fn a_leader_that_handed_over_and_starts_again_is_not_sent_a_snapshot_that_it_does_not_need() {
    for seed in 0..30 {
        let mut world = World::with_snapshots(seed, 3, Rough { disk: 100 * MS, ..Rough::CALM }, (20, 0));
        let leader = world.await_leader();
        let next = another(leader);
        // Its own log reaches back to the first entry, and that of the others does not.
        world.hold_snapshots(leader, true);
        write(&mut world, leader, "k", 50);
        world.run_ms(1_000);
        assert!(world.node(next).core().prev().index.0 >= 20, "seed {seed}");
        let caller = world.change_members(leader, change(MemberChange::Transfer, next));
        world.await_answer(caller);
        let wait = world.rng.between(0, 150);
        world.run_ms(wait);
        world.crash(leader);
        world.start(leader);
        world.until("all are equally far", 20_000, World::all_equally_far);
        assert_eq!(world.places[leader].snapshots[1], 0, "seed {seed}");
        judge_equal(&mut world);
    }
}

fn open(world: &mut World, at: usize) -> SessionId {
    let open = OpenSession { ttl_ms: 60_000 };
    match world.done(at, &Request::from(Command::OpenSession(open))).1 {
        Ok(Reply::SessionOpened { session }) => session,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_member_that_was_away_longer_than_the_log_reaches_has_the_same_state_and_remembers_answers() {
    let (mut world, leader) = calm(3, 3);
    let away = another(leader);
    world.isolate(away);
    let session = open(&mut world, leader);
    let key = RequestKey::Session { session, sequence: 1, low: 1 };
    let once = Request { key, ..put("once", "once") };
    let (executed, outcome) = world.done(leader, &once);
    outcome.expect("it is executed");
    write(&mut world, leader, "k", 60);
    outrun(&mut world, leader, away);
    world.heal();
    judge_equal(&mut world);
    assert_eq!(world.places[away].snapshots[1], 1, "it came by snapshot");
    assert!(world.places[away].disk.prev().0 >= 20, "and its log begins behind it");
    // It leads, and is asked what was answered while it was away.
    while world.await_leader() != away {
        let leader = world.await_leader();
        world.crash(leader);
        world.start(leader);
    }
    assert_eq!(world.done(away, &once).0, executed, "executed once, then");
}

#[test]
fn while_a_snapshot_is_taken_writes_and_heartbeats_go_on() {
    let (mut world, leader) = calm(4, 3);
    let term = world.node(leader).core().term();
    for at in 0..3 {
        world.hold_snapshots(at, true);
    }
    write(&mut world, leader, "k", 100);
    let sent = world.heartbeats;
    world.run_ms(3_000);
    assert!(world.heartbeats - sent >= 100 && world.node(leader).core().term() == term);
    assert!(world.places.iter().all(|place| place.snapshots[0] == 0), "one is under way for all this time");
    for at in 0..3 {
        world.hold_snapshots(at, false);
    }
    world.until("they are taken", 5_000, |world| world.places.iter().all(|place| place.snapshots[0] >= 1));
    write(&mut world, leader, "more", 30);
    judge_equal(&mut world);
}

#[test]
fn while_a_snapshot_is_installed_the_member_stays_and_goes_on_behind_it() {
    let (mut world, leader) = calm(5, 3);
    let away = another(leader);
    world.isolate(away);
    write(&mut world, leader, "k", 60);
    outrun(&mut world, leader, away);
    let term = world.node(leader).core().term();
    world.heal();
    world.until("pieces come", 5_000, |world| world.node(away).core().transfer() != TransferState::Idle);
    world.until("all are there", 5_000, |world| {
        world.node(away).core().transfer() == TransferState::Installing
    });
    world.hold_snapshots(away, true);
    let before = world.node(away).store().applied();
    let sent = world.node(away).counts().turns;
    write(&mut world, leader, "meanwhile", 10);
    world.run_ms(2_000);
    let turns = world.node(away).counts().turns - sent;
    assert!((200..2_000).contains(&turns), "{turns} turns: ticks go on, and nothing spins");
    assert_eq!(
        world.node(away).store().applied(),
        before,
        "nothing is applied to a state that is about to go"
    );
    assert_eq!(world.leader(), Some(leader));
    // A read there waits, and is answered once the state is in place.
    let position = position(1, 0, term.0, world.node(leader).store().applied().index);
    let waiting = world.read(away, read(Consistency::Follower, Span::prefix("k/"), Some(position)));
    world.run_ms(500);
    assert_eq!(world.answer(waiting), None);
    world.hold_snapshots(away, false);
    assert!(matches!(world.await_answer(waiting), Message::ReadDone(_)));
    judge_equal(&mut world);
}

#[test]
fn a_snapshot_waits_until_the_log_is_durable_up_to_its_end() {
    let (mut world, leader) = calm(6, 3);
    world.hold_disk(leader, true);
    // The others are a majority, so the leader applies what only they hold.
    write(&mut world, leader, "k", 40);
    world.run_ms(100);
    assert!(world.node(leader).core().durable().0 + 30 < world.node(leader).store().applied().index);
    let covered: Vec<u64> = world.places.iter().map(|place| place.covered).collect();
    assert_eq!(covered[leader], 0, "it would stand for a log that is not there");
    assert!(covered.iter().filter(|covered| **covered >= 20).count() == 2, "{covered:?}");
    world.hold_disk(leader, false);
    world.until("its own", 5_000, |world| world.places[leader].covered >= 20);
    judge_equal(&mut world);
}

#[test]
fn an_entry_that_comes_back_after_its_state_has_gone_is_dropped() {
    let (mut world, leader) = calm(7, 3);
    for key in 0..1_200 {
        world.submit(leader, &put(&format!("k{key:05}"), "v"), 0);
    }
    world.until("all are there", 20_000, |world| (0..3).all(|at| world.node(at).store().keys() == 1_200));
    let away = another(leader);
    world.hold_jobs(away, true);
    let (_, deleted) = world.done(leader, &delete_all("k"));
    assert!(matches!(deleted, Ok(Reply::Deleted { count: 1_200, .. })));
    world.until("it is being applied", 2_000, |world| world.jobs(away) == 1);
    world.isolate(away);
    write(&mut world, leader, "later", 60);
    outrun(&mut world, leader, away);
    world.heal();
    world.until("the state is replaced", 10_000, |world| world.places[away].snapshots[1] == 1);
    world.run_ms(200);
    assert_eq!(world.jobs(away), 1, "it is still under way");
    // Another one goes on its way behind the snapshot, before the first comes back.
    for key in 0..1_200 {
        world.submit(leader, &put(&format!("m{key:05}"), "v"), 0);
    }
    world.until("more keys", 20_000, |world| world.node(away).store().keys() == 1_260);
    let second = world.submit(leader, &delete_all("m"), 0);
    world.until("the second is being applied", 2_000, |world| world.jobs(away) == 2);
    world.hold_jobs(away, false);
    assert!(matches!(world.await_done(second).1, Ok(Reply::Deleted { count: 1_200, .. })));
    judge_equal(&mut world);
    assert_eq!(world.node(away).store().keys(), 60);
}

#[test]
fn a_full_disk_costs_a_snapshot_and_nothing_else_and_it_is_tried_again() {
    let (mut world, leader) = calm(8, 3);
    world.places[leader].snapshot_disk.set_capacity(1_000);
    write(&mut world, leader, "k", 40);
    world.until("it fails", 2_000, |world| world.places[leader].snapshots[2] == 1);
    write(&mut world, leader, "more", 40);
    world.run_ms(3_000);
    assert_eq!(world.places[leader].snapshots, [0, 0, 1], "not at once again");
    assert_eq!(world.node(leader).core().prev().index.0, 0, "the log stays");
    assert_eq!(world.places[leader].snapshot_disk.names(), [""; 0], "what was begun takes no room");
    world.places[leader].snapshot_disk.set_capacity(1 << 30);
    world.until("it is taken", 11_000, |world| world.places[leader].snapshots[0] == 1);
    judge_equal(&mut world);
}

#[test]
fn a_receiver_whose_disk_is_full_stays_as_it_was_and_gets_it_later() {
    let (mut world, leader) = calm(9, 3);
    let away = another(leader);
    world.isolate(away);
    write(&mut world, leader, "k", 60);
    world.places[away].snapshot_disk.set_capacity(1_000);
    let before = bytes(&world, away);
    world.heal();
    world.until("it fails", 5_000, |world| world.places[away].snapshots[2] >= 1);
    world.run_ms(1_000);
    assert!(bytes(&world, away) == before, "nothing of what it had is touched");
    world.places[away].snapshot_disk.set_capacity(1 << 30);
    judge_equal(&mut world);
    assert_eq!(world.places[away].snapshots[1], 1);
}

#[test]
fn a_watch_over_an_installation_is_told_each_revision_once_and_in_order() {
    let (mut world, leader) = calm(10, 3);
    let away = another(leader);
    world.until("it follows", 5_000, |world| world.node(away).is_ready());
    let caller = watch(&mut world, away, all());
    let begins = started(&mut world, caller);
    write(&mut world, leader, "before", 5);
    world.run_ms(50);
    world.isolate(away);
    for number in 0..60 {
        world.submit(leader, &put(&format!("k/{number:04}"), "v"), 0);
        world.run_ms(5);
    }
    world.heal();
    world.until("the state is replaced", 10_000, |world| world.places[away].snapshots[1] == 1);
    write(&mut world, leader, "behind", 5);
    judge_equal(&mut world);
    world.run_ms(500);
    let (events, _, end) = told(&mut world, away, caller);
    assert_eq!(end, None);
    assert_eq!(events, (begins.from..begins.from + 70).collect::<Vec<_>>());
}

#[test]
fn an_operator_is_given_what_was_acknowledged_or_told_why_not_and_only_so_many_are_served_at_a_time() {
    let (mut world, leader) = calm(9, 3);
    let at = write(&mut world, leader, "k", 10);
    let newest = SaveSnapshot { newest: true, ..SaveSnapshot::default() };
    let caller = world.save_snapshot(leader, newest);
    assert_eq!(world.await_refusal(caller).0, Code::NoSnapshot, "it has taken none yet");
    let save =
        |index| SaveSnapshot { min_position: Some(Position { index, ..at }), ..SaveSnapshot::default() };
    let caller = world.save_snapshot(leader, save(at.index + 1_000));
    assert_eq!(world.await_refusal(caller).0, Code::PositionNotReached);
    world.hold_snapshots(leader, true);
    let callers: Vec<_> = (0..SAVES_MAX).map(|_| world.save_snapshot(leader, save(at.index))).collect();
    let one_more = world.save_snapshot(leader, save(at.index));
    assert_eq!(world.await_refusal(one_more).0, Code::Overloaded);
    world.hold_snapshots(leader, false);
    for caller in callers {
        let Message::SnapshotPiece(piece) = world.await_answer(caller) else { panic!("no piece") };
        assert!(piece.last.index >= at.index && piece.data.len() as u64 == piece.bytes);
        let mut decoder = Decoder::<NoPlant>::new();
        decoder.push(&piece.data).expect("whole");
        assert_eq!(decoder.finish().expect("whole").store.keys(), 10);
    }
    let caller = world.save_snapshot(leader, save(at.index));
    assert!(matches!(world.await_answer(caller), Message::SnapshotPiece(_)), "the others have made room");
}

#[test]
fn operators_that_go_while_their_snapshots_are_written_leave_their_places_to_others() {
    let (mut world, leader) = calm(13, 3);
    let at = write(&mut world, leader, "k", 10);
    let save = SaveSnapshot { min_position: Some(at), ..SaveSnapshot::default() };
    // All places at once, then one after the other: each of them frees its own, and only that.
    for together in [SAVES_MAX, 1, 1, 1, 1] {
        world.hold_snapshots(leader, true);
        let gone: Vec<_> = (0..together).map(|_| world.save_snapshot(leader, save)).collect();
        for caller in gone {
            world.input(leader, Input::Gone(caller.connection));
        }
        world.run_ms(50);
        world.hold_snapshots(leader, false);
        world.run_ms(50);
    }
    let callers: Vec<_> = (0..SAVES_MAX).map(|_| world.save_snapshot(leader, save)).collect();
    for caller in callers {
        let answer = world.await_answer(caller);
        assert!(matches!(answer, Message::SnapshotPiece(_)), "seed {}: {answer:?}", world.seed);
    }
}
