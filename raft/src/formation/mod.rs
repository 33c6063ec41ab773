//! How blank nodes become one cluster: pure, numbered, and without a socket or a disk.
//!
//! # Why
//! A cluster needs names that nobody else has: its own, and one for every data directory, so that a directory that was lost
//! is not mistaken for the one that stands there later. Somebody has to draw them, once, although messages are lost, late
//! or doubled and any process or directory can vanish between any two steps. If two sets of names were ever in force
//! among the nodes of one list, two clusters would answer the same clients; and if an empty directory took up a name
//! under which a lost one has voted, one term could have two leaders.
//!
//! # Shape
//! ```text
//!                       lowest id                              every other id
//!   tick ─► Ask ───────────────────────────────────────────────►│
//!           │◄───────────────────────────────── Answer(blank) ──┤
//!   all answered: persist Minted                                │
//!           ├── Prepare(names) ─────────────────────────────────►│ persist Prepared
//!           │◄────────────────────────── Answer(prepared names) ┤
//!   all hold them: persist Formed                               │
//!           ├── Answer(formed) ────────────────────────────────►│ persist Formed
//! ```
//! One question, one answer, one demand. Every node that is not formed asks all others again and again; whoever is asked
//! answers with what its identity file says. A lost message is therefore replaced by the next question, a crashed node
//! goes on from its file, and a formed node needs to remember nobody: it answers when asked. What the owner does:
//! 1. Read the identity file, [`new`](Formation::new), and [`step`](Formation::step) with a
//!    [`Tick`](FormationInput::Tick) at once and then regularly.
//! 2. Obey the laws of [`FormationOutput`].
//! 3. Once [`formed`](Formation::formed), start the core. Go on giving messages to this: others may still ask.
//! 4. Once [`stopped`](Formation::stopped), log the reason, send what was to be sent, and end the process.
//!
//! # Invariants
//! - Machine 16 ([`FormationMachine`]) decides every change of state, in one place (`shift`). It goes on from one process
//!   to the next where the identity file says: a restart takes no edge.
//! - Nothing is said that is not durable. While a persist is under way nothing is said at all.
//! - All formed directories of a list hold the same names; a formed one never changes.
//! - A directory takes up only names that nobody had been formed under when its process started. So no directory ever
//!   acts under the uuid of another one that acted.
//! - Nothing that a peer sends panics, and nothing stops a process but what is addressed to its present life.
//!
//! Why they hold is argued in the page, and `raft/tests/formation_model.rs` goes through every order of events of two and
//! three nodes.
//!
//! # What this leaves out
//! Membership after the beginning (machine 04). Old copies of directories: only the one case that shows here is refused;
//! the rest is told from boots by the core. Authenticity: who can send messages can lie.

mod hear;
mod identity;
mod message;
mod refusal;
mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hash;

use bytes::Bytes;
use holdfast_machine::{Machine, Numbered, Trace, decide};
pub use identity::{ADDRESS_BYTES_MAX, BadList, IdentityState, Life, ListHash, MemberList, Mint, Seed};
pub use message::{Body, FormationInput, FormationMessage, FormationOutput};
pub use refusal::{DropCause, FormationError, StopReason};
pub use table::{Edge, Event, FormationMachine, State};

use crate::{ClusterId, NodeId, NodeUuid};

/// Ticks of 10 ms between two questions to the same peer: 200 ms. Short for a person who waits for a cluster, long for a
/// sync of the slowest disk that is answered in between.
pub const ASK_TICKS: u32 = 20;

/// How many steps a formation remembers for a post-mortem: more than any life has without a re-mint.
const TRACE_STEPS: usize = 8;

/// All that a formation is told when it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormationConfig {
    /// Which node.
    pub id: NodeId,
    /// The nodes that are to form a cluster, this one among them. Not looked at once the identity file is formed.
    pub members: MemberList,
    /// Drawn anew for every start of the process.
    pub seed: Seed,
    /// Ticks between two questions to the same peer, at least 1; see [`ASK_TICKS`].
    pub ask_ticks: u32,
}

/// What the core is made from: [`Formation::formed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formed {
    /// The name of the cluster.
    pub cluster: ClusterId,
    /// The name of this node's data directory.
    pub uuid: NodeUuid,
    /// Every first member: id, uuid of its directory, address; in ascending order of ids. The voters of the first
    /// configuration.
    pub members: Vec<(NodeId, NodeUuid, Bytes)>,
}

/// What a peer last answered to this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Heard {
    /// Which life of it.
    life: Life,
    /// The names it holds.
    holds: Option<ClusterId>,
}

/// Answers by node. Only the lowest id keeps them.
type Answers = BTreeMap<NodeId, Heard>;

/// What is known in each state and in no other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Stage {
    Blank { answers: Answers },
    Minted { mint: Mint, answers: Answers },
    Prepared { mint: Mint },
    Formed { mint: Mint },
    Stopped { reason: StopReason, identity: IdentityState },
}

impl Stage {
    fn state(&self) -> State {
        match self {
            Self::Blank { .. } => State::Blank,
            Self::Minted { .. } => State::Minted,
            Self::Prepared { .. } => State::Prepared,
            Self::Formed { .. } => State::Formed,
            Self::Stopped { .. } => State::Stopped,
        }
    }

