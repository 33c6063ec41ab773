//! The bytes of entries and of members, and the operations of the log that a persist becomes.

mod storage_common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use holdfast_raft::{
    Configuration, Entry, EntryId, HardState, Index, LogOp, Member, NodeId, NodeUuid, Payload, Persist,
    PersistId, Recovered, Term,
};
use holdfast_server::storage::{
    BadContext, GROUP, MemberContext, PayloadError, decode_payload, encode_payload, initial_configuration,
    to_ops,
};
use holdfast_wal::Op;
use storage_common::{formed, formed_of, mint};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn data(bytes: &'static [u8]) -> Payload {
    Payload::Data(Bytes::from_static(bytes))
}

fn ids(ids: &[u64]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

fn member(uuid: u8, promote: bool, context: &'static [u8]) -> Member {
    Member { uuid: NodeUuid([uuid; 16]), promote, context: Bytes::from_static(context) }
}

/// A joint configuration with all that there is: a voter that leaves, a learner to be promoted, removed ids.
fn joint() -> Configuration {
    let members = BTreeMap::from([
        (NodeId(1), member(0x11, false, b"one")),
        (NodeId(2), member(0x22, false, b"")),
        (NodeId(9), member(0x99, true, b"nine")),
    ]);
    let removed = BTreeSet::from([NodeId(2), NodeId(7)]);
    Configuration::from_parts(ids(&[1]), ids(&[1, 2]), members, removed).expect("a configuration")
}

fn configurations() -> Vec<Configuration> {
    let empty = Configuration::default();
    let full = (1..=64)
        .map(|id| (NodeId(id), member(id as u8, id > 15, if id == 64 { &[7; 1024] } else { b"seven" })))
        .collect();
    let full = Configuration::from_parts(
        (1..=15).map(NodeId).collect(),
        (2..=16).map(NodeId).collect(),
        full,
        (100..140).map(NodeId).collect(),
    );
    vec![
        empty,
        joint(),
        joint().leave_joint(),
        initial_configuration(&formed()).expect("addresses"),
        full.expect("the largest"),
    ]
}

fn bytes_of(configuration: &Configuration) -> Bytes {
    encode_payload(&Payload::Configuration(Arc::new(configuration.clone()))).expect("always")
}

#[test]
fn the_bytes_of_each_payload_are_what_was_promised() {
    assert_eq!(encode_payload(&Payload::Empty).expect("always"), "");
    assert_eq!(encode_payload(&data(b"\x01command")).expect("an envelope"), "\x01command");
    let eleven = "11".repeat(16);
    let two = "22".repeat(16);
    let nine = "99".repeat(16);
    let expected = [
        "8001",
        "01 0100000000000000",
        "02 0100000000000000 0200000000000000",
        &format!("03 0100000000000000 {eleven} 00 0300 6f6e65"),
        &format!("0200000000000000 {two} 00 0000"),
        &format!("0900000000000000 {nine} 01 0400 6e696e65"),
        "02000000 0200000000000000 0700000000000000",
    ];
    assert_eq!(hex(&bytes_of(&joint())), expected.concat().replace(' ', ""));
    assert_eq!(hex(&bytes_of(&Configuration::default())), "800100000000000000");
}

#[test]
fn what_was_encoded_is_decoded() {
    let configurations = configurations().into_iter().map(Arc::new).map(Payload::Configuration);
    let others = [Payload::Empty, data(b"\x01"), data(b"\x7fx"), data(&[1; 100_000])];
    for payload in configurations.chain(others) {
        let bytes = encode_payload(&payload).expect("it has bytes");
        assert_eq!(decode_payload(bytes), Ok(payload));
    }
}

#[test]
fn a_command_is_shared_and_never_copied() {
    let command = Bytes::from(vec![1; 1000]);
    let bytes = encode_payload(&Payload::Data(command.clone())).expect("an envelope");
    assert_eq!(bytes.as_ptr(), command.as_ptr());
    let Ok(Payload::Data(again)) = decode_payload(bytes) else { panic!("a command") };
    assert_eq!(again.as_ptr(), command.as_ptr());
}

#[test]
fn a_command_without_an_envelope_is_refused_because_it_could_be_anything_else() {
    assert_eq!(encode_payload(&data(b"")), Err(PayloadError::NoEnvelope(None)));
    for first in [&b"\0"[..], b"\x80", b"\x81", b"\xff"] {
        let refused = encode_payload(&data(Box::leak(first.into())));
        assert_eq!(refused, Err(PayloadError::NoEnvelope(Some(first[0]))));
    }
    for first in [0, 0x81, 0xff] {
        assert_eq!(decode_payload(Bytes::from(vec![first, 1])), Err(PayloadError::Unknown(first)));
    }
}

#[test]
fn every_truncation_of_a_configuration_is_refused_and_so_is_a_byte_more() {
    for configuration in configurations() {
        let bytes = bytes_of(&configuration);
        for length in 1..bytes.len() {
            let cut = decode_payload(bytes.slice(..length));
            assert_eq!(cut, Err(PayloadError::Cut), "{length} bytes of {configuration:?}");
        }
        let longer = Bytes::from([&bytes[..], &[0]].concat());
        assert_eq!(decode_payload(longer), Err(PayloadError::Trailing(1)));
    }
}

#[test]
fn any_bytes_are_a_payload_with_exactly_these_bytes_or_none_and_panic_nothing() {
    // Every byte of small configurations replaced by every other.
    for configuration in &configurations()[..4] {
        let bytes = bytes_of(configuration);
        for at in 0..bytes.len() {
            for value in 0..=255 {
                let mut other = bytes.to_vec();
                other[at] = value;
                let other = Bytes::from(other);
                if let Ok(payload) = decode_payload(other.clone()) {
                    assert_eq!(encode_payload(&payload), Ok(other), "one encoding of each");
                }
            }
        }
    }
}

#[test]
fn a_configuration_that_breaks_a_rule_or_is_of_a_later_build_is_refused() {
    let mut later = bytes_of(&joint()).to_vec();
    later[1] = 2;
    assert_eq!(decode_payload(later.into()), Err(PayloadError::Later(2)));
    // No members, and a voter; a count of removed ids that no memory holds.
    let no_member = [&[0x80, 1, 1][..], &1_u64.to_le_bytes(), &[0, 0], &[0; 4]].concat();
    assert_eq!(decode_payload(no_member.into()), Err(PayloadError::Rule("every voter is a member")));
    let many = [&[0x80, 1, 0, 0, 0][..], &[0xff; 4]].concat();
    assert_eq!(decode_payload(many.into()), Err(PayloadError::Cut));
}

#[test]
fn the_first_entry_is_the_same_on_every_node() {
    let bytes = |node| {
        let formed = formed_of(&mint(), NodeId(node));
        bytes_of(&initial_configuration(&formed).expect("addresses"))
    };
    assert_eq!(bytes(1), bytes(2));
    assert_eq!(bytes(1), bytes(3));
    let members = initial_configuration(&formed()).expect("addresses");
    let context = MemberContext::decode(members.members()[&NodeId(3)].context.clone());
    assert_eq!(context.expect("ours").peer, "10.0.0.3:7001");
}

fn context(client: Option<&'static str>, http: Option<&'static str>) -> MemberContext {
    let [client, http] = [client, http].map(|address| address.map(ByteString::from_static));
    MemberContext { peer: ByteString::from_static("a:1"), client, http, feature_level: 0x0203 }
}

#[test]
fn the_bytes_of_a_members_context_are_what_was_promised_and_are_read_again() {
    for (context, bytes) in [
        (context(None, None), "01 0302 0300613a31 0000 0000"),
        (context(Some("b"), None), "01 0302 0300613a31 010062 0000"),
        (context(None, Some("cc")), "01 0302 0300613a31 0000 02006363"),
    ] {
        let encoded = context.encode().expect("short");
        assert_eq!(hex(&encoded), bytes.replace(' ', ""));
        assert_eq!(MemberContext::decode(encoded), Ok(context));
    }
}

#[test]
fn a_members_context_that_is_none_is_refused() {
    let whole = context(Some("b"), Some("cc")).encode().expect("short");
    for length in 0..whole.len() {
        assert_eq!(MemberContext::decode(whole.slice(..length)), Err(BadContext::Length));
    }
    let longer = [&whole[..], &[0]].concat();
    assert_eq!(MemberContext::decode(longer.into()), Err(BadContext::Length));
    let changed = |at: usize, value: u8| {
        let mut bytes = whole.to_vec();
        bytes[at] = value;
        MemberContext::decode(bytes.into())
    };
    assert_eq!(changed(0, 2), Err(BadContext::Later(2)));
    assert_eq!(changed(5, 0xff), Err(BadContext::NoText));
    assert_eq!(MemberContext::decode(vec![0; 1025].into()), Err(BadContext::TooLong(1025)));
    let empty = MemberContext { peer: ByteString::new(), ..context(None, None) };
    assert_eq!(empty.encode(), Err(BadContext::Empty));
    assert_eq!(context(Some(""), None).encode(), Err(BadContext::Empty));
    let long = |length: usize| MemberContext { peer: "x".repeat(length).into(), ..context(None, None) };
    assert_eq!(long(1015).encode().map(|bytes| bytes.len()), Ok(1024));
    assert_eq!(long(1016).encode(), Err(BadContext::TooLong(1025)));
}

fn entry(term: u64, payload: Payload) -> Entry {
    Entry { term: Term(term), payload }
}

#[test]
fn a_persist_becomes_the_operations_that_it_names_with_term_and_vote_first() {
    let persist = Persist {
        id: PersistId(1),
        hard_state: Some(HardState { term: Term(4), vote: Some(NodeId(3)) }),
        log: vec![
            LogOp::Append {
                first: Index(7),
                entries: vec![entry(3, data(b"\x01a")), entry(4, Payload::Empty)],
            },
            LogOp::Fill { index: Index(5), entry: entry(2, data(b"\x01b")) },
            LogOp::Confirm { index: Index(6), term: Term(3) },
            LogOp::Heal { whole: Index(8) },
            LogOp::Reset { last: EntryId::new(4, 20) },
            LogOp::Trim { through: Index(20) },
        ],
    };
    let (group, body) = (GROUP, Bytes::from_static);
    let expected = [
        Op::HardState { group, term: 4, vote: 3 },
        Op::Entry { group, index: 7, term: 3, body: body(b"\x01a") },
        Op::Entry { group, index: 8, term: 4, body: body(b"") },
        Op::Fill { group, index: 5, term: 2, body: body(b"\x01b") },
        Op::Confirm { group, first: 6, last: 6, term: 3 },
        Op::Heal { whole: vec![(group, 8)] },
        Op::Reset { group, index: 20, term: 4 },
        Op::Trim { group, first: 21 },
    ];
    assert_eq!(to_ops(persist).expect("envelopes"), expected);
}

#[test]
fn nobody_voted_for_is_written_as_zero_and_a_command_without_envelope_not_at_all() {
    let hard_state = Some(HardState { term: Term(4), vote: None });
    let persist = |log| Persist { id: PersistId(1), hard_state, log };
    assert_eq!(to_ops(persist(Vec::new())), Ok(vec![Op::HardState { group: GROUP, term: 4, vote: 0 }]));
    let bad = vec![LogOp::Append { first: Index(1), entries: vec![entry(4, data(b"\x80"))] }];
    assert_eq!(to_ops(persist(bad)), Err(PayloadError::NoEnvelope(Some(0x80))));
    let Recovered { entries, .. } = Recovered::formed(joint());
    let good = vec![LogOp::Append { first: Index(1), entries }];
    assert_eq!(to_ops(persist(good)).expect("a configuration").len(), 2);
}
