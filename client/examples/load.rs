//! How much one thread of clients can do: puts of 256 bytes, as many in flight as asked for.
//!
//! `cargo run --release -p holdfast-client --example load -- [SECONDS] [CLIENTS] [IN_FLIGHT] [ENDPOINT…]`. Without an
//! endpoint, against a server in a second thread that answers at once and does nothing else: what is measured then is
//! the client, the frames and the sockets.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use holdfast_client::Client;
use holdfast_client::command::{Command, Outcome, Reply, Request, SessionId};
use holdfast_wire::connection::{Incoming, Role};
use holdfast_wire::message::{ClientWelcome, Features, LeaderHint, Limits, Position, Submitted};
use holdfast_wire::{
    Boot, ClusterEpoch, ClusterId, ClusterIdentity, Connection, Message, NodeId, NodeIdentity, NodeUuid,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u64| arguments.next().map_or(Ok(default), |text| text.parse());
    let (seconds, clients, in_flight) = (number(3)?, number(8)?, number(128)?);
    let mut endpoints: Vec<String> = arguments.collect();
    if endpoints.is_empty() {
        endpoints.push(serve()?.to_string());
    }
    let value = Bytes::from(vec![b'v'; 256]);
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut tasks = Vec::new();
    for client_number in 0..clients {
        let client = Client::connect(endpoints.clone()).await?;
        for lane in 0..in_flight {
            let (client, value) = (client.clone(), value.clone());
            let key = Bytes::from(format!("load/{client_number:04}/{lane:04}"));
            tasks.push(tokio::spawn(async move {
                let mut done = 0_u64;
                while Instant::now() < until {
                    client.put(key.clone(), value.clone()).await?;
                    done += 1;
                }
                Ok::<_, holdfast_client::Error>(done)
            }));
        }
    }
    let mut done = 0;
    for task in tasks {
        done += task.await??;
    }
    println!("{clients} clients, {in_flight} in flight each: {} puts/s", done / seconds.max(1));
    Ok(())
}

/// Starts a thread that welcomes everybody and answers every request with a reply of its kind.
fn serve() -> io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || runtime.block_on(listen(listener, address)));
    Ok(address)
}

async fn listen(listener: std::net::TcpListener, address: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(answer(stream, address));
    }
}

async fn answer(mut stream: TcpStream, address: SocketAddr) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut wire = Connection::new(Role::Server(welcome(address)), 0).map_err(io::Error::other)?;
    let position = Position { epoch: ClusterEpoch::FIRST, group: 0, term: 1, index: 1 };
    let put = Bytes::from(Outcome(Ok(Reply::Put { revision: 2, previous: None })).encode());
    let opened = Bytes::from(Outcome(Ok(Reply::SessionOpened { session: SessionId(1) })).encode());
    loop {
        wire.buffer().reserve(64 * 1024);
        if stream.read_buf(wire.buffer()).await? == 0 {
            return Ok(());
        }
        while let Some(incoming) = wire.next(0) {
            let Incoming::Message(asked, Message::Submit(submit)) = incoming else { continue };
            let opens = submit.request.len() < 64
                && matches!(
                    Request::decode(submit.request),
                    Ok(Request { command: Command::OpenSession(_), .. })
                );
            let outcome = if opens { opened.clone() } else { put.clone() };
            let reply = Message::from(Submitted { position, outcome });
            let mut header = reply.header();
            header.call = asked.call;
            wire.send(header, &reply).map_err(io::Error::other)?;
        }
        while wire.outbox().has_remaining() {
            stream.write_buf(wire.outbox()).await?;
        }
    }
}

fn welcome(address: SocketAddr) -> ClientWelcome {
    ClientWelcome {
        version: 1,
        cluster: Some(ClusterIdentity { id: ClusterId([1; 16]), epoch: ClusterEpoch::FIRST }),
        node: NodeIdentity { id: NodeId::FIRST, uuid: NodeUuid([1; 16]), boot: Boot::FIRST },
        features: Features(0),
        limits: Limits {
            frame_bytes: 16 << 20,
            request_bytes: 4 << 20,
            transaction_bytes: 4 << 20,
            transaction_operations: 4096,
        },
        leader: Some(LeaderHint { node_id: NodeId::FIRST, address: address.to_string().into() }),
        build: "0.1.0".into(),
    }
}
