//! `docs/wal-format.md` against the code: tables, byte diagrams, a log taken apart, and what a crash between any two calls
//! leaves.

use std::collections::BTreeSet;
use std::fmt::Write;

use bytes::Bytes;
use holdfast_machine::{Numbered, render};
use holdfast_tidy::{blocks, layout, symbols, workspace};
use holdfast_wal::disk::{self, FakeDisk, Moment};
use holdfast_wal::format::{
    self, Field, Found, Kind, Look, MetaSlot, SegmentFound, SegmentHeader, SlotFound,
};
use holdfast_wal::{AsDesigned, Ending, Group, Identity, Log, Op, OpenError, Options, segment_name};

type FakeLog = Log<FakeDisk>;

const PAGE: &str = "docs/wal-format.md";

#[test]
fn the_page_of_the_wal_format_is_current() {
    let mut wanted = vec![
        ("segment header", structure(&format::SEGMENT_FIELDS, "zero to 512")),
        ("record head", structure(&format::HEAD_FIELDS, "table: 4 bytes for each sector … │ body …")),
        ("hard state", structure(&format::HARD_STATE_FIELDS, "")),
        ("bounds", structure(&format::BOUNDS_FIELDS, "groups … │ ranges …")),
        ("bounds group", structure(&format::GROUP_FIELDS, "")),
        ("bounds range", structure(&format::RANGE_FIELDS, "")),
        ("meta slot", structure(&format::META_FIELDS, "groups … │ zero to 4096")),
        ("meta group", structure(&format::META_GROUP_FIELDS, "")),
        ("record kinds", render::list::<Kind>("kind")),
        ("constants", constants()),
        ("errors", errors()),
        ("segment taken apart", segment_taken_apart()),
        ("slot taken apart", slot_taken_apart()),
    ];
    wanted.extend(operations().iter().map(|operation| (operation.name, operation.table())));
    blocks::check(&[(PAGE.into(), wanted)]);
}

/// The bytes of the fields as boxes, in rows of at most a line each, and then as a table.
fn structure(fields: &[Field], rest: &str) -> String {
    const LINE: usize = 96;
    let mut diagram = String::from("```text\n");
    let (mut ruler, mut boxes, mut at) = (String::new(), String::new(), 0);
    let mut show = |ruler: &mut String, boxes: &mut String| {
        let _ = writeln!(diagram, "{}\n{}", ruler.trim_end(), boxes.trim_end());
        ruler.clear();
        boxes.clear();
    };
    for field in fields {
        let width = field.name.chars().count().max(field.bytes / 2) + 3;
        if boxes.chars().count() + width > LINE {
            let _ = write!(ruler, "{at}");
            boxes.push('│');
            show(&mut ruler, &mut boxes);
        }
        let _ = write!(ruler, "{at:<width$}");
        let _ = write!(boxes, "│ {:<1$}", field.name, width - 2);
        at += field.bytes;
    }
    let _ = write!(ruler, "{at}");
    let _ = write!(boxes, "│ {rest}");
    show(&mut ruler, &mut boxes);
    diagram.push_str("```\n\n| offset | bytes | field | meaning |\n|---|---|---|---|\n");
    let mut at = 0;
    for field in fields {
        let _ = writeln!(diagram, "| {at} | {} | {} | {} |", field.bytes, field.name, field.meaning);
        at += field.bytes;
    }
    assert_eq!(at, format::width(fields));
    diagram
}

/// A constant: where it stands, its name, its value.
type Row = (&'static str, &'static str, String);

