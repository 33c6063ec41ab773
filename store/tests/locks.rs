//! Locks: the edges of machine 11, and that nobody who lost a lock can write under it.

mod common;

use common::{
    Fed, acquire, campaign, guarded, named, numbered, put, release, revoke, succeeded, try_acquire,
};
use holdfast_command::keys::Against;
use holdfast_command::{Command, Entry, Envelope, Refusal, Reply, Request, Setting};
use holdfast_hlc::{Stamp, UnixMillis};
use holdfast_store::queues::lock::Edge;
use holdfast_store::{Place, Queue, QueueKind, Touch, Touched};

const LOCK: QueueKind = QueueKind::Lock;

fn holder(fed: &Fed, name: &str) -> Option<i64> {
    fed.store.queue(LOCK, name.as_bytes()).and_then(Queue::holder).map(Place::lease)
}

fn waiters(fed: &Fed, name: &str) -> Vec<i64> {
    fed.store
        .queue(LOCK, name.as_bytes())
        .map(|queue| queue.waiters().map(Place::lease).collect())
        .unwrap_or_default()
}

fn granted(reply: Result<Reply, Refusal>) -> u64 {
    match reply {
        Ok(Reply::LockGranted { token }) => token,
        other => panic!("{other:?}"),
    }
}

/// Three leases, of which the first holds the lock and the others wait for it.
fn queued() -> (Fed, [i64; 3]) {
    let mut fed = Fed::new();
    let leases = [5_000, 60_000, 60_000].map(|ttl_ms| fed.grant(0, ttl_ms));
    granted(fed.command(acquire("l", leases[0])));
    for (ahead, lease) in (1..).zip(&leases[1..]) {
        assert_eq!(fed.command(acquire("l", *lease)), Ok(Reply::LockQueued { ahead }));
    }
    (fed, leases)
}

#[test]
fn t1_grant_gives_a_lock_to_whoever_asks_first_and_then_in_the_order_of_asking() {
    let (mut fed, [one, two, three]) = queued();
    let mut seen = vec![(holder(&fed, "l"), fed.store.token())];
    for lease in [one, two] {
        fed.command(release("l", lease)).expect("it holds it");
        seen.push((holder(&fed, "l"), fed.store.token()));
    }
    assert_eq!(seen, [(Some(one), 1), (Some(two), 2), (Some(three), 3)]);
    assert_eq!(fed.store.lock_edges(Edge::Grant), 3);
}

#[test]
fn t2_release_of_a_lock_lets_the_next_in_with_the_same_entry() {
    let (mut fed, [one, two, three]) = queued();
    assert_eq!(fed.command(release("l", one)), Ok(Reply::LockReleased { held: true }));
    assert_eq!((holder(&fed, "l"), waiters(&fed, "l")), (Some(two), vec![three]));
    assert_eq!(fed.command(release("l", one)), Err(Refusal::NotInQueue { lease: one }));
    assert_eq!(fed.store.lock_edges(Edge::Release), 1);
}

#[test]
fn t3_withdraw_from_the_queue_moves_up_those_behind_and_grants_nothing() {
    let (mut fed, [one, two, three]) = queued();
    let token = fed.store.token();
    assert_eq!(fed.command(release("l", two)), Ok(Reply::LockReleased { held: false }));
    assert_eq!((holder(&fed, "l"), waiters(&fed, "l")), (Some(one), vec![three]));
    assert_eq!(fed.command(acquire("l", three)), Ok(Reply::LockQueued { ahead: 1 }));
    assert_eq!((fed.store.token(), fed.store.lock_edges(Edge::Withdraw)), (token, 1));
}

#[test]
fn t4_lose_a_lock_with_the_lease_and_the_next_has_it_in_the_same_entry() {
    let (mut fed, [_, two, three]) = queued();
    fed.pass(5_000);
    fed.expire_due();
    assert_eq!((holder(&fed, "l"), waiters(&fed, "l")), (Some(two), vec![three]));
    assert_eq!(fed.store.lock_edges(Edge::Lose), 1);
}

#[test]
fn t5_drop_a_waiter_whose_lease_ends_before_its_turn() {
    let (mut fed, [one, two, three]) = queued();
    fed.command(revoke(two)).expect("its holder ends it");
    assert_eq!((holder(&fed, "l"), waiters(&fed, "l")), (Some(one), vec![three]));
    fed.command(release("l", one)).expect("it holds it");
    assert_eq!(holder(&fed, "l"), Some(three), "and not to the dead one");
    assert_eq!(fed.store.lock_edges(Edge::Drop), 1);
}

