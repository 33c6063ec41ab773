//! The model, continued: what the commands on keys do, to a copy of all keys.

use std::collections::BTreeMap;

use bytes::Bytes;
use holdfast_command::keys::{
    Against, Compare, Delete, Operation, Put, Range, Relation, Restore, Span, Transaction,
};
use holdfast_command::{KeyValue, Refusal, Reply, Setting};

use super::coordination::Queue;
use super::naive::{Item, Keys, Naive, Writer};
use super::reads::{self, Place};
use super::rules;

/// A command under way: the model as it was before, and the keys as they are by now.
pub(crate) struct Work<'a> {
    before: &'a Naive,
    pub(crate) keys: Keys,
    /// What was changed, in order.
    pub(crate) changed: Vec<Bytes>,
    pub(crate) writer: Writer,
    /// What the continuations mean that this command gives, in order.
    pub(crate) places: Vec<Place>,
    pub(crate) marks: Vec<&'static str>,
    reply_bytes: u64,
    visits: u64,
}

/// Whether the comparisons of a transaction hold, and those of the inner ones of the list that is done.
pub(crate) struct Decision {
    succeeded: bool,
    inner: Vec<Decision>,
}

pub(crate) fn key_value(key: &Bytes, item: &Item) -> KeyValue {
    KeyValue {
        key: key.clone(),
        value: item.value.clone(),
        create_revision: item.create_revision,
        mod_revision: item.mod_revision,
        version: item.version,
        lease: item.lease,
        stamp: item.writer.stamp,
    }
}

impl<'a> Work<'a> {
    pub(crate) fn new(before: &'a Naive, writer: Writer) -> Self {
        Self {
            before,
            keys: before.current().clone(),
            changed: Vec::new(),
            writer,
            places: Vec::new(),
            marks: Vec::new(),
            reply_bytes: 0,
            visits: 0,
        }
    }

    /// The revision behind what was done so far.
    fn revision(&self) -> u64 {
        self.before.revision() + u64::from(!self.changed.is_empty())
    }

    pub(crate) fn put(&mut self, put: &Put) -> Result<Reply, Refusal> {
        let old = self.keys.get(&put.key).cloned();
        if (put.keep_value || put.keep_lease) && old.is_none() {
            return Err(Refusal::KeyNotFound);
        }
        if put.lease != 0 {
            match self.before.leases.get(&put.lease) {
                Some(lease) if lease.actor == self.writer.actor => {}
                _ => return Err(Refusal::UnknownLease { lease: put.lease }),
            }
        }
        let mut value = put.value.clone();
        let mut lease = put.lease;
        if let Some(old) = &old {
            if put.keep_value {
                value = old.value.clone();
            }
            if put.keep_lease {
                lease = old.lease;
                if lease != 0 {
                    self.marks.push("lease kept");
                }
            }
            match (old.lease, lease) {
                (0, _) => {}
                (_, 0) => self.marks.push("key taken from its lease"),
                (before, now) if before != now => self.marks.push("key moved to another lease"),
                (_, _) => {}
            }
        }
        self.write(&put.key, value, lease)?;
        let previous = self.previous(&put.key, old.as_ref().filter(|_| put.return_previous))?;
        Ok(Reply::Put { revision: self.revision(), previous })
    }

    fn write(&mut self, key: &Bytes, value: Bytes, lease: i64) -> Result<(), Refusal> {
        let bytes = value.len() as u64;
        let there = self.keys.get(key).is_some_and(|old| old.value == value);
        let mut limit = self.before.setting(Setting::ValueBytes);
        if let Some(namespace) = namespace_of(self.before, key) {
            let own = self.before.namespaces[&namespace].value_bytes;
            if own != 0 && own < limit {
                limit = own;
            }
        }
        if bytes > limit {
            if there {
                self.marks.push("value too long that was there before");
            }
            return Err(Refusal::ValueTooLong { bytes, limit });
        }
        let mod_revision = self.before.revision() + 1;
        let (create_revision, version) = match self.keys.get(key) {
            Some(old) => (old.create_revision, old.version + 1),
            None => (mod_revision, 1),
        };
        let writer = self.writer.clone();
        let item = Item { value, create_revision, mod_revision, version, lease, writer };
        self.keys.insert(key.clone(), item);
        self.changed.push(key.clone());
        Ok(())
    }

    fn previous(&mut self, key: &Bytes, old: Option<&Item>) -> Result<Option<KeyValue>, Refusal> {
        match old {
            None => Ok(None),
            Some(old) => {
                self.answer_with((48 + key.len() + old.value.len()) as u64)?;
                Ok(Some(key_value(key, old)))
            }
        }
    }

    /// The command looks at so many keys more.
    fn visit(&mut self, keys: u64, mark: &'static str) -> Result<(), Refusal> {
        self.visits += keys;
        let limit = self.before.setting(Setting::Visits);
        if self.visits > limit {
            self.marks.push(mark);
            return Err(Refusal::TooManyVisits { limit });
        }
        Ok(())
    }

