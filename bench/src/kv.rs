//! `put` and `get`: single operations on random keys, in a closed loop or an open one, beside the limit of the machine.

use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use clap::{ArgAction, Args};
use holdfast_command::keys::Put;
use holdfast_command::request::{Command, RequestKey};
use holdfast_machine::Numbered;
use holdfast_server::runtime::SEGMENT_BYTES_MIN;
use holdfast_server::stage::Stage;
use holdfast_wire::Message;
use tokio::runtime::Runtime;

use crate::calls::{KINDS, Plan, Writes, fill, generate, read, submit};
use crate::cluster::{Cluster, Members, Tuning};
use crate::disk::Scratch;
use crate::failure::{Doing, Failure};
use crate::load::{Answers, Load, Paced, Phases, Recorder, Window};
use crate::measure::{Outcome, measure};
use crate::output::Output;
use crate::report::{Parts, Summary, Table, share, show, stages, time};
use crate::result::{Environment, FORMAT, Parameters, Point, Report, Run};
use crate::watching::Watching;
use crate::{End, LoadArgs, PaceArgs, limits, skeleton};

/// Bytes of a segment of the log: what a server takes if nobody says anything else.
pub(crate) const SEGMENT_BYTES: u64 = 64 << 20;

/// What each operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Writes a key.
    Put,
    /// Reads a key, linearizable.
    Get,
    /// Reads a key so many times of a hundred, and writes one otherwise.
    Mixed(u32),
}

/// Where and how often, and how many of the operations read.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast-bench mixed --spawn 3
  holdfast-bench mixed --spawn 3 --reads 50 --rate 20000 --arrivals poisson --runs 3 --out half")]
pub(crate) struct MixedArgs {
    /// So many of a hundred operations read, by chance; the others write.
    #[arg(long, value_name = "PERCENT", default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub(crate) reads: u32,
    #[command(flatten)]
    pub(crate) kv: KvArgs,
}

/// Where and how often.
#[derive(Debug, Args)]
pub(crate) struct KvArgs {
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    pace: PaceArgs,
    #[command(flatten)]
    place: Place,
    /// How many keys there are; each operation takes one of them by chance.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    keys: u32,
    /// Each connection opens a session and numbers its writes, as the client does, so that one that comes twice is executed
    /// once.
    #[arg(long)]
    exactly_once: bool,
    /// How often each load is run, on a new cluster with --spawn; shown are the medians of each figure.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Runs the skeleton beside each run, if the nodes are on this machine.
    #[arg(long, value_name = "BOOL", default_value_t = true, default_missing_value = "true", num_args = 0..=1, action = ArgAction::Set)]
    with_limit: bool,
    /// Writes result.json, report.html, and of each run an .hgrm and an .hlog to this directory, which holds no result yet.
    #[arg(long, value_name = "DIRECTORY")]
    out: Option<PathBuf>,
}

/// Where the nodes are.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Place {
    /// Starts so many nodes on loopback.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=7))]
    spawn: Option<u32>,
    /// The client addresses of all nodes of a cluster that runs already. Its keys that begin with "bench/" are overwritten.
    #[arg(long, value_delimiter = ',', value_name = "HOST:PORT,…")]
    endpoints: Vec<String>,
}

impl Place {
    /// So many nodes on loopback.
    pub(crate) fn spawned(count: u32) -> Self {
        Self { spawn: Some(count), endpoints: Vec::new() }
    }
}

