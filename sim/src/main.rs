//! The command line of the simulators.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clap::{Args, Parser, Subcommand};
use holdfast_machine::Numbered;
use holdfast_raft::Bug;
use holdfast_sim::model::scenarios::{self, DEEP, SCENARIOS, Scenario};
use holdfast_sim::raft::drive::{run_all, story};
use holdfast_sim::raft::museum;
use holdfast_sim::wal::breaks::{Hunt, NAMES, hunt, proofs};
use holdfast_sim::wal::listing::listing;
use holdfast_sim::wal::proof::{Extent, Proof};
use holdfast_sim::wal::tally::Wrong;
use holdfast_wal::AsDesigned;

/// Threads that work. Results do not depend on it.
const THREADS: usize = 2;

/// Simulators of holdfast.
#[derive(Debug, Parser)]
#[command(name = "holdfast-sim")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Proves the write-ahead log: enumerates crashes, failures and damage, and compares what comes back with a model.
    Wal {
        /// Only a part, in seconds.
        #[arg(long)]
        quick: bool,
        /// Leaves out one rule of the log, and looks for the first wrong result: a name, or `all`.
        #[arg(long = "break", value_name = "NAME")]
        planted: Option<String>,
    },
    /// Runs whole clusters of the Raft core in simulated time, each seed twice, and judges them after every event.
    Raft(RaftArguments),
    /// Explores every behaviour of a few cores within small bounds, to the fixpoint.
    Model {
        /// Only this scenario; `deep` is one that takes hours and many gigabytes.
        #[arg(long, value_name = "NAME", value_parser = scenario)]
        scenario: Option<Scenario>,
        /// States after which a scenario is given up.
        #[arg(long, default_value_t = 20_000_000, value_parser = clap::value_parser!(u64).range(1..))]
        states_max: u64,
    },
    /// Plants historical bugs in the Raft core, one at a time, and counts the seeds until a run finds them.
    Museum {
        /// The name of a bug, or `all`.
        #[arg(long, default_value = "all")]
        bug: String,
        /// Seeds within which a bug has to be found.
        #[arg(long, default_value_t = museum::SEEDS_MAX, value_parser = clap::value_parser!(u64).range(1..))]
        seeds: u64,
    },
}

#[derive(Args, Debug)]
struct RaftArguments {
    /// How many seeds.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    start: u64,
    /// The first of them follows from this commit id, so that every commit explores something new.
    #[arg(long, value_name = "HEX", value_parser = start_of_commit, conflicts_with = "start")]
    from_commit: Option<u64>,
    /// Only this seed, once.
    #[arg(long, conflicts_with_all = ["seeds", "start", "from_commit"])]
    seed: Option<u64>,
    /// Prints everything that happens in it.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// With a bug planted, as `museum` does.
    #[arg(long, value_name = "NAME", value_parser = planted, requires = "seed")]
    bug: Option<Bug>,
    /// Prints how often each probe and each edge was reached.
    #[arg(long)]
    coverage: bool,
}

/// The first seed that a commit id names: its first 12 digits, times a million, so that runs do not overlap.
fn start_of_commit(hex: &str) -> Result<u64, String> {
    let digits = hex.get(..12.min(hex.len())).unwrap_or_default();
    let number = u64::from_str_radix(digits, 16).map_err(|_| "a commit id is hexadecimal".to_owned())?;
    if hex.len() < 7 {
        Err("a commit id has at least 7 digits".into())
    } else {
        Ok((number % (1 << 40)) * 1_000_000)
    }
}

fn planted(name: &str) -> Result<Bug, String> {
    let names = || Bug::ALL.iter().map(|bug| bug.name()).collect::<Vec<_>>().join(", ");
    museum::named(name).ok_or_else(|| format!("there is no bug of this name; there are: {}", names()))
}

fn main() -> ExitCode {
    match Arguments::parse().what {
        What::Wal { quick, planted } => {
            let extent = if quick { Extent::Quick } else { Extent::Whole };
            match planted.as_deref() {
                None => prove(extent),
                Some("all") => hunt_all(extent),
                Some(name) => hunt_one(name, extent),
            }
        }
        What::Raft(RaftArguments { seed: Some(seed), trace, bug, .. }) => raft_seed(seed, trace, bug),
        What::Raft(arguments) => raft(&arguments),
        What::Model { scenario, states_max } => model(scenario, states_max),
        What::Museum { bug, seeds } => visit(&bug, seeds),
    }
}

fn scenario(name: &str) -> Result<Scenario, String> {
    let mut all = SCENARIOS.iter().chain([&DEEP]);
    let names = || SCENARIOS.iter().chain([&DEEP]).map(|one| one.name).collect::<Vec<_>>().join(", ");
    let found = all.find(|one| one.name == name).copied();
    found.ok_or_else(|| format!("there is no scenario of this name; there are: {}", names()))
}

