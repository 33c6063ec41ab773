//! The atlas of storage faults: a cluster at rest, and each damage that a disk can do to it, one world for each.
//!
//! # Why whole nodes
//! The simulator of the log proves that damage is found. What a node then does with what it lacks is decided by the core, the
//! store of snapshots, the audit log and the identity file together; here they start on the damaged directories of a real
//! load, beside members that are whole.
//!
//! # What is expected
//! - **One member, one place of a file**: it comes back by itself with what the others have, or says that its votes do not count
//!   any more, and is to be replaced. The others go on without it.
//! - **One member, whole files** that are missing, swapped, cut or of somebody else: the same, or it refuses to start with an error
//!   that names the reason.
//! - **Minority, helical**: two of five, each with other ranges gone: all come back.
//! - **Beyond quorum**: the same ranges at a majority, or ranges at everybody: whatever comes, it is not a state that lacks
//!   something acknowledged. Standing still is right, and is counted. There is one exception, which is counted as well: the
//!   *end* of the log is zero at a majority. That is how a log looks in which it was never written, and nothing on these
//!   disks says otherwise; a disk that forgets what it had synced is beyond what a quorum of such disks can tell.
//!
//! In all of them the [`Ghost`] of the load goes on: every entry, every state and every read is held against
//! what was true before. An alarm about an old copy of a directory is an answer, too.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use holdfast_raft::{NodeId, NodeUuid};
use holdfast_server::audit::AuditPolicy;
use holdfast_server::node::SnapshotPolicy;
use holdfast_wal::disk::FakeDisk;

use super::Micros;
use super::ghost::Ghost;
use super::machine::{Disks, Origin};
use super::probes::Probe;
use super::swarm::{MS, SECOND, Swarm};
use super::topologies::calm;
use super::world::World;
use crate::history::Answer;
use crate::raft::rng::{Rng, mix};

/// Bytes of a sector.
const SECTOR: usize = 512;

/// A world is looked at this often.
const LOOK: Micros = 20 * MS;

/// Within this everything that can be repaired is repaired.
const TO_REPAIR: Micros = 15 * SECOND;

/// For this long it goes on when it is.
const AFTERWARDS: Micros = 500 * MS;

/// Which of the directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The data directory with the identity file.
    Data,
    /// The log.
    Wal,
    /// The snapshots.
    Snapshots,
    /// The audit log.
    Audit,
}

/// All of them.
pub const PARTS: [Part; 4] = [Part::Data, Part::Wal, Part::Snapshots, Part::Audit];

impl Part {
    fn of(self, disks: &Disks) -> &FakeDisk {
        match self {
            Self::Data => &disks.data,
            Self::Wal => &disks.wal,
            Self::Snapshots => &disks.snapshots,
            Self::Audit => &disks.audit,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Data => "identity",
            Self::Wal => "wal",
            Self::Snapshots => "snapshots",
            Self::Audit => "audit",
        }
    }
}

/// What happens to a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// One bit of a sector is the other.
    Flip(Part, String, u64),
    /// A sector is zero.
    Zero(Part, String, u64),
    /// A sector cannot be read.
    Unreadable(Part, String, u64),
    /// A sector is as it was earlier.
    StaleSector(Part, String, u64),
    /// A file is gone.
    Removed(Part, String),
    /// The second half of a file is gone.
    Halved(Part, String),
    /// A file is as it was earlier.
    StaleFile(Part, String),
    /// Two files have changed places.
    Swapped(Part, String, String),
    /// A directory is as it was earlier.
    StalePart(Part),
    /// A directory is that of another member.
    ForeignPart(Part, usize),
    /// A directory is empty.
    EmptyPart(Part),
    /// All directories are as they were earlier.
    StaleAll,
    /// All directories are those of another member.
    ForeignAll(usize),
}

