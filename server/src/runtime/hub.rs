//! What all tasks of one node share: queues, links, the clock. One thread, so no locks.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytestring::ByteString;
use holdfast_hlc::UnixMillis;
use holdfast_raft::formation::{FormationMessage, Formed};
use holdfast_wire::message::{Features, Lane, LeaderHint, Trace};
use holdfast_wire::{ClusterEpoch, ClusterId, ClusterIdentity, Message, NodeIdentity, NodeUuid};
use tokio::sync::{Notify, oneshot, watch};

use super::desk::{Figures, Leading, SeatEnd};
use super::link::Link;
use crate::node::{Caller, Input, Now};

/// The clocks of a process. The only place that reads them.
#[derive(Debug)]
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { start: Instant::now() }
    }

    /// Microseconds since the start.
    pub(super) fn micros(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Milliseconds since the start.
    pub(super) fn millis(&self) -> u64 {
        self.micros() / 1_000
    }

    /// Both times, for the node.
    pub(super) fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        // A time of day beyond what a stamp holds is a broken clock; it decides nothing.
        let wall = UnixMillis::new(u64::try_from(wall).unwrap_or(0)).unwrap_or(UnixMillis::EPOCH);
        Now { micros: self.micros(), wall }
    }
}

/// Something for the node loop.
#[derive(Debug)]
pub(super) enum Event {
    /// For the node.
    Node(Input),
    /// For the formation, with what the sender calls the cluster.
    Formation(ByteString, FormationMessage),
    /// A client asks how the node is.
    Status(Caller),
    /// A client asks what it has measured.
    Stats(Caller),
    /// A client asks where the time of writes went.
    Trace(Caller, Trace),
    /// A client asks it to examine itself.
    Examine(Caller),
    /// An answer that was made beside the loop.
    Answer(Caller, Message),
    /// The API thread asks for status and figures.
    Figures(oneshot::Sender<Figures>),
}

/// Who this node is, as it says in every greeting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who {
    pub(super) cluster: Option<ClusterIdentity>,
    pub(super) node: NodeIdentity,
}

/// The links to one peer: those that this node dialed, open ones only.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    pub(super) control: Option<Rc<Link>>,
    pub(super) bulk: Option<Rc<Link>>,
}

impl Lanes {
    pub(super) fn get(&self, lane: Lane) -> Option<&Rc<Link>> {
        match lane {
            Lane::Control => self.control.as_ref(),
            Lane::Bulk => self.bulk.as_ref(),
        }
    }

    pub(super) fn set(&mut self, lane: Lane, link: Option<Rc<Link>>) {
        match lane {
            Lane::Control => self.control = link,
            Lane::Bulk => self.bulk = link,
        }
    }
}

/// Wakes the node loop, from any thread.
#[derive(Debug, Default)]
pub(super) struct Bell(Notify);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.notify_one();
    }
}

impl Bell {
    pub(super) async fn rung(&self) {
        self.0.notified().await;
    }
}

/// What all tasks of one node share.
#[derive(Debug)]
pub(super) struct Hub {
    pub(super) clock: Clock,
    bell: Arc<Bell>,
    /// From peers, and reports: before all else.
    pub(super) reports: RefCell<Vec<Event>>,
    /// From clients.
    pub(super) calls: RefCell<Vec<Event>>,
    pub(super) clients: RefCell<HashMap<u64, Rc<Link>>>,
    /// Links that peers dialed.
    pub(super) accepted: RefCell<HashMap<u64, Rc<Link>>>,
    /// Links that this node dialed, open or not.
    pub(super) dialed: RefCell<HashMap<u64, Rc<Link>>>,
    /// Those that are open, by peer.
    pub(super) lanes: RefCell<BTreeMap<u64, Lanes>>,
    signs: RefCell<BTreeMap<u64, Rc<Notify>>>,
    pub(super) who: Cell<Who>,
    pub(super) leader: RefCell<Option<LeaderHint>>,
    /// The client address that this node advertises, and its feature level, for its peers.
    pub(super) client_address: ByteString,
    /// Where this node serves HTTP, for its peers; empty if it does not.
    pub(super) http_address: ByteString,
    /// Tells the API thread who leads; there once it can ask.
    pub(super) leading: OnceCell<watch::Sender<Leading>>,
    /// Seats of the desk, by their numbers.
    pub(super) seats: RefCell<HashMap<u64, SeatEnd>>,
    /// How many of the clients were greeted.
    pub(super) greeted: Cell<usize>,
    /// Which directory each member has, as the configuration says.
    pub(super) directories: RefCell<BTreeMap<u64, [u8; 16]>>,
    /// Who was a member and is none any more, as a configuration says that is committed.
    pub(super) removed: RefCell<BTreeSet<u64>>,
    /// With whom there is no connection, for a drill.
    cut: RefCell<BTreeSet<u64>>,
    /// Those with whom there was none may have one again.
    healed: Notify,
    /// Nothing new is let in.
    pub(super) stopping: Cell<bool>,
    /// Microseconds that calls took to be read and decoded, and how many, since the node loop last looked.
    pub(super) decoded: RefCell<Vec<(u64, u64)>>,
    next_id: Cell<u64>,
}

