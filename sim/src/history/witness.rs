//! Writes and reads of any number, judged by what the answers themselves say of their place.
//!
//! # Why that is enough
//! Each answer names the index and the revision at which it was made. That is an order of all calls, and it only
//! has to be checked: that it agrees with real time, that each answer is what a sequential store gives at that
//! place, and that the store at the end says the same. Finding an order is hard, checking one takes O(n log n): a
//! million calls in seconds. Whoever does not want to believe the indexes asks [`wgl`](super::wgl).
//!
//! # What is promised
//! - **Durable**: an acknowledged write is there at the end, all of it in its revision, and nothing else in that
//!   revision.
//! - **No phantom**: each value at the end and in answers was asked for by a write that was not refused.
//! - **Exactly once**: a write takes effect in one revision, also one of unknown outcome.
//! - **Real time**: what returned before something was asked comes before it in the log. A linearizable read shows
//!   all that was answered before it was asked, and no read shows what was asked after it returned. `NotBefore` is
//!   kept.
//! - **One log**: an index is of one write, terms and revisions do not fall along the log, no revision is empty.
//! - **Values**: a read at a revision shows of each key that it asked for the version that is the newest there, and
//!   no other.
//! - **Conditions**: `only_if` held right before each write that was executed, and did not where that is the answer.
//!   Fences are judged by [`locks`](super::locks).

use std::cell::OnceCell;
use std::collections::BTreeMap;

use bytes::Bytes;

use super::facts::{Facts, State, Version, shown};
use super::matching::assign;
use super::{Answer, Ask, Freshness, History, Kind, Micros, Op, Position, Violation, text};

/// A write of unknown outcome that turned out to have been executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Which of the calls.
    pub op: usize,
    /// The revision in which it took effect.
    pub revision: u64,
}

/// What came of looking at a history.
#[derive(Clone, Debug, Default)]
pub struct Examined {
    /// What was wrong.
    pub violations: Vec<Violation>,
    /// Writes of unknown outcome that were found at the end, by revision. Of several deletions of the same keys it
    /// is not certain which was when; those are left out.
    pub resolved: Vec<Resolved>,
}

/// The fewest writes that changed something, and the fewest reads that were answered, in a run that says anything.
pub const ENOUGH: usize = 20;

/// A run with so little success that it proves nothing: fewer than [`ENOUGH`] writes or reads, an unknown end of
/// more than half of all calls, or no write in the last tenth of its time (it may have stood still when it ended).
#[must_use]
pub fn is_void(history: &History) -> bool {
    let (mut written, mut found, mut unknown, mut last_write) = (0, 0, 0, 0);
    for op in &history.ops {
        match op.answer {
            Answer::Written { .. } => {
                written += 1;
                last_write = last_write.max(op.returned);
            }
            Answer::Found { .. } => found += 1,
            Answer::Unknown => unknown += 1,
            Answer::NotMet { .. } | Answer::Refused => {}
        }
    }
    let first = history.ops.iter().map(|op| op.invoked).min().unwrap_or(0);
    let last = history.ops.iter().map(|op| op.invoked).max().unwrap_or(0);
    let still = last_write < last - (last - first) / 10;
    written < ENOUGH || found < ENOUGH || unknown * 2 > history.ops.len() || still
}

/// What is wrong with writes and reads.
#[must_use]
pub fn judge(history: &History) -> Vec<Violation> {
    examine(history).violations
}

/// Looks at writes and reads.
#[must_use]
pub fn examine(history: &History) -> Examined {
    let (facts, violations) = Facts::new(history);
    let mut witness = Witness {
        history,
        facts,
        sought: Values::of(history, |answer| !matches!(answer, Answer::Written { .. })),
        acknowledged: OnceCell::new(),
        out: Examined { violations, resolved: Vec::new() },
    };
    witness.answers_fit();
    witness.log_is_one();
    witness.real_time();
    let seen = Seen::of(&history.ops);
    witness.effects(&seen);
    witness.unknown_in_time(&seen);
    for op in &history.ops {
        witness.values(op);
        witness.condition(op);
    }
    witness.out
}

