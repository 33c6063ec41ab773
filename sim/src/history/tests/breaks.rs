//! One way to break each rule, and what has to be said of it.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::generator::items;
use super::{SEEDS, Shape, generate};
use crate::history::*;
use crate::raft::rng::Rng;

/// Breaks a history; `None` if it has nothing to break in this way.
type Break = fn(&mut History, &mut Rng) -> Option<()>;

fn pick<T: Copy>(rng: &mut Rng, from: impl Iterator<Item = T>) -> Option<T> {
    let all: Vec<T> = from.collect();
    (!all.is_empty()).then(|| *rng.pick(&all))
}

/// The numbers of the calls for which this holds.
fn some(history: &History, rng: &mut Rng, holds: impl Fn(&Op) -> bool) -> Option<usize> {
    pick(rng, history.ops.iter().enumerate().filter(|(_, op)| holds(op)).map(|(number, _)| number))
}

fn place(op: &Op) -> Option<(Position, u64)> {
    match op.answer {
        Answer::Written { at, revision }
        | Answer::NotMet { at, revision }
        | Answer::Found { at, revision, .. } => Some((at, revision)),
        Answer::Refused | Answer::Unknown => None,
    }
}

fn changes(op: &Op) -> &[(Bytes, Option<Bytes>)] {
    match &op.ask {
        Ask::Write { changes, .. } => changes,
        Ask::Read { .. } => &[],
    }
}

fn fence(op: &Op) -> Option<&(Bytes, u64)> {
    match &op.ask {
        Ask::Write { fence, .. } => fence.as_ref(),
        Ask::Read { .. } => None,
    }
}

fn puts(op: &Op) -> bool {
    changes(op).iter().any(|(_, value)| value.is_some())
}

fn written(op: &Op) -> bool {
    matches!(op.answer, Answer::Written { .. })
}

fn at_the_end(history: &History) -> impl Fn(&Op) -> bool + use<> {
    let oldest = history.end.oldest;
    move |op| matches!(op.answer, Answer::Written { revision, .. } if revision >= oldest)
}

fn linearizable(op: &Op) -> bool {
    matches!(op.ask, Ask::Read { freshness: Freshness::Linearizable, .. })
        && matches!(op.answer, Answer::Found { .. })
}

/// What a read found.
type Items = Vec<(Bytes, Bytes, u64)>;

/// Place, revision and items of an answer.
fn of(op: &mut Op) -> (&mut Position, &mut u64, Option<&mut Items>) {
    match &mut op.answer {
        Answer::Written { at, revision } | Answer::NotMet { at, revision } => (at, revision, None),
        Answer::Found { at, revision, items } => (at, revision, Some(items)),
        Answer::Refused | Answer::Unknown => panic!("it has no place"),
    }
}

/// One more revision at the end.
fn append(history: &mut History, changes: &[(Bytes, Option<Bytes>)]) {
    history.end.revision += 1;
    for (key, value) in changes {
        let list = history.end.keys.entry(key.clone()).or_default();
        list.push((history.end.revision, value.clone()));
    }
}

/// A read that shows another key: what it found is replaced by what it would find at an older place.
fn older(history: &mut History, rng: &mut Rng) -> Option<()> {
    (history.end.oldest <= 1).then_some(())?;
    let number = some(history, rng, linearizable)?;
    let op = history.ops[number].clone();
    let (now, _) = place(&op)?;
    let overtaken = |other: &&Op| {
        written(other) && other.returned < op.invoked && place(other).is_some_and(|(at, _)| at < now)
    };
    let newest = history.ops.iter().filter(overtaken).filter_map(|op| place(op).map(|(at, _)| at)).max()?;
    let (at, revision) = pick(rng, history.ops.iter().filter_map(place).filter(|(at, _)| *at < newest))?;
    let Ask::Read { keys, .. } = &op.ask else { return None };
    let items = items(&history.end.keys, keys, revision);
    history.ops[number].answer = Answer::Found { at, revision, items };
    Some(())
}

/// Turns a call that was executed into one of which nobody knows.
fn forget(history: &mut History, rng: &mut Rng, holds: impl Fn(&Op) -> bool) -> Option<(usize, u64)> {
    let oldest = history.end.oldest;
    let number = some(history, rng, |op| {
        written(op) && puts(op) && holds(op) && place(op).is_some_and(|(_, revision)| revision >= oldest)
    })?;
    let (_, revision) = place(&history.ops[number])?;
    history.ops[number].answer = Answer::Unknown;
    Some((number, revision))
}

/// A watch that was told at least so many revisions, and where they stand.
fn told(history: &History, rng: &mut Rng, least: usize) -> Option<(usize, Vec<usize>)> {
    let places = |watch: &Watching| -> Vec<usize> {
        let told = watch.told.iter().enumerate();
        told.filter(|(_, told)| matches!(told, Told::Revision { .. })).map(|(place, _)| place).collect()
    };
    let number =
        pick(rng, (0..history.watches.len()).filter(|n| places(&history.watches[*n]).len() >= least))?;
    Some((number, places(&history.watches[number])))
}

