//! How a command ends, as a number for scripts.

use std::process::ExitCode;

use holdfast_machine::{Numbered as _, numbered};

numbered! {
    /// How a command or a node ends. Numbers are a promise to scripts: they are only ever added.
    pub enum Exit: u8, "X" {
        /// Done; of `diff`, no difference; of a node, stopped in order.
        Done = 0,
        /// What was asked for is not there, or the condition does not hold; of `diff`, they differ. Of a node, a thread could not
        /// be started, or `dev` failed.
        NotThere = 1,
        /// The arguments, or a file that they name; of a node and of `config`, a configuration that is wrong, or an address that
        /// cannot be listened on.
        Usage = 2,
        /// No endpoint can be reached. Nothing was sent.
        NoEndpoint = 3,
        /// No leader or no quorum, or no answer in time. Not applied.
        NoLeader = 4,
        /// Nobody knows whether it was applied: read before writing again.
        Unknown = 5,
        /// Refused by the state of the cluster: `holdfast explain` says more of the code. Of `doctor`, there are warnings, and nothing
        /// is broken.
        Rejected = 6,
        /// Not allowed.
        Denied = 7,
        /// A limit, a quota, or too much load.
        Limit = 8,
        /// Data that is damaged, missing or of somebody else; of `wal verify`, data that was acknowledged; or the endpoints speak
        /// another version, or are another cluster. Of `doctor`, something is broken.
        Integrity = 9,
        /// A lease is gone, or an office or a lock without a command was lost while it was held.
        Lost = 10,
        /// Of a node: it was removed from the cluster, and starting it again is of no use.
        Removed = 11,
        /// Of `lock` and `elect` with a command: what was held was lost, and the command was ended.
        HeldLost = 124,
        /// Of these: `holdfast` itself failed before the command ran.
        NotRun = 125,
        /// Of these: the command was found, and cannot be executed.
        NotExecutable = 126,
        /// Of these: there is no such command.
        NotFound = 127,
    }
    families {
        "commands" = 0..=99,
        "commands under a lock" = 124..=127,
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

/// What a shell makes of a signal: 128 and its number.
pub(super) const SIGNAL: u8 = 128;
