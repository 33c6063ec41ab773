//! Results as people read them: one row for each load, one for each process.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::failure::{Doing, Failure};
use crate::load::Answers;
use crate::measure::{Outcome, Part};

/// A percentile is shown if at least this many samples lie beyond it: else it says more about chance than about the
/// thing that was measured.
const BEYOND: f64 = 100.0;
/// The percentiles of a row.
pub(crate) const PERCENTILES: [(f64, &str); 4] =
    [(50.0, "p50"), (90.0, "p90"), (99.0, "p99"), (99.9, "p99.9")];

/// Prints a piece of the report, and a line break. A run whose reader is gone fails like any other.
pub(crate) fn show(text: impl fmt::Display) -> Result<(), Failure> {
    writeln!(io::stdout().lock(), "{text}").doing(|| "write the report".to_owned())
}

/// Whether of `count` samples enough lie beyond this percentile.
pub(crate) fn is_shown(count: u64, percentile: f64) -> bool {
    // The product of two fractions may lie a hair below a whole number.
    count as f64 * (100.0 - percentile) / 100.0 > BEYOND - 1e-6
}

/// The figures of one run, or the medians of several.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Summary {
    /// Operations answered in a second.
    pub(crate) rate: f64,
    /// Nanoseconds at each of the percentiles; `None` where there are too few samples.
    percentiles: [Option<u64>; 4],
    /// Nanoseconds of the slowest; `None` if there was no answer.
    max: Option<u64>,
    /// Operations that were refused or failed; `None` where nothing can be.
    errors: Option<u64>,
}

impl Summary {
    /// Of one run.
    pub(crate) fn of(answers: &Answers) -> Self {
        let all = Self::of_histogram(&answers.latencies, answers.elapsed, 1);
        // What an open loop was answered after its end is a latency, and no throughput.
        let seconds = answers.elapsed.as_secs_f64();
        let rate = if seconds > 0.0 { answers.in_time as f64 / seconds } else { 0.0 };
        Self { rate, errors: Some(answers.errors), ..all }
    }

    /// Of a histogram that was filled in a time, and whose unit is so many nanoseconds. It knows nothing of errors.
    pub(crate) fn of_histogram(latencies: &Histogram<u64>, elapsed: Duration, nanos: u64) -> Self {
        let count = latencies.len();
        let percentile = |(percentile, _)| {
            is_shown(count, percentile)
                .then(|| latencies.value_at_percentile(percentile).saturating_mul(nanos))
        };
        let seconds = elapsed.as_secs_f64();
        Self {
            rate: if seconds > 0.0 { count as f64 / seconds } else { 0.0 },
            percentiles: PERCENTILES.map(percentile),
            max: (count > 0).then(|| latencies.max().saturating_mul(nanos)),
            errors: None,
        }
    }

    /// Nanoseconds at p50, p90, p99 and p99.9, where there are samples enough, and of the slowest.
    pub(crate) fn latencies(&self) -> ([Option<u64>; 4], Option<u64>) {
        (self.percentiles, self.max)
    }

    /// Nanoseconds at the median, if there are samples enough.
    pub(crate) fn median_latency(&self) -> Option<u64> {
        let [median, ..] = self.percentiles;
        median
    }

    /// How many times each percentile of `other` this one's is, by its name; those that both have.
    pub(crate) fn times(&self, other: &Self) -> String {
        let both = self.percentiles.iter().zip(&other.percentiles).zip(PERCENTILES);
        let times = both.filter_map(|((this, other), (_, name))| {
            let (this, other) = ((*this)?, (*other).filter(|other| *other > 0)?);
            Some(format!("{:.2} × its {name}", this as f64 / other as f64))
        });
        times.collect::<Vec<_>>().join(", ")
    }

