//! A result as a file: what was measured, where, how, and what came. What `--out` writes and `diff` reads.
//!
//! Times are nanoseconds and rates are per second, unless a name says otherwise. A figure that there is none of is `null`: of
//! a percentile with too few samples beyond it, of a process on another machine, of a load that writes nothing.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::UNIX_EPOCH;

use hdrhistogram::Histogram;
use holdfast_machine::Numbered;
use holdfast_server::stage::Stage;
use serde::{Deserialize, Serialize};

use crate::disk::Scratch;
use crate::failure::{Doing, Failure};
use crate::figures::Sheet;
use crate::load::{Answers, Load};
use crate::measure::{Outcome, Part};
use crate::report::{Summary, is_shown};

/// The version of this format. It changes if a reader of an older one would misunderstand it.
pub(crate) const FORMAT: u32 = 1;
/// Steps of a curve in each half of what is left up to 100 %.
const TICKS: u32 = 5;

/// All points of one start of the program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// [`FORMAT`].
    pub(crate) format: u32,
    /// The version of the program.
    pub(crate) build: String,
    /// Where it was measured.
    pub(crate) environment: Environment,
    /// Each load, in order.
    pub(crate) points: Vec<Point>,
    /// Figures of loads that are no series of like operations. A file of before there were any has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) sheets: Vec<Sheet>,
}

/// Where something was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Environment {
    /// The commit of the directory in which the program was started, with `-dirty` if something was changed.
    pub(crate) commit: Option<String>,
    /// The release of the kernel.
    pub(crate) kernel: String,
    /// The type of the file system on which the nodes kept their logs.
    pub(crate) file_system: String,
    /// Cores that the program may use.
    pub(crate) cores: usize,
    /// The load average of the last minute, before the run.
    pub(crate) load_before: Option<f64>,
    /// What an answer promises.
    pub(crate) durability: String,
}

impl Environment {
    /// Of here and now.
    pub(crate) fn of(scratch: &Scratch) -> Self {
        let read =
            |path| fs::read_to_string(path).map_or_else(|_| "?".to_owned(), |text| text.trim().to_owned());
        let durability = if scratch.is_in_memory() {
            "fdatasync on a majority before the answer, on a file system in memory: none"
        } else {
            "fdatasync on a majority before the answer"
        };
        Self {
            commit: commit(),
            kernel: read("/proc/sys/kernel/osrelease"),
            file_system: scratch.file_system().to_owned(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            load_before: read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()),
            durability: durability.to_owned(),
        }
    }
}

/// What git says of the current directory; `None` if it is in no repository, or there is no git.
fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output =
            Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { commit } else { format!("{commit}-dirty") })
}

/// One load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    /// What people call it; points of two results belong together if they have the same name.
    pub(crate) name: String,
    /// What was asked.
    pub(crate) parameters: Parameters,
    /// Each run against the cluster.
    pub(crate) runs: Vec<Run>,
    /// Each run against the skeleton, beside the one at the same place; empty if it was not run.
    pub(crate) limit: Vec<Run>,
}

/// What was asked, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Parameters {
    /// `put`, `put once`, `get`, or `mixed` with its part of gets.
    pub(crate) operation: String,
    /// Nodes of the cluster.
    pub(crate) nodes: usize,
    /// Connections of the load.
    pub(crate) connections: u32,
    /// Operations outstanding on each, at most.
    pub(crate) in_flight: u32,
    /// Bytes of each value.
    pub(crate) value_bytes: u32,
    /// Keys that there are.
    pub(crate) keys: u32,
    /// Seconds before anything counts.
    pub(crate) warmup_seconds: f64,
    /// Seconds of the window.
    pub(crate) measured_seconds: f64,
    /// The schedule of an open loop.
    pub(crate) schedule: Option<Schedule>,
}

/// The schedule of an open loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Schedule {
    /// Operations in a second, of all connections together.
    pub(crate) rate: f64,
    /// `constant` or `poisson`.
    pub(crate) arrivals: String,
    /// What chance began with.
    pub(crate) seed: u64,
}

