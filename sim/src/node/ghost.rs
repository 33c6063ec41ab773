//! What is true of the whole cluster, kept beside the nodes and compared with them at every turn.
//!
//! It takes the committed log from whoever knows of it first and applies it to a store of its own, which never crashes, is never
//! restored, and sees each entry once. What any node ever says about an index is held against that.
//!
//! | property | here |
//! |---|---|
//! | S1 election safety | one leader to a term, over the whole run |
//! | S6, S7 | what is committed at an index is the same at all nodes, for ever |
//! | S8 | what is committed was durable on a quorum then |
//! | S10 | term, commit, applied never go back within a life, nor the term across lives |
//! | A1 | nodes that have applied the same have the same digest, and it is that of the reference |
//! | C1, C2 | what is answered for an index is what the reference made of it, a repetition's answer too |
//! | R1, R2 | a read sees the state that it names, and at least all that was acknowledged before it was asked |

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use holdfast_command::keys::Range;
use holdfast_command::{Outcome, Reply};
use holdfast_raft::{Configuration, Index, NodeId, Payload, RoleState, Term};
use holdfast_server::node::plant::Plant;
use holdfast_server::node::{Caller, Node};
use holdfast_store::{LogPosition, Store};
use holdfast_wire::message::{Consistency, Position, Query, Read, ReadDone, Submitted};

use super::Micros;
use super::machine::Machine;
use crate::raft::ghost::{Verdict, holds};
use crate::raft::rng::{hash_bytes, mix};

/// A committed entry.
#[derive(Clone, Copy, Debug)]
struct Fact {
    term: Term,
    payload: u64,
}

/// What a node said last.
#[derive(Clone, Copy, Debug, Default)]
struct Said {
    life: u64,
    term: u64,
    commit: u64,
    applied: u64,
}

/// A read that is not answered.
#[derive(Clone, Debug)]
struct Asked {
    range: Option<Range>,
    linearizable: bool,
    /// The highest index that anybody had been answered with when it came in.
    acknowledged: u64,
    /// What it asked for besides.
    min_index: u64,
}

/// See the module documentation.
#[derive(Debug)]
pub struct Ghost {
    facts: Vec<Fact>,
    /// The state behind each index, from 0.
    states: Vec<Store>,
    /// What was answered, by the index of the position that the answer names.
    outcomes: BTreeMap<u64, BTreeSet<Vec<u8>>>,
    leaders: BTreeMap<u64, NodeId>,
    said: BTreeMap<u64, Said>,
    /// The configuration that acted at each node after its last turn.
    acting: BTreeMap<u64, Arc<Configuration>>,
    reads: BTreeMap<Caller, Asked>,
    answered: BTreeSet<Caller>,
    /// The highest index that anybody was answered with.
    pub acknowledged: u64,
    /// When it became known that the last entry is committed.
    pub committed_at: Micros,
}

impl Default for Ghost {
    fn default() -> Self {
        Self {
            facts: Vec::new(),
            states: vec![Store::new()],
            outcomes: BTreeMap::new(),
            leaders: BTreeMap::new(),
            said: BTreeMap::new(),
            acting: BTreeMap::new(),
            reads: BTreeMap::new(),
            answered: BTreeSet::new(),
            acknowledged: 0,
            committed_at: 0,
        }
    }
}

fn payload_hash(payload: &Payload) -> u64 {
    match payload {
        Payload::Empty => 1,
        Payload::Data(bytes) => mix(2, hash_bytes(bytes)),
        Payload::Configuration(configuration) => mix(3, hash_bytes(format!("{configuration:?}").as_bytes())),
    }
}

impl Ghost {
    /// What is true of a cluster at rest, for one that goes on from there: nothing is asked.
    #[must_use]
    pub fn at_rest(&self) -> Self {
        Self {
            facts: self.facts.clone(),
            states: self.states.clone(),
            outcomes: self.outcomes.clone(),
            leaders: self.leaders.clone(),
            said: self.said.clone(),
            acting: self.acting.clone(),
            reads: BTreeMap::new(),
            answered: BTreeSet::new(),
            acknowledged: self.acknowledged,
            committed_at: 0,
        }
    }

    /// An old copy of its directory was put in place of a node: what it said is nothing that it has to stand by.
    pub fn forget(&mut self, id: NodeId) {
        self.said.remove(&id.0);
        self.acting.remove(&id.0);
    }

    /// How far anything is committed.
    #[must_use]
    pub fn commit(&self) -> u64 {
        self.facts.len() as u64
    }

    /// The configuration that acted at a node after its last turn.
    #[must_use]
    pub fn acting(&self, id: NodeId) -> Option<&Configuration> {
        self.acting.get(&id.0).map(|acting| &**acting)
    }

    /// The term of an index that is committed.
    #[must_use]
    pub fn term_at(&self, index: u64) -> u64 {
        index.checked_sub(1).and_then(|at| self.facts.get(at as usize)).map_or(0, |fact| fact.term.0)
    }

