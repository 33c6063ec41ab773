//! Runs a workload over a fake disk once, and keeps a ledger of what was promised when.

use holdfast_wal::disk::{FakeDisk, Injection, Moment};
use holdfast_wal::{AppendError, Ending, Group, Log, Op, OpenError, Variant, segment_name};

use super::judge::{Expect, SEGMENT, Stage, options, read_all, same};
use super::model::Model;
use super::repair;
use super::script::{Fill, Harm, Script, Step, body};

/// The group that [`Step::Fill`] writes to.
pub const FILLER: u32 = 9;

/// What a moment carries: how far the ledger was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// Operations that were reported durable.
    pub acked: usize,
    /// Operations that were submitted.
    pub submitted: usize,
    /// What is known about the log.
    pub stage: Stage,
}

impl Ledger {
    fn pack(self) -> u64 {
        let stage = match self.stage {
            Stage::Creating => 0,
            Stage::Whole => 1,
            Stage::Repairing => 2,
        };
        stage << 60 | (self.submitted as u64) << 30 | self.acked as u64
    }

    /// What the note of a moment says.
    #[must_use]
    pub fn of(note: u64) -> Self {
        let stage = match note >> 60 {
            0 => Stage::Creating,
            1 => Stage::Whole,
            _ => Stage::Repairing,
        };
        let mask = (1 << 30) - 1;
        Self { acked: (note & mask) as usize, submitted: ((note >> 30) & mask) as usize, stage }
    }
}

/// Where an operation was written.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// The end of the log before the call that wrote it.
    pub from: u64,
    /// The end of the log behind it.
    pub to: u64,
}

/// A workload that ran.
#[derive(Debug)]
pub struct Run<V: Variant> {
    /// The disk as it is now.
    pub disk: FakeDisk,
    /// Before each call that changed something.
    pub moments: Vec<Moment>,
    /// After each operation; the first one is the log as made.
    pub states: Vec<Model>,
    /// The operations. One that stands for damage is a repair of nothing.
    pub ops: Vec<Op>,
    /// For each operation, the call that wrote it.
    pub written: Vec<Written>,
    /// What the ledger says at the end.
    pub ledger: Ledger,
    /// Why it did not come to its end.
    pub stopped: Option<String>,
    /// Something that may not happen even when the disk fails.
    pub wrong: Option<String>,
    /// The log, if one is open.
    pub log: Option<Log<FakeDisk, V>>,
    truth: Model,
    starts: u64,
}

/// Why a step was not done.
enum Stop {
    /// The disk failed, and the log said so.
    Failed(String),
    /// The log did what it may not do.
    Wrong(String),
}

/// Runs `script`. `faults` happen to the first start of the disk on; the run goes on as far as the log lets it.
#[must_use]
pub fn drive<V: Variant>(script: &Script, faults: &[Injection], record: bool) -> Run<V> {
    let disk = FakeDisk::new(script.capacity);
    for fault in faults {
        disk.inject(fault.clone());
    }
    disk.record(record);
    let ledger = Ledger { acked: 0, submitted: 0, stage: Stage::Creating };
    let mut run = Run {
        disk,
        moments: Vec::new(),
        states: vec![Model::new()],
        ops: Vec::new(),
        written: Vec::new(),
        ledger,
        stopped: None,
        wrong: None,
        log: None,
        truth: Model::new(),
        starts: 1,
    };
    run.note(ledger);
    for (at, step) in script.steps.iter().enumerate() {
        match run.step(step) {
            Ok(()) => {}
            Err(Stop::Failed(why)) => {
                run.stopped = Some(format!("step {at}: {why}"));
                run.refuses_to_go_on();
                break;
            }
            Err(Stop::Wrong(why)) => {
                run.wrong = Some(format!("step {at}: {why}"));
                break;
            }
        }
    }
    if run.stopped.is_none() && run.wrong.is_none() {
        run.wrong = run.compare().err();
    }
    let last = run.disk.moment("the end");
    run.moments = run.disk.take_moments();
    run.moments.push(last);
    run.disk.record(false);
    run
}

