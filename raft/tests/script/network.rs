//! The network and the clocks: what is on its way, where links are cut, who loses patience.

use holdfast_raft::{Envelope, Input, NodeId, Plant, RoleState};

use crate::script::command::{Done, node_id, number};
use crate::script::world::{Volume, World};

/// `n1→n2`, where either may be missing.
fn link(word: &str) -> Option<Done<(Option<NodeId>, Option<NodeId>)>> {
    let (from, to) = word.split_once('→')?;
    let end = |word: &str| if word.is_empty() { Ok(None) } else { node_id(word).map(Some) };
    Some(end(from).and_then(|from| Ok((from, end(to)?))))
}

/// Which messages a command is about.
#[derive(Default)]
pub(crate) struct Pick {
    links: Vec<(Option<NodeId>, Option<NodeId>)>,
    kinds: Vec<String>,
    first: Option<usize>,
}

impl Pick {
    pub(crate) fn of(words: &[&str]) -> Done<Self> {
        let mut pick = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if *word == "first" {
                pick.first = Some(number(words.next().ok_or("first how many?")?)?);
            } else if let Some(link) = link(word) {
                pick.links.push(link?);
            } else {
                pick.kinds.push((*word).to_owned());
            }
        }
        Ok(pick)
    }

    fn fits(&self, envelope: &Envelope) -> bool {
        let link = |(from, to): &(Option<NodeId>, Option<NodeId>)| {
            from.is_none_or(|from| from == envelope.from) && to.is_none_or(|to| to == envelope.to)
        };
        let kind = |kind: &String| kind == envelope.message.name();
        (self.links.is_empty() || self.links.iter().any(link))
            && (self.kinds.is_empty() || self.kinds.iter().any(kind))
    }
}

impl<P: Plant> World<P> {
    pub(crate) fn deliver(&mut self, verb: &str, pick: &Pick) {
        let mut left = pick.first.unwrap_or(usize::MAX);
        let mut chosen = Vec::new();
        for envelope in std::mem::take(&mut self.net) {
            if pick.fits(&envelope) && left > 0 {
                left -= 1;
                chosen.push(envelope);
            } else {
                self.net.push_back(envelope);
            }
        }
        if chosen.is_empty() {
            self.say(Volume::Full, "(nothing of the kind is on its way)".into());
        }
        match verb {
            "deliver" => chosen.into_iter().for_each(|envelope| {
                let to = self.arrive(envelope);
                self.turn(to);
            }),
            "together" => {
                let turns: std::collections::BTreeSet<NodeId> =
                    chosen.into_iter().map(|envelope| self.arrive(envelope)).collect();
                turns.into_iter().for_each(|n| self.turn(n));
            }
            "duplicate" => self.net.extend(chosen.iter().flat_map(|one| [one.clone(), one.clone()])),
            _ => {}
        }
    }

    pub(crate) fn keep(&mut self, words: &[&str], take: bool) -> Done {
        let (name, rest) = words.split_first().ok_or("under which name?")?;
        let pick = Pick::of(rest)?;
        let at = self
            .net
            .iter()
            .position(|envelope| pick.fits(envelope))
            .ok_or("no such message is on its way")?;
        let envelope = self.net[at].clone();
        if take {
            self.net.remove(at);
        }
        self.kept.insert((*name).to_owned(), envelope);
        Ok(())
    }

