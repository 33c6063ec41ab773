//! Messages that nobody sent: what a broken peer, another cluster, or somebody with a grudge might say.
//!
//! `forge n3→n1 Vote term=9 last=5@4`: envelope fields are `term`, `boot`, `to_boot`, `cluster`, `epoch`; the rest are those
//! of the message, with these defaults: zero, nothing, no.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use holdfast_raft::{
    Boot, ClusterEpoch, ClusterId, Configuration, Entry, EntryId, Envelope, Index, Message, NodeId, Payload,
    Plant, Round, SnapshotMeta, Stretch, Term,
};

use crate::script::command::{Done, data, entry_id, member, node_id, number};
use crate::script::world::World;

struct Fields<'a>(BTreeMap<&'a str, &'a str>);

impl Fields<'_> {
    fn number(&self, key: &str) -> Done<u64> {
        self.0.get(key).map_or(Ok(0), |word| number(word))
    }

    fn id(&self, key: &str) -> Done<EntryId> {
        self.0.get(key).map_or(Ok(EntryId::ZERO), |word| entry_id(word))
    }

    fn yes(&self, key: &str) -> bool {
        self.0.get(key) == Some(&"yes")
    }

    /// `2:x,2,3{1.2.3}`: a term, and a command, nothing, or a configuration.
    fn entries(&self) -> Done<Vec<Entry>> {
        let list = self.0.get("entries").copied().unwrap_or_default();
        let one = |word: &str| {
            let (term, payload) = if let Some((term, voters)) = word.split_once('{') {
                (term, Payload::Configuration(voters_of(voters.trim_end_matches('}'))?.into()))
            } else if let Some((term, text)) = word.split_once(':') {
                (term, Payload::Data(data(text)?))
            } else {
                (word, Payload::Empty)
            };
            Done::Ok(Entry { term: Term(number(term)?), payload })
        };
        list.split(',').filter(|word| !word.is_empty()).map(one).collect()
    }

    fn meta(&self) -> Done<SnapshotMeta> {
        let voters = self.0.get("voters").copied().unwrap_or("1.2.3");
        let configuration = (Index(self.number("at")?), voters_of(voters)?.into());
        Ok(SnapshotMeta { last: self.id("last")?, configuration, bytes: self.number("bytes")? })
    }

    fn message(&self, kind: &str) -> Done<Message> {
        let index = |key: &str| self.number(key).map(Index);
        let (commit, established) = (index("commit")?, self.yes("established"));
        let (stretch, counting) = (Stretch(self.number("stretch")?), !self.yes("uncounted"));
        let (batch, granted) = (self.number("batch")?, self.yes("granted"));
        Ok(match kind {
            "PreVote" => Message::PreVote { last: self.id("last")? },
            "PreVoteReply" => Message::PreVoteReply { asked: Term(self.number("asked")?), granted },
            "Vote" => Message::Vote { last: self.id("last")?, transfer: self.yes("transfer") },
            "VoteReply" => Message::VoteReply { granted },
            "Append" => {
                let (prev, entries) = (self.id("prev")?, self.entries()?);
                Message::Append { prev, entries, commit, established, stretch }
            }
            "AppendAck" => Message::AppendAck { matched: index("matched")?, stretch, counting },
            "AppendReject" => {
                Message::AppendReject { prev: self.id("prev")?, hint: self.id("hint")?, stretch }
            }
            "Heartbeat" => Message::Heartbeat { round: Round(self.number("round")?), commit, established },
            "HeartbeatAck" => Message::HeartbeatAck { round: Round(self.number("round")?), counting },
            "ReadIndex" => Message::ReadIndex { batch },
            "ReadIndexReply" => {
                let known = self.0.contains_key("index");
                Message::ReadIndexReply { batch, index: known.then_some(index("index")?) }
            }
            "TimeoutNow" => Message::TimeoutNow { last: self.id("last")? },
            "SnapshotChunk" => {
                let data = Bytes::from(vec![b'x'; self.number("size")? as usize]);
                Message::SnapshotChunk { meta: self.meta()?, offset: self.number("offset")?, data }
            }
            "SnapshotAck" => Message::SnapshotAck { last: self.id("last")?, offset: self.number("offset")? },
            "SnapshotReject" => Message::SnapshotReject { last: self.id("last")? },
            "Notice" => Message::Notice,
            _ => return Err(format!("{kind} is no message")),
        })
    }
}

/// `1.2.3`, or `1.2.4←1.2.3` while joint.
fn voters_of(list: &str) -> Done<Configuration> {
    let (new, old) = list.split_once('←').unwrap_or((list, ""));
    let half = |list: &str| {
        let ids = list.split('.').filter(|word| !word.is_empty()).map(|word| number(word).map(NodeId));
        ids.collect::<Done<Vec<NodeId>>>()
    };
    let (new, old) = (half(new)?, half(old)?);
    let members = new.iter().chain(&old).map(|id| (*id, member(*id))).collect();
    Ok(Configuration::from_parts(new, old, members, BTreeSet::new())?)
}

impl<P: Plant> World<P> {
    pub(crate) fn forge(&mut self, words: &[&str]) -> Done {
        let [link, kind, rest @ ..] = words else { return Err("forge what?".into()) };
        let (from, to) = link.split_once('→').ok_or("which way?")?;
        let (from, to) = (node_id(from)?, node_id(to)?);
        let fields = Fields(rest.iter().filter_map(|word| word.split_once('=')).collect());
        let pretended = self.nodes.get(&from);
        let boot = pretended.map_or(Boot(1), |node| node.config.boot);
        let term = pretended.and_then(|node| node.core.as_ref()).map_or(Term(0), holdfast_raft::Core::term);
        let has = |key: &str| fields.0.contains_key(key);
        let envelope = Envelope {
            cluster: ClusterId([if has("cluster") { fields.number("cluster")? as u8 } else { 7 }; 16]),
            epoch: ClusterEpoch(if has("epoch") { fields.number("epoch")? } else { 1 }),
            from,
            from_boot: if has("boot") { Boot(fields.number("boot")?) } else { boot },
            to,
            to_boot: has("to_boot").then_some(Boot(fields.number("to_boot")?)),
            term: if has("term") { Term(fields.number("term")?) } else { term },
            message: fields.message(kind)?,
        };
        // Whoever reads the envelope decides whether it is for him.
        let reader = if has("at_node") { NodeId(fields.number("at_node")?) } else { to };
        let _ = self.act(reader, holdfast_raft::Input::Receive(envelope));
        Ok(())
    }
}
