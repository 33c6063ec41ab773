//! The latch: one leader, parties.

use holdfast_loom_tests::latch::{Leader, Party, Progress, Signal, latch};
use holdfast_loom_tests::model::{Bound, explore};
use holdfast_loom_tests::park::{Parker, parker};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

use crate::Wakes;

fn sleep_until_complete(leader: &Leader, parker: &mut Parker) -> Progress {
    loop {
        let progress = leader.progress();
        if progress.is_complete() {
            return progress;
        }
        parker.park();
    }
}

fn sleep_until_signal(party: &Party, parker: &mut Parker) -> Signal {
    loop {
        match party.signal() {
            Signal::Quiet => parker.park(),
            signal @ (Signal::Raised(_) | Signal::LeaderGone) => return signal,
        }
    }
}

/// Threads: 3. Preemptions: 3. Shape: message passing through a chain of read-modify-writes; lost wake-up.
/// Property: the leader that sees a phase complete sees the work of every party, and never sleeps on.
#[test]
fn a_complete_phase_shows_the_work_of_all_parties() {
    explore("latch::a_complete_phase_shows_the_work_of_all_parties", Bound::Preemptions(3), || {
        let (mut parker, waker) = parker();
        let mut leader = latch(waker);
        let (_, idle) = Wakes::counter();
        let work = [Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0))];
        let parties = [leader.join(idle.clone()).unwrap(), leader.join(idle).unwrap()];
        leader.raise().unwrap();
        let mut shares = work.clone().into_iter();
        let threads = parties.map(|mut party| {
            let share = shares.next().unwrap();
            thread::spawn(move || {
                share.store(1, Ordering::Relaxed);
                party.done(1).unwrap();
                party
            })
        });
        let progress = sleep_until_complete(&leader, &mut parker);
        assert_eq!(progress, Progress { phase: 1, outstanding: 0, abandoned: 0, members: 2 });
        for share in &work {
            assert_eq!(share.load(Ordering::Relaxed), 1);
        }
        for party in threads {
            drop(party.join().unwrap());
        }
    });
}

/// Threads: 2. Preemptions: unbounded. Shape: message passing, without the help of a wake.
/// Property: a leader that just looks and finds the phase complete sees the work done in it.
#[test]
fn a_leader_that_only_looks_sees_the_work_of_a_complete_phase() {
    explore("latch::a_leader_that_only_looks_sees_the_work_of_a_complete_phase", Bound::None, || {
        let (_, idle) = Wakes::counter();
        let mut leader = latch(idle.clone());
        let mut party = leader.join(idle).unwrap();
        leader.raise().unwrap();
        let work = Arc::new(AtomicU64::new(0));
        // loom remembers only the latest access to an atomic, and the look before the party's own
        // compare-and-swap hides from it that the leader looked as well: it would try one order only. A race
        // on a flag of no meaning makes it try both.
        let gate = Arc::new(AtomicU64::new(0));
        let (share, opened) = (Arc::clone(&work), Arc::clone(&gate));
        let working = thread::spawn(move || {
            share.store(1, Ordering::Relaxed);
            party.done(1).unwrap();
            opened.store(1, Ordering::Relaxed);
        });
        gate.load(Ordering::Relaxed);
        if leader.progress().is_complete() {
            assert_eq!(work.load(Ordering::Relaxed), 1);
        }
        working.join().unwrap();
    });
}

/// Threads: 2. Preemptions: unbounded. Shape: lost wake-up; message passing from leader to party.
/// Property: a party that sleeps is woken by the raise and sees what the leader did before it.
#[test]
fn a_raise_wakes_a_sleeping_party() {
    explore("latch::a_raise_wakes_a_sleeping_party", Bound::None, || {
        let (_, idle) = Wakes::counter();
        let mut leader = latch(idle);
        let (mut parker, waker) = parker();
        let party = leader.join(waker).unwrap();
        let data = Arc::new(AtomicU64::new(0));
        let written = Arc::clone(&data);
        let raising = thread::spawn(move || {
            written.store(1, Ordering::Relaxed);
            leader.raise().unwrap();
            leader
        });
        assert_eq!(sleep_until_signal(&party, &mut parker), Signal::Raised(1));
        assert_eq!(data.load(Ordering::Relaxed), 1);
        drop(raising.join().unwrap());
    });
}

