//! What watches were told, compared with what changed.
//!
//! # What is promised
//! - **W1 Order, W2 Unique**: revisions come in order, and none twice.
//! - **W3 Reliable**: no change that the watch wants is left out, up to the last it was told, the last mark of
//!   progress (**W6**: a mark says that everything up to it was told), and `complete_to`, if it was let run to the
//!   end. Only a compaction that was told, and that took place, explains a gap (**W5**).
//! - **W4 Atomic**: all changes of a revision together.
//! - **W7 Filter**: only keys that it wants, with the values that they got.
//! - **W8 From**: nothing below the revision that it asked for.
//!
//! What cannot be seen from outside is left to the tests of the server: the versions before (W7), access (W9), and
//! the reasons for an end (W10).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;

use super::facts::{Facts, shown};
use super::{History, Kind, Told, Violation, Watching, text};

/// The changes of the keys that one prefix wants: revision, key, value; ascending.
type Wanted<'a> = Vec<(u64, &'a [u8], Option<&'a [u8]>)>;

/// What is wrong with watches.
#[must_use]
pub fn judge(history: &History) -> Vec<Violation> {
    let (facts, _) = Facts::new(history);
    let mut wanted: BTreeMap<&[u8], Wanted<'_>> = BTreeMap::new();
    let mut violations = Vec::new();
    for watch in &history.watches {
        let prefix = watch.prefix.as_ref();
        let wanted = wanted.entry(prefix).or_insert_with(|| collect(&facts, prefix));
        let mut one =
            One { history, watch, wanted, next: watch.from, told: BTreeSet::new(), out: Vec::new() };
        one.judge();
        violations.append(&mut one.out);
    }
    violations
}

fn collect<'a>(facts: &Facts<'a>, prefix: &[u8]) -> Wanted<'a> {
    let mut wanted = Wanted::new();
    let begin = (Bound::Included(prefix), Bound::Unbounded);
    for (key, versions) in facts.keys.range::<[u8], _>(begin).take_while(|(key, _)| key.starts_with(prefix)) {
        wanted.extend(versions.iter().map(|version| (version.revision, *key, version.value)));
    }
    wanted.sort_unstable();
    wanted
}

struct One<'a> {
    history: &'a History,
    watch: &'a Watching,
    wanted: &'a Wanted<'a>,
    /// Everything below was told, or need not be.
    next: u64,
    told: BTreeSet<u64>,
    out: Vec<Violation>,
}

impl<'a> One<'a> {
    fn report(&mut self, kind: Kind, what: &str) {
        let (client, prefix, from) = (self.watch.client, text(&self.watch.prefix), self.watch.from);
        self.out
            .push(Violation::new(kind, format!("watch of client {client} on {prefix} from {from}: {what}")));
    }

    fn judge(&mut self) {
        let watch = self.watch;
        for told in &watch.told {
            match told {
                Told::Revision { revision, changes } => self.revision(*revision, changes),
                Told::Progress(to) => {
                    if *to > self.history.end.revision {
                        self.report(Kind::WatchWrong, &format!("progress to {to}, which there never was"));
                    }
                    self.complete(to.saturating_add(1), "a mark of progress");
                }
                Told::Compacted(to) => {
                    if *to > self.history.end.oldest {
                        self.report(Kind::WatchWrong, &format!("compacted to {to}, which nobody did"));
                    }
                    self.next = self.next.max(*to);
                }
            }
        }
        if let Some(to) = watch.complete_to {
            self.complete(to.saturating_add(1), "its end");
        }
    }

    /// Everything below `to` has to be told by now.
    fn complete(&mut self, to: u64, by: &str) {
        if self.next >= to {
            return;
        }
        let first = self.wanted.partition_point(|(revision, _, _)| *revision < self.next);
        // Below the oldest revision, a deletion may be one of something that was not there.
        let sure = |(revision, _, value): &&(u64, &[u8], Option<&[u8]>)| {
            *revision >= self.history.end.oldest || value.is_some()
        };
        let missing = self.wanted[first..].iter().take_while(|(revision, _, _)| *revision < to).find(sure);
        if let Some((revision, key, _)) = missing {
            let what =
                format!("{} changed in revision {revision}, and before {by} it was not told", text(key));
            self.report(Kind::WatchGap, &what);
        }
        self.next = to;
    }

    fn revision(&mut self, revision: u64, changes: &[(Bytes, Option<Bytes>)]) {
        if revision < self.watch.from {
            return self
                .report(Kind::WatchWrong, &format!("revision {revision} lies before what it asked for"));
        }
        if !self.told.insert(revision) {
            return self.report(Kind::WatchRepeat, &format!("revision {revision} came twice"));
        }
        if revision < self.next {
            return self
                .report(Kind::WatchOrder, &format!("revision {revision} came behind {}", self.next - 1));
        }
        self.complete(revision, &format!("revision {revision}"));
        self.next = revision + 1;

        let first = self.wanted.partition_point(|(known, _, _)| *known < revision);
        let group = &self.wanted[first..];
        let group = &group[..group.partition_point(|(known, _, _)| *known == revision)];
        let mut keys: BTreeSet<&[u8]> = BTreeSet::new();
        for (key, value) in changes {
            let due =
                group.binary_search_by_key(&key.as_ref(), |(_, key, _)| *key).ok().map(|at| group[at].2);
            let what = || format!("revision {revision} with {}={}", text(key), shown(value.as_deref()));
            if !keys.insert(key) {
                self.report(Kind::WatchRepeat, &format!("{} twice", what()));
            } else if !key.starts_with(&self.watch.prefix) {
                self.report(Kind::WatchWrong, &format!("{}, which it does not want", what()));
            } else if due != Some(value.as_deref()) {
                let is =
                    due.map_or_else(|| "did not change there".to_owned(), |due| format!("is {}", shown(due)));
                self.report(Kind::WatchWrong, &format!("{}, which {is}", what()));
            }
        }
        let left = |(known, key, value): &&(u64, &'a [u8], Option<&'a [u8]>)| {
            !keys.contains(key) && (*known >= self.history.end.oldest || value.is_some())
        };
        if let Some((_, key, _)) = group.iter().find(left) {
            self.report(Kind::WatchTorn, &format!("revision {revision} came without {}", text(key)));
        }
    }
}
