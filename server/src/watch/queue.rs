//! What waits for one connection: events, marks and ends of all its watches, in the order in which they go out.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use holdfast_wire::Message;
use holdfast_wire::message::{WatchEnded, WatchEvents, WatchProgress};
use holdfast_wire::message_type::EVENTS_MAX;

use super::limits::ENTRY_BYTES;
use super::plant::{Bug, Plant};

/// One thing to be told.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    /// An event. Those of one revision of a watch stand together.
    Event {
        call: u64,
        /// The first of its revision.
        first: bool,
        /// The last of its revision.
        last: bool,
        bytes: Bytes,
    },
    /// Everything up to this revision stands before it.
    Progress { call: u64, revision: u64 },
    /// Nothing comes behind it.
    Ended { call: u64, ended: WatchEnded },
}

impl Entry {
    /// What it counts.
    pub(super) fn cost(&self) -> usize {
        match self {
            Self::Event { bytes, .. } => ENTRY_BYTES + bytes.len(),
            Self::Progress { .. } | Self::Ended { .. } => ENTRY_BYTES,
        }
    }
}

/// The queue of a connection, and what is known of its watches together.
#[derive(Debug, Default)]
pub(super) struct Queue {
    entries: VecDeque<Entry>,
    /// What the entries cost.
    bytes: usize,
    /// The piece of history that is being read elsewhere: for which life of a watch, and how much room is kept for it.
    pub(super) reserved: Option<(u64, usize)>,
    /// How many watches the connection has.
    pub(super) watches: usize,
    /// Those of them that are in Splicing or Behind.
    pub(super) lagging: BTreeSet<u64>,
    /// Which of them was served last.
    pub(super) served: u64,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes that wait, or will.
    pub(super) fn taken(&self) -> usize {
        self.bytes + self.reserved.map_or(0, |(_, bytes)| bytes)
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.bytes += entry.cost();
        self.entries.push_back(entry);
    }

    /// The next of those that lag, after the one that was served last.
    pub(super) fn next_lagging(&self) -> Option<u64> {
        self.lagging.range(self.served + 1..).chain(&self.lagging).next().copied()
    }

    /// The next message, with at most `batch` bytes of events if whole revisions allow it.
    pub(super) fn pop<P: Plant>(&mut self, batch: usize) -> Option<(u64, Message)> {
        let call = match self.entries.front()? {
            Entry::Event { call, .. } => *call,
            Entry::Progress { call, revision } => {
                let message = WatchProgress { revision: *revision }.into();
                return self.pop_one(*call, message);
            }
            Entry::Ended { call, ended } => return self.pop_one(*call, (*ended).into()),
        };
        let (mut count, mut whole, mut bytes) = (0, 0, 0);
        let mut is_open = false;
        for entry in &self.entries {
            let Entry::Event { call: own, first, last, bytes: event } = entry else { break };
            // A revision that begins where another is open makes that one void: that is said between messages only.
            if *own != call || count == EVENTS_MAX || (is_open && *first) {
                break;
            }
            bytes += event.len();
            if count > 0 && bytes > batch {
                break;
            }
            count += 1;
            is_open = !*last;
            if *last {
                whole = count;
            }
        }
        // The rest of a revision waits for the next message if there is anything whole before it.
        let split = whole == 0 || P::plants(Bug::RevisionSplit);
        let count = if split { count } else { whole };
        let mut events = Vec::with_capacity(count);
        let (mut continues, mut more) = (false, false);
        for place in 0..count {
            if let Some(entry) = self.entries.pop_front() {
                self.bytes -= entry.cost();
                if let Entry::Event { first, last, bytes, .. } = entry {
                    continues |= place == 0 && !first;
                    more = !last;
                    events.push(bytes);
                }
            }
        }
        if P::plants(Bug::RevisionSplit) {
            (continues, more) = (false, false);
        }
        Some((call, WatchEvents { continues, more, events }.into()))
    }

    fn pop_one(&mut self, call: u64, message: Message) -> Option<(u64, Message)> {
        self.bytes -= self.entries.pop_front()?.cost();
        Some((call, message))
    }
}
