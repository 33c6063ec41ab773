//! Keys: what they are, what they were, and what changes them.
//!
//! ```text
//!   current   every key there is        ordered set of thin pointers, O(1) clone
//!   graves    every key that was deleted since the oldest revision, so that the way back into its past is found
//!   log       every change since the oldest revision                                                    [log]
//! ```
//! A write puts one pointer into `current` and one record behind `log`. Everything else about the past is found from
//! there.

mod compact;
mod edit;
mod log;
mod portable;
mod range;
mod transact;

use std::ops::Bound;

use holdfast_command::Refusal;
use holdfast_command::keys::Span;
use imbl::Vector;
pub use log::Change;
pub use range::Page;
pub(crate) use transact::delete_all;

use self::compact::Mark;
use self::edit::Staged;
use self::log::Log;
use crate::namespaces::Usage;
use crate::tree::{Bounds, Tree};
use crate::version::Version;

/// All keys, with their history.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    current: Tree,
    graves: Tree,
    log: Log,
    revision: u64,
    /// The oldest revision that can be read.
    oldest: u64,
    /// Bytes of memory that the log holds and that are no longer current. Local: it falls as the sweep goes on.
    history_bytes: u64,
    /// How old revisions are: some of them, ascending.
    marks: Vector<Mark>,
    /// A buffer to pack versions in, and one for the changes of a command. Both are empty between commands.
    scratch: Vec<u8>,
    staged: Vec<Staged>,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            current: Tree::default(),
            graves: Tree::default(),
            log: Log::default(),
            revision: 1,
            oldest: 1,
            history_bytes: 0,
            marks: Vector::new(),
            scratch: Vec::new(),
            staged: Vec::new(),
        }
    }
}

/// A span as the bounds of a tree.
fn bounds(span: &Span) -> Bounds<'_> {
    match span {
        Span::Key(key) => (Bound::Included(key), Bound::Included(key)),
        Span::Between { start, end } => (Bound::Included(start), Bound::Excluded(end)),
        Span::From(start) => (Bound::Included(start), Bound::Unbounded),
    }
}

impl Keys {
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn oldest(&self) -> u64 {
        self.oldest
    }

    pub(crate) fn history_bytes(&self) -> u64 {
        self.history_bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.current.len()
    }

    /// The current version of a key.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Version> {
        self.current.get(key)
    }

    /// All keys that are there now.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Version> {
        self.current.range((Bound::Unbounded, Bound::Unbounded), false)
    }

    /// The keys of a span that are there now.
    fn current_of<'a>(&'a self, span: &Span) -> impl Iterator<Item = &'a Version> + use<'a> {
        self.current.range(bounds(span), false)
    }

    /// What all keys that begin with `prefix` hold.
    pub(crate) fn usage_of_prefix(&self, prefix: &[u8]) -> Usage {
        let sum = match bounds(&Span::prefix(prefix.to_vec())) {
            (_, Bound::Excluded(end)) => self.current.sum(prefix, Some(end)),
            (_, Bound::Included(_) | Bound::Unbounded) => self.current.sum(prefix, None),
        };
        Usage { keys: sum.count as u64, bytes: sum.bytes }
    }

    /// Whether a revision can be read.
    fn readable(&self, asked: u64) -> Result<u64, Refusal> {
        match asked {
            0 => Ok(self.revision),
            _ if asked > self.revision => Err(Refusal::FutureRevision { asked, current: self.revision }),
            _ if asked < self.oldest => Err(Refusal::Compacted { asked, oldest: self.oldest }),
            _ => Ok(asked),
        }
    }

    /// What a key was at a revision that can be read; no tombstone.
    fn at(&self, key: &[u8], revision: u64) -> Option<&Version> {
        let newest = self.current.get(key).or_else(|| self.graves.get(key))?;
        self.log.at(newest, revision).filter(|version| !version.is_tombstone())
    }

    /// The versions of a key, newest first, tombstones included, back to the one that is current at the oldest
    /// revision; those of revisions below `before`, or all if that is 0.
    pub(crate) fn history<'a>(
        &'a self,
        key: &[u8],
        before: u64,
    ) -> impl Iterator<Item = &'a Version> + use<'a> {
        let newest = self.current.get(key).or_else(|| self.graves.get(key));
        let newest = match before {
            0 => newest,
            _ if before <= self.oldest => None,
            _ => newest.and_then(|newest| self.log.at(newest, before - 1)),
        };
        let back = std::iter::successors(newest, |version| {
            if version.mod_revision() <= self.oldest { None } else { self.log.before(version) }
        });
        // A deletion at or before the oldest revision says nothing any more, and is gone once the sweep has come by.
        back.filter(|version| version.mod_revision() > self.oldest || !version.is_tombstone())
    }

    /// All changes of revisions from `from` on, in order.
    ///
    /// # Errors
    /// [`Refusal::Compacted`] if not all of them are known, [`Refusal::FutureRevision`] beyond the next revision.
    pub(crate) fn changes(&self, from: u64) -> Result<impl Iterator<Item = &Change>, Refusal> {
        // Nothing was changed at revision 1, so nothing of it can be missing.
        if from < self.oldest || (from == self.oldest && self.oldest > 1) {
            return Err(Refusal::Compacted { asked: from, oldest: self.oldest });
        }
        if from > self.revision + 1 {
            return Err(Refusal::FutureRevision { asked: from, current: self.revision });
        }
        Ok(self.log.since(from))
    }
}
