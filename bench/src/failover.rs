//! `failover`: for how long nobody is served when the leader is killed, hangs or is stopped, and that nothing is lost.
//!
//! Callers write and read all the time, each through a client of its own that knows all nodes, as programs do. In each round the
//! leader is taken away ([`How`]), another one is waited for, and the one that was taken away comes back and is waited for until
//! it has what the others have. Then every write of the round is read back.
//!
//! ```text
//!   write  write  │               │             │  write
//!     ●──────●────┼───────────────┼─────────────┼────●──────●      the gap: from the last answer to the next
//!                 │               │             │    first answer
//!             taken away       elected        serves
//! ```
//! Both moments in the middle are seen by asking the other nodes, every millisecond or two; all others are those of the callers.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::{Args, ValueEnum};
use holdfast_client::command::keys::{Range, Span};
use holdfast_client::{Client, Outcome};
use holdfast_wire::Message;
use holdfast_wire::message::{Status, StatusReply};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::child::Process;
use crate::cluster::{Cluster, Members, Tuning, leads};
use crate::disk::Scratch;
use crate::failure::{Doing, Failure};
use crate::figures::{Better, Sheet, Unit};
use crate::kv::SEGMENT_BYTES;
use crate::link::Link;
use crate::output::Keep;
use crate::report::{show, time};
use crate::seconds;
use crate::tape::{Broken, Fate, Gap, Tape, compare, longest_gap};
use crate::until::until;

/// How long anything that is waited for may take. Many election timeouts: who hangs closes no connection, and only silence
/// tells the others.
const PATIENCE: Duration = Duration::from_secs(60);
/// The other nodes are asked again after this.
const LOOK: Duration = Duration::from_millis(1);
/// A caller rests so long after a call that failed.
const PAUSE: Duration = Duration::from_millis(1);
/// So many answers of each caller make a round ready to begin: it runs as it did before.
const STEADY: usize = 50;
/// A gap that began so long before the leader was taken away is none of this round.
const BEFORE: Duration = Duration::from_millis(500);

/// What happens to the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum How {
    /// It is killed with kill -9, and started again.
    Kill,
    /// It hangs (SIGSTOP) until another one serves, and goes on where it was (SIGCONT).
    Pause,
    /// It is told to end in order, and started again.
    Stop,
}

impl How {
    /// What its figures are called by. Each way has a sheet of its own, as nobody compares them with one another.
    fn sheet(self) -> &'static str {
        match self {
            Self::Kill => "failover",
            Self::Pause => "failover, leader hangs",
            Self::Stop => "failover, leader is stopped",
        }
    }

    /// The begin of a round, and what was done to the node.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Kill => ("kill", "killed"),
            Self::Pause => ("pause", "paused"),
            Self::Stop => ("stop", "stopped"),
        }
    }

    /// What brings the node back.
    fn back(self) -> &'static str {
        match self {
            Self::Kill | Self::Stop => "start",
            Self::Pause => "resumption",
        }
    }

    /// Takes the node at this place away, and does not wait for anything.
    fn take(self, cluster: &mut Cluster, place: usize) -> Result<Option<Process>, Failure> {
        match self {
            Self::Kill => {
                cluster.kill(place);
                Ok(None)
            }
            Self::Pause => cluster.pause(place).map(|()| None),
            Self::Stop => cluster.ask_to_stop(place),
        }
    }

    /// Brings it back.
    fn give_back(self, cluster: &mut Cluster, place: usize) -> Result<(), Failure> {
        match self {
            Self::Kill | Self::Stop => cluster.start(place),
            Self::Pause => cluster.resume(place),
        }
    }
}

/// Who calls, and how often the leader is taken away.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast-bench failover
  holdfast-bench failover --how pause --rounds 10
  holdfast-bench failover --rounds 20 --writers 16 --dir /data --out failover")]
