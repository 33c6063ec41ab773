//! Machine 14: the life of a node's process, from the lock on its directory to the release of it. The page is
//! `docs/state-machines/14-node-life-cycle.md`.

use std::fmt;
use std::sync::Arc;

use holdfast_machine::{Machine, Numbered, Verdict, numbered};
use tokio::sync::watch;

numbered! {
    /// How far a node's process has come.
    pub enum State: u8, "S" {
        /// Takes the lock of the data directory, reads the identity file, raises the boot counter.
        Opening = 1,
        /// Becomes a member of a new cluster, with the others of its list.
        Forming = 2,
        /// Reads the log back, and makes the core of it.
        Recovering = 3,
        /// Talks to its peers and listens to clients; has not applied what its leader had committed.
        Joining = 4,
        /// Serves: it knows a leader, and has applied what that leader had committed.
        Ready = 5,
        /// Stops in order: admits nothing, hands leadership over, answers what is under way.
        Draining = 6,
        /// Closes peers, log and directory.
        Closing = 7,
        /// Everything is closed, and nothing is owed.
        Stopped = 8,
        /// It cannot go on; the reason was given. What was acknowledged is on the disk.
        Failed = 9,
    }
}

numbered! {
    /// Facts about it.
    pub enum Event: u8, "E" {
        /// The identity file names no cluster that is formed.
        Unformed = 1,
        /// The identity file names the cluster that this node belongs to.
        Formed = 2,
        /// The core is made, the listeners are open.
        Recovered = 3,
        /// The node knows a leader and has applied what that leader had committed.
        CaughtUp = 4,
        /// It knows no such leader any more.
        LeaderLost = 5,
        /// Somebody wants it to stop.
        StopWanted = 6,
        /// Nothing is under way any more, or there was no more time for it.
        Drained = 7,
        /// Log and directory are closed.
        Closed = 8,
        /// Something failed that only a person, or a new process, can mend.
        Broke = 9,
    }
}

numbered! {
    /// What is done about it.
    pub enum Edge: u8, "T" {
        /// Talk to the other members of the list.
        BeginForming = 1,
        /// Read the log back: this node was a member before.
        BeginRecovery = 2,
        /// Make the log: the cluster has just been formed.
        Join = 3,
        /// Open peers and listeners.
        Open = 4,
        /// Say that it is ready.
        BecomeReady = 5,
        /// Say that it is not ready any more, and go on.
        LoseLeader = 6,
        /// Begin the ordered stop.
        BeginStop = 7,
        /// Stop before it served anybody.
        StopEarly = 8,
        /// Close what is left.
        BeginClose = 9,
        /// Release the directory.
        Release = 10,
        /// Say why, and end.
        Fail = 11,
    }
}

/// Machine 14. See the module documentation.
#[derive(Debug)]
pub struct LifeMachine;

impl Machine for LifeMachine {
    const NUMBER: u8 = 14;
    const NAME: &'static str = "node-life-cycle";
    const INITIAL: State = State::Opening;
    const FINAL: &'static [State] = &[State::Stopped, State::Failed];
    type State = State;
    type Event = Event;
    type Edge = Edge;