impl Damage {
    /// What it is called in the report.
    fn name(&self) -> String {
        let (part, how) = match self {
            Self::Flip(part, ..) => (*part, "bit flip"),
            Self::Zero(part, ..) => (*part, "sector zero"),
            Self::Unreadable(part, ..) => (*part, "sector unreadable"),
            Self::StaleSector(part, ..) => (*part, "sector stale"),
            Self::Removed(part, _) => (*part, "file removed"),
            Self::Halved(part, _) => (*part, "file cut in half"),
            Self::StaleFile(part, _) => (*part, "file stale"),
            Self::Swapped(part, ..) => (*part, "files swapped"),
            Self::StalePart(part) => (*part, "directory stale"),
            Self::ForeignPart(part, _) => (*part, "directory of another"),
            Self::EmptyPart(part) => (*part, "directory empty"),
            Self::StaleAll => return "all directories stale".into(),
            Self::ForeignAll(_) => return "all directories of another".into(),
        };
        format!("{} {how}", part.name())
    }

    /// Whether it hits one place of a file, and not files as wholes.
    fn is_of_a_sector(&self) -> bool {
        matches!(self, Self::Flip(..) | Self::Zero(..) | Self::Unreadable(..) | Self::StaleSector(..))
    }

    /// Whether a disk that only loses and spoils cannot do it: somebody put an old copy in place.
    fn rolls_back(&self) -> bool {
        match self {
            Self::StaleFile(..) | Self::StalePart(_) | Self::StaleAll | Self::StaleSector(..) => true,
            Self::Flip(..)
            | Self::Zero(..)
            | Self::Unreadable(..)
            | Self::Removed(..)
            | Self::Halved(..)
            | Self::Swapped(..)
            | Self::ForeignPart(..)
            | Self::EmptyPart(_)
            | Self::ForeignAll(_) => false,
        }
    }
}

/// Makes a damage of a sector.
type Way = fn(Part, String, u64) -> Damage;

/// A machine at rest.
#[derive(Debug)]
struct Kept {
    id: NodeId,
    uuid: NodeUuid,
    origin: Origin,
    disks: Disks,
    /// As they were in the middle of the load, one boot before.
    earlier: Disks,
    life: u64,
    durable: BTreeMap<u64, u64>,
    covered: u64,
}

/// A cluster at rest after a load.
#[derive(Debug)]
pub struct Image {
    swarm: Swarm,
    now: Micros,
    kept: Vec<Kept>,
    ghost: Ghost,
}

/// How wide the damage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Width {
    /// One member.
    One,
    /// A minority, each with other ranges.
    Helical,
    /// A majority, or everybody.
    Beyond,
}

/// A damage, or several, to one image.
#[derive(Clone, Debug)]
pub struct Case {
    /// How wide.
    pub width: Width,
    /// What it is called in the report.
    pub name: String,
    /// What happens to which machine.
    pub damages: Vec<(usize, Damage)>,
    /// At a majority it looks as if the end of the log had never been written.
    pub forgets: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Came {
    /// Nobody noticed, and nothing was wrong.
    Unharmed,
    /// Noticed, and repaired from the others.
    Repaired,
    /// It runs, and its votes do not count any more.
    Spent,
    /// It refuses to start.
    Refused(String),
    /// An alarm says that an old copy was put in place.
    Alarmed,
    /// The cluster stands still.
    Halted,
    /// It went on without something, of which a majority of disks had lost every trace.
    Forgot,
    /// Something was not as it has to be.
    Wrong(String),
}

/// The load: puts and reads, with segments, snapshots and audit files so small that there are several of each.
fn load(seed: u64, voters: usize) -> Swarm {
    let mut swarm = calm(seed, voters);
    swarm.limits.retain_bytes = 6_000;
    swarm.segment = 16 << 10;
    swarm.snapshots = SnapshotPolicy { entries: 40, bytes_max: 0, ..SnapshotPolicy::default() };
    swarm.audit = AuditPolicy { file_bytes: 8_000, total_bytes: 1 << 40, age_ms: u64::MAX };
    (swarm.gap, swarm.verbs.delete, swarm.verbs.transact) = (30 * MS, 1, 1);
    swarm
}

/// How far the audit log of a load goes: half of it before the restart in its middle.
const LOAD: Micros = 1_500 * MS;

impl Image {
    /// The cluster that the load of this seed leaves.
    ///
    /// # Errors
    /// The load itself went wrong.
    pub fn new(seed: u64, voters: usize) -> Result<Self, String> {
        let swarm = load(seed, voters);
        let mut world: World = World::of(swarm.clone(), false);
        let go_on = |world: &mut World, time: Micros| {
            let until = world.now + time;
            world.run_until(until).map_err(|wrong| format!("{}: {}", wrong.property, wrong.what))
        };
        go_on(&mut world, SECOND + LOAD)?;
        let mut earlier = Vec::new();
        for at in 0..voters {
            world.end_process(at, false);
            earlier.push(world.machines[at].disks.each(FakeDisk::after_kill));
            world.after(100 * MS, super::world::Happening::Start(at));
        }
        go_on(&mut world, SECOND + LOAD)?;
        world.closing = true;
        go_on(&mut world, 2 * SECOND)?;
        let commit = world.ghost.commit();
        for machine in &world.machines {
            let applied = machine.process.as_ref().map_or(0, |process| process.node.store().applied().index);
            if applied + 4 < commit {
                return Err(format!("n{} has applied {applied} of {commit} after the load", machine.id));
            }
        }
        for at in 0..voters {
            world.end_process(at, false);
        }
        let kept = world.machines.iter().zip(earlier).map(|(machine, earlier)| Kept {
            id: machine.id,
            uuid: machine.uuid,
            origin: machine.origin.clone(),
            disks: machine.disks.clone(),
            earlier,
            life: machine.life,
            durable: machine.durable.clone(),
            covered: machine.covered,
        });
        Ok(Self { kept: kept.collect(), now: world.now, ghost: world.ghost.at_rest(), swarm })
    }

