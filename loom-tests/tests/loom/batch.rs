//! The batch: many producers, one consumer.

use std::sync::atomic::Ordering;

use holdfast_loom_tests::batch::{Consumer, Limits, Producer, Take, Why, batch};
use holdfast_loom_tests::model::{Bound, explore};
use holdfast_loom_tests::park::{Parker, parker};
use loom::thread;

use crate::{Counted, Wakes};

const ROOM: Limits = Limits { items: 8, bytes: 64 };

/// Takes until the end, asleep whenever there is nothing, as the WAL thread does. The bytes of each batch
/// must be those of its items.
fn drain<T>(consumer: &mut Consumer<T>, parker: &mut Parker) -> Vec<T> {
    let mut got = Vec::new();
    loop {
        match consumer.take() {
            Take::Items(items, bytes) => {
                // Every item here counts as one byte.
                assert_eq!(items.len(), bytes);
                got.extend(items);
            }
            Take::Empty => parker.park(),
            Take::Closed => return got,
        }
    }
}

/// Threads: 3. Preemptions: 3. Shape: lost wake-up.
/// Property: the consumer gets every item of both producers once, in each one's order, and sleeps beside
/// none; the last producer's drop wakes it.
#[test]
fn a_consumer_gets_everything_once_and_in_order() {
    explore("batch::a_consumer_gets_everything_once_and_in_order", Bound::Preemptions(3), || {
        let (mut parker, waker) = parker();
        let (producer, mut consumer) = batch(ROOM, waker);
        let other = producer.clone();
        let threads = [(producer, [1, 2]), (other, [11, 12])].map(|(producer, items)| {
            thread::spawn(move || items.map(|item| producer.push(item, 1).unwrap()))
        });
        let got = drain(&mut consumer, &mut parker);
        assert_eq!(got.iter().filter(|item| **item < 10).collect::<Vec<_>>(), [&1, &2]);
        assert_eq!(got.iter().filter(|item| **item > 10).collect::<Vec<_>>(), [&11, &12]);
        for pushing in threads {
            pushing.join().unwrap();
        }
    });
}

/// Threads: 2. Preemptions: unbounded. Shape: lost wake-up.
/// Property: an item pushed while the consumer goes to sleep wakes it. The producer stays, so that its drop
/// cannot help.
#[test]
fn a_consumer_never_sleeps_beside_an_item() {
    explore("batch::a_consumer_never_sleeps_beside_an_item", Bound::None, || {
        let (mut parker, waker) = parker();
        let (producer, mut consumer) = batch(ROOM, waker);
        let pushing = thread::spawn(move || {
            producer.push(1, 1).unwrap();
            producer
        });
        let mut got = Vec::new();
        while got.is_empty() {
            match consumer.take() {
                Take::Items(items, _) => got.extend(items),
                Take::Empty => parker.park(),
                Take::Closed => unreachable!("the producer lives"),
            }
        }
        assert_eq!(got, [1]);
        drop(pushing.join().unwrap());
    });
}

/// Threads: 2. Preemptions: unbounded. Shape: the other side of the lost wake-up.
/// Property: a consumer that was not told "empty" is not woken.
#[test]
fn a_consumer_that_does_not_wait_is_not_woken() {
    explore("batch::a_consumer_that_does_not_wait_is_not_woken", Bound::None, || {
        let (wakes, waker) = Wakes::counter();
        let (producer, mut consumer) = batch(ROOM, waker);
        let pushing = thread::spawn(move || {
            producer.push(1, 1).unwrap();
            producer.push(2, 1).unwrap();
            producer
        });
        let told_empty = matches!(consumer.take(), Take::Empty);
        drop(pushing.join().unwrap());
        assert_eq!(wakes.count(), usize::from(told_empty));
    });
}

/// Threads: 3. Preemptions: 3. Shape: close against push.
/// Property: an item that was accepted before the close is taken; one after it comes back.
#[test]
fn an_item_accepted_beside_a_close_is_taken() {
    explore("batch::an_item_accepted_beside_a_close_is_taken", Bound::Preemptions(3), || {
        let (mut parker, waker) = parker();
        let (producer, mut consumer) = batch(ROOM, waker);
        let closer = producer.clone();
        let pushing = thread::spawn(move || match producer.push(1, 1) {
            Ok(()) => true,
            Err(refused) => {
                assert_eq!((refused.item, refused.why), (1, Why::Closed));
                false
            }
        });
        let closing = thread::spawn(move || closer.close());
        let got = drain(&mut consumer, &mut parker);
        assert_eq!(pushing.join().unwrap(), !got.is_empty());
        closing.join().unwrap();
    });
}

/// Threads: 2. Preemptions: unbounded. Shape: double free on last drop; drop of one side at any moment.
/// Property: when the consumer goes, each item is dropped exactly once, whether it was in, came back, or
/// never got in.
#[test]
fn each_item_is_dropped_once_when_the_consumer_goes() {
    explore("batch::each_item_is_dropped_once_when_the_consumer_goes", Bound::None, || {
        let dropped = Counted::counter();
        let (_, waker) = Wakes::counter();
        let (producer, consumer) = batch(ROOM, waker);
        let items = [Counted(dropped.clone()), Counted(dropped.clone())];
        let pushing = thread::spawn(move || {
            for item in items {
                let _ = producer.push(item, 1);
            }
        });
        drop(consumer);
        pushing.join().unwrap();
        assert_eq!(dropped.load(Ordering::Relaxed), 2);
    });
}

/// Puts another item into the queue it is dropped from, which a lock held at that moment would not survive.
struct Echo(Option<Producer<Echo>>);

impl Drop for Echo {
    fn drop(&mut self) {
        if let Some(producer) = self.0.take() {
            let _ = producer.push(Echo(None), 1);
        }
    }
}

/// Threads: 2. Preemptions: unbounded. Shape: a caller's code under a lock.
/// Property: an item may use the queue while it is dropped by it; nothing deadlocks.
#[test]
fn items_are_dropped_outside_the_lock() {
    explore("batch::items_are_dropped_outside_the_lock", Bound::None, || {
        let (_, waker) = Wakes::counter();
        let (producer, consumer) = batch(Limits { items: 3, bytes: 3 }, waker);
        producer.push(Echo(Some(producer.clone())), 1).map_err(|refused| refused.why).unwrap();
        let pushing = thread::spawn(move || {
            let _ = producer.push(Echo(None), 1);
        });
        drop(consumer);
        pushing.join().unwrap();
    });
}
