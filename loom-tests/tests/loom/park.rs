//! The parker: one sleeper, any number of wakers.

use std::time::Duration;

use holdfast_loom_tests::model::{Bound, explore};
use holdfast_loom_tests::park::parker;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

/// Threads: 2. Preemptions: unbounded. Shape: lost wake-up.
/// Property: a wake before, during or after the park ends it, and what was done before it is visible.
#[test]
fn a_wake_at_any_moment_ends_the_park() {
    explore("park::a_wake_at_any_moment_ends_the_park", Bound::None, || {
        let (mut parker, waker) = parker();
        let data = Arc::new(AtomicU64::new(0));
        let written = Arc::clone(&data);
        let waking = thread::spawn(move || {
            written.store(1, Ordering::Relaxed);
            waker.wake();
        });
        parker.park();
        assert_eq!(data.load(Ordering::Relaxed), 1);
        waking.join().unwrap();
    });
}

/// Threads: 3. Preemptions: 3. Shape: lost wake-up, with two wakers of one sleeper.
/// Property: whoever wakes is seen: the sleeper that looks again after each wake finds the work of both.
#[test]
fn a_sleeper_that_looks_after_each_wake_sees_all_work() {
    explore("park::a_sleeper_that_looks_after_each_wake_sees_all_work", Bound::Preemptions(3), || {
        let (mut parker, waker) = parker();
        let work = Arc::new(AtomicU64::new(0));
        let wakers = [waker.clone(), waker].map(|waker| {
            let work = Arc::clone(&work);
            thread::spawn(move || {
                work.fetch_add(1, Ordering::Relaxed);
                waker.wake();
            })
        });
        while work.load(Ordering::Relaxed) < 2 {
            parker.park();
        }
        for waking in wakers {
            waking.join().unwrap();
        }
    });
}

/// Threads: 2. Preemptions: unbounded. Shape: lost wake-up, between the end of a timed wait and the return of its lock.
/// Property: a wake beside a timeout is told by it or ends the next park; it is never lost between the two.
#[test]
fn a_wake_beside_a_timeout_is_not_lost() {
    explore("park::a_wake_beside_a_timeout_is_not_lost", Bound::None, || {
        let (mut parker, waker) = parker();
        let waking = thread::spawn(move || waker.wake());
        if !parker.park_timeout(Duration::ZERO) {
            parker.park();
        }
        waking.join().unwrap();
    });
}
