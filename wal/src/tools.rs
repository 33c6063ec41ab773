//! For people who look at a directory: what stands in it, whether it is whole, how full it is.
//!
//! Nothing here writes, locks or syncs. So a live directory can be looked at (its tail is in motion then, and may look torn),
//! and a broken one as well: [`dump`] takes each file by itself and goes on behind whatever is unreadable.

use std::collections::BTreeMap;
use std::fmt;

use holdfast_machine::Numbered;

use crate::disk::{Access, Disk};
use crate::error::OpenError;
use crate::format::{
    Found, Head, Kind, Look, META_FILE, MetaSlot, Pieces, SEGMENT_HEADER_BYTES, SLOT_AT, SLOT_BYTES,
    SegmentFound, SegmentHeader, SlotFound, is_zero, look,
};
use crate::log::{Recovery, find, list};
use crate::recovery::{Kept, load};
use crate::segment::segment_name;
use crate::types::{Group, Identity};
use crate::variant::AsDesigned;

/// A place in a file, and what stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The file.
    pub file: String,
    /// Where it begins.
    pub offset: u64,
    /// What it is.
    pub shown: Shown,
}

/// What stands at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A slot of the meta file.
    Slot(MetaSlot),
    /// The header of a segment.
    Header(SegmentHeader),
    /// Written by a later build.
    Unsupported {
        /// A format version, or the kind of a record.
        number: u32,
    },
    /// A record.
    Record {
        /// Its head.
        head: Head,
        /// How its body stands with its checks.
        pieces: Pieces,
    },
    /// Nothing that can be read, up to this offset.
    Unreadable {
        /// The first offset behind it.
        to: u64,
    },
    /// Zero, up to this offset.
    Zero {
        /// The first offset behind it.
        to: u64,
    },
    /// A file that cannot be opened or has an impossible length.
    NotAFile(String),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:>9} ", self.file, self.offset)?;
        match &self.shown {
            Shown::Slot(slot) => write!(
                f,
                "slot epoch={} synced_upto={} first_live={} active={} size={} groups={}{} {}",
                slot.epoch,
                slot.synced_upto,
                slot.first_live,
                slot.active,
                slot.segment_bytes,
                slot.groups.len(),
                if slot.hard_state_lost { " HARD STATE LOST" } else { "" },
                slot.identity
            ),
            Shown::Header(header) => {
                write!(
                    f,
                    "segment {} base={} size={} {}",
                    header.number,
                    header.base(),
                    header.size,
                    header.identity
                )
            }
            Shown::Unsupported { number } => write!(f, "number {number} is of a later build"),
            Shown::Record { head, pieces } => {
                write!(f, "{} {} bytes", head.kind.label(), head.length)?;
                if head.is_entry() {
                    write!(
                        f,
                        " group={} index={} term={} prev_term={}",
                        head.group.0, head.index, head.term, head.prev_term
                    )?;
                    write!(f, " cuts={}", head.cuts)?;
                    match (head.first, head.last) {
                        (true, true) => {}
                        (true, false) => f.write_str(" first fragment")?,
                        (false, false) => f.write_str(" fragment")?,
                        (false, true) => f.write_str(" last fragment")?,
                    }
                }
                if head.kind == Kind::HardState {
                    write!(f, " group={} term={}", head.group.0, head.term)?;
                }
                write!(f, " synced_upto={}", head.synced_upto)?;
                match pieces {
                    Pieces::Exact => Ok(()),
                    Pieces::SomeZero => f.write_str(" BODY PARTLY ZERO"),
                    Pieces::SomeWrong => f.write_str(" BODY DAMAGED"),
                }
            }
            Shown::Unreadable { to } => write!(f, "UNREADABLE to {to}"),
            Shown::Zero { to } => write!(f, "zero to {to}"),
            Shown::NotAFile(why) => f.write_str(why),
        }
    }
}

/// Shows everything in the directory, file by file.
///
/// # Errors
/// [`OpenError`] if the directory cannot be listed. A file that cannot be read is a line.
pub fn dump<D: Disk>(disk: &D, show: &mut dyn FnMut(&Line)) -> Result<(), OpenError> {
    dump_with_bodies(disk, &mut |line, _| show(line))
}

/// As [`dump`], and hands out the body of each record as it stands there, damaged or not; empty for what is no record.
///
/// # Errors
/// As [`dump`].
pub fn dump_with_bodies<D: Disk>(disk: &D, show: &mut dyn FnMut(&Line, &[u8])) -> Result<(), OpenError> {
    let listing = list(disk)?;
    if listing.meta {
        let line = |offset, shown| Line { file: META_FILE.to_owned(), offset, shown };
        match disk.open(META_FILE, Access::Read) {
            Err(error) => show(&line(0, Shown::NotAFile(error.to_string())), &[]),
            Ok(file) => {
                for at in SLOT_AT {
                    let mut bytes = vec![0; SLOT_BYTES];
                    let read = disk.read_at(&file, at, &mut bytes);
                    let shown = match MetaSlot::read(&bytes) {
                        SlotFound::Valid(slot) => Shown::Slot(slot),
                        SlotFound::Unsupported(number) => Shown::Unsupported { number },
                        SlotFound::Wrong if read.is_ok() && is_zero(&bytes) => {
                            Shown::Zero { to: at + SLOT_BYTES as u64 }
                        }
                        SlotFound::Wrong => Shown::Unreadable { to: at + SLOT_BYTES as u64 },
                    };
                    show(&line(at, shown), &[]);
                }
            }
        }
    }
    for number in listing.segments {
        dump_segment(disk, &segment_name(number), show);
    }
    Ok(())
}

