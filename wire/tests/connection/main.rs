//! Machine 08: one scenario per edge and cell that matters, both sides, client and peer.
//!
//! Bytes travel between two real connections in pieces of random size; each test prints its seed. Time is a
//! number that the test moves.

#[path = "../common/mod.rs"]
mod common;

mod ending;
mod handshake;
mod sending;
mod silence;
mod violations;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use common::{
    CLUSTER, client_hello, client_welcome, encoded, identity, node, peer_hello, peer_welcome, ping, random,
};
use holdfast_machine::{Numbered, audit};
use holdfast_wire::connection::{
    ClusterFact, ConnectionMachine, DRAIN_DEADLINE_MS, Edge, Ended, Facts, HANDSHAKE_DEADLINE_MS,
    HIGH_WATER_BYTES, IDLE_DEADLINE_MS, IdentityFact, Incoming, KEEPALIVE_MS, LINGER_MS, OUTBOX_BYTES_MAX,
    Role, Row, SendError, State, decide,
};
use holdfast_wire::message::{
    ClientHello, ClientWelcome, CloseReason, Credentials, Echo, Goodbye, Lane, PeerHello, PeerWelcome,
};
use holdfast_wire::message_type::{GREETING_CAP, PING_CAP, TEXT_CAP};
use holdfast_wire::{
    CallId, ClusterEpoch, ClusterId, ClusterIdentity, Connection, Direction, Flag, Flags, GroupId, Header,
    Message, Preface, VersionRange,
};

/// Two connections and the wire between them.
struct Pair {
    dialer: Connection,
    acceptor: Connection,
    now: u64,
    seed: u64,
}

impl Pair {
    fn new(dialer: Role, acceptor: Role) -> Self {
        let seed = common::seed();
        let dialer = Connection::new(dialer, 0).unwrap();
        Self { dialer, acceptor: Connection::new(acceptor, 0).unwrap(), now: 0, seed }
    }

    fn client() -> Self {
        Self::new(Role::Client(client_hello()), Role::Server(client_welcome()))
    }

    /// An open connection of a client, its greetings already taken.
    fn open() -> Self {
        let mut pair = Self::client();
        pair.settle();
        assert_eq!((pair.dialer.state(), pair.acceptor.state()), (State::Open, State::Open));
        pair
    }

    /// Carries bytes both ways, in random pieces and random order, until none move. Yields what each side got.
    fn settle(&mut self) -> (Vec<Incoming>, Vec<Incoming>) {
        let (mut to_dialer, mut to_acceptor) = (vec![], vec![]);
        let mut still = 0;
        while still < 50 {
            let there = random(&mut self.seed).is_multiple_of(2);
            let (from, to, got) = if there {
                (&mut self.dialer, &mut self.acceptor, &mut to_acceptor)
            } else {
                (&mut self.acceptor, &mut self.dialer, &mut to_dialer)
            };
            let count = (1 + random(&mut self.seed) % 40) as usize;
            let moved = carry(from, to, count);
            while let Some(incoming) = to.next(self.now) {
                got.push(incoming);
            }
            still = if moved == 0 { still + 1 } else { 0 };
        }
        (to_dialer, to_acceptor)
    }
}

/// Moves up to `count` bytes, if the receiver wants any. How many moved.
fn carry(from: &mut Connection, to: &mut Connection, count: usize) -> usize {
    if !to.wants_read() {
        return 0;
    }
    let outbox = from.outbox();
    let count = count.min(outbox.chunk().len());
    to.buffer().extend_from_slice(&outbox.chunk()[..count]);
    outbox.advance(count);
    count
}

/// Everything a connection wants to say, as one buffer.
fn drain(connection: &mut Connection) -> Bytes {
    let waiting = connection.outbox().remaining();
    connection.outbox().copy_to_bytes(waiting)
}

fn feed(connection: &mut Connection, bytes: &[u8], now: u64) -> Vec<Incoming> {
    connection.buffer().extend_from_slice(bytes);
    std::iter::from_fn(|| connection.next(now)).collect()
}