    /// The answer has so many bytes more of keys.
    fn answer_with(&mut self, bytes: u64) -> Result<(), Refusal> {
        self.reply_bytes += bytes;
        let limit = self.before.setting(Setting::ReplyBytes);
        if self.reply_bytes > limit { Err(Refusal::ReplyTooLong { limit }) } else { Ok(()) }
    }

    pub(crate) fn delete(&mut self, delete: &Delete) -> Result<Reply, Refusal> {
        let all = self.keys.clone();
        let mut previous = Vec::new();
        let count = all.keys().filter(|key| rules::within(&delete.span, key)).count() as u64;
        self.visit(count, "too many visits of a deletion")?;
        for (key, item) in all.iter().filter(|(key, _)| rules::within(&delete.span, key)) {
            self.keys.remove(key);
            self.changed.push(key.clone());
            previous.extend(self.previous(key, Some(item).filter(|_| delete.return_previous))?);
        }
        if count == 0 {
            self.marks.push("nothing to delete");
        }
        Ok(Reply::Deleted { revision: self.revision(), count, previous })
    }

    pub(crate) fn restore(&mut self, restore: &Restore) -> Result<Reply, Refusal> {
        let (asked, current, oldest) = (restore.revision, self.before.revision(), self.before.oldest);
        if asked > current {
            return Err(Refusal::FutureRevision { asked, current });
        }
        if asked < oldest {
            return Err(Refusal::Compacted { asked, oldest });
        }
        let then = self.before.revisions[asked as usize].keys.get(&restore.key).cloned();
        let now = self.keys.get(&restore.key).cloned();
        let exists = then.is_some();
        match then {
            Some(then) => self.write(&restore.key, then.value, 0)?,
            None if now.is_some() => {
                self.keys.remove(&restore.key);
                self.changed.push(restore.key.clone());
                self.marks.push("restored to nothing");
            }
            None => self.marks.push("nothing to restore"),
        }
        let previous = self.previous(&restore.key, now.as_ref().filter(|_| restore.return_previous))?;
        Ok(Reply::Restored { revision: self.revision(), exists, previous })
    }

    /// Makes all comparisons that decide about something.
    pub(crate) fn decide(&mut self, transaction: &Transaction) -> Result<Decision, Refusal> {
        let keys = self.before.current();
        let mut succeeded = true;
        for compare in &transaction.compares {
            let (held, looked_at) = holds(compare, self.before, keys, &mut self.marks);
            self.visit(looked_at, "too many visits of a comparison")?;
            if !held {
                succeeded = false;
                break;
            }
        }
        let mut inner = Vec::new();
        for operation in if succeeded { &transaction.then } else { &transaction.otherwise } {
            if let Operation::Transaction(transaction) = operation {
                inner.push(self.decide(transaction)?);
            }
        }
        Ok(Decision { succeeded, inner })
    }

    pub(crate) fn transact(
        &mut self,
        transaction: &Transaction,
        decision: &Decision,
    ) -> Result<Reply, Refusal> {
        let succeeded = decision.succeeded;
        let list = if succeeded { &transaction.then } else { &transaction.otherwise };
        let mut inner_decisions = decision.inner.iter();
        let mut results = Vec::new();
        for operation in list {
            results.push(match operation {
                Operation::Put(put) => self.put(put)?,
                Operation::Delete(delete) => self.delete(delete)?,
                Operation::Restore(restore) => self.restore(restore)?,
                Operation::Range(range) => self.range(range)?,
                Operation::Transaction(inner) => {
                    self.transact(inner, inner_decisions.next().expect("one for each"))?
                }
            });
        }
        Ok(Reply::Transacted { revision: self.revision(), succeeded, results })
    }

    fn range(&mut self, range: &Range) -> Result<Reply, Refusal> {
        let now = (self.revision(), &self.keys);
        let (mut page, next) = reads::range(self.before, range, now, u64::MAX)?;
        self.visit(reads::visits(self.before, range, &self.keys, &page), "too many visits of a range")?;
        if range.revision == 0 && range.continuation.is_empty() && !self.changed.is_empty() {
            self.marks.push("own writes read");
        }
        let bytes = page.entries.iter().map(|entry| 48 + entry.key.len() + entry.value.len());
        self.answer_with(bytes.sum::<usize>() as u64)?;
        if let Some(next) = next {
            page.continuation = reads::stand_in(self.places.len());
            self.places.push(next);
            self.marks.push("page within a transaction");
        }
        Ok(Reply::Ranged(page))
    }

    /// No lease has more keys than it may and more than before.
    pub(crate) fn leases(&mut self) -> Result<(), Refusal> {
        let limit = self.before.setting(Setting::LeaseKeys);
        for id in self.before.leases.keys() {
            let before = self.before.keys_of(*id).len() as u64;
            let keys = self.keys.values().filter(|item| item.lease == *id).count() as u64;
            if keys > limit {
                if keys > before {
                    return Err(Refusal::TooManyKeysOfLease { keys, limit });
                }
                self.marks.push("above the keys of a lease, but not more than before");
            }
        }
        Ok(())
    }

