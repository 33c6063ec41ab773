//! A client that asks for a lot at once and then says nothing more is answered all of it. Real sockets: what is tested is what
//! a link does with frames that it has read and may not look at yet. Bounded by [`PATIENCE`]; nothing is timed.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use holdfast_command::keys::{Put, Range, Span};
use holdfast_command::{Command, Request};
use holdfast_machine::Numbered as _;
use holdfast_server::runtime::{LifeEdge, Observer, Options, Running, SEGMENT_BYTES_MIN, start};
use holdfast_wire::connection::{Incoming, Role};
use holdfast_wire::message::{ClientHello, Consistency, Credentials, Features, Read, Status, Submit, Watch};
use holdfast_wire::{CallId, Connection, Message};

/// How long an answer may take. A server that has forgotten calls asks whether the client is still there after 7.5 s, and is not
/// answered here.
const PATIENCE: Duration = Duration::from_secs(20);

/// More calls than a node takes from one connection at a time.
const CALLS: u64 = 5_000;

/// Answers of 1 MB that together are many times the mark above which a connection reads nothing more, and less than what it
/// holds for a client at most (16 MiB, and 32 MiB behind it): beyond that it is hung up on unless it reads meanwhile.
const LARGE: u64 = 40;

fn node(root: &std::path::Path) -> (Running, String) {
    let free = || std::net::TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr());
    let (client, peer) = (free().expect("a port").to_string(), free().expect("a port").to_string());
    let (ready, is_ready) = std::sync::mpsc::channel();
    let running = start(Options {
        listen_client: client.clone(),
        listen_peer: peer.clone(),
        initial_cluster: vec![(1, peer)],
        segment_bytes: SEGMENT_BYTES_MIN,
        observer: Observer::new(move |edge| {
            if edge == LifeEdge::BecomeReady {
                let _ = ready.send(());
            }
        }),
        ..Options::new(1, root.join("n1"))
    });
    is_ready.recv_timeout(Duration::from_secs(60)).expect("a node that serves");
    (running.expect("a thread"), client)
}

/// A client that writes once and then only reads.
struct Client {
    stream: TcpStream,
    connection: Connection,
}

impl Client {
    fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("a listener");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let hello = ClientHello {
            cluster: None,
            features: Features(0),
            name: "pipelining".into(),
            build: "0".into(),
            credentials: Credentials::default(),
        };
        let connection = Connection::new(Role::Client(hello), 0).expect("a hello");
        let mut client = Self { stream, connection };
        client.write();
        assert!(matches!(client.next(), Incoming::Accepted(_)));
        client
    }

    fn write(&mut self) {
        let mut bytes = BytesMut::new();
        let outbox = self.connection.outbox();
        while outbox.has_remaining() {
            let chunk = outbox.chunk();
            bytes.extend_from_slice(chunk);
            let length = chunk.len();
            outbox.advance(length);
        }
        self.stream.write_all(&bytes).expect("a server that reads");
    }

    fn ask(&mut self, call: u64, message: &Message) {
        self.connection.send(message.header().for_call(CallId(call)), message).expect("room");
    }

    /// The next thing that the server says.
    fn next(&mut self) -> Incoming {
        loop {
            if let Some(incoming) = self.connection.next(0) {
                return incoming;
            }
            let mut read = [0; 65_536];
            let count = self.stream.read(&mut read).expect("an answer");
            assert!(count > 0, "the server hung up: {:?}", self.connection.ended());
            self.connection.buffer().extend_from_slice(&read[..count]);
        }
    }

    fn answers(&mut self, count: u64) {
        for answered in 0..count {
            match self.next() {
                Incoming::Message(..) => {}
                other => panic!("{other:?} after {answered} answers"),
            }
        }
    }
}

#[test]
fn more_calls_at_once_than_are_taken_from_a_connection_are_all_answered() {
    let root = tempfile::tempdir().expect("a directory");
    let (running, address) = node(root.path());
    let mut client = Client::connect(&address);
    for call in 1..=CALLS {
        client.ask(call, &Status {}.into());
    }
    client.write();
    client.answers(CALLS);
    running.stop().expect("an ordered stop");
}

#[test]
fn large_answers_to_many_reads_at_once_all_come() {
    let root = tempfile::tempdir().expect("a directory");
    let (running, address) = node(root.path());
    let mut client = Client::connect(&address);
    let put = Put { key: Bytes::from_static(b"k"), value: vec![7; 1_000_000].into(), ..Put::default() };
    let request = Request::from(Command::Put(put)).encode();
    client.ask(1, &Submit { request, timeout_ms: 0 }.into());
    client.write();
    client.answers(1);
    let mut range = Vec::new();
    Range::of(Span::Key(Bytes::from_static(b"k"))).write(&mut range);
    let read = Message::from(Read {
        consistency: Consistency::Stale.number(),
        timeout_ms: 0,
        max_stale_ms: 0,
        min_position: None,
        range: range.into(),
    });
    for call in 2..2 + LARGE {
        client.ask(call, &read);
    }
    client.write();
    client.answers(LARGE);
    running.stop().expect("an ordered stop");
}

#[test]
fn a_watch_whose_client_reads_late_gets_all_and_an_answer_does_not_wait_behind_it() {
    let root = tempfile::tempdir().expect("a directory");
    let (running, address) = node(root.path());
    let mut client = Client::connect(&address);
    let put = Put { key: Bytes::from_static(b"k"), value: vec![7; 1_000_000].into(), ..Put::default() };
    let request = Request::from(Command::Put(put)).encode();
    for call in 1..=LARGE {
        client.ask(call, &Submit { request: request.clone(), timeout_ms: 0 }.into());
        client.write();
        client.answers(1);
    }
    let mut span = Vec::new();
    Span::all().write(&mut span);
    let (watch, status) = (LARGE + 1, LARGE + 2);
    client.ask(watch, &Watch { from: 1, flags: 0, min_position: None, span: span.into() }.into());
    client.write();
    assert!(matches!(client.next(), Incoming::Message(_, Message::WatchStarted(_))));
    // The node has filled the socket and what it keeps for it, long before it has sent all of 40 MB.
    client.ask(status, &Status {}.into());
    client.write();
    let (mut events, mut before_the_answer) = (0, None);
    while events < LARGE {
        match client.next() {
            Incoming::Message(header, Message::WatchEvents(told)) if header.call == CallId(watch) => {
                events += told.events.len() as u64;
            }
            Incoming::Message(header, Message::StatusReply(_)) if header.call == CallId(status) => {
                before_the_answer = Some(events);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(before_the_answer.is_some_and(|events| events < LARGE), "{before_the_answer:?}");
    running.stop().expect("an ordered stop");
}
