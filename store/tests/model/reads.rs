//! The model, continued: ranges page by page, histories and changes.

use std::collections::BTreeSet;

use bytes::Bytes;
use holdfast_command::keys::{Bounds, Content, Range, SortBy, Span};
use holdfast_command::outcome::RangePage;
use holdfast_command::{KeyValue, Refusal, Reply};

use super::keys::key_value;
use super::naive::{Item, Keys, Naive, Writer};
use super::rules;

/// Where the next page of a range begins.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place {
    /// The range, as it was for the first page.
    pub(crate) range: Range,
    pub(crate) revision: u64,
    /// The last key that was given, and how many were.
    pub(crate) last: Bytes,
    pub(crate) given: u64,
    /// All keys that the range gave when it was read, whatever its limit.
    pub(crate) keys: Vec<Bytes>,
}

/// A range, and the place behind the page. `now` is what revision 0 reads, and which revision that is; within a transaction it
/// may be one that is not there yet. `most` is how many bytes a page may have whatever the range says.
pub(crate) fn range(
    model: &Naive,
    range: &Range,
    now: (u64, &Keys),
    most: u64,
) -> Result<(RangePage, Option<Place>), Refusal> {
    rules::of_span(&range.span)?;
    let mut first = Range { continuation: Bytes::new(), ..range.clone() };
    let mut asked = range.revision;
    let mut place = None;
    if !range.continuation.is_empty() {
        let found = place_of(model, range).ok_or(Refusal::BadContinuation)?;
        asked = found.revision;
        first.revision = found.range.revision;
        place = Some(found);
    }
    let (revision, keys) = match asked {
        0 => now,
        _ if asked > model.revision() => {
            return Err(Refusal::FutureRevision { asked, current: model.revision() });
        }
        _ if asked < model.oldest => return Err(Refusal::Compacted { asked, oldest: model.oldest }),
        _ => (asked, &model.revisions[asked as usize].keys),
    };
    let count = keys.keys().filter(|key| rules::within(&range.span, key)).count() as u64;
    let count = Some(count).filter(|_| range.count || range.content == Content::CountOnly);
    if range.content == Content::CountOnly {
        return Ok((RangePage { revision, count, ..RangePage::default() }, None));
    }
    let all = sorted(range, keys);
    let (before, rest) = place.map_or((0, &all[..]), |place| (place.given, behind(&all, place)));
    let limit = if range.limit == 0 { u64::MAX } else { range.limit - before };
    let rest_in_limit = &rest[..limit.min(rest.len() as u64) as usize];
    let most = if range.page_bytes == 0 { most } else { most.min(range.page_bytes.into()) };
    let mut entries: Vec<KeyValue> = Vec::new();
    let mut bytes = 0;
    for (key, item) in rest_in_limit {
        let mut entry = key_value(key, item);
        if range.content == Content::KeysOnly {
            entry.value = Bytes::new();
        }
        bytes += (48 + entry.key.len() + entry.value.len()) as u64;
        if bytes > most && !entries.is_empty() {
            break;
        }
        entries.push(entry);
    }
    let next = entries.last().filter(|_| entries.len() < rest_in_limit.len()).map(|last| Place {
        range: first,
        revision,
        last: last.key.clone(),
        given: before + entries.len() as u64,
        keys: all.iter().map(|(key, _)| (*key).clone()).collect(),
    });
    let more = rest.len() > entries.len();
    Ok((RangePage { revision, entries, count, more, continuation: Bytes::new() }, next))
}

/// What a page of a range costs: the keys that it looks at, and long values that it sorts by.
pub(crate) fn visits(model: &Naive, range: &Range, now: &Keys, page: &RangePage) -> u64 {
    let place = place_of(model, range);
    let named = place.map_or(range.revision, |place| place.revision);
    // At a named revision, all keys that there were at any time since the oldest one.
    let (keys, walked): (&Keys, Vec<&Bytes>) = if named == 0 {
        (now, now.keys().collect())
    } else {
        let readable = &model.revisions[model.oldest as usize..];
        let all: BTreeSet<&Bytes> = readable.iter().flat_map(|revision| revision.keys.keys()).collect();
        (&model.revisions[named as usize].keys, all.into_iter().collect())
    };
    let mut span: Vec<&Bytes> = walked.into_iter().filter(|key| rules::within(&range.span, key)).collect();
    let to_the_end = span.len();
    let counted = if named != 0 && page.count.is_some() { to_the_end as u64 } else { 0 };
    let fits = sorted(range, keys);
    if range.content == Content::CountOnly {
        return counted;
    }
    if range.sort_by != SortBy::Key {
        let values = fits.iter().filter(|_| range.sort_by == SortBy::Value);
        return counted + to_the_end as u64 + values.map(|(_, item)| long(&item.value)).sum::<u64>();
    }
    if range.descending {
        span.reverse();
    }
    // From the first key of the page to the first behind it that is within the bounds.
    let passed = |key: &Bytes, last: &Bytes| if range.descending { key >= last } else { key <= last };
    span.retain(|key| place.is_none_or(|place| !passed(key, &place.last)));
    let given = page.entries.last().map(|last| &last.key);
    let behind =
        |key: &Bytes| given.is_none_or(|last| !passed(key, last)) && fits.iter().any(|(fit, _)| *fit == key);
    counted + span.iter().position(|key| behind(key)).map_or(span.len(), |place| place + 1) as u64
}

/// What looking at a value costs beyond its key.
pub(crate) fn long(value: &Bytes) -> u64 {
    value.len() as u64 / 1_024
}

