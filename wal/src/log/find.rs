//! Reading a directory: which files there are, what the slots say, what the scan finds. Changes nothing.

use std::io;

use crate::disk::{Access, Disk};
use crate::error::OpenError;
use crate::format::{
    Head, Kind, MAX_GROUPS, META_FILE, MetaSlot, SEGMENT_HEADER_BYTES, SLOT_AT, SLOT_BYTES, SegmentFound,
    SegmentHeader, SlotFound, VERSION, is_zero,
};
use crate::groups::GroupLog;
use crate::recovery::{Kept, Region, Row, Scanned, SegmentFile, cache_is_zero, open_segment, scan};
use crate::segment::{UNFINISHED, segment_name, segment_number};
use crate::types::{Group, HardState, Hole, Identity, LogBounds, Options};
use crate::variant::{Break, Variant};

/// How a log ended that was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// With its last whole record.
    Clean,
    /// With a tail that was being written and that nobody was told of. It was cut.
    Torn,
    /// Acknowledged data is damaged, or may be. Nothing was cut.
    Damaged,
}

/// What damage means for a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDamage {
    /// The group.
    pub group: Group,
    /// What the log cannot answer for.
    pub holes: Vec<Hole>,
    /// The highest (term, index) that anything readable names: the log did not end before this.
    pub claimed_end: (u64, u64),
}

/// What [`Log::open`](crate::Log::open) found and did.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// How the log ended.
    pub ending: Ending,
    /// The row of the table that decided: of the first damage, or of the end.
    pub row: Row,
    /// The file in which the log ended.
    pub file: String,
    /// Where it ended in that file.
    pub offset: u64,
    /// The damage, in order of position.
    pub regions: Vec<Region>,
    /// The damage affects no entry, no vote and no end of a log: a fresh checkpoint heals it.
    pub healable: bool,
    /// It did: nothing is damaged any more.
    pub healed: bool,
    /// What the damage means for each group; empty unless it is open.
    pub damage: Vec<GroupDamage>,
    /// The log cannot have gone on beyond the claimed ends: every record from the first damage on has a readable head,
    /// and nothing says that more was durable.
    pub trustworthy: bool,
    /// Term and vote may be older than what was promised. They stay lost: the node has to be replaced.
    pub hard_state_lost: bool,
    /// What each group's log holds.
    pub groups: Vec<(Group, LogBounds, HardState)>,
    /// Records read.
    pub records: u64,
}

/// The files of a directory, as found.
pub(crate) struct Listing {
    pub(crate) meta: bool,
    /// In order.
    pub(crate) segments: Vec<u64>,
    /// Names of files whose making was not finished.
    pub(crate) unfinished: Vec<String>,
}

/// The slots of the meta file, as found.
pub(crate) struct Slots<F> {
    pub(crate) file: F,
    pub(crate) newest: Option<MetaSlot>,
    /// Which slot is to be written next.
    pub(crate) next: usize,
    pub(crate) unreadable: usize,
    /// The log was never completely made.
    unmade: bool,
}

/// A directory, read: all that is needed to open the log in it, or to show it.
pub(crate) struct Found<D: Disk> {
    pub(crate) slots: Slots<D::File>,
    pub(crate) size: u64,
    /// Live segments and those behind them.
    pub(crate) files: Vec<SegmentFile<D::File>>,
    /// Numbers of segments before the live ones.
    pub(crate) dead: Vec<u64>,
    pub(crate) scanned: Scanned,
}

pub(crate) fn io_error<D: Disk>(disk: &D, doing: impl Into<String>, error: io::Error) -> OpenError {
    OpenError::Io { place: disk.place(), doing: doing.into(), error }
}

