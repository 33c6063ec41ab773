//! How a core goes on from what the disk holds.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use holdfast_machine::{Numbered, Trace};

use super::damage::Broken;
use super::durability::Durability;
use super::reads::Forwarded;
use super::{Core, spread};
use crate::log::Log;
use crate::membership::{Configurations, MembershipState};
use crate::role::{Follower, Role};
use crate::transfer::Transfer;
use crate::{
    BadConfig, COUNT_MAX, Config, Configuration, Damage, DropCause, Entry, EntryId, HardState, Index, LogOp,
    Output, Payload, Plant, Recovered, Round, Stretch, Term,
};

/// Why a core cannot be made of what the disk holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// A number of the configuration is out of range.
    Config(BadConfig),
    /// What was recovered contradicts itself.
    Contradiction(String),
    /// The log was written in a later term than the hard state says: the hard state is not the last one that was written.
    /// The owner notes for good that it is lost, and starts again with [`Recovered::hard_state_lost`].
    HardStateOlder {
        /// What the hard state says.
        hard_state: Term,
        /// What the log proves.
        log: Term,
    },
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Contradiction(what) => f.write_str(what),
            Self::HardStateOlder { hard_state, log } => write!(
                f,
                "the log was written in term {log}, and the term on the disk is {hard_state}: term and vote are lost"
            ),
        }
    }
}

impl std::error::Error for Rejected {}

impl Recovered {
    /// What every node of a new cluster starts with: one entry of term 1 that says who is in it. It is the same on all of
    /// them, so it counts as if a leader of term 1 had committed it; the first election is for term 2.
    #[must_use]
    pub fn formed(initial: Configuration) -> Self {
        Self {
            hard_state: HardState { term: Term(1), vote: None },
            entries: vec![Entry { term: Term(1), payload: Payload::Configuration(Arc::new(initial)) }],
            ..Self::default()
        }
    }
}