fn dump_segment<D: Disk>(disk: &D, name: &str, show: &mut dyn FnMut(&Line, &[u8])) {
    let mut line = |offset, shown, body: &[u8]| show(&Line { file: name.to_owned(), offset, shown }, body);
    let opened = disk.open(name, Access::Read).and_then(|file| Ok((disk.len(&file)?, file)));
    let (size, file) = match opened {
        Ok(opened) => opened,
        Err(error) => return line(0, Shown::NotAFile(error.to_string()), &[]),
    };
    if size < SEGMENT_HEADER_BYTES as u64 || size > crate::format::MAX_SEGMENT_BYTES {
        return line(0, Shown::NotAFile(format!("{size} bytes long: no segment")), &[]);
    }
    let mut bytes = vec![0; size as usize];
    load::<D, AsDesigned>(disk, &file, &mut bytes);
    let header = match SegmentHeader::read(&bytes) {
        SegmentFound::Valid(header) => header,
        SegmentFound::Unsupported(number) => return line(0, Shown::Unsupported { number }, &[]),
        SegmentFound::Wrong => return line(0, Shown::Unreadable { to: size }, &[]),
    };
    line(0, Shown::Header(header), &[]);
    let mut at = SEGMENT_HEADER_BYTES as u64;
    while let Some(place) = look::<AsDesigned>(&bytes, header.base(), header.salt, at) {
        match place.found {
            Found::Record { head, pieces } => {
                let body =
                    bytes.get(place.body_at as usize..).and_then(|rest| rest.get(..head.length as usize));
                line(place.at, Shown::Record { head, pieces }, body.unwrap_or_default());
                at = place.end;
            }
            Found::UnknownKind(number) => {
                return line(place.at, Shown::Unsupported { number: u32::from(number) }, &[]);
            }
            Found::Unwritten if is_zero(&bytes[place.at as usize..]) => {
                return line(place.at, Shown::Zero { to: size }, &[]);
            }
            Found::Unwritten | Found::WrongHead => {
                let next = (place.at + 8..size).step_by(8).find(|next| {
                    let look = look::<AsDesigned>(&bytes, header.base(), header.salt, *next);
                    matches!(look, Some(Look { found: Found::Record { .. }, at, .. }) if at == *next)
                });
                at = next.unwrap_or(size);
                line(place.at, Shown::Unreadable { to: at }, &[]);
            }
        }
    }
}

/// Says what an open would find, by the same rules.
///
/// # Errors
/// [`OpenError`]: what an open would refuse. With `identity`, also a directory of another cluster or node.
pub fn verify<D: Disk>(disk: &D, identity: Option<Identity>) -> Result<Recovery, OpenError> {
    let listing = list(disk)?;
    find::<D, AsDesigned>(disk, &listing, identity, Access::Read, &mut |_, _| (), &mut Kept::default())
        .map(|found| found.judge())
}

/// How full a log is, and with what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// Segments that hold something.
    pub live_segments: u64,
    /// The size of one in bytes.
    pub segment_bytes: u64,
    /// Records of each kind, and the bytes of their bodies.
    pub kinds: BTreeMap<String, (u64, u64)>,
    /// First and last index of each group.
    pub groups: BTreeMap<Group, (u64, u64)>,
    /// The largest position that is known to be durable.
    pub synced_upto: u64,
    /// The position behind the last record.
    pub end: u64,
}

/// Counts what an open would read.
///
/// # Errors
/// As [`verify`].
pub fn stat<D: Disk>(disk: &D) -> Result<Stat, OpenError> {
    let listing = list(disk)?;
    let mut kinds: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut count = |_: &str, head: &Head| {
        let (count, bytes) = kinds.entry(head.kind.label()).or_default();
        *count += 1;
        *bytes += u64::from(head.length);
    };
    let found = find::<D, AsDesigned>(disk, &listing, None, Access::Read, &mut count, &mut Kept::default())?;
    let recovery = found.judge();
    let groups =
        recovery.groups.iter().map(|(group, bounds, _)| (*group, (bounds.first, bounds.last))).collect();
    let end = found.scanned.end;
    Ok(Stat {
        live_segments: end.file as u64 + 1,
        segment_bytes: found.size,
        kinds,
        groups,
        synced_upto: found.scanned.synced_upto,
        end: found.files[end.file].number * found.size + end.at,
    })
}
