//! One log through a store and the model, compared behind each entry.

use std::collections::BTreeSet;
use std::fmt::Write;

use bytes::Bytes;
use holdfast_command::{AuditRecord, Code, Entry, Envelope, Outcome, Reply, ReplyNumber, Request};
use holdfast_machine::Numbered;
use holdfast_store::{LogPosition, Plant, Store};

use super::compare::{self, Present};
use super::generate::Generator;
use super::naive::{Answered, Naive};
use super::rng::Rng;
use super::snapshots;

/// An entry of the log: a command, or nothing.
pub(crate) type Logged = (LogPosition, Option<Bytes>);

/// What a run came across.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) log: Vec<Logged>,
    pub(crate) commands: u64,
    pub(crate) accepted: u64,
    pub(crate) repeated: u64,
    pub(crate) revisions: u64,
    pub(crate) compactions: u64,
    pub(crate) pages: u64,
    pub(crate) snapshots: u64,
    pub(crate) codes: BTreeSet<u16>,
    pub(crate) replies: BTreeSet<u16>,
    pub(crate) marks: BTreeSet<&'static str>,
}

impl Report {
    pub(crate) fn add(&mut self, other: &Self) {
        self.commands += other.commands;
        self.accepted += other.accepted;
        self.repeated += other.repeated;
        self.revisions += other.revisions;
        self.compactions += other.compactions;
        self.pages += other.pages;
        self.snapshots += other.snapshots;
        self.codes.extend(&other.codes);
        self.replies.extend(&other.replies);
        self.marks.extend(&other.marks);
    }

    fn count(&mut self, answered: &Answered) {
        self.commands += 1;
        self.repeated += u64::from(answered.repeated);
        match &answered.outcome {
            Outcome(Ok(reply)) => {
                self.accepted += 1;
                self.compactions += u64::from(matches!(reply, Reply::Compacted { .. }));
                note(reply, &mut self.replies);
            }
            Outcome(Err(refusal)) => {
                self.codes.insert(refusal.code() as u16);
            }
        }
    }
}

fn note(reply: &Reply, all: &mut BTreeSet<u16>) {
    all.insert(reply.number() as u16);
    if let Reply::Transacted { results, .. } = reply {
        for result in results {
            note(result, all);
        }
    }
}

/// Codes and replies by name that no log reached, without those that none can.
pub(crate) fn missing(report: &Report, impossible: fn(Code) -> bool) -> Vec<String> {
    let codes = Code::ALL.iter().filter(|code| !report.codes.contains(&code.number()));
    let replies = ReplyNumber::ALL.iter().filter(|reply| !report.replies.contains(&reply.number()));
    let codes = codes.filter(|code| !impossible(**code)).map(|code| code.label());
    codes.chain(replies.map(|reply| reply.label())).collect()
}

/// Says which log it was when something panics.
struct Witness<'a> {
    seed: u64,
    log: &'a mut Vec<Logged>,
}

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}\n{}", self.seed, last(self.log));
        }
    }
}

/// The last entries of a log, decoded as far as they can be; many equal letters as their number.
fn last(log: &[Logged]) -> String {
    let mut text = String::new();
    for (at, entry) in &log[log.len().saturating_sub(3)..] {
        let _ = match entry.as_ref().map(Entry::decode) {
            None => writeln!(text, "{}: nothing", at.index),
            Some(Ok(Entry { envelope, request: Request { key, reason, command, extensions } })) => writeln!(
                text,
                "{}: clock {} stamp {} {:?}; {key:?}; {} bytes of reason; {extensions:?}; {command:?}",
                at.index,
                envelope.clock,
                envelope.stamp,
                envelope.actor,
                reason.len(),
            ),
            Some(Err(error)) => writeln!(text, "{}: {error}; {entry:?}", at.index),
        };
    }
    for (letter, lengths) in [("v", 8..700), ("w", 8..700), ("x", 8..700)] {
        for length in lengths.rev() {
            text = text.replace(&letter.repeat(length), &format!("{letter}×{length}"));
        }
    }
    text
}

/// How closely a run looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Care {
    pub(crate) length: u64,
    /// Ranges that are read behind each entry.
    pub(crate) ranges: u64,
}

