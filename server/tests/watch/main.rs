//! Watches: the hub against a naive replay, over random schedules with tiny budgets; and rules left out on purpose, each of
//! which these schedules have to catch.
#![allow(missing_docs, reason = "tests")]

mod edges;
mod properties;
mod world;
