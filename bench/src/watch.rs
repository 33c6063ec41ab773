//! `watch`: what watches cost those who write, and how long a change takes to the last of those who watch.
//!
//! Both on one cluster. First the load of puts, in turns without watches and with watches of keys that nobody writes: what
//! they cost a write that does not concern them. Then single puts that all watches want: from the put to the last event.

use std::cell::{Cell, RefCell};
use std::fs;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use holdfast_command::keys::{Put, Span};
use holdfast_command::request::{Command, Request};
use holdfast_server::runtime::SEGMENT_BYTES_MIN;
use holdfast_wire::Message;
use holdfast_wire::message::{Submit, Watch};
use tokio::sync::Notify;
use tokio::task::{JoinSet, LocalSet};

use crate::LoadArgs;
use crate::calls;
use crate::cluster::{Cluster, Members, Tuning};
use crate::disk::Scratch;
use crate::failure::{Doing, Failure};
use crate::figures::Sheet;
use crate::kv::{self, SEGMENT_BYTES};
use crate::link::Link;
use crate::load::histogram;
use crate::output::Keep;
use crate::report::{Summary, Table, show};

/// How long there may be no leader, and how long an event may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is watched, and how often.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    load: LoadArgs,
    /// Starts so many nodes on loopback.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=7))]
    spawn: u32,
    /// How many watches there are.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    watches: u32,
    /// Over how many connections, all of them to the leader.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    watchers: u32,
    /// How many keys there are; each put writes one of them by chance.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    keys: u32,
    /// How many puts are followed to the last event.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    events: u32,
    /// How often the load is run, each time without and with watches; shown are the medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    #[command(flatten)]
    keep: Keep,
}

/// Runs both, and prints what came.
pub(crate) fn run(args: &WatchArgs, scratch: &Scratch) -> Result<(), Failure> {
    let keeping = args.keep.begin(scratch)?;
    let mut sheets = Vec::new();
    let dir = scratch.path().join("watch");
    let segment = if args.load.operations.is_some() { SEGMENT_BYTES_MIN } else { SEGMENT_BYTES };
    let cluster = Cluster::spawn(args.spawn, Tuning::of_segments(segment), &dir)?;
    for load in args.load.loads() {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        let once = || kv::puts(&load, args.keys, &cluster.members).map(|run| Summary::of(&run.answers));
        for number in 0..args.runs {
            // In turns, and each of them first as often as the other: whatever changes meanwhile meets both.
            for is_watched in [number % 2 == 1, number % 2 == 0] {
                if is_watched {
                    let watchers = Idle::open(&cluster.members, args.watches, args.watchers)?;
                    with.push(once()?);
                    watchers.close()?;
                } else {
                    without.push(once()?);
                }
            }
        }
        let mut table = Table::new(&format!("put {}", load.name()), "ops/s");
        let rows = [("no watches".to_owned(), &without), (format!("{} watches", args.watches), &with)];
        let mut rates = Vec::new();
        let mut sheet = Sheet::new(
            format!("watch, put {}", load.name()),
            &[
                ("nodes", args.spawn.to_string()),
                ("keys", args.keys.to_string()),
                ("value bytes", load.value_bytes.to_string()),
                ("seconds", load.measured.as_secs_f64().to_string()),
                ("connections of watches", args.watchers.to_string()),
            ],
        );
        for (name, runs) in rows {
            for run in runs {
                sheet.summary(&format!("puts, {name}"), run);
            }
            for (number, summary) in (1..).zip(runs) {
                if runs.len() > 1 {
                    table.row(&format!("{name}, run {number}"), summary.clone());
                }
            }
            if let Some(median) = Summary::of_runs(runs) {
                rates.push(median.rate);
                table.row(&format!("{name}, median"), median);
            }
        }
        let share = match rates[..] {
            [without, with] if without > 0.0 => {
                format!("{:.0} % of the rate without\n", 100.0 * with / without)
            }
            _ => String::new(),
        };
        show(format!("{table}{share}"))?;
        sheets.push(sheet);
    }
    sheets.push(fan_out(args, &cluster.members)?);
    drop(cluster);
    let _ = fs::remove_dir_all(&dir);
    keeping.finish(sheets)
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let doing = || "make a runtime".to_owned();
    tokio::runtime::Builder::new_current_thread().enable_all().build().doing(doing)
}

/// A watch of what comes next of all keys with this prefix.
fn watch(prefix: &str) -> Message {
    let mut span = Vec::new();
    Span::prefix(prefix.as_bytes().to_vec()).write(&mut span);
    // As the client asks for it.
    Message::Watch(Watch { from: 0, flags: Watch::PROGRESS, min_position: None, span: span.into() })
}

/// A connection with so many watches, each of which has been answered.
async fn open(
    address: &str,
    count: u32,
    prefix: impl Fn(u32) -> String,
    heard: &mut impl FnMut(Message),
) -> io::Result<Link> {
    let mut link = Link::open(address).await?;
    let mut open = 0;
    for number in 0..count {
        link.send(u64::from(number) + 1, &watch(&prefix(number)))?;
        open += 1;
        // So that neither side has to hold all of them.
        while open >= 1_000 || (open > 0 && number + 1 == count) {
            link.exchange().await?;
            while let Some((_, answer)) = link.next()? {
                match answer {
                    Message::WatchStarted(_) => open -= 1,
                    Message::Refused(refused) => return Err(io::Error::other(format!("{refused:?}"))),
                    other => heard(other),
                }
            }
        }
    }
    Ok(link)
}

