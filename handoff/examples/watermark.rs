//! What a publication costs, and that nobody is woken who does not wait.
//! `cargo run --release -p holdfast-handoff --example watermark`

mod measure;

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Wake, Waker};
use std::thread;

use holdfast_handoff::park::parker;
use holdfast_handoff::watermark::{Reader, Wait, Waiter, Writer, watermark};
use measure::{report, time};

const OPERATIONS: u32 = 100_000;
const ROUND_TRIPS: u32 = 2_000;

#[derive(Default)]
struct Wakes(AtomicU64);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Publishes the next `OPERATIONS` positions.
fn publish(writer: &mut Writer) {
    for _ in 0..OPERATIONS {
        writer.publish(writer.published() + 1).unwrap();
    }
}

fn main() {
    let wakes = Arc::new(Wakes::default());
    let (mut writer, mut waiter) = watermark(0, Waker::from(Arc::clone(&wakes)));
    let reader = writer.reader();

    println!("one thread");
    report("get", OPERATIONS, || {
        time(|| (0..OPERATIONS).for_each(|_| assert!(black_box(&reader).get() < u64::MAX)))
    });
    report("publish, nobody waits", OPERATIONS, || time(|| publish(&mut writer)));
    println!("  wakes in {} publications: {}", writer.published(), wakes.0.load(Ordering::Relaxed));
    let begin = writer.published();
    assert_eq!(waiter.wait_for(u64::MAX), Wait::Pending);
    report("publish, somebody waits for a later position", OPERATIONS, || time(|| publish(&mut writer)));
    println!("  wakes in {} publications: {}", writer.published() - begin, wakes.0.load(Ordering::Relaxed));
    waiter.withdraw();
    report("wait_for, already there", OPERATIONS, || {
        time(|| (0..OPERATIONS).for_each(|_| assert_ne!(black_box(&mut waiter).wait_for(1), Wait::Pending)))
    });
    report("wait_for, not there, and withdraw", OPERATIONS, || {
        time(|| {
            for _ in 0..OPERATIONS {
                assert_eq!(waiter.wait_for(u64::MAX), Wait::Pending);
                waiter.withdraw();
            }
        })
    });

    println!("two threads");
    report("publish while another thread reads without pause", OPERATIONS, || {
        with_reader(writer.reader(), || publish(&mut writer))
    });
    report("round trip: wait there, publish here, and back", ROUND_TRIPS, round_trips);
}

/// Times `work` while a second thread does nothing but read the position.
fn with_reader(reader: Reader, work: impl FnOnce()) -> std::time::Duration {
    let stop = Arc::new(AtomicBool::new(false));
    let started = Arc::new(AtomicBool::new(false));
    let (stopped, starting) = (Arc::clone(&stop), Arc::clone(&started));
    let other = thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            black_box(reader.get());
            starting.store(true, Ordering::Relaxed);
        }
    });
    while !started.load(Ordering::Relaxed) {
        thread::yield_now();
    }
    let taken = time(work);
    stop.store(true, Ordering::Relaxed);
    other.join().unwrap();
    taken
}

/// Sleeps until the position is there.
fn sleep_until(waiter: &mut Waiter, parker: &mut holdfast_handoff::park::Parker, position: u64) {
    while waiter.wait_for(position) == Wait::Pending {
        parker.park();
    }
}

fn round_trips() -> std::time::Duration {
    let (mut here, wake_here) = parker();
    let (mut there, wake_there) = parker();
    let (mut writer_to_there, mut waiter_there) = watermark(0, wake_there);
    let (mut writer_to_here, mut waiter_here) = watermark(0, wake_here);
    let other = thread::spawn(move || {
        for position in 1..=u64::from(ROUND_TRIPS) {
            sleep_until(&mut waiter_there, &mut there, position);
            writer_to_here.publish(position).unwrap();
        }
    });
    let taken = time(|| {
        for position in 1..=u64::from(ROUND_TRIPS) {
            writer_to_there.publish(position).unwrap();
            sleep_until(&mut waiter_here, &mut here, position);
        }
    });
    other.join().unwrap();
    taken
}