/// Runs all loads, prints what came, and keeps it if it is to be kept.
pub(crate) fn run(kind: Kind, args: &KvArgs, scratch: &Scratch) -> Result<End, Failure> {
    let output = args.out.as_deref().map(Output::new).transpose()?;
    show(limits::environment(scratch))?;
    let environment = Environment::of(scratch);
    let (mut end, mut points) = (End::Done, Vec::new());
    for load in args.load.paced(args.pace.pace()) {
        let what = What { kind, load, keys: args.keys, exactly_once: args.exactly_once, runs: args.runs };
        let measured = point(&what, &args.place, args.with_limit, scratch)?;
        if measured.runs.iter().any(Outcome::is_void) {
            end = End::Void;
        }
        let point = measured.point(&what);
        if let Some(output) = &output {
            output.histograms(&point, &measured.runs, &measured.limit)?;
        }
        points.push(point);
        for (kind, runs) in KINDS.iter().zip(&measured.apart) {
            let point = apart(&what, kind, runs, measured.nodes);
            if let Some(output) = &output {
                output.histograms(&point, runs, &[])?;
            }
            points.push(point);
        }
        report(&what, measured)?;
    }
    if let Some(output) = &output {
        let build = env!("CARGO_PKG_VERSION").to_owned();
        let path =
            output.finish(&Report { format: FORMAT, build, environment, points, sheets: Vec::new() })?;
        show(format!("result: {}", path.display()))?;
    }
    Ok(end)
}

/// What is run, and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct What {
    /// What each operation does.
    pub(crate) kind: Kind,
    /// How many at once.
    pub(crate) load: Load,
    /// How many keys there are.
    pub(crate) keys: u32,
    /// Whether each connection has a session.
    pub(crate) exactly_once: bool,
    /// How often.
    pub(crate) runs: u32,
}

impl What {
    fn operation(&self) -> String {
        let once = if self.exactly_once { " once" } else { "" };
        match self.kind {
            Kind::Put => format!("put{once}"),
            Kind::Get => "get".to_owned(),
            Kind::Mixed(reads) => format!("mixed{once} {reads} % gets"),
        }
    }

    /// The title of its table.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.operation(), self.load.name())
    }
}

/// What came of all runs.
#[derive(Debug)]
pub(crate) struct Measured {
    nodes: usize,
    runs: Vec<Outcome>,
    limit: Vec<Outcome>,
    /// Of operations of several kinds: the same runs, those of each kind alone, in the order of [`KINDS`].
    apart: Vec<Vec<Outcome>>,
}

impl Measured {
    /// The figures of it.
    pub(crate) fn point(&self, what: &What) -> Point {
        // A key has as many bytes whatever its number.
        let user_bytes = (key(0).len() + what.load.value_bytes as usize) as u64;
        let runs = |runs: &[Outcome], writes: bool| {
            runs.iter().map(|run| Run::of(run, writes.then_some(user_bytes))).collect()
        };
        Point {
            name: what.name(),
            parameters: Parameters::new(&what.operation(), &what.load, what.keys, self.nodes),
            runs: runs(&self.runs, what.kind == Kind::Put),
            limit: runs(&self.limit, true),
        }
    }
}

/// The operations of one kind as a point of their own. What the processes used is that of all operations, and no figure of it.
fn apart(what: &What, kind: &str, runs: &[Outcome], nodes: usize) -> Point {
    Point {
        name: format!("{}, {kind} only", what.name()),
        parameters: Parameters::new(&what.operation(), &what.load, what.keys, nodes),
        runs: runs.iter().map(|run| Run::of(run, None)).collect(),
        limit: Vec::new(),
    }
}

/// Runs one load as often as it says, in turns with the skeleton if that is wanted and the nodes are on this machine.
pub(crate) fn point(
    what: &What,
    place: &Place,
    with_limit: bool,
    scratch: &Scratch,
) -> Result<Measured, Failure> {
    let load = &what.load;
    let mut measured = Measured { nodes: 0, runs: Vec::new(), limit: Vec::new(), apart: Vec::new() };
    for number in 1..=what.runs {
        let dir = scratch.path().join(format!("run-{number}"));
        let cluster = match place.spawn {
            Some(count) => {
                // A few operations need no more than the smallest.
                let segment = if load.operations.is_some() { SEGMENT_BYTES_MIN } else { SEGMENT_BYTES };
                Cluster::spawn(count, Tuning::of_segments(segment), &dir)?
            }
            None => Cluster::at(place.endpoints.clone())?,
        };
        measured.nodes = cluster.members.count();
        let mut run = one(what, &format!("run {number}"), &cluster.members)?;
        for (kind, answers) in std::mem::take(&mut run.answers.apart).into_iter().enumerate() {
            if measured.apart.len() == kind {
                measured.apart.push(Vec::new());
            }
            if let Some(runs) = measured.apart.get_mut(kind) {
                runs.push(Outcome { answers, began: run.began, parts: Vec::new() });
            }
        }
        measured.runs.push(run);
        let is_here = cluster.members.is_here();
        drop(cluster);
        // Its files are not there if it was not started here.
        let _ = fs::remove_dir_all(&dir);
        if is_here && with_limit {
            measured.limit.push(skeleton::run(load, scratch.path())?);
        }
    }
    Ok(measured)
}

