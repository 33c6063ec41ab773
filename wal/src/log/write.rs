//! Appending, syncing, and what goes with it: rotation, trims, marks.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::tariff::{RANGES_AT_ONCE, Room, Tariff, fragment_bytes};
use super::{Log, SyncOf};
use crate::disk::{Disk, is_full};
use crate::error::{AppendError, Fatal, Refusal};
use crate::format::{
    Bounds, HardStateBody, Head, Kind, MAX_GROUPS, Placement, SEGMENT_HEADER_BYTES, place, write_record,
    write_skip,
};
use crate::groups::{Fit, GroupLog};
use crate::segment::{Event, Segment};
use crate::types::{Group, HardState, INDEX_LIMIT, Op, Options};
use crate::variant::{Break, Variant};

impl<D: Disk, V: Variant> Log<D, V> {
    /// Writes a batch, in order, and says where it ends. It is durable once [`Log::sync`] returns that position or a later
    /// one; until then a crash may keep any number of its operations from the front.
    ///
    /// # Errors
    /// [`AppendError::Refused`] if an operation does not fit what the log holds: the ones before it are written.
    /// [`AppendError::NoSpace`] if there is no room: nothing is written. [`AppendError::Failed`] if the disk failed.
    pub fn append(&mut self, ops: &[Op]) -> Result<u64, AppendError> {
        self.refuse_if_failed()?;
        self.make_room(ops)?;
        for (at, op) in ops.iter().enumerate() {
            if let Err(stop) = self.one(op) {
                self.flush()?;
                return Err(match stop {
                    Stop::Refused(why) => AppendError::Refused { at, why },
                    Stop::Failed(fatal) => AppendError::Failed(fatal),
                });
            }
        }
        self.flush()?;
        Ok(self.written())
    }

    /// Makes durable all that was appended, and says up to where. Costs nothing if nothing was.
    ///
    /// # Errors
    /// [`Fatal`]: the log does nothing more. What was reported durable before still is.
    pub fn sync(&mut self) -> Result<u64, Fatal> {
        self.refuse_if_failed()?;
        if V::breaks(Break::UnlinkOrder) {
            self.retire()?;
        }
        if self.durable < self.written() {
            self.sync_active()?;
        }
        if self.meta_is_behind {
            if !V::breaks(Break::OneVoteCopy) {
                self.write_meta(self.active.header.number)?;
            }
            self.meta_is_behind = false;
        }
        self.retire()?;
        Ok(self.durable)
    }

    /// Whether records are durable of which no record and no meta slot says so.
    #[must_use]
    pub fn wants_mark(&self) -> bool {
        self.marked < self.durable
    }

