//! The generator, continued: keys, values, spans, revisions, and the operations made of them.

use bytes::Bytes;
use holdfast_command::Setting;
use holdfast_command::keys::{Delete, Operation, Put, Restore, Span, Transaction};

use super::generate::{Bent, Generator};
use super::naive::Naive;

const KEYS: [&[u8]; 14] = [
    b"a",
    b"a/",
    b"a/b",
    b"a/b/",
    b"a/b/c",
    b"a/b/d",
    b"a/bc",
    b"a\x00",
    b"b/x",
    b"b/y",
    b"c",
    b"\x00",
    b"\xff",
    b"\xff\xff",
];
const PREFIXES: [&[u8]; 7] = [b"", b"a", b"a/", b"a/b/", b"b/", b"\xff", b"zz"];

/// One of many keys, in their order.
fn wide_key(number: u64) -> Bytes {
    let (place, rest) = (number / 100, number % 100);
    format!("{}{rest:02}", ["a/b/", "b/x", "b/x/long/and/longer/"][place.min(2) as usize]).into()
}

impl Generator {
    fn one_of(&mut self, all: &[&'static [u8]]) -> Bytes {
        let one = self.rng.below(all.len() as u64) as usize;
        Bytes::from_static(all[one])
    }

    pub(crate) fn key(&mut self, model: &Naive) -> Bytes {
        match self.rng.below(300) {
            20..=299 if self.bent == Bent::Wide => {
                let number = self.rng.below(300);
                wide_key(number)
            }
            0 => Bytes::new(),
            1..=2 => Bytes::from_static(b"a/b/cdefghijklmnopq"),
            3..=100 if !model.current().is_empty() => {
                let there: Vec<Bytes> = model.current().keys().cloned().collect();
                self.rng.pick(&there).clone()
            }
            _ => self.one_of(&KEYS),
        }
    }

    pub(crate) fn value(&mut self, model: &Naive) -> Bytes {
        let most = model.setting(Setting::ValueBytes);
        let length = match self.rng.below(1_000) {
            500..=999 if self.bent == Bent::Heavy => most.min(self.rng.between(250, 450)),
            450..=499 if self.bent == Bent::Heavy => most.min(self.rng.between(1_024, 2_100)),
            0..=3 if model.setting(Setting::RequestBytes) == 65_536 => 65_537,
            4..=9 if most <= 1_000 => most + 1,
            10..=99 => most.min(*self.rng.pick(&[600, 600, 600, 1_100, 2_100])),
            100..=300 => most.min(*self.rng.pick(&[8, 16, 17, 30, 41])),
            _ => self.rng.below(4),
        };
        vec![b'v' + self.rng.below(3) as u8; length as usize].into()
    }

    pub(crate) fn put(&mut self, model: &Naive) -> Put {
        let key = self.key(model);
        let there = model.current().contains_key(&key);
        let keep = if there { 150 } else { 20 };
        let (keep_value, keep_lease) = (self.rng.permille(keep), self.rng.permille(keep));
        let value = if keep_value && !self.rng.permille(30) { Bytes::new() } else { self.value(model) };
        let lease = match self.rng.below(1_000) {
            0..=7 => *self.rng.pick(&[-1, 1, i64::MAX, i64::MIN]),
            8..=350 if model.leases.contains_key(&self.lease) && (!keep_lease || self.rng.permille(30)) => {
                self.lease
            }
            _ => 0,
        };
        Put { key, value, lease, return_previous: self.rng.permille(300), keep_value, keep_lease }
    }

    pub(crate) fn delete(&mut self, model: &Naive) -> Delete {
        let span = if self.rng.permille(500) { Span::Key(self.key(model)) } else { self.span(model) };
        Delete { span, return_previous: self.rng.permille(400) }
    }

    pub(crate) fn span(&mut self, model: &Naive) -> Span {
        match self.rng.below(100) {
            30..=69 if self.bent == Bent::Wide && self.rng.permille(900) => {
                let (first, count) = (self.rng.below(300), self.rng.between(1, 80));
                Span::Between { start: wide_key(first), end: wide_key(first + count) }
            }
            0..=29 => Span::Key(self.key(model)),
            30..=69 => Span::prefix(self.one_of(&PREFIXES)),
            70..=79 => Span::From(self.key(model)),
            80..=84 => Span::all(),
            _ => {
                let (one, other) = (self.key(model), self.key(model));
                let swapped = self.rng.permille(50);
                let (start, end) = if (one < other) == swapped { (other, one) } else { (one, other) };
                Span::Between { start, end }
            }
        }
    }

    /// A revision, mostly one that can be read.
    pub(crate) fn revision(&mut self, model: &Naive) -> u64 {
        match self.rng.below(100) {
            0..=1 => model.oldest - 1,
            2 => self.rng.below(model.oldest),
            3..=4 => model.revision() + 1,
            5 => u64::MAX,
            6..=15 => model.oldest,
            16..=30 => model.revision(),
            _ => self.rng.between(model.oldest, model.revision()),
        }
    }

    pub(crate) fn restore(&mut self, model: &Naive) -> Restore {
        let (key, revision) = (self.key(model), self.revision(model));
        Restore { key, revision, return_previous: self.rng.permille(300) }
    }

    /// Changes of few keys, so that they are likely to meet: within a list, across lists, and in spans that touch or overlap.
    pub(crate) fn clash(&mut self, depth: u8) -> Transaction {
        let mut lists = [Vec::new(), Vec::new()];
        for list in &mut lists {
            for _ in 0..self.rng.below(4) {
                let (one, other) = (self.rng.below(8) as u8, self.rng.below(8) as u8);
                let letter = |place: u8| Bytes::from(vec![b'g' + place]);
                let (key, end) = (letter(one.min(other)), letter(one.max(other)));
                list.push(match self.rng.below(8) {
                    0 => Operation::Put(Put { key: letter(one), ..Put::default() }),
                    1 => {
                        Operation::Restore(Restore { key: letter(one), revision: 1, return_previous: false })
                    }
                    2..=4 if depth > 1 => Operation::Transaction(self.clash(depth - 1)),
                    5 if one != other => {
                        let span = Span::Between { start: key, end };
                        Operation::Delete(Delete { span, return_previous: false })
                    }
                    6 if one > 6 => {
                        Operation::Delete(Delete { span: Span::From(end), return_previous: false })
                    }
                    _ => Operation::Delete(Delete { span: Span::Key(key), return_previous: false }),
                });
            }
        }
        let [then, otherwise] = lists;
        Transaction { then, otherwise, ..Transaction::default() }
    }

    /// Many keys at once.
    pub(crate) fn bulk(&mut self) -> Transaction {
        let (first, step) = (self.rng.below(300), self.rng.between(1, 3));
        let then = (0..self.rng.between(10, 100)).map(|number| {
            let key = wide_key((first + number * step) % 300);
            let value = Bytes::from(number.to_string());
            Operation::Put(Put { key, value, ..Put::default() })
        });
        Transaction { then: then.collect(), ..Transaction::default() }
    }
}
