//! The watermark, as one thread sees it; what two threads can do to it is in `loom-tests`.

mod common;

use std::thread;

use common::Wakes;
use holdfast_handoff::park::parker;
use holdfast_handoff::watermark::{Backwards, Wait, watermark};

#[test]
fn a_position_that_goes_back_is_refused_and_changes_nothing() {
    let (_, waker) = Wakes::counter();
    let (mut writer, _waiter) = watermark(5, waker);
    assert_eq!(writer.publish(4), Err(Backwards { published: 5, given: 4 }));
    assert_eq!((writer.published(), writer.reader().get()), (5, 5));
}

#[test]
fn the_refusal_names_both_positions() {
    let refused = Backwards { published: 5, given: 4 };
    assert_eq!(refused.to_string(), "position 5 is published and cannot go back to 4");
}

#[test]
fn the_same_position_again_is_no_step_back() {
    let (_, waker) = Wakes::counter();
    let (mut writer, _waiter) = watermark(5, waker);
    assert_eq!(writer.publish(5), Ok(false));
}

#[test]
fn nobody_is_woken_when_nobody_waits() {
    let (wakes, waker) = Wakes::counter();
    let (mut writer, _waiter) = watermark(0, waker);
    let woken = (1..=100).filter(|position| writer.publish(*position).unwrap()).count();
    assert_eq!((woken, wakes.count()), (0, 0));
}

#[test]
fn a_waiter_is_woken_once_at_its_position() {
    let (wakes, waker) = Wakes::counter();
    let (mut writer, mut waiter) = watermark(0, waker);
    assert_eq!(waiter.wait_for(3), Wait::Pending);
    let woke = [1, 2, 3, 4].map(|position| writer.publish(position).unwrap());
    assert_eq!(woke, [false, false, true, false]);
    assert_eq!(wakes.count(), 1);
}

#[test]
fn a_position_that_is_there_is_answered_at_once() {
    let (_, waker) = Wakes::counter();
    let (_writer, mut waiter) = watermark(7, waker);
    assert_eq!(waiter.wait_for(7), Wait::Reached(7));
}

#[test]
fn position_zero_is_always_there() {
    let (_, waker) = Wakes::counter();
    let (_writer, mut waiter) = watermark(0, waker);
    assert_eq!(waiter.wait_for(0), Wait::Reached(0));
}

#[test]
fn the_highest_position_can_be_waited_for() {
    let (wakes, waker) = Wakes::counter();
    let (mut writer, mut waiter) = watermark(0, waker);
    assert_eq!(waiter.wait_for(u64::MAX), Wait::Pending);
    assert_eq!(writer.publish(u64::MAX - 1), Ok(false));
    assert_eq!(writer.publish(u64::MAX), Ok(true));
    assert_eq!(wakes.count(), 1);
}

#[test]
fn a_later_wish_replaces_an_earlier_one() {
    let (_, waker) = Wakes::counter();
    let (mut writer, mut waiter) = watermark(0, waker);
    let _ = waiter.wait_for(2);
    let _ = waiter.wait_for(4);
    assert_eq!([2, 3, 4].map(|position| writer.publish(position).unwrap()), [false, false, true]);
}

#[test]
fn a_withdrawn_wish_wakes_nobody() {
    let (wakes, waker) = Wakes::counter();
    let (mut writer, mut waiter) = watermark(0, waker);
    let _ = waiter.wait_for(2);
    waiter.withdraw();
    assert_eq!(writer.publish(2), Ok(false));
    assert_eq!(wakes.count(), 0);
}

#[test]
fn a_wish_answered_by_a_second_look_is_withdrawn() {
    let (_, waker) = Wakes::counter();
    let (mut writer, mut waiter) = watermark(3, waker);
    let _ = waiter.wait_for(5);
    assert_eq!(waiter.wait_for(2), Wait::Reached(3));
    assert_eq!(writer.publish(5), Ok(false));
}

#[test]
fn a_waiter_short_of_its_position_is_woken_when_the_writer_goes() {
    let (wakes, waker) = Wakes::counter();
    let (writer, mut waiter) = watermark(3, waker);
    let _ = waiter.wait_for(5);
    drop(writer);
    assert_eq!(wakes.count(), 1);
    assert_eq!(waiter.wait_for(5), Wait::Closed(3));
}

#[test]
fn a_position_that_was_reached_stays_reached_when_the_writer_is_gone() {
    let (_, waker) = Wakes::counter();
    let (writer, mut waiter) = watermark(3, waker);
    drop(writer);
    assert_eq!(waiter.wait_for(3), Wait::Reached(3));
}

#[test]
fn a_reader_learns_that_the_writer_is_gone() {
    let (_, waker) = Wakes::counter();
    let (writer, waiter) = watermark(3, waker);
    let reader = waiter.reader();
    assert!(!reader.is_closed());
    drop(writer);
    assert!(reader.is_closed());
}

#[test]
fn a_sleeping_thread_is_woken_at_every_one_of_many_positions() {
    let (mut parker, waker) = parker();
    let (mut writer, mut waiter) = watermark(0, waker);
    let reader = waiter.reader();
    let (sender, asked) = std::sync::mpsc::channel();
    let publishing = thread::spawn(move || {
        for position in asked {
            writer.publish(position).unwrap();
        }
    });
    for position in 1..=1_000 {
        sender.send(position).unwrap();
        while waiter.wait_for(position) == Wait::Pending {
            parker.park();
        }
        assert!(reader.get() >= position);
    }
    drop(sender);
    publishing.join().unwrap();
}
