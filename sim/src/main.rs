//! The command line of the simulators.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clap::{Args, Parser, Subcommand};
use holdfast_machine::Numbered;
use holdfast_raft::Bug;
use holdfast_sim::cluster;
use holdfast_sim::drive::{Simulation, Tally, hunt as seek, run, run_all, story};
use holdfast_sim::model::scenarios::{self, DEEP, SCENARIOS, Scenario};
use holdfast_sim::node;
use holdfast_sim::node::drive::{Nodes, SHOWN};
use holdfast_sim::plants::Planted;
use holdfast_sim::raft::drive::Cores;
use holdfast_sim::wal::breaks::{Hunt, NAMES, hunt, proofs};
use holdfast_sim::wal::listing::listing;
use holdfast_sim::wal::proof::{Extent, Proof};
use holdfast_sim::wal::tally::Wrong;
use holdfast_wal::AsDesigned;

/// Threads that work. Results do not depend on it.
const THREADS: usize = 2;

/// Within so many seeds a bug of the core has to be found.
const CORE_SEEDS_MAX: u64 = 10_000;

/// And one of whole nodes.
const NODE_SEEDS_MAX: u64 = 200;

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
    Raft(Seeds),
    /// Runs whole nodes with disks, network, clients and an operator in simulated time, each seed twice.
    Node(Seeds),
    /// Cuts links for good, in shapes in which others had no leader for hours, and measures how soon somebody leads and stays.
    Topologies {
        /// Seeds of each shape and moment.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
        seeds: u64,
    },
    /// Does every damage that a disk can do to a cluster at rest, one at a time and several, and lets it go on from there.
    Atlas {
        /// Names the load.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Every member of several loads.
        #[arg(long)]
        all: bool,
    },
    /// Explores every behaviour of a few cores within small bounds, to the fixpoint.
    Model {
        /// Only this scenario; `deep` is one that takes hours and many gigabytes.
        #[arg(long, value_name = "NAME", value_parser = scenario)]
        scenario: Option<Scenario>,
        /// States after which a scenario is given up.
        #[arg(long, default_value_t = 20_000_000, value_parser = clap::value_parser!(u64).range(1..))]
        states_max: u64,
    },
    /// Runs real processes under real faults, and judges what clients saw.
    Cluster(cluster::Arguments),
    /// A node of such a cluster; started by this program.
    #[command(hide = true, name = cluster::process::SUBCOMMAND)]
    ClusterNode {
        /// What the command line of the server is given.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Plants historical bugs in the Raft core and in whole nodes, one at a time, and counts the seeds until a run finds them.
    Museum {
        /// The name of a bug of the core, `part:name` for one of a whole node, or `all`.
        #[arg(long, default_value = "all")]
        bug: String,
        /// Seeds within which a bug has to be found; 10,000 for the core and 200 for whole nodes if nothing is said.
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
        seeds: Option<u64>,
    },
}

