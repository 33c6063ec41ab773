//! What the doctor looks at: names, numbers, and when each is an ailment.

use holdfast_machine::{Numbered as _, numbered};

numbered! {
    /// What is looked at. Numbers and names are a promise to scripts: they are only ever added.
    pub enum Check: u8, "Q" {
        /// Each member answers at its client address.
        Reachable = 1,
        /// A leader serves, and enough voters for it answer.
        Quorum = 2,
        /// Each member that answers serves.
        Serving = 3,
        /// Whoever answers belongs to the same cluster, and to the same life of it.
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
        /// No drill is on: nobody makes the node worse than it is, on purpose.
        Drill = 31,
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
            Self::SameCluster => [
                "",
                "somebody answers who belongs to another cluster, to another life (epoch) of it, or to none",
                LOST_QUORUM,
            ],
            Self::OddVoters => ["2, 4, 6, … voters", "", REPLACE],
            Self::PeersConnected => ["", "a connection that should be open is not", CLI],
            Self::Lag => ["more than `--lag` entries behind", "", SLOW_DISK],
            Self::SameBuild => ["builds differ", "", UPGRADE],
            Self::FeatureLevel => ["what the builds can apply differs", "", UPGRADE],
            Self::SameState => ["", "states differ, and nobody is in the majority", RESTORE],
            Self::LogWhole => [
                "a part of the log is damaged that the next start writes anew",
                "something that was acknowledged is damaged, or term and vote are; or it is another node's",
                DAMAGED,
            ],
            Self::SnapshotsWhole => [
                "one is damaged, and a newer or an older one is whole",
                "none is whole; or one is of another cluster, or of another life of it",
                DAMAGED,
            ],
            Self::AuditLog => [
                "half as much waits to be written as may wait; or a file is damaged",
                "it cannot be written; or a file is of another cluster, or of a later life of it",
                DISK_FULL,
            ],
            Self::Identity => [
                "one copy is damaged, missing or an older one; or nothing at all is in the directory",
                "both are damaged, or missing where a log or a snapshot is",
                REPLACE,
            ],
            Self::DiskAnswers => [
                "",
                "a sync has been waiting for two election timeouts, or the file system says nothing",
                SLOW_DISK,
            ],
            Self::DiskSync => [
                "99 of 100, or of fewer than 300 syncs half, take longer than `--sync-p99`, a tenth of the election timeout by default",
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
                "99 of 100, or of fewer than 300 half, take longer than `--round-trip`, a tenth of the election timeout by default",
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
            Self::Drill => ["one is", "", CLI],
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
}