/// Which call asked for a value.
#[derive(Debug)]
struct Values<'a>(Vec<(&'a [u8], usize)>);

impl<'a> Values<'a> {
    fn of(history: &'a History, of: impl Fn(&Answer) -> bool) -> Self {
        let mut values = Vec::new();
        for (number, op) in history.ops.iter().enumerate().filter(|(_, op)| of(&op.answer)) {
            if let Ask::Write { changes, .. } = &op.ask {
                values.extend(changes.iter().filter_map(|(_, value)| Some((value.as_deref()?, number))));
            }
        }
        values.sort_unstable();
        Self(values)
    }

    fn whose(&self, value: &[u8]) -> Option<usize> {
        let at = self.0.partition_point(|(known, _)| *known < value);
        self.0.get(at).filter(|(known, _)| *known == value).map(|(_, op)| *op)
    }
}

/// The highest revision that had been shown to anybody, by time.
#[derive(Debug)]
struct Seen(Vec<(Micros, u64, usize)>);

impl Seen {
    fn of(ops: &[Op]) -> Self {
        let placed = ops.iter().enumerate();
        let placed = placed.filter_map(|(number, op)| Some((op.returned, place(op)?.1, number)));
        let mut seen: Vec<(Micros, u64, usize)> = placed.collect();
        seen.sort_unstable();
        let mut highest = (0, 0);
        for (_, revision, number) in &mut seen {
            highest = highest.max((*revision, *number));
            (*revision, *number) = highest;
        }
        Self(seen)
    }

    /// In what had returned before this time, and in which call.
    fn before(&self, time: Micros) -> Option<(u64, usize)> {
        let behind = self.0.partition_point(|(returned, _, _)| *returned < time);
        behind.checked_sub(1).map(|at| (self.0[at].1, self.0[at].2))
    }
}

/// A change at the end.
type Change<'a> = (u64, &'a [u8], Option<&'a [u8]>);

#[derive(Debug)]
struct Witness<'a> {
    history: &'a History,
    facts: Facts<'a>,
    /// Values of writes that were not acknowledged.
    sought: Values<'a>,
    /// Values of those that were: made when it is needed, which it is not in a correct history.
    acknowledged: OnceCell<Values<'a>>,
    out: Examined,
}

/// Where a call stands in the log, and the revision there.
fn place(op: &Op) -> Option<(Position, u64)> {
    match op.answer {
        Answer::Written { at, revision }
        | Answer::NotMet { at, revision }
        | Answer::Found { at, revision, .. } => Some((at, revision)),
        Answer::Refused | Answer::Unknown => None,
    }
}

fn is_read(op: &Op) -> bool {
    matches!(op.ask, Ask::Read { .. })
}

/// A call, for people.
fn told(op: &Op) -> String {
    let what = match &op.ask {
        Ask::Write { changes, .. } => {
            let list = changes
                .iter()
                .take(3)
                .map(|(key, value)| format!("{}={}", text(key), shown(value.as_deref())));
            format!("write {}", list.collect::<Vec<_>>().join(","))
        }
        Ask::Read { keys, freshness } => {
            let list: Vec<_> = keys.iter().take(3).map(|key| text(key)).collect();
            format!("read {} {freshness:?}", list.join(","))
        }
    };
    let at = place(op).map_or_else(
        || format!("{:?}", op.answer),
        |(at, revision)| format!("at {}@{} revision {revision}", at.index, at.term),
    );
    format!("client {} {what} [{}..{}] {at}", op.client, op.invoked, op.returned)
}

impl<'a> Witness<'a> {
    fn report(&mut self, kind: Kind, what: String) {
        self.out.violations.push(Violation::new(kind, what));
    }

    /// Who asked for a value, of all writes.
    fn whose(&self, value: &[u8]) -> Option<usize> {
        let all = || Values::of(self.history, |answer| matches!(answer, Answer::Written { .. }));
        self.sought.whose(value).or_else(|| self.acknowledged.get_or_init(all).whose(value))
    }

