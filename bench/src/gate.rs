//! `gate`: a fixed set of loads as ratios to the limit of the same run, beside those of before.
//!
//! What is compared is not how fast a machine is but how much of it is used: each run stands beside one of the skeleton on the
//! same disk a moment later, and most of what drifts moves both. It takes minutes of a quiet machine, so it is run when somebody
//! wants to know, and never by the tests.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::disk::Scratch;
use crate::failure::{Doing, Failure};
use crate::kv::{self, Kind, Place, What};
use crate::load::Load;
use crate::noise::{RUNS, Seen};
use crate::report::show;
use crate::result::{Environment, Point};
use crate::{End, LoadArgs, limits};

/// The version of a line of the history.
const FORMAT: u32 = 1;
/// The set: never changed, as the history would say nothing any more.
const SET: [(Kind, u32, u32); 4] =
    [(Kind::Put, 1, 1), (Kind::Put, 8, 8), (Kind::Put, 8, 128), (Kind::Get, 8, 8)];
/// Nodes of each cluster.
const NODES: u32 = 3;
/// Keys of each load.
const KEYS: u32 = 10_000;
/// So many of the last records of this machine are what was before.
const RECORDS: usize = 5;

/// How long, and what it is compared with.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast-bench gate
  holdfast-bench gate --record --runs 5 --dir /data")]
pub(crate) struct GateArgs {
    #[command(flatten)]
    load: LoadArgs,
    /// How often each load is run, in turns with the skeleton.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// The records of before, one line each.
    #[arg(long, value_name = "FILE", default_value = "bench/history.jsonl")]
    history: PathBuf,
    /// Appends this one to them.
    #[arg(long)]
    record: bool,
}

/// One line of the history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Record {
    /// [`FORMAT`].
    format: u32,
    /// When it was measured, in milliseconds since 1970.
    unix_ms: u64,
    /// The version of the program.
    build: String,
    /// Where it was measured.
    environment: Environment,
    /// Each load of the set.
    points: Vec<Ratios>,
}

/// How much of the limit a load reached, in each run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Ratios {
    /// The load.
    name: String,
    /// Its rate, in rates of the skeleton's puts.
    rate: Vec<f64>,
    /// Its median latency, in medians of the skeleton's puts.
    p50: Vec<f64>,
    /// Operations that failed.
    errors: u64,
}

impl Ratios {
    fn of(point: &Point) -> Self {
        let pairs = || point.runs.iter().zip(&point.limit);
        let ratio = |ours: f64, limit: f64| (limit > 0.0).then(|| ours / limit);
        let p50 = |(ours, limit): (&crate::result::Run, &crate::result::Run)| {
            ratio(ours.latency_ns.p50? as f64, limit.latency_ns.p50? as f64)
        };
        Self {
            name: point.name.clone(),
            rate: pairs().filter_map(|(ours, limit)| ratio(ours.rate, limit.rate)).collect(),
            p50: pairs().filter_map(p50).collect(),
            errors: point.runs.iter().map(|run| run.errors).sum(),
        }
    }
}

impl Record {
    /// Whether figures of both may be compared.
    fn is_of_the_same_machine(&self, other: &Self) -> bool {
        let of = |record: &Self| {
            let environment = &record.environment;
            (environment.cores, environment.file_system.clone(), environment.durability.clone())
        };
        of(self) == of(other)
    }
}

/// Measures the set, and compares it with what was before.
pub(crate) fn run(args: &GateArgs, scratch: &Scratch) -> Result<End, Failure> {
    // What is wrong with it is better known before minutes of measuring than after.
    let before = read(&args.history)?;
    show(limits::environment(scratch))?;
    let environment = Environment::of(scratch);
    let first = args.load.loads().into_iter().next();
    let mut points = Vec::new();
    for (kind, connections, in_flight) in SET {
        let Some(first) = first else { break };
        let load = Load { connections, in_flight, ..first };
        let what = What { kind, load, keys: KEYS, exactly_once: false, runs: args.runs };
        let measured = kv::point(&what, &Place::spawned(NODES), true, scratch)?;
        points.push(Ratios::of(&measured.point(&what)));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let record = Record {
        format: FORMAT,
        unix_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        build: env!("CARGO_PKG_VERSION").to_owned(),
        environment,
        points,
    };
    let (text, is_worse) = compare(&record, &before);
    show(text)?;
    if args.record {
        append(&args.history, &record)?;
        show(format!("recorded in {}", args.history.display()))?;
    }
    Ok(if is_worse { End::Worse } else { End::Done })
}

/// All records; none if there is no file.
fn read(path: &Path) -> Result<Vec<Record>, Failure> {
    let doing = || format!("read the history {}", path.display());
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.doing(doing)?,
    };
    parse(&text).doing(doing)
}

fn parse(text: &str) -> Result<Vec<Record>, String> {
    let one = |(number, line): (usize, &str)| {
        let wrong =
            |why: String| format!("line {number}: {why}; nothing was measured, mend or remove the line");
        let record: Record = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        if record.format == FORMAT {
            Ok(record)
        } else {
            Err(wrong(format!("its format is {}; this program reads {FORMAT}", record.format)))
        }
    };
    (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()).map(one).collect()
}

/// Adds a line at the end, durable when this returns.
fn append(path: &Path, record: &Record) -> Result<(), Failure> {
    let doing = || format!("add to the history {}", path.display());
    let line = serde_json::to_string(record).doing(doing)? + "\n";
    let mut file = OpenOptions::new().create(true).append(true).open(path).doing(doing)?;
    file.write_all(line.as_bytes()).doing(doing)?;
    file.sync_all().doing(doing)
}

