//! The whole proof: which pieces of work there are, who does them, and what they add up to.
//!
//! # Why pieces
//! A piece is a workload, or a kind of damage to one log, or a part of one of these. Each counts for itself and knows nothing
//! of the others, so that it does not matter which thread does it or when: two runs print the same numbers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use holdfast_wal::Variant;

use super::atlas::{self, Damager, KINDS, Kind};
use super::crashes::Crashes;
use super::damage::Subject;
use super::drive::drive;
use super::faults;
use super::judge::Class;
use super::script::{Again, Script};
use super::scripts;
use super::tally::{Tally, Wrong};

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    /// A part that takes seconds without optimisation: the small workloads, and a sparse choice of the damage.
    Quick,
    /// Everything.
    Whole,
}

/// A piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Power cuts at those moments of a workload whose number leaves the first number when divided by the second.
    Power(usize, (usize, usize)),
    /// The end of the process at each moment of a workload.
    Kills(usize),
    /// Failing calls of a workload.
    Faults(usize),
    /// A kind of damage to a finished log: a part of it, of which one way in so many is done.
    Damage(usize, Kind, (u64, u64), u64),
}

/// What is worked on.
#[derive(Debug)]
pub struct Proof {
    scripts: Vec<Script>,
    subjects: Vec<Script>,
    pieces: Vec<Piece>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// By piece of work, in order.
    pub parts: Vec<(String, Tally)>,
    /// All together.
    pub all: Tally,
    /// The uncovered windows of the damaged logs, in bytes.
    pub windows: Vec<(&'static str, u64)>,
}

impl Proof {
    /// The proof as far as it is wanted.
    #[must_use]
    pub fn new(extent: Extent) -> Self {
        let (mut scripts, subjects) = (scripts::all(), atlas::subjects());
        if extent == Extent::Quick {
            scripts.retain(|script| script.quick);
            for script in &mut scripts {
                script.again = if script.again == Again::All { Again::Every(7) } else { Again::Every(61) };
            }
        }
        let mut pieces = Vec::new();
        for (at, script) in scripts.iter().enumerate() {
            pieces.push(Piece::Kills(at));
            let parts = if extent == Extent::Quick { 1 } else { script.parts };
            pieces.extend((0..parts).map(|part| Piece::Power(at, (part, parts))));
            if script.faults {
                pieces.push(Piece::Faults(at));
            }
        }
        for kind in KINDS {
            for at in 0..subjects.len() {
                let (parts, sparse) = portion(kind, at, extent);
                pieces.extend((0..parts).map(|part| Piece::Damage(at, kind, (part, parts), sparse)));
            }
        }
        Self { scripts, subjects, pieces }
    }

    /// Only what is counted under one of these headings.
    #[must_use]
    pub fn only(mut self, headings: &[&str]) -> Self {
        let pieces = std::mem::take(&mut self.pieces);
        self.pieces =
            pieces.into_iter().filter(|piece| headings.contains(&self.heading(*piece).as_str())).collect();
        self
    }

    /// The pieces, in order.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Under which heading a piece is counted.
    fn heading(&self, piece: Piece) -> String {
        match piece {
            Piece::Power(at, _) | Piece::Kills(at) | Piece::Faults(at) => {
                format!("crash {}", self.scripts[at].name)
            }
            Piece::Damage(_, kind, ..) => format!("damage {}", kind.name()),
        }
    }

    /// Does one piece.
    #[must_use]
    pub fn run<V: Variant>(&self, piece: Piece) -> Tally {
        match piece {
            Piece::Power(at, _) | Piece::Kills(at) => {
                let script = &self.scripts[at];
                let run = drive::<V>(script, &[], true);
                let mut crashes = Crashes::new(script, &run);
                if let Some(what) = run.wrong.as_ref().or(run.stopped.as_ref()) {
                    crashes.tally.wrong(
                        format!("{}: run without a crash", script.name),
                        what.clone(),
                        &run.disk,
                    );
                }
                if let Piece::Power(_, (part, parts)) = piece {
                    crashes.power(part, parts);
                } else {
                    crashes.kills();
                }
                crashes.tally
            }
            Piece::Faults(at) => faults::every::<V>(&self.scripts[at]),
            Piece::Damage(at, kind, part, sparse) => {
                let script = &self.subjects[at];
                match Subject::new::<V>(script) {
                    Ok(subject) => {
                        let mut damager = Damager::new(&subject, script, part, sparse);
                        damager.run::<V>(kind);
                        damager.tally
                    }
                    Err(what) => {
                        let mut tally = Tally::default();
                        let nothing = holdfast_wal::disk::FakeDisk::new(0);
                        tally.wrong(format!("{}: run without damage", script.name), what, &nothing);
                        tally
                    }
                }
            }
        }
    }

