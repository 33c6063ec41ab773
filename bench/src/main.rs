//! `holdfast-bench`: what the machine can do, and how much of it holdfast uses.
//!
//! An absolute figure says as much about the machine as about the program. So there is a limit beside each result, taken in
//! the same run on the same disk: [`skeleton`]. Every run is a [`load::Load`] in a window after a warm-up, its answers in
//! a histogram, and the use of all processes in the same window ([`measure`]); [`report`] shows them.
//!
//! Exit codes: 0 done, 1 no result, 2 wrong usage, 3 a point is void: its schedule was missed, 4 of
//! `diff` and `gate`: something is worse than it was.

#![forbid(unsafe_code)]

mod calls;
mod child;
mod cluster;
mod diff;
mod disk;
mod failover;
mod failure;
mod figures;
mod fill;
mod gate;
mod hdr;
mod kv;
mod leases;
mod limits;
mod link;
mod load;
mod lock;
mod measure;
mod memory;
mod network;
mod noise;
mod output;
mod pace;
mod page;
mod process;
mod recovery;
mod report;
mod result;
mod skeleton;
mod snapshot;
mod svg;
mod tape;
mod timer;
mod until;
mod wal;
mod watch;
mod watching;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Parser, Subcommand};

use crate::cluster::Serve;
use crate::diff::DiffArgs;
use crate::disk::Scratch;
use crate::failover::FailoverArgs;
use crate::failure::Failure;
use crate::gate::GateArgs;
use crate::kv::{Kind, KvArgs, MixedArgs};
use crate::leases::LeasesArgs;
use crate::load::Load;
use crate::lock::LockArgs;
use crate::memory::MemoryArgs;
use crate::pace::{Arrivals, Pace};
use crate::recovery::RecoveryArgs;
use crate::snapshot::SnapshotArgs;
use crate::wal::WalArgs;
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
    #[command(before_help = "Examples:
  holdfast-bench limits --dir /data
  holdfast-bench limits --connections 8 --in-flight 8 --seconds 2")]
    Limits(LoadArgs),
    /// Writes of single keys.
    #[command(before_help = "Examples:
  holdfast-bench put --spawn 3 --connections 8 --in-flight 8 --runs 3 --dir /data --out before
  holdfast-bench put --spawn 3 --rate 5000 --arrivals poisson --seed 7
  holdfast-bench put --endpoints 10.0.0.1:7400,10.0.0.2:7400,10.0.0.3:7400")]
    Put(KvArgs),
    /// Linearizable reads of single keys.
    #[command(before_help = "Examples:
  holdfast-bench get --spawn 3
  holdfast-bench get --spawn 3 --connections 8 --in-flight 8 --runs 3 --out gets")]
    Get(KvArgs),
    /// Reads and writes of single keys, as often as it says; latencies of each kind apart.
    Mixed(MixedArgs),
    /// What watches cost writes that do not concern them, and how long a change takes to the last of those it does.
    #[command(before_help = "Examples:
  holdfast-bench watch --connections 8 --in-flight 8
  holdfast-bench watch --watches 1000 --watchers 100 --events 1000 --out watch")]
    Watch(WatchArgs),
    /// What leases that are kept cost writes, and whether one ends early when the leader is killed.
    #[command(
        visible_alias = "lease",
        before_help = "Examples:
  holdfast-bench leases --connections 8 --in-flight 8
  holdfast-bench leases --leases 1000 --ttl 6 --every 2 --out leases"
    )]
    Leases(LeasesArgs),
    /// How often locks are acquired and released, and how fast one goes from one holder to the next.
    Lock(LockArgs),
    /// What a snapshot costs writes while it is taken, and how long a node takes to come back by one.
    #[command(before_help = "Examples:
  holdfast-bench snapshot --dir /data
  holdfast-bench snapshot --fill 100000 --snapshot-entries 50000 --snapshots 5 --out snapshot")]
    Snapshot(SnapshotArgs),
    /// The log of a node alone, beside what the disk can do.
    Wal(WalArgs),
    /// For how long nobody is served when the leader is killed, hangs or is stopped, and that nothing is lost.
    Failover(FailoverArgs),
    /// For how long a cluster that is started again serves nobody, and how long one node of it takes.
    Recovery(RecoveryArgs),
    /// What a key takes in memory beside its own bytes and those of its value.
    Memory(MemoryArgs),
    /// Compares two results, and says which differences exceed the noise; ends with 4 if something is worse.
    Diff(DiffArgs),
    /// A fixed set of loads as ratios to the skeleton of the same run, compared with those of before; ends with 4 if something is
    /// worse.
    Gate(GateArgs),
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

