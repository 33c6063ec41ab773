//! What a log must hold after its writer died: what was reported, and then a run of what was submitted.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use holdfast_wal::disk::RealDisk;
use holdfast_wal::{AsDesigned, Group, Log, Op};

pub(crate) const GROUP: Group = Group(0);

/// An operation, small enough to be told on a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// An entry, which supersedes what has its index or a later one.
    Entry {
        index: u64,
        term: u64,
        bytes: usize,
    },
    Vote {
        term: u64,
        vote: u64,
    },
    Trim {
        first: u64,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry { index, term, bytes } => write!(f, "entry {index} {term} {bytes}"),
            Self::Vote { term, vote } => write!(f, "vote {term} {vote}"),
            Self::Trim { first } => write!(f, "trim {first}"),
        }
    }
}

impl Step {
    /// What [`Display`](fmt::Display) wrote.
    pub(crate) fn read(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let kind = words.next()?;
        let mut number = || words.next()?.parse::<u64>().ok();
        match kind {
            "entry" => Some(Self::Entry { index: number()?, term: number()?, bytes: number()? as usize }),
            "vote" => Some(Self::Vote { term: number()?, vote: number()? }),
            "trim" => Some(Self::Trim { first: number()? }),
            _ => None,
        }
    }

    pub(crate) fn op(self) -> Op {
        match self {
            Self::Entry { index, term, bytes } => {
                Op::Entry { group: GROUP, index, term, body: body(index, term, bytes) }
            }
            Self::Vote { term, vote } => Op::HardState { group: GROUP, term, vote },
            Self::Trim { first } => Op::Trim { group: GROUP, first },
        }
    }
}

/// A body that no other entry has.
fn body(index: u64, term: u64, bytes: usize) -> Bytes {
    let mut word = index << 20 | term;
    let mut next = || {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (word >> 56) as u8
    };
    (0..bytes).map(|_| next()).collect::<Vec<u8>>().into()
}

/// What a log holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    /// The first index that is kept, less one.
    pub(crate) trimmed: u64,
    /// Term and length of each entry.
    pub(crate) entries: BTreeMap<u64, (u64, usize)>,
    pub(crate) term: u64,
    pub(crate) vote: u64,
}

impl Model {
    pub(crate) fn last(&self) -> u64 {
        self.entries.last_key_value().map_or(self.trimmed, |(index, _)| *index)
    }

    pub(crate) fn take(&mut self, step: Step) {
        match step {
            Step::Entry { index, term, bytes } => {
                self.entries.split_off(&index);
                self.entries.insert(index, (term, bytes));
            }
            Step::Vote { term, vote } => (self.term, self.vote) = (term, vote),
            Step::Trim { first } => {
                self.entries = self.entries.split_off(&first);
                self.trimmed = self.trimmed.max(first - 1);
            }
        }
    }

    /// What the log holds. Panics if an entry of it is not as it was submitted.
    fn of(log: &Log<RealDisk, AsDesigned>) -> Self {
        let Some(bounds) = log.bounds(GROUP) else { return Self::default() };
        let hard = log.hard_state(GROUP);
        let mut model =
            Self { trimmed: bounds.first - 1, term: hard.term, vote: hard.vote, ..Self::default() };
        for index in bounds.first..=bounds.last {
            let entry = log.read(GROUP, index).unwrap_or_else(|error| panic!("{error}"));
            let bytes = entry.body.len();
            assert_eq!(entry.body, body(index, entry.term, bytes), "index {index}");
            model.entries.insert(index, (entry.term, bytes));
        }
        model
    }

    /// Whether the log holds what this and some of the steps lead to: at least `reported` of them, from the
    /// front. It is that from now on. Says how many of them.
    pub(crate) fn meets(
        &mut self,
        log: &Log<RealDisk, AsDesigned>,
        steps: &[Step],
        reported: usize,
    ) -> usize {
        let found = Self::of(log);
        for count in 0..=steps.len() {
            if count >= reported && *self == found {
                return count;
            }
            match steps.get(count) {
                Some(step) => self.take(*step),
                None => break,
            }
        }
        panic!(
            "of {} steps {reported} were reported, and then the log holds {} to {}, term {} vote {}; \
             it should at the end hold {} to {}, term {} vote {}; the last steps: {:?}",
            steps.len(),
            found.trimmed + 1,
            found.last(),
            found.term,
            found.vote,
            self.trimmed + 1,
            self.last(),
            self.term,
            self.vote,
            &steps[steps.len().saturating_sub(10)..]
        );
    }
}
