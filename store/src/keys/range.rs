//! Reading many keys: in any order, at any revision that is kept, page by page.

use std::cell::Cell;
use std::cmp::Ordering;
use std::iter::Peekable;

use bytes::{Buf, BufMut, Bytes};
use holdfast_command::keys::{Content, Range, SortBy, Span};
use holdfast_command::outcome::RangePage;
use holdfast_command::validate::range_is_valid;
use holdfast_command::{KeyValue, Refusal};

use super::{Keys, bounds};
use crate::tree::Iter;
use crate::version::Version;

/// A page of a range. Its versions are shared with the store.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The revision that was read. Later pages read the same.
    pub revision: u64,
    /// The keys, in the order asked for.
    pub entries: Vec<Version>,
    /// How many keys the span has, if that was asked for.
    pub count: Option<u64>,
    /// Keys within the bounds come behind this page.
    pub more: bool,
    /// Where the next page begins; empty if this is the last.
    pub continuation: Bytes,
    /// Whether the values are left out.
    pub keys_only: bool,
}

impl Page {
    /// The form in which it is sent.
    #[must_use]
    pub fn to_reply(&self) -> RangePage {
        RangePage {
            revision: self.revision,
            entries: self.entries.iter().map(|version| version.to_key_value(!self.keys_only)).collect(),
            count: self.count,
            more: self.more,
            continuation: self.continuation.clone(),
        }
    }

    /// Bytes of the keys, with what is given of them.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.entries.iter().map(|version| given(version, self.keys_only)).sum()
    }
}

/// Bytes that a key takes in an answer.
pub(super) fn given(version: &Version, keys_only: bool) -> u64 {
    let own = if keys_only { version.key().len() as u64 } else { version.bytes() };
    KeyValue::OVERHEAD_BYTES + own
}

/// Comparing so many bytes of a value takes as long as looking at a key.
const BYTES_OF_A_VISIT: u64 = 1_024;

/// How many keys a command may still look at.
#[derive(Debug)]
pub(super) struct Visits {
    limit: u64,
    left: Cell<u64>,
    exceeded: Cell<bool>,
}

impl Visits {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, left: Cell::new(limit), exceeded: Cell::new(false) }
    }

    /// Looks at one key. False if it may not.
    pub(super) fn spend(&self) -> bool {
        self.take(1)
    }

    /// Compares so many bytes of a value.
    pub(super) fn spend_on(&self, bytes: usize) -> bool {
        self.take(bytes as u64 / BYTES_OF_A_VISIT)
    }

    fn take(&self, visits: u64) -> bool {
        match self.left.get().checked_sub(visits) {
            Some(left) => self.left.set(left),
            None => self.exceeded.set(true),
        }
        !self.exceeded.get()
    }

    /// # Errors
    /// [`Refusal::TooManyVisits`].
    pub(super) fn check(&self) -> Result<(), Refusal> {
        if self.exceeded.get() { Err(Refusal::TooManyVisits { limit: self.limit }) } else { Ok(()) }
    }
}

/// Where a page begins, as the page before said it: u8 layout, u64 fingerprint of the range, u64 revision, u64 keys
/// given so far, and the last key, to the end.
struct Continuation {
    revision: u64,
    given: u64,
    last: Bytes,
}

const LAYOUT: u8 = 1;

