//! Every damage that a disk does to a finished log.
//!
//! # What is compared
//! - Whatever is read is what was written. No entry that was cut comes back.
//! - Nothing that was acknowledged is gone without a word: it is in a hole, or the log says that it is damaged and that
//!   nobody may trust its end. The one exception is the *uncovered window*: what nothing undamaged says was durable may
//!   be taken for a torn tail, if the damage looks like one. It is counted.
//! - Term and vote are the last ones, or are reported lost.
//! - A damaged log stays damaged however often it is opened, until a leader has sent again what is missing; then it is
//!   whole.

use std::collections::BTreeMap;

use holdfast_wal::disk::{FakeDisk, Moment};
use holdfast_wal::format::{
    Found, Look, META_FILE, MetaSlot, SLOT_AT, SegmentFound, SegmentHeader, SlotFound, look,
};
use holdfast_wal::{AsDesigned, Ending, Log, OpenError, Recovery, Variant, segment_number};

use super::drive::{Run, Written, drive};
use super::judge::{Answer, Class, SEGMENT, Seen, View, guarded, opened, read_all, same, stands_behind};
use super::model::Model;
use super::repair;
use super::script::Script;
use super::subsets;
use super::tally::Tally;

const FIRST: u64 = 3000;
const SECOND: u64 = 3001;
const THIRD: u64 = 3002;

/// A statement in the files that something was durable.
#[derive(Clone, Debug)]
struct Claim {
    file: String,
    /// The bytes that make it.
    bytes: std::ops::Range<usize>,
    upto: u64,
}

/// A finished log that is going to be damaged.
#[derive(Debug)]
pub struct Subject {
    /// What it is called.
    pub name: &'static str,
    /// The disk, with nothing unsynced.
    pub disk: FakeDisk,
    /// The disk before each call that led here.
    pub moments: Vec<Moment>,
    states: Vec<Model>,
    written: Vec<Written>,
    claims: Vec<Claim>,
    end: u64,
}

/// What is allowed to a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Only that of a format or record of a later build.
    Unsupported,
    /// Any that names what is wrong.
    Typed,
}

/// An image of which the opening was right.
struct Taken<V: Variant> {
    class: Class,
    /// Damage is open.
    open: bool,
    /// Something that was acknowledged is gone without a word, and nothing said it was durable.
    short: bool,
    /// The ends that the log claims are said to be trustworthy.
    trusted: bool,
    /// Which state came back, if no damage is open.
    state: Option<usize>,
    log: Option<Log<FakeDisk, V>>,
    disk: FakeDisk,
}

impl Subject {
    /// The log that `script` leaves.
    ///
    /// # Errors
    /// What went wrong in making it.
    pub fn new<V: Variant>(script: &Script) -> Result<Self, String> {
        let Run { disk, moments, states, written, wrong, stopped, log, .. } = drive::<V>(script, &[], true);
        if let Some(wrong) = wrong.or(stopped) {
            return Err(wrong);
        }
        let end = log.as_ref().map_or(0, Log::end);
        drop(log);
        let disk = disk.after_power_cut(&vec![0; disk.unsynced().len()]);
        let claims = claims(&disk);
        Ok(Self { name: script.name, disk, moments, states, written, claims, end })
    }

    /// The last state: all that was acknowledged.
    #[must_use]
    pub fn truth(&self) -> &Model {
        &self.states[self.states.len() - 1]
    }

    /// Bytes at the end of the log that nothing says were durable.
    #[must_use]
    pub fn uncovered_bytes(&self) -> u64 {
        self.end - self.claims.iter().map(|claim| claim.upto).max().unwrap_or(0)
    }

    /// How many operations something says were durable whose bytes `image` still has.
    fn covered(&self, image: &FakeDisk) -> usize {
        let intact = |claim: &&Claim| {
            let content = |disk: &FakeDisk| disk.content(&claim.file);
            let (was, is) = (content(&self.disk), content(image));
            was.zip(is)
                .is_some_and(|(was, is)| is.get(claim.bytes.clone()) == Some(&was[claim.bytes.clone()]))
        };
        let upto = self.claims.iter().filter(intact).map(|claim| claim.upto).max().unwrap_or(0);
        self.written.iter().take_while(|written| written.from < upto).count()
    }

    /// Opens a damaged image and judges what comes.
    fn take<V: Variant>(
        &self,
        image: &FakeDisk,
        start: u64,
        refusal: Refusal,
        covered: Option<usize>,
    ) -> Result<Taken<V>, String> {
        let disk = image.after_kill();
        match opened::<V>(&disk, start) {
            Ok((log, recovery)) => self.judge(image, disk, log, &recovery, covered),
            Err(error) => {
                let unsupported = matches!(error, OpenError::Unsupported { .. });
                let typed = !matches!(
                    error,
                    OpenError::NoLog { .. }
                        | OpenError::Locked { .. }
                        | OpenError::Io { .. }
                        | OpenError::NoSpace { .. }
                        | OpenError::Contradiction { .. }
                );
                if unsupported || (typed && refusal == Refusal::Typed) {
                    return Ok(Taken {
                        class: Class::Refused,
                        open: false,
                        short: false,
                        trusted: true,
                        state: None,
                        log: None,
                        disk,
                    });
                }
                Err(format!("refused: {error}"))
            }
        }
    }

