//! The node, its runtime and the one binary: where log, consensus, store and wire meet.

#![forbid(unsafe_code)]
#![deny(clippy::wildcard_enum_match_arm)]

pub mod node;
pub mod stage;
