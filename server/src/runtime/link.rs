//! A connection with its socket: what every client, and every lane to or from a peer, is driven by.
//!
//! # Why one for all
//! [`Connection`] knows the protocol and no socket. This adds reading, writing and waking, the same for all four roles, so
//! that a fault in handling half-closed sockets or slow readers is a fault in one place.
//!
//! # Who writes
//! The node loop writes at the end of its turn, at once and without a hop to another task ([`Link::push`]). Only what the
//! socket does not take then is left to the link's own task.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::Shutdown;
use std::rc::Rc;

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Buf;
use holdfast_wire::connection::{HIGH_WATER_BYTES, Incoming, SendError};
use holdfast_wire::{Connection, Header, Message};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;
use tokio_util::io::poll_read_buf;

/// Bytes that one read may bring: room for some 200 requests of 300 bytes.
const READ_BYTES: usize = 64 * 1024;

/// Bytes read from one connection before others have their turn.
const READ_TURN_BYTES: usize = 256 * 1024;

/// Bytes of answers that wait for room in a connection whose client reads: twice what the connection itself holds.
const OVERFLOW_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Bytes of events that wait in a connection: what its socket has not taken of them delays an answer by at most so much.
const EVENTS_BYTES: usize = 256 * 1024;

/// Slices in one vectored write: what Linux takes at most is 1,024, and a turn seldom has more than some.
const SLICES: usize = 64;

/// A connection and its socket. Belongs to the thread of one node.
#[derive(Debug)]
pub(super) struct Link {
    /// Names it among the connections of this process; never used again.
    pub(super) id: u64,
    /// Which member the other side is; none of a client, and none before it has said so.
    pub(super) peer: Cell<Option<u64>>,
    /// For writing; reading is for the task of the link alone.
    stream: OwnedWriteHalf,
    reader: RefCell<Option<OwnedReadHalf>>,
    connection: RefCell<Connection>,
    /// Answers that the connection has no room for yet, and their bytes.
    overflow: RefCell<VecDeque<(Header, Message)>>,
    overflow_bytes: Cell<usize>,
    /// Events wait until what is in the connection was written.
    events_wait: Cell<bool>,
    /// The task of the link has something to do.
    wake: Notify,
    /// Calls that are not answered yet.
    pub(super) in_flight: Cell<usize>,
    /// Calls that have come.
    calls: Cell<u64>,
    /// Calls in flight above which nothing more is read.
    in_flight_max: usize,
}

/// What to do after something came in.
pub(super) enum Flow {
    /// Go on.
    On,
    /// Read nothing more in this turn of the task.
    Pause,
}

impl Link {
    pub(super) fn new(id: u64, stream: TcpStream, connection: Connection, in_flight_max: usize) -> Rc<Self> {
        // Small frames must not wait for acknowledgements of the other side's kernel.
        let _ = stream.set_nodelay(true);
        let (reader, stream) = stream.into_split();
        Rc::new(Self {
            id,
            peer: Cell::new(None),
            stream,
            reader: RefCell::new(Some(reader)),
            connection: RefCell::new(connection),
            overflow: RefCell::default(),
            overflow_bytes: Cell::new(0),
            events_wait: Cell::new(false),
            wake: Notify::new(),
            in_flight: Cell::new(0),
            calls: Cell::new(0),
            in_flight_max,
        })
    }