/// Applies the log of a seed to a store and to the model.
pub(crate) fn run<P: Plant>(seed: u64, care: Care) -> Result<Report, String> {
    let mut report = Report::default();
    let mut log = Vec::new();
    let result = {
        let mut witness = Witness { seed, log: &mut log };
        drive::<P>(care, &mut witness, &mut report)
    };
    result.map_err(|fault| format!("seed {seed}, behind:\n{}{fault}", last(&log)))?;
    report.log = log;
    Ok(report)
}

fn drive<P: Plant>(care: Care, witness: &mut Witness<'_>, report: &mut Report) -> Result<(), String> {
    let mut store = Store::<P>::new();
    let mut model = Naive::new();
    let mut generator = Generator::new(witness.seed);
    // Of its own, so that a seed is the same log with and without snapshots.
    let mut restarts = Rng::new(witness.seed ^ 0x5eed_0f5a);
    let mut term = 1;
    for index in 1..=care.length {
        if generator.rng.permille(150) {
            store.sweep(generator.rng.below(6) as usize);
        }
        if restarts.permille(60) {
            store = snapshots::through(&store)?;
            report.snapshots += 1;
        }
        if generator.rng.permille(20) {
            term += 1;
            witness.log.push((LogPosition { term, index }, None));
            let skipped = store.skip(LogPosition { term, index }).is_ok();
            compare::same("skipped", &skipped, &model.skip((term, index)).is_ok())?;
            continue;
        }
        let entry = generator.entry(&model);
        witness.log.push((LogPosition { term, index }, Some(entry.clone())));
        if let Ok((envelope, request)) = Envelope::split(&entry) {
            let mine = model.admit(&request, &envelope.actor);
            let admitted = store.admit(&request, &envelope.actor);
            compare::same("admission", &admitted.map(|_| ()), &mine.map(|_| ()))?;
        }
        let applied = store.apply(LogPosition { term, index }, &entry);
        let touched = applied.as_ref().ok().map(compare::touched_of_store);
        let audit = applied.as_ref().map(|applied| applied.audit.clone()).unwrap_or_default();
        let applied = applied.map(|applied| Answered {
            outcome: applied.outcome,
            at: (applied.at.term, applied.at.index),
            repeated: applied.repeated,
        });
        let seen = applied.as_ref().ok().map(|applied| &applied.outcome);
        let mine = model.apply((term, index), &entry, seen);
        compare::same("answer", &applied.as_ref().ok(), &mine.as_ref().ok())?;
        // A node that halted is asked nothing more.
        let Ok(answered) = mine else { break };
        let audit =
            (!audit.is_empty()).then(|| AuditRecord::decode(audit).map_err(|error| error.to_string()));
        compare::same("audit record", &audit, &model.record.clone().map(Ok))?;
        compare::same("touched", &touched, &Some(model.touched.clone()))?;
        report.count(&answered);
        compare::same("state", &Present::of_store(&store), &Present::of_model(&model))?;
        look_around(&store, &mut model, &mut generator, care, report)?;
    }
    report.revisions = model.revision();
    report.marks = model.marks;
    Ok(())
}

/// Reads here and there.
fn look_around<P: Plant>(
    store: &Store<P>,
    model: &mut Naive,
    generator: &mut Generator,
    care: Care,
    report: &mut Report,
) -> Result<(), String> {
    for _ in 0..care.ranges {
        let range = generator.range(model);
        let places = model.places.len();
        compare::range(store, model, &range, 20)?;
        report.pages += (model.places.len() - places) as u64;
    }
    let (key, limit) = (generator.key(model), *generator.rng.pick(&[0, 1, 2, usize::MAX]));
    let (seen, mine) =
        (compare::history_of_store(store, &key, limit), compare::history_of_model(model, &key, limit));
    compare::same(&format!("history of {key:?}, at most {limit}"), &seen, &mine)?;
    let clock = (model.clock + generator.rng.below(60)).saturating_sub(20);
    let (seen, mine) = (compare::due_of_store(store, clock), compare::due_of_model(model, clock));
    compare::same(&format!("leases that are over at {clock}"), &seen, &mine)?;
    let from = generator.revision(model).saturating_add(generator.rng.below(2));
    let (seen, mine) = (compare::changes_of_store(store, from), compare::changes_of_model(model, from));
    compare::same(&format!("changes from {from}"), &seen, &mine)
}
