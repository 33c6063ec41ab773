//! What a wake costs. `cargo run --release -p holdfast-handoff --example park`

mod measure;

use std::hint::black_box;
use std::thread;

use holdfast_handoff::park::parker;
use measure::{report, time};

const OPERATIONS: u32 = 100_000;
const ROUND_TRIPS: u32 = 2_000;

fn main() {
    let (mut sleeper, waker) = parker();
    report("wake of a thread that is awake", OPERATIONS, || {
        time(|| (0..OPERATIONS).for_each(|_| black_box(&waker).wake_by_ref()))
    });
    report("wake, then park: the token is there", OPERATIONS, || {
        time(|| {
            for _ in 0..OPERATIONS {
                waker.wake_by_ref();
                sleeper.park();
            }
        })
    });
    report("round trip: wake the other, sleep until it wakes us", ROUND_TRIPS, || {
        let (mut here, wake_here) = parker();
        let (mut there, wake_there) = parker();
        let other = thread::spawn(move || {
            for _ in 0..ROUND_TRIPS {
                there.park();
                wake_here.wake_by_ref();
            }
        });
        let taken = time(|| {
            for _ in 0..ROUND_TRIPS {
                wake_there.wake_by_ref();
                here.park();
            }
        });
        other.join().unwrap();
        taken
    });
}
