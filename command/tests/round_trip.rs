//! One encoding per value: what is written is read back as it was, what can be read would be written the same, and anything else
//! is a typed error. A failing case prints its input, shrunk.

mod common;

use bytes::Bytes;
use common::{Kind, Value, hex, mutate, random, samples, strategies};
use holdfast_command::envelope::peek_number;
use holdfast_command::extension::EXTENSIONS_MAX;
use holdfast_command::keys::{DEPTH_MAX, OPERATIONS_MAX, Operation, Transaction};
use holdfast_command::layout::Fault;
use holdfast_command::{Actor, Command, DecodeError, Entry, Envelope, Extensions, Outcome, Reply, Request};
use proptest::collection::vec;
use proptest::prelude::*;

/// Decodes bytes that may be anything, and says what is wrong with the result.
fn fault_of(kind: Kind, bytes: &[u8]) -> Option<String> {
    if let Ok((_, request)) = Envelope::split(&Bytes::copy_from_slice(bytes))
        && peek_number(bytes) != Request::number(&request)
    {
        return Some(format!("another number is seen in {}", hex(bytes)));
    }
    match kind.decode(Bytes::copy_from_slice(bytes)) {
        Ok(value) if value.encode() == bytes => None,
        Ok(value) => Some(format!("{value:?} has a second encoding, {}", hex(bytes))),
        Err(error) if error.offset <= bytes.len() as u64 => None,
        Err(error) => Some(format!("{error} lies beyond {} bytes", bytes.len())),
    }
}

/// Cuts the end of `value` off in every place, and adds a byte: each is an error. Only whole extensions may be missing, since
/// nothing says how many there are but the end.
fn ends_are_exact(name: &str, value: &Value) {
    let without = |request: &Request| Request { extensions: Extensions::default(), ..request.clone() };
    let bytes = value.encode();
    for length in 0..bytes.len() {
        match (value.kind().decode(bytes.slice(..length)), value) {
            (Err(error), _) => assert!(error.offset <= length as u64, "{name}: {error} at {length}"),
            (Ok(Value::Request(shorter)), Value::Request(whole)) => {
                assert_eq!(without(&shorter), without(whole), "{name}");
            }
            (Ok(Value::Entry(shorter)), Value::Entry(whole)) => {
                assert_eq!(without(&shorter.request), without(&whole.request), "{name}");
            }
            (Ok(shorter), _) => panic!("{name}: {length} bytes of {} are {shorter:?}", hex(&bytes)),
        }
    }
    for more in [0, 1, u8::MAX] {
        let longer = [&bytes[..], &[more]].concat();
        let error = value.kind().decode(longer.into()).expect_err("a byte too many");
        assert!(error.offset <= bytes.len() as u64 + 1, "{name}: {error}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_as_it_was(value in strategies::value()) {
        prop_assert_eq!(value.kind().decode(value.encode()), Ok(value));
    }

    #[test]
    fn changed_bytes_are_a_value_of_their_own_or_a_typed_error(
        value in strategies::value(),
        seed in any::<u64>(),
    ) {
        let (bytes, mut seed) = (value.encode(), seed);
        for _ in 0..8 {
            let mut changed = bytes.to_vec();
            for _ in 0..=random(&mut seed) % 3 {
                mutate(&mut changed, &mut seed);
            }
            prop_assert_eq!(fault_of(value.kind(), &changed), None);
        }
    }

    #[test]
    fn any_bytes_are_a_value_or_a_typed_error(bytes in vec(prop_oneof![0..4_u8, any::<u8>()], 0..120)) {
        for kind in Kind::ALL {
            prop_assert_eq!(fault_of(kind, &bytes), None);
        }
    }
}

proptest! {
    // Each case decodes every prefix of a value.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_value_ends_where_its_bytes_do(value in strategies::value()) {
        ends_are_exact("generated", &value);
    }
}

#[test]
fn every_sample_ends_where_its_bytes_do() {
    for (name, value) in samples::all() {
        ends_are_exact(&name, &value);
    }
}

#[test]
fn one_byte_of_a_sample_set_to_anything_is_a_value_of_its_own_or_a_typed_error() {
    for (name, value) in samples::all() {
        let bytes = value.encode();
        for at in 0..bytes.len().min(100) {
            for byte in [0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64, 127, 128, 255] {
                let mut changed = bytes.to_vec();
                changed[at] = byte;
                assert_eq!(fault_of(value.kind(), &changed), None, "{name}");
            }
        }
    }
}

fn decoded(command: Command) -> Result<Request, DecodeError> {
    Request::decode(Request::from(command).encode())
}

fn nested(depth: u8) -> Transaction {
    let mut transaction = Transaction::default();
    for _ in 1..depth {
        transaction =
            Transaction { then: vec![Operation::Transaction(transaction)], ..Transaction::default() };
    }
    transaction
}

