//! Random lives of a directory, against what is known of every index.

use holdfast_server::audit::{AuditFilter, AuditPolicy, MissingReason};
use holdfast_wal::disk::FakeDisk;

use crate::common::{
    Files, Random, SMALL, append, encoded, expected, index_of, open_with, read_all, time_of,
};

/// What a life may bring.
#[derive(Clone, Copy, Default)]
struct Weather {
    gaps: bool,
    retention: bool,
    damage: bool,
}

/// How a life went.
#[derive(Clone, Copy, Default)]
struct Tally {
    crashes: u64,
    gaps: u64,
    removed: u64,
    damaged: u64,
    lost: u64,
}

/// A node as far as these files know it.
struct Life {
    seed: u64,
    random: Random,
    weather: Weather,
    disk: FakeDisk,
    policy: AuditPolicy,
    files: Files,
    /// The state that a start begins from. The files were synced up to it.
    snapshot: u64,
    /// What was applied.
    applied: u64,
    /// From here on nothing is missing but by damage and age.
    complete_from: u64,
    tally: Tally,
}

impl Life {
    fn new(seed: u64, weather: Weather) -> Self {
        let total_bytes = if weather.retention { 12 * 1024 } else { u64::MAX };
        let age_ms = if weather.retention { 20_000 } else { u64::MAX };
        let policy = AuditPolicy { total_bytes, age_ms, ..SMALL };
        let disk = FakeDisk::new(1 << 26);
        let files = open_with(&disk, 0, policy).expect("an empty directory").files;
        let (random, tally) = (Random(seed), Tally::default());
        let (snapshot, applied, complete_from) = (0, 0, 1);
        Self { seed, random, weather, disk, policy, files, snapshot, applied, complete_from, tally }
    }

    fn step(&mut self) {
        match self.random.below(20) {
            0..=7 => {
                let last = self.applied + 1 + self.random.below(15);
                append(&mut self.files, self.applied + 1..=last);
                self.applied = last;
            }
            8..=10 => self.files.flush().expect("there is room"),
            11 | 12 => {
                let durable = self.files.sync().expect("there is room");
                assert_eq!(durable, self.applied, "seed {}", self.seed);
                if self.random.below(2) == 0 {
                    self.snapshot = durable;
                }
            }
            13 if self.weather.gaps => {
                self.applied += 1 + self.random.below(40);
                self.complete_from = self.applied + 1;
                self.tally.gaps += 1;
                self.files.reinstalled(self.applied);
                // The state is durable before anybody is told of it.
                self.snapshot = self.applied;
            }
            14 | 15 if self.weather.retention => {
                let removed = self.files.retain(time_of(self.applied)).expect("a directory");
                self.tally.removed += removed.len() as u64;
                let status = self.files.status();
                assert!(status.files <= 1 || status.bytes <= 12 * 1024, "seed {}: {status:?}", self.seed);
            }
            16 if self.weather.damage => self.damage(),
            17 | 18 => self.crash(),
            _ => self.look(),
        }
    }

    fn crash(&mut self) {
        self.tally.crashes += 1;
        self.disk = if self.random.below(2) == 0 {
            self.disk.after_kill()
        } else {
            let cells = self.disk.unsynced();
            let choices: Vec<usize> =
                cells.iter().map(|cell| self.random.below(cell.versions as u64) as usize).collect();
            self.disk.after_power_cut(&choices)
        };
        let opened = open_with(&self.disk, self.snapshot, self.policy).expect("it is opened");
        assert!(self.weather.damage || opened.damaged.is_empty(), "seed {}: {:?}", self.seed, opened.damaged);
        if !self.weather.damage && !self.weather.gaps {
            assert_eq!(opened.missing, None, "seed {}", self.seed);
        }
        self.files = opened.files;
        // The log replays what it has, which may be more than had been applied and is less at times.
        append(&mut self.files, self.snapshot + 1..=self.applied);
    }

    /// A bit, a sector, a tail or a whole file.
    fn damage(&mut self) {
        let names = self.disk.names();
        if names.is_empty() {
            return;
        }
        self.tally.damaged += 1;
        let name = &names[self.random.below(names.len() as u64) as usize];
        let length = self.disk.content(name).map_or(0, |content| content.len() as u64);
        match self.random.below(8) {
            0..=3 if length > 0 => self.disk.flip_bit(name, self.random.below(length * 8)),
            4 if length > 0 => self.disk.make_unreadable(name, self.random.below(length.div_ceil(512))),
            5 if length > 2_000 => self.disk.set_length(name, self.random.below(length)),
            6 if length > 2_000 => {
                let garbage: Vec<u8> = (0..700).map(|_| self.random.next() as u8).collect();
                self.disk.overwrite(name, self.random.below(length - 1_000), &garbage);
            }
            7 => self.disk.remove_file(name),
            _ => {}
        }
        // A file that is gone cannot be appended to any more; and what is open is not looked at again by a start.
        self.crash();
    }

