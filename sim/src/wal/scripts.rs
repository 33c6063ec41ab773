//! The workloads.

use super::judge::SEGMENT;
use super::script::{Again, Fill as Body, Harm, Script, Step};

/// The names of the large workloads.
const STORMS: [&str; 20] = [
    "storm-1", "storm-2", "storm-3", "storm-4", "storm-5", "storm-6", "storm-7", "storm-8", "storm-9",
    "storm-10", "storm-11", "storm-12", "storm-13", "storm-14", "storm-15", "storm-16", "storm-17",
    "storm-18", "storm-19", "storm-20",
];

/// All workloads, the small ones first.
#[must_use]
pub fn all() -> Vec<Script> {
    let mut scripts = vec![create(), first_batch(), hard_states(), conflict(), marks()];
    scripts.extend([gathered(), back_and_forth(), reopening(), turn(), retire(), full_disk()]);
    scripts.extend(repairs());
    scripts.extend([rotation(), brinks(), trims(), resets(), fragments(), contents(), many_small(), wide()]);
    for (seed, name) in (1..).zip(STORMS) {
        scripts.push(storm(name, seed));
    }
    scripts
}

fn create() -> Script {
    Script::new("create").quick().again(Again::All)
}

fn first_batch() -> Script {
    let script = Script::new("first-batch").quick().again(Again::All);
    script.add(0, 1, &[0, 1, 7, 300]).sync().add(1, 1, &[440, 436]).write().add(0, 1, &[1200]).sync()
}

fn hard_states() -> Script {
    let script = Script::new("hard-states").quick().again(Again::All);
    let script = script.hard(0, 1, 1).sync().hard(0, 2, 0).hard(1, 2, 3).add(0, 2, &[100]).sync();
    script.hard(0, 2, 2).write().hard(0, 3, 1).add(0, 3, &[10]).sync().hard(1, 4, 2).sync()
}

fn conflict() -> Script {
    let script = Script::new("conflict").quick().again(Again::All);
    let script = script.add(0, 1, &[100, 100, 100, 300, 300, 20]).sync();
    let script = script.conflict(0, 4, 2, &[300, 20]).write().conflict(0, 4, 3, &[300]).sync();
    script.conflict(0, 2, 4, &[100]).add(0, 4, &[100, 300]).write().conflict(0, 2, 5, &[100]).sync()
}

fn marks() -> Script {
    let script = Script::new("marks").quick().again(Again::All);
    let script = script.add(0, 1, &[300]).sync().then(Step::Mark).sync().add(0, 1, &[500]).sync();
    script.then(Step::Mark).sync().then(Step::Prepare).add(1, 1, &[30]).sync()
}

fn rotation() -> Script {
    let mut script = Script::new("rotation").then(Step::Prepare);
    for round in 0..12_u64 {
        script = script.hard(1, round + 1, 1).add(0, round + 1, &[1300, 700, 1800]).sync();
        if round % 3 == 1 {
            script = script.then(Step::Prepare);
        }
    }
    script
}

/// A batch that goes on in the next segment.
fn turn() -> Script {
    let script =
        Script::new("turn").quick().then(Step::Prepare).add(0, 1, &[400]).sync().then(Step::Fill(700));
    script.add(0, 1, &[300]).add(1, 1, &[200, 60]).hard(1, 1, 1).add(0, 1, &[500, 20]).sync()
}

/// A segment that nobody needs any more.
fn retire() -> Script {
    let script = Script::new("retire").quick().then(Step::Prepare);
    let script = (0..7).fold(script, |script, _| script.add(0, 1, &[1900]).sync());
    let script = script.add(0, 1, &[1900, 40]).sync().then(Step::Prepare);
    script.trim(0, 9).sync().add(0, 1, &[60]).sync()
}

/// A disk with room for four segments.
fn full_disk() -> Script {
    let script =
        Script::new("full-disk").quick().on(4 * SEGMENT + 3 * 4096).then(Step::Prepare).add(0, 1, &[30]);
    script
        .hard(0, 1, 1)
        .sync()
        .then(Step::FillDisk)
        .add(0, 2, &[50])
        .sync()
        .then(Step::Reopen)
        .then(Step::FillDisk)
}

