//! The targets of the log: whatever stands on the disk ends in a value or a typed error, and a log that opens is one
//! that can be used and opened again.
//!
//! # Why not bytes alone
//! Every record, slot and header has a check, and no fuzzer finds a CRC32 with a salt. Damage that the checks find is
//! enumerated elsewhere. So here the checks are made right again, and what is reached is all that lies behind
//! them: numbers that are whole and contradict each other.
//!
//! The input of `wal_open` is a little program: which small real log to begin with, what is changed in it, and what is
//! done with the log if it opens. So any bytes are a sensible input and no corpus is needed.
//!
//! As with `targets.rs`, two things run them: `cargo fuzz run -s none NAME`, and `wal/tests/fuzz_targets.rs`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use bytes::Bytes;
use holdfast_machine::Numbered;
use holdfast_wal::disk::{FakeDisk, SECTOR};
use holdfast_wal::format::{
    Bounds, Found, GroupBounds, HEAD_BYTES, HEAD_FIELDS, HardStateBody, Head, Kind, META_FILE, MetaSlot,
    Pieces, SEGMENT_HEADER_BYTES, SLOT_AT, SLOT_BYTES, Salt, SegmentFound, SegmentHeader, SlotFound, look,
    place, write_record,
};
use holdfast_wal::tools::{dump, stat, verify};
use holdfast_wal::{
    AppendError, AsDesigned, Ending, Group, HardState, Identity, Kept, Log, LogBounds, Op, OpenError,
    Options, ReadError, Reader, segment_name, segment_number,
};

/// What is under test: any bytes go in.
pub type Target = fn(&[u8]);

/// All targets, by the name that `cargo fuzz run` takes.
pub const TARGETS: [(&str, Target); 2] = [("wal_record", wal_record), ("wal_open", wal_open)];

const SIZE: usize = 16 * 1024;
const BEGIN: u64 = SEGMENT_HEADER_BYTES as u64;
const IDENTITY: Identity = Identity { cluster: [0xC1; 16], node: [0x0D; 16] };

/// As many entries of a group, from either end, are read.
const ENTRIES_LOOKED_AT: u64 = 400;

fn options() -> Options {
    Options { segment_bytes: SIZE as u64, ..Options::new(IDENTITY, 7) }
}

/// Numbers taken from the input one after the other; zero when it is used up.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((byte, rest)) => {
                self.0 = rest;
                *byte
            }
            None => 0,
        }
    }

    fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// A number below `count`, which is not zero.
    fn below(&mut self, count: usize) -> usize {
        let chosen = if count <= 256 { usize::from(self.byte()) } else { usize::from(self.word()) };
        chosen % count
    }

    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A number of the kind that goes wrong: small, at a limit, a position, or any.
    fn value(&mut self) -> u64 {
        let near = u64::from(self.byte());
        match self.byte() % 16 {
            0..=5 => near,
            6 => (1 << 22) - 8 + near % 16,
            7 => (1 << 32) - 8 + near % 16,
            8 => (1 << 62) + near % 16,
            9 => (1 << 63) - 8 + near % 16,
            // Begins anew, as the field `cut_from` says it.
            10 => (1 << 63) | near,
            11 => u64::MAX - near,
            12 => near * SIZE as u64 / 2,
            13 => near % 8 * SIZE as u64 + u64::from(self.word()),
            14 => u64::from(self.word()),
            _ => self.bytes(8).iter().fold(0, |value, byte| value << 8 | u64::from(*byte)),
        }
    }
}

/// Everything that reads bytes which lie in memory: heads with their bodies as they stand in a segment, and each structure.
///
/// The first byte says over what the bytes are laid and what is sealed, the next two where they begin.
pub fn wal_record(data: &[u8]) {
    let mut input = Input(data);
    let (how, offset) = (input.byte(), usize::from(input.word()));
    let bytes = input.0;
    let (sample, header) = sample_segment();
    let header = *header;

    let mut segment = if how & 1 == 0 { sample.clone() } else { vec![0; SIZE] };
    lay_over(&mut segment, SEGMENT_HEADER_BYTES + offset, bytes);
    if how & 2 == 0 {
        reseal_records(&mut segment, header.base(), header.salt, how & 4 == 0);
    }
    walk(&segment, header);

    for body in [bytes.to_vec(), laid_over(&sample_bounds().encode(), offset, bytes)] {
        bounds(&body);
    }
    if let Some(hard) = HardStateBody::read(bytes) {
        assert_eq!(hard.encode(), bytes);
    }

    let mut slot = laid_over(&sample_slot().encode(), offset, bytes);
    if how & 2 == 0 {
        reseal_slot(&mut slot);
    }
    for bytes in [&slot[..], bytes] {
        if let SlotFound::Valid(slot) = MetaSlot::read(bytes) {
            assert_eq!(MetaSlot::read(&slot.encode()), SlotFound::Valid(slot));
        }
    }

    let mut sector = laid_over(&header.encode(), offset, bytes);
    if how & 2 == 0 {
        reseal(&mut sector);
    }
    for bytes in [&sector[..], bytes] {
        if let SegmentFound::Valid(header) = SegmentHeader::read(bytes) {
            assert_eq!(SegmentHeader::read(&header.encode()), SegmentFound::Valid(header));
            assert_eq!(header.base() / header.size, header.number);
        }
    }
}

