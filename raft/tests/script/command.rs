//! The commands of the dialect.
//!
//! | command | what it does |
//! |---|---|
//! | `cluster 3 [leader n1] [election=10 heartbeat=2 stall=20 append=… appends=… window=… uncommitted=… apply=… chunk=… retain=… caught=… reads=… seed=…]` | formed voters n1 n2 n3; with `leader`, one of them is elected and everybody has heard of it |
//! | `join n4 [limits]` | a node with an empty directory |
//! | `load n1 2 2 3 [term 4]` | what the disk of n1 holds behind its first entry: empty entries of these terms; then its term |
//! | `tick n1\|all [k]` · `timeout n1` · `beat n1` | time passes: k ticks; until its election clock fires; until it sends heartbeats |
//! | `win n1` · `elect n1` | everybody loses patience, n1 first, and the votes are delivered; `elect`: all messages are |
//! | `run k` | k times: a tick of every node, and all messages are delivered |
//! | `deliver\|together\|drop\|duplicate [n1→n2] [Kind…] [first k]` | what is on its way now; `together`: in one turn of each addressee |
//! | `stabilize` | delivers until nothing is on its way |
//! | `keep\|hold NAME n1→n2 Kind` · `replay NAME` | copies, or takes away, a message that is on its way, and delivers it later |
//! | `cut n1→n2…` · `isolate n1…` · `split n1 n2 \| n3` · `heal` | links |
//! | `manual n1 disk\|apply\|read\|install` · `auto n1` | takes work into the script's hands; gives all of it back |
//! | `sync n1 [k]` · `apply n1 [k]` · `piece n1 [gone]` · `install n1 [fails\|crash]` | does that work: the oldest k writes, entries, … |
//! | `crash n1 [keep k]` · `restart n1 [missing a..b] [doubtful a..b] [claims 7@2] [untrusted] [votes-lost] [from NAME]` | processes and disks; `copy n1 NAME` keeps a copy of a disk |
//! | `propose n1 x y z:100` · `read n1 r1 r2` · `transfer n1 n2` · `snapshot n1 [k]` | clients and owners; `z:100` is 100 bytes long |
//! | `add n1 n4 [promote] [uuid n2]` · `update n1 n2 text` · `change n1 promote n4 demote n2 remove n3` | members |
//! | `connected\|unreachable\|refused n1 n2` | what n1 hears of its connection to n2 |
//! | `forge n3→n1 Kind field=value…` | a message that n3 never sent; see `forge` |
//! | `show n1` · `logs` · `expect …` | see `expect` |

use std::str::FromStr;

use bytes::Bytes;
use holdfast_raft::{
    Boot, Change, Config, Configuration, Core, Entry, EntryId, Envelope, HardState, Index, Input, Member,
    NodeId, NodeUuid, Payload, Plant, ReadId, Refusal, RoleState, Term,
};

use crate::script::disk::Disk;
use crate::script::show;
use crate::script::world::{Hand, Node, Volume, World, snapshot_bytes};

pub(crate) type Done<T = ()> = Result<T, String>;

pub(crate) fn number<T: FromStr>(word: &str) -> Done<T> {
    word.parse().map_err(|_| format!("{word} is no number"))
}

pub(crate) fn node_id(word: &str) -> Done<NodeId> {
    word.strip_prefix('n').ok_or(format!("{word} is no node")).and_then(number).map(NodeId)
}

/// `7@3`
pub(crate) fn entry_id(word: &str) -> Done<EntryId> {
    let (index, term) = word.split_once('@').ok_or(format!("{word} is no entry"))?;
    Ok(EntryId::new(number(term)?, number(index)?))
}

pub(crate) fn member(id: NodeId) -> Member {
    Member { uuid: NodeUuid([id.0 as u8; 16]), promote: false, context: Bytes::new() }
}

/// `n1→n2`, where either may be missing.
fn link(word: &str) -> Option<Done<(Option<NodeId>, Option<NodeId>)>> {
    let (from, to) = word.split_once('→')?;
    let end = |word: &str| if word.is_empty() { Ok(None) } else { node_id(word).map(Some) };
    Some(end(from).and_then(|from| Ok((from, end(to)?))))
}

/// Which messages a command is about.
#[derive(Default)]
struct Pick {
    links: Vec<(Option<NodeId>, Option<NodeId>)>,
    kinds: Vec<String>,
    first: Option<usize>,
}

impl Pick {
    fn of(words: &[&str]) -> Done<Self> {
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

fn limits(config: &mut Config, words: &[&str]) -> Done {
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
            "caught" => config.caught_up_entries = number(value)?,
            "reads" => config.reads_max = bytes,
            "seed" => config.seed = number(value)?,
            _ => return Err(format!("{key} is no limit")),
        }
    }
    Ok(())
}