fn constant_rows() -> Vec<Row> {
    let slots: Vec<String> = format::SLOT_AT.iter().map(ToString::to_string).collect();
    vec![
        ("wal/src/format/mod.rs", "VERSION", format::VERSION.to_string()),
        ("wal/src/disk/mod.rs", "SECTOR", disk::SECTOR.to_string()),
        ("wal/src/format/mod.rs", "ALIGN", format::ALIGN.to_string()),
        ("wal/src/format/segment.rs", "SEGMENT_HEADER_BYTES", format::SEGMENT_HEADER_BYTES.to_string()),
        ("wal/src/format/record.rs", "HEAD_BYTES", format::HEAD_BYTES.to_string()),
        ("wal/src/format/mod.rs", "MAX_FRAGMENT", format::MAX_FRAGMENT.to_string()),
        ("wal/src/format/record.rs", "MAX_PIECES", format::MAX_PIECES.to_string()),
        ("wal/src/format/mod.rs", "MAX_GROUPS", format::MAX_GROUPS.to_string()),
        ("wal/src/format/mod.rs", "MIN_SEGMENT_BYTES", format::MIN_SEGMENT_BYTES.to_string()),
        ("wal/src/format/mod.rs", "MAX_SEGMENT_BYTES", format::MAX_SEGMENT_BYTES.to_string()),
        ("wal/src/format/mod.rs", "MAX_SEGMENT_NUMBER", format::MAX_SEGMENT_NUMBER.to_string()),
        ("wal/src/format/meta.rs", "META_FILE", format!("`{}`", format::META_FILE)),
        ("wal/src/format/meta.rs", "SLOT_BYTES", format::SLOT_BYTES.to_string()),
        ("wal/src/format/meta.rs", "SLOT_AT", slots.join(", ")),
    ]
}

/// Named constants with their values, and the reason that stands beside each in the code.
fn constants() -> String {
    let mut out = String::from("| constant | value | what it is, and why |\n|---|---|---|\n");
    for (path, name, value) in constant_rows() {
        let constants = symbols::of_file(path).constants;
        let constant = constants.iter().find(|constant| constant.name == name);
        let constant = constant.unwrap_or_else(|| panic!("{path} has no constant {name}"));
        let _ = writeln!(out, "| `{name}` | {value} | {} |", layout::plain(&constant.doc));
    }
    out
}

#[test]
fn every_public_constant_of_the_format_stands_on_the_page() {
    let page = workspace::read(PAGE);
    let mut seen = 0;
    for path in workspace::files(".rs").iter().filter(|path| path.starts_with("wal/src/format/")) {
        for constant in symbols::of_file(path).constants.iter().filter(|constant| constant.public) {
            let name = &constant.name;
            assert!(page.contains(&format!("`{name}`")), "{path}: {name} stands nowhere on {PAGE}");
            let is_table = name.ends_with("_FIELDS");
            let in_table = constant_rows().iter().any(|(file, row, _)| file == path && row == name);
            assert!(is_table || in_table, "{name} is not among the constants");
            seen += 1;
        }
    }
    assert!(seen >= 20, "the sources were read");
}

/// Why a log is not opened, and what its message says is to be done: from the declarations.
fn errors() -> String {
    let file = syn::parse_file(&workspace::read("wal/src/error.rs")).expect("the error module is Rust");
    let open_error = file.items.iter().find_map(|item| match item {
        syn::Item::Enum(item) if item.ident == "OpenError" => Some(item),
        _ => None,
    });
    let mut out = String::from("| error | meaning | what to do |\n|---|---|---|\n");
    for variant in &open_error.expect("there is an enum OpenError").variants {
        let meaning = layout::plain(&symbols::doc(&variant.attrs));
        let message = variant.attrs.iter().find(|attribute| attribute.path().is_ident("error"));
        let message = message.and_then(|attribute| attribute.meta.require_list().ok());
        let first = message.and_then(|list| list.tokens.clone().into_iter().next());
        let text: syn::LitStr =
            syn::parse_str(&first.expect("each has a message").to_string()).expect("that begins with a text");
        let advice = text.value().split_once("; ").map(|(_, advice)| advice.replace(", {}", ""));
        let advice = advice.unwrap_or_else(|| "what its message says".to_owned());
        assert!(!advice.contains('{'), "{}: {advice}", variant.ident);
        let _ = writeln!(out, "| `{}` | {meaning} | {advice} |", variant.ident);
    }
    out
}

fn options() -> Options {
    let identity = Identity { cluster: [0xC1; 16], node: [0x0D; 16] };
    Options { segment_bytes: 16 * 1024, ..Options::new(identity, 7) }
}

const G: Group = Group(0);

fn entry(index: u64, term: u64, bytes: usize) -> Op {
    let body = (0..bytes).map(|at| 33 + ((at as u64 * 7 + index * 31) % 90) as u8).collect();
    Op::Entry { group: G, index, term, body }
}

fn put(log: &mut FakeLog, ops: &[Op]) {
    log.append(ops).expect("it fits");
    log.sync().expect("a fake disk syncs");
}

/// Bytes as they are shown.
struct Dump<'a> {
    bytes: &'a [u8],
    at: usize,
    out: String,
}