    /// What the identity file says of it.
    fn identity(&self) -> IdentityState {
        match self {
            Self::Blank { .. } => IdentityState::Blank,
            Self::Minted { mint, .. } => IdentityState::Minted(mint.clone()),
            Self::Prepared { mint } => IdentityState::Prepared(mint.clone()),
            Self::Formed { mint } => IdentityState::Formed(mint.clone()),
            Self::Stopped { identity, .. } => identity.clone(),
        }
    }
}

/// All that decides what comes next, besides what never changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Memory {
    stage: Stage,
    /// The stage is not on the disk yet.
    syncing: bool,
    ticks_until_ask: u32,
    /// How many lives this process has had before.
    turn: u32,
    /// Which life of the lowest id has asked last.
    asked_by: Option<Life>,
}

/// One node on its way into a cluster. See the module documentation.
#[derive(Clone)]
pub struct Formation {
    id: NodeId,
    list: MemberList,
    seed: Seed,
    ask_ticks: u32,
    memory: Memory,
    steps: u64,
    drops: [u64; DropCause::ALL.len()],
    trace: Trace<FormationMachine, TRACE_STEPS>,
}

impl fmt::Debug for Formation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Formation")
            .field("id", &self.id)
            .field("life", &self.life())
            .field("memory", &self.memory)
            .field("trace", &self.trace)
            .finish_non_exhaustive()
    }
}

impl Formation {
    /// A node that goes on where its identity file says.
    ///
    /// # Errors
    /// [`FormationError`] when the file and the configuration cannot be of the same node.
    pub fn new(config: FormationConfig, recovered: IdentityState) -> Result<Self, FormationError> {
        let FormationConfig { id, members, seed, ask_ticks } = config;
        let minter = members.lowest() == id;
        let (list, stage, role_fits) = match recovered {
            IdentityState::Blank => (members, Stage::Blank { answers: Answers::new() }, true),
            IdentityState::Minted(mint) => (members, Stage::Minted { mint, answers: Answers::new() }, minter),
            IdentityState::Prepared(mint) => (members, Stage::Prepared { mint }, !minter),
            // Members may have been replaced since, so what the operator says now is not compared.
            IdentityState::Formed(mint) => (mint.list().clone(), Stage::Formed { mint }, true),
        };
        if let Some(mint) = stage.identity().mint()
            && *mint.list() != list
        {
            return Err(FormationError::ListChanged { recorded: mint.list().clone(), configured: list });
        }
        if list.position(id).is_none() {
            return Err(FormationError::NotListed { node: id, list });
        }
        if !role_fits {
            return Err(FormationError::WrongRole { node: id });
        }
        if ask_ticks == 0 {
            return Err(FormationError::NeverAsks);
        }
        let memory = Memory { stage, syncing: false, ticks_until_ask: 0, turn: 0, asked_by: None };
        let drops = [0; DropCause::ALL.len()];
        Ok(Self { id, list, seed, ask_ticks, memory, steps: 0, drops, trace: Trace::new() })
    }

    /// The nodes of the cluster that is formed: those that the identity file names, if it is formed already.
    #[must_use]
    pub fn members(&self) -> &MemberList {
        &self.list
    }

    /// Where the formation is. A state may not be durable yet: see [`formed`](Self::formed).
    #[must_use]
    pub fn state(&self) -> State {
        self.memory.stage.state()
    }

    /// What the core is made from; `None` until it is durable that this node belongs to the cluster.
    #[must_use]
    pub fn formed(&self) -> Option<Formed> {
        let Stage::Formed { mint } = &self.memory.stage else { return None };
        let members = mint.list().members().iter().zip(mint.uuids());
        let members = members.map(|((id, address), uuid)| (*id, *uuid, address.clone())).collect();
        let uuid = mint.uuid(self.id)?;
        (!self.memory.syncing).then(|| Formed { cluster: mint.cluster(), uuid, members })
    }

    /// Why this node goes no further; `None` while it does. The identity file stays as it is.
    #[must_use]
    pub fn stopped(&self) -> Option<&StopReason> {
        match &self.memory.stage {
            Stage::Stopped { reason, .. } => Some(reason),
            Stage::Blank { .. } | Stage::Minted { .. } | Stage::Prepared { .. } | Stage::Formed { .. } => {
                None
            }
        }
    }

    /// Who has not answered this process yet: for people who wait. Always empty but at a blank or minted lowest id.
    pub fn waiting_for(&self) -> impl Iterator<Item = NodeId> {
        let holding = match &self.memory.stage {
            Stage::Blank { answers } if self.mints() => Some((answers, None)),
            Stage::Minted { mint, answers } => Some((answers, Some(mint.cluster()))),
            Stage::Blank { .. } | Stage::Prepared { .. } | Stage::Formed { .. } | Stage::Stopped { .. } => {
                None
            }
        };
        self.list.others(self.id).filter(move |other| {
            holding.is_some_and(|(answers, cluster)| {
                let heard = answers.get(other);
                heard.is_none() || cluster.is_some() && heard.is_some_and(|heard| heard.holds != cluster)
            })
        })
    }