/// Which seeds of a simulator are run, and how.
#[derive(Args, Debug)]
struct Seeds {
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
    /// With a rule left out, as `museum` does.
    #[arg(long, value_name = "NAME", requires = "seed")]
    bug: Option<String>,
    /// Prints how often each probe was reached, and what else is counted.
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

/// The rule of whole nodes of this name.
fn left_out(name: &str) -> Result<Planted, String> {
    let names = || Planted::all().iter().map(Planted::to_string).collect::<Vec<_>>().join(", ");
    Planted::named(name).ok_or_else(|| format!("there is no bug of this name; there are: {}", names()))
}

/// The rule of the core of this name.
fn planted(name: &str) -> Result<Planted, String> {
    let names = || Bug::ALL.iter().map(|bug| bug.name()).collect::<Vec<_>>().join(", ");
    Planted::in_core(name).ok_or_else(|| format!("there is no bug of this name; there are: {}", names()))
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
        What::Raft(seeds) => simulate::<Cores>(&seeds, planted),
        What::Node(seeds) => simulate::<Nodes>(&seeds, left_out),
        What::Topologies { seeds } => topologies(seeds),
        What::Atlas { seed, all } => atlas(seed, all),
        What::Model { scenario, states_max } => model(scenario, states_max),
        What::Cluster(arguments) => cluster::run(&arguments),
        What::ClusterNode { arguments } => cluster::process::serve(arguments),
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

fn simulate<S: Simulation>(seeds: &Seeds, named: fn(&str) -> Result<Planted, String>) -> ExitCode {
    let bug = match seeds.bug.as_deref().map(named).transpose() {
        Ok(bug) => bug,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    without_panic_messages();
    match seeds.seed {
        Some(seed) => simulate_one::<S>(seed, bug, seeds),
        None => simulate_all::<S>(seeds),
    }
}

fn simulate_one<S: Simulation>(seed: u64, bug: Option<Planted>, seeds: &Seeds) -> ExitCode {
    let outcome = run::<S>(seed, bug, false);
    if seeds.trace || outcome.violation.is_some() {
        print!("{}", story::<S>(&outcome, bug, seeds.trace));
    }
    if seeds.coverage {
        print!("{}", outcome.tally.coverage());
    }
    println!("seed={seed} hash={:016x} {}", outcome.hash, S::details(&outcome.tally));
    if outcome.violation.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn simulate_all<S: Simulation>(seeds: &Seeds) -> ExitCode {
    let clock = Instant::now();
    let start = seeds.from_commit.unwrap_or(seeds.start);
    println!("start={start}");
    let report = run_all::<S>(start, seeds.seeds, THREADS);
    for failed in &report.failed {
        println!("{}", story::<S>(failed, None, false));
    }
    for seed in &report.nondeterministic {
        println!("NONDETERMINISTIC seed {seed}");
    }
    if seeds.coverage {
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

fn topologies(seeds: u64) -> ExitCode {
    let clock = Instant::now();
    let lines = node::topologies::run_all(seeds, THREADS);
    for line in &lines {
        println!("{line}");
    }
    println!("seconds={:.1}", clock.elapsed().as_secs_f64());
    println!("{}", node::topologies::summary(&lines));
    let good = lines.iter().all(node::topologies::Line::is_good);
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn atlas(seed: u64, all: bool) -> ExitCode {
    without_panic_messages();
    let clock = Instant::now();
    let extent = if all { node::atlas::Extent::All } else { node::atlas::Extent::Some };
    let report = match node::atlas::run(seed, extent, THREADS) {
        Ok(report) => report,
        Err(why) => {
            println!("VIOLATION without any damage: {why}");
            return ExitCode::FAILURE;
        }
    };
    for wrong in &report.wrong {
        println!("WRONG {wrong}");
    }
    print!("{report}");
    println!("seconds={:.1}", clock.elapsed().as_secs_f64());
    println!("{}", report.summary());
    if report.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Where a rule is left out: in the core alone, or in whole nodes.
#[derive(Clone, Copy, Debug)]
enum Exhibit {
    Core(Planted),
    Node(Planted),
}

fn exhibits(name: &str) -> Result<Vec<Exhibit>, String> {
    match name {
        "all" => {
            let cores = Bug::ALL.iter().map(|bug| Exhibit::Core(Planted::Raft(*bug)));
            Ok(cores.chain(SHOWN.iter().map(|bug| Exhibit::Node(*bug))).collect())
        }
        _ if name.contains(':') => Ok(vec![Exhibit::Node(left_out(name)?)]),
        _ => Ok(vec![Exhibit::Core(planted(name)?)]),
    }
}

/// What became of one bug: the line of it, whether it was found, and after how many seeds.
fn hunt_exhibit(exhibit: Exhibit, seeds: Option<u64>) -> (String, bool, u64) {
    fn of<S: Simulation>(bug: Planted, seeds_max: u64) -> (String, bool, u64) {
        let hunt = seek::<S>(bug, seeds_max);
        (hunt.line(), hunt.found.is_some(), hunt.seeds)
    }
    match exhibit {
        Exhibit::Core(bug) => of::<Cores>(bug, seeds.unwrap_or(CORE_SEEDS_MAX)),
        Exhibit::Node(bug) => of::<Nodes>(bug, seeds.unwrap_or(NODE_SEEDS_MAX)),
    }
}

fn visit(name: &str, seeds: Option<u64>) -> ExitCode {
    let exhibits = match exhibits(name) {
        Ok(exhibits) => exhibits,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    without_panic_messages();
    let next = AtomicUsize::new(0);
    let hunts: Mutex<BTreeMap<usize, (String, bool, u64)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(exhibit) = exhibits.get(at) else { break };
                    let hunt = hunt_exhibit(*exhibit, seeds);
                    hunts.lock().unwrap_or_else(PoisonError::into_inner).insert(at, hunt);
                }
            });
        }
    });
    let hunts = hunts.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (line, ..) in hunts.values() {
        println!("{line}");
    }
    let found = hunts.values().filter(|(_, found, _)| *found).count();
    let mut seeds: Vec<u64> = hunts.values().map(|(.., seeds)| *seeds).collect();
    seeds.sort_unstable();
    let median = seeds.get(seeds.len() / 2).copied().unwrap_or_default();
    println!("median_seeds={median}");
    println!("planted={} found={found}", hunts.len());
    if found == hunts.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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