/// What the pages of one range have in common, as a number: all but revision, size of a page and place. FNV-1a; it
/// finds mistakes, and who makes up a continuation on purpose gets a page of what may be read anyhow.
fn fingerprint(range: &Range) -> u64 {
    let common = Range { revision: 0, page_bytes: 0, continuation: Bytes::new(), ..range.clone() };
    let mut bytes = Vec::new();
    common.write(&mut bytes);
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Continuation {
    fn write(&self, range: &Range) -> Bytes {
        let mut out = Vec::new();
        out.put_u8(LAYOUT);
        out.put_u64_le(fingerprint(range));
        out.put_u64_le(self.revision);
        out.put_u64_le(self.given);
        out.put_slice(&self.last);
        out.into()
    }

    /// None for the first page.
    fn of(range: &Range) -> Result<Option<Self>, Refusal> {
        if range.continuation.is_empty() {
            return Ok(None);
        }
        let mut rest = range.continuation.clone();
        if rest.len() < 25 || rest.get_u8() != LAYOUT || rest.get_u64_le() != fingerprint(range) {
            return Err(Refusal::BadContinuation);
        }
        let (revision, given) = (rest.get_u64_le(), rest.get_u64_le());
        // Nobody was given more keys than there can be, and a revision of 0 would mean another at each page.
        if revision == 0 || given >= 1 << 63 || !range.span.contains(&rest) {
            return Err(Refusal::BadContinuation);
        }
        Ok(Some(Self { revision, given, last: rest }))
    }
}

/// What a range reads.
pub(super) enum Source<'a> {
    /// What is current, the changes of a transaction under way included, as of this revision.
    Current(&'a Keys, u64),
    /// An earlier revision, or the state before the transaction under way.
    Past(&'a Keys, u64),
}

impl<'a> Source<'a> {
    /// The versions of a span, in the order of keys, as far as they may be looked at.
    fn versions<'v>(
        &self,
        span: &Span,
        descending: bool,
        visits: &'v Visits,
    ) -> Box<dyn Iterator<Item = &'a Version> + 'v>
    where
        'a: 'v,
    {
        match *self {
            Self::Current(keys, _) => {
                Box::new(keys.current.range(bounds(span), descending).take_while(|_| visits.spend()))
            }
            Self::Past(keys, revision) => {
                let newest = Merge {
                    one: keys.current.range(bounds(span), descending).peekable(),
                    other: keys.graves.range(bounds(span), descending).peekable(),
                    first: if descending { Ordering::Greater } else { Ordering::Less },
                };
                // Each key that was written since costs a visit, whether it was there or not. A grave from before the
                // oldest revision costs none: whether it is still there depends on how far this node has swept.
                let swept = |newest: &&Version| newest.is_tombstone() && newest.mod_revision() <= keys.oldest;
                let newest = newest.take_while(move |newest| swept(newest) || visits.spend());
                let past = newest.filter_map(move |newest| keys.log.at(newest, revision));
                Box::new(past.filter(|version| !version.is_tombstone()))
            }
        }
    }

    /// How many keys a span has. Those of the current state are counted without being looked at.
    fn count(&self, span: &Span, visits: &Visits) -> u64 {
        match *self {
            Self::Current(keys, _) => keys.current.count(bounds(span)) as u64,
            Self::Past(..) => self.versions(span, false, visits).count() as u64,
        }
    }

    fn revision(&self) -> u64 {
        match *self {
            Self::Current(_, revision) | Self::Past(_, revision) => revision,
        }
    }
}

/// Two orders of keys as one. No key is in both.
struct Merge<'a> {
    one: Peekable<Iter<'a>>,
    other: Peekable<Iter<'a>>,
    first: Ordering,
}

impl<'a> Iterator for Merge<'a> {
    type Item = &'a Version;

    fn next(&mut self) -> Option<&'a Version> {
        match (self.one.peek(), self.other.peek()) {
            (Some(one), Some(other)) if one.key().cmp(other.key()) != self.first => self.other.next(),
            (Some(_), _) => self.one.next(),
            (None, _) => self.other.next(),
        }
    }
}

fn within_bounds(range: &Range, version: &Version) -> bool {
    range.mod_revision.admit(version.mod_revision()) && range.create_revision.admit(version.create_revision())
}

fn compare(by: SortBy, one: &Version, other: &Version) -> Ordering {
    match by {
        SortBy::Key => Ordering::Equal,
        SortBy::Version => one.version().cmp(&other.version()),
        SortBy::CreateRevision => one.create_revision().cmp(&other.create_revision()),
        SortBy::ModRevision => one.mod_revision().cmp(&other.mod_revision()),
        SortBy::Value => one.value().cmp(other.value()),
    }
    .then_with(|| one.key().cmp(other.key()))
}

