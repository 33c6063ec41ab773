//! The list of damages, and the logs that they are done to.

use holdfast_wal::Variant;
use holdfast_wal::disk::{Call, FakeDisk, Fault, Injection};
use holdfast_wal::format::{META_FILE, SLOT_AT};
use holdfast_wal::{Identity, segment_name, segment_number};

use super::damage::{Refusal, Subject};
use super::drive::drive;
use super::judge::{SEGMENT, options};
use super::script::{Fill as Body, Script, Step};
use super::tally::Tally;

const SECTOR: u64 = 512;
const SECTORS: u64 = SEGMENT / SECTOR;

/// A kind of damage, done in all its ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A segment is zero from each offset on.
    Truncation,
    /// A file has each smaller length.
    Length,
    /// Each bit of the last two segments that hold records, and each bit of the meta file.
    Flip,
    /// Each pair of sectors of all segments has changed places.
    Swap,
    /// Each sector stands also in the place of each other.
    Copy,
    /// Each sector is zero, or cannot be read.
    Sector,
    /// Each sector is as it was at any moment before.
    Stale,
    /// Each write that led here was lost, or went elsewhere; each sync did nothing.
    Write,
    /// A whole file is stale, missing, renamed, of another node, or one too many.
    File,
    /// Each sector is damaged, and one of the slots of the meta file too.
    Meta,
    /// A sector is damaged, and the power is cut while it is repaired.
    Repair,
}

impl Kind {
    /// What it is called in the report.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Truncation => "truncations",
            Self::Length => "file-lengths",
            Self::Flip => "bit-flips",
            Self::Swap => "sector-swaps",
            Self::Copy => "sector-copies",
            Self::Sector => "sectors",
            Self::Stale => "stale-sectors",
            Self::Write => "lost-and-misdirected",
            Self::File => "files",
            Self::Meta => "sector-and-slot",
            Self::Repair => "crashes-in-repair",
        }
    }
}

/// All kinds, the quick ones first.
pub const KINDS: [Kind; 11] = [
    Kind::Sector,
    Kind::File,
    Kind::Meta,
    Kind::Write,
    Kind::Repair,
    Kind::Stale,
    Kind::Copy,
    Kind::Swap,
    Kind::Length,
    Kind::Truncation,
    Kind::Flip,
];

/// The logs that are damaged.
#[must_use]
pub fn subjects() -> Vec<Script> {
    vec![several_segments(), one_segment(), votes()]
}

/// Several segments, and a mark at the end.
fn several_segments() -> Script {
    let script =
        Script::new("three-segments").then(Step::Prepare).hard(0, 1, 1).add(0, 1, &[300, 20, 900]).sync();
    let script = script.add(1, 1, &[700, 0, 440]).conflict(0, 2, 2, &[300, 60, 500]).sync();
    let script =
        script.add(2, 1, &[100, 100]).conflict(0, 4, 3, &[40]).add(0, 3, &[2500]).hard(1, 2, 3).sync();
    let script = script.filled(Body::Zeros, 1, 2, &[700, 3]).filled(Body::Records, 1, 2, &[300]).sync();
    let script = script.filled(Body::Patches, 2, 2, &[1900]).add(0, 3, &[400; 8]).sync().then(Step::Prepare);
    let script =
        script.add(0, 3, &[1000; 5]).add(1, 3, &[250; 4]).sync().conflict(1, 8, 4, &[100, 900]).sync();
    let script = script.reset(2, 20, 3).hard(2, 4, 1).sync().add(2, 3, &[60, 700]).sync().then(Step::Prepare);
    let script =
        script.add(1, 4, &[1200; 5]).trim(1, 3).sync().add(0, 3, &[1500; 4]).sync().then(Step::Prepare);
    let script = script.add(0, 5, &[300; 4]).conflict(0, 20, 6, &[200, 500]).sync().hard(0, 7, 2).sync();
    script.add(1, 5, &[600, 1, 100]).sync().add(2, 4, &[437]).sync().then(Step::Mark).sync()
}

/// One segment, and nothing behind the last batch.
fn one_segment() -> Script {
    let script =
        Script::new("no-mark").hard(0, 1, 1).add(0, 1, &[300, 500]).sync().add(1, 1, &[200, 900]).sync();
    let script = script.conflict(0, 2, 2, &[700]).sync().conflict(0, 2, 3, &[60, 300]).hard(1, 3, 1).sync();
    script.add(0, 3, &[436, 2, 2300]).sync().add(1, 3, &[600]).sync()
}

