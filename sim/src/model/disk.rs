//! What a disk keeps, and in which pieces it may lose what is not durable.

use std::collections::VecDeque;

use holdfast_raft::{Entry, Envelope, HardState, Index, LogOp, Persist};

/// A node's disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    pub(super) hard: HardState,
    /// From index 1 on.
    pub(super) log: Vec<Entry>,
    /// Not durable yet, oldest first; with what waits for each.
    pub(super) queue: VecDeque<(Persist, Vec<Envelope>)>,
}

/// The smallest things that a disk keeps or loses.
pub(super) enum Unit<'a> {
    Hard(HardState),
    Entry(Index, &'a Entry),
}

/// What a persist consists of, in the order in which a disk keeps it.
pub(super) fn units(persist: &Persist) -> impl Iterator<Item = Unit<'_>> {
    let entries = persist.log.iter().flat_map(|op| match op {
        LogOp::Append { first, entries } => {
            entries.iter().zip(first.0..).map(|(entry, at)| Unit::Entry(Index(at), entry))
        }
        LogOp::Fill { .. }
        | LogOp::Confirm { .. }
        | LogOp::Heal { .. }
        | LogOp::Reset { .. }
        | LogOp::Trim { .. } => panic!("no snapshot and no damage within these bounds: {op:?}"),
    });
    persist.hard_state.into_iter().map(Unit::Hard).chain(entries)
}

impl Disk {
    /// Keeps one.
    pub(super) fn write(&mut self, unit: &Unit<'_>) {
        match unit {
            Unit::Hard(hard) => self.hard = *hard,
            Unit::Entry(index, entry) => {
                self.log.truncate(index.0 as usize - 1);
                self.log.push((*entry).clone());
            }
        }
    }

    /// How many are not durable.
    pub(super) fn undurable(&self) -> usize {
        self.queue.iter().map(|(persist, _)| units(persist).count()).sum()
    }
}
