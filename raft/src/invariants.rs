//! What is always true of one core, whatever it is told.
//!
//! Checked after every step in debug builds, in scripts and in the simulators. What has to hold between nodes is checked by
//! the simulators, which see all of them.

use std::sync::Arc;

use crate::{Configuration, Core, EntryId, Index, NodeId, Payload, Plant, RoleState, Term};

/// The numbers of a core that only ever move one way, taken before a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    term: Term,
    vote: Option<NodeId>,
    role: RoleState,
    commit: Index,
    applied: Index,
    last: EntryId,
    prev: EntryId,
    snapshot: Index,
}

impl Marks {
    /// Those of this core.
    #[must_use]
    pub fn of<P: Plant>(core: &Core<P>) -> Self {
        Self {
            term: core.term(),
            vote: core.vote(),
            role: core.role(),
            commit: core.commit(),
            applied: core.applied(),
            last: core.last(),
            prev: core.prev(),
            snapshot: snapshot_end(core),
        }
    }
}

fn snapshot_end<P: Plant>(core: &Core<P>) -> Index {
    core.snapshot().map_or(Index(0), |meta| meta.last.index)
}

/// That one step broke none of these:
/// - the term never falls, and within a term a vote is never given to another (§5.2);
/// - commit, applied, snapshot and the start of the log never fall;
/// - a leader never overwrites or deletes an entry of its own (Leader Append-Only, §5.3).
///
/// # Panics
/// If it did, with what.
pub fn check_step<P: Plant>(before: &Marks, core: &Core<P>) {
    if P::any() {
        return; // A planted bug is for the simulator to find.
    }
    let after = Marks::of(core);
    assert!(before.term <= after.term, "the term fell: {before:?} → {after:?}");
    let same_vote = before.term < after.term || before.vote.is_none() || before.vote == after.vote;
    assert!(same_vote, "two votes in one term: {before:?} → {after:?}");
    assert!(before.commit <= after.commit, "the commit index fell: {before:?} → {after:?}");
    assert!(before.applied <= after.applied, "the applied index fell: {before:?} → {after:?}");
    assert!(before.snapshot <= after.snapshot, "the snapshot fell back: {before:?} → {after:?}");
    assert!(before.prev.index <= after.prev.index, "the log grew at its start: {before:?} → {after:?}");
    if before.role == RoleState::Leader && after.role == RoleState::Leader && before.term == after.term {
        let kept = before.last.index <= after.prev.index
            || core.term_at(before.last.index) == Some(before.last.term);
        assert!(kept, "a leader lost an entry of its own: {before:?} → {after:?}");
    }
    check(core);
}

/// That the core agrees with itself:
/// - `log start ≤ snapshot ≤ applied ≤ commit ≤ last`, and what is durable is in the log;
/// - what is not in memory is on the disk and applied;
/// - a leader voted for itself, has a whole log, and its peers' `matched < next ≤ last + 1`.
///
/// # Panics
/// If it does not, with what.
pub fn check<P: Plant>(core: &Core<P>) {
    let (prev, snapshot) = (core.prev().index, snapshot_end(core));
    let evicted = core.evicted().index;
    assert!(
        evicted == prev || (prev < evicted && evicted <= core.applied() && evicted <= core.durable()),
        "start {prev} ≤ evicted {evicted} ≤ applied {}, durable {}",
        core.applied(),
        core.durable()
    );
    let (applied, commit, last) = (core.applied(), core.commit(), core.last().index);
    assert!(
        prev <= snapshot && snapshot <= applied && applied <= commit && commit <= last,
        "start {prev} ≤ snapshot {snapshot} ≤ applied {applied} ≤ commit {commit} ≤ last {last}"
    );
    assert!(core.durable() <= last, "durable {} ≤ last {last}", core.durable());
    if core.role() == RoleState::Leader {
        assert_eq!(core.vote(), Some(core.id()), "a leader voted for itself");
        assert!(!core.damaged() && !core.hard_state_lost(), "a damaged node leads");
        for id in core.configuration().1.members().keys() {
            let Some(progress) = core.progress(*id) else { continue };
            let (matched, next) = (progress.matched, progress.next);
            assert!(
                matched < next && next <= last.next(),
                "peer {id}: matched {matched} < next {next} ≤ {last} + 1"
            );
        }
    }
}

/// That the acting configuration is the one that the log says, read from its start in memory: a walk over the whole log, so it is not
/// done after every step.
///
/// # Panics
/// If it is another one.
pub fn check_log<P: Plant>(core: &Core<P>) {
    let mut found: Option<(Index, Arc<Configuration>)> =
        core.snapshot().map(|meta| meta.configuration.clone());
    let EntryId { index: start, mut term } = core.evicted();
    if start > core.prev().index {
        found = Some(core.configuration_at(start).clone());
    }
    for index in (start.0 + 1..=core.last().index.0).map(Index) {
        let entry = core.entry(index).expect("the log has no gap");
        assert!(entry.term >= term, "terms never fall along a log");
        term = entry.term;
        if let Payload::Configuration(configuration) = &entry.payload
            && found.as_ref().is_none_or(|(at, _)| *at < index)
        {
            found = Some((index, configuration.clone()));
        }
    }
    assert_eq!(
        *core.configuration(),
        found.unwrap_or_default(),
        "the acting configuration is the last of the log"
    );
}
