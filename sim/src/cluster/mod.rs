//! Real processes under real faults.
//!
//! # Why, beside the simulators
//! A simulated disk keeps what the simulator thinks a disk keeps, and a simulated process never waits for a lock of the
//! kernel. Here are real processes, files, sockets and signals; clients ask all the time, everything that they see is written
//! down, and is judged by [`crate::history`] at the end, which knows nothing of what happened.
//!
//! # Shape
//! ```text
//!   schedule   which fault comes when, from the seed           one thread: the one that calls
//!   faults     how each is made and undone  ──► nodes, ground, proxy
//!   nodes      processes, members, who leads
//!   ground     directories, hosts, disks: lent by the machine, and taken back
//!   proxy      in front of each node, knows frames             a thread for each place
//!   load       clients, locks, leases, watches ──► record      one thread
//!   monitor    who leads                                     one thread
//!   report     timeline, table, the last line
//! ```
//! Namespaces, loop devices and slow disks need root. What the machine does not allow is skipped and counted as skipped.
//!
//! # What counts as wrong
//! Whatever the history cannot show of a correct store; *wedged*: nothing could be written for 30 s after all was healed; and
//! *other*: processes that end by themselves, nodes that do not come back, nodes that hold different things at the end.

mod faults;
mod ground;
mod load;
mod monitor;
mod nodes;
pub mod process;
pub mod proxy;
mod record;
mod report;
pub mod schedule;
mod stop;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use holdfast_client::command::keys::{Operation, Put, Range, Span, Transaction};
use holdfast_client::command::query::{Answer as Answered, Query};
use holdfast_client::command::settings::ChangeSettings;
use holdfast_client::command::{Command, KeyValue, Reply, Setting};
use holdfast_client::{Client, Position as ClientPosition, ReadOptions};
use holdfast_machine::Numbered as _;

use crate::history::{self, Answer, Ask, End, History, Kind, Op, witness};
use faults::{Struck, strike};
use ground::Ground;
use monitor::Monitor;
use nodes::Cluster;
use proxy::Board;
use record::Recorder;
use report::{Rows, Summary, Timeline, gaps, seconds, table};
use schedule::{Fault, Schedule};
use stop::Stopped;

/// For how long nothing may be written when all is healed.
const WEDGED: Duration = Duration::from_secs(30);

/// A time without an acknowledged write that stands in the timeline, in microseconds.
const GAP: u64 = 500_000;

/// What a run is told.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// How long faults come, in minutes.
    #[arg(long, default_value_t = 10.0, value_parser = minutes)]
    minutes: f64,
    /// What the schedule of faults follows from [default: from the time].
    #[arg(long)]
    seed: Option<u64>,
    /// How many members the cluster has.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(3..=5))]
    nodes: u8,
    /// Which faults, by name, with a comma between each; or `all`.
    #[arg(long, default_value = "all", value_delimiter = ',')]
    faults: Vec<String>,
    /// Where timeline and logs are put [default: a directory that is kept only if something was wrong].
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Keeps everything, data directories too.
    #[arg(long)]
    keep: bool,
    /// Without hosts and disks of its own, as if the machine did not allow them.
    #[arg(long)]
    plain: bool,
    /// Shorter faults and pauses, for runs of seconds.
    #[arg(long, hide = true)]
    fast: bool,
}

/// More than none, and at most a week.
fn minutes(text: &str) -> Result<f64, String> {
    let minutes: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let in_range = minutes > 0.0 && minutes <= 10_000.0;
    in_range.then_some(minutes).ok_or_else(|| "more than 0 and at most 10000 minutes".to_owned())
}

/// Runs a cluster under faults, and says what came of it.
#[must_use]
pub fn run(arguments: &Arguments) -> ExitCode {
    match attempt(arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::from(2)
        }
    }
}

fn chosen(names: &[String]) -> Result<Vec<Fault>, String> {
    if names.iter().any(|name| name == "all") {
        return Ok(Fault::ALL.to_vec());
    }
    let known = || Fault::ALL.iter().map(|fault| fault.name()).collect::<Vec<_>>().join(", ");
    let named = |name: &String| {
        Fault::named(name).ok_or_else(|| format!("there is no fault {name:?}; there are: {}", known()))
    };
    names.iter().map(named).collect()
}