/// Watches that nothing is written for, on a thread of their own.
struct Idle {
    stop: Arc<Notify>,
    thread: thread::JoinHandle<Result<(), Failure>>,
}

impl Idle {
    fn open(members: &Members, watches: u32, connections: u32) -> Result<Self, Failure> {
        let (ready, is_ready) = mpsc::channel();
        let stop = Arc::new(Notify::new());
        let (members, stopped) = (members.clone(), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let doing = || "hold watches".to_owned();
            LocalSet::new().block_on(&runtime()?, async move {
                let address = members.find_leader(Instant::now() + PATIENCE).await.doing(doing)?;
                let mut set = JoinSet::new();
                let mut left = watches;
                for connection in 0..connections {
                    let count = left / (connections - connection);
                    left -= count;
                    let prefix = move |number| format!("idle/{connection:04}/{number:06}/");
                    let mut link = open(&address, count, prefix, &mut drop).await.doing(doing)?;
                    set.spawn_local(async move {
                        loop {
                            link.exchange().await?;
                            while link.next()?.is_some() {}
                        }
                        #[expect(unreachable_code, reason = "says what the task is")]
                        io::Result::Ok(())
                    });
                }
                let _ = ready.send(());
                tokio::select! {
                    () = stopped.notified() => {}
                    Some(ended) = set.join_next() => ended.doing(doing)?.doing(doing)?,
                }
                Ok(())
            })
        });
        // If it ended instead, closing tells why.
        let _ = is_ready.recv();
        Ok(Self { stop, thread })
    }

    /// Ends them; an error if they had ended before.
    fn close(self) -> Result<(), Failure> {
        let Self { stop, thread } = self;
        stop.notify_one();
        let ended = thread.join().map_err(|_| "the thread ended by a panic".to_owned());
        ended.doing(|| "hold watches".to_owned())?
    }
}

/// Puts one at a time, each followed to the last of all watches.
fn fan_out(args: &WatchArgs, members: &Members) -> Result<Sheet, Failure> {
    let doing = || "follow puts to the last event".to_owned();
    let mut latencies = histogram()?;
    let began = Instant::now();
    LocalSet::new().block_on(&runtime()?, async {
        let address = members.find_leader(began + PATIENCE).await.doing(doing)?;
        let (told, all_told) = (Rc::new(Cell::new(0_u64)), Rc::new(Notify::new()));
        let last = Rc::new(RefCell::new(None));
        let mut set = JoinSet::new();
        let mut left = args.watches;
        for connection in 0..args.watchers {
            let count = left / (args.watchers - connection);
            left -= count;
            let mut link = open(&address, count, |_| "fan/".to_owned(), &mut drop).await.doing(doing)?;
            let (told, all_told, last) = (Rc::clone(&told), Rc::clone(&all_told), Rc::clone(&last));
            let wanted = u64::from(args.watches);
            set.spawn_local(async move {
                loop {
                    link.exchange().await?;
                    let mut events = 0;
                    while let Some((_, message)) = link.next()? {
                        if let Message::WatchEvents(message) = message {
                            events += message.events.len() as u64;
                        }
                    }
                    told.set(told.get() + events);
                    if events > 0 && told.get() % wanted == 0 {
                        *last.borrow_mut() = Some(Instant::now());
                        all_told.notify_one();
                    }
                }
                #[expect(unreachable_code, reason = "says what the task is")]
                io::Result::Ok(())
            });
        }
        let mut writer = Link::open(&address).await.doing(doing)?;
        let value = Bytes::from(vec![0xA5; args.load.value_bytes as usize]);
        let put = Command::Put(Put { key: "fan/key".into(), value, ..Put::default() });
        let submit = Message::Submit(Submit { timeout_ms: 0, request: Request::from(put).encode() });
        for _ in 0..args.events {
            let sent = Instant::now();
            calls::verdict(writer.ask(&submit).await.doing(doing)?)
                .map_err(|undone| format!("{undone:?}"))
                .doing(doing)?;
            tokio::select! {
                waited = tokio::time::timeout(PATIENCE, all_told.notified()) => waited.doing(doing)?,
                Some(ended) = set.join_next() => ended.doing(doing)?.doing(doing)?,
            }
            let last = last.borrow_mut().take().unwrap_or_else(Instant::now);
            latencies.saturating_record((last - sent).as_nanos() as u64);
        }
        Ok(())
    })?;
    let summary = Summary::of_histogram(&latencies, began.elapsed(), 1);
    let mut table = Table::new("one put after the other", "puts/s");
    table.row("put to the last event", summary.clone());
    show(format!(
        "{table}{} watches over {} connections, from a put to the last event ({} puts)\n",
        args.watches,
        args.watchers,
        latencies.len()
    ))?;
    let asked = [
        ("nodes", args.spawn.to_string()),
        ("watches", args.watches.to_string()),
        ("connections of watches", args.watchers.to_string()),
        ("puts", args.events.to_string()),
    ];
    let mut sheet = Sheet::new("watch, one put to the last event", &asked);
    sheet.latencies("put to the last event", &summary);
    Ok(sheet)
}
