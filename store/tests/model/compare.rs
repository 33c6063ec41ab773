//! What can be seen of a store from outside, and the same of the model.

use std::fmt::Debug;

use bytes::Bytes;
use holdfast_command::keys::{Range, Span};
use holdfast_command::namespaces::Rules;
use holdfast_command::{Actor, FeatureLevel, Refusal, Setting, Settings};
use holdfast_store::{Applied, Plant, QueueKind, Store, Version};

use super::coordination::{Queue, Touch};
use super::keys::usage;
use super::naive::{Item, Naive, Position, Session, Writer};
use super::reads::{self, VersionOf};

/// One version of a key, or its deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    key: Bytes,
    value: Bytes,
    /// Create, mod, version; of a deletion only the second is not 0.
    revisions: (u64, u64, u64),
    lease: i64,
    stamp: u64,
    actor: Actor,
    reason: String,
    tombstone: bool,
}

impl Seen {
    fn of_store(version: &Version) -> Self {
        Self {
            key: Bytes::copy_from_slice(version.key()),
            value: Bytes::copy_from_slice(version.value()),
            revisions: (version.create_revision(), version.mod_revision(), version.version()),
            lease: version.lease(),
            stamp: version.stamp().to_bits(),
            actor: version.actor(),
            reason: version.reason().to_owned(),
            tombstone: version.is_tombstone(),
        }
    }

    fn of_item(key: &Bytes, item: &Item) -> Self {
        Self::of_model(key, &(item.mod_revision, Some(item.clone()), item.writer.clone()))
    }

