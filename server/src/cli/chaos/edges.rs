//! Lines of the log of a node, and the edges of machines that they tell of.

use std::collections::BTreeMap;

use holdfast_hlc::Stamp;
use holdfast_machine::{Machine, Numbered, Verdict};
use holdfast_raft::{MembershipMachine, ProgressMachine, RoleMachine, TransferMachine};
use serde_json::Value;

use crate::node::leadership::LeadershipMachine;
use crate::runtime::LifeMachine;

/// Which lines the nodes are to log, so that all edges are in them.
pub(super) const FILTER: &str = "info,holdfast_server::runtime::lines=debug";

/// What a line says.
#[derive(Debug)]
pub(super) enum Line {
    /// A machine took an edge.
    Edge(Edge),
    /// Something else: how bad it is, and what.
    Other(Level, String),
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// Only somebody who looks closely wants to know.
    Quiet,
    /// A warning.
    Warning,
    /// An error, or something that is no line of the log: it may be a panic.
    Error,
}

/// An edge that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    /// When, in milliseconds of unix time, by the clock of the node: which is that of this machine.
    pub(super) at_ms: u64,
    pub(super) machine: u8,
    /// The name of the machine.
    pub(super) name: &'static str,
    /// `T9`.
    pub(super) tag: String,
    /// The name of the edge.
    pub(super) edge: &'static str,
    /// Where the machine was; `…` if nobody knows.
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    pub(super) term: Option<u64>,
    /// The peer that the machine is about, if there is one for each.
    pub(super) peer: Option<u64>,
}

impl Edge {
    /// Whether it concerns the whole cluster: a role, a leadership, a life.
    pub(super) fn is_main(&self) -> bool {
        [RoleMachine::NUMBER, LeadershipMachine::NUMBER, LifeMachine::NUMBER].contains(&self.machine)
    }
}

/// Where the machines of one node are, by their number and the peer that they are about. Made anew with each process.
#[derive(Debug, Default)]
pub(super) struct Machines(BTreeMap<(u8, Option<u64>), &'static str>);

impl Machines {
    /// Where a machine is that there is once.
    pub(super) fn state<M: Machine>(&self) -> &'static str {
        self.0.get(&(M::NUMBER, None)).copied().unwrap_or(M::INITIAL.name())
    }

    /// Reads a line of the log.
    pub(super) fn read(&mut self, line: &str) -> Line {
        let Ok(object) = serde_json::from_str::<Value>(line) else {
            return Line::Other(Level::Error, line.to_owned());
        };
        if let Some(edge) = self.edge(&object) {
            return Line::Edge(edge);
        }
        let level = match object["level"].as_str() {
            Some("ERROR") => Level::Error,
            Some("WARN") => Level::Warning,
            Some(_) | None => Level::Quiet,
        };
        let mut text = object["message"].as_str().unwrap_or(line).to_owned();
        if let Some(error) = object["error"].as_str() {
            text += &format!(": {error}");
        }
        Line::Other(level, text)
    }

    fn edge(&mut self, line: &Value) -> Option<Edge> {
        let machine = u8::try_from(line["machine"].as_u64()?).ok()?;
        let tag = line["edge"].as_str()?;
        let known = known(machine, tag)?;
        let peer = line["peer"].as_u64();
        if machine == RoleMachine::NUMBER {
            // What a leader knows of its followers begins and ends with its role.
            self.0.retain(|(machine, _), _| *machine != ProgressMachine::NUMBER);
        }
        let was = self.0.insert((machine, peer), known.to).unwrap_or(known.initial);
        let from = match known.sources.as_slice() {
            [only] => only,
            sources if sources.contains(&was) => was,
            _ => "…",
        };
        Some(Edge {
            at_ms: moment(line["timestamp"].as_str()?)?,
            machine,
            name: known.name,
            tag: tag.to_owned(),
            edge: known.edge,
            from,
            to: known.to,
            term: line["term"].as_u64(),
            peer,
        })
    }
}

/// `2026-11-22T07:28:40.416174Z`, to the millisecond.
fn moment(text: &str) -> Option<u64> {
    let stamp: Stamp = format!("{}Z-00000", text.get(..23)?).parse().ok()?;
    Some(stamp.millis().get())
}

/// What the table of a machine says of an edge.
struct Known {
    name: &'static str,
    edge: &'static str,
    initial: &'static str,
    /// The states that it leaves.
    sources: Vec<&'static str>,
    to: &'static str,
}

fn known(machine: u8, tag: &str) -> Option<Known> {
    match machine {
        RoleMachine::NUMBER => of::<RoleMachine>(tag),
        ProgressMachine::NUMBER => of::<ProgressMachine>(tag),
        MembershipMachine::NUMBER => of::<MembershipMachine>(tag),
        TransferMachine::NUMBER => of::<TransferMachine>(tag),
        LifeMachine::NUMBER => of::<LifeMachine>(tag),
        LeadershipMachine::NUMBER => of::<LeadershipMachine>(tag),
        _ => None,
    }
}

fn of<M: Machine>(tag: &str) -> Option<Known> {
    let edge = M::Edge::ALL.iter().copied().find(|edge| edge.tag() == tag)?;
    let leaves = |state: &M::State| {
        M::Event::ALL
            .iter()
            .any(|event| matches!(M::next(*state, *event), Verdict::Take(taken) if taken.tag() == tag))
    };
    let sources = M::State::ALL.iter().filter(|state| leaves(state)).map(|state| state.name()).collect();
    let (initial, to) = (M::INITIAL.name(), M::target(edge).name());
    Some(Known { name: M::NAME, edge: edge.name(), initial, sources, to })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_an_edge_is_told_with_where_the_machine_was_and_any_other_with_how_bad_it_is() {
        let mut machines = Machines::default();
        let mut read = |machine: u8, tag: &str, more: &str| {
            let line = format!(
                "{{\"timestamp\":\"1970-01-01T00:00:01.234567Z\",\"level\":\"INFO\",\"message\":\"x\",\"machine\":{machine},\
                 \"edge\":\"{tag}\"{more}}}"
            );
            match machines.read(&line) {
                Line::Edge(edge) => edge,
                Line::Other(..) => panic!("{line}"),
            }
        };
        let edge = read(2, "T1", ",\"term\":6");
        assert_eq!((edge.at_ms, edge.from, edge.to, edge.term), (1_234, "Follower", "PreCandidate", Some(6)));
        assert_eq!(read(2, "T4", "").from, "PreCandidate", "T4 leaves two states, and this was the last one");
        assert_eq!(read(2, "T9", "").from, "Candidate", "T9 leaves one state only, whatever was missed");
        assert_eq!((read(14, "T5", "").edge, read(15, "T2", "").to), ("BecomeReady", "Established"));
        assert!(matches!(
            machines.read("{\"level\":\"ERROR\",\"message\":\"no\",\"error\":\"why\"}"),
            Line::Other(Level::Error, text) if text == "no: why"
        ));
        assert!(matches!(
            machines.read("{\"level\":\"WARN\",\"machine\":2,\"edge\":\"T99\"}"),
            Line::Other(Level::Warning, _)
        ));
        assert!(matches!(machines.read("thread 'main' panicked"), Line::Other(Level::Error, _)));
        assert_eq!(machines.state::<RoleMachine>(), "Leader");
    }
}
