//! The messages of consensus and of formation, to the wire and back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use holdfast_raft::formation::{Body, FormationMessage, IdentityState, Life, MemberList, Mint};
use holdfast_raft::{
    Boot, ClusterEpoch, ClusterId, Configuration, Entry, EntryId, Envelope, Index, Member, Message, NodeId,
    NodeUuid, Payload, Round, SnapshotMeta, Stretch, Term,
};
use holdfast_server::storage::PayloadError;
use holdfast_server::translate::{
    TranslateError, formation_from_wire, formation_to_wire, from_wire, to_wire,
};
use holdfast_wire::message::{Echo, FormationAnswer, FormationAsk, Lane};
use holdfast_wire::{self as wire, FrameCodec};

fn envelope(message: Message) -> Envelope {
    Envelope {
        cluster: ClusterId([0xc1; 16]),
        epoch: ClusterEpoch(2),
        from: NodeId(3),
        from_boot: Boot(4),
        to: NodeId(5),
        to_boot: Some(Boot(6)),
        term: Term(7),
        message,
    }
}

fn configuration() -> Arc<Configuration> {
    let member = |uuid| Member { uuid: NodeUuid([uuid; 16]), promote: uuid == 2, context: "there".into() };
    let members = BTreeMap::from([(NodeId(1), member(1)), (NodeId(2), member(2))]);
    let removed = BTreeSet::from([NodeId(8)]);
    Configuration::from_parts(vec![NodeId(1)], Vec::new(), members, removed).expect("a configuration").into()
}

fn entries() -> Vec<Entry> {
    let command = Payload::Data(Bytes::from_static(b"\x01 command"));
    let payloads = [Payload::Empty, command, Payload::Configuration(configuration())];
    (3..).map(Term).zip(payloads).map(|(term, payload)| Entry { term, payload }).collect()
}

/// One of each, no two fields alike. The match makes sure that none is forgotten.
fn messages() -> Vec<Message> {
    let (last, hint) = (EntryId::new(11, 12), EntryId::new(9, 10));
    let (stretch, round) = (Stretch(13), Round(14));
    let meta = SnapshotMeta { last, configuration: (Index(15), configuration()), bytes: 1000 };
    let data = Bytes::from_static(b"piece");
    let all = vec![
        Message::PreVote { last },
        Message::PreVoteReply { asked: Term(8), granted: true },
        Message::Vote { last, transfer: true },
        Message::VoteReply { granted: true },
        Message::Append { prev: last, entries: entries(), commit: Index(16), established: true, stretch },
        Message::Append { prev: last, entries: vec![], commit: Index(16), established: false, stretch },
        Message::AppendAck { matched: Index(17), stretch, counting: true },
        Message::AppendReject { prev: last, hint, stretch },
        Message::Heartbeat { round, commit: Index(16), established: true },
        Message::HeartbeatAck { round, counting: false },
        Message::ReadIndex { batch: 18 },
        Message::ReadIndexReply { batch: 18, index: Some(Index(19)) },
        Message::ReadIndexReply { batch: 18, index: None },
        Message::TimeoutNow { last },
        Message::SnapshotChunk { meta, offset: 20, data },
        Message::SnapshotAck { last, offset: 20 },
        Message::SnapshotReject { last },
        Message::Notice,
    ];
    let names: BTreeSet<&str> = all.iter().map(Message::name).collect();
    assert_eq!(names.len(), 16, "one of each kind");
    all
}

/// As the other side has it.
fn over_the_wire(message: &wire::Message) -> wire::Message {
    let mut bytes = BytesMut::new();
    message.encode(message.header(), &mut bytes).expect("it fits");
    let frame = FrameCodec::open().next(&mut bytes).expect("a frame").expect("a whole one");
    wire::Message::decode(&frame, &mut 0).expect("a body")
}

#[test]
fn every_message_of_consensus_comes_back_from_the_wire_as_it_was() {
    for message in messages() {
        for to_boot in [None, Some(Boot(6))] {
            let envelope = Envelope { to_boot, ..envelope(message.clone()) };
            let (_, sent) = to_wire(&envelope).expect("nothing is zero");
            assert_eq!(from_wire(over_the_wire(&sent)), Ok(Some(envelope)));
        }
    }
}

