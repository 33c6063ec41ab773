//! Which fault comes when. All of it follows from the seed; how the processes take it does not.
//!
//! # Why a deck and not dice
//! Each kind of fault is a card, the deck is shuffled, and a new one is taken when it is used up. So a run of some
//! minutes has had every kind, and no kind twice as often as another.

use super::super::raft::rng::Rng;

macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// What is done to the cluster.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Fault {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// What it is called on the command line and in reports.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

faults! {
    /// `kill -9` of a follower.
    KillFollower = "kill-follower",
    /// `kill -9` of the leader.
    KillLeader = "kill-leader",
    /// `kill -9` of all nodes at once.
    KillAll = "kill-all",
    /// The leader is suspended for longer than an election takes.
    PauseLeader = "pause-leader",
    /// A follower is suspended for as long.
    PauseFollower = "pause-follower",
    /// The leader is asked to stop, and started again.
    StopLeader = "stop-leader",
    /// A follower is asked to stop, and started again.
    StopFollower = "stop-follower",
    /// Another voter is made the leader.
    Transfer = "transfer",
    /// A member that serves is replaced by a new one.
    Replace = "replace-member",
    /// A follower is killed and its directory removed: it must not come back, and is replaced.
    Wipe = "wiped-member",
    /// Frames between all peers are delayed, each connection by its own time, so that lanes overtake each other.
    Delay = "delay",
    /// Frames are delivered twice.
    Duplicate = "duplicate-frames",
    /// Frames from earlier are delivered again, also ones of connections that have ended.
    Replay = "replay-frames",
    /// A frame is cut in the middle, and the connection with it.
    Tear = "torn-frames",
    /// What the leader says to one follower does not arrive; the other direction works.
    OneWay = "one-way-loss",
    /// What one follower says to anybody is not heard.
    Mute = "mute-node",
    /// What is said to the leader does not arrive, and what it says does.
    DeafLeader = "deaf-leader",
    /// Connections of one follower are accepted, and nothing comes out of them, not even their end.
    HalfOpen = "half-open",
    /// The links of one node carry some kilobytes a second.
    SlowLink = "slow-link",
    /// Answers to clients get lost, and their connections are cut then.
    LostReplies = "lost-replies",
    /// One follower is cut off from all peers and clients.
    PartitionFollower = "partition-follower",
    /// The leader is cut off from all peers and clients.
    PartitionLeader = "partition-leader",
    /// Two nodes do not reach one another, and each reaches the others.
    Bridge = "bridge",
    /// The link of a follower's host goes down.
    HostDown = "host-down",
    /// The link of the leader's host goes down.
    LeaderHostDown = "leader-host-down",
    /// Two hosts do not reach one another, and each reaches the others.
    HostsIsolated = "hosts-isolated",
    /// The disk of one node is full.
    DiskFull = "disk-full",
    /// The power of one node is cut: what was not synced is lost.
    PowerCut = "power-cut",
    /// The power of all nodes is cut.
    PowerCutAll = "power-cut-all",
    /// The disk of one node fails every sync from now on: its process has to end by itself.
    SyncFails = "sync-fails",
    /// Bits of the log of one stopped node are flipped.
    RotLog = "rot-log",
    /// A sector of the log of one stopped node is zeroed.
    ZeroLog = "zeroed-log",
    /// Bits of a snapshot of one stopped node are flipped.
    RotSnapshot = "rot-snapshot",
    /// The disk of one node writes some hundred kilobytes a second.
    SlowDisk = "slow-disk",
}

impl Fault {
    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|fault| fault.name() == name)
    }

    /// Whether it takes the leader away, so that writes wait for another one.
    #[must_use]
    pub fn strikes_the_leader(self) -> bool {
        matches!(
            self,
            Self::KillLeader
                | Self::KillAll
                | Self::PauseLeader
                | Self::StopLeader
                | Self::DeafLeader
                | Self::PartitionLeader
                | Self::LeaderHostDown
                | Self::PowerCutAll
        )
    }
}

/// One fault: what, for how long, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is done.
    pub fault: Fault,
    /// How long nothing is done before it, in milliseconds.
    pub quiet_ms: u64,
    /// How long it lasts, in milliseconds, if it is one that lasts.
    pub lasts_ms: u64,
    /// Chance for everything else: which follower, how slow, which byte.
    pub chance: u64,
}

/// The faults of a seed, one after the other, without end.
#[derive(Debug)]
pub struct Schedule {
    rng: Rng,
    faults: Vec<Fault>,
    deck: Vec<Fault>,
    faster: bool,
}

impl Schedule {
    /// Of this seed, with these faults. `faster` is for runs of seconds.
    #[must_use]
    pub fn new(seed: u64, faults: &[Fault], faster: bool) -> Self {
        Self { rng: Rng::new(seed), faults: faults.to_vec(), deck: Vec::new(), faster }
    }
}

impl Iterator for Schedule {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if self.deck.is_empty() {
            self.deck.clone_from(&self.faults);
            for place in (1..self.deck.len()).rev() {
                let other = self.rng.position(place + 1);
                self.deck.swap(place, other);
            }
        }
        let fault = self.deck.pop()?;
        let (quiet, lasts) =
            if self.faster { ((200, 400), (700, 1_200)) } else { ((1_000, 3_000), (2_000, 6_000)) };
        Some(Step {
            fault,
            quiet_ms: self.rng.between(quiet.0, quiet.1),
            lasts_ms: self.rng.between(lasts.0, lasts.1),
            chance: self.rng.word(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn steps(seed: u64, count: usize) -> Vec<Step> {
        Schedule::new(seed, Fault::ALL, false).take(count).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_schedule_and_another_one_another() {
        for seed in 0..50 {
            assert_eq!(steps(seed, 100), steps(seed, 100), "seed {seed}");
            assert_ne!(steps(seed, 100), steps(seed + 1, 100), "seed {seed}");
        }
    }

    #[test]
    fn every_fault_comes_before_any_comes_again() {
        for seed in 0..50 {
            let two = steps(seed, 2 * Fault::ALL.len());
            for deck in two.chunks(Fault::ALL.len()) {
                let kinds: BTreeSet<Fault> = deck.iter().map(|step| step.fault).collect();
                assert_eq!(kinds.len(), Fault::ALL.len(), "seed {seed}");
            }
        }
    }

    #[test]
    fn no_faults_make_no_schedule() {
        assert_eq!(Schedule::new(1, &[], false).next(), None);
    }

    #[test]
    fn each_fault_has_a_name_of_its_own() {
        let names: BTreeSet<&str> = Fault::ALL.iter().map(|fault| fault.name()).collect();
        assert_eq!(names.len(), Fault::ALL.len());
        assert!(Fault::ALL.iter().all(|fault| Fault::named(fault.name()) == Some(*fault)));
        assert_eq!(Fault::named("none"), None);
    }
}
