//! Every change of every key since the oldest revision, in order: history, and the way back into it.
//!
//! # Why a log and not a tree of versions
//! A past version is looked for rarely, and a key is written all the time. So a write appends one record, and a read at
//! an earlier revision walks back from the current version. Each record holds the version that it superseded, so the
//! log can be cut at the front, and what was current at the cut is still held by whatever superseded it later.
//!
//! ```text
//!   position     7          8          9         10
//!             ┌ a@5 ┐    ┌ b@5 ┐    ┌ a@6 ┐    ┌ a@7 ┐        current: a@7, b@5
//!   superseded│ a@2 │    │  –  │    │ a@5 │    │ a@6 │        a at revision 5: a@7 → a@6 → a@5
//!             └─────┘    └─────┘    └─────┘    └─────┘
//! ```
//! A key that is written a hundred thousand times an hour would make that a long walk. So each version also names an
//! earlier change of its key to jump to. Every sixteenth change of a key is an *anchor*: those between jump to the one before
//! them, and anchors to one another as in Myers' skew-binary lists ("An applicative random-access stack", 1983). A version
//! `n` writes back is found in about `4 log n + 16` steps. Where to jump stands in the version and not in the log, since the
//! version that is superseded was just read, and its place in the log was not: looking at that, and at two more, was a quarter
//! of the time that a write took among some 100,000 changes.

use imbl::Vector;

use crate::version::{Head, Version, Way};

/// Of so many changes of a key in a row, one is an anchor.
const ANCHORS: u32 = 16;

/// One change: what a key became and what it was.
#[derive(Clone, Debug)]
pub struct Change {
    /// What it became, a tombstone if it was deleted.
    pub version: Version,
    superseded: Option<Version>,
}

impl Change {
    /// Bytes of memory that are kept for it only because it is history.
    pub(crate) fn held(&self) -> u64 {
        let tombstone = if self.version.is_tombstone() { self.version.held() } else { 0 };
        size_of::<Self>() as u64 + tombstone + self.previous().map_or(0, Version::held)
    }

    /// What the key was before; none if it was not there.
    #[must_use]
    pub fn previous(&self) -> Option<&Version> {
        self.superseded.as_ref().filter(|version| !version.is_tombstone())
    }
}

/// The log of changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    /// The position of the first that is kept.
    base: u64,
    entries: Vector<Change>,
}

impl Log {
    /// An empty log, whose first change gets this position.
    pub(crate) fn starting_at(base: u64) -> Self {
        Self { base, entries: Vector::new() }
    }

    /// The position that the next change gets.
    pub(crate) fn next(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    fn get(&self, position: u64) -> Option<&Change> {
        let offset = position.checked_sub(self.base)?;
        self.entries.get(usize::try_from(offset).ok()?)
    }

    /// The change that a version jumps to, if it is still there.
    fn far(&self, from: &Version) -> Option<&Change> {
        let Head { position, way, .. } = from.head();
        self.get(position.checked_sub(way.jump.into()).filter(|_| way.jump > 0)?)
    }

    /// The way into the past of a version that is to stand at `own` and supersedes this one.
    pub(crate) fn way(&self, own: u64, superseded: Option<&Version>) -> Way {
        let Some(parent) = superseded.map(Version::head).filter(|parent| parent.position >= self.base) else {
            return Way::default();
        };
        let depth = parent.way.depth.wrapping_add(1);
        let anchor = if parent.way.depth.is_multiple_of(ANCHORS) {
            parent.position
        } else {
            parent.position - u64::from(parent.way.jump)
        };
        let target = if depth.is_multiple_of(ANCHORS) { self.behind_anchor(anchor) } else { anchor };
        Way { jump: u32::try_from(own - target).unwrap_or_default(), depth }
    }

    /// Where the anchor behind the one at `at` jumps to: as far as that one does, and as far again, if that is as far; else to it.
    fn behind_anchor(&self, at: u64) -> u64 {
        let depth = |change: &Change| change.version.head().way.depth;
        let Some(near) = self.get(at) else { return at };
        let far = self.far(&near.version);
        let further = far.and_then(|far| self.far(&far.version));
        match (far, further) {
            (Some(far), Some(further))
                if depth(near).wrapping_sub(depth(far)) == depth(far).wrapping_sub(depth(further)) =>
            {
                further.version.head().position
            }
            (_, _) => at,
        }
    }

    /// Appends a change, and says how many bytes it holds. `version` has to carry the position [`next`](Self::next).
    pub(crate) fn push(&mut self, version: Version, superseded: Option<Version>) -> u64 {
        let change = Change { version, superseded };
        let held = change.held();
        self.entries.push_back(change);
        held
    }

    /// What the key was at `revision`, given its newest version. `revision` is not below the oldest.
    pub(crate) fn at<'a>(&'a self, newest: &'a Version, revision: u64) -> Option<&'a Version> {
        if newest.mod_revision() <= revision {
            return Some(newest);
        }
        let mut change = self.get(newest.head().position)?;
        loop {
            // `change` is later than `revision`, and so is nothing that it could jump over.
            let far = self.far(&change.version).filter(|far| far.version.mod_revision() > revision);
            if let Some(far) = far {
                change = far;
                continue;
            }
            let superseded = change.superseded.as_ref()?;
            if superseded.mod_revision() <= revision {
                return Some(superseded);
            }
            change = self.get(superseded.head().position)?;
        }
    }

    /// What `version` superseded, as long as that is known.
    pub(crate) fn before(&self, version: &Version) -> Option<&Version> {
        self.get(version.head().position)?.superseded.as_ref()
    }

    /// The first change that is kept.
    pub(crate) fn front(&self) -> Option<&Change> {
        self.entries.front()
    }

    /// Gives up the first change.
    pub(crate) fn pop_front(&mut self) -> Option<Change> {
        let change = self.entries.pop_front()?;
        self.base += 1;
        Some(change)
    }

    /// All changes of revisions from `revision` on.
    pub(crate) fn since(&self, revision: u64) -> impl Iterator<Item = &Change> {
        self.entries.focus().narrow(self.first_of(revision)..).into_iter()
    }

    /// The changes of revisions behind `revision`, without the first `skipped` of them.
    pub(crate) fn behind(&self, revision: u64, skipped: usize) -> impl Iterator<Item = &Change> {
        let first = self.first_of(revision + 1) + skipped;
        self.entries.focus().narrow(first.min(self.entries.len())..).into_iter()
    }

    /// The place of the first change of a revision that is not below this one.
    fn first_of(&self, revision: u64) -> usize {
        let first = self.entries.binary_search_by(|change| {
            // Never equal, so that the answer is the first that is not below.
            if change.version.mod_revision() < revision {
                std::cmp::Ordering::Less
            } else {
                std::cmp::Ordering::Greater
            }
        });
        first.unwrap_or_else(|first| first)
    }

    /// The changes, from the first on.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Change> {
        self.entries.iter()
    }
}
