//! Numbered state machines: tables that the compiler completes, and the pictures drawn from them.
//!
//! # Why
//! A drawing of a state machine is worth something only while the code obeys it. The usual ways to
//! get there fail quietly: a drawing by hand lags, a drawing from logs shows only what ran. Here the
//! table *is* the code that runs, and the drawing is printed from the table. What is left for prose is
//! the part no tool can write: why an edge exists and what must be durable before it is taken.
//!
//! # Shape
//! ```text
//!   handler ──(a fact, after all guards)──► Event ─┐
//!                                                  ├─► Machine::next ─► Verdict ─► Take(Edge) ─► new state
//!   current state data ─────────────────► State ───┘        │                 ├─► Stay(why)
//!                                                           │                 └─► Never(why): panic
//!                                  one `match`, no `_` arm ─┘
//! ```
//! - [`numbered!`] declares an enum whose numbers are public and permanent: states (`S`), events (`E`)
//!   and edges (`T`) of a machine, and also message types, close reasons, record kinds.
//! - [`Machine`] joins three such enums by a total function; [`Verdict`] is what one cell says.
//! - [`decide`] is the choke point's look-up; [`Trace`] keeps the last steps and counts every edge.
//! - [`render`] prints the Mermaid drawing and the state × event grid for `docs/state-machines/`.
//! - [`golden`] compares the numbers with a committed list, because the compiler has no memory.
//! - [`audit`] finds what the compiler cannot: a state never reached or never left, an edge never used.
//!
//! # Invariants
//! - Live and retired numbers of a family are dense from its first number and each is used once. This
//!   is a compile-time error otherwise; `machine/tests/compile_fail.rs` pins the error codes.
//! - A number is turned into a variant by a `match`, never by a transmute or a cast.
//! - A new event does not compile until every state has an answer for it.
//!
//! # Source
//! Lettered recovery cases and compile-time density of numbers: `TigerBeetle`. State drawings above the
//! state type: s2n-quic, which has no comparison of the two; that comparison is what this crate adds.
//!
//! # What this leaves out
//! No timers, no hierarchy of states, no data on events. A machine that wants them is split, or keeps
//! its data in the struct that owns the state (`enum Role { Leader(Leader), … }`). Decisions that are
//! not life cycles (granting a vote, accepting a greeting) are decision tables where they stand.

#![forbid(unsafe_code)]

pub mod audit;
pub mod golden;
mod numbered;
pub mod render;
mod table;
mod trace;

pub use numbered::{Numbered, assert_dense};
pub use table::{Machine, Verdict, decide};
pub use trace::{Step, Trace};