#[test]
fn transactions_nest_to_the_limit_and_not_one_deeper() {
    assert!(decoded(Command::Transact(nested(DEPTH_MAX))).is_ok());
    let error = decoded(Command::Transact(nested(DEPTH_MAX + 1))).unwrap_err();
    assert!(matches!(error.fault, Fault::TooMany { limit: 4, .. }), "{error}");
}

#[test]
fn replies_nest_as_deep_as_transactions_and_not_one_deeper() {
    let nested = |depth: u8| {
        let over = |results| Reply::Transacted { revision: 1, succeeded: true, results };
        let reply = (1..depth).fold(over(vec![]), |inner, _| over(vec![inner]));
        Value::Outcome(Outcome(Ok(reply)))
    };
    assert!(Kind::Outcome.decode(nested(DEPTH_MAX).encode()).is_ok());
    let error = Kind::Outcome.decode(nested(DEPTH_MAX + 1).encode()).unwrap_err();
    assert!(matches!(error.fault, Fault::TooMany { limit: 4, .. }), "{error}");
}

#[test]
fn a_transaction_has_its_most_operations_in_all_branches_together_and_not_one_more() {
    let delete = || Operation::Delete(samples::delete(samples::between("a", "b")));
    let with = |count: usize| {
        let inner =
            Transaction { then: (0..count - 2).map(|_| delete()).collect(), ..Transaction::default() };
        let (then, otherwise) = (vec![delete()], vec![Operation::Transaction(inner)]);
        Command::Transact(Transaction { then, otherwise, ..Transaction::default() })
    };
    assert!(decoded(with(OPERATIONS_MAX)).is_ok());
    let error = decoded(with(OPERATIONS_MAX + 1)).unwrap_err();
    assert!(
        matches!(error.fault, Fault::TooMany { what: "comparisons and operations", limit: 16_384 }),
        "{error}"
    );
}

#[test]
fn an_outcome_has_as_many_results_as_a_transaction_has_operations_and_not_one_more() {
    let over = |results| Reply::Transacted { revision: 1, succeeded: true, results };
    let of = |count: usize| {
        let inner = over(vec![Reply::Ticked; count - 1]);
        Value::Outcome(Outcome(Ok(over(vec![inner])))).encode()
    };
    assert!(Kind::Outcome.decode(of(OPERATIONS_MAX)).is_ok());
    let error = Kind::Outcome.decode(of(OPERATIONS_MAX + 1)).unwrap_err();
    assert!(matches!(error.fault, Fault::TooMany { what: "results", limit: 16_384 }), "{error}");
}

/// A request with these tags, in this order.
fn tagged(tags: impl IntoIterator<Item = u16>) -> Result<Request, DecodeError> {
    let mut bytes = Request::from(Command::Tick).encode().to_vec();
    for tag in tags {
        bytes.extend(tag.to_le_bytes());
        bytes.extend([0; 4]);
    }
    Request::decode(bytes.into())
}

#[test]
fn extensions_ascend_each_tag_at_most_once_and_there_are_not_too_many() {
    assert!(tagged([1, 2, 9]).is_ok());
    for wrong in [[2, 1], [1, 1]] {
        let error = tagged(wrong).unwrap_err();
        assert_eq!(error.fault, Fault::ExtensionOrder { tag: wrong[1], before: wrong[0] });
    }
    let most = EXTENSIONS_MAX as u16;
    assert!(tagged(0..most).is_ok());
    assert!(matches!(tagged(0..=most).unwrap_err().fault, Fault::TooMany { what: "extensions", .. }));
}

#[test]
fn an_envelope_leaves_the_request_as_it_came() {
    for (name, value) in samples::all() {
        let Value::Entry(entry) = value else { continue };
        let mut bytes = Vec::new();
        entry.envelope.write(&mut bytes);
        // What is no request, too: a leader appends what it does not understand only if it is broken, and apply refuses it.
        for request in [&entry.request.encode()[..], b"", b"\xff\xff no request"] {
            let whole = Bytes::from([&bytes[..], request].concat());
            let (envelope, rest) = Envelope::split(&whole).unwrap();
            assert_eq!((&envelope, &rest[..]), (&entry.envelope, request), "{name}");
        }
    }
}

#[test]
fn the_number_of_a_request_is_read_without_decoding_it() {
    assert_eq!(Request::number(b""), None);
    assert_eq!(Request::number(b"\x01"), None);
    assert_eq!(Request::number(b"\xf4\x01"), Some(500));
    let put = Request::from(Command::Put(samples::put("a", "1"))).encode();
    assert_eq!(Request::number(&put), Some(1));
}