    /// Each figure is the median of that figure; of an even number of runs the worse of the two in the middle. A
    /// percentile that one of the runs does not have is left out. `None` if there are no runs.
    pub(crate) fn of_runs(runs: &[Self]) -> Option<Self> {
        if runs.is_empty() {
            return None;
        }
        let middle = runs.len() / 2;
        let mut rates: Vec<f64> = runs.iter().map(|run| run.rate).collect();
        rates.sort_by(|a, b| b.total_cmp(a));
        let of = |figure: &dyn Fn(&Self) -> Option<u64>| {
            let mut figures: Vec<u64> = runs.iter().map(figure).collect::<Option<_>>()?;
            figures.sort_unstable();
            figures.get(middle).copied()
        };
        Some(Self {
            rate: rates[middle],
            percentiles: [0, 1, 2, 3].map(|at| of(&|run| run.percentiles[at])),
            max: of(&|run| run.max),
            errors: of(&|run| run.errors),
        })
    }
}

/// Rows of a name and a summary under a heading.
#[derive(Debug)]
pub(crate) struct Table {
    title: String,
    /// What a rate counts.
    unit: String,
    rows: Vec<(String, Summary)>,
}

impl Table {
    /// Without rows. `title` stands over the names, `unit` over the rates.
    pub(crate) fn new(title: &str, unit: &str) -> Self {
        Self { title: title.to_owned(), unit: unit.to_owned(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, name: &str, summary: Summary) {
        self.rows.push((name.to_owned(), summary));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<28}{:>12}", self.title, self.unit)?;
        for (_, name) in PERCENTILES {
            write!(f, "{name:>10}")?;
        }
        writeln!(f, "{:>10}{:>8}", "max", "errors")?;
        for (name, summary) in &self.rows {
            write!(f, "{name:<28}{:>12}", grouped(summary.rate))?;
            for figure in summary.percentiles.iter().chain([&summary.max]) {
                write!(f, "{:>10}", figure.map_or_else(|| "–".to_owned(), time))?;
            }
            writeln!(f, "{:>8}", summary.errors.map_or_else(|| "–".to_owned(), |errors| errors.to_string()))?;
        }
        Ok(())
    }
}

/// What each process of a run used, for each operation.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    /// The name of the load.
    pub(crate) title: &'a str,
    /// The run.
    pub(crate) outcome: &'a Outcome,
}

impl fmt::Display for Parts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operations = self.outcome.answers.latencies.len();
        let each = |count: f64, digits: usize| {
            if operations == 0 { "–".to_owned() } else { format!("{:.digits$}", count / operations as f64) }
        };
        writeln!(
            f,
            "{:<28}{:>12}{:>14}{:>12}{:>12}",
            self.title, "CPU µs/op", "switches/op", "syncs/op", "resident"
        )?;
        for part in &self.outcome.parts {
            let missing = || "–".to_owned();
            let [cpu, switches, resident] = part.used.map_or_else(
                || [missing(), missing(), missing()],
                |used| {
                    let resident = format!("{:.1} MiB", used.resident as f64 / f64::from(1 << 20));
                    [each(used.cpu.as_secs_f64() * 1e6, 2), each(used.switches as f64, 4), resident]
                },
            );
            let syncs = part.syncs.map_or_else(missing, |syncs| each(syncs as f64, 4));
            writeln!(f, "  {:<26}{cpu:>12}{switches:>14}{syncs:>12}{resident:>12}", part.name)?;
        }
        Ok(())
    }
}

/// The stages of a process, one row for each of `names`, which stand in the order of the histograms. Rates are of requests
/// that passed the stage; one that none has passed is left out.
pub(crate) fn stages(part: &Part, names: &[String], elapsed: Duration) -> Table {
    let mut table = Table::new(&format!("stages of {}", part.name), "per s");
    for (name, histogram) in names.iter().zip(&part.stages).filter(|(_, histogram)| !histogram.is_empty()) {
        table.row(name, Summary::of_histogram(histogram, elapsed, 1000));
    }
    if let Some(turns) = &part.turns {
        table.row("whole turns", Summary::of_histogram(turns, elapsed, 1000));
    }
    table
}

