//! The way from the API thread to the node: calls, watches and figures, without a socket between.
//!
//! # Why not a connection
//! HTTP is served on a thread of its own, so that no parsing of JSON delays a heartbeat. If it spoke to its own node over a
//! socket it would need a session to be sure of an outcome, the node would take the gateway for the client, and a client
//! port that is full would lock out the question whether the node is well. A queue between two threads loses nothing.
//!
//! # Shape
//! Whoever asks takes a [`Seat`]: to the node it looks like a connection with one call, to which messages come back. A
//! seat that is dropped tells the node that nobody waits any more, as the end of a connection does.
//!
//! # Bounds
//! At most [`SEATS_MAX`] seats at once. A seat that watches is given no more than [`SEAT_BYTES`] that its reader has not
//! taken; the node keeps or cuts what is beyond, as for any slow reader.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use bytestring::ByteString;
use hdrhistogram::Histogram;
use holdfast_machine::Machine as _;
use holdfast_wal::stats::Stats as WalStats;
use holdfast_wire::Message;
use holdfast_wire::message::StatusReply;
use tokio::sync::{mpsc, oneshot, watch};

use super::hub::{Event, Hub};
use super::life::{LifeMachine, State as LifeState};
use super::measures::EdgeName;
use crate::node::{Caller, Counts, Input};
use crate::port::{self, Said};
use crate::stage::Stages;

/// Calls and watches of HTTP at once: as many as clients that said nothing yet may hold of the client port.
pub(crate) const SEATS_MAX: usize = 1_024;

/// Bytes of events that wait for the reader of a seat, as in a connection.
const SEAT_BYTES: usize = 256 * 1024;

/// Seats are named from here on; connections count from 1.
const FIRST_SEAT: u64 = 1 << 63;

/// What the API thread asks of the node's.
#[derive(Debug)]
pub(super) enum Asked {
    /// A call, or the begin of a watch.
    Call { seat: u64, from: SocketAddr, message: Box<Message>, end: SeatEnd },
    /// Nobody sits there any more.
    Gone(u64),
    /// How the node is and what it has measured.
    Figures(oneshot::Sender<Figures>),
}

/// How a node is and what it has measured, at one moment.
#[derive(Debug)]
pub(crate) struct Figures {
    /// How it is, as a client would be told.
    pub(crate) status: StatusReply,
    /// What was counted.
    pub(crate) counts: Counts,
    /// How long the stages of requests took.
    pub(crate) stages: Stages,
    /// What the log has measured; read where there is time for it.
    pub(crate) wal: WalStats,
    /// How often each edge of a machine was taken.
    pub(crate) edges: BTreeMap<EdgeName, u64>,
    /// From a heartbeat to its answer, in microseconds, by peer, while this node led.
    pub(crate) round_trips: BTreeMap<u64, Histogram<u64>>,
    /// Leaders that were seen after the first one.
    pub(crate) leader_changes: u64,
    /// Calls that are not answered yet.
    pub(crate) waiting: u64,
    /// Those of them that wait for a place in the log, or to be committed.
    pub(crate) waiting_writes: u64,
    /// Connections of clients.
    pub(crate) clients: u64,
    /// Watches that are open here.
    pub(crate) watches: u64,
    /// Why it is not ready, in words; `None` if it is.
    pub(crate) unready: Option<&'static str>,
}

/// Who leads, as the node knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leading {
    /// This node does.
    pub(crate) here: bool,
    /// Who does.
    pub(crate) leader: Option<u64>,
    /// Where that one serves HTTP; empty if it does not, or has not said so.
    pub(crate) http: ByteString,
}

/// The node's end of a seat.
#[derive(Debug)]
pub(super) struct SeatEnd {
    messages: mpsc::UnboundedSender<Message>,
    held: Arc<AtomicUsize>,
    events_wait: Arc<AtomicBool>,
    /// One answer, and it is empty again.
    once: bool,
}

