//! One connection, without its socket: handshake, keep-alive, ordered end.
//!
//! # Why without a socket
//! The same code then runs under the tokio runtime, in the simulator and in a test that cuts the stream at
//! every byte. Time comes as an argument, in milliseconds of any monotone clock that starts anywhere.
//!
//! # Shape
//! ```text
//!   socket ─read─► buffer() ─► next(now) ─► Incoming (accepted, message)     to the owner
//!   socket ◄write─ outbox() ◄─ send(…), close(…), tick(now)                from the owner
//! ```
//! The owner reads into [`buffer`](Connection::buffer) while [`wants_read`](Connection::wants_read), calls
//! [`next`](Connection::next) until it yields nothing, writes [`outbox`](Connection::outbox), and calls
//! [`tick`](Connection::tick) no later than [`deadline`](Connection::deadline). It closes the socket once
//! [`is_finished`](Connection::is_finished).
//!
//! # Invariants
//! - Machine 08 ([`ConnectionMachine`]) decides every change of state, in one place (`shift`).
//! - Nothing the other side sends panics, and nothing it sends is acted on before it was accepted.
//! - Memory: until the greeting is accepted at most one greeting (4 KiB) is buffered for one side; answers
//!   to Pings stop being made while the outbox is above [`HIGH_WATER_BYTES`].
//! - A connection that was closed says why for ever ([`ended`](Connection::ended)).
//!
//! # What this leaves out
//! Which calls are in flight is known by who made them: the owner says when none is left
//! ([`drained`](Connection::drained)). Caps on the number of connections belong to the listener.

mod greeting;
mod role;
mod table;

use bytes::{Buf, BytesMut};
pub use greeting::{ClusterFact, Facts, IdentityFact, Row, decide};
use holdfast_machine::{Machine, Numbered, Trace};
pub use role::Role;
use role::{is_greeting, is_handshake};
pub use table::{ConnectionMachine, Edge, Event, State};

use crate::frame::{HEADER_BYTES, Sink};
use crate::message::{ClientWelcome, CloseReason, Goodbye, PeerWelcome};
use crate::message_type::BODY_CAP;
use crate::{Flag, FrameCodec, Header, Message, MessageType, Outbox, Preface, VersionRange, WireError};

/// From the open transport to an accepted greeting. Two round trips of a bad path (300 ms each) several times
/// over; a port scanner holds 4 KiB for no longer than this.
pub const HANDSHAKE_DEADLINE_MS: u64 = 5_000;

/// Silence after which the other side is taken for dead. A half-open connection (the other machine lost
/// power) is noticed by nothing else.
pub const IDLE_DEADLINE_MS: u64 = 30_000;

/// Silence after which a Ping is sent, so that a live but quiet connection is never taken for dead: three
/// Pings may be lost to a stall before the idle deadline.
pub const KEEPALIVE_MS: u64 = 7_500;

/// From the first Goodbye to the end, answered or not. Bounds how long an ordered stop can take.
pub const DRAIN_DEADLINE_MS: u64 = 10_000;

/// Bytes waiting to be written above which nothing more is read: whoever does not read our answers may not
/// ask more questions.
pub const HIGH_WATER_BYTES: usize = 1024 * 1024;

/// Bytes waiting to be written above which [`Connection::send`] refuses more: one frame of the largest body, so
/// that any one message can be sent, and no more than two such frames ever wait.
pub const OUTBOX_BYTES_MAX: usize = HEADER_BYTES + BODY_CAP as usize;

/// How many bytes of an error's text a Goodbye carries; the rest is cut. Far below the cap of the message.
const DETAIL_BYTES_MAX: usize = 1024;

/// How many steps a connection remembers for a post-mortem: more than the longest life has.
const TRACE_STEPS: usize = 8;

/// What a connection hands to its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// The other side was accepted; this is its Hello or its Welcome. Comes exactly once, before all else.
    Accepted(Message),
    /// A message of a later subsystem. Greetings, Goodbyes and Pings are answered here and not shown; a Pong
    /// is shown, because its owner may measure the round trip.
    Message(Header, Message),
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The edge that closed it.
    pub edge: Edge,
    /// What was said, or would have been, by the side in [`by_other_side`](Self::by_other_side).
    pub goodbye: Goodbye,
    /// Whether the other side gave the reason.
    pub by_other_side: bool,
}