/// How much of the limit a result is: its part of the rate, and how many times its latency. `None` where one of them is
/// missing.
pub(crate) fn share(result: &Summary, limit: &Summary) -> Option<String> {
    share_of((result.rate, result.median_latency()), (limit.rate, limit.median_latency()))
}

/// The same of rates and medians.
pub(crate) fn share_of(
    (rate, p50): (f64, Option<u64>),
    (limit_rate, limit_p50): (f64, Option<u64>),
) -> Option<String> {
    let (p50, limit_p50) = p50.zip(limit_p50)?;
    if limit_rate <= 0.0 || limit_p50 == 0 {
        return None;
    }
    let part = 100.0 * rate / limit_rate;
    Some(format!("{part:.0} % of the limit's rate, {:.2} × its p50", p50 as f64 / limit_p50 as f64))
}

/// Nanoseconds in the unit in which they are short.
pub(crate) fn time(nanos: u64) -> String {
    let time = Duration::from_nanos(nanos);
    let micros = nanos as f64 / 1e3;
    match time.as_micros() {
        0..100 => format!("{micros:.1} µs"),
        100..10_000 => format!("{micros:.0} µs"),
        10_000..1_000_000 => format!("{:.1} ms", micros / 1e3),
        _ => format!("{:.2} s", micros / 1e6),
    }
}

