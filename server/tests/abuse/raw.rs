//! A socket that says whatever it is told to.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use holdfast_machine::Numbered;
use holdfast_wire::message::{
    ClientHello, CloseReason, Credentials, Features, Goodbye, Lane, PeerHello, Submit,
};
use holdfast_wire::{
    Boot, CallId, ClusterIdentity, FrameCodec, Header, Message, NodeId, NodeIdentity, NodeUuid, Preface,
    VersionRange,
};

/// How long an answer may take: longer than all deadlines of a connection but that of silence.
const ANSWER: Duration = Duration::from_secs(25);

/// How the other side ended a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It said why.
    Goodbye(CloseReason, String),
    /// It closed without a word.
    Silent,
    /// It broke the connection, or what it said was lost on the way.
    Reset,
    /// It has not.
    Open,
}

impl End {
    /// Whether this is the reason, with this in its words.
    pub(crate) fn says(&self, expected: CloseReason, words: &str) -> bool {
        matches!(self, Self::Goodbye(reason, detail) if *reason == expected && detail.contains(words))
    }
}

/// A connection without any manners.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    buffer: BytesMut,
    codec: FrameCodec,
    prefaced: bool,
    end: End,
}

impl Raw {
    pub(crate) fn dial(address: &str) -> Self {
        Self::try_dial(address).unwrap_or_else(|| panic!("nobody listens at {address}"))
    }

    pub(crate) fn try_dial(address: &str) -> Option<Self> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(ANSWER)).ok()?;
        stream.set_write_timeout(Some(ANSWER)).ok()?;
        let _ = stream.set_nodelay(true);
        let (buffer, codec) = (BytesMut::new(), FrameCodec::open());
        Some(Self { stream, buffer, codec, prefaced: false, end: End::Open })
    }

    /// Says these bytes. The other side may have gone already: then they are lost, as is their due.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Says a preface and this greeting.
    pub(crate) fn say(&mut self, greeting: impl Into<Message>) {
        let mut bytes = preface(1, 1);
        bytes.extend_from_slice(&frame(&greeting.into()));
        self.write(&bytes);
    }

    /// Opens a call.
    pub(crate) fn call(&mut self, call: u64, message: impl Into<Message>) {
        self.write(&call_frame(call, &message.into()));
    }

    /// Says nothing more.
    pub(crate) fn hush(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next message with its header; `None` at the end, and if none comes.
    pub(crate) fn next_frame(&mut self) -> Option<(Header, Message)> {
        loop {
            if !self.prefaced
                && let Ok(Some(_)) = Preface::decode(&mut self.buffer)
            {
                self.prefaced = true;
            }
            if self.prefaced
                && let Some(frame) = self.codec.next(&mut self.buffer).expect("frames of a server")
            {
                let message = Message::decode(&frame, &mut 0).expect("messages of a server");
                return Some((frame.header, message));
            }
            let mut bytes = [0; 16 * 1024];
            match self.stream.read(&mut bytes) {
                Ok(0) => self.end = End::Silent,
                Ok(count) => {
                    self.buffer.put_slice(&bytes[..count]);
                    continue;
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => self.end = End::Reset,
            }
            return None;
        }
    }

    /// The next message.
    pub(crate) fn next(&mut self) -> Option<Message> {
        Some(self.next_frame()?.1)
    }

    /// Reads to the end, and says what that was. A Goodbye counts as the end, whether or not the socket closes behind it.
    pub(crate) fn end(&mut self) -> End {
        while let Some(message) = self.next() {
            if let Message::Goodbye(Goodbye { reason, detail }) = message {
                let reason = CloseReason::from_number(reason).expect("a reason of this build");
                return End::Goodbye(reason, detail.to_string());
            }
        }
        self.end.clone()
    }

    /// Reads until the socket is closed. Says whether that came.
    pub(crate) fn is_closed(&mut self) -> bool {
        while self.next().is_some() {}
        self.end != End::Open
    }
}

/// The bytes of a preface.
pub(crate) fn preface(min: u16, max: u16) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    match VersionRange::new(min, max) {
        Ok(versions) => Preface { versions }.encode(&mut bytes),
        // One that is none.
        Err(_) => {
            bytes.put_slice(b"HLDF");
            bytes.put_u16_le(min);
            bytes.put_u16_le(max);
        }
    }
    bytes.to_vec()
}

/// The bytes of a message without a call.
pub(crate) fn frame(message: &Message) -> Vec<u8> {
    encode(message.header(), message)
}

/// The bytes of a call.
pub(crate) fn call_frame(call: u64, message: &Message) -> Vec<u8> {
    encode(message.header().for_call(CallId(call)), message)
}

/// The bytes of a message with any header.
pub(crate) fn encode(header: Header, message: &Message) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    message.encode(header, &mut bytes).expect("encodes");
    bytes.to_vec()
}

/// Makes the length and the check of a frame right again: what is wrong in it is then found out later.
pub(crate) fn seal(frame: &mut [u8]) {
    if let (Some(length), true) = (frame.len().checked_sub(4), frame.len() >= 8) {
        frame[..4].copy_from_slice(&u32::try_from(length).expect("short").to_le_bytes());
        let crc = crc32fast::hash(&frame[8..]);
        frame[4..8].copy_from_slice(&crc.to_le_bytes());
    }
}

/// A client on its first visit.
pub(crate) fn hello() -> ClientHello {
    ClientHello {
        cluster: None,
        features: Features(0),
        name: "abuse".into(),
        build: "0".into(),
        credentials: Credentials::default(),
    }
}

/// Node 9, which nobody knows, of this cluster, with a directory of its own.
pub(crate) fn stranger(cluster: Option<ClusterIdentity>) -> PeerHello {
    PeerHello {
        cluster,
        node: identity(9, 0x99),
        to: None,
        lane: Lane::Control.number(),
        features: Features(0),
        build: "0".into(),
        credentials: Credentials::default(),
    }
}

/// A node and its directory, in its first boot.
pub(crate) fn identity(node: u64, uuid: u8) -> NodeIdentity {
    NodeIdentity { id: NodeId::new(node).expect("from 1"), uuid: NodeUuid([uuid; 16]), boot: Boot::FIRST }
}

/// A write of these bytes.
pub(crate) fn submit(request: Bytes) -> Submit {
    Submit { timeout_ms: 20_000, request }
}
