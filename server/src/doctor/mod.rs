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
pub mod facts;
mod judge;
mod nodes;
pub mod offline;
pub mod probe;
pub mod system;
pub mod visit;

use holdfast_machine::{Numbered as _, numbered};

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

numbered! {
    /// What is looked at. Numbers and names are a promise to scripts: they are only ever added.
    pub enum Check: u8, "Q" {
        /// Each member answers at its client address.
        Reachable = 1,
        /// A leader serves, and enough voters for it answer.
        Quorum = 2,
        /// Each member that answers serves.
        Serving = 3,
        /// Whoever answers belongs to the same cluster.
        SameCluster = 4,
        /// The number of voters is odd: an even one needs one more for a quorum, and may lose no more.
        OddVoters = 5,
        /// Every member that answers has connections to all others that do, from either side.
        PeersConnected = 6,
        /// No member lags behind the leader, learners among them.
        Lag = 7,
        /// All run the same build.
        SameBuild = 8,
        /// All builds can apply the same feature level.
        FeatureLevel = 9,
        /// The members have made the same of the same entries.
        SameState = 10,
        /// The log of the node is whole, and so are its term and its vote.
        LogWhole = 11,
        /// Its snapshots are whole.
        SnapshotsWhole = 12,
        /// Its audit log can be written, and is whole.
        AuditLog = 13,
        /// Both copies of the file that says who the node is are whole, and say the same.
        Identity = 14,
        /// Its disk answers.
        DiskAnswers = 15,
        /// It syncs fast enough for the election timeout.
        DiskSync = 16,
        /// There is room for the log, snapshots and what they need while they are written.
        DiskSpace = 17,
        /// Files can still be made there.
        Inodes = 18,
        /// The file system keeps what is synced, and is mounted so that it does.
        FileSystem = 19,
        /// The process may open as many files and sockets as it needs.
        OpenFiles = 20,
        /// It has memory left.
        Memory = 21,
        /// The clocks of the members and of this machine agree.
        Clock = 22,
        /// No stamp in the store is further ahead of the time of day than clocks should differ.
        Stamps = 23,
        /// Heartbeats come back fast enough for the election timeout.
        RoundTrip = 24,
        /// History is compacted, and has a bound.
        Compaction = 25,
        /// There is room for more leases.
        Leases = 26,
        /// There is room for more sessions.
        Sessions = 27,
        /// There is room for more clients.
        Clients = 28,
        /// The node could say how it is.
        Examined = 29,
        /// No process works in the directory while it is looked at.
        NotInUse = 30,
    }
}

impl Check {
    /// Its name, as it is printed: `disk-sync`.
    #[must_use]
    pub fn key(self) -> String {
        let mut key = String::new();
        for letter in self.name().chars() {
            if letter.is_ascii_uppercase() && !key.is_empty() {
                key.push('-');
            }
            key.push(letter.to_ascii_lowercase());
        }
        key
    }

