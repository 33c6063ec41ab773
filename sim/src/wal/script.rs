//! The language in which workloads are written: what is done to a log, step by step.

use bytes::Bytes;
use holdfast_wal::Op;

use super::judge::group;
use super::model::Model;

/// Damage that is done to the disk between two starts.
#[derive(Clone, Copy, Debug)]
pub enum Harm {
    /// One bit of a segment, by number of the segment and byte.
    Flip(u64, u64),
    /// A sector of a segment is zero.
    Zero(u64, u64),
    /// A sector of a segment cannot be read.
    Unreadable(u64, u64),
}

/// One thing that is done.
#[derive(Clone, Debug)]
pub enum Step {
    /// Makes the log.
    Create,
    /// Appends a batch with one call.
    Append(Vec<Op>),
    /// Makes durable what was appended.
    Sync,
    /// Writes a mark if one is wanted.
    Mark,
    /// Prepares the segments that are wanted.
    Prepare,
    /// Appends entries until little more than this many bytes are left in the segment.
    Fill(u64),
    /// Appends entries until the disk is full, and makes room again.
    FillDisk,
    /// Appends marks until the next record begins with a sector.
    Align,
    /// Ends the process and starts it again.
    Reopen,
    /// Ends the process, damages the disk, and starts it again: the log has to say that it is damaged.
    Damage(Vec<Harm>),
    /// Repairs what is damaged, as a leader would that holds everything: one operation for one call.
    Repair,
}

/// What an entry carries.
#[derive(Clone, Copy, Debug)]
pub enum Fill {
    /// Bytes that no other entry has.
    Unique,
    /// Zeros.
    Zeros,
    /// Whole sectors of zeros among others.
    Patches,
    /// The head of a record, again and again.
    Records,
}

/// The body of an entry: the same for the same arguments, and for `Unique` and `Patches` for no others.
#[must_use]
pub fn body(fill: Fill, (group, index, term): (u32, u64, u64), length: usize) -> Bytes {
    let mut word = u64::from(group) << 48 ^ index << 16 ^ term;
    let mut next = || {
        word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // No byte of it is zero, so that what is zero on a disk was never written.
        (mixed ^ (mixed >> 31)) | 0x0101_0101_0101_0101
    };
    let mut bytes: Vec<u8> = match fill {
        Fill::Zeros => vec![0; length],
        Fill::Unique | Fill::Patches => (0..length.div_ceil(8)).flat_map(|_| next().to_le_bytes()).collect(),
        Fill::Records => {
            let mut head = next().to_le_bytes()[..4].to_vec();
            head.extend(40_u32.to_le_bytes());
            head.extend([1, 3, 1, 0]);
            head.extend(group.to_le_bytes());
            for value in [16_384 + 512 * index, 16_384, term, index, term, 0, 0] {
                head.extend(value.to_le_bytes());
            }
            head.iter().copied().cycle().take(length).collect()
        }
    };
    bytes.truncate(length);
    if matches!(fill, Fill::Patches) {
        for patch in bytes.chunks_mut(600).skip(1).step_by(2) {
            patch.fill(0);
        }
    }
    Bytes::from(bytes)
}

/// How much of the second crashes is enumerated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// After every image.
    All,
    /// After images whose hash is a multiple of this.
    Every(u64),
}

/// A workload.
#[derive(Clone, Debug)]
pub struct Script {
    /// What it is called.
    pub name: &'static str,
    /// What is done.
    pub steps: Vec<Step>,
    /// How much of the second crashes is enumerated.
    pub again: Again,
    /// Combinations up to this are enumerated in full.
    pub full: usize,
    /// Bytes that the disk holds.
    pub capacity: u64,
    /// Whether it is part of the quick proof.
    pub quick: bool,
    /// Into how many pieces of work its power cuts are cut.
    pub parts: usize,
    /// Whether its calls are made to fail.
    pub faults: bool,
    model: Model,
    batch: Vec<Op>,
}

