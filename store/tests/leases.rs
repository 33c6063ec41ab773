//! Leases: the edges of machine 10, what hangs on a lease, and that time alone ends none.

mod common;

use bytes::Bytes;
use common::{Fed, acquire, campaign, named, put, put_on, release, revoke};
use holdfast_command::keys::{Delete, Operation, Put, Restore, Span, Transaction};
use holdfast_command::leases::GrantLease;
use holdfast_command::namespaces::{Rules, SetNamespace};
use holdfast_command::{Actor, Command, Entry, Envelope, Refusal, Reply, Request, Setting};
use holdfast_store::leases::LeaseEdge;
use holdfast_store::{QueueKind, Store};

fn granted(lease: i64, ttl_ms: u64) -> Command {
    Command::GrantLease(GrantLease { lease, ttl_ms })
}

fn keys_of(store: &Store, lease: i64) -> Vec<Bytes> {
    store.lease_keys(lease).cloned().collect()
}

#[test]
fn t1_renew_moves_deadline_and_counter_at_each_renewal_that_its_holder_asked_for() {
    let mut fed = Fed::new();
    fed.actor = named("ann");
    let lease = fed.grant(0, 5_000);
    fed.pass(3_000);
    assert_eq!(fed.renew(&[lease, 77]), [77], "one of many may be unknown");
    let renewed = fed.store.lease(lease).expect("it is alive");
    assert_eq!((renewed.deadline(), renewed.counter()), (8_000, fed.store.applied().index));
    fed.actor = named("bob");
    fed.pass(1_000);
    assert_eq!(fed.renew(&[lease]), [lease], "somebody else's");
    assert_eq!(fed.store.lease(lease).expect("it is alive").deadline(), 8_000);
    assert_eq!(fed.store.lease_edges(LeaseEdge::Renew), 1);
}

#[test]
fn t2_expire_ends_a_lease_at_its_deadline_and_never_before() {
    let mut fed = Fed::new();
    let lease = fed.grant(0, 5_000);
    fed.command(put_on(lease, "k", "v")).expect("a live lease");
    fed.pass(4_999);
    let counter = fed.counter(lease);
    assert!(!fed.expire(lease, counter), "a millisecond is left");
    assert_eq!(fed.value("k").as_deref(), Some("v"));
    fed.pass(1);
    assert!(fed.expire(lease, counter));
    assert_eq!((fed.value("k"), fed.store.lease_count()), (None, 0));
    assert_eq!(fed.store.lease_edges(LeaseEdge::Expire), 1);
}

#[test]
fn t3_revoke_ends_a_lease_at_once_with_its_keys_and_its_places() {
    let mut fed = Fed::new();
    let (one, other) = (fed.grant(0, 5_000), fed.grant(0, 5_000));
    fed.command(put_on(one, "k", "v")).expect("a live lease");
    for command in [acquire("l", one), acquire("l", other), campaign("e", other, ""), campaign("e", one, "")]
    {
        fed.command(command).expect("a place");
    }
    let revision = fed.store.revision() + 1;
    assert_eq!(fed.command(revoke(one)), Ok(Reply::LeaseRevoked { revision, keys: 1 }));
    let lock = fed.store.queue(QueueKind::Lock, b"l").expect("the other holds it");
    assert_eq!(lock.holder().map(holdfast_store::Place::lease), Some(other));
    assert_eq!(fed.store.queue(QueueKind::Election, b"e").map(holdfast_store::Queue::len), Some(1));
    assert_eq!(fed.command(revoke(one)), Err(Refusal::UnknownLease { lease: one }));
    assert_eq!(fed.store.lease_edges(LeaseEdge::Revoke), 1);
}

#[test]
fn time_alone_ends_no_lease() {
    let mut fed = Fed::new();
    let lease = fed.grant(0, 5_000);
    fed.pass(100_000);
    fed.command(put_on(lease, "k", "v")).expect("nobody has ended it");
    assert_eq!(fed.renew(&[lease]), [], "and its holder is back in time");
    assert_eq!(fed.store.lease(lease).expect("it is alive").deadline(), fed.clock + 5_000);
}

#[test]
fn an_expiry_that_was_proposed_before_a_renewal_is_void_behind_it() {
    let mut fed = Fed::new();
    let lease = fed.grant(0, 5_000);
    fed.pass(5_000);
    let (_, counter) = fed.store.leases_due(fed.clock).next().expect("it is due");
    fed.renew(&[lease]);
    fed.pass(100_000);
    assert!(!fed.expire(lease, counter), "another counter, although it is over again");
    assert_eq!(fed.store.lease_count(), 1);
}