#[test]
fn a_message_travels_under_its_own_name() {
    for message in messages() {
        let (_, sent) = to_wire(&envelope(message.clone())).expect("nothing is zero");
        assert_eq!(format!("{:?}", sent.message_type()), message.name());
    }
}

#[test]
fn only_what_may_be_large_travels_in_bulk() {
    for message in messages() {
        let (lane, _) = to_wire(&envelope(message.clone())).expect("nothing is zero");
        let large = matches!(message, Message::Append { .. } | Message::SnapshotChunk { .. });
        assert_eq!(lane == Lane::Bulk, large, "{}", message.name());
    }
}

#[test]
fn commands_and_pieces_of_snapshots_are_shared_and_never_copied() {
    let command = Bytes::from(vec![1; 1000]);
    let entries = vec![Entry { term: Term(3), payload: Payload::Data(command.clone()) }];
    let append = Message::Append {
        prev: EntryId::ZERO,
        entries,
        commit: Index(0),
        established: false,
        stretch: Stretch(1),
    };
    let (_, sent) = to_wire(&envelope(append)).expect("nothing is zero");
    let wire::Message::Append(body) = &sent else { panic!("an append") };
    assert_eq!(body.entries[0].as_ptr(), command.as_ptr());
    let Ok(Some(Envelope { message: Message::Append { entries, .. }, .. })) = from_wire(sent) else {
        panic!("an append")
    };
    let Payload::Data(again) = &entries[0].payload else { panic!("a command") };
    assert_eq!(again.as_ptr(), command.as_ptr());
}

#[test]
fn what_is_not_of_consensus_or_of_a_formation_is_left_to_others() {
    let ping = wire::Message::Ping(Echo::default());
    assert_eq!(from_wire(ping.clone()), Ok(None));
    assert_eq!(formation_from_wire(ping), Ok(None));
    let (_, notice) = to_wire(&envelope(Message::Notice)).expect("nothing is zero");
    assert_eq!(formation_from_wire(notice), Ok(None));
    let ask = formation_to_wire(&name(), &said(Body::Ask)).expect("nothing is zero");
    assert_eq!(from_wire(ask), Ok(None));
}

#[test]
fn a_zero_that_the_wire_cannot_say_is_a_mistake_of_this_side() {
    let good = envelope(Message::Notice);
    for bad in [
        Envelope { epoch: ClusterEpoch(0), ..good.clone() },
        Envelope { from: NodeId(0), ..good.clone() },
        Envelope { from_boot: Boot(0), ..good.clone() },
        Envelope { to: NodeId(0), ..good.clone() },
        Envelope { to_boot: Some(Boot(0)), ..good },
    ] {
        assert!(matches!(to_wire(&bad), Err(TranslateError::Zero(_))), "{bad:?}");
    }
    let bare = vec![Entry { term: Term(1), payload: Payload::Data("\0".into()) }];
    let append = Message::Append {
        prev: EntryId::ZERO,
        entries: bare,
        commit: Index(0),
        established: false,
        stretch: Stretch(1),
    };
    let why = PayloadError::NoEnvelope(Some(0));
    assert_eq!(to_wire(&envelope(append)), Err(TranslateError::Entry { at: 0, why }));
}

#[test]
fn an_append_or_a_snapshot_with_what_is_no_entry_is_refused() {
    let sent = |index: usize| to_wire(&envelope(messages().swap_remove(index))).expect("nothing is zero").1;
    let wire::Message::Append(append) = sent(4) else { panic!("an append") };
    let mut unknown = append.clone();
    unknown.entries[1] = Bytes::from_static(b"\xee");
    let why = PayloadError::Unknown(0xee);
    assert_eq!(from_wire(unknown.into()), Err(TranslateError::Entry { at: 1, why }));
    let mut short = append;
    short.terms.pop();
    assert!(matches!(from_wire(short.into()), Err(TranslateError::Lengths { one: 2, other: 3, .. })));

    let position =
        messages().iter().position(|message| message.name() == "SnapshotChunk").expect("one of each");
    let wire::Message::SnapshotChunk(chunk) = sent(position) else { panic!("a chunk") };
    for (bytes, error) in [
        (&b""[..], TranslateError::NoConfiguration),
        (b"\x01", TranslateError::NoConfiguration),
        (b"\x80", TranslateError::Configuration(PayloadError::Cut)),
    ] {
        let bad = wire::message::SnapshotChunk { configuration: Bytes::from_static(bytes), ..chunk.clone() };
        assert_eq!(from_wire(bad.into()), Err(error));
    }
}

