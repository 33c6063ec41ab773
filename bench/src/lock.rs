//! `lock`: how often locks are acquired and released, and how fast one goes from one holder to the next.
//!
//! First *alone*: each caller has a lock that nobody else wants. Then *contended*: all callers want the same one, and queue up
//! again as soon as they have released it.
//!
//! ```text
//!   holder    ──release──►                    a hand-over: from here
//!   cluster               next in the queue
//!   next      ◄──────────── told: granted     to here
//! ```
//! What a lock promises is checked meanwhile: no two callers hold it at once, and each grant has a *fencing token* above all that
//! were given before. Anything else is an error, and no figure.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use hdrhistogram::Histogram;
use holdfast_command::leases::GrantLease;
use holdfast_command::locks::{Acquire, Release};
use holdfast_command::outcome::Reply;
use holdfast_command::query::{Answer, Query, QueueKind, When};
use holdfast_command::request::{Command, RequestKey};
use holdfast_machine::Numbered;
use holdfast_wire::Message;
use holdfast_wire::message::{Consistency, Query as Ask};
use tokio::task::{JoinSet, LocalSet};

use crate::calls::{outcome, submit};
use crate::cluster::{Cluster, Members, Tuning};
use crate::disk::Scratch;
use crate::failure::{Doing, Failure};
use crate::figures::{Better, Sheet, Unit};
use crate::kv::SEGMENT_BYTES;
use crate::link::Link;
use crate::load::{Load, Recorder, Window, histogram};
use crate::output::Keep;
use crate::report::{Summary, Table, show, time};
use crate::seconds;
use crate::watching::Watching;

/// How long there may be no leader.
const PATIENCE: Duration = Duration::from_secs(30);
/// A caller rests so long before it looks for another leader.
const PAUSE: Duration = Duration::from_millis(1);
/// A lease lives longer than any run, so that nothing is measured but locks.
const TTL: Duration = Duration::from_secs(3600);
/// A caller waits for its turn so long at most, and then asks whether it still has a place.
const TURN_MS: u32 = 10_000;

/// How many callers, and for how long.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast-bench lock
  holdfast-bench lock --callers 64 --contenders 16 --runs 3 --dir /data --out lock")]
pub(crate) struct LockArgs {
    /// Starts so many nodes on loopback.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=7))]
    spawn: u32,
    /// Callers that have a lock each, and a connection each.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    callers: u32,
    /// Callers that want the same lock, with a connection each.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..=1_000))]
    contenders: u32,
    /// How long each figure is measured.
    #[arg(long, default_value = "5", value_parser = seconds)]
    seconds: Duration,
    /// How long each load runs before it is measured.
    #[arg(long, default_value = "1", value_parser = seconds)]
    warmup: Duration,
    /// How often both are run, on one cluster.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    #[command(flatten)]
    keep: Keep,
}

/// Runs both, and prints what came.
pub(crate) fn run(args: &LockArgs, scratch: &Scratch) -> Result<(), Failure> {
    let keeping = args.keep.begin(scratch)?;
    let dir = scratch.path().join("lock");
    let cluster = Cluster::spawn(args.spawn, Tuning::of_segments(SEGMENT_BYTES), &dir)?;
    let asked = [
        ("nodes", args.spawn.to_string()),
        ("callers with a lock each", args.callers.to_string()),
        ("callers that want the same lock", args.contenders.to_string()),
        ("seconds", args.seconds.as_secs_f64().to_string()),
    ];
    let mut sheet = Sheet::new("lock", &asked);
    for number in 1..=args.runs {
        let alone = measure(args, &cluster.members, args.callers, false)?;
        let contended = measure(args, &cluster.members, args.contenders, true)?;
        report(args, number, &alone, &contended, &mut sheet)?;
    }
    show(&sheet)?;
    drop(cluster);
    let _ = fs::remove_dir_all(&dir);
    keeping.finish(vec![sheet])
}

/// What came of one run.
#[derive(Debug)]
struct Measured {
    /// From the request for the lock to the grant, and how many there were.
    acquired: Summary,
    /// From the release to its answer.
    released: Summary,
    /// From the release to when the next holder was told; of a contended lock.
    handed: Summary,
    /// How often each caller had the lock in the window.
    turns: Vec<u64>,
    errors: u64,
    first_error: Option<String>,
}

