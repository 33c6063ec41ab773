//! `holdfast-bench`: what the machine can do, and how much of it holdfast uses.
//!
//! An absolute figure says as much about the machine as about the program. So there is a limit beside each result, taken in
//! the same run on the same disk: [`skeleton`]. Every run is a [`load::Load`] in a window after a warm-up, its answers in
//! a histogram, and the use of all processes in the same window ([`measure`]); [`report`] shows them.
//!
//! Exit codes: 0 done, 1 no result, 2 wrong usage.

#![forbid(unsafe_code)]

mod child;
mod cluster;
mod disk;
mod failure;
mod kv;
mod leases;
mod limits;
mod link;
mod load;
mod measure;
mod network;
mod process;
mod report;
mod skeleton;
mod snapshot;
mod watch;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::cluster::Serve;
use crate::disk::Scratch;
use crate::failure::Failure;
use crate::kv::{Kind, KvArgs};
use crate::leases::LeasesArgs;
use crate::load::Load;
use crate::snapshot::SnapshotArgs;
use crate::watch::WatchArgs;

/// Measures what this machine can do, and how much of it holdfast uses.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Where files are made: a directory on the disk that is to be measured [default: the one for temporary files].
    #[arg(long, global = true)]
    dir: Option<PathBuf>,
    /// Runs a build that is not optimised; its figures mean nothing.
    #[arg(long, global = true, hide = true)]
    allow_debug: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What this machine can do: fdatasync, loopback TCP, and three processes that replicate without Raft.
    Limits(LoadArgs),
    /// Writes of single keys.
    Put(KvArgs),
    /// Linearizable reads of single keys.
    Get(KvArgs),
    /// What watches cost writes that do not concern them, and how long a change takes to the last of those it does.
    Watch(WatchArgs),
    /// What leases that are kept cost writes, and whether one ends early when the leader is killed.
    Leases(LeasesArgs),
    /// What a snapshot costs writes while it is taken, and how long a node takes to come back by one.
    Snapshot(SnapshotArgs),
    /// A process of the skeleton; started by this program.
    #[command(hide = true)]
    Skeleton {
        #[command(subcommand)]
        node: skeleton::Node,
    },
    /// A node of a cluster; started by this program.
    #[command(hide = true)]
    Serve(Serve),
}

/// Without `--connections` and `--in-flight`: 1 × 1, 8 × 8, 8 × 32, 8 × 128.
#[derive(Debug, Args)]
struct LoadArgs {
    /// Connections of the load.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: Option<u32>,
    /// Operations outstanding on each connection.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    in_flight: Option<u32>,
    /// How long each figure is measured.
    #[arg(long, default_value = "5", value_parser = seconds)]
    seconds: Duration,
    /// How long each load runs before it is measured.
    #[arg(long, default_value = "1", value_parser = seconds)]
    warmup: Duration,
    /// Bytes of each value.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(0..=1 << 20))]
    value_bytes: u32,
    /// Ends each measurement after so many operations, and leaves the warm-up out.
    #[arg(long, hide = true)]
    operations: Option<u64>,
}

impl LoadArgs {
    /// One after the other.
    fn loads(&self) -> Vec<Load> {
        let shapes = match (self.connections, self.in_flight) {
            (None, None) => vec![(1, 1), (8, 8), (8, 32), (8, 128)],
            (connections, in_flight) => vec![(connections.unwrap_or(1), in_flight.unwrap_or(1))],
        };
        let load = |(connections, in_flight)| Load {
            connections,
            in_flight,
            value_bytes: self.value_bytes,
            warmup: if self.operations.is_some() { Duration::ZERO } else { self.warmup },
            measured: self.seconds,
            operations: self.operations,
        };
        shapes.into_iter().map(load).collect()
    }
}

/// A number of seconds up to a day, with a fraction or without.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if (0.0..=86_400.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("a number of seconds from 0 to 86400 is wanted".to_owned())
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<(), Failure> {
    let dir = cli.dir.as_deref();
    let scratch = || {
        refuse_debug_builds(cli.allow_debug)?;
        Scratch::new(dir)
    };
    match &cli.command {
        Command::Limits(args) => limits::run(&args.loads(), &scratch()?),
        Command::Put(args) => kv::run(Kind::Put, args, &scratch()?),
        Command::Get(args) => kv::run(Kind::Get, args, &scratch()?),
        Command::Watch(args) => watch::run(args, &scratch()?),
        Command::Leases(args) => leases::run(args, &scratch()?),
        Command::Snapshot(args) => snapshot::run(args, &scratch()?),
        Command::Skeleton { node } => node.run(dir.unwrap_or(Path::new("."))),
        Command::Serve(serve) => serve.run(dir.unwrap_or(Path::new("."))),
    }
}

fn refuse_debug_builds(allowed: bool) -> Result<(), Failure> {
    if cfg!(debug_assertions) && !allowed {
        let why = "this build is not optimised, so its figures mean nothing; build it with --release";
        return Err(Failure::new("measure", why));
    }
    Ok(())
}