impl<V: Variant> Run<V> {
    /// What may come back after a crash at a moment.
    #[must_use]
    pub fn expect(&self, moment: &Moment) -> Expect<'_> {
        let Ledger { acked, submitted, stage } = Ledger::of(moment.note);
        // What was refused for lack of room was submitted at that moment and is no state now.
        Expect { states: &self.states, acked, submitted: submitted.min(self.states.len() - 1), stage }
    }

    fn note(&mut self, ledger: Ledger) {
        self.ledger = ledger;
        self.disk.set_note(ledger.pack());
    }

    fn all_acked(&mut self) {
        self.note(Ledger { acked: self.states.len() - 1, submitted: self.states.len() - 1, ..self.ledger });
    }

    fn log(&mut self) -> &mut Log<FakeDisk, V> {
        self.log.as_mut().expect("workloads begin by making a log")
    }

    fn step(&mut self, step: &Step) -> Result<(), Stop> {
        match step {
            Step::Create => self.create(),
            Step::Append(ops) => self.append(ops).map(|_| ()),
            Step::Sync => self.sync(),
            Step::Mark => {
                if self.log().wants_mark() {
                    self.log().mark().map_err(|error| Stop::Failed(error.to_string()))?;
                }
                Ok(())
            }
            Step::Fill(rest) => self.fill(*rest),
            Step::FillDisk => self.fill_disk(),
            Step::Align => {
                while (1..=512 - 72).contains(&(self.log().end() % 512)) {
                    self.log().mark().map_err(|error| Stop::Failed(error.to_string()))?;
                }
                self.sync()
            }
            Step::Prepare => {
                // A segment that could not be made is no harm: it is made anew when it is wanted.
                let _ = self.log().prepare();
                Ok(())
            }
            Step::Reopen => {
                self.compare().map_err(Stop::Wrong)?;
                self.reopen(Ending::Clean)?;
                self.compare().map_err(Stop::Wrong)
            }
            Step::Damage(harms) => self.damage(harms),
            Step::Repair => {
                let truth = self.truth.clone();
                let ops = repair::plan(self.log(), &truth);
                for op in ops {
                    self.append(std::slice::from_ref(&op))?;
                }
                self.sync()
            }
        }
    }

    fn create(&mut self) -> Result<(), Stop> {
        let make = |run: &Self| Log::create(run.disk.clone(), options(run.starts));
        let made = match make(self) {
            // Room has come: the same call again has to do.
            Err(OpenError::NoSpace { .. }) => make(self),
            made => made,
        };
        self.log = Some(made.map_err(|error| Stop::Failed(error.to_string()))?);
        self.note(Ledger { stage: Stage::Whole, ..self.ledger });
        Ok(())
    }

    /// Whether there was room.
    fn append(&mut self, ops: &[Op]) -> Result<bool, Stop> {
        let (from, before) = (self.log().end(), self.states.len());
        for op in ops {
            let mut state = self.states[self.states.len() - 1].clone();
            state.apply(op);
            self.states.push(state);
        }
        let was = self.ledger;
        self.note(Ledger { submitted: self.states.len() - 1, ..was });
        let appended = match self.log().append(ops) {
            Err(AppendError::NoSpace { .. }) => {
                let durable = self.log().sync().map_err(|fatal| Stop::Failed(fatal.to_string()))?;
                if durable != from {
                    let why = format!(
                        "a batch was refused for lack of room, and the log went from {from} to {durable}"
                    );
                    return Err(Stop::Wrong(why));
                }
                self.log().append(ops)
            }
            appended => appended,
        };
        match appended {
            Ok(to) => {
                self.written.extend(ops.iter().map(|_| Written { from, to }));
                self.ops.extend_from_slice(ops);
                Ok(true)
            }
            Err(AppendError::NoSpace { .. }) => {
                self.states.truncate(before);
                self.note(was);
                Ok(false)
            }
            Err(AppendError::Failed(fatal)) => Err(Stop::Failed(fatal.to_string())),
            Err(refused) => Err(Stop::Wrong(refused.to_string())),
        }
    }

    /// Appends entries to a group of their own until little more than `rest` bytes are left in the segment.
    fn fill(&mut self, rest: u64) -> Result<(), Stop> {
        loop {
            // The head of a record, its table of checks, and what may have to be skipped before it.
            let room = (SEGMENT - self.log().end() % SEGMENT).saturating_sub(rest + 72 + 24 + 72);
            if room == 0 {
                return self.sync();
            }
            self.filler(room.min(1900) as usize)?;
            self.sync()?;
        }
    }

    /// One more entry of the group that fills. Whether there was room.
    fn filler(&mut self, length: usize) -> Result<bool, Stop> {
        let index =
            self.states[self.states.len() - 1].groups.get(&FILLER).map_or(1, |group| group.last() + 1);
        let body = body(Fill::Unique, (FILLER, index, 1), length);
        self.append(&[Op::Entry { group: Group(FILLER), index, term: 1, body }])
    }

    /// Appends entries until there is no room on the disk, and makes room with the reserve: a trim has to be possible, and
    /// then an entry again.
    fn fill_disk(&mut self) -> Result<(), Stop> {
        while self.filler(1500)? {
            self.sync()?;
        }
        let state = self.states[self.states.len() - 1].clone();
        for (number, known) in &state.groups {
            if !self.append(&[Op::Trim { group: Group(*number), first: known.last() + 1 }])? {
                return Err(Stop::Wrong("the disk is full, and there is no room for a trim".to_owned()));
            }
        }
        self.sync()?;
        let again = self.filler(1500)?;
        self.sync()?;
        if again { Ok(()) } else { Err(Stop::Wrong("there is room again, and none for an entry".to_owned())) }
    }

    fn sync(&mut self) -> Result<(), Stop> {
        let upto = self.log().sync().map_err(|fatal| Stop::Failed(fatal.to_string()))?;
        let end = self.log().end();
        if upto != end {
            return Err(Stop::Wrong(format!("sync says {upto} and the log ends at {end}")));
        }
        self.all_acked();
        Ok(())
    }

    fn reopen(&mut self, wanted: Ending) -> Result<(), Stop> {
        self.log = None;
        self.starts += 1;
        let open = |run: &Self| Log::<FakeDisk, V>::open(run.disk.clone(), options(run.starts));
        let opened = match open(self) {
            Err(OpenError::NoSpace { .. }) => open(self),
            opened => opened,
        };
        let (log, recovery) = opened.map_err(|error| Stop::Failed(error.to_string()))?;
        if recovery.ending != wanted {
            return Err(Stop::Wrong(format!(
                "reopened, the log is {:?} and not {wanted:?}",
                recovery.ending
            )));
        }
        self.log = Some(log);
        self.all_acked();
        Ok(())
    }

    fn damage(&mut self, harms: &[Harm]) -> Result<(), Stop> {
        self.truth = self.states[self.ledger.acked].clone();
        self.log = None;
        for harm in harms {
            match *harm {
                Harm::Flip(segment, byte) => self.disk.flip_bit(&segment_name(segment), byte * 8 + 3),
                Harm::Zero(segment, sector) => {
                    self.disk.overwrite(&segment_name(segment), sector * 512, &[0; 512]);
                }
                Harm::Unreadable(segment, sector) => {
                    self.disk.make_unreadable(&segment_name(segment), sector);
                }
            }
        }
        // What the log will say of itself is learned on a copy, so that the moments of the real start can be judged.
        let probe = self.disk.after_kill();
        let opened = Log::<FakeDisk, V>::open(probe, options(self.starts + 1));
        let (log, _) = opened.map_err(|error| Stop::Failed(error.to_string()))?;
        let mut state = self.truth.clone();
        for group in state.groups.keys().copied().collect::<Vec<u32>>() {
            let last = log.bounds(Group(group)).map_or(0, |bounds| bounds.last);
            state.damage(Group(group), last, &log.holes(Group(group)));
        }
        drop(log);
        self.states.push(state);
        self.ops.push(Op::Heal { whole: Vec::new() });
        self.written.push(Written { from: 0, to: 0 });
        let now = self.states.len() - 1;
        self.note(Ledger { acked: now, submitted: now, stage: Stage::Repairing });
        self.reopen(Ending::Damaged)
    }

    /// Whether the open log holds all that was submitted.
    fn compare(&mut self) -> Result<(), String> {
        let Some(log) = &self.log else { return Ok(()) };
        same(&read_all(log), &self.states[self.ledger.submitted], log.is_damaged())
    }

    /// After a failure nothing may be accepted or acknowledged.
    fn refuses_to_go_on(&mut self) {
        let Some(log) = &mut self.log else { return };
        let durable = log.durable();
        let hard = Op::HardState { group: Group(0), term: 1 << 40, vote: 1 };
        if log.append(&[hard]).is_ok() || log.sync().is_ok() || log.mark().is_ok() || log.durable() != durable
        {
            self.wrong = Some(format!("{:?}, and then the log went on", self.stopped));
        }
    }
}
