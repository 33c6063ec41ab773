//! The fuzz targets of commands, without their fuzzer: over the golden bytes, and over random changes to them. Bounded, so that
//! the targets stay compiled and true; the long runs are on demand.

mod common;

#[path = "../../fuzz/command_targets.rs"]
#[expect(unreachable_pub, reason = "shared with the fuzz package, where they are public")]
mod targets;

use common::{mutate, random, samples};

#[test]
fn no_target_fails_on_golden_bytes_or_on_changes_to_them() {
    let mut seed = common::seed();
    let mut corpus: Vec<Vec<u8>> = samples::all().iter().map(|(_, value)| value.encode().to_vec()).collect();
    corpus.push(vec![]);
    for (name, target) in targets::TARGETS {
        for round in 0..40_000 {
            let mut input = corpus[round % corpus.len()].clone();
            for _ in 0..if round < corpus.len() { 0 } else { random(&mut seed) % 4 } {
                mutate(&mut input, &mut seed);
            }
            let outcome = std::panic::catch_unwind(|| target(&input));
            assert!(outcome.is_ok(), "{name} fails on {}", common::hex(&input));
        }
    }
}

#[test]
fn every_target_has_its_program_and_no_program_is_without_its_target() {
    let fuzz = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).expect("a manifest");
    for (name, _) in targets::TARGETS {
        let program = std::fs::read_to_string(fuzz.join(format!("bins/{name}.rs"))).expect("a program");
        assert!(program.contains("\"../command_targets.rs\""), "{name}");
        assert!(program.contains(&format!("targets::{name}(data)")), "{name}");
        assert!(manifest.contains(&format!("path = \"bins/{name}.rs\"")), "{name}");
    }
    let programs = std::fs::read_dir(fuzz.join("bins")).expect("programs");
    let ours = programs.filter(|program| {
        let path = program.as_ref().expect("a file").path();
        std::fs::read_to_string(path).expect("a program").contains("\"../command_targets.rs\"")
    });
    assert_eq!(ours.count(), targets::TARGETS.len());
}
