//! `diff`: what changed between two results, in words first.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;

use crate::End;
use crate::failure::Failure;
use crate::figures::{Better, Sheet};
use crate::noise::{RUNS, Seen};
use crate::report::{grouped, show, time};
use crate::result::{Interval, Point, ProcessFigures, Report, Run};

/// Which results.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast-bench diff before/result.json after/result.json")]
pub(crate) struct DiffArgs {
    /// The result.json of before.
    a: PathBuf,
    /// The result.json of after.
    b: PathBuf,
}

/// How a figure is judged and shown.
#[derive(Debug, Clone, Copy)]
struct Judged {
    higher_is_better: bool,
    is_tail: bool,
    shown: fn(f64) -> String,
}

const RATE: Judged = Judged { higher_is_better: true, is_tail: false, shown: grouped };
const LATENCY: Judged = Judged { higher_is_better: false, is_tail: false, shown: nanos };
const TAIL: Judged = Judged { is_tail: true, ..LATENCY };
const COST: Judged = Judged { shown: plain, ..LATENCY };
// Logs are prepared a segment at a time, so that a short run has one more of them, or one less.
const LUMPS: Judged = Judged { shown: plain, ..TAIL };

fn nanos(value: f64) -> String {
    time(value.round() as u64)
}

fn plain(value: f64) -> String {
    format!("{value:.3}")
}

/// What a process used for each operation.
type Cost = fn(&ProcessFigures) -> Option<f64>;

/// A figure of a point.
#[derive(Debug)]
struct Figure {
    name: String,
    judged: Judged,
    seen: Seen,
}

/// What `diff` found.
#[derive(Debug, Default)]
struct Found {
    worse: Vec<String>,
    better: Vec<String>,
    /// What makes the comparison worth less.
    notes: Vec<String>,
    table: String,
}

/// Compares, and says what changed.
pub(crate) fn run(args: &DiffArgs) -> Result<End, Failure> {
    let found = compare(&Report::read(&args.a)?, &Report::read(&args.b)?);
    show(found.text())?;
    Ok(if found.worse.is_empty() { End::Done } else { End::Worse })
}

/// All runs of a point, with the values of a figure in each, and in each of their intervals.
fn seen(
    runs: &[Run],
    of: impl Fn(&Run) -> Option<f64>,
    within: impl Fn(&Run, &Interval) -> Option<f64>,
) -> Option<Seen> {
    let values: Option<Vec<f64>> = runs.iter().map(of).collect();
    let intervals =
        runs.iter().flat_map(|run| run.intervals.iter().filter_map(|interval| within(run, interval)));
    Seen::of(&values?, &intervals.collect::<Vec<_>>())
}

fn figures(point: &Point) -> Vec<Figure> {
    let float = |nanos: Option<u64>| nanos.map(|nanos| nanos as f64);
    let runs = &point.runs;
    let rate = |run: &Run, interval: &Interval| Some(interval.operations as f64 / run.interval_seconds);
    let none = |_: &Run, _: &Interval| None;
    let mut all = vec![
        ("operations in a second".to_owned(), RATE, seen(runs, |run| Some(run.rate), rate)),
        (
            "p50".to_owned(),
            LATENCY,
            seen(runs, |run| float(run.latency_ns.p50), |_, part| float(part.p50_ns)),
        ),
        ("p90".to_owned(), LATENCY, seen(runs, |run| float(run.latency_ns.p90), none)),
        ("p99".to_owned(), TAIL, seen(runs, |run| float(run.latency_ns.p99), |_, part| float(part.p99_ns))),
        ("p99.9".to_owned(), TAIL, seen(runs, |run| float(run.latency_ns.p99_9), none)),
    ];
    // Who leads is not the same node in each run: what all of them use is.
    let costs: [(&str, Judged, Cost); 4] = [
        ("CPU µs for each operation", COST, |process| process.cpu_us_per_op),
        ("context switches for each operation", COST, |process| process.switches_per_op),
        ("syncs for each operation", COST, |process| process.syncs_per_op),
        ("device bytes per user byte", LUMPS, |process| process.device_bytes_per_user_byte),
    ];
    for (name, judged, of) in costs {
        let nodes = |run: &Run| {
            let nodes = run.processes.split_last().map_or(&[][..], |(_, nodes)| nodes);
            let values: Option<Vec<f64>> = nodes.iter().map(of).collect();
            values.filter(|values| !values.is_empty()).map(|values| values.iter().sum())
        };
        all.push((format!("{name}, all nodes"), judged, seen(runs, nodes, none)));
    }
    all.into_iter().filter_map(|(name, judged, seen)| Some(Figure { name, judged, seen: seen? })).collect()
}

fn is_void(point: &Point) -> bool {
    point.runs.iter().any(|run| run.kept.as_ref().is_some_and(|kept| kept.void))
}

