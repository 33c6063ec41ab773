//! Every crash of a workload: each moment, each combination of what was not synced, and then a second crash.
//!
//! # What is compared
//! - a power cut at each moment before a call that changes something;
//! - of some of these images (of small workloads all): a power cut at each moment of the opening itself, the states that
//!   opening left, one more batch behind it, and power cuts during and after that one;
//! - the end of the process at each moment, an opening, and then a power cut: what the opening reported is durable.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use holdfast_wal::disk::{Cell, CellKind, FakeDisk, Moment};
use holdfast_wal::{Log, Op, Variant};

use super::drive::Run;
use super::judge::{Expect, Stage, check, group, guarded, read_all, recorded, same};
use super::model::Model;
use super::repair;
use super::script::{Again, Fill, Script, body};
use super::subsets;
use super::tally::Tally;

/// Combinations that are enumerated in full at the moments of a second crash.
const FULL_AGAIN: usize = 32;

/// Numbers of the starts of the process: no two of one story are the same.
const FIRST: u64 = 1000;
const SECOND: u64 = 1001;
const THIRD: u64 = 1002;

/// Enumerates the crashes of one run.
#[derive(Debug)]
pub struct Crashes<'a, V: Variant> {
    script: &'a Script,
    run: &'a Run<V>,
    /// Images that were opened before with the same expectation.
    seen: BTreeSet<(u64, u64, usize, usize)>,
    /// What was counted.
    pub tally: Tally,
}

impl<'a, V: Variant> Crashes<'a, V> {
    /// Of a run that was recorded.
    #[must_use]
    pub fn new(script: &'a Script, run: &'a Run<V>) -> Self {
        Self { script, run, seen: BTreeSet::new(), tally: Tally::default() }
    }

    /// Cuts the power at every moment whose number leaves `part` when divided by `parts`.
    pub fn power(&mut self, part: usize, parts: usize) {
        for (number, moment) in self.run.moments.iter().enumerate().filter(|(at, _)| at % parts == part) {
            if !self.tally.goes_on() {
                return;
            }
            self.power_at(number, moment);
        }
    }

    fn power_at(&mut self, number: usize, moment: &Moment) {
        let cells = moment.state.unsynced();
        let expect = self.run.expect(moment);
        let script = self.script;
        self.tally.moments += 1;
        let whole = subsets::each(&cells, script.full, &mut |choice| {
            let image = moment.state.after_power_cut(choice);
            let story = || format!("{}: {}", script.name, tell(number, moment, &cells, choice));
            if let Some(hash) = self.image(&image, (FIRST, 0), &expect, &story) {
                let again = match script.again {
                    Again::All => true,
                    Again::Every(part) => hash.is_multiple_of(part),
                };
                if again {
                    self.again(&image, &expect, &story);
                }
            }
            self.tally.goes_on()
        });
        self.tally.partial += u64::from(!whole);
    }

    /// Opens an image that was not opened before, and compares it. Its hash if it was right. `tag` tells stories with
    /// different lists of states apart.
    fn image(
        &mut self,
        image: &FakeDisk,
        (start, tag): (u64, u64),
        expect: &Expect<'_>,
        story: &dyn Fn() -> String,
    ) -> Option<u64> {
        let hash = image.hash();
        if !self.seen.insert((hash, tag, expect.acked, expect.submitted)) {
            return None;
        }
        match check::<V>(image, start, expect) {
            Ok(opened) => {
                self.tally.image(hash, opened.class);
                Some(hash)
            }
            Err(what) => {
                self.tally.wrong(story(), what, image);
                None
            }
        }
    }

    /// Cuts the power once more.
    fn cut(&mut self, moment: &Moment, tag: u64, expect: &Expect<'_>, story: &dyn Fn() -> String) {
        let cells = moment.state.unsynced();
        subsets::each(&cells, FULL_AGAIN, &mut |choice| {
            let image = moment.state.after_power_cut(choice);
            let story = || format!("{}\n  then {}", story(), tell(0, moment, &cells, choice));
            self.image(&image, (THIRD, tag), expect, &story);
            self.tally.goes_on()
        });
    }

    /// Opens an image with every moment of it kept, crashes at each of them, and goes on with what was opened.
    fn again(&mut self, image: &FakeDisk, expect: &Expect<'_>, story: &dyn Fn() -> String) {
        let opened = match guarded(|| recorded::<V>(image, SECOND, expect, true)) {
            Ok(opened) => opened,
            Err(what) => return self.tally.wrong(story(), what, image),
        };
        for moment in opened.disk.take_moments() {
            self.cut(&moment, 0, expect, &|| format!("{}\n  opened", story()));
        }
        let Some(log) = opened.log else { return };
        let after = opened.disk.moment("anything else");
        self.cut(&after, 0, &expect.exactly(opened.state), &|| format!("{}\n  opened to the end", story()));
        opened.disk.record(false);
        let done = if log.is_damaged() {
            let truth = &self.run.states[self.run.states.len() - 1];
            self.tally.repairs += 1;
            guarded(|| repair::to_the_end(log, &opened.disk, THIRD, truth))
        } else {
            let (state, tag) = (opened.state, image.hash());
            let (base, lost) = (&self.run.states[state], self.run.ops.get(state));
            guarded(|| {
                go_on(log, &opened.disk, base, lost, &mut |moment, expect, done| {
                    self.cut(moment, tag, expect, &|| format!("{}\n  opened, and {done}", story()));
                })
            })
        };
        if let Err(what) = done {
            self.tally.wrong(format!("{}\n  opened and gone on with", story()), what, image);
        }
    }

