//! The clock, as one thread sees it; what several threads can do to it is in `loom-tests`.

use holdfast_hlc::{Clock, Drift, Exhausted, Stamp, UnixMillis};
use proptest::prelude::*;

const BOUND_MS: u64 = 500;

fn at(ms: u64) -> UnixMillis {
    UnixMillis::new(ms).unwrap()
}

fn clock_at(ms: u64, counter: u16) -> Clock {
    Clock::starting_at(Stamp::new(at(ms), counter), BOUND_MS)
}

#[test]
fn a_tick_takes_physical_time_when_that_is_ahead() {
    assert_eq!(clock_at(10, 7).tick(at(11)), Ok(Stamp::new(at(11), 0)));
}

#[test]
fn a_tick_counts_when_physical_time_stands_still() {
    assert_eq!(clock_at(10, 7).tick(at(10)), Ok(Stamp::new(at(10), 8)));
}

#[test]
fn a_tick_counts_when_physical_time_steps_back() {
    assert_eq!(clock_at(10, 7).tick(at(3)), Ok(Stamp::new(at(10), 8)));
}

#[test]
fn a_full_counter_moves_the_millisecond_forward() {
    assert_eq!(clock_at(10, u16::MAX).tick(at(10)), Ok(Stamp::new(at(11), 0)));
}

#[test]
fn a_tick_is_above_a_merged_stamp() {
    let clock = clock_at(10, 0);
    clock.merge(Stamp::new(at(20), 5), at(20));
    assert_eq!(clock.tick(at(20)), Ok(Stamp::new(at(20), 6)));
}

#[test]
fn a_merged_stamp_of_the_past_changes_nothing() {
    let clock = clock_at(10, 3);
    clock.merge(Stamp::new(at(9), 9), at(10));
    assert_eq!(clock.last(), Stamp::new(at(10), 3));
}

#[test]
fn a_stamp_ahead_by_the_bound_is_no_drift() {
    assert_eq!(clock_at(0, 0).merge(Stamp::new(at(1_500), 9), at(1_000)), None);
}

#[test]
fn a_stamp_ahead_by_more_is_reported_and_merged_all_the_same() {
    let clock = clock_at(0, 0);
    let (stamp, now) = (Stamp::new(at(1_501), 0), at(1_000));
    let drift = Drift { stamp, now, ahead_ms: 501, bound_ms: BOUND_MS };
    assert_eq!(clock.merge(stamp, now), Some(drift));
    assert_eq!(clock.last(), stamp);
}

#[test]
fn the_warning_names_both_clocks_and_the_bound() {
    let drift = Drift { stamp: Stamp::new(at(1_501), 2), now: at(1_000), ahead_ms: 501, bound_ms: 500 };
    assert_eq!(
        drift.to_string(),
        "stamp 1970-01-01T00:00:01.501Z-00002 is 501 ms ahead of this node's clock \
         (1970-01-01T00:00:01.000Z-00000); 500 ms is allowed"
    );
}

#[test]
fn a_clock_that_is_ahead_of_its_own_physical_time_says_so_however_it_got_there() {
    let started = Clock::starting_at(Stamp::new(at(2_000), 0), 500);
    assert_eq!(started.drift(at(1_500)), None, "at the bound");
    assert_eq!(started.drift(at(1_499)).map(|drift| drift.ahead_ms), Some(501));
    let stepped_back = Clock::starting_at(Stamp::MIN, 500);
    stepped_back.tick(at(10_000)).unwrap();
    assert_eq!(stepped_back.drift(at(1_000)).map(|drift| drift.ahead_ms), Some(9_000));
}

#[test]
fn a_clock_at_the_last_stamp_says_so_and_does_not_wrap() {
    let clock = clock_at(0, 0);
    assert!(clock.merge(Stamp::MAX, at(1)).is_some());
    assert_eq!(clock.tick(at(1)), Err(Exhausted));
    assert_eq!(clock.last(), Stamp::MAX);
}

#[test]
fn the_last_stamp_of_all_can_be_made() {
    let clock = Clock::starting_at(Stamp::from_bits(u64::MAX - 1), BOUND_MS);
    assert_eq!(clock.tick(at(0)), Ok(Stamp::MAX));
}

proptest! {
    /// Any sequence of ticks and merges, with physical time going where it likes.
    #[test]
    fn every_tick_is_above_all_before_it_and_not_behind_physical_time(
        steps in prop::collection::vec((any::<bool>(), 0..1_u64 << 40, any::<u16>()), 1..50),
    ) {
        let clock = clock_at(0, 0);
        let mut highest = clock.last();
        for (merge, ms, counter) in steps {
            if merge {
                let theirs = Stamp::new(at(ms), counter);
                clock.merge(theirs, at(0));
                highest = highest.max(theirs);
            } else {
                let stamp = clock.tick(at(ms)).unwrap();
                prop_assert!(stamp > highest);
                prop_assert!(stamp.millis() >= at(ms));
                highest = stamp;
            }
        }
        prop_assert_eq!(clock.last(), highest);
    }
}