/// The example of `docs/state-machines/11-lock.md`.
#[test]
fn a_paused_holder_whose_lease_has_ended_is_kept_out_by_the_fence() {
    let mut fed = Fed::new();
    fed.put("balance", "100");
    let (ann, bob) = (fed.grant(0, 5_000), fed.grant(0, 60_000));
    let token = granted(fed.command(acquire("account", ann)));
    assert!(succeeded(fed.command(guarded("account", Against::Fence(token), "balance", "90"))));
    assert_eq!(fed.command(acquire("account", bob)), Ok(Reply::LockQueued { ahead: 1 }));
    // Ann's process is stopped here, with the next write in its hand. Nobody renews her lease.
    fed.pass(5_000);
    fed.expire_due();
    let next = granted(fed.command(acquire("account", bob)));
    assert_eq!(next, token + 1);
    assert!(succeeded(fed.command(guarded("account", Against::Fence(next), "balance", "50"))));
    // Ann goes on, and believes that the lock is hers.
    assert!(!succeeded(fed.command(guarded("account", Against::Fence(token), "balance", "80"))));
    assert_eq!(fed.value("balance").as_deref(), Some("50"));
}

/// Something outside of the store that only one may write to: a file server, a machine, a bank.
#[derive(Default)]
struct Resource {
    highest: u64,
    written: Vec<&'static str>,
}

impl Resource {
    /// What such a resource has to do, in one step with the write itself.
    fn write(&mut self, token: u64, what: &'static str) -> bool {
        if token < self.highest {
            return false;
        }
        self.highest = token;
        self.written.push(what);
        true
    }
}

#[test]
fn a_resource_that_remembers_the_highest_token_refuses_a_paused_holder_once_the_next_has_written() {
    let mut fed = Fed::new();
    let mut resource = Resource::default();
    let (ann, bob) = (fed.grant(0, 5_000), fed.grant(0, 60_000));
    let token = granted(fed.command(acquire("account", ann)));
    assert!(resource.write(token, "ann 1"));
    fed.pass(5_000);
    fed.expire_due();
    let next = granted(fed.command(acquire("account", bob)));
    assert!(resource.write(next, "bob"));
    assert!(!resource.write(token, "ann 2"));
    assert_eq!(resource.written, ["ann 1", "bob"]);
}

#[test]
fn tokens_go_on_although_the_lock_was_forgotten() {
    let mut fed = Fed::new();
    let lease = fed.grant(0, 60_000);
    let mut last = 0;
    for name in ["a", "b", "a", "a", "b"] {
        let token = granted(fed.command(acquire(name, lease)));
        assert!(token > last, "{token} behind {last}");
        last = token;
        fed.command(release(name, lease)).expect("it holds it");
        assert_eq!(fed.store.queue(LOCK, name.as_bytes()), None, "nothing is kept of it");
    }
    assert_eq!(fed.store.token(), last);
}

#[test]
fn locks_and_elections_take_their_tokens_from_one_counter() {
    let mut fed = Fed::new();
    let lease = fed.grant(0, 60_000);
    assert_eq!(granted(fed.command(acquire("same", lease))), 1);
    assert_eq!(fed.command(campaign("same", lease, "")), Ok(Reply::Elected { token: 2 }));
    assert_eq!(granted(fed.command(acquire("other", lease))), 3);
}

/// The first token of a cluster whose first grant has this stamp.
fn first_token(stamp: Stamp) -> u64 {
    let mut fed = Fed::new();
    let lease = fed.grant(0, 60_000);
    let request = Request::from(acquire("l", lease));
    let envelope = Envelope { stamp: stamp.to_bits(), ..Envelope::default() };
    granted(fed.apply(&Entry { envelope, request }.encode()).outcome.0)
}

#[test]
fn the_first_token_is_the_time_in_seconds_and_twenty_bits_and_never_near_the_end() {
    let at = |ms| Stamp::new(UnixMillis::new(ms).expect("a time"), 0);
    assert_eq!(first_token(at(1_999)), 1 << 20);
    assert_eq!(first_token(at(1_800_000_000_000)), 1_800_000_000 << 20);
    assert_eq!(first_token(Stamp::from_bits(u64::MAX)), 1 << 52, "a clock that is wrong by millennia");
}

#[test]
fn who_asks_again_finds_its_own_place_or_its_token() {
    let (mut fed, [one, two, three]) = queued();
    for _ in 0..2 {
        assert_eq!(granted(fed.command(acquire("l", one))), 1);
        assert_eq!(granted(fed.command(try_acquire("l", one))), 1);
        assert_eq!(fed.command(acquire("l", two)), Ok(Reply::LockQueued { ahead: 1 }));
        assert_eq!(
            fed.command(try_acquire("l", three)),
            Ok(Reply::LockQueued { ahead: 2 }),
            "its place stays"
        );
    }
    assert_eq!((fed.store.places(), fed.store.token()), (3, 1));
}

#[test]
fn a_later_lease_of_the_same_number_does_not_inherit_a_place() {
    let mut fed = Fed::new();
    let holds = fed.grant(1, 60_000);
    granted(fed.command(acquire("l", holds)));
    for lease in [7, 8] {
        fed.grant(lease, 60_000);
        fed.command(acquire("l", lease)).expect("a place");
    }
    fed.command(revoke(7)).expect("its holder ends it");
    fed.grant(7, 60_000);
    assert_eq!(fed.command(release("l", 7)), Err(Refusal::NotInQueue { lease: 7 }));
    fed.command(release("l", holds)).expect("it holds it");
    assert_eq!(holder(&fed, "l"), Some(8));
    assert_eq!(fed.command(acquire("l", 7)), Ok(Reply::LockQueued { ahead: 1 }), "behind");
}

