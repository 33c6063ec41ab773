//! `limits`: what this machine can do, for every result to be shown against.

use std::fs;

use crate::disk::{self, Scratch};
use crate::failure::Failure;
use crate::load::Load;
use crate::network;
use crate::report::{Parts, Summary, Table, show, time};
use crate::skeleton;

/// Bytes of a record that is synced alone: about those of an entry with a value of 256.
const RECORD: u32 = 300;
/// Bytes of a round trip.
const TRIP: u32 = 64;

/// Measures all of it, each for as long as the loads say, and prints each table when it is complete.
pub(crate) fn run(loads: &[Load], scratch: &Scratch) -> Result<(), Failure> {
    show(environment(scratch))?;
    let Some(first) = loads.first() else { return Ok(()) };

    let single = |connections, value_bytes| Load { connections, in_flight: 1, value_bytes, ..*first };
    let one = Summary::of(&disk::syncs(&single(1, RECORD), scratch.path())?);
    let three = Summary::of(&disk::syncs(&single(3, RECORD), scratch.path())?);
    let trip = Summary::of(&network::round_trips(&single(1, TRIP))?);
    // Client, leader, follower, and back; meanwhile three nodes sync, of which the slowest is not waited for.
    let model = trip.median_latency().zip(three.median_latency()).map(|(trip, sync)| 2 * trip + sync);
    let mut table = Table::new("single", "per s");
    table.row("fdatasync, 1 writer", one);
    table.row("fdatasync, 3 writers", three);
    table.row(&format!("loopback TCP, {TRIP} B and back"), trip);
    show(table)?;
    if let Some(model) = model {
        show(format!(
            "Two such trips and a sync of three at p50: {}. 1 × 1 should be near it.\n",
            time(model)
        ))?;
    }

    let mut table = Table::new("skeleton, conns × in flight", "ops/s");
    let mut outcomes = Vec::new();
    for load in loads {
        let outcome = skeleton::run(load, scratch.path())?;
        table.row(&load.name(), Summary::of(&outcome.answers));
        outcomes.push((load.name(), outcome));
    }
    show(table)?;
    for (name, outcome) in &outcomes {
        show(Parts { title: name, outcome })?;
    }
    Ok(())
}

/// One line about where the figures are taken, and warnings about what makes them worth less.
pub(crate) fn environment(scratch: &Scratch) -> String {
    let read = |path| fs::read_to_string(path).map_or_else(|_| "?".to_owned(), |text| text.trim().to_owned());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let busy = load.split(' ').next().unwrap_or("?");
    let mut out = format!("{scratch}; {cores} cores, Linux {kernel}, load {busy} before the run\n");
    if scratch.is_in_memory() {
        out.push_str("That file system is in memory: a sync costs nothing there. Name a directory on a disk with --dir.\n");
    }
    out
}