#[test]
fn an_expiry_of_a_lease_that_has_ended_is_void_for_the_next_of_its_number() {
    let mut fed = Fed::new();
    fed.grant(7, 5_000);
    fed.pass(5_000);
    let (_, counter) = fed.store.leases_due(fed.clock).next().expect("it is due");
    fed.command(revoke(7)).expect("its holder ends it");
    fed.grant(7, 1_000);
    fed.pass(2_000);
    assert!(!fed.expire(7, counter));
    assert_eq!(fed.store.lease_count(), 1);
}

#[test]
fn an_expiry_of_a_lease_that_is_not_there_says_so_and_changes_nothing() {
    let mut fed = Fed::new();
    for (lease, counter) in [(7, 1), (0, 0), (-1, u64::MAX)] {
        assert!(!fed.expire(lease, counter));
    }
    assert_eq!(fed.store.revision(), 1);
}

#[test]
fn a_stamp_that_jumps_ahead_by_years_ends_no_lease() {
    let mut fed = Fed::new();
    let lease = fed.grant(0, 5_000);
    let envelope = Envelope { stamp: u64::MAX, actor: Actor::Cluster, ..Envelope::default() };
    fed.apply(&Entry { envelope, request: Request::from(Command::Tick) }.encode());
    assert_eq!(fed.store.leases_due(fed.store.clock() + 4_999).count(), 0);
    fed.renew(&[lease]);
    assert_eq!(fed.store.lease(lease).expect("it is alive").deadline(), 5_000);
}

#[test]
fn a_leader_whose_clock_jumps_ahead_cannot_end_a_lease_before_the_clock_of_the_state_has_come_so_far() {
    let mut fed = Fed::new();
    let lease = fed.grant(0, 5_000);
    let counter = fed.counter(lease);
    fed.clock = 1_000_000;
    assert!(!fed.expire(lease, counter) && !fed.expire(lease, counter), "2 s, 4 s");
    assert!(fed.expire(lease, counter), "6 s");
}

#[test]
fn what_is_due_is_told_with_its_counter_from_the_deadline_on_until_it_is_renewed_or_ended() {
    let mut fed = Fed::new();
    let (one, other) = (fed.grant(0, 5_000), fed.grant(0, 9_000));
    let due = |fed: &Fed, clock| fed.store.leases_due(clock).collect::<Vec<_>>();
    assert_eq!(due(&fed, 4_999), []);
    assert_eq!(due(&fed, 5_000), [(one, 1)], "for a clock that the state has not come to yet");
    assert_eq!(due(&fed, 9_000), [(one, 1), (other, 2)]);
    fed.pass(6_000);
    assert_eq!(due(&fed, 6_000), [(one, 1)]);
    assert_eq!(due(&fed, 4_999), []);
    fed.renew(&[one, other]);
    let counter = fed.store.applied().index;
    assert_eq!(due(&fed, 10_999), []);
    fed.pass(9_000);
    assert_eq!(due(&fed, 15_000), [(one, counter), (other, counter)]);
    fed.expire_due();
    assert_eq!(due(&fed, u64::MAX), []);
}

#[test]
fn a_lease_that_has_ended_leaves_no_timer_behind() {
    let mut fed = Fed::new();
    for number in 0..100 {
        let lease = fed.grant(0, 60_000);
        if number % 2 == 0 {
            fed.pass(60_000);
        }
        fed.command(revoke(lease)).expect("its holder ends it");
    }
    assert_eq!(fed.store.leases_due(u64::MAX).count(), 0);
    assert!(!fed.store.needs_ticks());
}

#[test]
fn the_clock_has_to_go_on_as_long_as_there_is_a_lease() {
    let mut fed = Fed::new();
    assert!(!fed.store.needs_ticks());
    let lease = fed.grant(0, 5_000);
    assert!(fed.store.needs_ticks());
    fed.command(revoke(lease)).expect("its holder ends it");
    assert!(!fed.store.needs_ticks());
}

#[test]
fn the_keys_of_a_lease_vanish_in_one_revision_that_history_shows() {
    let mut fed = Fed::new();
    let lease = fed.grant(0, 5_000);
    for key in ["b", "a", "c"] {
        fed.command(put_on(lease, key, "v")).expect("a live lease");
    }
    fed.put("d", "stays");
    let before = fed.store.revision();
    fed.pass(5_000);
    fed.expire_due();
    assert_eq!(fed.store.revision(), before + 1);
    let gone: Vec<_> = fed.store.changes(before + 1).expect("kept").cloned().collect();
    let keys: Vec<&[u8]> = gone.iter().map(|change| change.version.key()).collect();
    assert_eq!(keys, [b"a", b"b", b"c"]);
    for change in gone {
        assert!(change.version.is_tombstone());
        assert_eq!(change.version.actor(), Actor::Cluster);
        assert_eq!(change.previous().map(holdfast_store::Version::lease), Some(lease));
    }
    assert_eq!(fed.store.keys(), 1);
}

