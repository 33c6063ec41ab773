//! How much memory bytes from outside can make this crate take.
//!
//! Promise: at most twice the cap of the type that a frame declares, whatever else it says; and nothing on
//! account of a mere declaration beyond 64 KiB (a unit test in `frame.rs`, where a
//! frame can be that large). Every figure is a count of the allocator, none is a timing.

mod common;

use allocation_counter::measure;
use bytes::{Buf, BytesMut};
use common::{encoded, ping, random, reseal, samples};
use holdfast_machine::Numbered;
use holdfast_wire::message_type::{ENTRIES_MAX, EVENTS_MAX, MEMBERS_MAX, STAGES_MAX, TRACES_MAX};
use holdfast_wire::outbox::SHARE_BYTES;
use holdfast_wire::{FrameCodec, Message, MessageType, Outbox};

/// What an error's text and the reference counts of a few slices take, whatever the cap.
const FIXED_BYTES: u64 = 1024;

/// Decodes everything in `stream`, which arrives in pieces of at most `piece` bytes: as a socket is read, into the room
/// there is. Says whether the last frame was a message.
fn decode_all(mut stream: &[u8], piece: usize) -> bool {
    let (mut codec, mut buffer) = (FrameCodec::open(), BytesMut::new());
    let mut message = false;
    while !stream.is_empty() {
        if buffer.len() == buffer.capacity() {
            buffer.reserve(64);
        }
        let count = piece.min(stream.len()).min(buffer.capacity() - buffer.len());
        buffer.extend_from_slice(&stream[..count]);
        stream = &stream[count..];
        match codec.next(&mut buffer) {
            Ok(Some(frame)) => message = Message::decode(&frame, &mut 0).is_ok(),
            Ok(None) => {}
            Err(_) => return false,
        }
    }
    message
}

/// A frame of this type around `body`.
fn framed(message_type: MessageType, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 24];
    frame[..4].copy_from_slice(&(20 + body.len() as u32).to_le_bytes());
    frame[8..10].copy_from_slice(&message_type.number().to_le_bytes());
    frame[10..12].copy_from_slice(&message_type.spec().required.bits().to_le_bytes());
    frame.extend_from_slice(body);
    reseal(&mut frame);
    frame
}

#[test]
fn no_body_takes_more_than_twice_the_cap_of_its_type() {
    let mut seed = common::seed();
    for &message_type in MessageType::ALL {
        let spec = message_type.spec();
        let cap = spec.body_cap as usize;
        let mut worst = 0;
        for round in 0..((32 << 20) / cap).clamp(6, 150) {
            // As large as allowed and, in most rounds, as close to sense as random bytes get: few metadata bytes,
            // many sections, or one section that claims the whole rest.
            let mut body = vec![b'a'; cap];
            for byte in &mut body[..64] {
                *byte = (random(&mut seed) % 3) as u8;
            }
            if round % 3 == 0 {
                let many = (cap / 4 - 32).min(u16::MAX.into()) as u16;
                body[2..4].copy_from_slice(&many.to_le_bytes());
                body[4..].fill(0);
            } else if round % 3 == 1 {
                body[..8].copy_from_slice(&[2, 0, 1, 0, 0, 0, 0, 0]);
                body[4..8].copy_from_slice(&(cap as u32 - 10).to_le_bytes());
            }
            let frame = framed(message_type, &body);
            let piece = 1 + (random(&mut seed) as usize) % frame.len();
            worst = worst.max(measure(|| _ = decode_all(&frame, piece)).bytes_max);
        }
        assert!(worst <= 2 * cap as u64 + FIXED_BYTES, "{message_type}: {worst} bytes for a cap of {cap}");
        assert!(worst >= cap as u64, "{message_type}: the rounds never filled a buffer");
    }
}

/// A body with the metadata of a sample of this type, these sections, and an extension that fills it up to the cap.
fn filled(message_type: MessageType, sections: &[Vec<u8>]) -> Vec<u8> {
    let all = samples();
    let (_, header, sample) =
        all.iter().find(|(.., sample)| sample.message_type() == message_type).expect("a sample");
    let sample = encoded(*header, sample)[24..].to_vec();
    let metadata_at = 4 + 4 * usize::from(u16::from_le_bytes([sample[2], sample[3]]));
    let metadata = usize::from(u16::from_le_bytes([sample[0], sample[1]]));
    let mut body = sample[..2].to_vec();
    body.extend_from_slice(&(sections.len() as u16).to_le_bytes());
    body.extend(sections.iter().flat_map(|section| (section.len() as u32).to_le_bytes()));
    body.extend_from_slice(&sample[metadata_at..metadata_at + metadata]);
    body.extend(sections.concat());
    let rest = message_type.spec().body_cap as usize - body.len() - 6;
    body.extend_from_slice(&1_u16.to_le_bytes());
    body.extend_from_slice(&(rest as u32).to_le_bytes());
    body.resize(body.len() + rest, 0);
    body
}

