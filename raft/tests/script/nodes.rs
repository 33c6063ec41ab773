//! Nodes and their disks: where they come from, what they are found to hold, how they end.

use holdfast_raft::{
    Boot, Config, Configuration, Entry, HardState, Index, Input, NodeId, Payload, Plant, Term,
};

use crate::script::command::{Done, entry_id, member, node_id, number};
use crate::script::disk::Disk;
use crate::script::owner::snapshot_bytes;
use crate::script::show;
use crate::script::world::{Hand, Volume, World};

pub(crate) fn limits(config: &mut Config, words: &[&str]) -> Done {
    for word in words {
        let (key, value) = word.split_once('=').ok_or(format!("{word} is no limit"))?;
        let bytes = number(value)?;
        let ticks = number(value)?;
        match key {
            "election" => config.election_ticks = ticks,
            "heartbeat" => config.heartbeat_ticks = ticks,
            "stall" => config.disk_stall_ticks = ticks,
            "append" => config.append_bytes_max = bytes,
            "appends" => config.inflight_appends_max = bytes,
            "window" => config.inflight_bytes_max = bytes,
            "uncommitted" => config.uncommitted_bytes_max = bytes,
            "apply" => config.apply_bytes_max = bytes,
            "chunk" => config.chunk_bytes_max = bytes,
            "retain" => config.retain_bytes = bytes,
            "resident" => config.resident_bytes = bytes,
            "caught" => config.caught_up_entries = number(value)?,
            "reads" => config.reads_max = bytes,
            "seed" => config.seed = number(value)?,
            _ => return Err(format!("{key} is no limit")),
        }
    }
    Ok(())
}

impl<P: Plant> World<P> {
    pub(crate) fn cluster(&mut self, words: &[&str]) -> Done {
        let count: u64 = number(words.first().ok_or("how many?")?)?;
        let leader = words.iter().position(|word| *word == "leader");
        let knobs: Vec<&str> = words.iter().copied().filter(|word| word.contains('=')).collect();
        let initial = Configuration::initial((1..=count).map(|n| (NodeId(n), member(NodeId(n)))));
        let volume = std::mem::replace(&mut self.volume, Volume::Silent);
        for n in (1..=count).map(NodeId) {
            let mut config = Self::config(n);
            limits(&mut config, &knobs)?;
            let first = Entry { term: Term(1), payload: Payload::Configuration(initial.clone().into()) };
            let hard = HardState { term: Term(1), vote: None };
            self.add(config, Disk { hard, entries: [(1, first)].into(), ..Disk::default() });
        }
        if let Some(at) = leader {
            self.elect(node_id(words.get(at + 1).ok_or("which leader?")?)?)?;
            self.settle();
            // Two heartbeats: everybody knows how far the log is committed.
            for _ in 0..4 {
                self.tick_all();
                self.settle();
            }
            self.volume = volume;
            let Some(core) = self.nodes.values().find_map(|node| node.core.as_ref()) else { return Ok(()) };
            let line = show::node(core);
            let (_, log) = line.split_once(": ").unwrap_or_default();
            let leader = self.core(NodeId(1)).and_then(holdfast_raft::Core::leader).unwrap_or_default();
            self.say(Volume::Full, format!("n{leader} leads term 2; all have committed {log}"));
            return Ok(());
        }
        self.volume = volume;
        Ok(())
    }

    pub(crate) fn load(&mut self, n: NodeId, words: &[&str]) -> Done {
        let terms = words.iter().take_while(|word| **word != "term");
        let terms: Vec<u64> = terms.map(|word| number(word)).collect::<Done<_>>()?;
        let term = match words.iter().position(|word| *word == "term") {
            Some(at) => number(words.get(at + 1).ok_or("which term?")?)?,
            None => terms.last().copied().unwrap_or(1),
        };
        let node = self.node(n)?;
        for (term, index) in terms.iter().zip(2..) {
            node.disk.entries.insert(index, Entry { term: Term(*term), payload: Payload::Empty });
        }
        node.disk.hard = HardState { term: Term(term), vote: None };
        let volume = std::mem::replace(&mut self.volume, Volume::Silent);
        self.start(n);
        self.volume = volume;
        if self.node(n)?.disk.votes_lost {
            self.say(
                Volume::Full,
                format!("n{n} finds that its log is of a later term than its hard state, which is lost"),
            );
        }
        let line = self.core(n).map(show::node).unwrap_or_default();
        self.say(Volume::Full, line);
        Ok(())
    }