/// Reads record after record, and from behind whatever is none.
fn walk(segment: &[u8], header: SegmentHeader) {
    let (base, salt) = (header.base(), header.salt);
    let mut at = BEGIN;
    while let Some(found) = look::<AsDesigned>(segment, base, salt, at) {
        assert!(found.at >= at && found.end >= found.at && found.end <= segment.len() as u64 + 7);
        let Found::Record { head, pieces } = found.found else {
            at = found.at + 8;
            continue;
        };
        let body = &segment[found.body_at as usize..][..head.length as usize];
        match head.kind {
            Kind::Checkpoint | Kind::Bounds | Kind::Healed => bounds(body),
            Kind::HardState => {
                let _ = HardStateBody::read(body);
            }
            Kind::Entry | Kind::Fill | Kind::Mark | Kind::Skip => {}
        }
        if head.kind != Kind::Skip && pieces == Pieces::Exact {
            write_again(head, body, found.at, base, salt);
        }
        assert!(found.end > at, "a walk goes on");
        at = found.end;
    }
}

/// What was read as a record can be written, and is the same one then.
fn write_again(head: Head, body: &[u8], at: u64, base: u64, salt: Salt) {
    if body.len() > SIZE {
        return;
    }
    let placement = place(at, body.len());
    if placement.head_at != at {
        return;
    }
    let mut again = vec![0; at as usize];
    write_record::<AsDesigned>(&mut again, base, salt, placement, head, body);
    let found = look::<AsDesigned>(&again, base, salt, at).expect("it is there").found;
    assert_eq!(found, Found::Record { head, pieces: Pieces::Exact });
}

fn bounds(body: &[u8]) {
    if let Some(bounds) = Bounds::read(body) {
        let again = bounds.encode();
        assert_eq!(again.len(), body.len());
        assert_eq!(Bounds::read(&again), Some(bounds));
    }
}

/// The bytes from an offset on are others, as far as there are any.
fn lay_over(bytes: &mut [u8], offset: usize, others: &[u8]) {
    let offset = offset % bytes.len();
    let count = others.len().min(bytes.len() - offset);
    bytes[offset..offset + count].copy_from_slice(&others[..count]);
}

fn laid_over(bytes: &[u8], offset: usize, others: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    lay_over(&mut bytes, offset, others);
    bytes
}

/// Gives every head that names its own place a check that holds, and its body too if `bodies` says so. From the end to
/// the front, because a body may hold what looks like a record.
fn reseal_records(segment: &mut [u8], base: u64, salt: Salt, bodies: bool) {
    for at in (SEGMENT_HEADER_BYTES..segment.len().saturating_sub(HEAD_BYTES - 1)).step_by(8).rev() {
        if number_at(segment, at + 16, 8) == base + at as u64 {
            reseal_record(segment, at, base, salt, bodies);
        }
    }
}

/// Seals what is taken for the record at `at`.
fn reseal_record(segment: &mut [u8], at: usize, base: u64, salt: Salt, bodies: bool) {
    let pieces = number_at(segment, at + 10, 2) as usize;
    let body_at = at + HEAD_BYTES + 4 * pieces;
    let sector_end = at - at % SECTOR + SECTOR;
    if body_at > sector_end.min(segment.len()) {
        return;
    }
    let end = body_at.saturating_add(number_at(segment, at + 4, 4) as usize);
    if bodies && end <= segment.len() {
        let mut from = body_at;
        for piece in 0..pieces {
            let to = (from - from % SECTOR + SECTOR).min(end);
            let position = (base + from as u64).to_le_bytes();
            let check = crc32(&[&salt.0.to_le_bytes(), &position, &segment[from..to.max(from)]]);
            segment[at + HEAD_BYTES + 4 * piece..][..4].copy_from_slice(&check.to_le_bytes());
            from = to.max(from);
        }
    }
    let check = crc32(&[&salt.0.to_le_bytes(), &segment[at + 4..body_at]]);
    segment[at..at + 4].copy_from_slice(&check.to_le_bytes());
}

