//! `memory`: what a key takes in memory beside its own bytes and those of its value.
//!
//! The nodes are looked at when they are empty, and when they have all keys. What counts is *anonymous* memory (`RssAnon`): what
//! the program has allocated and touched. The pages of the log's mapped files are resident as well, and the kernel takes them
//! back when it needs them; they are shown beside it.

use std::fs;
use std::time::Duration;

use clap::Args;

use crate::cluster::{Cluster, Members, Tuning, directory, leads};
use crate::disk::Scratch;
use crate::failure::Failure;
use crate::figures::{Better, Sheet, Unit};
use crate::fill::State;
use crate::output::Keep;
use crate::process::Memory;
use crate::report::{grouped, show, time};
use crate::snapshot::{TAKING, newest_index};
use crate::until::until;

/// How long a snapshot that was begun may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// How large the state is.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast-bench memory
  holdfast-bench memory --keys 100000 --value-bytes 64 --runs 3 --out memory")]
pub(crate) struct MemoryArgs {
    /// How many keys there are.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    keys: u32,
    /// Bytes of each value.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(0..=1 << 20))]
    value_bytes: u32,
    /// Starts so many nodes on loopback.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=7))]
    spawn: u32,
    /// How often, on new nodes each time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    #[command(flatten)]
    tuning: Tuning,
    #[command(flatten)]
    keep: Keep,
}

/// Fills nodes, and says what that took of each.
pub(crate) fn run(args: &MemoryArgs, scratch: &Scratch) -> Result<(), Failure> {
    let keeping = args.keep.begin(scratch)?;
    let state = State { keys: args.keys, value_bytes: args.value_bytes };
    let asked = [
        ("nodes", args.spawn.to_string()),
        ("keys", args.keys.to_string()),
        ("key bytes", State::key(0).len().to_string()),
        ("value bytes", args.value_bytes.to_string()),
    ];
    let mut sheet = Sheet::new(format!("memory, {} keys", grouped(args.keys.into())), &asked);
    for number in 1..=args.runs {
        let dir = scratch.path().join(format!("memory-{number}"));
        let cluster = Cluster::spawn(args.spawn, args.tuning, &dir)?;
        let members = &cluster.members;
        let empty = look(members)?;
        let took = state.write(members)?;
        until("no node taking a snapshot", PATIENCE, || {
            let is_taking = |node: usize| directory(&dir, node + 1).join(TAKING).exists();
            Ok(!(0..members.count()).any(is_taking))
        })?;
        let full = look(members)?;
        show(format!(
            "run {number}: {} keys written in {}",
            grouped(args.keys.into()),
            time(took.as_nanos() as u64)
        ))?;
        let behind = |node| {
            let newest = newest_index(&directory(&dir, node + 1));
            members.status(node).map(|status| status.applied.saturating_sub(newest))
        };
        let behind: Vec<u64> = (0..members.count()).map(behind).collect::<Result<_, _>>()?;
        add(&mut sheet, members, &state, &empty, &full, &behind)?;
        drop(cluster);
        let _ = fs::remove_dir_all(&dir);
    }
    show(format!("\n{sheet}"))?;
    keeping.finish(vec![sheet])
}

/// What each node has now.
fn look(members: &Members) -> Result<Vec<Memory>, Failure> {
    let of = |node| {
        let process = members.stats(node)?.0.process;
        let memory = Memory::of(process);
        memory.ok_or_else(|| {
            Failure::new(format!("look at the memory of node {}", node + 1), "the kernel does not tell")
        })
    };
    (0..members.count()).map(of).collect()
}

/// Bytes of anonymous memory for each key, less those of keys and values.
fn beside(state: &State, empty: &Memory, full: &Memory) -> f64 {
    (full.anonymous as f64 - empty.anonymous as f64 - state.bytes() as f64) / f64::from(state.keys.max(1))
}

fn add(
    sheet: &mut Sheet,
    members: &Members,
    state: &State,
    empty: &[Memory],
    full: &[Memory],
    behind: &[u64],
) -> Result<(), Failure> {
    let mut followers = 0;
    for (node, ((empty, full), behind)) in empty.iter().zip(full).zip(behind).enumerate() {
        // Which node leads is not the same in each run.
        let name = if leads(&members.status(node)?) {
            "leader".to_owned()
        } else {
            followers += 1;
            format!("follower {followers}")
        };
        sheet.add(
            &format!("{name}: anonymous beside key and value, per key"),
            Unit::Bytes,
            Better::Lower,
            beside(state, empty, full),
        );
        let entries = format!("{name}: entries behind the newest snapshot");
        sheet.add(&entries, Unit::Count, Better::Neither, *behind as f64);
        for (when, memory) in [("empty", empty), ("full", full)] {
            let figures = [
                ("anonymous", Some(memory.anonymous)),
                ("resident", Some(memory.resident)),
                ("proportional", memory.proportional),
                ("private", memory.private),
            ];
            for (what, bytes) in figures {
                if let Some(bytes) = bytes {
                    sheet.add(&format!("{name}: {what}, {when}"), Unit::Bytes, Better::Lower, bytes as f64);
                }
            }
        }
        sheet.add(&format!("{name}: resident at most"), Unit::Bytes, Better::Lower, full.peak as f64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_key_takes_is_what_was_added_less_its_own_bytes_and_those_of_its_value() {
        let state = State { keys: 1000, value_bytes: 243 };
        let of = |anonymous| Memory { anonymous, ..Memory::default() };
        // A key has 13 bytes: 256 with its value.
        assert_eq!(state.bytes(), 256_000);
        assert!((beside(&state, &of(50_000), &of(400_000)) - 94.0).abs() < 1e-9);
        // Less than it would be alone: something else was given back meanwhile, and that is said.
        assert!((beside(&state, &of(50_000), &of(305_000)) + 1.0).abs() < 1e-9);
    }
}