fn model(only: Option<Scenario>, states_max: u64) -> ExitCode {
    without_panic_messages();
    let scenarios = only.map_or(SCENARIOS.to_vec(), |one| vec![one]);
    let clock = Instant::now();
    let report = scenarios::Report::of(&scenarios, states_max, THREADS, |line| println!("{line}"));
    println!("seconds={:.1}", clock.elapsed().as_secs_f64());
    println!("{}", report.summary());
    if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn raft_seed(seed: u64, trace: bool, bug: Option<Bug>) -> ExitCode {
    without_panic_messages();
    let outcome = holdfast_sim::raft::drive::run(seed, bug, false);
    if trace || outcome.violation.is_some() {
        print!("{}", story(&outcome, bug, trace));
    }
    println!("seed={seed} events={} hash={:016x}", outcome.tally.events, outcome.hash);
    if outcome.violation.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn raft(arguments: &RaftArguments) -> ExitCode {
    without_panic_messages();
    let clock = Instant::now();
    let start = arguments.from_commit.unwrap_or(arguments.start);
    println!("start={start}");
    let report = run_all(start, arguments.seeds, THREADS);
    for failed in &report.failed {
        println!("{}", story(failed, None, false));
    }
    for seed in &report.nondeterministic {
        println!("NONDETERMINISTIC seed {seed}");
    }
    if arguments.coverage {
        print!("{}", report.tally.coverage());
    }
    let missing = report.tally.missing();
    if !missing.is_empty() {
        println!("NEVER REACHED: {}", missing.join(", "));
    }
    println!("{} seconds={:.1}", report.details(), clock.elapsed().as_secs_f64());
    println!("{}", report.summary());
    if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn visit(name: &str, seeds: u64) -> ExitCode {
    let bugs = match (name, museum::named(name)) {
        ("all", _) => Bug::ALL.to_vec(),
        (_, Some(bug)) => vec![bug],
        (_, None) => {
            eprintln!("{}", planted(name).err().unwrap_or_default());
            return ExitCode::from(2);
        }
    };
    without_panic_messages();
    let next = AtomicUsize::new(0);
    let hunts: Mutex<Vec<museum::Hunt>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(bug) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let hunt = museum::hunt(*bug, seeds);
                    hunts.lock().unwrap_or_else(PoisonError::into_inner).push(hunt);
                }
            });
        }
    });
    let mut hunts = hunts.into_inner().unwrap_or_else(PoisonError::into_inner);
    hunts.sort_by_key(|hunt| hunt.bug);
    for hunt in &hunts {
        println!("{}", museum::line(hunt));
    }
    println!("{}", museum::summary(&hunts));
    if hunts.iter().all(|hunt| hunt.found.is_some()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn prove(extent: Extent) -> ExitCode {
    let clock = Instant::now();
    let outcome = Proof::new(extent).run_all::<AsDesigned>(THREADS);
    for wrong in &outcome.all.wrong {
        show(wrong);
    }
    print!("{}", outcome.report());
    println!("{} seconds={:.1}", outcome.summary(), clock.elapsed().as_secs_f64());
    if outcome.all.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn show(wrong: &Wrong) {
    println!("WRONG {}\n  {}\n{}", wrong.story, wrong.what, listing(&wrong.image));
}

/// A log with a fault may panic anywhere. What it says is part of the result, and is not wanted on the terminal.
fn without_panic_messages() {
    std::panic::set_hook(Box::new(|_| {}));
}

fn hunt_one(name: &str, extent: Extent) -> ExitCode {
    without_panic_messages();
    match hunt(name, &proofs(extent)) {
        None => {
            eprintln!("there is no fault named {name}; there are: all, {}", NAMES.join(", "));
            ExitCode::from(2)
        }
        Some(Hunt { images, caught: Some(wrong), .. }) => {
            show(&wrong);
            println!("{name}: caught after {images} images");
            ExitCode::FAILURE
        }
        Some(Hunt { images, caught: None, .. }) => {
            println!("{name}: NOT caught by {images} images");
            ExitCode::SUCCESS
        }
    }
}

fn hunt_all(extent: Extent) -> ExitCode {
    without_panic_messages();
    let next = AtomicUsize::new(0);
    let proofs = proofs(extent);
    let hunts: Mutex<Vec<Hunt>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(name) = NAMES.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let done = hunt(name, &proofs);
                    hunts.lock().unwrap_or_else(PoisonError::into_inner).extend(done);
                }
            });
        }
    });
    let mut hunts = hunts.into_inner().unwrap_or_else(PoisonError::into_inner);
    hunts.sort_by_key(|hunt| NAMES.iter().position(|name| *name == hunt.name));
    for Hunt { name, images, caught } in &hunts {
        let story = caught.as_ref().map_or("", |wrong| wrong.story.lines().next().unwrap_or(""));
        let told = if caught.is_some() { "caught" } else { "NOT CAUGHT" };
        println!("{name:<22} {told:<10} images={images:<8} {story}");
    }
    let caught = hunts.iter().filter(|hunt| hunt.caught.is_some()).count();
    println!("breaks={} caught={caught}", hunts.len());
    if caught == NAMES.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