impl<'a> Dump<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, out: String::from("```text\n") }
    }

    /// The next `count` bytes, 16 a line, with what they are. One byte that goes on for more than a line is counted.
    fn piece(&mut self, count: usize, what: &str) {
        let piece = &self.bytes[self.at..self.at + count];
        if count > 16 && piece.iter().all(|byte| *byte == piece[0]) {
            let run = format!("{:02x} × {count}", piece[0]);
            let _ = writeln!(self.out, "{:04x}  {run:<47}  {what}", self.at);
        } else {
            for (row, chunk) in piece.chunks(16).enumerate() {
                let hex: Vec<String> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
                let what = if row == 0 { what } else { "" };
                let line = format!("{:04x}  {:<47}  {what}", self.at + row * 16, hex.join(" "));
                let _ = writeln!(self.out, "{}", line.trim_end());
            }
        }
        self.at += count;
    }

    /// A structure, field by field. Numbers are shown as such.
    fn fields(&mut self, fields: &[Field]) {
        for field in fields {
            let bytes = &self.bytes[self.at..self.at + field.bytes];
            let secret = ["magic", "check", "salt"].contains(&field.name);
            let mut wide = [0; 8];
            let what = if field.bytes > 8 || secret {
                field.name.to_owned()
            } else {
                wide[..field.bytes].copy_from_slice(bytes);
                format!("{} {}", field.name, u64::from_le_bytes(wide))
            };
            self.piece(field.bytes, &what);
        }
    }

    fn heading(&mut self, text: &str) {
        let _ = writeln!(self.out, "                                                       ── {text}");
    }

    /// All of it: nothing may be left over.
    fn end(self) -> String {
        assert_eq!(self.at, self.bytes.len(), "the pieces are not the whole");
        self.out + "```"
    }
}

/// The log that is taken apart: a few records in the first life of a directory.
fn small_log() -> FakeDisk {
    let disk = FakeDisk::new(1 << 30);
    let mut log: FakeLog = Log::create(disk.clone(), options()).expect("an empty directory");
    let body = Bytes::from_static(b"put greeting = hello");
    put(&mut log, &[Op::Entry { group: G, index: 1, term: 1, body }]);
    put(&mut log, &[Op::HardState { group: G, term: 2, vote: 3 }]);
    let body =
        Bytes::from_static(b"put answer = 42, in just so many bytes that no head fits into what is left");
    put(&mut log, &[Op::Entry { group: G, index: 2, term: 2, body }]);
    log.mark().expect("room");
    log.sync().expect("a fake disk syncs");
    let body = Bytes::from(vec![b'x'; 400]);
    put(&mut log, &[Op::Entry { group: G, index: 3, term: 2, body }]);
    disk
}

fn segment_taken_apart() -> String {
    let bytes = small_log().content(&segment_name(1)).expect("the first segment");
    let SegmentFound::Valid(header) = SegmentHeader::read(&bytes) else { panic!("a header") };
    let mut dump = Dump::new(&bytes);
    dump.heading("header of the segment");
    dump.fields(&format::SEGMENT_FIELDS);
    dump.piece(format::SEGMENT_HEADER_BYTES - dump.at, "to the end of the sector");
    let mut kinds = BTreeSet::new();
    let mut at = dump.at as u64;
    while let Some(Look { found: Found::Record { head, .. }, body_at, end, at: here }) =
        format::look::<AsDesigned>(&bytes, header.base(), header.salt, at)
    {
        if here > at {
            dump.heading("no head fits here");
            dump.piece((here - at) as usize, "to the end of the sector");
        }
        dump.heading(&head.kind.label());
        dump.fields(&format::HEAD_FIELDS);
        for sector in 0..(body_at as usize - dump.at) / 4 {
            dump.piece(4, &format!("check of part {sector} of the body"));
        }
        match head.kind {
            Kind::Checkpoint => dump.fields(&format::BOUNDS_FIELDS),
            Kind::HardState => dump.fields(&format::HARD_STATE_FIELDS),
            Kind::Mark => {}
            Kind::Entry => {
                let length = head.length as usize;
                let first = length.min(disk::SECTOR - dump.at % disk::SECTOR);
                dump.piece(first, "body, part 0");
                if length > first {
                    dump.piece(length - first, "body, part 1");
                }
            }
            Kind::Fill | Kind::Bounds | Kind::Skip | Kind::Healed => panic!("not written here"),
        }
        if dump.at < end as usize {
            dump.piece(end as usize - dump.at, "to the next multiple of 8");
        }
        kinds.insert(head.kind);
        at = end;
    }
    assert_eq!(kinds.len(), 4);
    dump.heading("nothing was ever written here");
    dump.piece(bytes.len() - dump.at, "to the end of the segment");
    dump.end()
}