/// Connections of an open loop if nobody says another number, and what may be outstanding on each.
const OPEN: (u32, u32) = (8, 1024);

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
    /// One after the other, all of them open if there is a pace.
    fn paced(&self, pace: Option<Pace>) -> Vec<Load> {
        let (connections, in_flight) = OPEN;
        match pace {
            None => self.loads(),
            Some(_) => {
                let first = self.loads().into_iter().next();
                let connections = self.connections.unwrap_or(connections);
                let in_flight = self.in_flight.unwrap_or(in_flight);
                first.map(|load| Load { connections, in_flight, pace, ..load }).into_iter().collect()
            }
        }
    }

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
            pace: None,
        };
        shapes.into_iter().map(load).collect()
    }
}

/// Without `--rate` the loop is closed.
#[derive(Debug, Args)]
struct PaceArgs {
    /// An open loop: so many operations a second, of all connections together. Latency counts from the intended time of each.
    /// Without --connections and --in-flight: 8 × 1024; --in-flight bounds what is outstanding.
    #[arg(long, value_name = "PER SECOND", value_parser = rate)]
    rate: Option<f64>,
    /// How the operations of an open loop follow one another.
    #[arg(long, value_enum, default_value_t = Arrivals::Constant, requires = "rate")]
    arrivals: Arrivals,
    /// What chance begins with; the report names it [default: of the clock].
    #[arg(long, requires = "rate")]
    seed: Option<u64>,
}

impl PaceArgs {
    fn pace(&self) -> Option<Pace> {
        // 32 bits are enough, and easy to copy.
        let clock = || {
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| u64::from(time.as_nanos() as u32))
        };
        let seed = self.seed.unwrap_or_else(clock);
        self.rate.map(|rate| Pace { rate, arrivals: self.arrivals, seed })
    }
}

/// A rate that a schedule can have.
fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number of operations a second".to_owned())?;
    if (1.0..=10_000_000.0).contains(&rate) {
        Ok(rate)
    } else {
        Err("a number of operations a second from 1 to 10000000 is wanted".to_owned())
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
        Ok(end) => end.into(),
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<End, Failure> {
    let dir = cli.dir.as_deref();
    let scratch = || {
        refuse_debug_builds(cli.allow_debug)?;
        Scratch::new(dir)
    };
    match &cli.command {
        Command::Put(args) => return kv::run(Kind::Put, args, &scratch()?),
        Command::Get(args) => return kv::run(Kind::Get, args, &scratch()?),
        Command::Mixed(args) => return kv::run(Kind::Mixed(args.reads), &args.kv, &scratch()?),
        Command::Gate(args) => return gate::run(args, &scratch()?),
        // Nothing is measured.
        Command::Diff(args) => return diff::run(args),
        Command::Limits(args) => limits::run(&args.loads(), &scratch()?),
        Command::Watch(args) => watch::run(args, &scratch()?),
        Command::Leases(args) => leases::run(args, &scratch()?),
        Command::Wal(args) => wal::run(args, &scratch()?),
        Command::Failover(args) => failover::run(args, &scratch()?),
        Command::Recovery(args) => recovery::run(args, &scratch()?),
        Command::Memory(args) => memory::run(args, &scratch()?),
        Command::Lock(args) => lock::run(args, &scratch()?),
        Command::Snapshot(args) => snapshot::run(args, &scratch()?),
        Command::Skeleton { node } => node.run(dir.unwrap_or(Path::new("."))),
        Command::Serve(serve) => serve.run(dir.unwrap_or(Path::new("."))),
    }?;
    Ok(End::Done)
}

/// How a command ends that has a result. Numbers are only ever added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// All is well.
    Done = 0,
    /// A schedule was missed: the figures are not those of the rate that was asked for.
    Void = 3,
    /// Of `diff` and `gate`: something is worse than it was, by more than noise.
    Worse = 4,
}

