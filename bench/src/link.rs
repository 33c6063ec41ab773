//! A connection to a node, as a load generator wants it: many calls outstanding, and of whatever is there one read and one
//! write.
//!
//! This is not the client. That finds the leader, tries again and knows what came of a write; all of it costs CPU time, of
//! which a load generator on the machine it measures takes as little as it can.

use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdfast_wire::connection::{Incoming, Role};
use holdfast_wire::message::{ClientHello, Credentials, Features};
use holdfast_wire::{CallId, Connection, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::timer::Timer;

/// Room for what one read may bring.
const READ: usize = 64 << 10;
/// A node that answers nothing for so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// An open connection.
#[derive(Debug)]
pub(crate) struct Link {
    socket: TcpStream,
    connection: Connection,
    /// Where the clock of the connection began.
    began: Instant,
    /// What the node said as it began to leave.
    goodbye: Option<String>,
}

impl Link {
    /// Connects to the client port at `address`, and waits for its welcome.
    pub(crate) async fn open(address: &str) -> io::Result<Self> {
        let socket = timeout(PATIENCE, TcpStream::connect(address)).await??;
        socket.set_nodelay(true)?;
        let hello = ClientHello {
            cluster: None,
            features: Features(0),
            name: "holdfast-bench".into(),
            build: env!("CARGO_PKG_VERSION").into(),
            credentials: Credentials(Bytes::new()),
        };
        let connection = Connection::new(Role::Client(hello), 0).map_err(io::Error::other)?;
        let mut link = Self { socket, connection, began: Instant::now(), goodbye: None };
        loop {
            link.exchange().await?;
            match link.connection.next(link.now()) {
                Some(Incoming::Accepted(_)) => return Ok(link),
                Some(other) => return Err(io::Error::other(format!("{other:?} before a welcome"))),
                None => {}
            }
        }
    }

    /// Queues a call. `call` names its answer; it is not 0.
    pub(crate) fn send(&mut self, call: u64, message: &Message) -> io::Result<()> {
        let header = message.header().for_call(CallId(call));
        self.connection.send(header, message).map_err(io::Error::other)
    }

    /// Writes all that is queued, and then reads what is there, waiting for something.
    pub(crate) async fn exchange(&mut self) -> io::Result<()> {
        self.write().await?;
        timeout(PATIENCE, self.read()).await?
    }

    /// The same, but it waits so long at most, and that nothing came is no error.
    pub(crate) async fn exchange_for(&mut self, patience: Duration) -> io::Result<()> {
        self.write().await?;
        timeout(patience, self.read()).await.unwrap_or(Ok(()))
    }

    /// The same, but it waits until `due` at most.
    pub(crate) async fn exchange_until(&mut self, timer: &Timer, due: Instant) -> io::Result<()> {
        self.write().await?;
        tokio::select! {
            biased;
            read = self.read() => read,
            ended = timer.until(due) => ended,
        }
    }

    async fn write(&mut self) -> io::Result<()> {
        // A node that hangs takes no more than its buffers hold.
        timeout(PATIENCE, self.socket.write_all_buf(self.connection.outbox())).await??;
        let now = self.now();
        self.connection.tick(now);
        Ok(())
    }

    /// Nothing is lost if this is given up: what was read is in the buffer.
    async fn read(&mut self) -> io::Result<()> {
        let buffer = self.connection.buffer();
        buffer.reserve(READ);
        if self.socket.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// The next answer in what was read, and the call that it is for. A node that leaves has ended the connection.
    pub(crate) fn next(&mut self) -> io::Result<Option<(u64, Message)>> {
        let next = self.next_of_all()?;
        match &self.goodbye {
            Some(goodbye) => Err(io::Error::other(format!("the node ends the connection: {goodbye}"))),
            None => Ok(next),
        }
    }

    /// Why the node leaves, if it has said so.
    pub(crate) fn goodbye(&self) -> Option<&str> {
        self.goodbye.as_deref()
    }

    /// [`next`](Self::next), but a node that leaves may answer what it was asked before.
    pub(crate) fn next_of_all(&mut self) -> io::Result<Option<(u64, Message)>> {
        let now = self.now();
        let mut next = self.connection.next(now);
        if let Some(Incoming::Goodbye(goodbye)) = &next {
            self.goodbye = Some(format!("{goodbye:?}"));
            next = self.connection.next(now);
        }
        match next {
            Some(Incoming::Message(header, message)) => Ok(Some((header.call.0, message))),
            Some(other) => Err(io::Error::other(format!("the node ends the connection: {other:?}"))),
            None => match self.connection.ended() {
                Some(ended) => Err(io::Error::other(format!("the connection ended: {ended:?}"))),
                None => Ok(None),
            },
        }
    }

    /// Asks one thing and waits for the answer.
    pub(crate) async fn ask(&mut self, message: &Message) -> io::Result<Message> {
        self.send(1, message)?;
        loop {
            self.exchange().await?;
            if let Some((_, answer)) = self.next()? {
                return Ok(answer);
            }
        }
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }
}
