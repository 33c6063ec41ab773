//! What a stamp costs. `cargo run --release -p holdfast-hlc --example clock`

#[path = "../../handoff/examples/measure/mod.rs"]
mod measure;

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use holdfast_hlc::{Clock, Stamp, UnixMillis};
use measure::{report, time};

const OPERATIONS: u32 = 100_000;

fn main() {
    let now = UnixMillis::new(1_795_224_000_123).unwrap();
    let clock = Arc::new(Clock::starting_at(Stamp::MIN, 500));
    let tick = || time(|| (0..OPERATIONS).for_each(|_| assert!(clock.tick(black_box(now)).is_ok())));

    println!("one thread");
    report("tick", OPERATIONS, tick);
    let theirs = Stamp::new(now, 1);
    report("merge of a stamp from the past", OPERATIONS, || {
        time(|| (0..OPERATIONS).for_each(|_| assert!(clock.merge(black_box(theirs), now).is_none())))
    });
    let stamp = clock.last();
    report("display", OPERATIONS / 10, || {
        time(|| (0..OPERATIONS / 10).for_each(|_| drop(black_box(black_box(stamp).to_string()))))
    });
    let text = stamp.to_string();
    report("parse", OPERATIONS / 10, || {
        time(|| (0..OPERATIONS / 10).for_each(|_| drop(black_box(black_box(&text).parse::<Stamp>()))))
    });

    println!("two threads");
    let (other_clock, stop) = (Arc::clone(&clock), Arc::new(AtomicBool::new(false)));
    let stopped = Arc::clone(&stop);
    let other = thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            assert!(other_clock.tick(now).is_ok());
        }
    });
    report("tick while another thread ticks without pause", OPERATIONS, tick);
    stop.store(true, Ordering::Relaxed);
    other.join().unwrap();
}
