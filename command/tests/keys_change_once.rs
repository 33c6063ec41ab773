//! The rule that no key changes twice in a list of operations: by cases, against the rule as it is said, and over transactions as
//! large and as awkward as can be.

mod common;

use bytes::Bytes;
use common::samples::{between, bytes, delete, put};
use common::strategies;
use holdfast_command::keys::{Delete, OPERATIONS_MAX, Operation, Put, Range, Restore, Span, Transaction};
use holdfast_command::{Command, Limits, Refusal, Request, Setting, Settings, validate};
use proptest::prelude::*;

/// Whether the transaction may be done, in a cluster that allows the most operations.
fn transact(transaction: Transaction) -> Result<(), Refusal> {
    let mut settings = Settings::default();
    settings.set(Setting::Operations, OPERATIONS_MAX as u64);
    let request = Request::from(Command::Transact(transaction));
    validate(&request, 0, &Limits::from(&settings))
}

fn then(operations: impl Into<Vec<Operation>>) -> Transaction {
    Transaction { then: operations.into(), ..Transaction::default() }
}

fn write(key: &'static str) -> Operation {
    Operation::Put(put(key, "1"))
}

fn remove(span: Span) -> Operation {
    Operation::Delete(delete(span))
}

#[test]
fn a_key_is_written_once_by_a_list_and_once_by_each_of_its_lists_inside() {
    let twice = Err(Refusal::DuplicateKey);
    let inner = |operations: Vec<Operation>| Operation::Transaction(then(operations));
    let either = Transaction { compares: vec![], then: vec![write("a")], otherwise: vec![write("a")] };
    let restore = || Operation::Restore(Restore { key: bytes("a"), revision: 1, return_previous: false });
    for (operations, expected) in [
        (vec![write("a"), write("b")], Ok(())),
        (vec![write("a"), write("a")], twice),
        (vec![write("a"), restore()], twice),
        (vec![write("a"), inner(vec![write("a")])], twice),
        (vec![inner(vec![write("a")]), inner(vec![write("a")])], twice),
        (vec![inner(vec![inner(vec![write("a")]), write("a")])], twice),
        // Only one of the two lists is done.
        (vec![Operation::Transaction(either.clone())], Ok(())),
        (vec![Operation::Transaction(either), write("a")], twice),
    ] {
        assert_eq!(transact(then(operations.clone())), expected, "{operations:?}");
    }
    let lists = Transaction { then: vec![write("a")], otherwise: vec![write("a")], ..Transaction::default() };
    assert_eq!(transact(lists), Ok(()), "only one of the two lists is done");
}

#[test]
fn what_is_written_is_not_deleted_by_the_same_list_and_deleting_twice_is_allowed() {
    let twice = Err(Refusal::DuplicateKey);
    for (span, expected) in [
        (Span::Key(bytes("m")), twice),
        (Span::Key(bytes("n")), Ok(())),
        (between("l", "m"), Ok(())),
        (between("m", "n"), twice),
        (between("m", "m\0"), twice),
        (between("n", "z"), Ok(())),
        (Span::From(bytes("m")), twice),
        (Span::From(bytes("m\0")), Ok(())),
        (Span::all(), twice),
    ] {
        for operations in [[write("m"), remove(span.clone())], [remove(span.clone()), write("m")]] {
            assert_eq!(transact(then(operations)), expected, "{span:?}");
        }
        let inside = Operation::Transaction(then([remove(span.clone())]));
        assert_eq!(transact(then([write("m"), inside])), expected, "{span:?} inside");
    }
    // One operation that deletes a wide span and a narrow one in it, and another that writes behind the narrow one.
    let wide = then([remove(between("a", "e")), remove(between("b", "c"))]);
    assert_eq!(transact(then([Operation::Transaction(wide), write("d")])), twice);
    // One that writes at the end of what it may delete, where what another deletes begins.
    let (then_list, otherwise) = (vec![write("b")], vec![remove(between("a", "b"))]);
    let either = Transaction { then: then_list, otherwise, ..Transaction::default() };
    assert_eq!(transact(then([Operation::Transaction(either), remove(between("b", "c"))])), twice);
    let deletions = [remove(Span::all()), remove(between("a", "c")), remove(between("b", "d"))];
    assert_eq!(transact(then(deletions)), Ok(()));
    let reads = [write("m"), Operation::Range(Range::of(Span::all()))];
    assert_eq!(transact(then(reads)), Ok(()), "a range changes nothing");
}

/// Whether an operation, done one way or the other, writes or deletes `key`.
fn changes(operation: &Operation, key: &[u8]) -> (bool, bool) {
    match operation {
        Operation::Put(Put { key: own, .. }) | Operation::Restore(Restore { key: own, .. }) => {
            (own == key, false)
        }
        Operation::Delete(Delete { span, .. }) => (false, span.contains(key)),
        Operation::Range(_) => (false, false),
        Operation::Transaction(inner) => {
            let all = inner.then.iter().chain(&inner.otherwise).map(|operation| changes(operation, key));
            all.fold((false, false), |(write, delete), (more, further)| (write || more, delete || further))
        }
    }
}

