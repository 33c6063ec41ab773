//! The lines of the log about what happens inside a node. An edge of a machine carries the numbers that the pages of the machines
//! use, as fields: tools find `machine=14 edge="T5"` without reading sentences.

use holdfast_machine::{Machine as _, Numbered as _};
use holdfast_raft::{
    Alarm, Event as CoreEvent, MembershipMachine, NodeId, ProgressMachine, RoleMachine, TransferMachine,
};

use crate::describe::{self, Described};
use crate::node::leadership::LeadershipMachine;
use crate::node::{NodeEvent, Slow, SlowCall};
use crate::stage::Stage;

/// A line about an event.
pub(super) fn event(node: u64, event: NodeEvent) {
    match event {
        NodeEvent::Raft(CoreEvent::Role(edge, term)) => {
            tracing::info!(
                node,
                machine = RoleMachine::NUMBER,
                edge = edge.tag(),
                term = term.0,
                "raft {edge}"
            );
        }
        NodeEvent::Raft(CoreEvent::Alarm(alarm, about)) => alarmed(node, alarm, about),
        NodeEvent::Raft(event) => core_event(node, &event),
        NodeEvent::Leadership(edge, term) => {
            let machine = LeadershipMachine::NUMBER;
            tracing::info!(node, machine, edge = edge.tag(), term, "leadership {edge}");
        }
        NodeEvent::Halted(why) => tracing::error!(node, %why, "the store must not go on"),
        NodeEvent::SnapshotTaken { last, bytes } => {
            tracing::info!(node, %last, bytes, "snapshot taken");
        }
        NodeEvent::SnapshotFailed(why) => tracing::error!(node, %why, "a snapshot failed"),
        NodeEvent::Reinstalled { index, revision } => {
            tracing::info!(node, index, revision, "the state was replaced by a snapshot");
        }
        NodeEvent::AuditFailed(why) => {
            tracing::error!(node, %why, "the audit log cannot be written; it is tried again");
        }
        NodeEvent::AuditGoesOn => tracing::info!(node, "the audit log can be written again"),
        NodeEvent::Drift(drift) => tracing::warn!(node, %drift, "clocks differ"),
        NodeEvent::DriftOver => tracing::info!(node, "clocks agree again"),
    }
}

/// What only somebody who looks closely wants to know.
fn core_event(node: u64, event: &CoreEvent) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    let (machine, edge, peer) = match event {
        CoreEvent::Role(edge, _) => (RoleMachine::NUMBER, edge.tag(), None),
        CoreEvent::Progress(peer, edge) => (ProgressMachine::NUMBER, edge.tag(), Some(peer.0)),
        CoreEvent::Membership(edge, _) => (MembershipMachine::NUMBER, edge.tag(), None),
        CoreEvent::Transfer(edge, _) => (TransferMachine::NUMBER, edge.tag(), None),
        CoreEvent::Alarm(..)
        | CoreEvent::HandedOver(_)
        | CoreEvent::TransferGivenUp(_)
        | CoreEvent::Healed(_) => return tracing::debug!(node, ?event, "raft"),
    };
    tracing::debug!(node, machine, edge, peer, ?event, "raft");
}

fn alarmed(node: u64, alarm: Alarm, about: NodeId) {
    tracing::error!(node, %about, "ALARM {alarm}: no correct peer does this; look at that node");
}

/// The disk of the log has become too full for the next segment, or is so no more. Bytes that are free, and that are needed.
pub(super) fn disk_full(node: u64, full: Option<(u64, u64)>) {
    match full {
        Some((free, needed)) => tracing::error!(
            node,
            free,
            needed,
            "the disk is full: this node stores nothing new, and goes on by itself when there is room"
        ),
        None => tracing::info!(node, "the disk has room again"),
    }
}

/// A request that took long: a line with the microseconds of each stage that it was in.
pub(super) fn slow_request(node: u64, mut slow: Slow, applying: u64, replying: u64) {
    if slow.answered {
        if matches!(slow.call, SlowCall::Write(_)) {
            slow.set_stage(Stage::Apply, applying);
        }
        slow.set_stage(Stage::Reply, replying);
    }
    let what = match &slow.call {
        SlowCall::Write(Some(entry)) => describe::entry(entry),
        SlowCall::Write(None) => Described { command: "write".to_owned(), ..Described::default() },
        SlowCall::Range(span) => {
            Described { command: "range".to_owned(), about: describe::span(span), ..Described::default() }
        }
        SlowCall::Query => Described { command: "query".to_owned(), ..Described::default() },
    };
    let Described { command, about, actor } = what;
    let millis = slow.took / 1_000;
    let end = if slow.answered { "answered" } else { "given up" };
    tracing::warn!(
        node,
        connection = slow.caller.connection,
        command,
        about,
        actor,
        end,
        took_us = slow.took,
        p2_admit_us = slow.stage(Stage::Admit),
        p3_propose_us = slow.stage(Stage::Propose),
        p4_append_us = slow.stage(Stage::Append),
        p5_sync_us = slow.stage(Stage::Sync),
        p6_replicate_us = slow.stage(Stage::Replicate),
        p7_commit_us = slow.stage(Stage::Commit),
        p8_apply_us = slow.stage(Stage::Apply),
        p9_reply_us = slow.stage(Stage::Reply),
        "slow request: {command} {end} after {millis} ms"
    );
}