impl Parameters {
    /// Of a load of this operation on so many keys and nodes.
    pub(crate) fn new(operation: &str, load: &Load, keys: u32, nodes: usize) -> Self {
        Self {
            operation: operation.to_owned(),
            nodes,
            connections: load.connections,
            in_flight: load.in_flight,
            value_bytes: load.value_bytes,
            keys,
            warmup_seconds: load.warmup.as_secs_f64(),
            measured_seconds: load.measured.as_secs_f64(),
            schedule: load.pace.map(|pace| Schedule {
                rate: pace.rate,
                arrivals: pace.arrivals.name().to_owned(),
                seed: pace.seed,
            }),
        }
    }
}

/// One run of a load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// When its window began, in milliseconds since 1970.
    pub(crate) began_unix_ms: u64,
    /// How long its window was.
    pub(crate) seconds: f64,
    /// Operations that were answered.
    pub(crate) operations: u64,
    /// In a second.
    pub(crate) rate: f64,
    /// Operations that were refused, or failed.
    pub(crate) errors: u64,
    /// Writes among them of which nobody said what came of them. Where it is not there, there are none, or nobody counted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) unknown: u64,
    /// The first of them.
    pub(crate) first_error: Option<String>,
    /// How an open loop kept its schedule.
    pub(crate) kept: Option<Kept>,
    /// Latencies at the usual percentiles.
    pub(crate) latency_ns: Latency,
    /// Percentile and latency, in order; as far as enough samples lie beyond.
    pub(crate) curve: Vec<(f64, u64)>,
    /// How long an interval is.
    pub(crate) interval_seconds: f64,
    /// Each interval of the window, by the time of the answer.
    pub(crate) intervals: Vec<Interval>,
    /// Each process; the generator is the last.
    pub(crate) processes: Vec<ProcessFigures>,
}

/// How an open loop kept its schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// Calls that were due in the window.
    pub(crate) scheduled: u64,
    /// Those that were not sent before its end.
    pub(crate) missed: u64,
    /// 99 % were sent at most this late.
    pub(crate) late_p99_ns: u64,
    /// More than 1 % were missed.
    pub(crate) void: bool,
}

/// Latencies at some percentiles.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Latency {
    /// Half were at most this slow.
    pub(crate) p50: Option<u64>,
    /// 90 %.
    pub(crate) p90: Option<u64>,
    /// 99 %.
    pub(crate) p99: Option<u64>,
    /// 99.9 %.
    pub(crate) p99_9: Option<u64>,
    /// The slowest.
    pub(crate) max: Option<u64>,
}

/// One interval of a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Interval {
    /// Operations that were answered in it.
    pub(crate) operations: u64,
    /// The median of their latencies.
    pub(crate) p50_ns: Option<u64>,
    /// Their 99th percentile.
    pub(crate) p99_ns: Option<u64>,
}

/// What one process used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProcessFigures {
    /// What people call it.
    pub(crate) name: String,
    /// Microseconds of CPU time for each operation.
    pub(crate) cpu_us_per_op: Option<f64>,
    /// Context switches for each operation.
    pub(crate) switches_per_op: Option<f64>,
    /// Calls of `fdatasync` for each operation.
    pub(crate) syncs_per_op: Option<f64>,
    /// Bytes that went to the device for each byte of key and value.
    pub(crate) device_bytes_per_user_byte: Option<f64>,
    /// Resident memory at the end.
    pub(crate) resident_bytes: Option<u64>,
    /// The nine stages of a request; empty for a process that has none.
    pub(crate) stages: Vec<StageFigures>,
}

/// One stage of a request at one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StageFigures {
    /// Its number, 1 to 9.
    pub(crate) number: u8,
    /// Its name.
    pub(crate) name: String,
    /// Requests that passed it.
    pub(crate) count: u64,
    /// How long it took.
    pub(crate) latency_ns: Latency,
}

impl Latency {
    fn of(summary: &Summary) -> Self {
        let ([p50, p90, p99, p99_9], max) = summary.latencies();
        Self { p50, p90, p99, p99_9, max }
    }
}