fn attempt(arguments: &Arguments) -> Result<bool, String> {
    let chosen = chosen(&arguments.faults)?;
    let clock = || std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_secs());
    let seed = arguments.seed.unwrap_or_else(clock);
    println!("HOLDFAST_SEED={seed} nodes={} minutes={}", arguments.nodes, arguments.minutes);
    let members = usize::from(arguments.nodes);
    let stopped = Stopped::on_signal().map_err(|error| error.to_string())?;
    let ground = Ground::new(members + 1, arguments.plain)?;
    for (what, why) in
        [("hosts", &ground.no_hosts), ("disks", &ground.no_disks), ("slow disks", &ground.no_slow_disks)]
    {
        if let Some(why) = why {
            println!("no {what}: {why}");
        }
    }
    let recorder = Recorder::new();
    let path = ground.root().join("timeline.txt");
    let timeline = Timeline::new(&path, recorder.clone(), true).map_err(|error| error.to_string())?;
    timeline.quiet_line(format_args!("seed {seed}, {members} nodes, faults {chosen:?}"));
    let mut cluster = Cluster::start(members, ground, Board::new(seed), timeline, stopped)?;
    let outcome = torment(&mut cluster, &recorder, &chosen, arguments, seed);
    let good = outcome.as_ref().is_ok_and(Summary::is_good);
    archive(&mut cluster, arguments, good)?;
    drop(cluster);
    let summary = outcome?;
    println!("{summary}");
    Ok(good)
}

/// Everything between the start of the cluster and its end.
fn torment(
    cluster: &mut Cluster,
    recorder: &Recorder,
    chosen: &[Fault],
    arguments: &Arguments,
    seed: u64,
) -> Result<Summary, String> {
    keep_history(cluster)?;
    let load = load::start(cluster.endpoints(), seed, recorder.clone()).map_err(|error| error.to_string())?;
    let monitor = Monitor::start(cluster.all_direct(), cluster.timeline.clone());
    let monitor = monitor.map_err(|error| error.to_string())?;
    let mut rows = Rows::new();
    let mut wedged = 0;
    let begin = Instant::now();
    let lasts = Duration::from_secs_f64(arguments.minutes * 60.0);
    let mut failed = None;
    for step in Schedule::new(seed, chosen, arguments.fast) {
        if begin.elapsed() >= lasts || cluster.stopped.is_stopped() {
            break;
        }
        cluster.sleep(step.quiet_ms);
        match one(cluster, recorder, &step, &mut rows) {
            Ok(was_wedged) => wedged += u64::from(was_wedged),
            Err(why) => {
                cluster.trouble(format!("{}: {why}", step.fault.name()));
                failed = Some(why);
                break;
            }
        }
    }
    let minutes = begin.elapsed().as_secs_f64() / 60.0;
    if cluster.stopped.is_stopped() {
        recorder.stop();
        recorder.set_end(0);
        return Err("interrupted".to_owned());
    }
    cluster.board.heal();
    recorder.stop();
    let ended = end(cluster, recorder);
    recorder.set_end(ended.as_ref().map_or(0, |end| end.revision));
    drop(monitor);
    let clients = load.join().map_err(|_| "the load has panicked".to_owned())?;
    let mut history = recorder.take();
    match ended {
        Ok(end) => history.end = end,
        Err(why) => {
            cluster.trouble(format!("at the end: {why}"));
            failed = failed.or(Some(why));
        }
    }
    if let Err(why) = clients {
        cluster.trouble(why);
    }
    for trouble in recorder.troubles() {
        cluster.trouble(trouble);
    }
    let text = table(&rows, &history);
    print!("{text}");
    cluster.timeline.quiet_line(format_args!("\n{text}"));
    for (from, to) in gaps(&history, GAP) {
        let line = format_args!("nothing was acknowledged from {:.3} to {:.3}", seconds(from), seconds(to));
        cluster.timeline.quiet_line(line);
    }
    let counts = &cluster.board.counts;
    println!("frames {counts:?}");
    let mut summary = summarize(&history, cluster, failed.is_none());
    summary.minutes = minutes;
    summary.faults = rows.values().map(|row| row.done).sum();
    summary.wedged = wedged;
    cluster.timeline.quiet_line(format_args!("{summary}"));
    Ok(summary)
}

