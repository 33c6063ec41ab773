//! Single calls: how long they wait, and what is refused before it gets anywhere.

use bytes::Bytes;
use holdfast_command::extension::Extensions;
use holdfast_command::keys::Span;
use holdfast_command::sessions::OpenSession;
use holdfast_command::{Code, Command, Reply, Request, RequestKey};
use holdfast_machine::Numbered;
use holdfast_wire::Message;
use holdfast_wire::message::{Consistency, Read, Refused};

use crate::clients::{position, put, read};
use crate::world::{MS, World};

#[test]
fn a_write_whose_time_is_over_is_answered_as_unknown_and_may_still_be_executed() {
    for seed in 1..=10 {
        println!("seed {seed}");
        let (mut world, leader) = World::calm(seed, 3);
        for other in (0..3).filter(|other| *other != leader) {
            world.hold_disk(other, true);
        }
        let asked = world.now;
        let (late, patient) =
            (world.submit(leader, &put("a", "late"), 200), world.submit(leader, &put("b", "patient"), 0));
        let (code, refused) = world.await_refusal(late);
        assert_eq!((code, refused.effect), (Code::TimedOut, Refused::UNKNOWN), "seed {seed}");
        let waited = (world.now - asked) / MS;
        assert!((200..270).contains(&waited), "seed {seed}: {waited} ms");
        assert_eq!(world.answer(patient), None, "seed {seed}: that one waits for ever");
        for other in 0..3 {
            world.hold_disk(other, false);
        }
        world.await_done(patient).1.expect("executed");
        assert_eq!(world.node(leader).store().get(b"a").expect("executed all the same").value(), b"late");
    }
}

#[test]
fn a_write_that_waits_for_the_own_term_entry_is_given_up_in_time_as_well_and_is_not_proposed_later() {
    let (mut world, leader) = crate::leadership::establishing(1);
    let asked = world.now;
    let caller = world.submit(leader, &put("a", "late"), 100);
    let renewal = {
        let caller = world.caller();
        let (actor, session) = (holdfast_command::Actor::Anonymous, holdfast_command::SessionId(1));
        world.input(leader, holdfast_server::node::Input::Keep { caller, actor, session, timeout_ms: 100 });
        caller
    };
    for caller in [caller, renewal] {
        let (code, _) = world.await_refusal(caller);
        assert_eq!(code, Code::TimedOut);
        let waited = (world.now - asked) / MS;
        assert!((100..170).contains(&waited), "{waited} ms");
    }
    world.heal();
    let next = world.await_leader();
    world.run_ms(2_000);
    assert!(world.node(next).store().get(b"a").is_none());
}

#[test]
fn a_read_that_waits_too_long_says_how_far_the_store_has_come() {
    let (mut world, leader) = World::calm(3, 3);
    for at in [leader, (leader + 1) % 3] {
        let asked = position(1, 0, 1, 1_000);
        let waits = Read { timeout_ms: 100, ..read(Consistency::Follower, Span::all(), Some(asked)) };
        let caller = world.read(at, waits);
        let (code, refused) = world.await_refusal(caller);
        assert_eq!(code, Code::PositionNotReached);
        assert_eq!((refused.first, refused.second), (world.node(at).store().applied().index, 1_000));
        assert_eq!(world.node(at).waiting(), 0);
    }
}

#[test]
fn a_linearizable_read_that_nobody_confirms_is_given_up_in_time() {
    let (mut world, leader) = World::calm(4, 3);
    let follower = (leader + 1) % 3;
    world.isolate(follower);
    let asked = world.now;
    let waits = Read { timeout_ms: 100, ..read(Consistency::Linearizable, Span::all(), None) };
    let caller = world.read(follower, waits);
    let (code, _) = world.await_refusal(caller);
    assert!(matches!(code, Code::TimedOut | Code::NoLeader), "{code:?}");
    assert!((world.now - asked) / MS < 170);
    assert_eq!(world.node(follower).waiting(), 0);
}

#[test]
fn a_position_of_another_epoch_or_group_is_refused_with_its_own_code() {
    let (mut world, leader) = World::calm(5, 3);
    for at in [leader, (leader + 1) % 3] {
        for consistency in Consistency::ALL {
            let other = read(*consistency, Span::all(), Some(position(2, 0, 1, 1)));
            let caller = world.read(at, other);
            let (code, refused) = world.await_refusal(caller);
            assert_eq!((code, refused.first, refused.second), (Code::OtherEpoch, 2, 1));
            let other = read(*consistency, Span::all(), Some(position(1, 3, 1, 1)));
            let caller = world.read(at, other);
            let (code, refused) = world.await_refusal(caller);
            assert_eq!((code, refused.first), (Code::OtherGroup, 3));
        }
    }
}