/// The shortest body of a member: metadata of 18 bytes and three empty addresses.
fn shortest_member() -> Vec<u8> {
    let mut member = vec![18, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    member.extend_from_slice(&1_u64.to_le_bytes());
    member.resize(16 + 18, 0);
    member
}

/// The shortest body of a batch: metadata of 45 bytes, no stage and no acknowledgement.
fn shortest_batch() -> Vec<u8> {
    let mut batch = vec![45, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    batch.resize(12 + 45, 0);
    batch
}

/// What is repeated costs little on the wire and much in memory, so its number has a limit of its own.
#[test]
fn as_many_of_the_shortest_repeated_sections_as_allowed_stay_within_the_bound_and_one_more_is_refused() {
    let empty = Vec::new;
    for (message_type, most, longest) in [
        (MessageType::StatusReply, MEMBERS_MAX, usize::MAX),
        (MessageType::StatsReply, STAGES_MAX, usize::MAX),
        (MessageType::TraceReply, TRACES_MAX, usize::MAX),
        (MessageType::WatchEvents, EVENTS_MAX, usize::MAX),
        // 65,535 sections are all there can be, so there is no one more.
        (MessageType::Append, ENTRIES_MAX, ENTRIES_MAX),
        (MessageType::FormationAsk, MEMBERS_MAX, usize::MAX),
        (MessageType::FormationAnswer, MEMBERS_MAX, usize::MAX),
        (MessageType::FormationPrepare, MEMBERS_MAX, usize::MAX),
    ] {
        let cap = message_type.spec().body_cap;
        let (mut accepted, mut refused) = (false, false);
        // The last is about as many as fit in the caps that are not large.
        for count in [most, most + 1, (cap as usize / 64).min(3_000).max(most)] {
            if count > longest {
                continue;
            }
            let (repeated, numbers) = (count, count.min(most));
            let mut sections = match message_type {
                MessageType::StatusReply | MessageType::StatsReply => vec![empty()],
                MessageType::Append => vec![vec![0; 8 * count]],
                MessageType::FormationAsk => vec![empty(), vec![0; 8 * numbers]],
                MessageType::FormationAnswer | MessageType::FormationPrepare => {
                    vec![empty(), vec![0; 8 * numbers], vec![0; 16 * numbers]]
                }
                _ => vec![],
            };
            let item = match message_type {
                MessageType::StatusReply => shortest_member(),
                MessageType::TraceReply => shortest_batch(),
                _ => empty(),
            };
            sections.extend(std::iter::repeat_n(item, repeated));
            let frame = framed(message_type, &filled(message_type, &sections));
            let mut message = false;
            let taken = measure(|| message = decode_all(&frame, frame.len())).bytes_max;
            assert_eq!(message, count <= most, "{message_type}: {count}");
            assert!(taken <= 2 * u64::from(cap) + FIXED_BYTES, "{message_type}: {count} take {taken}");
            (accepted, refused) = (accepted | message, refused | !message);
        }
        assert!(accepted && (refused || longest == most), "{message_type}");
    }
}

#[test]
fn an_outbox_shares_large_sections_and_copies_small_ones() {
    let encode = |bytes| {
        let message = ping(bytes);
        let mut outbox = Outbox::new();
        measure(|| message.encode(message.header(), &mut outbox).unwrap()).bytes_total
    };
    assert!(encode(SHARE_BYTES) < SHARE_BYTES as u64, "a large section was copied");
    assert!(encode(SHARE_BYTES - 1) >= SHARE_BYTES as u64 - 1, "a small section was not packed");
}

#[test]
fn an_outbox_gives_the_memory_of_a_burst_back() {
    let kept = measure(|| {
        let mut outbox = Outbox::new();
        let message = ping(1000);
        for _ in 0..2000 {
            message.encode(message.header(), &mut outbox).unwrap();
        }
        let waiting = outbox.remaining();
        outbox.advance(waiting);
        std::mem::forget(outbox);
    });
    assert!(kept.bytes_max > 2_000_000 && kept.bytes_current < 100_000, "{kept:?}");
}

/// How many lists a message holds. A list is one allocation on the way in, and two on the way out: as bytes if it is of
/// numbers, and as the sections it becomes. Each member or batch is a body of its own, made before the frame.
fn lists(message: &Message) -> (u64, u64) {
    match message {
        Message::StatusReply(status) => (1, 2 + 6 * status.members.len() as u64),
        Message::TraceReply(trace) => (1 + trace.batches.len() as u64, 2 + 8 * trace.batches.len() as u64),
        Message::StatsReply(_) | Message::WatchEvents(_) | Message::Digests(_) => (1, 1),
        Message::Append(_) => (2, 2),
        Message::FormationAsk(_) => (2, 2),
        Message::FormationAnswer(_) | Message::FormationPrepare(_) => (3, 3),
        _ => (0, 0),
    }
}

#[test]
fn decoding_a_body_allocates_nothing_but_its_lists() {
    for (name, header, message) in samples() {
        let frame = FrameCodec::open().next(&mut encoded(header, &message)).unwrap().unwrap();
        let counted = measure(|| drop(Message::decode(&frame, &mut 0).unwrap()));
        assert!(counted.count_total <= lists(&message).0, "{name}: {}", counted.count_total);
    }
}

#[test]
fn encoding_into_a_buffer_with_room_allocates_nothing_but_lists() {
    let mut out = BytesMut::with_capacity(64 * 1024);
    for (name, header, message) in samples() {
        out.clear();
        let counted = measure(|| message.encode(header, &mut out).unwrap());
        assert!(counted.count_total <= lists(&message).1, "{name}: {}", counted.count_total);
    }
}
