//! What a read may see.

use std::time::Duration;

use clap::{Args, ValueEnum};
use holdfast_client::{Consistency, Position, ReadOptions};

use super::failed::Failed;
use super::given::duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Fresh {
    /// Everything that was acknowledged before
    Linearizable,
    /// At least the position given with --min-position, at any member
    Follower,
    /// Whatever a member has
    Stale,
}

/// What a read may see.
#[derive(Clone, Debug, Args)]
pub(super) struct Freshness {
    /// What the read may see; linearizable unless an option below asks for less
    #[arg(long, value_enum)]
    consistency: Option<Fresh>,
    /// A position that a write gave back: the read sees that write, at any member
    #[arg(long)]
    min_position: Option<Position>,
    /// How old it may be: reads what some member has, if that is no older
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    max_stale: Option<Duration>,
    /// The same in milliseconds, as it was called first
    #[arg(long, hide = true, conflicts_with = "max_stale")]
    max_stale_ms: Option<u64>,
    /// At this revision instead of the current one
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    pub(super) rev: u64,
}

impl Freshness {
    /// How to read.
    pub(super) fn options(&self) -> Result<ReadOptions, Failed> {
        let bound = self.max_stale.map(|bound| u64::try_from(bound.as_millis()).unwrap_or(u64::MAX));
        let bound = bound.or(self.max_stale_ms);
        let consistency = match (self.consistency, bound, self.min_position) {
            (Some(Fresh::Linearizable | Fresh::Follower), Some(_), _) => {
                return Err(Failed::usage(
                    "--max-stale is for stale reads, and --consistency asks for another one",
                ));
            }
            (Some(Fresh::Stale), _, _) | (None, Some(_), _) => Consistency::Stale,
            (Some(Fresh::Follower), None, _) | (None, None, Some(_)) => Consistency::Follower,
            (Some(Fresh::Linearizable), None, _) | (None, None, None) => Consistency::Linearizable,
        };
        let max_stale_ms = bound.unwrap_or(0);
        Ok(ReadOptions { consistency, min_position: self.min_position, max_stale_ms, timeout: None })
    }
}
