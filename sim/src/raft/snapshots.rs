//! What the owner of a core does with snapshots: takes them, reads pieces for peers, and puts received ones in place.

use holdfast_raft::{EntryId, Envelope, Index, Input, LogRead, NodeId, SnapshotMeta, SnapshotWork};

use super::ghost::{Verdict, Violation};
use super::heard::Heard;
use super::machine::{Machine, Snapshot};
use super::network::Packet;
use super::node::Incoming;
use super::probes::Probe;
use super::trace::say;
use super::world::{Happening, World};

/// Of a thousand snapshots, so many cannot be put in place; and of pieces, so many cannot be read.
const SNAPSHOT_FAILS: u64 = 30;

impl World {
    /// Work on snapshots.
    pub(super) fn work(&mut self, at: usize, work: SnapshotWork) -> Verdict {
        let boot = self.nodes[at].boot;
        match work {
            SnapshotWork::Read { to, last, offset, bytes_max } => {
                let wait = self.rng.between(0, self.swarm.disk);
                self.after(wait, Happening::Piece { at, boot, to, last, offset, bytes_max });
                Ok(())
            }
            SnapshotWork::Store { meta, offset, data, ack } => {
                let node = &self.nodes[at];
                self.ghost.judge_piece(node, node.incoming.as_ref(), &meta, offset)?;
                let incoming = &mut self.nodes[at].incoming;
                match incoming {
                    Some(incoming) if offset > 0 => incoming.bytes.extend_from_slice(&data),
                    Some(_) | None => {
                        *incoming = Some(Incoming { meta, bytes: data.to_vec(), installing: false });
                    }
                }
                let wait = self.rng.between(0, self.swarm.disk);
                self.after(wait, Happening::Stored(at, boot, ack));
                Ok(())
            }
            SnapshotWork::Install { meta } => {
                let node = &mut self.nodes[at];
                self.ghost.judge_install(node, node.incoming.as_ref(), &meta)?;
                if let Some(incoming) = &mut node.incoming {
                    incoming.installing = true;
                }
                let longest = if self.rng.chance(self.swarm.stall) {
                    self.swarm.stall_long
                } else {
                    4 * self.swarm.disk
                };
                let wait = self.rng.between(1, longest);
                let fails = self.healing.is_none() && self.rng.chance(SNAPSHOT_FAILS);
                self.after(wait, Happening::Installed(at, boot, meta, !fails));
                self.snapshot_arrives(at);
                Ok(())
            }
        }
    }

    /// A piece is stored, and its acknowledgement leaves.
    ///
    /// # Errors
    /// The promise that it breaks.
    pub fn stored(&mut self, at: usize, ack: Envelope) -> Verdict {
        let promised = self.ghost.promised(&self.nodes[at], &ack.message);
        self.ghost.judge_sending(&self.nodes[at], &ack, promised)?;
        self.send(Packet { made: self.now, replayed: false, envelope: ack });
        Ok(())
    }

    /// A piece of a snapshot was read; or not, when a newer one took its place, or the disk fails.
    ///
    /// # Errors
    /// The property that does not hold any more.
    pub fn piece_read(
        &mut self,
        at: usize,
        to: NodeId,
        last: EntryId,
        offset: u64,
        bytes_max: usize,
    ) -> Verdict {
        let fails = self.healing.is_none() && self.rng.chance(SNAPSHOT_FAILS);
        let data = self.nodes[at].read_snapshot(last, offset, bytes_max).filter(|_| !fails);
        self.tell(at, Input::SnapshotRead { to, last, offset, data }, Heard::Other).map(|_| ())
    }

    /// Entries were read back, all or some of them; or none, when they are trimmed meanwhile, or the disk fails.
    ///
    /// # Errors
    /// The property that does not hold any more.
    pub fn entries_read(&mut self, at: usize, read: LogRead) -> Verdict {
        let LogRead { to, first, last, .. } = read;
        let fails = self.healing.is_none() && self.rng.chance(SNAPSHOT_FAILS);
        let most = if self.rng.chance(300) { self.rng.between(1, 3) } else { u64::MAX };
        let disk = &self.nodes[at].disk;
        let wanted = first.0..=last.0.min(first.0.saturating_add(most - 1));
        let there = wanted.map(Index).map_while(|index| disk.entry(index)).filter(|_| !fails);
        let mut entries = read.fit(there.cloned());
        // A disk may give back a record of another branch, which its checksums do not tell.
        let strays = self.healing.is_none() && self.rng.chance(SNAPSHOT_FAILS);
        if let Some(last) = entries.last_mut().filter(|_| strays) {
            last.term = last.term.next();
        }
        let probe = if entries.is_empty() { Probe::ReadBackFailed } else { Probe::EntriesReadBack };
        self.ghost.probes.hit_if(self.nodes[at].leads(), probe);
        self.tell(at, Input::LogRead { to, first, entries }, Heard::Other).map(|_| ())
    }

    /// A received snapshot is durable and in place; or it could not be.
    ///
    /// # Errors
    /// The property that does not hold any more.
    pub fn installed(&mut self, at: usize, meta: &SnapshotMeta, done: bool) -> Verdict {
        let last = meta.last;
        let Some(incoming) = self.nodes[at].incoming.take() else { return Ok(()) };
        say!(
            self,
            "n{} {} the snapshot to {last}",
            at + 1,
            if done { "has installed" } else { "cannot install" }
        );
        if done {
            self.ghost.judge_snapshot(&self.nodes[at], last.index)?;
            let digest = self.ghost.fact(last.index).map_or(0, |fact| fact.digest);
            let snapshot = Snapshot { meta: meta.clone(), digest, bytes: incoming.bytes.into() };
            let node = &mut self.nodes[at];
            node.machine = Machine::new(Some(&snapshot));
            node.disk.snapshot = Some(snapshot);
            self.tally.snapshots += 1;
            let acting = &self.ghost.shadows[at].acting().1;
            let learner = acting.voters().is_empty() || acting.is_learner(NodeId(at as u64 + 1));
            self.ghost.probes.hit_if(learner, Probe::LearnerInstalled);
            // The process may die between making the snapshot durable and saying so.
            if self.healing.is_none() && self.swarm.crash.is_some() && self.rng.chance(100) {
                return self.crash(at);
            }
            self.serve(at)?;
        } else {
            self.ghost.probes.hit(Probe::InstallFailed);
        }
        self.tell(at, Input::SnapshotInstalled { last, done }, Heard::Other).map(|_| ())
    }

    /// A node's own snapshot is durable.
    ///
    /// # Errors
    /// The property that does not hold any more.
    pub fn taken(&mut self, at: usize, snapshot: Snapshot) -> Verdict {
        let (index, bytes) = (snapshot.meta.last.index, snapshot.meta.bytes);
        let node = &mut self.nodes[at];
        // What is not durable in the log yet may not be in a snapshot either; and an old one is none.
        if index > node.view.durable || index <= node.disk.covered() {
            return Ok(());
        }
        node.disk.snapshot = Some(snapshot);
        self.ghost.judge_snapshot(&self.nodes[at], index)?;
        if self.healing.is_none() && self.swarm.crash.is_some() && self.rng.chance(30) {
            return self.crash(at);
        }
        say!(self, "n{} has taken a snapshot to {index}", at + 1);
        let taken = self.tell(at, Input::SnapshotReady { index, bytes }, Heard::Other)?;
        match taken {
            Ok(_) => Ok(()),
            Err(why) => Err(Violation {
                property: "S10 Monotone",
                what: format!("node {} refuses its own snapshot to {index}: {why:?}", at + 1),
            }),
        }
    }
}
