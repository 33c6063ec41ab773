//! The commands of the dialect.
//!
//! | command | what it does |
//! |---|---|
//! | `cluster 3 [leader n1] [election=10 heartbeat=2 stall=20 append=… appends=… window=… uncommitted=… apply=… chunk=… retain=… resident=… caught=… reads=… seed=…]` | formed voters n1 n2 n3; with `leader`, one of them is elected and everybody has heard of it |
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
use holdfast_raft::{Change, EntryId, Input, Member, NodeId, NodeUuid, Plant, ReadId, Refusal};

use crate::script::disk::Disk;
use crate::script::network::Pick;
use crate::script::nodes::limits;
use crate::script::show;
use crate::script::world::{Node, Volume, World};

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
    pub(crate) fn ask(&mut self, n: NodeId, input: Input) {
        let outcome = self.step(n, input);
        self.tell_refusal(n, outcome.err());
        self.turn(n);
    }

    pub(crate) fn tell_refusal(&mut self, n: NodeId, refusal: Option<Refusal>) {
        if let Some(refusal) = refusal {
            self.seen.insert(holdfast_machine::Numbered::label(refusal));
            self.say(Volume::Low, format!("n{n} refuses: {}", show::refusal(refusal)));
        }
    }

    pub(crate) fn act_on(&mut self, n: NodeId, input: Option<Input>) {
        if let Some(input) = input {
            let _ = self.act(n, input);
        }
    }
}

/// `x`, or `x:100`: padded to 100 bytes.
pub(crate) fn data(word: &str) -> Done<Bytes> {
    let Some((name, size)) = word.split_once(':') else { return Ok(Bytes::copy_from_slice(word.as_bytes())) };
    let size: usize = number(size)?;
    let dots = size.saturating_sub(name.len());
    Ok(Bytes::from(format!("{name}{}", ".".repeat(dots))))
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