/// Every key that is written anywhere.
fn written(transaction: &Transaction, keys: &mut Vec<Bytes>) {
    for operation in transaction.then.iter().chain(&transaction.otherwise) {
        match operation {
            Operation::Put(Put { key, .. }) | Operation::Restore(Restore { key, .. }) => {
                keys.push(key.clone());
            }
            Operation::Transaction(inner) => written(inner, keys),
            Operation::Delete(_) | Operation::Range(_) => {}
        }
    }
}

/// The rule as it is said, for every pair of operations and every key.
fn some_key_changes_twice(transaction: &Transaction, keys: &[Bytes]) -> bool {
    [&transaction.then, &transaction.otherwise].into_iter().any(|list| {
        let pair = |one: &Operation, other: &Operation| {
            keys.iter().any(|key| {
                let ((write, delete), (other_write, other_delete)) = (changes(one, key), changes(other, key));
                write && (other_write || other_delete) || delete && other_write
            })
        };
        let pairs = (0..list.len()).flat_map(|at| (at + 1..list.len()).map(move |other| (at, other)));
        let inside = |operation: &Operation| match operation {
            Operation::Transaction(inner) => some_key_changes_twice(inner, keys),
            _ => false,
        };
        pairs.into_iter().any(|(at, other)| pair(&list[at], &list[other])) || list.iter().any(inside)
    })
}

/// Operations over so few keys that they meet, every span of them not empty.
fn crowded() -> impl Strategy<Value = Operation> + Clone {
    let key = prop::sample::select(vec!["a", "a\0", "ab", "b", "b\0", "c", "d", "e"]);
    let span = prop_oneof![
        key.clone().prop_map(|key| Span::Key(bytes(key))),
        (key.clone(), key.clone())
            .prop_filter("an empty span", |(start, end)| start != end)
            .prop_map(|(one, other)| between(one.min(other), one.max(other))),
        key.clone().prop_map(|key| Span::From(bytes(key))),
    ];
    let restore = |key| Operation::Restore(Restore { key: bytes(key), revision: 1, return_previous: false });
    prop_oneof![
        4 => key.clone().prop_map(write),
        1 => key.prop_map(restore),
        3 => span.clone().prop_map(remove),
        1 => span.prop_map(|span| Operation::Range(Range::of(span))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_key_changes_twice_just_as_the_rule_says(
        transaction in strategies::transaction_of(strategies::no_compare(), crowded(), 3),
    ) {
        let mut keys = Vec::new();
        written(&transaction, &mut keys);
        let expected = if some_key_changes_twice(&transaction, &keys) { Err(Refusal::DuplicateKey) } else { Ok(()) };
        prop_assert_eq!(transact(transaction), expected);
    }
}

/// The operations of the awkward transactions: what is written and what is deleted meets again and again, within one operation
/// of the outer list, where it may.
fn awkward(count: usize) -> Vec<(&'static str, Transaction)> {
    let key = |at: usize| Bytes::from(format!("{at:08}"));
    let put = |at| Operation::Put(Put { key: key(at), ..Put::default() });
    let puts = || (0..count / 2).map(put).collect::<Vec<_>>();
    let either = |then, otherwise| Operation::Transaction(Transaction { compares: vec![], then, otherwise });
    let over = |span: fn(Bytes, Bytes) -> Span| {
        let spans = (0..count / 2 - 1).map(|at| remove(span(key(at), key(count))));
        then(vec![either(puts(), spans.collect())])
    };
    let around = |at: usize| remove(Span::Between { start: key(at), end: key(count - at) });
    let mut deep = Transaction {
        then: puts(),
        otherwise: vec![remove(Span::all()); count / 2 - 3],
        ..Transaction::default()
    };
    for _ in 1..holdfast_command::keys::DEPTH_MAX {
        deep = then(vec![Operation::Transaction(deep)]);
    }
    let alternating = (0..count / 2).flat_map(|at| [put(2 * at), remove(Span::Key(key(2 * at + 1)))]);
    vec![
        ("all puts under each of as many spans without an end", over(|start, _| Span::From(start))),
        (
            "all puts under each of as many spans that end together",
            over(|start, end| Span::Between { start, end }),
        ),
        ("spans within spans", then((0..count / 2).map(around).collect::<Vec<_>>())),
        ("puts and deletions in turn", then(alternating.collect::<Vec<_>>())),
        ("as deep as allowed", deep),
    ]
}

/// That these take n log n steps cannot be asserted without a clock: `cargo run --release -p holdfast-command --example validate`
/// shows it. A quadratic search would need a hundred million steps for each of them here.
#[test]
fn the_largest_transactions_that_allow_it_may_change_all_their_keys() {
    for (name, transaction) in awkward(OPERATIONS_MAX) {
        assert!(
            (OPERATIONS_MAX - 8..=OPERATIONS_MAX).contains(&transaction.size())
                || name == "spans within spans",
            "{name}"
        );
        assert_eq!(transact(transaction.clone()), Ok(()), "{name}");
    }
}

#[test]
fn one_key_too_much_is_found_in_the_largest_transactions() {
    for (name, mut transaction) in awkward(OPERATIONS_MAX - 2) {
        transaction.then.push(remove(Span::all()));
        transaction.then.push(write("00000001"));
        assert_eq!(transact(transaction), Err(Refusal::DuplicateKey), "{name}");
    }
}
