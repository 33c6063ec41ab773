//! Machine 16: how a node comes to belong to a cluster. The page is `docs/state-machines/16-formation.md`.

use holdfast_machine::{Machine, Verdict, numbered};

numbered! {
    /// What the identity file of a node says, and whether its process has given up.
    pub enum State: u8, "S" {
        /// The file names no cluster: the directory is new, or was lost.
        Blank = 1,
        /// Only the lowest id: it has drawn the names of the cluster and of all nodes, and has not counted everybody.
        Minted = 2,
        /// Every other id: it holds the names that the lowest id drew, and has not heard that anybody is formed.
        Prepared = 3,
        /// It belongs to the cluster, for ever. Only now may it vote, acknowledge and confirm.
        Formed = 4,
        /// The process goes no further and says why. The identity file stays as it is: a restart asks anew.
        Stopped = 5,
    }
}

numbered! {
    /// Facts, after all guards.
    pub enum Event: u8, "E" {
        /// At the lowest id: every other listed node has answered this process that it is blank or prepared.
        AllUnformed = 1,
        /// The lowest id demands of this very life to hold names that it does not hold.
        PrepareAsked = 2,
        /// At the lowest id: every other listed node, as last heard, holds the names minted here.
        AllPrepared = 3,
        /// A node says that it is formed, under the names that this node holds.
        FormedHeard = 4,
        /// A node says that it is formed in a cluster that knows this node's id under another uuid.
        ClusterElsewhere = 5,
        /// A node answers with another list of members.
        ListsDiffer = 6,
    }
}

numbered! {
    /// What a node does about it.
    pub enum Edge: u8, "T" {
        /// Draw the names of the cluster and of every node.
        Mint = 1,
        /// Hold the names that the lowest id drew.
        Prepare = 2,
        /// Hold newer names: the lowest id lost its directory before anybody was formed.
        Reprepare = 3,
        /// Everybody holds the names: be the first that is formed.
        FormFirst = 4,
        /// Somebody is formed under the names held here: so am I.
        Follow = 5,
        /// The names of this id were used by a directory that is not this one: refuse to go on.
        StopWiped = 6,
        /// The cluster was formed under names that this node gave up for others: refuse to go on.
        StopSuperseded = 7,
        /// Somebody is formed by a step that this directory never took: it is an old copy of one that did.
        StopOldCopy = 8,
        /// The operator gave two nodes different lists: refuse to go on, and say so to the other.
        StopMismatch = 9,
    }
}

/// Machine 16. See the module documentation.
#[derive(Debug)]
pub struct FormationMachine;

impl Machine for FormationMachine {
    const NUMBER: u8 = 16;
    const NAME: &'static str = "formation";
    const INITIAL: State = State::Blank;
    const FINAL: &'static [State] = &[State::Formed, State::Stopped];
    type State = State;
    type Event = Event;
    type Edge = Edge;

    fn next(state: State, event: Event) -> Verdict<Edge> {
        use Verdict::{Never, Stay, Take};
        use {Edge as T, Event as E, State as S};
        match (state, event) {
            (S::Blank, E::AllUnformed) => Take(T::Mint),
            (S::Minted, E::AllUnformed) => Never("a mint is made once and then only repeated"),
            (S::Prepared, E::AllUnformed) => Never("only the lowest id mints"),
            (S::Formed, E::AllUnformed) => Never("who is formed asks nobody"),

            (S::Blank, E::PrepareAsked) => Take(T::Prepare),
            (S::Minted, E::PrepareAsked) => Never("only the lowest id asks for it, and not itself"),
            (S::Prepared, E::PrepareAsked) => Take(T::Reprepare),
            (S::Formed, E::PrepareAsked) => Stay("formed is for ever: dropped and counted"),

            (S::Blank, E::AllPrepared) => Never("there is no mint that anybody could hold"),
            (S::Minted, E::AllPrepared) => Take(T::FormFirst),
            (S::Prepared, E::AllPrepared) => Never("only the lowest id counts"),
            (S::Formed, E::AllPrepared) => Never("counted once"),

            (S::Blank, E::FormedHeard) => Never("a blank node holds no names to compare"),
            (S::Minted, E::FormedHeard) => Take(T::StopOldCopy),
            (S::Prepared, E::FormedHeard) => Take(T::Follow),
            (S::Formed, E::FormedHeard) => Stay("a late answer: known already"),

            (S::Blank | S::Minted, E::ClusterElsewhere) => Take(T::StopWiped),
            (S::Prepared, E::ClusterElsewhere) => Take(T::StopSuperseded),
            (S::Formed, E::ClusterElsewhere) => Stay("formed is for ever: dropped, counted, and an alarm"),

            (S::Blank | S::Minted | S::Prepared, E::ListsDiffer) => Take(T::StopMismatch),
            (S::Formed, E::ListsDiffer) => Stay("a late or strange answer stops no formed node"),

            (
                S::Stopped,
                E::AllUnformed
                | E::PrepareAsked
                | E::AllPrepared
                | E::FormedHeard
                | E::ClusterElsewhere
                | E::ListsDiffer,
            ) => Never("nothing is looked at once stopped"),
        }
    }

    fn target(edge: Edge) -> State {
        match edge {
            Edge::Mint => State::Minted,
            Edge::Prepare | Edge::Reprepare => State::Prepared,
            Edge::FormFirst | Edge::Follow => State::Formed,
            Edge::StopWiped | Edge::StopSuperseded | Edge::StopOldCopy | Edge::StopMismatch => State::Stopped,
        }
    }
}
