//! What a leader does as time passes: the clock of the cluster, the feature level; and how old a stale read is.

use bytes::Bytes;
use holdfast_command::keys::Span;
use holdfast_command::sessions::OpenSession;
use holdfast_command::{Code, Command, FeatureLevel, Reply, Request, SessionId};
use holdfast_machine::Numbered;
use holdfast_server::node::Caller;
use holdfast_wire::Message;
use holdfast_wire::message::{Consistency, Read};

use crate::away::delete_all;
use crate::clients::{put, read};
use crate::world::{MS, Rough, World};

fn open(world: &mut World, at: usize, ttl_ms: u64) -> SessionId {
    let open = Request::from(Command::OpenSession(OpenSession { ttl_ms }));
    match world.done(at, &open).1 {
        Ok(Reply::SessionOpened { session }) => session,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_clock_of_the_log_follows_time_while_a_session_lives_and_nobody_writes() {
    let (mut world, leader) = World::calm(1, 3);
    let session = open(&mut world, leader, 5_000);
    let (clock, now) = (world.node(leader).store().clock(), world.now);
    for _ in 0..40 {
        world.run_ms(100);
        let passed = (world.now - now) / MS;
        let logged = world.node(leader).store().clock() - clock;
        assert!(logged <= passed && logged + 1_100 >= passed, "{logged} ms of {passed}");
    }
    assert!(world.node(leader).store().sessions().any(|(id, _)| id == session));
    world.run_ms(3_000);
    for at in 0..3 {
        assert_eq!(world.node(at).store().sessions().count(), 0, "nobody renewed it");
    }
    // Nothing lives by the clock any more: the log stands still.
    let last = world.node(leader).core().last();
    world.run_ms(5_000);
    assert_eq!(world.node(leader).core().last(), last);
}

#[test]
fn a_leader_that_was_suspended_advances_the_clock_by_two_seconds_and_sessions_stay() {
    // Alone, it is still the leader when it wakes up.
    for seed in 1..=10 {
        println!("seed {seed}");
        let (mut world, leader) = World::calm(seed, 1);
        let session = open(&mut world, leader, 5_000);
        let before = world.node(leader).store().clock();
        world.places[leader].paused_until = world.now + 10_000 * MS;
        world.run_ms(10_000);
        let caller = world.keep(leader, session);
        assert!(
            matches!(world.await_answer(caller), Message::SessionKept(kept) if kept.known),
            "seed {seed}: the session ended while nobody could renew it"
        );
        // And the rest is not made up for by the entries behind.
        for number in 0..10 {
            world.done(leader, &put("a", number.to_string())).1.expect("executed");
        }
        let after = world.node(leader).store().clock();
        assert!(after >= before + 1_000 && after <= before + 2_200, "seed {seed}: {}", after - before);
        assert!(world.node(leader).store().sessions().any(|(id, _)| id == session), "seed {seed}");
    }
}

#[test]
fn every_other_member_says_once_that_the_leader_s_clock_is_ahead_and_all_say_when_stamps_are_no_more() {
    let (mut world, leader) = World::calm(3, 3);
    world.places[leader].ahead_ms = 10_000;
    world.done(leader, &put("a", "1")).1.expect("it is taken");
    world.run_ms(2_000);
    for at in 0..3 {
        let wanted: &[bool] = if at == leader { &[] } else { &[true] };
        assert_eq!(world.places[at].drifts, wanted, "node {}", at + 1);
    }
    // Set right, it is the one whose own stamps are ahead of it: stamps never go back.
    world.places[leader].ahead_ms = 0;
    world.run_ms(2_000);
    assert_eq!(world.places[leader].drifts, [true]);
    world.run_ms(10_000);
    for at in 0..3 {
        assert_eq!(world.places[at].drifts, [true, false], "node {}", at + 1);
    }
}

#[test]
fn the_feature_level_is_raised_only_when_every_member_has_said_that_it_can_follow() {
    let latest = FeatureLevel::LATEST.0;
    // Somebody is of an older build; somebody has not said anything.
    for (seed, missing) in [1, 0].into_iter().flat_map(|missing| (1..=10).map(move |seed| (seed, missing))) {
        println!("seed {seed}");
        let mut world = World::of_levels(seed, &[latest, latest, missing], Rough::CALM);
        if world.await_leader() == 2 {
            // In here all are of the same build, and only say otherwise: that one knows better.
            continue;
        }
        world.run_ms(3_000);
        for at in 0..2 {
            assert_eq!(world.node(at).store().level(), FeatureLevel::FIRST, "{missing}");
        }
        world.places[2].level = latest;
        for at in 0..2 {
            world.introduce(2, at);
        }
        // A leader of the old build, if it was that one, goes on as one of the new.
        world.run_ms(3_000);
        for at in 0..3 {
            assert_eq!(world.node(at).store().level(), FeatureLevel::LATEST, "{missing}");
        }
    }
}

fn stale(world: &mut World, at: usize, max_stale_ms: u64) -> Caller {
    let one = Span::Key(Bytes::from_static(b"a"));
    world.read(at, Read { max_stale_ms, ..read(Consistency::Stale, one, None) })
}

fn staleness(world: &mut World, at: usize) -> u64 {
    let caller = stale(world, at, 0);
    match world.await_answer(caller) {
        Message::ReadDone(done) => done.staleness_ms,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_member_that_is_cut_off_knows_that_it_grows_old_and_refuses_beyond_the_bound() {
    let (mut world, leader) = World::calm(2, 3);
    world.run_ms(1_000);
    let follower = (leader + 1) % 3;
    assert!(staleness(&mut world, follower) < 1_500);
    world.isolate(follower);
    for number in 0..20 {
        world.done(leader, &put("a", number.to_string())).1.expect("executed");
        world.run_ms(200);
        // The world compares what it says with what was committed meanwhile.
        let said = staleness(&mut world, follower);
        assert!(said >= 200 * number, "{said} ms");
    }
    let caller = stale(&mut world, follower, 1_000);
    let (code, refused) = world.await_refusal(caller);
    assert_eq!((code, refused.second), (Code::TooStale, 1_000));
    assert!(refused.first >= 4_000);
}

#[test]
fn a_stale_read_that_waits_for_a_position_is_refused_if_the_state_is_too_old_by_then() {
    let mut refused = 0;
    for seed in 1..=20 {
        println!("seed {seed}");
        let (mut world, leader) = World::calm(seed, 3);
        world.run_ms(1_000);
        let follower = (leader + 1) % 3;
        world.isolate(follower);
        let (position, done) = world.done(leader, &put("a", "1"));
        done.expect("executed");
        let one = Span::Key(Bytes::from_static(b"a"));
        let late = Read { max_stale_ms: 1_000, ..read(Consistency::Stale, one, Some(position)) };
        let caller = world.read(follower, late);
        world.run_ms(2_000);
        assert!(world.answer(caller).is_none(), "it waits for its position");
        world.heal();
        match world.await_answer(caller) {
            Message::ReadDone(done) => assert!(done.staleness_ms <= 1_000, "{} ms", done.staleness_ms),
            Message::Refused(refusal) => {
                assert_eq!((refusal.code, refusal.second), (Code::TooStale.number(), 1_000));
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(refused > 0, "the state was never too old");
}

#[test]
fn a_stale_read_is_no_older_than_it_says_when_messages_took_seconds() {
    // A queue somewhere on the way: everything arrives, and three seconds late.
    for seed in 1..=10 {
        println!("seed {seed}");
        let (mut world, leader) = World::calm(seed, 3);
        world.run_ms(500);
        let follower = (leader + 1) % 3;
        world.slow_link(leader, follower, 3_000);
        for number in 0..60 {
            world.done(leader, &put("a", number.to_string())).1.expect("executed");
            world.run_ms(100);
            staleness(&mut world, follower);
        }
    }
}

#[test]
fn a_stale_read_is_no_older_than_it_says_when_a_confirmation_was_long_under_way() {
    for seed in 1..=10 {
        println!("seed {seed}");
        let (mut world, leader) = World::calm(seed, 3);
        let follower = (leader + 1) % 3;
        world.slow_link(leader, follower, 120);
        let one = Span::Key(Bytes::from_static(b"a"));
        for number in 0..400 {
            world.submit(leader, &put("a", number.to_string()), 0);
            // Now and then a client's question is the one that is confirmed.
            if seed % 2 == 0 && number % 40 == 0 {
                world.read(follower, read(Consistency::Linearizable, one.clone(), None));
            }
            world.run_ms(5);
            stale(&mut world, follower, 0);
        }
        let fresh = world.answers.iter().filter(
            |(.., answer)| matches!(answer, Message::ReadDone(done) if (1..300).contains(&done.staleness_ms)),
        );
        assert!(fresh.count() > 20, "seed {seed}: nothing was confirmed over this link");
    }
}

#[test]
fn a_stale_read_is_no_older_than_it_says_at_a_member_that_was_suspended() {
    for seed in 1..=10 {
        println!("seed {seed}");
        let (mut world, leader) = World::calm(seed, 3);
        world.run_ms(500);
        let follower = (leader + 1) % 3;
        let suspended = if seed % 2 == 0 { leader } else { follower };
        let other = 3 - leader - follower;
        world.places[suspended].paused_until = world.now + 5_000 * MS;
        world.run_ms(2_000);
        let writes_to = if suspended == leader { world.await_leader() } else { leader };
        for number in 0..5 {
            let caller = world.submit(writes_to, &put("a", number.to_string()), 0);
            world.run_ms(500);
            assert!(world.answer(caller).is_some(), "seed {seed}: {other} and {writes_to} are a majority");
        }
        world.run_until_awake(suspended);
        // The first thing that it does, before it has heard anybody.
        for _ in 0..20 {
            stale(&mut world, suspended, 0);
            world.run_ms(1);
        }
    }
}

#[test]
fn a_stale_read_is_no_older_than_it_says_while_an_entry_is_away() {
    for seed in 1..=3 {
        println!("seed {seed}");
        let (mut world, leader) = World::calm(seed, 3);
        for key in 0..1_200 {
            world.submit(leader, &put(&format!("k{key:05}"), "v"), 0);
        }
        world.run_ms(1_000);
        let follower = (leader + 1) % 3;
        for at in 0..3 {
            world.hold_jobs(at, true);
        }
        // One behind the other, and each takes a second and a half.
        for prefix in ["x", "y", "z"] {
            world.submit(leader, &delete_all(prefix), 0);
            world.run_ms(300);
        }
        for _ in 0..3 {
            for _ in 0..15 {
                world.run_ms(100);
                for at in [leader, follower] {
                    stale(&mut world, at, 0);
                }
            }
            for at in [leader, follower] {
                let before = world.node(at).store().applied();
                world.hold_jobs(at, false);
                world.until("one is done", 100, |world| world.node(at).store().applied() != before);
                world.hold_jobs(at, true);
            }
        }
    }
}
