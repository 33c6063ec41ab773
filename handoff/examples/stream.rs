//! What publishing costs, however many read. `cargo run --release -p holdfast-handoff --example stream`

mod measure;

use std::hint::black_box;
use std::thread;
use std::time::Duration;

use holdfast_handoff::stream::{Budget, Cursor, Publisher};
use measure::{Round, compare, report, time};

/// An event is four words: a shared list of changes, its revision and what else goes with it.
type Event = [u64; 4];

const EVENTS: u32 = 10_000;
const ENDLESS: Budget = Budget { events: u64::MAX, bytes: u64::MAX };

fn publish(publisher: &mut Publisher<Event>) {
    for event in 0..EVENTS {
        publisher.publish([event.into(); 4], 256);
    }
}

/// Reads what there is.
fn read(cursor: &mut Cursor<Event>) -> u32 {
    let mut count = 0;
    while let Ok(Some(event)) = cursor.advance() {
        black_box(event);
        count += 1;
    }
    count
}

fn main() {
    println!("one thread, per event");
    let cases = [0, 1, 1_000, 10_000].map(|cursors| {
        let mut publisher = Publisher::new();
        // Made once: a large vector that comes and goes makes the allocator give memory back to the system and take
        // it again, page by page, in the middle of what is measured.
        let mut live = Vec::with_capacity(cursors);
        let round = move || {
            // One keeps the chain in every case, so that the others are the only difference.
            let _keeper = publisher.subscribe(ENDLESS);
            live.extend((0..cursors).map(|_| publisher.subscribe(ENDLESS)));
            let taken = time(|| publish(&mut publisher));
            live.clear();
            taken
        };
        (format!("publish, a keeper and {cursors} more live cursors"), Box::new(round) as Round<'_>)
    });
    compare(EVENTS, cases.into());
    let mut publisher = Publisher::new();
    report("publish, nobody has ever subscribed", EVENTS, || time(|| publish(&mut publisher)));
    report("advance over an event that others still hold", EVENTS, || {
        let mut cursor = publisher.subscribe(ENDLESS);
        let _keeper = cursor.clone();
        publish(&mut publisher);
        time(|| assert_eq!(read(&mut cursor), EVENTS))
    });
    report("advance over an event and free it", EVENTS, || {
        let mut cursor = publisher.subscribe(ENDLESS);
        publish(&mut publisher);
        time(|| assert_eq!(read(&mut cursor), EVENTS))
    });
    report("check of how far a cursor is behind", EVENTS, || {
        let mut cursor = publisher.subscribe(ENDLESS);
        time(|| (0..EVENTS).for_each(|_| assert!(black_box(&mut cursor).check().is_ok())))
    });
    report("drop of a cursor that alone holds a chain, per event", EVENTS, || {
        let cursor = publisher.subscribe(ENDLESS);
        publish(&mut publisher);
        time(|| drop(cursor))
    });
    println!("two threads, per event");
    report("publish while another thread reads and frees", EVENTS, two_threads);
}

fn two_threads() -> Duration {
    let mut publisher = Publisher::new();
    let mut cursor = publisher.subscribe(ENDLESS);
    let (sender, started) = std::sync::mpsc::channel();
    let other = thread::spawn(move || {
        sender.send(()).unwrap();
        let mut count = 0;
        loop {
            match cursor.advance() {
                Ok(Some(_)) => count += 1,
                Ok(None) => std::hint::spin_loop(),
                Err(_) => return count,
            }
        }
    });
    started.recv().unwrap();
    let taken = time(|| publish(&mut publisher));
    drop(publisher);
    assert_eq!(other.join().unwrap(), EVENTS);
    taken
}
