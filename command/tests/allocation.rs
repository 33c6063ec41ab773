//! How much memory bytes from outside can make this crate take, beside the bytes themselves: keys, values and texts are slices of
//! what was read.
//!
//! Promise: a request or an entry less than 3 MiB, whatever it says; an outcome 2.2 times its bytes and 2 MiB. Every figure is a count of the
//! allocator, none is a timing.

mod common;

use allocation_counter::measure;
use bytes::{BufMut, Bytes};
use common::{Kind, mutate, random, samples};
use holdfast_command::keys::{Compare, OPERATIONS_MAX, Operation, Put, Span, Transaction};
use holdfast_command::leases::{RENEWED_MAX, Renewed};
use holdfast_command::sessions::{KEPT_MAX, Kept};
use holdfast_command::{Command, KeyValue, Limits, Outcome, Reply, Request, Setting, Settings, validate};

const MIB: u64 = 1 << 20;

/// The reference count of the bytes, and lists that are bounded by a few dozens of items.
const FIXED_BYTES: u64 = 8 * 1024;

/// What decoding `bytes` takes at its peak.
fn peak(kind: Kind, bytes: &[u8]) -> u64 {
    let bytes = Bytes::copy_from_slice(bytes);
    measure(|| drop(kind.decode(bytes))).bytes_max
}

/// What decoding `bytes` may take.
fn promised(kind: Kind, bytes: u64) -> u64 {
    match kind {
        Kind::Request | Kind::Entry => 3 * MIB,
        Kind::Outcome | Kind::Answer => bytes * 22 / 10 + 2 * MIB,
        Kind::Range | Kind::Query => FIXED_BYTES,
    }
}

/// A request with this number and body.
fn request(number: u16, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_u16_le(number);
    out.put_u16_le(0);
    out.put_u32_le(body.len() as u32);
    out.put_u16_le(0);
    out.put_slice(body);
    out
}

/// A count and as many times the same.
fn many(count: usize, item: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_u32_le(count as u32);
    (0..count).for_each(|_| out.put_slice(item));
    out
}

/// Bytes that reserve as much as they can.
struct Greedy {
    name: &'static str,
    kind: Kind,
    /// What they are meant to take at least.
    least: usize,
    /// Where the count of what takes it stands.
    count_at: usize,
    bytes: Vec<u8>,
}

fn greedy() -> Vec<Greedy> {
    let most = OPERATIONS_MAX;
    let deletion = b"\x02\x06\0\0\0\0\x01\0\0\0\0";
    let comparison = b"\x01\x04\0\0\0\0\x01\0\0\0\0";
    let inner = [&b"\x04\x0c\0\0\0"[..], &[0; 12]].concat();
    let (operations, replies) = (most * size_of::<Operation>(), most * size_of::<Reply>());
    let (comparisons, kept) = (most * size_of::<Compare>(), KEPT_MAX * size_of::<Kept>());
    let (keys, renewed) = (size_of::<KeyValue>(), RENEWED_MAX * size_of::<Renewed>());
    let list = |item: &[u8]| request(3, &[&[0; 4][..], &many(most, item), &[0; 4]].concat());
    let compared = request(3, &[&many(most, comparison)[..], &[0; 8]].concat());
    let transacted = |results: &[u8]| [&b"\x03\0"[..], &[0; 9], results].concat();
    let deleted = |count| [&b"\x02\0"[..], &[0; 16], &many(count, &[0; 48])].concat();
    let mut last = many(most - 1, b"\x91\x01");
    last[..4].copy_from_slice(&(most as u32).to_le_bytes());
    let both = transacted(&[last, deleted(50_000)].concat());
    let unknown = [&b"\x2e\x01"[..], &many(KEPT_MAX, &[0; 8])].concat();
    let unrenewed = [&b"\xf6\x01"[..], &many(RENEWED_MAX, &[0; 8])].concat();
    let of = |name, kind, least, count_at, bytes| Greedy { name, kind, least, count_at, bytes };
    vec![
        of("deletions", Kind::Request, operations, 14, list(deletion)),
        of("transactions", Kind::Request, operations, 14, list(&inner)),
        of("comparisons", Kind::Request, comparisons, 10, compared),
        of("sessions", Kind::Request, kept, 10, request(302, &many(KEPT_MAX, &[0; 10]))),
        of("leases", Kind::Request, renewed, 10, request(502, &many(RENEWED_MAX, &[0; 10]))),
        of("settings", Kind::Request, 256 * 16, 10, request(201, &many(256, &[0; 10]))),
        of("replies", Kind::Outcome, replies, 11, transacted(&many(most, b"\x91\x01"))),
        of("keys", Kind::Outcome, 100_000 * keys, 18, deleted(100_000)),
        of("few keys", Kind::Outcome, 10 * keys, 18, deleted(10)),
        of("keys under replies", Kind::Outcome, replies + 50_000 * keys, 11, both),
        of("unknown sessions", Kind::Outcome, 8 * KEPT_MAX, 2, unknown),
        of("unknown leases", Kind::Outcome, 8 * RENEWED_MAX, 2, unrenewed),
    ]
}