    /// Each sector that holds something: of which file, and which.
    fn sectors(&self, at: usize, part: Part) -> Vec<(String, u64)> {
        let disk = part.of(&self.kept[at].disks);
        let mut sectors = Vec::new();
        for name in names(disk) {
            let content = disk.content(&name).unwrap_or_default();
            let used =
                content.chunks(SECTOR).enumerate().filter(|(_, sector)| sector.iter().any(|byte| *byte != 0));
            sectors.extend(used.map(|(number, _)| (name.clone(), number as u64)));
        }
        sectors
    }

    /// All damages of one member, each alone.
    #[must_use]
    pub fn ones(&self, at: usize) -> Vec<Case> {
        let mut all = Vec::new();
        for part in PARTS {
            let (disk, earlier) = (part.of(&self.kept[at].disks), part.of(&self.kept[at].earlier));
            for (name, sector) in self.sectors(at, part) {
                all.push(Damage::Flip(part, name.clone(), sector));
                all.push(Damage::Zero(part, name.clone(), sector));
                all.push(Damage::Unreadable(part, name.clone(), sector));
                let of = |disk: &FakeDisk| {
                    let content = disk.content(&name)?;
                    content.chunks(SECTOR).nth(sector as usize).map(<[u8]>::to_vec)
                };
                let old = of(earlier).filter(|old| old.len() == SECTOR);
                if old.is_some_and(|old| Some(old) != of(disk)) {
                    all.push(Damage::StaleSector(part, name, sector));
                }
            }
            let files = names(disk);
            for (number, name) in files.iter().enumerate() {
                all.push(Damage::Removed(part, name.clone()));
                all.push(Damage::Halved(part, name.clone()));
                if earlier.content(name).is_some_and(|old| Some(old) != disk.content(name)) {
                    all.push(Damage::StaleFile(part, name.clone()));
                }
                if let Some(next) = files.get(number + 1) {
                    // Two that are equal, as the identity and its copy, do not change by that.
                    if disk.content(name) != disk.content(next) {
                        all.push(Damage::Swapped(part, name.clone(), next.clone()));
                    }
                }
            }
            let other = (at + 1) % self.kept.len();
            if disk.hash() != earlier.hash() {
                all.push(Damage::StalePart(part));
            }
            if disk.hash() != part.of(&self.kept[other].disks).hash() {
                all.push(Damage::ForeignPart(part, other));
            }
            all.push(Damage::EmptyPart(part));
        }
        all.extend([Damage::StaleAll, Damage::ForeignAll((at + 1) % self.kept.len())]);
        let case = |damage: Damage| Case {
            width: Width::One,
            name: damage.name(),
            damages: vec![(at, damage)],
            forgets: false,
        };
        all.into_iter().map(case).collect()
    }