    /// Writes a mark, so that what is durable is also known to be so. To be synced like any other record.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn mark(&mut self) -> Result<u64, AppendError> {
        self.refuse_if_failed()?;
        self.make_room(&[])?;
        let head = Head::control(Kind::Mark, self.durable);
        self.put(head, &[]).and_then(|_| self.flush())?;
        // Nobody has to be told that the mark itself is durable.
        self.marked = self.written();
        Ok(self.written())
    }

    /// How much can be written without preparing another segment.
    #[must_use]
    pub fn room(&self) -> Room {
        let fresh = self.tariff().fresh();
        let control = self.options.segment_bytes - self.at + self.prepared.len() as u64 * fresh;
        Room { entries: control.saturating_sub(fresh), control }
    }

    /// What a batch takes at most, in bytes of [`Log::room`]. See [`Tariff::cost`].
    #[must_use]
    pub fn cost(&self, ops: &[Op]) -> u64 {
        self.tariff().cost(ops)
    }

    /// What batches cost, for those who do not have the log. Holds until it is closed.
    #[must_use]
    pub fn tariff(&self) -> Tariff {
        let Options { segment_bytes, prepared, .. } = self.options;
        Tariff { segment_bytes, prepared: prepared as u64, regions: self.regions.len() }
    }

    fn make_room(&mut self, ops: &[Op]) -> Result<(), AppendError> {
        let needed = self.cost(ops);
        let has_entries = ops.iter().any(|op| matches!(op, Op::Entry { .. } | Op::Fill { .. }));
        let enough = |room: Room| needed <= if has_entries { room.entries } else { room.control };
        if enough(self.room()) {
            return Ok(());
        }
        // Usually the segments are prepared by another thread long before. A batch larger than what is kept ready
        // makes its own room.
        let usual = self.options.prepared;
        let result = loop {
            if enough(self.room()) {
                break Ok(());
            }
            self.options.prepared = self.prepared.len() + 1;
            if let Err(error) = self.prepare() {
                break Err(error);
            }
        };
        self.options.prepared = usual;
        match result {
            Ok(()) => Ok(()),
            Err(error) if is_full(&error) => {
                let free = self.disk.free().unwrap_or(0);
                Err(AppendError::NoSpace { free, needed: self.options.segment_bytes })
            }
            Err(error) => Err(AppendError::Failed(self.fatal("preparing a segment", error))),
        }
    }

    /// The body of a record at most.
    pub(crate) fn fragment_bytes(&self) -> u64 {
        fragment_bytes(self.options.segment_bytes)
    }

    fn one(&mut self, op: &Op) -> Result<(), Stop> {
        match op {
            Op::Entry { group, index, term, body } => self.entry(*group, *index, *term, body),
            Op::HardState { group, term, vote } => self.hard(*group, *term, *vote),
            Op::Trim { group, first } => self.trim(*group, *first),
            Op::Reset { group, index, term } => self.reset(*group, *index, *term),
            Op::Fill { group, index, term, body } => self.fill(*group, *index, *term, body),
            Op::Confirm { group, first, last, term } => self.confirm(*group, *first..=*last, *term),
            Op::Heal { whole } => self.heal(whole),
        }
    }

    fn known(&self, group: Group) -> Result<(), Refusal> {
        let shared = self.shared.groups();
        if shared.get(group).is_none() && shared.len() >= MAX_GROUPS {
            return Err(Refusal::TooManyGroups(MAX_GROUPS));
        }
        drop(shared);
        self.shared.groups_mut().get_mut(group);
        Ok(())
    }

    /// What holds of the group, which is known by now.
    fn with<T>(&self, group: Group, look: impl FnOnce(&GroupLog) -> T) -> T {
        look(self.shared.groups().get(group).expect("made by `known`"))
    }

    fn check_size(&self, body: &[u8]) -> Result<(), Refusal> {
        let (bytes, limit) = (body.len() as u64, self.max_entry_bytes());
        if bytes > limit { Err(Refusal::TooLarge { bytes, limit }) } else { Ok(()) }
    }

    fn entry(&mut self, group: Group, index: u64, term: u64, body: &[u8]) -> Result<(), Stop> {
        self.check_size(body)?;
        self.known(group)?;
        let (bounds, (cuts, cut_from)) = self.with(group, |log| (log.bounds(), log.cuts()));
        if index < bounds.first || index > bounds.last + 1 || index >= INDEX_LIMIT {
            let (first, last) = (bounds.first, bounds.last);
            return Err(Refusal::NotContiguous { group, index, first, last }.into());
        }
        let before = self.with(group, |log| log.term(index - 1)).unwrap_or(0);
        if term < before || term == 0 {
            return Err(Refusal::TermBackwards { group, term, before }.into());
        }
        let (cuts, cut_from) = if index <= bounds.last { (cuts + 1, index) } else { (cuts, cut_from) };
        let head = Head {
            group,
            index,
            term,
            prev_term: before,
            cuts,
            cut_from,
            ..Head::control(Kind::Entry, self.durable)
        };
        let at = self.put_entry(head, body)?;
        let fit = self.shared.groups_mut().get_mut(group).entry::<V>(&head, at, &mut 0);
        debug_assert_eq!(fit, Fit::Follows, "what is written follows");
        Ok(())
    }

    fn fill(&mut self, group: Group, index: u64, term: u64, body: &[u8]) -> Result<(), Stop> {
        self.check_size(body)?;
        self.known(group)?;
        let hole = self.with(group, |log| log.position(index)).is_some_and(|(_, sound)| !sound);
        if !hole || term == 0 {
            return Err(Refusal::NoHole { group, index }.into());
        }
        let before = self.with(group, |log| log.term(index - 1)).unwrap_or(0);
        let (cuts, cut_from) = self.with(group, GroupLog::cuts);
        let kind = if V::breaks(Break::RepairTruncates) { Kind::Entry } else { Kind::Fill };
        let head = Head {
            group,
            index,
            term,
            prev_term: before,
            cuts,
            cut_from,
            ..Head::control(kind, self.durable)
        };
        if kind == Kind::Entry {
            let head = Head { cuts: cuts + 1, cut_from: index, ..head };
            let at = self.put_entry(head, body)?;
            self.shared.groups_mut().get_mut(group).entry::<V>(&head, at, &mut 0);
            return Ok(());
        }
        let at = self.put_entry(head, body)?;
        self.shared.groups_mut().get_mut(group).fill(index, term, at);
        Ok(())
    }

    fn hard(&mut self, group: Group, term: u64, vote: u64) -> Result<(), Stop> {
        self.known(group)?;
        let before = self.with(group, GroupLog::hard);
        if term < before.term {
            return Err(Refusal::TermBackwards { group, term, before: before.term }.into());
        }
        let sequence = before.sequence + 1;
        let head = Head { group, term, ..Head::control(Kind::HardState, self.durable) };
        self.put(head, &HardStateBody { vote, sequence }.encode())?;
        self.shared.groups_mut().set_hard(group, HardState { term, vote, sequence });
        self.meta_is_behind = true;
        Ok(())
    }

    fn trim(&mut self, group: Group, first: u64) -> Result<(), Stop> {
        self.known(group)?;
        let bounds = self.with(group, GroupLog::bounds);
        if first > bounds.last + 1 {
            let (index, first, last) = (first, bounds.first, bounds.last);
            return Err(Refusal::NotContiguous { group, index, first, last }.into());
        }
        if first > bounds.first {
            self.make_place_for_bounds()?;
            self.shared.groups_mut().get_mut(group).trim(first);
            self.put_bounds()?;
        }
        Ok(())
    }

    fn reset(&mut self, group: Group, index: u64, term: u64) -> Result<(), Stop> {
        self.known(group)?;
        if index == 0 || index >= INDEX_LIMIT - 1 {
            return Err(Refusal::IndexOutOfRange(index).into());
        }
        let first = self.with(group, GroupLog::bounds).first;
        if index + 1 < first {
            let last = self.with(group, GroupLog::last);
            return Err(Refusal::NotContiguous { group, index, first, last }.into());
        }
        self.make_place_for_bounds()?;
        self.shared.groups_mut().get_mut(group).reset(index, term);
        self.put_bounds()?;
        Ok(())
    }

    fn confirm(&mut self, group: Group, indices: RangeInclusive<u64>, term: u64) -> Result<(), Stop> {
        self.known(group)?;
        let differs = self.with(group, |log| log.first_other(indices.clone(), term));
        if let Some(index) = differs {
            return Err(Refusal::NotConfirmed { group, index, term }.into());
        }
        self.shared.groups_mut().get_mut(group).confirm(indices);
        Ok(())
    }

    fn heal(&mut self, whole: &[(Group, u64)]) -> Result<(), Stop> {
        let holes: Vec<(Group, u64)> = {
            let shared = self.shared.groups();
            shared.iter().filter_map(|(group, log)| Some((group, log.first_hole()?))).collect()
        };
        for (group, index) in &holes {
            let upto = whole.iter().find(|(named, _)| named == group).map_or(u64::MAX, |(_, upto)| *upto);
            if *index <= upto {
                return Err(Refusal::NotWhole { group: *group, index: *index }.into());
            }
        }
        for (group, index) in holes {
            self.shared.groups_mut().get_mut(group).cut(index);
        }
        if self.regions.is_empty() {
            return Ok(());
        }
        self.shared.groups_mut().heal();
        self.put_healed()?;
        Ok(())
    }

    /// Ends the damage, for this open and those to come.
    pub(super) fn put_healed(&mut self) -> Result<(), Fatal> {
        let ranges: Vec<(u64, u64)> = self.regions.iter().map(|region| (region.from, region.to)).collect();
        for some in ranges.chunks(RANGES_AT_ONCE) {
            let body = self.bounds_record(0, some.to_vec()).encode();
            self.put(Head::control(Kind::Healed, self.durable), &body)?;
        }
        self.regions.clear();
        Ok(())
    }

    /// Rotates now if the bounds will not fit: a rotation writes what it knows to the meta file, and that must not be ahead
    /// of the log.
    fn make_place_for_bounds(&mut self) -> Result<(), Fatal> {
        let bytes = self.bounds_record(0, Vec::new()).encode().len();
        if place(self.at, bytes).end > self.options.segment_bytes { self.rotate() } else { Ok(()) }
    }

    /// Writes the bounds of every group, and remembers that old segments may go once that is durable.
    fn put_bounds(&mut self) -> Result<(), Fatal> {
        let mut first_live = self.active.header.number;
        let size = self.options.segment_bytes;
        for (_, log) in self.shared.groups().iter() {
            first_live = log.oldest().map_or(first_live, |at| first_live.min(at / size));
        }
        for region in &self.regions {
            // The damage has to be found again by the next open: with what stood before it, if that is what it contradicts.
            let at_front = region.from % size <= SEGMENT_HEADER_BYTES as u64;
            first_live = first_live.min(region.from / size - u64::from(at_front));
        }
        self.first_live = self.first_live.max(first_live);
        let body = self.bounds_record(0, Vec::new()).encode();
        self.put(Head::control(Kind::Bounds, self.durable), &body)?;
        self.meta_is_behind = true;
        Ok(())
    }

    pub(super) fn bounds_record(&self, previous_end: u64, ranges: Vec<(u64, u64)>) -> Bounds {
        let shared = self.shared.groups();
        Bounds {
            first_live: self.first_live,
            previous_end,
            hard_state_lost: self.hard_state_lost,
            unsure: shared.unsure(),
            untrusted: shared.untrusted(),
            groups: shared.snapshot(),
            ranges,
        }
    }

    /// Encodes an entry, as one record or as a run of fragments, all in one segment. Says where it begins.
    fn put_entry(&mut self, head: Head, body: &[u8]) -> Result<u64, Fatal> {
        self.counts.payload_bytes += body.len() as u64;
        let fragment = self.fragment_bytes() as usize;
        if body.len() <= fragment {
            return self.put(Head { first: true, last: true, ..head }, body);
        }
        let mut end = self.at;
        for part in body.chunks(fragment) {
            end = place(end, part.len()).end;
        }
        if end > self.options.segment_bytes {
            self.rotate()?;
        }
        let (mut begin, mut rest) = (None, body);
        while !rest.is_empty() {
            let (part, behind) = rest.split_at(rest.len().min(fragment));
            let at = self.put(Head { first: begin.is_none(), last: behind.is_empty(), ..head }, part)?;
            begin.get_or_insert(at);
            rest = behind;
        }
        Ok(begin.expect("larger than a fragment, so not empty"))
    }

    /// Encodes a record behind the last one, in a new segment if need be. Says where it stands.
    pub(super) fn put(&mut self, head: Head, body: &[u8]) -> Result<u64, Fatal> {
        let mut placement = place(self.at, body.len());
        if placement.end > self.options.segment_bytes {
            self.rotate()?;
            placement = place(self.at, body.len());
        }
        // A rotation may have synced what was written since the caller looked.
        let head = Head { synced_upto: self.durable, ..head };
        self.encode(placement, head, body);
        Ok(self.active.header.base() + placement.head_at)
    }

    pub(super) fn encode(&mut self, placement: Placement, head: Head, body: &[u8]) {
        let (base, salt) = (self.active.header.base(), self.active.header.salt);
        if let Some((at, bytes)) = placement.skip {
            write_skip(&mut self.buffer, base, salt, at, bytes, self.durable);
            self.counts.records += 1;
        }
        self.buffer.resize((placement.head_at - self.buffer_at) as usize, 0);
        write_record::<V>(&mut self.buffer, base, salt, placement, head, body);
        self.at = placement.end;
        self.marked = head.synced_upto;
        self.counts.records += 1;
    }

    /// Writes what is encoded.
    pub(super) fn flush(&mut self) -> Result<(), Fatal> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let written = self.disk.write_at(&self.active.file, self.buffer_at, &self.buffer);
        self.counts.written_bytes += self.buffer.len() as u64;
        self.buffer.clear();
        self.buffer_at = self.at;
        let name = self.active.name.clone();
        written.map_err(|error| self.fatal(format!("writing {name}"), error))?;
        self.shared.written.store(self.end(), Ordering::Release);
        Ok(())
    }

    fn sync_active(&mut self) -> Result<(), Fatal> {
        if !V::breaks(Break::AckBeforeSync) {
            let active = Arc::clone(&self.active);
            self.sync_file(&SyncOf::Segment(&active))?;
        }
        self.durable = self.written();
        Ok(())
    }

    /// Goes on in the next prepared segment.
    fn rotate(&mut self) -> Result<(), Fatal> {
        self.flush()?;
        self.sync_active()?;
        if self.prepared.is_empty() {
            let result = self.prepare();
            result.map_err(|error| self.fatal("preparing a segment", error))?;
        }
        self.shift(self.active.header.number, Event::Full);
        self.begin_next()
    }

    /// Makes the next prepared segment the active one and encodes its checkpoint. The one before it is sealed, and
    /// ends at `self.at`.
    pub(super) fn begin_next(&mut self) -> Result<(), Fatal> {
        let previous_end = self.active.header.base() + self.at;
        let next = self.prepared.pop_front().expect("prepared before");
        let number = next.header.number;
        self.write_meta(number)?;
        self.meta_is_behind = false;
        self.shared.segments_mut().insert(number, Arc::clone(&next));
        self.active = next;
        self.at = SEGMENT_HEADER_BYTES as u64;
        self.buffer_at = self.at;
        self.shift(number, Event::Needed);
        self.counts.rotations += 1;
        let body = self.bounds_record(previous_end, Vec::new()).encode();
        let placement = place(self.at, body.len());
        self.encode(placement, Head::control(Kind::Checkpoint, self.durable), &body);
        Ok(())
    }

    /// Removes the segments before the first live one.
    pub(super) fn retire(&mut self) -> Result<(), Fatal> {
        let dead: Vec<(u64, Arc<Segment<D>>)> = {
            let segments = self.shared.segments();
            segments
                .range(..self.first_live)
                .map(|(number, segment)| (*number, Arc::clone(segment)))
                .collect()
        };
        for (number, segment) in &dead {
            self.shift(*number, Event::Outlived);
            self.shared.segments_mut().remove(number);
            if let Err(error) = self.disk.unlink(&segment.name) {
                return Err(self.fatal(format!("removing {}", segment.name), error));
            }
            self.shift(*number, Event::Removed);
            self.counts.retired += 1;
        }
        if !dead.is_empty() {
            self.sync_file(&SyncOf::Directory)?;
        }
        Ok(())
    }
}

/// Why an operation was not written.
enum Stop {
    Refused(Refusal),
    Failed(Fatal),
}

impl From<Refusal> for Stop {
    fn from(why: Refusal) -> Self {
        Self::Refused(why)
    }
}

impl From<Fatal> for Stop {
    fn from(fatal: Fatal) -> Self {
        Self::Failed(fatal)
    }
}