/// Each kind of operation as the one that does not fit into the segment any more.
fn brinks() -> Script {
    let mut script = Script::new("brinks").then(Step::Prepare);
    for round in 0..7_u64 {
        script = script.add(0, 2 * round + 1, &[1400; 3]).sync().add(1, 2 * round + 1, &[200]).sync();
        script = script.then(Step::Fill(40)).then(Step::Prepare);
        let last = script.last(0);
        script = match round {
            0 => script.hard(0, 4, 1).hard(1, 4, 2),
            1 => script.trim(0, last - 2),
            2 => script.reset(0, last - 3, 2 * round + 1),
            3 => script.conflict(0, last - 2, 2 * round + 2, &[30]),
            4 => script.reset(1, 500, 9).hard(1, 10, 2),
            5 => script.add(0, 2 * round + 1, &[3000]),
            _ => script.trim(0, last + 1),
        };
        script = script.sync().then(Step::Prepare);
    }
    script.then(Step::Reopen).add(0, 15, &[10]).sync()
}

/// Batches that fill as many sectors as can be enumerated in full, of everything that there is.
fn storm(name: &'static str, seed: u64) -> Script {
    let mut word = seed;
    let mut below = move |limit: u64| {
        word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (word >> 33) % limit
    };
    let mut script = Script::new(name).again(Again::Every(48)).without_faults().then(Step::Prepare);
    let mut term = 1;
    for batch in 0..9 {
        let mut bytes = 0;
        while bytes < 4900 {
            let number = below(3) as u32;
            let length = [0, 1, 7, 60, 200, 300, 437, 440, 512, 900, 1300, 2100][below(12) as usize];
            let (first, last) = (script.first(number), script.last(number));
            let kind = below(20);
            bytes += length + 100;
            script = match kind {
                0 => script.hard(number, term, 1 + below(3)),
                1 if last > first + 4 => script.trim(number, first + 2),
                2 if batch > 5 => script.reset(number, last + 3, term),
                3 | 4 if last > first + 2 => {
                    term += 1;
                    script.conflict(number, last - below(2), term, &[length])
                }
                5 => script.filled(Body::Patches, number, term, &[length]),
                6 => script.filled(Body::Zeros, number, term, &[length]),
                7 => script.filled(Body::Records, number, term, &[length]),
                8 => script.write().add(number, term, &[7]),
                _ => script.add(number, term, &[length]),
            };
        }
        script = script.sync();
        script = if below(3) == 0 { script.then(Step::Mark).sync() } else { script.then(Step::Prepare) };
    }
    script
}

/// A batch in which a rotation happens, with more in front of it and behind it.
fn wide() -> Script {
    let script = Script::new("wide").then(Step::Prepare).add(0, 1, &[1500; 8]).sync();
    let script = script.hard(1, 1, 1).add(0, 1, &[700, 900, 700]).add(1, 1, &[500, 300, 300, 20]).sync();
    script.conflict(0, 8, 2, &[1700]).add(1, 2, &[1500; 6]).sync()
}

/// Several batches before one sync: sectors that were written more than once.
fn gathered() -> Script {
    let script = Script::new("gathered")
        .quick()
        .add(0, 1, &[100])
        .write()
        .add(0, 1, &[100])
        .write()
        .add(0, 1, &[300])
        .write();
    let script = script.add(1, 1, &[90, 0]).write().hard(0, 1, 1).write().add(0, 1, &[1, 2]).write().sync();
    let script = script.add(0, 1, &[60, 60, 60, 60, 60, 60, 60]).write_each().sync();
    script.conflict(0, 3, 2, &[30, 30]).write_each().conflict(0, 2, 3, &[30, 30, 30]).write_each().sync()
}

/// The log of one term comes back after that of another was there: only the terms tell them apart.
fn back_and_forth() -> Script {
    let script = Script::new("back-and-forth").quick().add(0, 1, &[200, 200, 200]).sync();
    let script = script.conflict(0, 2, 2, &[200, 200]).sync();
    let script = script.conflict(0, 2, 3, &[200]).write().conflict(0, 2, 4, &[200, 200, 200]).sync();
    script.conflict(0, 4, 5, &[200]).conflict(0, 3, 6, &[200]).write().conflict(0, 3, 7, &[200, 30]).sync()
}