/// What a range would give without a limit.
fn sorted<'a>(range: &Range, keys: &'a Keys) -> Vec<(&'a Bytes, &'a Item)> {
    let fits =
        |bounds: Bounds, revision| bounds.min <= revision && (bounds.max == 0 || revision <= bounds.max);
    let mut chosen: Vec<(&Bytes, &Item)> = keys
        .iter()
        .filter(|(key, _)| rules::within(&range.span, key))
        .filter(|(_, item)| fits(range.mod_revision, item.mod_revision))
        .filter(|(_, item)| fits(range.create_revision, item.create_revision))
        .collect();
    chosen.sort_by(|one, other| {
        let order = match range.sort_by {
            SortBy::Key => one.0.cmp(other.0),
            SortBy::Version => one.1.version.cmp(&other.1.version),
            SortBy::CreateRevision => one.1.create_revision.cmp(&other.1.create_revision),
            SortBy::ModRevision => one.1.mod_revision.cmp(&other.1.mod_revision),
            SortBy::Value => one.1.value.cmp(&other.1.value),
        };
        order.then(one.0.cmp(other.0))
    });
    if range.descending {
        chosen.reverse();
    }
    chosen
}

/// What stands behind the last key that was given. In the order of keys that is clear also if this key is gone since.
fn behind<'a, 'b>(all: &'b [(&'a Bytes, &'a Item)], place: &Place) -> &'b [(&'a Bytes, &'a Item)] {
    let passed = |key: &Bytes| match (place.range.sort_by, place.range.descending) {
        (SortBy::Key, false) => *key <= place.last,
        (SortBy::Key, true) => *key >= place.last,
        _ => place.keys[..place.given as usize].contains(key),
    };
    &all[all.iter().take_while(|(key, _)| passed(key)).count()..]
}

/// What the continuation of a range means, if it was made by this range.
fn place_of<'a>(model: &'a Naive, range: &Range) -> Option<&'a Place> {
    let same = |place: &&Place| {
        let revision = place.range.revision;
        let page_bytes = place.range.page_bytes;
        place.range == Range { continuation: Bytes::new(), revision, page_bytes, ..range.clone() }
    };
    let mut all =
        model.places.iter().filter(|(bytes, _)| *bytes == range.continuation).map(|(_, place)| place);
    all.find(same)
}

/// What stands for the bytes of a continuation until the store's are taken over.
pub(crate) fn stand_in(number: usize) -> Bytes {
    format!("place {number}").into_bytes().into()
}

/// Takes over the continuations of the store's reply, and remembers what each has to mean.
pub(crate) fn adopt(mine: &mut Reply, seen: &Reply, places: &[Place], known: &mut Vec<(Bytes, Place)>) {
    match (mine, seen) {
        (Reply::Transacted { results: mine, .. }, Reply::Transacted { results: seen, .. }) => {
            for (mine, seen) in mine.iter_mut().zip(seen) {
                adopt(mine, seen, places, known);
            }
        }
        (Reply::Ranged(mine), Reply::Ranged(seen)) if !seen.continuation.is_empty() => {
            let number = (0..places.len()).find(|number| stand_in(*number) == mine.continuation);
            if let Some(number) = number {
                mine.continuation = seen.continuation.clone();
                known.push((seen.continuation.clone(), places[number].clone()));
            }
        }
        _ => {}
    }
}

/// One version of a key: what it was, or nothing; when it became so, and who made it so.
pub(crate) type VersionOf = (u64, Option<Item>, Writer);

impl Naive {
    /// Whether it is clear what comes behind a place. It is not if the page stood in a transaction that went on to change keys, and
    /// the order is not that of the keys.
    pub(crate) fn is_stable(&self, place: &Place) -> bool {
        let now = sorted(&place.range, &self.revisions[place.revision as usize].keys);
        place.range.sort_by == SortBy::Key || now.into_iter().map(|(key, _)| key).eq(&place.keys)
    }

    /// What became of a key, newest first, back to what it was at the oldest revision.
    pub(crate) fn history(&self, key: &Bytes, limit: usize) -> Vec<VersionOf> {
        let mut all = Vec::new();
        for number in (2..=self.revision()).rev().filter(|number| *number > self.oldest) {
            let revision = &self.revisions[number as usize];
            if revision.changed.contains(key) {
                all.push((number, revision.keys.get(key).cloned(), revision.writer.clone()));
            }
        }
        if let Some(item) = self.revisions[self.oldest as usize].keys.get(key) {
            all.push((item.mod_revision, Some(item.clone()), item.writer.clone()));
        }
        all.truncate(limit);
        all
    }

    /// All changes from a revision on: key, version, and what was there before.
    pub(crate) fn changes(&self, from: u64) -> Result<Vec<(Bytes, VersionOf, Option<Item>)>, Refusal> {
        if from < self.oldest || (from == self.oldest && from > 1) {
            return Err(Refusal::Compacted { asked: from, oldest: self.oldest });
        }
        if from > self.revision() + 1 {
            return Err(Refusal::FutureRevision { asked: from, current: self.revision() });
        }
        let mut all = Vec::new();
        for number in from.max(2)..=self.revision() {
            let revision = &self.revisions[number as usize];
            for key in &revision.changed {
                let version = (number, revision.keys.get(key).cloned(), revision.writer.clone());
                let before = self.revisions[number as usize - 1].keys.get(key).cloned();
                all.push((key.clone(), version, before));
            }
        }
        Ok(all)
    }
}

/// A span without the last key that was given at `place`.
pub(crate) fn other_span(place: &Place) -> Span {
    let mut behind = place.last.to_vec();
    behind.push(0);
    Span::From(behind.into())
}
