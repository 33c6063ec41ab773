//! The model, continued: the digest, as the page says it is made, and audit records.

use bytes::{BufMut, Bytes};
use holdfast_command::audit::{Touched, TouchedKind};
use holdfast_command::{AuditRecord, Envelope, Outcome, Reply, Request};
use sha2::{Digest, Sha256};

use super::coordination::{Queue, Touch};
use super::naive::{Item, Keys, Naive};

impl Naive {
    /// An effect of the entry: its number, a name if it has one, and numbers.
    pub(crate) fn effect(&mut self, number: u8, name: Option<&[u8]>, fields: &[u64]) {
        self.effects.put_u8(number);
        if let Some(name) = name {
            self.effects.put_u32_le(name.len() as u32);
            self.effects.put_slice(name);
        }
        for field in fields {
            self.effects.put_u64_le(*field);
        }
    }

    pub(crate) fn touch(&mut self, kind: TouchedKind, name: &[u8], before: u64, gone: bool) {
        let name = Bytes::copy_from_slice(name);
        self.things.push(Touched { kind, name, before, gone });
    }

    pub(crate) fn touch_number(&mut self, kind: TouchedKind, number: u64, before: u64, gone: bool) {
        self.touch(kind, &number.to_le_bytes(), before, gone);
    }

    pub(crate) fn touch_queue(&mut self, queue: &Queue, before: u64, gone: bool) {
        match queue {
            Queue::Lock(name) => self.touch(TouchedKind::Lock, name, before, gone),
            Queue::Election(name) => self.touch(TouchedKind::Election, name, before, gone),
        }
    }

    /// Keys have become something else, in this order, at a new revision.
    pub(crate) fn effects_on_keys(&mut self, changed: &[Bytes], before: &Keys, after: &Keys) {
        let revision = self.revision();
        for key in changed {
            let nothing = (0, 0, 0, Bytes::new());
            let of = |item: &Item| (item.create_revision, item.version, item.lease, item.value.clone());
            let (create, version, lease, value) = after.get(key).map_or(nothing, of);
            self.effect(4, Some(key), &[create, revision, version, lease as u64]);
            self.effects.put_u32_le(value.len() as u32);
            self.effects.put_slice(&value);
            let mod_revision = before.get(key).map_or(0, |item| item.mod_revision);
            self.touch(TouchedKind::Key, key, mod_revision, !after.contains_key(key));
        }
    }

    /// The record of a command that was executed.
    pub(crate) fn leave_record(&mut self, request: &Request, envelope: &Envelope, reply: &Reply) {
        let mut touched = std::mem::take(&mut self.things);
        if touched.is_empty() {
            return;
        }
        let count = touched.len() as u64;
        if count > 64 {
            self.marks.insert("more touched than a record lists");
        }
        touched.truncate(64);
        let record = AuditRecord {
            index: self.applied.1,
            term: self.applied.0,
            stamp: self.stamp,
            clock: self.clock,
            revision: self.revision(),
            actor: envelope.actor.clone(),
            address: envelope.address,
            key: request.key,
            reason: request.reason.clone(),
            command: request.command.number(),
            reply: reply.number(),
            count,
            touched,
        };
        self.effect(14, Some(&record.encode()), &[]);
        self.record = Some(record);
    }

    /// What is behind every command: queues and the answer.
    pub(crate) fn effects_behind(&mut self, outcome: &Outcome, repeated: bool) {
        for (queue, what) in self.touched.clone() {
            let (kind, name) = match queue {
                Queue::Lock(name) => (1, name),
                Queue::Election(name) => (2, name),
            };
            let (what, lease, token) = match what {
                Touch::Granted(lease, token) => (1, lease as u64, token),
                Touch::Left(lease) => (2, lease as u64, 0),
                Touch::Changed => (3, 0, 0),
            };
            self.effect(13, Some(&name), &[kind, what, lease, token]);
        }
        self.effect(3, Some(&outcome.encode()), &[repeated.into()]);
    }

    /// The entry is over: the next link of the chain.
    pub(crate) fn end_of_entry(&mut self, bytes: usize) {
        let (term, index) = self.applied;
        let mut hasher = Sha256::new();
        hasher.update(self.digest);
        hasher.update([1, 0]);
        hasher.update(index.to_le_bytes());
        hasher.update(term.to_le_bytes());
        hasher.update(&self.effects);
        self.effects.clear();
        self.digest = hasher.finalize().into();
        self.open_bytes += bytes;
        let length = self.settings.get(holdfast_command::Setting::DigestRange);
        if (index + 1).is_multiple_of(length) || self.open_bytes >= 16 << 20 {
            self.open_bytes = 0;
            self.finished.push((index, self.digest));
        }
    }
}
