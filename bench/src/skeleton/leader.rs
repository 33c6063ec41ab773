//! The leader: one thread for all connections, and one that syncs.
//!
//! A turn takes what all connections have brought: sends it to both followers, appends it to the file, hands it to the
//! other thread, and answers whatever two of three have made durable. Tasks read; each turn runs when those that had
//! something to read have read it, because it stands behind them in the queue of the runtime.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{LocalSet, spawn_local};

use super::durable::Syncer;
use super::outbox::Outbox;
use super::record;
use crate::child::{Counters, attend};
use crate::disk::Ring;
use crate::failure::{Doing, Failure};

/// What is read from a connection at once.
const READ: usize = 64 << 10;

/// Runs until the parent or a follower is gone.
pub(crate) fn run(followers: &[SocketAddr], dir: &Path) -> Result<(), Failure> {
    let doing = || "run the leader".to_owned();
    let ring = Ring::create(dir, "leader")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().doing(doing)?;
    LocalSet::new().block_on(&runtime, lead(followers, ring))
}

async fn lead(followers: &[SocketAddr], ring: Ring) -> Result<(), Failure> {
    let doing = || "run the leader".to_owned();
    let wake = Arc::new(Notify::new());
    let syncer = Syncer::start(ring.file().doing(doing)?, Arc::clone(&wake)).doing(doing)?;
    let mut peers = Vec::new();
    let mut acknowledgements = Vec::new();
    for follower in followers {
        let socket =
            TcpStream::connect(follower).await.doing(|| format!("reach the follower at {follower}"))?;
        socket.set_nodelay(true).doing(doing)?;
        let (read, write) = socket.into_split();
        let outbox = Rc::new(Outbox::new(write));
        spawn_local(drain(Rc::clone(&outbox)));
        peers.push(Peer { outbox, durable: 0 });
        acknowledgements.push(read);
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.doing(doing)?;
    let address = listener.local_addr().doing(doing)?;
    let durable = syncer.durable();
    attend(&address.to_string(), move || Counters { syncs: durable.syncs() }, || std::process::exit(0))?;

    let leader = Rc::new(RefCell::new(Leader::new(ring, syncer, peers)));
    for (peer, read) in acknowledgements.into_iter().enumerate() {
        spawn_local(hear(peer, read, Rc::clone(&leader), Arc::clone(&wake)));
    }
    spawn_local(accept(listener, Rc::clone(&leader), Arc::clone(&wake)));
    loop {
        wake.notified().await;
        leader.borrow_mut().turn().doing(doing)?;
    }
}

async fn accept(listener: TcpListener, leader: Rc<RefCell<Leader>>, wake: Arc<Notify>) {
    for client in 0.. {
        let Ok((socket, _)) = listener.accept().await else { return };
        let _ = socket.set_nodelay(true);
        let (read, write) = socket.into_split();
        let outbox = Rc::new(Outbox::new(write));
        spawn_local(drain(Rc::clone(&outbox)));
        leader.borrow_mut().clients.insert(client, Client { outbox, answers: BytesMut::new() });
        spawn_local(serve(client, read, Rc::clone(&leader), Arc::clone(&wake)));
    }
}

/// Reads the requests of a client until it is gone.
async fn serve(client: u64, mut socket: OwnedReadHalf, leader: Rc<RefCell<Leader>>, wake: Arc<Notify>) {
    let mut buffer = BytesMut::with_capacity(2 * READ);
    loop {
        buffer.reserve(READ);
        if !matches!(socket.read_buf(&mut buffer).await, Ok(1..)) {
            leader.borrow_mut().clients.remove(&client);
            return;
        }
        leader.borrow_mut().take(client, &mut buffer);
        wake.notify_one();
    }
}

/// Reads the acknowledgements of a follower. When that is gone, so is this process: a limit with two nodes is none.
async fn hear(peer: usize, mut socket: OwnedReadHalf, leader: Rc<RefCell<Leader>>, wake: Arc<Notify>) {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(8 * 64);
        if !matches!(socket.read_buf(&mut buffer).await, Ok(1..)) {
            eprintln!("a follower is gone");
            std::process::exit(1);
        }
        while buffer.len() >= 8 {
            leader.borrow_mut().peers[peer].durable = buffer.get_u64_le();
        }
        wake.notify_one();
    }
}

/// Ends with the connection, which whoever reads it notices as well.
async fn drain(outbox: Rc<Outbox>) {
    let _ = outbox.drain().await;
}

#[derive(Debug)]
struct Leader {
    /// The requests of this turn.
    batch: BytesMut,
    /// The position behind them.
    position: u64,
    ring: Ring,
    syncer: Syncer,
    peers: Vec<Peer>,
    clients: HashMap<u64, Client>,
    /// Requests that are not answered, in the order of the log.
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Peer {
    outbox: Rc<Outbox>,
    /// The position up to which it is durable there.
    durable: u64,
}

#[derive(Debug)]
struct Client {
    outbox: Rc<Outbox>,
    /// The answers of this turn.
    answers: BytesMut,
}

#[derive(Debug)]
struct Waiting {
    /// The position behind the request.
    end: u64,
    client: u64,
    call: u64,
}

impl Leader {
    fn new(ring: Ring, syncer: Syncer, peers: Vec<Peer>) -> Self {
        Self {
            batch: BytesMut::new(),
            position: 0,
            ring,
            syncer,
            peers,
            clients: HashMap::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Takes the whole requests out of `buffer` into the batch.
    fn take(&mut self, client: u64, buffer: &mut BytesMut) {
        let mut taken = 0;
        while let Some((length, call)) = record::whole(&buffer[taken..]) {
            taken += length;
            self.position += length as u64;
            self.waiting.push_back(Waiting { end: self.position, client, call });
        }
        self.batch.extend_from_slice(&buffer[..taken]);
        buffer.advance(taken);
    }

    fn turn(&mut self) -> io::Result<()> {
        if !self.batch.is_empty() {
            let batch = self.batch.split().freeze();
            for peer in &self.peers {
                peer.outbox.send(batch.clone());
            }
            self.ring.append(&batch)?;
            self.syncer.sync_to(self.position);
        }
        self.answer();
        Ok(())
    }

    /// Answers what two of three have made durable.
    fn answer(&mut self) {
        let committed = self.committed();
        let mut answered = Vec::new();
        while self.waiting.front().is_some_and(|waiting| waiting.end <= committed) {
            let Some(waiting) = self.waiting.pop_front() else { break };
            // A client that is gone waits for nothing.
            let Some(client) = self.clients.get_mut(&waiting.client) else { continue };
            if client.answers.is_empty() {
                answered.push(waiting.client);
            }
            record::answer(&mut client.answers, waiting.call, waiting.end);
        }
        for client in answered {
            if let Some(client) = self.clients.get_mut(&client) {
                client.outbox.send(client.answers.split().freeze());
            }
        }
    }

    /// The second highest of the three positions.
    fn committed(&self) -> u64 {
        let furthest = self.peers.iter().map(|peer| peer.durable).max().unwrap_or(0);
        let mut all: Vec<u64> = self.peers.iter().map(|peer| peer.durable).collect();
        all.push(self.syncer.reaching(furthest));
        all.sort_unstable();
        all[all.len() / 2]
    }
}
