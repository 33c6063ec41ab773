//! One connection, without its socket: handshake, keep-alive, ordered end.
//!
//! # Why without a socket
//! The same code then runs under the tokio runtime, in the simulator and in a test that cuts the stream at
//! every byte. Time comes as an argument, in milliseconds of any monotone clock that starts anywhere.
//!
//! # Shape
//! ```text
//!   socket ─read─► buffer() ─► next(now) ─► Incoming (accepted, message, goodbye)   to the owner
//!   socket ◄write─ outbox() ◄─ send(…), close(…), tick(now)                       from the owner
//! ```
//! What the owner does:
//! 1. While [`wants_read`](Connection::wants_read), read into [`buffer`](Connection::buffer); then, and after each
//!    write, call [`next`](Connection::next) until it yields nothing. An end of the stream or a failed read or write
//!    is told by [`lost`](Connection::lost).
//! 2. Write [`outbox`](Connection::outbox). Once [`wants_shutdown`](Connection::wants_shutdown), shut down the writing
//!    half of the socket and go on reading: a socket closed with unread bytes resets, and the other side loses what it
//!    had not read yet.
//! 3. Call [`tick`](Connection::tick) no later than [`deadline`](Connection::deadline), after `next`.
//! 4. While draining, call [`drained`](Connection::drained) whenever no call is in flight.
//! 5. Close the socket once [`is_finished`](Connection::is_finished).
//!
//! # Invariants
//! - Machine 08 ([`ConnectionMachine`]) decides every change of state, in one place (`shift`).
//! - Nothing the other side sends panics, and nothing it sends is acted on before it was accepted.
//! - An ordered end loses no call: each side says Goodbye, opens no call after it, and closes only when it has heard the
//!   other's. TCP keeps the order, so behind a Goodbye no call can be under way.
//! - Memory: until the greeting is accepted at most one greeting is buffered; the outbox of an accepting side grows beyond
//!   [`HIGH_WATER_BYTES`] only by what its owner sends, that of a dialing side also not by Pongs.
//! - Every state but Open has a deadline, Closed too: nothing waits for ever.
//! - A connection that was closed says why for ever ([`ended`](Connection::ended)).
//!
//! # What this leaves out
//! Which calls are in flight is known by who made them. Caps on the number of connections belong to the listener.

mod api;
mod greeting;
mod limits;
mod role;
mod table;

use std::fmt;

pub use api::{Ended, Incoming, SendError};
use bytes::{Buf, BytesMut};
pub use greeting::{ClusterFact, Facts, IdentityFact, Row, decide};
use holdfast_machine::{Machine, Trace};
pub use limits::{
    DETAIL_BYTES_MAX, DRAIN_DEADLINE_MS, HANDSHAKE_DEADLINE_MS, HIGH_WATER_BYTES, IDLE_DEADLINE_MS,
    KEEPALIVE_MS, LINGER_MS, OUTBOX_BYTES_MAX,
};
pub use role::Role;
pub use table::{ConnectionMachine, Edge, Event, State};

use crate::message::{ClientWelcome, CloseReason, Echo, Goodbye, PeerWelcome};
use crate::sink::Sink;
use crate::{Flag, FrameCodec, Header, Message, Outbox, Preface, VersionRange, WireError};

/// How many steps a connection remembers for a post-mortem: more than the longest life has.
const TRACE_STEPS: usize = 8;

/// What is known in each state and in no other.
#[derive(Debug)]
enum Phase {
    Prefacing { until: u64 },
    Greeting { until: u64, version: u16 },
    Open { version: u16 },
    Draining { until: u64, version: u16, goodbye: Goodbye, by_other_side: bool, other_side_done: bool },
    Closed { until: u64, ended: Ended, transport_done: bool },
}

impl Phase {
    fn state(&self) -> State {
        match self {
            Self::Prefacing { .. } => State::Prefacing,
            Self::Greeting { .. } => State::Greeting,
            Self::Open { .. } => State::Open,
            Self::Draining { .. } => State::Draining,
            Self::Closed { .. } => State::Closed,
        }
    }
}

