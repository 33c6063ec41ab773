//! `leases`: what leases that are kept cost those who write, and whether one of them ends early.
//!
//! Both on one cluster. First the load of puts, in turns without leases and with leases that are renewed all the time. Then the
//! leader is killed while they are kept and the load runs. In the end nobody renews them any more, and all of them are looked
//! at until the last has ended.
//!
//! A lease may not end before its time to live has passed since the last renewal that was acknowledged was *sent*: that is
//! what [machine 10](../../../docs/state-machines/10-lease.md) lets a client conclude. One that is gone before ended early.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use holdfast_command::leases::{GrantLease, RevokeLease};
use holdfast_command::outcome::Reply;
use holdfast_command::query::{Answer, Query};
use holdfast_command::request::{Command, RequestKey};
use holdfast_machine::Numbered;
use holdfast_server::runtime::SEGMENT_BYTES_MIN;
use holdfast_wire::Message;
use holdfast_wire::message::{Consistency, KeepLease, Query as Ask};
use tokio::task::{JoinSet, LocalSet};

use crate::calls;
use crate::cluster::{Cluster, Members, Tuning};
use crate::disk::Scratch;
use crate::failure::{Doing, Failure};
use crate::figures::{Better, Sheet, Unit};
use crate::kv::{self, SEGMENT_BYTES};
use crate::link::Link;
use crate::load::{Load, Phases, Window};
use crate::output::Keep;
use crate::report::{Summary, Table, show, time};
use crate::{LoadArgs, seconds};

/// How long there may be no leader.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the load under which the leader is killed may take in all.
const KILLING: Duration = Duration::from_secs(600);
/// How often a keeper looks whose turn it is, and how often leases that nobody keeps are looked at.
const LOOK: Duration = Duration::from_millis(10);
/// A keeper rests so long before it looks for another leader.
const PAUSE: Duration = Duration::from_millis(1);

/// What is kept, and how often.
#[derive(Debug, Args)]
pub(crate) struct LeasesArgs {
    #[command(flatten)]
    load: LoadArgs,
    /// Starts so many nodes on loopback.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(3..=7))]
    spawn: u32,
    /// How many leases there are.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    leases: u32,
    /// Over how many connections they are renewed, all of them to the leader.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    keepers: u32,
    /// How long a lease lives, in seconds.
    #[arg(long, default_value = "15", value_parser = seconds)]
    ttl: Duration,
    /// How often each is renewed, in seconds.
    #[arg(long, default_value = "5", value_parser = seconds)]
    every: Duration,
    /// How many keys there are; each put writes one of them by chance.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    keys: u32,
    /// How often the load is run, each time without and with leases; shown are the medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    #[command(flatten)]
    keep: Keep,
}

impl LeasesArgs {
    /// A sheet of this name, with what was asked.
    fn sheet(&self, name: String) -> Sheet {
        Sheet::new(
            name,
            &[
                ("nodes", self.spawn.to_string()),
                ("leases", self.leases.to_string()),
                ("connections of leases", self.keepers.to_string()),
                ("time to live", time(self.ttl.as_nanos() as u64)),
                ("renewed every", time(self.every.as_nanos() as u64)),
                ("keys", self.keys.to_string()),
                ("value bytes", self.load.value_bytes.to_string()),
                ("seconds", self.load.seconds.as_secs_f64().to_string()),
            ],
        )
    }
}

