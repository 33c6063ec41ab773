//! Figures with a name each, of loads that are no series of like operations: how long a cluster was without a leader, what a
//! key takes in memory.
//!
//! A [`Sheet`] holds the figures of one such load, a [`Figure`] its value in each run. They stand in a result beside the
//! points, are shown on its page, and `diff` compares them by their names.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::report::{Summary, grouped, time};

/// So many runs are shown one by one.
const EACH: usize = 10;

/// What the numbers of a figure count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    /// Nanoseconds.
    Ns,
    /// So many in a second.
    PerSecond,
    /// Bytes.
    Bytes,
    /// Things, or events.
    Count,
    /// A ratio of two figures.
    Times,
}

impl Unit {
    /// A value in it, for people.
    pub(crate) fn shown(self, value: f64) -> String {
        match self {
            Self::Ns => time(value.max(0.0).round() as u64),
            Self::PerSecond | Self::Count => grouped(value),
            Self::Bytes => bytes(value),
            Self::Times => format!("{value:.3}"),
        }
    }
}

/// Bytes, or what is short.
fn bytes(value: f64) -> String {
    let (kib, mib) = (1024.0, f64::from(1 << 20));
    match value.abs() {
        size if size < 10.0 * kib => format!("{value:.1} B"),
        size if size < 10.0 * mib => format!("{:.1} KiB", value / kib),
        _ => format!("{:.1} MiB", value / mib),
    }
}

/// Which of two values is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Better {
    /// The lower.
    Lower,
    /// The higher.
    Higher,
    /// Neither: it says what was measured, and not how well it went.
    Neither,
}

/// A value for each run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// What people call it; figures of two sheets belong together if they have the same name.
    pub(crate) name: String,
    /// What its values count.
    pub(crate) unit: Unit,
    /// Which of two is the better one.
    pub(crate) better: Better,
    /// In the order of the runs. A run in which there was no such value has none here.
    pub(crate) runs: Vec<f64>,
}

impl Figure {
    fn sorted(&self) -> Vec<f64> {
        let mut runs = self.runs.clone();
        runs.sort_by(f64::total_cmp);
        runs
    }

    /// The run in the middle; of an even number the worse of the two.
    pub(crate) fn median(&self) -> Option<f64> {
        let runs = self.sorted();
        let last = runs.len().checked_sub(1)?;
        let middle = if self.better == Better::Higher { last / 2 } else { runs.len() / 2 };
        runs.get(middle).copied()
    }

    /// The lowest and the highest run.
    pub(crate) fn range(&self) -> Option<(f64, f64)> {
        let runs = self.sorted();
        runs.first().copied().zip(runs.last().copied())
    }
}

/// The figures of one load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sheet {
    /// What people call it; sheets of two results belong together if they have the same name.
    pub(crate) name: String,
    /// What was asked, in words.
    pub(crate) parameters: BTreeMap<String, String>,
    /// In the order in which they are shown.
    pub(crate) figures: Vec<Figure>,
}

impl Sheet {
    /// Without figures.
    pub(crate) fn new(name: impl Into<String>, parameters: &[(&str, String)]) -> Self {
        let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        Self { name: name.into(), parameters: parameters.collect(), figures: Vec::new() }
    }

    /// Adds the value of a run to the figure of this name, which need not be there yet.
    pub(crate) fn add(&mut self, name: &str, unit: Unit, better: Better, value: f64) {
        match self.figures.iter_mut().find(|figure| figure.name == name) {
            Some(figure) => figure.runs.push(value),
            None => {
                let name = name.to_owned();
                self.figures.push(Figure { name, unit, better, runs: vec![value] });
            }
        }
    }

    /// The same of a time, of which less is better.
    pub(crate) fn time(&mut self, name: &str, time: std::time::Duration) {
        self.add(name, Unit::Ns, Better::Lower, time.as_nanos() as f64);
    }

    /// Adds rate, percentiles as far as there are samples enough, and the slowest of a run, each behind `name`.
    pub(crate) fn summary(&mut self, name: &str, summary: &Summary) {
        self.add(&format!("{name}, in a second"), Unit::PerSecond, Better::Higher, summary.rate);
        self.latencies(name, summary);
    }

    /// The same without the rate.
    pub(crate) fn latencies(&mut self, name: &str, summary: &Summary) {
        let (percentiles, max) = summary.latencies();
        let names = crate::report::PERCENTILES.iter().map(|(_, name)| *name);
        for (which, nanos) in names.zip(percentiles).chain([("max", max)]) {
            if let Some(nanos) = nanos {
                self.add(&format!("{name}, {which}"), Unit::Ns, Better::Lower, nanos as f64);
            }
        }
    }
}

impl fmt::Display for Sheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<60}{:>12}{:>12}{:>12}", self.name, "median", "lowest", "highest")?;
        for figure in &self.figures {
            let (Some(median), Some((low, high))) = (figure.median(), figure.range()) else { continue };
            let shown = |value| figure.unit.shown(value);
            write!(f, "  {:<58}{:>12}{:>12}{:>12}", figure.name, shown(median), shown(low), shown(high))?;
            if (2..=EACH).contains(&figure.runs.len()) {
                let each: Vec<String> = figure.runs.iter().map(|run| shown(*run)).collect();
                write!(f, "   {}", each.join(", "))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A sheet of one time and one rate, with these runs.
    pub(crate) fn sheet(gaps: &[f64], rates: &[f64]) -> Sheet {
        let mut sheet = Sheet::new("failover", &[("rounds", "3".to_owned())]);
        for gap in gaps {
            sheet.add("writes, longest gap", Unit::Ns, Better::Lower, *gap);
        }
        for rate in rates {
            sheet.add("acquisitions in a second", Unit::PerSecond, Better::Higher, *rate);
        }
        sheet
    }

    #[test]
    fn of_an_even_number_of_runs_the_worse_of_the_two_in_the_middle_is_the_median() {
        let sheet = sheet(&[4.0, 1.0, 3.0, 2.0], &[4.0, 1.0, 3.0, 2.0]);
        let medians: Vec<Option<f64>> = sheet.figures.iter().map(Figure::median).collect();
        assert_eq!(medians, [Some(3.0), Some(2.0)]);
        let none = Figure { runs: Vec::new(), ..sheet.figures[0].clone() };
        assert_eq!((none.median(), none.range()), (None, None));
    }

    #[test]
    fn a_sheet_shows_each_run_behind_its_median_and_range() {
        let expected = "\
failover                                                          median      lowest     highest
  writes, longest gap                                           250.0 ms    210.0 ms    300.0 ms   250.0 ms, 300.0 ms, 210.0 ms
  acquisitions in a second                                         1,234       1,234       1,234
";
        assert_eq!(sheet(&[250e6, 300e6, 210e6], &[1234.0]).to_string(), expected);
    }

    #[test]
    fn bytes_are_shown_in_the_unit_in_which_they_are_short() {
        let shown =
            [0.0, 96.34, -12.0, 10_239.0, 20_480.0, 314_572_800.0].map(|value| Unit::Bytes.shown(value));
        assert_eq!(shown, ["0.0 B", "96.3 B", "-12.0 B", "10239.0 B", "20.0 KiB", "300.0 MiB"]);
    }
}