/// Sectors that are records from end to end.
fn votes() -> Script {
    let script =
        Script::new("whole-sectors").add(0, 1, &[100, 50]).add(1, 1, &[50, 60]).sync().then(Step::Align);
    let script = (1..=5).fold(script, |script, term| script.hard(0, term, 1)).sync().then(Step::Align);
    let script = script.add(0, 2, &[436]).sync().add(0, 2, &[436]).add(1, 2, &[436]).sync().then(Step::Align);
    let script = script.add(0, 3, &[436]).sync().add(2, 3, &[436]).hard(1, 7, 1).sync();
    script.add(0, 3, &[200]).sync().then(Step::Mark).sync()
}

/// Segments of a log that hold records, and those that are prepared.
fn segments(disk: &FakeDisk) -> (Vec<u64>, Vec<u64>) {
    let numbers: Vec<u64> = disk.names().iter().filter_map(|name| segment_number(name)).collect();
    let used = |number: &u64| {
        let content = disk.content(&segment_name(*number)).unwrap_or_default();
        content.iter().skip(SECTOR as usize).any(|byte| *byte != 0)
    };
    numbers.into_iter().partition(used)
}

/// Does one kind of damage in all its ways, or in a part of them.
#[derive(Debug)]
pub struct Damager<'a> {
    /// What it is done to.
    pub subject: &'a Subject,
    /// What led to it.
    pub script: &'a Script,
    /// Ways whose number leaves this...
    pub part: u64,
    /// ...when divided by this.
    pub parts: u64,
    /// One in so many is done at all.
    pub sparse: u64,
    count: u64,
    /// What was counted.
    pub tally: Tally,
}

impl<'a> Damager<'a> {
    /// Of a finished log.
    #[must_use]
    pub fn new(subject: &'a Subject, script: &'a Script, (part, parts): (u64, u64), sparse: u64) -> Self {
        Self { subject, script, part, parts, sparse, count: 0, tally: Tally::default() }
    }

    /// Whether the next way is one of this part.
    fn mine(&mut self) -> bool {
        self.count += 1;
        let place = self.count - 1;
        place.is_multiple_of(self.sparse)
            && place / self.sparse % self.parts == self.part
            && self.tally.goes_on()
    }

    /// One way: a copy of the log is damaged and judged.
    fn one<V: Variant>(
        &mut self,
        (refusal, deep): (Refusal, bool),
        harm: impl FnOnce(&FakeDisk),
        story: impl Fn() -> String,
    ) {
        if self.mine() {
            let image = self.subject.disk.after_kill();
            harm(&image);
            self.subject.damaged::<V>(&image, refusal, deep, &mut self.tally, &story);
        }
    }

    /// Does one kind of damage.
    pub fn run<V: Variant>(&mut self, kind: Kind) {
        match kind {
            Kind::Truncation => self.truncations::<V>(),
            Kind::Length => self.lengths::<V>(),
            Kind::Flip => self.flips::<V>(),
            Kind::Swap => self.swaps::<V>(),
            Kind::Copy => self.copies::<V>(),
            Kind::Sector => self.sectors::<V>(),
            Kind::Stale => self.stale::<V>(),
            Kind::Write => self.writes::<V>(),
            Kind::File => self.files::<V>(),
            Kind::Meta => self.with_meta::<V>(),
            Kind::Repair => self.repairs::<V>(),
        }
    }

    /// The files in which records or slots stand, with their sectors.
    fn places(&self) -> Vec<(String, u64)> {
        let used = segments(&self.subject.disk).0;
        used.iter().flat_map(|number| (0..SECTORS).map(|sector| (segment_name(*number), sector))).collect()
    }

    fn truncations<V: Variant>(&mut self) {
        for number in segments(&self.subject.disk).0 {
            let name = segment_name(number);
            for offset in 0..SEGMENT {
                let zeros = vec![0; (SEGMENT - offset) as usize];
                self.one::<V>(
                    (Refusal::Unsupported, offset.is_multiple_of(64)),
                    |image| image.overwrite(&name, offset, &zeros),
                    || format!("{name} zero from {offset} on"),
                );
            }
        }
    }

    fn lengths<V: Variant>(&mut self) {
        let mut names: Vec<String> = segments(&self.subject.disk).0.into_iter().map(segment_name).collect();
        names.push(META_FILE.to_owned());
        for name in names {
            let whole = self.subject.disk.content(&name).map_or(0, |content| content.len() as u64);
            for length in (0..whole).chain(whole + 1..whole + 9) {
                self.one::<V>(
                    (Refusal::Typed, false),
                    |image| image.set_length(&name, length),
                    || format!("{name} has {length} bytes"),
                );
            }
        }
    }