#[test]
fn decoding_takes_no_more_memory_than_promised() {
    for Greedy { name, kind, least, bytes, .. } in greedy() {
        assert!(kind.decode(bytes.clone().into()).is_ok(), "{name} is meant to decode");
        let took = peak(kind, &bytes);
        assert!(took <= promised(kind, bytes.len() as u64), "{name}: {took} for {} bytes", bytes.len());
        assert!(took >= least as u64, "{name} was meant to take {least} at least, and took {took}");
    }
}

#[test]
fn a_count_that_is_not_followed_by_as_much_reserves_nothing() {
    for Greedy { name, kind, count_at, mut bytes, .. } in greedy() {
        // The count, and less than one of what it counts.
        bytes.truncate(count_at + 5);
        if kind == Kind::Request {
            let body = bytes.len() as u32 - 10;
            bytes[4..8].copy_from_slice(&body.to_le_bytes());
        }
        assert!(kind.decode(bytes.clone().into()).is_err(), "{name}");
        assert!(peak(kind, &bytes) <= 64, "{name}");
    }
}

#[test]
fn changed_samples_take_no_more_memory_than_promised() {
    let mut seed = common::seed();
    let mut corpus: Vec<(Kind, Vec<u8>)> =
        samples::all().into_iter().map(|(_, value)| (value.kind(), value.encode().to_vec())).collect();
    // A few of the large ones, so that changed counts find something to count.
    let large = greedy().into_iter().filter(|one| ["deletions", "sessions", "replies"].contains(&one.name));
    corpus.extend(large.map(|one| (one.kind, one.bytes)));
    for round in 0..20_000 {
        let (kind, mut bytes) = corpus[round % corpus.len()].clone();
        for _ in 0..=random(&mut seed) % 4 {
            mutate(&mut bytes, &mut seed);
        }
        let took = peak(kind, &bytes);
        assert!(took <= promised(kind, bytes.len() as u64), "{took} for {}", common::hex(&bytes));
    }
}

#[test]
fn decoding_copies_no_key_no_value_and_no_text() {
    let value = Bytes::from(vec![b'v'; 1 << 20]);
    let put = Put { key: "a".into(), value, ..Default::default() };
    let request = Request { reason: "because".into(), ..Command::Put(put.clone()).into() };
    let previous = KeyValue { value: put.value, ..KeyValue::default() };
    let outcome = Outcome(Ok(Reply::Put { revision: 1, previous: Some(previous) }));
    assert!(peak(Kind::Request, &request.encode()) <= 64);
    assert!(peak(Kind::Outcome, &outcome.encode()) <= 64);
}

#[test]
fn validating_the_largest_transaction_takes_no_more_than_decoding_it() {
    let mut settings = Settings::default();
    settings.set(Setting::Operations, OPERATIONS_MAX as u64);
    for key in [8, 100] {
        // As many keys as operations, each in one of two transactions and each deleted in the other list of its own.
        let operations = (0..OPERATIONS_MAX / 2 - 1).map(|at| {
            let key = format!("{at:0key$}").into_bytes();
            Operation::Put(Put { key: key.into(), ..Default::default() })
        });
        let spans = (0..OPERATIONS_MAX / 2).map(|_| Operation::Delete(samples::delete(Span::all())));
        let (then, otherwise) = (operations.collect(), spans.collect());
        let inner = Operation::Transaction(Transaction { compares: vec![], then, otherwise });
        let outer = Transaction { then: vec![inner], ..Default::default() };
        let request = Request::from(Command::Transact(outer));
        let mut outcome = Ok(());
        let took = measure(|| outcome = validate(&request, 0, &Limits::from(&settings)));
        assert_eq!(outcome, Ok(()));
        assert!(took.bytes_max <= 3 * MIB, "{took:?}");
        assert_eq!(took.bytes_current, 0);
    }
}
