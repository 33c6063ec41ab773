//! Leases, locks and elections at a node: who renews, who ends, who is told.

use bytes::Bytes;
use bytestring::ByteString;
use holdfast_command::leases::{GrantLease, RevokeLease};
use holdfast_command::locks::{Acquire, Release};
use holdfast_command::namespaces::{Rules, SetNamespace};
use holdfast_command::query::{Answer, Query, QueueInfo, QueueKind, When};
use holdfast_command::sessions::OpenSession;
use holdfast_command::{Actor, Code, Command, Refusal, Reply, Setting};
use holdfast_machine::Numbered as _;
use holdfast_server::node::Input;
use holdfast_wire::Message;

use crate::clients::put;
use crate::world::{MS, Rough, World};

const TTL_MS: u64 = 3_000;

fn grant(world: &mut World, leader: usize) -> i64 {
    let (_, reply) = world.done(leader, &Command::GrantLease(GrantLease { lease: 0, ttl_ms: TTL_MS }).into());
    let Ok(Reply::LeaseGranted { lease, .. }) = reply else { panic!("not granted: {reply:?}") };
    lease
}

fn acquire(world: &mut World, leader: usize, lease: i64) -> Result<Reply, Refusal> {
    let (name, value) = (Bytes::from_static(b"jobs"), Bytes::new());
    world.done(leader, &Command::Acquire(Acquire { name, lease, wait: true, value }).into()).1
}

fn queue(when: When) -> Query {
    Query::Queue { kind: QueueKind::Lock, name: Bytes::from_static(b"jobs"), when }
}

fn queue_of(answer: Answer) -> QueueInfo {
    match answer {
        Answer::Queue(queue) => queue,
        other => panic!("no queue: {other:?}"),
    }
}

fn attach(world: &mut World, leader: usize, lease: i64) {
    let mut request = put("by", "lease");
    let Command::Put(put) = &mut request.command else { panic!("a put") };
    put.lease = lease;
    world.done(leader, &request).1.expect("attached");
}

#[test]
fn a_lease_that_nobody_renews_ends_after_its_time_and_not_before_on_every_node() {
    for seed in 1..=10 {
        let (mut world, leader) = World::calm(seed, 3);
        let lease = grant(&mut world, leader);
        attach(&mut world, leader, lease);
        let granted = world.now;
        world.until("the key goes", 10_000, |world| world.node(leader).store().get(b"by").is_none());
        let lived = (world.now - granted) / MS;
        // An entry moves the clock of the log, and with it the deadline of what it grants, by what had passed before it.
        assert!((TTL_MS - 20..TTL_MS + 600).contains(&lived), "seed {seed}: {lived} ms");
        world.run_ms(500);
        for at in 0..3 {
            assert!(world.node(at).store().lease(lease).is_none(), "seed {seed}: node {}", at + 1);
            assert!(world.node(at).store().get(b"by").is_none(), "seed {seed}: node {}", at + 1);
        }
    }
}

#[test]
fn renewals_of_one_turn_are_one_entry_and_each_of_them_is_told_what_became_of_it() {
    let (mut world, leader) = World::calm(1, 3);
    let leases: Vec<i64> = (0..50).map(|_| grant(&mut world, leader)).collect();
    world.run_ms(1_000);
    let before = world.node(leader).counts().proposed;
    let mut callers: Vec<_> = leases.iter().map(|lease| (world.keep_lease(leader, *lease), true)).collect();
    callers.push((world.keep_lease(leader, 4_711), false));
    for (caller, expected) in callers {
        match world.await_answer(caller) {
            Message::LeaseKept(kept) => {
                assert_eq!((kept.known, kept.ttl_ms), (expected, if expected { TTL_MS } else { 0 }));
            }
            other => panic!("{other:?}"),
        }
    }
    // The clock entry of a leader may have come between.
    let proposed = world.node(leader).counts().proposed - before;
    assert!((1..=2).contains(&proposed), "{proposed} entries for 51 renewals");
}