/// Seals a slot or the header of a segment.
fn reseal(bytes: &mut [u8]) {
    let check = crc32(&[&bytes[8..12], &bytes[16..]]);
    bytes[12..16].copy_from_slice(&check.to_le_bytes());
}

fn reseal_slot(slot: &mut [u8]) {
    reseal(&mut slot[..SLOT_BYTES]);
}

fn number_at(bytes: &[u8], at: usize, width: usize) -> u64 {
    bytes[at..at + width].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// CRC32 (IEEE) by a table: short, and independent of the one that is tested.
fn crc32(parts: &[&[u8]]) -> u32 {
    static TABLE: OnceLock<[u32; 256]> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        std::array::from_fn(|byte| {
            (0..8).fold(byte as u32, |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
        })
    });
    let step = |crc: u32, byte: &u8| (crc >> 8) ^ table[usize::from(crc as u8 ^ byte)];
    !parts.iter().copied().flatten().fold(u32::MAX, step)
}

/// A segment in the middle of a log.
fn sample_segment() -> &'static (Vec<u8>, SegmentHeader) {
    static SEGMENT: OnceLock<(Vec<u8>, SegmentHeader)> = OnceLock::new();
    SEGMENT.get_or_init(|| {
        let bytes = samples()[Sample::Plain as usize].content(&segment_name(2)).expect("several segments");
        let SegmentFound::Valid(header) = SegmentHeader::read(&bytes) else { panic!("a real segment") };
        (bytes, header)
    })
}

fn sample_bounds() -> Bounds {
    let hard = HardState { term: 3, vote: 2, sequence: 5 };
    let group = |group| GroupBounds {
        group: Group(group),
        hard,
        first: 4,
        prev_term: 1,
        last: 9,
        last_term: 2,
        cuts: 1,
        cut_from: 6,
    };
    let (groups, ranges) = (vec![group(0), group(7)], vec![(20_000, 20_200)]);
    Bounds { first_live: 1, previous_end: 30_000, groups, ranges, ..Bounds::default() }
}

fn sample_slot() -> MetaSlot {
    let hard = HardState { term: 3, vote: 2, sequence: 5 };
    MetaSlot {
        identity: IDENTITY,
        epoch: 9,
        synced_upto: 40_000,
        first_live: 1,
        active: 2,
        segment_bytes: SIZE as u64,
        hard_state_lost: false,
        groups: vec![(Group(0), hard, 4, 1), (Group(7), hard, 1, 0)],
    }
}

/// Opening a directory in which things were changed, and using what opens.
///
/// The first byte chooses the log, the second how many changes follow and what is done with the log afterwards.
pub fn wal_open(data: &[u8]) {
    let mut input = Input(data);
    let disk = samples()[usize::from(input.byte()) % samples().len()].after_kill();
    let plan = input.byte();
    for _ in 0..=plan % 8 {
        change(&disk, &mut input);
    }
    use_it(&disk, plan / 8);
}

/// Which small log.
#[derive(Clone, Copy)]
enum Sample {
    /// Several segments and groups, entries in fragments, hard states, a conflict, a snapshot.
    Plain = 0,
}

/// Small real logs, made once.
fn samples() -> &'static [FakeDisk] {
    static SAMPLES: OnceLock<Vec<FakeDisk>> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let plain = plain();
        let torn = torn(&plain);
        let trimmed = trimmed(&plain);
        let damaged = damaged(&trimmed);
        let healed = healed(&damaged);
        let fresh = FakeDisk::new(1 << 30);
        fresh.record(true);
        drop(Log::<FakeDisk>::create(fresh.clone(), options()).expect("an empty directory"));
        let moments = fresh.take_moments();
        let unmade = |share: usize| moments[moments.len() * share / 8].state.after_kill();
        // The order matters to old inputs only.
        vec![plain, trimmed, damaged, healed, torn, fresh.after_kill(), unmade(2), unmade(7)]
    })
}

fn body(index: u64, bytes: usize) -> Bytes {
    (index..).map(|byte| byte as u8 | 1).take(bytes).collect()
}

fn entry(group: u32, index: u64, term: u64, bytes: usize) -> Op {
    Op::Entry { group: Group(group), index, term, body: body(index, bytes) }
}

