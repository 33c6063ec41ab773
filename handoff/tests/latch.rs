//! The latch, as one thread sees it; what several threads can do to it is in `loom-tests`.

mod common;

use common::Wakes;
use holdfast_handoff::latch::{Leader, MAX, Party, Progress, Refused, Signal, latch};

fn idle() -> std::task::Waker {
    Wakes::counter().1
}

fn with_two() -> (Leader, Party, Party) {
    let mut leader = latch(idle());
    let (one, other) = (leader.join(idle()).unwrap(), leader.join(idle()).unwrap());
    (leader, one, other)
}

#[test]
fn a_phase_is_complete_when_all_have_finished_it() {
    let (mut leader, mut one, mut other) = with_two();
    assert_eq!(leader.raise(), Ok(1));
    one.done(1).unwrap();
    assert!(!leader.progress().is_complete());
    other.done(1).unwrap();
    assert_eq!(leader.progress(), Progress { phase: 1, outstanding: 0, abandoned: 0, members: 2 });
}

#[test]
fn a_phase_does_not_begin_before_the_last_is_complete() {
    let (mut leader, mut one, _other) = with_two();
    leader.raise().unwrap();
    one.done(1).unwrap();
    assert_eq!(leader.raise(), Err(Refused::Unfinished { phase: 1, outstanding: 1 }));
}

#[test]
fn a_party_sees_the_phase_until_it_has_finished_it() {
    let (mut leader, mut one, _other) = with_two();
    assert_eq!(one.signal(), Signal::Quiet);
    leader.raise().unwrap();
    assert_eq!(one.signal(), Signal::Raised(1));
    one.done(1).unwrap();
    assert_eq!(one.signal(), Signal::Quiet);
}

#[test]
fn a_party_cannot_finish_what_was_not_raised() {
    let (_leader, mut one, _other) = with_two();
    assert_eq!(one.done(1), Err(Refused::NotDue { phase: 1, raised: 0, done: 0 }));
}

#[test]
fn a_party_cannot_finish_a_phase_twice() {
    let (mut leader, mut one, _other) = with_two();
    leader.raise().unwrap();
    one.done(1).unwrap();
    assert_eq!(one.done(1), Err(Refused::NotDue { phase: 1, raised: 1, done: 1 }));
    assert_eq!(leader.progress().outstanding, 1);
}

#[test]
fn a_report_that_comes_twice_does_not_pass_for_the_next_phase() {
    let mut leader = latch(idle());
    let mut one = leader.join(idle()).unwrap();
    leader.raise().unwrap();
    one.done(1).unwrap();
    leader.raise().unwrap();
    assert_eq!(one.done(1), Err(Refused::NotDue { phase: 1, raised: 2, done: 1 }));
    assert_eq!((one.signal(), leader.progress().outstanding), (Signal::Raised(2), 1));
}

#[test]
fn a_party_that_left_between_phases_is_missing_from_the_members() {
    let (leader, _one, other) = with_two();
    assert_eq!(leader.progress().members, 2);
    drop(other);
    assert_eq!(leader.progress().members, 1);
}

#[test]
fn a_party_dropped_in_a_phase_has_abandoned_it() {
    let (mut leader, mut one, other) = with_two();
    leader.raise().unwrap();
    one.done(1).unwrap();
    drop(other);
    assert_eq!(leader.progress(), Progress { phase: 1, outstanding: 0, abandoned: 1, members: 1 });
}

#[test]
fn a_party_dropped_between_phases_has_just_left() {
    let (mut leader, mut one, other) = with_two();
    drop(other);
    leader.raise().unwrap();
    one.done(1).unwrap();
    assert_eq!(leader.progress(), Progress { phase: 1, outstanding: 0, abandoned: 0, members: 1 });
}

#[test]
fn what_was_abandoned_is_forgotten_in_the_next_phase() {
    let (mut leader, mut one, other) = with_two();
    leader.raise().unwrap();
    one.done(1).unwrap();
    drop(other);
    leader.raise().unwrap();
    assert_eq!(leader.progress(), Progress { phase: 2, outstanding: 1, abandoned: 0, members: 1 });
}

#[test]
fn a_party_that_joins_in_a_phase_takes_part_from_the_next() {
    let (mut leader, mut one, mut other) = with_two();
    leader.raise().unwrap();
    let late = leader.join(idle()).unwrap();
    assert_eq!(late.signal(), Signal::Quiet);
    one.done(1).unwrap();
    other.done(1).unwrap();
    leader.raise().unwrap();
    assert_eq!(late.signal(), Signal::Raised(2));
}

#[test]
fn a_latch_without_parties_completes_at_once() {
    let mut leader = latch(idle());
    leader.raise().unwrap();
    assert!(leader.progress().is_complete());
}

#[test]
fn a_raise_wakes_every_party() {
    let (wakes, waker) = Wakes::counter();
    let mut leader = latch(idle());
    let _parties = [leader.join(waker.clone()).unwrap(), leader.join(waker).unwrap()];
    leader.raise().unwrap();
    assert_eq!(wakes.count(), 2);
}

#[test]
fn the_last_party_wakes_the_leader_and_no_other() {
    let (wakes, waker) = Wakes::counter();
    let mut leader = latch(waker);
    let (mut one, mut other) = (leader.join(idle()).unwrap(), leader.join(idle()).unwrap());
    leader.raise().unwrap();
    one.done(1).unwrap();
    assert_eq!(wakes.count(), 0);
    other.done(1).unwrap();
    assert_eq!(wakes.count(), 1);
}

#[test]
fn a_party_is_woken_and_told_when_the_leader_goes() {
    let (wakes, waker) = Wakes::counter();
    let mut leader = latch(idle());
    let party = leader.join(waker).unwrap();
    drop(leader);
    assert_eq!((party.signal(), wakes.count()), (Signal::LeaderGone, 1));
}

#[test]
fn a_phase_raised_before_the_leader_went_is_still_seen() {
    let mut leader = latch(idle());
    let party = leader.join(idle()).unwrap();
    leader.raise().unwrap();
    drop(leader);
    assert_eq!(party.signal(), Signal::Raised(1));
}

#[test]
fn a_latch_counts_phases_to_its_maximum_and_then_refuses() {
    let mut leader = latch(idle());
    for phase in 1..=MAX {
        assert_eq!(leader.raise(), Ok(phase));
    }
    assert_eq!(leader.raise(), Err(Refused::Exhausted));
}

#[test]
fn a_latch_counts_parties_to_its_maximum_and_then_refuses() {
    let mut leader = latch(idle());
    let waker = idle();
    let parties: Vec<_> = (0..MAX).map(|_| leader.join(waker.clone()).unwrap()).collect();
    assert_eq!(leader.join(waker).unwrap_err(), Refused::Exhausted);
    leader.raise().unwrap();
    assert_eq!(leader.progress().outstanding, MAX);
    drop(parties);
    assert_eq!(leader.progress(), Progress { phase: 1, outstanding: 0, abandoned: MAX, members: 0 });
}

#[test]
fn a_party_that_has_left_still_counts_as_one_that_joined() {
    let mut leader = latch(idle());
    for _ in 0..MAX {
        drop(leader.join(idle()).unwrap());
    }
    assert_eq!(leader.join(idle()).unwrap_err(), Refused::Exhausted);
}
