//! The stream, as one thread sees it; what several threads can do to it is in `loom-tests`.

use std::sync::Arc;
use std::thread;

use holdfast_handoff::stream::{Budget, Cursor, Gone, Lag, Publisher};

const ENDLESS: Budget = Budget { events: u64::MAX, bytes: u64::MAX };

/// All there is now.
fn read<T: Copy>(cursor: &mut Cursor<T>) -> Vec<T> {
    let mut got = Vec::new();
    while let Ok(Some(event)) = cursor.advance() {
        got.push(*event);
    }
    got
}

#[test]
fn a_cursor_gets_what_is_published_after_it_in_order() {
    let mut publisher = Publisher::new();
    publisher.publish(1, 1);
    let mut cursor = publisher.subscribe(ENDLESS);
    publisher.publish(2, 1);
    publisher.publish(3, 1);
    assert_eq!(read(&mut cursor), [2, 3]);
}

#[test]
fn a_cursor_that_has_read_everything_is_told_so_and_goes_on_later() {
    let mut publisher = Publisher::new();
    let mut cursor = publisher.subscribe(ENDLESS);
    assert_eq!(cursor.advance(), Ok(None));
    publisher.publish(1, 1);
    assert_eq!(cursor.advance(), Ok(Some(&1)));
}

#[test]
fn cursors_are_independent_of_one_another() {
    let mut publisher = Publisher::new();
    let mut one = publisher.subscribe(ENDLESS);
    publisher.publish(1, 1);
    let mut other = one.clone();
    assert_eq!(read(&mut one), [1]);
    publisher.publish(2, 1);
    assert_eq!(read(&mut other), [1, 2]);
}

#[test]
fn the_end_comes_after_the_last_event_and_stays() {
    let mut publisher = Publisher::new();
    let mut cursor = publisher.subscribe(ENDLESS);
    publisher.publish(1, 1);
    drop(publisher);
    assert_eq!(cursor.advance(), Ok(Some(&1)));
    assert_eq!(cursor.advance(), Err(Gone::Ended));
    assert_eq!(cursor.advance(), Err(Gone::Ended));
}

#[test]
fn an_event_is_freed_when_the_last_cursor_has_passed_it() {
    let event = Arc::new(());
    let mut publisher = Publisher::new();
    let (mut slow, mut fast) = (publisher.subscribe(ENDLESS), publisher.subscribe(ENDLESS));
    publisher.publish(Arc::clone(&event), 1);
    publisher.publish(Arc::new(()), 1);
    fast.advance().unwrap();
    fast.advance().unwrap();
    slow.advance().unwrap();
    assert_eq!(Arc::strong_count(&event), 2, "the slow one stands on it");
    slow.advance().unwrap();
    assert_eq!(Arc::strong_count(&event), 1);
}

#[test]
fn without_cursors_only_the_last_event_is_kept() {
    let event = Arc::new(());
    let mut publisher = Publisher::new();
    for _ in 0..100 {
        publisher.publish(Arc::clone(&event), 1);
    }
    assert_eq!(Arc::strong_count(&event), 2);
}

/// A thread with a stack of 64 KiB: a frame per node would need a hundred times as much.
fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    thread::Builder::new().stack_size(64 * 1024).spawn(work).unwrap().join().unwrap();
}

#[test]
fn a_chain_of_a_million_is_freed_by_its_last_cursor_without_recursion() {
    on_a_small_stack(|| {
        let mut publisher = Publisher::new();
        let cursor = publisher.subscribe(ENDLESS);
        for event in 0..1_000_000 {
            publisher.publish(event, 1);
        }
        drop(publisher);
        drop(cursor);
    });
}

#[test]
fn a_chain_of_a_million_is_freed_by_dropping_a_cursor_that_was_cut_without_recursion() {
    on_a_small_stack(|| {
        let event = Arc::new(());
        let mut publisher = Publisher::new();
        let mut cursor = publisher.subscribe(Budget { events: 999_999, bytes: u64::MAX });
        for _ in 0..1_000_000 {
            publisher.publish(Arc::clone(&event), 1);
        }
        cursor.check().unwrap_err();
        assert_eq!(
            Arc::strong_count(&event),
            1_000_001,
            "a cut frees nothing: that is up to the owner, and where it drops"
        );
        drop(cursor);
        assert_eq!(Arc::strong_count(&event), 2, "the publisher's last is left");
    });
}

#[test]
fn bytes_that_go_round_do_not_switch_a_budget_off() {
    let mut publisher = Publisher::new();
    publisher.publish((), u64::MAX);
    let mut cursor = publisher.subscribe(Budget { events: u64::MAX, bytes: 10 });
    publisher.publish((), 7);
    assert_eq!(cursor.check(), Ok(Lag { events: 1, bytes: 7 }));
    publisher.publish((), 7);
    assert!(matches!(cursor.check(), Err(Gone::Lagged { lag: Lag { events: 2, bytes: 14 }, .. })));
}

#[test]
fn a_cursor_knows_how_far_it_is_behind() {
    let mut publisher = Publisher::new();
    let mut cursor = publisher.subscribe(ENDLESS);
    for bytes in [10, 20, 30] {
        publisher.publish(bytes, bytes);
    }
    cursor.advance().unwrap();
    assert_eq!(cursor.check(), Ok(Lag { events: 2, bytes: 50 }));
}

#[test]
fn a_cursor_at_its_budget_goes_on() {
    let mut publisher = Publisher::new();
    let mut cursor = publisher.subscribe(Budget { events: 2, bytes: 2 });
    publisher.publish(1, 1);
    publisher.publish(2, 1);
    assert_eq!(read(&mut cursor), [1, 2]);
}

#[test]
fn a_cursor_beyond_its_events_is_cut_and_told_how_far() {
    let mut publisher = Publisher::new();
    let budget = Budget { events: 2, bytes: 100 };
    let mut cursor = publisher.subscribe(budget);
    publisher.publish(1, 1);
    cursor.advance().unwrap();
    for event in 2..=4 {
        publisher.publish(event, 1);
    }
    let gone = Gone::Lagged { lag: Lag { events: 3, bytes: 3 }, budget, read: 1 };
    assert_eq!(cursor.advance(), Err(gone));
}

#[test]
fn a_cursor_beyond_its_bytes_is_cut_and_told_how_far() {
    let mut publisher = Publisher::new();
    let budget = Budget { events: 100, bytes: 9 };
    let mut cursor = publisher.subscribe(budget);
    publisher.publish(1, 10);
    let gone = Gone::Lagged { lag: Lag { events: 1, bytes: 10 }, budget, read: 0 };
    assert_eq!(cursor.check(), Err(gone));
}

#[test]
fn a_cursor_that_was_cut_stays_cut() {
    let mut publisher = Publisher::new();
    let mut cursor = publisher.subscribe(Budget { events: 0, bytes: 100 });
    publisher.publish(1, 1);
    let gone = cursor.advance().err();
    publisher.publish(2, 1);
    assert_eq!(cursor.advance().err(), gone);
    assert_eq!(cursor.clone().check().map_err(Some), Err(gone));
}

#[test]
fn a_cut_says_what_was_unread_and_what_was_allowed() {
    let gone =
        Gone::Lagged { lag: Lag { events: 3, bytes: 30 }, budget: Budget { events: 2, bytes: 100 }, read: 7 };
    assert_eq!(
        gone.to_string(),
        "cut behind event 7: 3 events (30 bytes) unread, at most 2 (100 bytes) allowed"
    );
}