impl SeatEnd {
    /// Whether it is empty once it was answered.
    pub(super) fn is_once(&self) -> bool {
        self.once
    }

    /// Gives a message to whoever sits there.
    pub(super) fn give(&self, message: Message) {
        self.held.fetch_add(weight(&message), Ordering::SeqCst);
        // Whoever left has said so, or is found to be gone.
        let _ = self.messages.send(message);
    }

    /// Whether nobody sits there any more.
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_closed()
    }

    /// How many bytes of events it takes now.
    pub(super) fn room(&self) -> usize {
        SEAT_BYTES.saturating_sub(self.held.load(Ordering::SeqCst))
    }

    /// More events are there than it had room for: the node is rung when its reader has made some.
    pub(super) fn let_events_wait(&self) {
        self.events_wait.store(true, Ordering::SeqCst);
    }

    /// Whether events wait that there is room for again: its reader may have made some before it was asked to say so.
    pub(super) fn events_can_go_on(&self) -> bool {
        self.room() >= SEAT_BYTES / 2 && self.events_wait.swap(false, Ordering::SeqCst)
    }
}

/// Bytes of a message, as far as they matter to a reader that is slow.
fn weight(message: &Message) -> usize {
    const BESIDE: usize = 64;
    if let Message::WatchEvents(events) = message {
        return events.events.iter().map(|event| event.len() + BESIDE).sum();
    }
    BESIDE
}

/// Where somebody waits for messages of the node.
#[derive(Debug)]
pub(crate) struct Seat {
    desk: Desk,
    number: u64,
    messages: mpsc::UnboundedReceiver<Message>,
    held: Arc<AtomicUsize>,
    events_wait: Arc<AtomicBool>,
    /// The node has forgotten it already.
    is_over: bool,
}

impl Seat {
    /// The next message; `None` if the node is gone.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        let message = self.messages.recv().await?;
        // The node notes that events wait, and looks at the room again; this makes room, and looks whether they wait. In one order
        // for both, or each could miss what the other did.
        let left = self.held.fetch_sub(weight(&message), Ordering::SeqCst) - weight(&message);
        if left <= SEAT_BYTES / 2 && self.events_wait.swap(false, Ordering::SeqCst) {
            self.desk.shared.ring();
        }
        Some(message)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.desk.shared.seats.fetch_sub(1, Ordering::AcqRel);
        if !self.is_over {
            // If the queue is full the node finds out when it has something for the seat.
            let _ = self.desk.asked.try_send(Asked::Gone(self.number));
        }
    }
}

/// Why a call was not taken to the node. It was not executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoSeat {
    /// As many calls are under way as may be.
    Full,
    /// The node does not serve, in this state of its life: it has not come so far, or is ending.
    NotServing(LifeState),
}

#[derive(Debug)]
struct Shared {
    seats: AtomicUsize,
    next: AtomicU64,
    /// Wakes the node's loop; there from when there is one.
    bell: OnceLock<Waker>,
}

impl Shared {
    fn ring(&self) {
        if let Some(bell) = self.bell.get() {
            bell.wake_by_ref();
        }
    }
}

/// What the API thread holds of its node. Clones are of the same.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    asked: mpsc::Sender<Asked>,
    life: watch::Receiver<LifeState>,
    leading: watch::Receiver<Leading>,
    shared: Arc<Shared>,
}

/// What the node's thread holds of it.
#[derive(Debug)]
pub(super) struct DeskEnd {
    asked: mpsc::Receiver<Asked>,
    leading: watch::Sender<Leading>,
    shared: Arc<Shared>,
}

/// A desk: the end for the API thread, that for the node's, and where the state of the node's life is told.
pub(super) fn desk() -> (Desk, DeskEnd, watch::Sender<LifeState>) {
    let (asked, end) = mpsc::channel(SEATS_MAX);
    let (tell, life) = watch::channel(LifeMachine::INITIAL);
    let (tell_leading, leading) = watch::channel(Leading::default());
    let shared =
        Shared { seats: AtomicUsize::new(0), next: AtomicU64::new(FIRST_SEAT), bell: OnceLock::new() };
    let shared = Arc::new(shared);
    let end = DeskEnd { asked: end, leading: tell_leading, shared: Arc::clone(&shared) };
    (Desk { asked, life, leading, shared }, end, tell)
}

