//! When calls were answered, and what became of each write: what an outage looks like from outside.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// What a caller knows of one of its writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing yet.
    UnderWay,
    /// It was executed: the cluster said so.
    Acknowledged,
    /// It was not, and never will be: the cluster said so.
    NotApplied,
    /// Nobody said.
    Unknown,
}

/// The calls of one caller, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tape {
    /// When each call that was answered was.
    pub(crate) answered: Vec<Instant>,
    /// What became of each write, by its number; empty of a caller that reads.
    pub(crate) fates: Vec<Fate>,
    /// The newest write that was acknowledged.
    pub(crate) newest: Option<u64>,
    /// Calls that were not answered, and are no write.
    pub(crate) failed: u64,
}

impl Tape {
    /// The number of a write that is sent now.
    pub(crate) fn begin(&mut self) -> u64 {
        self.fates.push(Fate::UnderWay);
        self.fates.len() as u64 - 1
    }

    /// What became of a write; if it was acknowledged, at `now`.
    pub(crate) fn end(&mut self, number: u64, fate: Fate, now: Instant) {
        if let Some(known) = usize::try_from(number).ok().and_then(|at| self.fates.get_mut(at)) {
            *known = fate;
        }
        if fate == Fate::Acknowledged {
            self.newest = Some(number);
            self.answered.push(now);
        }
    }

    /// How many writes had this fate.
    pub(crate) fn count(&self, fate: Fate) -> u64 {
        self.fates.iter().filter(|known| **known == fate).count() as u64
    }
}

/// A time without an answer, between two that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    /// The last answer before it.
    pub(crate) from: Instant,
    /// The first one after it.
    pub(crate) to: Instant,
}

impl Gap {
    /// How long it was.
    pub(crate) fn length(&self) -> Duration {
        self.to.saturating_duration_since(self.from)
    }
}

/// The longest time between two answers that follow one another, of those gaps that lie between `since` and `until` at least in
/// part. Answers of several callers may stand in any order. `None` if there are no such two.
pub(crate) fn longest_gap(
    answered: impl IntoIterator<Item = Instant>,
    since: Instant,
    until: Instant,
) -> Option<Gap> {
    let mut answered: Vec<Instant> = answered.into_iter().collect();
    answered.sort_unstable();
    let gaps = answered.windows(2).map(|pair| Gap { from: pair[0], to: pair[1] });
    gaps.filter(|gap| gap.to > since && gap.from < until).max_by_key(Gap::length)
}

/// What does not agree with what was said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Broken {
    /// Writes that were acknowledged, and are not there.
    pub(crate) lost: Vec<u64>,
    /// Writes of which it was said that they were not executed, and are there.
    pub(crate) ghosts: Vec<u64>,
}

/// Compares what is known of the writes from `first` on, before they were read back, with the numbers that were `found`.
pub(crate) fn compare(fates: &[Fate], first: u64, found: &BTreeSet<u64>) -> Broken {
    let mut broken = Broken::default();
    for (number, fate) in (0..).zip(fates).skip(usize::try_from(first).unwrap_or(usize::MAX)) {
        match (fate, found.contains(&number)) {
            (Fate::Acknowledged, false) => broken.lost.push(number),
            (Fate::NotApplied, true) => broken.ghosts.push(number),
            _ => {}
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(begin: Instant, all: &[u64]) -> Vec<Instant> {
        all.iter().map(|at| begin + Duration::from_millis(*at)).collect()
    }

    #[test]
    fn the_longest_gap_is_found_between_answers_of_all_callers_and_only_where_it_is_looked_for() {
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        // Two callers; nobody is answered from 30 to 250, and once from 300 to 900.
        let (one, other) = (ms(begin, &[0, 20, 250, 300, 900]), ms(begin, &[10, 30, 260, 290]));
        let all = || one.iter().chain(&other).copied();
        let gap = longest_gap(all(), at(25), at(280)).unwrap();
        assert_eq!(gap, Gap { from: at(30), to: at(250) });
        assert_eq!(gap.length(), Duration::from_millis(220));
        // An answer that was under way when the other side was gone ends no gap and begins one.
        assert_eq!(longest_gap(all(), at(29), at(280)).unwrap().from, at(30));
        assert_eq!(longest_gap(all(), at(25), at(301)).unwrap(), Gap { from: at(300), to: at(900) });
        // Of one caller alone it is longer.
        assert_eq!(longest_gap(one.iter().copied(), at(25), at(280)).unwrap().from, at(20));
    }

    #[test]
    fn who_was_never_answered_again_has_no_gap() {
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        assert_eq!(longest_gap(ms(begin, &[0, 10]), at(10), at(5000)), None);
        assert_eq!(longest_gap(ms(begin, &[20]), at(10), at(5000)), None);
        assert_eq!(longest_gap([], at(10), at(5000)), None);
    }

    #[test]
    fn what_was_acknowledged_has_to_be_there_and_what_was_not_applied_has_not() {
        use Fate::{Acknowledged, NotApplied, UnderWay, Unknown};
        let fates = [Acknowledged, Acknowledged, NotApplied, NotApplied, Unknown, Unknown, UnderWay];
        let found = |numbers: &[u64]| numbers.iter().copied().collect::<BTreeSet<u64>>();
        // Of what nobody knows either is well.
        assert_eq!(compare(&fates, 0, &found(&[0, 1, 4])), Broken::default());
        assert_eq!(compare(&fates, 0, &found(&[0, 1, 5, 6])), Broken::default());
        let broken = compare(&fates, 0, &found(&[1, 3]));
        assert_eq!((broken.lost, broken.ghosts), (vec![0], vec![3]));
        // What lies before was compared before.
        assert_eq!(compare(&fates, 1, &found(&[1])), Broken::default());
    }

    #[test]
    fn a_tape_knows_each_write_by_its_number_and_the_newest_that_was_acknowledged() {
        let mut tape = Tape::default();
        let now = Instant::now();
        let numbers = [tape.begin(), tape.begin(), tape.begin(), tape.begin()];
        assert_eq!(numbers, [0, 1, 2, 3]);
        tape.end(1, Fate::Acknowledged, now);
        tape.end(2, Fate::Unknown, now);
        tape.end(0, Fate::NotApplied, now);
        assert_eq!((tape.newest, tape.answered.len()), (Some(1), 1));
        assert_eq!(tape.fates, [Fate::NotApplied, Fate::Acknowledged, Fate::Unknown, Fate::UnderWay]);
        assert_eq!(tape.count(Fate::Unknown), 1);
    }
}