/// Runs all of it, and prints what came. A lease that ended early is a failure.
pub(crate) fn run(args: &LeasesArgs, scratch: &Scratch) -> Result<(), Failure> {
    if args.every.is_zero() || args.every >= args.ttl {
        return Err(Failure::new("keep leases", "each has to be renewed more than once in its time to live"));
    }
    let keeping = args.keep.begin(scratch)?;
    let mut sheets = Vec::new();
    let dir = scratch.path().join("leases");
    let segment = if args.load.operations.is_some() { SEGMENT_BYTES_MIN } else { SEGMENT_BYTES };
    let mut cluster = Cluster::spawn(args.spawn, Tuning::of_segments(segment), &dir)?;
    for load in args.load.loads() {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        let once = || kv::puts(&load, args.keys, &cluster.members).map(|run| Summary::of(&run.answers));
        let (mut tally, mut kept_for) = (Tally::default(), Duration::ZERO);
        for number in 0..args.runs {
            // In turns, and each of them first as often as the other: whatever changes meanwhile meets both.
            for is_kept in [number % 2 == 1, number % 2 == 0] {
                if is_kept {
                    let began = Instant::now();
                    let keepers = Keepers::open(&cluster.members, args)?;
                    with.push(once()?);
                    let leases = keepers.close(&mut tally)?;
                    kept_for += began.elapsed();
                    revoke(&cluster.members, &leases);
                } else {
                    without.push(once()?);
                }
            }
        }
        let mut table = Table::new(&format!("put {}", load.name()), "ops/s");
        let mut sheet = args.sheet(format!("leases, put {}", load.name()));
        for (name, runs) in [("no leases".to_owned(), &without), (format!("{} leases", args.leases), &with)] {
            for run in runs {
                sheet.summary(&format!("puts, {name}"), run);
            }
            for (number, summary) in (1..).zip(runs) {
                if runs.len() > 1 {
                    table.row(&format!("{name}, run {number}"), summary.clone());
                }
            }
            if let Some(median) = Summary::of_runs(runs) {
                table.row(&format!("{name}, median"), median);
            }
        }
        let medians = Summary::of_runs(&without).zip(Summary::of_runs(&with));
        let share = medians.filter(|(without, _)| without.rate > 0.0).map(|(without, with)| {
            format!(
                "{:.0} % of the rate without, {}\n",
                100.0 * with.rate / without.rate,
                with.times(&without)
            )
        });
        let renewals = tally.renewed as f64 / kept_for.as_secs_f64();
        sheet.add("renewals in a second", Unit::PerSecond, Better::Neither, renewals);
        sheets.push(sheet);
        let renewals = format!("{} renewals, {renewals:.0} in a second, {}\n", tally.renewed, tally.ends());
        show(format!("{table}{}{renewals}", share.unwrap_or_default()))?;
        tally.judge()?;
    }
    let first = args.load.loads().first().copied();
    let first = first.ok_or_else(|| Failure::new("kill the leader", "there is no load"))?;
    sheets.push(kill_the_leader(args, &first, &mut cluster)?);
    drop(cluster);
    let _ = fs::remove_dir_all(&dir);
    keeping.finish(sheets)
}

/// A lease that is kept.
#[derive(Debug, Clone, Copy)]
struct Kept {
    lease: i64,
    /// It lives until then at least.
    until: Instant,
    /// When it is renewed next.
    next: Instant,
}

/// What became of leases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    /// Renewals that were acknowledged.
    renewed: u64,
    /// Leases that were gone before they might be.
    early: u64,
    /// Leases that were gone because no renewal was acknowledged in time.
    overdue: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.renewed += other.renewed;
        self.early += other.early;
        self.overdue += other.overdue;
    }

    /// Notes a lease that is gone, as it was found at `now`.
    fn gone(&mut self, until: Instant, now: Instant) {
        if now < until {
            self.early += 1;
        } else {
            self.overdue += 1;
        }
    }

    /// What ended, and how.
    fn ends(&self) -> String {
        format!("{} expired early, {} not renewed in time", self.early, self.overdue)
    }

    fn judge(&self) -> Result<(), Failure> {
        match self.early {
            0 => Ok(()),
            early => Err(Failure::new("trust leases", format!("{early} of them ended before their time"))),
        }
    }
}

/// Those who renew leases, on a thread of their own.
struct Keepers {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<Result<(Vec<Kept>, Tally), Failure>>,
}