fn slot_taken_apart() -> String {
    let bytes = small_log().content(format::META_FILE).expect("the meta file");
    let slots = format::SLOT_AT.map(|at| &bytes[at as usize..][..format::SLOT_BYTES]);
    let epoch = |slot: &[u8]| match MetaSlot::read(slot) {
        SlotFound::Valid(slot) => slot.epoch,
        SlotFound::Unsupported(_) | SlotFound::Wrong => panic!("both slots are written"),
    };
    let newest = slots.into_iter().max_by_key(|slot| epoch(slot)).expect("two");
    let mut dump = Dump::new(newest);
    dump.fields(&format::META_FIELDS);
    dump.heading("a group");
    dump.fields(&format::META_GROUP_FIELDS);
    dump.piece(format::SLOT_BYTES - dump.at, "to the end of the slot");
    dump.end()
}

/// A call, and what is true after a crash behind it.
type Said = (&'static str, &'static str);

/// An operation: the calls that it makes of the disk, and what a crash between any two of them leaves.
struct Operation {
    name: &'static str,
    /// The disk before each call, and at the end.
    moments: Vec<Moment>,
    /// The calls, and what is to be said of a crash behind each. The first is of a crash before all of them.
    said: &'static [Said],
}

impl Operation {
    fn of(name: &'static str, disk: &FakeDisk, said: &'static [Said], operate: impl FnOnce()) -> Self {
        disk.record(true);
        operate();
        disk.record(false);
        let mut moments = disk.take_moments();
        moments.push(disk.moment("the end"));
        Self { name, moments, said }
    }

    /// Each call, and the disks that a crash behind it meets. Writes that go on where the one before ended are one call.
    fn steps(&self) -> Vec<(String, Vec<&FakeDisk>)> {
        let write = |call: &str| {
            let (file, range) = call.strip_prefix("write ")?.split_once(' ')?;
            let (at, count) = range.split_once('+')?;
            let (at, count): (u64, u64) = (at.parse().ok()?, count.parse().ok()?);
            Some((file.to_owned(), at, at + count))
        };
        let mut steps = vec![("nothing yet".to_owned(), vec![&self.moments[0].state])];
        let mut begun: Option<(String, u64, u64)> = None;
        for pair in self.moments.windows(2) {
            let (call, behind) = (&pair[0].before, &pair[1].state);
            let this = write(call);
            match (&mut begun, &this) {
                (Some((file, from, end)), Some((other, at, to))) if file == other && end == at => {
                    let step = steps.last_mut().expect("begun before");
                    step.0 = format!("write {file} {from}+{}, in pieces", to - *from);
                    step.1.push(behind);
                    *end = *to;
                }
                _ => {
                    steps.push((call.clone(), vec![behind]));
                    begun = this;
                }
            }
        }
        steps
    }

    fn table(&self) -> String {
        let mut out = String::from("| call | a crash behind it opens as | because |\n|---|---|---|\n");
        let steps = self.steps();
        let calls: Vec<&str> = steps.iter().map(|(call, _)| call.as_str()).collect();
        let known: Vec<&str> = self.said.iter().map(|(call, _)| *call).collect();
        let found: Vec<String> = steps.iter().map(|(_, disks)| opened(disks)).collect();
        assert_eq!(calls, known, "{}: other calls than the page speaks of", self.name);
        for ((call, why), found) in self.said.iter().zip(found) {
            let call = if *call == "nothing yet" { (*call).to_owned() } else { format!("`{call}`") };
            let _ = writeln!(out, "| {call} | {found} | {why} |");
        }
        out
    }
}

/// What an open finds on each of these disks after a power cut, whatever that keeps of what is not synced, and after the
/// end of the process.
fn opened(disks: &[&FakeDisk]) -> String {
    let (mut images, mut found) = (BTreeSet::new(), BTreeSet::new());
    for disk in disks {
        let cells = disk.unsynced();
        let count: usize = cells.iter().map(|cell| cell.versions).product();
        assert!(count <= 1 << 12, "too many crashes: {count}");
        let cuts = (0..count).map(|number| {
            let mut rest = number;
            let choice = cells.iter().map(|cell| {
                let version = rest % cell.versions;
                rest /= cell.versions;
                version
            });
            disk.after_power_cut(&choice.collect::<Vec<_>>())
        });
        for image in cuts.chain([disk.after_kill()]) {
            if images.insert(image.hash()) {
                found.insert(outcome(image));
            }
        }
    }
    found.into_iter().collect::<Vec<_>>().join("; ")
}

