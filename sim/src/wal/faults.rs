//! Calls that fail: every sync, write, allocation and change of a name of a workload, one at a time.
//!
//! # What is compared
//! After a failure the log may refuse (there is no room) and go on with everything that was accepted, or it ends: then it
//! acknowledges nothing more. Either way a power cut or the end of the process, whichever comes, leaves what was
//! acknowledged, and at most what was submitted.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use holdfast_wal::Variant;
use holdfast_wal::disk::{Call, FakeDisk, Fault, Injection};

use super::crashes::go_on;
use super::drive::{Ledger, Run, drive};
use super::judge::{Expect, check, guarded};
use super::script::Script;
use super::subsets;
use super::tally::Tally;

/// Combinations that are enumerated in full after a failure.
const FULL: usize = 64;

/// Bytes of a sector.
const SECTOR: usize = 512;

/// A failing write is torn at most at so many places.
const TEARS: usize = 6;

const FIRST: u64 = 2000;
const SECOND: u64 = 2001;

/// What can fail, and how.
fn faults() -> Vec<(Call, Fault)> {
    let io = ErrorKind::Other;
    vec![
        (Call::Sync, Fault::FailClean(io)),
        (Call::Sync, Fault::Fail(io)),
        (Call::SyncDirectory, Fault::FailClean(io)),
        (Call::SyncDirectory, Fault::Fail(io)),
        (Call::Write, Fault::Fail(io)),
        (Call::Allocate, Fault::Fail(ErrorKind::StorageFull)),
        (Call::Create, Fault::Fail(ErrorKind::StorageFull)),
        (Call::Rename, Fault::Fail(io)),
        (Call::Unlink, Fault::Fail(io)),
        (Call::Map, Fault::Fail(io)),
    ]
}

/// Runs the workload once for each call that can fail and each way in which it can.
#[must_use]
pub fn every<V: Variant>(script: &Script) -> Tally {
    let mut failures = Failures { script, seen: BTreeSet::new(), tally: Tally::default() };
    for (call, fault) in faults() {
        let mut skip = 0;
        while failures.one::<V>(&Injection { call, skip, fault: fault.clone() }) {
            skip += 1;
        }
    }
    // A write that fails ends between two sectors.
    let whole = drive::<V>(script, &[], true);
    let writes: Vec<(usize, usize)> =
        whole.moments.iter().filter_map(|moment| write_of(&moment.before)).collect();
    for (skip, (offset, length)) in writes.into_iter().enumerate() {
        for end in (offset / SECTOR + 1..(offset + length).div_ceil(SECTOR)).take(TEARS) {
            let fault = Fault::Tear { bytes: end * SECTOR - offset, kind: ErrorKind::Other };
            failures.one::<V>(&Injection { call: Call::Write, skip, fault });
        }
    }
    failures.tally
}

/// Offset and length, if this is the description of a write.
fn write_of(call: &str) -> Option<(usize, usize)> {
    let (offset, length) = call.strip_prefix("write ")?.rsplit_once(' ')?.1.split_once('+')?;
    Some((offset.parse().ok()?, length.parse().ok()?))
}

struct Failures<'a> {
    script: &'a Script,
    seen: BTreeSet<(u64, usize, usize)>,
    tally: Tally,
}

impl Failures<'_> {
    /// Runs the workload with one failure. Whether it happened, and is worth going on.
    fn one<V: Variant>(&mut self, injection: &Injection) -> bool {
        let Injection { call, skip, fault } = injection;
        let run = drive::<V>(self.script, std::slice::from_ref(injection), false);
        if !run.disk.pending().is_empty() || !self.tally.goes_on() {
            return false;
        }
        self.tally.failures += 1;
        let story = || format!("{}: {call:?} number {skip} fails: {fault:?}", self.script.name);
        if let Some(what) = &run.wrong {
            self.tally.wrong(story(), what.clone(), &run.disk);
            return true;
        }
        after(&run, &mut self.seen, &mut self.tally, &story);
        true
    }
}

/// Everything that may be left of a run that met a failure.
fn after<V: Variant>(
    run: &Run<V>,
    seen: &mut BTreeSet<(u64, usize, usize)>,
    tally: &mut Tally,
    story: &dyn Fn() -> String,
) {
    let Ledger { acked, submitted, stage } = run.ledger;
    let expect = Expect { states: &run.states, acked, submitted, stage };
    subsets::each(&run.disk.unsynced(), FULL, &mut |choice| {
        let image = run.disk.after_power_cut(choice);
        one(run, &image, &expect, seen, tally, &|| {
            format!("{}, then a power cut that kept {choice:?}", story())
        });
        tally.goes_on()
    });
    one(run, &run.disk.after_kill(), &expect, seen, tally, &|| {
        format!("{}, then the process ended", story())
    });
}

/// Opens an image, and cuts the power: what opening reported must be there.
fn one<V: Variant>(
    run: &Run<V>,
    image: &FakeDisk,
    expect: &Expect<'_>,
    seen: &mut BTreeSet<(u64, usize, usize)>,
    tally: &mut Tally,
    story: &dyn Fn() -> String,
) {
    let hash = image.hash();
    if !seen.insert((hash, expect.acked, expect.submitted)) {
        return;
    }
    let opened = match check::<V>(image, FIRST, expect) {
        Ok(opened) => opened,
        Err(what) => return tally.wrong(story(), what, image),
    };
    tally.image(hash, opened.class);
    if opened.log.is_none() {
        return;
    }
    let cut = opened.disk.after_power_cut(&vec![0; opened.disk.unsynced().len()]);
    match check::<V>(&cut, SECOND, &expect.exactly(opened.state)) {
        Ok(opened) => tally.image(cut.hash(), opened.class),
        Err(what) => tally.wrong(format!("{}, opened, then a power cut", story()), what, &cut),
    }
    let Some(log) = opened.log.filter(|log| !log.is_damaged()) else { return };
    let base = &expect.states[opened.state];
    let gone_on = guarded(|| {
        go_on(log, &opened.disk, base, run.ops.get(opened.state), &mut |moment, expect, done| {
            let cut = moment.state.after_power_cut(&vec![0; moment.state.unsynced().len()]);
            match check::<V>(&cut, SECOND, expect) {
                Ok(opened) => tally.image(cut.hash(), opened.class),
                Err(what) => {
                    tally.wrong(format!("{}, opened, {done}, then a power cut", story()), what, &cut);
                }
            }
        })
    });
    if let Err(what) = gone_on {
        tally.wrong(format!("{}, opened and gone on with", story()), what, image);
    }
}
