//! The node, its runtime and the one binary: where log, consensus, store and wire meet.

#![forbid(unsafe_code)]
#![deny(clippy::wildcard_enum_match_arm)]

pub mod api;
pub mod audit;
pub mod cli;
pub mod config;
mod describe;
pub mod doctor;
mod json;
mod logging;
mod moment;
pub mod node;
pub mod port;
pub mod runtime;
pub mod stage;
pub mod storage;
pub mod translate;
pub mod watch;