pub(crate) fn list<D: Disk>(disk: &D) -> Result<Listing, OpenError> {
    let names = disk.list().map_err(|error| io_error(disk, "listing", error))?;
    let mut segments: Vec<u64> = names.iter().filter_map(|name| segment_number(name)).collect();
    segments.sort_unstable();
    let unfinished = |name: &&String| {
        let whole = name.strip_suffix(UNFINISHED);
        whole.is_some_and(|whole| whole == META_FILE || segment_number(whole).is_some())
    };
    let mut unfinished: Vec<String> = names.iter().filter(unfinished).cloned().collect();
    unfinished.sort_unstable();
    Ok(Listing { meta: names.iter().any(|name| name == META_FILE), segments, unfinished })
}

/// Reads the slots, from the device.
pub(crate) fn read_slots<D: Disk, V: Variant>(
    disk: &D,
    identity: Option<Identity>,
    access: Access,
) -> Result<Slots<D::File>, OpenError> {
    let place = disk.place();
    let name = || META_FILE.to_owned();
    let file = disk.open(META_FILE, access).map_err(|error| io_error(disk, "opening meta", error))?;
    let found = disk.len(&file).map_err(|error| io_error(disk, "measuring meta", error))?;
    let expected = SLOT_AT[1] + SLOT_BYTES as u64;
    if found != expected {
        return Err(OpenError::WrongSize { place, file: name(), found, expected });
    }
    if access == Access::Write && !V::breaks(Break::TrustCacheOnOpen) {
        disk.sync(&file).map_err(|error| io_error(disk, "syncing meta", error))?;
    }
    let mut newest: Option<(usize, MetaSlot)> = None;
    let (mut unreadable, mut blank, mut bad) = (0, false, None);
    for (slot, at) in SLOT_AT.into_iter().enumerate() {
        let mut bytes = vec![0; SLOT_BYTES];
        let read = disk.read_past_cache(&file, at, &mut bytes);
        match MetaSlot::read(&bytes) {
            SlotFound::Valid(_) | SlotFound::Wrong | SlotFound::Unsupported(_) if read.is_err() => {
                (unreadable, bad) = (unreadable + 1, Some(slot));
            }
            SlotFound::Valid(found) => {
                if let Some(expected) = identity.filter(|identity| *identity != found.identity) {
                    return Err(OpenError::Foreign { place, file: name(), found: found.identity, expected });
                }
                if newest.as_ref().is_none_or(|(_, newest)| newest.epoch < found.epoch) {
                    newest = Some((slot, found));
                }
            }
            SlotFound::Unsupported(version) => {
                let what = "format version";
                return Err(OpenError::Unsupported { place, file: name(), what, version, known: VERSION });
            }
            SlotFound::Wrong => {
                blank |= is_zero(&bytes);
                (unreadable, bad) = (unreadable + 1, Some(slot));
            }
        }
    }
    let unmade = blank && newest.as_ref().is_some_and(|(_, slot)| slot.epoch == 1);
    let next = bad.unwrap_or_else(|| newest.as_ref().map_or(0, |(slot, _)| 1 - slot));
    Ok(Slots { file, newest: newest.map(|(_, slot)| slot), next, unreadable, unmade })
}

