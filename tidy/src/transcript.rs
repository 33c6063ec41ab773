//! What cores say to each other, line by line, for the pages of the machines: real cores, a network that loses nothing,
//! and disks that answer when the story says so. Heartbeats tell nothing here and are left out.

use std::collections::VecDeque;
use std::fmt::Write;

use bytes::Bytes;
use holdfast_machine::Numbered;
use holdfast_raft::{
    Boot, ClusterId, Config, Configuration, Core, Entry, Envelope, Event, Input, LogOp, Member, Message,
    NodeId, NodeUuid, Output, Payload, Persist, PersistId, Recovered, RoleState,
};

/// How far the lines of a node stand to the right of those of the node before.
const INDENT: usize = 12;

/// A persist on its way to a disk, with the messages that wait for it.
type Pending = (PersistId, Vec<Envelope>);

/// Three voters that were formed together.
#[derive(Debug)]
struct Cluster {
    cores: Vec<Core>,
    network: VecDeque<Envelope>,
    disks: Vec<VecDeque<Pending>>,
    told: String,
}

impl Cluster {
    fn new() -> Self {
        let members = [1, 2, 3].map(NodeId);
        let member =
            |id: NodeId| Member { uuid: NodeUuid([id.0 as u8; 16]), promote: false, context: Bytes::new() };
        let initial = Configuration::initial(members.map(|id| (id, member(id))));
        let core = |id: NodeId| {
            let config = Config::new(ClusterId([7; 16]), id, member(id).uuid, Boot(1), 1);
            Core::new(config, Recovered::formed(initial.clone())).expect("a formed node starts")
        };
        Self {
            cores: members.map(core).into(),
            network: VecDeque::new(),
            disks: vec![VecDeque::new(); members.len()],
            told: String::new(),
        }
    }

    fn say(&mut self, at: usize, text: &str) {
        let _ = writeln!(self.told, "  {:indent$}{} {text}", "", at + 1, indent = INDENT * at);
    }

    fn step(&mut self, at: usize, input: Input) {
        self.cores[at].step(input).expect("nothing in these stories is refused");
        let mut output = Output::default();
        self.cores[at].flush(&mut output);
        for event in &output.events {
            if let Some(text) = event_text(event) {
                self.say(at, &text);
            }
        }
        if let Some(persist) = &output.persist {
            self.say(at, &persist_text(persist));
            self.disks[at].push_back((persist.id, Vec::new()));
        }
        for held in output.send_after_persist {
            self.say(at, &format!("holds {} until disk {}", message_text(&held.envelope), held.after));
            let waiting = self.disks[at].iter_mut().find(|(id, _)| *id == held.after);
            waiting.expect("a promise waits for a persist on its way").1.push(held.envelope);
        }
        for envelope in output.send_now {
            self.send(at, envelope);
        }
        if let Some(last) = output.apply.last() {
            self.say(at, &format!("applies up to {}", last.id));
            self.step(at, Input::Applied(last.id.index));
        }
    }

    fn send(&mut self, at: usize, envelope: Envelope) {
        if !matches!(envelope.message, Message::Heartbeat { .. } | Message::HeartbeatAck { .. }) {
            self.say(at, &format!("sends {}", message_text(&envelope)));
        }
        self.network.push_back(envelope);
    }

    /// The disk of this node has all that was handed to it.
    fn sync(&mut self, at: usize) {
        while let Some((id, envelopes)) = self.disks[at].pop_front() {
            self.say(at, &format!("disk {id} is durable"));
            self.step(at, Input::Durable(id));
            for envelope in envelopes {
                self.send(at, envelope);
            }
        }
    }

    /// Delivers until nobody has anything to say; disks answer at once if `sync` says so.
    fn settle(&mut self, sync: bool) {
        loop {
            if sync {
                (0..self.cores.len()).for_each(|at| self.sync(at));
            }
            let Some(envelope) = self.network.pop_front() else { return };
            let to = envelope.to.0 as usize - 1;
            self.step(to, Input::Receive(envelope));
        }
    }

