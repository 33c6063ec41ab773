//! The watermark: one writer, one waiter, readers.

use holdfast_loom_tests::model::{Bound, explore};
use holdfast_loom_tests::park::parker;
use holdfast_loom_tests::watermark::{Wait, Waiter, watermark};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

use crate::Wakes;

/// Sleeps until the position is `want` or the writer is gone, as the node thread does.
fn sleep_until(waiter: &mut Waiter, parker: &mut holdfast_loom_tests::park::Parker, want: u64) -> Wait {
    loop {
        match waiter.wait_for(want) {
            Wait::Pending => parker.park(),
            there @ (Wait::Reached(_) | Wait::Closed(_)) => return there,
        }
    }
}

/// Threads: 2. Preemptions: unbounded. Shape: store buffering, lost wake-up.
/// Property: the waiter does not sleep on when its position was published. The writer stays alive, so that
/// the wake of its drop cannot help.
#[test]
fn a_waiter_never_sleeps_on_at_its_position() {
    explore("watermark::a_waiter_never_sleeps_on_at_its_position", Bound::None, || {
        let (mut parker, waker) = parker();
        let (mut writer, mut waiter) = watermark(0, waker);
        let publishing = thread::spawn(move || {
            writer.publish(1).unwrap();
            writer
        });
        assert_eq!(sleep_until(&mut waiter, &mut parker, 1), Wait::Reached(1));
        drop(publishing.join().unwrap());
    });
}

/// Threads: 2. Preemptions: unbounded. Shape: message passing.
/// Property: who reads a position sees what the writer did before publishing it.
#[test]
fn who_reads_a_position_sees_what_was_done_before_it() {
    explore("watermark::who_reads_a_position_sees_what_was_done_before_it", Bound::None, || {
        let (_, waker) = Wakes::counter();
        let (mut writer, _waiter) = watermark(0, waker);
        let reader = writer.reader();
        let data = Arc::new(AtomicU64::new(0));
        let written = Arc::clone(&data);
        let publishing = thread::spawn(move || {
            for position in 1..=2 {
                written.store(position, Ordering::Relaxed);
                writer.publish(position).unwrap();
            }
        });
        let position = reader.get();
        assert!(data.load(Ordering::Relaxed) >= position);
        publishing.join().unwrap();
    });
}

/// Threads: 2. Preemptions: unbounded. Shape: ABA; a wish taken that is not the one that was read.
/// Property: a wish that replaces another while the writer answers that one stays until it is reached.
#[test]
fn a_wish_that_replaces_another_stays_until_it_is_reached() {
    explore("watermark::a_wish_that_replaces_another_stays_until_it_is_reached", Bound::None, || {
        let (_, waker) = Wakes::counter();
        let (mut writer, mut waiter) = watermark(0, waker);
        let publishing = thread::spawn(move || {
            writer.publish(1).unwrap();
            writer
        });
        let _ = waiter.wait_for(1);
        assert_eq!(waiter.wait_for(2), Wait::Pending);
        let mut writer = publishing.join().unwrap();
        assert!(writer.publish(2).unwrap(), "the wish for 2 is gone");
    });
}

/// Threads: 2. Preemptions: 4. Shape: lost wake-up.
/// Property: a waiter that replaces its wish while the writer is at work does not sleep on at the later one.
#[test]
fn a_wish_made_while_another_is_answered_is_answered() {
    explore("watermark::a_wish_made_while_another_is_answered_is_answered", Bound::Preemptions(4), || {
        let (mut parker, waker) = parker();
        let (mut writer, mut waiter) = watermark(0, waker);
        let publishing = thread::spawn(move || {
            writer.publish(1).unwrap();
            writer.publish(2).unwrap();
            writer
        });
        // Asked for and not slept on: replaced at once, in whatever state the writer is.
        let _ = waiter.wait_for(1);
        assert_eq!(sleep_until(&mut waiter, &mut parker, 2), Wait::Reached(2));
        drop(publishing.join().unwrap());
    });
}

/// Threads: 2. Preemptions: unbounded. Shape: ABA.
/// Property: a wish that is withdrawn and made anew with the same number is still answered.
#[test]
fn a_wish_made_twice_with_the_same_number_is_answered() {
    explore("watermark::a_wish_made_twice_with_the_same_number_is_answered", Bound::None, || {
        let (mut parker, waker) = parker();
        let (mut writer, mut waiter) = watermark(0, waker);
        let publishing = thread::spawn(move || {
            writer.publish(1).unwrap();
            writer
        });
        let _ = waiter.wait_for(1);
        waiter.withdraw();
        assert_eq!(sleep_until(&mut waiter, &mut parker, 1), Wait::Reached(1));
        drop(publishing.join().unwrap());
    });
}