impl Script {
    /// A workload that begins with the making of a log.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            steps: vec![Step::Create],
            again: Again::Every(16),
            full: super::subsets::FULL,
            capacity: 1 << 30,
            quick: false,
            parts: 4,
            faults: true,
            model: Model::new(),
            batch: Vec::new(),
        }
    }

    /// On a disk that holds so many bytes.
    #[must_use]
    pub fn on(mut self, capacity: u64) -> Self {
        self.capacity = capacity;
        self
    }

    /// Part of the quick proof.
    #[must_use]
    pub fn quick(mut self) -> Self {
        self.quick = true;
        self
    }

    /// Its calls are not made to fail.
    #[must_use]
    pub fn without_faults(mut self) -> Self {
        self.faults = false;
        self
    }

    /// Says how much of the second crashes is enumerated.
    #[must_use]
    pub fn again(mut self, again: Again) -> Self {
        self.again = again;
        self
    }

    /// An operation for the batch that is being gathered.
    #[must_use]
    pub fn op(mut self, op: Op) -> Self {
        self.model.apply(&op);
        self.batch.push(op);
        self
    }

    /// Entries behind the last one.
    #[must_use]
    pub fn add(self, group: u32, term: u64, lengths: &[usize]) -> Self {
        self.filled(Fill::Unique, group, term, lengths)
    }

    /// Entries behind the last one, with something else in them.
    #[must_use]
    pub fn filled(mut self, fill: Fill, number: u32, term: u64, lengths: &[usize]) -> Self {
        for length in lengths {
            let index = self.model.groups.get(&number).map_or(1, |group| group.last() + 1);
            let body = body(fill, (number, index, term), *length);
            self = self.op(Op::Entry { group: group(number), index, term, body });
        }
        self
    }

    /// Entries from `index` on, in the place of those that are there.
    #[must_use]
    pub fn conflict(mut self, number: u32, index: u64, term: u64, lengths: &[usize]) -> Self {
        for (index, length) in (index..).zip(lengths) {
            let body = body(Fill::Unique, (number, index, term), *length);
            self = self.op(Op::Entry { group: group(number), index, term, body });
        }
        self
    }

    /// A hard state.
    #[must_use]
    pub fn hard(self, number: u32, term: u64, vote: u64) -> Self {
        self.op(Op::HardState { group: group(number), term, vote })
    }

    /// A trim.
    #[must_use]
    pub fn trim(self, number: u32, first: u64) -> Self {
        self.op(Op::Trim { group: group(number), first })
    }

    /// A snapshot in the place of the log.
    #[must_use]
    pub fn reset(self, number: u32, index: u64, term: u64) -> Self {
        self.op(Op::Reset { group: group(number), index, term })
    }

    /// Appends the batch.
    #[must_use]
    pub fn write(mut self) -> Self {
        let batch = std::mem::take(&mut self.batch);
        self.then(Step::Append(batch))
    }

    /// Appends the batch, one call for each operation.
    #[must_use]
    pub fn write_each(mut self) -> Self {
        let batch = std::mem::take(&mut self.batch);
        batch.into_iter().fold(self, |script, op| script.then(Step::Append(vec![op])))
    }

    /// Appends the batch and makes it durable.
    #[must_use]
    pub fn sync(self) -> Self {
        let script = if self.batch.is_empty() { self } else { self.write() };
        script.then(Step::Sync)
    }

    /// Does a step that needs no operations.
    #[must_use]
    pub fn then(mut self, step: Step) -> Self {
        assert!(self.batch.is_empty(), "{}: a batch was gathered and not written", self.name);
        self.steps.push(step);
        self
    }

    /// The first index of a group at this point.
    #[must_use]
    pub fn first(&self, number: u32) -> u64 {
        self.model.groups.get(&number).map_or(1, |group| group.first)
    }

    /// The last index of a group at this point.
    #[must_use]
    pub fn last(&self, number: u32) -> u64 {
        self.model.groups.get(&number).map_or(0, super::model::GroupModel::last)
    }
}
