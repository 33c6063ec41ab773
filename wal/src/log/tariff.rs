//! What operations take of the room in prepared segments: asked before anything is accepted, because after that a full disk
//! leaves only a lie or a stop.

use crate::disk::SECTOR;
use crate::format::{
    ALIGN, BOUNDS_FIELDS, GROUP_FIELDS, HARD_STATE_FIELDS, HEAD_BYTES, MAX_FRAGMENT, MAX_GROUPS,
    RANGE_FIELDS, SEGMENT_HEADER_BYTES, place, width,
};
use crate::types::Op;

/// Ranges in one healed record: it has to fit into the smallest segment behind the largest checkpoint.
pub(super) const RANGES_AT_ONCE: usize = 128;

/// How much can be written without preparing another segment, in bytes of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// For entries.
    pub entries: u64,
    /// For control records: the reserve too.
    pub control: u64,
}

/// What batches cost, for those who do not have the log. See [`Log::tariff`](crate::Log::tariff).
#[derive(Clone, Copy, Debug)]
pub struct Tariff {
    pub(super) segment_bytes: u64,
    pub(super) prepared: u64,
    pub(super) regions: usize,
}

impl Tariff {
    /// What a batch takes at most, in bytes of [`Log::room`](crate::Log::room). Batches that are written one after the other
    /// take off the room at most the sum of their costs. (The cost of all of them as one batch may be larger than that sum.)
    ///
    /// A record takes its body, a head with its table, and before it the rest of a sector that these do not fit into. Where a
    /// segment ends, an entry leaves as much unused as it takes itself: that is once for the batch, and once for each third of
    /// a segment that it fills; and never more than once for each entry.
    #[must_use]
    pub fn cost(&self, ops: &[Op]) -> u64 {
        let size = self.segment_bytes;
        let record = |body: u64| body + 2 * (HEAD_BYTES as u64 + 4 * (body / SECTOR as u64 + 2)) + ALIGN;
        let fragments = |body: u64| body / fragment_bytes(size) + 1;
        let (mut sum, mut largest) = (record(0), 0);
        for op in ops {
            let bytes = match op {
                Op::Entry { body, .. } | Op::Fill { body, .. } => {
                    record(body.len() as u64) + (fragments(body.len() as u64) - 1) * record(0)
                }
                Op::HardState { .. } => record(width(&HARD_STATE_FIELDS) as u64),
                Op::Trim { .. } | Op::Reset { .. } => record(bounds_bytes(0)),
                Op::Heal { .. } => {
                    let records = self.regions.div_ceil(RANGES_AT_ONCE).max(1) as u64;
                    records * record(bounds_bytes(RANGES_AT_ONCE))
                }
                Op::Confirm { .. } => 0,
            };
            sum += bytes;
            largest = bytes.max(largest);
        }
        sum + if largest <= size / 4 { (largest * (1 + 3 * sum / size)).min(sum) } else { sum }
    }

    /// The room that there is at least whenever all segments are prepared, wherever the active one ends.
    #[must_use]
    pub fn certain(&self) -> Room {
        let fresh = self.fresh();
        Room { entries: (self.prepared - 1) * fresh, control: self.prepared * fresh }
    }

    /// The bytes of a fresh segment that are left behind its checkpoint, however many groups there will be.
    pub(super) fn fresh(&self) -> u64 {
        self.segment_bytes - place(SEGMENT_HEADER_BYTES as u64, bounds_bytes(0) as usize).end
    }
}

/// The body of a record with the bounds of as many groups as there may be.
fn bounds_bytes(ranges: usize) -> u64 {
    (width(&BOUNDS_FIELDS) + MAX_GROUPS * width(&GROUP_FIELDS) + ranges * width(&RANGE_FIELDS)) as u64
}

/// The body of a record at most, in segments of that size.
pub(super) fn fragment_bytes(segment_bytes: u64) -> u64 {
    MAX_FRAGMENT.min(segment_bytes / 8)
}
