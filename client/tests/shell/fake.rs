//! A server in this process that speaks the protocol, up to where it is told to misbehave.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::{Buf, BufMut, BytesMut};
use holdfast_client::command::outcome::{KeyValue, RangePage};
use holdfast_client::command::{Command, Outcome, Reply, Request, RequestKey, SessionId};
use holdfast_wire::connection::{Incoming, Role, State};
use holdfast_wire::message::{
    ClientWelcome, Features, LeaderHint, Limits, Position, ReadDone, StatsReply, StatusReply, Submitted,
};
use holdfast_wire::{
    Boot, CallId, ClusterEpoch, ClusterId, ClusterIdentity, Connection, Header, Message, NodeId,
    NodeIdentity, NodeUuid, VersionRange,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What a server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Everything that is asked, and answers what came at once in reverse order.
    Kind,
    /// Ends the connection in the middle of its first answer to a write; the next connection is kind.
    CutAnswer,
    /// The same, on every connection.
    CutAnswers,
    /// Welcomes, and then neither reads nor writes.
    HalfOpen,
    /// Neither greets nor closes.
    Mute,
    /// Ends every connection at once.
    Slam,
    /// Speaks another protocol.
    Http,
    /// Speaks only a version of the far future.
    Future,
    /// Belongs to another cluster.
    Foreign,
    /// Answers writes with a frame whose check is wrong.
    BadCheck,
    /// Answers writes with the answer to a read.
    OtherKind,
    /// Answers calls that nobody made.
    Invented,
    /// Answers writes with an outcome that is none.
    Unreadable,
    /// Answers half of each frame at a time, a byte now and then.
    Slow,
    /// Answers who asks for a lock only when something is put.
    LateLocks,
}

/// What a server was asked.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) connections: u64,
    /// How often each key was put, copies of a sequence counted once.
    pub(crate) puts: BTreeMap<Vec<u8>, u64>,
    pub(crate) copies: u64,
    pub(crate) closed_sessions: u64,
    pub(crate) goodbyes: u64,
    /// All commands, in the order in which they came.
    pub(crate) commands: Vec<Command>,
    answers: BTreeMap<(u64, u64), Vec<u8>>,
    sessions: u64,
}

#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: String,
    pub(crate) asked: Arc<Mutex<Asked>>,
    pub(crate) heard: Arc<Notify>,
}

pub(crate) fn cluster(number: u8) -> ClusterIdentity {
    ClusterIdentity { id: ClusterId([number; 16]), epoch: ClusterEpoch::FIRST }
}

