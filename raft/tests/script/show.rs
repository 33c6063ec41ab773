//! What happens, in words: one line per edge, message and write.
//!
//! | written | means |
//! |---|---|
//! | `7@3` | the entry at index 7, written in term 3 |
//! | `t3` before a message | the term of the envelope |
//! | `{1 2 3 + 4}` | a configuration: voters 1 2 3, learner 4; `{1 2 4 ← 1 2 3}` is joint, the old half behind the arrow |
//! | `✗` behind a node | the message is lost: the link is cut |

use holdfast_machine::{Machine, Numbered};
use holdfast_raft::{
    Core, Entry, EntryId, Envelope, HardState, Index, LogOp, Message, NodeId, Payload, Persist, Plant,
    Refusal,
};

/// What an entry carries: nothing for an empty one.
pub(crate) fn payload(payload: &Payload) -> String {
    match payload {
        Payload::Empty => String::new(),
        Payload::Data(data) => {
            let text = String::from_utf8_lossy(data);
            let name = text.trim_end_matches('.');
            if name.len() == text.len() { format!(" {text}") } else { format!(" {name}:{}", text.len()) }
        }
        Payload::Configuration(configuration) => format!(" {{{configuration}}}"),
    }
}

/// `2@2, 3@2 x`; long lists by their ends.
pub(crate) fn entries(first: u64, list: &[Entry]) -> String {
    let one = |(entry, index): (&Entry, u64)| {
        let id = EntryId { term: entry.term, index: Index(index) };
        format!("{id}{}", payload(&entry.payload))
    };
    let mut shown: Vec<String> = list.iter().zip(first..).map(one).collect();
    if shown.len() > 8 {
        let skipped = shown.len() - 4;
        shown.splice(2..2 + skipped, [format!("… {skipped} more …")]);
    }
    shown.join(", ")
}

/// A message without its addresses.
pub(crate) fn message(envelope: &Envelope) -> String {
    let yes = |granted: bool| if granted { "yes" } else { "no" };
    let counting = |counting: bool| if counting { "" } else { ", not to be counted" };
    let office = |established: bool| if established { "" } else { ", not established yet" };
    let name = envelope.message.name();
    let text = match &envelope.message {
        Message::PreVote { last } => format!(", log ends {last}"),
        Message::Vote { last, transfer: false } => format!(", log ends {last}"),
        Message::Vote { last, transfer: true } => format!(", log ends {last}, told to take over"),
        Message::PreVoteReply { granted, .. } | Message::VoteReply { granted } => {
            format!(" {}", yes(*granted))
        }
        Message::Append { prev, entries: list, commit, established, .. } => {
            let what = if list.is_empty() { "nothing".into() } else { entries(prev.index.0 + 1, list) };
            format!(" {what} after {prev}; commit {commit}{}", office(*established))
        }
        Message::AppendAck { matched, counting: counts, .. } => {
            format!(" up to {matched}{}", counting(*counts))
        }
        Message::AppendReject { prev, hint, .. } => format!(" {prev}, agrees at most up to {hint}"),
        Message::Heartbeat { round, commit, established } => {
            format!(" round {round}; commit {commit}{}", office(*established))
        }
        Message::HeartbeatAck { round, counting: counts } => format!(" round {round}{}", counting(*counts)),
        Message::ReadIndex { batch } => format!(" batch {batch}"),
        Message::ReadIndexReply { batch, index: Some(index) } => {
            format!(" batch {batch}: apply {index} first")
        }
        Message::ReadIndexReply { batch, index: None } => format!(" batch {batch}: cannot say"),
        Message::TimeoutNow { last } => format!(", log ends {last}"),
        Message::SnapshotChunk { meta, offset, data } => {
            format!(" {}: bytes {offset}..{} of {}", meta.last, offset + data.len() as u64, meta.bytes)
        }
        Message::SnapshotAck { last, offset } => format!(" {last}: go on at {offset}"),
        Message::SnapshotReject { last } => format!(" {last}"),
        Message::Notice => String::new(),
    };
    format!("t{} {name}{text}", envelope.term)
}

fn hard(state: HardState) -> String {
    state.vote.map_or(format!("term {}", state.term), |vote| format!("term {}, vote for n{vote}", state.term))
}

/// What goes to the disk.
pub(crate) fn persist(persist: &Persist) -> String {
    let ops = persist.log.iter().map(|op| match op {
        LogOp::Append { first, entries: list } => entries(first.0, list),
        LogOp::Fill { index, entry } => format!("fill {}", entries(index.0, std::slice::from_ref(entry))),
        LogOp::Confirm { index, term } => format!("confirm {index}@{term}"),
        LogOp::Heal { whole } => format!("whole up to {whole}"),
        LogOp::Reset { last } => format!("begin anew behind {last}"),
        LogOp::Trim { through } => format!("drop up to {through}"),
    });
    persist.hard_state.map(hard).into_iter().chain(ops).collect::<Vec<_>>().join("; ")
}

/// `T9 WinElection: Candidate → Leader`, and where the machine stands then.
pub(crate) fn edge<M: Machine>(from: &mut M::State, edge: M::Edge) -> String {
    let to = M::target(edge);
    let text = format!("{}: {} → {}", edge.label(), from.name(), to.name());
    *from = to;
    text
}

/// A refusal with its reason.
pub(crate) fn refusal(refusal: Refusal) -> String {
    let caption = refusal.caption().split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{} ({})", refusal.label(), caption.trim_end_matches('.'))
}

/// A node in one line.
pub(crate) fn node<P: Plant>(core: &Core<P>) -> String {
    let first = core.evicted().index.0 + 1;
    let list: Vec<Entry> =
        (first..=core.last().index.0).filter_map(|at| core.entry(Index(at)).cloned()).collect();
    let mut base =
        if core.prev().index.0 > 0 { format!("(snapshot {}) ", core.prev()) } else { String::new() };
    if core.evicted() > core.prev() {
        base += &format!("(on disk {}..{}) ", core.prev().index.next(), core.evicted());
    }
    let (id, role, term, commit) = (core.id(), core.role(), core.term(), core.commit());
    let log = if list.is_empty() && first == 1 { "empty".into() } else { entries(first, &list) };
    format!("n{id} {role:?} of term {term}, commit {commit}: {base}{log}").trim_end().to_owned()
}

/// `n1 n2✗ n3`.
pub(crate) fn addressees(to: &[(NodeId, bool)]) -> String {
    let one = |(id, lost): &(NodeId, bool)| format!("n{id}{}", if *lost { "✗" } else { "" });
    to.iter().map(one).collect::<Vec<_>>().join(" ")
}
