//! What a client says on its port, as what the node is told about it.
//!
//! Apart from the sockets, so that a simulated client is understood by the same code.

use std::net::IpAddr;

use holdfast_command::{Actor, SessionId};
use holdfast_store::{NoPlant, Plant};
use holdfast_wire::message::Trace;
use holdfast_wire::{Header, Message};

use crate::node::{Caller, Input, Submission};

/// What a message of a client is.
#[derive(Debug)]
pub enum Said<S: Plant = NoPlant> {
    /// A call, which will be answered.
    Call(Input<S>),
    /// A call that asks how the node is.
    Status(Caller),
    /// A call that asks what the node has measured.
    Stats(Caller),
    /// A call that asks where the time of writes went.
    Trace(Caller, Trace),
    /// A call that has the node examine itself.
    Examine(Caller),
    /// It speaks of a call and is none; what it brings about comes as the events of that call do.
    Aside(Input<S>),
    /// It belongs to no call, or is nothing that clients say.
    Nothing,
    /// It breaks this rule: the connection is to be ended.
    Violation(String),
}

/// Understands a message that came over this connection at this moment, in [`Now::micros`](crate::node::Now).
#[must_use]
pub fn understand<S: Plant>(
    connection: u64,
    (address, port): (IpAddr, u16),
    at: u64,
    (header, message): (Header, Message),
) -> Said<S> {
    if matches!(message, Message::Pong(_)) {
        // The answer to our own Ping, which belongs to no call.
        return Said::Nothing;
    }
    if header.group.0 != 0 || header.call.0 == 0 {
        return Said::Violation(format!(
            "call {} of group {}: there is group 0, and calls count from 1",
            header.call.0, header.group.0
        ));
    }
    let caller = Caller { connection, call: header.call.0 };
    // Nobody has proved who it is; access control comes with its own issue.
    let actor = Actor::Anonymous;
    #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else there is, clients do not say it here")]
    let input = match message {
        Message::Submit(submit) => Input::Submit(Submission {
            caller,
            actor,
            address: Some((address, port)),
            request: submit.request,
            at,
            timeout_ms: submit.timeout_ms,
            keyed_here: false,
        }),
        Message::KeepSession(keep) => {
            Input::Keep { caller, actor, session: SessionId(keep.session), timeout_ms: keep.timeout_ms }
        }
        Message::Read(read) => Input::Read { caller, read },
        Message::Query(query) => Input::Query { caller, query },
        Message::KeepLease(keep) => {
            Input::KeepLease { caller, actor, lease: keep.lease, timeout_ms: keep.timeout_ms }
        }
        Message::ChangeMembers(change) => Input::ChangeMembers { caller, change },
        Message::SaveSnapshot(save) => Input::SaveSnapshot { caller, save },
        Message::Watch(watch) => Input::Watch { caller, watch },
        Message::WatchProgress(_) => return Said::Aside(Input::AskProgress(caller)),
        Message::WatchCancel(_) => return Said::Aside(Input::Unwatch(caller)),
        Message::Status(_) => return Said::Status(caller),
        Message::Stats(_) => return Said::Stats(caller),
        Message::Trace(trace) => return Said::Trace(caller, trace),
        Message::Examine(_) => return Said::Examine(caller),
        _ => return Said::Nothing,
    };
    Said::Call(input)
}
