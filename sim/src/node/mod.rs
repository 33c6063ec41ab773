//! Whole nodes under simulation: the real node, store, log, snapshots, audit files and client core in one deterministic
//! process, with disks that lie, networks that lose, clocks that differ, and an operator who changes the members.
//!
//! # Why
//! Most of what goes wrong in such systems goes wrong where their parts meet: a reply before the sync, a read before the own-term
//! entry, a snapshot without the sessions, a retry that is executed twice. The simulators of the log and of the core
//! see none of it. Here everything that decides anything is the product's own code; only threads, sockets and files are
//! replaced, by events in a queue.
//!
//! # Shape
//! ```text
//!   clients: core of the client ──bytes──► ports: connection ──► Node ──► Log, SnapshotFiles, AuditFiles ──► FakeDisk
//!   (+ operator)        ▲                                         │ ▲
//!                       └──────────────bytes──────────────────────┘ └──frames──► other machines
//!   chaos: crashes, power cuts, damage, full disks, failed syncs, pauses, partitions, jumps of time, changes of members
//!   ghost: the committed log, applied to a store that never crashes, held against everything that any node says
//!   end:   a core is healed, then all; what clients saw is judged by `history`
//! ```
//! | file | what stands there |
//! |---|---|
//! | `swarm` | what a seed switches on |
//! | `world` | the queue, streams of clients, messages of peers |
//! | `machine` | disks, clock, the steps of a start |
//! | `steps` | turns, the log, other threads, the client port |
//! | `clients` | what clients ask, and what they make of the answers |
//! | `members` | the operator |
//! | `chaos` | faults |
//! | `ghost`, `callers` | what is true, and what callers are promised besides |
//! | `end` | healing, liveness, the judgement |
//! | `probes`, `tally`, `drive` | deep states, sums, what the driver of all seeds needs; the museum |
//! | `atlas` | every damage that a disk can do to a cluster at rest |
//! | `topologies` | links that are gone for good: does somebody lead, and stay? |

pub mod atlas;
pub mod callers;
pub mod chaos;
pub mod clients;
pub mod drive;
pub mod end;
pub mod ghost;
pub mod machine;
pub mod members;
pub mod ports;
pub mod probes;
pub mod swarm;
pub mod tally;
pub mod topologies;
pub mod world;

mod steps;

/// Simulated time, in microseconds since the beginning of a run.
pub type Micros = u64;
