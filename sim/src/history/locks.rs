//! Locks and elections, as their holders and the writes that showed a token saw them.
//!
//! # What is promised
//! - **Tokens** (L5): no token is given twice, and along the log they grow. A grant says that its token held at its
//!   index, and a write that was executed with a token says the same; so both are points of one curve that must
//!   never fall.
//! - **Exclusion by token** (L6): no write is executed with a token after a greater one was given, nor after
//!   somebody heard of a greater one. The other way round, a write that says *not met* between two points with its
//!   token was wrong.
//! - **Exclusion in time**: a holder that counts its lease on its own clock stops believing before another begins.
//!   That rests on clocks, and is judged only where they are good.

use std::collections::BTreeMap;

use super::witness::{self, Resolved};
use super::{Answer, Ask, Clocks, Grant, History, Kind, Op, Violation, text};

/// By how much two clocks may differ in rate, in a thousand, such that a holder that counts by itself stops in time.
pub const TOLERATED: u64 = 50;

/// What is wrong with locks, if all clocks are one.
#[must_use]
pub fn judge(history: &History) -> Vec<Violation> {
    judge_with(history, &witness::examine(history).resolved, Clocks::Same)
}

/// What is wrong with locks. `resolved` are writes of unknown outcome of which is known that they were executed.
#[must_use]
pub fn judge_with(history: &History, resolved: &[Resolved], clocks: Clocks) -> Vec<Violation> {
    let mut locks: BTreeMap<&[u8], Lock<'_>> = BTreeMap::new();
    for grant in &history.grants {
        locks.entry(&grant.lock).or_default().grants.push(grant);
    }
    for op in &history.ops {
        let Ask::Write { changes, only_if, fence: Some((lock, token)) } = &op.ask else { continue };
        let lock = locks.entry(lock).or_default();
        match op.answer {
            Answer::Written { at, .. } => {
                lock.points.push(Point { index: at.index, token: *token, by: By::Write(op) });
            }
            // With another condition that may have failed, it says nothing of the lock.
            Answer::NotMet { at, .. }
                if only_if.is_empty() && changes.iter().all(|(_, value)| value.is_some()) =>
            {
                lock.not_met.push((at.index, *token, op));
            }
            Answer::NotMet { .. } | Answer::Found { .. } | Answer::Refused | Answer::Unknown => {}
        }
    }
    let late = late(history, resolved);
    for (index, token, lock, op) in late {
        locks.entry(lock).or_default().late.push((index, token, op));
    }
    let trusted = match clocks {
        Clocks::Same => true,
        Clocks::Within(rate) => rate <= TOLERATED,
        Clocks::Wild => false,
    };
    let mut out = Vec::new();
    for (name, mut lock) in locks {
        lock.repetitions(name, &mut out);
        lock.along_the_log(name, &mut out);
        lock.behind_what_was_heard(name, &mut out);
        if trusted {
            lock.two_holders(name, &mut out);
        }
    }
    out
}

/// Fenced writes of unknown outcome that were executed: an index that they lie behind, their token, and the lock. The
/// greatest index with a smaller revision is such a one.
fn late<'a>(history: &'a History, resolved: &[Resolved]) -> Vec<(u64, u64, &'a [u8], &'a Op)> {
    let fenced: Vec<(u64, u64, &[u8], &Op)> = resolved
        .iter()
        .filter_map(|resolved| {
            let op = &history.ops[resolved.op];
            let Ask::Write { fence: Some((lock, token)), .. } = &op.ask else { return None };
            Some((resolved.revision, *token, lock.as_ref(), op))
        })
        .collect();
    if fenced.is_empty() {
        return fenced;
    }
    let mut known: Vec<(u64, u64)> = history
        .ops
        .iter()
        .filter_map(|op| match op.answer {
            Answer::Written { at, revision }
            | Answer::NotMet { at, revision }
            | Answer::Found { at, revision, .. } => Some((revision, at.index)),
            Answer::Refused | Answer::Unknown => None,
        })
        .collect();
    known.sort_unstable();
    let behind = |(revision, token, lock, op)| {
        let before = known.partition_point(|(known, _)| *known < revision);
        let index = before.checked_sub(1).map_or(0, |at| known[at].1);
        (index, token, lock, op)
    };
    fenced.into_iter().map(behind).collect()
}

/// Who says that a token held.
#[derive(Clone, Copy, Debug)]
enum By<'a> {
    Grant(&'a Grant),
    Write(&'a Op),
}

/// At this index the lock was held under this token.
#[derive(Clone, Copy, Debug)]
struct Point<'a> {
    index: u64,
    token: u64,
    by: By<'a>,
}

