//! The fuzz targets of the log, without their fuzzer: over small programs and random changes to them. Bounded, so that
//! the targets stay compiled and true; the long runs are on demand.

#[path = "../../fuzz/wal_targets.rs"]
#[expect(unreachable_pub, reason = "shared with the fuzz package, where they are public")]
mod targets;

/// Where randomness starts: `HOLDFAST_SEED`, or something else each time. Printed, so that a failure can be run again.
fn seed() -> u64 {
    let given =
        std::env::var("HOLDFAST_SEED").ok().map(|text| text.parse().expect("HOLDFAST_SEED is a number"));
    let seed = given.unwrap_or_else(|| std::process::id().into());
    println!("HOLDFAST_SEED={seed}");
    seed
}

/// The next number of a small generator (SplitMix64).
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One program for each log and each kind of change, and random ones.
fn programs(seed: &mut u64) -> Vec<Vec<u8>> {
    let mut programs = vec![vec![]];
    for log in 0..8 {
        for change in 0..20 {
            let mut program = vec![log, random(seed) as u8 & 0xF8, change];
            program.extend((0..40).map(|_| random(seed) as u8));
            programs.push(program);
        }
    }
    programs
}

#[test]
fn no_target_fails_on_small_programs_or_on_changes_to_them() {
    let mut seed = seed();
    let corpus = programs(&mut seed);
    for ((name, target), rounds) in targets::TARGETS.into_iter().zip([2_000, 400]) {
        for round in 0..rounds {
            let mut input = corpus[round % corpus.len()].clone();
            for _ in 0..if round < corpus.len() { 0 } else { random(&mut seed) % 8 } {
                let at = random(&mut seed) as usize % (input.len() + 1);
                match random(&mut seed) % 4 {
                    0 => input.insert(at, random(&mut seed) as u8),
                    1 => input.truncate(at.max(8)),
                    _ if at < input.len() => input[at] = random(&mut seed) as u8,
                    _ => input.push(random(&mut seed) as u8),
                }
            }
            let outcome = std::panic::catch_unwind(|| target(&input));
            let hex = || input.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            assert!(outcome.is_ok(), "{name} fails on {}", hex());
        }
    }
}

#[test]
fn every_target_has_its_program_and_no_program_is_without_its_target() {
    let fuzz = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).expect("a manifest");
    for (name, _) in targets::TARGETS {
        let program = std::fs::read_to_string(fuzz.join(format!("bins/{name}.rs"))).expect("a program");
        assert!(program.contains("\"../wal_targets.rs\""), "{name}");
        assert!(program.contains(&format!("targets::{name}(data)")), "{name}");
        assert!(manifest.contains(&format!("path = \"bins/{name}.rs\"")), "{name}");
    }
    let programs = std::fs::read_dir(fuzz.join("bins")).expect("programs");
    let ours = programs.filter(|program| {
        let path = program.as_ref().expect("a file").path();
        std::fs::read_to_string(path).expect("a program").contains("\"../wal_targets.rs\"")
    });
    assert_eq!(ours.count(), targets::TARGETS.len());
}