    /// Ends the process at every moment, opens the log, and cuts the power.
    pub fn kills(&mut self) {
        for (number, moment) in self.run.moments.iter().enumerate() {
            if !self.tally.goes_on() {
                return;
            }
            let image = moment.state.after_kill();
            let hash = image.hash();
            let expect = self.run.expect(moment);
            if !self.seen.insert((hash, 1, expect.acked, expect.submitted)) {
                continue;
            }
            self.tally.moments += 1;
            let story =
                || format!("{}: killed at moment {number}, before {}", self.script.name, moment.before);
            match check::<V>(&image, FIRST, &expect) {
                Ok(opened) => {
                    self.tally.image(hash, opened.class);
                    if opened.log.is_none() {
                        continue;
                    }
                    let after = opened.disk.moment("anything else");
                    let exactly = expect.exactly(opened.state);
                    self.cut(&after, 0, &exactly, &|| format!("{}\n  opened to the end", story()));
                }
                Err(what) => self.tally.wrong(story(), what, &image),
            }
        }
    }
}

/// Appends behind what was opened, as long as what was lost where that may be: if anything that was cut came back, it
/// would be here. Calls `visit` for each moment of it.
///
/// # Errors
/// What was wrong.
pub fn go_on<V: Variant>(
    mut log: Log<FakeDisk, V>,
    disk: &FakeDisk,
    base: &Model,
    lost: Option<&Op>,
    visit: &mut dyn FnMut(&Moment, &Expect<'_>, &str),
) -> Result<(), String> {
    let mut states = vec![base.clone()];
    disk.record(true);
    for (done, op) in more(base, lost).into_iter().enumerate() {
        let mut next = states[done].clone();
        next.apply(&op);
        states.push(next);
        log.append(std::slice::from_ref(&op)).map_err(|error| format!("{op:?}: {error}"))?;
        log.sync().map_err(|fatal| fatal.to_string())?;
        same(&read_all(&log), &states[done + 1], false)?;
        let expect = Expect { states: &states, acked: done, submitted: done + 1, stage: Stage::Whole };
        for moment in disk.take_moments() {
            visit(&moment, &expect, &format!("{done} more, and the next one under way"));
        }
        let after = disk.moment("anything else");
        visit(&after, &expect.exactly(done + 1), &format!("{} more synced", done + 1));
    }
    Ok(())
}

/// Two operations more: in the place of an entry that was lost another one of its length and term, else any entry; and
/// a hard state.
fn more(state: &Model, lost: Option<&Op>) -> Vec<Op> {
    let number = 0;
    let blank = super::model::GroupModel::default();
    let known = state.groups.get(&number).unwrap_or(&blank);
    let (index, term) = (known.last() + 1, known.last_term().max(1));
    let other = |number: u32, index, term, length| {
        let body = body(Fill::Unique, (number, index, term + 1_000_000), length);
        Op::Entry { group: group(number), index, term, body }
    };
    let entry = match lost {
        Some(Op::Entry { group, index, term, body }) => other(group.0, *index, *term, body.len()),
        Some(
            Op::HardState { .. }
            | Op::Trim { .. }
            | Op::Reset { .. }
            | Op::Fill { .. }
            | Op::Confirm { .. }
            | Op::Heal { .. },
        )
        | None => other(number, index, term, 40),
    };
    vec![entry, Op::HardState { group: group(number), term: known.hard.0 + 1, vote: 3 }]
}

/// How an image came to be, for people.
fn tell(number: usize, moment: &Moment, cells: &[Cell], choice: &[usize]) -> String {
    let mut text =
        format!("power cut at moment {number}, before {}; of {} cells", moment.before, cells.len());
    if choice.iter().all(|version| *version == 0) {
        text.push_str(" none new");
        return text;
    }
    text.push_str(" new:");
    for (cell, version) in cells.iter().zip(choice).filter(|(_, version)| **version > 0) {
        let what = match &cell.kind {
            CellKind::Name { name } => format!("name {name}"),
            CellKind::Sector { name, sector, .. } => format!("{name} sector {sector}"),
            CellKind::Length { name, .. } => format!("length of {name}"),
        };
        let _ = write!(text, " [{what}, version {version} of {}]", cell.versions);
    }
    text
}