    /// No namespace has more than it may and more than before.
    pub(crate) fn quotas(&mut self) -> Result<(), Refusal> {
        let (before, after) = (usage(self.before, self.before.current()), usage(self.before, &self.keys));
        let quotas = |name: &Option<String>| match name {
            None => (self.before.setting(Setting::QuotaKeys), self.before.setting(Setting::QuotaBytes)),
            Some(name) => {
                let rules = &self.before.namespaces[name];
                (rules.quota_keys, rules.quota_bytes)
            }
        };
        for (name, (keys, bytes)) in after {
            let (quota_keys, quota_bytes) = quotas(&name);
            let (keys_before, bytes_before) = before[&name];
            if quota_keys != 0 && keys > quota_keys {
                if keys > keys_before {
                    return Err(Refusal::QuotaOfKeys { keys, quota: quota_keys });
                }
                self.marks.push("above the quota of keys, but not more than before");
            }
            if quota_bytes != 0 && bytes > quota_bytes {
                if bytes > bytes_before {
                    return Err(Refusal::QuotaOfBytes { bytes, quota: quota_bytes });
                }
                self.marks.push("above the quota of bytes, but not more than before");
            }
        }
        Ok(())
    }
}

/// The longest namespace that a key begins with.
fn namespace_of(model: &Naive, key: &Bytes) -> Option<String> {
    let fits = model.namespaces.keys().filter(|name| key.starts_with(name.as_bytes()));
    fits.max_by_key(|name| name.len()).cloned()
}

/// Keys, and bytes of keys and values, of each namespace and of none.
pub(crate) fn usage(model: &Naive, keys: &Keys) -> BTreeMap<Option<String>, (u64, u64)> {
    let mut all = BTreeMap::from([(None, (0, 0))]);
    all.extend(model.namespaces.keys().map(|name| (Some(name.clone()), (0, 0))));
    for (key, item) in keys {
        let place = all.entry(namespace_of(model, key)).or_default();
        place.0 += 1;
        place.1 += (key.len() + item.value.len()) as u64;
    }
    all
}

/// Whether a comparison holds, and how many keys it was made with.
fn holds(compare: &Compare, model: &Naive, keys: &Keys, marks: &mut Vec<&'static str>) -> (bool, u64) {
    let by_name = match (&compare.against, &compare.span) {
        (Against::Fence(token), Span::Key(name)) => Some((Queue::Lock(name.clone()), token)),
        (Against::Term(token), Span::Key(name)) => Some((Queue::Election(name.clone()), token)),
        _ => None,
    };
    if let Some((queue, token)) = by_name {
        let held = related(&model.token_of(&queue), compare.relation, token);
        let usual = compare.relation == Relation::Equal && *token > 0;
        match (queue, held) {
            (Queue::Lock(_), true) if usual => marks.push("fence held"),
            (Queue::Lock(_), false) if usual => marks.push("fence kept somebody out"),
            (Queue::Election(_), _) if usual => marks.push("term compared"),
            _ => {}
        }
        return (held, 0);
    }
    let found: Vec<&Item> =
        keys.iter().filter(|(key, _)| rules::within(&compare.span, key)).map(|(_, item)| item).collect();
    if found.len() > 1 {
        marks.push("comparison over several keys");
    }
    if found.is_empty() {
        let held = match compare.against {
            Against::Version(number) | Against::CreateRevision(number) | Against::ModRevision(number) => {
                related(&0, compare.relation, &number)
            }
            Against::Lease(lease) => related(&0, compare.relation, &lease),
            Against::Value(_) => {
                marks.push("values compared of nothing");
                false
            }
            Against::Fence(_) | Against::Term(_) => unreachable!("of a name, not of keys"),
        };
        return (held, 0);
    }
    let fails = |item: &&Item| !match &compare.against {
        Against::Version(number) => related(&item.version, compare.relation, number),
        Against::CreateRevision(number) => related(&item.create_revision, compare.relation, number),
        Against::ModRevision(number) => related(&item.mod_revision, compare.relation, number),
        Against::Lease(lease) => related(&item.lease, compare.relation, lease),
        Against::Value(value) => related(&item.value, compare.relation, value),
        Against::Fence(_) | Against::Term(_) => unreachable!("of a name, not of keys"),
    };
    let failed = found.iter().position(fails);
    let made = &found[..failed.map_or(found.len(), |place| place + 1)];
    let values = made.iter().filter(|_| matches!(compare.against, Against::Value(_)));
    (failed.is_none(), made.len() as u64 + values.map(|item| reads::long(&item.value)).sum::<u64>())
}

fn related<T: Ord>(own: &T, relation: Relation, other: &T) -> bool {
    match relation {
        Relation::Equal => own == other,
        Relation::NotEqual => own != other,
        Relation::Less => own < other,
        Relation::Greater => own > other,
    }
}
