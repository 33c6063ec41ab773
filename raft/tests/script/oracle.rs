//! What no node can see by itself: the properties that hold between nodes, checked after every step.
//!
//! | property | source |
//! |---|---|
//! | one leader of a term, ever | Election Safety, §5.2 |
//! | one vote of a node in a term, ever, and durable before it is said | §5.2 |
//! | equal index and term, equal logs up to there | Log Matching, §5.3 |
//! | a leader holds all that was ever committed | Leader Completeness, §5.4 |
//! | one entry is ever committed at an index, applied in order | State Machine Safety, §5.4.3 |
//! | a leader commits entries of its own term, durable at a quorum | §5.4.2 |
//! | an acknowledgement promises what is durable | §5.3 |
//! | one change of members at a time, none before an own entry committed | §6, Ongaro 2015 |
//! | a read sees what was committed when it was asked for | dissertation §6.4 |

use std::collections::BTreeMap;
use std::sync::Arc;

use holdfast_raft::{
    Configuration, Core, Entry, EntryId, Envelope, Index, Message, NodeId, Payload, Plant, ReadId, RoleState,
    Term,
};

use crate::script::disk::Disk;
use crate::script::show;

/// What a node was before a step.
#[derive(Debug)]
pub(crate) struct Before {
    role: RoleState,
    commit: Index,
    configuration: Arc<Configuration>,
}

impl Before {
    pub(crate) fn of<P: Plant>(core: &Core<P>) -> Self {
        Self { role: core.role(), commit: core.commit(), configuration: core.configuration().1.clone() }
    }
}

/// What was ever true of the cluster.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    leaders: BTreeMap<Term, (NodeId, u64)>,
    votes: BTreeMap<(NodeId, Term), NodeId>,
    pub(crate) ledger: BTreeMap<u64, Entry>,
    seen: BTreeMap<NodeId, u64>,
    reads: BTreeMap<(NodeId, ReadId), u64>,
    /// A disk lost something, so what was durable when it was counted may not be any more.
    pub(crate) damage: bool,
    /// What was broken, for the world to tell.
    pub(crate) faults: Vec<String>,
}

fn id(entry: &Entry, index: u64) -> EntryId {
    EntryId { term: entry.term, index: Index(index) }
}

/// Counted here once more, so that no mistake of the core's own counting hides itself.
fn quorum(configuration: &Configuration, agree: &dyn Fn(NodeId) -> bool) -> bool {
    let half =
        |half: &[NodeId]| half.is_empty() || half.iter().filter(|id| agree(**id)).count() * 2 > half.len();
    half(configuration.voters()) && half(configuration.outgoing())
}

impl Oracle {
    fn fault(&mut self, text: String) {
        self.faults.push(text);
    }

    /// How far anything was ever committed.
    pub(crate) fn committed(&self) -> u64 {
        self.ledger.last_key_value().map_or(0, |(index, _)| *index)
    }

    /// A new life of a node: it learns anew how far it is committed.
    pub(crate) fn started<P: Plant>(&mut self, core: &Core<P>) {
        self.seen.insert(core.id(), core.commit().0);
    }

    /// A node took a step.
    pub(crate) fn stepped<P: Plant>(
        &mut self,
        core: &Core<P>,
        before: &Before,
        disks: &BTreeMap<NodeId, &Disk>,
    ) {
        let leads = core.role() == RoleState::Leader;
        if leads {
            self.leads(core);
        }
        let advanced = before.commit < core.commit();
        if leads
            && before.role == RoleState::Leader
            && advanced
            && core.term_at(core.commit()) != Some(core.term())
        {
            let (n, index) = (core.id(), core.commit());
            self.fault(format!("n{n} commits up to {index} by counting copies of an earlier term's entry"));
        }
        if advanced {
            self.commits(core, &before.configuration, disks);
        }
    }

    fn leads<P: Plant>(&mut self, core: &Core<P>) {
        let (n, boot, term) = (core.id(), core.config().boot.0, core.term());
        match self.leaders.get(&term) {
            Some(known) if *known == (n, boot) => {}
            Some((other, _)) => self.faults.push(format!("n{other} and n{n} both lead term {term}")),
            None => {
                self.leaders.insert(term, (n, boot));
                let lacks = |(index, entry): &(&u64, &Entry)| {
                    **index > core.prev().index.0 && core.term_at(Index(**index)) != Some(entry.term)
                };
                if let Some((index, entry)) = self.ledger.iter().find(lacks) {
                    let lost = id(entry, *index);
                    self.faults.push(format!("n{n} leads term {term} without {lost}, which is committed"));
                }
            }
        }
        let own = |at: &u64| core.term_at(Index(*at)) == Some(term);
        let open = core.commit().0 + 1..=core.last().index.0;
        let changes = open.filter(|at| {
            core.entry(Index(*at)).is_some_and(|entry| matches!(entry.payload, Payload::Configuration(_)))
        });
        let changes: Vec<u64> = changes.collect();
        if changes.iter().any(own) && !core.established() {
            self.fault(format!("n{n} changes members before an entry of its own term is committed"));
        } else if changes.iter().any(own) && changes.len() > 1 {
            self.fault(format!("n{n} has two changes of members that are not committed"));
        }
    }

