//! The simulator of the Raft core: whole clusters of the real core in simulated time, driven by nothing but a seed.
//!
//! # Shape
//! ```text
//!   seed ──► swarm: which faults and operations exist, and how small every limit is
//!              │
//!              ▼
//!   world ◄── queue: ticks, messages, disks, clients, faults, by simulated time
//!     │
//!     ├─ turn      steps of a core, and what it wants done: disk, network, state machine     (snapshots)
//!     ├─ life      starts, crashes, damage            ├─ chaos     faults, by the clock and upon conditions
//!     ├─ clients   commands, reads, members           ├─ forged    messages that nobody may believe
//!     ├─ watch     deep states that events show       └─ liveness  only a core is healed: does it go on?
//!     │
//!     └─► ghost: what is true of the whole cluster and its history, compared after every event
//!              │
//!              └─► drive: seeds run twice, traces compared, probes counted; and the same with a bug planted
//! ```
//!
//! # What it never sees
//! Real disks and their errors, encodings, threads, memory, time that the kernel takes. It drives the core alone; process
//! tests come with the server.

mod chaos;
mod clients;
pub mod disk;
pub mod drive;
mod forged;
pub mod ghost;
mod heard;
mod life;
mod liveness;
pub mod machine;
pub mod network;
mod node;
pub mod probes;
pub mod queue;
pub mod rng;
mod snapshots;
mod survival;
pub mod swarm;
pub mod tally;
pub mod trace;
mod turn;
pub mod under_test;
mod watch;
mod world;

pub use liveness::could_go_on;
pub use world::World;