    fn next(state: State, event: Event) -> Verdict<Edge> {
        use Verdict::{Never, Stay, Take};
        use {Edge as T, Event as E, State as S};
        match (state, event) {
            (S::Opening, E::Unformed) => Take(T::BeginForming),
            (S::Opening, E::Formed) => Take(T::BeginRecovery),
            (S::Forming, E::Formed) => Take(T::Join),
            (S::Forming, E::Unformed) => Never("the identity file is read once"),
            (S::Recovering | S::Joining | S::Ready | S::Draining | S::Closing, E::Unformed | E::Formed) => {
                Never("a node is formed once, and for ever")
            }

            (S::Recovering, E::Recovered) => Take(T::Open),
            (S::Opening | S::Forming | S::Joining | S::Ready | S::Draining | S::Closing, E::Recovered) => {
                Never("the log is read once")
            }

            (S::Joining, E::CaughtUp) => Take(T::BecomeReady),
            (S::Ready, E::CaughtUp) => Stay("it was said already"),
            (S::Ready, E::LeaderLost) => Take(T::LoseLeader),
            (S::Joining, E::LeaderLost) => Stay("there was none to lose"),
            (S::Draining | S::Closing, E::CaughtUp | E::LeaderLost) => Stay("it does not matter any more"),
            (S::Opening | S::Forming | S::Recovering, E::CaughtUp | E::LeaderLost) => {
                Never("there is no core yet")
            }

            (S::Joining | S::Ready, E::StopWanted) => Take(T::BeginStop),
            (S::Opening | S::Forming | S::Recovering, E::StopWanted) => Take(T::StopEarly),
            (S::Draining | S::Closing, E::StopWanted) => Stay("it is stopping"),

            (S::Draining, E::Drained) => Take(T::BeginClose),
            (S::Opening | S::Forming | S::Recovering | S::Joining | S::Ready | S::Closing, E::Drained) => {
                Never("only what drains is drained")
            }

            (S::Closing, E::Closed) => Take(T::Release),
            (S::Opening | S::Forming | S::Recovering | S::Joining | S::Ready | S::Draining, E::Closed) => {
                Never("closed before it was time")
            }

            (
                S::Opening | S::Forming | S::Recovering | S::Joining | S::Ready | S::Draining | S::Closing,
                E::Broke,
            ) => Take(T::Fail),

            (
                S::Stopped | S::Failed,
                E::Unformed
                | E::Formed
                | E::Recovered
                | E::CaughtUp
                | E::LeaderLost
                | E::StopWanted
                | E::Drained
                | E::Closed
                | E::Broke,
            ) => Never("it is over"),
        }
    }

    fn target(edge: Edge) -> State {
        match edge {
            Edge::BeginForming => State::Forming,
            Edge::BeginRecovery | Edge::Join => State::Recovering,
            Edge::Open | Edge::LoseLeader => State::Joining,
            Edge::BecomeReady => State::Ready,
            Edge::BeginStop => State::Draining,
            Edge::StopEarly | Edge::BeginClose => State::Closing,
            Edge::Release => State::Stopped,
            Edge::Fail => State::Failed,
        }
    }
}

/// Hears of every edge of machine 14, for whoever embeds a node: a test, a supervisor.
#[derive(Clone, Default)]
pub struct Observer(Option<Arc<dyn Fn(Edge) + Send + Sync>>);

impl Observer {
    /// One that calls `hear` with each edge, on the thread of the node, right after the state has changed. The node waits
    /// for it to return.
    pub fn new(hear: impl Fn(Edge) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hear)))
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observer").field(&self.0.is_some()).finish()
    }
}

/// The state of one process, and the choke point of the machine.
#[derive(Debug)]
pub(super) struct Life {
    node: u64,
    state: State,
    observer: Observer,
    /// Told to the API thread.
    tell: watch::Sender<State>,
    trace: holdfast_machine::Trace<LifeMachine, 16>,
}

impl Life {
    pub(super) fn new(node: u64, observer: Observer, tell: watch::Sender<State>) -> Self {
        Self { node, state: LifeMachine::INITIAL, observer, tell, trace: holdfast_machine::Trace::new() }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    /// The only place where the state changes; each edge is a line of the log.
    pub(super) fn fact(&mut self, event: Event) {
        let Some(edge) = holdfast_machine::decide::<LifeMachine>(self.state, event) else { return };
        self.trace.record(self.trace.total(), self.state, event, edge);
        let from = std::mem::replace(&mut self.state, LifeMachine::target(edge));
        let (from, to, machine) = (from.name(), self.state.name(), LifeMachine::NUMBER);
        tracing::info!(node = self.node, machine, edge = edge.tag(), from, to, "life {edge} {from} → {to}");
        self.tell.send_replace(self.state);
        if let Some(hear) = &self.observer.0 {
            hear(edge);
        }
    }
}
