//! Simulators of holdfast: they drive the real code over disks that lie and networks that lose, and compare what comes of
//! it with models that share no code with it.
//!
//! # Why a crate of its own
//! A test inside a crate is written by whoever wrote the code, with the same beliefs. What is here knows the promises
//! and the public interfaces only, and has to catch every fault that is planted on purpose (see [`wal::breaks`]).
#![forbid(unsafe_code)]
#![deny(clippy::wildcard_enum_match_arm)]

pub mod cluster;
pub mod drive;
pub mod history;
pub mod model;
pub mod node;
pub mod plants;
pub mod probes;
pub mod raft;
pub mod wal;
