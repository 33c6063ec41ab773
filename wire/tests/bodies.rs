//! Bodies: metadata, sections, extensions, and the name of everything that is wrong with one.

mod common;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use common::{encoded, families, reseal, samples};
use holdfast_machine::Numbered;
use holdfast_wire::body::{self, MAX_DEPTH, Parts};
use holdfast_wire::message::{
    Append, Examined, Figure, FormationAnswer, Introduce, MemberStatus, Read, Refused, StatsReply,
    StatusReply, VoteReply,
};
use holdfast_wire::message_type::{BODY_CAP, CONTROL_CAP, GREETING_CAP};
use holdfast_wire::{FrameCodec, Header, Message, MessageType, NodeUuid, Section, WireError};

/// The body of a frame begins here, and offsets in errors count from the start of the frame.
const BASE: u64 = 24;

/// A body with metadata of three bytes, these sections, and these raw bytes behind them.
fn body_with(sections: &[&[u8]], tail: &[u8]) -> BytesMut {
    let sections: Vec<Section<'_>> = sections.iter().map(|bytes| Section::Copy(bytes)).collect();
    let mut body = BytesMut::from(&body::to_bytes(&(7_u8, 0x0909_u16), &sections, &[]).unwrap()[..]);
    body.extend_from_slice(tail);
    body
}

fn outline_error(body: BytesMut) -> WireError {
    Parts::parse(body.freeze()).expect_err("a broken outline")
}

/// Decodes a whole message whose body is `body`; the type is that of a Ping.
fn ping_with(body: &[u8], skipped: &mut u64) -> Result<Message, WireError> {
    message_with(&common::ping(0), body, skipped)
}

/// Decodes a whole message whose body is `body`; the type is that of `like`.
fn message_with(like: &Message, body: &[u8], skipped: &mut u64) -> Result<Message, WireError> {
    let mut frame = encoded(like.header(), like);
    frame.truncate(24);
    frame.extend_from_slice(body);
    let length = (frame.len() as u32 - 4).to_le_bytes();
    frame[..4].copy_from_slice(&length);
    reseal(&mut frame);
    let frame = FrameCodec::open().next(&mut frame).unwrap().expect("a whole frame");
    Message::decode(&frame, skipped)
}

#[test]
fn a_body_gives_back_metadata_sections_and_extensions() {
    let extensions: [(u16, &[u8]); 3] = [(2, b""), (3, b"odd"), (u16::MAX, b"last")];
    let sections = [Section::Copy(b"key"), Section::Share(&Bytes::from_static(b"value")), Section::Copy(b"")];
    let body = body::to_bytes(&(1_u8, Some(2_u64)), &sections, &extensions).unwrap();
    let parts = Parts::parse(body).unwrap();
    assert_eq!(parts.metadata::<(u8, Option<u64>)>(), Ok((1, Some(2))));
    let mut taken = parts.sections();
    assert_eq!(taken.bytes().unwrap(), "key");
    assert_eq!(taken.text(5).unwrap(), "value");
    assert_eq!(taken.left(), 1);
    assert_eq!(taken.bytes().unwrap(), "");
    let mut seen = vec![];
    let skipped = taken.finish(|tag, value| {
        seen.push((tag, value));
        Ok(true)
    });
    assert_eq!(skipped, Ok(0));
    assert_eq!(seen, [(2, "".into()), (3, "odd".into()), (u16::MAX, "last".into())]);
}

#[test]
fn a_body_cut_anywhere_says_which_piece_is_cut_off() {
    let whole = body_with(&[b"0123456789", b"abc"], b"");
    // Counts at 0, lengths at 4, metadata at 12, sections at 15 and 25.
    for have in 0..whole.len() {
        let (start, need) = match have {
            0..4 => (0, 4),
            4..12 => (4, 8),
            12..15 => (12, 3),
            15..25 => (15, 10),
            _ => (25, 3),
        };
        let error = outline_error(BytesMut::from(&whole[..have]));
        let wanted = WireError::Truncated { offset: BASE + start, need, have: have as u64 - start };
        assert_eq!(error, wanted, "{have} bytes");
    }
}

