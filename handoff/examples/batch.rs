//! What an item costs on its way through the batch, beside std's channel, which is a lock-free list.
//! `cargo run --release -p holdfast-handoff --example batch`

mod measure;

use std::hint::black_box;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use holdfast_handoff::batch::{Limits, Take, Why, batch};
use holdfast_handoff::park::parker;
use measure::{compare, report, time};

/// An item is four words: about what a node hands to its log, the bytes themselves being shared.
type Item = [u64; 4];

const ITEMS: u32 = 65_536;
const LIMITS: Limits = Limits { items: 4_096, bytes: 1 << 20 };

fn main() {
    println!("one thread, per item");
    for group in [1, 8, 64, 1_024] {
        let (_parker, waker) = parker();
        let (producer, mut consumer) = batch::<Item>(LIMITS, waker);
        let through_batch = || {
            time(|| {
                for _ in 0..ITEMS / group {
                    for item in 0..group {
                        producer.push([item.into(); 4], 256).unwrap();
                    }
                    let Take::Items(items, _) = consumer.take() else { unreachable!("items are in") };
                    assert_eq!(items.map(black_box).count(), group as usize);
                }
            })
        };
        let (sender, receiver) = mpsc::channel::<Item>();
        let through_mpsc = || {
            time(|| {
                for _ in 0..ITEMS / group {
                    for item in 0..group {
                        sender.send([item.into(); 4]).unwrap();
                    }
                    assert_eq!(receiver.try_iter().map(black_box).count(), group as usize);
                }
            })
        };
        compare(
            ITEMS,
            vec![
                (format!("batch: push {group}, take all"), Box::new(through_batch)),
                (format!("mpsc:  send {group}, take all"), Box::new(through_mpsc)),
            ],
        );
    }
    let (_parker, waker) = parker();
    let (producer, mut consumer) = batch::<Item>(Limits { items: 0, bytes: 0 }, waker);
    report("batch: a push that is refused", ITEMS, || {
        time(|| (0..ITEMS).for_each(|_| assert!(producer.push([0; 4], 0).is_err())))
    });
    report("batch: a take of nothing", ITEMS, || {
        time(|| (0..ITEMS).for_each(|_| assert!(matches!(consumer.take(), Take::Empty))))
    });
    println!("two threads, per item; the consumer sleeps whenever there is nothing");
    compare(
        ITEMS,
        vec![
            ("batch: one pushes without pause, one takes".to_owned(), Box::new(batch_of_two_threads)),
            ("mpsc:  one sends without pause, one takes (bounded)".to_owned(), Box::new(mpsc_of_two_threads)),
        ],
    );
}

fn batch_of_two_threads() -> Duration {
    let (mut parker, waker) = parker();
    let (producer, mut consumer) = batch::<Item>(LIMITS, waker);
    let other = thread::spawn(move || {
        let mut count = 0;
        loop {
            match consumer.take() {
                Take::Items(items, _) => count += items.map(black_box).count(),
                Take::Empty => parker.park(),
                Take::Closed => return count,
            }
        }
    });
    time(|| {
        for item in 0..ITEMS {
            while let Err(refused) = producer.push([item.into(); 4], 256) {
                assert!(matches!(refused.why, Why::FullOfItems { .. } | Why::FullOfBytes { .. }));
                thread::yield_now();
            }
        }
        drop(producer);
        assert_eq!(other.join().unwrap(), ITEMS as usize);
    })
}

fn mpsc_of_two_threads() -> Duration {
    let (sender, receiver) = mpsc::sync_channel::<Item>(LIMITS.items);
    let other = thread::spawn(move || receiver.iter().map(black_box).count());
    time(|| {
        for item in 0..ITEMS {
            sender.send([item.into(); 4]).unwrap();
        }
        drop(sender);
        assert_eq!(other.join().unwrap(), ITEMS as usize);
    })
}