impl Desk {
    /// Where the node is in its life.
    pub(crate) fn life(&self) -> LifeState {
        *self.life.borrow()
    }

    /// Who leads.
    pub(crate) fn leading(&self) -> Leading {
        self.leading.borrow().clone()
    }

    /// Returns once the node begins to stop, or is gone.
    pub(crate) async fn ending(&self) {
        let mut life = self.life.clone();
        let is_ending = |state: &LifeState| match state {
            LifeState::Opening
            | LifeState::Forming
            | LifeState::Recovering
            | LifeState::Joining
            | LifeState::Ready => false,
            LifeState::Draining | LifeState::Closing | LifeState::Stopped | LifeState::Failed => true,
        };
        let _ = life.wait_for(is_ending).await;
    }

    /// Asks the node, and waits for its answer. `Ok(None)` if it ended without one: nobody knows then what a write came
    /// to.
    pub(crate) async fn call(
        &self,
        from: SocketAddr,
        message: impl Into<Message>,
    ) -> Result<Option<Message>, NoSeat> {
        let mut seat = self.sit(from, message.into(), true).await?;
        let answer = seat.next().await;
        seat.is_over = answer.is_some();
        Ok(answer)
    }

    /// Begins a watch: its messages come to the seat.
    pub(crate) async fn watch(
        &self,
        from: SocketAddr,
        watch: holdfast_wire::message::Watch,
    ) -> Result<Seat, NoSeat> {
        self.sit(from, watch.into(), false).await
    }

    async fn sit(&self, from: SocketAddr, message: Message, once: bool) -> Result<Seat, NoSeat> {
        let life = self.life();
        if !matches!(life, LifeState::Joining | LifeState::Ready | LifeState::Draining) {
            return Err(NoSeat::NotServing(life));
        }
        if self.shared.seats.fetch_add(1, Ordering::AcqRel) >= SEATS_MAX {
            self.shared.seats.fetch_sub(1, Ordering::AcqRel);
            return Err(NoSeat::Full);
        }
        let number = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let (sender, messages) = mpsc::unbounded_channel();
        let (held, events_wait) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let mut seat = Seat {
            desk: self.clone(),
            number,
            messages,
            held: Arc::clone(&held),
            events_wait: Arc::clone(&events_wait),
            is_over: true,
        };
        let end = SeatEnd { messages: sender, held, events_wait, once };
        let call = Asked::Call { seat: number, from, message: Box::new(message), end };
        if self.asked.send(call).await.is_err() {
            return Err(NoSeat::NotServing(self.life()));
        }
        seat.is_over = false;
        Ok(seat)
    }

    /// How the node is and what it has measured; `None` if it serves nobody now, or is gone.
    pub(crate) async fn figures(&self) -> Option<Figures> {
        if !matches!(self.life(), LifeState::Joining | LifeState::Ready | LifeState::Draining) {
            return None;
        }
        let (sender, figures) = oneshot::channel();
        self.asked.send(Asked::Figures(sender)).await.ok()?;
        figures.await.ok()
    }
}

impl DeskEnd {
    /// Takes to the node what is asked, until nobody asks any more.
    pub(super) async fn serve(self, hub: Rc<Hub>) {
        let Self { mut asked, leading, shared } = self;
        let (_, _) = (shared.bell.set(hub.waker()), hub.leading.set(leading));
        while let Some(asked) = asked.recv().await {
            take(&hub, asked);
        }
    }
}