/// One fault, from its begin to when all is well again. Whether nothing could be written then.
fn one(
    cluster: &mut Cluster,
    recorder: &Recorder,
    step: &schedule::Step,
    rows: &mut Rows,
) -> Result<bool, String> {
    let name = step.fault.name();
    cluster.timeline.quiet_line(format_args!("{name} begins"));
    let mut at = None;
    let begun = recorder.count();
    let struck = strike(cluster, step, &mut || at = Some(recorder.now()))?;
    let healed = recorder.now();
    let row = rows.entry(step.fault).or_default();
    let note = match struck {
        Struck::Skipped(why) => {
            row.skipped += 1;
            row.note.clone_from(&why);
            cluster.timeline.line(format_args!("{name:<20} SKIPPED {why}"));
            return Ok(false);
        }
        Struck::Done(note) => note,
    };
    row.done += 1;
    cluster.timeline.quiet_line(format_args!("{name} ends: {note}"));
    cluster.await_all_ready()?;
    let written = cluster.until(WEDGED, || recorder.first_ack_from(healed).is_some());
    if !written && !cluster.stopped.is_stopped() {
        cluster.trouble(format!(
            "{name}: nothing could be written for {} s after all was healed",
            WEDGED.as_secs()
        ));
    }
    let gap = at.and_then(|at| Some(recorder.first_ack_from(at)?.saturating_sub(at)));
    row.gaps.extend(gap);
    let gap = gap.map_or("-".to_owned(), |gap| format!("{} ms", gap / 1_000));
    let leader = cluster.leader().map_or(0, |leader| cluster.id(leader));
    let ops = recorder.count() - begun;
    cluster.timeline.line(format_args!("{name:<20} gap {gap:>8}, {ops:>5} ops, node {leader} leads; {note}"));
    Ok(!written && !cluster.stopped.is_stopped())
}

/// Nothing is compacted, however long the run is: the whole history is judged.
fn keep_history(cluster: &Cluster) -> Result<(), String> {
    let changes = vec![(Setting::HistoryAge.number(), 0)];
    let change = Command::ChangeSettings(ChangeSettings { changes });
    let done = cluster.with_client(async |client| client.submit(change).await)?;
    done.map(drop).map_err(|error| error.to_string())
}

/// The last write, behind which nothing comes, and everything that there is then, also at each node.
fn end(cluster: &mut Cluster, recorder: &Recorder) -> Result<End, String> {
    cluster.await_all_ready()?;
    // Clients that were asked to stop still end what they had begun, within the time of a call and a lock.
    cluster.sleep(1_000);
    let changes: Vec<(Bytes, Option<Bytes>)> =
        [0, 10].map(|number| (load::key(number), Some(format!("the end {number}").into()))).to_vec();
    let put = |(key, value): &(Bytes, Option<Bytes>)| {
        let (key, value) = (key.clone(), value.clone().unwrap_or_default());
        Operation::Put(Put { key, value, ..Put::default() })
    };
    let last = Transaction { then: changes.iter().map(put).collect(), ..Transaction::default() };
    let until = Instant::now() + WEDGED;
    let mut count = recorder.count();
    // Until nobody writes any more.
    loop {
        cluster.sleep(500);
        let now = recorder.count();
        if now == count || Instant::now() > until {
            break;
        }
        count = now;
    }
    // Nor does a lease end any more, whose keys would vanish in a revision behind the last.
    while Instant::now() < until && leases(cluster)? {
        cluster.sleep(200);
    }
    let invoked = recorder.now();
    let done = cluster.with_client(async |client| client.transact(last).await)?;
    let (reply, at) = done.map_err(|error| error.to_string())?;
    let Reply::Transacted { revision, .. } = reply else {
        return Err("a write was answered otherwise".to_owned());
    };
    let answer = Answer::Written { at: load::position(at), revision };
    let ask = Ask::Write { changes, only_if: Vec::new(), fence: None };
    recorder.op(Op { client: 0, ask, invoked, returned: recorder.now(), answer });
    let keys = (0..load::KEYS).map(load::key).chain(recorder.hanging()).collect();
    let end = cluster.with_client(async |client| everything(client, keys).await)??;
    let mut copies: Vec<(u64, Vec<KeyValue>)> = Vec::new();
    for place in cluster.places() {
        let held =
            cluster.client_of(vec![cluster.direct(place)], async |client| contents(client, at).await)??;
        copies.push((cluster.id(place), held));
    }
    for pair in copies.windows(2) {
        if let [(one, held), (other, theirs)] = pair
            && held != theirs
        {
            cluster.trouble(format!("nodes {one} and {other} hold different things at the end"));
        }
    }
    Ok(end)
}