    fn judge<V: Variant>(
        &self,
        image: &FakeDisk,
        disk: FakeDisk,
        log: Log<FakeDisk, V>,
        recovery: &Recovery,
        covered: Option<usize>,
    ) -> Result<Taken<V>, String> {
        let seen = read_all(&log);
        let class = match recovery.ending {
            Ending::Clean => Class::Clean,
            Ending::Torn => Class::Torn,
            Ending::Damaged => Class::Damaged,
        };
        if recovery.hard_state_lost && class != Class::Damaged {
            return Err(format!("{class:?}, and the hard state is said to be lost"));
        }
        let (open, trusted) = (class == Class::Damaged && !recovery.healed, recovery.trustworthy);
        if log.is_damaged() != open {
            return Err(format!("the ending is {class:?} and is_damaged() says {}", log.is_damaged()));
        }
        if open {
            let short = self.holes(image, &seen, recovery, covered)?;
            return Ok(Taken { class, open, short, trusted, state: None, log: Some(log), disk });
        }
        let last = self.states.len() - 1;
        let found = (0..=last).rev().find(|state| same(&seen, &self.states[*state], false).is_ok());
        let Some(state) = found else {
            let why = same(&seen, self.truth(), false).err().unwrap_or_default();
            return Err(format!("{class:?}, healed {}, and not what was written: {why}", recovery.healed));
        };
        let least = covered.unwrap_or_else(|| self.covered(image));
        if state < last && state < least {
            let why = same(&seen, self.truth(), false).err().unwrap_or_default();
            return Err(format!(
                "{class:?}, healed {}, row {:?}, and acknowledged operations are gone that are known to have been \
                 durable: state {state}, at least {least} of {last}: {why}",
                recovery.healed, recovery.row
            ));
        }
        Ok(Taken { class, open, short: state < last, trusted, state: Some(state), log: Some(log), disk })
    }

    /// Damage is open: all that is read must be right, and nothing missing may be hidden. Whether something uncovered is.
    fn holes(
        &self,
        image: &FakeDisk,
        seen: &BTreeMap<u32, Seen>,
        recovery: &Recovery,
        covered: Option<usize>,
    ) -> Result<bool, String> {
        let blank = super::model::GroupModel::default();
        let mut short = false;
        for (group, seen) in seen {
            let truth = self.truth().groups.get(group).unwrap_or(&blank);
            let Seen { bounds, hard, answers } = seen;
            if bounds.first > truth.first {
                return Err(format!(
                    "damaged, and group {group} begins at {} and not {}",
                    bounds.first, truth.first
                ));
            }
            let hard = (hard.term, hard.vote, hard.sequence);
            if hard != truth.hard && !recovery.hard_state_lost {
                return Err(format!(
                    "damaged, and the hard state of group {group} is {hard:?}, not {:?}",
                    truth.hard
                ));
            }
            for (index, answer) in (bounds.first..).zip(answers) {
                let Answer::Entry(entry) = answer else { continue };
                let known = truth.entries.get(&index);
                let old = index < truth.first && self.ever(*group, index, entry);
                if !old && known.is_none_or(|(term, body)| (*term, body) != (entry.term, &entry.body)) {
                    return Err(format!("damaged, and group {group} serves a wrong entry {index}"));
                }
            }
        }
        for (group, truth) in &self.truth().groups {
            let end = (truth.last_term(), truth.last());
            let told = recovery.damage.iter().find(|damage| damage.group.0 == *group);
            let claimed = told.map_or((0, 0), |damage| damage.claimed_end);
            if recovery.trustworthy && claimed < end {
                // Right only if what is missing is uncovered, and looks as if it had never been written.
                let least = self.states[covered.unwrap_or_else(|| self.covered(image))].groups.get(group);
                let least = least.map_or((0, 0), |group| (group.last_term(), group.last()));
                let behind = stands_behind(image, View::Device, &recovery.file, recovery.offset);
                if claimed < least || behind {
                    return Err(format!(
                        "damaged, the end of group {group} said to be {claimed:?}, and it was {end:?}"
                    ));
                }
                short = true;
            }
            if told.is_none() && recovery.trustworthy {
                return Err(format!("damaged, and nothing is said of group {group}"));
            }
        }
        Ok(short)
    }

    /// Whether this entry stood at that index once.
    fn ever(&self, group: u32, index: u64, entry: &holdfast_wal::Entry) -> bool {
        self.states.iter().any(|state| {
            let found = state.groups.get(&group).and_then(|group| group.entries.get(&index));
            found.is_some_and(|(term, body)| *term == entry.term && *body == entry.body)
        })
    }