/// A whole number with its thousands apart.
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::histogram;
    use crate::process::Use;

    fn answers(count: u64) -> Answers {
        let mut latencies = histogram().unwrap();
        for sample in 1..=count {
            latencies.record(sample * 1000).unwrap();
        }
        Answers {
            elapsed: Duration::from_secs(2),
            latencies,
            errors: 3,
            unknown: 0,
            first_error: None,
            of_phases: Vec::new(),
            apart: Vec::new(),
            paced: None,
            in_time: count,
            interval: Duration::from_secs(1),
            intervals: Vec::new(),
        }
    }

    #[test]
    fn a_percentile_with_fewer_than_100_samples_beyond_it_is_not_shown() {
        let shown = |count| Summary::of(&answers(count)).percentiles.map(|percentile| percentile.is_some());
        assert_eq!(shown(0), [false, false, false, false]);
        assert_eq!(shown(199), [false, false, false, false]);
        assert_eq!(shown(200), [true, false, false, false]);
        assert_eq!(shown(999), [true, false, false, false]);
        assert_eq!(shown(1000), [true, true, false, false]);
        assert_eq!(shown(9999), [true, true, false, false]);
        assert_eq!(shown(10_000), [true, true, true, false]);
        assert_eq!(shown(99_999), [true, true, true, false]);
        assert_eq!(shown(100_000), [true, true, true, true]);
    }

    #[test]
    fn a_table_shows_rates_times_and_what_is_missing() {
        let mut table = Table::new("connections × in flight", "ops/s");
        table.row("1 × 1", Summary::of(&answers(1000)));
        table.row("nothing came", Summary::of(&answers(0)));
        let expected = "\
connections × in flight            ops/s       p50       p90       p99     p99.9       max  errors
1 × 1                                500    500 µs    900 µs         –         –   1000 µs       3
nothing came                           0         –         –         –         –         –       3
";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn what_a_process_used_is_shown_for_each_operation() {
        let used = Use { cpu: Duration::from_millis(5), switches: 2500, resident: 3 << 19, written: None };
        let part = |name: &str, syncs| Part {
            process: None,
            name: name.to_owned(),
            used: Some(used),
            syncs,
            stages: Vec::new(),
            turns: None,
        };
        let parts = vec![part("leader", Some(500)), part("generator", None)];
        let outcome = Outcome { answers: answers(1000), parts, began: std::time::UNIX_EPOCH };
        let expected = "\
1 × 1                          CPU µs/op   switches/op    syncs/op    resident
  leader                            5.00        2.5000      0.5000     1.5 MiB
  generator                         5.00        2.5000           –     1.5 MiB
";
        assert_eq!(Parts { title: "1 × 1", outcome: &outcome }.to_string(), expected);
    }

    #[test]
    fn no_operations_are_no_division_by_zero() {
        let used = Some(Use::default());
        let part = Part {
            name: "leader".to_owned(),
            process: None,
            used,
            syncs: Some(4),
            stages: Vec::new(),
            turns: None,
        };
        let outcome = Outcome { answers: answers(0), parts: vec![part], began: std::time::UNIX_EPOCH };
        let shown = Parts { title: "1 × 1", outcome: &outcome }.to_string();
        assert!(!shown.contains("inf") && !shown.contains("NaN"), "{shown}");
    }

    #[test]
    fn times_are_shown_in_the_unit_in_which_they_are_short() {
        let shown = [0, 99_949, 355_400, 9_999_000, 10_000_000, 250_060_000, 60_000_000_000].map(time);
        assert_eq!(shown, ["0.0 µs", "99.9 µs", "355 µs", "9999 µs", "10.0 ms", "250.1 ms", "60.00 s"]);
    }

    #[test]
    fn thousands_stand_apart() {
        let shown = [0.0, 999.4, 1000.0, 12_345.6, 1_234_567.0].map(grouped);
        assert_eq!(shown, ["0", "999", "1,000", "12,346", "1,234,567"]);
    }

    fn summary(rate: f64, p50: u64, p90: Option<u64>, errors: u64) -> Summary {
        Summary { rate, percentiles: [Some(p50), p90, None, None], max: Some(p50 * 9), errors: Some(errors) }
    }

    #[test]
    fn a_median_is_taken_of_each_figure_by_itself() {
        let runs = [summary(10.0, 3, Some(7), 0), summary(30.0, 2, Some(5), 9), summary(20.0, 1, Some(6), 1)];
        assert_eq!(Summary::of_runs(&runs), Some(Summary { max: Some(18), ..summary(20.0, 2, Some(6), 1) }));
        assert_eq!(Summary::of_runs(&[]), None);
    }

    #[test]
    fn of_two_runs_the_worse_figure_is_taken_and_one_without_a_percentile_takes_it_away() {
        let runs = [summary(10.0, 3, Some(7), 0), summary(30.0, 2, None, 9)];
        assert_eq!(Summary::of_runs(&runs), Some(Summary { max: Some(27), ..summary(10.0, 3, None, 9) }));
    }

    #[test]
    fn a_stage_is_shown_in_the_unit_of_its_histogram_and_without_errors() {
        let mut sync = Histogram::new_with_bounds(1, 60_000_000, 2).unwrap();
        sync.record_n(180, 1000).unwrap();
        let part = Part {
            name: "n1".to_owned(),
            process: None,
            used: None,
            syncs: None,
            stages: vec![sync],
            turns: None,
        };
        let expected = "\
stages of n1                       per s       p50       p90       p99     p99.9       max  errors
5 Sync                               500    180 µs    180 µs         –         –    180 µs       –
";
        assert_eq!(stages(&part, &["5 Sync".to_owned()], Duration::from_secs(2)).to_string(), expected);
    }

    #[test]
    fn percentiles_are_compared_where_both_are_there_and_none_is_zero() {
        let before = summary(1.0, 100, Some(200), 0);
        assert_eq!(summary(1.0, 150, Some(600), 0).times(&before), "1.50 × its p50, 3.00 × its p90");
        assert_eq!(summary(1.0, 150, None, 0).times(&before), "1.50 × its p50");
        assert_eq!(before.times(&summary(1.0, 0, None, 0)), "");
    }

    #[test]
    fn the_share_of_the_limit_is_of_rate_and_latency_and_nothing_is_divided_by_zero() {
        let limit = summary(200.0, 100, None, 0);
        let half = share(&summary(100.0, 150, None, 0), &limit);
        assert_eq!(half.as_deref(), Some("50 % of the limit's rate, 1.50 × its p50"));
        assert_eq!(share(&limit, &summary(0.0, 1, None, 0)), None);
        assert_eq!(share(&limit, &summary(1.0, 0, None, 0)), None);
        assert_eq!(share(&limit, &Summary { percentiles: [None; 4], ..limit.clone() }), None);
    }
}
