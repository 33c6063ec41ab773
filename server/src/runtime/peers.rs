//! Links between members: two lanes in each direction, each dialed by the side that sends on it.
//!
//! # Why each side dials what it sends on
//! A message then needs no answer to who of the two should connect, a member that the other does not know yet can speak
//! first, and a direction that is cut is noticed by the side whose messages are lost. It costs two more sockets per pair.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytestring::ByteString;
use holdfast_command::FeatureLevel;
use holdfast_machine::Numbered;
use holdfast_raft::NodeId;
use holdfast_wire::connection::{Incoming, Role};
use holdfast_wire::message::{CloseReason, Credentials, Introduce, Lane, PeerHello, PeerWelcome};
use holdfast_wire::message_type::BODY_CAP;
use holdfast_wire::{Connection, Message, NodeId as WireNodeId, NodeIdentity, NodeUuid};
use tokio::net::{TcpListener, TcpStream};

use super::hub::{BUILD, Event, FEATURES, Hub};
use super::link::{Flow, Link};
use crate::node::Input;
use crate::translate;

/// Connections that peers may have open to this node: 64 members with two lanes each, and as many that are just dying.
const ACCEPTED_MAX: usize = 256;

/// How long an attempt to connect may take.
const CONNECT: Duration = Duration::from_secs(2);

/// The first pause between two attempts, and the longest. The first attempt after a loss comes at once: a refusal tells
/// that the process is dead, and an election need not wait for its timeout.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// The pause after the other side said that the two do not belong together: a person has to mend that.
const PAUSE_REFUSED: Duration = Duration::from_secs(5);

/// A small generator that spreads pauses: no two nodes try in step.
#[derive(Debug)]
struct Jitter(u64);

impl Jitter {
    /// Between half of it and all of it.
    fn spread(&mut self, pause: Duration) -> Duration {
        // xorshift64 (Marsaglia 2003).
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let half = pause / 2;
        half + half * u32::try_from(self.0 % 1_024).unwrap_or(0) / 1_024
    }
}

/// Keeps one lane to one peer open, until it is aborted.
pub(super) async fn dial(hub: Rc<Hub>, peer: NodeId, address: ByteString, lane: Lane) {
    let seed = hub.clock.micros() ^ (peer.0 << 32) ^ (u64::from(lane.number()) << 56);
    let mut jitter = Jitter(seed | 1);
    let mut pause = PAUSE.0;
    let sign = hub.sign_of(peer.0);
    loop {
        hub.uncut(peer.0).await;
        // A name is looked up anew each time: members move.
        let connected = tokio::time::timeout(CONNECT, TcpStream::connect(&*address)).await;
        let mut refused_us = false;
        match connected {
            // Cut while it was being connected.
            Ok(Ok(_)) if hub.is_cut(peer.0) => continue,
            Ok(Ok(stream)) => {
                let since = hub.clock.millis();
                refused_us = talk(&hub, peer, lane, stream).await;
                if hub.clock.millis().saturating_sub(since) > 1_000 {
                    pause = PAUSE.0;
                    if !refused_us {
                        continue;
                    }
                }
            }
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {
                if lane == Lane::Control {
                    hub.report(Event::Node(Input::PeerRefused(peer)));
                }
            }
            Ok(Err(error)) => {
                tracing::debug!(%peer, %address, %error, "connecting to a peer");
            }
            Err(_) => tracing::debug!(%peer, %address, "connecting to a peer: no answer"),
        }
        let wait = jitter.spread(if refused_us { PAUSE_REFUSED } else { pause });
        tokio::select! {
            () = tokio::time::sleep(wait) => pause = (pause * 2).min(PAUSE.1),
            // Else a peer that was away is not answered for up to a second after it has come back, and one that dies in that second
            // is believed to live for an election timeout: votes are neither asked for nor given meanwhile.
            // Not without any pause: two that let each other in and then break off would wake one another for ever.
            () = sign.notified() => {
                pause = PAUSE.0;
                tokio::time::sleep(jitter.spread(pause)).await;
            }
        }
    }
}