impl<P: Plant> Core<P> {
    /// A core that goes on from what the disk holds.
    ///
    /// # Errors
    /// [`Rejected`] with the reason, if the configuration is out of range, or what was recovered contradicts itself (entries
    /// that begin behind the snapshot of a log that is not damaged, terms that fall, holes where entries are), or term and vote are older than the log.
    pub fn new(config: Config, recovered: Recovered) -> Result<Self, Rejected> {
        config.validate().map_err(Rejected::Config)?;
        let contradiction = |what: String| Err(Rejected::Contradiction(what));
        let Recovered { hard_state, hard_state_lost, snapshot, prev, entries, damage } = recovered;
        let covered = snapshot.as_ref().map_or(EntryId::ZERO, |meta| meta.last);
        let begins_late = prev.index > covered.index;
        if begins_late && damage.is_none() {
            return contradiction(format!(
                "the log begins behind {prev}, and the snapshot ends at {covered}"
            ));
        }
        let mut log = Log::new(prev);
        for entry in entries {
            let last = log.last();
            if entry.term < last.term || entry.term == Term(0) || entry.term.0 >= COUNT_MAX {
                return contradiction(format!("an entry of term {} stands behind {last}", entry.term));
            }
            log.append(entry);
        }
        let base = snapshot.as_ref().map(|meta| meta.configuration.clone()).unwrap_or_default();
        // Whatever stands in the log was written with a hard state of its term or a later one: an older one is not the last
        // that was written. A snapshot of a later term proves nothing, for others made it; but its term is known now.
        let claimed = damage.as_ref().map_or(Term(0), |damage| {
            let behind = damage.behind.iter().map(|(_, entry)| entry.term);
            behind.fold(damage.claimed_end.term, Term::max)
        });
        let seen = log.last().term.max(claimed);
        if seen > hard_state.term && !hard_state_lost {
            return Err(Rejected::HardStateOlder { hard_state: hard_state.term, log: seen });
        }
        let broken = match damage {
            None => None,
            Some(mut damage) if begins_late => {
                let mut readable: Vec<(Index, Entry)> =
                    log.iter_from(prev.index.next()).map(|(index, entry)| (index, entry.clone())).collect();
                readable.append(&mut damage.behind);
                damage.behind = readable;
                log = Log::new(covered);
                let broken = Broken::without_snapshot(damage, covered, prev);
                Some(broken.map_err(Rejected::Contradiction)?)
            }
            Some(mut damage) => {
                let ends_before = log.last().index < covered.index;
                if ends_before && damage.behind.iter().any(|(index, _)| *index > covered.index) {
                    // What the snapshot covers is not missed: the log goes on behind it with what is readable there.
                    log = go_on_behind(covered, &mut damage);
                }
                Some(Broken::new(damage, log.last()).map_err(Rejected::Contradiction)?)
            }
        };
        let term = hard_state.term.max(seen).max(covered.term);
        let vote = hard_state.vote.filter(|_| term == hard_state.term);
        let mut core = Self {
            hard_lost: hard_state_lost,
            hard: HardState { term, vote },
            role: Role::Follower(Follower::default()),
            configurations: Configurations::new(base),
            membership: MembershipState::Stable,
            broken,
            commit: covered.index,
            applied: covered.index,
            handed: covered.index,
            handed_bytes: 0,
            durability: Durability::default(),
            transfer: Transfer::Idle,
            boots: BTreeMap::new(),
            now: 0,
            election_clock: 0,
            election_timeout: 0,
            hurried: 0,
            unreadable: None,
            leader_heard: None,
            // Even equal seeds, a likely mistake, differ from node to node and from boot to boot.
            random: config.seed.wrapping_add(spread(config.id.0)).wrapping_add(spread(spread(config.boot.0))),
            round: Round(0),
            stretch: Stretch(0),
            forwarded: Forwarded::default(),
            turn: Output::default(),
            promises: Vec::new(),
            drops: [0; DropCause::ALL.len()],
            roles: Trace::new(),
            plant: PhantomData,
            log,
            snapshot,
            config,
        };
        core.durability.start(core.log.last().index.max(covered.index), hard_state);
        if core.hard != hard_state {
            core.durability.hard_changed();
        }
        if core.log.term_at(covered.index) != Some(covered.term) {
            // A crash between the installation of a snapshot and the reset of the log.
            core.reset_log(covered);
        } else if core.log.prev().index > prev.index {
            core.durability.op(LogOp::Trim { through: core.log.prev().index });
        }
        core.read_configurations();
        core.reset_election_clock();
        core.expect_no_leader();
        Ok(core)
    }

    /// Reads the configurations of the log anew, and puts machine 04 where they say.
    fn read_configurations(&mut self) {
        let (base, _) = *self.configurations.acting();
        let later: Vec<(Index, Arc<Configuration>)> = self
            .log
            .iter_from(base.next())
            .filter_map(|(index, entry)| match &entry.payload {
                Payload::Configuration(configuration) => Some((index, configuration.clone())),
                Payload::Empty | Payload::Data(_) => None,
            })
            .collect();
        for (index, configuration) in later {
            self.configurations.append(index, configuration);
        }
        self.membership_fact(self.configurations.found(self.commit));
    }
}

/// The log behind a snapshot, as far as it is readable there; what is damaged before the snapshot's end is not any more.
fn go_on_behind(covered: EntryId, damage: &mut Damage) -> Log {
    let mut log = Log::new(covered);
    damage.holes.retain(|hole| hole.last > covered.index);
    if let Some(hole) = damage.holes.first_mut() {
        hole.first = hole.first.max(covered.index.next());
    }
    let mut behind: BTreeMap<Index, Entry> = std::mem::take(&mut damage.behind).into_iter().collect();
    behind.retain(|index, _| *index > covered.index);
    let hole = damage.holes.first().map(|hole| hole.first);
    while let Some(entry) = behind.remove(&log.last().index.next()) {
        if hole == Some(log.last().index.next()) || entry.term < log.last().term {
            behind.insert(log.last().index.next(), entry);
            break;
        }
        log.append(entry);
    }
    damage.behind = behind.into_iter().collect();
    log
}