    /// `acting` is the configuration that had to decide: a leader may have gone on to the next in the same step.
    fn commits<P: Plant>(&mut self, core: &Core<P>, acting: &Configuration, disks: &BTreeMap<NodeId, &Disk>) {
        let n = core.id();
        let from = self.seen.get(&n).copied().unwrap_or(0) + 1;
        self.seen.insert(n, core.commit().0);
        for index in from..=core.commit().0 {
            let Some(entry) = core.entry(Index(index)) else { continue };
            let name = id(entry, index);
            match self.ledger.get(&index) {
                Some(known) if known == entry => {}
                Some(known) => {
                    let known = id(known, index);
                    self.fault(format!("n{n} takes {name} for committed, and {known} was"));
                }
                None => {
                    let durable =
                        |id: NodeId| disks.get(&id).is_some_and(|disk| disk.holds(index, entry.term));
                    if !self.damage && !quorum(acting, &durable) {
                        let on: Vec<String> =
                            disks.keys().filter(|id| durable(**id)).map(|id| format!("n{id}")).collect();
                        let on = if on.is_empty() { "nobody".into() } else { on.join(" and ") };
                        self.fault(format!(
                            "{name} is committed, and on the disk of {on}: no quorum of {{{acting}}}"
                        ));
                    }
                    self.ledger.insert(index, entry.clone());
                }
            }
        }
    }

    /// A message leaves a node: what it promises has to be durable there.
    pub(crate) fn sent<P: Plant>(&mut self, core: &Core<P>, disk: &Disk, envelope: &Envelope) {
        let (from, term) = (envelope.from, envelope.term);
        let vote = match &envelope.message {
            Message::Vote { .. } => Some(from),
            Message::VoteReply { granted: true } => Some(envelope.to),
            _ => None,
        };
        if let Some(vote) = vote {
            let durable = disk.hard.term > term || (disk.hard.term == term && disk.hard.vote == Some(vote));
            if !durable {
                self.fault(format!(
                    "n{from} says that it votes for n{vote} in term {term}; its disk does not"
                ));
            }
            let first = *self.votes.entry((from, term)).or_insert(vote);
            if first != vote {
                self.fault(format!("n{from} votes for n{first} and for n{vote} in term {term}"));
            }
        }
        if let Message::AppendAck { matched, .. } = &envelope.message {
            let promised = |at: &u64| core.term_at(Index(*at)).is_some_and(|term| !disk.holds(*at, term));
            let same = core.term() == term;
            if let Some(at) = (1..=matched.0).find(|at| same && promised(at)) {
                self.fault(format!("n{from} acknowledges up to {matched}; its disk has no such {at}"));
            }
            if same && *matched > core.last().index {
                self.fault(format!("n{from} acknowledges up to {matched}; its log ends at {}", core.last()));
            }
        }
    }

    /// A client asks for a read.
    pub(crate) fn read_asked(&mut self, n: NodeId, read: ReadId) {
        let bound = self.committed();
        self.reads.insert((n, read), bound);
    }

    /// A read is said to be safe at an index.
    pub(crate) fn read_ready(&mut self, n: NodeId, read: ReadId, index: Index) {
        let bound = self.reads.remove(&(n, read)).unwrap_or(0);
        if index.0 < bound {
            let missed = id(&self.ledger[&bound], bound);
            self.fault(format!(
                "r{read} is served as of {index}; {missed} was committed before it was asked for"
            ));
        }
    }

    /// A node applied an entry behind `applied` others.
    pub(crate) fn applied(&mut self, n: NodeId, applied: u64, entry: EntryId, carried: &Payload) {
        let known = self.ledger.get(&entry.index.0);
        let same = known.is_some_and(|known| known.term == entry.term && known.payload == *carried);
        if !same || entry.index.0 != applied + 1 {
            let text = show::payload(carried);
            self.fault(format!(
                "n{n} applies {entry}{text} behind {applied}, which is not what was committed there"
            ));
        }
    }

    /// The state of a node was replaced by what a snapshot says.
    pub(crate) fn installed(&mut self, n: NodeId, last: EntryId, state: &[(EntryId, String)]) {
        let wanted = (1..).zip(state).all(|(index, (entry, text))| {
            let known = self.ledger.get(&index);
            known.is_some_and(|known| id(known, index) == *entry && show::payload(&known.payload) == *text)
        });
        if !wanted || state.len() as u64 != last.index.0 {
            self.fault(format!("n{n} installs a snapshot {last} that is not what was committed"));
        }
    }

    /// Log Matching, between two nodes: behind the last entry that they share, there is nothing different before it.
    pub(crate) fn match_logs<P: Plant>(&mut self, a: &Core<P>, b: &Core<P>) {
        let first = a.evicted().index.max(b.evicted().index).0;
        let shared = (first..=a.last().index.min(b.last().index).0)
            .rev()
            .find(|at| a.term_at(Index(*at)) == b.term_at(Index(*at)));
        let Some(shared) = shared else { return };
        let differs = |at: &u64| a.entry(Index(*at)) != b.entry(Index(*at));
        if let Some(at) = (first + 1..=shared).find(differs) {
            let (a, b) = (a.id(), b.id());
            self.fault(format!("the logs of n{a} and n{b} agree at {shared} and differ at {at}"));
        }
    }
}