#[test]
fn a_change_of_leaders_ends_no_lease_early_and_a_cluster_without_a_leader_lengthens_all() {
    for seed in 1..=20 {
        println!("seed {seed}");
        let (mut world, leader) = World::calm(seed, 3);
        let lease = grant(&mut world, leader);
        attach(&mut world, leader, lease);
        let granted = world.now;
        let away = world.rng.between(500, 2_500) * MS;
        world.until("nearly over", 10_000, |world| world.now >= granted + away);
        world.crash(leader);
        let next = world.await_leader();
        world.until("it ends", 20_000, |world| {
            world.leader().is_some_and(|at| world.node(at).store().get(b"by").is_none())
        });
        let lived = (world.now - granted) / MS;
        assert!(lived >= TTL_MS - 20, "seed {seed}: it lived {lived} ms under node {}", next + 1);
        assert!(lived < TTL_MS + 6_000, "seed {seed}: it lived {lived} ms");
    }
}

#[test]
fn a_lease_that_is_renewed_outlives_every_leader() {
    for seed in 1..=5 {
        println!("seed {seed}");
        let (mut world, leader) = World::calm(seed, 3);
        let lease = grant(&mut world, leader);
        attach(&mut world, leader, lease);
        for round in 0..12 {
            let leader = world.await_leader();
            let caller = world.keep_lease(leader, lease);
            match world.await_answer(caller) {
                Message::LeaseKept(kept) => assert!(kept.known, "seed {seed}: lost in round {round}"),
                // Not in time for the leader that was asked; there is time to ask another.
                Message::Refused(_) => {}
                other => panic!("{other:?}"),
            }
            if round % 3 == 0 {
                world.crash(leader);
                world.await_leader();
                world.start(leader);
            }
            world.run_ms(900);
        }
        let leader = world.await_leader();
        assert!(world.node(leader).store().get(b"by").is_some(), "seed {seed}");
    }
}

#[test]
fn a_leader_that_was_suspended_revokes_nothing_that_was_renewed_meanwhile() {
    for seed in 1..=10 {
        println!("seed {seed}");
        let (mut world, old) = World::calm(seed, 3);
        let lease = grant(&mut world, old);
        attach(&mut world, old, lease);
        // Long enough for the lease to be over by its own clock, and for another leader to renew it.
        world.places[old].paused_until = world.now + 6_000 * MS;
        world.until("another leader", 5_000, |world| world.leader().is_some_and(|at| at != old));
        for _ in 0..7 {
            let next = world.leader().filter(|at| *at != old).expect("it leads");
            let caller = world.keep_lease(next, lease);
            assert!(
                matches!(world.await_answer(caller), Message::LeaseKept(kept) if kept.known),
                "seed {seed}: renewed by the new leader"
            );
            world.run_ms(900);
        }
        world.run_ms(500);
        let leader = world.await_leader();
        assert!(world.node(leader).store().get(b"by").is_some(), "seed {seed}: the old leader ended it");
    }
}

#[test]
fn whoever_waits_for_a_lock_is_told_when_it_is_granted_and_nobody_else_is() {
    let (mut world, leader) = World::calm(3, 3);
    let leases: Vec<i64> = (0..4).map(|_| grant(&mut world, leader)).collect();
    for (ahead, lease) in leases.iter().enumerate() {
        match acquire(&mut world, leader, *lease) {
            Ok(Reply::LockGranted { .. }) => assert_eq!(ahead, 0),
            Ok(Reply::LockQueued { ahead: behind }) => assert_eq!(behind, ahead as u64),
            other => panic!("{other:?}"),
        }
    }
    // At any member, followers too.
    let waiting: Vec<_> = (1..4)
        .map(|at| {
            let when = When::Settled { lease: leases[at] };
            world.query((leader + at) % 3, &queue(when), 0)
        })
        .collect();
    world.run_ms(500);
    assert!(waiting.iter().all(|caller| world.answer(*caller).is_none()), "nobody is first yet");
    for (at, caller) in waiting.iter().enumerate() {
        let (name, lease) = (Bytes::from_static(b"jobs"), leases[at]);
        let release = Command::Release(Release { name, lease });
        world.done(leader, &release.into()).1.expect("released");
        let told = world.await_answer_to_query(*caller);
        let holder = queue_of(told).holder.expect("somebody holds it");
        assert_eq!(holder.lease, leases[at + 1]);
        world.run_ms(200);
        assert!(waiting.iter().skip(at + 1).all(|later| world.answer(*later).is_none()));
    }
}

