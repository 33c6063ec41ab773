//! What is done to the nodes.

use std::error::Error;
use std::time::{Duration, Instant};

use super::clients::Load;
use super::words::Whom;
use super::{Chaos, Done, OPTIONS, now_ms};

/// The key of the option that slows a disk down.
const SLOW: &str = "drill_sync_delay";

impl Chaos {
    pub(super) fn kill(&mut self, id: u64) -> Done {
        let at_ms = now_ms();
        if let Some(node) = self.nodes.get(id) {
            node.kill()?;
        }
        self.lose(id, at_ms, "was killed");
        Ok(self.note(&format!("n{id} was killed"))?)
    }

    pub(super) fn start(&mut self, ids: impl IntoIterator<Item = u64>) -> Done {
        for id in ids {
            self.nodes.start(id)?;
            self.note(&format!("n{id} was started"))?;
        }
        Ok(())
    }

    pub(super) fn pause(&mut self, id: u64, time: Option<Duration>) -> Done {
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

    pub(super) fn cut(&mut self, id: u64, others: &[Whom]) -> Result<Result<(), String>, Box<dyn Error>> {
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

    pub(super) fn heal(&mut self, only: Option<u64>) -> Done {
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

    pub(super) fn slow(&mut self, id: u64, delay: String) -> Result<Result<(), String>, Box<dyn Error>> {
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

    pub(super) fn set_load(&mut self, on: bool) -> Result<Result<(), String>, Box<dyn Error>> {
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
    pub(super) fn for_status(&self) -> Vec<(u64, Option<String>, String)> {
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
