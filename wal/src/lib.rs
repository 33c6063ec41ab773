//! The durable log of a node.
#![deny(clippy::wildcard_enum_match_arm)]

pub mod disk;
pub mod format;
pub mod tools;

mod error;
mod groups;
mod log;
mod map;
mod recovery;
mod segment;
mod types;
mod variant;

pub use error::{AppendError, Fatal, OpenError, ReadError, Refusal};
pub use log::{Counts, Ending, GroupDamage, Log, Reader, Recovery, Room, Scrubbed};
pub use recovery::{Facts, Region, Row, Sight, Verdict};
pub use segment::{
    Edge as SegmentEdge, Event as SegmentEvent, Preparation, Prepared, SegmentMachine, State as SegmentState,
    segment_name, segment_number,
};
pub use types::{Entry, Group, HardState, Hole, Identity, LogBounds, Op, Options};
pub use variant::{AsDesigned, Break, Variant};
