//! What is on its way into a socket: written at once as far as the socket takes it, and the rest when it takes more.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;

use bytes::{Buf, Bytes};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;

/// The writing side of a connection, on a runtime of one thread.
#[derive(Debug)]
pub(crate) struct Outbox {
    socket: OwnedWriteHalf,
    /// What the socket has not taken yet.
    queue: RefCell<VecDeque<Bytes>>,
    more: Notify,
}

impl Outbox {
    pub(crate) fn new(socket: OwnedWriteHalf) -> Self {
        Self { socket, queue: RefCell::default(), more: Notify::new() }
    }

    /// Sends `bytes` behind what was sent before. An error is left to [`Self::drain`].
    pub(crate) fn send(&self, mut bytes: Bytes) {
        let mut queue = self.queue.borrow_mut();
        if queue.is_empty() {
            bytes.advance(self.socket.try_write(&bytes).unwrap_or(0));
        }
        if !bytes.is_empty() {
            queue.push_back(bytes);
            self.more.notify_one();
        }
    }

    /// Writes whatever the socket does not take at once, for ever.
    pub(crate) async fn drain(&self) -> io::Result<()> {
        loop {
            self.more.notified().await;
            while !self.queue.borrow().is_empty() {
                self.socket.writable().await?;
                self.write_front()?;
            }
        }
    }

    fn write_front(&self) -> io::Result<()> {
        let mut queue = self.queue.borrow_mut();
        let Some(front) = queue.front_mut() else { return Ok(()) };
        match self.socket.try_write(front) {
            Ok(written) => front.advance(written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if front.is_empty() {
            queue.pop_front();
        }
        Ok(())
    }
}