#[test]
fn lengths_that_add_up_beyond_any_integer_are_cut_off_too() {
    let mut body = BytesMut::from(&[0, 0, 3, 0][..]);
    body.extend_from_slice(&[0xff; 12]);
    let error = outline_error(body);
    assert_eq!(error, WireError::Truncated { offset: BASE + 16, need: u32::MAX.into(), have: 0 });
}

#[test]
fn metadata_over_its_cap_is_refused_before_it_is_looked_at() {
    let mut body = BytesMut::zeroed(4 + 1025);
    body[..2].copy_from_slice(&1025_u16.to_le_bytes());
    assert_eq!(
        outline_error(body.clone()),
        WireError::MetadataOverCap { offset: BASE, length: 1025, limit: 1024 }
    );
    body[..2].copy_from_slice(&1024_u16.to_le_bytes());
    assert!(Parts::parse(body.freeze()).is_ok(), "at the cap");
    let too_much = [[0_u128; 13]; 5];
    assert_eq!(
        body::to_bytes(&too_much, &[], &[]),
        Err(WireError::Unencodable { what: "bytes of metadata", count: 1040, limit: 1024 })
    );
}

#[test]
fn metadata_that_ends_early_late_or_in_nonsense_are_three_errors() {
    let parts = Parts::parse(body_with(&[], b"").freeze()).unwrap();
    assert_eq!(parts.metadata::<u32>(), Err(WireError::Truncated { offset: BASE + 4, need: 4, have: 3 }));
    assert_eq!(parts.metadata::<u8>(), Err(WireError::TrailingMetadata { offset: BASE + 5, extra: 2 }));
    assert_eq!(
        parts.metadata::<Option<u16>>(),
        Err(WireError::Metadata { offset: BASE + 5, why: "7 is neither 0 (absent) nor 1 (present)".into() })
    );
}

#[test]
fn a_zero_where_numbers_count_from_one_is_refused() {
    let (_, header, message) = samples().into_iter().find(|(name, ..)| name.contains("L1")).unwrap();
    let mut frame = encoded(header, &message);
    // Counts, two lengths, the cluster (1 + 16 + 8 bytes), then the node id.
    let node_id = 24 + 4 + 8 + 25;
    assert_eq!(frame[node_id], 2);
    frame[node_id] = 0;
    reseal(&mut frame);
    let frame = FrameCodec::open().next(&mut frame).unwrap().unwrap();
    let Err(WireError::Metadata { offset, why }) = Message::decode(&frame, &mut 0) else {
        panic!("node 0 is nobody");
    };
    assert_eq!(offset, node_id as u64 + 8);
    assert!(why.contains("nonzero"), "{why}");
}

#[test]
fn a_missing_section_is_named_by_its_index() {
    assert_eq!(
        ping_with(&body::to_bytes(&(), &[], &[]).unwrap(), &mut 0),
        Err(WireError::MissingSection { offset: BASE + 2, index: 0 })
    );
}

#[test]
fn a_section_too_many_is_refused_where_it_begins() {
    let body = body::to_bytes(&(), &[Section::Copy(b"ab"), Section::Copy(b""), Section::Copy(b"c")], &[]);
    assert_eq!(
        ping_with(&body.unwrap(), &mut 0),
        Err(WireError::ExtraSections { offset: BASE + 4 + 12 + 2, extra: 2 })
    );
}

#[test]
fn text_that_is_not_utf8_is_refused_at_its_first_bad_byte() {
    let parts = Parts::parse(body_with(&[b"ab\xff\xfe"], b"").freeze()).unwrap();
    assert_eq!(parts.sections().text(4), Err(WireError::NotText { offset: BASE + 4 + 4 + 3 + 2 }));
}

