//! The past: how long it is kept, by which clock, and that giving it up in slices is seen by nobody.

mod common;

use common::{Fed, put};
use holdfast_command::keys::{Compact, Delete, Range, Restore, Span};
use holdfast_command::{Command, Entry, Envelope, Refusal, Reply, Request, Setting};
use holdfast_store::LogPosition;

fn compact(fed: &mut Fed, revision: u64) -> Result<Reply, Refusal> {
    fed.command(Command::Compact(Compact { revision }))
}

fn value_at(fed: &Fed, key: &str, revision: u64) -> Option<String> {
    let range = Range { revision, ..Range::of(Span::Key(key.to_owned().into())) };
    let page = fed.store.range(&range).expect("a revision that can be read");
    page.entries.first().map(|version| String::from_utf8_lossy(version.value()).into_owned())
}

#[test]
fn history_is_due_by_the_cluster_clock_and_not_by_a_wall_clock_that_jumped() {
    let mut fed = Fed::new();
    fed.set(&[(Setting::HistoryAge, 10_000)]);
    let first = fed.put("k", "1");
    fed.pass(2_000);
    fed.put("k", "2");
    // A leader whose wall clock is a year ahead.
    let year = 365 * 24 * 3_600_000u64;
    let envelope = Envelope { stamp: year << 16, clock: fed.clock, ..Envelope::default() };
    let entry = Entry { envelope, request: Request::from(put("k", "3")) }.encode();
    fed.apply(&entry);
    assert_eq!(fed.store.compaction_due(), None, "nothing is ten seconds old");
    fed.pass(9_900);
    assert_eq!(fed.store.compaction_due(), None, "what was there before was superseded 9.9 s ago");
    fed.pass(100);
    assert_eq!(
        fed.store.compaction_due(),
        Some(first),
        "it was current ten seconds ago, and what was before it is over"
    );
}

#[test]
fn history_is_due_when_it_takes_more_memory_than_allowed_and_then_as_much_as_brings_it_below() {
    let mut fed = Fed::new();
    for number in 0..100 {
        fed.put("k", &format!("{number:01000}"));
    }
    assert_eq!(fed.store.compaction_due(), None);
    let held = fed.store.history_bytes();
    assert!(
        (100_000..130_000).contains(&held),
        "99 values of 1,000 bytes and what stands around them: {held}"
    );
    fed.set(&[(Setting::HistoryBytes, held / 2)]);
    let due = fed.store.compaction_due().expect("half of it is too much");
    assert!(compact(&mut fed, due).is_ok());
    assert_eq!(fed.store.compaction_due(), None, "not before it is swept");
    while fed.store.sweep(7) {}
    assert_eq!(fed.store.compaction_due(), None);
    assert!(fed.store.history_bytes() <= held / 2 && fed.store.history_bytes() > held / 2 - 2_000);
}

#[test]
fn a_reason_and_a_deletion_count_as_history_too() {
    let mut fed = Fed::new();
    let request = Request { reason: "r".repeat(1_000).into(), ..Request::from(put("k", "")) };
    fed.request(request);
    let delete = Command::Delete(Delete { span: Span::Key("k".into()), return_previous: false });
    fed.request(Request { reason: "r".repeat(1_000).into(), ..Request::from(delete) });
    assert!(fed.store.history_bytes() > 2_000, "{}", fed.store.history_bytes());
}

#[test]
fn what_was_current_at_the_compaction_stays_readable_at_it_and_nothing_below() {
    let mut fed = Fed::new();
    let first = fed.put("k", "1");
    let second = fed.put("k", "2");
    let other = fed.put("other", "x");
    fed.put("k", "3");
    assert_eq!(compact(&mut fed, other), Ok(Reply::Compacted { oldest: other }));
    for swept in [false, true] {
        assert_eq!(value_at(&fed, "k", other).as_deref(), Some("2"), "swept: {swept}");
        let range = Range { revision: second, ..Range::of(Span::all()) };
        let refusal = fed.store.range(&range).expect_err("it is gone");
        assert_eq!(refusal, Refusal::Compacted { asked: second, oldest: other });
        let restore = Command::Restore(Restore { key: "k".into(), revision: first, return_previous: false });
        assert_eq!(fed.command(restore), Err(Refusal::Compacted { asked: first, oldest: other }));
        while fed.store.sweep(1) {}
    }
}

#[test]
fn a_key_with_thousands_of_versions_is_found_at_each_revision_before_and_behind_a_sweep() {
    let mut fed = Fed::new();
    let first = fed.put("k", "0");
    for number in 1..5_000u64 {
        if number % 7 == 0 {
            fed.put("other", "");
        }
        fed.put("k", &number.to_string());
    }
    let expected: Vec<(u64, String)> = {
        let history = fed.store.history(b"k", usize::MAX);
        let text = |version: &holdfast_store::Version| String::from_utf8_lossy(version.value()).into_owned();
        history.iter().rev().map(|version| (version.mod_revision(), text(version))).collect()
    };
    assert_eq!(expected.len(), 5_000);
    let at = |revision: u64| {
        let behind = expected.partition_point(|(written, _)| *written <= revision);
        behind.checked_sub(1).map(|place| expected[place].1.clone())
    };
    let last = fed.store.revision();
    for oldest in [first, first + 1_234, first + 4_000] {
        if oldest > first {
            assert!(compact(&mut fed, oldest).is_ok());
            while fed.store.sweep(100) {}
        }
        for revision in (oldest..=last).step_by(13) {
            assert_eq!(value_at(&fed, "k", revision), at(revision), "at {revision}, oldest {oldest}");
        }
    }
}

#[test]
fn an_entry_that_is_not_the_next_halts_the_store() {
    let mut fed = Fed::new();
    fed.put("k", "v");
    let entry = fed.entry(Request::from(put("k", "w")));
    let mut twin = fed.store.clone();
    let again = LogPosition { term: 1, index: 1 };
    assert!(twin.apply(again, &entry).is_err());
    assert!(twin.apply(LogPosition { term: 1, index: 2 }, &entry).is_err(), "and it stays halted");
    assert_eq!(fed.put("k", "w"), 3, "the other one goes on");
}