/// The most that one caller got by the least: 1 is fair. `None` if one of them got nothing.
fn unfairness(turns: &[u64]) -> Option<f64> {
    let (least, most) = (turns.iter().min()?, turns.iter().max()?);
    (*least > 0).then(|| *most as f64 / *least as f64)
}

/// What is known of one lock, whoever looks: all callers are one thread of this process.
#[derive(Debug, Default)]
struct Watched {
    /// Who holds it: from the moment it was told, to the moment before it releases.
    holder: Option<usize>,
    /// The highest token, and who was given it.
    highest: Option<(u64, usize)>,
    /// When the last release was sent, if nobody was told since.
    released: Option<Instant>,
}

impl Watched {
    /// A caller is told at `now` that it holds the lock under a token: how long the hand-over took, if there was one. `again` says
    /// that it may have been told before, and not heard it.
    fn granted(
        &mut self,
        caller: usize,
        token: u64,
        again: bool,
        now: Instant,
    ) -> Result<Option<Duration>, String> {
        if let Some(holder) = self.holder {
            return Err(format!("caller {caller} was given the lock, and caller {holder} holds it"));
        }
        match self.highest {
            Some((highest, to)) if token < highest || (token == highest && !(again && to == caller)) => {
                return Err(format!(
                    "token {token} was given to caller {caller}, and {highest} to caller {to} before"
                ));
            }
            _ => self.highest = Some((token, caller)),
        }
        self.holder = Some(caller);
        Ok(self.released.take().map(|released| now.saturating_duration_since(released)))
    }

    /// The holder releases it at `now`.
    fn release(&mut self, now: Instant) {
        self.holder = None;
        self.released = Some(now);
    }
}

/// What all callers of a run share.
#[derive(Debug)]
struct Shared {
    acquired: Recorder,
    released: Recorder,
    handed: Histogram<u64>,
    turns: Vec<u64>,
    /// One for each lock.
    locks: Vec<Watched>,
    window: Window,
    /// Ends the run: what a lock promises was not kept.
    broken: Option<String>,
}

impl Shared {
    fn is_over(&self, now: Instant) -> bool {
        self.broken.is_some() || self.acquired.is_over(now)
    }

    fn counts(&self, now: Instant) -> bool {
        now >= self.window.begin && now < self.window.end
    }
}