/// Opens the segments and reads all that is live. Changes nothing but what is durable, and with [`Access::Read`] not
/// even that.
pub(crate) fn find<D: Disk, V: Variant>(
    disk: &D,
    listing: &Listing,
    identity: Option<Identity>,
    access: Access,
    visit: &mut dyn FnMut(&str, &Head),
    kept: &mut Kept,
) -> Result<Found<D>, OpenError> {
    let place = disk.place();
    let missing = |number| OpenError::MissingSegment { place: disk.place(), file: segment_name(number) };
    if !listing.meta {
        return Err(if listing.segments.is_empty() {
            OpenError::NoLog { place }
        } else {
            OpenError::MissingMeta { place, file: META_FILE.to_owned() }
        });
    }
    let slots = read_slots::<D, V>(disk, identity, access)?;
    let Some(size) = segment_size(disk, slots.newest.as_ref(), listing)? else {
        return Err(OpenError::Unreadable { place });
    };
    // The live ones are the last ones without a gap: unlinks may have reached the disk in any order.
    let floor = slots.newest.as_ref().map_or(1, |meta| meta.first_live);
    let mut start = listing.segments.len();
    while start > 0
        && listing.segments[start - 1] >= floor
        && (start == listing.segments.len() || listing.segments[start - 1] + 1 == listing.segments[start])
    {
        start -= 1;
    }
    let (dead, live) = listing.segments.split_at(start);
    let newest_needed = slots.newest.as_ref().map_or(1, |meta| meta.active.max(meta.first_live));
    match live.last() {
        Some(last) if *last >= newest_needed => {}
        Some(last) => return Err(missing(last + 1)),
        None => return Err(missing(floor)),
    }
    let mut files = Vec::new();
    for number in live {
        files.push(open_file::<D, V>(disk, *number, size, identity, access)?);
    }
    if access == Access::Write && !V::breaks(Break::TrustCacheOnOpen) {
        disk.sync_directory().map_err(|error| io_error(disk, "syncing the directory", error))?;
    }
    let mut scanned = scan::<D, V>(disk, &files, size, slots.newest.as_ref(), visit, kept)?;
    if access == Access::Write {
        let end = scanned.end;
        for (at, file) in files.iter_mut().enumerate().skip(end.file) {
            let from = if at == end.file { end.at } else { SEGMENT_HEADER_BYTES as u64 };
            // A segment with an unreadable sector is not zero either.
            if cache_is_zero(disk, &file.file, from, size).unwrap_or(false) {
                continue;
            }
            if at > end.file {
                file.in_use = true;
            } else if end.row == Row::A {
                scanned.end.row = Row::B;
            }
        }
    }
    if scanned.first_live < live[0] {
        return Err(missing(live[0] - 1));
    }
    let end = &files[scanned.end.file];
    // Damage is reported, and holes are where it was. Whatever else has holes was not made by a disk.
    let groups = &scanned.groups;
    let unexplained = scanned.regions.is_empty() && groups.has_holes();
    if scanned.first_live > end.number || groups.len() > MAX_GROUPS || unexplained {
        return Err(OpenError::Contradiction { place, file: end.name.clone(), offset: scanned.end.at });
    }
    // Never beyond an entry that is kept, whatever a damaged record may have said about it, nor beyond damage that is open.
    let oldest = groups.iter().filter_map(|(_, log)| log.oldest());
    let oldest = oldest.chain(scanned.regions.iter().map(|region| region.from)).min();
    scanned.first_live = scanned.first_live.min(oldest.map_or(u64::MAX, |at| at / size));
    Ok(Found { slots, size, files, dead: dead.to_vec(), scanned })
}

fn segment_size<D: Disk>(
    disk: &D,
    meta: Option<&MetaSlot>,
    listing: &Listing,
) -> Result<Option<u64>, OpenError> {
    if let Some(meta) = meta {
        return Ok(Some(meta.segment_bytes));
    }
    for number in &listing.segments {
        let name = segment_name(*number);
        let file = disk
            .open(&name, Access::Read)
            .map_err(|error| io_error(disk, format!("opening {name}"), error))?;
        let mut sector = [0; SEGMENT_HEADER_BYTES];
        if disk.read_past_cache(&file, 0, &mut sector).is_ok()
            && let SegmentFound::Valid(header) = SegmentHeader::read(&sector)
        {
            return Ok(Some(header.size));
        }
    }
    Ok(None)
}

