//! `holdfast doctor`: what ails a cluster, or the directory of a node that is stopped, and what to do about it.
//!
//! # Why collecting and judging are apart
//! An ailment is rare, and half of them cannot be planted in a test without a sick disk or a wrong clock. So [`judge()`] and
//! [`offline::judge`] are functions of facts, tried out at each threshold and one beyond it; what collects the facts decides
//! nothing.
//!
//! ```text
//!   visit    every endpoint and every member ──► Visit ──┐
//!   system   the operating system, at the node           ├─► judge ──► findings, worst first
//!   offline  a data directory, read-only ──► Ward ───────┘
//! ```
//!
//! # What the severities mean
//! *Fail*: something is broken now, or what was acknowledged is at risk. *Warn*: nothing is broken yet, and a margin that is
//! there for a reason is gone. Whatever cannot be found out is said to be unknown, and never passes for well.

#[cfg(test)]
mod ailments;
mod check;
pub mod facts;
mod judge;
pub mod lock;
mod members;
mod nodes;
pub mod offline;
pub mod probe;
pub mod system;
pub mod visit;

use holdfast_machine::Numbered as _;

pub use check::Check;
pub(crate) use check::{CLI, CLOCK, DAMAGED, DISK_FULL, LOST_QUORUM, REPLACE, RESTORE, SLOW_DISK, UPGRADE};
pub use judge::judge;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Nothing is broken yet, and a margin is gone.
    Warn,
    /// Something is broken, or what was acknowledged is at risk.
    Fail,
}

impl Severity {
    /// As it is printed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// Whom a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whom {
    /// All of them together.
    Cluster,
    /// A member.
    Node(u64),
    /// An endpoint, or a directory.
    Place(String),
}

impl std::fmt::Display for Whom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cluster => f.write_str("cluster"),
            Self::Node(node) => write!(f, "node {node}"),
            Self::Place(place) => f.write_str(place),
        }
    }
}

/// What was found of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was looked at.
    pub check: Check,
    /// Whom it is about.
    pub whom: Whom,
    /// What was found, with its figures.
    pub what: String,
    /// A command, or a page; empty if all is well.
    pub next: String,
}

/// From when on something is an ailment. What is `None` follows from what the node says, as [`Check::rules`] tells.
#[derive(Clone, Debug)]
pub struct Thresholds {
    /// 99 of 100 syncs should take no longer, in microseconds.
    pub sync_p99_us: Option<u64>,
    /// So many bytes should be free.
    pub free_bytes: Option<u64>,
    /// Clocks should differ by no more, in milliseconds.
    pub clock_offset_ms: u64,
    /// 99 of 100 heartbeats should be answered within this, in microseconds.
    pub round_trip_us: Option<u64>,
    /// No member should be further behind, in entries.
    pub lag: u64,
    /// A process should be able to open so many files.
    pub open_files: u64,
    /// So much of the memory may be used, in percent.
    pub memory_percent: u64,
    /// History should have no more bytes.
    pub history_bytes: Option<u64>,
    /// There should be no more leases.
    pub leases: Option<u64>,
    /// There should be no more sessions.
    pub sessions: Option<u64>,
    /// Checks that are left out.
    pub except: Vec<Check>,
}

/// Clocks that are kept by NTP differ by a few milliseconds, and the bound of stamps is a second: half of it is left.
pub const CLOCK_OFFSET_MS: u64 = 500;

/// A member that is this far behind is not merely a message behind, however many clients write.
pub const LAG: u64 = 1_000;

/// Percent of the memory that may be used: the rest is what the system writes a snapshot through.
pub const MEMORY_PERCENT: u64 = 80;

/// As many clients as a node lets in, and 1,024 more: HTTP, peers, files.
pub const OPEN_FILES: u64 = crate::runtime::clients::CLIENTS_MAX as u64 + 1_024;

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            sync_p99_us: None,
            free_bytes: None,
            clock_offset_ms: CLOCK_OFFSET_MS,
            round_trip_us: None,
            lag: LAG,
            open_files: OPEN_FILES,
            memory_percent: MEMORY_PERCENT,
            history_bytes: None,
            leases: None,
            sessions: None,
            except: Vec::new(),
        }
    }
}