fn name() -> ByteString {
    ByteString::from_static("prod")
}

fn mint() -> Mint {
    let member = |id: u64| (NodeId(id), Bytes::from(format!("10.0.0.{id}:7001")));
    let list = MemberList::new([1, 3, 7].map(member)).expect("a list");
    Mint::new(ClusterId([0xc1; 16]), list, [1, 3, 7].map(|id| NodeUuid([id; 16]))).expect("names")
}

fn said(body: Body) -> FormationMessage {
    let list = mint().list().clone();
    FormationMessage { from: NodeId(3), life: Life(0x0102 << 100), to: NodeId(7), list, body }
}

fn bodies() -> Vec<Body> {
    let to_life = Life(u128::MAX - 1);
    let answer = |identity| Body::Answer { to_life, identity };
    vec![
        Body::Ask,
        answer(IdentityState::Blank),
        answer(IdentityState::Minted(mint())),
        answer(IdentityState::Prepared(mint())),
        answer(IdentityState::Formed(mint())),
        Body::Prepare { to_life, mint: mint() },
    ]
}

#[test]
fn every_message_of_a_formation_comes_back_from_the_wire_as_it_was() {
    for body in bodies() {
        let message = said(body);
        let sent = formation_to_wire(&name(), &message).expect("nothing is zero");
        assert_eq!(formation_from_wire(over_the_wire(&sent)), Ok(Some((name(), message))));
    }
}

#[test]
fn a_list_of_members_that_breaks_a_rule_is_refused() {
    let ask = |ids: &[u64], addresses: &[&'static str]| {
        let wire::Message::FormationAsk(ask) =
            formation_to_wire(&name(), &said(Body::Ask)).expect("nothing is zero")
        else {
            panic!("an ask")
        };
        let addresses = addresses.iter().map(|address| Bytes::from_static(address.as_bytes())).collect();
        formation_from_wire(FormationAsk { ids: ids.to_vec(), addresses, ..ask }.into())
    };
    assert!(ask(&[1, 2], &["a", "b"]).is_ok());
    assert!(matches!(ask(&[1, 2], &["a"]), Err(TranslateError::Lengths { one: 2, other: 1, .. })));
    assert_eq!(ask(&[2, 1], &["a", "b"]), Err(TranslateError::Unsorted));
    for (ids, addresses) in [
        (&[][..], &[][..]),
        (&[0], &["a"]),
        (&[1, 1], &["a", "b"]),
        (&[1, 2], &["a", "a"]),
        (&[1, 2], &["a", ""]),
        (&[u64::MAX], &["a"]),
    ] {
        assert!(matches!(ask(ids, addresses), Err(TranslateError::List(_))), "{ids:?} {addresses:?}");
    }
}

#[test]
fn an_answer_whose_state_does_not_go_with_its_names_is_refused() {
    let answers: Vec<FormationAnswer> = bodies()
        .into_iter()
        .filter_map(|body| match formation_to_wire(&name(), &said(body)).expect("nothing is zero") {
            wire::Message::FormationAnswer(answer) => Some(answer),
            _ => None,
        })
        .collect();
    let (blank, formed) = (&answers[0], &answers[3]);
    let refused =
        |answer: FormationAnswer| formation_from_wire(answer.into()).expect_err("no build says this");
    for state in [0, 4, 255] {
        let error = refused(FormationAnswer { state, ..formed.clone() });
        assert!(matches!(error, TranslateError::State { state: given, .. } if given == state));
    }
    for state in 1..=4 {
        assert!(matches!(refused(FormationAnswer { state, ..blank.clone() }), TranslateError::State { .. }));
    }
    let uuids = formed.uuids.clone();
    assert!(matches!(refused(FormationAnswer { uuids, ..blank.clone() }), TranslateError::State { .. }));
    let cluster = formed.cluster;
    assert!(matches!(refused(FormationAnswer { cluster, ..blank.clone() }), TranslateError::State { .. }));
    let few = formed.uuids[1..].to_vec();
    assert!(matches!(refused(FormationAnswer { uuids: few, ..formed.clone() }), TranslateError::List(_)));
    let same = vec![formed.uuids[0]; 3];
    assert!(matches!(refused(FormationAnswer { uuids: same, ..formed.clone() }), TranslateError::List(_)));
}
