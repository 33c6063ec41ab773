//! What a core is told when it is made: who it is, and every limit and timeout, each with its reason.

use std::fmt;

use crate::{Boot, COUNT_MAX, ClusterEpoch, ClusterId, NodeId, NodeUuid};

/// Shortest election timeout in ticks of 10 ms: 300 ms, drawn anew up to twice that for each attempt. Six heartbeats may
/// be lost or late before anybody stirs, and a failover still ends within about half a second.
pub const ELECTION_TICKS: u32 = 30;

/// Ticks between heartbeats: 50 ms. Six fit into the shortest election timeout, and an idle leader of 64 members sends
/// 1,260 small messages a second.
pub const HEARTBEAT_TICKS: u32 = 5;

/// When the process of the leader is known to be dead, each voter campaigns so many ticks after the one with the next lower
/// number: time enough to win, which takes two round trips and two syncs, and two that campaign at once share the votes. Rounds of such
/// turns follow one another until nobody can believe any more that the leader lives: a voter that does not know it yet refuses, and in
/// a third of the failovers under load it did, which cost another 300 to 450 ms.
pub const REFUSED_STEP_TICKS: u32 = 3;

/// Heartbeats for which a node that has just started waits for a leader before it asks around. A leader sends one as soon as the
/// node is connected, and the next after one heartbeat.
pub const START_HEARTBEATS: u32 = 2;

/// How many ticks the oldest write of a leader may wait for its own disk before the leader gives up its office: twice the
/// shortest election timeout. Its heartbeats still flow, so nobody else would notice (etcd #15247).
pub const DISK_STALL_TICKS: u32 = 2 * ELECTION_TICKS;

/// Bytes of entries in one append. Large enough that a sync is shared by thousands of small writes, small enough that a
/// frame stays far below the body cap of the wire (16 MiB), and that a heartbeat never waits long behind one.
pub const APPEND_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of one command. It travels alone in an append, and a frame of the wire has at most 16 MiB: what could never be sent
/// must never be appended, for it would stand in the way of all that follows.
pub const ENTRY_DATA_BYTES_MAX: usize = 12 * 1024 * 1024;

/// Appends on their way to one peer. One leaves per turn, and a turn is seldom shorter than a sync of 150 µs: enough for a
/// round trip of 10 ms.
pub const INFLIGHT_APPENDS_MAX: usize = 64;

/// Bytes of entries on their way to one peer: what a link of 10 Gbit/s carries in some 6 ms.
pub const INFLIGHT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes that a leader holds uncommitted before it refuses proposals: what bounds its memory while no quorum answers.
pub const UNCOMMITTED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of committed entries handed out for application at a time; the rest follows as they are reported applied. Four full
/// appends: bounds how long a turn spends applying, and what is held twice meanwhile.
pub const APPLY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of a snapshot in one message. Half a full append, so that nothing waits long behind one; with a round trip of 1 ms
/// still 500 MB/s.
pub const CHUNK_BYTES_MAX: usize = 512 * 1024;

/// Bytes of entries kept behind the snapshot for peers that are slow. One that needs older ones gets the snapshot. Most are on
/// the disk only (see [`RESIDENT_BYTES`]); a peer that was away for a minute at 1 MB/s is still caught up from the log.
pub const RETAIN_BYTES: usize = 64 * 1024 * 1024;

/// What no peer that answers needs any more is kept up to this part of the retention: enough for a node that restarts, at
/// no cost that anybody notices.
pub const RETAIN_SPARE_DIVISOR: usize = 8;

/// Bytes of entries that are held in memory although the disk has them and they are applied: four full appends, what a peer that is
/// slow for a moment needs next. Older ones are read back from the disk for the peer that needs them.
pub const RESIDENT_BYTES: usize = 4 * 1024 * 1024;

/// Entries are let go of in pieces of this part of [`RESIDENT_BYTES`], and not one by one.
pub const RESIDENT_SPARE_DIVISOR: usize = 8;

/// Heartbeats after which a probe that was not answered is sent again. A lost probe holds everything up, and one more costs
/// little.
pub const PROBE_HEARTBEATS: u32 = 2;

/// Election timeouts for which a node that was removed is still sent the log: it should learn that it was.
pub const LEAVING_ELECTIONS: u32 = 2;

/// A learner that is at most this many entries behind is caught up: what a leader replicates within one round trip.
pub const CAUGHT_UP_ENTRIES: u64 = 1024;

/// Reads that wait for confirmation at one node. One takes some 100 bytes, and a round takes a millisecond: the limit is
/// reached only when no quorum answers.
pub const READS_MAX: usize = 65_536;

