//! Taking, sending, receiving and installing snapshots (the paper, §7), whose bytes the core never interprets.
//!
//! Pieces travel one at a time: the next one is read when the one before is acknowledged, so that a slow peer holds at most
//! one piece in anybody's memory. The receiver says where to go on, which makes a lost, late or doubled piece harmless and a
//! broken transfer resumable.

use bytes::Bytes;

use super::Core;
use crate::config::RETAIN_SPARE_DIVISOR;
use crate::membership::Configurations;
use crate::progress::SendingWait;
use crate::role::Role;
use crate::transfer::{Receiving, Transfer, TransferEvent};
use crate::{
    Boot, Bug, DropCause, EntryId, Index, LogOp, Message, NodeId, Plant, Refusal, SnapshotMeta, SnapshotWork,
};

impl<P: Plant> Core<P> {
    /// The owner took a snapshot, and it is durable. It may cover only what is durable in the log as well: a leader applies
    /// what a quorum of others holds before its own disk does, and a snapshot must not run ahead of the log it stands for.
    pub(super) fn snapshot_ready(&mut self, index: Index, bytes: u64) -> Result<(), Refusal> {
        if index > self.applied || index > self.durability.index() {
            return Err(Refusal::SnapshotAhead);
        }
        let Some(term) = self.log.term_at(index).filter(|_| index > self.covered()) else {
            return Err(Refusal::SnapshotOld);
        };
        // Not the acting one: that may be uncommitted, and be reverted (openraft #1808).
        let configuration = self.configurations.at(index).clone();
        self.snapshot = Some(SnapshotMeta { last: EntryId { term, index }, configuration, bytes });
        self.trim_log();
        Ok(())
    }

    /// How far the newest durable snapshot reaches; zero without one.
    pub(super) fn covered(&self) -> Index {
        self.snapshot.as_ref().map_or(Index(0), |meta| meta.last.index)
    }

    /// Drops entries that the snapshot covers. What a peer that answers still needs is kept up to the retention; what none
    /// needs, for those that are away for a moment, up to a part of it.
    fn trim_log(&mut self) {
        let Some(covered) = self.snapshot.as_ref().map(|meta| meta.last.index) else { return };
        let live = self
            .leading()
            .into_iter()
            .flat_map(|leader| leader.peers.values())
            .filter(|peer| peer.heard_lately());
        let needed = live.map(|peer| peer.matched).min().unwrap_or(covered);
        let retain = self.config.retain_bytes;
        let mut through = self.log.prev().index;
        let mut kept = self.log.bytes();
        for (index, bytes) in self.log.ends() {
            let allowed = if index > needed { retain } else { retain / RETAIN_SPARE_DIVISOR };
            if index > covered || kept <= allowed {
                break;
            }
            kept -= bytes;
            through = index;
        }
        if through > self.log.prev().index {
            self.drop_through(through);
        }
    }

    fn drop_through(&mut self, through: Index) {
        self.log.trim(through);
        self.configurations.trim(through);
        self.durability.op(LogOp::Trim { through });
    }

    /// The log begins anew behind a snapshot.
    pub(super) fn reset_log(&mut self, last: EntryId) {
        self.durability.truncated(Index(1));
        self.durability.covered(last.index);
        self.log = crate::log::Log::new(last);
        let stays = self.broken.as_mut().is_some_and(|broken| broken.disk_begins_later(last.index));
        if !stays {
            self.durability.op(LogOp::Reset { last });
        }
        if let Some(broken) = &mut self.broken {
            broken.cut_behind(last.index);
        }
    }

    /// What this peer's snapshot needs next.
    pub(super) fn flush_snapshot(&mut self, id: NodeId) {
        let bytes_max = self.config.chunk_bytes_max;
        let Some(sending) = self.progress(id).and_then(|progress| progress.sending.as_ref()) else { return };
        if sending.wait != SendingWait::Nothing {
            return;
        }
        let (meta, last, offset) = (sending.meta.clone(), sending.meta.last, sending.offset);
        let whole = offset >= meta.bytes;
        if whole {
            // Nothing is left to read: asks whether it is installed.
            self.send(id, Message::SnapshotChunk { meta, offset, data: Bytes::new() });
        } else {
            self.turn.snapshots.push(SnapshotWork::Read { to: id, last, offset, bytes_max });
        }
        if let Some(sending) = self.sending_mut(id) {
            sending.wait = if whole { SendingWait::Ack } else { SendingWait::Read };
        }
    }

    pub(super) fn snapshot_read(&mut self, to: NodeId, last: EntryId, offset: u64, data: Option<Bytes>) {
        let newest = self.snapshot.as_ref().map(|meta| meta.last);
        let Some(sending) = self.sending_mut(to) else { return };
        if sending.meta.last != last || sending.offset != offset || sending.wait != SendingWait::Read {
            return;
        }
        let bytes = sending.meta.bytes;
        let fits = |data: &Bytes| !data.is_empty() && offset + data.len() as u64 <= bytes;
        match data.filter(fits) {
            Some(data) => {
                sending.wait = SendingWait::Ack;
                let meta = sending.meta.clone();
                self.send(to, Message::SnapshotChunk { meta, offset, data });
            }
            // The owner removed it, for there is a newer one.
            None if newest != Some(last) => self.abandon_snapshot(to, 0),
            // A disk that cannot be read will not be readable in the next turn.
            None => self.abandon_snapshot(to, self.config.election_ticks),
        }
    }

