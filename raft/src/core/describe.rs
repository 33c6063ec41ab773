//! The state of a core in words and bars, for people.

use std::fmt::Write;

use super::Core;
use crate::{Index, NodeId, Plant, Progress};

/// Width of the bars, in characters.
const BAR: u64 = 24;

impl<P: Plant> Core<P> {
    /// What this node is, and how far it and its peers have come: a line of numbers in their order, then, on a leader, one bar
    /// for each member. Voters are marked `v`, voters of the old half only `o`, learners `l`; the arrow marks what a quorum
    /// holds.
    ///
    /// ```text
    /// node 1, boot 1: Leader of term 2 (established); voters 1 2 3
    /// snapshot 0 ≤ applied 5 ≤ commit 5 ≤ last 7@2; durable 7
    ///   v 1  ████████████████████████  7  this node
    ///   v 2  █████████████████         5  Replicate, 2 on their way  ◄ a quorum holds 5
    ///   v 3                            0  Probe, silent
    /// ```
    #[must_use]
    pub fn describe(&self) -> String {
        let mut out = String::new();
        let (_, configuration) = self.configuration();
        let established = if self.established() { " (established)" } else { "" };
        let (id, boot, term) = (self.config.id, self.config.boot, self.hard.term);
        let role = self.role();
        let _ = writeln!(
            out,
            "node {id}, boot {boot}: {role:?} of term {term}{established}; voters {configuration}"
        );
        let snapshot = self.snapshot.as_ref().map_or(Index(0), |meta| meta.last.index);
        let (applied, commit, last, durable) = (self.applied, self.commit, self.last(), self.durable());
        let _ = writeln!(
            out,
            "snapshot {snapshot} ≤ applied {applied} ≤ commit {commit} ≤ last {last}; durable {durable}"
        );
        if self.hard_lost {
            out += "term and vote are lost: this node takes part in no quorum, replace it\n";
        }
        if let Some(broken) = &self.broken {
            let claimed = broken.claimed_end();
            let votes = if broken.may_vote() { "may vote" } else { "may not vote" };
            let _ = writeln!(
                out,
                "the log has holes behind {last} and claims to end at {claimed}: {votes}, does not lead"
            );
        }
        if let Some(leader) = self.leading() {
            let held = |id: NodeId| {
                if id == self.config.id {
                    durable
                } else {
                    self.progress(id).map_or(Index(0), Progress::counted)
                }
            };
            let quorum = configuration.quorum_index(held);
            let others = leader.peers.keys().copied();
            let mut ids: Vec<NodeId> = others.chain([self.config.id]).collect();
            ids.sort_unstable();
            for id in ids {
                let kind = match (configuration.voters().binary_search(&id), configuration.is_voter(id)) {
                    (Ok(_), _) => 'v',
                    (Err(_), true) => 'o',
                    (Err(_), false) if configuration.members().contains_key(&id) => 'l',
                    (Err(_), false) => '-',
                };
                let held = held(id);
                let filled =
                    held.0.saturating_mul(BAR).checked_div(last.index.0).unwrap_or(0).min(BAR) as usize;
                let bar = format!("{:<width$}", "█".repeat(filled), width = BAR as usize);
                let arrow =
                    if held == quorum { format!("  ◄ a quorum holds {quorum}") } else { String::new() };
                let _ = writeln!(out, "  {kind} {id}  {bar}  {held}  {}{arrow}", self.describe_peer(id));
            }
        }
        out
    }

    fn describe_peer(&self, id: NodeId) -> String {
        let Some(progress) = self.progress(id) else { return "this node".to_owned() };
        let mut text = format!("{:?}", progress.state());
        if !progress.inflight.is_empty() {
            let _ = write!(text, ", {} on their way", progress.inflight.len());
        }
        if let Some(sending) = &progress.sending {
            let (last, bytes) = (sending.meta.last, sending.meta.bytes);
            let _ = write!(text, " {last}: {} of {bytes} bytes", sending.offset);
        }
        if let Some(first) = progress.reading {
            let _ = write!(text, ", {first} is read back");
        }
        if progress.pause_ticks > 0 {
            let _ = write!(text, ", paused for {} ticks", progress.pause_ticks);
        }
        if !progress.heard_lately() {
            text += ", silent";
        }
        if progress.heard_lately() && !progress.counts() {
            text += ", not counted";
        }
        text
    }
}