#[test]
fn text_over_its_limit_is_refused_on_both_sides() {
    let text = ByteString::from("12345");
    assert!(Section::text(&text, 5).is_ok());
    let unencodable = WireError::Unencodable { what: "bytes of text", count: 5, limit: 4 };
    assert_eq!(Section::text(&text, 4).unwrap_err(), unencodable);
    let parts = Parts::parse(body_with(&[b"12345"], b"").freeze()).unwrap();
    assert_eq!(parts.sections().text(5).unwrap(), "12345");
    let over = WireError::TextOverCap { offset: BASE + 4 + 4 + 3, length: 5, limit: 4 };
    assert_eq!(parts.sections().text(4), Err(over));
}

#[test]
fn trailing_bytes_that_are_no_extension_are_refused() {
    let sound = body::to_bytes(&(), &[Section::Copy(b"x")], &[]).unwrap();
    let end = BASE + sound.len() as u64;
    for tail in [&b"\x01"[..], b"\x01\0\0\0\0", b"\x01\0\x02\0\0\0v", b"\x01\0\xff\xff\xff\xff"] {
        assert_eq!(
            ping_with(&[&sound, tail].concat(), &mut 0),
            Err(WireError::TrailingBytes { offset: end, count: tail.len() as u64 }),
            "{tail:?}"
        );
    }
}

#[test]
fn unknown_odd_extensions_are_skipped_and_counted() {
    let mut skipped = 5;
    let body =
        body::to_bytes(&(), &[Section::Copy(b"x")], &[(1, b"a"), (9, b""), (u16::MAX, b"zz")]).unwrap();
    let Ok(Message::Ping(echo)) = ping_with(&body, &mut skipped) else { panic!("a Ping") };
    assert_eq!((&echo.payload[..], skipped), (&b"x"[..], 8));
}

#[test]
fn an_unknown_even_extension_ends_the_connection() {
    let body = body::to_bytes(&(), &[Section::Copy(b"x")], &[(1, b"abc"), (4, b"")]).unwrap();
    let offset = BASE + 4 + 4 + 1 + 6 + 3;
    assert_eq!(ping_with(&body, &mut 0), Err(WireError::UnknownExtension { offset, tag: 4 }));
}

#[test]
fn extensions_out_of_order_or_twice_are_refused_on_both_sides() {
    for (first, second) in [(5_u16, 3_u16), (3, 3)] {
        let order = |offset| WireError::ExtensionOrder { offset, tag: second, before: first };
        assert_eq!(body::to_bytes(&(), &[], &[(first, b""), (second, b"")]), Err(order(6)));
        let mut body =
            BytesMut::from(&body::to_bytes(&(), &[Section::Copy(b"")], &[(first, b"")]).unwrap()[..]);
        body.extend_from_slice(&second.to_le_bytes());
        body.extend_from_slice(&[0; 4]);
        assert_eq!(ping_with(&body, &mut 0), Err(order(BASE + 8 + 6)));
    }
}

#[test]
fn more_sections_than_their_count_can_say_cannot_be_encoded() {
    let sections = vec![Section::Copy(b""); 65_536];
    assert_eq!(
        body::to_bytes(&(), &sections, &[]),
        Err(WireError::Unencodable { what: "sections", count: 65_536, limit: 65_535 })
    );
    assert!(body::to_bytes(&(), &sections[1..], &[]).is_ok(), "at the limit");
}

#[test]
fn bodies_nest_to_the_limit_and_not_one_deeper() {
    let mut body = body::to_bytes(&42_u8, &[], &[]).unwrap();
    for _ in 0..=MAX_DEPTH {
        body = body::to_bytes(&(), &[Section::Share(&body)], &[]).unwrap();
    }
    let mut parts = Parts::parse(body).unwrap();
    for _ in 0..MAX_DEPTH {
        parts = parts.sections().nested().unwrap();
    }
    // Each level adds counts and one length before the body inside.
    let offset = BASE + u64::from(MAX_DEPTH + 1) * 8;
    assert_eq!(parts.sections().nested().unwrap_err(), WireError::TooDeep { offset, limit: MAX_DEPTH });
}