/// Greets, and drives the link to its end. Says whether the other side refused this one for what it is.
async fn talk(hub: &Rc<Hub>, peer: NodeId, lane: Lane, stream: TcpStream) -> bool {
    let who = hub.who.get();
    let hello = PeerHello {
        cluster: who.cluster,
        node: who.node,
        to: WireNodeId::new(peer.0),
        lane: lane.number(),
        features: FEATURES,
        build: BUILD.into(),
        credentials: Credentials::default(),
    };
    let Ok(connection) = Connection::new(Role::DialingPeer(hello), hub.clock.millis()) else { return true };
    let link = Link::new(hub.next_id(), stream, connection, usize::MAX);
    link.peer.set(Some(peer.0));
    link.push(hub.clock.millis());
    let on = |incoming| {
        match incoming {
            Incoming::Accepted(_) => open(hub, peer, lane, &link),
            // The other side opens no more calls; there are none on a lane.
            Incoming::Goodbye(_) => link.connection().drained(hub.clock.millis()),
            Incoming::Message(..) => {}
        }
        Flow::On
    };
    let _dialed = Dialed::new(hub, &link);
    link.drive(hub, on).await;
    let mut was_open = false;
    if let Some(lanes) = hub.lanes.borrow_mut().get_mut(&peer.0)
        && lanes.get(lane).is_some_and(|open| open.id == link.id)
    {
        lanes.set(lane, None);
        was_open = true;
    }
    if was_open {
        hub.report(Event::Node(Input::PeerUnreachable(peer)));
    }
    let connection = link.connection();
    let Some(ended) = connection.ended() else { return false };
    let reason = CloseReason::from_number(ended.goodbye.reason);
    let mismatch = reason.is_some_and(is_mismatch);
    if reason == Some(CloseReason::Removed) {
        hub.report(Event::Node(Input::Removed { by: peer }));
    }
    if mismatch {
        tracing::error!(%peer, reason = ?reason, detail = %ended.goodbye.detail, "this node and the peer do not belong together");
    } else {
        tracing::debug!(%peer, ?lane, reason = ?reason, detail = %ended.goodbye.detail, "lane closed");
    }
    mismatch
}

/// A link in the list of those that were dialed, for as long as its task lives: also if that is aborted.
struct Dialed<'a> {
    hub: &'a Hub,
    id: u64,
}

impl<'a> Dialed<'a> {
    fn new(hub: &'a Hub, link: &Rc<Link>) -> Self {
        hub.dialed.borrow_mut().insert(link.id, Rc::clone(link));
        Self { hub, id: link.id }
    }
}

impl Drop for Dialed<'_> {
    fn drop(&mut self) {
        self.hub.dialed.borrow_mut().remove(&self.id);
    }
}

/// What is wrong with a peer that carries the id of a member and has another directory than that member: it is not that
/// member. Looked at before anything that it says.
fn other_directory(hub: &Hub, theirs: NodeIdentity) -> Option<String> {
    let directories = hub.directories.borrow();
    let known = directories.get(&theirs.id.get())?;
    let unformed = theirs.uuid.0 == [0; 16];
    if unformed || *known == theirs.uuid.0 {
        return None;
    }
    Some(format!(
        "node {} of this cluster has the directory {}, and this one is {}; start with that directory, or give this node a \
         number that was never used",
        theirs.id,
        NodeUuid(*known),
        theirs.uuid
    ))
}

/// What a node is told that was a member and is none any more. One that was there when it was removed has read so in the log; one
/// that was away has nobody left who would send it that.
fn was_removed(hub: &Hub, theirs: NodeIdentity) -> Option<String> {
    let removed = hub.removed.borrow().contains(&theirs.id.get());
    removed.then(|| format!("node {} was removed from this cluster", theirs.id))
}

/// Whether a person has to mend it.
fn is_mismatch(reason: CloseReason) -> bool {
    match reason {
        CloseReason::NoCommonVersion
        | CloseReason::WrongPort
        | CloseReason::CredentialsUnsupported
        | CloseReason::WrongCluster
        | CloseReason::WrongEpoch
        | CloseReason::WrongNode
        | CloseReason::OwnReflection
        | CloseReason::DuplicateNode
        | CloseReason::UnknownLane
        | CloseReason::Removed => true,
        CloseReason::Shutdown
        | CloseReason::Done
        | CloseReason::HandshakeTimeout
        | CloseReason::Silence
        | CloseReason::DrainTimeout
        | CloseReason::Violation
        | CloseReason::Lost
        | CloseReason::Unread => false,
    }
}

/// The other side was accepted: the lane can be used.
fn open(hub: &Hub, peer: NodeId, lane: Lane, link: &Rc<Link>) {
    hub.lanes.borrow_mut().entry(peer.0).or_default().set(lane, Some(Rc::clone(link)));
    match lane {
        Lane::Bulk => hub.report(Event::Node(Input::PeerConnected(peer))),
        Lane::Control => {
            let who = hub.who.get();
            let introduce = Message::from(Introduce {
                from: who.node.id,
                from_boot: who.node.boot,
                level: FeatureLevel::LATEST.0,
                client: hub.client_address.clone(),
                http: hub.http_address.clone(),
            });
            // A lane that was just opened has room.
            let _ = link.send(introduce.header(), &introduce);
            link.push(hub.clock.millis());
            // The formation and the core say everything again to a peer that was away.
            hub.ring();
        }
    }
}