impl Keys {
    /// Reads a page outside of a transaction.
    ///
    /// # Errors
    /// [`Refusal::EmptyKey`], [`Refusal::EmptySpan`], [`Refusal::BadContinuation`], [`Refusal::FutureRevision`],
    /// [`Refusal::Compacted`].
    pub(crate) fn range(&self, range: &Range, page_bytes: u64) -> Result<Page, Refusal> {
        let asked = u64::from(range.page_bytes);
        let most = if asked == 0 { page_bytes } else { asked.min(page_bytes) };
        self.page(range, most, &Visits::new(u64::MAX), |revision| {
            let revision = self.readable(revision)?;
            Ok(if revision == self.revision {
                Source::Current(self, revision)
            } else {
                Source::Past(self, revision)
            })
        })
    }

    /// Reads a page of at most `most` bytes from what `source` finds for a revision (0: the current).
    pub(super) fn page<'a>(
        &'a self,
        range: &'a Range,
        most: u64,
        visits: &Visits,
        source: impl FnOnce(u64) -> Result<Source<'a>, Refusal>,
    ) -> Result<Page, Refusal> {
        range_is_valid(range)?;
        let continuation = Continuation::of(range)?;
        let source = source(continuation.as_ref().map_or(range.revision, |from| from.revision))?;
        let mut page = Page {
            revision: source.revision(),
            keys_only: range.content == Content::KeysOnly,
            ..Page::default()
        };
        if range.count || range.content == Content::CountOnly {
            page.count = Some(source.count(&range.span, visits));
        }
        if range.content == Content::CountOnly {
            return visits.check().map(|()| page);
        }
        let before = continuation.as_ref().map_or(0, |from| from.given);
        let left = if range.limit == 0 { u64::MAX } else { range.limit.saturating_sub(before) };
        let within = |version: &&'a Version| within_bounds(range, version);
        if range.sort_by == SortBy::Key {
            let last = continuation.as_ref().map(|from| &from.last);
            if let Some(rest) = rest_of(&range.span, last, range.descending) {
                let versions = source.versions(&rest, range.descending, visits).filter(within);
                page.fill(range, versions, before, left, most);
            }
        } else {
            let all = source.versions(&range.span, false, visits).filter(within);
            let weighed =
                |version: &&Version| range.sort_by != SortBy::Value || visits.spend_on(version.value().len());
            let mut all: Vec<&Version> = all.take_while(weighed).collect();
            all.sort_unstable_by(|one, other| compare(range.sort_by, one, other));
            if range.descending {
                all.reverse();
            }
            let skip = usize::try_from(before).unwrap_or(usize::MAX);
            page.fill(range, all.into_iter().skip(skip), before, left, most);
        }
        visits.check().map(|()| page)
    }
}

/// The part of a span that comes behind a key; none if there is nothing.
fn rest_of(span: &Span, last: Option<&Bytes>, descending: bool) -> Option<Span> {
    let Some(last) = last else { return Some(span.clone()) };
    let mut behind = last.to_vec();
    behind.push(0);
    let behind = Bytes::from(behind);
    match (span, descending) {
        (Span::Key(_), _) => None,
        (Span::From(_), false) => Some(Span::From(behind)),
        (Span::Between { end, .. }, false) => {
            (behind < *end).then(|| Span::Between { start: behind, end: end.clone() })
        }
        (Span::From(start) | Span::Between { start, .. }, true) => {
            (start < last).then(|| Span::Between { start: start.clone(), end: last.clone() })
        }
    }
}

impl Page {
    /// Takes versions until a bound is reached.
    fn fill<'a>(
        &mut self,
        range: &Range,
        versions: impl Iterator<Item = &'a Version>,
        before: u64,
        left: u64,
        most: u64,
    ) {
        let mut bytes = 0u64;
        for version in versions {
            if self.entries.len() as u64 == left {
                self.more = true;
                return;
            }
            bytes = bytes.saturating_add(given(version, self.keys_only));
            if bytes > most
                && let Some(last) = self.entries.last()
            {
                self.more = true;
                let given = before + self.entries.len() as u64;
                let last = Bytes::copy_from_slice(last.key());
                self.continuation = Continuation { revision: self.revision, given, last }.write(range);
                return;
            }
            self.entries.push(version.clone());
        }
    }
}
