//! The hybrid clock: any number of threads.

use holdfast_loom_tests::clock::Clock;
use holdfast_loom_tests::model::{Bound, explore};
use holdfast_loom_tests::stamp::{Stamp, UnixMillis};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

const NO_BOUND: u64 = u64::MAX;

fn at(ms: u64) -> UnixMillis {
    UnixMillis::new(ms).unwrap()
}

/// Threads: 3. Preemptions: 3. Shape: lost update.
/// Property: no two threads get the same stamp, and each one's stamps grow.
#[test]
fn stamps_of_several_threads_are_distinct_and_grow() {
    explore("clock::stamps_of_several_threads_are_distinct_and_grow", Bound::Preemptions(3), || {
        let clock = Arc::new(Clock::starting_at(Stamp::MIN, NO_BOUND));
        let threads = [5, 5].map(|now| {
            let clock = Arc::clone(&clock);
            thread::spawn(move || [clock.tick(at(now)).unwrap(), clock.tick(at(now)).unwrap()])
        });
        let own = clock.tick(at(6)).unwrap();
        let mut all = vec![own];
        for ticking in threads {
            let stamps = ticking.join().unwrap();
            assert!(stamps[0] < stamps[1]);
            all.extend(stamps);
        }
        all.sort_unstable();
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "a stamp twice in {all:?}");
    });
}

/// Threads: 2. Preemptions: unbounded. Shape: message passing.
/// Property: a tick that another thread's message has caused is above the tick the message carries, although
/// the clock itself orders nothing.
#[test]
fn an_effect_has_a_higher_stamp_than_its_cause() {
    explore("clock::an_effect_has_a_higher_stamp_than_its_cause", Bound::None, || {
        let clock = Arc::new(Clock::starting_at(Stamp::MIN, NO_BOUND));
        let message = Arc::new(AtomicU64::new(0));
        let (their_clock, sent) = (Arc::clone(&clock), Arc::clone(&message));
        let cause = thread::spawn(move || {
            let stamp = their_clock.tick(at(9)).unwrap();
            sent.store(stamp.to_bits(), Ordering::Release);
        });
        let received = Stamp::from_bits(message.load(Ordering::Acquire));
        assert!(clock.tick(at(1)).unwrap() > received);
        cause.join().unwrap();
    });
}

/// Threads: 2. Preemptions: unbounded. Shape: lost update.
/// Property: a stamp merged while others tick is not lost: every tick after the merge is above it.
#[test]
fn a_merged_stamp_is_below_every_later_tick() {
    explore("clock::a_merged_stamp_is_below_every_later_tick", Bound::None, || {
        let clock = Arc::new(Clock::starting_at(Stamp::MIN, NO_BOUND));
        let theirs = Stamp::new(at(7), 3);
        let ticking_clock = Arc::clone(&clock);
        let ticking = thread::spawn(move || {
            let first = ticking_clock.tick(at(1)).unwrap();
            assert!(ticking_clock.tick(at(1)).unwrap() > first);
        });
        assert_eq!(clock.merge(theirs, at(1)), None);
        assert!(clock.tick(at(1)).unwrap() > theirs);
        ticking.join().unwrap();
        assert!(clock.last() > theirs);
    });
}