/// Why a message was not queued. It was not sent, now or later, and can be sent elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The connection is not open, or is draining and this is not a reply.
    #[error("the connection is {}", state.name())]
    NotOpen {
        /// What it is instead.
        state: State,
    },
    /// This side may not send that message on this port.
    #[error("{message_type} is not sent by this side")]
    WrongDirection {
        /// The message.
        message_type: MessageType,
    },
    /// The other side does not read what it is sent.
    #[error("{waiting} bytes wait to be written; no more is taken above {limit}")]
    Full {
        /// Bytes waiting.
        waiting: usize,
        /// The limit.
        limit: usize,
    },
    /// The message cannot be made into a frame.
    #[error(transparent)]
    Unencodable(#[from] WireError),
}

/// What is known in each state and in no other.
#[derive(Debug)]
enum Phase {
    Prefacing { until: u64 },
    Greeting { until: u64, version: u16 },
    Open { version: u16 },
    Draining { until: u64, version: u16, goodbye: Goodbye, by_other_side: bool },
    Closed(Ended),
}

impl Phase {
    fn state(&self) -> State {
        match self {
            Self::Prefacing { .. } => State::Prefacing,
            Self::Greeting { .. } => State::Greeting,
            Self::Open { .. } => State::Open,
            Self::Draining { .. } => State::Draining,
            Self::Closed(_) => State::Closed,
        }
    }
}

/// One connection. See the module documentation.
#[derive(Debug)]
pub struct Connection {
    role: Role,
    versions: VersionRange,
    phase: Phase,
    codec: FrameCodec,
    inbound: BytesMut,
    outbox: Outbox,
    trace: Trace<ConnectionMachine, TRACE_STEPS>,
    skipped_extensions: u64,
    /// Bytes that had come when we last looked, and when they had.
    heard: (u64, u64),
    /// When the last Ping went out, if nothing has been heard since.
    pinged: Option<u64>,
}

impl Connection {
    /// A connection whose transport has just opened. A dialing side has its preface and Hello in the outbox at
    /// once; an accepting side says nothing until it has seen the magic.
    ///
    /// # Errors
    /// [`WireError::OverCap`] if the greeting is longer than a greeting may be: a name, build, address or
    /// credential of more than about 4 KiB.
    pub fn new(role: Role, now: u64) -> Result<Self, WireError> {
        Self::with_versions(role, VersionRange::SUPPORTED, now)
    }