/// Worst first; of equally bad ones, in the order of the checks.
pub fn sort(findings: &mut [Finding]) {
    findings.sort_by(|one, other| {
        let of = |finding: &Finding| {
            (std::cmp::Reverse(finding.severity), finding.check.number(), finding.whom.clone())
        };
        of(one).cmp(&of(other))
    });
}

/// How bad all of them together are.
#[must_use]
pub fn worst(findings: &[Finding]) -> Severity {
    findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Ok)
}

/// All of them in a sentence.
#[must_use]
pub fn sentence(findings: &[Finding]) -> String {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let of = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    let (failures, warnings) = (count(Severity::Fail), count(Severity::Warn));
    match (failures, warnings) {
        (0, 0) => format!("all is well: {}", of(findings.len(), "check")),
        (0, _) => format!("{}; nothing is broken", of(warnings, "warning")),
        (_, 0) => of(failures, "failure"),
        _ => format!("{}, {}", of(failures, "failure"), of(warnings, "warning")),
    }
}

/// Notes findings.
#[derive(Debug, Default)]
pub(crate) struct Notes(pub(crate) Vec<Finding>);

impl Notes {
    pub(crate) fn note(
        &mut self,
        severity: Severity,
        check: Check,
        whom: &Whom,
        what: impl Into<String>,
        next: impl Into<String>,
    ) {
        let next = if severity == Severity::Ok { String::new() } else { next.into() };
        self.0.push(Finding { severity, check, whom: whom.clone(), what: what.into(), next });
    }
}

/// Bytes for people: `36.2 GiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut tenths = count.saturating_mul(10);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1_024;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit]) }
}

/// Microseconds for people: `1.25 ms`.
pub(crate) fn micros(count: u64) -> String {
    match count {
        0..1_000 => format!("{count} µs"),
        1_000..1_000_000 => format!("{}.{:02} ms", count / 1_000, count % 1_000 / 10),
        _ => format!("{}.{:02} s", count / 1_000_000, count % 1_000_000 / 10_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_sorted_worst_first_and_counted_in_a_sentence() {
        let mut notes = Notes::default();
        assert_eq!(sentence(&notes.0), "all is well: 0 checks");
        notes.note(Severity::Ok, Check::Memory, &Whom::Node(1), "fine", "nothing");
        assert_eq!((sentence(&notes.0), worst(&notes.0)), ("all is well: 1 check".to_owned(), Severity::Ok));
        notes.note(Severity::Warn, Check::Inodes, &Whom::Node(2), "few", "free some");
        assert_eq!(sentence(&notes.0), "1 warning; nothing is broken");
        notes.note(Severity::Fail, Check::Inodes, &Whom::Node(1), "none", "free some");
        notes.note(Severity::Warn, Check::Clock, &Whom::Cluster, "off", "set it");
        assert_eq!(sentence(&notes.0), "1 failure, 2 warnings");
        let mut findings = notes.0;
        sort(&mut findings);
        let order: Vec<_> = findings.iter().map(|finding| (finding.severity.name(), finding.check)).collect();
        let wanted =
            [("fail", Check::Inodes), ("warn", Check::Inodes), ("warn", Check::Clock), ("ok", Check::Memory)];
        assert_eq!(order, wanted);
        assert!(findings[3].next.is_empty(), "nothing is to be done about what is well");
    }

    #[test]
    fn figures_are_written_for_people() {
        assert_eq!([bytes(1_023), bytes(1_024), bytes(38_888_888_888)], ["1023 B", "1.0 KiB", "36.2 GiB"]);
        assert_eq!([micros(999), micros(1_250), micros(2_340_000)], ["999 µs", "1.25 ms", "2.34 s"]);
        assert_eq!(bytes(u64::MAX), "1677721.5 TiB");
    }
}