    /// The connection, for a moment: never across an await.
    pub(super) fn connection(&self) -> std::cell::RefMut<'_, Connection> {
        self.connection.borrow_mut()
    }

    /// Queues a message.
    pub(super) fn send(&self, header: Header, message: &Message) -> Result<(), SendError> {
        self.connection().send(header, message)
    }

    /// Queues an answer. A client that asked for much at once and reads it gets all of it: what the connection has no room
    /// for waits behind it, up to a bound. Says whether it was taken.
    pub(super) fn answer(&self, header: Header, message: Message) -> bool {
        if self.overflow.borrow().is_empty() {
            match self.send(header, &message) {
                Ok(()) => return true,
                Err(SendError::Full { .. }) => {}
                Err(SendError::NotOpen { .. } | SendError::NotOurs { .. } | SendError::Unencodable(_)) => {
                    return false;
                }
            }
        }
        let bytes = self.overflow_bytes.get() + size(&message);
        if bytes > OVERFLOW_BYTES_MAX {
            return false;
        }
        self.overflow_bytes.set(bytes);
        self.overflow.borrow_mut().push_back((header, message));
        true
    }

    /// How many bytes of events it takes now. None while answers wait: what was asked first is answered first.
    pub(super) fn room_for_events(&self) -> usize {
        if !self.overflow.borrow().is_empty() {
            return 0;
        }
        EVENTS_BYTES.saturating_sub(self.connection().outbox().remaining())
    }

    /// More events are there than it had room for.
    pub(super) fn let_events_wait(&self) {
        self.events_wait.set(true);
    }

    /// Whether events wait that there is room for again: half of it, so that they come in portions.
    pub(super) fn events_can_go_on(&self) -> bool {
        let can = self.events_wait.get() && self.room_for_events() >= EVENTS_BYTES / 2;
        if can {
            self.events_wait.set(false);
        }
        can
    }

    /// Moves answers into the connection while it has room.
    fn refill(&self) {
        let mut overflow = self.overflow.borrow_mut();
        let mut connection = self.connection();
        while connection.outbox().remaining() < HIGH_WATER_BYTES
            && let Some((header, message)) = overflow.pop_front()
        {
            self.overflow_bytes.set(self.overflow_bytes.get() - size(&message));
            // One that is on its way out takes no more, and nobody waits for it any more.
            let _ = connection.send(header, &message);
        }
    }

    /// Writes what is queued, as much as the socket takes now.
    pub(super) fn push(&self, now: u64) {
        loop {
            self.push_once(now);
            if self.overflow.borrow().is_empty() || self.connection().outbox().remaining() >= HIGH_WATER_BYTES
            {
                return;
            }
            self.refill();
        }
    }

    fn push_once(&self, now: u64) {
        let more = {
            let mut connection = self.connection();
            match write(&self.stream, &mut *connection.outbox()) {
                Ok(left) => left || connection.wants_shutdown(),
                Err(error) => {
                    connection.lost(&error.to_string(), now);
                    true
                }
            }
        };
        if more {
            self.wake.notify_one();
        }
    }

    /// A call has come. Says whether there is room for another.
    pub(super) fn called(&self) -> bool {
        self.calls.set(self.calls.get() + 1);
        self.in_flight.set(self.in_flight.get() + 1);
        self.in_flight.get() < self.in_flight_max
    }

    /// A call was answered.
    pub(super) fn answered(&self) {
        let before = self.in_flight.get();
        self.in_flight.set(before.saturating_sub(1));
        if before >= self.in_flight_max {
            self.wake.notify_one();
        }
    }

    /// Lets the task of the link look again.
    pub(super) fn stir(&self) {
        self.wake.notify_one();
    }

    /// Ends it for a drill, as if the network had failed: what was to be said is not.
    pub(super) fn cut(&self, now: u64) {
        self.connection().lost("cut by a drill", now);
        self.stir();
    }

    /// Does what is due at this time.
    pub(super) fn tick(&self, now: u64) {
        let due = {
            let mut connection = self.connection();
            if self.in_flight.get() == 0 {
                connection.drained(now);
            }
            let due = connection.deadline().is_some_and(|deadline| deadline <= now);
            if due {
                connection.tick(now);
            }
            due || connection.wants_shutdown()
        };
        if due {
            self.push(now);
            self.stir();
        }
    }

    /// Drives the link to its end: reads, gives what came to `on`, writes what the node loop could not.
    pub(super) async fn drive(&self, hub: &super::Hub, mut on: impl FnMut(Incoming) -> Flow) {
        let Some(mut reader) = self.reader.borrow_mut().take() else { return };
        let mut shut = false;
        loop {
            // What came before a pause is looked at again when it ends, whether or not more comes.
            self.take(hub.clock.millis(), &mut on);
            let (wants_read, wants_write, wants_shutdown, finished) = {
                let mut connection = self.connection();
                let reads = connection.wants_read() && self.in_flight.get() < self.in_flight_max;
                let writes = connection.outbox().has_remaining();
                (reads, writes, connection.wants_shutdown(), connection.is_finished())
            };
            if finished {
                return;
            }
            if wants_shutdown && !shut {
                shut = true;
                // Never waits on a TCP socket; if it fails, the socket is gone, and reading tells.
                let _ = SockRef::from(self.stream.as_ref()).shutdown(Shutdown::Write);
            }
            tokio::select! {
                () = poll_fn(|context| self.pull(hub, &mut reader, context, &mut on)), if wants_read => {}
                ready = self.stream.writable(), if wants_write => match ready {
                    Ok(()) => {
                        self.push(hub.clock.millis());
                        if self.events_can_go_on() {
                            hub.ring();
                        }
                    }
                    Err(error) => self.connection().lost(&error.to_string(), hub.clock.millis()),
                },
                () = self.wake.notified() => {}
            }
        }
    }

    /// Reads what is there, up to a bound, and gives it to `on`. Ready once something was done.
    fn pull(
        &self,
        hub: &super::Hub,
        reader: &mut OwnedReadHalf,
        context: &mut Context<'_>,
        on: &mut impl FnMut(Incoming) -> Flow,
    ) -> Poll<()> {
        let (began, before) = (hub.clock.micros(), self.calls.get());
        let mut taken = 0;
        while taken < READ_TURN_BYTES {
            let read = {
                let mut connection = self.connection();
                let buffer = connection.buffer();
                if buffer.capacity() - buffer.len() < READ_BYTES / 8 {
                    buffer.reserve(READ_BYTES);
                }
                // One system call: a read that does not fill the buffer tells the runtime that nothing is left.
                poll_read_buf(Pin::new(&mut *reader), context, buffer)
            };
            let ended = match read {
                Poll::Pending if taken == 0 => return Poll::Pending,
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => Some("the stream ended".to_owned()),
                Poll::Ready(Ok(count)) => {
                    taken += count;
                    None
                }
                Poll::Ready(Err(error)) => Some(error.to_string()),
            };
            let now = hub.clock.millis();
            let paused = self.take(now, on);
            if let Some(why) = ended {
                // Whoever ended its own half still reads: it may be told why.
                self.push(now);
                self.connection().lost(&why, now);
                return Poll::Ready(());
            }
            if paused || !self.connection().wants_read() {
                break;
            }
        }
        let calls = self.calls.get() - before;
        if calls > 0 {
            hub.decoded.borrow_mut().push((hub.clock.micros() - began, calls));
        }
        // The connection may have answered by itself: a Pong, a Welcome, a Goodbye.
        self.push(hub.clock.millis());
        Poll::Ready(())
    }

    /// Gives everything that is whole to `on`. Says whether to stop reading.
    fn take(&self, now: u64, on: &mut impl FnMut(Incoming) -> Flow) -> bool {
        while self.in_flight.get() < self.in_flight_max {
            let incoming = self.connection().next(now);
            match incoming {
                None => return false,
                Some(incoming) => {
                    if matches!(on(incoming), Flow::Pause) {
                        return true;
                    }
                }
            }
        }
        true
    }
}

/// Bytes of an answer, as far as they matter.
fn size(message: &Message) -> usize {
    const BESIDE: usize = 256;
    #[expect(clippy::wildcard_enum_match_arm, reason = "only these carry what clients have written")]
    match message {
        Message::ReadDone(done) => done.outcome.len() + BESIDE,
        Message::QueryDone(done) => done.answer.len() + BESIDE,
        Message::SnapshotPiece(piece) => piece.data.len() + BESIDE,
        Message::Submitted(submitted) => submitted.outcome.len() + BESIDE,
        _ => BESIDE,
    }
}

/// Writes from `outbox` as much as the socket takes. Says whether some is left.
fn write(stream: &OwnedWriteHalf, outbox: &mut impl Buf) -> io::Result<bool> {
    while outbox.has_remaining() {
        let mut slices = [io::IoSlice::new(&[]); SLICES];
        let count = outbox.chunks_vectored(&mut slices);
        let written = match slices.get(..count) {
            Some([only]) => stream.try_write(only),
            Some(slices) => stream.try_write_vectored(slices),
            None => return Ok(false),
        };
        match written {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => outbox.advance(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}
