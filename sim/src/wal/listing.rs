//! A short listing of what stands on a disk, for people.

use std::fmt::Write as _;

use holdfast_wal::AsDesigned;
use holdfast_wal::disk::FakeDisk;
use holdfast_wal::format::{
    Found, Look, META_FILE, MetaSlot, Pieces, SLOT_AT, SegmentFound, SegmentHeader, SlotFound, look,
};

/// Lines of a segment at most.
const LINES: usize = 40;

/// What the cache shows of every file.
#[must_use]
pub fn listing(disk: &FakeDisk) -> String {
    let mut text = String::new();
    for name in disk.names() {
        let content = disk.content(&name).unwrap_or_default();
        let _ = writeln!(text, "  {name}, {} bytes", content.len());
        if name == META_FILE {
            slots(&mut text, &content);
        } else {
            segment(&mut text, &content);
        }
    }
    text
}

fn slots(text: &mut String, content: &[u8]) {
    for at in SLOT_AT {
        let line = match content.get(at as usize..).map(MetaSlot::read) {
            Some(SlotFound::Valid(slot)) => format!(
                "epoch {}, synced up to {}, segments {} to {}, groups {:?}",
                slot.epoch,
                slot.synced_upto,
                slot.first_live,
                slot.active,
                slot.groups
                    .iter()
                    .map(|(group, hard, first, _)| (group.0, hard.term, hard.vote, first))
                    .collect::<Vec<_>>()
            ),
            Some(SlotFound::Unsupported(version)) => format!("of version {version}"),
            Some(SlotFound::Wrong) | None => "no slot".to_owned(),
        };
        let _ = writeln!(text, "    {at:>6} {line}");
    }
}

fn segment(text: &mut String, content: &[u8]) {
    let SegmentFound::Valid(header) = SegmentHeader::read(content) else {
        text.push_str("         no header\n");
        return;
    };
    let mut at = 512;
    let mut lines = 0;
    while let Some(Look { found: Found::Record { head, pieces }, at: here, end, .. }) =
        look::<AsDesigned>(content, header.base(), header.salt, at)
    {
        lines += 1;
        at = end;
        if lines > LINES {
            continue;
        }
        let state = match pieces {
            Pieces::Exact => "",
            Pieces::SomeZero => ", torn",
            Pieces::SomeWrong => ", wrong",
        };
        let _ = writeln!(
            text,
            "    {here:>6} {:?} group {} index {} term {} cuts {} from {}, {} bytes, synced up to {}{state}",
            head.kind,
            head.group.0,
            head.index,
            head.term,
            head.cuts,
            head.cut_from,
            head.length,
            head.synced_upto
        );
    }
    let rest: Vec<usize> =
        content.chunks(512).map(|sector| sector.iter().filter(|byte| **byte != 0).count()).collect();
    let behind = rest.iter().enumerate().skip(at as usize / 512).filter(|(_, bytes)| **bytes > 0);
    let behind: Vec<usize> = behind.map(|(sector, _)| sector).collect();
    let _ = writeln!(text, "    {at:>6} no record from here on; sectors with something in them: {behind:?}");
}
