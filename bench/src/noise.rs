//! Which differences say something about what was measured, and which are the noise of the machine.
//!
//! A figure of a run moves from run to run though nothing was changed: by 15 % at the median on the machine on which holdfast is
//! measured, and twice at p99. What a figure *was seen to do* within one result is its spread:
//!
//! - of three runs or more, from the lowest to the highest of them: all that moves between runs is in it;
//! - else of the intervals of its runs, from the 10th to the 90th percentile: without the drift between runs;
//! - else there is none.
//!
//! A difference exceeds the noise if the spreads do not touch, and the medians are a factor apart that is above the drift:
//! [`RUNS_FACTOR`] if both results have three runs, else [`FACTOR`], or [`TAIL_FACTOR`] from p99 on and of what comes in lumps.

/// Runs from which on their own spread is the noise.
pub(crate) const RUNS: usize = 3;
/// Intervals from which on their spread says something.
const INTERVALS: usize = 4;
/// Medians that are closer are a tie, if both sides have so many runs.
const RUNS_FACTOR: f64 = 1.05;
/// Medians that are closer are a tie, of rates, medians and what was used.
const FACTOR: f64 = 1.2;
/// The same of p99 and beyond, and of what comes in lumps.
const TAIL_FACTOR: f64 = 2.0;

/// A figure as it was seen.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    /// The median of its runs.
    pub(crate) median: f64,
    /// The lowest and the highest that noise explains; `None` if nobody knows.
    pub(crate) spread: Option<(f64, f64)>,
    /// Whether the spread is one between runs.
    pub(crate) of_runs: bool,
}

impl Seen {
    /// Of its value in each run, and in each interval of them if it has one there. `None` if there is no value.
    pub(crate) fn of(runs: &[f64], intervals: &[f64]) -> Option<Self> {
        let mut runs = runs.to_vec();
        runs.sort_by(f64::total_cmp);
        let median = at(&runs, 0.5)?;
        let of_runs = runs.len() >= RUNS;
        let spread = if of_runs {
            runs.first().copied().zip(runs.last().copied())
        } else if intervals.len() >= INTERVALS {
            let mut intervals = intervals.to_vec();
            intervals.sort_by(f64::total_cmp);
            at(&intervals, 0.1).zip(at(&intervals, 0.9))
        } else {
            None
        };
        // A median of runs lies between its intervals, unless they are few.
        let spread = spread.map(|(low, high)| (low.min(median), high.max(median)));
        Some(Self { median, spread, of_runs })
    }

    /// How many times this one `other` is, if that exceeds the noise.
    pub(crate) fn changed(&self, other: &Self, is_tail: bool) -> Option<f64> {
        let (low, high) = (self.median.min(other.median), self.median.max(other.median));
        let factor = match (self.of_runs && other.of_runs, is_tail) {
            (true, _) => RUNS_FACTOR,
            (false, false) => FACTOR,
            (false, true) => TAIL_FACTOR,
        };
        // From nothing to something is any factor, and nothing to judge it by.
        if low <= 0.0 || high < low * factor {
            return None;
        }
        let apart = |(a, b): ((f64, f64), (f64, f64))| a.1 < b.0 || b.1 < a.0;
        self.spread.zip(other.spread).is_none_or(apart).then(|| other.median / self.median)
    }
}

/// The value at a part of sorted ones; of an even number of them the lower of the two in the middle.
fn at(sorted: &[f64], part: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last as f64 * part) as usize).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(runs: &[f64]) -> Seen {
        Seen::of(runs, &[]).unwrap()
    }

    #[test]
    fn three_runs_are_their_own_noise() {
        let a = seen(&[100.0, 102.0, 104.0]);
        assert_eq!(a.spread, Some((100.0, 104.0)));
        // 8 % apart, and their ranges do not touch.
        let b = seen(&[108.0, 110.0, 112.0]);
        assert!(a.changed(&b, true).is_some_and(|times| (times - 110.0 / 102.0).abs() < 1e-9));
        // They touch.
        assert_eq!(a.changed(&seen(&[104.0, 110.0, 112.0]), false), None);
        // They do not, and are as good as the same.
        assert_eq!(a.changed(&seen(&[105.0, 105.0, 105.0]), false), None);
    }

    #[test]
    fn of_fewer_runs_the_intervals_are_the_noise_and_the_machine_drifts() {
        let near = Seen::of(&[100.0], &[95.0, 98.0, 100.0, 103.0, 106.0]).unwrap();
        let of = |factor: f64| {
            Seen::of(&[100.0 * factor], &[99.0, 100.0, 101.0, 102.0].map(|value| value * factor))
        };
        assert_eq!(near.changed(&of(1.15).unwrap(), false), None);
        assert!(near.changed(&of(1.25).unwrap(), false).is_some());
        assert_eq!(near.changed(&of(1.25).unwrap(), true), None);
        assert!(near.changed(&of(2.5).unwrap(), true).is_some());
        // Twice as high, and each has been seen where the other is.
        let wide = Seen::of(&[200.0], &[90.0, 100.0, 300.0, 310.0, 320.0]).unwrap();
        assert_eq!(near.changed(&wide, false), None);
    }

    #[test]
    fn one_value_has_no_spread_and_nothing_has_no_figure() {
        assert_eq!(seen(&[7.0]).spread, None);
        assert!(seen(&[7.0]).changed(&seen(&[9.0]), false).is_some());
        assert_eq!(seen(&[0.0]).changed(&seen(&[9.0]), false), None);
        assert_eq!(Seen::of(&[], &[1.0]), None);
    }
}
