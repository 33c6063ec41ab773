//! What is typed is done.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use super::clients::{Ask, Load};
use super::words::{self, COMMANDS, Whom, Word};
use super::{Busy, Chaos, Done, now_ms};
use crate::config::OPTIONS;

/// The key of the option that slows a disk down.
const SLOW: &str = "drill_sync_delay";

impl Chaos {
    /// Which node is meant.
    fn find(&self, whom: Whom) -> Result<u64, String> {
        let count = self.nodes.all.len();
        match whom {
            Whom::Node(id) if self.ids().contains(&id) => Ok(id),
            Whom::Node(id) => Err(format!("there is no n{id}: there are n1 to n{count}")),
            Whom::Leader => self
                .leader
                .map(|leader| leader.node)
                .ok_or_else(|| "nobody leads now; `wait leader` waits until somebody does".to_owned()),
            Whom::Follower => {
                let leader = self.leader.map(|leader| leader.node);
                let mut others = self.nodes.all.iter().filter(|node| Some(node.id) != leader);
                let found = others.find(|node| node.runs() && !node.paused);
                found.map(|node| node.id).ok_or_else(|| "no follower runs now".to_owned())
            }
        }
    }

    /// Does what was typed. Says whether that is the end.
    pub(super) fn obey(&mut self, line: &str) -> Result<bool, Box<dyn Error>> {
        self.screen.typed(line)?;
        match words::read(line) {
            Ok(Some(Word::Quit)) => return Ok(true),
            Ok(Some(word)) => match self.act(word)? {
                Ok(()) => {}
                Err(why) => self.screen.wrong(&why)?,
            },
            Ok(None) => {}
            Err(why) => self.screen.wrong(&why)?,
        }
        Ok(false)
    }

    /// Does one thing. The inner error is one of whoever typed it.
    fn act(&mut self, word: Word) -> Result<Result<(), String>, Box<dyn Error>> {
        let found = match &word {
            Word::Kill(whom)
            | Word::Start(Some(whom))
            | Word::Pause(whom, _)
            | Word::Resume(whom)
            | Word::Cut(whom, _)
            | Word::Heal(Some(whom))
            | Word::Slow(whom, _) => self.find(*whom),
            Word::Help
            | Word::Status
            | Word::Heal(None)
            | Word::Start(None)
            | Word::Put(..)
            | Word::Get(_)
            | Word::Load(_)
            | Word::Edges(_)
            | Word::Wait(..)
            | Word::Quit => Ok(0),
        };
        let id = match found {
            Ok(id) => id,
            Err(why) => return Ok(Err(why)),
        };
        let (runs, paused) = self.nodes.get(id).map_or((false, false), |node| (node.runs(), node.paused));
        match word {
            Word::Kill(_) | Word::Pause(..) | Word::Resume(_) if !runs => {
                return Ok(Err(format!("n{id} does not run; `start {id}` starts it")));
            }
            Word::Start(Some(_)) if runs => return Ok(Err(format!("n{id} runs already"))),
            Word::Pause(..) if paused => return Ok(Err(format!("n{id} is suspended already"))),
            Word::Resume(_) if !paused => return Ok(Err(format!("n{id} is not suspended"))),
            Word::Kill(_) => self.kill(id)?,
            Word::Start(Some(_)) => self.start([id])?,
            Word::Start(None) => {
                let missing = self.nodes.all.iter().filter(|node| !node.runs()).map(|node| node.id);
                self.start(missing.collect::<Vec<_>>())?;
            }
            Word::Pause(_, time) => self.pause(id, time)?,
            Word::Resume(_) => self.resume(id)?,
            Word::Cut(_, others) => return self.cut(id, &others),
            Word::Heal(whom) => self.heal(whom.map(|_| id))?,
            Word::Slow(_, delay) => return self.slow(id, delay),
            Word::Help => {
                for (name, takes, what) in COMMANDS {
                    self.screen.say(&format!("  {:30} {what}", format!("{name} {takes}")))?;
                }
                self.screen.say("  N is a number, n and a number, leader or follower")?;
            }
            Word::Status => {
                let question = Ask::Status(self.for_status());
                self.ask(question);
            }
            Word::Put(key, value) => self.ask(Ask::Put(key, value)),
            Word::Get(key) => self.ask(Ask::Get(key)),
            Word::Load(on) => return self.set_load(on),
            Word::Edges(shown) => self.shown = shown,
            Word::Wait(what, time) => {
                self.busy = Busy::Waits(what, Instant::now() + time);
                self.look_whether_it_is_so()?;
            }
            Word::Quit => {}
        }
        Ok(Ok(()))
    }

    fn ask(&mut self, question: Ask) {
        // Without the thread that answers there is nothing to wait for; it has said why it ended.
        if self.asks.send(question).is_ok() {
            self.busy = Busy::Asked;
        }
    }

    /// Says what was done, with the time.
    fn note(&mut self, what: &str) -> io::Result<()> {
        let time = self.screen.time(now_ms());
        self.screen.sentence(&format!("{time:>9} {what}"))
    }

    fn kill(&mut self, id: u64) -> Done {
        let at_ms = now_ms();
        if let Some(node) = self.nodes.get(id) {
            node.kill()?;
        }
        self.lose(id, at_ms, "was killed");
        Ok(self.note(&format!("n{id} was killed"))?)
    }