    /// An answer is one to its question.
    fn answers_fit(&mut self) {
        for op in &self.history.ops {
            let fits = match op.answer {
                Answer::Written { .. } | Answer::NotMet { .. } => !is_read(op),
                Answer::Found { .. } => is_read(op),
                Answer::Refused | Answer::Unknown => true,
            };
            if !fits || op.returned < op.invoked {
                self.report(Kind::WrongOrder, format!("no answer to what was asked: {}", told(op)));
            }
        }
    }

    /// Indexes, terms and revisions.
    fn log_is_one(&mut self) {
        let ops = &self.history.ops;
        // Along the log, and of one index the write first.
        let mut order: Vec<(u64, bool, usize)> = Vec::with_capacity(ops.len());
        for (number, op) in ops.iter().enumerate() {
            order.extend(place(op).map(|(at, _)| (at.index, is_read(op), number)));
        }
        order.sort_unstable();
        let mut before: Option<(Position, u64, usize)> = None;
        for (_, _, number) in order {
            let op = &ops[number];
            let Some((at, revision)) = place(op) else { continue };
            if let Some((before_at, before_revision, before_number)) = before {
                let pair = || format!("{} and {}", told(&ops[before_number]), told(op));
                let same = at.index == before_at.index;
                if same && !is_read(op) {
                    self.report(Kind::WrongOrder, format!("one index of two writes: {}", pair()));
                }
                if at.term < before_at.term || same && at.term != before_at.term {
                    self.report(Kind::WrongOrder, format!("the term falls along the log: {}", pair()));
                }
                let changed = matches!(op.answer, Answer::Written { .. });
                if revision < before_revision || changed && revision == before_revision {
                    let kind = if is_read(op) { Kind::StaleRead } else { Kind::WrongOrder };
                    self.report(kind, format!("the revision falls along the log: {}", pair()));
                } else if same && revision != before_revision {
                    self.report(Kind::WrongOrder, format!("one index has two revisions: {}", pair()));
                }
            }
            before = Some((at, revision, number));
        }
    }

    /// What returned before something else was asked.
    fn real_time(&mut self) {
        let ops = &self.history.ops;
        let by = |time: fn(&Op) -> u64| {
            let placed = ops.iter().enumerate().filter(|(_, op)| place(op).is_some());
            let mut order: Vec<(u64, usize)> = placed.map(|(number, op)| (time(op), number)).collect();
            order.sort_unstable();
            order
        };
        let (asked, ended) = (by(|op| op.invoked), by(|op| op.returned));
        let mut ended = ended.into_iter().peekable();
        // The highest index of all that had returned, and whose it is.
        let mut highest: Option<(u64, usize)> = None;
        for (invoked, number) in asked {
            let op = &ops[number];
            while let Some((_, done)) = ended.next_if(|(returned, _)| *returned < invoked) {
                let index = place(&ops[done]).map_or(0, |(at, _)| at.index);
                if highest.is_none_or(|(known, _)| index > known) {
                    highest = Some((index, done));
                }
            }
            let Some((at, _)) = place(op) else { continue };
            if let Ask::Read { freshness: Freshness::NotBefore(least), .. } = op.ask {
                if at.index < least {
                    self.report(Kind::StaleRead, format!("older than it may be: {}", told(op)));
                }
                continue;
            }
            let Some((index, earlier)) = highest else { continue };
            let earlier = &ops[earlier];
            let pair = || format!("{} had returned before {}", told(earlier), told(op));
            if is_read(op) && at.index < index {
                self.report(Kind::StaleRead, pair());
            } else if !is_read(op) && at.index <= index {
                let kind = if is_read(earlier) { Kind::FutureRead } else { Kind::WrongOrder };
                self.report(kind, pair());
            }
        }
    }

    /// Writes of unknown outcome that took effect did so after they were asked.
    fn unknown_in_time(&mut self, seen: &Seen) {
        let ops = &self.history.ops;
        for Resolved { op: number, revision } in self.out.resolved.clone() {
            let op = &ops[number];
            if let Some((known, earlier)) = seen.before(op.invoked)
                && known >= revision
            {
                let kind = if is_read(&ops[earlier]) { Kind::FutureRead } else { Kind::WrongOrder };
                let earlier = told(&ops[earlier]);
                let what = format!("{earlier} had returned before {}, in revision {revision}", told(op));
                self.report(kind, what);
            }
        }
    }

