//! Connections: when they are made, what ends them, and what becomes of the calls on them.

use holdfast_machine::Numbered;
use holdfast_wire::connection::{Edge, Ended, Incoming, Role, State};
use holdfast_wire::message::{
    ClientHello, ClientWelcome, CloseReason, Credentials, Echo, Features, LeaderHint,
};
use holdfast_wire::{Connection, Message, WireError};

use super::breaker::BreakerState;
use super::call::{Lane, Place};
use super::config::{HARD_FAILURES, LEARNED_MAX};
use super::endpoint::{Endpoint, Link, LinkId, Up, is_address};
use super::session::Session;
use super::{Action, Core, Life};
use crate::{Kind, What};

impl<W> Core<W> {
    /// The transport of a link is open. `false` if it is no longer wanted: close it.
    pub fn dialed(&mut self, link: LinkId, now: u64) -> bool {
        let Some(endpoint) = self.endpoints.get(link.endpoint) else { return false };
        let Link::Dialing { number, since } = endpoint.link else { return false };
        if number != link.number {
            return false;
        }
        // The name was tried when the client was made.
        let Ok(wire) = self.new_connection(now) else { return false };
        let up = Up {
            number,
            since,
            wire,
            accepted: false,
            sent: 0,
            watches: 0,
            probing: false,
            quiet_since: now,
            pinged: false,
            full: false,
            over: false,
            flush_told: false,
        };
        if let Some(endpoint) = self.endpoints.get_mut(link.endpoint) {
            endpoint.link = Link::Up(Box::new(up));
        }
        self.flush(link.endpoint);
        true
    }

    /// No transport could be opened for a link: `what` is how it failed.
    pub fn dial_failed(&mut self, link: LinkId, what: &What, now: u64) {
        let Some(endpoint) = self.endpoints.get(link.endpoint) else { return };
        if let Link::Dialing { number, since } = endpoint.link
            && number == link.number
        {
            self.link_failed(link.endpoint, what, since, now);
            self.fail_if_hopeless(now);
            self.advance(now);
        }
    }

    /// The connection of a link, to read into and write from; `None` if the link is gone, and its socket to be closed.
    pub fn connection(&mut self, link: LinkId) -> Option<&mut Connection> {
        self.up_of(link).map(|up| &mut up.wire)
    }

    /// Bytes were put into the buffer of a link: act on them.
    pub fn received(&mut self, link: LinkId, now: u64) {
        if let Some(up) = self.up_of(link) {
            (up.quiet_since, up.pinged) = (now, false);
        }
        loop {
            let Some(up) = self.up_of(link) else { return };
            let Some(incoming) = up.wire.next(now) else { break };
            match incoming {
                Incoming::Accepted(Message::ClientWelcome(welcome)) => self.welcomed(link, &welcome, now),
                Incoming::Message(header, message) => self.heard(link, header.call.0, message, now),
                // That the node wants to go is seen in the state; what was asked is still answered.
                Incoming::Goodbye(_) | Incoming::Accepted(_) => {}
            }
        }
        self.settle(link.endpoint, now);
        self.advance(now);
        self.fail_if_hopeless(now);
    }

    /// So many bytes of the outbox of a link were written; 0 if it took none.
    pub fn wrote(&mut self, link: LinkId, count: usize, now: u64) {
        let Some(up) = self.up_of(link) else { return };
        up.flush_told = false;
        if count > 0 && bytes::Buf::has_remaining(up.wire.outbox()) {
            // The system takes more only as the other side does: it reads what it is to answer.
            (up.quiet_since, up.pinged) = (now, false);
        }
        if std::mem::take(&mut up.full) {
            self.advance(now);
        }
    }

    /// The transport of a link ended. What had come before has been given to [`received`](Self::received).
    pub fn lost(&mut self, link: LinkId, why: &str, now: u64) {
        let Some(up) = self.up_of(link) else { return };
        up.wire.lost(why, now);
        self.settle(link.endpoint, now);
        self.finished(link, now);
        self.fail_if_hopeless(now);
    }

