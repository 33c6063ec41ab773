//! One endpoint: its breaker, its connection, and what it did last.

use std::sync::Arc;

use holdfast_wire::connection::State;
use holdfast_wire::{Connection, NodeId};

use super::breaker::{Breaker, BreakerState};
use crate::What;

/// Names one connection, or the attempt at one: reports of an earlier one of the same endpoint are recognised by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId {
    pub(super) endpoint: usize,
    pub(super) number: u64,
}

/// How an endpoint is, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointView {
    /// Its address.
    pub address: String,
    /// The node that answers there, if it has said so.
    pub node: Option<NodeId>,
    /// Whether it was learned from another node.
    pub learned: bool,
    /// Whether calls can be sent there now.
    pub connected: bool,
    /// Whether it is taken for the leader.
    pub leader: bool,
    /// Its breaker.
    pub breaker: BreakerState,
    /// What went wrong there last, if anything did.
    pub last_failure: Option<What>,
}

/// One endpoint.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) address: Arc<str>,
    pub(super) learned: bool,
    pub(super) breaker: Breaker,
    pub(super) link: Link,
    pub(super) node: Option<NodeId>,
    /// Refusals to connect or to talk, in a row.
    pub(super) hard: u32,
    /// What went wrong last, and how long that took.
    pub(super) last: Option<(What, u64)>,
}

/// The connection of an endpoint.
#[derive(Debug)]
pub(super) enum Link {
    Idle,
    Dialing { number: u64, since: u64 },
    Up(Box<Up>),
}

/// A connection whose transport is open.
#[derive(Debug)]
pub(super) struct Up {
    pub(super) number: u64,
    /// When it was dialed.
    pub(super) since: u64,
    pub(super) wire: Connection,
    /// The node has welcomed us.
    pub(super) accepted: bool,
    /// Calls that were sent there and not answered.
    pub(super) sent: u32,
    /// Watches that are open there, or were asked for.
    pub(super) watches: u32,
    /// The Ping behind the Welcome was not answered yet.
    pub(super) probing: bool,
    /// Since when nothing was heard although an answer is owed.
    pub(super) quiet_since: u64,
    /// A Ping was sent into that silence.
    pub(super) pinged: bool,
    /// It takes no more until some of what waits was written.
    pub(super) full: bool,
    /// It has ended, and what was on it has been seen to.
    pub(super) over: bool,
    /// Its owner was told that there is something to write.
    pub(super) flush_told: bool,
}

impl Up {
    /// Whether something is owed: an answer, or events as they happen.
    pub(super) fn owes(&self) -> bool {
        !self.over && (self.probing || self.sent > 0 || self.watches > 0)
    }
}

impl Endpoint {
    pub(super) fn new(address: &str, learned: bool) -> Self {
        Self {
            address: address.into(),
            learned,
            breaker: Breaker::default(),
            link: Link::Idle,
            node: None,
            hard: 0,
            last: None,
        }
    }

    /// Whether a call can be sent there.
    pub(super) fn usable(&self) -> bool {
        match &self.link {
            Link::Up(up) => {
                up.accepted
                    && !up.over
                    && !up.full
                    && up.wire.state() == State::Open
                    && self.breaker.state() == BreakerState::Closed
            }
            Link::Idle | Link::Dialing { .. } => false,
        }
    }

    pub(super) fn up(&mut self) -> Option<&mut Up> {
        match &mut self.link {
            Link::Up(up) => Some(up),
            Link::Idle | Link::Dialing { .. } => None,
        }
    }
}

/// Whether this can be dialed: `host:port`.
pub(super) fn is_address(address: &str) -> bool {
    let (host, port) = address.rsplit_once(':').unwrap_or_default();
    !host.is_empty()
        && address.len() <= 256
        && !address.chars().any(|character| character.is_control() || character.is_whitespace())
        && port.parse::<u16>().is_ok_and(|port| port > 0)
}