fn outcome(image: FakeDisk) -> String {
    let (log, recovery) = match Log::<FakeDisk>::open(image, options()) {
        Ok(opened) => opened,
        Err(OpenError::NoLog { .. }) => return "`NoLog`".to_owned(),
        Err(error) => panic!("no crash may lead to this: {error}"),
    };
    let mut out = match recovery.ending {
        Ending::Clean => "clean".to_owned(),
        Ending::Torn => "torn".to_owned(),
        Ending::Damaged if recovery.healed => "damaged and healed".to_owned(),
        Ending::Damaged => "damaged".to_owned(),
    };
    match log.bounds(G) {
        Some(bounds) if bounds.first <= bounds.last => {
            let _ = write!(out, ", {}–{}", bounds.first, bounds.last);
        }
        Some(_) | None => out.push_str(", empty"),
    }
    for hole in log.holes(G) {
        let _ = write!(out, ", hole {}", hole.first);
    }
    if log.hard_state(G).term > 0 {
        let _ = write!(out, ", term {}", log.hard_state(G).term);
    }
    out
}

fn new_log() -> (FakeDisk, FakeLog) {
    let disk = FakeDisk::new(1 << 30);
    let mut log = Log::create(disk.clone(), options()).expect("an empty directory");
    put(&mut log, &[entry(1, 1, 100), entry(2, 1, 100), entry(3, 1, 100)]);
    (disk, log)
}

fn settled(disk: &FakeDisk) -> FakeDisk {
    disk.after_power_cut(&vec![0; disk.unsynced().len()])
}

fn operations() -> Vec<Operation> {
    vec![making(), appending(), hard_state(), preparing(), rotating(), trimming(), opening(), healing()]
}

fn making() -> Operation {
    let disk = FakeDisk::new(1 << 30);
    Operation::of("making a log", &disk, &MAKING, || {
        drop(Log::<FakeDisk>::create(disk.clone(), options()).expect("an empty directory"));
    })
}

fn appending() -> Operation {
    let (disk, mut log) = new_log();
    Operation::of("appending", &disk, &APPENDING, || put(&mut log, &[entry(4, 1, 1200)]))
}

fn hard_state() -> Operation {
    let (disk, mut log) = new_log();
    let vote = Op::HardState { group: G, term: 2, vote: 3 };
    Operation::of("a hard state", &disk, &HARD_STATE, || put(&mut log, &[vote]))
}

fn preparing() -> Operation {
    let (disk, mut log) = new_log();
    Operation::of("preparing a segment", &disk, &PREPARING, || {
        let preparation = log.wants_prepared().expect("none is prepared");
        log.add_prepared(preparation.run::<AsDesigned>().expect("room"));
    })
}

fn rotating() -> Operation {
    let (disk, mut log) = new_log();
    log.prepare().expect("room");
    put(&mut log, &[entry(4, 1, 7000), entry(5, 1, 7000)]);
    // The first of these still fits, and the second does not.
    Operation::of("rotation", &disk, &ROTATING, || put(&mut log, &[entry(6, 1, 100), entry(7, 1, 1000)]))
}

fn trimming() -> Operation {
    let (disk, mut log) = new_log();
    log.prepare().expect("room");
    for index in 4..=9 {
        put(&mut log, &[entry(index, 1, 6000)]);
    }
    Operation::of("a trim", &disk, &TRIMMING, || put(&mut log, &[Op::Trim { group: G, first: 8 }]))
}

fn opening() -> Operation {
    let (disk, mut log) = new_log();
    log.prepare().expect("room");
    log.append(&[entry(4, 1, 1200)]).expect("it fits");
    // The first sector of what was being written did not reach the disk, and the others did.
    let cells = disk.unsynced();
    let choice: Vec<usize> =
        cells.iter().enumerate().map(|(at, cell)| if at == 0 { 0 } else { cell.versions - 1 }).collect();
    let disk = disk.after_power_cut(&choice);
    Operation::of("opening after a cut", &disk, &OPENING, || {
        drop(Log::<FakeDisk>::open(disk.clone(), options()).expect("a log"));
    })
}

