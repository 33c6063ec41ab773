//! What one command changes: all of it under one revision, or nothing.
//!
//! Changes go into the current keys at once, so that what comes later in the command sees them, and are remembered
//! beside. At the end they are kept, which writes them into the log, or taken back, which puts every key where it was.
//! No key changes twice, so there is exactly one way back.

use bytes::Bytes;
use holdfast_command::keys::{Content, Delete, Put, Range, Restore};
use holdfast_command::{KeyValue, Refusal, Reply, Setting};

use super::Keys;
use super::range::{Page, Source, Visits, given};
use crate::plant::{Bug, Plant};
use crate::state::State;
use crate::version::{Numbers, Origin, Version};

/// Room for changes that is kept between commands.
const STAGED_KEPT: usize = 1_024;

/// All revisions are below this.
pub(super) const REVISIONS_END: u64 = 1 << 63;

/// A change that is not kept yet.
#[derive(Clone, Debug)]
pub(super) struct Staged {
    pub(super) version: Version,
    /// What the key was before; none if it was not there.
    pub(super) previous: Option<Version>,
}

/// A command under way.
pub(super) struct Edit<'a> {
    pub(super) state: &'a mut State,
    origin: Origin<'a>,
    staged: Vec<Staged>,
    /// How many more bytes of keys the answer may give back.
    reply_left: u64,
    /// How many more keys it may look at.
    pub(super) visits: Visits,
    /// The keys as they were, if an operation may ask for them.
    before: Option<Keys>,
}

impl<'a> Edit<'a> {
    pub(super) fn new(state: &'a mut State, origin: Origin<'a>) -> Self {
        let staged = std::mem::take(&mut state.keys.staged);
        let reply_left = state.settings.get(Setting::ReplyBytes);
        let visits = Visits::new(state.settings.get(Setting::Visits));
        Self { state, origin, staged, reply_left, visits, before: None }
    }

    /// Remembers the keys as they are. It costs a copy of every part of the tree that is written from now on.
    pub(super) fn remember(&mut self) {
        self.before = Some(self.state.keys.clone());
    }

    /// Keeps the changes.
    ///
    /// # Errors
    /// A quota, or too many keys on a lease; the changes are taken back.
    pub(super) fn finish<P: Plant>(self) -> Result<(), Refusal> {
        match self.check_quotas().and_then(|()| self.check_leases()) {
            Ok(()) => {
                self.keep::<P>();
                Ok(())
            }
            Err(refusal) => {
                self.take_back();
                Err(refusal)
            }
        }
    }

    fn keep<P: Plant>(mut self) {
        let State { keys, namespaces, leases, trail, .. } = self.state;
        if !self.staged.is_empty() {
            keys.revision += 1;
        }
        for Staged { version, previous } in self.staged.drain(..) {
            namespaces.account(&version, previous.as_ref());
            leases.moved(&version, previous.as_ref());
            trail.key(&version, previous.as_ref(), !P::plants(Bug::ValueNotInDigest));
            let superseded = previous.or_else(|| {
                // A key that comes back takes up its past from where it was buried.
                if keys.graves.is_empty() { None } else { keys.graves.remove(version.key()) }
            });
            if version.is_tombstone() {
                keys.graves.insert(version.clone());
            }
            keys.history_bytes += keys.log.push(version, superseded);
        }
        keys.give_back(self.staged);
    }

    /// Puts every key where it was.
    pub(super) fn take_back(mut self) {
        let keys = &mut self.state.keys;
        for Staged { version, previous } in self.staged.drain(..).rev() {
            match previous {
                Some(previous) => keys.current.insert(previous),
                None => keys.current.remove(version.key()),
            };
        }
        keys.give_back(self.staged);
    }

    fn changes(&self) -> impl Iterator<Item = (&Version, Option<&Version>)> {
        self.staged.iter().map(|staged| (&staged.version, staged.previous.as_ref()))
    }

    fn check_quotas(&self) -> Result<(), Refusal> {
        self.state.namespaces.check(self.changes(), &self.state.settings)
    }

    fn check_leases(&self) -> Result<(), Refusal> {
        self.state.leases.check(self.changes(), &self.state.settings)
    }

    /// The revision behind what was done so far: that of the changes, if there are any.
    pub(super) fn revision(&self) -> u64 {
        self.state.keys.revision + u64::from(!self.staged.is_empty())
    }

    /// Counts what is given back.
    fn give(&mut self, bytes: u64) -> Result<(), Refusal> {
        match self.reply_left.checked_sub(bytes) {
            Some(left) => {
                self.reply_left = left;
                Ok(())
            }
            None => Err(Refusal::ReplyTooLong { limit: self.state.settings.get(Setting::ReplyBytes) }),
        }
    }

    fn give_previous(
        &mut self,
        wanted: bool,
        previous: Option<&Version>,
    ) -> Result<Option<KeyValue>, Refusal> {
        match previous.filter(|_| wanted) {
            None => Ok(None),
            Some(previous) => {
                self.give(given(previous, false))?;
                Ok(Some(previous.to_key_value(true)))
            }
        }
    }