#[test]
fn who_does_not_want_to_wait_is_told_the_token_of_the_holder() {
    let (mut fed, _) = queued();
    let lease = fed.grant(0, 60_000);
    assert_eq!(fed.command(try_acquire("l", lease)), Err(Refusal::LockHeld { token: 1 }));
    assert_eq!(fed.store.places(), 3);
    assert_eq!(granted(fed.command(try_acquire("free", lease))), 2);
}

#[test]
fn a_lease_that_ends_passes_on_all_its_locks_with_one_entry() {
    let mut fed = Fed::new();
    let (one, other) = (fed.grant(0, 5_000), fed.grant(0, 60_000));
    for name in ["a", "b", "c"] {
        granted(fed.command(acquire(name, one)));
    }
    for name in ["a", "c"] {
        fed.command(acquire(name, other)).expect("a place");
    }
    fed.pass(5_000);
    fed.expire_due();
    assert_eq!(["a", "b", "c"].map(|name| holder(&fed, name)), [Some(other), None, Some(other)]);
}

#[test]
fn an_entry_says_whom_it_granted_what_whose_place_left_and_that_observers_have_news() {
    let (mut fed, [one, two, three]) = queued();
    let touched = |fed: &mut Fed, command: Command| fed.request(Request::from(command)).touched;
    let of = |what| Touched { kind: LOCK, name: "l".into(), what };
    assert_eq!(touched(&mut fed, acquire("l", two)), []);
    assert_eq!(touched(&mut fed, put("k", "v")), []);
    assert_eq!(touched(&mut fed, release("l", three)), [of(Touch::Left { lease: three })]);
    let passed =
        [of(Touch::Left { lease: one }), of(Touch::Granted { lease: two, token: 2 }), of(Touch::Changed)];
    assert_eq!(touched(&mut fed, revoke(one)), passed);
    let left = [of(Touch::Left { lease: two }), of(Touch::Changed)];
    assert_eq!(touched(&mut fed, release("l", two)), left);
    let taken = [of(Touch::Granted { lease: two, token: 3 }), of(Touch::Changed)];
    assert_eq!(touched(&mut fed, acquire("l", two)), taken);
}

#[test]
fn an_acquire_that_is_repeated_in_a_session_is_answered_again_and_touches_nothing() {
    let mut fed = Fed::new();
    let lease = fed.grant(0, 60_000);
    let session = fed.open(60_000);
    let first = fed.request(numbered(session, 1, 1, acquire("l", lease)));
    fed.command(release("l", lease)).expect("it holds it");
    let again = fed.request(numbered(session, 1, 1, acquire("l", lease)));
    assert_eq!((again.outcome, again.repeated, again.touched), (first.outcome, true, vec![]));
    assert_eq!(holder(&fed, "l"), None, "the answer of the first time speaks of then");
}

#[test]
fn the_fence_of_a_lock_that_nobody_holds_is_0_and_has_nothing_to_do_with_a_key_of_that_name() {
    let mut fed = Fed::new();
    fed.put("l", "a key");
    let lease = fed.grant(0, 60_000);
    assert!(succeeded(fed.command(guarded("l", Against::Fence(0), "k", "v"))));
    let token = granted(fed.command(acquire("l", lease)));
    assert!(!succeeded(fed.command(guarded("l", Against::Fence(0), "k", "v"))));
    assert!(succeeded(fed.command(guarded("l", Against::Fence(token), "k", "v"))));
    assert!(succeeded(fed.command(guarded("l", Against::Term(0), "k", "v"))), "an election of that name");
}

#[test]
fn places_of_all_queues_together_are_as_many_as_the_setting_says() {
    let mut fed = Fed::new();
    fed.set(&[(Setting::Places, 2)]);
    let (one, other) = (fed.grant(0, 60_000), fed.grant(0, 60_000));
    granted(fed.command(acquire("l", one)));
    fed.command(campaign("e", one, "")).expect("a place");
    assert_eq!(fed.command(acquire("l", other)), Err(Refusal::TooManyPlaces { limit: 2 }));
    assert_eq!(granted(fed.command(acquire("l", one))), 1, "its own is not a new one");
    fed.command(release("l", one)).expect("it holds it");
    granted(fed.command(acquire("l", other)));
}

#[test]
fn what_a_place_is_taken_with_is_told_and_its_name_is_not_kept_with_the_entry() {
    let mut fed = Fed::new();
    fed.actor = named("ann");
    let lease = fed.grant(0, 60_000);
    let value = "host 3, nightly backup".into();
    let ask = holdfast_command::locks::Acquire { name: "l".into(), lease, wait: true, value };
    fed.command(Command::Acquire(ask)).expect("it is free");
    let queue = fed.store.queue(LOCK, b"l").expect("it is held");
    let place = queue.holder().expect("it is held");
    assert_eq!(place.value(), "host 3, nightly backup");
    assert_eq!((place.lease_granted_at(), place.entered_at(), queue.changed_at()), (1, 2, 2));
    assert_eq!(fed.store.lease_places(lease).count(), 1);
}
