//! The fuzz targets of `fuzz/`, without their fuzzer: over the golden bytes, and over random changes to them. Bounded,
//! so that the targets stay compiled and true; the long runs are on demand.

mod common;

#[path = "../../fuzz/targets.rs"]
#[expect(unreachable_pub, reason = "shared with the fuzz package, where they are public")]
mod targets;

use common::{encoded, random, samples};
use holdfast_machine::Numbered;
use holdfast_wire::MessageType;

#[test]
fn no_target_fails_on_golden_bytes_or_on_changes_to_them() {
    let mut seed = common::seed();
    let mut corpus: Vec<Vec<u8>> = vec![b"HLDF\x01\0\x01\0".to_vec(), vec![]];
    for (_, header, message) in samples() {
        let frame = encoded(header, &message).to_vec();
        // As a stream, as a body behind a type, and as a connection behind side and step.
        let place = MessageType::ALL.iter().position(|kind| *kind == header.message_type).unwrap();
        corpus.push([&[place as u8], &frame[24..]].concat());
        corpus.push([b"\x01\x40HLDF\x01\0\x01\0", &frame[..]].concat());
        corpus.push(frame);
    }
    for (name, target) in targets::TARGETS {
        for round in 0..8_000 {
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

#[test]
fn every_target_has_its_program_and_no_program_is_without_its_target() {
    let fuzz = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for (name, _) in targets::TARGETS {
        let program = std::fs::read_to_string(fuzz.join(format!("bins/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("targets::{name}(data)")), "{name}");
        assert!(manifest.contains(&format!("path = \"bins/{name}.rs\"")), "{name}");
    }
    // Each program includes one list of targets: this one, or that of commands or of the log, which count their own.
    let programs: Vec<String> = std::fs::read_dir(fuzz.join("bins"))
        .unwrap()
        .map(|program| std::fs::read_to_string(program.unwrap().path()).unwrap())
        .collect();
    let including = |list: &str| {
        let line = format!("#[path = \"../{list}\"]\n");
        programs
            .iter()
            .filter(|program| program.matches("#[path").count() == 1 && program.contains(&line))
            .count()
    };
    let ours = including("targets.rs");
    assert_eq!(ours, targets::TARGETS.len());
    let others = including("command_targets.rs") + including("wal_targets.rs");
    assert_eq!(ours + others, programs.len(), "a program of no list");
    assert_eq!(manifest.matches("[[bin]]").count(), programs.len());
}