    pub(crate) fn links(&mut self, verb: &str, words: &[&str]) -> Done {
        let all: Vec<NodeId> = self.nodes.keys().copied().collect();
        let between = |apart: &dyn Fn(NodeId, NodeId) -> bool| -> Vec<(NodeId, NodeId)> {
            let pairs = all.iter().flat_map(|a| all.iter().map(|b| (*a, *b)));
            pairs.filter(|(a, b)| apart(*a, *b)).collect()
        };
        match verb {
            "heal" if words.is_empty() => self.cut.clear(),
            "isolate" => {
                let alone: Vec<NodeId> = words.iter().map(|word| node_id(word)).collect::<Done<_>>()?;
                self.cut.extend(between(&|a, b| alone.contains(&a) || alone.contains(&b)));
            }
            "split" => {
                let mut sides = words.split(|word| *word == "|");
                let one: Vec<NodeId> =
                    sides.next().unwrap_or_default().iter().map(|word| node_id(word)).collect::<Done<_>>()?;
                self.cut = between(&|a, b| one.contains(&a) != one.contains(&b)).into_iter().collect();
            }
            _ => {
                for word in words {
                    let (from, to) = link(word).ok_or(format!("{word} is no link"))??;
                    let fits = |a, b| from.is_none_or(|from| from == a) && to.is_none_or(|to| to == b);
                    for pair in between(&fits) {
                        if verb == "cut" {
                            self.cut.insert(pair)
                        } else {
                            self.cut.remove(&pair)
                        };
                    }
                }
            }
        }
        Ok(())
    }

    /// Delivers what elections are made of, and leaves the rest on its way.
    pub(crate) fn settle_votes(&mut self) {
        let kinds = ["PreVote", "PreVoteReply", "Vote", "VoteReply", "Notice"];
        let pick = Pick { kinds: kinds.map(str::to_owned).into(), ..Pick::default() };
        while self.net.iter().any(|envelope| pick.fits(envelope)) {
            self.deliver("deliver", &pick);
        }
    }

    /// Takes a message out of the network to its addressee, without the turn.
    pub(crate) fn arrive(&mut self, envelope: Envelope) -> NodeId {
        let to = envelope.to;
        if self.core(to).is_some() {
            let _ = self.step(to, Input::Receive(envelope));
        }
        to
    }

    /// Delivers until nothing is on its way. A cluster that never falls quiet is broken.
    pub(crate) fn settle(&mut self) {
        for _ in 0..20_000 {
            let Some(envelope) = self.net.pop_front() else { return };
            let to = self.arrive(envelope);
            self.turn(to);
        }
        self.fault("the messages do not cease");
    }

    pub(crate) fn tick(&mut self, n: NodeId) {
        let _ = self.act(n, Input::Tick);
    }

    pub(crate) fn tick_all(&mut self) {
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        ids.into_iter().for_each(|n| self.tick(n));
    }

    /// Ticks until the election clock fires.
    pub(crate) fn time_out(&mut self, n: NodeId) {
        for _ in 0..40 {
            let asked = self.core(n).map_or(0, |core| core.roles().total());
            self.tick(n);
            if self.core(n).is_none_or(|core| core.roles().total() > asked) {
                return;
            }
        }
        self.say(Volume::Full, format!("n{n} does not campaign"));
    }

    /// Ticks until heartbeats are on their way.
    pub(crate) fn beat(&mut self, n: NodeId) {
        let interval = self.nodes.get(&n).map_or(0, |node| node.config.heartbeat_ticks);
        for _ in 0..interval {
            let before = self.beats_sent(n);
            self.tick(n);
            if self.beats_sent(n) > before {
                return;
            }
        }
    }

    pub(crate) fn beats_sent(&self, n: NodeId) -> usize {
        self.net.iter().filter(|one| one.from == n && one.message.name() == "Heartbeat").count()
    }

    pub(crate) fn elect(&mut self, n: NodeId) -> Done {
        let others: Vec<NodeId> = self.nodes.keys().copied().filter(|id| *id != n).collect();
        let before = self.net.len();
        for id in others {
            let node = self.node(id)?;
            let patience = node.config.election_ticks;
            for _ in 0..patience {
                let waits = |core: &holdfast_raft::Core<P>| core.role() == RoleState::Follower;
                if self.core(id).is_some_and(waits) {
                    self.tick(id);
                }
            }
        }
        // Should another have stirred by then, nobody hears of it.
        self.net.truncate(before);
        // The first attempt may only teach it the term of the others.
        for _ in 0..3 {
            self.time_out(n);
            self.settle_votes();
            if self.core(n).is_some_and(|core| core.role() == RoleState::Leader) {
                return Ok(());
            }
        }
        Err(format!("n{n} is not elected"))
    }
}