fn compare(a: &Report, b: &Report) -> Found {
    let mut found = Found::default();
    let (here, there) = (&a.environment, &b.environment);
    let told = [
        ("kernel", here.kernel.clone(), there.kernel.clone()),
        ("file system", here.file_system.clone(), there.file_system.clone()),
        ("number of cores", here.cores.to_string(), there.cores.to_string()),
        ("durability", here.durability.clone(), there.durability.clone()),
    ];
    for (what, before, after) in told {
        if before != after {
            found
                .notes
                .push(format!("the {what} is not the same: {before} and {after}; this compares machines"));
        }
    }
    for point in &b.points {
        if !a.points.iter().any(|other| other.name == point.name) {
            found.notes.push(format!("{} is in B only", point.name));
        }
    }
    for sheet in &b.sheets {
        if !a.sheets.iter().any(|other| other.name == sheet.name) {
            found.notes.push(format!("{} is in B only", sheet.name));
        }
    }
    for before in &a.sheets {
        match b.sheets.iter().find(|after| after.name == before.name) {
            Some(after) => sheets(&mut found, before, after),
            None => found.notes.push(format!("{} is in A only", before.name)),
        }
    }
    for before in &a.points {
        match b.points.iter().find(|after| after.name == before.name) {
            Some(after) => points(&mut found, before, after),
            None => found.notes.push(format!("{} is in A only", before.name)),
        }
    }
    found
}

fn points(found: &mut Found, a: &Point, b: &Point) {
    let name = &a.name;
    for (side, point) in [("A", a), ("B", b)] {
        if is_void(point) {
            found
                .notes
                .push(format!("{name} is void in {side}: its schedule was missed; it is not compared"));
            return;
        }
    }
    // The seed only says which chances were taken.
    let same = |point: &Point| {
        let mut parameters = point.parameters.clone();
        if let Some(schedule) = &mut parameters.schedule {
            schedule.seed = 0;
        }
        parameters
    };
    if same(a) != same(b) {
        found.notes.push(format!("{name} was not asked the same: {:?} and {:?}", a.parameters, b.parameters));
    }
    if a.runs.len().min(b.runs.len()) < RUNS {
        found.notes.push(format!("{name} has fewer than {RUNS} runs: what drifts between runs is not known"));
    }
    let errors = |point: &Point| point.runs.iter().map(|run| run.errors).sum::<u64>();
    match (errors(a), errors(b)) {
        (0, after) if after > 0 => found.worse.push(format!("{name}: {after} errors, and none before")),
        (before, 0) if before > 0 => found.better.push(format!("{name}: no errors, and {before} before")),
        _ => {}
    }
    let _ = writeln!(found.table, "{name:<60}{:>14}{:>14}{:>9}", "A", "B", "B ÷ A");
    let after = figures(b);
    for before in figures(a) {
        let Some(after) = after.iter().find(|after| after.name == before.name) else { continue };
        let changed = before.seen.changed(&after.seen, before.judged.is_tail);
        let (judged, seen) = (before.judged, (&before.seen, &after.seen));
        row(found, name, (&before.name, judged), seen, changed, judged.shown);
    }
}

/// Compares the figures of two sheets that have the same name.
fn sheets(found: &mut Found, a: &Sheet, b: &Sheet) {
    let name = &a.name;
    if a.parameters != b.parameters {
        found.notes.push(format!("{name} was not asked the same: {:?} and {:?}", a.parameters, b.parameters));
    }
    let fewest = |sheet: &Sheet| sheet.figures.iter().map(|figure| figure.runs.len()).min().unwrap_or(0);
    if fewest(a).min(fewest(b)) < RUNS {
        let note = format!(
            "some figures of {name} have fewer than {RUNS} runs: what drifts between runs is not known"
        );
        found.notes.push(note);
    }
    let _ = writeln!(found.table, "{name:<60}{:>14}{:>14}{:>9}", "A", "B", "B ÷ A");
    for before in &a.figures {
        let after = b.figures.iter().find(|after| after.name == before.name && after.unit == before.unit);
        let Some(after) = after else { continue };
        let Some((was, is)) = Seen::of(&before.runs, &[]).zip(Seen::of(&after.runs, &[])) else { continue };
        let unit = before.unit;
        // They have no intervals, so that of few runs nobody knows the noise.
        let changed = was.changed(&is, true).filter(|_| before.better != Better::Neither);
        let judged =
            Judged { higher_is_better: before.better == Better::Higher, is_tail: true, shown: plain };
        row(found, name, (&before.name, judged), (&was, &is), changed, |value| unit.shown(value));
    }
}

