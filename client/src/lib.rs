//! The client: finds the leader, sends writes once and exactly once, and says of each failure what came of it.
//!
//! # Why so much
//! A write whose connection breaks has been executed, or has not, and the network cannot tell. A client that sends it
//! again may do it twice, one that gives up leaves its caller guessing. So the client keeps a *session* with the
//! cluster, in which each write has a number: copies of it are executed once, at whichever member they arrive, and
//! answered alike. What remains unknown after the deadline is called unknown, and nothing else is.
//!
//! # Shape
//! ```text
//!   Client, Builder     async verbs, cheap clones                          [client] [builder]
//!   Lease, LockGuard, Leadership   renew themselves, know when they are lost   [coordination]
//!     └─ shell          one task per connection, one for dials and timers  [shell]
//!          └─ Core      sans-IO: who is asked, when again, what it means   [core]
//!               ├─ Breaker     machine 17, one per endpoint                [core::breaker]
//!               ├─ sessions    sequence, low, window                       [core::session]
//!               ├─ watches     streams that go on by themselves            [core::watch]
//!               └─ wire::Connection  one per endpoint
//! ```
//! The [`Core`](core::Core) has no clock, no socket and no randomness of its own: a simulator can drive the same code as
//! the shell does.
//!
//! # Who is asked
//! Writes and linearizable reads go to the leader, which Welcomes and refusals name; as long as nobody knows it, any
//! member is asked and says who it is. Other reads go to any endpoint, always the same one while it answers.
//!
//! # Invariants
//! - A write is executed at most once, unless it is sent with [`exactly_once(false)`](CallOptions::exactly_once) by its
//!   caller more than once; the client itself never sends such a write twice.
//! - An error never says *not applied* of a write that was or will be, nor *applied* of one that was not.
//! - Each call ends by its deadline. What waits is bounded: [`Builder::calls_max`], [`Builder::bytes_max`].
//! - Nothing that a server sends panics.
//!
//! # What this leaves out
//! Credentials, as long as no server checks any.

#![forbid(unsafe_code)]
#![deny(clippy::wildcard_enum_match_arm)]
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod builder;
mod client;
mod coordination;
pub mod core;
mod error;
mod position;
mod shell;
mod watch;

pub use builder::Builder;
pub use client::{CallOptions, Client, Page, PutOptions, ReadOptions};
pub use coordination::{Leadership, Lease, LockGuard, LockOptions, Observed, Observer};
pub use core::{Changes, EndpointView, Notice};
pub use error::{Attempt, Error, Failure, Kind, Outcome, Parts, What};
pub use holdfast_command as command;
pub use holdfast_wire::NodeId;
pub use holdfast_wire::message::{
    ChangeMembers, Consistency, Examined, Figure, MemberChange, SaveSnapshot, SnapshotPiece, StatsReply,
    StatusReply, Trace, TraceReply, TracedBatch,
};
pub use position::{Position, PositionError};
pub use watch::{Watch, WatchOptions};