    /// Nothing is made up, nothing comes twice or out of order, and nothing is missing that is said to be there.
    fn look(&mut self) {
        let seed = self.seed;
        let from = self.random.below(self.applied.max(1) + 1);
        let limit = 1 + self.random.below(40) as usize;
        let bytes_max = 1 + self.random.below(3_000) as usize;
        let filter = AuditFilter { from, limit, bytes_max, ..AuditFilter::default() };
        let (records, missing) = read_all(&mut self.files, &filter);
        let indices: Vec<u64> = records.iter().map(index_of).collect();
        assert!(indices.is_sorted_by(|a, b| a < b), "seed {seed}: {indices:?}");
        for (index, record) in indices.iter().zip(&records) {
            assert!(*index >= from, "seed {seed}: {index} is before {from}");
            assert_eq!(Some(record), encoded(*index).as_ref(), "seed {seed}: the record of {index}");
        }
        let (complete, through) = (self.files.complete_from(), self.files.through());
        assert_eq!(through, self.applied, "seed {seed}");
        assert!(complete <= through + 1, "seed {seed}: complete from {complete} through {through}");
        let whole = complete.max(from)..=through;
        let found: Vec<u64> = indices.iter().copied().filter(|index| whole.contains(index)).collect();
        let wanted: Vec<u64> = expected(whole.clone()).iter().map(index_of).collect();
        assert_eq!(found, wanted, "seed {seed}: from {from}, complete from {complete}");
        for missing in &missing {
            assert!(missing.first <= missing.last && missing.last < complete, "seed {seed}: {missing:?}");
            assert!(
                !indices.iter().any(|index| (missing.first..=missing.last).contains(index)),
                "seed {seed}"
            );
            self.tally.lost += u64::from(missing.why == MissingReason::Lost);
        }
        // Of what is not there, something says so, unless it is before the oldest file.
        if let Some(first) = indices.first() {
            let silent: Vec<u64> = expected(*first..=through)
                .iter()
                .map(index_of)
                .filter(|index| !indices.contains(index))
                .filter(|index| !missing.iter().any(|gap| (gap.first..=gap.last).contains(index)))
                .collect();
            assert!(silent.is_empty(), "seed {seed}: missing without a word: {silent:?}");
        }
        if !self.weather.damage && !self.weather.retention {
            assert_eq!(complete, self.complete_from, "seed {seed}");
        } else if !self.weather.damage {
            assert!(complete >= self.complete_from, "seed {seed}");
        }
    }
}

fn lives(seeds: u64, weather: Weather) -> Tally {
    let mut sum = Tally::default();
    for seed in 0..seeds {
        let mut life = Life::new(seed, weather);
        for _ in 0..150 {
            life.step();
        }
        life.look();
        let Tally { crashes, gaps, removed, damaged, lost } = life.tally;
        sum.crashes += crashes;
        sum.gaps += gaps;
        sum.removed += removed;
        sum.damaged += damaged;
        sum.lost += lost;
    }
    sum
}

#[test]
fn crashes_and_gaps_leave_exactly_the_records_of_all_indices_but_those_that_were_passed_over() {
    let tally = lives(60, Weather { gaps: true, ..Weather::default() });
    assert!(tally.crashes > 300 && tally.gaps > 200 && tally.lost == 0, "it happened");
}

#[test]
fn what_retention_leaves_is_whole_from_where_it_says() {
    let tally = lives(60, Weather { gaps: true, retention: true, ..Weather::default() });
    assert!(tally.crashes > 300 && tally.removed > 200 && tally.lost == 0, "it happened");
}

#[test]
fn damage_never_makes_a_record_up_and_what_it_takes_is_said() {
    let tally = lives(60, Weather { gaps: true, retention: false, damage: true });
    assert!(tally.damaged > 200 && tally.lost > 50, "{} damaged, {} lost", tally.damaged, tally.lost);
    let tally = lives(40, Weather { gaps: true, retention: true, damage: true });
    assert!(tally.damaged > 100 && tally.removed > 100, "it happened");
}