#[test]
fn offsets_in_a_nested_body_count_from_the_frame_too() {
    let inner = body::to_bytes(&(), &[Section::Copy(b"\xff")], &[]).unwrap();
    let outer = body::to_bytes(&0_u8, &[Section::Copy(b"pad"), Section::Share(&inner)], &[]).unwrap();
    let parts = Parts::parse(outer).unwrap();
    let mut sections = parts.sections();
    sections.bytes().unwrap();
    let nested = sections.nested().unwrap();
    let offset = BASE + 4 + 8 + 1 + 3 + 4 + 4;
    assert_eq!(nested.sections().text(4), Err(WireError::NotText { offset }));
}

/// The body of a message, and its metadata and sections apart.
fn apart(message: &Message) -> (Vec<u8>, Vec<u8>, Vec<Bytes>) {
    let body = Bytes::copy_from_slice(&encoded(message.header(), message)[24..]);
    let (metadata, count) = (body[0] as usize, usize::from(body[2]));
    assert!(body[1] == 0 && body[3] == 0, "samples are small");
    let parts = Parts::parse(body.clone()).unwrap();
    let mut sections = parts.sections();
    let sections = (0..count).map(|_| sections.bytes().unwrap()).collect();
    (body.to_vec(), body[4 + 4 * count..][..metadata].to_vec(), sections)
}

/// The message with other sections around its metadata.
fn with_sections(like: &Message, sections: &[Bytes]) -> Result<Message, WireError> {
    let (_, metadata, _) = apart(like);
    let mut body = (metadata.len() as u16).to_le_bytes().to_vec();
    body.extend_from_slice(&(sections.len() as u16).to_le_bytes());
    body.extend(sections.iter().flat_map(|section| (section.len() as u32).to_le_bytes()));
    body.extend_from_slice(&metadata);
    body.extend(sections.concat());
    message_with(like, &body, &mut 0)
}

/// That this is what says that parts do not fit each other, in these words.
fn contradiction(message: Result<Message, WireError>, wanted: &str) {
    match message {
        Err(WireError::Metadata { why, .. }) => assert_eq!(why, wanted),
        other => panic!("{wanted}: {other:?}"),
    }
}

#[test]
fn an_append_whose_terms_are_not_as_many_as_its_entries_is_refused_on_both_sides() {
    let append = families::append();
    let like = Message::from(append.clone());
    let (_, _, sections) = apart(&like);
    assert_eq!(with_sections(&like, &sections), Ok(like.clone()), "as it is");
    contradiction(with_sections(&like, &sections[..3]), "24 bytes of terms for 2 entries");
    let one_more = [&sections[..], &[Bytes::new()]].concat();
    contradiction(with_sections(&like, &one_more), "24 bytes of terms for 4 entries");
    let mut cut = sections.clone();
    cut[0] = sections[0].slice(..23);
    contradiction(with_sections(&like, &cut), "23 bytes of terms for 3 entries");
    contradiction(with_sections(&like, &[Bytes::from_static(&[1])]), "1 bytes of terms for 0 entries");
    let without_terms = with_sections(&like, &[]);
    assert!(matches!(without_terms, Err(WireError::MissingSection { index: 0, .. })), "{without_terms:?}");

    let one_term_less = Message::from(Append { terms: append.terms[..2].to_vec(), ..append });
    let unencodable = WireError::Unencodable { what: "terms or entries", count: 3, limit: 2 };
    assert_eq!(one_term_less.encode(one_term_less.header(), &mut BytesMut::new()), Err(unencodable));
}

