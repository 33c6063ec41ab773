//! The stream: one publisher, cursors on any thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use holdfast_loom_tests::model::{Bound, explore};
use holdfast_loom_tests::stream::{Budget, Cursor, Gone, Publisher};
use loom::sync::atomic::AtomicU64;
use loom::thread;

use crate::Counted;

const ENDLESS: Budget = Budget { events: u64::MAX, bytes: u64::MAX };

/// An event whose content is written with `Relaxed`: only the link can make it visible.
struct Event {
    number: AtomicU64,
    _dropped: Counted,
}

fn event(number: u64, dropped: &Arc<AtomicUsize>) -> Event {
    let event = Event { number: AtomicU64::new(0), _dropped: Counted(Arc::clone(dropped)) };
    event.number.store(number, Ordering::Relaxed);
    event
}

/// All that is there, without waiting for more; then whether the stream has ended.
fn read(cursor: &mut Cursor<Event>) -> (Vec<u64>, Option<Gone>) {
    let mut got = Vec::new();
    loop {
        match cursor.advance() {
            Ok(Some(event)) => got.push(event.number.load(Ordering::Relaxed)),
            Ok(None) => return (got, None),
            Err(gone) => return (got, Some(gone)),
        }
    }
}

/// Threads: 2. Preemptions: 4. Shape: message passing.
/// Property: a reader sees events whole, in order, without gap; what it had not seen by the end it gets then.
#[test]
fn a_reader_sees_every_event_whole_and_in_order() {
    explore("stream::a_reader_sees_every_event_whole_and_in_order", Bound::Preemptions(4), || {
        let dropped = Counted::counter();
        let mut publisher = Publisher::new();
        let mut cursor = publisher.subscribe(ENDLESS);
        let counter = Arc::clone(&dropped);
        let publishing = thread::spawn(move || {
            publisher.publish(event(1, &counter), 1);
            publisher.publish(event(2, &counter), 1);
            publisher
        });
        let (mut got, gone) = read(&mut cursor);
        assert_eq!(gone, None);
        let publisher = publishing.join().unwrap();
        got.extend(read(&mut cursor).0);
        assert_eq!(got, [1, 2]);
        drop((publisher, cursor));
        assert_eq!(dropped.load(Ordering::Relaxed), 2);
    });
}

/// Threads: 2. Preemptions: unbounded. Shape: message passing from the last event to the end; the missing second look.
/// Property: a reader that is told of the end has got every event.
#[test]
fn the_end_is_seen_after_the_last_event_only() {
    explore("stream::the_end_is_seen_after_the_last_event_only", Bound::None, || {
        let dropped = Counted::counter();
        let mut publisher = Publisher::new();
        let mut cursor = publisher.subscribe(ENDLESS);
        let counter = Arc::clone(&dropped);
        let publishing = thread::spawn(move || publisher.publish(event(1, &counter), 1));
        let (mut got, gone) = read(&mut cursor);
        if gone.is_none() {
            publishing.join().unwrap();
            let (rest, gone) = read(&mut cursor);
            got.extend(rest);
            assert_eq!(gone, Some(Gone::Ended));
        }
        assert_eq!(got, [1]);
    });
}

/// Threads: 3. Preemptions: 3. Shape: double free on last drop.
/// Property: two cursors on the same place that let go while the publisher goes on and goes away free each
/// event exactly once.
#[test]
fn cursors_that_let_go_together_free_each_event_once() {
    explore("stream::cursors_that_let_go_together_free_each_event_once", Bound::Preemptions(3), || {
        let dropped = Counted::counter();
        let mut publisher = Publisher::new();
        let cursor = publisher.subscribe(ENDLESS);
        publisher.publish(event(1, &dropped), 1);
        let threads = [cursor.clone(), cursor].map(|cursor| thread::spawn(move || drop(cursor)));
        publisher.publish(event(2, &dropped), 1);
        drop(publisher);
        for letting_go in threads {
            letting_go.join().unwrap();
        }
        assert_eq!(dropped.load(Ordering::Relaxed), 2);
    });
}

/// Threads: 2. Preemptions: unbounded. Shape: double free on last drop, of the node a cursor has just left.
/// Property: of two cursors that step over the same events, the later frees what both have passed, and
/// nothing that either still stands on.
#[test]
fn the_last_cursor_to_pass_frees_and_no_other() {
    explore("stream::the_last_cursor_to_pass_frees_and_no_other", Bound::None, || {
        let dropped = Counted::counter();
        let mut publisher = Publisher::new();
        let mut slow = publisher.subscribe(ENDLESS);
        let mut fast = slow.clone();
        publisher.publish(event(1, &dropped), 1);
        publisher.publish(event(2, &dropped), 1);
        let stepping = thread::spawn(move || {
            let first = fast.advance().unwrap().map(|event| event.number.load(Ordering::Relaxed));
            let second = fast.advance().unwrap().map(|event| event.number.load(Ordering::Relaxed));
            assert_eq!((first, second), (Some(1), Some(2)));
            fast
        });
        assert_eq!(slow.advance().unwrap().map(|event| event.number.load(Ordering::Relaxed)), Some(1));
        assert_eq!(dropped.load(Ordering::Relaxed), 0, "event 1 is stood on");
        assert_eq!(slow.advance().unwrap().map(|event| event.number.load(Ordering::Relaxed)), Some(2));
        let fast = stepping.join().unwrap();
        assert_eq!(dropped.load(Ordering::Relaxed), 1, "both have passed event 1");
        drop((publisher, slow, fast));
        assert_eq!(dropped.load(Ordering::Relaxed), 2);
    });
}

/// Threads: 2. Preemptions: 4. Shape: message passing from the counters to the link.
/// Property: a cursor is never ahead of the counters it measures its lag by, so a reader that keeps up is
/// never cut, and one that is cut is told a lag above its budget.
#[test]
fn a_cursor_is_cut_above_its_budget_only() {
    explore("stream::a_cursor_is_cut_above_its_budget_only", Bound::Preemptions(4), || {
        let dropped = Counted::counter();
        let budget = Budget { events: 1, bytes: u64::MAX };
        let mut publisher = Publisher::new();
        let mut cursor = publisher.subscribe(budget);
        let counter = Arc::clone(&dropped);
        let publishing = thread::spawn(move || {
            publisher.publish(event(1, &counter), 1);
            publisher.publish(event(2, &counter), 1);
            publisher
        });
        let (got, gone) = read(&mut cursor);
        let publisher = publishing.join().unwrap();
        match gone {
            None => assert!(got.len() <= 2),
            Some(Gone::Lagged { lag, read, .. }) => {
                assert!(lag.events > budget.events);
                assert_eq!(read, got.len() as u64);
            }
            Some(Gone::Ended) => unreachable!("the publisher lives"),
        }
        drop((publisher, cursor));
        assert_eq!(dropped.load(Ordering::Relaxed), 2);
    });
}
