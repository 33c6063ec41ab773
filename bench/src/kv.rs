//! `put` and `get`: a closed loop of single operations on random keys, beside the limit of the machine.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::{ArgAction, Args};
use holdfast_command::Code;
use holdfast_command::keys::{Put, Range, Span};
use holdfast_command::outcome::{Outcome as Executed, Reply};
use holdfast_command::refusal::Refusal;
use holdfast_command::request::{Command, Request, RequestKey, SessionId};
use holdfast_command::sessions::OpenSession;
use holdfast_machine::Numbered;
use holdfast_server::runtime::SEGMENT_BYTES_MIN;
use holdfast_server::stage::Stage;
use holdfast_wire::Message;
use holdfast_wire::message::{Consistency, Read, Submit};
use tokio::runtime::Runtime;
use tokio::task::{JoinSet, LocalSet};

use crate::cluster::{Cluster, Members, Tuning};
use crate::disk::Scratch;
use crate::failure::{Doing, Failure};
use crate::link::{Link, PATIENCE as PATIENCE_OF_A_LINK};
use crate::load::{Answers, Load, Paced, Phases, Recorder, Window};
use crate::measure::{Outcome, measure};
use crate::output::Output;
use crate::pace::{Random, Slots};
use crate::report::{Parts, Summary, Table, share, show, stages, time};
use crate::result::{Environment, FORMAT, Parameters, Point, Report, Run};
use crate::timer::Timer;
use crate::watching::Watching;
use crate::{End, LoadArgs, PaceArgs, limits, skeleton};

/// A node gives an operation up after this.
const TIMEOUT_MS: u32 = 10_000;
/// A connection rests so long after a refusal, so that a cluster without a leader is not asked as fast as it can refuse.
const PAUSE: Duration = Duration::from_millis(1);
/// How long there may be no leader while keys are written at first.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a segment of the log: what a server takes if nobody says anything else.
pub(crate) const SEGMENT_BYTES: u64 = 64 << 20;
/// How long a session lives without a call.
const SESSION_MS: u64 = 30_000;
/// The number of no call: above all others.
const NONE: u64 = u64::MAX;
/// Keys are written at first with so many outstanding.
const FILLING: usize = 1_024;

