//! The generator, continued: transactions and ranges.

use bytes::Bytes;
use holdfast_command::Command;
use holdfast_command::keys::{
    Against, Bounds, Compare, Content, DEPTH_MAX, Delete, Operation, Put, Range, Relation, Restore, SortBy,
    Span, Transaction,
};
use holdfast_machine::Numbered;

use super::generate::{Bent, Generator};
use super::naive::Naive;
use super::reads::{self, Place};

const PAGE_BYTES: [u32; 8] = [0, 0, 1, 60, 120, 160, 2_000, u32::MAX];

impl Generator {
    pub(crate) fn transact(&mut self, model: &Naive) -> Command {
        if self.bent == Bent::Wide && self.rng.permille(400) {
            return Command::Transact(self.bulk());
        }
        if self.rng.permille(60) {
            return Command::Transact(self.clash(3));
        }
        // One transaction in a hundred stands in too many others.
        let depth = if self.rng.permille(10) { DEPTH_MAX + 1 } else { DEPTH_MAX };
        let mut used = Vec::new();
        Command::Transact(self.transaction(model, depth, depth > DEPTH_MAX, &mut used))
    }

    /// `used` are the keys that some list changes already.
    fn transaction(&mut self, model: &Naive, depth: u8, deep: bool, used: &mut Vec<Bytes>) -> Transaction {
        let compares = (0..*self.rng.pick(&[0, 0, 1, 1, 1, 2])).map(|_| self.compare(model)).collect();
        let (mut then, mut otherwise) = (Vec::new(), Vec::new());
        for list in [&mut then, &mut otherwise] {
            for _ in 0..self.rng.below(4) {
                list.push(self.operation(model, depth, used));
            }
        }
        if deep && depth > 1 {
            then.push(Operation::Transaction(self.transaction(model, depth - 1, deep, used)));
        }
        Transaction { compares, then, otherwise }
    }

    fn operation(&mut self, model: &Naive, depth: u8, used: &mut Vec<Bytes>) -> Operation {
        match self.rng.below(100) {
            0..=34 => {
                let put = self.put(model);
                let key = self.unused(model, put.key, used);
                Operation::Put(Put { key, ..put })
            }
            35..=49 => {
                let delete = self.delete(model);
                let Delete { span, return_previous } = delete;
                let span = match span {
                    Span::Key(key) => Span::Key(self.unused(model, key, used)),
                    Span::Between { .. } | Span::From(_) if self.rng.permille(850) => {
                        let key = self.key(model);
                        Span::Key(self.unused(model, key, used))
                    }
                    other @ (Span::Between { .. } | Span::From(_)) => other,
                };
                Operation::Delete(Delete { span, return_previous })
            }
            50..=61 => {
                let restore = self.restore(model);
                let key = self.unused(model, restore.key, used);
                Operation::Restore(Restore { key, ..restore })
            }
            62..=84 => Operation::Range(self.range(model)),
            _ if depth > 1 => Operation::Transaction(self.transaction(model, depth - 1, false, used)),
            _ => Operation::Range(Range::of(Span::all())),
        }
    }

    /// A key that nothing else in the transaction changes, in most cases.
    fn unused(&mut self, model: &Naive, mut key: Bytes, used: &mut Vec<Bytes>) -> Bytes {
        for _ in 0..20 {
            if !used.contains(&key) || self.rng.permille(20) {
                break;
            }
            key = self.key(model);
        }
        used.push(key.clone());
        key
    }

    fn compare(&mut self, model: &Naive) -> Compare {
        if self.rng.permille(150) {
            return self.compare_token(model);
        }
        let span = self.span(model);
        let item =
            model.current().iter().find(|(key, _)| super::rules::within(&span, key)).map(|(_, item)| item);
        let distance = self.rng.below(4);
        let near = |number: u64| match distance {
            0 => number + 1,
            1 => number.saturating_sub(1),
            _ => number,
        };
        let against = match self.rng.below(5) {
            0 => Against::Version(near(item.map_or(0, |item| item.version))),
            1 => Against::CreateRevision(near(item.map_or(0, |item| item.create_revision))),
            2 => Against::ModRevision(near(item.map_or(0, |item| item.mod_revision))),
            3 => {
                let own = item.map_or(0, |item| item.lease);
                Against::Lease(*self.rng.pick(&[0, own, own, 1, -1]))
            }
            _ => {
                let own = item.filter(|_| self.rng.permille(600)).map(|item| item.value.clone());
                Against::Value(own.unwrap_or_else(|| self.value(model)))
            }
        };
        Compare { span, relation: *self.rng.pick(Relation::ALL), against }
    }

    /// A range with any options; the first page or a later one.
    pub(crate) fn range(&mut self, model: &Naive) -> Range {
        if !model.places.is_empty() && self.rng.permille(250) {
            return self.later_page(model);
        }
        let mut bounds = || match self.rng.below(8) {
            0 => Bounds { min: self.rng.between(1, model.revision()), max: 0 },
            1 => Bounds { min: 0, max: self.rng.between(1, model.revision()) },
            2 => Bounds { min: self.rng.below(5), max: self.rng.between(1, model.revision() + 1) },
            _ => Bounds::default(),
        };
        let (mod_revision, create_revision) = (bounds(), bounds());
        let continuation = if self.rng.permille(10) {
            Bytes::from_static(if self.rng.permille(500) { b"?" } else { &[0xff; 40] })
        } else {
            Bytes::new()
        };
        Range {
            span: self.span(model),
            revision: if self.rng.permille(600) { 0 } else { self.revision(model) },
            limit: *self.rng.pick(&[0, 0, 0, 1, 2, 3, 100, u64::MAX]),
            sort_by: if self.rng.permille(400) { SortBy::Key } else { *self.rng.pick(SortBy::ALL) },
            descending: self.rng.permille(400),
            content: *self.rng.pick(&[Content::Full, Content::Full, Content::KeysOnly, Content::CountOnly]),
            count: self.rng.permille(400),
            mod_revision,
            create_revision,
            page_bytes: *self.rng.pick(&PAGE_BYTES),
            continuation,
        }
    }

    /// The page behind one that the store gave; or a page of something else, with the continuation of that.
    fn later_page(&mut self, model: &Naive) -> Range {
        self.fragile = true;
        let newest = model.places.len() as u64 - 1;
        let place = (newest - self.rng.below(6.min(newest + 1))) as usize;
        let (continuation, place) = &model.places[place];
        if !model.is_stable(place) && place.revision >= model.oldest {
            return Range::of(Span::all());
        }
        let mut range = Range { continuation: continuation.clone(), ..place.range.clone() };
        match self.rng.below(25) {
            0 => range.descending = !range.descending,
            1 => range.span = reads::other_span(place),
            2 => range.span = self.span(model),
            3 => range.sort_by = *self.rng.pick(SortBy::ALL),
            4 => range.limit = self.rng.below(4),
            5 => range.count = !range.count,
            6 => range.content = *self.rng.pick(Content::ALL),
            7 => range.create_revision.min += 1,
            8 => range.mod_revision.max += 1,
            9..=10 => range.page_bytes = *self.rng.pick(&PAGE_BYTES),
            11..=12 => range.revision = self.revision(model),
            _ => {}
        }
        if place.revision < model.oldest {
            return self.stale_page(place, range);
        }
        range
    }

    /// A page whose revision was compacted. Whether it is of another range as well is left aside: both are refused, and the page
    /// does not say which comes first.
    fn stale_page(&mut self, place: &Place, range: Range) -> Range {
        Range { continuation: range.continuation, ..place.range.clone() }
    }
}
