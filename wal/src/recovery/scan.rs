//! Reads the segments in order, and decides at each place where no whole record stands.
//!
//! The scan changes nothing: the log does what it found necessary, and the tools only show it.

use std::collections::{BTreeMap, BTreeSet};

use super::kept::Kept;
use super::source::{DIRECT, SegmentFile, aligned, end_of_data, load};
use super::table::{Facts, Row, Sight, Verdict};
use crate::disk::Disk;
use crate::error::OpenError;
use crate::format::{
    ALIGN, Bounds, Found, HEAD_BYTES, HardStateBody, Head, Kind, Look, MetaSlot, Pieces,
    SEGMENT_HEADER_BYTES, SegmentFound, head_place, is_zero, look,
};
use crate::groups::{Fit, Groups};
use crate::types::{Group, HardState, INDEX_LIMIT};
use crate::variant::{Break, Variant};

/// A part of the log that is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Its first position.
    pub from: u64,
    /// The first position behind it.
    pub to: u64,
    /// Why it counts as damaged. `None`: the record is whole and does not follow from those before it.
    pub row: Option<Row>,
    /// What the record was, if its head is readable.
    pub kind: Option<Kind>,
    /// Which entry it was, if its head says.
    pub entry: Option<(Group, u64)>,
}

/// How the log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// Which of the files.
    pub(crate) file: usize,
    /// Where in it, as an offset.
    pub(crate) at: u64,
    /// The last row of the table that was used.
    pub(crate) row: Row,
}

/// What a scan found.
#[derive(Debug)]
pub(crate) struct Scanned {
    pub(crate) groups: Groups,
    pub(crate) end: End,
    pub(crate) regions: Vec<Region>,
    pub(crate) first_live: u64,
    pub(crate) hard_state_lost: bool,
    /// The highest (term, index) that any head behind the first damage names, by group.
    pub(crate) claims: BTreeMap<Group, (u64, u64)>,
    /// Every record from the first damage on has a readable head.
    pub(crate) heads_whole: bool,
    /// The largest position that anything says was durable.
    pub(crate) synced_upto: u64,
    pub(crate) records: u64,
}

/// What [`scan`] tells of each record that it takes, for tools.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&str, &Head);

/// An entry of which not all fragments have been read.
#[derive(Clone, Copy, Debug)]
struct Run {
    head: Head,
    /// Where its first fragment stands.
    at: u64,
}

struct Scan<'a, D: Disk, V> {
    disk: &'a D,
    kept: &'a mut Kept,
    files: &'a [SegmentFile<D::File>],
    meta: Option<&'a MetaSlot>,
    groups: Groups,
    regions: Vec<Region>,
    /// Ranges of positions whose damage a healed record has ended.
    healed: Vec<(u64, u64)>,
    first_live: u64,
    hard_state_lost: bool,
    claims: BTreeMap<Group, (u64, u64)>,
    heads_whole: bool,
    synced_upto: u64,
    records: u64,
    size: u64,
    /// How many more entries may be missing before that is a contradiction: the files have no room for their records.
    most: u64,
    run: Option<Run>,
    /// The heads behind the first stop in a segment, in order, and which segment that is.
    surveyed: Option<(usize, Vec<Head>)>,
    /// The facts at the beginning of the segment behind this one.
    next: Option<(usize, Facts)>,
    /// The segment whose heads have been counted as claims.
    claimed: Option<usize>,
    /// Later segments whose heads have been asked what was durable.
    asked: BTreeSet<usize>,
    /// The entry last given up, whose later fragments are passed over.
    ghost: Option<(Group, u64)>,
    variant: std::marker::PhantomData<V>,
}

/// Where the scan goes on.
enum Step {
    /// At this offset of the same segment.
    At(u64),
    /// In the next segment.
    NextSegment,
    /// The log ends.
    Ended(End),
}

