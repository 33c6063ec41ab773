//! What one frame costs: encode and decode of a message with a raw section, in time and allocations.
//!
//! `cargo run --release -p holdfast-wire --example codec [SECTION_BYTES]` (256 unless told). Each figure is the
//! median of 15 rounds that take turns, so that a slow moment of the machine falls on all of them alike.

use std::hint::black_box;
use std::time::Instant;

use bytes::{Buf, BytesMut};
use holdfast_wire::message::Echo;
use holdfast_wire::{CallId, FrameCodec, Message, Outbox};

const ROUNDS: usize = 15;
const FRAMES: usize = 64;
const TURNS: usize = 2_000;

/// One measured step over a batch of [`FRAMES`] frames.
type Step<'a> = (&'a str, Box<dyn FnMut() + 'a>);

fn main() {
    if cfg!(debug_assertions) {
        eprintln!("figures of a debug build mean nothing: run with --release");
        std::process::exit(2);
    }
    let section = std::env::args().nth(1).map_or(Ok(256), |text| text.parse()).unwrap_or_else(|error| {
        eprintln!("SECTION_BYTES: {error}");
        std::process::exit(2);
    });
    let ping = Message::Ping(Echo { payload: vec![0xab; section].into() });
    let header = ping.header().for_call(CallId(1));
    let mut wire = BytesMut::new();
    if let Err(error) = ping.encode(header, &mut wire) {
        eprintln!("a section of {section} bytes: {error}");
        std::process::exit(2);
    }
    let frame_bytes = wire.len();
    let batch = wire.repeat(FRAMES);
    let encode_all = |out: &mut BytesMut| {
        for _ in 0..FRAMES {
            let _ = ping.encode(header, out);
        }
    };
    let decode_all = |input: &mut BytesMut| {
        let (mut codec, mut skipped) = (FrameCodec::open(), 0);
        while let Ok(Some(frame)) = codec.next(input) {
            let _ = black_box(Message::decode(&frame, &mut skipped));
        }
    };
    // Two turns of a connection's buffers: what is written is read back out of the same memory.
    let (mut out, mut input, mut both) = (BytesMut::new(), BytesMut::new(), BytesMut::new());
    let mut outbox = Outbox::new();
    let mut steps: [Step<'_>; 4] = [
        (
            "encode into a buffer",
            Box::new(|| {
                out.clear();
                encode_all(&mut out);
                black_box(&out);
            }),
        ),
        (
            "encode into an outbox",
            Box::new(|| {
                for _ in 0..FRAMES {
                    let _ = ping.encode(header, &mut outbox);
                }
                let waiting = outbox.remaining();
                outbox.advance(waiting);
            }),
        ),
        (
            "read (a copy) and decode",
            Box::new(|| {
                input.reserve(batch.len());
                input.extend_from_slice(&batch);
                decode_all(&mut input);
            }),
        ),
        (
            "encode and decode",
            Box::new(|| {
                both.reserve(batch.len());
                encode_all(&mut both);
                decode_all(&mut both);
            }),
        ),
    ];
    let mut nanos = vec![Vec::new(); steps.len()];
    for _ in 0..ROUNDS {
        for ((_, step), nanos) in steps.iter_mut().zip(&mut nanos) {
            let start = Instant::now();
            for _ in 0..TURNS {
                step();
            }
            nanos.push(start.elapsed().as_nanos() as f64 / (TURNS * FRAMES) as f64);
        }
    }
    println!("one frame of {frame_bytes} bytes with a section of {section}; batches of {FRAMES}");
    println!("{:<32} {:>8} {:>8} {:>8} {:>12}", "per frame", "min ns", "p50 ns", "max ns", "allocations");
    for ((name, step), nanos) in steps.iter_mut().zip(&mut nanos) {
        nanos.sort_by(f64::total_cmp);
        let counted = allocation_counter::measure(|| (0..100).for_each(|_| step())).count_total;
        println!(
            "{name:<32} {:>8.1} {:>8.1} {:>8.1} {:>12.3}",
            nanos[0],
            nanos[ROUNDS / 2],
            nanos[ROUNDS - 1],
            counted as f64 / (100 * FRAMES) as f64
        );
    }
}