    /// The state behind an index that is committed.
    #[must_use]
    pub fn state(&self, index: u64) -> Option<&Store> {
        self.states.get(usize::try_from(index).ok()?)
    }

    /// The state behind the last entry.
    #[must_use]
    pub fn newest(&self) -> &Store {
        &self.states[self.facts.len()]
    }

    /// The highest term in which anybody led.
    #[must_use]
    pub fn last_leader(&self) -> Option<(u64, NodeId)> {
        self.leaders.last_key_value().map(|(term, id)| (*term, *id))
    }

    /// Compares a node with all that is known, after its turn.
    ///
    /// # Errors
    /// The property that does not hold.
    pub fn look<P: Plant>(&mut self, at: usize, machines: &[Machine<P>], now: Micros) -> Verdict {
        let machine = &machines[at];
        let Some(process) = &machine.process else { return Ok(()) };
        let (node, id) = (&process.node, machine.id);
        self.judge_order(machine, node)?;
        let core = node.core();
        if core.role() == RoleState::Leader {
            let known = *self.leaders.entry(core.term().0).or_insert(id);
            holds!(known == id, "S1 ElectionSafety", "n{known} and n{id} lead in term {}", core.term());
        }
        let said = self.said.entry(id.0).or_default();
        let before = std::mem::replace(&mut said.commit, core.commit().0);
        for index in before + 1..=core.commit().0 {
            let entry = core.entry(Index(index));
            if let (Some(fact), Some(entry)) = (self.facts.get(index as usize - 1), entry) {
                let same = fact.term == entry.term && fact.payload == payload_hash(&entry.payload);
                holds!(same, "S6 StateMachineSafety", "n{id} commits another entry at {index}: {entry:?}");
            }
            if index <= self.commit() {
                continue;
            }
            let Some(entry) = entry else {
                let what = format!("n{id} says that {index} is committed, and has no such entry");
                return Err(crate::raft::ghost::Violation { property: "S6 StateMachineSafety", what });
            };
            let (term, payload) = (entry.term, entry.payload.clone());
            let (_, configuration) = core.configuration();
            let held = |id: NodeId| machines[id.0 as usize - 1].held(index, term.0);
            // The configuration may have changed since in this very turn.
            let before = self.acting.get(&id.0);
            holds!(
                configuration.has_quorum(held) || before.is_some_and(|before| before.has_quorum(held)),
                "S8 QuorumLog",
                "n{id} says that {index} of term {term} is committed, which no quorum of {:?} holds durably",
                configuration.voters()
            );
            self.facts.push(Fact { term, payload: payload_hash(&payload) });
            self.committed_at = now;
            self.execute(LogPosition { term: term.0, index }, &payload)?;
        }
        self.acting.insert(id.0, core.configuration().1.clone());
        self.judge_state(machine, node)
    }

    fn execute(&mut self, at: LogPosition, payload: &Payload) -> Verdict {
        let mut next = self.newest_but_one().clone();
        let done = match payload {
            Payload::Empty | Payload::Configuration(_) => next.skip(at).map(|()| None),
            Payload::Data(entry) => next.apply(at, entry).map(Some),
        };
        match done {
            Ok(applied) => {
                if let Some(applied) = applied {
                    let outcome = Outcome(applied.outcome.0).encode().to_vec();
                    self.outcomes.entry(applied.at.index).or_default().insert(outcome);
                }
            }
            Err(halt) => {
                let what = format!("the reference cannot go on behind {at:?}: {halt}");
                return Err(crate::raft::ghost::Violation { property: "A1 DigestChain", what });
            }
        }
        self.states.push(next);
        Ok(())
    }

    fn newest_but_one(&self) -> &Store {
        &self.states[self.states.len() - 1]
    }

    fn judge_order<P: Plant>(&mut self, machine: &Machine<P>, node: &Node<P>) -> Verdict {
        let (id, core) = (machine.id, node.core());
        let said = self.said.entry(id.0).or_default();
        if said.life != machine.life {
            // A term that was not durable was promised to nobody.
            *said = Said { life: machine.life, ..Said::default() };
        }
        let (term, commit, applied) = (core.term().0, core.commit().0, node.store().applied().index);
        holds!(term >= said.term, "S10 Monotone", "the term of n{id} goes back from {} to {term}", said.term);
        holds!(
            commit >= said.commit,
            "S10 Monotone",
            "what n{id} knows to be committed goes back from {} to {commit}",
            said.commit
        );
        holds!(
            applied >= said.applied,
            "S10 Monotone",
            "what n{id} has applied goes back from {} to {applied}",
            said.applied
        );
        (said.term, said.applied) = (term, applied);
        Ok(())
    }

    fn judge_state<P: Plant>(&self, machine: &Machine<P>, node: &Node<P>) -> Verdict {
        let (store, id) = (node.store(), machine.id);
        let at = store.applied();
        holds!(
            at.index <= self.commit(),
            "S6 StateMachineSafety",
            "n{id} has applied {}, and {} is committed",
            at.index,
            self.commit()
        );
        let reference = &self.states[at.index as usize];
        let (theirs, ours) = (seen(store), seen(reference));
        holds!(
            theirs == ours,
            "A1 DigestChain",
            "n{id} behind {}: {theirs:?}, and the reference {ours:?}",
            at.index
        );
        Ok(())
    }