#[test]
fn an_idempotency_key_of_a_client_is_refused_and_never_reaches_the_log() {
    let (mut world, leader) = World::calm(6, 3);
    let last = world.node(leader).core().last();
    let key = RequestKey::Idempotency { key: [1; 32], request: [2; 32] };
    let caller = world.submit(leader, &Request { key, ..put("a", "1") }, 0);
    let (code, refused) = world.await_refusal(caller);
    assert_eq!((code, refused.effect, refused.first), (Code::Malformed, Refused::NOT_APPLIED, 2));
    assert_eq!(world.node(leader).core().last(), last);
    assert_eq!(world.node(leader).store().idempotency_keys(), 0);
}

#[test]
fn what_only_nodes_may_ask_for_is_refused_from_clients() {
    let (mut world, leader) = World::calm(7, 3);
    let caller = world.submit(leader, &Request::from(Command::Tick), 0);
    assert_eq!(world.await_refusal(caller).0, Code::NotForClients);
    for bytes in [&b""[..], b"\x01", b"\xff\xff\0\0", b"\x01\0\0\0\xff\xff\xff\xff\0\0"] {
        let caller = world.submit_bytes(leader, Bytes::copy_from_slice(bytes), 0);
        let (code, refused) = world.await_refusal(caller);
        assert!(matches!(code, Code::Malformed | Code::UnknownCommand), "{code:?}");
        assert_eq!(refused.effect, Refused::NOT_APPLIED);
    }
}

#[test]
fn a_deadline_is_compared_with_the_running_clock_of_the_leader_also_when_the_log_stands_still() {
    let (mut world, leader) = World::calm(8, 3);
    let clock = world.node(leader).store().clock();
    let last = world.node(leader).core().last();
    let now = world.now;
    // Nothing lives by the clock yet, so nothing is written while time passes.
    world.run_ms(1_500);
    assert_eq!(world.node(leader).core().last(), last, "the log does not stand still");
    let late = Request { extensions: Extensions::not_after(clock + 1_000), ..put("a", "late") };
    let caller = world.submit(leader, &late, 0);
    let (code, refused) = world.await_refusal(caller);
    assert_eq!((code, refused.effect, refused.second), (Code::TooLate, Refused::NOT_APPLIED, clock + 1_000));
    assert!(refused.first >= clock + 1_500, "{} from {clock}", refused.first);
    assert_eq!(world.node(leader).core().last(), last);
    let in_time = clock + (world.now - now) / MS + 1_000;
    let request = Request { extensions: Extensions::not_after(in_time), ..put("a", "in time") };
    world.done(leader, &request).1.expect("executed");
}

#[test]
fn a_request_that_comes_again_to_another_leader_is_answered_as_the_first_time() {
    for seed in 1..=10 {
        println!("seed {seed}");
        let (mut world, leader) = World::calm(seed, 3);
        let open = Request::from(Command::OpenSession(OpenSession { ttl_ms: 60_000 }));
        let Ok(Reply::SessionOpened { session }) = world.done(leader, &open).1 else { panic!("not opened") };
        let key = RequestKey::Session { session, sequence: 1, low: 1 };
        let request = Request { key, ..put("a", "once") };
        let first = world.done(leader, &request);
        world.crash(leader);
        let next = world.await_leader();
        let second = world.done(next, &request);
        assert_eq!(first, second, "seed {seed}");
        assert_eq!(world.node(next).store().get(b"a").expect("it was written").version(), 1, "seed {seed}");
    }
}

#[test]
fn a_consistency_or_a_range_that_does_not_exist_is_refused() {
    let (mut world, leader) = World::calm(9, 1);
    let sound = read(Consistency::Stale, Span::all(), None);
    let beyond = Consistency::ALL.len() as u8 + 1;
    for wrong in [
        Read { consistency: 0, ..sound.clone() },
        Read { consistency: beyond, ..sound.clone() },
        Read { range: Bytes::from_static(b"\0"), ..sound.clone() },
        Read { range: Bytes::new(), ..sound },
    ] {
        let caller = world.read(leader, wrong);
        assert_eq!(world.await_refusal(caller).0, Code::Malformed);
    }
    assert_eq!(Consistency::Linearizable.number(), 1);
}

#[test]
fn a_member_that_never_followed_a_leader_has_nothing_stale_to_offer() {
    let mut world = World::new(10, 3, crate::world::Rough::CALM);
    let caller = world.read(0, read(Consistency::Stale, Span::all(), None));
    assert_eq!(world.await_refusal(caller).0, Code::NoLeader);
    let leader = world.await_leader();
    world.run_ms(1_000);
    for at in [leader, (leader + 1) % 3] {
        let caller = world.read(at, read(Consistency::Stale, Span::all(), None));
        assert!(matches!(world.await_answer(caller), Message::ReadDone(done) if done.staleness_ms < 2_000));
    }
}