#[test]
fn what_a_node_says_of_itself_is_taken_apart_again_and_whatever_is_no_list_is_refused() {
    let examined = families::examined();
    let figures: Vec<_> = examined.figures().collect();
    assert_eq!(figures, [(Figure::ElectionMs, 0, 300), (Figure::RoundTripP99Us, 2, 1_250)]);
    let words: Vec<_> = examined.words().collect();
    assert_eq!(words, [(Figure::FileSystem, "ext4".to_owned()), (Figure::MountOptions, String::new())]);
    let long = "é".repeat(600);
    let cut = Examined::new(examined.node, [], [(Figure::MountPoint, &*long)]);
    assert_eq!(cut.words().map(|(_, word)| word.len()).collect::<Vec<_>>(), [1_024]);

    let like = Message::from(examined);
    let (_, _, sections) = apart(&like);
    for (at, what) in [(0, "figures"), (1, "words")] {
        let mut odd = sections.clone();
        let short = odd[at].len() - 1;
        odd[at].truncate(short);
        contradiction(with_sections(&like, &odd), &format!("{short} bytes are no list of {what}"));
    }
    let mut later = sections;
    later[0] = [&[0xff; 18][..], &later[0]].concat().into();
    later[1] = [&[0xff, 0xff, 1, 0, b'x'][..], &later[1]].concat().into();
    let Ok(Message::Examined(later)) = with_sections(&like, &later) else { panic!("it is whole") };
    assert_eq!((later.figures().count(), later.words().count()), (2, 2), "a later build's are passed over");
}

#[test]
fn ids_and_uuids_of_odd_lengths_are_refused() {
    let like = Message::from(families::formation_answer());
    let (_, _, sections) = apart(&like);
    for (at, width) in [(1, 8), (2, 16)] {
        for length in [1, width - 1, width + 1, 2 * width - 1] {
            let mut odd = sections.clone();
            odd[at] = vec![0; length].into();
            contradiction(with_sections(&like, &odd), &format!("{length} bytes are no list of {width} each"));
        }
    }
}

#[test]
fn lists_of_more_members_than_a_cluster_can_have_are_refused_on_both_sides() {
    let answer = families::formation_answer();
    let like = Message::from(answer.clone());
    let (_, _, sections) = apart(&like);
    for (at, width) in [(1, 8), (2, 16)] {
        let mut many = sections.clone();
        many[at] = vec![0; 64 * width].into();
        assert!(with_sections(&like, &many).is_ok(), "at the limit");
        many[at] = vec![0; 65 * width].into();
        contradiction(with_sections(&like, &many), "a list of 65, where 64 are allowed");
    }
    let many = [&sections[..3], &vec![Bytes::new(); 65]].concat();
    assert!(with_sections(&like, &many[..67]).is_ok(), "at the limit");
    contradiction(with_sections(&like, &many), "65 sections repeat, where 64 may");

    let members =
        |count| StatusReply { members: vec![families::member(1); count], ..families::status_reply() };
    let stages = |count| StatsReply { stages: vec![Bytes::new(); count], ..families::stats_reply() };
    let mut out = BytesMut::new();
    for message in [Message::from(members(64)), stages(64).into()] {
        assert_eq!(message.encode(message.header(), &mut out), Ok(()), "at the limit");
    }
    for (what, message) in [
        ("members", Message::from(members(65))),
        ("stages", stages(65).into()),
        ("ids", FormationAnswer { ids: vec![1; 65], ..answer.clone() }.into()),
        ("uuids", FormationAnswer { uuids: vec![NodeUuid([1; 16]); 65], ..answer.clone() }.into()),
        ("addresses", FormationAnswer { addresses: vec![Bytes::new(); 65], ..answer.clone() }.into()),
    ] {
        let unencodable = WireError::Unencodable { what, count: 65, limit: 64 };
        assert_eq!(message.encode(message.header(), &mut out), Err(unencodable));
    }
}

#[test]
fn a_flag_in_metadata_that_is_neither_false_nor_true_is_refused() {
    let vote = Message::from(VoteReply { peer: families::peer(), granted: true });
    let (body, ..) = apart(&vote);
    let last = body.len() - 1;
    for (value, granted) in [(0, Some(false)), (1, Some(true)), (2, None), (255, None)] {
        let mut body = body.clone();
        body[last] = value;
        let message = message_with(&vote, &body, &mut 0);
        match granted {
            Some(granted) => {
                assert_eq!(message, Ok(VoteReply { peer: families::peer(), granted }.into()));
            }
            None => contradiction(message, &format!("{value} is neither 0 (false) nor 1 (true)")),
        }
    }
}