    /// A read or a query came in.
    pub fn asked(&mut self, caller: Caller, read: &Read) {
        let range = Range::decode(read.range.clone()).ok();
        let linearizable = read.consistency == Consistency::Linearizable as u8;
        let min_index = read.min_position.map_or(0, |position| position.index);
        let acknowledged = self.acknowledged;
        self.reads.insert(caller, Asked { range, linearizable, acknowledged, min_index });
    }

    /// A query came in.
    pub fn queried(&mut self, caller: Caller, query: &Query) {
        let linearizable = query.consistency == Consistency::Linearizable as u8;
        let min_index = query.min_position.map_or(0, |position| position.index);
        let acknowledged = self.acknowledged;
        self.reads.insert(caller, Asked { range: None, linearizable, acknowledged, min_index });
    }

    /// A call was answered, with whatever.
    ///
    /// # Errors
    /// It had been before.
    pub fn answered(&mut self, caller: Caller) -> Verdict {
        holds!(self.answered.insert(caller), "C1 AtMostOnce", "{caller:?} is answered twice");
        Ok(())
    }

    /// A write was answered.
    ///
    /// # Errors
    /// C1, C2: the reference has made something else of it, or nothing yet.
    pub fn submitted(&mut self, id: NodeId, done: &Submitted) -> Verdict {
        let known = self.outcomes.get(&done.position.index);
        holds!(
            known.is_some_and(|outcomes| outcomes.contains(&done.outcome.to_vec())),
            "C2 SameReply",
            "n{id} answers for {:?} {:?}, and the reference has {:?}",
            done.position,
            Outcome::decode(done.outcome.clone()),
            known.map(|all| all
                .iter()
                .map(|one| Outcome::decode(Bytes::from(one.clone())))
                .collect::<Vec<_>>())
        );
        let term = self.facts[done.position.index as usize - 1].term.0;
        holds!(
            term == done.position.term,
            "C2 SameReply",
            "n{id} answers for {:?}, which is of term {term}",
            done.position
        );
        self.acknowledged = self.acknowledged.max(done.position.index);
        Ok(())
    }

    /// A read was answered.
    ///
    /// # Errors
    /// R1, R2.
    pub fn read(&mut self, id: NodeId, caller: Caller, done: &ReadDone) -> Verdict {
        self.fresh(id, caller, done.position, done.staleness_ms)?;
        let Some(range) = self.reads.remove(&caller).and_then(|asked| asked.range) else { return Ok(()) };
        let state = &self.states[done.position.index as usize];
        let expected = Outcome(state.range(&range).map(|page| Reply::Ranged(page.to_reply()))).encode();
        holds!(
            done.outcome[..] == expected[..],
            "R2 ReadState",
            "n{id} reads {range:?} behind {:?} as {:?}, and the reference has {:?}",
            done.position,
            Outcome::decode(done.outcome.clone()),
            Outcome::decode(expected.into())
        );
        Ok(())
    }

    /// A read or a query was answered: how fresh it is.
    ///
    /// # Errors
    /// R1.
    pub fn fresh(&mut self, id: NodeId, caller: Caller, position: Position, staleness_ms: u64) -> Verdict {
        holds!(
            position.index <= self.commit(),
            "R2 ReadState",
            "n{id} reads behind {position:?}, and {} is committed",
            self.commit()
        );
        let Some(asked) = self.reads.get(&caller) else { return Ok(()) };
        holds!(
            position.index >= asked.min_index,
            "R1 ReadIndex",
            "n{id} reads behind {position:?}, and was asked for {}",
            asked.min_index
        );
        holds!(
            !asked.linearizable || (position.index >= asked.acknowledged && staleness_ms == 0),
            "R1 ReadIndex",
            "n{id} reads behind {position:?}, and {} was acknowledged before it was asked",
            asked.acknowledged
        );
        if asked.linearizable {
            self.acknowledged = self.acknowledged.max(position.index);
        }
        Ok(())
    }

    /// Something was said about an index that everybody may rely on from now on.
    pub fn rely(&mut self, index: u64) {
        self.acknowledged = self.acknowledged.max(index);
    }
}

/// What is compared of two stores that have applied the same.
fn seen(store: &Store<impl holdfast_store::Plant>) -> (holdfast_store::Digest, [u64; 10]) {
    let (revision, clock, stamp) = (store.revision(), store.clock(), store.stamp());
    let counts = [
        revision,
        clock,
        u64::from(store.level().0),
        store.keys() as u64,
        store.oldest(),
        store.sessions().count() as u64,
        store.session_reply_bytes(),
        store.lease_count() as u64,
        store.places() as u64,
        store.token() ^ stamp.to_bits(),
    ];
    (store.digest(), counts)
}