impl From<End> for ExitCode {
    fn from(end: End) -> Self {
        Self::from(end as u8)
    }
}

fn refuse_debug_builds(allowed: bool) -> Result<(), Failure> {
    if cfg!(debug_assertions) && !allowed {
        let why = "this build is not optimised, so its figures mean nothing; build it with --release";
        return Err(Failure::new("measure", why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;

    /// What the figures are, and how to come by them.
    const PAGE: &str = concat!(include_str!("../../docs/bench.md"), include_str!("../../docs/measuring.md"));

    /// What stands in backticks and looks like a flag; what is between fences is for a shell.
    fn flags_of_the_page() -> BTreeSet<String> {
        let prose: String = PAGE.split("```").step_by(2).collect();
        let spans = prose.split('`').skip(1).step_by(2).flat_map(str::split_whitespace);
        let flags = spans.filter_map(|word| word.strip_prefix("--"));
        flags.map(|flag| flag.split('=').next().unwrap_or(flag).to_owned()).collect()
    }

    #[test]
    fn the_page_names_every_command_and_every_code_and_no_flag_that_there_is_not() {
        let command = Cli::command();
        let visible = || command.get_subcommands().filter(|command| !command.is_hide_set());
        for command in visible() {
            assert!(PAGE.contains(&format!("`{}`", command.get_name())), "{}", command.get_name());
        }
        let all = visible().chain([&command]).flat_map(clap::Command::get_arguments);
        let all: BTreeSet<String> = all.filter_map(|flag| flag.get_long().map(str::to_owned)).collect();
        for flag in flags_of_the_page() {
            assert!(all.contains(&flag) || flag == "help", "--{flag}");
        }
        for end in [End::Done, End::Void, End::Worse] {
            assert!(PAGE.contains(&format!("\n| {} | ", end as u8)), "{end:?}");
        }
    }

    #[test]
    fn the_help_of_every_command_begins_with_examples_that_can_be_given() {
        let command = Cli::command();
        for shown in command.get_subcommands().filter(|shown| !shown.is_hide_set()) {
            let name = shown.get_name();
            let examples = shown.get_before_help().map(ToString::to_string).unwrap_or_default();
            let lines: Vec<&str> = examples.lines().skip(1).map(str::trim).collect();
            assert!(examples.starts_with("Examples:\n") && !lines.is_empty(), "{name}");
            for line in lines {
                let words: Vec<&str> = line.split(' ').collect();
                assert_eq!(words[..2], ["holdfast-bench", name], "{line}");
                let parsed = Cli::try_parse_from(&words);
                assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
            }
        }
    }

    #[test]
    fn every_command_of_the_pages_can_be_given() {
        let fenced = PAGE.split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
        let lines =
            fenced.flat_map(str::lines).filter(|line| line.starts_with("target/release/holdfast-bench"));
        let mut count = 0;
        for line in lines {
            let parsed = Cli::try_parse_from(line.split(' '));
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
            count += 1;
        }
        assert!(count >= 5, "{count}");
    }

    #[test]
    fn the_page_names_every_flag_of_puts_that_is_not_for_tests() {
        let command = Cli::command();
        let put = command.find_subcommand("put").unwrap();
        let named = flags_of_the_page();
        let fenced = |flag: &str| PAGE.contains(&format!("--{flag} "));
        for flag in put.get_arguments().filter(|flag| !flag.is_hide_set()).filter_map(clap::Arg::get_long) {
            assert!(named.contains(flag) || fenced(flag), "--{flag}");
        }
    }
}