#[test]
fn a_place_that_goes_with_its_lease_is_told_to_whoever_waits_in_it() {
    let (mut world, leader) = World::calm(4, 3);
    let (first, second) = (grant(&mut world, leader), grant(&mut world, leader));
    acquire(&mut world, leader, first).expect("granted");
    acquire(&mut world, leader, second).expect("queued");
    let waiting = world.query(leader, &queue(When::Settled { lease: second }), 0);
    let revoke = Command::RevokeLease(RevokeLease { lease: second });
    world.done(leader, &revoke.into()).1.expect("revoked");
    let told = queue_of(world.await_answer_to_query(waiting));
    assert_eq!(told.holder.map(|holder| holder.lease), Some(first));
    assert!(told.places.is_empty(), "it waits no more");
}

#[test]
fn a_query_for_news_is_answered_by_news_or_when_its_time_is_over() {
    let (mut world, leader) = World::calm(5, 3);
    let lease = grant(&mut world, leader);
    let none = world.query(leader, &queue(When::ChangedFrom { index: 0 }), 0);
    world.run_ms(300);
    assert_eq!(world.answer(none), None, "nobody holds it, as was known");
    acquire(&mut world, leader, lease).expect("granted");
    let held = queue_of(world.await_answer_to_query(none));
    assert_eq!(held.holder.as_ref().map(|holder| holder.lease), Some(lease));

    let asked = world.now;
    let same = world.query(leader, &queue(When::ChangedFrom { index: held.changed_at }), 400);
    let unchanged = queue_of(world.await_answer_to_query(same));
    assert_eq!(unchanged, held, "what is so, when there are no news");
    let waited = (world.now - asked) / MS;
    assert!((400..470).contains(&waited), "{waited} ms");

    let gone = world.query(leader, &queue(When::ChangedFrom { index: held.changed_at }), 0);
    let revoke = Command::RevokeLease(RevokeLease { lease });
    world.done(leader, &revoke.into()).1.expect("revoked");
    assert_eq!(queue_of(world.await_answer_to_query(gone)), QueueInfo::default(), "nobody holds it any more");
    assert_eq!(world.node(leader).waiting(), 0);
}

#[test]
fn namespaces_settings_and_sessions_are_listed_page_by_page_with_what_they_hold() {
    let (mut world, leader) = World::calm(9, 3);
    for name in ["app/", "b/", "b/c/"] {
        let rules = Rules { quota_keys: 9, ..Rules::default() };
        let set = SetNamespace { name: name.into(), rules };
        world.done(leader, &Command::SetNamespace(set).into()).1.expect("set");
    }
    for (key, value) in [("app/k", "value"), ("b/c/k", "v"), ("outside", "o")] {
        world.done(leader, &put(key, value)).1.expect("written");
    }
    let open = Command::OpenSession(OpenSession { ttl_ms: 60_000 });
    let opened: Vec<u64> = (0..3)
        .map(|_| match world.done(leader, &open.clone().into()).1 {
            Ok(Reply::SessionOpened { session }) => session.0,
            other => panic!("not opened: {other:?}"),
        })
        .collect();
    let mut ask = |query: Query| {
        let caller = world.query(leader, &query, 0);
        world.await_answer_to_query(caller)
    };
    let (mut after, mut told) = (ByteString::new(), Vec::new());
    while let Answer::Namespaces { namespaces, more } =
        ask(Query::Namespaces { after: after.clone(), limit: 1 })
    {
        let [info] = &namespaces[..] else { panic!("{namespaces:?}") };
        after = info.namespace.name.clone();
        told.push((after.to_string(), info.holds.keys, info.holds.bytes, info.namespace.rules.quota_keys));
        if !more {
            break;
        }
    }
    let told: Vec<_> =
        told.iter().map(|(name, keys, bytes, quota)| (name.as_str(), *keys, *bytes, *quota)).collect();
    assert_eq!(told, [("app/", 1, 10, 9), ("b/", 0, 0, 9), ("b/c/", 1, 6, 9)]);
    let Answer::Settings { outside, settings } = ask(Query::Settings) else { panic!("settings") };
    assert_eq!((outside.keys, outside.bytes), (1, 8));
    let of = |setting: Setting| {
        settings.iter().find(|(number, _)| *number == setting.number()).map(|(_, value)| *value)
    };
    assert!(Setting::ALL.iter().all(|setting| of(*setting) == Some(setting.scope().default)));
    let Answer::Sessions { sessions, more } = ask(Query::Sessions { after: opened[0], limit: 1 }) else {
        panic!("sessions")
    };
    assert_eq!((sessions[0].session, sessions[0].ttl_ms, more), (opened[1], 60_000, true));
}

