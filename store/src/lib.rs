//! The replicated state machine: committed entries in, state and outcomes out, on every node the same.
//!
//! # Why
//! Raft makes logs equal; this crate makes equal logs into equal states. For that, [`Store::apply`] depends on the
//! entry and on the state before it, and on nothing else. What a number means is said in `docs/store.md`; how long
//! everything may be, and by when it is forgotten, is part of the state itself.
//!
//! # Shape
//! ```text
//!   entry ─► Store::apply ─► clock ─► gate ─► validate ─► request key ─► execute ─► Outcome
//!                            [store]                      [sessions]     one file per family
//!   State: Keys        current keys, change log, revisions               [keys]
//!          Namespaces  rules and usage                                   [namespaces]
//!          Settings    limits and the feature level                      [settings]
//!          Sessions    machine 09, and idempotency keys                  [sessions] [idempotency]
//!          Leases      machine 10, and the keys that hang on them        [leases]
//!          Queues      machines 11 and 12: locks and elections           [queues]
//!          Trail       audit record and digest of each entry             [trail]
//! ```
//! All of it lives in persistent structures: a clone costs a few counters, whatever the size. A snapshot, or a range
//! over a million keys, works on a clone while entries are applied.
//!
//! # Invariants
//! - No entry panics, whatever its bytes; one that is refused changes nothing but clock, stamp and position (and what a request
//!   key remembers of it).
//! - The revision rises by exactly one with each command that changes keys, and never goes back. No key changes twice in one.
//! - How far [`Store::sweep`] has come, and who holds clones, is seen by no read and no outcome.
//! - A fencing token is given once, and each is higher than the one before.
//! - No clock, no randomness, no hash order: `store/tests/model.rs` compares replicas that differ in all that must not matter.
//!
//! # What this leaves out
//! The audit log and the digest come with their own files; watches and the files of snapshots are the server's. Who may do
//! what is decided before a request gets here.

#![forbid(unsafe_code)]
#![deny(clippy::wildcard_enum_match_arm)]
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod idempotency;
pub mod keys;
pub mod leases;
mod namespaces;
pub mod plant;
pub mod queues;
pub mod sessions;
mod settings;
pub mod snapshot;
mod state;
mod store;
pub mod trail;
mod tree;
mod version;

pub use keys::{Change, Page};
pub use leases::Lease;
pub use namespaces::{Namespace, Usage};
pub use plant::{Bug, NoPlant, Plant};
pub use queues::{Place, Queue, QueueKind, Standing, Touch, Touched};
pub use sessions::Session;
pub use store::{Applied, Halt, LogPosition, Store};
pub use trail::Digest;
pub use version::Version;