/// What is to be said of an open loop: its schedule, and how each run kept it.
fn schedule(load: &Load, runs: &[Outcome]) -> String {
    let Some(pace) = load.pace else { return String::new() };
    let mut notes =
        format!("open loop: {}/s, {} arrivals, seed {}; ", pace.rate, pace.arrivals.name(), pace.seed);
    notes.push_str("latency counts from the intended time\n");
    for paced in runs.iter().filter_map(|run| run.answers.paced.as_ref()) {
        let Paced { scheduled, missed, late } = paced;
        let void = if paced.is_void() { "VOID, the schedule was missed: " } else { "" };
        let p99 = time(late.value_at_quantile(0.99));
        notes.push_str(&format!(
            "{void}{missed} of {scheduled} calls were not sent in time; 99 % were sent at most {p99} late\n"
        ));
    }
    notes
}

fn report(what: &What, measured: Measured) -> Result<(), Failure> {
    let Measured { mut runs, limit, apart, .. } = measured;
    let (kind, load) = (what.kind, &what.load);
    let limit: Vec<Summary> = limit.iter().map(|run| Summary::of(&run.answers)).collect();
    let summaries: Vec<Summary> = runs.iter().map(|run| Summary::of(&run.answers)).collect();
    let mut table = Table::new(&what.name(), "ops/s");
    if runs.len() > 1 {
        for (number, summary) in (1..).zip(&summaries) {
            table.row(&format!("run {number}"), summary.clone());
        }
    }
    let (result, limit) = (Summary::of_runs(&summaries), Summary::of_runs(&limit));
    let median = if runs.len() > 1 { ", median" } else { "" };
    // The skeleton writes: beside a read it says how far the two are apart, not how far the read could be better.
    let limit_name = if kind == Kind::Put { "limit: skeleton" } else { "skeleton, a put" };
    let kinds = KINDS.iter().zip(&apart).map(|(kind, runs)| {
        let runs: Vec<Summary> = runs.iter().map(|run| Summary::of(&run.answers)).collect();
        (*kind, Summary::of_runs(&runs))
    });
    let kinds: Vec<(&str, Option<Summary>)> = kinds.collect();
    let kinds = kinds.iter().map(|(kind, summary)| (*kind, summary));
    for (name, summary) in [("holdfast", &result)].into_iter().chain(kinds).chain([(limit_name, &limit)]) {
        if let Some(summary) = summary {
            table.row(&format!("{name}{median}"), summary.clone());
        }
    }
    let mut notes = schedule(load, &runs);
    if let Some(share) = result.zip(limit).and_then(|(result, limit)| share(&result, &limit))
        && kind == Kind::Put
    {
        notes.push_str(&share);
        notes.push('\n');
    }
    for run in &runs {
        if run.answers.unknown > 0 {
            let Answers { unknown, errors, .. } = &run.answers;
            notes.push_str(&format!(
                "{unknown} of {errors} errors are writes of which nobody said what came of them\n"
            ));
        }
        if let Some(error) = &run.answers.first_error {
            notes.push_str(&format!("first error: {error}\n"));
        }
    }
    show(format!("{table}{notes}"))?;
    // Of the runs the one in the middle.
    runs.sort_by(|a, b| Summary::of(&a.answers).rate.total_cmp(&Summary::of(&b.answers).rate));
    let middle = runs.len() / 2;
    let Some(outcome) = runs.get(middle) else { return Ok(()) };
    show(Parts { title: &load.name(), outcome })?;
    let names: Vec<String> =
        Stage::ALL.iter().map(|stage| format!("{} {}", stage.number(), stage.name())).collect();
    for part in &outcome.parts {
        if part.stages.iter().any(|stage| !stage.is_empty()) {
            show(stages(part, &names, outcome.answers.elapsed))?;
        }
    }
    Ok(())
}