    /// So many equal stretches of the sectors of a directory, in order; each as damages.
    fn stretches(&self, at: usize, part: Part, count: usize, how: Way) -> Vec<Vec<Damage>> {
        let sectors = self.sectors(at, part);
        let length = sectors.len().div_ceil(count).max(1);
        let stretches = sectors.chunks(length);
        stretches
            .map(|some| some.iter().map(|(name, sector)| how(part, name.clone(), *sector)).collect())
            .collect()
    }

    /// Ranges at several members.
    #[must_use]
    pub fn several(&self) -> Vec<Case> {
        let members = self.kept.len();
        let ways: [(&str, Way); 3] =
            [("zero", Damage::Zero), ("unreadable", Damage::Unreadable), ("flipped", Damage::Flip)];
        let mut cases = Vec::new();
        for part in [Part::Wal, Part::Snapshots, Part::Audit] {
            for (word, how) in ways {
                let count = 2 * members;
                let of: Vec<Vec<Vec<Damage>>> =
                    (0..members).map(|at| self.stretches(at, part, count, how)).collect();
                for shift in 0..count {
                    let stretch = |at: usize, number: usize| {
                        let damages = of[at].get(number % count).cloned().unwrap_or_default();
                        damages.into_iter().map(move |damage| (at, damage))
                    };
                    let name = |what: &str| format!("{} {what} {word}", part.name());
                    let mut add = |width: Width, what: &str, damages: Vec<(usize, Damage)>| {
                        let forgets = width == Width::Beyond && self.forgets(&damages);
                        cases.push(Case { width, name: name(what), damages, forgets });
                    };
                    let minority = (members - 1) / 2;
                    let spiral = (0..minority).flat_map(|at| stretch(at, shift + 2 * at));
                    add(Width::Helical, "other ranges at a minority:", spiral.collect());
                    let spiral = (0..members).flat_map(|at| stretch(at, shift + 2 * at));
                    add(Width::Beyond, "other ranges at everybody:", spiral.collect());
                    let same = (0..=members / 2).flat_map(|at| stretch(at, shift));
                    add(Width::Beyond, "the same range at a majority:", same.collect());
                }
            }
            let all = |at: usize| (at, Damage::EmptyPart(part));
            let name = format!("{} empty at a majority", part.name());
            let damages = (0..=members / 2).map(all).collect();
            cases.push(Case { width: Width::Beyond, name, damages, forgets: false });
        }
        cases.retain(|case| !case.damages.is_empty());
        cases
    }

    /// Whether the last sector of the log that holds anything is zero at a majority.
    fn forgets(&self, damages: &[(usize, Damage)]) -> bool {
        let ends = (0..self.kept.len()).filter(|at| {
            // Behind the end there are only segments that were made ready: a header, and nothing else.
            let last = self.sectors(*at, Part::Wal).into_iter().rfind(|(_, sector)| *sector > 0);
            let zero = last.map(|(name, sector)| (*at, Damage::Zero(Part::Wal, name, sector)));
            zero.is_some_and(|zero| damages.contains(&zero))
        });
        ends.count() > self.kept.len() / 2
    }

    /// A world that begins with the directories of this image.
    fn fork(&self) -> World {
        let mut world: World = World::of(self.swarm.clone(), false);
        for (machine, kept) in world.machines.iter_mut().zip(&self.kept) {
            debug_assert_eq!((machine.id, machine.uuid), (kept.id, kept.uuid), "the same founders");
            machine.origin = kept.origin.clone();
            machine.disks = kept.disks.each(FakeDisk::after_kill);
            machine.life = kept.life;
            machine.durable = kept.durable.clone();
            machine.covered = kept.covered;
            machine.clock.wall_ahead = (self.now / MS) as i64;
        }
        world.ghost = self.ghost.at_rest();
        world
    }