#[test]
fn numbers_of_later_builds_reach_who_refuses_them_by_name() {
    for message in [
        Message::from(Read { consistency: 200, ..families::read() }),
        Refused { code: 65_535, effect: 9, ..families::refused() }.into(),
        StatusReply { life: 99, role: 98, leadership: 97, ..families::status_reply() }.into(),
        FormationAnswer { state: 77, ..families::formation_answer() }.into(),
    ] {
        let (body, ..) = apart(&message);
        assert_eq!(message_with(&message, &body, &mut 0), Ok(message));
    }
}

#[test]
fn an_unknown_extension_of_a_member_is_counted_or_ends_the_connection_like_any_other() {
    let status = Message::from(families::status_reply());
    let (_, _, sections) = apart(&status);
    for (tag, wanted) in [(3_u8, Ok(2)), (4, Err(()))] {
        let mut extended = sections.clone();
        for member in &mut extended[1..3] {
            *member = [&member[..], &[tag, 0, 1, 0, 0, 0, 0xee]].concat().into();
        }
        let (_, metadata, _) = apart(&status);
        let mut body = (metadata.len() as u16).to_le_bytes().to_vec();
        body.extend_from_slice(&(extended.len() as u16).to_le_bytes());
        body.extend(extended.iter().flat_map(|section| (section.len() as u32).to_le_bytes()));
        body.extend_from_slice(&metadata);
        body.extend(extended.concat());
        let mut skipped = 0;
        match message_with(&status, &body, &mut skipped) {
            Ok(message) => assert_eq!((Ok(skipped), message), (wanted, status.clone())),
            Err(WireError::UnknownExtension { tag: 4, .. }) => assert_eq!(wanted, Err(())),
            Err(other) => panic!("{other}"),
        }
    }
}

/// What the control lane carries has a cap so short that it never delays a heartbeat; only entries and snapshots may be
/// long, and formation is bounded like a greeting.
#[test]
fn a_message_of_consensus_is_short_unless_it_carries_entries_or_a_snapshot() {
    for kind in MessageType::ALL {
        let wanted = match kind.number() {
            201..=299 if matches!(kind, MessageType::Append | MessageType::SnapshotChunk) => BODY_CAP,
            201..=299 => CONTROL_CAP,
            301..=399 => GREETING_CAP,
            _ => continue,
        };
        assert_eq!(kind.spec().body_cap, wanted, "{kind}");
        let mut frame = encoded(Header::of(MessageType::Ping), &common::ping(0));
        frame[..4].copy_from_slice(&(21 + wanted).to_le_bytes());
        frame[8..10].copy_from_slice(&kind.number().to_le_bytes());
        let refused = FrameCodec::open().next(&mut frame).unwrap_err();
        assert!(matches!(refused, WireError::OverCap { .. }), "{kind}: {refused}");
    }
}

#[test]
fn the_longest_introduction_fits_the_control_lane_and_the_longest_status_its_cap() {
    let text = || ByteString::from("x".repeat(256));
    let peer = families::peer();
    let introduce =
        Introduce { from: peer.from, from_boot: peer.from_boot, level: 1, client: text(), http: text() };
    let member = MemberStatus { peer: text(), client: text(), http: text(), ..families::member(1) };
    let status = StatusReply { build: text(), members: vec![member; 64], ..families::status_reply() };
    for message in [Message::from(introduce), status.into()] {
        let cap = message.message_type().spec().body_cap as usize;
        let bytes = encoded(message.header(), &message).len() - 24;
        assert!(2 * bytes <= cap, "{bytes} of {cap}: room for as much again");
    }
}