/// Everything that a core is told when it is made.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which cluster.
    pub cluster: ClusterId,
    /// Which life of it.
    pub epoch: ClusterEpoch,
    /// Which node; at least 1.
    pub id: NodeId,
    /// Which data directory of it.
    pub uuid: NodeUuid,
    /// Which start of its process; at least 1, and larger than any before, durably.
    pub boot: Boot,
    /// Where the random part of election timeouts comes from. Another one for each node and boot.
    pub seed: u64,
    /// Shortest election timeout in ticks; each attempt draws from there to one below twice that. Also how long a voter
    /// sticks to a leader it heard, how often a leader counts its quorum, and when a transfer is given up.
    pub election_ticks: u32,
    /// Ticks between heartbeats; less than half of `election_ticks`.
    pub heartbeat_ticks: u32,
    /// Ticks that a leader's own disk may take; see [`DISK_STALL_TICKS`].
    pub disk_stall_ticks: u32,
    /// Bytes of entries in one append. An entry that is larger travels alone.
    pub append_bytes_max: usize,
    /// Appends on their way to one peer; at least 1.
    pub inflight_appends_max: usize,
    /// Bytes of entries on their way to one peer.
    pub inflight_bytes_max: usize,
    /// Bytes of uncommitted entries at a leader. One batch is always let in when nothing is uncommitted.
    pub uncommitted_bytes_max: usize,
    /// Bytes of committed entries handed out ahead of what was reported applied. One entry is always handed out.
    pub apply_bytes_max: usize,
    /// Bytes of a snapshot in one message; at least 1.
    pub chunk_bytes_max: usize,
    /// Bytes of entries kept behind the snapshot.
    pub retain_bytes: usize,
    /// Bytes of entries held in memory that are durable and applied; any number, 0 too.
    pub resident_bytes: usize,
    /// How far behind a learner may be and count as caught up, in entries.
    pub caught_up_entries: u64,
    /// Reads that wait for confirmation.
    pub reads_max: usize,
}

/// Why a [`Config`] is no configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadConfig(pub &'static str);

impl fmt::Display for BadConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for BadConfig {}

impl Config {
    /// The usual limits for this node.
    #[must_use]
    pub fn new(cluster: ClusterId, id: NodeId, uuid: NodeUuid, boot: Boot, seed: u64) -> Self {
        Self {
            cluster,
            epoch: ClusterEpoch(1),
            id,
            uuid,
            boot,
            seed,
            election_ticks: ELECTION_TICKS,
            heartbeat_ticks: HEARTBEAT_TICKS,
            disk_stall_ticks: DISK_STALL_TICKS,
            append_bytes_max: APPEND_BYTES_MAX,
            inflight_appends_max: INFLIGHT_APPENDS_MAX,
            inflight_bytes_max: INFLIGHT_BYTES_MAX,
            uncommitted_bytes_max: UNCOMMITTED_BYTES_MAX,
            apply_bytes_max: APPLY_BYTES_MAX,
            chunk_bytes_max: CHUNK_BYTES_MAX,
            retain_bytes: RETAIN_BYTES,
            resident_bytes: RESIDENT_BYTES,
            caught_up_entries: CAUGHT_UP_ENTRIES,
            reads_max: READS_MAX,
        }
    }

    /// That every number is in its range.
    ///
    /// # Errors
    /// [`BadConfig`] with the rule that is broken.
    pub fn validate(&self) -> Result<(), BadConfig> {
        let rules = [
            (self.id.0 >= 1 && self.id.0 < COUNT_MAX, "a node id is at least 1 and below 2^62"),
            (self.boot.0 >= 1 && self.boot.0 < COUNT_MAX, "a boot is at least 1 and below 2^62"),
            (self.epoch.0 >= 1 && self.epoch.0 < COUNT_MAX, "a cluster epoch is at least 1 and below 2^62"),
            (self.heartbeat_ticks >= 1, "a heartbeat takes at least one tick"),
            (
                self.election_ticks > 2 * self.heartbeat_ticks,
                "an election timeout is longer than two heartbeats, or one lost message starts an election",
            ),
            (self.election_ticks < 1 << 20, "an election timeout is below 2^20 ticks"),
            (self.disk_stall_ticks >= 1, "a disk may take at least one tick"),
            (self.inflight_appends_max >= 1, "at least one append may be on its way"),
            (self.append_bytes_max >= 1 && self.chunk_bytes_max >= 1, "messages carry at least one byte"),
        ];
        rules.iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, rule)| Err(BadConfig(rule)))
    }
}
