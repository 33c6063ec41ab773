//! The sources of `handoff` and `hlc`, compiled against loom's types.
//!
//! # Why by path
//! loom sees only what goes through its own atomics, locks and cells. The usual ways to swap them in are a
//! `--cfg loom`, which a plain `cargo test --workspace` does not set, or a cargo feature, which feature
//! unification would carry into the product. So the production crates take their shared types from one
//! module, `crate::sync`, and this crate compiles the same files beside a `sync` of its own. There is no
//! second copy of the code and no flag to forget.
//!
//! # Shape
//! ```text
//!   handoff/src/{park,watermark,batch,stream,latch}.rs ─┐            ┌─ handoff/src/sync.rs, hlc/src/sync.rs: std
//!   hlc/src/{stamp,clock,text}.rs ──────────────────────┼─ crate::sync ─ src/sync.rs: loom  (this crate, tests/loom)
//!                                                       ┘            └─ tests/shuttle/sync.rs: shuttle
//! ```
//! [`model::explore`] runs one model and prints how many interleavings it saw. `README.md` lists which
//! deliberate break of which structure is caught by which test.
//!
//! # What this leaves out
//! What loom cannot see: it treats a SeqCst access as AcqRel (fences it models fully), never reorders a
//! store before an earlier load (load buffering), and does not fail a weak compare-and-swap for no reason.

#![forbid(unsafe_code)]

mod lock;
pub mod model;
mod once;
mod shared;
mod sync;

#[path = "../../handoff/src/batch.rs"]
pub mod batch;
#[path = "../../handoff/src/latch.rs"]
pub mod latch;
#[path = "../../handoff/src/park.rs"]
pub mod park;
#[path = "../../handoff/src/stream.rs"]
pub mod stream;
#[path = "../../handoff/src/watermark.rs"]
pub mod watermark;

#[path = "../../hlc/src/clock.rs"]
pub mod clock;
#[path = "../../hlc/src/stamp.rs"]
pub mod stamp;
#[path = "../../hlc/src/text.rs"]
pub mod text;
