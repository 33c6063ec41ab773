//! A proxy in front of each node that knows what a frame is: it can delay, repeat, tear, hold back and swallow them.
//!
//! # Why it stands in front of a node and knows who calls
//! All nodes are given the same list of addresses, so a proxy cannot tell by the address who dials. It reads the Hello, the
//! first frame of each connection, which says so. From then on there is a [`Treatment`] for each pair of *speaker* and
//! *listener*; a node speaks to another on the connections that it has dialed, and answers on those of the other.
//!
//! # What a repeated frame means
//! A stream of TCP repeats nothing, so frames have no number. Between peers a repeated message is harmless by the rules of
//! consensus, and a repeated Hello or Welcome is a violation that ends the connection. Of clients' frames, each write is
//! within a session whose sequence tells a copy; so nothing may happen twice, whatever the connection does.
//!
//! # What a swallowed one means
//! A stream with a hole is none. When a link that has swallowed anything is healed, its connections are cut: what is half open
//! for the two sides ends late, as a firewall would end it.
//!
//! # Bounds
//! A connection holds at most `HELD_BYTES` each way; then it is not read any more, and the sender is held back by TCP.
//! Each proxy has one thread, at most `CONNECTIONS_MAX` connections, and ends with its run.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use holdfast_wire::{FrameCodec, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

use super::super::raft::rng::Rng;

/// What a connection may hold back each way.
const HELD_BYTES: usize = 24 << 20;
/// Connections of one proxy at once.
const CONNECTIONS_MAX: usize = 512;
/// Frames that are remembered for each pair, to be played again.
const REMEMBERED: usize = 64;
/// Longer ones are not remembered.
const REMEMBERED_BYTES: usize = 64 << 10;
/// How long a Hello may take.
const HELLO: Duration = Duration::from_secs(3);
/// Bytes of the preface, which has no frame.
const PREFACE_BYTES: usize = 8;

/// Who speaks or listens: the place of a node, from 1, or 0 for all clients.
pub type Place = usize;

/// The clients.
pub const CLIENTS: Place = 0;

/// What happens to the frames that one says to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Treatment {
    /// Nothing.
    #[default]
    Pass,
    /// They arrive so many milliseconds late; each connection draws its own time between the two.
    Delay(u64, u64),
    /// So many of a thousand arrive twice.
    Duplicate(u64),
    /// Behind so many of a thousand, one comes from earlier.
    Replay(u64),
    /// So many of a thousand are cut in the middle, and the connection with them.
    Tear(u64),
    /// They wait until this ends, and then they all arrive.
    Hold,
    /// They are taken and never arrive; nor does the end of the connection.
    Swallow,
    /// So many bytes a second, all connections together.
    Rate(u64),
}

/// What was done to frames.
#[derive(Debug, Default)]
pub struct Counts {
    /// Frames that arrived.
    pub passed: AtomicUsize,
    /// Frames that were held back or delayed.
    pub delayed: AtomicUsize,
    /// Frames that arrived twice.
    pub duplicated: AtomicUsize,
    /// Frames of earlier that arrived again.
    pub replayed: AtomicUsize,
    /// Frames that were cut.
    pub torn: AtomicUsize,
    /// Frames that never arrived.
    pub swallowed: AtomicUsize,
}

/// What is to be done to whose frames; shared by all proxies.
#[derive(Debug)]
pub struct Board {
    inner: Mutex<Inner>,
    changed: watch::Sender<u64>,
    /// What was done.
    pub counts: Counts,
}

#[derive(Debug)]
struct Inner {
    rng: Rng,
    treatments: BTreeMap<(Place, Place), Treatment>,
    /// The place of each node.
    places: BTreeMap<u64, Place>,
    /// Places whose process listens: a proxy refuses connections where nobody would take them.
    listening: BTreeMap<Place, bool>,
    /// When a link with a rate is free again.
    free: BTreeMap<(Place, Place), Instant>,
    /// What was said by whom to whom, and whether on a connection that the speaker had dialed.
    remembered: BTreeMap<(Place, Place, bool), VecDeque<Bytes>>,
    over: bool,
}

impl Board {
    /// On which nothing stands yet.
    #[must_use]
    pub fn new(seed: u64) -> Arc<Self> {
        let inner = Inner {
            rng: Rng::new(seed),
            treatments: BTreeMap::new(),
            places: BTreeMap::new(),
            listening: BTreeMap::new(),
            free: BTreeMap::new(),
            remembered: BTreeMap::new(),
            over: false,
        };
        let (inner, changed) = (Mutex::new(inner), watch::Sender::new(0));
        Arc::new(Self { inner, changed, counts: Counts::default() })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, with: impl FnOnce(&mut Inner)) {
        with(&mut self.inner());
        self.changed.send_modify(|count| *count += 1);
    }