/// Scans `files`, which are consecutive and begin with a live segment. Whole entries go into `kept` if it wants them.
pub(crate) fn scan<D: Disk, V: Variant>(
    disk: &D,
    files: &[SegmentFile<D::File>],
    size: u64,
    meta: Option<&MetaSlot>,
    visit: Visit<'_>,
    kept: &mut Kept,
) -> Result<Scanned, OpenError> {
    // A log that was made has a durable checkpoint in front, also if no slot of the meta file is readable to say so.
    let first_checkpoint = files[0].number * size + SEGMENT_HEADER_BYTES as u64;
    let trimmed = meta.iter().flat_map(|meta| &meta.groups).find(|(group, ..)| Some(*group) == kept.group());
    kept.begin_at(trimmed.map_or(0, |(_, _, first, _)| *first));
    let mut scan = Scan::<D, V> {
        disk,
        kept,
        files,
        meta,
        groups: Groups::default(),
        regions: Vec::new(),
        healed: Vec::new(),
        first_live: meta.map_or(1, |meta| meta.first_live),
        hard_state_lost: meta.is_some_and(|meta| meta.hard_state_lost),
        claims: BTreeMap::new(),
        heads_whole: true,
        synced_upto: meta.map_or(0, |meta| meta.synced_upto).max(first_checkpoint + 1),
        records: 0,
        size,
        most: size / HEAD_BYTES as u64 * files.len() as u64,
        run: None,
        surveyed: None,
        next: None,
        claimed: None,
        asked: BTreeSet::new(),
        ghost: None,
        variant: std::marker::PhantomData,
    };
    let end = scan.all(visit)?;
    scan.groups.end::<V>();
    if scan.regions.iter().any(|region| region.row == Some(Row::I) && region.entry.is_none()) {
        scan.groups.be_unsure();
    }
    for (group, hard, first, prev_term) in meta.iter().flat_map(|meta| &meta.groups) {
        scan.groups.trim_from(*group, *hard, *first, *prev_term);
    }
    scan.kept.finish();
    let Scan {
        groups, regions, first_live, hard_state_lost, claims, heads_whole, synced_upto, records, ..
    } = scan;
    Ok(Scanned {
        groups,
        end,
        regions,
        first_live,
        hard_state_lost,
        claims,
        heads_whole,
        synced_upto,
        records,
    })
}

