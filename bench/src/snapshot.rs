//! `snapshot`: what a snapshot costs those who write while it is taken, and how long a node takes to come back by one.
//!
//! Both under one load of puts, beside a state of many keys, on nodes that take a snapshot whenever so many entries were
//! applied. First some snapshots are waited for. Then a follower is killed, until the others have dropped what it lacks from
//! their logs; it is started again and has to be sent a snapshot.
//!
//! A snapshot is under way while its file is: the nodes of one machine are watched by their directories, which costs them
//! nothing. All of them take theirs at about the same time, and share the cores with each other and with the load.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use hdrhistogram::Histogram;
use holdfast_command::keys::Put;
use holdfast_command::request::{Command, RequestKey};

use crate::calls;
use crate::cluster::{Cluster, Members, Tuning, directory};
use crate::disk::Scratch;
use crate::failure::{Doing, Failure};
use crate::figures::{Better, Sheet, Unit};
use crate::load::{Answers, Load, Phases, Window};
use crate::output::Keep;
use crate::report::{Summary, Table, show, time};
use crate::until::{LOOK, until};
use crate::{kv, seconds};

/// A snapshot is taken whenever so many entries were applied, if nobody says otherwise.
const ENTRIES: u64 = 100_000;
/// How long one step may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// A snapshot that is being taken has this name in the directory of a node.
pub(crate) const TAKING: &str = "snapshots/taking.new";
/// What goes on beside the load, in this order.
const PHASES: [&str; 4] =
    ["no snapshot is taken", "a snapshot is taken", "a follower is away", "it comes back"];
const QUIET: usize = 0;
const TAKEN: usize = 1;
const AWAY: usize = 2;
const BACK: usize = 3;

/// How large the state is, and what is waited for.
#[derive(Debug, Args)]
pub(crate) struct SnapshotArgs {
    /// How many keys there are beside those of the load.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    fill: u32,
    /// How many keys there are; each put writes one of them by chance.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    keys: u32,
    /// Bytes of each value.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(0..=1 << 20))]
    value_bytes: u32,
    /// Connections of the load.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Operations outstanding on each connection.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    in_flight: u32,
    /// How long the load runs before it is measured.
    #[arg(long, default_value = "1", value_parser = seconds)]
    warmup: Duration,
    /// Starts so many nodes on loopback.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(3..=7))]
    spawn: u32,
    /// How many snapshots of the leader are waited for.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    snapshots: u32,
    #[command(flatten)]
    tuning: Tuning,
    #[command(flatten)]
    keep: Keep,
}

/// Runs both, and prints what came.
pub(crate) fn run(args: &SnapshotArgs, scratch: &Scratch) -> Result<(), Failure> {
    let keeping = args.keep.begin(scratch)?;
    let dir = scratch.path().join("snapshot");
    // A server waits for as many bytes as its state has: that would be a long wait.
    let entries = args.tuning.snapshot_entries.unwrap_or(ENTRIES);
    let tuning = Tuning { snapshot_entries: Some(entries), ..args.tuning };
    let mut cluster = Cluster::spawn(args.spawn, tuning, &dir)?;
    let members = cluster.members.clone();
    let began = Instant::now();
    fill(args, &members)?;
    show(format!(
        "{} keys of {} bytes written in {}; a snapshot is taken every {} entries",
        args.fill,
        args.value_bytes,
        time(began.elapsed().as_nanos() as u64),
        entries
    ))?;
    let load = Load {
        connections: args.connections,
        in_flight: args.in_flight,
        value_bytes: args.value_bytes,
        warmup: args.warmup,
        measured: 4 * PATIENCE,
        operations: None,
        pace: None,
    };
    let window = load.window();
    let phases = Arc::new(Phases::new(PHASES.len(), window.begin));
    let (answers, seen) = thread::scope(|scope| {
        let running = scope.spawn(|| kv::puts_through(&load, args.keys, &members, window, &phases));
        let seen = watch(args, &mut cluster, &dir, window, &phases);
        phases.end();
        let panicked = |_| Err(Failure::new("run the load", "a thread panicked"));
        (running.join().unwrap_or_else(panicked), seen)
    });
    let asked = [
        ("nodes", args.spawn.to_string()),
        ("keys of the state", args.fill.to_string()),
        ("keys of the load", args.keys.to_string()),
        ("value bytes", args.value_bytes.to_string()),
        ("entries between snapshots", entries.to_string()),
    ];
    let mut sheet = Sheet::new(format!("snapshot, put {}", load.name()), &asked);
    report(&load, &seen?, &answers?, &phases, &mut sheet)?;
    drop(cluster);
    let _ = fs::remove_dir_all(&dir);
    keeping.finish(vec![sheet])
}

