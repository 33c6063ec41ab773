//! HTTP against real nodes: what `curl` would see. Needs real time: it waits for what is to happen, and fails only when that
//! takes longer than [`cluster::PATIENCE`].

mod bad;
mod cluster;
mod coordination;
mod follow;
mod keys;
mod routes;