fn bytes_of(message: &Message) -> BytesMut {
    encoded(message.header(), message)
}

fn preface() -> BytesMut {
    let mut out = BytesMut::new();
    Preface { versions: VersionRange::SUPPORTED }.encode(&mut out);
    out
}

fn reason(connection: &Connection) -> (Edge, Option<CloseReason>, bool) {
    let Ended { edge, goodbye, by_other_side } = connection.ended().expect("an ended connection");
    (*edge, goodbye.known_reason(), *by_other_side)
}

/// The Goodbye at the end of what a connection wants to say.
fn last_words(connection: &mut Connection) -> Option<Goodbye> {
    let mut bytes = BytesMut::from(&drain(connection)[..]);
    let _ = Preface::decode(&mut bytes);
    let mut codec = holdfast_wire::FrameCodec::open();
    let mut last = None;
    while let Some(frame) = codec.next(&mut bytes).expect("frames of our own") {
        if let Message::Goodbye(goodbye) = Message::decode(&frame, &mut 0).unwrap() {
            last = Some(goodbye);
        }
    }
    last
}

#[test]
fn the_table_of_machine_08_is_alive_everywhere() {
    assert_eq!(audit::faults::<ConnectionMachine>(), [""; 0]);
}

/// Lives of connections under everything at once: valid frames of every type, broken ones, in pieces, with the
/// owner closing, losing the transport and letting time pass at random. How often each edge was taken.
fn storm(rounds: u32) -> Vec<u64> {
    let mut seed = common::seed();
    let samples = common::samples();
    let mut taken = vec![0; Edge::ALL.len()];
    for round in 0..rounds {
        let (role, hello): (Role, Message) = match random(&mut seed) % 4 {
            0 => (Role::Client(client_hello()), client_welcome().into()),
            1 => (Role::Server(client_welcome()), client_hello().into()),
            2 => (Role::DialingPeer(peer_hello()), peer_welcome().into()),
            _ => (Role::AcceptingPeer(peer_welcome()), peer_hello().into()),
        };
        let mut connection = Connection::new(role, 0).unwrap();
        let mut bytes = preface();
        if !random(&mut seed).is_multiple_of(4) {
            bytes.unsplit(bytes_of(&hello));
        }
        for _ in 0..random(&mut seed) % 6 {
            let (_, header, message) = &samples[random(&mut seed) as usize % samples.len()];
            bytes.unsplit(encoded(*header, message));
        }
        if round % 2 == 0 {
            let at = random(&mut seed) as usize % bytes.len();
            bytes[at] = random(&mut seed) as u8;
        }
        let mut now = 0;
        while bytes.has_remaining() {
            let count = (1 + random(&mut seed) as usize % 200).min(bytes.len());
            connection.buffer().put(bytes.split_to(count));
            match random(&mut seed) % 40 {
                0 => connection.close(CloseReason::Shutdown, "", now),
                1 => connection.drained(now),
                2 => connection.lost("reset", now),
                3 => now += random(&mut seed) % 20_000,
                4 => drop(drain(&mut connection)),
                _ => {}
            }
            while connection.next(now).is_some() {}
            connection.tick(now);
        }
        if random(&mut seed).is_multiple_of(4) {
            connection.tick(now + 2 * IDLE_DEADLINE_MS);
            connection.tick(now + 3 * IDLE_DEADLINE_MS);
        }
        let state = connection.state();
        assert_eq!(connection.ended().is_some(), state == State::Closed);
        assert_eq!(connection.deadline().is_none(), connection.is_finished());
        for (edge, count) in Edge::ALL.iter().zip(&mut taken) {
            *count += connection.trace().count(*edge);
        }
    }
    taken
}

#[test]
fn any_bytes_in_any_state_end_in_a_state_and_every_drawn_edge_is_taken_by_code() {
    let taken = storm(20_000);
    for (edge, count) in Edge::ALL.iter().zip(taken) {
        println!("{count:>6} × {edge}");
        assert!(count > 0, "{edge} is drawn and never taken");
    }
}