/// One line of the table, and a sentence if the difference exceeds the noise.
fn row(
    found: &mut Found,
    of: &str,
    (name, judged): (&str, Judged),
    (before, after): (&Seen, &Seen),
    changed: Option<f64>,
    shown: impl Fn(f64) -> String,
) {
    let (was, is) = (shown(before.median), shown(after.median));
    let ratio = if before.median > 0.0 { after.median / before.median } else { f64::NAN };
    let mark = if changed.is_some() { "  beyond noise" } else { "" };
    let ratio = if ratio.is_nan() { "–".to_owned() } else { format!("{ratio:.2}") };
    let _ = writeln!(found.table, "  {name:<58}{was:>14}{is:>14}{ratio:>9}{mark}");
    if let Some(times) = changed {
        let words = format!("{of}: {name} is {times:.2} × what it was ({is}, was {was})");
        let is_better = (times > 1.0) == judged.higher_is_better;
        if is_better { found.better.push(words) } else { found.worse.push(words) }
    }
}

impl Found {
    fn text(&self) -> String {
        let mut out = String::new();
        match (self.worse.len(), self.better.len()) {
            (0, 0) if self.table.is_empty() => out.push_str("nothing could be compared\n"),
            (0, 0) => out.push_str("no difference exceeds the noise\n"),
            (worse, better) => {
                let _ = writeln!(out, "beyond the noise: {worse} worse, {better} better");
            }
        }
        for (title, lines) in [("worse", &self.worse), ("better", &self.better), ("note", &self.notes)] {
            for line in lines {
                let _ = writeln!(out, "  {title}: {line}");
            }
        }
        format!("{out}\n{}", self.table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::report;

    fn text(a: &Report, b: &Report) -> String {
        compare(a, b).text()
    }

    #[test]
    fn a_result_and_itself_do_not_differ() {
        let text = text(&report(3), &report(3));
        assert!(text.starts_with("no difference exceeds the noise\n"), "{text}");
        assert!(!text.contains("beyond noise"), "{text}");
    }

    #[test]
    fn a_difference_that_was_planted_is_found_and_judged_and_no_other() {
        let (a, mut b) = (report(3), report(3));
        for run in &mut b.points[0].runs {
            run.rate *= 1.5;
            run.latency_ns.p90 = run.latency_ns.p90.map(|nanos| nanos * 3);
            // Within the noise.
            run.latency_ns.p50 = run.latency_ns.p50.map(|nanos| nanos * 51 / 50);
        }
        let text = text(&a, &b);
        let expected = "\
beyond the noise: 1 worse, 1 better
  worse: put 8 × 8 at 1000/s: p90 is 3.00 × what it was (8098 µs, was 2699 µs)
  better: put 8 × 8 at 1000/s: operations in a second is 1.50 × what it was (1,499, was 999)
";
        assert!(text.starts_with(expected), "{text}");
        assert_eq!(text.matches("beyond noise").count(), 2, "{text}");
    }

    #[test]
    fn figures_of_sheets_are_judged_by_what_is_better_and_those_that_only_tell_are_not() {
        let of = |gaps: &[f64], rates: &[f64], keys: f64| {
            let mut sheet = crate::figures::tests::sheet(gaps, rates);
            sheet.add("keys", crate::figures::Unit::Count, Better::Neither, keys);
            Report { points: Vec::new(), sheets: vec![sheet], ..report(1) }
        };
        let a = of(&[2e8, 2.1e8, 2.2e8], &[100.0, 101.0, 102.0], 10.0);
        let b = of(&[4e8, 4.1e8, 4.2e8], &[200.0, 201.0, 202.0], 90.0);
        let expected = "\
beyond the noise: 1 worse, 1 better
  worse: failover: writes, longest gap is 1.95 × what it was (410.0 ms, was 210.0 ms)
  better: failover: acquisitions in a second is 1.99 × what it was (201, was 101)
";
        let planted = text(&a, &b);
        assert!(planted.starts_with(expected), "{planted}");
        assert!(text(&a, &a).starts_with("no difference exceeds the noise\n"));
        // Of one run each a factor of two and less says nothing.
        let few = text(&of(&[2e8], &[100.0], 1.0), &of(&[3.9e8], &[60.0], 1.0));
        assert!(few.starts_with("no difference") && few.contains("fewer than 3 runs"), "{few}");
    }

    #[test]
    fn errors_where_there_were_none_are_worse() {
        let (a, mut b) = (report(1), report(1));
        b.points[0].runs[0].errors = 12;
        assert!(text(&a, &b).contains("worse: put 8 × 8 at 1000/s: 12 errors, and none before"));
    }

    #[test]
    fn what_is_void_is_not_compared_and_what_makes_it_worth_less_is_said() {
        let (a, mut b) = (report(1), report(1));
        b.environment.kernel = "7.0".to_owned();
        b.points[0].runs[0].kept.as_mut().unwrap().void = true;
        b.points[0].runs[0].rate = 1.0;
        let void = text(&a, &b);
        assert!(void.starts_with("nothing could be compared\n"), "{void}");
        assert!(
            void.contains("the kernel is not the same: 6.1 and 7.0") && void.contains("is void in B"),
            "{void}"
        );
        b.points[0].name = "get 1 × 1".to_owned();
        let other = text(&a, &b);
        assert!(other.contains("get 1 × 1 is in B only") && other.contains("1000/s is in A only"), "{other}");
    }
}