/// Writes the state that the snapshots hold.
fn fill(args: &SnapshotArgs, members: &Members) -> Result<(), Failure> {
    let value = Bytes::from(vec![0x5A; args.value_bytes as usize]);
    let put = |number: u32| {
        let key = format!("fill/{number:08}").into();
        let put = Put { key, value: value.clone(), ..Put::default() };
        calls::submit(Command::Put(put), RequestKey::None)
    };
    kv::make_all(members, || (0..args.fill).map(put))
}

/// What was seen beside the load.
struct Seen {
    /// How long each snapshot of the leader took.
    snapshots: Vec<Duration>,
    /// The turns of the leader while it took one, and all of them, in microseconds.
    turns: [Histogram<u64>; 2],
    /// Bytes of the newest.
    bytes: u64,
    /// From the start of the follower until it had all that was committed.
    comeback: Duration,
    /// The turns of the follower meanwhile.
    comeback_turns: Histogram<u64>,
}

fn watch(
    args: &SnapshotArgs,
    cluster: &mut Cluster,
    dir: &Path,
    window: Window,
    phases: &Phases,
) -> Result<Seen, Failure> {
    thread::sleep(window.begin.saturating_duration_since(Instant::now()));
    let members = cluster.members.clone();
    let leader = members.leader(Instant::now() + PATIENCE)?;
    let (snapshots, turns) = take(args, &members, dir, leader, phases)?;
    let bytes = newest(&directory(dir, leader + 1));

    let follower = (leader + 1) % members.count();
    phases.enter(AWAY);
    cluster.kill(follower);
    let before = members.stats(leader)?.0.snapshots_taken;
    // The first of them may have been begun before, and what stands behind the second is not kept for those that are away.
    until("the others drop what a node lacks", PATIENCE, || {
        Ok(members.stats(leader)?.0.snapshots_taken >= before + 2)
    })?;
    phases.enter(BACK);
    let began = Instant::now();
    cluster.start(follower)?;
    until("a node catch up", PATIENCE, || {
        let wanted = members.status(leader)?.commit;
        // Until it listens it does not answer.
        Ok(members.status(follower).is_ok_and(|status| status.ready && status.applied >= wanted))
    })?;
    let comeback = began.elapsed();
    let (stats, comeback_turns) = members.stats(follower)?;
    if stats.snapshots_installed == 0 {
        let why = "it did so by the log; name fewer --snapshot-entries, or fewer --retain-bytes";
        return Err(Failure::new("see a node catch up by a snapshot", why));
    }
    Ok(Seen { snapshots, turns, bytes, comeback, comeback_turns })
}

/// Waits for snapshots, and says how long each took at the leader, and the turns of the leader: during them, and all.
fn take(
    args: &SnapshotArgs,
    members: &Members,
    dir: &Path,
    leader: usize,
    phases: &Phases,
) -> Result<(Vec<Duration>, [Histogram<u64>; 2]), Failure> {
    let is_taking = |place: usize| directory(dir, place + 1).join(TAKING).exists();
    let subtract = |mut after: Histogram<u64>, before: &Histogram<u64>| {
        after.subtract(before).doing(|| "subtract turns".to_owned()).map(|()| after)
    };
    let first = members.stats(leader)?.1;
    let mut during: Option<Histogram<u64>> = None;
    let mut taken = Vec::new();
    let mut began: Option<(Instant, Histogram<u64>)> = None;
    let mut any = false;
    let patience = Instant::now() + PATIENCE * args.snapshots;
    while taken.len() < args.snapshots as usize {
        let now_any = (0..members.count()).any(is_taking);
        if now_any != any {
            phases.enter(if now_any { TAKEN } else { QUIET });
            any = now_any;
        }
        match (is_taking(leader), began.take()) {
            // One that is under way when this begins is none of ours: its begin was not seen.
            (true, None) => began = Some((Instant::now(), members.stats(leader)?.1)),
            (true, seen) => began = seen,
            (false, Some((since, before))) => {
                taken.push(since.elapsed());
                let turns = subtract(members.stats(leader)?.1, &before)?;
                match &mut during {
                    None => during = Some(turns),
                    Some(during) => during.add(&turns).doing(|| "add turns".to_owned())?,
                }
            }
            (false, None) => {}
        }
        if Instant::now() > patience {
            return Err(Failure::new("see snapshots", format!("{} came", taken.len())));
        }
        thread::sleep(LOOK);
    }
    let all = subtract(members.stats(leader)?.1, &first)?;
    let during = during.ok_or_else(|| Failure::new("see snapshots", "none came"))?;
    Ok((taken, [during, all]))
}

