//! What a phase costs. `cargo run --release -p holdfast-handoff --example latch`

mod measure;

use std::hint::black_box;
use std::task::Waker;
use std::thread;

use holdfast_handoff::latch::{Signal, latch};
use holdfast_handoff::park::parker;
use measure::{report, time};

/// A latch counts to 32,767, so each round has a latch of its own.
const PHASES: u16 = 2_000;

fn main() {
    println!("one thread");
    report("signal: is there anything to do?", PHASES.into(), || {
        let mut leader = latch(Waker::noop().clone());
        let party = leader.join(Waker::noop().clone()).unwrap();
        time(|| (0..PHASES).for_each(|_| assert_eq!(black_box(&party).signal(), Signal::Quiet)))
    });
    report("a phase: raise, signal, done, progress", PHASES.into(), || {
        let mut leader = latch(Waker::noop().clone());
        let mut party = leader.join(Waker::noop().clone()).unwrap();
        time(|| {
            for phase in 1..=PHASES {
                leader.raise().unwrap();
                assert_eq!(party.signal(), Signal::Raised(phase));
                party.done(phase).unwrap();
                assert!(leader.progress().is_complete());
            }
        })
    });
    println!("two threads");
    report("a phase: wake the party, sleep until it is done", PHASES.into(), || {
        let (mut here, wake_here) = parker();
        let (mut there, wake_there) = parker();
        let mut leader = latch(wake_here);
        let mut party = leader.join(wake_there).unwrap();
        let other = thread::spawn(move || {
            loop {
                match party.signal() {
                    Signal::Raised(phase) => party.done(phase).unwrap(),
                    Signal::Quiet => there.park(),
                    Signal::LeaderGone => return,
                }
            }
        });
        let taken = time(|| {
            for _ in 0..PHASES {
                leader.raise().unwrap();
                while !leader.progress().is_complete() {
                    here.park();
                }
            }
        });
        drop(leader);
        other.join().unwrap();
        taken
    });
}