/// Threads: 2. Preemptions: unbounded. Shape: lost update between two counters that must change together.
/// Property: a party that goes while the leader raises either is not waited for or has abandoned the phase;
/// the phase completes in both cases and the leader is woken for it.
#[test]
fn a_party_that_goes_during_a_raise_holds_nobody_up() {
    explore("latch::a_party_that_goes_during_a_raise_holds_nobody_up", Bound::None, || {
        let (mut parker, waker) = parker();
        let mut leader = latch(waker);
        let (_, idle) = Wakes::counter();
        let party = leader.join(idle).unwrap();
        let going = thread::spawn(move || drop(party));
        leader.raise().unwrap();
        let progress = sleep_until_complete(&leader, &mut parker);
        assert!(progress.abandoned <= 1);
        going.join().unwrap();
        leader.raise().unwrap();
        assert_eq!(leader.progress(), Progress { phase: 2, outstanding: 0, abandoned: 0, members: 0 });
    });
}

/// Threads: 2. Preemptions: unbounded. Shape: drop of one side at any moment; lost wake-up.
/// Property: a party asleep when the leader goes is woken and told so, after any phase that was raised.
#[test]
fn a_party_is_told_when_the_leader_goes() {
    explore("latch::a_party_is_told_when_the_leader_goes", Bound::None, || {
        let (_, idle) = Wakes::counter();
        let mut leader = latch(idle);
        let (mut parker, waker) = parker();
        let mut party = leader.join(waker).unwrap();
        let going = thread::spawn(move || {
            leader.raise().unwrap();
        });
        assert_eq!(sleep_until_signal(&party, &mut parker), Signal::Raised(1));
        party.done(1).unwrap();
        assert_eq!(sleep_until_signal(&party, &mut parker), Signal::LeaderGone);
        going.join().unwrap();
    });
}

/// Threads: 3. Preemptions: 3. Shape: lost update.
/// Property: the leader is woken exactly once for a phase, by whichever party is last.
#[test]
fn the_last_party_wakes_the_leader_once() {
    explore("latch::the_last_party_wakes_the_leader_once", Bound::Preemptions(3), || {
        let (wakes, waker) = Wakes::counter();
        let mut leader = latch(waker);
        let (_, idle) = Wakes::counter();
        let mut first = leader.join(idle.clone()).unwrap();
        let second = leader.join(idle).unwrap();
        leader.raise().unwrap();
        let threads = [
            thread::spawn(move || first.done(1).unwrap()),
            // It goes without a word, which counts as well.
            thread::spawn(move || drop(second)),
        ];
        for party in threads {
            party.join().unwrap();
        }
        assert_eq!(leader.progress(), Progress { phase: 1, outstanding: 0, abandoned: 1, members: 0 });
        assert_eq!(wakes.count(), 1);
    });
}

/// Threads: 2. Preemptions: unbounded. Shape: lost update.
/// Property: a party that joins while another goes is counted, and the one that went is not.
#[test]
fn a_party_that_joins_while_another_goes_is_counted() {
    explore("latch::a_party_that_joins_while_another_goes_is_counted", Bound::None, || {
        let (_, idle) = Wakes::counter();
        let mut leader = latch(idle.clone());
        let going = leader.join(idle.clone()).unwrap();
        let going = thread::spawn(move || drop(going));
        let mut staying = leader.join(idle).unwrap();
        going.join().unwrap();
        assert_eq!(leader.progress().members, 1);
        leader.raise().unwrap();
        staying.done(1).unwrap();
        assert_eq!(leader.progress(), Progress { phase: 1, outstanding: 0, abandoned: 0, members: 1 });
    });
}

/// Threads: 2. Preemptions: unbounded. Shape: message passing.
/// Property: a party that sees the leader gone sees what the leader did before it went.
#[test]
fn a_party_that_sees_the_leader_gone_sees_its_work() {
    explore("latch::a_party_that_sees_the_leader_gone_sees_its_work", Bound::None, || {
        let (_, idle) = Wakes::counter();
        let mut leader = latch(idle.clone());
        let party = leader.join(idle).unwrap();
        let work = Arc::new(AtomicU64::new(0));
        let share = Arc::clone(&work);
        let going = thread::spawn(move || {
            share.store(1, Ordering::Relaxed);
            drop(leader);
        });
        if party.signal() == Signal::LeaderGone {
            assert_eq!(work.load(Ordering::Relaxed), 1);
        }
        going.join().unwrap();
    });
}