    pub(super) fn receive_snapshot_ack(&mut self, from: NodeId, last: EntryId, offset: u64) {
        let Some(sending) = self.sending_mut(from).filter(|sending| sending.meta.last == last) else {
            self.drop_message(DropCause::NotAsked);
            return;
        };
        if offset > sending.meta.bytes {
            self.drop_message(DropCause::Malformed);
            return;
        }
        if offset == sending.offset && sending.wait != SendingWait::Nothing {
            return; // Said before: the next piece is on its way, and one chain of pieces is enough.
        }
        // All there: what comes next is the acknowledgement of the log. Anything else: go on from where the peer is.
        let installing = offset == sending.meta.bytes;
        sending.offset = offset;
        sending.wait = if installing { SendingWait::Ack } else { SendingWait::Nothing };
    }

    pub(super) fn receive_snapshot_reject(&mut self, from: NodeId, last: EntryId) {
        if self.sending_mut(from).is_some_and(|sending| sending.meta.last == last) {
            // Nor does a full disk have room at once.
            self.abandon_snapshot(from, self.config.election_ticks);
        } else {
            self.drop_message(DropCause::NotAsked);
        }
    }

    pub(super) fn receive_chunk(
        &mut self,
        from: (NodeId, Boot),
        meta: SnapshotMeta,
        offset: u64,
        data: &Bytes,
    ) {
        let (last, bytes) = (meta.last, meta.bytes);
        if last.index <= self.commit {
            // What is committed here needs no snapshot; the leader learns where this log is.
            self.owe_snapshot_ack();
            return;
        }
        let got = match &self.transfer {
            Transfer::Receiving(receiving) if receiving.meta == meta && receiving.from == from => {
                Some(receiving.offset)
            }
            // The same state, whoever sends it and however many bytes it has there.
            Transfer::Installing(installing) if installing.last == last => Some(bytes),
            Transfer::Installing(_) => {
                self.drop_message(DropCause::NotAsked);
                return;
            }
            Transfer::Idle | Transfer::Receiving(_) => None,
        };
        let twice = P::plants(Bug::ChunkTwice) && got.is_some_and(|got| offset < got);
        match got {
            Some(got) if (got != offset || got == bytes) && !twice => {
                self.send(from.0, Message::SnapshotAck { last, offset: got });
            }
            None if offset != 0 => self.send(from.0, Message::SnapshotAck { last, offset: 0 }),
            Some(_) | None => self.take_chunk(from, meta, got.unwrap_or(0), data),
        }
    }

    fn take_chunk(&mut self, from: (NodeId, Boot), meta: SnapshotMeta, offset: u64, data: &Bytes) {
        let (last, got) = (meta.last, (offset + data.len() as u64).min(meta.bytes));
        let fresh = !matches!(&self.transfer,
            Transfer::Receiving(receiving) if receiving.meta == meta && receiving.from == from);
        let receiving = Receiving { meta: meta.clone(), from, offset: got };
        match (fresh, self.transfer.state()) {
            (true, crate::TransferState::Idle) => {
                self.transfer_fact(TransferEvent::Begun, Transfer::Receiving(receiving));
            }
            (true, _) => self.transfer_fact(TransferEvent::Replaced, Transfer::Receiving(receiving)),
            (false, _) => self.transfer = Transfer::Receiving(receiving),
        }
        let ack = self.envelope(from.0, Message::SnapshotAck { last, offset: got });
        self.turn.snapshots.push(SnapshotWork::Store { meta: meta.clone(), offset, data: data.clone(), ack });
        if got == meta.bytes {
            self.turn.snapshots.push(SnapshotWork::Install { meta: meta.clone() });
            self.transfer_fact(TransferEvent::Completed, Transfer::Installing(meta));
        } else if !fresh {
            // The state stays; the table says that this is so.
            let same = self.transfer.clone();
            self.transfer_fact(TransferEvent::Extended, same);
        }
    }

    fn owe_snapshot_ack(&mut self) {
        let Role::Follower(follower) = &self.role else { return };
        let stretch = follower.owes_ack.unwrap_or_default();
        self.owe_ack(self.commit, stretch);
    }

    /// The snapshot is in place, or could not be put there.
    pub(super) fn snapshot_installed(&mut self, last: EntryId, done: bool) {
        let Transfer::Installing(meta) = &self.transfer else { return };
        if meta.last != last {
            return;
        }
        let meta = meta.clone();
        if !done {
            self.transfer_fact(TransferEvent::Failed, Transfer::Idle);
            if let Some(leader) = self.leader().filter(|leader| *leader != self.config.id) {
                self.send(leader, Message::SnapshotReject { last });
            }
            return;
        }
        self.transfer_fact(TransferEvent::Installed, Transfer::Idle);
        // What was handed out is not what the state machine holds now.
        (self.applied, self.handed, self.handed_bytes) = (last.index, last.index, 0);
        self.durability.covered(last.index);
        if self.log.term_at(last.index) == Some(last.term) {
            // The log has what the snapshot covers, and more: what is behind stays (§7).
            self.drop_through(last.index);
        } else {
            self.reset_log(last);
            if !P::plants(Bug::ConfigurationNotFromSnapshot) {
                self.configurations = Configurations::new(meta.configuration.clone());
            }
        }
        self.snapshot = Some(meta);
        self.commit = self.commit.max(last.index);
        self.membership_fact(self.configurations.found(self.commit));
        self.owe_snapshot_ack();
    }
}