    /// Compares the changes at the end with those that were asked for, revision by revision.
    fn effects(&mut self, seen: &Seen) {
        let history = self.history;
        let ops = &history.ops;
        let mut changes: Vec<Change<'a>> = Vec::new();
        for (key, versions) in &history.end.keys {
            let known = versions.iter().filter(|(revision, _)| *revision >= self.facts.oldest);
            changes.extend(known.map(|(revision, value)| (*revision, key.as_ref(), value.as_deref())));
        }
        changes.sort_unstable();
        let mut writers: Vec<(u64, usize)> = Vec::new();
        for (number, op) in ops.iter().enumerate() {
            if let Answer::Written { revision, .. } = op.answer {
                writers.push((revision, number));
            }
        }
        writers.sort_unstable();
        for pair in writers.windows(2) {
            if pair[0].0 == pair[1].0 {
                let (one, two) = (told(&ops[pair[0].1]), told(&ops[pair[1].1]));
                self.report(Kind::WrongOrder, format!("one revision of two writes: {one} and {two}"));
            }
        }
        let mut writers = writers.into_iter().peekable();
        while writers.next_if(|(revision, _)| *revision < self.facts.oldest).is_some() {}

        let mut open: Vec<&[Change<'a>]> = Vec::new();
        let mut used: BTreeMap<usize, u64> = BTreeMap::new();
        let mut last = self.facts.oldest.max(1);
        let groups: Vec<&[Change<'a>]> = changes.chunk_by(|one, two| one.0 == two.0).collect();
        for group in groups {
            let revision = group[0].0;
            while let Some((lost, number)) = writers.next_if(|(written, _)| *written < revision) {
                self.compare(Kind::LostAck, &ops[number], lost, &[]);
            }
            if revision > last + 1 {
                self.empty(last + 1, revision - 1);
            }
            last = last.max(revision);
            let mut known = false;
            while let Some((_, number)) = writers.next_if(|(written, _)| *written == revision) {
                self.compare(Kind::LostAck, &ops[number], revision, group);
                known = true;
            }
            if !known {
                match group.iter().find_map(|(_, _, value)| *value) {
                    Some(value) => self.unattributed(revision, group, value, &mut used),
                    None if group.iter().all(|(_, key, _)| history.hanging.contains_key(*key)) => {}
                    None => open.push(group),
                }
            }
        }
        for (lost, number) in writers {
            self.compare(Kind::LostAck, &ops[number], lost, &[]);
        }
        if history.end.revision > last {
            self.empty(last + 1, history.end.revision);
        }
        self.deletions(&open, &used, seen);
        self.out.resolved.sort_unstable_by_key(|resolved| resolved.revision);
    }

    /// Nothing changed in these revisions.
    fn empty(&mut self, from: u64, to: u64) {
        self.report(Kind::EmptyRevision, format!("nothing changed in revisions {from} to {to}"));
    }

    /// Whether a write in this revision has exactly this effect; if not, what is wrong, by key.
    fn differs(&self, op: &Op, revision: u64, group: &[Change<'a>]) -> Option<(bool, String)> {
        let Ask::Write { changes, .. } = &op.ask else { return None };
        let mut expected = 0;
        for (key, value) in changes {
            // A group has one revision, and is in the order of keys.
            let found =
                group.binary_search_by_key(&key.as_ref(), |(_, key, _)| *key).ok().map(|at| group[at].2);
            let may_lack =
                value.is_none() && !matches!(self.facts.state(key, revision.saturating_sub(1)), State::Is(_));
            match found {
                Some(found) if found == value.as_deref() => expected += 1,
                Some(found) => {
                    return Some((false, format!("{} is {}", text(key), shown(found))));
                }
                None if may_lack => {}
                None => return Some((true, format!("{} did not change", text(key)))),
            }
        }
        let none = expected == 0;
        (none || expected != group.len()).then(|| {
            (none, if none { "nothing changed".to_owned() } else { "other keys changed as well".to_owned() })
        })
    }

    fn compare(&mut self, missing: Kind, op: &Op, revision: u64, group: &[Change<'a>]) {
        if let Some((lacks, what)) = self.differs(op, revision, group) {
            let kind = if lacks { missing } else { Kind::WrongValue };
            self.report(kind, format!("{what} in revision {revision}: {}", told(op)));
        }
    }

    /// A revision that no acknowledged write claims, with a value in it.
    fn unattributed(
        &mut self,
        revision: u64,
        group: &[Change<'a>],
        value: &[u8],
        used: &mut BTreeMap<usize, u64>,
    ) {
        let ops = &self.history.ops;
        let Some(number) = self.whose(value) else {
            let what = format!("nobody asked for {}, which revision {revision} has", text(value));
            return self.report(Kind::Phantom, what);
        };
        let op = &ops[number];
        match op.answer {
            Answer::Unknown => {}
            Answer::Written { .. } => {
                let what = format!("it took effect in revision {revision} as well: {}", told(op));
                return self.report(Kind::DuplicateEffect, what);
            }
            Answer::Found { .. } | Answer::NotMet { .. } | Answer::Refused => {
                let what = format!("it took effect in revision {revision}: {}", told(op));
                return self.report(Kind::Phantom, what);
            }
        }
        if let Some(first) = used.insert(number, revision) {
            let what = format!("it took effect in revisions {first} and {revision}: {}", told(op));
            return self.report(Kind::DuplicateEffect, what);
        }
        self.compare(Kind::WrongValue, op, revision, group);
        if self.held(op, revision.saturating_sub(1)) == Some(false) {
            let what = format!("its condition did not hold in revision {revision}: {}", told(op));
            self.report(Kind::WrongCondition, what);
        }
        self.out.resolved.push(Resolved { op: number, revision });
    }

    /// Revisions that only delete, and that no acknowledged write claims: each has to be of another call of unknown outcome,
    /// one that fits and had been asked by then.
    fn deletions(&mut self, open: &[&[Change<'a>]], used: &BTreeMap<usize, u64>, seen: &Seen) {
        if open.is_empty() {
            return;
        }
        let ops = &self.history.ops;
        let mut deleting: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
        for (number, op) in ops.iter().enumerate() {
            if let Ask::Write { changes, .. } = &op.ask
                && op.answer == Answer::Unknown
                && !used.contains_key(&number)
                && changes.iter().all(|(_, value)| value.is_none())
            {
                changes.iter().for_each(|(key, _)| deleting.entry(key).or_default().push(number));
            }
        }
        let fitting: Vec<Vec<usize>> = open
            .iter()
            .map(|group| {
                let (revision, key, _) = group[0];
                let fits = |number: &&usize| {
                    let op = &ops[**number];
                    seen.before(op.invoked).is_none_or(|(known, _)| known < revision)
                        && self.differs(op, revision, group).is_none()
                        && self.held(op, revision - 1) != Some(false)
                };
                deleting.get(key).map_or_else(Vec::new, |all| all.iter().filter(fits).copied().collect())
            })
            .collect();
        for (at, call) in assign(&fitting).into_iter().enumerate() {
            let (revision, key, _) = open[at][0];
            match call {
                Some(op) if fitting[at].len() == 1 => self.out.resolved.push(Resolved { op, revision }),
                Some(_) => {}
                None => {
                    let kind = if fitting[at].is_empty() { Kind::Phantom } else { Kind::DuplicateEffect };
                    let what = format!("no call is left that deleted {} in revision {revision}", text(key));
                    self.report(kind, what);
                }
            }
        }
    }

    /// Whether the condition of a write holds at a revision; `None` if nobody can say.
    fn held(&self, op: &Op, revision: u64) -> Option<bool> {
        let Ask::Write { only_if, .. } = &op.ask else { return Some(true) };
        let mut all = Some(true);
        for (key, modified) in only_if {
            match self.facts.state(key, revision) {
                State::Is(version) if version.revision == *modified => {}
                State::Absent if *modified == 0 => {}
                State::Is(_) | State::Absent => return Some(false),
                State::Unsure(_) => all = None,
            }
        }
        all
    }

    /// Whether a write was executed exactly if its condition held.
    fn condition(&mut self, op: &Op) {
        let Ask::Write { changes, fence, .. } = &op.ask else { return };
        match op.answer {
            Answer::Written { revision, .. } => {
                if self.held(op, revision.saturating_sub(1)) == Some(false) {
                    self.report(Kind::WrongCondition, format!("its condition did not hold: {}", told(op)));
                }
            }
            Answer::NotMet { revision, .. } => {
                let there = |(key, value): &(Bytes, Option<Bytes>)| {
                    value.is_some() || matches!(self.facts.state(key, revision), State::Is(_))
                };
                let would = self.held(op, revision) == Some(true) && changes.iter().any(there);
                if would && fence.is_none() {
                    self.report(Kind::WrongCondition, format!("its condition held: {}", told(op)));
                }
            }
            Answer::Found { .. } | Answer::Refused | Answer::Unknown => {}
        }
    }

    /// Whether a read shows the newest version of each key at its revision.
    fn values(&mut self, op: &Op) {
        let (Ask::Read { keys, .. }, Answer::Found { revision, items, .. }) = (&op.ask, &op.answer) else {
            return;
        };
        if *revision > self.history.end.revision {
            let what = format!("it shows a revision that is gone: {}", told(op));
            self.report(Kind::LostAck, what);
        }
        // By far the most.
        if let [key] = &keys[..]
            && items.iter().all(|(shown, _, _)| shown == key)
            && items.len() <= 1
        {
            let item = items.first().map(|(_, value, modified)| (value, *modified));
            return self.value(op, key, *revision, item);
        }
        let mut by_key: BTreeMap<&[u8], (&Bytes, u64)> = BTreeMap::new();
        for (key, value, modified) in items {
            if by_key.insert(key, (value, *modified)).is_some() {
                self.report(Kind::WrongValue, format!("{} twice in {}", text(key), told(op)));
            }
        }
        for key in keys {
            let item = by_key.remove(key.as_ref());
            self.value(op, key, *revision, item);
        }
        for key in by_key.keys() {
            self.report(Kind::WrongValue, format!("it did not ask for {}: {}", text(key), told(op)));
        }
    }

    fn value(&mut self, op: &Op, key: &[u8], revision: u64, item: Option<(&Bytes, u64)>) {
        let state = self.facts.state(key, revision);
        let Some((value, modified)) = item else {
            if let State::Is(Version { revision: newest, .. }) = state {
                let what = format!("{} has been there since revision {newest}: {}", text(key), told(op));
                self.report(Kind::StaleRead, what);
            }
            return;
        };
        let right = match state {
            State::Is(version) => version.revision == modified && version.value == Some(value.as_ref()),
            // What was read is a fact itself, so nothing known is newer.
            State::Unsure(version) => version.is_none_or(|version| version.revision <= modified),
            State::Absent => false,
        };
        let shown = || format!("it shows {}={}, revision {modified}", text(key), text(value));
        let asked = |op: &Op| match &op.ask {
            Ask::Write { changes, .. } => {
                changes.iter().any(|(changed, to)| changed == key && to.as_ref() == Some(value))
            }
            Ask::Read { .. } => false,
        };
        if right && modified >= self.facts.oldest {
            return;
        }
        // Not known from the end: then some call has to explain it.
        let source = self.whose(value).map(|number| &self.history.ops[number]).filter(|op| asked(op));
        let explained = source.is_some_and(|source| match source.answer {
            Answer::Written { revision, .. } => revision == modified,
            Answer::Unknown => true,
            Answer::Found { .. } | Answer::NotMet { .. } | Answer::Refused => false,
        });
        if right && explained {
            return;
        }
        let kind =
            match self.facts.exactly(key, modified) {
                None if source.is_none() => Kind::Phantom,
                Some(version) if version.value == Some(value.as_ref()) && explained => {
                    if modified > revision { Kind::FutureRead } else { Kind::StaleRead }
                }
                Some(_) if source.is_none() => Kind::Phantom,
                Some(_) | None => Kind::WrongValue,
            };
        self.report(kind, format!("{}: {}", shown(), told(op)));
    }
}
