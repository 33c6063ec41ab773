//! HTTP against real nodes: what `curl` would see. Needs real time: it waits for what is to happen, and fails only when that
//! takes longer than [`cluster::PATIENCE`].

mod bad;
#[allow(dead_code, reason = "the test of the pages uses the rest of it")]
mod cluster;
mod coordination;
mod follow;
mod keys;
mod routes;
