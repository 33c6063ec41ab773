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
//! A key that is written a hundred thousand times an hour would make that a long walk. So each record also names an
//! earlier one of its key to jump to, chosen as in Myers' skew-binary lists ("An applicative random-access stack",
//! 1983): a version `n` writes back is found in about `2 log n` steps, and a record costs two numbers more.

use imbl::Vector;

use crate::version::Version;

/// One change: what a key became and what it was.
#[derive(Clone, Debug)]
pub struct Change {
    /// What it became, a tombstone if it was deleted.
    pub version: Version,
    superseded: Option<Version>,
    /// How far back an earlier change of the same key lies; 0 for none, or none within reach.
    jump: u32,
    /// How many changes of the key were reachable when it was made.
    depth: u32,
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

    /// The change that `change` jumps to, and where it stands.
    fn far(&self, change: &Change) -> Option<(u64, &Change)> {
        let at =
            change.version.head().position.checked_sub(change.jump.into()).filter(|_| change.jump > 0)?;
        Some((at, self.get(at)?))
    }

    /// Appends a change, and says how many bytes it holds. `version` has to carry the position [`next`](Self::next).
    pub(crate) fn push(&mut self, version: Version, superseded: Option<Version>) -> u64 {
        let own = version.head().position;
        let before = superseded.as_ref().map(|version| version.head().position);
        let (target, depth) = match before.and_then(|at| Some((at, self.get(at)?))) {
            None => (own, 0),
            Some((at, parent)) => {
                let far = self.far(parent);
                let further = far.and_then(|(_, far)| self.far(far));
                let target = match (far, further) {
                    (Some((_, far)), Some((further_at, further)))
                        if parent.depth.wrapping_sub(far.depth) == far.depth.wrapping_sub(further.depth) =>
                    {
                        further_at
                    }
                    (_, _) => at,
                };
                (target, parent.depth.wrapping_add(1))
            }
        };
        let jump = u32::try_from(own - target).unwrap_or_default();
        let change = Change { version, superseded, jump, depth };
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
            if let Some((_, far)) = self.far(change).filter(|(_, far)| far.version.mod_revision() > revision)
            {
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
