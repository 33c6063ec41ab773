//! The fuzz targets of `fuzz/`, without their fuzzer: over the golden bytes, and over random changes to them. Bounded,
//! so that the targets stay compiled and true; the long runs are on demand.

mod common;

#[path = "../../fuzz/targets.rs"]
#[expect(unreachable_pub, reason = "shared with the fuzz package, where they are public")]
mod targets;

use common::{encoded, random, samples};

#[test]
fn no_target_fails_on_golden_bytes_or_on_changes_to_them() {
    let mut seed = 0xf022;
    println!("seed {seed:#x}");
    let mut corpus: Vec<Vec<u8>> = vec![b"HLDF\x01\0\x01\0".to_vec(), vec![]];
    for (_, header, message) in samples() {
        let frame = encoded(header, &message).to_vec();
        // As a stream, as a body behind a type, and as a connection behind side and step.
        corpus.push([&[header.message_type as u8 - 1], &frame[24..]].concat());
        corpus.push([b"\x01\x40HLDF\x01\0\x01\0", &frame[..]].concat());
        corpus.push(frame);
    }
    for (name, target) in targets::TARGETS {
        for round in 0..4_000 {
            let mut input = corpus[round % corpus.len()].clone();
            for _ in 0..if round < corpus.len() { 0 } else { random(&mut seed) % 4 } {
                let at = random(&mut seed) as usize % (input.len() + 1);
                match random(&mut seed) % 3 {
                    0 => input.insert(at, random(&mut seed) as u8),
                    1 => input.truncate(at),
                    _ if at < input.len() => input[at] = random(&mut seed) as u8,
                    _ => input.push(0),
                }
            }
            let outcome = std::panic::catch_unwind(|| target(&input));
            assert!(outcome.is_ok(), "{name} fails on {}", common::hex(&input));
        }
    }
}