    pub(crate) fn manual(&mut self, n: NodeId, words: &[&str]) -> Done {
        for word in words {
            let hand = match *word {
                "disk" => Hand::Disk,
                "apply" => Hand::Apply,
                "read" => Hand::Read,
                "install" => Hand::Install,
                _ => return Err(format!("{word} is not done by hand")),
            };
            self.node(n)?.manual.insert(hand);
        }
        Ok(())
    }

    pub(crate) fn auto(&mut self, n: NodeId) {
        if let Some(node) = self.nodes.get_mut(&n) {
            node.manual.clear();
        }
        let _ = self.sync(n, usize::MAX);
        let inputs = [self.apply(n, usize::MAX), self.read_piece(n, true), self.install(n, true)];
        inputs.into_iter().for_each(|input| self.act_on(n, input));
    }

    pub(crate) fn sync(&mut self, n: NodeId, count: usize) -> Done {
        let writing = &self.node(n)?.disk.writing;
        let count = count.min(writing.len());
        if let Some(id) = count.checked_sub(1).map(|last| writing[last].id) {
            self.say(
                Volume::Full,
                format!("n{n} has written {}", if count == 1 { "it" } else { "all of it" }),
            );
            let input = self.synced(n, id);
            let _ = self.act(n, input);
        }
        Ok(())
    }

    pub(crate) fn snapshot(&mut self, n: NodeId, index: Option<u64>) -> Done {
        let node = self.node(n)?;
        let index = index.unwrap_or(node.state.len() as u64);
        let taken = &node.state[..(index as usize).min(node.state.len())];
        let bytes = snapshot_bytes(taken);
        let outcome = self.step(n, Input::SnapshotReady { index: Index(index), bytes: bytes.len() as u64 });
        self.tell_refusal(n, outcome.err());
        let node = self.node(n)?;
        let meta = node.core.as_ref().and_then(|core| core.snapshot().cloned());
        if let Some(meta) = meta.filter(|_| outcome.is_ok()) {
            let (last, size) = (meta.last, meta.bytes);
            node.disk.snapshot = Some((meta, bytes));
            self.say(Volume::Full, format!("n{n} has a snapshot {last} of {size} bytes"));
        }
        self.turn(n);
        Ok(())
    }

    pub(crate) fn restart(&mut self, n: NodeId, words: &[&str]) -> Done {
        if words.first() == Some(&"from") {
            let name = *words.get(1).ok_or("from which copy?")?;
            let (disk, boot) = self.disks.get(name).cloned().ok_or(format!("no disk is kept as {name}"))?;
            let node = self.node(n)?;
            (node.disk, node.config.boot) = (disk, boot);
            self.oracle.damage = true;
        }
        let node = self.node(n)?;
        node.core = None;
        let claims = node.disk.end();
        let mut at = words.iter();
        while let Some(word) = at.next() {
            let mut range = || {
                let (a, b) = at.next().and_then(|word| word.split_once("..")).ok_or("which ones?")?;
                Done::Ok(number::<u64>(a)?..=number::<u64>(b)?)
            };
            match *word {
                "missing" => range()?.for_each(|index| drop(node.disk.entries.remove(&index))),
                "doubtful" => node.disk.doubtful.extend(range()?),
                "claims" => node.disk.claim = Some((entry_id(at.next().ok_or("which end?")?)?, true)),
                "untrusted" => {
                    node.disk.claim = Some((node.disk.claim.map_or(claims, |claim| claim.0), false));
                }
                "votes-lost" => {
                    node.disk.votes_lost = true;
                    node.disk.hard = HardState { term: claims.term, vote: None };
                }
                "from" => drop(at.next()),
                _ => return Err(format!("{word} is no damage")),
            }
            if *word == "missing" && node.disk.claim.is_none() {
                node.disk.claim = Some((claims, true));
            }
        }
        node.config.boot = Boot(node.config.boot.0 + 1);
        let boot = node.config.boot;
        self.oracle.damage |= !words.is_empty();
        self.say(Volume::Full, format!("n{n} starts, boot {boot}"));
        self.start(n);
        Ok(())
    }
}