    fn of_model(key: &Bytes, (revision, item, writer): &VersionOf) -> Self {
        let Writer { stamp, actor, reason } = writer.clone();
        let (value, revisions, lease) = match item {
            None => (Bytes::new(), (0, *revision, 0), 0),
            Some(item) => (item.value.clone(), (item.create_revision, *revision, item.version), item.lease),
        };
        let reason = reason.to_string();
        Self { key: key.clone(), value, revisions, lease, stamp, actor, reason, tombstone: item.is_none() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct SeenSession {
    id: u64,
    actor: Actor,
    ttl_deadline_low: (u64, u64, u64),
    answered: Vec<u64>,
    reply_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct SeenLease {
    id: i64,
    actor: Actor,
    ttl_deadline: (u64, u64),
    /// The index of the last grant or renewal, and that of the grant.
    counter_granted: (u64, u64),
    keys: Vec<Bytes>,
    places: Vec<Queue>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct SeenQueue {
    queue: Queue,
    token: u64,
    changed_at: u64,
    /// Lease and when it was granted, when it asked, and what with: the holder first.
    places: Vec<(i64, u64, u64, Bytes)>,
}

/// Everything that is true of a store now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Present {
    pub(crate) applied: Position,
    revision: u64,
    oldest: u64,
    clock: u64,
    stamp: u64,
    level: FeatureLevel,
    settings: Settings,
    keys: Vec<Seen>,
    /// Name, rules, number of keys and of bytes.
    namespaces: Vec<(String, Rules, u64, u64)>,
    /// Keys and bytes outside of them.
    outside: (u64, u64),
    sessions: Vec<SeenSession>,
    /// Bytes of the answers of all of them.
    session_reply_bytes: u64,
    /// Idempotency keys, and bytes of answers to them.
    remembered: (usize, u64),
    leases: Vec<SeenLease>,
    queues: Vec<SeenQueue>,
    places: usize,
    token: u64,
    digest: [u8; 32],
}

fn queue_of(kind: QueueKind, name: &Bytes) -> Queue {
    match kind {
        QueueKind::Lock => Queue::Lock(name.clone()),
        QueueKind::Election => Queue::Election(name.clone()),
    }
}

/// What applying an entry did to queues.
pub(crate) fn touched_of_store(applied: &Applied) -> Vec<(Queue, Touch)> {
    let what = |what| match what {
        holdfast_store::Touch::Granted { lease, token } => Touch::Granted(lease, token),
        holdfast_store::Touch::Left { lease } => Touch::Left(lease),
        holdfast_store::Touch::Changed => Touch::Changed,
    };
    applied.touched.iter().map(|touch| (queue_of(touch.kind, &touch.name), what(touch.what))).collect()
}

/// The leases that are over at `clock`, with their counters, by number.
pub(crate) fn due_of_store<P: Plant>(store: &Store<P>, clock: u64) -> Vec<(i64, u64)> {
    let mut due: Vec<(i64, u64)> = store.leases_due(clock).collect();
    due.sort_unstable();
    due
}

pub(crate) fn due_of_model(model: &Naive, clock: u64) -> Vec<(i64, u64)> {
    let due = model.leases.iter().filter(|(_, lease)| lease.deadline <= clock);
    due.map(|(id, lease)| (*id, lease.counter)).collect()
}

fn leases_of_store<P: Plant>(store: &Store<P>) -> Vec<SeenLease> {
    let all = store.leases(i64::MIN).map(|(id, lease)| {
        let keys: Vec<Bytes> = store.lease_keys(id).cloned().collect();
        assert_eq!(keys.len() as u64, lease.keys(), "lease {id} counts its keys");
        SeenLease {
            id,
            actor: lease.actor().clone(),
            ttl_deadline: (lease.ttl_ms(), lease.deadline()),
            counter_granted: (lease.counter(), lease.granted_at()),
            keys,
            places: store.lease_places(id).map(|(kind, name)| queue_of(kind, name)).collect(),
        }
    });
    let all: Vec<SeenLease> = all.collect();
    assert_eq!(all.len(), store.lease_count());
    all
}

fn leases_of_model(model: &Naive) -> Vec<SeenLease> {
    let seen = model.leases.iter().map(|(id, lease)| {
        let own = model.places_taken.iter().filter(|place| place.lease == *id);
        let mut places: Vec<Queue> = own.map(|place| place.queue.clone()).collect();
        places.sort();
        SeenLease {
            id: *id,
            actor: lease.actor.clone(),
            ttl_deadline: (lease.ttl, lease.deadline),
            counter_granted: (lease.counter, lease.granted),
            keys: model.keys_of(*id),
            places,
        }
    });
    seen.collect()
}

fn queues_of_store<P: Plant>(store: &Store<P>) -> Vec<SeenQueue> {
    let mut all = Vec::new();
    for kind in [QueueKind::Lock, QueueKind::Election] {
        for (name, queue) in store.queues(kind) {
            assert_eq!(store.queue(kind, name), Some(queue));
            let places = queue.holder().into_iter().chain(queue.waiters());
            let places = places.map(|place| {
                (place.lease(), place.lease_granted_at(), place.entered_at(), place.value().clone())
            });
            let places: Vec<_> = places.collect();
            assert_eq!(places.len(), queue.len());
            let (token, changed_at) = (queue.token(), queue.changed_at());
            all.push(SeenQueue { queue: queue_of(kind, name), token, changed_at, places });
        }
    }
    all
}

fn queues_of_model(model: &Naive) -> Vec<SeenQueue> {
    let seen = model.changed.iter().map(|(queue, changed_at)| {
        let places = model.places_taken.iter().filter(|place| place.queue == *queue);
        let places = places.map(|place| (place.lease, place.granted, place.entered, place.value.clone()));
        let (token, changed_at) = (model.token_of(queue), *changed_at);
        SeenQueue { queue: queue.clone(), token, changed_at, places: places.collect() }
    });
    seen.collect()
}

impl Present {
    pub(crate) fn but_digest(self) -> Self {
        Self { digest: [0; 32], ..self }
    }

    pub(crate) fn of_store<P: Plant>(store: &Store<P>) -> Self {
        let (mut keys, mut all) = (Vec::new(), Range::of(Span::all()));
        loop {
            let page = store.range(&all).expect("the current state can be read");
            keys.extend(page.entries.iter().map(Seen::of_store));
            all.continuation = page.continuation;
            if all.continuation.is_empty() {
                break;
            }
        }
        let namespaces = store.namespaces().map(|(name, namespace)| {
            (name.to_owned(), namespace.rules.clone(), namespace.usage.keys, namespace.usage.bytes)
        });
        let sessions = store.sessions().map(|(id, session)| SeenSession {
            id: id.0,
            actor: session.actor().clone(),
            ttl_deadline_low: (session.ttl_ms(), session.deadline(), session.low()),
            answered: session.answered().collect(),
            reply_bytes: session.reply_bytes(),
        });
        Self {
            applied: (store.applied().term, store.applied().index),
            revision: store.revision(),
            oldest: store.oldest(),
            clock: store.clock(),
            stamp: store.stamp().to_bits(),
            level: store.level(),
            settings: *store.settings(),
            keys,
            namespaces: namespaces.collect(),
            outside: (store.default_usage().keys, store.default_usage().bytes),
            sessions: sessions.collect(),
            session_reply_bytes: store.session_reply_bytes(),
            remembered: (store.idempotency_keys(), store.idempotency_reply_bytes()),
            leases: leases_of_store(store),
            queues: queues_of_store(store),
            places: store.places(),
            token: store.token(),
            digest: store.digest(),
        }
    }

    pub(crate) fn of_model(model: &Naive) -> Self {
        let mut usage = usage(model, model.current());
        let outside = usage.remove(&None).unwrap_or_default();
        let namespaces = model.namespaces.iter().map(|(name, rules)| {
            let (keys, bytes) = usage[&Some(name.clone())];
            (name.clone(), rules.clone(), keys, bytes)
        });
        let sessions = model.sessions.iter().map(|(id, session)| SeenSession {
            id: *id,
            actor: session.actor.clone(),
            ttl_deadline_low: (session.ttl, session.deadline, session.low),
            answered: session.answers.keys().copied().collect(),
            reply_bytes: session.reply_bytes(),
        });
        Self {
            applied: model.applied,
            revision: model.revision(),
            oldest: model.oldest,
            clock: model.clock,
            stamp: model.stamp,
            level: model.level,
            settings: model.settings,
            keys: model.current().iter().map(|(key, item)| Seen::of_item(key, item)).collect(),
            namespaces: namespaces.collect(),
            outside,
            sessions: sessions.collect(),
            session_reply_bytes: model.sessions.values().map(Session::reply_bytes).sum(),
            remembered: (model.remembered.len(), model.idempotency_reply_bytes()),
            leases: leases_of_model(model),
            queues: queues_of_model(model),
            places: model.places_taken.len(),
            token: model.token,
            digest: model.digest,
        }
    }
}

/// What changed from one revision on, and what each change replaced.
pub(crate) type Changes = Result<Vec<(Seen, Option<Seen>)>, Refusal>;

pub(crate) fn changes_of_store<P: Plant>(store: &Store<P>, from: u64) -> Changes {
    let changes = store.changes(from)?;
    let seen = |version: &Version| Seen::of_store(version);
    Ok(changes.map(|change| (seen(&change.version), change.previous().map(seen))).collect())
}

pub(crate) fn changes_of_model(model: &Naive, from: u64) -> Changes {
    let changes = model.changes(from)?.into_iter().map(|(key, version, before)| {
        (Seen::of_model(&key, &version), before.map(|item| Seen::of_item(&key, &item)))
    });
    Ok(changes.collect())
}

pub(crate) fn history_of_store<P: Plant>(store: &Store<P>, key: &Bytes, limit: usize) -> Vec<Seen> {
    store.history(key, limit).iter().map(Seen::of_store).collect()
}

pub(crate) fn history_of_model(model: &Naive, key: &Bytes, limit: usize) -> Vec<Seen> {
    model.history(key, limit).iter().map(|version| Seen::of_model(key, version)).collect()
}

/// Reads a range to its end in both, page by page, and says where they differ. A range that goes on for more than `pages` is
/// left there.
pub(crate) fn range<P: Plant>(
    store: &Store<P>,
    model: &mut Naive,
    range: &Range,
    pages: usize,
) -> Result<(), String> {
    let mut range = range.clone();
    for number in 0..pages {
        let seen = store.range(&range).map(|page| page.to_reply());
        let (now, most) = ((model.revision(), model.current()), model.setting(Setting::ReplyBytes));
        let mine = reads::range(model, &range, now, most).map(|(mut page, next)| match (&seen, next) {
            (Ok(seen), Some(next)) if !seen.continuation.is_empty() => {
                page.continuation = seen.continuation.clone();
                (page, Some(next))
            }
            (_, Some(_)) => {
                page.continuation = Bytes::from_static(b"a continuation");
                (page, None)
            }
            (_, None) => (page, None),
        });
        let next = mine.as_ref().ok().and_then(|(_, next)| next.clone());
        same(&format!("page {number} of {range:?}"), &seen, &mine.map(|(page, _)| page))?;
        let Some(next) = next else { return Ok(()) };
        range.continuation = seen.map(|page| page.continuation).unwrap_or_default();
        model.places.push((range.continuation.clone(), next));
    }
    Ok(())
}

/// Nothing if both are equal; else the lines in which they differ.
pub(crate) fn same<T: PartialEq + Debug>(what: &str, store: &T, model: &T) -> Result<(), String> {
    if store == model {
        return Ok(());
    }
    let (store, model) = (format!("{store:#?}"), format!("{model:#?}"));
    let (store, model): (Vec<&str>, Vec<&str>) = (store.lines().collect(), model.lines().collect());
    let ahead = store.iter().zip(&model).take_while(|(one, other)| one == other).count();
    let behind = store.iter().rev().zip(model.iter().rev()).take_while(|(one, other)| one == other).count();
    let part = |lines: &[&str]| {
        let end = lines.len().saturating_sub(behind).max(ahead + 1).min(lines.len());
        lines[ahead.saturating_sub(12).min(end)..end].join("\n")
    };
    Err(format!("{what}\n--- store\n{}\n--- model\n{}", part(&store), part(&model)))
}