    /// Writes a key, and gives back what it was.
    fn write<P: Plant>(&mut self, key: &[u8], value: &[u8], lease: i64) -> Result<Option<Version>, Refusal> {
        let limit = self.state.namespaces.value_limit(key, &self.state.settings);
        if value.len() as u64 > limit {
            return Err(Refusal::ValueTooLong { bytes: value.len() as u64, limit });
        }
        let (mod_revision, position) = (self.next_revision()?, self.position());
        let first = if P::plants(Bug::VersionNotReset) { self.state.keys.last_version(key) + 1 } else { 1 };
        let Keys { current, graves, log, scratch, .. } = &mut self.state.keys;
        let mut written = None;
        let previous = current.update(key, |previous| {
            let way = log.way(position, previous.or_else(|| graves.get(key)));
            let created = previous.map(|previous| (previous.create_revision(), previous.version() + 1));
            let (create_revision, version) = created.unwrap_or((mod_revision, first));
            let numbers = Numbers { create_revision, mod_revision, version, lease, position, way };
            written = Some(Version::pack(key, value, numbers, self.origin, scratch));
            written.clone()
        });
        self.staged.extend(written.map(|version| Staged { version, previous: previous.clone() }));
        if P::plants(Bug::QuotaByOperation) {
            self.check_quotas()?;
        }
        Ok(previous)
    }

    /// Removes a key that is there.
    fn remove(&mut self, previous: Version) -> Result<(), Refusal> {
        let (mod_revision, position) = (self.next_revision()?, self.position());
        let keys = &mut self.state.keys;
        let way = keys.log.way(position, Some(&previous));
        let numbers = Numbers { mod_revision, position, way, ..Numbers::default() };
        let version = Version::pack(previous.key(), &[], numbers, self.origin, &mut keys.scratch);
        keys.current.remove(previous.key());
        self.staged.push(Staged { version, previous: Some(previous) });
        Ok(())
    }

    fn next_revision(&self) -> Result<u64, Refusal> {
        let next = self.state.keys.revision + 1;
        if next < REVISIONS_END { Ok(next) } else { Err(Refusal::RevisionsExhausted) }
    }

    fn position(&self) -> u64 {
        self.state.keys.log.next() + self.staged.len() as u64
    }

    pub(super) fn put<P: Plant>(&mut self, put: &Put) -> Result<Reply, Refusal> {
        let kept = if put.keep_value || put.keep_lease {
            Some(self.state.keys.get(&put.key).cloned().ok_or(Refusal::KeyNotFound)?)
        } else {
            None
        };
        if put.lease != 0 {
            self.state.leases.own(put.lease, self.origin.actor)?;
        }
        let lease = kept.as_ref().filter(|_| put.keep_lease).map_or(put.lease, Version::lease);
        let previous = match kept.as_ref().filter(|_| put.keep_value) {
            Some(kept) => self.write::<P>(&put.key, kept.value(), lease)?,
            None => self.write::<P>(&put.key, &put.value, lease)?,
        };
        let previous = self.give_previous(put.return_previous, previous.as_ref())?;
        Ok(Reply::Put { revision: self.revision(), previous })
    }

    pub(super) fn delete(&mut self, delete: &Delete) -> Result<Reply, Refusal> {
        let doomed = self.state.keys.current_of(&delete.span).take_while(|_| self.visits.spend());
        let doomed: Vec<Version> = doomed.cloned().collect();
        self.visits.check()?;
        let count = doomed.len() as u64;
        let mut previous = Vec::new();
        for version in doomed {
            previous.extend(self.give_previous(delete.return_previous, Some(&version))?);
            self.remove(version)?;
        }
        Ok(Reply::Deleted { revision: self.revision(), count, previous })
    }

    /// Deletes those of these keys that are there, without a bound but their number.
    pub(super) fn delete_all(&mut self, keys: &[Bytes]) -> Result<(), Refusal> {
        for key in keys {
            if let Some(version) = self.state.keys.get(key).cloned() {
                self.remove(version)?;
            }
        }
        Ok(())
    }

    pub(super) fn restore<P: Plant>(&mut self, restore: &Restore) -> Result<Reply, Refusal> {
        // This key has not changed since the command began, and the log has not either.
        let revision = match restore.revision {
            0 => return Err(Refusal::Compacted { asked: 0, oldest: self.state.keys.oldest }),
            asked => self.state.keys.readable(asked)?,
        };
        let then = self.state.keys.at(&restore.key, revision).cloned();
        let exists = then.is_some();
        let previous = match then {
            Some(then) => self.write::<P>(&restore.key, then.value(), 0)?,
            None => {
                let now = self.state.keys.get(&restore.key).cloned();
                if let Some(now) = now.clone() {
                    self.remove(now)?;
                }
                now
            }
        };
        let previous = self.give_previous(restore.return_previous, previous.as_ref())?;
        Ok(Reply::Restored { revision: self.revision(), exists, previous })
    }

    pub(super) fn range<P: Plant>(&mut self, range: &Range) -> Result<Reply, Refusal> {
        if P::plants(Bug::NeedlessRangeSkipped) && range.content == Content::CountOnly {
            return Ok(Reply::Ranged(Page { revision: self.revision(), ..Page::default() }.to_reply()));
        }
        let most = if range.page_bytes == 0 { u64::MAX } else { range.page_bytes.into() };
        let now = self.revision();
        let keys = &self.state.keys;
        let page = keys.page(range, most, &self.visits, |asked| match asked {
            0 => Ok(Source::Current(keys, now)),
            _ => Ok(Source::Past(self.before.as_ref().unwrap_or(keys), keys.readable(asked)?)),
        })?;
        self.give(page.bytes())?;
        Ok(Reply::Ranged(page.to_reply()))
    }
}

impl Keys {
    /// Keeps an emptied list for the next command, unless it is the rare long one.
    fn give_back(&mut self, mut staged: Vec<Staged>) {
        staged.shrink_to(STAGED_KEPT);
        self.staged = staged;
    }

    /// How often a key that is not there was written before it was deleted. Only planted bugs ask.
    fn last_version(&self, key: &[u8]) -> u64 {
        let grave = self.graves.get(key).and_then(|grave| self.log.before(grave));
        grave.map_or(0, Version::version)
    }
}
