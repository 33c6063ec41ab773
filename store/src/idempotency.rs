//! Idempotency keys: a request that comes twice happens once, without a session.
//!
//! A caller of the HTTP interface has no session; it makes up a key. What is remembered of it has no client that would
//! say when it may be forgotten, so it is forgotten by time, and there is a bound on all of them together.

use std::ops::Bound;

use bytes::BufMut;
use holdfast_command::layout::Reader;
use holdfast_command::{Refusal, Setting, Settings};
use imbl::{OrdMap, OrdSet};

use crate::sessions::{Answer, Given, Recognised};
use crate::snapshot::{Records, Refused, Section};

/// A hash that the admitting node made.
type Hash = [u8; 32];

#[derive(Clone, Debug)]
struct Remembered {
    request: Hash,
    answer: Answer,
}

/// All idempotency keys that are remembered.
#[derive(Clone, Debug, Default)]
pub(crate) struct IdempotencyKeys {
    all: OrdMap<Hash, Remembered>,
    /// When each is forgotten, on the cluster clock.
    due: OrdSet<(u64, Hash)>,
    reply_bytes: u64,
}

impl IdempotencyKeys {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn reply_bytes(&self) -> u64 {
        self.reply_bytes
    }

    /// Forgets keys whose time is over, and says how many.
    pub(crate) fn expire(&mut self, clock: u64) -> u64 {
        let before = self.all.len();
        while let Some(&(due, key)) = self.due.get_min()
            && due <= clock
        {
            self.due.remove(&(due, key));
            if let Some(gone) = self.all.remove(&key) {
                self.reply_bytes -= gone.answer.bytes();
            }
        }
        (before - self.all.len()) as u64
    }

    /// Whether a key is not remembered.
    pub(crate) fn is_new(&self, key: &Hash) -> bool {
        !self.all.contains_key(key)
    }

    /// Whether a request is to be executed.
    pub(crate) fn recognise(&self, key: &Hash, request: &Hash, settings: &Settings) -> Recognised {
        let Some(remembered) = self.all.get(key) else {
            let limit = settings.get(Setting::IdempotencyKeys);
            let full = self.all.len() as u64 >= limit;
            let refusal = Refusal::TooManyIdempotencyKeys { limit };
            return if full { Recognised::Refused(refusal) } else { Recognised::New };
        };
        let answer = &remembered.answer;
        if remembered.request != *request {
            return Recognised::Refused(Refusal::IdempotencyMismatch { index: answer.at.index });
        }
        answer.repeat()
    }

    /// Writes keys into a snapshot, from behind this deadline and key on, until there is enough. Says behind which to go on;
    /// none if there are no more.
    pub(crate) fn write(&self, behind: Option<(u64, Hash)>, records: &mut Records) -> Option<(u64, Hash)> {
        let bounds = (behind.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        for place @ (due, key) in self.due.range(bounds) {
            let Some(remembered) = self.all.get(key) else { continue };
            records.put(Section::IdempotencyKeys, |out| {
                out.put_u64_le(*due);
                out.put_slice(key);
                out.put_slice(&remembered.request);
                remembered.answer.write(out);
            });
            if records.is_full() {
                return Some(*place);
            }
        }
        None
    }

    /// Reads a key out of a snapshot.
    pub(crate) fn read(&mut self, fields: &mut Reader) -> Result<(), Refused> {
        let (due, key, request) = (fields.u64()?, fields.array()?, fields.array()?);
        let answer = Answer::read(fields)?;
        let ascends = self.due.get_max().is_none_or(|last| *last < (due, key));
        Refused::unless(
            ascends && self.is_new(&key),
            "idempotency keys ascend by their deadline, each once",
        )?;
        self.reply_bytes += answer.bytes();
        self.all.insert(key, Remembered { request, answer });
        self.due.insert((due, key));
        Ok(())
    }

    /// Keeps what was answered to a key that is not remembered yet.
    pub(crate) fn remember(
        &mut self,
        (key, request): (Hash, Hash),
        given: &Given<'_>,
        clock: u64,
        settings: &Settings,
    ) {
        let room = settings.get(Setting::IdempotencyReplyBytes).saturating_sub(self.reply_bytes);
        let answer = given.keep(room);
        self.reply_bytes += answer.bytes();
        self.all.insert(key, Remembered { request, answer });
        self.due.insert((clock.saturating_add(settings.get(Setting::IdempotencyTtl)), key));
    }
}
