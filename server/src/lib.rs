//! The node, its runtime and the one binary.

#![forbid(unsafe_code)]

pub mod storage;