fn revision(told: &mut Told) -> (&mut u64, &mut Vec<(Bytes, Option<Bytes>)>) {
    match told {
        Told::Revision { revision, changes } => (revision, changes),
        Told::Progress(_) | Told::Compacted(_) => panic!("no revision"),
    }
}

/// Two grants of one lock, in order of their tokens.
fn two_grants(history: &History, rng: &mut Rng) -> Option<(usize, usize)> {
    let grants = &history.grants;
    let pairs = (0..grants.len()).flat_map(|one| (0..grants.len()).map(move |two| (one, two)));
    pick(
        rng,
        pairs.filter(|(one, two)| {
            grants[*one].lock == grants[*two].lock && grants[*one].token < grants[*two].token
        }),
    )
}

/// A write that was fenced with the smaller of two tokens and executed, and the grant of the greater.
fn fenced(history: &History, rng: &mut Rng) -> Option<(usize, usize)> {
    let pairs = history.ops.iter().enumerate().filter(|(_, op)| written(op)).flat_map(|(number, op)| {
        let later = move |grant: &Grant| {
            fence(op).is_some_and(|(lock, token)| *lock == grant.lock && *token < grant.token)
        };
        history
            .grants
            .iter()
            .enumerate()
            .filter(move |(_, grant)| later(grant))
            .map(move |(at, _)| (number, at))
    });
    pick(rng, pairs)
}