/// Makes them durable one by one, so that there are many `synced_upto`.
fn put(log: &mut Log<FakeDisk>, ops: impl IntoIterator<Item = Op>) {
    for op in ops {
        log.append(&[op]).expect("fits");
        log.sync().expect("syncs");
    }
}

fn open(disk: &FakeDisk) -> Log<FakeDisk> {
    Log::open(disk.clone(), options()).expect("a log").0
}

fn plain() -> FakeDisk {
    let disk = FakeDisk::new(1 << 30);
    let mut log = Log::create(disk.clone(), options()).expect("an empty directory");
    put(&mut log, [Op::HardState { group: Group(0), term: 1, vote: 1 }]);
    put(&mut log, (1..=20).map(|index| entry(0, index, 1, 90 * index as usize % 700)));
    put(&mut log, (1..=3).map(|index| entry(1, index, 2, 5000)));
    put(&mut log, [Op::HardState { group: Group(1), term: 2, vote: 3 }]);
    put(
        &mut log,
        [entry(0, 18, 2, 40), entry(0, 19, 2, 0), Op::Reset { group: Group(7), index: 50, term: 2 }],
    );
    put(&mut log, (51..=60).map(|index| entry(7, index, 2, 300)));
    put(&mut log, (20..=40).map(|index| entry(0, index, 3, 500)));
    put(&mut log, [entry(1, 4, 3, 7000)]);
    log.mark().expect("fits");
    log.sync().expect("syncs");
    drop(log);
    disk.after_kill()
}

/// The first segments are gone.
fn trimmed(plain: &FakeDisk) -> FakeDisk {
    let disk = plain.after_kill();
    let mut log = open(&disk);
    put(&mut log, [(0, 25), (1, 4), (7, 55)].map(|(group, first)| Op::Trim { group: Group(group), first }));
    put(&mut log, (41..=60).map(|index| entry(0, index, 3, 200)));
    drop(log);
    disk.after_kill()
}

/// Two entries are damaged, one of them is repaired, and nothing is healed yet.
fn damaged(trimmed: &FakeDisk) -> FakeDisk {
    let disk = trimmed.after_kill();
    for index in [30, 33] {
        let (name, at) = place_of(&disk, 0, index);
        disk.flip_bit(&name, (at as u64 + 120) * 8);
    }
    let mut log = open(&disk);
    put(&mut log, [Op::Fill { group: Group(0), index: 30, term: 3, body: body(30, 500) }]);
    drop(log);
    disk.after_kill()
}

/// The other one is repaired as well, and that is the end of it.
fn healed(damaged: &FakeDisk) -> FakeDisk {
    let disk = damaged.after_kill();
    let mut log = open(&disk);
    put(&mut log, [Op::Fill { group: Group(0), index: 33, term: 3, body: body(33, 500) }]);
    put(&mut log, [Op::Heal { whole: Vec::new() }, entry(0, 61, 4, 10)]);
    drop(log);
    disk.after_kill()
}

/// A batch is being written, and half of its sectors reached the disk.
fn torn(plain: &FakeDisk) -> FakeDisk {
    let disk = plain.after_kill();
    let mut log = open(&disk);
    log.append(&[entry(0, 41, 3, 1500), entry(7, 61, 3, 600)]).expect("fits");
    let cells = disk.unsynced();
    let choice: Vec<usize> = (0..cells.len()).map(|at| at % 2 * (cells[at].versions - 1)).collect();
    disk.after_power_cut(&choice)
}

fn place_of(disk: &FakeDisk, group: u32, index: u64) -> (String, usize) {
    let of = |name: &String| {
        let bytes = disk.content(name)?;
        let is_it = |at: &usize| {
            number_at(&bytes, at + 12, 4) == u64::from(group) && number_at(&bytes, at + 40, 8) == index
        };
        let at = records(name, &bytes)?.1.into_iter().find(is_it)?;
        Some((name.clone(), at))
    };
    disk.names().iter().find_map(of).expect("it is there")
}

/// The header of a segment and where its records begin.
fn records(name: &str, bytes: &[u8]) -> Option<(SegmentHeader, Vec<usize>)> {
    segment_number(name)?;
    let SegmentFound::Valid(header) = SegmentHeader::read(bytes) else { return None };
    let mut places = Vec::new();
    let mut at = BEGIN;
    while let Some(found) = look::<AsDesigned>(bytes, header.base(), header.salt, at) {
        if let Found::Record { .. } | Found::UnknownKind(_) = found.found {
            places.push(found.at as usize);
        }
        at = found.end.max(found.at + 8);
    }
    Some((header, places))
}

