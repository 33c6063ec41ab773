//! The node, its runtime and the one binary.

#![forbid(unsafe_code)]
#![deny(clippy::wildcard_enum_match_arm)]

pub mod storage;
pub mod translate;