#[derive(Debug, Default)]
struct Lock<'a> {
    grants: Vec<&'a Grant>,
    points: Vec<Point<'a>>,
    not_met: Vec<(u64, u64, &'a Op)>,
    /// Writes that were executed at an unknown index behind this one.
    late: Vec<(u64, u64, &'a Op)>,
}

impl<'a> Lock<'a> {
    fn repetitions(&mut self, name: &[u8], out: &mut Vec<Violation>) {
        self.grants.sort_by_key(|grant| (grant.token, grant.heard));
        for pair in self.grants.windows(2) {
            let [one, two] = [pair[0], pair[1]];
            if one.token == two.token {
                let (token, one, two) = (one.token, one.client, two.client);
                let what = format!("token {token} of {} was given to clients {one} and {two}", text(name));
                out.push(Violation::new(Kind::TokenRepeats, what));
            }
        }
    }

    fn along_the_log(&mut self, name: &[u8], out: &mut Vec<Violation>) {
        let told = self.grants.iter().filter(|grant| grant.at.index > 0);
        self.points.extend(told.map(|grant| Point {
            index: grant.at.index,
            token: grant.token,
            by: By::Grant(grant),
        }));
        self.points.sort_by_key(|point| (point.index, point.token));
        let mut highest: Option<Point<'a>> = None;
        for point in &self.points {
            if let Some(before) = highest.filter(|before| before.token > point.token) {
                let (index, token) = (point.index, point.token);
                let what = format!("{} had token {} at index {}", text(name), before.token, before.index);
                out.push(match point.by {
                    By::Grant(grant) => {
                        let what =
                            format!("{what}, and client {} was given {token} at {index}", grant.client);
                        Violation::new(Kind::TokenOrder, what)
                    }
                    By::Write(op) => {
                        let what = format!("{what}, and client {} wrote with {token} at {index}", op.client);
                        Violation::new(Kind::FenceBroken, what)
                    }
                });
            } else {
                highest = Some(*point);
            }
        }
        for (index, token, op) in &self.late {
            let before = self.points.partition_point(|point| point.index <= *index);
            let higher = self.points[..before].iter().rev().find(|point| point.token > *token);
            if let Some(higher) = higher {
                let (name, client) = (text(name), op.client);
                let (high, at) = (higher.token, higher.index);
                let what = format!(
                    "{name} had token {high} at index {at}, and client {client} wrote with {token} later"
                );
                out.push(Violation::new(Kind::FenceBroken, what));
            }
        }
        for (index, token, op) in &self.not_met {
            let before = self.points.partition_point(|point| point.index < *index);
            let held = |point: Option<&Point<'a>>| point.is_some_and(|point| point.token == *token);
            let behind = self.points[before..].iter().find(|point| point.index > *index);
            if held(before.checked_sub(1).map(|at| &self.points[at])) && held(behind) {
                let (name, client) = (text(name), op.client);
                let what = format!(
                    "{name} had token {token} around index {index}, where client {client} was refused"
                );
                out.push(Violation::new(Kind::FenceBroken, what));
            }
        }
    }

    /// A write that was asked after somebody had heard of a greater token.
    fn behind_what_was_heard(&self, name: &[u8], out: &mut Vec<Violation>) {
        let mut heard: Vec<(u64, u64)> = self.grants.iter().map(|grant| (grant.heard, grant.token)).collect();
        heard.sort_unstable();
        // The greatest token that was known at each time.
        let mut greatest = 0;
        for (_, token) in &mut heard {
            greatest = greatest.max(*token);
            *token = greatest;
        }
        let writes = self.points.iter().filter_map(|point| match point.by {
            By::Write(op) => Some((point.token, op)),
            By::Grant(_) => None,
        });
        for (token, op) in writes.chain(self.late.iter().map(|(_, token, op)| (*token, *op))) {
            let before = heard.partition_point(|(heard, _)| *heard < op.invoked);
            if let Some((heard, greatest)) = before.checked_sub(1).map(|at| heard[at])
                && greatest > token
            {
                let (name, client) = (text(name), op.client);
                let what = format!(
                    "{name} had token {greatest}, known at {heard}, and client {client} asked for a write with \
                     {token} at {}, and it was done",
                    op.invoked
                );
                out.push(Violation::new(Kind::FenceBroken, what));
            }
        }
    }

    fn two_holders(&self, name: &[u8], out: &mut Vec<Violation>) {
        let mut stays: Vec<&Grant> =
            self.grants.iter().copied().filter(|grant| grant.until > grant.heard).collect();
        stays.sort_by_key(|grant| (grant.heard, grant.token));
        let mut longest: Option<&Grant> = None;
        for stay in stays {
            if let Some(before) = longest.filter(|before| before.until > stay.heard) {
                let (name, one, two) = (text(name), before.client, stay.client);
                let (until, heard) = (before.until, stay.heard);
                let what = format!("client {one} held {name} until {until}, and client {two} from {heard}");
                out.push(Violation::new(Kind::TwoHolders, what));
            }
            if longest.is_none_or(|before| stay.until > before.until) {
                longest = Some(stay);
            }
        }
    }
}