    /// The last words of a connection that has ended were written, as far as they could be; its socket is closed.
    pub fn finished(&mut self, link: LinkId, now: u64) {
        if let Some(up) = self.up_of(link)
            && up.wire.ended().is_some()
            && let Some(endpoint) = self.endpoints.get_mut(link.endpoint)
        {
            endpoint.link = Link::Idle;
            self.advance(now);
        }
    }

    fn up_of(&mut self, link: LinkId) -> Option<&mut Up> {
        let up = self.endpoints.get_mut(link.endpoint)?.up()?;
        (up.number == link.number).then_some(up)
    }

    pub(super) fn new_connection(&self, now: u64) -> Result<Connection, WireError> {
        let hello = ClientHello {
            cluster: self.cluster,
            features: Features(0),
            name: self.config.name.clone(),
            build: env!("CARGO_PKG_VERSION").into(),
            credentials: Credentials::default(),
        };
        Connection::new(Role::Client(hello), now)
    }

    /// Whether connections are wanted: somebody waits or watches, or a session is to be kept.
    fn wants_links(&self) -> bool {
        let keeps = self.life == Life::Open && !matches!(self.session, Session::None);
        self.life != Life::Closed && (self.count > 0 || keeps || self.wants_watches())
    }

    /// Dials every endpoint that is not connected and not left alone: the others are wanted as soon as one fails.
    pub(super) fn dial_wanted(&mut self, now: u64) {
        if !self.wants_links() {
            return;
        }
        for (index, endpoint) in self.endpoints.iter_mut().enumerate() {
            if matches!(endpoint.link, Link::Idle) && endpoint.breaker.try_connect(now) {
                self.links += 1;
                endpoint.link = Link::Dialing { number: self.links, since: now };
                let link = LinkId { endpoint: index, number: self.links };
                self.actions.push_back(Action::Dial { link, address: endpoint.address.clone() });
            }
        }
    }

    /// Whether this endpoint may be usable soon.
    pub(super) fn is_coming(&self, endpoint: &Endpoint) -> bool {
        match &endpoint.link {
            Link::Dialing { .. } => true,
            Link::Up(up) => !up.over && (!up.accepted || up.wire.state() == State::Open),
            Link::Idle => false,
        }
    }

    pub(super) fn link_deadline(&self, endpoint: &Endpoint) -> Option<u64> {
        match &endpoint.link {
            Link::Idle => endpoint.breaker.until().filter(|_| self.wants_links()),
            Link::Dialing { since, .. } => Some(since.saturating_add(self.config.connect_ms)),
            Link::Up(up) => {
                let greeting = (!up.accepted).then(|| up.since.saturating_add(self.config.connect_ms));
                let silence = up.owes().then(|| {
                    let after =
                        if up.pinged { self.config.silence_ms } else { self.config.silence_ms.div_ceil(2) };
                    up.quiet_since.saturating_add(after)
                });
                [greeting, silence, up.wire.deadline()].into_iter().flatten().min()
            }
        }
    }

    /// What is due on a link.
    pub(super) fn tick_link(&mut self, index: usize, now: u64) {
        let (connect_ms, silence_ms) = (self.config.connect_ms, self.config.silence_ms);
        let Some(endpoint) = self.endpoints.get_mut(index) else { return };
        match &mut endpoint.link {
            Link::Idle => {}
            Link::Dialing { since, .. } => {
                let since = *since;
                if now >= since.saturating_add(connect_ms) {
                    self.link_failed(index, &What::ConnectTimedOut, since, now);
                }
            }
            Link::Up(up) => {
                let (since, number, quiet_since) = (up.since, up.number, up.quiet_since);
                let waiting = bytes::Buf::remaining(up.wire.outbox());
                up.wire.tick(now);
                let mut flush = bytes::Buf::remaining(up.wire.outbox()) > waiting;
                if up.wire.ended().is_some() {
                    if up.wire.is_finished() {
                        endpoint.link = Link::Idle;
                    } else {
                        self.settle(index, now);
                    }
                } else if !up.accepted && now >= since.saturating_add(connect_ms) {
                    self.link_failed(index, &What::ConnectTimedOut, since, now);
                } else if up.owes() && now >= up.quiet_since.saturating_add(silence_ms) && up.pinged {
                    self.link_failed(index, &What::Silent, quiet_since, now);
                } else if up.owes()
                    && now >= up.quiet_since.saturating_add(silence_ms.div_ceil(2))
                    && !up.pinged
                {
                    flush = true;
                    up.pinged = true;
                    // After a pause of this process the whole time is given once more.
                    up.quiet_since = up.quiet_since.max(now.saturating_sub(silence_ms.div_ceil(2)));
                    let ping = Message::Ping(Echo::default());
                    // If it takes no more, the silence speaks for it.
                    let _ = up.wire.send(ping.header(), &ping);
                }
                if flush {
                    self.actions.push_back(Action::Flush(LinkId { endpoint: index, number }));
                }
            }
        }
    }

