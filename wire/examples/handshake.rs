//! Two handshakes between connections without a network: one that succeeds, and one that is refused.
//!
//! `cargo run -p holdfast-wire --example handshake`. The README shows what it prints, and a test compares.

use std::fmt::Write;

use bytes::{Buf, Bytes};
use holdfast_wire::connection::{Incoming, Role};
use holdfast_wire::message::{ClientHello, ClientWelcome, CloseReason, Features, LeaderHint, Limits};
use holdfast_wire::{
    Boot, ClusterEpoch, ClusterId, ClusterIdentity, Connection, Message, NodeId, NodeIdentity, NodeUuid,
    WireError,
};

/// What the example prints.
///
/// # Errors
/// None: the greetings below can be encoded.
pub fn story() -> Result<String, WireError> {
    let ours = cluster(1);
    let mut out = String::from("a client that knows its cluster\n");
    converse(&mut out, hello(ours), welcome(ours))?;
    out += "\na client of another cluster\n";
    converse(&mut out, hello(cluster(2)), welcome(ours))?;
    Ok(out)
}

#[allow(dead_code, reason = "the test that compares with the README calls `story` instead")]
fn main() -> Result<(), WireError> {
    print!("{}", story()?);
    Ok(())
}

/// Carries bytes back and forth until both sides are open or closed, then ends what is open in good order.
fn converse(out: &mut String, hello: ClientHello, welcome: ClientWelcome) -> Result<(), WireError> {
    let mut client = Connection::new(Role::Client(hello), 0)?;
    let mut server = Connection::new(Role::Server(welcome), 0)?;
    let mut seen = [0, 0];
    for round in 0..4 {
        carry(out, "client → server", &mut client, &mut server, &mut seen[1]);
        carry(out, "server → client", &mut server, &mut client, &mut seen[0]);
        if round == 1 && client.ended().is_none() {
            server.close(CloseReason::Shutdown, "node 1 restarts", 1);
        } else if round == 2 {
            server.drained(2);
            client.drained(2);
            report(out, "client", &client, &mut seen[0]);
            report(out, "server", &server, &mut seen[1]);
        }
    }
    if let Some(ended) = client.ended() {
        let _ = writeln!(out, "  the client knows: {}", ended.goodbye.detail);
    }
    Ok(())
}

/// Hands over all that waits, and tells what the receiver makes of it.
fn carry(out: &mut String, way: &str, from: &mut Connection, to: &mut Connection, seen: &mut u64) {
    let waiting = from.outbox().remaining();
    if waiting == 0 || !to.wants_read() {
        return;
    }
    let _ = writeln!(out, "  {way}: {waiting} bytes");
    let bytes: Bytes = from.outbox().copy_to_bytes(waiting);
    to.buffer().extend_from_slice(&bytes);
    while let Some(incoming) = to.next(0) {
        if let Incoming::Accepted(Message::ClientWelcome(welcome)) = incoming
            && let Some(leader) = welcome.leader
        {
            let _ = writeln!(out, "    accepted by node {}; leader is {}", welcome.node.id, leader.address);
        }
    }
    report(out, way.rsplit(' ').next().unwrap_or_default(), to, seen);
}

/// The steps that a side took since the last report.
fn report(out: &mut String, side: &str, connection: &Connection, seen: &mut u64) {
    let new = connection.trace().total() - *seen;
    let kept = connection.trace().steps().count() as u64;
    for step in connection.trace().steps().skip((kept - new) as usize) {
        let _ = writeln!(out, "    {side}: {step}");
    }
    *seen += new;
}

fn cluster(number: u8) -> ClusterIdentity {
    ClusterIdentity { id: ClusterId([number; 16]), epoch: ClusterEpoch::FIRST }
}

fn hello(cluster: ClusterIdentity) -> ClientHello {
    ClientHello {
        cluster: Some(cluster),
        features: Features(0),
        name: "billing".into(),
        build: "0.1.0".into(),
        credentials: Bytes::new(),
    }
}

fn welcome(cluster: ClusterIdentity) -> ClientWelcome {
    ClientWelcome {
        version: 1,
        cluster: Some(cluster),
        node: NodeIdentity { id: NodeId::FIRST, uuid: NodeUuid([0xa1; 16]), boot: Boot::FIRST },
        features: Features(0),
        limits: Limits {
            frame_bytes: 16 << 20,
            request_bytes: 1 << 20,
            transaction_bytes: 4 << 20,
            transaction_operations: 4096,
        },
        leader: Some(LeaderHint { node_id: NodeId::FIRST, address: "127.0.0.1:7400".into() }),
        build: "0.1.0".into(),
    }
}