    fn flips<V: Variant>(&mut self) {
        let used = segments(&self.subject.disk).0;
        let mut names: Vec<String> = used.iter().rev().take(2).map(|number| segment_name(*number)).collect();
        if used.len() > 1 {
            // Once is enough: the slots of the other logs are no different.
            names.push(META_FILE.to_owned());
        }
        for name in names {
            let bits = self.subject.disk.content(&name).map_or(0, |content| content.len() as u64 * 8);
            for bit in 0..bits {
                self.one::<V>(
                    (Refusal::Unsupported, bit % 101 == 0),
                    |image| image.flip_bit(&name, bit),
                    || format!("{name}, bit {} of byte {} flipped", bit % 8, bit / 8),
                );
            }
        }
    }

    fn swaps<V: Variant>(&mut self) {
        let places = self.places();
        for (at, (name, sector)) in places.iter().enumerate() {
            for (name2, sector2) in &places[..at] {
                self.one::<V>(
                    (Refusal::Typed, at % 3 == 0),
                    |image| image.swap_sectors(name, *sector, name2, *sector2),
                    || format!("sector {sector} of {name} and sector {sector2} of {name2} swapped"),
                );
            }
        }
    }

    fn copies<V: Variant>(&mut self) {
        let places = self.places();
        for (name, sector) in &places {
            let content = self.subject.disk.content(name).unwrap_or_default();
            let bytes = &content[(sector * SECTOR) as usize..][..SECTOR as usize];
            for (name2, sector2) in places.iter().filter(|other| **other != (name.clone(), *sector)) {
                self.one::<V>(
                    (Refusal::Typed, sector % 4 == 0),
                    |image| image.overwrite(name2, sector2 * SECTOR, bytes),
                    || format!("sector {sector} of {name} stands also at sector {sector2} of {name2}"),
                );
            }
        }
    }

    /// All sectors that hold anything, of segments and slots.
    fn all_places(&self) -> Vec<(String, u64)> {
        let mut places = self.places();
        for number in segments(&self.subject.disk).1 {
            places.push((segment_name(number), 0));
            places.push((segment_name(number), 1));
        }
        places.extend((0..24).map(|sector| (META_FILE.to_owned(), sector)));
        places
    }

    fn sectors<V: Variant>(&mut self) {
        for (name, sector) in self.all_places() {
            for harm in [Spoil::Zero, Spoil::Unreadable, Spoil::Ones] {
                self.one::<V>(
                    (Refusal::Unsupported, true),
                    |image| harm.apply(image, &name, sector),
                    || format!("sector {sector} of {name}: {harm:?}"),
                );
            }
        }
    }

    fn stale<V: Variant>(&mut self) {
        for (name, sector) in self.all_places() {
            let place = (sector * SECTOR) as usize;
            let mut seen =
                vec![self.subject.disk.content(&name).unwrap_or_default()[place..][..512].to_vec()];
            for (at, moment) in self.subject.moments.iter().enumerate() {
                let Some(content) = moment.state.content(&name) else { continue };
                let Some(old) = content.get(place..place + 512).map(<[u8]>::to_vec) else { continue };
                if seen.contains(&old) {
                    continue;
                }
                self.one::<V>(
                    (Refusal::Unsupported, true),
                    |image| image.overwrite(&name, sector * SECTOR, &old),
                    || format!("sector {sector} of {name} as before moment {at}"),
                );
                seen.push(old);
            }
        }
    }

    fn writes<V: Variant>(&mut self) {
        let misdirected = |number: u64, sector| Fault::Misdirect { name: segment_name(number), sector };
        let mut faults =
            vec![(Call::Write, Fault::Lose), (Call::Sync, Fault::Lose), (Call::SyncDirectory, Fault::Lose)];
        for number in segments(&self.subject.disk).0 {
            faults.extend([1, 3, 8, 15, 31].map(|sector| (Call::Write, misdirected(number, sector))));
        }
        for (call, fault) in faults {
            for skip in 0.. {
                let injection = Injection { call, skip, fault: fault.clone() };
                let run = drive::<V>(self.script, &[injection], false);
                if !run.disk.pending().is_empty() || !self.tally.goes_on() {
                    break;
                }
                if !self.mine() || run.wrong.is_some() || run.stopped.is_some() {
                    // The log noticed while it ran.
                    continue;
                }
                drop(run.log);
                let image = run.disk.after_power_cut(&vec![0; run.disk.unsynced().len()]);
                let story = || format!("{call:?} number {skip}: {fault:?}");
                self.subject.damaged::<V>(&image, Refusal::Typed, true, &mut self.tally, &story);
            }
        }
    }