    /// Opens a damaged image, opens it again after a power cut, and with `deep` repairs it.
    pub fn damaged<V: Variant>(
        &self,
        image: &FakeDisk,
        refusal: Refusal,
        deep: bool,
        tally: &mut Tally,
        story: &dyn Fn() -> String,
    ) {
        let taken = match guarded(|| self.take::<V>(image, FIRST, refusal, None)) {
            Ok(taken) => taken,
            Err(what) => return tally.wrong(format!("{}: {}", self.name, story()), what, image),
        };
        tally.image(image.hash(), taken.class);
        tally.uncovered += u64::from(taken.short);
        if !deep {
            return;
        }
        if let Err(what) = guarded(|| self.deeper(taken, image, tally)) {
            tally.wrong(format!("{}: {}", self.name, story()), what, image);
        }
    }

    /// Opens it again after a power cut, and repairs it.
    fn deeper<V: Variant>(&self, taken: Taken<V>, image: &FakeDisk, tally: &mut Tally) -> Result<(), String> {
        let Taken { class: _, open, short, trusted, state, log, disk } = taken;
        let Some(log) = log else { return Ok(()) };
        let cut = disk.after_power_cut(&vec![0; disk.unsynced().len()]);
        let least = state.unwrap_or_else(|| if short { self.covered(image) } else { self.states.len() - 1 });
        let again = self.take::<V>(&cut, SECOND, Refusal::Unsupported, Some(least));
        let again = again.map_err(|why| format!("opened a second time: {why}"))?;
        if again.open != open || (state.is_some() && again.state != state) {
            let (found, other) = (again.state, again.class);
            return Err(format!(
                "opened a second time, it is {other:?} in state {found:?}; it was in {state:?}"
            ));
        }
        if open && again.trusted && !trusted {
            return Err("opened a second time, its ends are said to be trustworthy; at first they were not"
                .to_owned());
        }
        tally.image(cut.hash(), again.class);
        if !open || log.hard_state_lost() {
            return Ok(());
        }
        tally.repairs += 1;
        repair::to_the_end(log, &disk, THIRD, self.truth())
    }

    /// Repairs a damaged image with every moment of it kept, and cuts the power at each of them.
    pub fn repaired<V: Variant>(&self, image: &FakeDisk, tally: &mut Tally, story: &dyn Fn() -> String) {
        let run = guarded(|| {
            let taken = self.take::<V>(image, FIRST, Refusal::Unsupported, None)?;
            let Some(log) = taken.log.filter(|log| log.is_damaged() && !log.hard_state_lost()) else {
                return Ok(Vec::new());
            };
            taken.disk.record(true);
            repair::to_the_end(log, &taken.disk, THIRD, self.truth())?;
            Ok(taken.disk.take_moments())
        });
        let moments = match run {
            Ok(moments) => moments,
            Err(what) => return tally.wrong(format!("{}: {}", self.name, story()), what, image),
        };
        for moment in moments {
            subsets::each(&moment.state.unsynced(), 16, &mut |choice| {
                let cut = moment.state.after_power_cut(choice);
                let story =
                    || format!("{}, repaired, power cut before {}, kept {choice:?}", story(), moment.before);
                self.damaged_whole::<V>(&cut, tally, &story);
                tally.goes_on()
            });
        }
    }

    /// As [`Subject::damaged`], where nothing is uncovered.
    fn damaged_whole<V: Variant>(&self, image: &FakeDisk, tally: &mut Tally, story: &dyn Fn() -> String) {
        let whole = Some(self.states.len() - 1);
        let done = guarded(|| {
            let taken = self.take::<V>(image, SECOND, Refusal::Unsupported, whole)?;
            tally.image(image.hash(), taken.class);
            self.deeper(taken, image, tally)
        });
        if let Err(what) = done {
            tally.wrong(format!("{}: {}", self.name, story()), what, image);
        }
    }
}

/// All that says in undamaged files that something was durable.
fn claims(disk: &FakeDisk) -> Vec<Claim> {
    let mut claims = Vec::new();
    let meta = disk.content(META_FILE).unwrap_or_default();
    for at in SLOT_AT.map(|at| at as usize) {
        if let Some(SlotFound::Valid(slot)) = meta.get(at..).map(MetaSlot::read) {
            claims.push(Claim { file: META_FILE.to_owned(), bytes: at..at + 4096, upto: slot.synced_upto });
        }
    }
    for file in disk.names().into_iter().filter(|name| segment_number(name).is_some()) {
        let content = disk.content(&file).unwrap_or_default();
        let SegmentFound::Valid(header) = SegmentHeader::read(&content) else { continue };
        let mut at = 512;
        while at < SEGMENT {
            match look::<AsDesigned>(&content, header.base(), header.salt, at) {
                Some(Look { found: Found::Record { head, .. }, at: from, body_at, end, .. }) => {
                    let bytes = from as usize..body_at as usize;
                    claims.push(Claim { file: file.clone(), bytes, upto: head.synced_upto });
                    at = end;
                }
                _ => break,
            }
        }
    }
    claims
}
