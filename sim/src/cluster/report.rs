//! What a run leaves behind: a timeline as it goes, a table and a line at its end.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::record::Recorder;
use super::schedule::Fault;
use crate::history::{Answer, Ask, Freshness, History, Micros};

/// A file with a line for everything that was done to the cluster, and for what became of it.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    file: Arc<Mutex<File>>,
    recorder: Recorder,
    loud: bool,
}

impl Timeline {
    /// In this file. `loud`: on the terminal as well.
    pub(super) fn new(path: &Path, recorder: Recorder, loud: bool) -> std::io::Result<Self> {
        Ok(Self { file: Arc::new(Mutex::new(File::create(path)?)), recorder, loud })
    }

    /// A line, behind the seconds since the run began.
    pub(super) fn line(&self, what: fmt::Arguments<'_>) {
        self.quiet_line(what);
        if self.loud {
            println!("{:9.3} {what}", seconds(self.recorder.now()));
        }
    }

    /// A line for the file alone.
    pub(super) fn quiet_line(&self, what: fmt::Arguments<'_>) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(file, "{:9.3} {what}", seconds(self.recorder.now()));
    }
}

/// For people.
#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(super) fn seconds(micros: Micros) -> f64 {
    micros as f64 / 1e6
}

/// What became of the faults of one kind.
#[derive(Debug, Default)]
pub(super) struct Row {
    /// How many there were.
    pub(super) done: u64,
    /// How many could not be made, and why the last one could not.
    pub(super) skipped: u64,
    /// Why, or what else is to be said.
    pub(super) note: String,
    /// From the fault to the next acknowledged write, in microseconds.
    pub(super) gaps: Vec<Micros>,
}

/// All of them.
pub(super) type Rows = BTreeMap<Fault, Row>;

/// The table of the faults, the operations, and the gaps.
pub(super) fn table(rows: &Rows, history: &History) -> String {
    use fmt::Write as _;
    let mut text = String::new();
    let _ = writeln!(text, "{:<20} {:>5} {:>7}  longest gap  note", "fault", "done", "skipped");
    for (fault, row) in rows {
        let gap = row.gaps.iter().max().map_or("-".to_owned(), |gap| format!("{} ms", gap / 1_000));
        let _ = writeln!(
            text,
            "{:<20} {:>5} {:>7} {gap:>12}  {}",
            fault.name(),
            row.done,
            row.skipped,
            row.note.lines().next().unwrap_or_default()
        );
    }
    let mut ops: BTreeMap<&str, [u64; 5]> = BTreeMap::new();
    for op in &history.ops {
        let kind = match &op.ask {
            Ask::Write { fence: Some(_), .. } => "fenced write",
            Ask::Write { only_if, .. } if !only_if.is_empty() => "conditional write",
            Ask::Write { changes, .. } if changes.len() > 1 => "write of several",
            Ask::Write { changes, .. } if changes.iter().all(|(_, value)| value.is_none()) => "delete",
            Ask::Write { .. } => "put",
            Ask::Read { freshness: Freshness::Linearizable, .. } => "linearizable read",
            Ask::Read { freshness: Freshness::NotBefore(_), .. } => "follower read",
        };
        let at = match &op.answer {
            Answer::Written { .. } => 0,
            Answer::NotMet { .. } => 1,
            Answer::Found { .. } => 2,
            Answer::Refused => 3,
            Answer::Unknown => 4,
        };
        ops.entry(kind).or_default()[at] += 1;
    }
    let _ = writeln!(
        text,
        "{:<20} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "operation", "written", "not met", "found", "refused", "unknown"
    );
    for (kind, [written, not_met, found, refused, unknown]) in ops {
        let _ = writeln!(text, "{kind:<20} {written:>9} {not_met:>9} {found:>9} {refused:>9} {unknown:>9}");
    }
    let told: usize = history.watches.iter().map(|watch| watch.told.len()).sum();
    let _ = writeln!(
        text,
        "locks held {}, leases {}, watches {} told {told} things",
        history.grants.len(),
        history.leases.len(),
        history.watches.len()
    );
    let mut gaps: Vec<Micros> = rows
        .iter()
        .filter(|(fault, _)| fault.strikes_the_leader())
        .flat_map(|(_, row)| row.gaps.iter().copied())
        .collect();
    gaps.sort_unstable();
    if let (Some(half), Some(most)) = (gaps.get(gaps.len() / 2), gaps.last()) {
        let _ = writeln!(
            text,
            "failover gaps of {} faults that struck the leader: p50 {} ms, longest {} ms",
            gaps.len(),
            half / 1_000,
            most / 1_000
        );
    }
    text
}

