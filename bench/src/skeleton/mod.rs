//! The practical limit: three processes that do what a replicated log cannot do without, and nothing else.
//!
//! Real TCP on loopback, a real `fdatasync` of each node's own file, an answer when two of three are durable. There are
//! no terms, no elections, no checksums, no apply, no errors but the end. So what a cluster on this machine achieves
//! is at most about this, and its share of this is a figure that says something on any machine.
//!
//! Nothing waits for a batch to fill. What has come while a node was busy (with a sync, with the others) is the
//! next batch.
//!
//! ```text
//! generator ──requests──▶ leader ──records──▶ follower (reads all, writes once, syncs once, acknowledges)
//!           ◀──answers──         ◀──"durable up to byte n"──
//!                           └── its own file, synced by a second thread meanwhile
//! ```
//!
//! A request is the record that stands in the files, byte for byte; a position in the log is a count of bytes.

mod durable;
mod follower;
mod generator;
mod leader;
mod outbox;
mod record;

use std::net::SocketAddr;
use std::path::Path;

use clap::Subcommand;

use crate::child::Process;
use crate::failure::{Doing, Failure};
use crate::load::Load;
use crate::measure::{Outcome, look, measure};
use crate::watching::Watching;

/// A process of the skeleton.
#[derive(Debug, Subcommand)]
pub(crate) enum Node {
    /// Leads, and takes requests.
    Leader {
        /// The addresses of the followers.
        #[arg(long, num_args = 2, required = true)]
        followers: Vec<SocketAddr>,
    },
    /// Follows.
    Follower {
        /// The name of its file.
        #[arg(long)]
        name: String,
    },
}

impl Node {
    /// Runs until the parent is gone. `dir` is where its file is made.
    pub(crate) fn run(&self, dir: &Path) -> Result<(), Failure> {
        match self {
            Self::Leader { followers } => leader::run(followers, dir),
            Self::Follower { name } => follower::run(name, dir),
        }
    }
}

/// Starts the three processes, runs `load` against them from this one, and ends them. `dir` is where the files are made.
pub(crate) fn run(load: &Load, dir: &Path) -> Result<Outcome, Failure> {
    let (first, first_at) = follower(1, dir)?;
    let (second, second_at) = follower(2, dir)?;
    let (first_at, second_at) = (first_at.to_string(), second_at.to_string());
    let (leader, leader_at) = start("leader", &["leader", "--followers", &first_at, &second_at], dir)?;
    let mut nodes = [leader, first, second];
    let watching = Watching::new(&format!("skeleton {}", load.name()), load);
    measure(load, || look(&mut nodes), |window| generator::run(load, window, leader_at, watching.told()))
}

fn follower(number: u32, dir: &Path) -> Result<(Process, SocketAddr), Failure> {
    start(&format!("follower {number}"), &["follower", "--name", &format!("follower-{number}")], dir)
}

fn start(name: &str, arguments: &[&str], dir: &Path) -> Result<(Process, SocketAddr), Failure> {
    let arguments: Vec<&str> = ["skeleton"].into_iter().chain(arguments.iter().copied()).collect();
    let (process, line) = Process::start(name, &arguments, dir)?;
    let address = line.parse().doing(|| format!("understand {line:?} from {name}"))?;
    Ok((process, address))
}