#[test]
fn a_lease_without_keys_ends_without_a_revision() {
    let mut fed = Fed::new();
    let lease = fed.grant(0, 5_000);
    assert_eq!(fed.command(revoke(lease)), Ok(Reply::LeaseRevoked { revision: 1, keys: 0 }));
}

#[test]
fn what_a_lease_takes_with_it_no_longer_counts_towards_a_quota() {
    let mut fed = Fed::new();
    let rules = Rules { quota_keys: 2, ..Rules::default() };
    let namespace = Command::SetNamespace(SetNamespace { name: "a/".into(), rules });
    fed.command(namespace).expect("a namespace");
    let lease = fed.grant(0, 5_000);
    for key in ["a/1", "a/2"] {
        fed.command(put_on(lease, key, "v")).expect("within the quota");
    }
    assert!(fed.command(put("a/3", "v")).is_err());
    fed.command(revoke(lease)).expect("its holder ends it");
    let (_, namespace) = fed.store.namespaces().next().expect("one");
    assert_eq!((namespace.usage.keys, namespace.usage.bytes), (0, 0));
    fed.put("a/3", "v");
}

#[test]
fn a_lease_takes_all_its_keys_whatever_one_command_may_look_at_or_answer() {
    let mut fed = Fed::new();
    let lease = fed.grant(0, 5_000);
    for number in 0..50 {
        fed.command(put_on(lease, &format!("k{number}"), &"v".repeat(100))).expect("a live lease");
    }
    fed.set(&[(Setting::Visits, 1), (Setting::ReplyBytes, 1_024)]);
    let revision = fed.store.revision() + 1;
    assert_eq!(fed.command(revoke(lease)), Ok(Reply::LeaseRevoked { revision, keys: 50 }));
}

#[test]
fn a_key_goes_with_the_lease_that_it_was_last_put_on_and_with_no_other() {
    let mut fed = Fed::new();
    let (one, other) = (fed.grant(0, 60_000), fed.grant(0, 60_000));
    for key in ["deleted", "kept", "moved", "overwritten", "restored", "stays"] {
        fed.command(put_on(one, key, "1")).expect("a live lease");
    }
    let revision = fed.store.revision();
    let kept = Put { key: "kept".into(), value: "2".into(), keep_lease: true, ..Put::default() };
    let deleted = Delete { span: Span::Key("deleted".into()), return_previous: false };
    let restored = Restore { key: "restored".into(), revision, return_previous: false };
    for command in [
        Command::Put(kept),
        put("overwritten", "2"),
        put_on(other, "moved", "2"),
        Command::Delete(deleted),
        Command::Restore(restored),
    ] {
        fed.command(command).expect("a write");
    }
    fed.put("deleted", "anew");
    assert_eq!(keys_of(&fed.store, one), ["kept", "stays"]);
    assert_eq!(keys_of(&fed.store, other), ["moved"]);
    fed.command(revoke(one)).expect("its holder ends it");
    let left: Vec<bool> = ["deleted", "kept", "moved", "overwritten", "restored", "stays"]
        .map(|key| fed.value(key).is_some())
        .to_vec();
    assert_eq!(left, [true, false, true, true, true, false]);
}

#[test]
fn a_transaction_that_is_refused_leaves_every_key_on_its_lease() {
    let mut fed = Fed::new();
    let (one, other) = (fed.grant(0, 60_000), fed.grant(0, 60_000));
    fed.command(put_on(one, "a", "1")).expect("a live lease");
    fed.command(put_on(one, "b", "1")).expect("a live lease");
    let moved = Put { key: "a".into(), lease: other, ..Put::default() };
    let detached = Put { key: "b".into(), ..Put::default() };
    let attached = Put { key: "c".into(), lease: other, ..Put::default() };
    let refused = Put { key: "none".into(), keep_value: true, ..Put::default() };
    let then = [moved, detached, attached, refused].map(Operation::Put).to_vec();
    let transaction = Command::Transact(Transaction { then, ..Transaction::default() });
    assert_eq!(fed.command(transaction), Err(Refusal::KeyNotFound));
    assert_eq!(keys_of(&fed.store, one), ["a", "b"]);
    assert_eq!(keys_of(&fed.store, other), [""; 0]);
}