/// What is to be said, and whether something is worse.
fn compare(record: &Record, history: &[Record]) -> (String, bool) {
    let same = history.iter().rev().filter(|before| before.is_of_the_same_machine(record));
    let before: Vec<&Record> = same.take(RECORDS).collect();
    let (mut words, mut table, mut worse) = (String::new(), String::new(), false);
    let _ = writeln!(table, "{:<44}{:>9}{:>9}{:>9}{:>9}", "÷ skeleton", "now", "lowest", "highest", "before");
    let mut line = |name: &str, now: &[f64], was: &[f64], higher_is_better: bool| {
        let (now, was) = (Seen::of(now, &[]), Seen::of(was, &[]));
        let Some(now) = now else {
            let _ = writeln!(table, "{name:<44}{:>9}", "–");
            return;
        };
        let (low, high) = now.spread.unwrap_or((now.median, now.median));
        let shown = was.as_ref().map_or_else(|| "–".to_owned(), |was| format!("{:.3}", was.median));
        let _ = writeln!(table, "{name:<44}{:>9.3}{low:>9.3}{high:>9.3}{shown:>9}", now.median);
        if let Some(times) = was.and_then(|was| was.changed(&now, false)) {
            let is_better = (times > 1.0) == higher_is_better;
            worse |= !is_better;
            let verdict = if is_better { "better" } else { "worse" };
            let _ = writeln!(words, "  {verdict}: {name} is {times:.2} × what it was");
        }
    };
    let mut notes = String::new();
    for point in &record.points {
        let of = |figure: fn(&Ratios) -> &Vec<f64>| -> Vec<f64> {
            let same =
                before.iter().flat_map(|record| &record.points).filter(|other| other.name == point.name);
            same.flat_map(figure).copied().collect()
        };
        line(&format!("{}, rate", point.name), &point.rate, &of(|ratios| &ratios.rate), true);
        line(&format!("{}, p50", point.name), &point.p50, &of(|ratios| &ratios.p50), false);
        if point.rate.len() < RUNS {
            let _ = writeln!(
                notes,
                "  note: {}: fewer than {RUNS} runs, so what drifts between them is not known",
                point.name
            );
        }
        if point.errors > 0 {
            let _ = writeln!(notes, "  note: {}: {} errors", point.name, point.errors);
        }
    }
    let head = match (before.len(), words.is_empty()) {
        (0, _) => "there is no record of this machine to compare with\n".to_owned(),
        (count, true) => {
            format!("no difference to the last {count} records of this machine exceeds the noise\n")
        }
        (count, false) => format!("beyond the noise of the last {count} records of this machine:\n"),
    };
    (format!("{head}{words}{notes}\n{table}"), worse)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::report;

    fn record(factor: f64) -> Record {
        let ratios = |name: &str| Ratios {
            name: name.to_owned(),
            rate: vec![0.40 * factor, 0.41 * factor, 0.42 * factor],
            p50: vec![2.0 / factor, 2.1 / factor, 2.2 / factor],
            errors: 0,
        };
        Record {
            format: FORMAT,
            unix_ms: 7,
            build: "0.0.0".to_owned(),
            environment: report(1).environment,
            points: vec![ratios("put 1 × 1"), ratios("get 8 × 8")],
        }
    }

    #[test]
    fn a_machine_without_records_has_nothing_to_be_worse_than() {
        let mut other = record(2.0);
        other.environment.cores = 64;
        let (text, is_worse) = compare(&record(1.0), &[other]);
        assert!(text.starts_with("there is no record of this machine") && !is_worse, "{text}");
    }

    #[test]
    fn what_is_beyond_all_that_was_seen_is_worse_or_better_and_what_is_not_is_noise() {
        let before = [record(1.0), record(1.02), record(0.98)];
        let (text, is_worse) = compare(&record(1.01), &before);
        assert!(text.starts_with("no difference to the last 3 records") && !is_worse, "{text}");
        let (text, is_worse) = compare(&record(0.7), &before);
        assert!(text.contains("worse: put 1 × 1, rate is 0.70 × what it was") && is_worse, "{text}");
        let (text, is_worse) = compare(&record(1.4), &before);
        assert!(text.contains("better: get 8 × 8, p50 is 0.71 × what it was") && !is_worse, "{text}");
    }

    #[test]
    fn only_the_last_records_count() {
        let mut before = vec![record(0.5)];
        before.extend((0..RECORDS).map(|_| record(1.0)));
        assert!(compare(&record(0.5), &before).1);
    }

    #[test]
    fn a_record_is_appended_and_read_back_and_a_line_that_is_cut_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.jsonl");
        assert_eq!(read(&path).unwrap(), []);
        append(&path, &record(1.0)).unwrap();
        append(&path, &record(0.5)).unwrap();
        assert_eq!(read(&path).unwrap(), [record(1.0), record(0.5)]);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() - 9]).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("line 2: "));
    }

    #[test]
    fn ratios_are_those_of_runs_that_stand_beside_one_another() {
        let mut point = report(2).points.remove(0);
        point.limit[1].rate *= 4.0;
        point.limit[1].latency_ns.p50 = None;
        let ratios = Ratios::of(&point);
        assert_eq!((ratios.rate, ratios.p50), (vec![1.0, 0.25], vec![1.0]));
    }
}
