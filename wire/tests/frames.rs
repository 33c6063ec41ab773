//! Framing: what is a frame, and the name of everything that is not.

mod common;

use bytes::{Buf, Bytes, BytesMut};
use common::{encoded, hex, ping, reseal};
use holdfast_machine::Numbered;
use holdfast_wire::frame::{FIELDS, HEADER_BYTES};
use holdfast_wire::message_type::{BODY_CAP, GREETING_CAP, PING_CAP, SKIPPABLE_CAP};
use holdfast_wire::{
    CallId, CodecError, Flag, Flags, Frame, FrameCodec, GroupId, Header, Message, MessageType, Preface,
    VersionRange, WireError,
};
use tokio_util::codec::{Decoder, Encoder};

/// A frame with these fields and a check that holds.
fn raw(number: u16, flags: u16, body: &[u8]) -> BytesMut {
    let mut frame = BytesMut::new();
    frame.extend_from_slice(&(20 + body.len() as u32).to_le_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(&number.to_le_bytes());
    frame.extend_from_slice(&flags.to_le_bytes());
    frame.extend_from_slice(&[0; 12]);
    frame.extend_from_slice(body);
    reseal(&mut frame);
    frame
}

fn error_of(mut bytes: BytesMut) -> WireError {
    let before = bytes.clone();
    let mut codec = FrameCodec::open();
    let error = codec.next(&mut bytes).expect_err("this is no frame");
    assert_eq!(bytes, before, "a broken frame stays at the front");
    assert_eq!(codec.next(&mut bytes), Err(error.clone()), "and is refused again");
    error
}

#[test]
fn the_table_of_header_fields_is_what_the_codec_writes() {
    let header = Header {
        message_type: MessageType::Pong,
        flags: Flags::of(Flag::Reply),
        group: GroupId(0x0a0b_0c0d),
        call: CallId(0x1122_3344_5566_7788),
    };
    let frame = encoded(header, &Message::Pong(Default::default()));
    let mut at = 0;
    let mut fields = std::collections::BTreeMap::new();
    for field in FIELDS {
        fields.insert(field.name, hex(&frame[at..at + field.bytes]));
        at += field.bytes;
    }
    assert_eq!(at, HEADER_BYTES);
    let body = (frame.len() - HEADER_BYTES) as u32;
    assert_eq!(fields["length"], hex(&(20 + body).to_le_bytes()));
    assert_eq!(fields["crc32"], hex(&crc32fast::hash(&frame[8..]).to_le_bytes()));
    assert_eq!(fields["type"], "0700");
    assert_eq!(fields["flags"], "0100");
    assert_eq!(fields["group"], "0d0c0b0a");
    assert_eq!(fields["call"], "8877665544332211");
}

#[test]
fn flag_numbers_are_bit_positions() {
    for &flag in Flag::ALL {
        assert_eq!(Flags::of(flag).bits(), 1 << (flag.number() - 1), "{flag}");
        assert!(Flags::of(flag).has(flag));
        assert!(!Flags::NONE.has(flag));
    }
}

#[test]
fn a_zero_length_is_its_own_error() {
    assert_eq!(error_of(BytesMut::zeroed(100)), WireError::ZeroLength { least: 20 });
}

#[test]
fn a_length_that_holds_no_header_is_its_own_error() {
    for length in 1..20_u32 {
        let error = error_of(BytesMut::from(&length.to_le_bytes()[..]));
        assert_eq!(error, WireError::ShortLength { length, least: 20 });
    }
}

#[test]
fn a_length_over_the_cap_of_its_type_is_refused_from_the_header_alone() {
    for (message_type, cap) in [(MessageType::Ping, PING_CAP), (MessageType::Goodbye, GREETING_CAP)] {
        let mut header = raw(message_type.number(), 0, &[]);
        header[..4].copy_from_slice(&(20 + cap + 1).to_le_bytes());
        assert_eq!(
            error_of(header.clone()),
            WireError::OverCap {
                number: message_type.number(),
                length: u64::from(cap) + 1,
                limit: u64::from(cap)
            }
        );
        header[..4].copy_from_slice(&(20 + cap).to_le_bytes());
        assert_eq!(FrameCodec::open().next(&mut header), Ok(None), "at the cap, the rest is awaited");
    }
}

#[test]
fn a_length_over_the_limit_of_the_connection_is_refused_from_four_bytes() {
    let mut codec = FrameCodec::greeting();
    let limit = GREETING_CAP.into();
    let mut bytes = BytesMut::from(&(20 + GREETING_CAP + 1).to_le_bytes()[..]);
    let over = |length: u32, limit| WireError::OverCap { number: 0, length: length.into(), limit };
    assert_eq!(codec.next(&mut bytes), Err(over(GREETING_CAP + 1, limit)));

    assert_eq!(error_of(BytesMut::from(&u32::MAX.to_le_bytes()[..])), over(u32::MAX - 20, BODY_CAP.into()));
    codec.set_limit(u32::MAX);
    let mut bytes = BytesMut::from(&(20 + BODY_CAP + 1).to_le_bytes()[..]);
    assert_eq!(codec.next(&mut bytes), Err(over(BODY_CAP + 1, BODY_CAP.into())), "no limit is above this");
}

#[test]
fn a_flipped_bit_anywhere_is_caught() {
    let (_, header, message) = common::samples().swap_remove(1);
    let whole = encoded(header, &message);
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        match FrameCodec::open().next(&mut bytes) {
            Ok(Some(frame)) => panic!("bit {bit}: {frame:?}"),
            // The length now points beyond what came: more would be awaited, and then the check fails.
            Ok(None) => assert!(bit < 32, "bit {bit}"),
            Err(WireError::Checksum { found, computed, end }) => {
                assert_ne!(found, computed);
                assert!(bit < 32 || end == whole.len() as u64);
            }
            Err(error) => assert!(bit < 32 || (64..80).contains(&bit), "bit {bit}: {error}"),
        }
    }
}