    pub(super) fn flush(&mut self, index: usize) {
        if let Some(up) = self.endpoints.get_mut(index).and_then(Endpoint::up)
            && !std::mem::replace(&mut up.flush_told, true)
        {
            self.actions.push_back(Action::Flush(LinkId { endpoint: index, number: up.number }));
        }
    }

    /// A node has welcomed this client.
    fn welcomed(&mut self, link: LinkId, welcome: &ClientWelcome, now: u64) {
        let Some(since) = self.up_of(link).map(|up| up.since) else { return };
        // Connections that were dialed before the first Welcome came did not know the cluster yet.
        if let (Some(ours), Some(theirs)) = (self.cluster, welcome.cluster) {
            let reason = if ours.id != theirs.id {
                Some(CloseReason::WrongCluster)
            } else if theirs.epoch < ours.epoch {
                Some(CloseReason::WrongEpoch)
            } else {
                None
            };
            if let Some(reason) = reason {
                let detail = format!(
                    "cluster {} epoch {} answered, and {} epoch {} was there before",
                    theirs.id, theirs.epoch, ours.id, ours.epoch
                );
                self.link_failed(
                    link.endpoint,
                    &What::NotWelcome { reason: Some(reason), detail },
                    since,
                    now,
                );
                return;
            }
        }
        self.cluster = welcome.cluster.or(self.cluster);
        self.known = true;
        let Some(endpoint) = self.endpoints.get_mut(link.endpoint) else { return };
        endpoint.node = Some(welcome.node.id);
        endpoint.hard = 0;
        if let Some(up) = endpoint.up() {
            up.accepted = true;
            up.probing = true;
            (up.quiet_since, up.pinged) = (now, false);
            let ping = Message::Ping(Echo::default());
            let _ = up.wire.send(ping.header(), &ping);
        }
        self.flush(link.endpoint);
        if self.leader.is_none() {
            self.leader = welcome.leader.as_ref().and_then(|hint| self.learn(hint));
        }
    }

    /// The Ping behind the Welcome was answered, or a call.
    pub(super) fn answered(&mut self, index: usize, now: u64) {
        if let Some(endpoint) = self.endpoints.get_mut(index) {
            endpoint.last = None;
            endpoint.breaker.succeeded(now);
            if let Some(up) = endpoint.up() {
                up.probing = false;
            }
        }
    }

    /// The endpoint where a hint leads to; one that is not known yet is learned.
    pub(super) fn learn(&mut self, hint: &LeaderHint) -> Option<usize> {
        let by_node = |endpoint: &Endpoint| endpoint.node == Some(hint.node_id) && endpoint.usable();
        self.endpoints.iter().position(by_node).or_else(|| self.endpoint_at(&hint.address))
    }

