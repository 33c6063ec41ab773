//! What the owner of a core does for it: writes, applies, serves reads, moves snapshots. Done at once, or by hand of the script.

use bytes::Bytes;
use holdfast_raft::{
    Committed, EntryId, Held, Input, LogRead, NodeId, Output, PersistId, Plant, SnapshotMeta, SnapshotWork,
};

use crate::script::show;
use crate::script::world::{Hand, Reading, Volume, World};

/// What a snapshot of this state says: one line for each entry.
pub(crate) fn snapshot_bytes(state: &[(EntryId, String)]) -> Vec<u8> {
    state.iter().map(|(id, text)| format!("{id}{text}\n")).collect::<String>().into_bytes()
}

pub(crate) fn snapshot_state(bytes: &[u8]) -> Vec<(EntryId, String)> {
    let text = String::from_utf8_lossy(bytes);
    let line = |line: &str| {
        let (id, rest) = line.split_at(line.find(' ').unwrap_or(line.len()));
        let (index, term) = id.split_once('@')?;
        Some((EntryId::new(term.parse().ok()?, index.parse().ok()?), rest.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

impl<P: Plant> World<P> {
    /// Begins a write; and, unless the script has the disk in its hands, ends it.
    pub(crate) fn write(&mut self, n: NodeId, output: &mut Output) -> Vec<Input> {
        let Some(node) = self.nodes.get_mut(&n) else { return Vec::new() };
        let by_hand = node.manual.contains(&Hand::Disk);
        let waiting: Vec<Held> = std::mem::take(&mut output.send_after_persist);
        let persist = output.persist.take();
        let text = persist.as_ref().map(show::persist);
        let newest = persist.as_ref().map(|persist| persist.id);
        node.disk.writing.extend(persist);
        let (free, waiting): (Vec<Held>, Vec<Held>) =
            waiting.into_iter().partition(|held| held.after <= node.synced);
        node.held.extend(waiting.iter().cloned());
        if let Some(text) = text {
            let verb = if by_hand { "begins to write" } else { "writes" };
            self.say(Volume::Full, format!("n{n} {verb} {text}"));
        }
        self.send(n, free.into_iter().map(|held| held.envelope).collect());
        if by_hand {
            for held in &waiting {
                let text = show::message(&held.envelope);
                self.say(Volume::Full, format!("n{n} ⧗ n{}: {text} (waits for the disk)", held.envelope.to));
            }
            return Vec::new();
        }
        newest.map(|id| self.synced(n, id)).into_iter().collect()
    }

    /// A write ended: what waited for it is sent, and the core is told.
    pub(crate) fn synced(&mut self, n: NodeId, id: PersistId) -> Input {
        if let Some(node) = self.nodes.get_mut(&n) {
            node.disk.sync(id);
            node.synced = id;
            let (free, held) = std::mem::take(&mut node.held).into_iter().partition(|held| held.after <= id);
            node.held = held;
            let free: Vec<Held> = free;
            self.send(n, free.into_iter().map(|held| held.envelope).collect());
        }
        Input::Durable(id)
    }

    pub(crate) fn apply_later(&mut self, n: NodeId, output: &mut Output) -> Vec<Input> {
        let Some(node) = self.nodes.get_mut(&n) else { return Vec::new() };
        node.to_apply.extend(output.apply.drain(..));
        node.ready.extend(output.reads_ready.iter().copied());
        let by_hand = node.manual.contains(&Hand::Apply);
        for read in std::mem::take(&mut output.reads_ready) {
            self.oracle.read_ready(n, read.id, read.index);
            if by_hand {
                self.say(Volume::Full, format!("n{n} may serve r{} once {} is applied", read.id, read.index));
            }
        }
        self.tell_faults();
        if by_hand { Vec::new() } else { self.apply(n, usize::MAX).into_iter().collect() }
    }

    /// Applies entries that were handed out.
    pub(crate) fn apply(&mut self, n: NodeId, count: usize) -> Option<Input> {
        let node = self.nodes.get_mut(&n)?;
        let count = count.min(node.to_apply.len());
        let batch: Vec<Committed> = node.to_apply.drain(..count).collect();
        let last = batch.last()?.id.index;
        let mut told = Vec::new();
        for Committed { id, payload } in batch {
            let text = show::payload(&payload);
            self.oracle.applied(n, self.nodes[&n].state.len() as u64, id, &payload);
            told.push(format!("{id}{text}"));
            self.nodes.get_mut(&n)?.state.push((id, text));
        }
        self.say(Volume::Full, format!("n{n} applies {}", told.join(", ")));
        self.tell_faults();
        Some(Input::Applied(last))
    }

    /// Answers the reads whose index is applied.
    pub(crate) fn serve(&mut self, n: NodeId) {
        let Some(node) = self.nodes.get_mut(&n) else { return };
        let applied = node.state.len() as u64;
        let (served, wait): (Vec<_>, Vec<_>) =
            std::mem::take(&mut node.ready).into_iter().partition(|read| read.index.0 <= applied);
        node.ready = wait;
        for read in served {
            self.say(Volume::Full, format!("n{n} serves r{} as of {}", read.id, read.index));
        }
    }

    pub(crate) fn snapshot_work(&mut self, n: NodeId, output: &mut Output) -> Vec<Input> {
        let mut inputs = Vec::new();
        for work in output.snapshots.drain(..) {
            let Some(node) = self.nodes.get_mut(&n) else { return inputs };
            match work {
                SnapshotWork::Read { .. } => {
                    node.reading.push_back(Reading::Piece(Box::new(work)));
                    if !node.manual.contains(&Hand::Read) {
                        inputs.extend(self.read_piece(n, true));
                    }
                }
                SnapshotWork::Store { offset, data, ack, .. } => {
                    if offset == 0 {
                        node.incoming.clear();
                    }
                    node.incoming.extend_from_slice(&data);
                    let end = offset + data.len() as u64;
                    self.say(Volume::Full, format!("n{n} stores bytes {offset}..{end}"));
                    self.send(n, vec![ack]);
                }
                SnapshotWork::Install { meta } => {
                    let by_hand = node.manual.contains(&Hand::Install);
                    node.installing = Some(meta);
                    if !by_hand {
                        inputs.extend(self.install(n, true));
                    }
                }
            }
        }
        for read in output.log_reads.drain(..) {
            let LogRead { to, first, last, .. } = read;
            self.say(Volume::Full, format!("n{n} reads back {first}..{last} for n{to}"));
            let Some(node) = self.nodes.get_mut(&n) else { return inputs };
            node.reading.push_back(Reading::Entries(read));
            if !node.manual.contains(&Hand::Read) {
                inputs.extend(self.read_piece(n, true));
            }
        }
        inputs
    }

    /// Reads the next piece of a snapshot or run of entries that was asked for, or says that it is gone.
    pub(crate) fn read_piece(&mut self, n: NodeId, there: bool) -> Option<Input> {
        let node = self.nodes.get_mut(&n)?;
        let (to, last, offset, bytes_max) = match node.reading.pop_front()? {
            Reading::Piece(work) => match *work {
                SnapshotWork::Read { to, last, offset, bytes_max } => (to, last, offset, bytes_max),
                SnapshotWork::Store { .. } | SnapshotWork::Install { .. } => return None,
            },
            Reading::Entries(wanted) => {
                let LogRead { to, first, last, .. } = wanted;
                let there = node.disk.entries.range(first.0..=last.0).filter(|_| there);
                let entries = wanted.fit(there.map(|(_, entry)| entry.clone()));
                return Some(Input::LogRead { to, first, entries });
            }
        };
        let snapshot = node.disk.snapshot.as_ref().filter(|(meta, _)| there && meta.last == last);
        let data = snapshot.map(|(_, bytes)| {
            let rest = &bytes[(offset as usize).min(bytes.len())..];
            Bytes::copy_from_slice(&rest[..bytes_max.min(rest.len())])
        });
        Some(Input::SnapshotRead { to, last, offset, data })
    }

    /// Puts a received snapshot in place, or says that it could not be.
    pub(crate) fn install(&mut self, n: NodeId, done: bool) -> Option<Input> {
        let meta = self.put_in_place(n, done)?;
        Some(Input::SnapshotInstalled { last: meta.last, done })
    }

    /// The durable part of an installation: a crash may follow before the core hears of it.
    pub(crate) fn put_in_place(&mut self, n: NodeId, done: bool) -> Option<SnapshotMeta> {
        let node = self.nodes.get_mut(&n)?;
        let meta = node.installing.take()?;
        if done {
            let state = snapshot_state(&node.incoming);
            let bytes = std::mem::take(&mut node.incoming);
            node.disk.snapshot = Some((meta.clone(), bytes));
            node.to_apply.clear();
            node.state.clone_from(&state);
            self.oracle.installed(n, meta.last, &state);
            self.say(Volume::Full, format!("n{n} puts snapshot {} in place", meta.last));
            self.tell_faults();
        }
        Some(meta)
    }
}
