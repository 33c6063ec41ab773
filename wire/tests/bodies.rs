//! Bodies: metadata, sections, extensions, and the name of everything that is wrong with one.

mod common;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use common::{encoded, reseal, samples};
use holdfast_wire::body::{self, MAX_DEPTH, Parts};
use holdfast_wire::{FrameCodec, Message, Section, WireError};

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
    let mut frame = encoded(common::ping(0).header(), &common::ping(0));
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