impl<D: Disk, V: Variant> Scan<'_, D, V> {
    fn all(&mut self, visit: Visit<'_>) -> Result<End, OpenError> {
        let size = self.size;
        let mut room = vec![0; size as usize + DIRECT];
        let bytes = aligned(&mut room);
        if self.files[0].previous_end.is_none() {
            for (group, hard, first, _) in self.meta.iter().flat_map(|meta| &meta.groups) {
                self.groups.begin_from(*group, *hard, *first);
            }
        }
        for file in 0..self.files.len() {
            load::<D, V>(self.disk, &self.files[file].file, bytes);
            if let Some(end) = self.segment(file, bytes, visit)? {
                return Ok(end);
            }
        }
        let file = self.files.len() - 1;
        Ok(End { file, at: size, row: self.regions.last().and_then(|region| region.row).unwrap_or(Row::A) })
    }

    /// Reads one segment. `Some` if the log ends in it.
    fn segment(&mut self, file: usize, bytes: &[u8], visit: Visit<'_>) -> Result<Option<End>, OpenError> {
        let SegmentFound::Valid(header) = self.files[file].header else {
            return Ok(self.unreadable_segment(file, bytes));
        };
        let base = header.base();
        let limit = self.limit(file).map(|position| position.saturating_sub(base));
        let mut at = SEGMENT_HEADER_BYTES as u64;
        loop {
            // A rest of a sector may lie between the end of the last record and what was cut behind it.
            if limit.is_some_and(|limit| head_place(at) >= head_place(limit)) {
                self.leave(base + at);
                return Ok(None);
            }
            let found = look::<V>(bytes, base, header.salt, at);
            let step = match found {
                Some(Look { found: Found::UnknownKind(kind), .. }) => {
                    return Err(OpenError::Unsupported {
                        place: self.disk.place(),
                        file: self.files[file].name.clone(),
                        what: "record kind",
                        version: u32::from(kind),
                        known: Kind::Healed as u32,
                    });
                }
                Some(look @ Look { found: Found::Record { head, pieces }, .. }) => {
                    let whole = match pieces {
                        Pieces::Exact => true,
                        Pieces::SomeZero => V::breaks(Break::AcceptTorn),
                        Pieces::SomeWrong => false,
                    };
                    if whole {
                        visit(&self.files[file].name, &head);
                        self.take(file, bytes, &look, &head)?;
                        Step::At(look.end)
                    } else {
                        let sight =
                            if pieces == Pieces::SomeZero { Sight::SomeZero } else { Sight::SomeWrong };
                        self.stop(file, bytes, at, limit, sight, Some((head, look.end)))?
                    }
                }
                Some(Look { found: Found::WrongHead, .. }) => {
                    self.stop(file, bytes, at, limit, Sight::WrongHead, None)?
                }
                Some(Look { found: Found::Unwritten, .. }) | None => {
                    self.stop(file, bytes, at, limit, Sight::Unwritten, None)?
                }
            };
            match step {
                Step::At(next) => at = next,
                Step::NextSegment => return Ok(None),
                Step::Ended(end) => return Ok(Some(end)),
            }
        }
    }

    /// Where a segment ends, by the checkpoint of the next one.
    fn limit(&self, file: usize) -> Option<u64> {
        let end = self.files.get(file + 1).and_then(|next| next.previous_end)?;
        Some(end.min(self.base(file + 1, self.size as usize)))
    }

    fn base(&self, file: usize, size: usize) -> u64 {
        self.files[file].number * size as u64
    }

    /// Whether the segment after this one was begun.
    fn next_is_begun(&self, file: usize) -> bool {
        self.files
            .get(file + 1)
            .is_some_and(|next| next.in_use || self.meta.is_some_and(|meta| meta.active >= next.number))
    }

    /// A segment whose header is damaged: none of its records can be checked.
    fn unreadable_segment(&mut self, file: usize, bytes: &[u8]) -> Option<End> {
        let base = self.base(file, bytes.len());
        let last = !self.files[file + 1..].iter().any(|later| later.in_use);
        let end = self.limit(file).unwrap_or(base + end_of_data(bytes)).min(base + bytes.len() as u64);
        self.damage(base, end.max(base + 8), Row::H, None);
        self.pass_gap();
        last.then(|| End { file, at: (end - base).max(8), row: Row::H })
    }

    /// No whole record stands at `at`: looks the row up and does what it says.
    fn stop(
        &mut self,
        file: usize,
        bytes: &[u8],
        at: u64,
        limit: Option<u64>,
        sight: Sight,
        head: Option<(Head, u64)>,
    ) -> Result<Step, OpenError> {
        let base = self.base(file, bytes.len());
        let from = self.run.map_or(base + at, |run| run.at);
        let zero_from_here = is_zero(&bytes[(at as usize).min(bytes.len())..]);
        if !zero_from_here && self.surveyed.as_ref().is_none_or(|(surveyed, _)| *surveyed != file) {
            let heads = self.heads(file, bytes, at);
            self.surveyed = Some((file, heads));
        }
        let mut facts = Facts {
            sight,
            covered: self.covered(file, from),
            in_run: self.run.is_some(),
            rest_is_zero: zero_from_here && !self.files[file + 1..].iter().any(|later| later.in_use),
        };
        // The next segment may have been begun, and its checkpoint is not whole: what happened to that one?
        let next = if limit.is_none() { self.facts_of_next(file, bytes.len()) } else { None };
        // This segment may simply be full: then what stands at the beginning of the next one decides.
        let full = sight == Sight::Unwritten && !facts.covered && !facts.in_run && zero_from_here;
        let full = full && next.is_some();
        if let Some(next) = next.filter(|_| full) {
            facts = next;
        }
        let row = facts.row();
        match row.verdict_of::<V>() {
            Verdict::End => Ok(Step::Ended(End { file, at, row })),
            Verdict::Cut => {
                // With damage before it, what is cut may have been the last acknowledged batch.
                self.heads_whole &= self.regions.is_empty();
                self.run = None;
                Ok(Step::Ended(End { file, at: from - base, row }))
            }
            Verdict::Damage if full => {
                // Nobody can say any more whether this segment ends here.
                self.damage(from, base + self.size, row, None);
                self.pass_gap();
                Ok(Step::NextSegment)
            }
            Verdict::Damage => {
                self.claim_surveyed(file);
                if let Some((head, end)) = head {
                    self.damage(from, base + end, row, Some(&head));
                    self.take_damaged(file, &head)?;
                    return Ok(Step::At(end));
                }
                self.pass_gap();
                // The checkpoint that is damaged may have said that this segment was cut here.
                let blind = next.is_some_and(|next| next.row().verdict() == Verdict::Damage);
                let next = self
                    .next_head(file, base + at)
                    .filter(|next| !blind && *next < base + limit.unwrap_or(u64::MAX / 2));
                if let Some(next) = next {
                    self.damage(from, next, row, None);
                    return Ok(Step::At(next - base));
                }
                let last = limit.is_none() && !blind;
                let end = if last { end_of_data(bytes) } else { limit.unwrap_or(self.size) };
                // So far that the next open, which is told to stop there, comes past this place again.
                let end = end.max(head_place(at) + ALIGN).min(self.size);
                self.damage(from, base + end, row, None);
                Ok(if last { Step::Ended(End { file, at: end, row }) } else { Step::NextSegment })
            }
        }
    }

    /// The facts at the beginning of the next segment, if it was begun, its checkpoint not being whole.
    fn facts_of_next(&mut self, file: usize, size: usize) -> Option<Facts> {
        if !self.next_is_begun(file) {
            return None;
        }
        if let Some((known, facts)) = self.next
            && known == file
        {
            return Some(facts);
        }
        let this = file;
        let file = file + 1;
        let mut bytes = vec![0; size];
        load::<D, V>(self.disk, &self.files[file].file, &mut bytes);
        let at = SEGMENT_HEADER_BYTES as u64;
        let position = self.base(file, size) + at;
        self.heads(file, &bytes, at);
        let sight = match self.files[file].header {
            SegmentFound::Wrong | SegmentFound::Unsupported(_) => Sight::WrongHead,
            SegmentFound::Valid(header) => {
                match look::<V>(&bytes, header.base(), header.salt, at).map(|look| look.found) {
                    Some(Found::Unwritten) | None => Sight::Unwritten,
                    Some(Found::Record { pieces: Pieces::SomeZero, .. }) => Sight::SomeZero,
                    Some(Found::Record { .. }) => Sight::SomeWrong,
                    Some(Found::WrongHead | Found::UnknownKind(_)) => Sight::WrongHead,
                }
            }
        };
        let covered = self.covered(file, position);
        let rest_is_zero =
            is_zero(&bytes[at as usize..]) && !self.files[file + 1..].iter().any(|later| later.in_use);
        let facts = Facts { sight, covered, in_run: false, rest_is_zero };
        self.next = Some((this, facts));
        Some(facts)
    }

    /// All valid heads of a segment behind `at`, in order. Notes what they say was durable.
    fn heads(&mut self, file: usize, bytes: &[u8], at: u64) -> Vec<Head> {
        let SegmentFound::Valid(header) = self.files[file].header else {
            return Vec::new();
        };
        let mut heads = Vec::new();
        let mut at = at + ALIGN;
        while at + HEAD_BYTES as u64 <= bytes.len() as u64 {
            // A head names its own position, so nearly every place is ruled out by eight bytes.
            let stated = bytes[at as usize + 16..][..8].try_into().map_or(0, u64::from_le_bytes);
            if stated == header.base() + at
                && let Some(Look { at: here, found: Found::Record { head, .. }, .. }) =
                    look::<V>(bytes, header.base(), header.salt, at)
                && here == at
            {
                self.synced_upto = self.synced_upto.max(head.synced_upto);
                heads.push(head);
            }
            at += ALIGN;
        }
        heads
    }

    /// The position of the first valid head behind `position` in a segment that was surveyed.
    fn next_head(&self, file: usize, position: u64) -> Option<u64> {
        let (_, heads) = self.surveyed.as_ref().filter(|(surveyed, _)| *surveyed == file)?;
        heads.get(heads.partition_point(|head| head.position <= position)).map(|head| head.position)
    }

    /// Whether anything says that `position`, in a segment that was surveyed, was durable.
    fn covered(&mut self, file: usize, position: u64) -> bool {
        for later in file + 1..self.files.len() {
            if self.synced_upto > position {
                break;
            }
            if self.files[later].in_use && self.asked.insert(later) {
                let mut bytes = vec![0; self.size as usize];
                load::<D, V>(self.disk, &self.files[later].file, &mut bytes);
                self.heads(later, &bytes, SEGMENT_HEADER_BYTES as u64 - ALIGN);
            }
        }
        self.synced_upto > position
    }

    fn damage(&mut self, from: u64, to: u64, row: Row, head: Option<&Head>) {
        let kind = head.map(|head| head.kind);
        let entry = head.filter(|head| head.is_entry()).map(|head| (head.group, head.index));
        self.regions.push(Region { from, to, row: Some(row), kind, entry });
        self.heads_whole &= head.is_some();
    }

    fn pass_gap(&mut self) {
        self.give_up_run();
        self.groups.pass_gap();
    }

    /// The entry whose fragments were being read lacks some.
    fn give_up_run(&mut self) {
        if let Some(run) = self.run.take() {
            self.ghost = Some((run.head.group, run.head.index));
            self.put_entry(&run.head, 0);
        }
    }

    /// The end of a segment, by the checkpoint of the next one.
    fn leave(&mut self, position: u64) {
        if let Some(run) = self.run {
            self.damage(run.at, position, Row::G, Some(&run.head));
            self.give_up_run();
        }
    }

    /// The first damage of the log may hide what any head behind it names.
    fn claim_surveyed(&mut self, file: usize) {
        if self.claimed == Some(file) {
            return;
        }
        self.claimed = Some(file);
        if let Some((surveyed, heads)) = self.surveyed.take() {
            for head in heads.iter().filter(|_| surveyed == file) {
                self.claim(head);
            }
            self.surveyed = Some((surveyed, heads));
        }
    }

    fn claim(&mut self, head: &Head) {
        if head.is_entry() {
            let claim = self.claims.entry(head.group).or_default();
            *claim = (*claim).max((head.term, head.index));
        }
    }

    fn contradiction(&self, file: usize, at: u64) -> OpenError {
        OpenError::Contradiction { place: self.disk.place(), file: self.files[file].name.clone(), offset: at }
    }

    /// A record whose head is readable and whose body is not.
    fn take_damaged(&mut self, file: usize, head: &Head) -> Result<(), OpenError> {
        self.claim(head);
        if !head.is_entry() {
            return Ok(());
        }
        let ghost = Some((head.group, head.index));
        if self.run.is_some_and(|run| (run.head.group, run.head.index) == (head.group, head.index)) {
            self.run = None;
        }
        self.give_up_run();
        if head.first || self.ghost != ghost {
            self.ghost = ghost;
            if self.put_entry(head, 0) == Fit::Impossible {
                return Err(self.contradiction(file, head.position % self.size));
            }
        }
        Ok(())
    }

    fn put_entry(&mut self, head: &Head, at: u64) -> Fit {
        let group = head.group;
        if head.kind == Kind::Fill && !V::breaks(Break::RepairTruncates) {
            self.groups.get_mut(group).fill(head.index, head.term, at);
            return Fit::Follows;
        }
        self.groups.get_mut(group).entry::<V>(head, at, &mut self.most)
    }

    /// A fragment of the entry that begins with `head` at `at`; `last` if it is whole now.
    fn keep(&mut self, head: &Head, at: u64, fragment: &[u8], last: bool) {
        if !self.kept.wants(head.group, head.index) {
            return;
        }
        if last {
            self.kept.end(at, head.term, fragment);
        } else {
            self.kept.go_on(at, fragment);
        }
    }

    /// A whole record.
    fn take(&mut self, file: usize, bytes: &[u8], look: &Look, head: &Head) -> Result<(), OpenError> {
        self.records += 1;
        self.synced_upto = self.synced_upto.max(head.synced_upto);
        if !self.regions.is_empty() {
            self.claim(head);
        }
        let continues = self.run.is_some_and(|run| {
            let same = (run.head.kind, run.head.group, run.head.index, run.head.term);
            same == (head.kind, head.group, head.index, head.term) && !head.first
        });
        if !continues && head.kind != Kind::Skip {
            self.leave(head.position);
        }
        let opens_the_segment = look.at == SEGMENT_HEADER_BYTES as u64;
        if opens_the_segment != (head.kind == Kind::Checkpoint) || (head.is_entry() && head.term == 0) {
            return Err(self.contradiction(file, look.at));
        }
        let body = &bytes[look.body_at as usize..][..head.length as usize];
        let fit = match head.kind {
            Kind::Entry | Kind::Fill => match (self.run, head.last) {
                (Some(run), false) if continues => {
                    self.keep(&run.head, run.at, body, false);
                    Fit::Follows
                }
                (Some(run), true) if continues => {
                    self.run = None;
                    self.keep(&run.head, run.at, body, true);
                    self.put_entry(&run.head, run.at)
                }
                (Some(_) | None, _) if !head.first => {
                    // The first fragment is in an unreadable part.
                    if self.ghost == Some((head.group, head.index)) {
                        Fit::Follows
                    } else {
                        self.ghost = Some((head.group, head.index));
                        self.put_entry(head, 0)
                    }
                }
                (Some(_) | None, true) => {
                    self.keep(head, head.position, body, true);
                    self.put_entry(head, head.position)
                }
                (Some(_) | None, false) => {
                    self.keep(head, head.position, body, false);
                    self.run = Some(Run { head: *head, at: head.position });
                    Fit::Follows
                }
            },
            Kind::HardState => {
                let Some(HardStateBody { vote, sequence }) = HardStateBody::read(body) else {
                    return Err(self.contradiction(file, look.at));
                };
                if sequence < INDEX_LIMIT {
                    self.groups.set_hard(head.group, HardState { term: head.term, vote, sequence });
                    Fit::Follows
                } else {
                    Fit::Impossible
                }
            }
            Kind::Checkpoint | Kind::Bounds | Kind::Healed => {
                let Some(bounds) = Bounds::read(body) else {
                    return Err(self.contradiction(file, look.at));
                };
                if bounds.first_live > self.files[file].number {
                    return Err(self.contradiction(file, look.at));
                }
                self.take_bounds(&bounds, head.kind, file == 0 && opens_the_segment)
            }
            Kind::Mark | Kind::Skip => Fit::Follows,
        };
        match fit {
            Fit::Follows => Ok(()),
            Fit::Jumps => {
                let (from, to) = (head.position, head.position - look.at + look.end);
                let entry = head.is_entry().then_some((head.group, head.index));
                self.regions.push(Region { from, to, row: None, kind: Some(head.kind), entry });
                self.heads_whole = false;
                Ok(())
            }
            Fit::Impossible => Err(self.contradiction(file, look.at)),
        }
    }

    fn adopt(&mut self, bounds: &Bounds) -> Fit {
        let mut gone = MOST_GONE;
        for group in &bounds.groups {
            let known =
                self.meta.iter().flat_map(|meta| &meta.groups).find(|(named, ..)| *named == group.group);
            let floor = known.map(|(_, _, first, _)| *first);
            if self.groups.adopt(group, floor, &mut gone) == Fit::Impossible {
                return Fit::Impossible;
            }
        }
        Fit::Follows
    }

    fn take_bounds(&mut self, bounds: &Bounds, kind: Kind, begins_the_log: bool) -> Fit {
        let fit = if begins_the_log {
            self.adopt(bounds)
        } else {
            self.groups.apply_bounds::<V>(bounds, &mut self.most)
        };
        self.first_live = self.first_live.max(bounds.first_live);
        self.hard_state_lost |= bounds.hard_state_lost;
        self.healed.extend(&bounds.ranges);
        if kind == Kind::Healed {
            let healed = &self.healed;
            let is_healed =
                |region: &Region| healed.iter().any(|(from, to)| *from <= region.from && region.to <= *to);
            self.regions.retain(|region| !is_healed(region));
            if self.regions.is_empty() {
                self.claims.clear();
                self.heads_whole = true;
                self.groups.heal();
            }
        }
        fit
    }
}

/// Entries that the first live checkpoint may count although they are gone. They are trimmed by a record that follows;
/// only damage to the meta file and to that record makes them many.
const MOST_GONE: u64 = 1 << 22;
