//! The batch, as one thread sees it; what several threads can do to it is in `loom-tests`.

mod common;

use std::mem;
use std::rc::Rc;

use common::Wakes;
use holdfast_handoff::batch::{Consumer, Limits, Producer, Refused, Take, Why, batch};

const LIMITS: Limits = Limits { items: 3, bytes: 100 };

fn queue<T>() -> (Producer<T>, Consumer<T>) {
    batch(LIMITS, Wakes::counter().1)
}

/// As many items as there is room for.
fn push_three(producer: &Producer<i32>, bytes: usize) {
    for item in [1, 2, 3] {
        producer.push(item, bytes).unwrap();
    }
}

/// What is there, and its bytes.
fn taken<T>(consumer: &mut Consumer<T>) -> (Vec<T>, usize) {
    match consumer.take() {
        Take::Items(items, bytes) => (items.collect(), bytes),
        Take::Empty | Take::Closed => (Vec::new(), 0),
    }
}

#[test]
fn everything_that_accumulated_comes_at_once_and_in_order() {
    let (producer, mut consumer) = queue();
    for (item, bytes) in [(1, 10), (2, 20), (3, 30)] {
        producer.push(item, bytes).unwrap();
    }
    assert_eq!(taken(&mut consumer), (vec![1, 2, 3], 60));
}

#[test]
fn an_item_beyond_the_item_limit_comes_back() {
    let (producer, _consumer) = queue();
    push_three(&producer, 1);
    assert_eq!(producer.push(4, 1), Err(Refused { item: 4, why: Why::FullOfItems { limit: 3 } }));
}

#[test]
fn an_item_beyond_the_byte_limit_comes_back() {
    let (producer, _consumer) = queue();
    producer.push(1, 60).unwrap();
    let why = Why::FullOfBytes { limit: 100, held: 60, asked: 41 };
    assert_eq!(producer.push(2, 41), Err(Refused { item: 2, why }));
}

#[test]
fn the_byte_limit_itself_may_be_filled() {
    let (producer, _consumer) = queue();
    producer.push(1, 60).unwrap();
    assert_eq!(producer.push(2, 40), Ok(()));
}

#[test]
fn an_item_that_can_never_fit_is_told_apart_from_a_full_queue() {
    let (producer, _consumer) = queue();
    push_three(&producer, 1);
    assert_eq!(producer.push(4, 101).unwrap_err().why, Why::TooLarge { limit: 100, asked: 101 });
}

#[test]
fn a_size_near_the_end_of_the_number_line_does_not_wrap() {
    let (producer, _consumer) = batch(Limits { items: 3, bytes: usize::MAX }, Wakes::counter().1);
    producer.push(1, 2).unwrap();
    let why = Why::FullOfBytes { limit: usize::MAX, held: 2, asked: usize::MAX };
    assert_eq!(producer.push(2, usize::MAX).unwrap_err().why, why);
}

#[test]
fn what_was_taken_makes_room() {
    let (producer, mut consumer) = queue();
    push_three(&producer, 33);
    taken(&mut consumer);
    assert_eq!(producer.push(4, 100), Ok(()));
}

#[test]
fn after_a_close_items_come_back() {
    let (producer, _consumer) = queue();
    producer.close();
    assert_eq!(producer.push(1, 1), Err(Refused { item: 1, why: Why::Closed }));
}

#[test]
fn what_was_in_at_the_close_is_still_taken() {
    let (producer, mut consumer) = queue();
    producer.push(1, 1).unwrap();
    producer.close();
    assert_eq!(taken(&mut consumer).0, [1]);
    assert!(matches!(consumer.take(), Take::Closed));
}

#[test]
fn the_last_producer_closes_and_no_other() {
    let (producer, mut consumer) = queue::<u8>();
    drop(producer.clone());
    assert!(matches!(consumer.take(), Take::Empty));
    drop(producer);
    assert!(matches!(consumer.take(), Take::Closed));
}

#[test]
fn when_the_consumer_is_gone_items_come_back() {
    let (producer, consumer) = queue();
    drop(consumer);
    assert_eq!(producer.push(1, 1).unwrap_err().why, Why::Closed);
}