/// What each operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Writes a key.
    Put,
    /// Reads a key, linearizable.
    Get,
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
        report(&what, measured)?;
    }
    if let Some(output) = &output {
        let build = env!("CARGO_PKG_VERSION").to_owned();
        let path = output.finish(&Report { format: FORMAT, build, environment, points })?;
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
    fn operation(&self) -> &'static str {
        match (self.kind, self.exactly_once) {
            (Kind::Put, false) => "put",
            (Kind::Put, true) => "put once",
            (Kind::Get, _) => "get",
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
            parameters: Parameters::new(what.operation(), &what.load, what.keys, self.nodes),
            runs: runs(&self.runs, what.kind == Kind::Put),
            limit: runs(&self.limit, true),
        }
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
    let mut measured = Measured { nodes: 0, runs: Vec::new(), limit: Vec::new() };
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
        measured.runs.push(one(what, &format!("run {number}"), &cluster.members)?);
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
    let Measured { mut runs, limit, .. } = measured;
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
    for (name, summary) in [("holdfast", &result), (limit_name, &limit)] {
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
    Ok(match (kind, exactly_once) {
        (Kind::Put, false) => Plan::Same(written),
        (Kind::Put, true) => Plan::Once(puts),
        (Kind::Get, _) => Plan::Same(keys.into_iter().map(read).collect()),
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

/// What the connections of a run call, by chance.
#[derive(Debug)]
enum Plan {
    /// These, as they are.
    Same(Vec<Message>),
    /// These, each with its number in a session.
    Once(Vec<Put>),
}

/// The call of a write.
pub(crate) fn submit(command: Command, key: RequestKey) -> Message {
    let request = Request { key, ..Request::from(command) }.encode();
    Message::Submit(Submit { timeout_ms: TIMEOUT_MS, request })
}

fn read(key: Bytes) -> Message {
    let mut range = Vec::new();
    Range::of(Span::Key(key)).write(&mut range);
    Message::Read(Read {
        consistency: Consistency::Linearizable.number(),
        timeout_ms: TIMEOUT_MS,
        max_stale_ms: 0,
        min_position: None,
        range: range.into(),
    })
}

/// Why an operation was not done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Undone {
    /// It was refused; others may be done.
    Refused(String),
    /// This node does not do any, or not any more.
    Elsewhere(String),
}

/// Whether an answer says that it was done.
pub(crate) fn verdict(answer: Message) -> Result<(), Undone> {
    if let Message::Refused(refused) = &answer
        && refused.code != Code::Overloaded.number()
    {
        return Err(Undone::Elsewhere(format!("{refused:?}")));
    }
    match outcome(answer).map_err(Undone::Refused)? {
        Ok(Reply::Ranged(page)) if page.entries.is_empty() => {
            Err(Undone::Refused("a key that was written is not there".to_owned()))
        }
        Ok(_) => Ok(()),
        Err(refusal) => Err(Undone::Refused(format!("{refusal:?}"))),
    }
}

/// What was executed, or why nothing was.
pub(crate) fn outcome(answer: Message) -> Result<Result<Reply, Refusal>, String> {
    let outcome = match answer {
        Message::Submitted(submitted) => submitted.outcome,
        Message::ReadDone(done) => done.outcome,
        other => return Err(format!("{other:?}")),
    };
    Ok(Executed::decode(outcome).map_err(|error| error.to_string())?.0)
}

/// Makes all calls, in order; those that were under way when the leader changed once more.
async fn fill<C: Iterator<Item = Message>>(members: &Members, calls: impl Fn() -> C) -> io::Result<()> {
    let (mut done, mut before, mut moved) = (0, 0, Instant::now());
    loop {
        match fill_at(&members.find_leader(moved + PATIENCE).await?, calls().skip(done), &mut done).await {
            Ok(()) => return Ok(()),
            Err(_) if done > before => (before, moved) = (done, Instant::now()),
            Err(error) if moved.elapsed() > PATIENCE => return Err(error),
            Err(_) => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Adds to `done` as many as all were answered.
async fn fill_at(
    address: &str,
    mut calls: impl Iterator<Item = Message>,
    done: &mut usize,
) -> io::Result<()> {
    let mut link = Link::open(address).await?;
    loop {
        let mut open = 0;
        for message in calls.by_ref().take(FILLING) {
            open += 1;
            link.send(open, &message)?;
        }
        if open == 0 {
            return Ok(());
        }
        let sent = open;
        while open > 0 {
            link.exchange().await?;
            while let Some((_, answer)) = link.next()? {
                verdict(answer).map_err(|undone| io::Error::other(format!("{undone:?}")))?;
                open -= 1;
            }
        }
        *done += sent as usize;
    }
}

fn generate(
    runtime: &Runtime,
    recorder: Recorder,
    load: &Load,
    members: &Members,
    plan: &Rc<Plan>,
) -> Result<Answers, Failure> {
    let doing = || "run the load".to_owned();
    let recorder = Rc::new(RefCell::new(recorder));
    let members = Rc::new(members.clone());
    LocalSet::new().block_on(runtime, async {
        let mut set = JoinSet::new();
        for number in 0..load.connections {
            let calls = Calls::new(Rc::clone(plan), number, load.in_flight);
            let slots = Slots::new(load, number, recorder.borrow().window());
            set.spawn_local(connections(Rc::clone(&members), calls, slots, Rc::clone(&recorder)));
        }
        while let Some(ended) = set.join_next().await {
            ended.doing(doing)?.doing(doing)?;
        }
        Ok(())
    })?;
    let recorder = Rc::into_inner(recorder).ok_or_else(|| Failure::new(doing(), "a connection is left"))?;
    Ok(recorder.into_inner().finish())
}

/// One connection after the other, each to the leader of the time, until the run is over. What is outstanding when a
/// connection ends counts as errors.
async fn connections(
    members: Rc<Members>,
    mut calls: Calls,
    mut slots: Slots,
    recorder: Rc<RefCell<Recorder>>,
) -> io::Result<()> {
    let timer = Timer::new()?;
    let end = recorder.borrow().end();
    while !recorder.borrow().is_over(Instant::now()) {
        // Without a leader until the end, there is nothing more to come.
        let Ok(address) = members.find_leader(end).await else { break };
        match connection(&address, &mut calls, &mut slots, &timer, &recorder).await {
            // Over, or all that was due is answered.
            Ok(()) => break,
            Err(error) => {
                lost(&mut slots, &recorder, &error.to_string());
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    if slots.is_open() {
        lost(&mut slots, &recorder, "no answer came until the end of the run");
        while let Some(due) = slots.unsent() {
            recorder.borrow_mut().unsent(due);
        }
    }
    Ok(())
}

/// What is outstanding is not answered any more.
fn lost(slots: &mut Slots, recorder: &RefCell<Recorder>, why: &str) {
    for since in slots.reset() {
        recorder.borrow_mut().lost(since, Instant::now(), why);
    }
}

/// One connection: of whatever has been answered, or is due, as many new calls at once.
async fn connection(
    address: &str,
    calls: &mut Calls,
    slots: &mut Slots,
    timer: &Timer,
    recorder: &RefCell<Recorder>,
) -> io::Result<()> {
    let mut link = Link::open(address).await?;
    calls.begin(&mut link).await?;
    let mut now = Instant::now();
    let mut heard = now;
    loop {
        // A call is a place, counted from 1. All are written at once.
        while let Some((place, since)) = slots.take(now) {
            recorder.borrow_mut().sent(since, now);
            link.send(place as u64 + 1, &calls.next(place))?;
        }
        if recorder.borrow().is_over(now) || slots.is_done() {
            return Ok(());
        }
        match slots.wake() {
            Some(due) => link.exchange_until(timer, due).await?,
            None => link.exchange().await?,
        }
        let mut refused = false;
        now = Instant::now();
        if slots.outstanding() == 0 {
            heard = now;
        }
        while let Some((call, answer)) = link.next()? {
            heard = now;
            let place = usize::try_from(call).ok().and_then(|call| call.checked_sub(1));
            let Some((place, since)) = place.and_then(|place| Some((place, slots.answered(place)?))) else {
                return Err(io::Error::other(format!("{answer:?} for call {call}, which there is not")));
            };
            calls.answered(place);
            match verdict(answer) {
                Ok(()) => recorder.borrow_mut().answer(since, now),
                Err(Undone::Refused(why)) => {
                    refused = true;
                    recorder.borrow_mut().error(now, why);
                }
                Err(Undone::Elsewhere(why)) => {
                    // Its place is free again, so that it is not among those that are lost.
                    recorder.borrow_mut().error(now, why.clone());
                    return Err(io::Error::other(why));
                }
            }
        }
        if now.saturating_duration_since(heard) > PATIENCE_OF_A_LINK {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // A schedule does not wait for those who refuse.
        if refused && !slots.is_open() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The calls of one connection.
#[derive(Debug)]
struct Calls {
    plan: Rc<Plan>,
    random: Random,
    /// The session, once there is one.
    session: SessionId,
    /// The number of the last call, and of the one that is outstanding at each place; [`NONE`] where none is.
    sequence: u64,
    outstanding: Vec<u64>,
}

impl Calls {
    /// Of connection `number`, with `in_flight` outstanding.
    fn new(plan: Rc<Plan>, number: u32, in_flight: u32) -> Self {
        let outstanding = vec![NONE; in_flight as usize];
        Self { plan, random: Random::new(number.into()), session: SessionId(0), sequence: 0, outstanding }
    }

    /// Opens a session, if the plan wants one. Its numbers begin at 1.
    async fn begin(&mut self, link: &mut Link) -> io::Result<()> {
        self.sequence = 0;
        self.outstanding.fill(NONE);
        if let Plan::Once(_) = *self.plan {
            let open = Command::OpenSession(OpenSession { ttl_ms: SESSION_MS });
            let answer = link.ask(&submit(open, RequestKey::None)).await?;
            let Ok(Reply::SessionOpened { session }) = outcome(answer).map_err(io::Error::other)? else {
                return Err(io::Error::other("there is no session to be had"));
            };
            self.session = session;
        }
        Ok(())
    }

    /// The call at this place is answered.
    fn answered(&mut self, place: usize) {
        if let Some(outstanding) = self.outstanding.get_mut(place) {
            *outstanding = NONE;
        }
    }

    /// The next call, at a place whose last one is answered.
    fn next(&mut self, place: usize) -> Message {
        let random = self.random.next();
        match &*self.plan {
            Plan::Same(messages) => messages[(random % messages.len() as u64) as usize].clone(),
            Plan::Once(puts) => {
                self.sequence += 1;
                if let Some(outstanding) = self.outstanding.get_mut(place) {
                    *outstanding = self.sequence;
                }
                let low = self.outstanding.iter().copied().min().unwrap_or(self.sequence);
                let key = RequestKey::Session { session: self.session, sequence: self.sequence, low };
                submit(Command::Put(puts[(random % puts.len() as u64) as usize].clone()), key)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use holdfast_command::KeyValue;
    use holdfast_command::outcome::RangePage;
    use holdfast_wire::ClusterEpoch;
    use holdfast_wire::message::{Position, ReadDone, Refused, Submitted};

    use super::*;

    const POSITION: Position = Position { epoch: ClusterEpoch::FIRST, group: 0, term: 1, index: 1 };

    fn page(entries: Vec<KeyValue>) -> Message {
        let page = RangePage { revision: 1, entries, count: None, more: false, continuation: Bytes::new() };
        let outcome = Executed(Ok(Reply::Ranged(page))).encode().into();
        Message::ReadDone(ReadDone { position: POSITION, staleness_ms: 0, outcome })
    }

    #[test]
    fn only_what_was_done_counts_as_done() {
        let entry = KeyValue {
            key: "k".into(),
            value: "v".into(),
            create_revision: 1,
            mod_revision: 1,
            version: 1,
            lease: 0,
            stamp: 0,
        };
        assert_eq!(verdict(page(vec![entry])), Ok(()));
        assert!(verdict(page(Vec::new())).is_err(), "a key that is not there");
        let refused = Refused {
            code: 1203,
            effect: Refused::NOT_APPLIED,
            retry_after_ms: 0,
            first: 0,
            second: 0,
            leader: None,
            detail: "no leader".into(),
        };
        assert!(matches!(verdict(Message::Refused(refused.clone())), Err(Undone::Elsewhere(_))));
        let busy = Refused { code: Code::Overloaded.number(), ..refused };
        assert!(matches!(verdict(Message::Refused(busy)), Err(Undone::Refused(_))));
        let garbled = Submitted { position: POSITION, outcome: Bytes::from_static(b"x") };
        assert!(verdict(Message::Submitted(garbled)).is_err(), "bytes that are no outcome");
    }

    /// The number and the lowest outstanding one that a call carries.
    fn sequence(message: Message) -> (u64, u64) {
        let Message::Submit(submit) = message else { panic!("{message:?}") };
        match Request::decode(submit.request).unwrap().key {
            RequestKey::Session { session: SessionId(7), sequence, low } => (sequence, low),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn calls_of_a_session_have_numbers_of_their_own_and_give_up_only_what_is_answered() {
        for seed in 0..20 {
            let plan = Rc::new(Plan::Once(vec![Put { key: "k".into(), ..Put::default() }]));
            let mut calls = Calls::new(plan, seed, 5);
            calls.session = SessionId(7);
            // What is outstanding at each place, as the node would see it.
            let mut outstanding = BTreeSet::new();
            let mut places: Vec<u64> = (0..5).map(|place| sequence(calls.next(place)).0).collect();
            outstanding.extend(places.iter().copied());
            assert_eq!(places, [1, 2, 3, 4, 5], "seed {seed}");
            for _ in 0..200 {
                let place = (calls.random.next() % 5) as usize;
                outstanding.remove(&places[place]);
                let (sequence, low) = sequence(calls.next(place));
                assert!(outstanding.insert(sequence), "seed {seed}: {sequence} twice");
                assert_eq!(outstanding.first(), Some(&low), "seed {seed}");
                places[place] = sequence;
            }
        }
    }

    #[test]
    fn connections_call_different_keys_in_a_different_order() {
        let order = |number| {
            let messages = (0..1000_u32).map(|key| read(key.to_string().into())).collect();
            let mut calls = Calls::new(Rc::new(Plan::Same(messages)), number, 1);
            (0..50).map(|_| format!("{:?}", calls.next(0))).collect::<Vec<_>>()
        };
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        assert!(order(1).iter().collect::<BTreeSet<_>>().len() > 40);
    }
}