    /// The same, speaking other versions than this build does: for tests of builds that do not exist yet.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_versions(role: Role, versions: VersionRange, now: u64) -> Result<Self, WireError> {
        let mut outbox = Outbox::new();
        let greeting = match &role {
            Role::Client(hello) => Message::from(hello.clone()),
            Role::DialingPeer(hello) => Message::from(hello.clone()),
            Role::Server(welcome) => Message::from(welcome.clone()),
            Role::AcceptingPeer(welcome) => Message::from(welcome.clone()),
        };
        // An accepting side encodes its Welcome here only to learn that it can be encoded.
        let mut hello = BytesMut::new();
        greeting.encode(greeting.header(), &mut hello)?;
        if matches!(role, Role::Client(_) | Role::DialingPeer(_)) {
            Preface { versions }.encode(outbox.scratch());
            outbox.scratch().extend_from_slice(&hello);
        }
        Ok(Self {
            role,
            versions,
            phase: Phase::Prefacing { until: now.saturating_add(HANDSHAKE_DEADLINE_MS) },
            codec: FrameCodec::greeting(),
            inbound: BytesMut::new(),
            outbox,
            trace: Trace::new(),
            skipped_extensions: 0,
            heard: (0, now),
            pinged: None,
        })
    }

    /// Where the owner puts what it read. The owner decides how much room to reserve.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.inbound
    }

    /// What waits to be written, as one [`Buf`].
    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// Whether to read more: not once closed, and not while the other side leaves our answers unread.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        self.state() != State::Closed && self.outbox.remaining() <= HIGH_WATER_BYTES
    }

    /// Whether the socket can be closed: nothing more to read, nothing more to write.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.state() == State::Closed && !self.outbox.has_remaining()
    }

    /// Where the connection is.
    #[must_use]
    pub fn state(&self) -> State {
        self.phase.state()
    }

    /// The protocol version agreed on; `None` before the prefaces met and after the end.
    #[must_use]
    pub fn version(&self) -> Option<u16> {
        match self.phase {
            Phase::Greeting { version, .. } | Phase::Open { version } | Phase::Draining { version, .. } => {
                Some(version)
            }
            Phase::Prefacing { .. } | Phase::Closed(_) => None,
        }
    }

    /// Why the connection ended; `None` while it has not.
    #[must_use]
    pub fn ended(&self) -> Option<&Ended> {
        match &self.phase {
            Phase::Closed(ended) => Some(ended),
            Phase::Prefacing { .. }
            | Phase::Greeting { .. }
            | Phase::Open { .. }
            | Phase::Draining { .. } => None,
        }
    }

    /// The last steps, and how often each edge was taken.
    #[must_use]
    pub fn trace(&self) -> &Trace<ConnectionMachine, TRACE_STEPS> {
        &self.trace
    }

    /// Frames and extensions that were skipped because this build does not know them.
    #[must_use]
    pub fn skipped(&self) -> (u64, u64) {
        (self.codec.skipped(), self.skipped_extensions)
    }

    /// The next thing in the buffer. Call until it yields `None`.
    ///
    /// What is wrong with what came does not show here but in [`ended`](Self::ended): the connection closes
    /// itself, and tells the other side why unless that side does not speak the protocol at all.
    pub fn next(&mut self, now: u64) -> Option<Incoming> {
        self.listen(now);
        while self.wants_read() {
            let step = match self.phase {
                Phase::Prefacing { until } => self.read_preface(until, now),
                Phase::Greeting { version, .. } => self.read_greeting(version, now),
                Phase::Open { version } | Phase::Draining { version, .. } => self.read_message(version, now),
                Phase::Closed(_) => return None,
            };
            match step {
                Ok(Step::Yield(incoming)) => return Some(incoming),
                Ok(Step::Again) => {}
                Ok(Step::Wait) => return None,
                Err(error) => self.violated(&error, now),
            }
        }
        None
    }

    /// Queues a message. While draining only replies go out: the other side opens no calls, and neither do we.
    ///
    /// # Errors
    /// [`SendError`]; nothing has then been queued.
    pub fn send(&mut self, header: Header, message: &Message) -> Result<(), SendError> {
        let state = self.state();
        if state != State::Open && !(state == State::Draining && header.flags.has(Flag::Reply)) {
            return Err(SendError::NotOpen { state });
        }
        let message_type = message.message_type();
        if is_handshake(message_type) || !self.role.may_say(message_type) {
            return Err(SendError::WrongDirection { message_type });
        }
        let waiting = self.outbox.remaining();
        if waiting > OUTBOX_BYTES_MAX {
            return Err(SendError::Full { waiting, limit: OUTBOX_BYTES_MAX });
        }
        Ok(message.encode(header, &mut self.outbox)?)
    }

    /// Begins an ordered end: a Goodbye goes out, calls in flight are finished. Before the handshake is done
    /// there is nothing to finish, and the connection closes at once.
    pub fn close(&mut self, reason: CloseReason, detail: &str, now: u64) {
        self.end(Event::CloseWanted, goodbye(reason, detail), false, now);
    }

    /// The owner has no call in flight any more. Ends a drain; has no effect otherwise.
    pub fn drained(&mut self, now: u64) {
        self.end(Event::Drained, goodbye(CloseReason::Done, ""), false, now);
    }

    /// The transport ended. A frame that was cut off is lost with it, and nothing of it was acted on.
    pub fn lost(&mut self, why: &str, now: u64) {
        self.end(Event::TransportLost, goodbye(CloseReason::Lost, why), false, now);
        // In any state, also when closed: there is nobody left to write to.
        self.outbox = Outbox::new();
    }

    /// When [`tick`](Self::tick) has something to do if nothing else happens before; `None` once closed.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        match self.phase {
            Phase::Prefacing { until } | Phase::Greeting { until, .. } | Phase::Draining { until, .. } => {
                Some(until)
            }
            Phase::Open { .. } => {
                let ping = self.pinged.unwrap_or(self.heard.1).saturating_add(KEEPALIVE_MS);
                Some(ping.min(self.silent_until()))
            }
            Phase::Closed(_) => None,
        }
    }

    /// Does what is due: a Ping into a silence, the end of a state that took too long.
    ///
    /// What has arrived must have been given to [`next`](Self::next) first: after a pause of this process
    /// the other side is not silent, only unread.
    pub fn tick(&mut self, now: u64) {
        self.listen(now);
        if self.deadline().is_none_or(|due| now < due) {
            return;
        }
        let (reason, limit) = match self.phase {
            Phase::Prefacing { .. } | Phase::Greeting { .. } => {
                (CloseReason::HandshakeTimeout, HANDSHAKE_DEADLINE_MS)
            }
            Phase::Open { .. } if now < self.silent_until() => {
                self.pinged = Some(now);
                let ping = Message::Ping(crate::message::Echo::default());
                // A full outbox is no reason to fail here: the idle deadline will speak for it.
                let _ = self.send(ping.header(), &ping);
                return;
            }
            // We heard nothing because we stopped listening, and we did because our answers are not read.
            Phase::Open { .. } if !self.wants_read() => (CloseReason::Unread, IDLE_DEADLINE_MS),
            Phase::Open { .. } => (CloseReason::Silence, IDLE_DEADLINE_MS),
            Phase::Draining { .. } => (CloseReason::DrainTimeout, DRAIN_DEADLINE_MS),
            Phase::Closed(_) => return,
        };
        self.end(Event::DeadlinePassed, goodbye(reason, &format!("waited {limit} ms")), false, now);
    }

    /// When a silence that began with the last byte has lasted too long.
    fn silent_until(&self) -> u64 {
        self.heard.1.saturating_add(IDLE_DEADLINE_MS)
    }

    /// Notes whether bytes have come since the last look.
    fn listen(&mut self, now: u64) {
        let total = self.codec.position() + self.inbound.len() as u64;
        if total != self.heard.0 {
            self.heard = (total, now);
            self.pinged = None;
        }
    }

    fn read_preface(&mut self, until: u64, now: u64) -> Result<Step, WireError> {
        let Some(theirs) = Preface::decode(&mut self.inbound)? else { return Ok(Step::Wait) };
        if matches!(self.role, Role::Server(_) | Role::AcceptingPeer(_)) {
            Preface { versions: self.versions }.encode(self.outbox.scratch());
        }
        match self.versions.agree(theirs.versions) {
            Ok(version) => {
                self.shift(Event::VersionAgreed, now, |_, _| Phase::Greeting { until, version });
            }
            Err(error) => self.refuse(goodbye(CloseReason::NoCommonVersion, &error.to_string()), now),
        }
        Ok(Step::Again)
    }

    fn read_greeting(&mut self, version: u16, now: u64) -> Result<Step, WireError> {
        let Some(frame) = self.codec.next(&mut self.inbound)? else { return Ok(Step::Wait) };
        let message = Message::decode(&frame, &mut self.skipped_extensions)?;
        let judged = match (&self.role, &message) {
            (_, Message::Goodbye(theirs)) => {
                self.end(Event::GoodbyeHeard, theirs.clone(), true, now);
                return Ok(Step::Again);
            }
            (Role::Server(ours), Message::ClientHello(theirs)) => greeting::client_hello(ours, theirs),
            (Role::AcceptingPeer(ours), Message::PeerHello(theirs)) => greeting::peer_hello(ours, theirs),
            (Role::Client(ours), Message::ClientWelcome(theirs)) if theirs.version == version => {
                greeting::client_welcome(ours, theirs)
            }
            (Role::DialingPeer(ours), Message::PeerWelcome(theirs)) if theirs.version == version => {
                greeting::peer_welcome(ours, theirs)
            }
            (Role::Server(_), Message::PeerHello(_)) | (Role::AcceptingPeer(_), Message::ClientHello(_)) => {
                Err(goodbye(CloseReason::WrongPort, "clients and peers have a port each"))
            }
            (Role::Client(_) | Role::DialingPeer(_) | Role::Server(_) | Role::AcceptingPeer(_), other) => {
                let text =
                    format!("{} is no greeting for this side at version {version}", other.message_type());
                self.break_off(&text, now);
                return Ok(Step::Again);
            }
        };
        if let Err(refusal) = judged {
            self.refuse(refusal, now);
            return Ok(Step::Again);
        }
        let welcome = match &self.role {
            Role::Client(_) | Role::DialingPeer(_) => None,
            Role::Server(ours) => Some(Message::from(ClientWelcome { version, ..ours.clone() })),
            Role::AcceptingPeer(ours) => Some(Message::from(PeerWelcome { version, ..ours.clone() })),
        };
        if let Some(welcome) = welcome {
            welcome.encode(welcome.header(), &mut self.outbox)?;
        }
        self.shift(Event::GreetingAccepted, now, |_, _| Phase::Open { version });
        let limit = self.role.frame_limit(&message);
        self.codec.set_limit(limit);
        self.outbox.set_limit(limit);
        Ok(Step::Yield(Incoming::Accepted(message)))
    }

    fn read_message(&mut self, version: u16, now: u64) -> Result<Step, WireError> {
        let Some(frame) = self.codec.next(&mut self.inbound)? else { return Ok(Step::Wait) };
        let message_type = frame.header.message_type;
        message_type.spec().in_version(message_type, version)?;
        if is_greeting(message_type) || !self.role.may_hear(message_type) {
            self.break_off(&format!("{message_type} in state {}", self.state().name()), now);
            return Ok(Step::Again);
        }
        match Message::decode(&frame, &mut self.skipped_extensions)? {
            Message::Ping(echo) => {
                // Within the cap, since the Ping was; and `wants_read` has seen to the room.
                let pong = Message::Pong(echo);
                pong.encode(pong.header().for_call(frame.header.call), &mut self.outbox)?;
                Ok(Step::Again)
            }
            Message::Goodbye(theirs) => {
                self.end(Event::GoodbyeHeard, theirs, true, now);
                Ok(Step::Again)
            }
            message @ (Message::Pong(_)
            | Message::ClientHello(_)
            | Message::PeerHello(_)
            | Message::ClientWelcome(_)
            | Message::PeerWelcome(_)) => Ok(Step::Yield(Incoming::Message(frame.header, message))),
        }
    }

    fn refuse(&mut self, goodbye: Goodbye, now: u64) {
        self.end(Event::Refused, goodbye, false, now);
    }

    fn violated(&mut self, error: &WireError, now: u64) {
        let place = match self.state() {
            State::Prefacing => "preface".to_owned(),
            State::Greeting | State::Open | State::Draining | State::Closed => {
                format!("frame at byte {}", self.codec.position())
            }
        };
        self.break_off(&format!("{place}: {error}"), now);
    }

    fn break_off(&mut self, text: &str, now: u64) {
        self.end(Event::Violated, goodbye(CloseReason::Violation, text), false, now);
    }

    /// Takes an edge that leads towards the end, if the table has one here, and tells the other side unless it
    /// was the one to say so.
    fn end(&mut self, event: Event, goodbye: Goodbye, by_other_side: bool, now: u64) {
        self.shift(event, now, |old, edge| match (ConnectionMachine::target(edge), old) {
            (State::Draining, Phase::Open { version }) => Phase::Draining {
                until: now.saturating_add(DRAIN_DEADLINE_MS),
                version,
                goodbye,
                by_other_side,
            },
            // How a drain ends is in the edge; why it began is what people ask for.
            (_, Phase::Draining { goodbye, by_other_side, .. })
                if matches!(edge, Edge::FinishDrain | Edge::Lose) =>
            {
                Phase::Closed(Ended { edge, goodbye, by_other_side })
            }
            (_, _) => Phase::Closed(Ended { edge, goodbye, by_other_side }),
        });
    }

    /// The only place where the phase changes. Looks the edge up, lets `enter` make the new phase out of the
    /// old one, and does what the edge implies for the bytes on either side.
    fn shift(&mut self, event: Event, now: u64, enter: impl FnOnce(Phase, Edge) -> Phase) {
        let from = self.state();
        let Some(edge) = holdfast_machine::decide::<ConnectionMachine>(from, event) else { return };
        let unset = Phase::Prefacing { until: now };
        self.phase = enter(std::mem::replace(&mut self.phase, unset), edge);
        assert_eq!(self.state(), ConnectionMachine::target(edge), "{edge}");
        self.trace.record(now, from, event, edge);
        self.last_words(from, edge);
    }

    /// Says Goodbye where the edge calls for it, and lets go of what will not be read or written any more.
    fn last_words(&mut self, from: State, edge: Edge) {
        let goodbye = match &self.phase {
            Phase::Draining { goodbye, .. } | Phase::Closed(Ended { goodbye, .. }) => goodbye.clone(),
            Phase::Prefacing { .. } | Phase::Greeting { .. } | Phase::Open { .. } => return,
        };
        if self.state() == State::Closed {
            self.inbound = BytesMut::new();
        }
        let speak = match edge {
            Edge::Refuse
            | Edge::Abandon
            | Edge::GiveUp
            | Edge::BeginDrain
            | Edge::CutDrain
            | Edge::PresumeDead => true,
            // Who has not shown a preface speaks something else, and a frame would be noise to it.
            Edge::BreakOff => from != State::Prefacing,
            Edge::Lose => {
                self.outbox = Outbox::new();
                false
            }
            Edge::AgreeVersion | Edge::Accept | Edge::BeRefused | Edge::HeedGoodbye | Edge::FinishDrain => {
                false
            }
        };
        if speak {
            let message = Message::from(goodbye);
            let queued = message.encode(message.header(), &mut self.outbox);
            debug_assert_eq!(queued, Ok(()), "a Goodbye of ours is cut to fit");
        }
    }
}

/// What one look into the buffer came to.
enum Step {
    /// Something for the owner.
    Yield(Incoming),
    /// Something was done; look again.
    Again,
    /// Not all of it has come.
    Wait,
}

/// A Goodbye whose detail is cut to what one carries.
fn goodbye(reason: CloseReason, detail: &str) -> Goodbye {
    let cut = detail.floor_char_boundary(DETAIL_BYTES_MAX);
    Goodbye::new(reason, &detail[..cut])
}