/// The newest snapshot of a node; its name begins with the last index in it.
fn newest_file(dir: &Path) -> Option<fs::DirEntry> {
    let files = fs::read_dir(dir.join("snapshots")).into_iter().flatten().flatten();
    let snapshots = files.filter(|file| file.path().extension().is_some_and(|ending| ending == "snap"));
    snapshots.max_by_key(fs::DirEntry::file_name)
}

/// Bytes of the newest snapshot of a node.
fn newest(dir: &Path) -> u64 {
    newest_file(dir).and_then(|file| file.metadata().ok()).map_or(0, |file| file.len())
}

/// The last index in the newest snapshot of a node; 0 if it has none.
pub(crate) fn newest_index(dir: &Path) -> u64 {
    let index =
        |file: fs::DirEntry| u64::from_str_radix(file.file_name().to_str()?.split_once('-')?.0, 16).ok();
    newest_file(dir).and_then(index).unwrap_or(0)
}

fn report(
    load: &Load,
    seen: &Seen,
    answers: &Answers,
    phases: &Phases,
    sheet: &mut Sheet,
) -> Result<(), Failure> {
    let mut table = Table::new(&format!("put {}", load.name()), "ops/s");
    let of = |(latencies, length): (&Histogram<u64>, Duration)| Summary::of_histogram(latencies, length, 1);
    let summaries: Vec<Summary> = answers.of_phases.iter().zip(phases.lengths()).map(of).collect();
    for (name, summary) in PHASES.iter().zip(&summaries) {
        sheet.summary(&format!("puts while {name}"), summary);
        table.row(name, summary.clone());
    }
    let mut notes = String::new();
    for (phase, before) in [(TAKEN, QUIET), (BACK, AWAY)] {
        if let (Some(phase), Some(other), Some(name)) =
            (summaries.get(phase), summaries.get(before), PHASES.get(phase))
            && other.rate > 0.0
        {
            let rate = 100.0 * phase.rate / other.rate;
            notes.push_str(&format!("{name}: {rate:.0} % of the rate before, {}\n", phase.times(other)));
        }
    }
    if let Some(error) = &answers.first_error {
        notes.push_str(&format!("{} errors, the first: {error}\n", answers.errors));
    }
    let nanos = |time: Duration| time.as_nanos() as u64;
    let each: Vec<String> = seen.snapshots.iter().map(|took| time(nanos(*took))).collect();
    let longest = |turns: &Histogram<u64>| time(turns.max() * 1000);
    let [during, all] = &seen.turns;
    for took in &seen.snapshots {
        sheet.time("a snapshot of the leader", *took);
    }
    sheet.add("bytes of a snapshot", Unit::Bytes, Better::Lower, seen.bytes as f64);
    let micros = |turns: &Histogram<u64>| Duration::from_micros(turns.max());
    sheet.time("longest turn of the leader while it takes one", micros(during));
    sheet.time("a follower catches up by one", seen.comeback);
    sheet.time("longest turn of that follower", micros(&seen.comeback_turns));
    show(format!(
        "{table}{notes}\n\
         snapshots of the leader, {:.1} MiB: {}\n\
         its longest turn: {} while it took one, {} in all of that time\n\
         the follower had caught up after {}; its longest turn: {}\n",
        seen.bytes as f64 / f64::from(1 << 20),
        each.join(", "),
        longest(during),
        longest(all),
        time(nanos(seen.comeback)),
        longest(&seen.comeback_turns),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_snapshot_is_that_of_the_highest_index_and_none_is_zero() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!((newest(dir.path()), newest_index(dir.path())), (0, 0));
        let snapshots = dir.path().join("snapshots");
        fs::create_dir(&snapshots).unwrap();
        for (name, bytes) in [
            ("0000000000000028-0000000000000003.snap", 10),
            ("00000000000000ff-0000000000000002.snap", 20),
            ("taking.new", 30),
        ] {
            fs::write(snapshots.join(name), vec![0; bytes]).unwrap();
        }
        assert_eq!((newest(dir.path()), newest_index(dir.path())), (20, 255));
    }
}