#[test]
fn a_wrong_check_names_both_checks_and_the_range() {
    let mut frame = raw(6, 0, &[1, 2, 3]);
    let computed = crc32fast::hash(&frame[8..]);
    frame[4] ^= 0xff;
    assert_eq!(error_of(frame), WireError::Checksum { found: computed ^ 0xff, computed, end: 27 });
}

#[test]
fn an_unknown_type_ends_the_connection() {
    for number in [0, 8, 99, 100, 200, 300, 304, u16::MAX] {
        assert_eq!(error_of(raw(number, 0, b"x")), WireError::UnknownType { number, known: 303 });
    }
}

#[test]
fn an_unknown_type_that_may_be_ignored_is_skipped_and_counted() {
    let mut bytes = raw(900, Flags::of(Flag::MayIgnore).bits(), b"from the future");
    bytes.extend_from_slice(&raw(901, 0xffff, b"flags from the future too"));
    let wanted = encoded(ping(1).header(), &ping(1));
    bytes.extend_from_slice(&wanted);
    let mut codec = FrameCodec::open();
    let frame = codec.next(&mut bytes).unwrap().expect("the frame behind the skipped ones");
    assert_eq!(frame.header.message_type, MessageType::Ping);
    assert_eq!((codec.skipped(), bytes.len()), (2, 0));
    assert_eq!(codec.position(), (24 + 15 + 24 + 25 + wanted.len()) as u64);
}

#[test]
fn an_unknown_type_is_skipped_up_to_its_cap_and_not_a_byte_further() {
    let flags = Flags::of(Flag::MayIgnore).bits();
    let mut codec = FrameCodec::open();
    assert_eq!(codec.next(&mut raw(900, flags, &vec![0; SKIPPABLE_CAP as usize])), Ok(None));
    assert_eq!(codec.skipped(), 1);
    assert_eq!(
        error_of(raw(900, flags, &vec![0; SKIPPABLE_CAP as usize + 1])),
        WireError::OverCap { number: 900, length: u64::from(SKIPPABLE_CAP) + 1, limit: SKIPPABLE_CAP.into() }
    );
}

#[test]
fn a_broken_frame_is_not_skipped_because_it_says_so() {
    let mut frame = raw(900, Flags::of(Flag::MayIgnore).bits(), b"x");
    frame[24] ^= 1;
    assert!(matches!(error_of(frame), WireError::Checksum { .. }));
}

#[test]
fn flags_that_a_type_must_or_must_not_carry_are_checked_both_ways() {
    let bad = |message_type, found, required, allowed| WireError::BadFlags {
        message_type,
        found,
        required,
        allowed,
    };
    assert_eq!(error_of(raw(7, 0, b"")), bad(MessageType::Pong, 0, 1, 1));
    assert_eq!(error_of(raw(6, 1, b"")), bad(MessageType::Ping, 1, 0, 0));
    assert_eq!(error_of(raw(6, 0x8000, b"")), bad(MessageType::Ping, 0x8000, 0, 0));
    let mut out = BytesMut::from(&b"before"[..]);
    let header = Header { flags: Flags::of(Flag::More), ..ping(0).header() };
    assert_eq!(ping(0).encode(header, &mut out), Err(bad(MessageType::Ping, 4, 0, 0)));
    assert_eq!(&out[..], b"before", "nothing was written");
}

#[test]
fn messages_about_the_connection_belong_to_no_group_and_no_call() {
    let message_type = MessageType::Goodbye;
    for (at, group, call) in [(12, 1, 0), (16, 0, 1)] {
        let mut frame = raw(5, 0, b"");
        frame[at] = 1;
        reseal(&mut frame);
        assert_eq!(error_of(frame), WireError::Addressed { message_type, group, call });
    }
    let goodbye = Message::from(holdfast_wire::message::Goodbye { reason: 1, detail: "".into() });
    let refused = goodbye.encode(goodbye.header().for_call(CallId(7)), &mut BytesMut::new());
    assert_eq!(refused, Err(WireError::Addressed { message_type, group: 0, call: 7 }));
}

