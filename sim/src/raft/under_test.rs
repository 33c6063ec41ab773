//! The core that a run drives: as designed, or with one rule left out.
//!
//! The core is generic over what is planted in it. The world around it is not: it sees a core through [`UnderTest`], and
//! [`make`] takes the core that serves, or the one that asks what its thread has [chosen](crate::plants::chosen).

use std::fmt;
use std::sync::Arc;

use holdfast_raft::{
    Boot, Bug, Config, Configuration, Core, DropCause, Entry, EntryId, Index, Input, NoPlant, NodeId, Output,
    Plant, Progress, Recovered, Refusal, Rejected, RoleState, Term, invariants,
};

use crate::plants::Chosen;

/// What a core shows of itself, taken after each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Its term.
    pub term: Term,
    /// Whom it voted for.
    pub vote: Option<NodeId>,
    /// Its role.
    pub role: RoleState,
    /// The leader that it knows of.
    pub leader: Option<NodeId>,
    /// How far it knows the log to be committed.
    pub commit: Index,
    /// How far it was told that entries are applied.
    pub applied: Index,
    /// The end of its log, or what stands before the first hole.
    pub last: EntryId,
    /// What stands before the first entry.
    pub prev: EntryId,
    /// Up to where it believes its log durable.
    pub durable: Index,
    /// A leader that has committed an entry of its own term.
    pub established: bool,
    /// Its log has holes.
    pub damaged: bool,
    /// Its vote counts.
    pub may_vote: bool,
    /// The index of the configuration that acts.
    pub acting: Index,
}

impl View {
    /// Whether it leads.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.role == RoleState::Leader
    }
}

/// What a leader knows of a peer, as far as it is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Up to where the peer acknowledged.
    pub matched: Index,
    /// In which boot.
    pub boot: Option<Boot>,
}

/// A core, whatever is planted in it.
pub trait UnderTest: fmt::Debug {
    /// [`Core::step`].
    ///
    /// # Errors
    /// As there.
    fn step(&mut self, input: Input) -> Result<Option<EntryId>, Refusal>;
    /// [`Core::flush`].
    fn flush(&mut self, output: &mut Output);
    /// What it shows.
    fn view(&self) -> View;
    /// The entry at this index.
    fn entry(&self, index: Index) -> Option<&Entry>;
    /// The term at this index.
    fn term_at(&self, index: Index) -> Option<Term>;
    /// The configuration that acts.
    fn configuration(&self) -> &Arc<Configuration>;
    /// What it knows of a peer, if it leads.
    fn peer(&self, id: NodeId) -> Option<Peer>;
    /// How many messages it dropped for this cause.
    fn drops(&self, cause: DropCause) -> u64;
    /// The index that its newest durable snapshot covers.
    fn covered(&self) -> Index;
    /// Its own invariants; panics.
    fn check(&self);
    /// For people.
    fn describe(&self) -> String;
}

impl<P: Plant> UnderTest for Core<P> {
    fn step(&mut self, input: Input) -> Result<Option<EntryId>, Refusal> {
        Core::step(self, input)
    }

    fn flush(&mut self, output: &mut Output) {
        Core::flush(self, output);
    }

    fn view(&self) -> View {
        View {
            term: self.term(),
            vote: self.vote(),
            role: self.role(),
            leader: self.leader(),
            commit: self.commit(),
            applied: self.applied(),
            last: self.last(),
            prev: self.prev(),
            durable: self.durable(),
            established: self.established(),
            damaged: self.damaged(),
            may_vote: self.may_vote(),
            acting: Core::configuration(self).0,
        }
    }

    fn entry(&self, index: Index) -> Option<&Entry> {
        Core::entry(self, index)
    }

    fn term_at(&self, index: Index) -> Option<Term> {
        Core::term_at(self, index)
    }

    fn configuration(&self) -> &Arc<Configuration> {
        &Core::configuration(self).1
    }

    fn peer(&self, id: NodeId) -> Option<Peer> {
        let of = |progress: &Progress| Peer { matched: progress.matched, boot: progress.boot };
        self.progress(id).map(of)
    }

    fn drops(&self, cause: DropCause) -> u64 {
        Core::drops(self, cause)
    }

    fn covered(&self) -> Index {
        self.snapshot().map_or(Index(0), |meta| meta.last.index)
    }

    fn check(&self) {
        invariants::check(self);
    }

    fn describe(&self) -> String {
        Core::describe(self)
    }
}

/// A core with this rule left out, or as designed.
///
/// # Errors
/// What the core says of the configuration, or of what was recovered.
pub fn make(bug: Option<Bug>, config: Config, recovered: Recovered) -> Result<Box<dyn UnderTest>, Rejected> {
    Ok(match bug {
        None => Box::new(Core::<NoPlant>::new(config, recovered)?),
        Some(_) => Box::new(Core::<Chosen>::new(config, recovered)?),
    })
}