/// Lets peers in, until it is dropped.
pub(super) async fn listen(hub: Rc<Hub>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                if hub.accepted.borrow().len() >= ACCEPTED_MAX {
                    tracing::warn!(%address, limit = ACCEPTED_MAX, "peer turned away: too many connections");
                    continue;
                }
                tokio::task::spawn_local(serve(Rc::clone(&hub), stream, address));
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a peer");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(hub: Rc<Hub>, stream: TcpStream, address: SocketAddr) {
    let who = hub.who.get();
    let welcome = PeerWelcome {
        version: 0,
        cluster: who.cluster,
        node: who.node,
        features: FEATURES,
        frame_bytes: BODY_CAP,
        build: BUILD.into(),
    };
    let Ok(connection) = Connection::new(Role::AcceptingPeer(welcome), hub.clock.millis()) else { return };
    let link = Link::new(hub.next_id(), stream, connection, usize::MAX);
    hub.accepted.borrow_mut().insert(link.id, Rc::clone(&link));
    let mut from = None;
    link.drive(&hub, |incoming| take(&hub, &link, &mut from, incoming)).await;
    hub.accepted.borrow_mut().remove(&link.id);
    if let Some(peer) = link.peer.get() {
        hub.came_or_went(peer);
    }
    if let Some(ended) = link.connection().ended() {
        let reason = CloseReason::from_number(ended.goodbye.reason);
        if reason.is_some_and(is_mismatch) || reason == Some(CloseReason::Violation) {
            tracing::warn!(%address, reason = ?reason, detail = %ended.goodbye.detail, "peer turned away");
        }
    }
}

fn take(hub: &Hub, link: &Link, from: &mut Option<NodeId>, incoming: Incoming) -> Flow {
    let (header, message) = match incoming {
        Incoming::Accepted(hello) => {
            if let Message::PeerHello(hello) = hello {
                if hub.is_cut(hello.node.id.get()) {
                    // Without a Welcome: this one was never open.
                    link.cut(hub.clock.millis());
                    return Flow::Pause;
                }
                if let Some(detail) = was_removed(hub, hello.node) {
                    link.connection().turn_away(CloseReason::Removed, &detail, hub.clock.millis());
                    return Flow::Pause;
                }
                if let Some(detail) = other_directory(hub, hello.node) {
                    tracing::error!(peer = %hello.node, "{detail}");
                    link.connection().turn_away(CloseReason::DuplicateNode, &detail, hub.clock.millis());
                    return Flow::Pause;
                }
                *from = Some(NodeId(hello.node.id.get()));
                link.peer.set(Some(hello.node.id.get()));
                hub.came_or_went(hello.node.id.get());
            }
            return Flow::On;
        }
        Incoming::Goodbye(_) => {
            link.connection().drained(hub.clock.millis());
            return Flow::On;
        }
        Incoming::Message(header, message) => (header, message),
    };
    let broken = |why: String| {
        tracing::warn!(from = ?from, %why, "a peer sent what cannot be understood");
        link.connection().turn_away(CloseReason::Violation, &why, hub.clock.millis());
        Flow::Pause
    };
    if header.group.0 != 0 {
        return broken(format!("group {} does not exist", header.group.0));
    }
    if let Message::Introduce(introduce) = message {
        if Some(NodeId(introduce.from.get())) == *from {
            let Introduce { from, level, client, http, .. } = introduce;
            hub.report(Event::Node(Input::Introduced { from: NodeId(from.get()), level, client, http }));
        }
        return Flow::On;
    }
    if let Message::Digests(digests) = message {
        let sender = NodeId(digests.from.get());
        if Some(sender) == *from {
            hub.report(Event::Node(Input::Digests { from: sender, ranges: digests.ranges }));
        }
        return Flow::On;
    }
    if matches!(
        message,
        Message::FormationAsk(_) | Message::FormationAnswer(_) | Message::FormationPrepare(_)
    ) {
        return match translate::formation_from_wire(message) {
            Err(error) => broken(error.to_string()),
            Ok(Some((name, message))) if Some(message.from) == *from => {
                hub.report(Event::Formation(name, message));
                Flow::On
            }
            Ok(Some(_)) => broken("a message of formation in the name of another node".to_owned()),
            Ok(None) => Flow::On,
        };
    }
    match translate::from_wire(message) {
        Err(error) => broken(error.to_string()),
        Ok(Some(envelope)) if Some(envelope.from) == *from => {
            hub.report(Event::Node(Input::Peer(envelope)));
            Flow::On
        }
        Ok(Some(_)) => broken("a message in the name of another node".to_owned()),
        Ok(None) => Flow::On,
    }
}