    /// The endpoint of this address, learned if it is new; `None` if it is no address, or if as many are learned as may
    /// be and each is in use.
    pub(super) fn endpoint_at(&mut self, address: &str) -> Option<usize> {
        if let Some(known) = self.endpoints.iter().position(|endpoint| *endpoint.address == *address) {
            return Some(known);
        }
        if !is_address(address) {
            return None;
        }
        let new = Endpoint::new(address, true);
        if self.endpoints.iter().filter(|endpoint| endpoint.learned).count() < LEARNED_MAX {
            self.endpoints.push(new);
            return Some(self.endpoints.len() - 1);
        }
        let idle = |(index, endpoint): &(usize, &mut Endpoint)| {
            endpoint.learned
                && matches!(endpoint.link, Link::Idle)
                && !self.calls.iter().flatten().any(|call| call.lane == Lane::Directed(*index))
        };
        let (index, place) = self.endpoints.iter_mut().enumerate().find(idle)?;
        *place = new;
        Some(index)
    }

    pub(super) fn set_leader(&mut self, leader: Option<usize>) {
        self.leader = leader;
    }

    /// Looks whether the connection of an endpoint has ended, or is about to.
    fn settle(&mut self, index: usize, now: u64) {
        let Some(up) = self.endpoints.get_mut(index).and_then(Endpoint::up) else { return };
        if up.wire.state() == State::Draining && up.sent == 0 {
            up.wire.drained(now);
            self.flush(index);
        }
        let draining = |up: &&mut Up| up.wire.state() == State::Draining;
        if self.leader == Some(index)
            && self.endpoints.get_mut(index).and_then(Endpoint::up).as_ref().is_some_and(draining)
        {
            self.leader = None;
        }
        let Some(up) = self.endpoints.get_mut(index).and_then(Endpoint::up) else { return };
        let since = if up.accepted { now } else { up.since };
        let what = match up.wire.ended() {
            None => return,
            Some(ended) => why(ended, up.accepted),
        };
        self.link_ended(index, &what, since, now);
        self.flush(index);
    }

    /// A link has failed and is dropped.
    fn link_failed(&mut self, index: usize, what: &What, since: u64, now: u64) {
        if let Some(endpoint) = self.endpoints.get_mut(index)
            && let Link::Up(up) = &endpoint.link
        {
            // Its owner looks, finds no connection, and closes the socket.
            self.actions.push_back(Action::Flush(LinkId { endpoint: index, number: up.number }));
        }
        self.link_ended(index, what, since, now);
        if let Some(endpoint) = self.endpoints.get_mut(index) {
            endpoint.link = Link::Idle;
        }
    }

    /// No call on a link will be answered any more.
    fn link_ended(&mut self, index: usize, what: &What, since: u64, now: u64) {
        let leaving = matches!(self.life, Life::Leaving { .. });
        let Some(endpoint) = self.endpoints.get_mut(index) else { return };
        let was_up = match &mut endpoint.link {
            Link::Up(up) if up.over => return,
            Link::Up(up) => {
                up.over = true;
                up.accepted
            }
            Link::Idle | Link::Dialing { .. } => false,
        };
        let ms = now.saturating_sub(since);
        let hard = matches!(what, What::ConnectRefused | What::ConnectFailed(_) | What::NotWelcome { .. })
            || (matches!(what, What::ConnectionLost(_)) && !was_up);
        endpoint.hard = if hard { endpoint.hard.saturating_add(1) } else { 0 };
        endpoint.last = Some((what.clone(), ms));
        if !leaving {
            endpoint.breaker.failed(now, &mut self.rng);
        }
        if self.leader == Some(index) {
            self.leader = None;
        }
        self.copies_lost(index, what, now);
        self.watches_lost(index, now);
    }

    /// What was sent on a link and not answered: sent again if that is safe.
    fn copies_lost(&mut self, lost: usize, what: &What, now: u64) {
        for index in 0..self.calls.len() {
            let Some(Some(call)) = self.calls.get_mut(index) else { continue };
            let Some(endpoint) = self.endpoints.get(lost) else { return };
            match call.place {
                Place::Sent { endpoint: at_endpoint, at, .. } if at_endpoint == lost => {
                    call.note(&endpoint.address, endpoint.node, what.clone(), now.saturating_sub(at));
                    call.uncertain = true;
                    call.avoid = Some(lost);
                    call.place = Place::Queued;
                    if call.may_repeat() {
                        let first = call.tries == 0;
                        call.tries += u32::from(first);
                        self.retry(index, 0, first, now);
                    } else {
                        self.fail(index, Kind::ConnectionLost, String::new(), now);
                    }
                }
                Place::Queued if call.lane == Lane::Directed(lost) => {
                    let ms = endpoint.last.as_ref().map_or(0, |(_, ms)| *ms);
                    call.note(&endpoint.address, endpoint.node, what.clone(), ms);
                    let talked = matches!(what, What::NotWelcome { .. });
                    let kind = if talked { Kind::Incompatible } else { Kind::NoEndpoint };
                    self.fail(index, kind, String::new(), now);
                }
                Place::Queued | Place::Waiting { .. } | Place::Sent { .. } => {}
            }
        }
    }