/// What is wrong with `bytes`, and where.
fn wrong(kind: Kind, bytes: &[u8]) -> (u64, Fault) {
    let error = kind.decode(Bytes::copy_from_slice(bytes)).expect_err("these bytes are wrong");
    (error.offset, error.fault)
}

/// The sample of this name with one byte changed.
fn with(name: &str, at: usize, byte: u8) -> Vec<u8> {
    let all = samples::all();
    let (_, sample) = all.iter().find(|(other, _)| other == name).expect("a sample of this name");
    let mut bytes = sample.encode().to_vec();
    bytes[at] = byte;
    bytes
}

#[test]
fn a_fault_says_what_is_wrong_and_where() {
    let unknown = |what, number| Fault::Unknown { what, number };
    let put = |at, byte| wrong(Kind::Request, &with("request C1 Put", at, byte));
    assert_eq!(put(1, 1), (0, unknown("command", 257)));
    assert_eq!(put(2, 3), (2, unknown("kind of request key", 3)));
    assert_eq!(put(3, 9), (3, unknown("reserved field", 9)));
    assert_eq!(put(4, 24), (10, Fault::Truncated { need: 24, have: 23 }));
    assert_eq!(put(10, 8), (10, unknown("set of flags", 8)));
    assert_eq!(put(19, 15), (23, Fault::Truncated { need: 15, have: 10 }));
    assert_eq!(put(28, 0), (32, Fault::Trailing(1)));
    let span = |at, byte| wrong(Kind::Request, &with("request C2 Delete a span", at, byte));
    assert_eq!(span(11, 4), (11, unknown("kind of span", 4)));
    let compare = |at, byte| wrong(Kind::Request, &with("request C3 Transact by five subjects", at, byte));
    assert_eq!(compare(14, 9), (14, unknown("relation", 9)));
    assert_eq!(compare(15, 9), (15, unknown("subject", 9)));
    let operation = |at, byte| wrong(Kind::Request, &with("request C3 Transact five operations", at, byte));
    assert_eq!(operation(18, 9), (18, unknown("operation", 9)));
    assert_eq!(operation(23, 8), (23, unknown("set of flags", 8)), "inside of an operation");
    let reason = |at, byte| wrong(Kind::Request, &with("request with a reason", at, byte));
    assert_eq!(reason(18, 0xff), (10, Fault::NotText));
    let range = |at, byte| wrong(Kind::Range, &with("range O1 Key", at, byte));
    assert_eq!((range(0, 0).0, range(1, 0).0, range(2, 4).0), (0, 1, 2));
    let entry = |at, byte| wrong(Kind::Entry, &with("entry by a name", at, byte));
    assert_eq!(entry(0, 2), (0, unknown("layout of an envelope", 2)));
    assert_eq!(entry(1, 2), (32, unknown("kind of actor with or without a name", 2)));
    assert_eq!(entry(2, 5), (2, unknown("kind of address", 5)));
    assert_eq!(entry(4, 1), (4, unknown("port of no address", 1)));
    assert_eq!(entry(7, 1), (6, unknown("reserved field", 256)));
    assert_eq!(entry(35, 9), (35, unknown("command", 9)), "counted from the entry");
    let outcome = |name, at, byte| wrong(Kind::Outcome, &with(name, at, byte));
    assert_eq!(outcome("outcome Y1 Put", 1, 9), (0, unknown("reply", 2305)));
    assert_eq!(outcome("outcome Y1 Put", 10, 2), (10, unknown("set of flags", 2)));
    assert_eq!(outcome("outcome HF1004 EmptyKey", 2, 0), (2, unknown("code", 768)));
    assert_eq!(outcome("outcome HF1004 EmptyKey", 4, 1), (2, unknown("refusal", 1004)));
}

#[test]
fn a_text_too_long_for_its_field_is_cut_at_a_character_and_moves_nothing_behind_it() {
    // Bytes that would be a body and an extension if they were read as such.
    let crafted = "é".repeat(32_767) + "x" + "\x09\0\0\0\0\0\0\0" + "\x01\0\x08\0\0\0";
    let command = Command::Compact(holdfast_command::keys::Compact { revision: 1 });
    let request = Request { reason: crafted.into(), ..command.clone().into() };
    let decoded = Request::decode(request.encode()).unwrap();
    assert_eq!((decoded.command, decoded.extensions), (command.clone(), Extensions::default()));
    assert_eq!(decoded.reason.len(), 65_535);
    let named = |name: &str| Envelope { actor: Actor::Named(name.into()), ..Envelope::default() };
    let entry = |name: &str| Entry { envelope: named(name), request: command.clone().into() };
    let long = Entry::decode(&entry(&"é".repeat(128)).encode()).unwrap();
    assert_eq!(long, entry(&"é".repeat(127)), "256 bytes, and 255 are in the middle of a character");
}
