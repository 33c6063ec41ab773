//! What happens to logs.
//!
//! - **S3 Leader append only** (the paper, §5.3): a leader never overwrites or deletes its own entries.
//! - **S4 Log matching** (§5.3): two logs with an entry of the same index and term are equal up to there. Every entry that
//!   ever stood in a log is remembered with the chain of hashes up to it; a second one of its name must have the same.
//! - **S7 Committed immutable**: nothing committed is ever cut from a log, in memory or on a disk, by a node that has reached the
//!   term in which it was committed. (A leader of an earlier term may still be elected, by late votes, and replace the entry on
//!   followers of that term: nobody counted them. The quorum that did commit it has left that term.)
//! - **D2 No phantom**: every command was proposed, and stands at one place only; and only the leader of a term writes
//!   entries of it.

use holdfast_raft::{Entry, EntryId, Index, LogOp, Payload};

use super::{Ghost, Known, Step, Verdict, Violation, holds, place};
use crate::raft::machine::{command_number, payload_hash};
use crate::raft::node::Node;
use crate::raft::probes::Probe;

impl Ghost {
    /// The log of a node changed: follows it, and judges the change.
    pub(super) fn follow_log(&mut self, nodes: &[Node], step: &Step) -> Verdict {
        let (at, node) = (step.node, &nodes[step.node]);
        let (core, view) = (node.running(), node.view);
        let old_last = self.shadows[at].last();
        let same_prev =
            self.shadows[at].at(view.prev.index).is_some_and(|known| known.term == view.prev.term);
        if view.prev.index > old_last.index || !same_prev {
            self.judge_reset(at, view.prev)?;
        } else if view.prev.index > step.before.prev.index {
            holds!(
                view.prev.index <= self.commit(),
                "S10 Monotone",
                "node {} dropped entries up to {} of which only {} are committed",
                node.id,
                view.prev,
                self.commit()
            );
        }
        // What the log still has in common with what it was: terms never fall, so they tell.
        let mut common = self.shadows[at].last().index.min(view.last.index);
        while common > view.prev.index
            && core.term_at(common) != self.shadows[at].at(common).map(|known| known.term)
        {
            common = common.previous();
        }
        self.judge_cut(nodes, step, common)?;
        for index in common.0 + 1..=view.last.index.0 {
            let Some(entry) = core.entry(Index(index)) else {
                holds!(false, "S4 LogMatching", "node {} does not show its entry {index}", node.id);
                continue;
            };
            self.add_entry(at, Index(index), entry, Some(node))?;
        }
        Ok(())
    }

    /// A snapshot took the place of the log: it covers what is committed, and nothing else.
    fn judge_reset(&mut self, at: usize, prev: EntryId) -> Verdict {
        let covers = self.fact(prev.index).is_some_and(|fact| fact.term == prev.term);
        holds!(
            covers,
            "S7 CommittedImmutable",
            "node {} begins its log behind {prev}, which is not committed",
            at + 1
        );
        self.take_committed(at, prev.index);
        Ok(())
    }

    /// The log of a node becomes what is committed up to here.
    pub(super) fn take_committed(&mut self, at: usize, through: Index) {
        let shadow = &mut self.shadows[at];
        shadow.log.clear();
        let facts = self.facts.iter().take(through.0 as usize + 1);
        shadow.log.extend(facts.map(|fact| Known {
            term: fact.term,
            payload: fact.payload,
            chain: fact.chain,
        }));
        shadow.configurations.clear();
        let committed = self.configurations.iter().filter(|(index, _)| *index <= through);
        shadow.configurations.extend(committed.cloned());
    }

    /// Entries behind `keep` are gone from a node's log.
    fn judge_cut(&mut self, nodes: &[Node], step: &Step, keep: Index) -> Verdict {
        let (at, view) = (step.node, nodes[step.node].view);
        let last = self.shadows[at].last();
        if last.index <= keep {
            return Ok(());
        }
        let led_on = step.before.leads() && view.leads() && step.before.term == view.term;
        holds!(!led_on, "S3 LeaderAppendOnly", "leader {} cut its log from {last} to {keep}", at + 1);
        let first = keep.next();
        if let (Some(fact), Some(known)) = (self.fact(first), self.shadows[at].at(first)) {
            let lost = fact.chain == known.chain && view.term >= fact.committed_in;
            holds!(!lost, "S7 CommittedImmutable", "node {} cut {first}, which is committed", at + 1);
        }
        let shadow = &self.shadows[at];
        self.probes.hit_if(last.index.0 > keep.0 + 1, Probe::LongTruncation);
        self.probes.hit_if(shadow.acting().0 > keep, Probe::ConfigurationTruncated);
        // Figure 8: the entry was on a majority, and only its term kept it from being committed.
        if let Some(known) = shadow.at(first) {
            let id = EntryId { term: known.term, index: first };
            let held = |other: &Node| other.disk.term_at(first) == Some(id.term);
            let acting = &shadow.acting().1;
            let majority = acting.has_quorum(|id| nodes.get(place(id)).is_some_and(held));
            self.probes.hit_if(majority, Probe::FigureEight);
        }
        self.shadows[at].cut(keep);
        Ok(())
    }