impl Run {
    /// What came of a run; each operation wrote so many bytes of key and value, if it wrote.
    pub(crate) fn of(outcome: &Outcome, user_bytes: Option<u64>) -> Self {
        let answers = &outcome.answers;
        let summary = Summary::of(answers);
        let began = outcome.began.duration_since(UNIX_EPOCH).unwrap_or_default();
        let operations = answers.latencies.len();
        let kept = answers.paced.as_ref().map(|paced| Kept {
            scheduled: paced.scheduled,
            missed: paced.missed,
            late_p99_ns: paced.late.value_at_quantile(0.99),
            void: paced.is_void(),
        });
        Self {
            began_unix_ms: u64::try_from(began.as_millis()).unwrap_or(u64::MAX),
            seconds: answers.elapsed.as_secs_f64(),
            operations,
            rate: summary.rate,
            errors: answers.errors,
            unknown: answers.unknown,
            first_error: answers.first_error.clone(),
            kept,
            latency_ns: Latency::of(&summary),
            curve: curve(&answers.latencies),
            interval_seconds: answers.interval.as_secs_f64(),
            intervals: intervals(answers),
            processes: outcome.parts.iter().map(|part| process(part, operations, user_bytes)).collect(),
        }
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

fn curve(latencies: &Histogram<u64>) -> Vec<(f64, u64)> {
    // Sums of parts of two are a hair off; a millionth is beyond what is ever shown.
    let rounded = |quantile: f64| (quantile * 1e8).round() / 1e6;
    let steps = latencies.iter_quantiles(TICKS);
    let steps = steps.map(|step| (rounded(step.quantile_iterated_to()), step.value_iterated_to()));
    steps.take_while(|(percentile, _)| is_shown(latencies.len(), *percentile)).collect()
}

/// Those that lie in the window as a whole. One without an answer counts: it is what a stall looks like.
fn intervals(answers: &Answers) -> Vec<Interval> {
    let whole = (answers.elapsed.as_nanos() / answers.interval.as_nanos().max(1)) as usize;
    let of = |index| {
        let Some(histogram) = answers.intervals.get(index) else {
            return Interval { operations: 0, p50_ns: None, p99_ns: None };
        };
        let ([p50_ns, _, p99_ns, _], _) = Summary::of_histogram(histogram, answers.interval, 1).latencies();
        Interval { operations: histogram.len(), p50_ns, p99_ns }
    };
    (0..whole).map(of).collect()
}

fn process(part: &Part, operations: u64, user_bytes: Option<u64>) -> ProcessFigures {
    let each = |count: f64| (operations > 0).then(|| count / operations as f64);
    let written = part.used.and_then(|used| used.written).zip(user_bytes.filter(|bytes| *bytes > 0));
    let stage = |(stage, histogram): (&Stage, &Histogram<u64>)| StageFigures {
        number: stage.number(),
        name: stage.name().to_owned(),
        count: histogram.len(),
        latency_ns: Latency::of(&Summary::of_histogram(histogram, std::time::Duration::ZERO, 1000)),
    };
    ProcessFigures {
        name: part.name.clone(),
        cpu_us_per_op: part.used.and_then(|used| each(used.cpu.as_secs_f64() * 1e6)),
        switches_per_op: part.used.and_then(|used| each(used.switches as f64)),
        syncs_per_op: part.syncs.and_then(|syncs| each(syncs as f64)),
        device_bytes_per_user_byte: written.and_then(|(written, bytes)| each(written as f64 / bytes as f64)),
        resident_bytes: part.used.map(|used| used.resident),
        stages: Stage::ALL.iter().zip(&part.stages).map(stage).collect(),
    }
}

impl Report {
    /// As the text of a file.
    pub(crate) fn json(&self) -> Result<String, Failure> {
        let text = serde_json::to_string_pretty(self).doing(|| "write the result as JSON".to_owned())?;
        Ok(text + "\n")
    }

    /// The file at `path`.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let doing = || format!("read the result {}", path.display());
        Self::parse(&fs::read_to_string(path).doing(doing)?).doing(doing)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
        match value.get("format").and_then(serde_json::Value::as_u64) {
            Some(format) if format == u64::from(FORMAT) => {}
            Some(format) => return Err(format!("its format is {format}; this program reads {FORMAT}")),
            None => return Err("it names no format: it is no result.json of holdfast-bench".to_owned()),
        }
        serde_json::from_value(value).map_err(|error| format!("it is not complete: {error}"))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::load::{Recorder, Window, histogram};
    use crate::pace::{Arrivals, Pace};
    use crate::process::Use;

    /// A load of three seconds with an answer each millisecond, of which each took one more microsecond.
    pub(crate) fn outcome() -> (Load, Outcome) {
        let pace = Some(Pace { rate: 1000.0, arrivals: Arrivals::Poisson, seed: 7 });
        let load = Load {
            connections: 8,
            in_flight: 8,
            value_bytes: 256,
            warmup: Duration::ZERO,
            measured: Duration::from_secs(3),
            operations: None,
            pace,
        };
        let begin = std::time::Instant::now();
        let window = Window { begin, end: begin + load.measured };
        let mut recorder = Recorder::new(&load, window).unwrap();
        for number in 0..3000 {
            let due = begin + Duration::from_millis(number);
            recorder.sent(due, due + Duration::from_micros(50));
            recorder.answer(due, due + Duration::from_micros(number));
        }
        let used = Use {
            cpu: Duration::from_millis(30),
            switches: 6000,
            resident: 1 << 20,
            written: Some(1_620_000),
        };
        let mut stage = histogram().unwrap();
        stage.record_n(180, 3000).unwrap();
        let node = Part {
            process: None,
            name: "node 1, leader".to_owned(),
            used: Some(used),
            syncs: Some(1500),
            stages: vec![stage; Stage::ALL.len()],
            turns: None,
        };
        let generator = Part {
            name: "generator".to_owned(),
            process: None,
            used: None,
            syncs: None,
            stages: Vec::new(),
            turns: None,
        };
        let outcome = Outcome { answers: recorder.finish(), began: UNIX_EPOCH, parts: vec![node, generator] };
        (load, outcome)
    }

    /// A result of one point and as many runs.
    pub(crate) fn report(runs: usize) -> Report {
        let (load, outcome) = outcome();
        let run = Run::of(&outcome, Some(270));
        Report {
            format: FORMAT,
            build: "0.0.0".to_owned(),
            environment: Environment {
                commit: Some("abc".to_owned()),
                kernel: "6.1".to_owned(),
                file_system: "ext4".to_owned(),
                cores: 2,
                load_before: Some(0.5),
                durability: "fdatasync on a majority before the answer".to_owned(),
            },
            points: vec![Point {
                name: format!("put {}", load.name()),
                parameters: Parameters::new("put", &load, 10_000, 3),
                runs: vec![run.clone(); runs],
                limit: vec![run; runs],
            }],
            sheets: Vec::new(),
        }
    }

    #[test]
    fn a_known_result_is_the_golden_json_and_is_read_back() {
        let mut report = report(1);
        report.points[0].limit.clear();
        let text = report.json().unwrap();
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/result.json");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &text).unwrap();
        }
        assert_eq!(text, fs::read_to_string(golden).unwrap());
        assert_eq!(Report::parse(&text).unwrap(), report);
    }

    #[test]
    fn a_file_without_sheets_is_read_as_before_and_one_with_them_is_read_back() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/result.json");
        let mut report = Report::read(&golden).unwrap();
        assert!(report.sheets.is_empty() && !report.points.is_empty());
        // What was written before there were any is what is written now.
        assert_eq!(report.json().unwrap(), fs::read_to_string(golden).unwrap());
        report.sheets = vec![crate::figures::tests::sheet(&[1.5], &[2.0, 3.0])];
        let text = report.json().unwrap();
        assert!(text.contains(r#""unit": "ns""#) && text.contains(r#""better": "higher""#), "{text}");
        assert_eq!(Report::parse(&text).unwrap(), report);
    }

    #[test]
    fn what_is_no_result_is_told_from_one_of_another_format() {
        let told = |text: &str| Report::parse(text).unwrap_err();
        assert!(told("{").starts_with("it is no JSON"));
        assert!(told("{}").contains("no result.json"));
        assert_eq!(told(r#"{"format": 2}"#), "its format is 2; this program reads 1");
        assert!(told(r#"{"format": 1}"#).contains("not complete"));
    }

    #[test]
    fn a_curve_ends_where_too_few_samples_lie_beyond() {
        let (_, outcome) = outcome();
        let curve = curve(&outcome.answers.latencies);
        // 3,000 samples: 100 lie beyond 96.67 %.
        assert!(curve.last().unwrap().0 < 96.67 && curve.len() > 10, "{curve:?}");
    }

    #[test]
    fn an_interval_without_an_answer_is_there() {
        let (_, mut outcome) = outcome();
        outcome.answers.intervals.truncate(1);
        let first = outcome.answers.intervals[0].len();
        let counts: Vec<u64> = intervals(&outcome.answers).iter().map(|one| one.operations).collect();
        assert_eq!(counts, [first, 0, 0]);
    }
}
