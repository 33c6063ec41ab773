//! Keys in a snapshot: as they were at the oldest revision, and every change since.
//!
//! What no read can see is left out (changes at and below the oldest revision that the sweep has not come to, tombstones there), so
//! that nodes write the same bytes wherever their sweeps are. A change says what the key became. What it superseded, how often
//! the key was written and where the log jumps to is what comes of making it again.

use std::ops::Bound;

use bytes::BufMut;
use holdfast_command::Actor;
use holdfast_command::layout::{Reader, put_section};
use holdfast_hlc::Stamp;

use super::Keys;
use super::log::Log;
use crate::snapshot::{Records, Refused, Section};
use crate::version::{Numbers, Origin, Version};

/// Longer than any key, and what the length of a key has room for.
const KEY_BYTES_END: usize = 1 << 16;

/// Of a change: the key was deleted.
const DELETED: u8 = 1;

impl Keys {
    /// Writes keys as they were at the oldest revision, from behind `behind` on, until there is enough. Says behind which key
    /// to go on; none if there are no more.
    pub(crate) fn write_settled(&self, behind: Option<&[u8]>, records: &mut Records) -> Option<Vec<u8>> {
        let bounds = (behind.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        // No key is in both.
        let mut current = self.current.range(bounds, false).peekable();
        let mut graves = self.graves.range(bounds, false).peekable();
        loop {
            let newest = match (current.peek(), graves.peek()) {
                (Some(one), Some(other)) if other.key() < one.key() => graves.next(),
                (Some(_), _) => current.next(),
                (None, _) => graves.next(),
            }?;
            let then = self.log.at(newest, self.oldest).filter(|version| !version.is_tombstone());
            if let Some(version) = then {
                records.put(Section::Keys, |out| {
                    for field in [version.create_revision(), version.mod_revision(), version.version()] {
                        out.put_u64_le(field);
                    }
                    write_rest(version, out);
                });
                if records.is_full() {
                    return Some(newest.key().to_vec());
                }
            }
        }
    }

    /// Writes changes behind the oldest revision, from the one with the number `at` on, until there is enough. Says at which to
    /// go on; none if there are no more.
    pub(crate) fn write_changes(&self, at: usize, records: &mut Records) -> Option<usize> {
        for (number, change) in (at..).zip(self.log.behind(self.oldest, at)) {
            if records.is_full() {
                return Some(number);
            }
            let version = &change.version;
            records.put(Section::Changes, |out| {
                out.put_u8(if version.is_tombstone() { DELETED } else { 0 });
                out.put_u64_le(version.mod_revision());
                write_rest(version, out);
            });
        }
        None
    }

    /// Writes how old revisions are, from the mark with the number `at` on, until there is enough.
    pub(crate) fn write_ages(&self, at: usize, records: &mut Records) -> Option<usize> {
        for (number, (clock, revision)) in (at..).zip(self.marks.focus().narrow(at..)) {
            if records.is_full() {
                return Some(number);
            }
            records.put(Section::Ages, |out| {
                out.put_u64_le(*clock);
                out.put_u64_le(*revision);
            });
        }
        None
    }

    /// Before the first key: what is restored is the state at this revision, until changes come.
    pub(crate) fn begin_restoring(&mut self, oldest: u64) {
        (self.revision, self.oldest) = (oldest, oldest);
        // So that no change is at 0, which is where versions say they are that no change in the log made.
        self.log = Log::starting_at(1);
    }

    /// Reads a key as it was at the oldest revision.
    pub(crate) fn read_settled(&mut self, fields: &mut Reader<&[u8]>) -> Result<(), Refused> {
        let (create_revision, mod_revision, version) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let numbers = Numbers { create_revision, mod_revision, version, ..Numbers::default() };
        let rest = Rest::read(fields)?;
        let ascends = 2 <= create_revision && create_revision <= mod_revision && mod_revision <= self.oldest;
        Refused::unless(ascends, "a key is created, then written, by the oldest revision")?;
        let counts = version >= 1 && version - 1 <= mod_revision - create_revision;
        Refused::unless(counts, "a key is written once with each of its versions, once a revision")?;
        let last = self.current.last();
        Refused::unless(last.is_none_or(|last| last.key() < rest.key), "keys ascend")?;
        let version = rest.pack(numbers, &mut self.scratch);
        self.current.append(version);
        Ok(())
    }

    /// Reads a change, and makes it.
    pub(crate) fn read_change(&mut self, fields: &mut Reader<&[u8]>) -> Result<(), Refused> {
        let deleted = fields.flags(DELETED)? == DELETED;
        let mod_revision = fields.u64()?;
        let rest = Rest::read(fields)?;
        let same = mod_revision == self.revision && mod_revision > self.oldest;
        let next = mod_revision == self.revision + 1;
        Refused::unless(same || next, "no revision is left out")?;
        let bare = !deleted || (rest.value.is_empty() && rest.lease == 0);
        let position = self.log.next();
        let Self { current, graves, log, scratch, .. } = self;
        let mut changed = Err(Refused::rule("every key has its place"));
        // One way down sees what the key was and makes it what it becomes. Where that is refused, all of the state is.
        let previous = current.update(rest.key, |previous| {
            let before = previous.or_else(|| graves.get(rest.key));
            changed = (|| {
                let written = before.map(Version::mod_revision);
                Refused::unless(written != Some(mod_revision), "a key changes once with each revision")?;
                Refused::unless(!deleted || previous.is_some(), "only what is there is deleted")?;
                Refused::unless(bare, "what is deleted has neither value nor lease")?;
                let way = log.way(position, before);
                let numbers = if deleted {
                    Numbers { mod_revision, position, way, ..Numbers::default() }
                } else {
                    let created = previous.map(|version| (version.create_revision(), version.version() + 1));
                    let (create_revision, version) = created.unwrap_or((mod_revision, 1));
                    Numbers { create_revision, mod_revision, version, lease: rest.lease, position, way }
                };
                Ok(rest.pack(numbers, scratch))
            })();
            changed.as_ref().ok().filter(|_| !deleted).cloned()
        });
        let version = changed?;
        // A key that comes back takes up its past from where it was buried.
        let buried = || if graves.is_empty() { None } else { graves.remove(rest.key) };
        let superseded = previous.or_else(buried);
        if deleted {
            graves.insert(version.clone());
        }
        self.history_bytes += log.push(version, superseded);
        self.revision = mod_revision;
        Ok(())
    }

    /// Reads how old a revision is.
    pub(crate) fn read_age(&mut self, fields: &mut Reader) -> Result<(), Refused> {
        let mark = (fields.u64()?, fields.u64()?);
        let last = self.marks.back().copied().unwrap_or_default();
        let ascends = self.marks.is_empty() || (last.0 <= mark.0 && last.1 < mark.1);
        Refused::unless(ascends && mark.1 <= self.revision, "ages ascend, up to the current revision")?;
        self.marks.push_back(mark);
        Ok(())
    }

    /// Whether all changes have come.
    pub(crate) fn is_restored_to(&self, revision: u64) -> bool {
        self.revision == revision
    }
}

/// What a version and a change have behind their numbers.
struct Rest<'a> {
    lease: i64,
    stamp: Stamp,
    actor: Actor,
    reason: &'a str,
    key: &'a [u8],
    value: &'a [u8],
}