/// What this build can do beyond its protocol version: nothing yet.
pub(super) const FEATURES: Features = Features(0);

/// The version of this build, for people.
pub(super) const BUILD: &str = env!("CARGO_PKG_VERSION");

impl Hub {
    pub(super) fn new(who: Who, client_address: ByteString, http_address: ByteString) -> Rc<Self> {
        Rc::new(Self {
            clock: Clock::new(),
            bell: Arc::default(),
            reports: RefCell::default(),
            calls: RefCell::default(),
            clients: RefCell::default(),
            accepted: RefCell::default(),
            dialed: RefCell::default(),
            lanes: RefCell::default(),
            signs: RefCell::default(),
            who: Cell::new(who),
            leader: RefCell::default(),
            client_address,
            http_address,
            leading: OnceCell::new(),
            seats: RefCell::default(),
            greeted: Cell::new(0),
            directories: RefCell::default(),
            removed: RefCell::default(),
            cut: RefCell::default(),
            healed: Notify::new(),
            stopping: Cell::new(false),
            decoded: RefCell::default(),
            next_id: Cell::new(0),
        })
    }

    /// From now on this node greets as a member.
    pub(super) fn become_member(&self, formed: &Formed, epoch: u64) {
        let Who { node, .. } = self.who.get();
        let epoch = ClusterEpoch::new(epoch).unwrap_or(ClusterEpoch::FIRST);
        let cluster = ClusterIdentity { id: ClusterId(formed.cluster.0), epoch };
        let node = NodeIdentity { uuid: NodeUuid(formed.uuid.0), ..node };
        self.who.set(Who { cluster: Some(cluster), node });
    }

    /// A name for a connection, never given before.
    pub(super) fn next_id(&self) -> u64 {
        let id = self.next_id.get() + 1;
        self.next_id.set(id);
        id
    }

    /// Hands a report to the node loop.
    pub(super) fn report(&self, event: Event) {
        self.reports.borrow_mut().push(event);
        self.ring();
    }

    /// Hands a call of a client to the node loop.
    pub(super) fn call(&self, event: Event) {
        self.calls.borrow_mut().push(event);
        self.ring();
    }

    /// Wakes the node loop.
    pub(super) fn ring(&self) {
        self.bell.wake_by_ref();
    }

    /// For those who wake it from other threads.
    pub(super) fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.bell))
    }

    pub(super) fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.bell)
    }

    /// Whether a drill keeps this node from a peer.
    pub(super) fn is_cut(&self, peer: u64) -> bool {
        self.cut.borrow().contains(&peer)
    }

    /// The peers from which a drill keeps this node.
    pub(super) fn cut_off(&self) -> Vec<u64> {
        self.cut.borrow().iter().copied().collect()
    }

    /// Rings when a peer has come to this node, or gone from it: then it is worth while to dial it soon.
    pub(super) fn sign_of(&self, peer: u64) -> Rc<Notify> {
        Rc::clone(self.signs.borrow_mut().entry(peer).or_default())
    }

    /// A peer has come, or gone. Whoever is dialed hears of it; who else has come is nobody's concern.
    pub(super) fn came_or_went(&self, peer: u64) {
        if let Some(sign) = self.signs.borrow().get(&peer) {
            sign.notify_waiters();
        }
    }

    /// Returns once no drill keeps this node from a peer; at once, as a rule.
    pub(super) async fn uncut(&self, peer: u64) {
        loop {
            // Before the look: what happens between the two wakes it as well.
            let healed = self.healed.notified();
            if !self.is_cut(peer) {
                return;
            }
            healed.await;
        }
    }

    /// Has no connection with these peers from now on, and may have one with all others. To both sides a lane that is cut
    /// looks like one whose network has failed: nothing more is said on it, not even a Goodbye.
    pub(super) fn set_cut(&self, cut: BTreeSet<u64>) {
        if *self.cut.borrow() == cut {
            return;
        }
        *self.cut.borrow_mut() = cut;
        self.healed.notify_waiters();
        let now = self.clock.millis();
        for links in [&self.accepted, &self.dialed] {
            for link in links.borrow().values() {
                if link.peer.get().is_some_and(|peer| self.is_cut(peer)) {
                    link.cut(now);
                }
            }
        }
    }

    /// Lets every link do what is due.
    pub(super) fn tick_links(&self) {
        let now = self.clock.millis();
        let all = [&self.clients, &self.accepted, &self.dialed];
        let links: Vec<Rc<Link>> =
            all.iter().flat_map(|links| links.borrow().values().cloned().collect::<Vec<_>>()).collect();
        for link in links {
            link.tick(now);
        }
    }
}