#[test]
fn a_body_over_its_cap_is_not_sent_and_leaves_nothing_behind() {
    let room = PING_CAP as usize - 8;
    assert_eq!(encoded(ping(room).header(), &ping(room)).len(), HEADER_BYTES + PING_CAP as usize);
    let mut out = BytesMut::from(&b"before"[..]);
    let error = ping(room + 1).encode(ping(0).header(), &mut out).unwrap_err();
    assert_eq!(
        error,
        WireError::OverCap { number: 6, length: u64::from(PING_CAP) + 1, limit: PING_CAP.into() }
    );
    assert_eq!(&out[..], b"before");
}

#[test]
fn an_end_inside_a_frame_says_how_much_is_missing_and_where_the_frame_began() {
    let first = encoded(ping(5).header(), &ping(5));
    for have in 1..first.len() {
        let mut codec = FrameCodec::open();
        let mut bytes = first.clone();
        bytes.extend_from_slice(&first[..have]);
        assert!(codec.decode_eof(&mut bytes).unwrap().is_some());
        let Err(CodecError::Wire { frame_at, error }) = codec.decode_eof(&mut bytes) else {
            panic!("{have} bytes of a frame are no frame");
        };
        let need = if have < 4 { 24 } else { first.len() as u64 };
        assert_eq!(frame_at, first.len() as u64);
        assert_eq!(error, WireError::Truncated { offset: 0, need, have: have as u64 });
    }
    let mut codec = FrameCodec::open();
    assert!(codec.decode_eof(&mut BytesMut::new()).unwrap().is_none(), "an end between frames is no error");
}

#[test]
fn a_body_shares_the_buffer_that_was_read() {
    let mut bytes = encoded(ping(256).header(), &ping(256));
    let buffer = bytes.as_ptr_range();
    let frame = FrameCodec::open().next(&mut bytes).unwrap().unwrap();
    let Message::Ping(echo) = Message::decode(&frame, &mut 0).unwrap() else { panic!("a Ping") };
    assert!(buffer.contains(&echo.payload.as_ptr()), "the payload was copied");
}

#[test]
fn the_codec_traits_give_back_what_they_took() {
    let mut codec = FrameCodec::open();
    let mut bytes = BytesMut::new();
    let message = ping(9);
    codec.encode((message.header().for_call(CallId(4)), &message), &mut bytes).unwrap();
    let frame = codec.decode(&mut bytes).unwrap().unwrap();
    codec.encode(frame.clone(), &mut bytes).unwrap();
    assert_eq!(codec.decode(&mut bytes).unwrap(), Some(frame));
    let too_long = Frame { header: message.header(), body: Bytes::from(vec![0; PING_CAP as usize + 1]) };
    let error = codec.encode(too_long, &mut bytes).unwrap_err().to_string();
    assert!(error.starts_with("byte 0: a body of 65537 bytes"), "{error}");
    assert!(!bytes.has_remaining());
}

#[test]
fn a_preface_is_refused_at_its_first_wrong_byte() {
    for (bytes, found) in [(&b"G"[..], *b"G\0\0\0"), (b"HLDX", *b"HLDX"), (b"GET / HTTP/1.1", *b"GET ")] {
        let mut bytes = BytesMut::from(bytes);
        let before = bytes.clone();
        assert_eq!(Preface::decode(&mut bytes), Err(WireError::BadMagic { found }));
        assert_eq!(bytes, before);
    }
}

#[test]
fn a_preface_is_awaited_byte_by_byte_and_taken_whole() {
    let mut whole = BytesMut::new();
    let preface = Preface { versions: VersionRange::new(1, 0x0203).unwrap() };
    preface.encode(&mut whole);
    assert_eq!(hex(&whole), "484c444601000302");
    for have in 0..whole.len() {
        let mut part = BytesMut::from(&whole[..have]);
        assert_eq!(Preface::decode(&mut part), Ok(None), "{have} bytes");
        assert_eq!(part.len(), have);
    }
    whole.extend_from_slice(b"next");
    assert_eq!(Preface::decode(&mut whole), Ok(Some(preface)));
    assert_eq!(&whole[..], b"next");
}

#[test]
fn a_range_of_versions_that_is_none_is_refused() {
    for (min, max) in [(0, 0), (0, 5), (3, 2)] {
        let mut bytes = BytesMut::from(&b"HLDF"[..]);
        bytes.extend_from_slice(&u16::to_le_bytes(min));
        bytes.extend_from_slice(&u16::to_le_bytes(max));
        assert_eq!(Preface::decode(&mut bytes), Err(WireError::BadVersionRange { min, max }));
    }
}

#[test]
fn both_sides_agree_on_the_highest_common_version_or_on_none() {
    for (a, b, c, d) in (0..5_u16.pow(4)).map(|n| (n % 5 + 1, n / 5 % 5 + 1, n / 25 % 5 + 1, n / 125 % 5 + 1))
    {
        let (Ok(ours), Ok(theirs)) = (VersionRange::new(a, b), VersionRange::new(c, d)) else { continue };
        let common = (a..=b).filter(|version| (c..=d).contains(version)).max();
        assert_eq!(ours.agree(theirs).ok(), common, "{ours} and {theirs}");
        assert_eq!(theirs.agree(ours).ok(), common, "{theirs} and {ours}");
    }
}