/// One run of puts, to so many keys.
pub(crate) fn puts(load: &Load, keys: u32, members: &Members) -> Result<Outcome, Failure> {
    let what = What { kind: Kind::Put, load: *load, keys, exactly_once: false, runs: 1 };
    one(&what, "one of several", members)
}

/// A run of puts to so many keys, which lasts as long as `phases` says, and tells its answers apart by them.
pub(crate) fn puts_through(
    load: &Load,
    keys: u32,
    members: &Members,
    window: Window,
    phases: &Arc<Phases>,
) -> Result<Answers, Failure> {
    let runtime = runtime()?;
    let plan = Rc::new(plan(&runtime, Kind::Put, load, (keys, false), members)?);
    generate(&runtime, Recorder::in_phases(load, window, phases)?, load, members, &plan)
}

/// One run against a cluster that serves. `run` tells it from others, for those who wait for it.
fn one(what: &What, run: &str, members: &Members) -> Result<Outcome, Failure> {
    let runtime = runtime()?;
    let load = &what.load;
    let plan = Rc::new(plan(&runtime, what.kind, load, (what.keys, what.exactly_once), members)?);
    let watching = Watching::new(&format!("{}, {run}", what.name()), load);
    let generate = |window| {
        let recorder = Recorder::new(load, window)?.telling(watching.told());
        let recorder = match what.kind {
            Kind::Put | Kind::Get => recorder,
            Kind::Mixed(_) => recorder.of_kinds(load, KINDS.len())?,
        };
        generate(&runtime, recorder, load, members, &plan)
    };
    measure(load, || members.look(), generate)
}

/// Writes all keys, and says what is to be called.
fn plan(
    runtime: &Runtime,
    kind: Kind,
    load: &Load,
    (keys, exactly_once): (u32, bool),
    members: &Members,
) -> Result<Plan, Failure> {
    let value = Bytes::from(vec![0xA5; load.value_bytes as usize]);
    let keys: Vec<Bytes> = (0..keys).map(key).collect();
    let put = |key: &Bytes| Put { key: key.clone(), value: value.clone(), ..Put::default() };
    let puts: Vec<Put> = keys.iter().map(put).collect();
    let written: Vec<Message> =
        puts.iter().map(|put| submit(Command::Put(put.clone()), RequestKey::None)).collect();
    runtime.block_on(fill(members, || written.iter().cloned())).doing(|| "write the keys".to_owned())?;
    let writes = if exactly_once { Writes::Once(puts) } else { Writes::Same(written) };
    let reads = || keys.into_iter().map(read).collect();
    Ok(match kind {
        Kind::Put => Plan { reads: Vec::new(), writes, percent: 0 },
        Kind::Get => Plan { reads: reads(), writes: Writes::Same(Vec::new()), percent: 100 },
        Kind::Mixed(percent) => Plan { reads: reads(), writes, percent },
    })
}

fn key(number: u32) -> Bytes {
    format!("bench/{number:08}").into()
}

/// Makes all these calls at the leader, once or, if it changes meanwhile, more often, and wants all of them done.
pub(crate) fn make_all<C: Iterator<Item = Message>>(
    members: &Members,
    calls: impl Fn() -> C,
) -> Result<(), Failure> {
    runtime()?.block_on(fill(members, calls)).doing(|| "prepare the state".to_owned())
}

fn runtime() -> Result<Runtime, Failure> {
    let doing = || "make a runtime".to_owned();
    tokio::runtime::Builder::new_current_thread().enable_all().build().doing(doing)
}
