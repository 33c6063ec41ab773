//! The two judges of writes and reads, against each other and at the edges.

use bytes::Bytes;

use super::generator::items;
use super::{SEEDS, Shape, generate};
use crate::history::wgl::{Verdict, check};
use crate::history::witness::is_void;
use crate::history::*;
use crate::raft::rng::Rng;

/// States of one object that a search may visit here.
const LIMIT: usize = 100_000;

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn op(client: u32, invoked: Micros, returned: Micros, ask: Ask, answer: Answer) -> Op {
    Op { client, ask, invoked, returned, answer }
}

fn put(key: &str, value: &str) -> Ask {
    Ask::Write { changes: vec![(bytes(key), Some(bytes(value)))], only_if: Vec::new(), fence: None }
}

fn get(key: &str) -> Ask {
    Ask::Read { keys: vec![bytes(key)], freshness: Freshness::Linearizable }
}

/// An answer whose place says nothing: the search does not look at it.
fn done() -> Answer {
    Answer::Written { at: Position::default(), revision: 0 }
}

fn shows(items: &[(&str, &str)]) -> Answer {
    let items = items.iter().map(|(key, value)| (bytes(key), bytes(value), 0)).collect();
    Answer::Found { at: Position::default(), revision: 0, items }
}

fn verdict(ops: Vec<Op>) -> Verdict {
    check(&History { ops, ..History::default() }, LIMIT)
}

fn is_not(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Not(_))
}

/// Two calls in the order of their times, that the other judge calls stale or lost.
fn found_by_place(history: &History) -> bool {
    let kinds = [Kind::StaleRead, Kind::LostAck, Kind::FutureRead, Kind::WrongOrder, Kind::Phantom];
    witness::judge(history).iter().any(|violation| kinds.contains(&violation.kind))
}

#[test]
fn a_read_that_overlaps_a_write_may_show_either_side_of_it() {
    let write = op(1, 10, 20, put("k", "a"), done());
    for seen in [&[][..], &[("k", "a")]] {
        let read = op(2, 15, 25, get("k"), shows(seen));
        assert_eq!(verdict(vec![write.clone(), read]), Verdict::Linearizable);
    }
    let late = op(2, 21, 25, get("k"), shows(&[]));
    assert!(is_not(&verdict(vec![write, late])));
}

#[test]
fn what_one_read_has_shown_no_later_one_may_lack() {
    let write = op(1, 10, 50, put("k", "a"), done());
    let new = op(2, 15, 20, get("k"), shows(&[("k", "a")]));
    let old = op(3, 25, 30, get("k"), shows(&[]));
    assert!(is_not(&verdict(vec![write, new, old])));
}

#[test]
fn a_write_of_unknown_outcome_may_come_at_any_time_later_or_never_but_not_twice() {
    let first = op(1, 10, 20, put("k", "a"), Answer::Unknown);
    let second = op(2, 30, 40, put("k", "b"), done());
    let read = |at, value| op(3, at, at + 5, get("k"), shows(&[("k", value)]));
    let of = |reads: &[Op]| verdict([&[first.clone(), second.clone()], reads].concat());
    assert_eq!(of(&[read(50, "b")]), Verdict::Linearizable);
    assert_eq!(of(&[read(50, "b"), read(60, "a")]), Verdict::Linearizable);
    assert!(is_not(&of(&[read(50, "a"), read(60, "b")])), "b had returned before a was seen");
    assert!(is_not(&of(&[read(22, "a"), read(50, "b"), read(60, "a")])));
}

#[test]
fn a_refused_write_is_never_seen() {
    let write = op(1, 10, 20, put("k", "a"), Answer::Refused);
    let read = op(2, 30, 40, get("k"), shows(&[("k", "a")]));
    assert!(is_not(&verdict(vec![write, read])));
}

#[test]
fn a_condition_is_judged_by_the_value_that_was_seen_with_its_revision() {
    let seen =
        Answer::Found { at: Position::default(), revision: 0, items: vec![(bytes("k"), bytes("a"), 77)] };
    let swap = |to: &str, answer: Answer, at: Micros| {
        let changes = vec![(bytes("k"), Some(bytes(to)))];
        op(1, at, at + 5, Ask::Write { changes, only_if: vec![(bytes("k"), 77)], fence: None }, answer)
    };
    let not_met = Answer::NotMet { at: Position::default(), revision: 0 };
    let begin = vec![op(1, 10, 20, put("k", "a"), done()), op(1, 30, 40, get("k"), seen)];
    let of = |more: &[Op]| verdict([&begin, more].concat());
    assert_eq!(of(&[swap("b", done(), 50)]), Verdict::Linearizable);
    assert_eq!(of(&[swap("b", done(), 50), swap("c", not_met.clone(), 60)]), Verdict::Linearizable);
    assert!(is_not(&of(&[swap("b", done(), 50), swap("c", done(), 60)])), "both of two swaps");
    assert!(is_not(&of(&[swap("b", not_met, 50)])), "neither");
}