impl Keepers {
    /// Grants all leases, and renews them from now on.
    fn open(members: &Members, args: &LeasesArgs) -> Result<Self, Failure> {
        let (ready, is_ready) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let (members, stopped) = (members.clone(), Arc::clone(&stop));
        let (leases, keepers, ttl, every) = (args.leases, args.keepers, args.ttl, args.every);
        let doing = || "keep leases".to_owned();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().doing(doing)?;
            LocalSet::new().block_on(&runtime, async move {
                let until = Instant::now() + PATIENCE;
                let mut granted = loop {
                    let address = members.find_leader(until).await.doing(doing)?;
                    match grant(&address, leases, ttl).await {
                        Ok(granted) => break granted,
                        Err(error) if Instant::now() > until => return Err(error).doing(doing),
                        // Those that were granted end by themselves.
                        Err(_) => tokio::time::sleep(PAUSE).await,
                    }
                };
                // As evenly as may be, so that renewals are a stream and no wave.
                let begin = Instant::now();
                for (number, kept) in (0..).zip(&mut granted) {
                    kept.next = begin + every * number / leases;
                }
                let mut set = JoinSet::new();
                let share = granted.len().div_ceil(keepers as usize);
                for some in granted.chunks(share) {
                    let keeper = Keeper {
                        members: members.clone(),
                        every,
                        leases: some.to_vec(),
                        tally: Tally::default(),
                    };
                    set.spawn_local(keeper.keep(Arc::clone(&stopped)));
                }
                let _ = ready.send(());
                let (mut all, mut tally) = (Vec::new(), Tally::default());
                while let Some(ended) = set.join_next().await {
                    let mut keeper = ended.doing(doing)?.doing(doing)?;
                    all.append(&mut keeper.leases);
                    tally.add(keeper.tally);
                }
                Ok((all, tally))
            })
        });
        // If it ended instead, closing tells why.
        let _ = is_ready.recv();
        Ok(Self { stop, thread })
    }

    /// Ends them, and gives the leases that live, which nobody renews from now on.
    fn close(self, tally: &mut Tally) -> Result<Vec<Kept>, Failure> {
        let Self { stop, thread } = self;
        stop.store(true, Ordering::Release);
        let ended = thread.join().map_err(|_| "the thread ended by a panic".to_owned());
        let (leases, theirs) = ended.doing(|| "keep leases".to_owned())??;
        tally.add(theirs);
        Ok(leases)
    }
}

/// Grants so many leases.
async fn grant(address: &str, count: u32, ttl: Duration) -> io::Result<Vec<Kept>> {
    let mut link = Link::open(address).await?;
    let mut granted = Vec::new();
    let ttl_ms = ttl.as_millis() as u64;
    while granted.len() < count as usize {
        let sent = Instant::now();
        let some = (count as usize - granted.len()).min(1_000) as u64;
        for call in 1..=some {
            let command = Command::GrantLease(GrantLease { lease: 0, ttl_ms });
            link.send(call, &calls::submit(command, RequestKey::None))?;
        }
        let mut open = some;
        while open > 0 {
            link.exchange().await?;
            while let Some((_, answer)) = link.next()? {
                open -= 1;
                match calls::outcome(answer).map_err(io::Error::other)? {
                    Ok(Reply::LeaseGranted { lease, ttl_ms }) => {
                        let until = sent + Duration::from_millis(ttl_ms);
                        granted.push(Kept { lease, until, next: sent });
                    }
                    other => return Err(io::Error::other(format!("no lease: {other:?}"))),
                }
            }
        }
    }
    Ok(granted)
}

/// Ends leases, so that they do not end while the next figure is taken. If the leader changes meanwhile, some may.
fn revoke(members: &Members, leases: &[Kept]) {
    let call = |kept: &Kept| {
        calls::submit(Command::RevokeLease(RevokeLease { lease: kept.lease }), RequestKey::None)
    };
    let _ = kv::make_all(members, || leases.iter().map(call));
}

/// Who renews some of the leases, one connection after the other, each to the leader of the time.
struct Keeper {
    members: Members,
    every: Duration,
    leases: Vec<Kept>,
    tally: Tally,
}

