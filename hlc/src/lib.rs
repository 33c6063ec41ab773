//! The hybrid logical clock: stamps that order what caused what and still read as the time of day.
//!
//! # Why
//! The audit log of a cluster is read as "what happened, in order, and when". Wall clocks alone give an
//! order that is wrong whenever two machines disagree or one of them steps back. A logical counter alone
//! gives an order nobody can lay beside a dashboard. A hybrid clock gives both in 64 bits.
//!
//! # Shape
//! ```text
//!   Stamp:   63 .............. 16   15 .. 0
//!            milliseconds (Unix)    counter        compared as one number
//!
//!   tick(now)       last = max(last + 1, now)      a stamp of our own: above all that was seen
//!   merge(theirs)   last = max(last, theirs)       a stamp of somebody else's: was seen
//! ```
//! "plus 1" on the packed number is the whole counter: when its 16 bits are full, the carry moves the
//! millisecond forward, and physical time catches up later. [`Clock`] is one atomic word; any number of
//! threads tick it without a lock. Physical time ([`UnixMillis`]) is an argument, so a simulator owns it.
//!
//! # What it promises
//! - A stamp that [`Clock::tick`] returns is above every stamp this clock returned or merged before. So if
//!   event a led to event b, through this process or through a message whose stamp was merged, a's stamp is
//!   below b's. Equal stamps never come from one clock.
//! - A stamp is never behind the physical time it was made at. It is ahead of it by as much as the highest of these is:
//!   where the clock was started, what it merged, and its own physical clock before that stepped back; plus 1 ms for
//!   each 65,536 stamps made within one millisecond. [`Clock::drift`] says by how much.
//! - `tick` and `merge` wait for nobody.
//!
//! # What it cannot promise
//! - **That the lower stamp happened first.** The converse of causality does not hold: of two events that
//!   do not know of each other either may carry the lower stamp.
//! - **That two nodes never make the same stamp.** They can. What must be unique takes (term, index) along.
//! - **Anything about elapsed time, and so nothing about leases.** Physical clocks step, are set by hand and
//!   stop with a suspended machine. A lease that ends "when the stamp says so" ends too early by as much as
//!   any one node's clock is wrong, and two holders are the result. Leases here run on the cluster clock,
//!   milliseconds of leader *monotonic* time carried in the log; no stamp decides about safety, ever.
//! - **That there is always a next stamp.** Somebody's stamp near the end of the year 10889 leaves none, on every node that
//!   has merged it and after every restart. Order then comes from (term, index) alone, and whoever stamps entries goes on
//!   with [`Clock::last`] instead of refusing to write: a broken clock must not stop a cluster.
//! - **Continuity over a restart.** The clock starts where it is told ([`Clock::starting_at`]); a node starts
//!   it from the highest stamp of its snapshot and log.
//!
//! # Drift
//! A stamp far ahead of our physical time means that some clock is wrong: theirs, or ours. It is reported as
//! a [`Drift`] and merged all the same. Refusing it would not undo it: a committed entry carries its stamp on
//! every node, and a node that refused it would only stop being a replica.
//!
//! # Source
//! Kulkarni, Demirbas, Madappa, Avva, Leone: Logical Physical Clocks (2014). It keeps the logical part in a
//! counter of its own that is reset whenever time moves; packing both into one word, with the carry, does
//! the same with one compare-and-swap.
//!
//! # What this leaves out
//! The identity of the node in the stamp, uncertainty intervals, and any reading of a clock.

#![forbid(unsafe_code)]

mod clock;
mod stamp;
mod sync;
mod text;

pub use clock::{Clock, Drift, Exhausted};
pub use stamp::{Stamp, TimeError, UnixMillis};
pub use text::ParseStampError;