/// Times in which no write was acknowledged, longer than `least`: from the last one before to the first one behind.
pub(super) fn gaps(history: &History, least: Micros) -> Vec<(Micros, Micros)> {
    let written = history.ops.iter().filter(|op| matches!(op.answer, Answer::Written { .. }));
    let mut ends: Vec<Micros> = written.map(|op| op.returned).collect();
    ends.sort_unstable();
    let pairs = ends.windows(2).filter_map(|pair| Some((*pair.first()?, *pair.last()?)));
    pairs.filter(|(from, to)| to - from > least).collect()
}

/// The figures of the last line.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Summary {
    pub(super) minutes: f64,
    pub(super) faults: u64,
    pub(super) ops: usize,
    pub(super) unknown: usize,
    pub(super) lost_acks: usize,
    pub(super) stale_reads: usize,
    pub(super) duplicate_effects: usize,
    pub(super) wedged: u64,
    pub(super) other_violations: usize,
    /// Too little happened to show anything.
    pub(super) void: bool,
}

impl Summary {
    /// Whether nothing was wrong.
    pub(super) fn is_good(&self) -> bool {
        let Self { lost_acks, stale_reads, duplicate_effects, wedged, other_violations, void, .. } = self;
        lost_acks + stale_reads + duplicate_effects + other_violations == 0 && *wedged == 0 && !void
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "minutes={:.1} faults={} ops={} unknown={} lost_acks={} stale_reads={} duplicate_effects={} wedged={} \
             other_violations={} void={}",
            self.minutes,
            self.faults,
            self.ops,
            self.unknown,
            self.lost_acks,
            self.stale_reads,
            self.duplicate_effects,
            self.wedged,
            self.other_violations,
            u8::from(self.void)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Op, Position};

    #[test]
    fn a_gap_lies_between_two_acknowledged_writes_whatever_else_ends_in_it() {
        let at = Position { term: 1, index: 1 };
        let op = |returned, answer| Op {
            client: 1,
            ask: Ask::Read { keys: Vec::new(), freshness: Freshness::Linearizable },
            invoked: 0,
            returned,
            answer,
        };
        let written = |returned| op(returned, Answer::Written { at, revision: 1 });
        let ops = vec![written(900), written(100), op(500, Answer::Unknown), written(120)];
        let history = History { ops, ..History::default() };
        assert_eq!(gaps(&history, 100), [(120, 900)]);
        assert_eq!(gaps(&history, 1_000), []);
    }

    #[test]
    fn a_summary_is_good_only_if_nothing_was_wrong() {
        let good = Summary { minutes: 1.0, faults: 3, ops: 10, unknown: 2, ..Summary::default() };
        assert!(good.is_good());
        for bad in [
            Summary { lost_acks: 1, ..good.clone() },
            Summary { stale_reads: 1, ..good.clone() },
            Summary { duplicate_effects: 1, ..good.clone() },
            Summary { wedged: 1, ..good.clone() },
            Summary { other_violations: 1, ..good.clone() },
            Summary { void: true, ..good.clone() },
        ] {
            assert!(!bad.is_good(), "{bad}");
        }
        assert_eq!(
            good.to_string(),
            "minutes=1.0 faults=3 ops=10 unknown=2 lost_acks=0 stale_reads=0 duplicate_effects=0 wedged=0 \
             other_violations=0 void=0"
        );
    }
}