impl<P: Plant> World<P> {
    pub(crate) fn command(&mut self, line: &str) -> Done {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [verb, rest @ ..] = &words[..] else { return Ok(()) };
        let n = || rest.first().ok_or("which node?".to_owned()).and_then(|word| node_id(word));
        let second = || rest.get(1).ok_or("which other node?".to_owned()).and_then(|word| node_id(word));
        let k = |default: usize| rest.get(1).map_or(Ok(default), |word| number(word));
        match *verb {
            "cluster" => self.cluster(rest)?,
            "join" => {
                let mut config = Self::config(n()?);
                limits(&mut config, &rest[1..])?;
                self.add(config, Disk::default());
            }
            "load" => self.load(n()?, &rest[1..])?,
            "tick" if rest.first() == Some(&"all") => (0..k(1)?).for_each(|_| self.tick_all()),
            "tick" => (0..k(1)?).for_each(|_| self.tick(n().unwrap_or_default())),
            "timeout" => self.time_out(n()?),
            "beat" => self.beat(n()?),
            "win" => self.elect(n()?)?,
            "elect" => {
                self.elect(n()?)?;
                self.settle();
            }
            "run" => {
                for _ in 0..number(rest.first().ok_or("how long?")?)? {
                    self.tick_all();
                    self.settle();
                }
            }
            "deliver" | "together" | "drop" | "duplicate" => self.deliver(verb, &Pick::of(rest)?),
            "stabilize" => self.settle(),
            "keep" | "hold" => self.keep(rest, *verb == "hold")?,
            "replay" => {
                let name = *rest.first().ok_or("replay what?")?;
                let envelope = self.kept.get(name).cloned().ok_or(format!("nothing is kept as {name}"))?;
                let to = self.arrive(envelope);
                self.turn(to);
            }
            "cut" | "isolate" | "split" | "heal" => self.links(verb, rest)?,
            "manual" => self.manual(n()?, &rest[1..])?,
            "auto" => self.auto(n()?),
            "sync" => self.sync(n()?, k(usize::MAX)?)?,
            "apply" => {
                let input = self.apply(n()?, k(usize::MAX)?);
                self.act_on(n()?, input);
            }
            "piece" => {
                let input = self.read_piece(n()?, rest.get(1) != Some(&"gone"));
                self.act_on(n()?, input);
            }
            "install" if rest.get(1) == Some(&"crash") => {
                let _ = self.put_in_place(n()?, true);
                self.crash(n()?, 0);
            }
            "install" => {
                let input = self.install(n()?, rest.get(1) != Some(&"fails"));
                self.act_on(n()?, input);
            }
            "copy" => {
                let node = self.node(n()?)?;
                let copy = (node.disk.clone(), node.config.boot);
                let name = *rest.get(1).ok_or("under which name?")?;
                self.disks.insert(name.to_owned(), copy);
            }
            "crash" => {
                let keep = rest.get(2).map_or(Ok(0), |word| number(word))?;
                let crashed = n()?;
                self.crash(crashed, keep);
                let node = self.node(crashed)?;
                let (hard, end) = (node.disk.hard.term, node.disk.end());
                self.say(
                    Volume::Full,
                    format!("n{crashed} is down; its disk has term {hard}, and a log up to {end}"),
                );
            }
            "restart" => self.restart(n()?, &rest[1..])?,
            "propose" => {
                let batch: Vec<Bytes> = rest[1..].iter().map(|word| data(word)).collect::<Done<_>>()?;
                self.ask(n()?, Input::Propose(batch));
            }
            "read" => {
                let ids: Vec<ReadId> =
                    rest[1..].iter().map(|word| number(&word[1..]).map(ReadId)).collect::<Done<_>>()?;
                for id in &ids {
                    self.oracle.read_asked(n()?, *id);
                }
                self.ask(n()?, Input::Read(ids));
            }
            "transfer" => self.ask(n()?, Input::Transfer(second()?)),
            "add" | "update" | "change" => {
                let change = change(verb, &rest[1..])?;
                self.ask(n()?, Input::ChangeMembership(change));
            }
            "snapshot" => self.snapshot(n()?, rest.get(1).map(|word| number(word)).transpose()?)?,
            "connected" => self.ask(n()?, Input::PeerConnected(second()?)),
            "unreachable" => self.ask(n()?, Input::PeerUnreachable(second()?)),
            "refused" => self.ask(n()?, Input::PeerRefused(second()?)),
            "forge" => self.forge(rest)?,
            "show" => {
                let text = self.node(n()?)?.core.as_ref().ok_or("it is down")?.describe();
                text.lines().for_each(|line| self.say(Volume::Full, line.trim_end().to_owned()));
            }
            "logs" => {
                let all: Vec<String> =
                    self.nodes.values().filter_map(|node| node.core.as_ref()).map(show::node).collect();
                all.into_iter().for_each(|line| self.say(Volume::Full, line));
            }
            "expect" => self.expect(rest)?,
            _ => return Err("there is no such command".into()),
        }
        Ok(())
    }

    pub(crate) fn node(&mut self, n: NodeId) -> Done<&mut Node<P>> {
        self.nodes.get_mut(&n).ok_or(format!("there is no n{n}"))
    }