    /// Ends all calls if no endpoint was ever reached, and each has refused as often as it was asked to.
    pub(super) fn fail_if_hopeless(&mut self, now: u64) {
        self.fail_directed_left_alone(now);
        let hopeless =
            |endpoint: &Endpoint| endpoint.hard >= HARD_FAILURES && matches!(endpoint.link, Link::Idle);
        if self.count == 0
            || self.known
            || self.config.wait_for_cluster
            || !self.endpoints.iter().all(hopeless)
        {
            return;
        }
        let talked = |endpoint: &Endpoint| matches!(endpoint.last, Some((What::NotWelcome { .. }, _)));
        let kind = if self.endpoints.iter().any(talked) { Kind::Incompatible } else { Kind::NoEndpoint };
        for index in 0..self.calls.len() {
            self.fail(index, kind, String::new(), now);
        }
    }

    /// Ends what is directed to an endpoint that is left alone for now.
    fn fail_directed_left_alone(&mut self, now: u64) {
        for place in 0..self.directed.len() {
            let Some(&index) = self.directed.get(place) else { return };
            let Some(Some(call)) = self.calls.get_mut(index) else { continue };
            let Lane::Directed(target) = call.lane else { continue };
            let Some(endpoint) = self.endpoints.get(target) else { continue };
            if endpoint.breaker.state() == BreakerState::Open && matches!(endpoint.link, Link::Idle) {
                call.note(&endpoint.address, endpoint.node, What::LeftAlone, 0);
                self.fail(index, Kind::NoEndpoint, String::new(), now);
            }
        }
    }

    /// Ends all connections in good order.
    pub(super) fn leave_links(&mut self, now: u64) {
        for index in 0..self.endpoints.len() {
            let Some(endpoint) = self.endpoints.get_mut(index) else { return };
            match &mut endpoint.link {
                Link::Idle => {}
                Link::Dialing { .. } => endpoint.link = Link::Idle,
                Link::Up(up) => {
                    up.wire.close(CloseReason::Done, "", now);
                    up.wire.drained(now);
                    self.flush(index);
                }
            }
        }
    }
}

/// How the end of a connection is told.
fn why(ended: &Ended, accepted: bool) -> What {
    let Ended { edge, goodbye, by_other_side } = ended;
    let said = match goodbye.known_reason() {
        Some(reason) => format!("{}{}", reason.name(), super::separated(&goodbye.detail)),
        None => format!("reason {}{}", goodbye.reason, super::separated(&goodbye.detail)),
    };
    match edge {
        Edge::GiveUp => What::ConnectTimedOut,
        Edge::Lose if !by_other_side && goodbye.known_reason() == Some(CloseReason::Lost) => {
            What::ConnectionLost(goodbye.detail.to_string())
        }
        Edge::PresumeDead => What::Silent,
        Edge::Refuse | Edge::BeRefused | Edge::BreakOff if !accepted => {
            What::NotWelcome { reason: goodbye.known_reason(), detail: goodbye.detail.to_string() }
        }
        Edge::AgreeVersion
        | Edge::Accept
        | Edge::Refuse
        | Edge::BreakOff
        | Edge::BeRefused
        | Edge::Abandon
        | Edge::BeginDrain
        | Edge::HeedGoodbye
        | Edge::FinishDrain
        | Edge::CutDrain
        | Edge::Lose => What::ConnectionLost(said),
    }
}