fn healing() -> Operation {
    let (disk, log) = new_log();
    drop(log);
    let disk = settled(&disk);
    let bytes = disk.content(&segment_name(1)).expect("the first segment");
    let Op::Entry { body, .. } = entry(2, 1, 100) else { panic!("an entry") };
    let at = bytes.windows(100).position(|bytes| bytes == body).expect("it stands there");
    disk.flip_bit(&segment_name(1), at as u64 * 8);
    let (mut log, recovery) = Log::<FakeDisk>::open(disk.clone(), options()).expect("a log");
    assert_eq!(recovery.ending, Ending::Damaged);
    Operation::of("healing", &disk, &HEALING, || {
        put(&mut log, &[Op::Fill { group: G, index: 2, term: 1, body }]);
        put(&mut log, &[Op::Heal { whole: Vec::new() }]);
    })
}

const MAKING: [Said; 19] = [
    ("nothing yet", "There is nothing."),
    ("create meta.new", "Nobody looks at a temporary name; the next attempt removes the file."),
    ("allocate meta.new 12288", "As before."),
    (
        "write meta.new 0+4096",
        "As before. The slot has epoch 1 and `synced_upto` 0: a log that is being made.",
    ),
    ("sync meta.new", "As before: the content is durable, and the name is not `meta` yet."),
    (
        "rename meta.new to meta",
        "Either name may be the durable one. Under `meta` the log is known to be unmade, and `open` makes it.",
    ),
    (
        "sync the directory",
        "Unmade: one slot of epoch 1, the other zero, and no whole first checkpoint. `open` makes it.",
    ),
    ("unlink 0000000000000001.seg.new", "Unmade. This removes what an earlier attempt may have left."),
    ("create 0000000000000001.seg.new", "Unmade; a file under a temporary name is removed."),
    ("allocate 0000000000000001.seg.new 16384", "As before."),
    ("write 0000000000000001.seg.new 0+16384, in pieces", "As before."),
    ("write 0000000000000001.seg.new 0+512", "As before."),
    ("sync 0000000000000001.seg.new", "As before."),
    (
        "rename 0000000000000001.seg.new to 0000000000000001.seg",
        "Unmade under either name: the segment has no checkpoint.",
    ),
    ("sync the directory", "Unmade: the segment is there and has no checkpoint."),
    (
        "write 0000000000000001.seg 512+112",
        "With a whole checkpoint the log is made; without, `open` makes it. Nothing was accepted yet.",
    ),
    (
        "sync 0000000000000001.seg",
        "The checkpoint is durable: the log is made. `open` writes the other slot.",
    ),
    ("write meta 8192+4096", "The slot may be torn; the first one and the checkpoint say enough."),
    ("sync meta", "Both slots are written, and `create` returns."),
];

const APPENDING: [Said; 3] = [
    ("nothing yet", "Entries 1 to 3 were reported durable."),
    (
        "write 0000000000000001.seg 1200+1288",
        "Nobody was told of entry 4: it is there, or not, or in parts, which are cut.",
    ),
    ("sync 0000000000000001.seg", "The sync has returned. Only now is entry 4 reported durable."),
];

const HARD_STATE: [Said; 5] = [
    ("nothing yet", "There was no vote in this group."),
    ("write 0000000000000001.seg 1200+96", "Nobody was told of the vote: no message of term 2 has left."),
    ("sync 0000000000000001.seg", "One copy is durable. `open` writes the other one."),
    ("write meta 0+4096", "The slot may be torn; the other slot is whole, and the record has the vote."),
    ("sync meta", "Both copies are durable, and `sync` returns: messages of term 2 may leave."),
];

const PREPARING: [Said; 9] = [
    ("nothing yet", "Nothing is prepared."),
    ("unlink 0000000000000002.seg.new", "This removes what an earlier attempt may have left."),
    ("create 0000000000000002.seg.new", "Nobody looks at a temporary name; `open` removes the file."),
    (
        "allocate 0000000000000002.seg.new 16384",
        "As before. A full disk shows here, and nothing that was accepted is touched.",
    ),
    ("write 0000000000000002.seg.new 0+16384, in pieces", "As before."),
    ("write 0000000000000002.seg.new 0+512", "As before."),
    ("sync 0000000000000002.seg.new", "As before: whole, and under a temporary name still."),
    (
        "rename 0000000000000002.seg.new to 0000000000000002.seg",
        "Under either name, or none. Under the new one it is whole: zeros and header are durable.",
    ),
    ("sync the directory", "The segment is prepared: only now may the log go on in it."),
];