    fn start(&mut self, ids: impl IntoIterator<Item = u64>) -> Done {
        for id in ids {
            self.nodes.start(id)?;
            self.note(&format!("n{id} was started"))?;
        }
        Ok(())
    }

    fn pause(&mut self, id: u64, time: Option<Duration>) -> Done {
        let at_ms = now_ms();
        if let Some(node) = self.nodes.get(id) {
            node.pause(time.map(|time| Instant::now() + time));
        }
        self.lose(id, at_ms, "was suspended");
        let time = time.map_or_else(String::new, |time| format!(" for {} ms", time.as_millis()));
        Ok(self.note(&format!("n{id} was suspended{time}"))?)
    }

    pub(super) fn resume(&mut self, id: u64) -> Done {
        if let Some(node) = self.nodes.get(id) {
            node.resume();
        }
        self.regain(id);
        Ok(self.note(&format!("n{id} goes on"))?)
    }

    fn cut(&mut self, id: u64, others: &[Whom]) -> Result<Result<(), String>, Box<dyn Error>> {
        let named: Result<Vec<u64>, String> = others.iter().map(|other| self.find(*other)).collect();
        let mut others = match named {
            Ok(named) => named,
            Err(why) => return Ok(Err(why)),
        };
        if others.contains(&id) {
            return Ok(Err(format!("n{id} cannot be cut from itself")));
        }
        if others.is_empty() {
            others = self.ids().into_iter().filter(|other| *other != id).collect();
        }
        if others.is_empty() {
            return Ok(Err(format!("n{id} is alone")));
        }
        let at_ms = now_ms();
        self.nodes.cuts.extend(others.iter().map(|other| (id.min(*other), id.max(*other))));
        self.nodes.change(others.iter().copied().chain([id]))?;
        // Whoever leads and reaches no majority any more is as good as gone.
        if let Some(leader) = self.leader {
            let count = self.nodes.all.len();
            if count - self.nodes.cut_from(leader.node).len() <= count / 2 {
                self.lose(leader.node, at_ms, "was cut off");
            }
        }
        let others: Vec<String> = others.iter().map(|other| format!("n{other}")).collect();
        Ok(Ok(self.note(&format!("n{id} was cut from {}", others.join(", ")))?))
    }

    fn heal(&mut self, only: Option<u64>) -> Done {
        let heals = |pair: &(u64, u64)| only.is_none_or(|id| pair.0 == id || pair.1 == id);
        let changed: Vec<u64> =
            self.nodes.cuts.iter().filter(|pair| heals(pair)).flat_map(|pair| [pair.0, pair.1]).collect();
        self.nodes.cuts.retain(|pair| !heals(pair));
        self.nodes.change(changed)?;
        for id in self.ids() {
            self.regain(id);
        }
        let whose = only.map_or_else(|| "the network".to_owned(), |id| format!("the network of n{id}"));
        Ok(self.note(&format!("{whose} is whole"))?)
    }

    fn slow(&mut self, id: u64, delay: String) -> Result<Result<(), String>, Box<dyn Error>> {
        let kind = OPTIONS.iter().find(|option| option.key == SLOW).map(|option| option.kind);
        if let Some(Err(why)) = kind.map(|kind| kind.parse(delay.as_ref())) {
            return Ok(Err(why));
        }
        let said = match delay.as_str() {
            "0" => format!("the disk of n{id} is as fast as it can be"),
            _ => format!("each sync of the log of n{id} takes {delay} longer"),
        };
        if let Some(node) = self.nodes.get(id) {
            node.slow = delay;
        }
        self.nodes.change([id])?;
        Ok(Ok(self.note(&said)?))
    }

    fn set_load(&mut self, on: bool) -> Result<Result<(), String>, Box<dyn Error>> {
        match (on, self.load.take()) {
            (true, Some(load)) => {
                self.load = Some(load);
                return Ok(Err("the load is on already".to_owned()));
            }
            (false, None) => return Ok(Err("the load is off".to_owned())),
            (false, Some(load)) => self.screen.sentence(&load.stop())?,
            (true, None) => {
                let endpoints = self.nodes.all.iter().map(|node| node.client.clone()).collect();
                self.load = Some(Load::start(endpoints, self.events.clone())?);
            }
        }
        Ok(Ok(()))
    }

    /// Each node, where it is asked if it can answer, and what was done to it.
    fn for_status(&self) -> Vec<(u64, Option<String>, String)> {
        let of = |node: &super::nodes::Node| {
            let mut done = Vec::new();
            if !node.runs() {
                done.push("does not run".to_owned());
            }
            if node.paused {
                done.push("suspended".to_owned());
            }
            let cut: Vec<String> =
                self.nodes.cut_from(node.id).iter().map(|other| format!("n{other}")).collect();
            if !cut.is_empty() {
                done.push(format!("cut from {}", cut.join(", ")));
            }
            if !node.slow.is_empty() && node.slow != "0" {
                done.push(format!("slower by {}", node.slow));
            }
            let answers = node.runs() && !node.paused;
            (node.id, answers.then(|| node.client.clone()), done.join(", "))
        };
        self.nodes.all.iter().map(of).collect()
    }
}
