//! The client port of a node: connections as `server::runtime` drives them, over streams that the world carries.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};
use holdfast_wire::connection::{HIGH_WATER_BYTES, Incoming, Role, SendError};
use holdfast_wire::message::{ClientWelcome, CloseReason};
use holdfast_wire::{Connection, Header, Message};

/// Bytes of events that wait in a connection.
const EVENTS_BYTES: usize = 256 * 1024;

/// A connection of a client, at the node.
#[derive(Debug)]
pub struct Served {
    /// What knows the protocol.
    pub connection: Connection,
    /// Calls that are not answered yet.
    pub in_flight: usize,
    /// Answers that the connection has no room for yet.
    overflow: VecDeque<(Header, Message)>,
}

impl Served {
    /// One that was just accepted, at this millisecond of the node's clock.
    ///
    /// # Panics
    /// If a Welcome cannot be encoded.
    #[must_use]
    pub fn new(welcome: ClientWelcome, now: u64) -> Self {
        let connection = Connection::new(Role::Server(welcome), now).expect("a Welcome fits");
        Self { connection, in_flight: 0, overflow: VecDeque::new() }
    }

    /// Takes bytes that came.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.connection.wants_read() {
            self.connection.buffer().extend_from_slice(bytes);
        }
    }

    /// What came, if a whole message did.
    pub fn next(&mut self, now: u64) -> Option<Incoming> {
        self.connection.next(now)
    }

    /// Queues an answer; whatever the connection has no room for waits behind it.
    pub fn answer(&mut self, header: Header, message: Message, now: u64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if self.overflow.is_empty() {
            match self.connection.send(header, &message) {
                Ok(()) | Err(SendError::NotOpen { .. }) => return,
                Err(SendError::Full { .. }) => {}
                Err(SendError::NotOurs { .. } | SendError::Unencodable(_)) => {
                    self.connection.close(CloseReason::Unread, "an answer could not be sent", now);
                    return;
                }
            }
        }
        self.overflow.push_back((header, message));
    }

    /// How many bytes of events it takes now.
    pub fn room_for_events(&mut self) -> usize {
        if self.overflow.is_empty() {
            EVENTS_BYTES.saturating_sub(self.connection.outbox().remaining())
        } else {
            0
        }
    }

    /// All that is to be written.
    pub fn written(&mut self) -> Bytes {
        let mut all = Vec::new();
        loop {
            let outbox = self.connection.outbox();
            while outbox.has_remaining() {
                let chunk = outbox.chunk();
                all.extend_from_slice(chunk);
                let length = chunk.len();
                outbox.advance(length);
            }
            let mut moved = false;
            while self.connection.outbox().remaining() < HIGH_WATER_BYTES
                && let Some((header, message)) = self.overflow.pop_front()
            {
                moved |= self.connection.send(header, &message).is_ok();
            }
            if !moved {
                return all.into();
            }
        }
    }

    /// Does what is due. Says whether the connection has ended.
    pub fn tick(&mut self, now: u64) -> bool {
        if self.in_flight == 0 {
            self.connection.drained(now);
        }
        if self.connection.deadline().is_some_and(|deadline| deadline <= now) {
            self.connection.tick(now);
        }
        self.connection.is_finished()
    }
}