fn fragments() -> Script {
    let script = Script::new("fragments").then(Step::Prepare).add(0, 1, &[2049]).sync();
    let script = script.add(0, 1, &[100, 4200]).sync().add(1, 1, &[2500]).write().add(0, 1, &[30]).sync();
    let script =
        script.add(0, 1, &[5000]).sync().then(Step::Prepare).filled(Body::Patches, 1, 1, &[4300]).sync();
    script.filled(Body::Zeros, 0, 1, &[2500]).sync().conflict(0, 2, 2, &[4096]).sync()
}

fn contents() -> Script {
    let script = Script::new("contents").filled(Body::Zeros, 0, 1, &[0, 1, 500, 1100]).sync();
    let script = script.filled(Body::Records, 0, 1, &[900, 80]).sync();
    let script = script.filled(Body::Patches, 1, 1, &[1900]).filled(Body::Zeros, 0, 1, &[700]).sync();
    script.filled(Body::Records, 1, 1, &[1500]).filled(Body::Zeros, 1, 1, &[400, 0, 0]).sync()
}

fn many_small() -> Script {
    let script = Script::new("many-small").add(0, 1, &[0; 40]).sync().add(1, 1, &[1; 40]).sync();
    script.add(2, 1, &[3, 17, 64, 100, 3, 0, 9, 250, 8, 16, 24, 32, 40, 48, 56]).sync()
}

fn trims() -> Script {
    let mut script = Script::new("trims").then(Step::Prepare);
    for round in 0..10_u64 {
        script = script.add(0, 1 + round / 3, &[1500, 1500]).add(1, 1, &[900]).sync().then(Step::Prepare);
        if round >= 4 {
            let (last, other) = (script.last(0), script.last(1));
            script = script.trim(0, last - 3).trim(1, other).sync();
        }
    }
    script.then(Step::Reopen).trim(0, 20).sync()
}

fn resets() -> Script {
    let script = Script::new("resets").then(Step::Prepare).add(0, 1, &[1500; 5]).sync();
    let script = script.reset(0, 40, 3).sync().add(0, 3, &[200, 300]).sync().add(1, 2, &[1900; 3]).sync();
    let script = script.reset(1, 2, 2).sync().add(1, 2, &[40]).reset(1, 3, 2).add(1, 2, &[20]).sync();
    script.reset(1, 9, 2).add(1, 4, &[40]).reset(0, 90, 5).add(0, 5, &[300]).sync().then(Step::Reopen)
}

fn reopening() -> Script {
    let script = Script::new("reopening").quick().again(Again::All);
    let script = script.add(0, 1, &[300, 400]).hard(0, 1, 2).sync().then(Step::Reopen);
    let script = script.add(0, 2, &[500, 30]).write().then(Step::Reopen).add(0, 2, &[700]).sync();
    script.then(Step::Reopen).conflict(0, 3, 3, &[10]).sync()
}

/// A log of which a part is damaged, reported and sent again.
fn repairs() -> Vec<Script> {
    let begin = |name| {
        let script =
            Script::new(name).quick().again(Again::All).add(0, 1, &[300, 500, 400]).add(1, 1, &[300]).sync();
        let script = script.conflict(0, 3, 2, &[500, 100]).add(1, 2, &[600]).hard(0, 2, 1).sync();
        script.then(Step::Mark).sync()
    };
    let end = |script: Script| {
        script.then(Step::Repair).add(0, 3, &[50]).add(1, 3, &[700]).sync().then(Step::Reopen)
    };
    let flip = begin("repair-body").then(Step::Damage(vec![Harm::Flip(1, 512 + 900)]));
    let zero = begin("repair-zero").then(Step::Damage(vec![Harm::Zero(1, 3)]));
    let unreadable = begin("repair-unreadable").then(Step::Damage(vec![Harm::Unreadable(1, 4)]));
    let two = begin("repair-two").then(Step::Damage(vec![Harm::Zero(1, 2), Harm::Zero(1, 4)]));
    let header = begin("repair-header").then(Step::Damage(vec![Harm::Flip(1, 100)]));
    let checkpoint = begin("repair-checkpoint").then(Step::Damage(vec![Harm::Flip(1, 520)]));
    [flip, zero, unreadable, two, header, checkpoint].into_iter().map(end).collect()
}