impl Server {
    /// A server of this manner, which lives as long as the runtime.
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = Self { address, asked: Arc::default(), heard: Arc::default() };
        tokio::spawn(server.clone().listen(listener, manner));
        server
    }

    async fn listen(self, listener: TcpListener, manner: Manner) {
        loop {
            let Ok((stream, _)) = listener.accept().await else { return };
            let first = {
                let mut asked = self.asked.lock().unwrap();
                asked.connections += 1;
                asked.connections == 1
            };
            let manner = if manner == Manner::CutAnswer && !first { Manner::Kind } else { manner };
            tokio::spawn(self.clone().serve(stream, manner));
        }
    }

    async fn serve(self, mut stream: TcpStream, manner: Manner) {
        match manner {
            Manner::Slam => return,
            Manner::Mute => {
                let mut sink = Vec::new();
                let _ = stream.read_to_end(&mut sink).await;
                return;
            }
            Manner::Http => {
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
                let mut sink = Vec::new();
                let _ = stream.read_to_end(&mut sink).await;
                return;
            }
            _ => {}
        }
        let versions = match manner {
            Manner::Future => VersionRange::new(900, 901).unwrap(),
            _ => VersionRange::SUPPORTED,
        };
        let number = if manner == Manner::Foreign { 2 } else { 1 };
        let role = Role::Server(welcome(cluster(number), self.address.clone()));
        let mut wire = Connection::with_versions(role, versions, 0).unwrap();
        let (mut answers, mut late) = (BytesMut::new(), vec![]);
        loop {
            match stream.read_buf(wire.buffer()).await {
                Ok(count) if count > 0 => {}
                _ => return,
            }
            let mut batch = vec![];
            while let Some(incoming) = wire.next(0) {
                match incoming {
                    Incoming::Message(header, message) => {
                        self.asked.lock().unwrap().commands.extend(command(&message));
                        batch.push((header.call, message));
                    }
                    Incoming::Goodbye(_) => self.asked.lock().unwrap().goodbyes += 1,
                    Incoming::Accepted(_) => {}
                }
            }
            let mut misbehave = false;
            for (call, message) in batch.into_iter().rev() {
                let command = command(&message);
                let write = matches!(command, Some(Command::Put(_)));
                if let Some((header, answer)) = self.answer(call, message) {
                    if write && !manner.is_honest() {
                        misbehave = true;
                        break_answer(manner, header, &answer, &mut answers);
                    } else if manner == Manner::LateLocks && matches!(command, Some(Command::Acquire(_))) {
                        late.push((header, answer));
                    } else {
                        wire.send(header, &answer).unwrap();
                    }
                    if write {
                        for (header, answer) in late.drain(..) {
                            wire.send(header, &answer).unwrap();
                        }
                    }
                }
            }
            self.heard.notify_one();
            wire.drained(0);
            let waiting = wire.outbox().remaining();
            let out = wire.outbox().copy_to_bytes(waiting);
            if manner == Manner::HalfOpen && wire.state() == State::Open {
                let _ = stream.write_all(&out).await;
                std::future::pending::<()>().await;
            }
            if manner == Manner::Slow {
                for byte in out.chunks(3) {
                    let _ = stream.write_all(byte).await;
                    tokio::task::yield_now().await;
                }
            } else if stream.write_all(&out).await.is_err() {
                return;
            }
            if misbehave {
                let _ = stream.write_all(&answers.split()).await;
                if matches!(manner, Manner::CutAnswer | Manner::CutAnswers) {
                    return;
                }
            }
            if wire.ended().is_some() {
                let _ = stream.shutdown().await;
                return;
            }
        }
    }

    fn answer(&self, call: CallId, message: Message) -> Option<(Header, Message)> {
        let mut asked = self.asked.lock().unwrap();
        let position = Position { epoch: ClusterEpoch::FIRST, group: 0, term: 1, index: 7 };
        let answer: Message = match message {
            Message::Submit(submit) => {
                let request = Request::decode(submit.request).unwrap();
                let outcome = asked.execute(request);
                Submitted { position, outcome: outcome.into() }.into()
            }
            Message::Read(_) => {
                let entry = KeyValue { key: "k".into(), value: "v".into(), ..KeyValue::default() };
                let page = RangePage { entries: vec![entry], ..RangePage::default() };
                let outcome = Outcome(Ok(Reply::Ranged(page))).encode().into();
                ReadDone { position, staleness_ms: 0, outcome }.into()
            }
            Message::Status(_) => status().into(),
            Message::Stats(_) => stats().into(),
            _ => return None,
        };
        let mut header = answer.header();
        header.call = call;
        Some((header, answer))
    }
}

fn command(message: &Message) -> Option<Command> {
    let Message::Submit(submit) = message else { return None };
    Some(Request::decode(submit.request.clone()).unwrap().command)
}

impl Manner {
    /// Whether every write gets the answer that it should.
    fn is_honest(self) -> bool {
        matches!(self, Self::Kind | Self::Slow | Self::Foreign | Self::LateLocks)
    }
}

