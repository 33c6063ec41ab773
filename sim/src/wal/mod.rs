//! The proof of the write-ahead log: every crash, every damage, every failing call, and every fault that is planted.
//!
//! # Shape
//! ```text
//!   script ──► drive ──► moments of a FakeDisk, and a ledger: what was submitted and acknowledged by then
//!                           │
//!   crashes: each subset of what was unsynced, each kill ──┐
//!   faults:  each call that fails ─────────────────────────┤
//!   damage:  each flip, swap, loss of a finished log ──────┴──► judge ◄── model
//!                                                                 │
//!   breaks: all of this again with one rule left out              └──► tally ──► proof: the report
//! ```

pub mod atlas;
pub mod breaks;
pub mod crashes;
pub mod damage;
pub mod drive;
pub mod faults;
pub mod judge;
pub mod listing;
pub mod model;
pub mod proof;
pub mod repair;
pub mod script;
pub mod scripts;
pub mod subsets;
pub mod tally;