    /// Does everything, on so many threads.
    #[must_use]
    pub fn run_all<V: Variant>(&self, threads: usize) -> Outcome {
        let next = AtomicUsize::new(0);
        let done: Mutex<BTreeMap<usize, Tally>> = Mutex::new(BTreeMap::new());
        let work = || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(piece) = self.pieces.get(at) else { return };
                let mut tally = self.run::<V>(*piece);
                tally.distinct();
                done.lock().unwrap_or_else(PoisonError::into_inner).insert(at, tally);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(work);
            }
        });
        let mut outcome = Outcome::default();
        for (at, tally) in done.into_inner().unwrap_or_else(PoisonError::into_inner) {
            let heading = self.heading(self.pieces[at]);
            outcome.all.add(tally.clone());
            match outcome.parts.iter_mut().find(|(name, _)| *name == heading) {
                Some((_, sum)) => sum.add(tally),
                None => outcome.parts.push((heading, tally)),
            }
        }
        outcome.all.distinct();
        for (_, tally) in &mut outcome.parts {
            tally.distinct();
        }
        for script in &self.subjects {
            if let Ok(subject) = Subject::new::<V>(script) {
                outcome.windows.push((script.name, subject.uncovered_bytes()));
            }
        }
        outcome
    }

    /// Does one piece after the other until something is wrong. Says how many images were opened until then.
    #[must_use]
    pub fn first_wrong<V: Variant>(&self) -> (usize, Option<Wrong>) {
        let mut opened = 0;
        for piece in &self.pieces {
            let tally = self.run::<V>(*piece);
            opened += tally.images.len();
            if let Some(wrong) = tally.wrong.into_iter().next() {
                return (opened + 1, Some(wrong));
            }
        }
        (opened, None)
    }
}

/// Into how many parts a kind of damage is cut, and one in how many ways is done.
fn portion(kind: Kind, subject: usize, extent: Extent) -> (u64, u64) {
    match (extent, kind, subject) {
        (Extent::Quick, Kind::Sector | Kind::Meta, _) => (1, 3),
        (Extent::Quick, Kind::File | Kind::Stale, _) => (1, 5),
        (Extent::Quick, Kind::Write, _) => (1, 11),
        (Extent::Quick, Kind::Repair, _) => (1, 29),
        (Extent::Quick, Kind::Copy, 2) => (1, 3),
        (Extent::Quick, Kind::Copy | Kind::Swap, _) => (1, 37),
        (Extent::Quick, Kind::Length | Kind::Truncation, _) => (1, 331),
        (Extent::Quick, Kind::Flip, _) => (1, 1511),
        (Extent::Whole, Kind::Flip | Kind::Truncation | Kind::Copy | Kind::Swap, 0) => (8, 1),
        (Extent::Whole, Kind::Flip, 1) => (4, 1),
        // Those of the other two logs are every one.
        (Extent::Whole, Kind::Flip, _) => (1, 8),
        (
            Extent::Whole,
            Kind::Sector
            | Kind::Meta
            | Kind::File
            | Kind::Stale
            | Kind::Write
            | Kind::Repair
            | Kind::Copy
            | Kind::Swap
            | Kind::Length
            | Kind::Truncation,
            _,
        ) => (1, 1),
    }
}

impl Outcome {
    /// The numbers, line by line, without the last line.
    #[must_use]
    pub fn report(&self) -> String {
        let mut text = String::new();
        for (heading, tally) in &self.parts {
            let Tally { moments, partial, failures, repairs, uncovered, wrong, .. } = tally;
            let _ = write!(text, "{heading:<28} {} wrong={}", classes(tally), wrong.len());
            for (name, count) in [
                ("moments", *moments),
                ("not-exhaustive", *partial),
                ("failed-calls", *failures),
                ("repaired", *repairs),
                ("lost-uncovered", *uncovered),
            ] {
                if count > 0 {
                    let _ = write!(text, " {name}={count}");
                }
            }
            text.push('\n');
        }
        for kind in ["crash", "damage"] {
            let mut sum = Tally::default();
            for (_, tally) in self.parts.iter().filter(|(heading, _)| heading.starts_with(kind)) {
                sum.add(tally.clone());
            }
            sum.distinct();
            let _ = writeln!(
                text,
                "{:<28} {} wrong={}",
                format!("all of {kind}"),
                classes(&sum),
                sum.wrong.len()
            );
        }
        for (name, bytes) in &self.windows {
            let _ = writeln!(text, "uncovered window of {name}: {bytes} bytes");
        }
        text
    }

    /// The last line, without the time.
    #[must_use]
    pub fn summary(&self) -> String {
        format!("{} wrong={}", classes(&self.all), self.all.wrong.len())
    }
}

fn classes(tally: &Tally) -> String {
    let [clean, torn, damaged, refused] =
        [Class::Clean, Class::Torn, Class::Damaged, Class::Refused].map(|class| tally.count(class));
    format!("images={} clean={clean} torn={torn} damaged={damaged} refused={refused}", tally.images.len())
}