    /// The one with this name.
    #[must_use]
    pub fn from_key(key: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|check| check.key() == key)
    }

    /// When it warns, when it fails, and which page tells more; for the documentation.
    #[must_use]
    pub fn rules(self) -> [&'static str; 3] {
        match self {
            Self::Reachable => [
                "an endpoint that was named, and is no member, does not answer; or a member that others reach has not told its client address",
                "a member does not answer",
                CLI,
            ],
            Self::Quorum => ["", "no leader serves", LOST_QUORUM],
            Self::Serving => ["a member answers and does not serve", "", CLI],
            Self::SameCluster => ["", "somebody answers who belongs to another cluster, or to none", CLI],
            Self::OddVoters => ["2, 4, 6, … voters", "", REPLACE],
            Self::PeersConnected => ["", "a connection that should be open is not", CLI],
            Self::Lag => ["more than `--lag` entries behind", "", SLOW_DISK],
            Self::SameBuild => ["builds differ", "", UPGRADE],
            Self::FeatureLevel => ["what the builds can apply differs", "", UPGRADE],
            Self::SameState => ["", "states differ, and nobody is in the majority", RESTORE],
            Self::LogWhole => [
                "a part of the log is damaged that the next start writes anew",
                "something that was acknowledged is damaged, or term and vote are",
                DAMAGED,
            ],
            Self::SnapshotsWhole => {
                ["one is damaged, and a newer or an older one is whole", "none is whole", DAMAGED]
            }
            Self::AuditLog => [
                "half as much waits to be written as may wait; or a file is damaged",
                "it cannot be written",
                DISK_FULL,
            ],
            Self::Identity => {
                ["one copy is damaged, missing or an older one", "both are damaged or missing", REPLACE]
            }
            Self::DiskAnswers => [
                "",
                "a sync has been waiting for two election timeouts, or the file system says nothing",
                SLOW_DISK,
            ],
            Self::DiskSync => [
                "99 of 100 take longer than `--sync-p99`, a tenth of the election timeout by default",
                "and longer than a third of it",
                SLOW_DISK,
            ],
            Self::DiskSpace => [
                "less is free than `--free-space`; by default four segments of the log and two snapshots, 1 GiB at least",
                "less than a segment of the log is free, or the log has found the disk full",
                DISK_FULL,
            ],
            Self::Inodes => ["fewer than 1,000 are free", "fewer than 10 are free", DISK_FULL],
            Self::FileSystem => [
                "in memory, over a network, layered, or one without a journal; or mounted without barriers or with `data=writeback`",
                "mounted read-only",
                SLOW_DISK,
            ],
            Self::OpenFiles => [
                "the limit is below `--open-files`: as many clients as a node lets in, and 1,024 more",
                "nine tenths of the limit are open",
                CLI,
            ],
            Self::Memory => ["more than `--memory` percent of what there is are used", "95 percent are", CLI],
            Self::Clock => ["it differs by more than `--clock-offset`", "", CLOCK],
            Self::Stamps => ["one is", "", CLOCK],
            Self::RoundTrip => [
                "99 of 100 take longer than `--round-trip`, a tenth of the election timeout by default",
                "and longer than a third of it",
                SLOW_DISK,
            ],
            Self::Compaction => [
                "history has more bytes than `--history`, by default a quarter more than the settings allow; or it has no bound; or \
                 100,000 revisions are due",
                "",
                CLI,
            ],
            Self::Leases => [
                "more than `--leases`, by default four fifths of the most there may be",
                "as many as there may be",
                CLI,
            ],
            Self::Sessions => [
                "more than `--sessions`, by default four fifths of the most there may be",
                "as many as there may be",
                CLI,
            ],
            Self::Clients => {
                ["four fifths of the connections that a node lets in are open", "all of them are", CLI]
            }
            Self::Examined => ["it did not", "", UPGRADE],
            Self::NotInUse => {
                ["a process does: what it writes meanwhile may look torn, and the disk is not tried", "", CLI]
            }
        }
    }
}

pub(crate) const CLI: &str = "docs/doctor.md";
pub(crate) const LOST_QUORUM: &str = "docs/runbooks/lost-quorum.md";
pub(crate) const DISK_FULL: &str = "docs/runbooks/disk-full.md";
pub(crate) const SLOW_DISK: &str = "docs/runbooks/slow-disk.md";
pub(crate) const REPLACE: &str = "docs/runbooks/replace-a-member.md";
pub(crate) const DAMAGED: &str = "docs/runbooks/damaged-segment.md";
pub(crate) const RESTORE: &str = "docs/runbooks/restore.md";
pub(crate) const CLOCK: &str = "docs/runbooks/clock.md";
pub(crate) const UPGRADE: &str = "docs/runbooks/upgrade.md";

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
    fn the_name_of_a_check_finds_it_again() {
        for check in Check::ALL {
            assert_eq!(Check::from_key(&check.key()), Some(*check), "{}", check.key());
        }
        assert_eq!(Check::DiskSync.key(), "disk-sync");
        assert_eq!(Check::from_key("disk"), None);
    }

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
