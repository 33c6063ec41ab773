//! How much memory bytes from outside can make this crate take.
//!
//! Promise: at most twice the cap of the type that a frame declares, whatever else it says; and nothing on
//! account of a mere declaration beyond 64 KiB. Every figure is a count of the allocator, none is a timing.

mod common;

use allocation_counter::measure;
use bytes::BytesMut;
use common::{encoded, ping, random, reseal, samples};
use holdfast_machine::Numbered;
use holdfast_wire::message_type::BODY_CAP;
use holdfast_wire::{FrameCodec, Message, MessageType};

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
    let mut seed = 0x5eed;
    println!("seed {seed:#x}");
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
fn a_header_that_declares_the_largest_body_takes_no_more_than_the_growth_step() {
    // No type has this cap yet, so the largest that exists is declared: the buffer must not follow the claim.
    let largest = MessageType::ALL.iter().max_by_key(|kind| kind.spec().body_cap).unwrap();
    let cap = largest.spec().body_cap;
    assert!(cap <= BODY_CAP);
    let mut header = encoded(ping(0).header(), &ping(0));
    header[..4].copy_from_slice(&(20 + cap).to_le_bytes());
    header[8..10].copy_from_slice(&largest.number().to_le_bytes());
    let taken = measure(|| decode_all(&header, 1)).bytes_max;
    assert!(taken <= 64 * 1024 + FIXED_BYTES, "{taken} bytes for a header alone");
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