#[test]
fn a_lease_holds_as_many_keys_as_the_setting_says_at_the_end_of_each_command() {
    let mut fed = Fed::new();
    fed.set(&[(Setting::LeaseKeys, 2)]);
    let (one, other) = (fed.grant(0, 60_000), fed.grant(0, 60_000));
    let on = |lease, key: &'static str| Operation::Put(Put { key: key.into(), lease, ..Put::default() });
    let then = |operations: &[Operation]| {
        Command::Transact(Transaction { then: operations.to_vec(), ..Transaction::default() })
    };
    fed.command(then(&[on(one, "a"), on(one, "b")])).expect("limit");
    let full = Err(Refusal::TooManyKeysOfLease { keys: 3, limit: 2 });
    assert_eq!(fed.command(put_on(one, "c", "")), full);
    assert_eq!(fed.value("c"), None);
    fed.command(put_on(one, "b", "again")).expect("one of those that hang there");
    fed.command(then(&[on(one, "c"), on(other, "a")])).expect("one comes and one goes");
    fed.set(&[(Setting::LeaseKeys, 1)]);
    fed.command(then(&[on(one, "b"), on(one, "d"), on(0, "c")])).expect("no more than before");
    assert_eq!(fed.command(put_on(one, "e", "")), Err(Refusal::TooManyKeysOfLease { keys: 3, limit: 1 }));
}

#[test]
fn a_lease_of_another_is_as_unknown_as_none() {
    let mut fed = Fed::new();
    fed.actor = named("ann");
    let lease = fed.grant(0, 5_000);
    fed.command(acquire("l", lease)).expect("it is free");
    fed.actor = named("bob");
    for lease in [lease, lease + 1] {
        let unknown = Err(Refusal::UnknownLease { lease });
        for command in [
            put_on(lease, "k", "v"),
            revoke(lease),
            acquire("l", lease),
            release("l", lease),
            campaign("e", lease, ""),
            common::proclaim("e", lease, 0, ""),
            common::resign("e", lease),
        ] {
            assert_eq!(fed.command(command), unknown);
        }
    }
}

#[test]
fn numbers_that_the_store_chooses_ascend_and_pass_over_those_that_are_taken() {
    let mut fed = Fed::new();
    let first = fed.grant(0, 5_000);
    let (taken, behind) = (first + 10_000, first + 10_001);
    fed.grant(taken, 5_000);
    let mut last = first;
    while last < behind {
        let next = fed.grant(0, 5_000);
        assert!(next > last && next != taken);
        fed.command(revoke(next)).expect("its holder ends it");
        last = next;
    }
    assert_eq!(fed.command(granted(taken, 5_000)), Err(Refusal::LeaseExists { lease: taken }));
}

#[test]
fn a_lease_lives_as_long_as_the_settings_allow_and_there_are_no_more_than_they_say() {
    let mut fed = Fed::new();
    fed.set(&[(Setting::LeaseTtlMin, 1_000), (Setting::LeaseTtlMax, 9_000), (Setting::Leases, 2)]);
    let out = |ttl_ms, bound_ms| Err(Refusal::LeaseTtlOutOfRange { ttl_ms, bound_ms });
    assert_eq!(fed.command(granted(0, 999)), out(999, 1_000));
    assert_eq!(fed.command(granted(0, 9_001)), out(9_001, 9_000));
    fed.grant(1, 1_000);
    fed.grant(2, 9_000);
    assert_eq!(fed.command(granted(0, 5_000)), Err(Refusal::TooManyLeases { limit: 2 }));
    let above = Refusal::SettingOutOfRange { number: 22, value: 10_000 };
    let changes = vec![(22, 10_000)];
    let change = holdfast_command::settings::ChangeSettings { changes };
    assert_eq!(fed.command(Command::ChangeSettings(change)), Err(above));
}

#[test]
fn a_clone_of_the_store_keeps_the_leases_that_it_had() {
    let mut fed = Fed::new();
    let lease = fed.grant(0, 5_000);
    fed.command(put_on(lease, "k", "v")).expect("a live lease");
    fed.command(acquire("l", lease)).expect("it is free");
    let clone = fed.store.clone();
    fed.command(revoke(lease)).expect("its holder ends it");
    assert_eq!(clone.lease(lease).map(holdfast_store::Lease::keys), Some(1));
    assert!(clone.queue(QueueKind::Lock, b"l").is_some() && clone.get(b"k").is_some());
}