    /// Does a damage.
    fn strike(&self, world: &World, at: usize, damage: &Damage) {
        let disks = &world.machines[at].disks;
        let kept = &self.kept[at];
        match damage {
            Damage::Flip(part, name, sector) => {
                let begin = sector * SECTOR as u64;
                let length = part.of(disks).content(name).map_or(0, |content| content.len() as u64);
                let bit = mix(*sector, self.swarm.seed) % (8 * (length - begin).min(SECTOR as u64));
                part.of(disks).flip_bit(name, 8 * begin + bit);
            }
            Damage::Zero(part, name, sector) => {
                let begin = sector * SECTOR as u64;
                let length = part.of(disks).content(name).map_or(0, |content| content.len() as u64);
                let zeros = vec![0; (length - begin).min(SECTOR as u64) as usize];
                part.of(disks).overwrite(name, begin, &zeros);
            }
            Damage::Unreadable(part, name, sector) => part.of(disks).make_unreadable(name, *sector),
            Damage::StaleSector(part, name, sector) => {
                part.of(disks).restore_sector(name, *sector, part.of(&kept.earlier));
            }
            Damage::Removed(part, name) => part.of(disks).remove_file(name),
            Damage::Halved(part, name) => {
                let length = part.of(disks).content(name).map_or(0, |content| content.len() as u64);
                part.of(disks).set_length(name, length / 2);
            }
            Damage::StaleFile(part, name) => part.of(disks).restore_file(name, part.of(&kept.earlier)),
            Damage::Swapped(part, one, two) => {
                let disk = part.of(disks);
                disk.rename_file(one, "aside");
                disk.rename_file(two, one);
                disk.rename_file("aside", two);
            }
            Damage::StalePart(_)
            | Damage::ForeignPart(..)
            | Damage::EmptyPart(_)
            | Damage::StaleAll
            | Damage::ForeignAll(_) => {}
        }
    }

    /// Puts other directories in place.
    fn replace(&self, world: &mut World, at: usize, damage: &Damage) {
        let put = |world: &mut World, part: Part, from: &Disks| {
            let disk = part.of(from).after_kill();
            let disks = &mut world.machines[at].disks;
            match part {
                Part::Data => disks.data = disk,
                Part::Wal => disks.wal = disk,
                Part::Snapshots => disks.snapshots = disk,
                Part::Audit => disks.audit = disk,
            }
        };
        match damage {
            Damage::StalePart(part) => put(world, *part, &self.kept[at].earlier),
            Damage::ForeignPart(part, other) => put(world, *part, &self.kept[*other].disks),
            Damage::EmptyPart(part) => put(world, *part, &Disks::new()),
            Damage::StaleAll => PARTS.iter().for_each(|part| put(world, *part, &self.kept[at].earlier)),
            Damage::ForeignAll(other) => {
                PARTS.iter().for_each(|part| put(world, *part, &self.kept[*other].disks));
            }
            Damage::Flip(..)
            | Damage::Zero(..)
            | Damage::Unreadable(..)
            | Damage::StaleSector(..)
            | Damage::Removed(..)
            | Damage::Halved(..)
            | Damage::StaleFile(..)
            | Damage::Swapped(..) => {}
        }
    }

    /// What comes of a case. A panic of the product is wrong.
    #[must_use]
    pub fn try_case(&self, case: &Case) -> Came {
        let lived = catch_unwind(AssertUnwindSafe(|| self.live(case)));
        lived.unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<String>().cloned();
            let said = said.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Came::Wrong(format!("a panic: {}", said.unwrap_or_default()))
        })
    }

    fn live(&self, case: &Case) -> Came {
        let mut world = self.fork();
        for (at, damage) in &case.damages {
            world.machines[*at].damaged = true;
            if damage.rolls_back() {
                world.ghost.forget(self.kept[*at].id);
            }
            self.strike(&world, *at, damage);
            self.replace(&mut world, *at, damage);
        }
        let mut settled = false;
        while !settled && world.now < TO_REPAIR {
            let next = world.now + LOOK;
            if let Err(wrong) = world.run_until(next) {
                return judged(case, wrong.property, &wrong.what);
            }
            settled = is_settled(&world);
        }
        let then = world.now + AFTERWARDS;
        if let Err(wrong) = world.run_until(then) {
            return judged(case, wrong.property, &wrong.what);
        }
        let refused = world.machines.iter().find_map(|machine| machine.refused.clone());
        if !settled {
            let wrote = wrote(&world);
            if case.width == Width::Beyond && !wrote {
                return Came::Halted;
            }
            let lines = world.machines.iter().filter_map(|machine| machine.process.as_ref());
            let lines: Vec<String> = lines.map(|process| process.node.core().describe()).collect();
            let what = format!("not repaired, wrote {wrote}, refused {refused:?}: {}", lines.join(" | "));
            // A majority may go on without those that are lost.
            return if case.width == Width::Beyond { Came::Unharmed } else { Came::Wrong(what) };
        }
        if let Some(why) = refused {
            // What a disk does to a place is repaired; what somebody did to files may be left to them.
            let a_sector =
                case.width == Width::One && case.damages.iter().all(|(_, damage)| damage.is_of_a_sector());
            return if a_sector { Came::Wrong(format!("refused: {why}")) } else { Came::Refused(why) };
        }
        if (0..world.machines.len()).any(|at| world.is_spent(at)) {
            return Came::Spent;
        }
        let probes = &world.tally.probes;
        let noticed = [Probe::DamagedLogOpened, Probe::DamagedSnapshotOpened];
        let repaired = noticed.iter().any(|probe| probes.count(*probe) > 0)
            || world.tally.repairs + world.tally.snapshots > 0;
        if repaired { Came::Repaired } else { Came::Unharmed }
    }
}

