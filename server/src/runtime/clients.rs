//! The client port: who is let in, and what becomes of what they ask.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use holdfast_machine::{Machine as _, Numbered as _};
use holdfast_wire::Connection;
use holdfast_wire::connection::{ConnectionMachine, Incoming, Role};
use holdfast_wire::message::{ClientWelcome, CloseReason, Limits};
use holdfast_wire::message_type::BODY_CAP;
use tokio::net::{TcpListener, TcpStream};

use super::hub::{BUILD, Event, FEATURES, Hub};
use super::link::{Flow, Link};
use crate::node::Input;
use crate::port::{self, Said};

/// Connections of clients. One costs some 2 KiB while it is quiet, and a file descriptor.
pub(crate) const CLIENTS_MAX: usize = 8_192;

/// Calls of one connection that are not answered yet; nothing more is read beyond.
pub(super) const CALLS_MAX: usize = 4_096;

/// Connections that have not been greeted yet: a handshake has 5 seconds, so these are as many that say nothing.
const SILENT_MAX: usize = 1_024;

/// How long the listener rests when the system has no file descriptor left.
const REST: Duration = Duration::from_millis(100);

/// Lets clients in, until it is dropped.
pub(super) async fn listen(hub: Rc<Hub>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                let (all, greeted) = (hub.clients.borrow().len(), hub.greeted.get());
                if all >= CLIENTS_MAX || all - greeted.min(all) >= SILENT_MAX {
                    tracing::warn!(%address, all, greeted, "client turned away: too many connections");
                    continue;
                }
                tokio::task::spawn_local(serve(Rc::clone(&hub), stream, address));
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a client");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

async fn serve(hub: Rc<Hub>, stream: TcpStream, address: SocketAddr) {
    let who = hub.who.get();
    let welcome = ClientWelcome {
        version: 0,
        cluster: who.cluster,
        node: who.node,
        features: FEATURES,
        limits: Limits {
            frame_bytes: BODY_CAP,
            request_bytes: 8 << 20,
            transaction_bytes: 8 << 20,
            transaction_operations: holdfast_command::keys::OPERATIONS_MAX as u32,
        },
        leader: hub.leader.borrow().clone(),
        build: BUILD.into(),
    };
    let Ok(connection) = Connection::new(Role::Server(welcome), hub.clock.millis()) else { return };
    let link = Link::new(hub.next_id(), stream, connection, CALLS_MAX);
    hub.clients.borrow_mut().insert(link.id, Rc::clone(&link));
    if hub.stopping.get() {
        link.connection().close(CloseReason::Shutdown, "", hub.clock.millis());
    }
    let mut greeted = false;
    link.drive(&hub, |incoming| {
        if matches!(incoming, Incoming::Accepted(_)) {
            greeted = true;
            hub.greeted.set(hub.greeted.get() + 1);
        }
        take(&hub, &link, address, incoming)
    })
    .await;
    hub.greeted.set(hub.greeted.get() - usize::from(greeted));
    hub.clients.borrow_mut().remove(&link.id);
    hub.call(Event::Node(Input::Gone(link.id)));
    if let Some(ended) = link.connection().ended() {
        let (machine, edge) = (ConnectionMachine::NUMBER, ended.edge.tag());
        tracing::debug!(%address, machine, edge, detail = %ended.goodbye.detail, "client gone");
    }
}

fn take(hub: &Hub, link: &Link, address: SocketAddr, incoming: Incoming) -> Flow {
    let said = match incoming {
        Incoming::Accepted(_) => return Flow::On,
        Incoming::Goodbye(_) => {
            if link.in_flight.get() == 0 {
                link.connection().drained(hub.clock.millis());
            }
            return Flow::On;
        }
        Incoming::Message(header, message) => (header, message),
    };
    let from = (address.ip(), address.port());
    let event = match port::understand(link.id, from, hub.clock.micros(), said) {
        Said::Call(input) => Event::Node(input),
        Said::Status(caller) => Event::Status(caller),
        Said::Stats(caller) => Event::Stats(caller),
        Said::Trace(caller, trace) => Event::Trace(caller, trace),
        Said::Examine(caller) => Event::Examine(caller),
        Said::Aside(input) => {
            hub.call(Event::Node(input));
            return Flow::On;
        }
        Said::Nothing => return Flow::On,
        Said::Violation(why) => {
            link.connection().turn_away(CloseReason::Violation, &why, hub.clock.millis());
            return Flow::Pause;
        }
    };
    hub.call(event);
    if link.called() { Flow::On } else { Flow::Pause }
}