#[test]
fn a_deletion_that_found_nothing_tells_that_there_was_nothing() {
    let delete = Ask::Write { changes: vec![(bytes("k"), None)], only_if: Vec::new(), fence: None };
    let nothing = Answer::NotMet { at: Position::default(), revision: 0 };
    let write = op(1, 10, 20, put("k", "a"), done());
    assert!(is_not(&verdict(vec![write.clone(), op(2, 30, 40, delete.clone(), nothing.clone())])));
    assert_eq!(verdict(vec![write.clone(), op(2, 15, 40, delete.clone(), nothing)]), Verdict::Linearizable);
    assert!(is_not(&verdict(vec![op(2, 1, 5, delete, done()), write])));
}

#[test]
fn a_write_of_two_keys_is_seen_whole() {
    let changes = vec![(bytes("k"), Some(bytes("a"))), (bytes("l"), Some(bytes("b")))];
    let both = Ask::Write { changes, only_if: Vec::new(), fence: None };
    let read = Ask::Read { keys: vec![bytes("k"), bytes("l")], freshness: Freshness::Linearizable };
    let write = op(1, 10, 50, both, done());
    let half = op(2, 20, 30, read, shows(&[("k", "a")]));
    assert!(is_not(&verdict(vec![write, half])));
}

#[test]
fn a_search_that_is_cut_says_so() {
    // Everything overlaps, and at last something is read that nobody wrote: all orders have to be tried.
    let mut ops: Vec<Op> = (0..14).map(|n| op(n, 10, 20, put("k", &format!("v{n}")), done())).collect();
    ops.push(op(20, 30, 40, get("k"), shows(&[("k", "nobody's")])));
    let history = History { ops, ..History::default() };
    assert_eq!(check(&history, 100), Verdict::Undecided);
    assert!(is_not(&check(&history, usize::MAX)));
}

#[test]
fn both_judges_call_correct_histories_clean() {
    let mut undecided = 0;
    for seed in 0..SEEDS {
        let history = generate(seed, Shape::small);
        let wrong = witness::judge(&history);
        assert!(wrong.is_empty(), "seed {seed}: {wrong:#?}");
        match check(&history, LIMIT) {
            Verdict::Linearizable => {}
            Verdict::Undecided => undecided += 1,
            Verdict::Not(what) => panic!("seed {seed}: {what}"),
        }
    }
    assert!(undecided < SEEDS / 50, "{undecided}");
}

/// A read that shows an older state than had been overwritten before it was asked, as a member would that lags and
/// does not know.
fn stale(history: &mut History, rng: &mut Rng) -> Option<()> {
    let mut cases = Vec::new();
    for (number, read) in history.ops.iter().enumerate() {
        let (Ask::Read { keys, freshness: Freshness::Linearizable }, Answer::Found { .. }) =
            (&read.ask, &read.answer)
        else {
            continue;
        };
        // Overwritten before the read was asked, by a write that was asked when the older one had returned.
        for write in history.ops.iter().filter(|write| write.returned < read.invoked) {
            let Answer::Written { revision: new, .. } = write.answer else { continue };
            let Ask::Write { changes, .. } = &write.ask else { continue };
            for old in history.ops.iter().filter(|old| old.returned < write.invoked) {
                let Answer::Written { at, revision } = old.answer else { continue };
                let Ask::Write { changes: before, .. } = &old.ask else { continue };
                let put = |key: &Bytes| before.iter().any(|(known, value)| known == key && value.is_some());
                if revision < new && changes.iter().any(|(key, _)| keys.contains(key) && put(key)) {
                    cases.push((number, at, revision));
                }
            }
        }
    }
    let (number, at, revision) = *cases.get(rng.position(cases.len()))?;
    let Ask::Read { keys, .. } = &history.ops[number].ask else { return None };
    let items = items(&history.end.keys, keys, revision);
    history.ops[number].answer = Answer::Found { at, revision, items };
    Some(())
}