fn measure(
    args: &LockArgs,
    members: &Members,
    callers: u32,
    is_contended: bool,
) -> Result<Measured, Failure> {
    let doing = || "acquire locks".to_owned();
    let load = Load {
        connections: callers,
        in_flight: 1,
        value_bytes: 0,
        warmup: args.warmup,
        measured: args.seconds,
        operations: None,
        pace: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().doing(doing)?;
    let watching = Watching::new(if is_contended { "lock, contended" } else { "lock, alone" }, &load);
    let window = load.window();
    let callers = callers as usize;
    let shared = Rc::new(RefCell::new(Shared {
        acquired: Recorder::new(&load, window)?.telling(watching.told()),
        released: Recorder::new(&load, window)?,
        handed: histogram()?,
        turns: vec![0; callers],
        locks: (0..if is_contended { 1 } else { callers }).map(|_| Watched::default()).collect(),
        window,
        broken: None,
    }));
    LocalSet::new().block_on(&runtime, async {
        let mut set = JoinSet::new();
        for number in 0..callers {
            let lock = if is_contended { 0 } else { number };
            let name = if is_contended { "bench/one".to_owned() } else { format!("bench/{number:04}") };
            let caller = Caller { number, lock, name: name.into(), lease: 0, may_have: false };
            set.spawn_local(caller.run(members.clone(), Rc::clone(&shared)));
        }
        while let Some(ended) = set.join_next().await {
            ended.doing(doing)?;
        }
        Ok::<_, Failure>(())
    })?;
    let shared =
        Rc::into_inner(shared).ok_or_else(|| Failure::new(doing(), "a caller is left"))?.into_inner();
    if let Some(broken) = shared.broken {
        return Err(Failure::new("trust locks", broken));
    }
    let (acquired, released) = (shared.acquired.finish(), shared.released.finish());
    Ok(Measured {
        acquired: Summary::of(&acquired),
        released: Summary::of(&released),
        handed: Summary::of_histogram(&shared.handed, acquired.elapsed, 1),
        turns: shared.turns,
        errors: acquired.errors + released.errors,
        first_error: acquired.first_error.or(released.first_error),
    })
}

/// One who acquires and releases.
#[derive(Debug)]
struct Caller {
    number: usize,
    /// Which lock, of those that are watched.
    lock: usize,
    name: Bytes,
    /// What it holds by; 0 before it has one.
    lease: i64,
    /// Whether it may have a place, or the lock, and not know it: a connection broke.
    may_have: bool,
}

impl Caller {
    /// Until the run is over, one connection after the other, each to the leader of the time.
    async fn run(mut self, members: Members, shared: Rc<RefCell<Shared>>) {
        let end = shared.borrow().window.end;
        while !shared.borrow().is_over(Instant::now()) {
            let Ok(address) = members.find_leader(end + PATIENCE).await else { return };
            let Err(error) = self.run_at(&address, &shared).await else { return };
            shared.borrow_mut().acquired.error(Instant::now(), error.to_string());
            self.may_have = true;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn run_at(&mut self, address: &str, shared: &RefCell<Shared>) -> io::Result<()> {
        let mut link = Link::open(address).await?;
        if self.lease == 0 {
            let grant = Command::GrantLease(GrantLease { lease: 0, ttl_ms: TTL.as_millis() as u64 });
            let Reply::LeaseGranted { lease, .. } = write(&mut link, grant).await? else {
                return Err(io::Error::other("no lease was granted"));
            };
            self.lease = lease;
        }
        while !shared.borrow().is_over(Instant::now()) {
            let asked = Instant::now();
            let token = self.acquire(&mut link).await?;
            let granted = Instant::now();
            {
                let shared = &mut *shared.borrow_mut();
                let again = std::mem::take(&mut self.may_have);
                let Some(lock) = shared.locks.get_mut(self.lock) else { return Ok(()) };
                match lock.granted(self.number, token, again, granted) {
                    Ok(handed) => shared.count(self.number, handed, asked, granted),
                    Err(broken) => {
                        shared.broken.get_or_insert(broken);
                        return Ok(());
                    }
                }
            }
            let sent = Instant::now();
            if let Some(lock) = shared.borrow_mut().locks.get_mut(self.lock) {
                lock.release(sent);
            }
            let release = Command::Release(Release { name: self.name.clone(), lease: self.lease });
            let done = write(&mut link, release).await?;
            // If a connection broke, it may have been released before.
            if !matches!(done, Reply::LockReleased { .. }) {
                return Err(io::Error::other(format!("a release was answered {done:?}")));
            }
            shared.borrow_mut().released.answer(sent, Instant::now());
        }
        Ok(())
    }

    /// Asks for the lock, and waits for its turn: the token.
    async fn acquire(&self, link: &mut Link) -> io::Result<u64> {
        let acquire = Acquire { name: self.name.clone(), lease: self.lease, wait: true, value: Bytes::new() };
        match write(link, Command::Acquire(acquire)).await? {
            Reply::LockGranted { token } => return Ok(token),
            Reply::LockQueued { .. } => {}
            other => return Err(io::Error::other(format!("a lock was answered {other:?}"))),
        }
        let query = Query::Queue {
            kind: QueueKind::Lock,
            name: self.name.clone(),
            when: When::Settled { lease: self.lease },
        };
        let ask = Message::Query(Ask {
            consistency: Consistency::Linearizable.number(),
            timeout_ms: TURN_MS,
            max_stale_ms: 0,
            min_position: None,
            query: query.encode(),
        });
        let Message::QueryDone(done) = link.ask(&ask).await? else {
            return Err(io::Error::other("its turn did not come"));
        };
        match Answer::decode(done.answer).map_err(io::Error::other)? {
            Ok(Answer::Queue(queue)) => match queue.holder {
                Some(holder) if holder.lease == self.lease => Ok(holder.token),
                _ => Err(io::Error::other("it has no place in the queue")),
            },
            other => Err(io::Error::other(format!("a queue was answered {other:?}"))),
        }
    }
}

impl Shared {
    /// A grant that was asked for at `asked` and told at `granted`.
    fn count(&mut self, caller: usize, handed: Option<Duration>, asked: Instant, granted: Instant) {
        self.acquired.answer(asked, granted);
        if self.counts(granted) {
            if let Some(turns) = self.turns.get_mut(caller) {
                *turns += 1;
            }
            if let Some(handed) = handed {
                self.handed.saturating_record(handed.as_nanos() as u64);
            }
        }
    }
}

/// One write, and its reply.
async fn write(link: &mut Link, command: Command) -> io::Result<Reply> {
    let answer = link.ask(&submit(command, RequestKey::None)).await?;
    outcome(answer).map_err(io::Error::other)?.map_err(|refusal| io::Error::other(format!("{refusal:?}")))
}

fn report(
    args: &LockArgs,
    number: u32,
    alone: &Measured,
    contended: &Measured,
    sheet: &mut Sheet,
) -> Result<(), Failure> {
    let mut table = Table::new(&format!("lock, run {number}"), "per s");
    let mut notes = String::new();
    for (name, measured) in [("alone", alone), ("contended", contended)] {
        sheet.summary(&format!("{name}: acquire"), &measured.acquired);
        sheet.latencies(&format!("{name}: release"), &measured.released);
        sheet.add(&format!("{name}: errors"), Unit::Count, Better::Lower, measured.errors as f64);
        table.row(&format!("{name}: acquire"), measured.acquired.clone());
        table.row(&format!("{name}: release"), measured.released.clone());
        if let Some(error) = &measured.first_error {
            notes.push_str(&format!("first error, {name}: {error}\n"));
        }
    }
    table.row("contended: hand-over", contended.handed.clone());
    sheet.latencies("contended: hand-over", &contended.handed);
    let (least, most) = (contended.turns.iter().min(), contended.turns.iter().max());
    let (least, most) = (least.copied().unwrap_or(0), most.copied().unwrap_or(0));
    let unfair = unfairness(&contended.turns);
    if let Some(unfair) = unfair {
        sheet.add("contended: most turns of a caller by the least", Unit::Times, Better::Lower, unfair);
    }
    let unfair = unfair.map_or_else(|| "one got nothing".to_owned(), |unfair| format!("{unfair:.2} ×"));
    let each = contended
        .handed
        .median_latency()
        .map_or_else(String::new, |each| format!("; handed over in {} at p50", time(each)));
    show(format!(
        "{table}{notes}{} callers of one lock had it {least} to {most} times each ({unfair}){each}; \
         every token was above all before it\n",
        args.contenders
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfairness_is_the_most_by_the_least() {
        assert_eq!(unfairness(&[10, 12, 15]), Some(1.5));
        assert_eq!(unfairness(&[7]), Some(1.0));
        assert_eq!((unfairness(&[3, 0]), unfairness(&[])), (None, None));
    }

    #[test]
    fn a_hand_over_lasts_from_the_release_to_when_the_next_is_told() {
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        let mut lock = Watched::default();
        assert_eq!(lock.granted(0, 10, false, at(1)), Ok(None));
        lock.release(at(3));
        assert_eq!(lock.granted(1, 11, false, at(8)), Ok(Some(Duration::from_millis(5))));
        lock.release(at(9));
        // Told before the clock was read: no time, and no panic.
        assert_eq!(lock.granted(0, 12, false, at(8)), Ok(Some(Duration::ZERO)));
    }

    #[test]
    fn two_holders_at_once_and_a_token_that_is_not_above_the_last_are_errors() {
        let now = Instant::now();
        let mut lock = Watched::default();
        lock.granted(0, 10, false, now).unwrap();
        assert!(lock.granted(1, 11, false, now).unwrap_err().contains("caller 0 holds it"));
        lock.release(now);
        for (caller, token, again) in
            [(1, 9, false), (1, 10, false), (0, 10, false), (1, 10, true), (0, 9, true)]
        {
            let told = lock.granted(caller, token, again, now).unwrap_err();
            assert!(told.contains("and 10 to caller 0 before"), "{told}");
        }
        // It asks again for what it may have been given, and is told the same.
        lock.granted(0, 10, true, now).unwrap();
    }
}
