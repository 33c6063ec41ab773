//! The parker, as one thread sees it and across real threads.

use std::thread;
use std::time::Duration;

use holdfast_handoff::park::parker;

#[test]
fn a_wake_before_the_park_ends_it_at_once() {
    let (mut parker, waker) = parker();
    waker.wake();
    parker.park();
}

#[test]
fn several_wakes_before_the_park_are_one() {
    let (mut parker, waker) = parker();
    waker.wake_by_ref();
    waker.wake_by_ref();
    parker.park();
    assert!(!parker.park_timeout(Duration::ZERO), "the second wake was not kept");
}

#[test]
fn a_timed_park_that_nobody_ends_says_so() {
    let (mut parker, _waker) = parker();
    assert!(!parker.park_timeout(Duration::from_millis(1)));
}

#[test]
fn a_timed_park_that_was_woken_says_so() {
    let (mut parker, waker) = parker();
    waker.wake();
    assert!(parker.park_timeout(Duration::ZERO));
}

#[test]
fn a_park_after_one_that_timed_out_still_wakes() {
    let (mut parker, waker) = parker();
    assert!(!parker.park_timeout(Duration::ZERO));
    let waking = thread::spawn(move || waker.wake());
    parker.park();
    waking.join().unwrap();
}

#[test]
fn a_waker_that_outlives_its_parker_does_nothing() {
    let (parker, waker) = parker();
    drop(parker);
    waker.wake();
}