/// Lease, stamp, actor, reason, key, and the value up to the end.
fn write_rest(version: &Version, out: &mut Vec<u8>) {
    out.put_i64_le(version.lease());
    out.put_u64_le(version.stamp().to_bits());
    version.actor().write(out);
    put_section(out, version.reason().as_bytes());
    put_section(out, version.key());
    out.put_slice(version.value());
}

impl<'a> Rest<'a> {
    fn read(fields: &mut Reader<&'a [u8]>) -> Result<Self, Refused> {
        let (lease, stamp) = (fields.i64()?, Stamp::from_bits(fields.u64()?));
        let (actor, reason, key) = (Actor::read_from(fields)?, fields.text()?, fields.section()?);
        let value = fields.take(fields.left())?;
        Refused::unless(lease >= 0, "no lease has a negative number")?;
        let fits = (1..KEY_BYTES_END).contains(&key.len()) && reason.len() < KEY_BYTES_END;
        Refused::unless(fits, "no key is empty, and neither key nor reason longer than 65,535 bytes")?;
        Ok(Self { lease, stamp, actor, reason, key, value })
    }

    fn pack(&self, numbers: Numbers, scratch: &mut Vec<u8>) -> Version {
        let origin = Origin { actor: &self.actor, reason: self.reason, stamp: self.stamp, index: 0 };
        let numbers = Numbers { lease: if numbers.version == 0 { 0 } else { self.lease }, ..numbers };
        Version::pack(self.key, self.value, numbers, origin, scratch)
    }
}
