//! Each rule of `validate_key` and `validate`, at its limit and one beyond it. The rule about keys that change twice is in `keys_change_once.rs`.

mod common;

use common::samples::{between, bytes, delete, put};
use holdfast_command::elections::{Campaign, Proclaim, Resign};
use holdfast_command::keys::{
    Against, Compact, Compare, Operation, Put, Range, Relation, Restore, Span, Transaction,
};
use holdfast_command::leases::{ExpireLease, GrantLease, RenewLeases, RevokeLease};
use holdfast_command::locks::{Acquire, Release, VALUE_BYTES_MAX};
use holdfast_command::namespaces::{
    DESCRIPTION_BYTES_MAX, NAME_BYTES_MAX, OWNER_BYTES_MAX, OWNERS_MAX, Rules, SetNamespace,
};
use holdfast_command::number::Origin;
use holdfast_command::request::REASON_BYTES_MAX;
use holdfast_command::sessions::KeepSessions;
use holdfast_command::settings::{ChangeSettings, RaiseFeatureLevel};
use holdfast_command::validate::range_is_valid;
use holdfast_command::{
    Actor, Command, CommandNumber, Effect, FeatureLevel, Limits, Refusal, Request, RequestKey, SessionId,
    validate, validate_key,
};
use holdfast_machine::Numbered;

/// Small limits, each different from the others.
const LIMITS: Limits = Limits { request_bytes: 1_000, operations: 6, key_bytes: 5, value_bytes: 7 };

fn as_client(request: &Request) -> Result<(), Refusal> {
    validate_key(request, &Actor::Anonymous)?;
    validate(request, request.encode().len(), &LIMITS)
}

fn check(command: Command) -> Result<(), Refusal> {
    let outcome = as_client(&command.into());
    if let Err(refusal) = outcome {
        assert_eq!(refusal.code().effect(), Effect::NotApplied, "{refusal}");
    }
    outcome
}

/// What is wrong with one operation, wherever it stands: in either list, and in a transaction inside.
fn check_within(operation: &Operation) -> Result<(), Refusal> {
    let then = Transaction { then: vec![operation.clone()], ..Transaction::default() };
    let otherwise = Transaction { otherwise: vec![operation.clone()], ..Transaction::default() };
    let inner = Transaction { then: vec![Operation::Transaction(then.clone())], ..Transaction::default() };
    let outcome = transact(then);
    assert_eq!(transact(otherwise), outcome, "in the second list");
    assert_eq!(transact(inner), outcome, "in a transaction inside");
    outcome
}