pub(crate) struct FailoverArgs {
    /// What happens to the leader.
    #[arg(long, value_enum, default_value_t = How::Kill)]
    how: How,
    /// How often it happens.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Starts so many nodes on loopback.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(3..=7))]
    spawn: u32,
    /// Callers that write, each to keys of its own, one write after the other.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=99))]
    writers: u32,
    /// Callers that read, linearizable, what was acknowledged last.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=99))]
    readers: u32,
    /// Bytes of each value.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(8..=1 << 20))]
    value_bytes: u32,
    /// How long the callers have to be served again before the node comes back, in seconds.
    #[arg(long, default_value = "1", value_parser = seconds)]
    settle: Duration,
    #[command(flatten)]
    keep: Keep,
}

/// Runs all rounds, and prints what came. A write that was lost is a failure.
pub(crate) fn run(args: &FailoverArgs, scratch: &Scratch) -> Result<(), Failure> {
    let keeping = args.keep.begin(scratch)?;
    let dir = scratch.path().join("failover");
    let mut cluster = Cluster::spawn(args.spawn, Tuning::of_segments(SEGMENT_BYTES), &dir)?;
    let callers = Callers::new(args);
    let endpoints = cluster.members.endpoints().to_vec();
    let sheet = thread::scope(|scope| {
        let running = scope.spawn(|| callers.run(&endpoints));
        let sheet = rounds(args, &mut cluster, &callers, &running);
        callers.stop.store(true, Ordering::Release);
        // Why the callers ended tells more than what was missed because of it.
        running.join().unwrap_or_else(|_| Err(Failure::new("make calls", "a thread panicked")))?;
        sheet
    })?;
    show(&sheet)?;
    let told = |fate| callers.writers.iter().map(|tape| lock(tape).count(fate)).sum::<u64>();
    show(format!(
        "{} writes acknowledged, none lost; {} not executed, as was said; {} of which nobody said\n",
        told(Fate::Acknowledged),
        told(Fate::NotApplied),
        told(Fate::Unknown)
    ))?;
    drop(cluster);
    let _ = fs::remove_dir_all(&dir);
    keeping.finish(vec![sheet])
}

fn lock(tape: &Mutex<Tape>) -> MutexGuard<'_, Tape> {
    tape.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All who call, and what they were answered.
#[derive(Debug)]
struct Callers {
    writers: Vec<Arc<Mutex<Tape>>>,
    readers: Vec<Arc<Mutex<Tape>>>,
    stop: Arc<AtomicBool>,
    value_bytes: usize,
}

/// A key of a writer, by its number.
fn key(writer: usize, number: u64) -> Bytes {
    format!("failover/{writer:02}/{number:010}").into()
}

/// The number of a write as its value: it tells what is read back from what somebody else wrote.
fn value(number: u64, bytes: usize) -> Bytes {
    let mut value = number.to_be_bytes().to_vec();
    value.resize(bytes, 0xA5);
    value.into()
}

impl Callers {
    fn new(args: &FailoverArgs) -> Self {
        let tapes = |count| (0..count).map(|_| Arc::default()).collect();
        Self {
            writers: tapes(args.writers),
            readers: tapes(args.readers),
            stop: Arc::default(),
            value_bytes: args.value_bytes as usize,
        }
    }

    /// Calls until it is told to stop.
    fn run(&self, endpoints: &[String]) -> Result<(), Failure> {
        let doing = || "make calls".to_owned();
        runtime()?.block_on(async {
            let mut set = JoinSet::new();
            for (writer, tape) in self.writers.iter().enumerate() {
                let client = connect(endpoints).await?;
                let (tape, stop) = (Arc::clone(tape), Arc::clone(&self.stop));
                set.spawn(write(client, writer, tape, stop, self.value_bytes));
            }
            for (reader, tape) in self.readers.iter().enumerate() {
                let client = connect(endpoints).await?;
                let writer = reader % self.writers.len();
                let Some(written) = self.writers.get(writer).map(Arc::clone) else { continue };
                let (tape, stop) = (Arc::clone(tape), Arc::clone(&self.stop));
                set.spawn(read(client, writer, written, tape, stop));
            }
            while let Some(ended) = set.join_next().await {
                ended.doing(doing)??;
            }
            Ok(())
        })
    }