fn take(hub: &Hub, asked: Asked) {
    let (seat, from, message, end) = match asked {
        Asked::Call { seat, from, message, end } => (seat, from, message, end),
        Asked::Gone(seat) => {
            hub.seats.borrow_mut().remove(&seat);
            hub.call(Event::Node(Input::Gone(seat)));
            return;
        }
        Asked::Figures(sender) => return hub.call(Event::Figures(sender)),
    };
    let mut header = message.header();
    header.call = holdfast_wire::CallId(1);
    let from = (from.ip(), from.port());
    match port::understand(seat, from, hub.clock.micros(), (header, *message)) {
        Said::Call(mut input) => {
            if let Input::Submit(submission) = &mut input {
                // The API thread made it, of who asked and what for.
                submission.keyed_here = true;
            }
            hub.seats.borrow_mut().insert(seat, end);
            hub.call(Event::Node(input));
        }
        // The API asks for nothing of this kind; the end of the seat is dropped, and that says so.
        Said::Status(_)
        | Said::Stats(_)
        | Said::Trace(..)
        | Said::Examine(_)
        | Said::Aside(_)
        | Said::Nothing
        | Said::Violation(_) => {}
    }
}

impl Hub {
    /// Gives an answer to the seat that it is for, if it is for one.
    pub(super) fn answer_seat(&self, caller: Caller, message: Message) {
        let mut seats = self.seats.borrow_mut();
        // Whoever is gone waits for nothing.
        let Some(end) = seats.get(&caller.connection) else { return };
        end.give(message);
        if end.is_once() {
            seats.remove(&caller.connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use holdfast_wire::message::{Watch, WatchEvents};

    use super::*;

    fn from() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 1))
    }

    fn watch() -> Watch {
        Watch { from: 0, flags: 0, min_position: None, span: Bytes::new() }
    }

    async fn sat(desk: &Desk, end: &mut DeskEnd) -> (Seat, u64, SeatEnd) {
        let seat = desk.watch(from(), watch()).await.expect("room");
        let Some(Asked::Call { seat: number, end, .. }) = end.asked.recv().await else { panic!("no call") };
        (seat, number, end)
    }

    #[tokio::test]
    async fn what_a_reader_has_not_taken_counts_against_its_room_and_whoever_leaves_is_told_of() {
        let (desk, mut end, tell) = desk();
        tell.send_replace(LifeState::Ready);
        let (mut seat, number, node) = sat(&desk, &mut end).await;
        assert_eq!(node.room(), SEAT_BYTES);
        let events = vec![Bytes::from(vec![0; SEAT_BYTES])];
        node.give(WatchEvents { continues: false, more: false, events }.into());
        node.let_events_wait();
        assert_eq!((node.room(), node.events_can_go_on()), (0, false));
        seat.next().await.expect("the events");
        assert_eq!(node.room(), SEAT_BYTES);
        assert!(!node.events_can_go_on(), "the reader has asked for them already");
        node.let_events_wait();
        assert!(node.events_can_go_on(), "it had made room before it could know that they wait");
        drop(seat);
        assert!(matches!(end.asked.try_recv(), Ok(Asked::Gone(gone)) if gone == number));
        assert!(node.is_empty());
    }

    #[tokio::test]
    async fn there_are_so_many_seats_and_none_at_a_node_that_does_not_serve() {
        let (desk, mut end, tell) = desk();
        assert!(matches!(desk.watch(from(), watch()).await, Err(NoSeat::NotServing(LifeState::Opening))));
        tell.send_replace(LifeState::Joining);
        let mut seats = Vec::new();
        for _ in 0..SEATS_MAX {
            seats.push(sat(&desk, &mut end).await);
        }
        assert!(matches!(desk.watch(from(), watch()).await, Err(NoSeat::Full)));
        drop(seats.pop());
        assert!(matches!(end.asked.recv().await, Some(Asked::Gone(_))));
        drop(sat(&desk, &mut end).await);
        tell.send_replace(LifeState::Failed);
        assert!(matches!(desk.watch(from(), watch()).await, Err(NoSeat::NotServing(LifeState::Failed))));
        assert!(desk.figures().await.is_none());
    }
}