/// Changes one thing.
fn change(disk: &FakeDisk, input: &mut Input<'_>) {
    let names = disk.names();
    let what = input.byte() % 20;
    if names.is_empty() {
        return;
    }
    let name = &names[input.below(names.len())];
    let Some(mut bytes) = disk.content(name) else { return };
    let sectors = bytes.len() / SECTOR;
    match what {
        0 if !bytes.is_empty() => {
            let offset = input.below(bytes.len());
            let count = 1 + input.below(16);
            lay_over(&mut bytes, offset, input.bytes(count));
            disk.overwrite(name, 0, &bytes);
        }
        1 if sectors > 0 => {
            let first = input.below(sectors);
            let count = (1 + input.below(64)).min(sectors - first);
            disk.overwrite(name, (first * SECTOR) as u64, &vec![0; count * SECTOR]);
        }
        2 => {
            let other = &names[input.below(names.len())];
            let others = disk.content(other).map_or(0, |bytes| bytes.len() / SECTOR);
            if sectors > 0 && others > 0 {
                let (one, two) = (input.below(sectors) as u64, input.below(others) as u64);
                disk.swap_sectors(name, one, other, two);
            }
        }
        3 => {
            let length = input.value() % (4 * SIZE as u64);
            disk.set_length(name, if input.byte().is_multiple_of(2) { length / 4096 * 4096 } else { length });
        }
        4 => disk.rename_file(name, &a_name(input)),
        5 => disk.remove_file(name),
        6 => disk.copy_file(name, &a_name(input)),
        7 if sectors > 0 => disk.make_unreadable(name, input.below(sectors) as u64),
        8 => {
            let earlier = &samples()[input.below(samples().len())];
            if earlier.content(name).is_some() {
                disk.restore_file(name, earlier);
            }
        }
        9 => {
            let earlier = &samples()[input.below(samples().len())];
            let theirs = earlier.content(name).map_or(0, |bytes| bytes.len() / SECTOR);
            if sectors.min(theirs) > 0 {
                disk.restore_sector(name, input.below(sectors.min(theirs)) as u64, earlier);
            }
        }
        10..=12 => edit_head(disk, name, &mut bytes, input),
        13 | 14 => edit_body(disk, name, &mut bytes, input),
        15 => forge(disk, name, &mut bytes, input),
        16 | 17 => edit_slot(disk, input),
        18 => edit_header(disk, name, &mut bytes, input),
        _ => {
            if let SegmentFound::Valid(header) = SegmentHeader::read(&bytes) {
                reseal_records(&mut bytes, header.base(), header.salt, true);
                disk.overwrite(name, 0, &bytes);
            }
        }
    }
}

fn a_name(input: &mut Input<'_>) -> String {
    let number = input.value();
    match input.byte() % 8 {
        0 => META_FILE.to_owned(),
        1 => format!("{META_FILE}.new"),
        2 => format!("{}.new", segment_name(number)),
        3 => "identity".to_owned(),
        _ => segment_name(number),
    }
}

/// A field of a head is another, or the same field of several heads in a row.
fn edit_head(disk: &FakeDisk, name: &str, bytes: &mut [u8], input: &mut Input<'_>) {
    let Some((header, places)) = records(name, bytes).filter(|(_, places)| !places.is_empty()) else {
        return;
    };
    let (first, field) = (input.below(places.len()), input.below(HEAD_FIELDS.len()));
    let (value, step, count) = (input.value(), input.byte() % 4, input.byte());
    let count = if count.is_multiple_of(4) { usize::from(count) } else { 1 };
    let offset: usize = HEAD_FIELDS[..field].iter().map(|field| field.bytes).sum();
    let width = HEAD_FIELDS[field].bytes;
    for (turn, at) in places.iter().skip(first).take(count).enumerate() {
        let value = value.wrapping_add(turn as u64 * u64::from(step)).to_le_bytes();
        bytes[at + offset..][..width].copy_from_slice(&value[..width]);
        reseal_record(bytes, *at, header.base(), header.salt, true);
    }
    disk.overwrite(name, 0, bytes);
}