impl Asked {
    fn execute(&mut self, request: Request) -> Vec<u8> {
        let key = match request.key {
            RequestKey::Session { session, sequence, .. } => Some((session.0, sequence)),
            RequestKey::None | RequestKey::Idempotency { .. } => None,
        };
        self.copies += 1;
        if let Some(answer) = key.and_then(|key| self.answers.get(&key)) {
            return answer.clone();
        }
        let reply = match request.command {
            Command::Put(put) => {
                // The revision says which key it was, so that a test sees who got whose answer.
                let number = String::from_utf8_lossy(&put.key).parse().unwrap_or(1);
                *self.puts.entry(put.key.to_vec()).or_default() += 1;
                Reply::Put { revision: number, previous: None }
            }
            Command::OpenSession(_) => {
                self.sessions += 1;
                Reply::SessionOpened { session: SessionId(self.sessions) }
            }
            Command::CloseSession(_) => {
                self.closed_sessions += 1;
                Reply::SessionClosed
            }
            Command::GrantLease(grant) => Reply::LeaseGranted { lease: 1, ttl_ms: grant.ttl_ms },
            _ => Reply::NamespaceSet,
        };
        let answer = Outcome(Ok(reply)).encode();
        if let Some(key) = key {
            self.answers.insert(key, answer.clone());
        }
        answer
    }
}

/// Writes what a server of this manner says instead of an answer.
fn break_answer(manner: Manner, header: Header, answer: &Message, out: &mut BytesMut) {
    let position = Position { epoch: ClusterEpoch::FIRST, group: 0, term: 1, index: 7 };
    match manner {
        Manner::CutAnswer | Manner::CutAnswers => {
            answer.encode(header, out).unwrap();
            out.truncate(out.len() - 5);
        }
        Manner::BadCheck => {
            let start = out.len();
            answer.encode(header, out).unwrap();
            out[start + 5] ^= 1;
        }
        Manner::OtherKind => {
            let other = Message::from(ReadDone { position, staleness_ms: 0, outcome: "".into() });
            other.encode(Header { message_type: other.message_type(), ..header }, out).unwrap();
        }
        Manner::Invented => {
            answer.encode(Header { call: CallId(u64::MAX), ..header }, out).unwrap();
        }
        Manner::Unreadable => {
            let other = Message::from(Submitted { position, outcome: "no outcome".into() });
            other.encode(header, out).unwrap();
        }
        _ => out.put_u8(0),
    }
}

pub(crate) fn welcome(cluster: ClusterIdentity, address: String) -> ClientWelcome {
    ClientWelcome {
        version: 1,
        cluster: Some(cluster),
        node: node(),
        features: Features(0),
        limits: Limits {
            frame_bytes: 1 << 20,
            request_bytes: 1 << 20,
            transaction_bytes: 1 << 20,
            transaction_operations: 4096,
        },
        leader: Some(LeaderHint { node_id: NodeId::FIRST, address: address.into() }),
        build: "0.1.0".into(),
    }
}

fn node() -> NodeIdentity {
    NodeIdentity { id: NodeId::FIRST, uuid: NodeUuid([1; 16]), boot: Boot::FIRST }
}

pub(crate) fn status() -> StatusReply {
    StatusReply {
        node: node(),
        cluster: Some(cluster(1)),
        life: 1,
        role: 1,
        leadership: 1,
        ready: true,
        leader: Some(NodeId::FIRST),
        term: 1,
        commit: 7,
        applied: 7,
        durable: 7,
        last: 7,
        revision: 7,
        oldest: 1,
        keys: 3,
        sessions: 1,
        level: 1,
        clock_ms: 1,
        build: "0.1.0".into(),
        members: vec![],
    }
}

fn stats() -> StatsReply {
    StatsReply {
        process: 1,
        turns: 2,
        proposed: 3,
        applied: 4,
        reads: 5,
        refused: 6,
        syncs: 7,
        log_bytes: 8,
        terms_led: 9,
        snapshots_taken: 10,
        snapshots_installed: 11,
        turn_times: bytes::Bytes::new(),
        stages: vec![],
    }
}