    /// Node 1 becomes the leader.
    fn elect(&mut self) {
        while self.cores[0].role() == RoleState::Follower {
            self.step(0, Input::Tick);
        }
        self.settle(true);
    }
}

/// From the first timeout to a leader that has committed an entry of its own term.
#[must_use]
pub fn election() -> String {
    let mut cluster = Cluster::new();
    cluster.elect();
    format!("```text\n{}```", cluster.told)
}

/// One entry: proposed, durable on the followers before it is on the leader, committed, applied.
#[must_use]
pub fn round() -> String {
    let mut cluster = Cluster::new();
    cluster.elect();
    cluster.told.clear();
    cluster.step(0, Input::Propose(vec![Bytes::from_static(b"x")]));
    cluster.settle(false);
    for at in [1, 2, 0] {
        cluster.sync(at);
        cluster.settle(false);
    }
    format!("```text\n{}```", cluster.told)
}

/// The same leader in words and bars, while one follower is behind.
#[must_use]
pub fn describe() -> String {
    let mut cluster = Cluster::new();
    cluster.elect();
    for _ in 0..5 {
        cluster.step(0, Input::Propose(vec![Bytes::from_static(b"x")]));
        cluster.network.retain(|envelope| envelope.to != NodeId(3));
        cluster.settle(true);
    }
    format!("```text\n{}```", cluster.cores[0].describe())
}

fn event_text(event: &Event) -> Option<String> {
    match event {
        Event::Role(edge, term) => Some(format!("02 {}, term {term}", edge.label())),
        Event::Progress(peer, edge) => Some(format!("03 {} for {peer}", edge.label())),
        // A log that begins with a configuration: page 04 tells of it.
        Event::Membership(..) => None,
        Event::Transfer(edge, end) => Some(format!("05 {} up to {end}", edge.label())),
        Event::Alarm(alarm, about) => Some(format!("alarm {} about {about}", alarm.label())),
        Event::HandedOver(to) => Some(format!("hands over to {to}")),
        Event::TransferGivenUp(to) => Some(format!("gives up handing over to {to}")),
        Event::Healed(up_to) => Some(format!("is whole up to {up_to}")),
    }
}

fn persist_text(persist: &Persist) -> String {
    let mut text = format!("gives its disk {}:", persist.id);
    if let Some(hard) = persist.hard_state {
        let vote = hard.vote.map_or("nobody".to_owned(), |id| id.to_string());
        let _ = write!(text, " term {}, vote {vote};", hard.term);
    }
    for op in &persist.log {
        if let LogOp::Append { first, entries } = op {
            let _ = write!(text, " {} from {first};", entries_text(entries));
        } else {
            let _ = write!(text, " {op:?};");
        }
    }
    text.trim_end_matches(';').to_owned()
}

fn entries_text(entries: &[Entry]) -> String {
    let kinds: Vec<&str> = entries
        .iter()
        .map(|entry| match entry.payload {
            Payload::Empty => "an empty entry",
            Payload::Data(_) => "an entry",
            Payload::Configuration(_) => "a configuration",
        })
        .collect();
    if kinds.is_empty() { "nothing".to_owned() } else { kinds.join(" and ") }
}

fn message_text(envelope: &Envelope) -> String {
    let what = match &envelope.message {
        Message::PreVote { last } | Message::Vote { last, .. } | Message::TimeoutNow { last } => {
            format!("log ends at {last}")
        }
        Message::PreVoteReply { granted, .. } | Message::VoteReply { granted } => {
            (if *granted { "yes" } else { "no" }).to_owned()
        }
        Message::Append { prev, entries, commit, .. } => {
            format!("{} behind {prev}, commit {commit}", entries_text(entries))
        }
        Message::AppendAck { matched, .. } => format!("up to {matched}"),
        other => format!("{other:?}"),
    };
    format!("{} to {} ({what})", envelope.message.name(), envelope.to)
}