/// A number in a body is another.
fn edit_body(disk: &FakeDisk, name: &str, bytes: &mut [u8], input: &mut Input<'_>) {
    let Some((header, places)) = records(name, bytes) else { return };
    // Bodies that mean something to the log.
    let meaningful = |at: &usize| matches!(bytes[at + 8], 3..=5 | 8);
    let places: Vec<usize> = places.into_iter().filter(meaningful).collect();
    if places.is_empty() {
        return;
    }
    let at = places[input.below(places.len())];
    let body_at = at + HEAD_BYTES + 4 * number_at(bytes, at + 10, 2) as usize;
    let words = number_at(bytes, at + 4, 4) as usize / 4;
    let end = body_at.saturating_add(words * 4).min(bytes.len());
    if words == 0 || body_at >= end {
        return;
    }
    let from = body_at + 4 * input.below(words);
    let value = input.value().to_le_bytes();
    let width = 8.min(end.saturating_sub(from));
    bytes[from..from + width].copy_from_slice(&value[..width]);
    reseal_record(bytes, at, header.base(), header.salt, true);
    disk.overwrite(name, 0, bytes);
}

/// A record that nobody wrote, behind a record of a segment.
fn forge(disk: &FakeDisk, name: &str, bytes: &mut [u8], input: &mut Input<'_>) {
    let Some((header, places)) = records(name, bytes) else { return };
    let behind = if input.byte().is_multiple_of(4) { input.below(places.len() + 1) } else { places.len() };
    let (base, salt) = (header.base(), header.salt);
    let end_of =
        |at: usize| look::<AsDesigned>(bytes, base, salt, at as u64).map_or(BEGIN, |found| found.end);
    let at = behind.checked_sub(1).map_or(BEGIN, |last| end_of(places[last]));
    let kind = Kind::ALL[input.below(Kind::ALL.len())];
    let flags = input.byte();
    let body = match kind {
        Kind::Entry | Kind::Fill => body(u64::from(flags), usize::from(input.word()) % 3000),
        Kind::HardState => HardStateBody { vote: input.value(), sequence: input.value() }.encode().into(),
        Kind::Checkpoint | Kind::Bounds | Kind::Healed => a_bounds(input).encode().into(),
        Kind::Mark | Kind::Skip => Bytes::new(),
    };
    let head = Head {
        first: flags & 1 == 0,
        last: flags & 2 == 0,
        group: Group(input.value() as u32),
        term: input.value(),
        index: input.value(),
        prev_term: input.value(),
        cut_from: input.value(),
        cuts: input.value(),
        ..Head::control(kind, input.value())
    };
    let placement = place(at, body.len());
    if placement.skip.is_some() || placement.end > bytes.len() as u64 {
        return;
    }
    let mut record = Vec::new();
    write_record::<AsDesigned>(&mut record, base, salt, placement, head, &body);
    disk.overwrite(name, placement.head_at, &record);
}

fn a_bounds(input: &mut Input<'_>) -> Bounds {
    let (first_live, previous_end, counts, flags) =
        (input.value(), input.value(), input.byte(), input.byte());
    let (groups, ranges) = (counts % 4, counts / 64);
    // The same group over again is one of many groups.
    let many = if counts % 32 == 31 { 20 } else { 1 };
    let mut all = Vec::new();
    for _ in 0..groups {
        let group = input.value() as u32;
        let hard = HardState { term: input.value(), vote: input.value(), sequence: input.value() };
        let first = input.value();
        let last = first.wrapping_add(input.value()).wrapping_sub(1);
        let (prev_term, last_term) = (input.value(), input.value());
        let (cuts, cut_from) = (input.value(), input.value());
        for more in 0..many {
            let group = Group(group.wrapping_add(more));
            all.push(GroupBounds { group, hard, first, prev_term, last, last_term, cuts, cut_from });
        }
    }
    Bounds {
        first_live,
        previous_end,
        hard_state_lost: flags & 1 != 0,
        unsure: flags & 2 != 0,
        untrusted: flags & 4 != 0,
        groups: all,
        ranges: (0..ranges).map(|_| (input.value(), input.value())).collect(),
    }
}

/// A number in a slot of the meta file is another.
fn edit_slot(disk: &FakeDisk, input: &mut Input<'_>) {
    let Some(mut bytes) = disk.content(META_FILE) else { return };
    let at = SLOT_AT[input.below(2)] as usize;
    // Not the magic; rather often the numbers at the front than those of groups.
    let words = if input.byte().is_multiple_of(2) { 24 } else { 80 };
    let offset = 8 + 4 * input.below(words);
    let value = input.value().to_le_bytes();
    if let Some(slot) = bytes.get_mut(at..at + SLOT_BYTES) {
        slot[offset..offset + 8].copy_from_slice(&value);
        reseal(slot);
        disk.overwrite(META_FILE, 0, &bytes);
    }
}