fn open_file<D: Disk, V: Variant>(
    disk: &D,
    number: u64,
    size: u64,
    identity: Option<Identity>,
    access: Access,
) -> Result<SegmentFile<D::File>, OpenError> {
    let (place, name) = (disk.place(), segment_name(number));
    let doing = |what: &str| format!("{what} {name}");
    let file = disk.open(&name, access).map_err(|error| io_error(disk, doing("opening"), error))?;
    let found = disk.len(&file).map_err(|error| io_error(disk, doing("measuring"), error))?;
    if found != size {
        return Err(OpenError::WrongSize { place, file: name, found, expected: size });
    }
    if access == Access::Write && !V::breaks(Break::TrustCacheOnOpen) {
        disk.sync(&file).map_err(|error| io_error(disk, doing("syncing"), error))?;
    }
    let opened = open_segment::<D, V>(disk, number, name.clone(), file, size);
    match opened.header {
        SegmentFound::Unsupported(version) => {
            let what = "format version";
            Err(OpenError::Unsupported { place, file: name, what, version, known: VERSION })
        }
        SegmentFound::Valid(header) => match identity {
            Some(expected) if expected != header.identity => {
                Err(OpenError::Foreign { place, file: name, found: header.identity, expected })
            }
            Some(_) | None if header.number != number => {
                Err(OpenError::Misnamed { place, file: name, says: header.number })
            }
            Some(_) | None if header.size != size => {
                Err(OpenError::WrongSize { place, file: name, found: size, expected: header.size })
            }
            Some(_) | None => Ok(opened),
        },
        SegmentFound::Wrong => Ok(opened),
    }
}

impl<D: Disk> Found<D> {
    /// What it means.
    pub(crate) fn judge(&self) -> Recovery {
        let Scanned {
            groups, end, regions, hard_state_lost, claims, heads_whole, synced_upto, records, ..
        } = &self.scanned;
        let file = &self.files[end.file];
        let ending = if !regions.is_empty() {
            Ending::Damaged
        } else if end.row == Row::A {
            Ending::Clean
        } else {
            Ending::Torn
        };
        let may_hide_a_vote = |region: &Region| match region.kind {
            None | Some(Kind::HardState | Kind::Checkpoint | Kind::Bounds | Kind::Healed) => true,
            Some(Kind::Entry | Kind::Fill | Kind::Mark | Kind::Skip) => false,
        };
        let may_hide_a_vote = regions.iter().any(may_hide_a_vote);
        let hard_state_lost = *hard_state_lost || (may_hide_a_vote && self.slots.unreadable > 0);
        let healable =
            ending == Ending::Damaged && !groups.has_holes() && !groups.unsure() && !hard_state_lost;
        let damage = |(group, log): (Group, &GroupLog)| GroupDamage {
            group,
            holes: log.holes(),
            claimed_end: claims.get(&group).copied().unwrap_or_default().max((log.last_term(), log.last())),
        };
        let nothing_beyond = *synced_upto <= file.number * self.size + end.at;
        let trustworthy = *heads_whole && nothing_beyond && !groups.unsure() && !groups.untrusted();
        let open = ending == Ending::Damaged && !healable;
        Recovery {
            ending,
            row: regions.first().and_then(|region| region.row).unwrap_or(end.row),
            file: file.name.clone(),
            offset: end.at,
            regions: regions.clone(),
            healable,
            healed: false,
            damage: if open { groups.iter().map(damage).collect() } else { Vec::new() },
            trustworthy,
            hard_state_lost,
            groups: groups.iter().map(|(group, log)| (group, log.bounds(), log.hard())).collect(),
            records: *records,
        }
    }
}

/// Whether the making of a log was interrupted: its first checkpoint was never durable, and no slot says that it is made.
pub(crate) fn is_unmade<D: Disk, V: Variant>(
    disk: &D,
    listing: &Listing,
    options: Options,
) -> Result<bool, OpenError> {
    let slots = read_slots::<D, V>(disk, Some(options.identity), Access::Read)?;
    let Some(slot) = slots.newest.filter(|_| slots.unmade) else {
        return Ok(false);
    };
    if listing.segments.first() != Some(&1) {
        return Ok(listing.segments.is_empty());
    }
    let first = open_file::<D, V>(disk, 1, slot.segment_bytes, Some(options.identity), Access::Read)?;
    Ok(first.previous_end.is_none())
}
