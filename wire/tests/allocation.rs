//! How much memory bytes from outside can make this crate take.
//!
//! Promise: at most twice the cap of the type that a frame declares, whatever else it says; and nothing on
//! account of a mere declaration beyond 64 KiB (a unit test in `frame.rs`, where a frame can be that large). Every figure is a count of the allocator, none is a timing.

mod common;

use allocation_counter::measure;
use bytes::{Buf, BytesMut};
use common::{encoded, ping, random, reseal, samples};
use holdfast_machine::Numbered;
use holdfast_wire::outbox::SHARE_BYTES;
use holdfast_wire::{FrameCodec, Message, MessageType, Outbox};

/// What an error's text and the reference counts of a few slices take, whatever the cap.
const FIXED_BYTES: u64 = 1024;

/// Decodes everything in `stream`, which arrives in pieces of `piece` bytes.
fn decode_all(stream: &[u8], piece: usize) {
    let (mut codec, mut buffer) = (FrameCodec::open(), BytesMut::new());
    for piece in stream.chunks(piece) {
        buffer.extend_from_slice(piece);
        while let Ok(Some(frame)) = codec.next(&mut buffer) {
            let _ = Message::decode(&frame, &mut 0);
        }
    }
}

#[test]
fn no_body_takes_more_than_twice_the_cap_of_its_type() {
    let mut seed = common::seed();
    for &message_type in MessageType::ALL {
        let spec = message_type.spec();
        let cap = spec.body_cap as usize;
        let mut worst = 0;
        for round in 0..300 {
            // As large as allowed and, in most rounds, as close to sense as random bytes get: few metadata bytes,
            // many sections, or one section that claims the whole rest.
            let mut body = vec![b'a'; cap];
            for byte in &mut body[..64] {
                *byte = (random(&mut seed) % 3) as u8;
            }
            if round % 3 == 0 {
                body[2..4].copy_from_slice(&((cap / 4 - 32) as u16).to_le_bytes());
                body[4..].fill(0);
            } else if round % 3 == 1 {
                body[..8].copy_from_slice(&[2, 0, 1, 0, 0, 0, 0, 0]);
                body[4..8].copy_from_slice(&(cap as u32 - 10).to_le_bytes());
            }
            let mut frame = vec![0; 24];
            frame[..4].copy_from_slice(&(20 + cap as u32).to_le_bytes());
            frame[8..10].copy_from_slice(&message_type.number().to_le_bytes());
            frame[10..12].copy_from_slice(&spec.required.bits().to_le_bytes());
            frame.extend_from_slice(&body);
            reseal(&mut frame);
            let piece = 1 + (random(&mut seed) as usize) % frame.len();
            worst = worst.max(measure(|| decode_all(&frame, piece)).bytes_max);
        }
        assert!(worst <= 2 * cap as u64 + FIXED_BYTES, "{message_type}: {worst} bytes for a cap of {cap}");
        assert!(worst >= cap as u64, "{message_type}: the rounds never filled a buffer");
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

#[test]
fn decoding_a_body_allocates_nothing() {
    for (name, header, message) in samples() {
        let frame = FrameCodec::open().next(&mut encoded(header, &message)).unwrap().unwrap();
        let counted = measure(|| drop(Message::decode(&frame, &mut 0).unwrap()));
        assert_eq!(counted.count_total, 0, "{name}");
    }
}

#[test]
fn encoding_into_a_buffer_with_room_allocates_nothing() {
    let mut out = BytesMut::with_capacity(64 * 1024);
    for (name, header, message) in samples() {
        out.clear();
        let counted = measure(|| message.encode(header, &mut out).unwrap());
        assert_eq!(counted.count_total, 0, "{name}");
    }
}