/// A number in the header of a segment is another.
fn edit_header(disk: &FakeDisk, name: &str, bytes: &mut [u8], input: &mut Input<'_>) {
    let offset = 8 + 4 * input.below(18);
    let value = input.value().to_le_bytes();
    if let Some(sector) = bytes.get_mut(..SEGMENT_HEADER_BYTES) {
        sector[offset..offset + 8].copy_from_slice(&value);
        reseal(sector);
        disk.overwrite(name, 0, bytes);
    }
}

/// Looks at the directory, opens it, uses it, and opens it again.
fn use_it(disk: &FakeDisk, plan: u8) {
    let mut lines = 0;
    let _ = dump(disk, &mut |line| lines += line.to_string().len().min(1));
    let room: usize =
        disk.names().iter().filter_map(|name| disk.content(name)).map(|bytes| bytes.len()).sum();
    assert!(lines <= 4 + room / 8 + disk.names().len(), "a line for every place at most");
    let _ = stat(disk);
    let judged = verify(disk, Some(IDENTITY));
    let was_made = is_made(disk);

    let before = shown(disk);
    let (mut log, recovery, mut kept) = match Log::<FakeDisk>::open_keeping(disk.clone(), options(), Group(0))
    {
        Ok(opened) => opened,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            if !matches!(error, OpenError::Io { .. }) {
                assert!(judged.is_err(), "refused, and the tool says it is fine: {error}");
                assert_eq!(shown(disk), before, "what is refused is as it was: {error}");
            }
            return;
        }
    };
    // A log whose making was interrupted is made anew.
    if let Ok(judged) = judged
        && was_made
    {
        assert_eq!(judged.regions, recovery.regions);
        assert_eq!(judged.groups, recovery.groups);
        assert_eq!((judged.ending, judged.trustworthy), (recovery.ending, recovery.trustworthy));
    }
    assert_eq!(recovery.ending == Ending::Damaged && !recovery.healed, log.is_damaged());
    look_at(&log);
    look_at_kept(&log, &mut kept);

    let result = go_on(&mut log, plan);
    look_at(&log);
    let held = contents(&log);
    let damaged = log.is_damaged();
    // A record that is whole and does not follow is found again as long as what it should follow is kept.
    let lasting = recovery.regions.iter().any(|region| region.row.is_some());
    drop(log);
    if let Err(AppendError::Failed(_)) = result {
        return;
    }
    // Who says that more was durable than there is makes a damage that cannot be healed.
    let overdone = stat(disk).is_ok_and(|stat| stat.synced_upto > stat.end);
    // Everything is synced, so that a power cut changes nothing.
    let left =
        if plan & 1 == 0 { disk.after_kill() } else { disk.after_power_cut(&vec![0; disk.unsynced().len()]) };
    let again = Log::<FakeDisk>::open(left, options());
    let (again, recovery) = again.unwrap_or_else(|error| panic!("opened before, and not again: {error}"));
    match recovery.ending {
        // Records that contradict others may do so only once those in between are trimmed.
        Ending::Damaged if recovery.regions.iter().all(|region| region.row.is_none()) => {}
        Ending::Damaged => assert!(damaged || overdone || recovery.healed, "damaged after all: {recovery:?}"),
        Ending::Clean | Ending::Torn => {
            assert!(!(damaged && lasting), "the damage is forgotten: {recovery:?}");
        }
    }
    look_at(&again);
    if !damaged && !overdone {
        assert_eq!(contents(&again), held);
    }
}

/// What everybody sees.
fn shown(disk: &FakeDisk) -> Vec<(String, Option<Vec<u8>>)> {
    disk.names().into_iter().map(|name| (name.clone(), disk.content(&name))).collect()
}

/// Whether a slot of the meta file says so.
fn is_made(disk: &FakeDisk) -> bool {
    let Some(meta) = disk.content(META_FILE) else { return false };
    let says_so = |at: u64| {
        let found = MetaSlot::read(meta.get(at as usize..).unwrap_or_default());
        matches!(found, SlotFound::Valid(slot) if slot.epoch > 1)
    };
    SLOT_AT.into_iter().any(says_so)
}