const ROTATING: [Said; 7] = [
    ("nothing yet", "Entries 1 to 5 are durable, and segments 2 and 3 are prepared."),
    ("write 0000000000000001.seg 16080+176", "Entry 6 is the last that fits. Nobody was told of it."),
    (
        "sync 0000000000000001.seg",
        "Segment 1 is durable to its end before anything says that segment 2 was begun.",
    ),
    ("write meta 0+4096", "The slot may be torn; then the other one holds."),
    (
        "sync meta",
        "The slot names 2 as the active segment. It is zero, and nothing says that it was more: row A.",
    ),
    (
        "write 0000000000000002.seg 512+1280",
        "The checkpoint and entry 7. Where one of them is missing in part, it is cut.",
    ),
    ("sync 0000000000000002.seg", "Entries 6 and 7 are reported durable."),
];

const TRIMMING: [Said; 8] = [
    ("nothing yet", "Entries 1 to 9 stand in three segments, 8 and 9 in the last one."),
    (
        "write 0000000000000003.seg 13360+192",
        "The bounds record is there or not. Every name is still there, so either is whole.",
    ),
    ("sync 0000000000000003.seg", "The record is durable: segments 1 and 2 are dead."),
    ("write meta 0+4096", "The slot may be torn; then the other one holds, and the record says the same."),
    ("sync meta", "Both say so: now names may go."),
    (
        "unlink 0000000000000001.seg",
        "What is below the first live segment is ignored, and `open` removes it.",
    ),
    ("unlink 0000000000000002.seg", "Names may go in any order: segment 1 may be there when 2 is gone."),
    ("sync the directory", "The names are gone."),
];

const OPENING: [Said; 20] = [
    ("nothing yet", "The first sector of entry 4 is missing, and later ones are there: row B."),
    ("sync meta", "What is visible is made durable before it is believed."),
    ("sync 0000000000000001.seg", "As before."),
    ("sync 0000000000000002.seg", "As before."),
    ("sync 0000000000000003.seg", "As before."),
    ("sync the directory", "As before. Now the scan runs; a directory that is refused is as it was."),
    (
        "rename 0000000000000003.seg to 0000000000000003.seg.new",
        "A prepared segment gets its name anew. Under the temporary one the next open removes it.",
    ),
    (
        "sync the directory",
        "From the last to the first: a gap in the numbers always means a missing segment.",
    ),
    ("rename 0000000000000002.seg to 0000000000000002.seg.new", "As before."),
    ("sync the directory", "Nothing is prepared now; the next open would prepare a segment."),
    ("rename 0000000000000002.seg.new to 0000000000000002.seg", "Under either name, or none."),
    ("sync the directory", "Segment 2 is prepared, and its name is on the disk for certain."),
    ("rename 0000000000000003.seg.new to 0000000000000003.seg", "Under either name, or none."),
    ("sync the directory", "Segment 3 as well."),
    ("write meta 0+4096", "The slot may be torn; then the other one holds."),
    (
        "sync meta",
        "The slot names 2 as the active segment. It is zero, so the tail in segment 1 is cut again.",
    ),
    (
        "write 0000000000000002.seg 512+192",
        "A whole checkpoint says that segment 1 ends behind entry 3. Without it the tail is cut again.",
    ),
    ("sync 0000000000000002.seg", "The cut is durable, and nothing of entry 4 is ever read again."),
    ("write meta 8192+4096", "The slots that were found knew no group yet; now both do."),
    ("sync meta", "`open` returns."),
];

const HEALING: [Said; 5] = [
    ("nothing yet", "Entry 2 is damaged, and a hole. An earlier open has begun segment 2."),
    (
        "write 0000000000000002.seg 704+176",
        "With the fill nothing is missing, and the next open heals the damage itself.",
    ),
    ("sync 0000000000000002.seg", "The leader's entry is durable."),
    (
        "write 0000000000000002.seg 880+208",
        "With the healed record the damage is over; without it, `open` writes another.",
    ),
    ("sync 0000000000000002.seg", "The healed record is durable: no later open finds damage."),
];
