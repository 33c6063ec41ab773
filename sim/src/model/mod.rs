//! Every behaviour of a few real cores within small bounds, breadth first, to the fixpoint.
//!
//! # Why besides the simulator
//! A simulator draws paths; however many, it may never draw the one that matters. Here nothing is drawn: from each state
//! every action is taken, until no state is left that was not seen. What is explored is no model of the core but the core
//! itself, by its own `step`, so nothing can be true of the one and false of the other. The price is the bounds: three nodes,
//! a few timers, one or two entries, a crash, a loss, a copy.
//!
//! # What a state is
//! The cores, what their disks hold, the packets on their way, what is left of the bounds, and the ghost: who led which
//! term, and what was ever committed. States are compared by the canonical hash of the cores and messages
//! ([`canonical_hash`](holdfast_raft::canonical_hash)), in which names such as boots and rounds count by rank. Clocks are left
//! out: a timer that fires is an action, whatever the clock says, and a leader's heartbeat and its loss of the quorum are two
//! actions.
//!
//! # What an action is
//! A packet arrives; arrives and stays to arrive again; is lost. A timer fires. The oldest write of a disk becomes durable. A
//! node crashes, with any prefix of its undurable writes kept, and starts again. A client writes, or reads. Messages of one
//! turn to one peer travel as one packet.
//!
//! # What this leaves out
//! Membership, snapshots, damage and transfers: the simulator has them. Lost packets beyond the bound need no action: a packet
//! that never arrives in a behaviour is as good as lost in it.

mod disk;
mod explore;
pub mod scenarios;
mod world;

pub use explore::{Found, explore};
pub use world::{Action, Bounds, Link, World};