fn transact(transaction: Transaction) -> Result<(), Refusal> {
    check(Command::Transact(transaction))
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
fn a_request_is_as_long_as_its_limit_and_not_longer_except_that_of_a_node() {
    let request = Request::from(Command::Put(put("a", "1")));
    assert_eq!(validate(&request, 1_000, &LIMITS), Ok(()));
    let too_long = Refusal::RequestTooLong { bytes: 1_001, limit: 1_000 };
    assert_eq!(validate(&request, 1_001, &LIMITS), Err(too_long));
    for command in of_nodes() {
        assert_eq!(validate(&command.into(), 1_001, &LIMITS), Ok(()));
    }
}

#[test]
fn a_reason_is_as_long_as_its_limit_and_not_longer() {
    let limits = Limits { request_bytes: 10_000, ..LIMITS };
    let of = |length: usize| {
        let command = Command::Put(put("a", "1"));
        let request = Request { reason: "r".repeat(length).into(), ..command.into() };
        validate(&request, request.encode().len(), &limits)
    };
    assert_eq!(of(REASON_BYTES_MAX), Ok(()));
    assert_eq!(of(REASON_BYTES_MAX + 1), Err(Refusal::ReasonTooLong { bytes: 1_025, limit: 1_024 }));
}

#[test]
fn a_sequence_starts_at_one_and_low_lies_between_one_and_the_sequence() {
    let of = |sequence, low| {
        let key = RequestKey::Session { session: SessionId(1), sequence, low };
        as_client(&Request { key, ..Command::Put(put("a", "1")).into() })
    };
    for (sequence, low) in [(1, 1), (5, 1), (5, 5), (u64::MAX, u64::MAX)] {
        assert_eq!(of(sequence, low), Ok(()));
    }
    for (sequence, low) in [(0, 0), (0, 1), (1, 0), (5, 6)] {
        assert_eq!(of(sequence, low), Err(Refusal::BadSequence { sequence, low }));
    }
}

/// What only nodes send.
fn of_nodes() -> [Command; 5] {
    let raise = RaiseFeatureLevel { level: FeatureLevel(2) };
    [
        Command::Tick,
        Command::KeepSessions(KeepSessions::default()),
        Command::RaiseFeatureLevel(raise),
        Command::RenewLeases(RenewLeases::default()),
        Command::ExpireLease(ExpireLease { lease: 0, counter: 0 }),
    ]
}

#[test]
fn only_the_cluster_sends_the_commands_of_nodes_and_it_never_repeats_itself() {
    let origins = CommandNumber::ALL.iter().filter(|number| number.origin() == Origin::Node);
    assert_eq!(origins.count(), of_nodes().len());
    for command in of_nodes() {
        let number = command.number() as u16;
        let request = Request::from(command);
        for actor in [Actor::Anonymous, Actor::Named("cluster".into())] {
            assert_eq!(validate_key(&request, &actor), Err(Refusal::NotForClients { number }));
        }
        assert_eq!(validate_key(&request, &Actor::Cluster), Ok(()));
        for key in [
            RequestKey::Session { session: SessionId(1), sequence: 1, low: 1 },
            RequestKey::Idempotency { key: [1; 32], request: [2; 32] },
        ] {
            let keyed = Request { key, ..request.clone() };
            assert_eq!(validate_key(&keyed, &Actor::Cluster), Err(Refusal::Contradiction));
        }
    }
}

/// Each place where a whole key is given.
fn with_key(key: &'static str) -> [Operation; 2] {
    let restore = Restore { key: bytes(key), revision: 1, return_previous: false };
    [Operation::Put(put(key, "")), Operation::Restore(restore)]
}

fn alone(operation: &Operation) -> Result<(), Refusal> {
    check(match operation.clone() {
        Operation::Put(put) => Command::Put(put),
        Operation::Delete(delete) => Command::Delete(delete),
        Operation::Restore(restore) => Command::Restore(restore),
        Operation::Transaction(transaction) => Command::Transact(transaction),
        Operation::Range(_) => unreachable!("a range is no command"),
    })
}

#[test]
fn a_key_has_a_byte_and_is_as_long_as_its_limit_and_not_longer() {
    let outcomes = [
        ("", Err(Refusal::EmptyKey)),
        ("a", Ok(())),
        ("aaaaa", Ok(())),
        ("aaaaaa", Err(Refusal::KeyTooLong { bytes: 6, limit: 5 })),
    ];
    for (key, expected) in outcomes {
        for operation in with_key(key) {
            assert_eq!(alone(&operation), expected, "{key:?}");
            assert_eq!(check_within(&operation), expected, "{key:?}");
        }
    }
}

#[test]
fn a_value_is_as_long_as_its_limit_and_not_longer() {
    let too_long = Err(Refusal::ValueTooLong { bytes: 8, limit: 7 });
    for (value, expected) in [("", Ok(())), ("1234567", Ok(())), ("12345678", too_long)] {
        let operation = Operation::Put(put("a", value));
        assert_eq!((alone(&operation), check_within(&operation)), (expected, expected));
    }
}

#[test]
fn a_put_that_keeps_something_gives_none_of_it() {
    let both = |put: Put| {
        let operation = Operation::Put(put);
        assert_eq!(alone(&operation), check_within(&operation));
        alone(&operation)
    };
    let (value, bare) = (put("a", "1"), put("a", ""));
    assert_eq!(both(Put { keep_value: true, ..bare.clone() }), Ok(()));
    assert_eq!(both(Put { keep_value: true, keep_lease: true, ..bare.clone() }), Ok(()));
    assert_eq!(both(Put { keep_lease: true, ..value.clone() }), Ok(()));
    assert_eq!(both(Put { keep_value: true, lease: 1, ..bare }), Ok(()));
    assert_eq!(both(Put { keep_value: true, ..value.clone() }), Err(Refusal::Contradiction));
    assert_eq!(both(Put { keep_lease: true, lease: 1, ..value }), Err(Refusal::Contradiction));
}

#[test]
fn no_lease_is_negative() {
    for (lease, expected) in [(i64::MAX, Ok(())), (0, Ok(())), (-1, Err(Refusal::UnknownLease { lease: -1 }))]
    {
        let operation = Operation::Put(Put { lease, ..put("a", "1") });
        assert_eq!((alone(&operation), check_within(&operation)), (expected, expected));
    }
}

/// Every command that names a place in a queue.
fn with_place(name: &[u8], lease: i64) -> [Command; 5] {
    let (name, value) = (bytes::Bytes::copy_from_slice(name), bytes("who"));
    [
        Command::Acquire(Acquire { name: name.clone(), lease, wait: true, value: value.clone() }),
        Command::Release(Release { name: name.clone(), lease }),
        Command::Campaign(Campaign { name: name.clone(), lease, value: value.clone() }),
        Command::Proclaim(Proclaim { name: name.clone(), lease, token: 0, value }),
        Command::Resign(Resign { name, lease }),
    ]
}

#[test]
fn the_name_of_a_lock_or_an_election_has_1_to_255_bytes() {
    for (length, expected) in
        [(0, Err(Refusal::BadName)), (1, Ok(())), (255, Ok(())), (256, Err(Refusal::BadName))]
    {
        for command in with_place(&vec![0xff; length], 1) {
            assert_eq!(check(command), expected, "{length} bytes");
        }
    }
}

#[test]
fn the_lease_of_a_place_or_of_a_revocation_is_positive_and_that_of_a_grant_not_negative() {
    let grant = |lease| check(Command::GrantLease(GrantLease { lease, ttl_ms: 0 }));
    let revoke = |lease| check(Command::RevokeLease(RevokeLease { lease }));
    for lease in [1, i64::MAX] {
        assert_eq!((grant(lease), revoke(lease)), (Ok(()), Ok(())));
        for command in with_place(b"a", lease) {
            assert_eq!(check(command), Ok(()), "{lease}");
        }
    }
    for lease in [0, -1, i64::MIN] {
        let bad = Err(Refusal::BadLease { lease });
        assert_eq!((grant(lease), revoke(lease)), (if lease == 0 { Ok(()) } else { bad }, bad));
        for command in with_place(b"a", lease) {
            assert_eq!(check(command), bad, "{lease}");
        }
    }
}

#[test]
fn what_a_place_carries_is_as_long_as_its_limit_whatever_the_setting_for_values_says() {
    let limits = Limits { request_bytes: 10_000, ..LIMITS };
    for length in [VALUE_BYTES_MAX, VALUE_BYTES_MAX + 1] {
        let (name, value) = (bytes("a"), bytes::Bytes::from(vec![b'v'; length]));
        let too_long = Refusal::ValueTooLong { bytes: length as u64, limit: 4_096 };
        let expected = if length > VALUE_BYTES_MAX { Err(too_long) } else { Ok(()) };
        for command in [
            Command::Acquire(Acquire { name: name.clone(), lease: 1, wait: false, value: value.clone() }),
            Command::Campaign(Campaign { name: name.clone(), lease: 1, value: value.clone() }),
            Command::Proclaim(Proclaim { name, lease: 1, token: 1, value }),
        ] {
            assert_eq!(validate(&command.into(), 0, &limits), expected, "{length}");
        }
    }
}

#[test]
fn a_token_is_compared_with_that_of_one_name_and_not_of_a_span() {
    for against in [Against::Fence(1), Against::Term(1)] {
        let of = |span| {
            let compare = Compare { span, relation: Relation::Equal, against: against.clone() };
            let outer = Transaction { compares: vec![compare], ..Transaction::default() };
            assert_eq!(transact(outer.clone()), check_within(&Operation::Transaction(outer.clone())));
            transact(outer)
        };
        assert_eq!(of(Span::Key(bytes("a"))), Ok(()));
        assert_eq!(of(Span::Key(bytes(""))), Err(Refusal::EmptyKey));
        for span in [Span::all(), between("a", "b")] {
            assert_eq!(of(span), Err(Refusal::Contradiction));
        }
    }
}

#[test]
fn a_span_could_hold_a_key_wherever_it_is_given() {
    let outcomes = [
        (Span::Key(bytes("")), Err(Refusal::EmptyKey)),
        (Span::Key(bytes("a")), Ok(())),
        (between("a", "a"), Err(Refusal::EmptySpan)),
        (between("b", "a"), Err(Refusal::EmptySpan)),
        (between("", ""), Err(Refusal::EmptySpan)),
        (between("", "a"), Ok(())),
        (between("a", "a\0"), Ok(())),
        (Span::all(), Ok(())),
        // Longer than any key: it names no key, so nothing is wrong with it.
        (Span::From(bytes("aaaaaaaaaa")), Ok(())),
    ];
    for (span, expected) in outcomes {
        assert_eq!(alone(&remove(span.clone())), expected, "{span:?}");
        assert_eq!(check_within(&remove(span.clone())), expected, "{span:?}");
        assert_eq!(check_within(&Operation::Range(Range::of(span.clone()))), expected, "{span:?}");
        assert_eq!(range_is_valid(&Range::of(span.clone())), expected);
        let compare = Compare { span, relation: Relation::Equal, against: Against::Version(0) };
        let outer = Transaction { compares: vec![compare], ..Transaction::default() };
        assert_eq!(check_within(&Operation::Transaction(outer.clone())), expected);
        assert_eq!(transact(outer), expected);
    }
}

#[test]
fn a_transaction_has_as_many_comparisons_and_operations_as_its_limit_inner_ones_too() {
    let compare = Compare { span: Span::all(), relation: Relation::Equal, against: Against::Version(0) };
    let of = |compares: usize, inner: usize| {
        let most = Transaction {
            compares: vec![compare.clone(); compares],
            then: vec![Operation::Transaction(then(vec![remove(Span::all()); inner]))],
            otherwise: vec![write("a")],
        };
        assert_eq!(most.size(), compares + inner + 2);
        transact(most)
    };
    assert_eq!(of(2, 2), Ok(()));
    for (compares, inner) in [(3, 2), (2, 3)] {
        assert_eq!(of(compares, inner), Err(Refusal::TooManyOperations { operations: 7, limit: 6 }));
    }
}

#[test]
fn a_namespace_is_called_like_a_prefix_that_ends_in_a_slash() {
    let of = |name: &str| {
        check(Command::SetNamespace(SetNamespace { name: name.into(), rules: Rules::default() }))
    };
    let longest = "n".repeat(NAME_BYTES_MAX - 1) + "/";
    for good in ["a/", "team/app/", "é/", "a b/", &longest] {
        assert_eq!(of(good), Ok(()), "{good}");
    }
    let longer = "n".repeat(NAME_BYTES_MAX) + "/";
    for bad in ["", "/", "a", "/a/", "a//", "a//b/", &longer] {
        assert_eq!(of(bad), Err(Refusal::BadNamespaceName), "{bad}");
    }
}

#[test]
fn the_texts_of_a_namespace_are_as_long_as_their_limits_and_not_longer() {
    let limits = Limits { request_bytes: 100_000, ..LIMITS };
    let of = |rules: Rules| {
        let set = SetNamespace { name: "a/".into(), rules };
        validate(&Command::SetNamespace(set).into(), 0, &limits)
    };
    let description = |length: usize| Rules { description: "d".repeat(length).into(), ..Rules::default() };
    let owners =
        |count, length: usize| Rules { owners: vec!["o".repeat(length).into(); count], ..Rules::default() };
    let too_long = |bytes: usize, limit: usize| {
        Err(Refusal::DescriptionTooLong { bytes: bytes as u64, limit: limit as u64 })
    };
    assert_eq!(of(description(DESCRIPTION_BYTES_MAX)), Ok(()));
    assert_eq!(of(description(DESCRIPTION_BYTES_MAX + 1)), too_long(1_025, 1_024));
    assert_eq!(of(owners(OWNERS_MAX, OWNER_BYTES_MAX)), Ok(()));
    assert_eq!(of(owners(OWNERS_MAX + 1, 1)), too_long(17, 16));
    assert_eq!(of(owners(1, OWNER_BYTES_MAX + 1)), too_long(256, 255));
}

#[test]
fn a_change_sets_each_setting_once_whether_it_is_known_or_not() {
    let of = |numbers: &[u16]| {
        let changes = numbers.iter().map(|number| (*number, 1)).collect();
        check(Command::ChangeSettings(ChangeSettings { changes }))
    };
    assert_eq!(of(&[]), Ok(()));
    assert_eq!(of(&[3, 1, 2, 999]), Ok(()));
    assert_eq!(of(&[3, 1, 3]), Err(Refusal::Contradiction));
    assert_eq!(of(&[999, 999]), Err(Refusal::Contradiction));
}

#[test]
fn what_is_wrong_with_the_whole_request_is_said_before_what_is_wrong_with_its_command() {
    let mut request = Request { reason: "r".repeat(1_025).into(), ..Command::Put(put("", "")).into() };
    let first = |request: &Request, bytes| validate(request, bytes, &LIMITS).unwrap_err();
    assert!(matches!(first(&request, 1_001), Refusal::RequestTooLong { .. }));
    assert!(matches!(first(&request, 1_000), Refusal::ReasonTooLong { .. }));
    request.reason = "".into();
    assert_eq!(first(&request, 1_000), Refusal::EmptyKey);
}

#[test]
fn what_is_wrong_with_a_request_key_does_not_depend_on_limits_nor_on_the_command() {
    let key = RequestKey::Session { session: SessionId(1), sequence: 0, low: 0 };
    let request = Request { key, reason: "r".repeat(1_025).into(), ..Command::Put(put("", "")).into() };
    let refused = Err(Refusal::BadSequence { sequence: 0, low: 0 });
    assert_eq!(validate_key(&request, &Actor::Anonymous), refused);
}

#[test]
fn what_depends_on_the_state_is_not_judged_here() {
    assert_eq!(check(Command::Compact(Compact { revision: u64::MAX })), Ok(()));
    assert_eq!(alone(&Operation::Put(Put { lease: 7, ..put("a", "1") })), Ok(()));
    let unknown = ChangeSettings { changes: vec![(u16::MAX, u64::MAX)] };
    assert_eq!(check(Command::ChangeSettings(unknown)), Ok(()));
}

#[test]
fn what_validate_refuses_was_not_applied() {
    // Every refusal of these tests passes through `check`, which looks; here those that do not.
    for refusal in [
        Refusal::RequestTooLong { bytes: 1, limit: 0 },
        Refusal::ReasonTooLong { bytes: 1, limit: 0 },
        Refusal::BadSequence { sequence: 0, low: 0 },
        Refusal::NotForClients { number: 401 },
    ] {
        assert_eq!(refusal.code().effect(), Effect::NotApplied);
    }
}