fn names(disk: &FakeDisk) -> Vec<String> {
    let mut names = disk.names();
    names.sort();
    names
}

/// An alarm is right where an old copy was put in place.
fn judged(case: &Case, property: &str, what: &str) -> Came {
    let rolled_back = case.damages.iter().any(|(_, damage)| damage.rolls_back());
    if property == "F15 Alarm" && rolled_back {
        Came::Alarmed
    } else if case.forgets {
        Came::Forgot
    } else {
        Came::Wrong(format!("{property}: {what}"))
    }
}

fn wrote(world: &World) -> bool {
    world.seen.ops.iter().any(|op| matches!(op.answer, Answer::Written { .. }))
}

/// Whether everybody who started has everything, is whole, and new writes are acknowledged.
fn is_settled(world: &World) -> bool {
    let commit = world.ghost.commit();
    let fine = |at: usize| {
        let machine = &world.machines[at];
        let Some(process) = &machine.process else { return machine.refused.is_some() };
        let applied = process.node.store().applied().index;
        let damaged = process.writer.log.is_damaged() || process.node.core().damaged();
        let whole = !damaged || process.identity.hard_state_lost;
        applied + 4 >= commit && whole
    };
    world.leader().is_some() && wrote(world) && (0..world.machines.len()).all(fine)
}

/// How much of the atlas is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// One member of one image, and ranges of five members.
    Some,
    /// Every member of several images.
    All,
}

/// What came of all cases.
#[derive(Debug, Default)]
pub struct Report {
    /// By name of the case, how often what came.
    lines: BTreeMap<(Width, String), BTreeMap<String, u64>>,
    /// What was wrong, with the seed and the case.
    pub wrong: Vec<String>,
    images: u64,
    repaired: u64,
    refused: u64,
    unharmed: u64,
    spent: u64,
    alarmed: u64,
    helical: u64,
    halts: u64,
    forgot: u64,
}

impl Report {
    fn note(&mut self, seed: u64, case: &Case, came: &Came) {
        self.images += 1;
        self.helical += u64::from(case.width == Width::Helical);
        let word = match came {
            Came::Unharmed => {
                self.unharmed += 1;
                "unharmed".to_owned()
            }
            Came::Repaired => {
                self.repaired += 1;
                "repaired".to_owned()
            }
            Came::Spent => {
                self.spent += 1;
                "spent".to_owned()
            }
            Came::Refused(why) => {
                self.refused += 1;
                let error = why.split([' ', '{']).next().unwrap_or_default();
                format!("refused: {error}")
            }
            Came::Alarmed => {
                self.alarmed += 1;
                "alarmed".to_owned()
            }
            Came::Halted => {
                self.halts += 1;
                "halted".to_owned()
            }
            Came::Forgot => {
                self.forgot += 1;
                "forgot".to_owned()
            }
            Came::Wrong(what) => {
                let first = case.damages.first();
                self.wrong.push(format!("seed {seed}, {}, {first:?}…: {what}", case.name));
                "WRONG".to_owned()
            }
        };
        *self.lines.entry((case.width, case.name.clone())).or_default().entry(word).or_default() += 1;
    }

