//! The node, its runtime and the one binary.

#![forbid(unsafe_code)]