/// A write that was acknowledged and then lost: neither the end nor any read knows it.
fn lost(history: &mut History, rng: &mut Rng) -> Option<()> {
    let writes: Vec<(u64, Vec<Bytes>)> = history
        .ops
        .iter()
        .filter_map(|op| match (&op.ask, &op.answer) {
            (Ask::Write { changes, .. }, Answer::Written { revision, .. }) => {
                Some((*revision, changes.iter().map(|(key, _)| key.clone()).collect()))
            }
            (Ask::Write { .. } | Ask::Read { .. }, _) => None,
        })
        .collect();
    let (revision, changed) = writes.get(rng.position(writes.len()))?.clone();
    for key in &changed {
        history.end.keys.get_mut(key)?.retain(|(at, _)| *at != revision);
    }
    let keys = history.end.keys.clone();
    for op in &mut history.ops {
        if let (Ask::Read { keys: asked, .. }, Answer::Found { revision, items: found, .. }) =
            (&op.ask, &mut op.answer)
        {
            *found = items(&keys, asked, *revision);
        }
    }
    Some(())
}

#[test]
fn both_judges_find_stale_reads() {
    let mut broken = 0;
    for seed in 0..SEEDS {
        let mut history = generate(seed, Shape::small);
        if stale(&mut history, &mut Rng::new(seed)).is_none() {
            continue;
        }
        broken += 1;
        let wrong = witness::judge(&history);
        assert!(wrong.iter().any(|violation| violation.kind == Kind::StaleRead), "seed {seed}: {wrong:#?}");
        let verdict = check(&history, LIMIT);
        assert!(is_not(&verdict), "seed {seed}: {verdict:?}");
    }
    assert!(broken > SEEDS / 2, "{broken}");
}

#[test]
fn both_judges_find_lost_writes_and_the_search_only_those_that_somebody_could_see() {
    let (mut broken, mut seen) = (0, 0);
    for seed in 0..SEEDS {
        let mut history = generate(seed, Shape::small);
        if lost(&mut history, &mut Rng::new(seed)).is_none() {
            continue;
        }
        broken += 1;
        let wrong = witness::judge(&history);
        assert!(wrong.iter().any(|violation| violation.kind == Kind::LostAck), "seed {seed}: {wrong:#?}");
        seen += u64::from(is_not(&check(&history, LIMIT)));
    }
    assert!(broken > SEEDS * 9 / 10 && seen > broken / 10, "{broken} {seen}");
}

#[test]
fn what_the_search_refuses_the_other_judge_refuses_too() {
    let mut refused = 0;
    for seed in 0..SEEDS {
        // Some answers of one history change places: anything may come of that.
        let mut history = generate(seed, Shape::small);
        let mut rng = Rng::new(seed);
        for _ in 0..rng.between(1, 3) {
            let (one, two) = (rng.position(history.ops.len()), rng.position(history.ops.len()));
            let (invoked, returned) = (history.ops[one].invoked, history.ops[one].returned);
            (history.ops[one].invoked, history.ops[one].returned) =
                (history.ops[two].invoked, history.ops[two].returned);
            (history.ops[two].invoked, history.ops[two].returned) = (invoked, returned);
        }
        if let Verdict::Not(what) = check(&history, LIMIT) {
            refused += 1;
            assert!(found_by_place(&history), "seed {seed}: {what}");
        }
    }
    assert!(refused > SEEDS / 4, "{refused}");
}

#[test]
fn a_run_without_much_success_is_void() {
    let history = generate(1, |_| Shape {
        ops: 400,
        clients: 4,
        keys: 4,
        unknown: 0,
        coordination: false,
        compacted: false,
    });
    assert!(!is_void(&history));
    assert!(is_void(&History::default()));
    let mut few = history.clone();
    few.ops.truncate(20);
    assert!(is_void(&few));
    let mut unknown = history.clone();
    unknown.ops.iter_mut().step_by(2).for_each(|op| op.answer = Answer::Unknown);
    unknown.ops[1].answer = Answer::Unknown;
    assert!(is_void(&unknown));
    let mut stuck = history;
    let begin = stuck.ops.len() * 8 / 10;
    stuck.ops[begin..].iter_mut().for_each(|op| op.answer = Answer::Refused);
    assert!(is_void(&stuck));
}

/// A figure, not a check: `cargo test --release -p holdfast-sim --lib a_million -- --ignored --nocapture`.
#[test]
#[ignore = "takes a while; says how long"]
#[allow(clippy::disallowed_methods, reason = "it measures")]
fn a_million_calls_are_judged_in_seconds() {
    let mut history = generate(7, |_| Shape {
        ops: 1_000_000,
        clients: 16,
        keys: 20,
        unknown: 10,
        coordination: true,
        compacted: false,
    });
    let begin = std::time::Instant::now();
    let wrong = witness::judge(&history);
    let witness = begin.elapsed();
    let begin = std::time::Instant::now();
    let all = judge(&history);
    eprintln!("{} calls: witness {witness:?}, everything {:?}", history.ops.len(), begin.elapsed());
    assert!(wrong.is_empty() && all.is_empty());
    history.ops.truncate(10);
}