    /// The last line.
    #[must_use]
    pub fn summary(&self) -> String {
        format!(
            "images={} repaired={} refused={} unharmed={} spent={} alarmed={} helical={} beyond_quorum_halts={} \
             beyond_quorum_forgot={} violations={}",
            self.images,
            self.repaired,
            self.refused,
            self.unharmed,
            self.spent,
            self.alarmed,
            self.helical,
            self.halts,
            self.forgot,
            self.wrong.len()
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((width, name), came) in &self.lines {
            let came: Vec<String> = came.iter().map(|(word, count)| format!("{word}={count}")).collect();
            writeln!(f, "{:<8} {name:<44} {}", format!("{width:?}"), came.join(" "))?;
        }
        Ok(())
    }
}

/// Tries all cases, some of them at once.
///
/// # Errors
/// A load went wrong before anything was damaged.
pub fn run(seed: u64, extent: Extent, threads: usize) -> Result<Report, String> {
    let rng = &mut Rng::new(mix(seed, 0x61_746C_6173));
    let mut tasks: Vec<(u64, Image, Vec<Case>)> = Vec::new();
    let images = if extent == Extent::All { 4 } else { 1 };
    for seed in seed..seed + images {
        let image = Image::new(seed, 3)?;
        let members = if extent == Extent::All { vec![0, 1, 2] } else { vec![rng.position(3)] };
        let mut cases: Vec<Case> = members.into_iter().flat_map(|at| image.ones(at)).collect();
        cases.extend(image.several().into_iter().filter(|case| case.width == Width::Beyond));
        tasks.push((seed, image, cases));
        let image = Image::new(seed, 5)?;
        let cases = image.several();
        tasks.push((seed, image, cases));
    }
    let order: Vec<(usize, usize)> = tasks
        .iter()
        .enumerate()
        .flat_map(|(task, (_, _, cases))| (0..cases.len()).map(move |case| (task, case)))
        .collect();
    let next = AtomicUsize::new(0);
    let came: Mutex<BTreeMap<(usize, usize), Came>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some((task, case)) = order.get(at) else { break };
                    let (_, image, cases) = &tasks[*task];
                    let one = image.try_case(&cases[*case]);
                    came.lock().unwrap_or_else(PoisonError::into_inner).insert((*task, *case), one);
                }
            });
        }
    });
    let mut report = Report::default();
    let came = came.into_inner().unwrap_or_else(PoisonError::into_inner);
    for ((task, case), came) in came {
        let (seed, _, cases) = &tasks[task];
        report.note(*seed, &cases[case], &came);
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_of_each_kind_is_repaired_or_refused_and_nothing_acknowledged_is_lost() {
        let image = Image::new(1, 3).expect("a load without faults");
        let cases: Vec<Case> = image.ones(1).into_iter().chain(image.several()).collect();
        let mut tried = BTreeMap::new();
        for case in &cases {
            // The first of each name.
            if tried.insert(case.name.clone(), ()).is_none() {
                let came = image.try_case(case);
                assert!(!matches!(came, Came::Wrong(_)), "{case:?}: {came:?}");
            }
        }
        assert!(tried.len() > 30, "{tried:?}");
    }

    #[test]
    fn a_cluster_that_was_rolled_back_everywhere_is_found_out() {
        let image = Image::new(1, 3).expect("a load without faults");
        let damages = (0..3).map(|at| (at, Damage::StaleAll)).collect();
        let case = Case { width: Width::Beyond, name: String::new(), damages, forgets: false };
        let came = image.try_case(&case);
        assert!(matches!(&came, Came::Wrong(what) if what.starts_with("S")), "{came:?}");
    }

    #[test]
    fn a_sector_that_is_damaged_is_another_one_afterwards() {
        let image = Image::new(1, 3).expect("a load without faults");
        for case in image.ones(0) {
            let [(at, damage)] = &case.damages[..] else { continue };
            let mut world = image.fork();
            let before: Vec<u64> = world.machines[*at].disks.all().map(FakeDisk::hash).to_vec();
            image.strike(&world, *at, damage);
            image.replace(&mut world, *at, damage);
            let after: Vec<u64> = world.machines[*at].disks.all().map(FakeDisk::hash).to_vec();
            assert_ne!(before, after, "{damage:?}");
        }
    }
}
