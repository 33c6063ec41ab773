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
use std::io;
use std::rc::Rc;

use bytes::{Buf, BufMut};
use holdfast_wire::connection::{Incoming, SendError};
use holdfast_wire::{Connection, Header, Message};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// Bytes that one read may bring: room for some 200 requests of 300 bytes.
const READ_BYTES: usize = 64 * 1024;

/// Bytes read from one connection before others have their turn.
const READ_TURN_BYTES: usize = 256 * 1024;

/// Slices in one vectored write: what Linux takes at most is 1,024, and a turn seldom has more than some.
const SLICES: usize = 64;

/// A connection and its socket. Belongs to the thread of one node.
#[derive(Debug)]
pub(super) struct Link {
    /// Names it among the connections of this process; never used again.
    pub(super) id: u64,
    stream: TcpStream,
    connection: RefCell<Connection>,
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
        Rc::new(Self {
            id,
            stream,
            connection: RefCell::new(connection),
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

    /// Writes what is queued, as much as the socket takes now.
    pub(super) fn push(&self, now: u64) {
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
        let mut shut = false;
        loop {
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
                let _ = socket2::SockRef::from(&self.stream).shutdown(std::net::Shutdown::Write);
            }
            let interest = match (wants_read, wants_write) {
                (true, true) => Some(Interest::READABLE | Interest::WRITABLE),
                (true, false) => Some(Interest::READABLE),
                (false, true) => Some(Interest::WRITABLE),
                (false, false) => None,
            };
            let ready = match interest {
                None => {
                    self.wake.notified().await;
                    continue;
                }
                Some(interest) => tokio::select! {
                    ready = self.stream.ready(interest) => ready,
                    () = self.wake.notified() => continue,
                },
            };
            let now = hub.clock.millis();
            match ready {
                Err(error) => self.connection().lost(&error.to_string(), now),
                Ok(ready) => {
                    if ready.is_writable() {
                        self.push(now);
                    }
                    if wants_read && (ready.is_readable() || ready.is_read_closed() || ready.is_error()) {
                        self.pull(hub, now, &mut on);
                    }
                }
            }
        }
    }

    /// Reads what is there, up to a bound, and gives it to `on`.
    fn pull(&self, hub: &super::Hub, now: u64, on: &mut impl FnMut(Incoming) -> Flow) {
        let (began, before) = (hub.clock.micros(), self.calls.get());
        let mut taken = 0;
        while taken < READ_TURN_BYTES {
            let read = {
                let mut connection = self.connection();
                let buffer = connection.buffer();
                if buffer.capacity() - buffer.len() < READ_BYTES / 8 {
                    buffer.reserve(READ_BYTES);
                }
                self.stream.try_read_buf(&mut buffer.limit(READ_TURN_BYTES - taken))
            };
            let ended = match read {
                Ok(0) => Some("the stream ended".to_owned()),
                Ok(count) => {
                    taken += count;
                    None
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Some(error.to_string()),
            };
            let paused = self.take(now, on);
            if let Some(why) = ended {
                self.connection().lost(&why, now);
                return;
            }
            if paused {
                break;
            }
        }
        let calls = self.calls.get() - before;
        if calls > 0 {
            hub.decoded.borrow_mut().push((hub.clock.micros() - began, calls));
        }
        // The connection may have answered by itself: a Pong, a Welcome, a Goodbye.
        self.push(now);
    }

    /// Gives everything that is whole to `on`. Says whether to stop reading.
    fn take(&self, now: u64, on: &mut impl FnMut(Incoming) -> Flow) -> bool {
        loop {
            let incoming = self.connection().next(now);
            match incoming {
                None => return self.in_flight.get() >= self.in_flight_max,
                Some(incoming) => {
                    if matches!(on(incoming), Flow::Pause) {
                        return true;
                    }
                }
            }
        }
    }
}

/// Writes from `outbox` as much as the socket takes. Says whether some is left.
fn write(stream: &TcpStream, outbox: &mut impl Buf) -> io::Result<bool> {
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