fn name(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

const BREAKS: &[(&str, Kind, Break)] = &[
    ("an acknowledged write is gone", Kind::LostAck, |h, rng| {
        let number = some(h, rng, at_the_end(h))?;
        let (_, revision) = place(&h.ops[number])?;
        h.end.keys.values_mut().for_each(|list| list.retain(|(at, _)| *at != revision));
        Some(())
    }),
    ("half of an acknowledged write is gone", Kind::LostAck, |h, rng| {
        let at_the_end = at_the_end(h);
        let number =
            some(h, rng, |op| at_the_end(op) && changes(op).iter().filter(|c| c.1.is_some()).count() > 1)?;
        let (_, revision) = place(&h.ops[number])?;
        let (key, _) = changes(&h.ops[number]).iter().find(|(_, value)| value.is_some())?.clone();
        h.end.keys.get_mut(&key)?.retain(|(at, _)| *at != revision);
        Some(())
    }),
    ("the end is older than an acknowledged write", Kind::LostAck, |h, _| {
        let last = h.ops.iter().filter(|op| written(op)).filter_map(|op| place(op).map(|(_, r)| r)).max()?;
        h.end.keys.values_mut().for_each(|list| list.retain(|(at, _)| *at < last));
        h.end.revision = last - 1;
        Some(())
    }),
    ("an acknowledged write has another value", Kind::WrongValue, |h, rng| {
        let at_the_end = at_the_end(h);
        let number = some(h, rng, |op| at_the_end(op) && puts(op))?;
        let (_, revision) = place(&h.ops[number])?;
        let (key, _) = changes(&h.ops[number]).iter().find(|(_, value)| value.is_some())?.clone();
        h.end.keys.get_mut(&key)?.iter_mut().find(|(at, _)| *at == revision)?.1 = Some(name("other"));
        Some(())
    }),
    ("something else stands in the revision of a write", Kind::WrongValue, |h, rng| {
        let number = some(h, rng, at_the_end(h))?;
        let (_, revision) = place(&h.ops[number])?;
        h.end.keys.insert(name("a/stranger"), vec![(revision, Some(name("strange")))]);
        Some(())
    }),
    ("a value that nobody wrote", Kind::Phantom, |h, _| {
        append(h, &[(name("a/0"), Some(name("strange")))]);
        Some(())
    }),
    ("a write that was refused took effect", Kind::Phantom, |h, rng| {
        let number = some(h, rng, |op| op.answer == Answer::Refused && puts(op))?;
        let changes: Vec<_> = changes(&h.ops[number]).iter().filter(|c| c.1.is_some()).cloned().collect();
        append(h, &changes);
        Some(())
    }),
    ("a write whose condition failed took effect", Kind::Phantom, |h, rng| {
        let number = some(h, rng, |op| matches!(op.answer, Answer::NotMet { .. }) && puts(op))?;
        let changes: Vec<_> = changes(&h.ops[number]).iter().filter(|c| c.1.is_some()).cloned().collect();
        append(h, &changes);
        Some(())
    }),
    ("a deletion that nobody asked for", Kind::Phantom, |h, rng| {
        let unknown = |key: &Bytes| {
            h.ops.iter().any(|op| {
                op.answer == Answer::Unknown && changes(op).iter().any(|(changed, _)| changed == key)
            })
        };
        let there = h.end.keys.iter().filter(|(key, list)| {
            list.last().is_some_and(|(_, value)| value.is_some())
                && !h.hanging.contains_key(*key)
                && !unknown(key)
        });
        let key = pick(rng, there.map(|(key, _)| key))?.clone();
        append(h, &[(key, None)]);
        Some(())
    }),
    ("a deletion of what is not there", Kind::Phantom, |h, rng| {
        let gone =
            h.end.keys.iter().filter(|(_, list)| list.last().is_some_and(|(_, value)| value.is_none()));
        let key = pick(rng, gone.map(|(key, _)| key))?.clone();
        append(h, &[(key, None)]);
        Some(())
    }),
    ("an acknowledged write takes effect twice", Kind::DuplicateEffect, |h, rng| {
        let number = some(h, rng, |op| written(op) && puts(op))?;
        let changes: Vec<_> = changes(&h.ops[number]).iter().filter(|c| c.1.is_some()).cloned().collect();
        append(h, &changes);
        Some(())
    }),
    ("a write of unknown outcome takes effect twice", Kind::DuplicateEffect, |h, rng| {
        let (number, _) = forget(h, rng, |_| true)?;
        let changes: Vec<_> = changes(&h.ops[number]).iter().filter(|c| c.1.is_some()).cloned().collect();
        append(h, &changes);
        Some(())
    }),
    ("a deletion of unknown outcome takes effect twice", Kind::DuplicateEffect, |h, _| {
        let key = name("a/twice");
        let write = |value: Option<Bytes>, answer| Op {
            client: 50,
            ask: Ask::Write { changes: vec![(name("a/twice"), value)], only_if: Vec::new(), fence: None },
            invoked: 0,
            returned: Micros::MAX / 2,
            answer,
        };
        for value in ["twice1", "twice2"] {
            append(h, &[(key.clone(), Some(name(value)))]);
            append(h, &[(key.clone(), None)]);
            h.ops.push(write(Some(name(value)), Answer::Unknown));
        }
        h.ops.push(write(None, Answer::Unknown));
        Some(())
    }),
    ("a write of unknown outcome takes half of its effect", Kind::WrongValue, |h, rng| {
        let several = |op: &Op| changes(op).iter().filter(|c| c.1.is_some()).count() > 1;
        let (number, revision) = forget(h, rng, several)?;
        let (key, _) = changes(&h.ops[number]).iter().find(|(_, value)| value.is_some())?.clone();
        h.end.keys.get_mut(&key)?.retain(|(at, _)| *at != revision);
        Some(())
    }),
    ("a write of unknown outcome was not asked for yet", Kind::FutureRead, |h, rng| {
        let (number, revision) = forget(h, rng, |_| true)?;
        let read = pick(
            rng,
            h.ops.iter().filter(|op| linearizable(op) && place(op).is_some_and(|(_, seen)| seen >= revision)),
        )?;
        let other = |op: &Op| {
            op.returned <= read.returned
                && !linearizable(op)
                && place(op).is_some_and(|(_, seen)| seen >= place(read).map_or(0, |(_, seen)| seen))
        };
        (!h.ops.iter().any(other)).then_some(())?;
        h.ops[number].invoked = read.returned + 1;
        Some(())
    }),
    ("a write of unknown outcome overtakes one that had returned", Kind::WrongOrder, |h, rng| {
        let (number, revision) = forget(h, rng, |_| true)?;
        let newest =
            h.ops.iter().filter(|op| written(op)).max_by_key(|op| place(op).map(|(_, seen)| seen))?;
        place(newest).filter(|(_, seen)| *seen > revision)?;
        let reads = h.ops.iter().any(|op| linearizable(op) && place(op) >= place(newest));
        (!reads).then_some(())?;
        h.ops[number].invoked = newest.returned + 1;
        Some(())
    }),
    ("a write of unknown outcome is done although its condition fails", Kind::WrongCondition, |h, rng| {
        let (number, _) = forget(h, rng, |_| true)?;
        let Ask::Write { only_if, .. } = &mut h.ops[number].ask else { return None };
        only_if.push((name("a/never"), 3));
        Some(())
    }),
    ("a revision without a change", Kind::EmptyRevision, |h, _| {
        h.end.revision += 1;
        Some(())
    }),
    ("a revision without a change in the middle", Kind::EmptyRevision, |h, _| {
        h.end.revision += 1;
        append(h, &[(name("a/new"), Some(name("new")))]);
        let ask =
            Ask::Write { changes: vec![(name("a/new"), Some(name("new")))], only_if: vec![], fence: None };
        h.ops.push(Op { client: 50, ask, invoked: 0, returned: 0, answer: Answer::Unknown });
        Some(())
    }),
    ("a history that goes back", Kind::WrongOrder, |h, rng| {
        let key =
            pick(rng, h.end.keys.iter().filter(|(_, list)| list.len() > 1).map(|(key, _)| key))?.clone();
        h.end.keys.get_mut(&key)?.swap(0, 1);
        Some(())
    }),
    ("a change behind the last revision", Kind::WrongOrder, |h, _| {
        append(h, &[(name("a/0"), Some(name("strange")))]);
        h.end.revision -= 1;
        Some(())
    }),
    ("a write was answered before another that precedes it was asked", Kind::WrongOrder, |h, rng| {
        let one = some(h, rng, |op| written(op) && op.client < 50)?;
        let two = some(h, rng, |op| written(op) && op.returned < h.ops[one].invoked)?;
        let later = h.ops[one].returned + 1;
        (h.ops[two].invoked, h.ops[two].returned) = (later, later + 5);
        let reads =
            h.ops.iter().any(|op| op.returned < later && !written(op) && place(op) >= place(&h.ops[one]));
        (!reads).then_some(())
    }),
    ("a read that shows less than had been answered", Kind::StaleRead, older),
    ("a read behind its own index", Kind::StaleRead, |h, rng| {
        (h.end.oldest <= 1).then_some(())?;
        let number = some(h, rng, linearizable)?;
        let (at, now) = place(&h.ops[number])?;
        h.ops
            .iter()
            .any(|op| written(op) && place(op).is_some_and(|(i, r)| i < at && r == now))
            .then_some(())?;
        let Ask::Read { keys, .. } = h.ops[number].ask.clone() else { return None };
        let items = items(&h.end.keys, &keys, now - 1);
        h.ops[number].answer = Answer::Found { at, revision: now - 1, items };
        Some(())
    }),
    ("a read that shows an old version", Kind::StaleRead, |h, rng| {
        (h.end.oldest <= 1).then_some(())?;
        let number = some(h, rng, |op| {
            linearizable(op) && matches!(&op.answer, Answer::Found { items, .. } if !items.is_empty())
        })?;
        let keys = h.end.keys.clone();
        let (_, _, Some(found)) = of(&mut h.ops[number]) else { return None };
        let (key, value, modified) = &mut found[0];
        let (before, old) = keys[key].iter().rfind(|(at, value)| at < modified && value.is_some())?.clone();
        (*value, *modified) = (old?, before);
        Some(())
    }),
    ("a read that shows a key that was deleted", Kind::StaleRead, |h, rng| {
        (h.end.oldest <= 1).then_some(())?;
        let number = some(h, rng, |op| {
            linearizable(op) && matches!(&op.answer, Answer::Found { items, .. } if items.is_empty())
        })?;
        let (_, revision) = place(&h.ops[number])?;
        let Ask::Read { keys, .. } = &h.ops[number].ask else { return None };
        let key = keys[0].clone();
        let versions = h.end.keys.get(&key)?;
        let (before, old) = versions.iter().rfind(|(at, value)| *at < revision && value.is_some())?.clone();
        let (_, _, Some(found)) = of(&mut h.ops[number]) else { return None };
        found.push((key, old?, before));
        Some(())
    }),
    ("a read that does not show a key that is there", Kind::StaleRead, |h, rng| {
        (h.end.oldest <= 1).then_some(())?;
        let number = some(h, rng, |op| {
            linearizable(op) && matches!(&op.answer, Answer::Found { items, .. } if !items.is_empty())
        })?;
        let (_, _, Some(found)) = of(&mut h.ops[number]) else { return None };
        found.pop();
        Some(())
    }),
    ("a read that is older than it may be", Kind::StaleRead, |h, rng| {
        let number = some(h, rng, |op| {
            matches!(op.ask, Ask::Read { freshness: Freshness::NotBefore(_), .. }) && place(op).is_some()
        })?;
        let (at, _) = place(&h.ops[number])?;
        let Ask::Read { freshness, .. } = &mut h.ops[number].ask else { return None };
        *freshness = Freshness::NotBefore(at.index + 1);
        Some(())
    }),
    ("a read that shows what was asked after it returned", Kind::FutureRead, |h, rng| {
        let write = some(h, rng, |op| written(op) && op.client < 50)?;
        let (at, _) = place(&h.ops[write])?;
        let read =
            some(h, rng, |op| linearizable(op) && place(op).is_some_and(|(seen, _)| seen.index >= at.index))?;
        let before = h.ops[write].invoked - 1;
        (h.ops[read].invoked, h.ops[read].returned) = (before, before);
        let highest = h
            .ops
            .iter()
            .filter(|op| op.returned <= before)
            .filter_map(|op| place(op).map(|(at, _)| at.index))
            .max();
        (highest == place(&h.ops[read]).map(|(at, _)| at.index)).then_some(())
    }),
    ("a read that shows a version from behind its revision", Kind::FutureRead, |h, rng| {
        (h.end.oldest <= 1).then_some(())?;
        let number = some(h, rng, |op| {
            linearizable(op) && matches!(&op.answer, Answer::Found { items, .. } if !items.is_empty())
        })?;
        let (_, revision) = place(&h.ops[number])?;
        let keys = h.end.keys.clone();
        let (_, _, Some(found)) = of(&mut h.ops[number]) else { return None };
        let (key, value, modified) = &mut found[0];
        let (later, new) = keys[key].iter().find(|(at, value)| *at > revision && value.is_some())?.clone();
        (*value, *modified) = (new?, later);
        Some(())
    }),
    ("a read of a value that nobody wrote", Kind::Phantom, |h, rng| {
        let number =
            some(h, rng, |op| matches!(&op.answer, Answer::Found { items, .. } if !items.is_empty()))?;
        let (_, _, Some(found)) = of(&mut h.ops[number]) else { return None };
        found[0].1 = name("strange");
        Some(())
    }),
    ("a read with another revision of the modification", Kind::WrongValue, |h, rng| {
        (h.end.oldest <= 1).then_some(())?;
        let number =
            some(h, rng, |op| matches!(&op.answer, Answer::Found { items, .. } if !items.is_empty()))?;
        let (_, _, Some(found)) = of(&mut h.ops[number]) else { return None };
        found[0].2 -= 1;
        Some(())
    }),
    ("a read that shows a key that it did not ask for", Kind::WrongValue, |h, rng| {
        let number = some(h, rng, linearizable)?;
        let (_, _, Some(found)) = of(&mut h.ops[number]) else { return None };
        found.push((name("a/other"), name("v1"), 2));
        Some(())
    }),
    ("a read that shows a key twice", Kind::WrongValue, |h, rng| {
        let number =
            some(h, rng, |op| matches!(&op.answer, Answer::Found { items, .. } if !items.is_empty()))?;
        let (_, _, Some(found)) = of(&mut h.ops[number]) else { return None };
        found.push(found[0].clone());
        Some(())
    }),
    ("a read of a revision that is gone", Kind::LostAck, |h, rng| {
        let number = some(h, rng, linearizable)?;
        *of(&mut h.ops[number]).1 = h.end.revision + 1;
        Some(())
    }),
    ("two values of one version, from before the oldest revision", Kind::WrongValue, |h, _| {
        (h.end.oldest > 2).then_some(())?;
        for value in ["one", "two"] {
            let ask = Ask::Write {
                changes: vec![(name("a/old"), Some(name(value)))],
                only_if: vec![],
                fence: None,
            };
            h.ops.push(Op { client: 50, ask, invoked: 0, returned: 0, answer: Answer::Unknown });
            let ask = Ask::Read { keys: vec![name("a/old")], freshness: Freshness::NotBefore(0) };
            let items = vec![(name("a/old"), name(value), 2)];
            let answer = Answer::Found { at: Position { term: 1, index: 1 }, revision: 2, items };
            h.ops.push(Op { client: 50, ask, invoked: 0, returned: Micros::MAX / 2, answer });
        }
        Some(())
    }),
    ("one index of two writes", Kind::WrongOrder, |h, rng| {
        let one = some(h, rng, written)?;
        let two = some(h, rng, |op| written(op) && place(op) != place(&h.ops[one]))?;
        let (at, _) = place(&h.ops[one])?;
        *of(&mut h.ops[two]).0 = at;
        Some(())
    }),
    ("one revision of two writes", Kind::WrongOrder, |h, rng| {
        let one = some(h, rng, at_the_end(h))?;
        let two = some(h, rng, |op| written(op) && place(op) != place(&h.ops[one]))?;
        let (_, revision) = place(&h.ops[one])?;
        *of(&mut h.ops[two]).1 = revision;
        Some(())
    }),
    ("a revision that falls along the log", Kind::WrongOrder, |h, rng| {
        let one = some(h, rng, written)?;
        let two = some(h, rng, |op| written(op) && place(op) != place(&h.ops[one]))?;
        let (low, high) = (place(&h.ops[one])?.0, place(&h.ops[two])?.0);
        *of(&mut h.ops[one]).0 = high;
        *of(&mut h.ops[two]).0 = low;
        Some(())
    }),
    ("two revisions at one index", Kind::WrongOrder, |h, rng| {
        let number = some(h, rng, |op| {
            linearizable(op)
                && h.ops.iter().any(|other| {
                    written(other)
                        && place(other).is_some_and(|(at, _)| Some(at) == place(op).map(|(at, _)| at))
                })
        })?;
        *of(&mut h.ops[number]).1 += 1;
        Some(())
    }),
    ("a term that falls along the log", Kind::WrongOrder, |h, rng| {
        let first = h.ops.iter().filter_map(place).map(|(at, _)| at.index).min()?;
        let number = some(h, rng, |op| place(op).is_some_and(|(at, _)| at.index > first))?;
        of(&mut h.ops[number]).0.term = 0;
        Some(())
    }),
    ("an answer to another question", Kind::WrongOrder, |h, rng| {
        let number = some(h, rng, linearizable)?;
        let (at, revision) = place(&h.ops[number])?;
        h.ops[number].answer = Answer::NotMet { at, revision };
        Some(())
    }),
    ("a write is done although its condition fails", Kind::WrongCondition, |h, rng| {
        let at_the_end = at_the_end(h);
        let number = some(h, rng, |op| at_the_end(op) && op.client < 50)?;
        let Ask::Write { only_if, .. } = &mut h.ops[number].ask else { return None };
        only_if.push((name("a/never"), 3));
        Some(())
    }),
    ("a write is done although another had been there", Kind::WrongCondition, |h, rng| {
        (h.end.oldest <= 1).then_some(())?;
        let there = |op: &Op| match &op.ask {
            Ask::Write { only_if, .. } => only_if.first().is_some_and(|(_, modified)| *modified > 0),
            Ask::Read { .. } => false,
        };
        let number = some(h, rng, |op| written(op) && there(op))?;
        let Ask::Write { only_if, .. } = &mut h.ops[number].ask else { return None };
        only_if[0].1 -= 1;
        Some(())
    }),
    ("a write is not done although its condition holds", Kind::WrongCondition, |h, rng| {
        (h.end.oldest <= 1).then_some(())?;
        let number = some(h, rng, |op| matches!(op.answer, Answer::NotMet { .. }) && puts(op))?;
        let Ask::Write { only_if, fence, .. } = &mut h.ops[number].ask else { return None };
        only_if.clear();
        *fence = None;
        Some(())
    }),
    // Watches.
    ("a watch misses a revision", Kind::WatchGap, |h, rng| {
        let (number, places) = told(h, rng, 2)?;
        let place = places[rng.position(places.len() - 1)];
        (*revision(&mut h.watches[number].told[place]).0 >= h.end.oldest).then_some(())?;
        h.watches[number].told.remove(place);
        Some(())
    }),
    ("a watch that ran to the end misses the last", Kind::WatchGap, |h, rng| {
        let (number, places) = told(h, rng, 1)?;
        let last = *places.last()?;
        let Told::Revision { revision, .. } = h.watches[number].told[last] else { return None };
        (revision >= h.end.oldest).then_some(())?;
        h.watches[number].complete_to = Some(revision);
        h.watches[number].told.truncate(last);
        Some(())
    }),
    ("a mark of progress comes too early", Kind::WatchGap, |h, rng| {
        let (number, places) = told(h, rng, 1)?;
        let place = *rng.pick(&places);
        let oldest = h.end.oldest;
        let (to, _) = revision(&mut h.watches[number].told[place]);
        (*to >= oldest).then_some(())?;
        let mark = Told::Progress(*to);
        h.watches[number].told.insert(place, mark);
        h.watches[number].told.truncate(place + 1);
        Some(())
    }),
    ("a gap behind a compaction that was told", Kind::WatchGap, |h, rng| {
        (h.end.oldest > 1).then_some(())?;
        let (number, places) = told(h, rng, 2)?;
        let of = |place: usize, h: &History| match h.watches[number].told[place] {
            Told::Revision { revision, .. } => revision,
            Told::Progress(_) | Told::Compacted(_) => 0,
        };
        let place =
            pick(rng, places[..places.len() - 1].iter().copied().filter(|at| of(*at, h) >= h.end.oldest))?;
        let compacted = Told::Compacted(h.end.oldest);
        h.watches[number].told[place] = compacted;
        Some(())
    }),
    ("a compaction that nobody did", Kind::WatchWrong, |h, rng| {
        let number = rng.position(h.watches.len());
        h.watches[number].told.push(Told::Compacted(h.end.oldest + 1));
        Some(())
    }),
    ("progress to where the store never was", Kind::WatchWrong, |h, rng| {
        let number = rng.position(h.watches.len());
        h.watches[number].told.push(Told::Progress(h.end.revision + 1));
        Some(())
    }),
    ("a watch is told of two revisions in the wrong order", Kind::WatchOrder, |h, rng| {
        let (number, places) = told(h, rng, 2)?;
        let at = rng.position(places.len() - 1);
        h.watches[number].told.swap(places[at], places[at + 1]);
        Some(())
    }),
    ("a watch is told of a revision behind the mark for it", Kind::WatchOrder, |h, rng| {
        let (number, places) = told(h, rng, 1)?;
        let place = *rng.pick(&places);
        let (to, _) = revision(&mut h.watches[number].told[place]);
        let mark = Told::Progress(*to);
        h.watches[number].told.insert(place, mark);
        Some(())
    }),
    ("a watch is told of what it was told is compacted", Kind::WatchOrder, |h, rng| {
        let (number, places) = told(h, rng, 1)?;
        let place = places[0];
        let oldest = h.end.oldest;
        let (to, _) = revision(&mut h.watches[number].told[place]);
        let mark = Told::Compacted(*to + 1);
        (oldest > *to).then_some(())?;
        h.watches[number].told.insert(place, mark);
        Some(())
    }),
    ("a watch is told of a revision twice", Kind::WatchRepeat, |h, rng| {
        let (number, places) = told(h, rng, 1)?;
        let (first, again) = (rng.position(places.len()), rng.position(places.len()));
        let copy = h.watches[number].told[places[first]].clone();
        h.watches[number].told.insert(places[first.max(again)] + 1, copy);
        Some(())
    }),
    ("a watch is told of a key twice", Kind::WatchRepeat, |h, rng| {
        let (number, places) = told(h, rng, 1)?;
        let (_, changes) = revision(&mut h.watches[number].told[*rng.pick(&places)]);
        changes.push(changes[0].clone());
        Some(())
    }),
    ("a watch is told of half of a revision", Kind::WatchTorn, |h, rng| {
        let oldest = h.end.oldest;
        let (number, places) = told(h, rng, 1)?;
        let several = |place: &&usize| match &h.watches[number].told[**place] {
            Told::Revision { revision, changes } => *revision >= oldest && changes.len() > 1,
            Told::Progress(_) | Told::Compacted(_) => false,
        };
        let place = *pick(rng, places.iter().filter(several))?;
        let (_, changes) = revision(&mut h.watches[number].told[place]);
        changes.pop();
        Some(())
    }),
    ("a watch is told of another value", Kind::WatchWrong, |h, rng| {
        let oldest = h.end.oldest;
        let (number, places) = told(h, rng, 1)?;
        let (at, changes) = revision(&mut h.watches[number].told[*rng.pick(&places)]);
        changes[0].1 = Some(name("strange"));
        (*at >= oldest).then_some(())
    }),
    ("a watch is told of a key that it does not want", Kind::WatchWrong, |h, rng| {
        let (number, places) = told(h, rng, 1)?;
        (!h.watches[number].prefix.is_empty()).then_some(())?;
        let (_, changes) = revision(&mut h.watches[number].told[*rng.pick(&places)]);
        changes.push((name("other"), None));
        Some(())
    }),
    ("a watch is told of a revision in which nothing happened", Kind::WatchWrong, |h, rng| {
        let number = rng.position(h.watches.len());
        let mut key = h.watches[number].prefix.to_vec();
        key.extend_from_slice(b"new");
        let told = Told::Revision { revision: h.end.revision + 1, changes: vec![(key.into(), None)] };
        h.watches[number].told.push(told);
        Some(())
    }),
    ("a watch is told what lies before its begin", Kind::WatchWrong, |h, rng| {
        let (number, places) = told(h, rng, 1)?;
        let (first, _) = revision(&mut h.watches[number].told[places[0]]);
        h.watches[number].from = *first + 1;
        Some(())
    }),
    // Locks.
    ("one token is given twice", Kind::TokenRepeats, |h, rng| {
        let (one, two) = two_grants(h, rng)?;
        h.grants[two].token = h.grants[one].token;
        Some(())
    }),
    ("a later grant has a smaller token", Kind::TokenOrder, |h, rng| {
        let (one, two) = two_grants(h, rng)?;
        let (low, high) = (h.grants[one].token, h.grants[two].token);
        (h.grants[one].token, h.grants[two].token) = (high, low);
        Some(())
    }),
    ("a write is done with a token that is over, by the log", Kind::FenceBroken, |h, rng| {
        let (write, grant) = fenced(h, rng)?;
        h.grants[grant].heard = Micros::MAX / 2;
        h.grants[grant].until = Micros::MAX / 2;
        let (at, _) = place(&h.ops[write])?;
        h.grants[grant].at = Position { index: at.index - 1, ..at };
        Some(())
    }),
    ("a write is done with a token that somebody knew to be over", Kind::FenceBroken, |h, rng| {
        let (write, grant) = fenced(h, rng)?;
        h.grants[grant].at = Position::default();
        h.grants[grant].heard = h.ops[write].invoked - 1;
        Some(())
    }),
    ("a write of unknown outcome is done with a token that is over", Kind::FenceBroken, |h, rng| {
        let (write, grant) = fenced(h, rng)?;
        let (at, revision) = place(&h.ops[write])?;
        (revision >= h.end.oldest && puts(&h.ops[write])).then_some(())?;
        h.ops[write].answer = Answer::Unknown;
        let before = h.ops.iter().filter_map(place).filter(|(_, seen)| *seen < revision);
        let before = before.map(|(at, _)| at.index).max()?;
        h.grants[grant].at = Position { index: before, ..at };
        h.grants[grant].heard = Micros::MAX / 2;
        h.grants[grant].until = Micros::MAX / 2;
        Some(())
    }),
    ("a write is not done although its token holds", Kind::FenceBroken, |h, rng| {
        let mut points: BTreeMap<(&Bytes, u64), Vec<u64>> = BTreeMap::new();
        for op in h.ops.iter().filter(|op| written(op)) {
            if let (Some((lock, token)), Some((at, _))) = (fence(op), place(op)) {
                points.entry((lock, *token)).or_default().push(at.index);
            }
        }
        let between = h.ops.iter().enumerate().filter(|(_, op)| {
            let (Some((lock, token)), Some((at, _))) = (fence(op), place(op)) else { return false };
            let known = points.get(&(lock, *token)).map_or(&[][..], |known| known);
            written(op)
                && changes(op).iter().all(|(_, value)| value.is_some())
                && known.iter().any(|index| *index < at.index)
                && known.iter().any(|index| *index > at.index)
        });
        let number = pick(rng, between.map(|(number, _)| number))?;
        let (at, revision) = place(&h.ops[number])?;
        let Ask::Write { only_if, .. } = &mut h.ops[number].ask else { return None };
        only_if.clear();
        h.ops[number].answer = Answer::NotMet { at, revision };
        Some(())
    }),
    ("two believe that they hold a lock", Kind::TwoHolders, |h, rng| {
        let (one, two) = two_grants(h, rng)?;
        h.grants[one].until = h.grants[two].heard + 1;
        Some(())
    }),
    // Leases.
    ("a lease ends too early", Kind::ExpiredEarly, |h, rng| {
        let number = pick(
            rng,
            (0..h.leases.len()).filter(|n| h.leases[*n].gone.is_some() && h.leases[*n].revoked.is_none()),
        )?;
        let lease = &mut h.leases[number];
        lease.gone = Some(lease.kept.iter().max()? + lease.ttl - 1_001);
        Some(())
    }),
    ("a lease ends before its end was asked for", Kind::ExpiredEarly, |h, rng| {
        let number = pick(rng, (0..h.leases.len()).filter(|n| h.leases[*n].revoked.is_some()))?;
        let lease = &mut h.leases[number];
        lease.gone = lease.revoked.map(|revoked| revoked - 1);
        (*lease.kept.iter().max()? + lease.ttl - 1_000 > lease.gone?
            && *lease.kept.iter().max()? <= lease.gone?)
            .then_some(())
    }),
    ("a lease that is gone is renewed", Kind::LeaseRevived, |h, rng| {
        let number = pick(rng, (0..h.leases.len()).filter(|n| h.leases[*n].gone.is_some()))?;
        let gone = h.leases[number].gone?;
        h.leases[number].kept.push(gone + 1);
        Some(())
    }),
    ("a key vanishes before its lease may end", Kind::ExpiredEarly, |h, rng| {
        let number = pick(
            rng,
            (0..h.leases.len()).filter(|n| h.leases[*n].gone.is_some() && h.leases[*n].revoked.is_none()),
        )?;
        let lease = &h.leases[number];
        let seen = lease.kept.iter().max()? + lease.ttl - 1_001;
        let key = h.hanging.iter().find(|(_, id)| **id == lease.id)?.0;
        let (revision, _) = h.end.keys[key].iter().find(|(_, value)| value.is_none())?;
        let after = h.ops.iter_mut().filter(|op| place(op).is_some_and(|(_, seen)| seen >= *revision));
        let first = after.min_by_key(|op| op.returned)?;
        (first.invoked, first.returned) = (seen, seen);
        Some(())
    }),
    ("the keys of a lease vanish in two revisions", Kind::LeaseTorn, |h, rng| {
        let gone =
            h.hanging.keys().filter(|key| h.end.keys[*key].last().is_some_and(|(_, value)| value.is_none()));
        let key = pick(rng, gone)?.clone();
        h.end.keys.get_mut(&key)?.pop();
        append(h, &[(key, None)]);
        Some(())
    }),
    ("a key stays when its lease ends", Kind::LeaseTorn, |h, rng| {
        let gone = h.hanging.keys().filter(|key| {
            let list = &h.end.keys[*key];
            list.len() > 1 && list.last().is_some_and(|(_, value)| value.is_none())
        });
        let key = pick(rng, gone)?.clone();
        h.end.keys.get_mut(&key)?.pop();
        Some(())
    }),
];

#[test]
fn each_break_is_found() {
    let mut histories = Vec::new();
    for seed in 0..SEEDS / 4 {
        histories.push((seed, generate(seed, Shape::of)));
    }
    let mut weak = Vec::new();
    for (what, kind, breaks) in BREAKS {
        let mut broken = 0;
        for (seed, history) in &histories {
            let mut history = history.clone();
            let mut rng = Rng::new(*seed);
            if breaks(&mut history, &mut rng).is_none() {
                continue;
            }
            broken += 1;
            let wrong = judge(&history);
            let found = wrong.iter().any(|violation| violation.kind == *kind);
            if !found {
                weak.push(format!("seed {seed}: {what} is not found as {kind:?}: {wrong:#?}"));
                break;
            }
        }
        if broken < 10 {
            weak.push(format!("{what}: only {broken} histories can be broken so"));
        }
    }
    assert!(weak.is_empty(), "{}", weak.join("\n"));
}

#[test]
fn each_kind_that_is_judged_by_place_is_broken_once() {
    let broken: std::collections::BTreeSet<Kind> = BREAKS.iter().map(|(_, kind, _)| *kind).collect();
    // All but the one that only the search says.
    assert_eq!(broken.len(), 21, "{broken:?}");
    assert!(!broken.contains(&Kind::NotLinearizable));
}