/// Goes on with a log as its owner would.
fn go_on(log: &mut Log<FakeDisk>, plan: u8) -> Result<(), AppendError> {
    // Refused is an answer too.
    let put = |log: &mut Log<FakeDisk>, op: Op| match log.append(&[op]) {
        Ok(_) | Err(AppendError::Refused { .. }) => log.sync().map(drop).map_err(AppendError::Failed),
        Err(error) => Err(error),
    };
    if plan & 2 == 0 && log.is_damaged() {
        for op in repairs(log, plan & 4 == 0) {
            put(log, op)?;
        }
    }
    let groups: Vec<Group> = log.groups().into_iter().take(5).chain([Group(99)]).collect();
    for group in groups {
        let bounds = log.bounds(group).unwrap_or(LogBounds { first: 1, prev_term: 0, last: 0, last_term: 0 });
        let term = bounds.last_term.max(1);
        let next = bounds.last + 1;
        put(log, Op::Entry { group, index: next, term, body: body(next, 100) })?;
        put(log, Op::Entry { group, index: next + 1, term, body: body(next, 5000) })?;
        put(log, Op::Entry { group, index: next, term: term.saturating_add(1), body: body(next, 10) })?;
        let hard = log.hard_state(group);
        put(log, Op::HardState { group, term: hard.term, vote: hard.vote ^ 1 })?;
        if plan & 8 == 0 {
            put(log, Op::Trim { group, first: next })?;
        }
        if plan & 24 == 0 {
            put(log, Op::Reset { group, index: next + 2, term })?;
        }
    }
    log.mark()?;
    log.sync()?;
    log.prepare().map_err(|error| panic!("there is room: {error}"))
}

/// What a leader sends, and at the end that all is whole: as far as anybody knows, or from the first hole on.
fn repairs(log: &Log<FakeDisk>, fill: bool) -> Vec<Op> {
    let reader = log.reader();
    let mut ops = Vec::new();
    for group in log.groups().into_iter().filter(|_| fill) {
        let mut term = 1;
        for hole in log.holes(group).iter().take(50) {
            for index in (hole.first..=hole.last).take(200) {
                term = reader.term(group, index).unwrap_or(term);
                ops.push(if hole.doubtful {
                    Op::Confirm { group, first: index, last: index, term }
                } else {
                    Op::Fill { group, index, term, body: body(index, 30) }
                });
            }
        }
    }
    ops.push(Op::Heal { whole: log.groups().into_iter().map(|group| (group, 0)).collect() });
    ops
}

/// Every entry is readable, or is known not to be.
fn look_at(log: &Log<FakeDisk>) {
    let reader = log.reader();
    for group in log.groups() {
        let LogBounds { first, last, .. } = log.bounds(group).expect("it is known");
        let holes = log.holes(group);
        assert!(holes.is_empty() || log.is_damaged(), "{group:?}: {holes:?} without damage");
        for index in some_of(first, last) {
            let is_hole = holes.iter().any(|hole| (hole.first..=hole.last).contains(&index));
            match reader.read(group, index) {
                Ok(entry) => {
                    assert!(!is_hole, "{group:?} {index} is a hole");
                    assert_eq!(reader.term(group, index), Some(entry.term), "{group:?} {index}");
                }
                Err(ReadError::Hole { .. }) => assert!(is_hole, "{group:?} {index} is no hole"),
                Err(error) => panic!("{group:?} {index}: {error}"),
            }
        }
        let outside = [first.checked_sub(1), last.checked_add(1)];
        for index in outside.into_iter().flatten() {
            assert!(reader.read(group, index).is_err());
            let _ = reader.term(group, index);
        }
    }
    scrub(&reader);
}

/// What opening kept is what is read.
fn look_at_kept(log: &Log<FakeDisk>, kept: &mut Kept) {
    let (reader, group) = (log.reader(), Group(0));
    let Some(LogBounds { first, last, .. }) = log.bounds(group) else { return };
    for index in some_of(first, last) {
        let (kept, read) = (reader.read_kept(kept, index), reader.read(group, index));
        assert_eq!(format!("{kept:?}"), format!("{read:?}"), "entry {index}");
    }
}

fn scrub(reader: &Reader<FakeDisk>) {
    for number in reader.sealed() {
        let _ = reader.scrub(number);
    }
}

/// The indices at both ends.
fn some_of(first: u64, last: u64) -> impl Iterator<Item = u64> {
    let middle = first.saturating_add(ENTRIES_LOOKED_AT);
    let late = last.saturating_sub(ENTRIES_LOOKED_AT).max(middle);
    (first..=last).take_while(move |index| *index < middle).chain(late..=last)
}

/// All that somebody could rely on.
type Contents = BTreeMap<Group, (LogBounds, HardState, Vec<(u64, Bytes)>)>;

fn contents(log: &Log<FakeDisk>) -> Contents {
    let of = |group| {
        let bounds = log.bounds(group).expect("it is known");
        let entries = some_of(bounds.first, bounds.last).filter_map(|index| log.read(group, index).ok());
        (group, (bounds, log.hard_state(group), entries.map(|entry| (entry.term, entry.body)).collect()))
    };
    log.groups().into_iter().map(of).collect()
}