#[test]
fn what_a_consumer_leaves_is_dropped_with_it() {
    let item = Rc::new(());
    let (producer, consumer) = queue();
    producer.push(Rc::clone(&item), 1).unwrap();
    drop(consumer);
    assert_eq!(Rc::strong_count(&item), 1);
}

#[test]
fn what_is_not_taken_out_of_the_drain_is_dropped_with_it() {
    let item = Rc::new(());
    let (producer, mut consumer) = queue();
    producer.push(Rc::clone(&item), 1).unwrap();
    drop(consumer.take());
    assert_eq!(Rc::strong_count(&item), 1);
}

#[test]
fn a_leaked_drain_does_not_bring_its_items_back() {
    let (producer, mut consumer) = queue();
    producer.push(1, 1).unwrap();
    mem::forget(consumer.take());
    producer.push(2, 1).unwrap();
    assert_eq!(taken(&mut consumer).0, [2]);
    producer.push(3, 1).unwrap();
    assert_eq!(taken(&mut consumer).0, [3]);
}

#[test]
fn a_push_wakes_a_consumer_that_found_nothing_and_only_then() {
    let (wakes, waker) = Wakes::counter();
    let (producer, mut consumer) = batch(LIMITS, waker);
    producer.push(1, 1).unwrap();
    assert_eq!(wakes.count(), 0, "it has not asked yet");
    taken(&mut consumer);
    assert!(matches!(consumer.take(), Take::Empty));
    producer.push(2, 1).unwrap();
    producer.push(3, 1).unwrap();
    assert_eq!(wakes.count(), 1);
}

#[test]
fn a_refused_push_wakes_nobody() {
    let (wakes, waker) = Wakes::counter();
    let (producer, mut consumer) = batch(LIMITS, waker);
    assert!(matches!(consumer.take(), Take::Empty));
    producer.push(1, 101).unwrap_err();
    assert_eq!(wakes.count(), 0);
}

#[test]
fn a_close_wakes_a_consumer_that_found_nothing() {
    let (wakes, waker) = Wakes::counter();
    let (producer, mut consumer) = batch::<u8>(LIMITS, waker);
    assert!(matches!(consumer.take(), Take::Empty));
    producer.close();
    assert_eq!(wakes.count(), 1);
}

#[test]
fn limits_of_zero_refuse_everything() {
    let (producer, _consumer) = batch(Limits { items: 0, bytes: 0 }, Wakes::counter().1);
    assert_eq!(producer.push(1, 0).unwrap_err().why, Why::FullOfItems { limit: 0 });
}

#[test]
fn a_refusal_says_what_was_asked_and_what_there_is() {
    let refused = Refused { item: (), why: Why::FullOfBytes { limit: 100, held: 60, asked: 41 } };
    assert_eq!(refused.to_string(), "the queue is full: 60 of 100 bytes wait, and 41 more were asked for");
}

/// "Steady" begins when both vectors have had their largest batch.
#[test]
fn steady_state_does_not_allocate() {
    let (producer, mut consumer) = batch(Limits { items: 64, bytes: 64 }, Wakes::counter().1);
    let mut turn = || {
        for item in 0..64_u64 {
            producer.push(item, 1).unwrap();
        }
        let Take::Items(items, _) = consumer.take() else { panic!("64 items are in") };
        items.sum::<u64>()
    };
    turn();
    turn();
    let info = allocation_counter::measure(|| {
        for _ in 0..100 {
            assert_eq!(turn(), 2016);
        }
    });
    assert_eq!(info.count_total, 0);
}

#[test]
fn a_consumer_is_woken_once_by_a_close_and_the_end_of_the_producers() {
    let (wakes, waker) = Wakes::counter();
    let (producer, mut consumer) = batch::<u8>(Limits { items: 1, bytes: 1 }, waker);
    assert!(matches!(consumer.take(), Take::Empty));
    producer.close();
    drop(producer);
    assert_eq!(wakes.count(), 1);
}