    /// Asks a core for something, and says what it refuses.
    fn ask(&mut self, n: NodeId, input: Input) {
        let outcome = self.step(n, input);
        self.tell_refusal(n, outcome.err());
        self.turn(n);
    }

    fn tell_refusal(&mut self, n: NodeId, refusal: Option<Refusal>) {
        if let Some(refusal) = refusal {
            self.seen.insert(holdfast_machine::Numbered::label(refusal));
            self.say(Volume::Low, format!("n{n} refuses: {}", show::refusal(refusal)));
        }
    }

    fn act_on(&mut self, n: NodeId, input: Option<Input>) {
        if let Some(input) = input {
            let _ = self.act(n, input);
        }
    }

    fn cluster(&mut self, words: &[&str]) -> Done {
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
            let leader = self.core(NodeId(1)).and_then(Core::leader).unwrap_or_default();
            self.say(Volume::Full, format!("n{leader} leads term 2; all have committed {log}"));
            return Ok(());
        }
        self.volume = volume;
        Ok(())
    }

    fn load(&mut self, n: NodeId, words: &[&str]) -> Done {
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

    fn tick(&mut self, n: NodeId) {
        let _ = self.act(n, Input::Tick);
    }

    fn tick_all(&mut self) {
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        ids.into_iter().for_each(|n| self.tick(n));
    }

    /// Ticks until the election clock fires.
    fn time_out(&mut self, n: NodeId) {
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
    fn beat(&mut self, n: NodeId) {
        let interval = self.nodes.get(&n).map_or(0, |node| node.config.heartbeat_ticks);
        for _ in 0..interval {
            let before = self.beats_sent(n);
            self.tick(n);
            if self.beats_sent(n) > before {
                return;
            }
        }
    }

    fn beats_sent(&self, n: NodeId) -> usize {
        self.net.iter().filter(|one| one.from == n && one.message.name() == "Heartbeat").count()
    }

    fn elect(&mut self, n: NodeId) -> Done {
        let others: Vec<NodeId> = self.nodes.keys().copied().filter(|id| *id != n).collect();
        let before = self.net.len();
        for id in others {
            let node = self.node(id)?;
            let patience = node.config.election_ticks;
            for _ in 0..patience {
                let waits = |core: &Core<P>| core.role() == RoleState::Follower;
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

    /// Delivers what elections are made of, and leaves the rest on its way.
    fn settle_votes(&mut self) {
        let kinds = ["PreVote", "PreVoteReply", "Vote", "VoteReply", "Notice"];
        let pick = Pick { kinds: kinds.map(str::to_owned).into(), ..Pick::default() };
        while self.net.iter().any(|envelope| pick.fits(envelope)) {
            self.deliver("deliver", &pick);
        }
    }

    fn deliver(&mut self, verb: &str, pick: &Pick) {
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

    fn keep(&mut self, words: &[&str], take: bool) -> Done {
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

    fn links(&mut self, verb: &str, words: &[&str]) -> Done {
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

    fn manual(&mut self, n: NodeId, words: &[&str]) -> Done {
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

    fn auto(&mut self, n: NodeId) {
        if let Some(node) = self.nodes.get_mut(&n) {
            node.manual.clear();
        }
        let _ = self.sync(n, usize::MAX);
        let inputs = [self.apply(n, usize::MAX), self.read_piece(n, true), self.install(n, true)];
        inputs.into_iter().for_each(|input| self.act_on(n, input));
    }

    fn sync(&mut self, n: NodeId, count: usize) -> Done {
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

    fn snapshot(&mut self, n: NodeId, index: Option<u64>) -> Done {
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

    fn restart(&mut self, n: NodeId, words: &[&str]) -> Done {
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

/// `x`, or `x:100`: padded to 100 bytes.
pub(crate) fn data(word: &str) -> Done<Bytes> {
    let Some((name, size)) = word.split_once(':') else { return Ok(Bytes::copy_from_slice(word.as_bytes())) };
    let size: usize = number(size)?;
    Ok(Bytes::from(format!("{name:.<size$}")))
}

fn change(verb: &str, words: &[&str]) -> Done<Change> {
    let first = || words.first().ok_or("which member?".to_owned()).and_then(|word| node_id(word));
    match verb {
        "add" => {
            let uuid = words.iter().position(|word| *word == "uuid").and_then(|at| words.get(at + 1));
            let uuid = uuid.map_or(first(), |word| node_id(word))?;
            let promote = words.contains(&"promote");
            Ok(Change::AddLearner { id: first()?, member: Member { promote, ..member(uuid) } })
        }
        "update" => Ok(Change::Update { id: first()?, context: data(words.get(1).unwrap_or(&""))? }),
        _ => {
            let mut lists = [Vec::new(), Vec::new(), Vec::new()];
            let mut list = 0;
            for word in words {
                match *word {
                    "promote" => list = 0,
                    "demote" => list = 1,
                    "remove" => list = 2,
                    _ => lists[list].push(node_id(word)?),
                }
            }
            let [promote, demote, remove] = lists;
            Ok(Change::Reconfigure { promote, demote, remove })
        }
    }
}
