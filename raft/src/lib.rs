//! The consensus core: one function with a memory, by which several nodes agree on one log.
//!
//! # Why
//! Everything else in the store trusts that what was answered is never lost and never contradicted. So this crate holds
//! only what that takes, and nothing that could make it hard to test: no thread, no socket, no file, no clock, no
//! randomness. A simulator can put it through any history, and replay that history exactly.
//!
//! # Shape
//! ```text
//!   Tick, Receive, Propose, Read,         ┌─────────────┐      send_now             now
//!   Transfer, ChangeMembership,    ─────► │ Core::step  │      persist              to the disk
//!   Durable, Applied, Snapshot…           │ Core::flush │ ───► send_after_persist   when it is there
//!                                         └─────────────┘      apply, reads_ready, snapshots, events
//! ```
//! - [`Input`] is what the owner says, [`Message`] what peers say: different types, so that no peer can forge the
//!   disk's word.
//! - [`Output`] is split by what has to be durable first. The split is the heart of the crate: votes and
//!   acknowledgements are promises, and leave only after what they promise is on the disk.
//! - Four numbered machines: [`RoleMachine`] (02), [`ProgressMachine`] (03), [`MembershipMachine`] (04),
//!   [`TransferMachine`] (05). Handlers turn messages into facts, the tables turn facts into edges, and
//!   [`Output::events`] reports every edge.
//! - [`Configuration`] says who votes, and counts quorums, joint ones too. [`Config`] holds every limit and timeout.
//! - [`invariants`] is what is always true of one core. [`canonical_hash`] is equal for states that behave equally.
//! - [`formation`] is how blank nodes become a cluster in the first place: a machine (16) of its own, which yields the
//!   first configuration.
//! - [`Plant`] leaves one rule out, by type: what the tests are tested with.
//!
//! # Laws
//! 1. **Durable, then said.** A vote, a request for votes, an acknowledgement of entries or of a heartbeat leaves after
//!    its persist.
//! 2. **Nobody is counted beyond its own disk**, the leader included. It sends before it has synced and counts itself
//!    after.
//! 3. **Commit by entries of the own term only** (§5.4.2). Until one is committed a leader answers no read, changes no
//!    members.
//! 4. **A configuration acts when it is appended, and is reverted when it is cut.** Two majorities decide while two are
//!    joint.
//! 5. **What a peer sends never panics.** What breaks a rule is dropped and counted ([`DropCause`]); what no correct
//!    peer says raises an [`Alarm`]. A message is never dropped because the configuration does not list its sender.
//! 6. **No name is used twice**: not a term, a boot, a round, a stretch, a persist, the id of a removed member.
//! 7. `prev ≤ snapshot ≤ applied ≤ commit ≤ last`, `durable ≤ last`, always; each peer's `matched < next ≤ last + 1`.
//!
//! # Source
//! Ongaro and Ousterhout 2014 (*the paper*, §); Ongaro's dissertation (chapters 3, 4, 6, 9.6, 10); the erratum of 2015
//! on changes of single servers; Howard and Abraham 2020 on liveness; protocol-aware recovery (FAST 2018) for damaged
//! logs. Two outboxes and the description of a quorum as a bar chart are etcd's.
//!
//! # What this leaves out
//! Lease reads, windows of snapshot pieces, witnesses, flexible quorums, heartbeats shared by groups; `docs/raft.md`
//! says why, and explains all of the above from the first word on.

#![forbid(unsafe_code)]
#![deny(clippy::wildcard_enum_match_arm)]

pub mod config;
mod configuration;
mod core;
mod entry;
pub mod formation;
mod ids;
mod input;
pub mod invariants;
mod log;
mod membership;
mod message;
mod output;
mod plant;
mod progress;
mod role;
mod transfer;

pub use config::{BadConfig, Config};
pub use configuration::{
    Change, Configuration, MEMBER_CONTEXT_BYTES_MAX, MEMBERS_MAX, Member, Tally, VOTERS_MAX,
};
pub use core::{Canon, Core, Namespace, Rejected, canonical_hash};
pub use entry::{ENTRY_OVERHEAD_BYTES, Entry, Payload};
pub use ids::{
    Boot, COUNT_MAX, ClusterEpoch, ClusterId, EntryId, Index, NodeId, NodeUuid, PersistId, ReadId, Round,
    Stretch, Term,
};
pub use input::{Damage, HardState, Hole, Input, Recovered, Refusal};
pub use membership::{MembershipEdge, MembershipEvent, MembershipMachine, MembershipState};
pub use message::{Envelope, Message, SnapshotMeta};
pub use output::{
    Alarm, Committed, DropCause, Event, Held, LogOp, LogRead, Output, Persist, ReadReady, SnapshotWork,
};
pub use plant::{Bug, NoPlant, Plant};
pub use progress::{Progress, ProgressEdge, ProgressEvent, ProgressMachine, ProgressState, Sending};
pub use role::{RoleEdge, RoleEvent, RoleMachine, RoleState};
pub use transfer::{TransferEdge, TransferEvent, TransferMachine, TransferState};
