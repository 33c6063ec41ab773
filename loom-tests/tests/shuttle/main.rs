//! The structures put together as a node puts them together, under random schedules.
//!
//! Too large to explore, so shuttle draws schedules from a seed that is fixed here: the same ones in every
//! run. A failure prints the schedule's seed; `SHUTTLE_RANDOM_SEED` begins with another one. shuttle takes
//! every atomic access for SeqCst, so this looks for wrong steps in right order; orderings are what the loom
//! models are for.

#![forbid(unsafe_code)]

#[path = "../../src/once.rs"]
mod once;
mod sync;

macro_rules! sources {
    ($($module:ident $path:literal)*) => {$(
        #[allow(dead_code, unreachable_pub, reason = "a library's file, of which this test uses a part")]
        #[path = $path]
        mod $module;
    )*};
}
sources! {
    batch "../../../handoff/src/batch.rs"
    latch "../../../handoff/src/latch.rs"
    park "../../../handoff/src/park.rs"
    stream "../../../handoff/src/stream.rs"
    watermark "../../../handoff/src/watermark.rs"
    clock "../../../hlc/src/clock.rs"
    stamp "../../../hlc/src/stamp.rs"
    text "../../../hlc/src/text.rs"
}

mod compositions;

use std::io::{self, Write};

use shuttle::scheduler::RandomScheduler;

/// Where the random schedules begin, unless the environment says otherwise.
const SEED: u64 = 0x686f_6c64_6661_7374;

/// Runs `body` under `schedules` random schedules, and says which.
fn explore(name: &str, schedules: usize, body: impl Fn() + Send + Sync + 'static) {
    let seed = std::env::var("SHUTTLE_RANDOM_SEED").unwrap_or_else(|_| SEED.to_string());
    let line = format!("shuttle {name}: {schedules} schedules from SHUTTLE_RANDOM_SEED={seed}\n");
    // Past the capture of the test harness: the seed is part of the result.
    let _ = io::stderr().lock().write_all(line.as_bytes());
    let mut config = shuttle::Config::default();
    config.silence_warnings = true;
    shuttle::Runner::new(RandomScheduler::new_from_seed(SEED, schedules), config).run(body);
}
