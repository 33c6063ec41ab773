//! The bytes of audit records: one encoding per record, and nothing else decodes.

mod common;

use bytes::Bytes;
use common::{mutate, random};
use holdfast_command::audit::{LISTED_MAX, Touched, TouchedKind, Touches};
use holdfast_command::{Actor, AuditRecord, CommandNumber, ReplyNumber, RequestKey, SessionId};
use holdfast_machine::Numbered;

fn record() -> AuditRecord {
    let touched = |kind, name: &'static [u8], gone| Touched { kind, name: name.into(), before: 7, gone };
    AuditRecord {
        index: 1,
        term: 2,
        stamp: 3,
        clock: 4,
        revision: 5,
        actor: Actor::Named("ada".into()),
        address: Some(("10.0.0.3".parse().expect("an address"), 7400)),
        key: RequestKey::Session { session: SessionId(8), sequence: 9, low: 6 },
        reason: "because é".into(),
        command: CommandNumber::Transact,
        reply: ReplyNumber::Transacted,
        count: 2,
        touched: vec![touched(TouchedKind::Key, b"a", false), touched(TouchedKind::Key, b"b", true)],
    }
}

/// Records of every shape.
fn all() -> Vec<AuditRecord> {
    let full = record();
    let mut all = vec![full.clone()];
    for actor in [Actor::Anonymous, Actor::Cluster] {
        all.push(AuditRecord { actor, ..full.clone() });
    }
    for address in [None, Some(("2001:db8::1".parse().expect("an address"), 0))] {
        all.push(AuditRecord { address, ..full.clone() });
    }
    for key in [RequestKey::None, RequestKey::Idempotency { key: [1; 32], request: [2; 32] }] {
        all.push(AuditRecord { key, ..full.clone() });
    }
    for kind in TouchedKind::ALL {
        let touched = vec![Touched { kind: *kind, name: Bytes::new(), before: u64::MAX, gone: false }];
        all.push(AuditRecord { count: 1, touched, ..full.clone() });
    }
    let touched = vec![full.touched[0].clone(); LISTED_MAX.into()];
    all.push(AuditRecord { count: 1_000_000, touched, ..full });
    all
}

#[test]
fn a_record_is_read_back_as_it_was_written() {
    for record in all() {
        assert_eq!(AuditRecord::decode(record.encode()), Ok(record));
    }
}

#[test]
fn the_bytes_of_a_record_are_the_promised_ones() {
    let promised = "010104010300e81c010000000000000002000000000000000300000000000000040000000000000005000000\
                    00000000030003000a00020002000000000000000a00000361646108000000000000000900000000000000\
                    06000000000000006265636175736520c3a90100010007000000000000006101010100070000000000000062";
    let promised: String = promised.split_whitespace().collect();
    assert_eq!(common::hex(&record().encode()), promised);
}

#[test]
fn a_record_ends_where_its_bytes_do() {
    for record in all() {
        let bytes = record.encode();
        for length in 0..bytes.len() {
            assert!(AuditRecord::decode(bytes.slice(..length)).is_err(), "{length} of {record:?}");
        }
        assert!(AuditRecord::decode([&bytes[..], &[0]].concat().into()).is_err());
    }
}

#[test]
fn changed_bytes_are_a_record_of_their_own_or_a_typed_error() {
    let (mut seed, all) = (common::seed(), all());
    for round in 0..20_000 {
        let mut bytes = all[round % all.len()].encode().to_vec();
        for _ in 0..=random(&mut seed) % 3 {
            mutate(&mut bytes, &mut seed);
        }
        if let Ok(record) = AuditRecord::decode(bytes.clone().into()) {
            assert_eq!(record.encode(), bytes, "{record:?} has a second encoding");
        }
    }
}

#[test]
fn more_than_a_record_lists_is_counted() {
    let mut touches = Touches::default();
    assert!(touches.is_empty());
    for number in 0..100_u64 {
        touches.note(TouchedKind::Lease, &number.to_le_bytes(), 0, true);
    }
    let mut out = Vec::new();
    let (envelope, key) = (holdfast_command::Envelope::default(), RequestKey::None);
    let (command, reply) = (CommandNumber::Delete, ReplyNumber::Deleted);
    let (index, term, stamp, clock, revision) = (1, 1, 1, 1, 1);
    let envelope = &envelope;
    let head = holdfast_command::audit::Head {
        index,
        term,
        stamp,
        clock,
        revision,
        envelope,
        key: &key,
        reason: "",
        command,
        reply,
    };
    head.write(&touches, &mut out);
    let record = AuditRecord::decode(out.into()).expect("a record");
    assert_eq!((record.count, record.touched.len()), (100, usize::from(LISTED_MAX)));
    touches.clear();
    assert!(touches.is_empty());
}