    /// What `speaker` says to `listener` is treated so from now on.
    pub fn treat(&self, speaker: Place, listener: Place, treatment: Treatment) {
        self.change(|inner| {
            inner.treatments.insert((speaker, listener), treatment);
        });
    }

    /// Everything passes again.
    pub fn heal(&self) {
        self.change(|inner| {
            inner.treatments.clear();
            inner.free.clear();
        });
    }

    /// This node is behind this proxy.
    pub fn seat(&self, node: u64, place: Place) {
        self.change(|inner| {
            inner.places.insert(node, place);
        });
    }

    /// Whether there is a process behind the proxy of this place.
    pub fn listening(&self, place: Place, listens: bool) {
        self.change(|inner| {
            inner.listening.insert(place, listens);
        });
    }

    /// All proxies end.
    pub fn end(&self) {
        self.change(|inner| inner.over = true);
    }

    fn treatment(&self, pair: (Place, Place)) -> Treatment {
        self.inner().treatments.get(&pair).copied().unwrap_or_default()
    }

    fn is_over(&self) -> bool {
        self.inner().over
    }

    fn is_listening(&self, place: Place) -> bool {
        self.inner().listening.get(&place).copied().unwrap_or(false)
    }

    fn count(counter: &AtomicUsize) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Where a proxy listens and where it leads.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// In front of this place.
    pub place: Place,
    /// Where it listens to peers, and where to clients.
    pub listen: [SocketAddr; 2],
    /// Where the node listens to peers, and where to clients.
    pub target: [SocketAddr; 2],
}

/// Starts the proxy of a place in a thread of its own, which calls `enter` first: to go to the host of the node.
///
/// # Errors
/// If there is no thread to be had.
pub fn start(
    board: &Arc<Board>,
    line: Line,
    enter: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<JoinHandle<io::Result<()>>> {
    let board = Arc::clone(board);
    let run = move || {
        enter()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async {
            let ports = line.listen.iter().zip(line.target);
            let ports: Vec<_> = ports
                .map(|(listen, target)| {
                    tokio::task::spawn_local(port(Arc::clone(&board), line.place, *listen, target))
                })
                .collect();
            for port in ports {
                let _ = port.await;
            }
        });
        Ok(())
    };
    std::thread::Builder::new().name(format!("proxy {}", line.place)).spawn(run)
}

/// One port: open while the process behind it is there.
async fn port(board: Arc<Board>, place: Place, listen: SocketAddr, target: SocketAddr) {
    let mut changed = board.changed.subscribe();
    let open = Arc::new(());
    while !board.is_over() {
        if !board.is_listening(place) {
            let _ = changed.changed().await;
            continue;
        }
        let Ok(listener) = TcpListener::bind(listen).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        while !board.is_over() && board.is_listening(place) {
            tokio::select! {
                accepted = listener.accept() => {
                    if let Ok((stream, _)) = accepted
                        && Arc::strong_count(&open) <= CONNECTIONS_MAX
                    {
                        let (board, open) = (Arc::clone(&board), Arc::clone(&open));
                        tokio::task::spawn_local(async move {
                            connection(&board, place, stream, target).await;
                            drop(open);
                        });
                    }
                }
                _ = changed.changed() => {}
            }
        }
    }
}

/// One connection: who dials is found out, the node behind is dialed, and both directions run until one of them breaks.
async fn connection(board: &Arc<Board>, place: Place, near: TcpStream, target: SocketAddr) {
    let _ = near.set_nodelay(true);
    let (mut from_dialer, to_dialer) = near.into_split();
    let hello = tokio::time::timeout(HELLO, hello(&mut from_dialer)).await;
    let Ok(Some((dialer, begin))) = hello else { return };
    let dialer = match dialer {
        None => CLIENTS,
        Some(node) => board.inner().places.get(&node).copied().unwrap_or(CLIENTS),
    };
    // A partition lets no connection be made.
    let mut changed = board.changed.subscribe();
    while matches!(board.treatment((dialer, place)), Treatment::Hold) {
        if board.is_over() || changed.changed().await.is_err() {
            return;
        }
    }
    let Ok(far) = TcpStream::connect(target).await else { return };
    let _ = far.set_nodelay(true);
    let (from_node, to_node) = far.into_split();
    let mut there = Pump::new(board, (dialer, place), true, begin);
    let mut back = Pump::new(board, (place, dialer), false, BytesMut::new());
    // The first of them that breaks takes the other with it; an orderly end of one direction leaves the other.
    let (there, back) = (there.run(from_dialer, to_node), back.run(from_node, to_dialer));
    tokio::pin!(there, back);
    let (mut there_over, mut back_over) = (false, false);
    while !(there_over && back_over) {
        tokio::select! {
            ended = &mut there, if !there_over => match ended {
                Ended::Broken => return,
                Ended::InOrder => there_over = true,
            },
            ended = &mut back, if !back_over => match ended {
                Ended::Broken => return,
                Ended::InOrder => back_over = true,
            },
        }
    }
}

