//! A piece of history for one watch, read from a clone of the state on whatever thread.
//!
//! A piece ends between two revisions unless one alone is longer than the piece may be: then it ends before an event that
//! did not fit, so that somebody always knows whether a revision goes on.

use std::marker::PhantomData;

use bytes::Bytes;
use holdfast_command::Refusal;
use holdfast_command::keys::Span;
use holdfast_store::{Plant as StorePlant, Store};

use super::event::{Forms, Wants};
use super::limits::ENTRY_BYTES;
use super::plant::{NoPlant, Plant};
use crate::node::Caller;

/// What to read.
#[derive(Clone, Debug)]
pub struct Piece<P: Plant = NoPlant> {
    pub(super) caller: Caller,
    /// Which life of the watch asked.
    pub(super) serial: u64,
    pub(super) span: Span,
    pub(super) wants: Wants,
    pub(super) at: Place,
    /// What the entries may cost.
    pub(super) bytes: usize,
    /// How many changes may be looked at; the revision of the last is looked at to its end.
    pub(super) changes: usize,
    pub(super) longest: usize,
    pub(super) plant: PhantomData<P>,
}

/// Where in history a watch is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The revision to go on with.
    pub(super) revision: u64,
    /// So many changes of it were looked at before.
    pub(super) skip: usize,
}

/// An event that was read.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) first: bool,
    pub(super) last: bool,
    pub(super) bytes: Bytes,
}

/// What was read.
#[derive(Clone, Debug)]
pub struct Spliced {
    pub(super) caller: Caller,
    pub(super) serial: u64,
    pub(super) events: Vec<Found>,
    pub(super) at: Place,
    /// The oldest revision of the state, if what was to be read is gone.
    pub(super) gone: Option<u64>,
    /// How many changes were looked at.
    pub(super) looked: usize,
    /// All that the state has was read.
    pub(super) at_end: bool,
}

impl Spliced {
    /// Whose watch it is for.
    #[must_use]
    pub fn caller(&self) -> Caller {
        self.caller
    }
}

impl<P: Plant> Piece<P> {
    /// Reads.
    #[must_use]
    pub fn run(self, store: &Store<impl StorePlant>) -> Spliced {
        let Self { caller, serial, .. } = self;
        let done =
            |events, at, looked, at_end| Spliced { caller, serial, events, at, gone: None, looked, at_end };
        let changes = match store.changes(self.at.revision) {
            Ok(changes) => changes,
            Err(Refusal::Compacted { oldest, .. }) => {
                return Spliced { gone: Some(oldest), ..done(Vec::new(), self.at, 0, false) };
            }
            // What is still to come needs not be read.
            Err(_) => return done(Vec::new(), self.at, 0, true),
        };
        let mut events: Vec<Found> = Vec::new();
        // How many of the events belong to revisions that are whole.
        let (mut whole, mut bytes, mut looked) = (0, 0, 0);
        let Place { mut revision, skip } = self.at;
        // How many changes of the revision were looked at, and whether an event of it was found, in this piece or before.
        let (mut index, mut is_open) = (0, skip > 0);
        for change in changes {
            let own = change.version.mod_revision();
            if own > revision {
                close(&mut events);
                (revision, whole, index, is_open) = (own, events.len(), 0, false);
                if looked >= self.changes {
                    return done(events, Place { revision, skip: 0 }, looked, false);
                }
            }
            let is_new = revision > self.at.revision || index >= skip;
            if is_new && self.span.contains(change.version.key()) && self.wants.admit::<P>(change) {
                let mut forms = Forms::<P>::new(change, self.longest);
                let size = ENTRY_BYTES + forms.size(self.wants);
                if !events.is_empty() && bytes + size > self.bytes {
                    let skip = if whole > 0 { 0 } else { index };
                    if whole > 0 {
                        // What there is of this revision comes with the next piece.
                        events.truncate(whole);
                    }
                    return done(events, Place { revision, skip }, looked, false);
                }
                bytes += size;
                events.push(Found { first: !is_open, last: false, bytes: forms.get(self.wants) });
                is_open = true;
            }
            index += 1;
            looked += 1;
        }
        close(&mut events);
        done(events, Place { revision: store.revision() + 1, skip: 0 }, looked, true)
    }
}

/// The last event ends its revision.
fn close(events: &mut [Found]) {
    if let Some(last) = events.last_mut() {
        last.last = true;
    }
}