    fn files<V: Variant>(&mut self) {
        let disk = self.subject.disk.after_kill();
        let (used, spare) = segments(&disk);
        let mut names: Vec<String> = used.iter().chain(&spare).map(|number| segment_name(*number)).collect();
        names.push(META_FILE.to_owned());
        let how = (Refusal::Typed, true);
        for name in &names {
            self.one::<V>(how, |image| image.remove_file(name), || format!("{name} is missing"));
            let mut before = None;
            for (at, moment) in self.subject.moments.iter().enumerate() {
                let content = moment.state.content(name);
                if content.is_none() || content == before {
                    continue;
                }
                before = content;
                self.one::<V>(
                    how,
                    |image| image.restore_file(name, &moment.state),
                    || format!("{name} as before moment {at}"),
                );
            }
            for other in names.iter().filter(|other| *other != name) {
                let copy = |image: &FakeDisk| image.copy_file(name, other);
                self.one::<V>(how, copy, || format!("{name} stands also under the name {other}"));
                self.one::<V>(
                    how,
                    |image| image.rename_file(name, other),
                    || format!("{name} is named {other}"),
                );
                let swap = |image: &FakeDisk| {
                    image.rename_file(name, "aside");
                    image.rename_file(other, name);
                    image.rename_file("aside", other);
                };
                self.one::<V>(how, swap, || format!("{name} and {other} have changed names"));
            }
            for number in [99, used[used.len() - 1] + spare.len() as u64 + 1] {
                let extra = segment_name(number);
                let copy = |image: &FakeDisk| image.copy_file(name, &extra);
                self.one::<V>(how, copy, || format!("a copy of {name} is named {extra}"));
            }
        }
        let script = Script::new("foreign").then(Step::Prepare).add(0, 1, &[1500; 30]).sync();
        let mut strange = options(77);
        strange.identity = Identity { node: *b"some-other-node!", ..strange.identity };
        let other = foreign::<V>(&script, strange);
        for name in &names {
            let restore = |image: &FakeDisk| {
                if other.content(name).is_some() {
                    image.restore_file(name, &other);
                }
            };
            self.one::<V>(how, restore, || format!("{name} is of another node"));
        }
    }

    fn with_meta<V: Variant>(&mut self) {
        for (name, sector) in self.places() {
            for slot in SLOT_AT {
                let both = |image: &FakeDisk| {
                    Spoil::Ones.apply(image, &name, sector);
                    image.overwrite(META_FILE, slot, &[0x55; 512]);
                };
                self.one::<V>((Refusal::Typed, true), both, || {
                    format!("sector {sector} of {name} and the slot at {slot} overwritten")
                });
            }
        }
    }

    fn repairs<V: Variant>(&mut self) {
        for (name, sector) in self.places() {
            for harm in [Spoil::Zero, Spoil::Ones] {
                if self.mine() {
                    let image = self.subject.disk.after_kill();
                    harm.apply(&image, &name, sector);
                    let story = || format!("sector {sector} of {name}: {harm:?}");
                    self.subject.repaired::<V>(&image, &mut self.tally, &story);
                }
            }
        }
    }
}

/// What is done to a sector.
#[derive(Clone, Copy, Debug)]
enum Spoil {
    Zero,
    Unreadable,
    Ones,
}

impl Spoil {
    fn apply(self, image: &FakeDisk, name: &str, sector: u64) {
        match self {
            Self::Zero => image.overwrite(name, sector * SECTOR, &[0; SECTOR as usize]),
            Self::Unreadable => image.make_unreadable(name, sector),
            Self::Ones => image.overwrite(name, sector * SECTOR, &[0x55; SECTOR as usize]),
        }
    }
}

/// A log of another node, of as many segments.
fn foreign<V: Variant>(script: &Script, options: holdfast_wal::Options) -> FakeDisk {
    let disk = FakeDisk::new(script.capacity);
    if let Ok(mut log) = holdfast_wal::Log::<FakeDisk, V>::create(disk.clone(), options) {
        for step in &script.steps {
            if let Step::Append(ops) = step {
                // Whether it worked is seen by what stands on the disk.
                let _ = log.append(ops).map(|_| log.sync());
            }
        }
    }
    disk.after_kill()
}