/// Whether there are any leases.
fn leases(cluster: &Cluster) -> Result<bool, String> {
    let query = Query::Leases { after: 0, limit: 1 };
    let asked = cluster.with_client(async |client| client.query(query, ReadOptions::default()).await)?;
    let (answer, _) = asked.map_err(|error| error.to_string())?;
    Ok(matches!(answer, Answered::Leases { leases, .. } if !leases.is_empty()))
}

/// All modifications of these keys.
async fn everything(client: &Client, keys: Vec<Bytes>) -> Result<End, String> {
    let why = |error: holdfast_client::Error| error.to_string();
    let page = client.range(Range::of(Span::all())).await.map_err(why)?;
    let mut end = End { revision: page.page.revision, oldest: 0, keys: BTreeMap::new() };
    for key in keys {
        let mut versions = Vec::new();
        let mut before = 0;
        loop {
            let query = Query::History { key: key.clone(), before, limit: 0 };
            let (answer, _) = client.query(query, ReadOptions::default()).await.map_err(why)?;
            let Answered::History { oldest, versions: page, more } = answer else {
                return Err("a history was answered otherwise".to_owned());
            };
            end.oldest = end.oldest.max(oldest);
            for version in &page {
                let value = (!version.deleted).then(|| version.entry.value.clone());
                versions.push((version.entry.mod_revision, value));
                before = version.entry.mod_revision;
            }
            if !more || page.is_empty() {
                break;
            }
        }
        versions.reverse();
        if !versions.is_empty() {
            end.keys.insert(key, versions);
        }
    }
    Ok(end)
}

/// All keys as one node holds them, behind this position.
async fn contents(client: &Client, behind: ClientPosition) -> Result<Vec<KeyValue>, String> {
    let (mut range, mut all) = (Range::of(Span::all()), Vec::new());
    loop {
        let page = client.read(range.clone(), ReadOptions::behind(behind)).await;
        let page = page.map_err(|error| error.to_string())?.page;
        all.extend(page.entries);
        if page.continuation.is_empty() {
            return Ok(all);
        }
        range.continuation = page.continuation;
    }
}

/// What the history says, in figures. Violations are trouble.
fn summarize(history: &History, cluster: &mut Cluster, whole: bool) -> Summary {
    let mut summary = Summary::default();
    let known = cluster.troubles.len();
    if whole {
        judge(history, cluster, &mut summary);
    }
    // What the judge found stands in its own figures, or is counted here.
    summary.other_violations += known;
    summary.ops = history.ops.len();
    summary.unknown = history.ops.iter().filter(|op| op.answer == Answer::Unknown).count();
    summary.void = witness::is_void(history);
    summary
}

/// How many violations are told one by one.
const TOLD: usize = 40;

fn judge(history: &History, cluster: &Cluster, summary: &mut Summary) {
    let violations = history::judge(history);
    for violation in violations.iter().take(TOLD) {
        cluster.timeline.line(format_args!("VIOLATION {:?}: {}", violation.kind, violation.what));
    }
    let count = |wanted: Kind| violations.iter().filter(|violation| violation.kind == wanted).count();
    summary.lost_acks = count(Kind::LostAck);
    summary.stale_reads = count(Kind::StaleRead);
    summary.duplicate_effects = count(Kind::DuplicateEffect);
    summary.other_violations =
        violations.len() - summary.lost_acks - summary.stale_reads - summary.duplicate_effects;
}

/// Puts timeline and logs where they are wanted, or where they can be looked at if something was wrong.
fn archive(cluster: &mut Cluster, arguments: &Arguments, good: bool) -> Result<(), String> {
    if arguments.keep {
        cluster.ground.keep();
        println!("kept: {}", cluster.ground.root().display());
    }
    let to = match &arguments.dir {
        Some(dir) => dir.clone(),
        None if good || arguments.keep => return Ok(()),
        None => std::env::temp_dir().join(format!("holdfast-cluster-{}", std::process::id())),
    };
    let copy = || -> std::io::Result<()> {
        fs::create_dir_all(&to)?;
        fs::copy(cluster.ground.root().join("timeline.txt"), to.join("timeline.txt"))?;
        for entry in fs::read_dir(cluster.ground.root().join("logs"))? {
            let entry = entry?;
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
        Ok(())
    };
    copy().map_err(|error| format!("{}: {error}", to.display()))?;
    println!("timeline and logs: {}", to.display());
    Ok(())
}