    /// When each write, or each read, was answered so far.
    fn answered(tapes: &[Arc<Mutex<Tape>>]) -> Vec<Instant> {
        tapes.iter().flat_map(|tape| lock(tape).answered.clone()).collect()
    }

    /// Whether each caller was answered so often since `since`.
    fn are_served(&self, since: Instant, times: usize) -> bool {
        let all = self.writers.iter().chain(&self.readers);
        let count = |tape: &Arc<Mutex<Tape>>| {
            lock(tape).answered.iter().rev().take_while(|at| **at >= since).take(times).count()
        };
        all.map(count).all(|count| count >= times)
    }
}

async fn connect(endpoints: &[String]) -> Result<Client, Failure> {
    let client = Client::builder(endpoints.iter().cloned()).name("holdfast-bench").connect().await;
    client.doing(|| "connect a client".to_owned())
}

/// Writes one key after the other.
async fn write(
    client: Client,
    writer: usize,
    tape: Arc<Mutex<Tape>>,
    stop: Arc<AtomicBool>,
    bytes: usize,
) -> Result<(), Failure> {
    while !stop.load(Ordering::Acquire) {
        let number = lock(&tape).begin();
        let done = client.put(key(writer, number), value(number, bytes)).await;
        let fate = match &done {
            Ok(_) => Fate::Acknowledged,
            Err(error) => match error.outcome {
                Outcome::NotApplied => Fate::NotApplied,
                // It was executed; that it was is all that is missing.
                Outcome::Applied | Outcome::Unknown => Fate::Unknown,
            },
        };
        lock(&tape).end(number, fate, Instant::now());
        if done.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(())
}

/// Reads what a writer was acknowledged last; that has to be there.
async fn read(
    client: Client,
    writer: usize,
    written: Arc<Mutex<Tape>>,
    tape: Arc<Mutex<Tape>>,
    stop: Arc<AtomicBool>,
) -> Result<(), Failure> {
    while !stop.load(Ordering::Acquire) {
        let newest = lock(&written).newest;
        let Some(newest) = newest else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        match client.get(key(writer, newest)).await {
            Ok(Some(_)) => lock(&tape).answered.push(Instant::now()),
            Ok(None) => {
                let why = format!("write {newest} of writer {writer} had been acknowledged and was not seen");
                return Err(Failure::new("trust a linearizable read", why));
            }
            Err(_) => {
                lock(&tape).failed += 1;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    Ok(())
}

/// What was seen of one round.
#[derive(Debug)]
struct Round {
    taken: Instant,
    elected: Instant,
    serves: Instant,
    given_back: Instant,
    caught_up: Instant,
}

fn rounds(
    args: &FailoverArgs,
    cluster: &mut Cluster,
    callers: &Callers,
    running: &ScopedJoinHandle<'_, Result<(), Failure>>,
) -> Result<Sheet, Failure> {
    let asked = [
        ("how", args.how.words().0.to_owned()),
        ("nodes", args.spawn.to_string()),
        ("writers", args.writers.to_string()),
        ("readers", args.readers.to_string()),
        ("value bytes", args.value_bytes.to_string()),
    ];
    let mut sheet = Sheet::new(args.how.sheet(), &asked);
    let mut first = vec![0; callers.writers.len()];
    let mut failed = 0;
    let mut unknown = 0;
    for number in 1..=args.rounds {
        let leader = cluster.members.leader(Instant::now() + PATIENCE)?;
        let round = one(args, cluster, callers, running, leader)?;
        let words = add(&mut sheet, args.how, &round, callers)?;
        let back = read_back(&cluster.members, callers, &first)?;
        first = back.next;
        let told = |fate| callers.writers.iter().map(|tape| lock(tape).count(fate)).sum::<u64>();
        let reads = callers.readers.iter().map(|tape| lock(tape).failed).sum::<u64>();
        let (before, now) = (unknown, told(Fate::Unknown));
        sheet.add(
            "writes of which nobody said what came of them",
            Unit::Count,
            Better::Lower,
            (now - before) as f64,
        );
        sheet.add("gets that failed", Unit::Count, Better::Lower, (reads - failed) as f64);
        sheet.add("writes read back", Unit::Count, Better::Neither, back.found as f64);
        (unknown, failed) = (now, reads);
        show(format!(
            "round {number}: node {} {}; {words}; {} writes read back",
            leader + 1,
            args.how.words().1,
            back.found
        ))?;
    }
    // A later round might have taken what was there.
    let all = read_back(&cluster.members, callers, &vec![0; callers.writers.len()])?;
    show(format!("after all rounds: {} writes read back\n", all.found))?;
    Ok(sheet)
}

/// Takes the leader away, and brings it back.
fn one(
    args: &FailoverArgs,
    cluster: &mut Cluster,
    callers: &Callers,
    running: &ScopedJoinHandle<'_, Result<(), Failure>>,
    leader: usize,
) -> Result<Round, Failure> {
    let members = cluster.members.clone();
    let served = |what: &str, since: Instant, times: usize| {
        until(what, PATIENCE, || {
            if running.is_finished() {
                return Err(Failure::new("go on", "the callers have ended"));
            }
            Ok(callers.are_served(since, times))
        })
    };
    served("all callers being served", Instant::now(), STEADY)?;
    let before = members.status(leader)?;
    let runtime = runtime()?;
    let others: Vec<&String> = (0..)
        .zip(members.endpoints())
        .filter(|(place, _)| *place != leader)
        .map(|(_, other)| other)
        .collect();
    let mut links = Vec::new();
    for other in others {
        links.push(runtime.block_on(Link::open(other)).doing(|| format!("ask {other} who leads"))?);
    }
    let taken = Instant::now();
    let ending = args.how.take(cluster, leader)?;
    let (elected, serves) = runtime.block_on(election(&mut links, before.term))?;
    // Of one that is stopped in order: it had to end well.
    ending.map_or(Ok(()), Process::wait)?;
    served("all callers being served again", serves, 1)?;
    until("some time without trouble", PATIENCE, || Ok(serves.elapsed() >= args.settle))?;
    served("all callers being served still", Instant::now(), 1)?;
    let given_back = Instant::now();
    args.how.give_back(cluster, leader)?;
    until("the node that was taken away with all that is committed", PATIENCE, || {
        let statuses: Vec<_> = (0..members.count()).map(|place| members.status(place).ok()).collect();
        Ok(has_caught_up(&statuses, leader, before.term))
    })?;
    let caught_up = Instant::now();
    served("all callers being served with all nodes", caught_up, STEADY)?;
    Ok(Round { taken, elected, serves, given_back, caught_up })
}

/// Asks these nodes until one of them leads in a later term: when it was elected, and when it served.
async fn election(links: &mut [Link], term: u64) -> Result<(Instant, Instant), Failure> {
    let doing = || "see another leader".to_owned();
    let begin = Instant::now();
    let mut elected = None;
    while begin.elapsed() < PATIENCE {
        for link in &mut *links {
            let status = status(link).await.doing(doing)?;
            let now = Instant::now();
            if status.term > term && status.leader == Some(status.node.id) {
                let elected = *elected.get_or_insert(now);
                if leads(&status) {
                    return Ok((elected, now));
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(Failure::new(doing(), "there was none in time"))
}

async fn status(link: &mut Link) -> std::io::Result<StatusReply> {
    match link.ask(&Message::Status(Status {})).await? {
        Message::StatusReply(status) => Ok(status),
        other => Err(std::io::Error::other(format!("it answered {other:?}"))),
    }
}

/// Whether the node at this place has what the leader of a term above this one has committed. `None` stands for a node that does
/// not answer: it may not listen yet. One that hung still believes for a moment that it leads, in its old term, and that nothing
/// was committed meanwhile.
fn has_caught_up(statuses: &[Option<StatusReply>], place: usize, term: u64) -> bool {
    let later = |status: &&StatusReply| status.term > term;
    let leaders = statuses.iter().flatten().filter(later).filter(|status| leads(status));
    let Some(leader) = leaders.max_by_key(|status| status.term) else { return false };
    let back = statuses.get(place).and_then(Option::as_ref).filter(later);
    back.is_some_and(|back| back.ready && back.applied >= leader.commit)
}

/// The figures of a round, and the first of them in words.
fn add(sheet: &mut Sheet, how: How, round: &Round, callers: &Callers) -> Result<String, Failure> {
    let since = round.taken.checked_sub(BEFORE).unwrap_or(round.taken);
    let gap = |what: &str, answered: Vec<Instant>, since: Instant, until: Instant| {
        let gap = longest_gap(answered, since, until);
        gap.ok_or_else(|| Failure::new(format!("find the gap of {what}"), "there were no answers around it"))
    };
    let writes = gap("writes", Callers::answered(&callers.writers), since, round.given_back)?;
    let reads = gap("gets", Callers::answered(&callers.readers), since, round.given_back)?;
    let mut slowest = Duration::ZERO;
    for tape in &callers.writers {
        let answered = lock(tape).answered.clone();
        slowest = slowest.max(gap("a writer", answered, since, round.given_back)?.length());
    }
    let back = gap("writes", Callers::answered(&callers.writers), round.given_back, round.caught_up)?;
    let [elected, serves, first] = parts(round, &writes);
    sheet.time("writes, longest gap", writes.length());
    sheet.time("gets, longest gap", reads.length());
    sheet.time("writes, longest gap of one writer", slowest);
    sheet.time(&format!("{} until a node is elected", how.words().0), elected);
    sheet.time("elected until it serves", serves);
    sheet.time("serves until the first write is acknowledged", first);
    sheet.time("writes, longest gap while the node comes back", back.length());
    let back_after = round.caught_up - round.given_back;
    sheet.time(&format!("{} of the node until it has caught up", how.back()), back_after);
    let nanos = |time: Duration| time.as_nanos() as u64;
    Ok(format!(
        "no write was acknowledged for {}, no get for {}; another leader after {}",
        time(nanos(writes.length())),
        time(nanos(reads.length())),
        time(nanos(elected + serves))
    ))
}

/// The gap since the leader was taken away in its parts: until somebody is elected, until that node serves, until a write is acknowledged. What was
/// acknowledged before it was asked whether it serves took no time.
fn parts(round: &Round, writes: &Gap) -> [Duration; 3] {
    [
        round.elected.saturating_duration_since(round.taken),
        round.serves.saturating_duration_since(round.elected),
        writes.to.saturating_duration_since(round.serves),
    ]
}

/// What was read back.
#[derive(Debug)]
struct Back {
    /// How many writes were there.
    found: u64,
    /// Of each writer: the first that was not looked for.
    next: Vec<u64>,
}

/// Reads all writes from these on back, and compares them with what was said of them.
fn read_back(members: &Members, callers: &Callers, first: &[u64]) -> Result<Back, Failure> {
    let mut back = Back { found: 0, next: Vec::new() };
    let mut broken = Broken::default();
    runtime()?.block_on(async {
        let client = connect(members.endpoints()).await?;
        for ((writer, tape), first) in callers.writers.iter().enumerate().zip(first) {
            // As it is known before they are read.
            let fates = lock(tape).fates.clone();
            let span = Span::Between { start: key(writer, *first), end: key(writer, fates.len() as u64) };
            let found = numbers(&client, span, callers.value_bytes).await?;
            back.found += found.len() as u64;
            let Broken { lost, ghosts } = compare(&fates, *first, &found);
            broken.lost.extend(lost);
            broken.ghosts.extend(ghosts);
            // One that was under way is looked for in the next round.
            let open = fates.iter().position(|fate| *fate == Fate::UnderWay).unwrap_or(fates.len());
            back.next.push(open as u64);
        }
        client.close().await;
        Ok::<_, Failure>(())
    })?;
    let Broken { lost, ghosts } = &broken;
    if broken == Broken::default() {
        return Ok(back);
    }
    let why = format!(
        "{} writes that were acknowledged are lost (the first is number {:?}), {} that were not executed are there",
        lost.len(),
        lost.first(),
        ghosts.len()
    );
    Err(Failure::new("trust the answers to writes", why))
}

/// The numbers of all writes of a span that hold what was written.
async fn numbers(client: &Client, span: Span, bytes: usize) -> Result<BTreeSet<u64>, Failure> {
    let mut found = BTreeSet::new();
    let mut range = Range::of(span);
    loop {
        let page = client.range(range.clone()).await.doing(|| "read writes back".to_owned())?.page;
        for entry in &page.entries {
            let name =
                entry.key.rsplit(|byte| *byte == b'/').next().and_then(|name| std::str::from_utf8(name).ok());
            let number: Option<u64> = name.and_then(|name| name.parse().ok());
            found.extend(number.filter(|number| entry.value == value(*number, bytes)));
        }
        if !page.more {
            return Ok(found);
        }
        range.continuation = page.continuation;
    }
}

fn runtime() -> Result<Runtime, Failure> {
    let doing = || "make a runtime".to_owned();
    tokio::runtime::Builder::new_current_thread().enable_all().build().doing(doing)
}

#[cfg(test)]
pub(crate) mod tests {
    use holdfast_wire::{Boot, NodeId, NodeIdentity, NodeUuid};

    use super::*;

    #[test]
    fn the_parts_of_a_gap_are_counted_since_the_leader_was_gone_and_none_is_below_zero() {
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        let round = Round {
            taken: at(100),
            elected: at(250),
            serves: at(260),
            given_back: at(900),
            caught_up: at(990),
        };
        let millis = |to| parts(&round, &Gap { from: at(99), to: at(to) }).map(|part| part.as_millis());
        assert_eq!(millis(263), [150, 10, 3]);
        // It was acknowledged before the node was asked again.
        assert_eq!(millis(259), [150, 10, 0]);
    }

    /// Node `node` in this term, with this leader, and all of this applied.
    pub(crate) fn said(node: u64, term: u64, leader: u64, applied: u64) -> Option<StatusReply> {
        let id = NodeId::new(node).unwrap();
        let node = NodeIdentity { id, uuid: NodeUuid([1; 16]), boot: Boot::FIRST };
        Some(StatusReply {
            node,
            cluster: None,
            life: 0,
            role: 0,
            leadership: 0,
            ready: true,
            leader: NodeId::new(leader),
            term,
            commit: applied,
            applied,
            durable: applied,
            last: applied,
            revision: 0,
            oldest: 0,
            keys: 0,
            sessions: 0,
            level: 1,
            clock_ms: 0,
            build: "".into(),
            members: Vec::new(),
        })
    }

    #[test]
    fn who_hung_has_caught_up_when_it_knows_the_later_term_and_has_all_of_it() {
        // Node 1 led in term 3.
        let others = [said(2, 4, 2, 90), said(3, 4, 2, 70)];
        let caught_up = |first: Option<StatusReply>| {
            let all: Vec<_> = [first].into_iter().chain(others.clone()).collect();
            has_caught_up(&all, 0, 3)
        };
        assert!(!caught_up(None), "it does not answer");
        assert!(!caught_up(said(1, 3, 1, 500)), "it believes that it leads");
        assert!(!caught_up(said(1, 4, 2, 89)), "something is missing");
        assert!(caught_up(said(1, 4, 2, 90)));
        assert!(caught_up(said(1, 5, 1, 91)), "it leads again");
        let mut asleep = said(1, 4, 2, 90);
        asleep.as_mut().unwrap().ready = false;
        assert!(!caught_up(asleep), "it is not ready");
        assert!(!has_caught_up(&[said(1, 4, 2, 9), None, said(3, 4, 2, 9)], 0, 3), "nobody leads");
    }

    #[test]
    fn a_value_tells_its_number_and_keys_are_in_the_order_of_numbers() {
        assert_eq!(value(258, 10).as_ref(), [0, 0, 0, 0, 0, 0, 1, 2, 0xA5, 0xA5]);
        assert_ne!(value(1, 8), value(2, 8));
        assert!(key(0, 9) < key(0, 10) && key(0, u64::from(u32::MAX)) < key(1, 0));
    }
}