#[test]
fn renewals_and_queries_of_nonsense_are_refused_by_name() {
    let (mut world, leader) = World::calm(6, 3);
    let other = (leader + 1) % 3;
    let caller = world.keep_lease(other, 1);
    assert_eq!(world.await_refusal(caller).0, Code::NotLeader);
    for name in [Bytes::new(), Bytes::from(vec![b'x'; 256])] {
        let query = Query::Queue { kind: QueueKind::Lock, name, when: When::ChangedFrom { index: 0 } };
        let caller = world.query(leader, &query, 0);
        assert_eq!(world.await_refusal(caller).0, Code::BadName);
    }
    let caller = world.query(leader, &Query::Lease { lease: 99 }, 0);
    match world.await_answer(caller) {
        Message::QueryDone(done) => {
            assert_eq!(Answer::decode(done.answer), Ok(Err(Refusal::UnknownLease { lease: 99 })));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn leases_live_through_everything_that_can_go_wrong_or_end_after_their_time() {
    let rough = Rough {
        loss: 20,
        duplicate: 20,
        slow: 20,
        slow_by: 40 * MS,
        delay: 2 * MS,
        disk: 2 * MS,
        disk_stall: 10,
        turn: 500,
        job: MS,
    };
    for seed in 1..=10 {
        println!("seed {seed}");
        let mut world = World::new(seed, 3, rough);
        let leader = world.await_leader();
        let lease = grant(&mut world, leader);
        let mut renewed = world.now;
        for _ in 0..20 {
            if world.rng.chance(100) {
                let leader = world.await_leader();
                world.crash(leader);
                world.await_leader();
                world.start(leader);
            }
            let leader = world.await_leader();
            let asked = world.now;
            let caller = world.keep_lease(leader, lease);
            if let Message::LeaseKept(kept) = world.await_answer(caller) {
                let silent = (asked - renewed) / MS;
                assert!(kept.known || silent >= TTL_MS - 20, "seed {seed}: lost after {silent} ms");
                if !kept.known {
                    break;
                }
                renewed = asked;
            }
            let wait = world.rng.between(100, 1_500);
            world.run_ms(wait);
        }
    }
}

#[test]
fn a_renewal_in_another_name_is_unknown_and_that_of_the_holder_in_the_same_turn_is_not() {
    for first in [true, false] {
        let (mut world, leader) = World::calm(11, 3);
        let lease = grant(&mut world, leader);
        let stranger = Actor::Named("stranger".into());
        let mut callers = Vec::new();
        for actor in
            if first { [stranger.clone(), Actor::Anonymous] } else { [Actor::Anonymous, stranger.clone()] }
        {
            let caller = world.caller();
            let is_holder = actor == Actor::Anonymous;
            world.input(leader, Input::KeepLease { caller, actor, lease, timeout_ms: 0 });
            callers.push((caller, is_holder));
        }
        for (caller, is_holder) in callers {
            let Message::LeaseKept(kept) = world.await_answer(caller) else { panic!("not answered") };
            assert_eq!((kept.known, kept.ttl_ms > 0), (is_holder, is_holder), "the stranger first: {first}");
        }
    }
}