impl Keeper {
    /// Until it is told to stop.
    async fn keep(mut self, stop: Arc<AtomicBool>) -> io::Result<Self> {
        while !stop.load(Ordering::Acquire) {
            let address = self.members.find_leader(Instant::now() + PATIENCE).await?;
            // Whatever ended it, there is another leader or will be: what was not acknowledged is sent again.
            if self.keep_at(&address, &stop).await.is_err() {
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(self)
    }

    async fn keep_at(&mut self, address: &str, stop: &AtomicBool) -> io::Result<()> {
        let mut link = Link::open(address).await?;
        while !stop.load(Ordering::Acquire) {
            let sent = Instant::now();
            let mut open = 0;
            for (call, kept) in (1..).zip(&self.leases).filter(|(_, kept)| kept.next <= sent) {
                link.send(call, &Message::KeepLease(KeepLease { timeout_ms: 0, lease: kept.lease }))?;
                open += 1;
            }
            if open == 0 {
                tokio::time::sleep(LOOK).await;
            }
            let mut ended = BTreeSet::new();
            while open > 0 {
                link.exchange().await?;
                let now = Instant::now();
                while let Some((call, answer)) = link.next()? {
                    open -= 1;
                    let place = usize::try_from(call).ok().and_then(|call| call.checked_sub(1));
                    let Some(kept) = place.and_then(|place| self.leases.get_mut(place)) else {
                        return Err(io::Error::other(format!(
                            "an answer to call {call}, which there is not"
                        )));
                    };
                    match answer {
                        Message::LeaseKept(answer) if answer.known => {
                            self.tally.renewed += 1;
                            kept.until = kept.until.max(sent + Duration::from_millis(answer.ttl_ms));
                            kept.next += self.every;
                        }
                        Message::LeaseKept(_) => {
                            self.tally.gone(kept.until, now);
                            ended.insert(kept.lease);
                        }
                        other => return Err(io::Error::other(format!("not renewed: {other:?}"))),
                    }
                }
            }
            self.leases.retain(|kept| !ended.contains(&kept.lease));
        }
        Ok(())
    }
}

/// Kills the leader while leases are kept and the load runs; then lets go of the leases, and looks at them until all have
/// ended.
fn kill_the_leader(args: &LeasesArgs, load: &Load, cluster: &mut Cluster) -> Result<Sheet, Failure> {
    let members = cluster.members.clone();
    let keepers = Keepers::open(&members, args)?;
    let load = Load { operations: None, ..*load };
    let begin = Instant::now() + load.warmup;
    let window = Window { begin, end: begin + KILLING };
    let phases = Arc::new(Phases::new(2, begin));
    // Without a length of its own a run is over as soon as it can be.
    let before = if args.load.operations.is_some() { args.every } else { load.measured };
    let (answers, outage) = thread::scope(|scope| {
        let running = scope.spawn(|| kv::puts_through(&load, args.keys, &members, window, &phases));
        let outage = kill_meanwhile(cluster, &members, &phases, begin + before, args.every * 2);
        phases.end();
        let panicked = |_| Err(Failure::new("run the load", "a thread panicked"));
        (running.join().unwrap_or_else(panicked), outage)
    });
    let (answers, outage) = (answers?, outage?);
    let mut tally = Tally::default();
    let leases = keepers.close(&mut tally)?;
    let mut table = Table::new(&format!("put {}", load.name()), "ops/s");
    let names = ["before the leader is killed", "after it"];
    let mut sheet = args.sheet(format!("leases, the leader is killed, put {}", load.name()));
    for ((name, latencies), length) in names.iter().zip(&answers.of_phases).zip(phases.lengths()) {
        let summary = Summary::of_histogram(latencies, length, 1);
        sheet.summary(&format!("puts {name}"), &summary);
        table.row(name, summary);
    }
    let renewed = tally.renewed;
    let ends = until_all_have_ended(&members, &leases, args.ttl, &mut tally)?;
    show(format!(
        "{table}another leader after {}; {renewed} renewals; {} of {} leases expired early, {} not renewed in time\n\
         nobody renews them any more: the last one ended {} after it might\n",
        time(outage.as_nanos() as u64),
        tally.early,
        args.leases,
        tally.overdue,
        time(ends.as_nanos() as u64),
    ))?;
    sheet.time("kill until another node leads", outage);
    sheet.time("longest that a lease outlived its time", ends);
    sheet.add("leases not renewed in time", Unit::Count, Better::Lower, tally.overdue as f64);
    tally.judge()?;
    Ok(sheet)
}

/// Kills the leader at `at`, and goes on for `after` when another leads. How long there was none.
fn kill_meanwhile(
    cluster: &mut Cluster,
    members: &Members,
    phases: &Phases,
    at: Instant,
    after: Duration,
) -> Result<Duration, Failure> {
    thread::sleep(at.saturating_duration_since(Instant::now()));
    let leader = members.leader(Instant::now() + PATIENCE)?;
    phases.enter(1);
    let killed = Instant::now();
    cluster.kill(leader);
    members.leader(killed + PATIENCE)?;
    let outage = killed.elapsed();
    thread::sleep(after);
    Ok(outage)
}

/// Looks at all leases until none is left. How long the last one was there behind its time; none is for more than twice its
/// time to live, or something is wrong.
fn until_all_have_ended(
    members: &Members,
    leases: &[Kept],
    ttl: Duration,
    tally: &mut Tally,
) -> Result<Duration, Failure> {
    let doing = || "look at leases that nobody keeps".to_owned();
    let mut left = leases.to_vec();
    let mut behind = Duration::ZERO;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().doing(doing)?;
    runtime.block_on(async {
        let mut asked = Instant::now();
        while !left.is_empty() {
            let address = members.find_leader(asked + PATIENCE).await.doing(doing)?;
            let alive = match alive(&address).await {
                Ok(alive) => alive,
                Err(error) if asked.elapsed() > PATIENCE => return Err(error).doing(doing),
                Err(_) => continue,
            };
            asked = Instant::now();
            let now = Instant::now();
            left.retain(|kept| {
                if alive.contains(&kept.lease) {
                    behind = behind.max(now.saturating_duration_since(kept.until));
                    return true;
                }
                tally.early += u64::from(now < kept.until);
                false
            });
            if behind > 2 * ttl {
                return Err(Failure::new(doing(), format!("{} of them do not end", left.len())));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(behind)
    })
}

/// All leases there are, linearizable.
async fn alive(address: &str) -> io::Result<BTreeSet<i64>> {
    let mut link = Link::open(address).await?;
    let mut all = BTreeSet::new();
    let mut after = 0;
    loop {
        let ask = Message::Query(Ask {
            consistency: Consistency::Linearizable.number(),
            timeout_ms: 0,
            max_stale_ms: 0,
            min_position: None,
            query: Query::Leases { after, limit: 0 }.encode(),
        });
        let Message::QueryDone(done) = link.ask(&ask).await? else {
            return Err(io::Error::other("leases could not be asked for"));
        };
        match Answer::decode(done.answer).map_err(io::Error::other)? {
            Ok(Answer::Leases { leases, more }) => {
                after = leases.last().map_or(0, |info| info.lease);
                all.extend(leases.iter().map(|info| info.lease));
                if !more {
                    return Ok(all);
                }
            }
            other => return Err(io::Error::other(format!("{other:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_is_gone_before_it_might_be_is_early_and_a_failure() {
        let now = Instant::now();
        let mut tally = Tally::default();
        tally.gone(now, now);
        assert_eq!((tally.early, tally.overdue), (0, 1));
        assert!(tally.judge().is_ok());
        tally.gone(now + Duration::from_nanos(1), now);
        assert_eq!((tally.early, tally.overdue), (1, 1));
        assert!(tally.judge().is_err());
    }
}
