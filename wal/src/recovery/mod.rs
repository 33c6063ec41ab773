//! What a directory of segments says after a stop of any kind.

mod kept;
mod scan;
mod source;
mod table;

pub use kept::Kept;
pub use scan::Region;
pub(crate) use scan::{Scanned, scan};
pub(crate) use source::{
    MOST_FRONT, SegmentFile, cache_is_zero, load, open_segment, previous_end, read_entry,
};
pub use table::{Facts, Row, Sight, Verdict};
