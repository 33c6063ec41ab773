//! The command line of the simulators.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clap::{Parser, Subcommand};
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
    }
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