/// What of the other side was last noticed, and when.
#[derive(Debug)]
struct Heard {
    /// Bytes that had come.
    read: u64,
    /// Bytes it had taken from us, looked at only while we do not read.
    written: u64,
    at: u64,
}

/// What one look into the buffer came to.
#[expect(clippy::large_enum_variant, reason = "never stored, and a message is what it mostly is")]
enum Step {
    /// Something for the owner.
    Yield(Incoming),
    /// Something was done; look again.
    Again,
    /// Not all of it has come.
    Wait,
}

/// One connection. See the module documentation.
pub struct Connection {
    role: Role,
    versions: VersionRange,
    phase: Phase,
    codec: FrameCodec,
    inbound: BytesMut,
    outbox: Outbox,
    trace: Trace<ConnectionMachine, TRACE_STEPS>,
    skipped_frames: u64,
    skipped_extensions: u64,
    heard: Heard,
    /// When the last Ping went out, if nothing has been heard since.
    pinged: Option<u64>,
}

/// What a post-mortem wants: who, where, the last steps, and how much waits. Not what waits: it may be credentials.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("role", &self.role)
            .field("phase", &self.phase)
            .field("inbound_bytes", &self.inbound.len())
            .field("outbox", &self.outbox)
            .field("heard", &self.heard)
            .field("trace", &self.trace)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// A connection whose transport has just opened. A dialing side has its preface and Hello in the outbox at
    /// once; an accepting side says nothing until it has seen the magic.
    ///
    /// # Errors
    /// [`WireError::Unencodable`] if a name, build or address is too long, [`WireError::OverCap`] if the greeting is.
    pub fn new(role: Role, now: u64) -> Result<Self, WireError> {
        Self::with_versions(role, VersionRange::SUPPORTED, now)
    }

    /// The same, speaking other versions than this build does: for tests of builds that do not exist yet.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_versions(role: Role, versions: VersionRange, now: u64) -> Result<Self, WireError> {
        let mut outbox = Outbox::new();
        if role.dials() {
            Preface { versions }.encode(outbox.scratch());
            let hello = role.greeting();
            hello.encode(hello.header(), &mut outbox)?;
        } else {
            // Only to learn now that it can be encoded.
            let welcome = role.greeting();
            welcome.encode(welcome.header(), &mut BytesMut::new())?;
        }
        Ok(Self {
            role,
            versions,
            phase: Phase::Prefacing { until: now.saturating_add(HANDSHAKE_DEADLINE_MS) },
            codec: FrameCodec::greeting(),
            inbound: BytesMut::new(),
            outbox,
            trace: Trace::new(),
            skipped_frames: 0,
            skipped_extensions: 0,
            heard: Heard { read: 0, written: 0, at: now },
            pinged: None,
        })
    }

    /// Where the owner puts what it read. The owner decides how much room to reserve.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.inbound
    }

    /// What waits to be written: write from it, and [`advance`](Buf::advance) it by what was written.
    pub fn outbox(&mut self) -> &mut (impl Buf + use<>) {
        &mut self.outbox
    }

    /// Whether to read more: not while the other side leaves our answers unread, and not once the transport is done.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        match self.phase {
            Phase::Closed { transport_done, .. } => !transport_done,
            Phase::Prefacing { .. }
            | Phase::Greeting { .. }
            | Phase::Open { .. }
            | Phase::Draining { .. } => self.role.dials() || self.outbox.remaining() <= HIGH_WATER_BYTES,
        }
    }

    /// Whether the writing half of the socket can be shut down: everything was said, and nothing more will be.
    #[must_use]
    pub fn wants_shutdown(&self) -> bool {
        self.state() == State::Closed && !self.outbox.has_remaining()
    }

    /// Whether the socket can be closed: the other side has closed too, or was given time to.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Closed { transport_done: true, .. })
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
            Phase::Prefacing { .. } | Phase::Closed { .. } => None,
        }
    }

    /// Why the connection ended; `None` while it has not.
    #[must_use]
    pub fn ended(&self) -> Option<&Ended> {
        match &self.phase {
            Phase::Closed { ended, .. } => Some(ended),
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

    /// Frames and extensions that were skipped because this build, or the agreed version, does not know them.
    #[must_use]
    pub fn skipped(&self) -> (u64, u64) {
        (self.skipped_frames + self.codec.skipped(), self.skipped_extensions)
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
                Phase::Closed { .. } => {
                    // Read only so that the socket can be closed without a reset.
                    self.inbound.clear();
                    return None;
                }
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
        let version = match self.phase {
            Phase::Open { version } => version,
            Phase::Draining { version, .. } if header.flags.has(Flag::Reply) => version,
            Phase::Prefacing { .. }
            | Phase::Greeting { .. }
            | Phase::Draining { .. }
            | Phase::Closed { .. } => return Err(SendError::NotOpen { state: self.state() }),
        };
        let message_type = message.message_type();
        if message_type.is_handshake() || !self.role.may_say(message_type) {
            return Err(SendError::NotOurs { message_type });
        }
        message_type.spec().in_version(message_type, version)?;
        let waiting = self.outbox.remaining();
        if waiting > OUTBOX_BYTES_MAX {
            return Err(SendError::Full { waiting, limit: OUTBOX_BYTES_MAX });
        }
        Ok(message.encode(header, &mut self.outbox)?)
    }

    /// Begins an ordered end: a Goodbye goes out, calls in flight are finished. Before the handshake is done
    /// there is nothing to finish, and the connection closes at once.
    pub fn close(&mut self, reason: CloseReason, detail: &str, now: u64) {
        self.end(Event::CloseWanted, Goodbye::new(reason, detail), false, now);
    }

    /// What came was well formed and must not be acted on, the owner has found: closes at once, and says why. Nothing that
    /// came behind it is shown any more.
    pub fn turn_away(&mut self, reason: CloseReason, detail: &str, now: u64) {
        self.end(Event::Violated, Goodbye::new(reason, detail), false, now);
    }

    /// The owner has no call in flight, neither asked nor answered. Ends a drain if the other side has said Goodbye
    /// too; before that a call of it may still be under way, and this has no effect.
    pub fn drained(&mut self, now: u64) {
        if !matches!(self.phase, Phase::Draining { other_side_done: false, .. }) {
            self.end(Event::Drained, Goodbye::new(CloseReason::Done, ""), false, now);
        }
    }

    /// The transport ended: end of stream, reset, failed write. What had come before is in the buffer and should be
    /// given to [`next`](Self::next) first: it may say why. A frame that was cut off is lost, and nothing of it was
    /// acted on.
    pub fn lost(&mut self, why: &str, now: u64) {
        let cut_off = match self.inbound.len() {
            0 => String::new(),
            count => format!("; {count} bytes of something unfinished had come"),
        };
        self.end(
            Event::TransportLost,
            Goodbye::new(CloseReason::Lost, format!("{why}{cut_off}")),
            false,
            now,
        );
        self.finish();
    }

    /// When [`tick`](Self::tick) has something to do if nothing else happens before; `None` once finished.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        match self.phase {
            Phase::Prefacing { until } | Phase::Greeting { until, .. } | Phase::Draining { until, .. } => {
                Some(until)
            }
            Phase::Open { .. } => Some(self.pinged.unwrap_or(self.heard.at).saturating_add(KEEPALIVE_MS)),
            Phase::Closed { until, transport_done, .. } => (!transport_done).then_some(until),
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
        let silent_until = self.heard.at.saturating_add(IDLE_DEADLINE_MS);
        let (reason, limit) = match self.phase {
            Phase::Prefacing { .. } | Phase::Greeting { .. } => {
                (CloseReason::HandshakeTimeout, HANDSHAKE_DEADLINE_MS)
            }
            // Never dead without having been asked: after a pause of this process the silence may be ours.
            Phase::Open { .. } if now < silent_until || self.pinged.is_none() => {
                self.pinged = Some(now);
                let ping = Message::Ping(Echo::default());
                // A full outbox is no reason to fail here: the idle deadline will speak for it.
                let _ = self.send(ping.header(), &ping);
                return;
            }
            // We heard nothing because we stopped listening, and we did because our answers are not read.
            Phase::Open { .. } if !self.wants_read() => (CloseReason::Unread, IDLE_DEADLINE_MS),
            Phase::Open { .. } => (CloseReason::Silence, IDLE_DEADLINE_MS),
            Phase::Draining { .. } => (CloseReason::DrainTimeout, DRAIN_DEADLINE_MS),
            Phase::Closed { .. } => return self.finish(),
        };
        let detail = format!("waited {limit} ms");
        self.end(Event::DeadlinePassed, Goodbye::new(reason, detail), false, now);
    }

    /// Notes whether the other side has been heard since the last look: bytes have come or, while we do not read
    /// because it has not read, it has read some. (Writing alone proves nothing: the kernel takes bytes for a dead
    /// machine too, until its buffer is full. It is full when we do not read.)
    fn listen(&mut self, now: u64) {
        let read = self.codec.position() + self.inbound.len() as u64;
        let written = self.outbox.written();
        if read != self.heard.read || (written != self.heard.written && !self.wants_read()) {
            self.heard.at = now;
            self.pinged = None;
        }
        (self.heard.read, self.heard.written) = (read, written);
    }

    fn read_preface(&mut self, until: u64, now: u64) -> Result<Step, WireError> {
        let Some(theirs) = Preface::decode(&mut self.inbound)? else { return Ok(Step::Wait) };
        if !self.role.dials() {
            Preface { versions: self.versions }.encode(self.outbox.scratch());
        }
        match self.versions.agree(theirs.versions) {
            Ok(version) => {
                self.shift(Event::VersionAgreed, now, |_, _| Phase::Greeting { until, version });
            }
            Err(error) => self.refuse(Goodbye::new(CloseReason::NoCommonVersion, error.to_string()), now),
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
                Err(Goodbye::new(CloseReason::WrongPort, "clients and peers have a port each"))
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

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "whatever is not of the connection is for its owner, also what is added later"
    )]
    fn read_message(&mut self, version: u16, now: u64) -> Result<Step, WireError> {
        let Some(frame) = self.codec.next(&mut self.inbound)? else { return Ok(Step::Wait) };
        let message_type = frame.header.message_type;
        let spec = message_type.spec();
        if let Err(error) = spec.in_version(message_type, version) {
            if !spec.may_skip {
                return Err(error);
            }
            // A build of that version would skip it, too.
            self.skipped_frames += 1;
            return Ok(Step::Again);
        }
        if message_type.is_greeting() || !self.role.may_hear(message_type) {
            self.break_off(&format!("{message_type} in this place"), now);
            return Ok(Step::Again);
        }
        match Message::decode(&frame, &mut self.skipped_extensions)? {
            Message::Ping(echo) => {
                // A dialing side never stops reading, so it has to stop answering instead.
                if self.outbox.remaining() <= HIGH_WATER_BYTES {
                    // A copy, so that a small Pong does not keep a large read buffer alive.
                    let payload = bytes::Bytes::copy_from_slice(&echo.payload);
                    let pong = Message::Pong(Echo { payload });
                    let header = Header { flags: pong.header().flags, ..frame.header };
                    pong.encode(header, &mut self.outbox)?;
                }
                Ok(Step::Again)
            }
            Message::Goodbye(theirs) => {
                self.end(Event::GoodbyeHeard, theirs.clone(), true, now);
                if let Phase::Draining { other_side_done, .. } = &mut self.phase {
                    *other_side_done = true;
                }
                Ok(Step::Yield(Incoming::Goodbye(theirs)))
            }
            message => Ok(Step::Yield(Incoming::Message(frame.header, message))),
        }
    }

    fn refuse(&mut self, goodbye: Goodbye, now: u64) {
        self.end(Event::Refused, goodbye, false, now);
    }

    fn violated(&mut self, error: &WireError, now: u64) {
        let place = match self.state() {
            State::Prefacing => "preface".to_owned(),
            State::Greeting | State::Open | State::Draining | State::Closed => {
                format!("frame at byte {}", self.codec.frame_at())
            }
        };
        self.break_off(&format!("{place}: {error}"), now);
    }

    fn break_off(&mut self, text: &str, now: u64) {
        self.end(Event::Violated, Goodbye::new(CloseReason::Violation, text), false, now);
    }

    /// Takes an edge that leads towards the end, if the table has one here.
    fn end(&mut self, event: Event, goodbye: Goodbye, by_other_side: bool, now: u64) {
        let goodbye = if by_other_side { goodbye } else { goodbye.cut(DETAIL_BYTES_MAX) };
        let closed = |edge, goodbye, by_other_side| Phase::Closed {
            until: now.saturating_add(LINGER_MS),
            ended: Ended { edge, goodbye, by_other_side },
            transport_done: false,
        };
        self.shift(event, now, |old, edge| match (ConnectionMachine::target(edge), old) {
            (State::Draining, Phase::Open { version }) => Phase::Draining {
                until: now.saturating_add(DRAIN_DEADLINE_MS),
                version,
                goodbye,
                by_other_side,
                other_side_done: by_other_side,
            },
            // A drain that finished, or whose transport ended, ended for the reason it began with.
            (_, Phase::Draining { goodbye, by_other_side, .. })
                if matches!(edge, Edge::FinishDrain | Edge::Lose) =>
            {
                closed(edge, goodbye, by_other_side)
            }
            (_, _) => closed(edge, goodbye, by_other_side),
        });
    }

    /// The only place where the phase changes. Looks the edge up, lets `enter` make the new phase out of the
    /// old one, and says what the edge calls for.
    fn shift(&mut self, event: Event, now: u64, enter: impl FnOnce(Phase, Edge) -> Phase) {
        let from = self.state();
        let Some(edge) = holdfast_machine::decide::<ConnectionMachine>(from, event) else { return };
        let unset = Phase::Prefacing { until: now };
        self.phase = enter(std::mem::replace(&mut self.phase, unset), edge);
        assert_eq!(self.state(), ConnectionMachine::target(edge), "{edge}");
        self.trace.record(now, from, event, edge);
        self.last_words(from, edge);
    }

    /// Says Goodbye where the edge calls for it, and lets go of what will not be read any more.
    fn last_words(&mut self, from: State, edge: Edge) {
        let goodbye = match &self.phase {
            // The other side has given its reason; what it waits for is only that we are done asking, too.
            Phase::Draining { by_other_side: true, .. } => Goodbye::new(CloseReason::Done, ""),
            Phase::Draining { goodbye, .. } | Phase::Closed { ended: Ended { goodbye, .. }, .. } => {
                goodbye.clone()
            }
            Phase::Prefacing { .. } | Phase::Greeting { .. } | Phase::Open { .. } => return,
        };
        if self.state() == State::Closed {
            self.inbound = BytesMut::new();
        }
        let speak = match edge {
            Edge::Refuse | Edge::BeginDrain | Edge::HeedGoodbye | Edge::CutDrain | Edge::PresumeDead => true,
            // Who has not shown a preface speaks something else, and a frame would be noise to it.
            Edge::BreakOff => from != State::Prefacing,
            // An accepting side has not sent its own preface yet, so it cannot send a frame.
            Edge::Abandon | Edge::GiveUp => from != State::Prefacing || self.role.dials(),
            Edge::AgreeVersion | Edge::Accept | Edge::BeRefused | Edge::FinishDrain | Edge::Lose => false,
        };
        if speak {
            let message = Message::from(goodbye);
            let queued = message.encode(message.header(), &mut self.outbox);
            debug_assert_eq!(queued, Ok(()), "a Goodbye of ours is cut to fit");
        }
    }

    /// Nothing more is written or awaited.
    fn finish(&mut self) {
        if let Phase::Closed { transport_done, .. } = &mut self.phase {
            *transport_done = true;
        }
        self.inbound = BytesMut::new();
        self.outbox = Outbox::new();
    }
}