/// Threads: 2. Preemptions: unbounded. Shape: none; the other side of the lost wake-up.
/// Property: the waiter is woken by the publication that reaches its position, by none before, and once; and
/// not at all if it was told that the position is there.
#[test]
fn a_waiter_is_woken_once_and_only_at_its_position() {
    explore("watermark::a_waiter_is_woken_once_and_only_at_its_position", Bound::None, || {
        let (wakes, waker) = Wakes::counter();
        let (mut writer, mut waiter) = watermark(0, waker);
        let publishing = thread::spawn(move || {
            let woke = [1, 2, 3].map(|position| writer.publish(position).unwrap());
            (woke, writer)
        });
        let answer = waiter.wait_for(2);
        let (woke, mut writer) = publishing.join().unwrap();
        assert!(!woke[0], "woken at 1, which is short of 2");
        let woken = woke.iter().filter(|woke| **woke).count();
        assert_eq!(woken, wakes.count());
        match answer {
            Wait::Pending => assert_eq!(woken, 1),
            // It found the position itself. The writer may have seen the wish too.
            Wait::Reached(_) => {
                assert!(woken <= 1);
                assert_eq!(writer.publish(9), Ok(false), "nothing is asked for any more");
            }
            Wait::Closed(_) => unreachable!("the writer lives"),
        }
        drop(writer);
    });
}

/// Threads: 2. Preemptions: unbounded. Shape: lost wake-up; message passing from the position to the close.
/// Property: a waiter short of its position when the writer goes is woken and told the last position.
#[test]
fn a_waiter_is_told_when_the_writer_goes() {
    explore("watermark::a_waiter_is_told_when_the_writer_goes", Bound::None, || {
        let (mut parker, waker) = parker();
        let (mut writer, mut waiter) = watermark(0, waker);
        let publishing = thread::spawn(move || {
            writer.publish(1).unwrap();
        });
        assert_eq!(sleep_until(&mut waiter, &mut parker, 2), Wait::Closed(1));
        publishing.join().unwrap();
    });
}

/// Threads: 2. Preemptions: unbounded. Shape: message passing; the missing second look.
/// Property: a position that was reached is never reported as closed.
#[test]
fn a_position_reached_before_the_end_is_not_reported_as_closed() {
    explore("watermark::a_position_reached_before_the_end_is_not_reported_as_closed", Bound::None, || {
        let (mut parker, waker) = parker();
        let (mut writer, mut waiter) = watermark(0, waker);
        let publishing = thread::spawn(move || {
            writer.publish(1).unwrap();
        });
        assert_eq!(sleep_until(&mut waiter, &mut parker, 1), Wait::Reached(1));
        publishing.join().unwrap();
    });
}

/// Threads: 2. Preemptions: unbounded. Shape: drop of one side at any moment.
/// Property: a waiter that goes in the middle of a publication leaves no wish behind.
#[test]
fn a_waiter_that_goes_leaves_no_wish() {
    explore("watermark::a_waiter_that_goes_leaves_no_wish", Bound::None, || {
        let (wakes, waker) = Wakes::counter();
        let (mut writer, mut waiter) = watermark(0, waker);
        let waiting = thread::spawn(move || {
            let _ = waiter.wait_for(2);
        });
        writer.publish(1).unwrap();
        waiting.join().unwrap();
        assert!(!writer.publish(2).unwrap());
        drop(writer);
        assert_eq!(wakes.count(), 0);
    });
}

/// Threads: 2. Preemptions: unbounded. Shape: message passing from the last position to the close.
/// Property: who sees the watermark closed reads its last position after that.
#[test]
fn who_sees_the_end_reads_the_last_position() {
    explore("watermark::who_sees_the_end_reads_the_last_position", Bound::None, || {
        let (_, waker) = Wakes::counter();
        let (mut writer, waiter) = watermark(0, waker);
        let reader = waiter.reader();
        let publishing = thread::spawn(move || {
            writer.publish(1).unwrap();
            writer.publish(2).unwrap();
        });
        if reader.is_closed() {
            assert_eq!(reader.get(), 2);
        }
        publishing.join().unwrap();
    });
}