/// Reads preface and Hello: which node dials, `None` for a client; and what was read.
async fn hello(from: &mut OwnedReadHalf) -> Option<(Option<u64>, BytesMut)> {
    let mut bytes = BytesMut::new();
    loop {
        if let Some(dialer) = dialer(&bytes)? {
            return Some((dialer, bytes));
        }
        if from.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// Who speaks in these bytes: `None` if they are no greeting, `Some(None)` if they are not all there.
#[expect(clippy::option_option, reason = "broken, not yet, and the node if it is one")]
fn dialer(bytes: &[u8]) -> Option<Option<Option<u64>>> {
    let Some(rest) = bytes.get(PREFACE_BYTES..) else { return Some(None) };
    let mut rest = BytesMut::from(rest);
    let Some(frame) = FrameCodec::greeting().next(&mut rest).ok()? else { return Some(None) };
    let hello = Message::decode(&frame, &mut 0).ok()?;
    Some(Some(if let Message::PeerHello(hello) = hello { Some(hello.node.id.get()) } else { None }))
}

/// The length of the frame at the front, if all of it is there.
fn whole(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_le_bytes(*bytes.first_chunk::<4>()?) as usize + 4;
    (bytes.len() >= length).then_some(length)
}

enum Ended {
    /// The sender has ended, and that was passed on.
    InOrder,
    /// Both directions have to end.
    Broken,
}

/// One direction of a connection.
struct Pump<'a> {
    board: &'a Board,
    pair: (Place, Place),
    /// The speaker has dialed.
    dialed: bool,
    /// What was read and is no whole frame yet.
    bytes: BytesMut,
    /// The preface has gone through.
    begun: bool,
    /// The greeting has gone through: it is neither repeated nor remembered.
    greeted: bool,
    /// What waits to be written, and until when.
    waiting: VecDeque<(Instant, Bytes)>,
    waiting_bytes: usize,
    /// Where between the two bounds of a delay this connection lies, of a thousand.
    share: u64,
    /// Something is missing in what was passed on.
    hole: bool,
    /// To be cut when what waits is written.
    cut: bool,
}

impl<'a> Pump<'a> {
    fn new(board: &'a Board, pair: (Place, Place), dialed: bool, bytes: BytesMut) -> Self {
        let share = board.inner().rng.below(1_000);
        Self {
            board,
            pair,
            dialed,
            bytes,
            begun: false,
            greeted: false,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            share,
            hole: false,
            cut: false,
        }
    }

    async fn run(&mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> Ended {
        let mut changed = self.board.changed.subscribe();
        let mut at_end = false;
        loop {
            if self.board.is_over() {
                return Ended::Broken;
            }
            let treatment = self.board.treatment(self.pair);
            let silent = matches!(treatment, Treatment::Hold | Treatment::Swallow);
            if self.hole && treatment != Treatment::Swallow {
                return Ended::Broken;
            }
            self.take_frames(treatment);
            let now = Instant::now();
            while !silent && self.waiting.front().is_some_and(|(due, _)| *due <= now) {
                let Some((_, frame)) = self.waiting.pop_front() else { break };
                self.waiting_bytes -= frame.len();
                if to.write_all(&frame).await.is_err() {
                    return Ended::Broken;
                }
            }
            if self.waiting.is_empty() && self.cut {
                return Ended::Broken;
            }
            if self.waiting.is_empty() && at_end && !silent {
                // What is left of a frame goes with it: the other side sees the same broken end.
                let _ = to.write_all(&self.bytes).await;
                let _ = to.shutdown().await;
                return Ended::InOrder;
            }
            let due = self.waiting.front().map(|(due, _)| *due).filter(|_| !silent);
            let room = self.waiting_bytes + self.bytes.len() < HELD_BYTES && !self.cut;
            tokio::select! {
                read = from.read_buf(&mut self.bytes), if !at_end && room => match read {
                    Ok(0) => at_end = true,
                    Ok(_) => {}
                    Err(_) if silent => at_end = true,
                    Err(_) => return Ended::Broken,
                },
                () = tokio::time::sleep_until(due.unwrap_or(now)), if due.is_some() => {}
                _ = changed.changed() => {}
            }
        }
    }

    /// Decides about each whole frame that has come.
    fn take_frames(&mut self, treatment: Treatment) {
        if !self.begun && self.bytes.len() >= PREFACE_BYTES {
            self.begun = true;
            let preface = self.bytes.split_to(PREFACE_BYTES).freeze();
            self.enqueue(preface, treatment);
        }
        while self.begun
            && !self.cut
            && self.waiting_bytes < HELD_BYTES
            && let Some(length) = whole(&self.bytes)
        {
            let frame = self.bytes.split_to(length).freeze();
            let first = !self.greeted;
            self.greeted = true;
            self.take(frame, treatment, first);
        }
    }

    fn take(&mut self, frame: Bytes, treatment: Treatment, first: bool) {
        let counts = &self.board.counts;
        match treatment {
            Treatment::Swallow => {
                Board::count(&counts.swallowed);
                self.hole = true;
                return;
            }
            Treatment::Tear(per_mille) if self.chance(per_mille) => {
                Board::count(&counts.torn);
                let half = frame.slice(..frame.len() / 2);
                self.enqueue(half, treatment);
                self.cut = true;
                return;
            }
            Treatment::Duplicate(per_mille) if self.chance(per_mille) => {
                Board::count(&counts.duplicated);
                self.enqueue(frame.clone(), treatment);
            }
            Treatment::Replay(per_mille) if !first && self.chance(per_mille) => {
                if let Some(old) = self.remembered() {
                    Board::count(&counts.replayed);
                    self.enqueue(old, treatment);
                }
            }
            Treatment::Pass
            | Treatment::Delay(..)
            | Treatment::Duplicate(_)
            | Treatment::Replay(_)
            | Treatment::Tear(_)
            | Treatment::Hold
            | Treatment::Rate(_) => {}
        }
        if !first && frame.len() <= REMEMBERED_BYTES && self.pair.0 != CLIENTS && self.pair.1 != CLIENTS {
            let mut inner = self.board.inner();
            let remembered = inner.remembered.entry(self.stream()).or_default();
            if remembered.len() == REMEMBERED {
                remembered.pop_front();
            }
            remembered.push_back(frame.clone());
        }
        self.enqueue(frame, treatment);
    }

    fn stream(&self) -> (Place, Place, bool) {
        (self.pair.0, self.pair.1, self.dialed)
    }

    fn chance(&self, per_mille: u64) -> bool {
        self.board.inner().rng.chance(per_mille)
    }

    fn remembered(&self) -> Option<Bytes> {
        let inner = &mut *self.board.inner();
        let remembered = inner.remembered.get(&self.stream())?;
        remembered.get(inner.rng.position(remembered.len())).cloned()
    }

    fn enqueue(&mut self, frame: Bytes, treatment: Treatment) {
        let now = Instant::now();
        let due = match treatment {
            Treatment::Delay(low, high) => {
                Board::count(&self.board.counts.delayed);
                now + Duration::from_millis(low + high.saturating_sub(low) * self.share / 1_000)
            }
            Treatment::Rate(rate) => {
                Board::count(&self.board.counts.delayed);
                let takes = Duration::from_micros(frame.len() as u64 * 1_000_000 / rate.max(1));
                let mut inner = self.board.inner();
                let free = inner.free.entry(self.pair).or_insert(now);
                *free = (*free).max(now) + takes;
                *free
            }
            Treatment::Hold => {
                Board::count(&self.board.counts.delayed);
                now
            }
            Treatment::Pass
            | Treatment::Duplicate(_)
            | Treatment::Replay(_)
            | Treatment::Tear(_)
            | Treatment::Swallow => {
                Board::count(&self.board.counts.passed);
                now
            }
        };
        // No frame overtakes another one of its connection.
        let due = self.waiting.back().map_or(due, |(last, _)| due.max(*last));
        self.waiting_bytes += frame.len();
        self.waiting.push_back((due, frame));
    }
}

#[cfg(test)]
mod tests;