    /// An entry stands at the end of a log. `writer` is the node if it runs: only then may the entry be new.
    pub(super) fn add_entry(
        &mut self,
        at: usize,
        index: Index,
        entry: &Entry,
        writer: Option<&Node>,
    ) -> Verdict {
        let payload = payload_hash(&entry.payload);
        let before = self.shadows[at].log[index.0 as usize - 1];
        let known = Known::behind(before.chain, entry.term, payload);
        let id = EntryId { term: entry.term, index };
        while self.written.len() <= index.0 as usize {
            self.written.push(Vec::new());
        }
        let same = self.written[index.0 as usize].iter().find(|other| other.term == entry.term);
        match same {
            Some(other) => {
                let equal = *other == known;
                holds!(
                    equal,
                    "S4 LogMatching",
                    "node {} has another log up to {id} than a node before it",
                    at + 1
                );
            }
            None => {
                self.judge_new(at, id, entry, writer)?;
                self.written[index.0 as usize].push(known);
            }
        }
        holds!(before.term <= entry.term, "S4 LogMatching", "the term falls at {id} of node {}", at + 1);
        if let Payload::Configuration(configuration) = &entry.payload {
            let before = self.shadows[at].acting().clone();
            self.judge_configuration(at, index, &before.1, configuration)?;
            self.shadows[at].configurations.push((index, configuration.clone()));
        }
        self.shadows[at].log.push(known);
        Ok(())
    }

    /// An entry that no log had before.
    fn judge_new(&mut self, at: usize, id: EntryId, entry: &Entry, writer: Option<&Node>) -> Verdict {
        let leads = self.leaders.get(&id.term).is_some_and(|(leader, boot)| {
            writer.is_some_and(|node| node.id == *leader && node.boot == *boot)
        });
        holds!(leads, "D2 NoPhantom", "node {} has {id}, which no leader wrote", at + 1);
        match &entry.payload {
            Payload::Data(data) => {
                let number = command_number(data).filter(|number| *number < self.commands);
                let Some(number) = number else {
                    return Err(Violation {
                        property: "D2 NoPhantom",
                        what: format!("{id} carries what nobody proposed"),
                    });
                };
                let other = self.placed.insert(number, id);
                holds!(other.is_none(), "D2 NoPhantom", "command {number} stands at {other:?} and at {id}");
            }
            Payload::Configuration(_) => {
                let own = writer.and_then(|node| node.running().term_at(node.view.commit));
                let established = own == Some(id.term);
                holds!(
                    established,
                    "M2 OneAtATime",
                    "{id} changes members before its term has committed anything"
                );
            }
            Payload::Empty => {}
        }
        Ok(())
    }

    /// Before an operation is written to a disk: it loses nothing that is committed there. Says whether anything is lost
    /// at all.
    ///
    /// # Errors
    /// S7, S8.
    pub fn judge_disk_op(&self, node: &Node, op: &LogOp) -> Result<bool, Violation> {
        let end = node.disk.base.index.0 + node.disk.slots.len() as u64;
        let first = match op {
            LogOp::Append { first, .. } => *first,
            LogOp::Heal { whole } => whole.next(),
            LogOp::Fill { .. } | LogOp::Confirm { .. } | LogOp::Reset { .. } | LogOp::Trim { .. } => {
                return Ok(false);
            }
        };
        if first.0 > end || node.disk.mark.is_some() {
            return Ok(first.0 <= end);
        }
        let entries: &[Entry] = match op {
            LogOp::Append { entries, .. } => entries,
            LogOp::Fill { .. }
            | LogOp::Confirm { .. }
            | LogOp::Heal { .. }
            | LogOp::Reset { .. }
            | LogOp::Trim { .. } => &[],
        };
        for index in first.0..=end.min(self.commit().0) {
            let fact = &self.facts[index as usize];
            let committed = fact.term;
            let stays = entries.get((index - first.0) as usize).is_some_and(|entry| entry.term == committed);
            let was = node.disk.term_at(Index(index)) == Some(committed);
            // A slow disk writes in order: what replaced the entry before it was committed, and then the entry again. In
            // memory it is there; nobody was told that it is durable; M1b says whether the cluster could lose it meanwhile.
            let known = self.shadows[place(node.id)].at(Index(index));
            let comes_again = known.is_some_and(|known| known.term == committed);
            let reached = node.disk.hard_state.term >= fact.committed_in;
            let lost = was && !stays && !comes_again && reached;
            holds!(
                !lost,
                "S8 QuorumLog",
                "node {} overwrites {index} on its disk, which is committed",
                node.id
            );
        }
        Ok(true)
    }

    /// A node is down, or not started yet: its log is what its disk holds.
    pub fn read_disk(&mut self, node: &Node) {
        let at = place(node.id);
        let disk = &node.disk;
        let covered = disk.covered();
        let behind = disk.snapshot.as_ref().map(|snapshot| snapshot.meta.last.term);
        // A log that has something else where a snapshot ends, or nothing, is of no use any more.
        let moot = covered > Index(0) && disk.term_at(covered) != behind;
        let base = if moot { covered } else { disk.start().index };
        self.take_committed(at, base.min(self.commit()));
        for (index, entry) in disk.trusted().filter(|_| !moot) {
            let payload = payload_hash(&entry.payload);
            let shadow = &mut self.shadows[at];
            let before = shadow.log[shadow.log.len() - 1].chain;
            shadow.log.push(Known::behind(before, entry.term, payload));
            if let Payload::Configuration(configuration) = &entry.payload {
                shadow.configurations.push((index, configuration.clone()));
            }
        }
    }
}
