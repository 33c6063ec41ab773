//! The node in a world of its own: no threads, no clock, no files; one seed, one history.
//!
//! `world` is what stands around nodes, and checks at every step what always holds; `clients` is who asks them; the other
//! modules are the tests.

mod audit;
mod away;
mod calls;
mod clients;
mod coordination;
mod digests;
mod disk;
mod histories;
mod leadership;
mod members;
mod overload;
mod path;
mod rng;
mod slow;
mod snapshots;
mod time;
mod watches;
mod world;