    /// How many messages were dropped for this cause.
    #[must_use]
    pub fn dropped(&self, cause: DropCause) -> u64 {
        self.drops[cause.position()]
    }

    /// The last steps, and how often each edge was taken; by the number of the input.
    #[must_use]
    pub fn trace(&self) -> &Trace<FormationMachine, TRACE_STEPS> {
        &self.trace
    }

    /// All that decides what comes next, to be compared: two formations of one node and seed for which it is equal behave
    /// alike for ever.
    #[must_use]
    pub fn canonical(&self) -> impl Clone + fmt::Debug + Eq + Hash + use<> {
        self.memory.clone()
    }

    /// Takes one input and says what is to be done about it.
    pub fn step(&mut self, input: FormationInput) -> FormationOutput {
        let mut out = FormationOutput::default();
        self.steps += 1;
        match input {
            FormationInput::Tick => self.tick(&mut out),
            FormationInput::Durable => {
                if std::mem::take(&mut self.memory.syncing) {
                    self.count(&mut out);
                }
            }
            FormationInput::Message(message) => {
                if let Err(cause) = self.receive(&message, &mut out) {
                    self.drops[cause.position()] += 1;
                }
            }
        }
        out
    }

    /// Whether this is the node that draws the names.
    fn mints(&self) -> bool {
        self.list.lowest() == self.id
    }

    /// The present life: what is not addressed to it is dropped.
    #[must_use]
    pub fn life(&self) -> Life {
        self.seed.life(self.memory.turn)
    }

    fn say(&self, to: NodeId, body: Body) -> FormationMessage {
        FormationMessage { from: self.id, life: self.life(), to, list: self.list.clone(), body }
    }

    /// The only place where the state changes, after the identity file was read.
    fn shift(&mut self, event: Event, enter: impl FnOnce(Edge) -> Stage) -> Option<Edge> {
        let from = self.state();
        let edge = decide::<FormationMachine>(from, event)?;
        let stage = enter(edge);
        assert_eq!(stage.state(), FormationMachine::target(edge), "{}", edge.label());
        self.trace.record(self.steps, from, event, edge);
        self.memory.stage = stage;
        Some(edge)
    }

    /// As `shift`, to a stage that has to be on the disk before anybody is told.
    fn shift_durably(
        &mut self,
        event: Event,
        out: &mut FormationOutput,
        enter: impl FnOnce(Edge) -> Stage,
    ) -> Option<Edge> {
        let edge = self.shift(event, enter)?;
        self.memory.syncing = true;
        out.persist = Some(self.memory.stage.identity());
        Some(edge)
    }

    /// Asks all others when it is time to, until this node is formed.
    fn tick(&mut self, out: &mut FormationOutput) {
        let asks = match self.memory.stage {
            Stage::Blank { .. } | Stage::Minted { .. } | Stage::Prepared { .. } => !self.memory.syncing,
            Stage::Formed { .. } | Stage::Stopped { .. } => false,
        };
        if !asks {
            return;
        }
        if self.memory.ticks_until_ask > 0 {
            self.memory.ticks_until_ask -= 1;
            return;
        }
        self.memory.ticks_until_ask = self.ask_ticks - 1;
        out.send_now.extend(self.list.others(self.id).map(|to| self.say(to, Body::Ask)));
        // Who has no others has heard them all.
        self.count(out);
    }

    /// Looks whether everybody has answered what the lowest id waits for.
    fn count(&mut self, out: &mut FormationOutput) {
        let everybody = |answers: &Answers, wanted: &dyn Fn(&Heard) -> bool| {
            self.list.others(self.id).all(|other| answers.get(&other).is_some_and(wanted))
        };
        match &self.memory.stage {
            Stage::Blank { answers } if self.mints() && everybody(answers, &|_| true) => {
                let (mint, answers) = (self.seed.mint(&self.list), answers.clone());
                let demands = answers.iter().map(|(to, heard)| self.prepare(*to, heard.life, &mint));
                out.send_after_persist.extend(demands);
                self.shift_durably(Event::AllUnformed, out, |_| Stage::Minted { mint, answers });
            }
            Stage::Minted { mint, answers }
                if everybody(answers, &|heard| heard.holds == Some(mint.cluster())) =>
            {
                let mint = mint.clone();
                let news = answers.iter().map(|(to, heard)| {
                    let identity = IdentityState::Formed(mint.clone());
                    self.say(*to, Body::Answer { to_life: heard.life, identity })
                });
                out.send_after_persist.extend(news);
                self.shift_durably(Event::AllPrepared, out, |_| Stage::Formed { mint });
            }
            Stage::Blank { .. }
            | Stage::Minted { .. }
            | Stage::Prepared { .. }
            | Stage::Formed { .. }
            | Stage::Stopped { .. } => {}
        }
    }

    /// Hold these names.
    fn prepare(&self, to: NodeId, to_life: Life, mint: &Mint) -> FormationMessage {
        self.say(to, Body::Prepare { to_life, mint: mint.clone() })
    }
}
