//! `holdfast dev --chaos`: a prompt from which nodes are killed, suspended, cut off and slowed down, while the edges of their
//! machines are shown as they are taken; so that whoever wants to know what an election is can see one.
//!
//! # Why processes
//! A thread cannot be killed, and a node is more than a thread: what is shown here is what a dead, a hanging or an unreachable
//! *machine* does to a cluster. So each node is `holdfast server` in a process of its own, which ends with this one however
//! that ends: the kernel kills it, also if it is suspended, when the thread that started it is gone (`PR_SET_PDEATHSIG`). What
//! needs no signal goes through the node's configuration file and SIGHUP, as it would for an operator.
//!
//! # Shape
//! ```text
//!   standard input ──┐
//!   logs of nodes  ──┼──► events ──► this loop ──► screen
//!   clients, load  ──┘                  └──► signals, files
//! ```
//! One thread does everything, one command after the other. Only calls to the cluster are made by others, so that edges are shown
//! while they wait. Nothing is polled to find out who leads or who is ready: the edges say so.

mod clients;
mod deeds;
mod edges;
mod nodes;
mod screen;
mod words;

use std::collections::VecDeque;
use std::io::{self, BufRead as _};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use holdfast_machine::Machine as _;
use holdfast_raft::RoleMachine;
use tokio::sync::mpsc::UnboundedSender;

use self::clients::{Ask, Load};
use self::edges::{Edge, Level, Line};
use self::nodes::Nodes;
use self::screen::Screen;
use self::words::{For, Shown};
use crate::node::leadership::LeadershipMachine;
use crate::runtime::{LifeMachine, Stop};

/// How often it is looked whether it is time for something.
const POLL: Duration = Duration::from_millis(20);

/// How long the nodes may take until all of them serve for the first time.
const BEGIN: Duration = Duration::from_secs(60);

/// Which nodes there are to be.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    /// Where their files and directories are.
    pub(super) root: PathBuf,
    /// Of each node where it listens: to clients, to peers, to HTTP.
    pub(super) addresses: Vec<[String; 3]>,
}

/// Something for the loop.
#[derive(Debug)]
enum Event {
    /// A line of the log of this node, in its so-manieth process.
    Line(u64, u64, String),
    /// That process has ended.
    Ended(u64, u64),
    /// A line was typed; `None` at the end of the input.
    Typed(Option<String>),
    /// A client answers.
    Answer(String),
    /// Something to be shown whenever it comes.
    Said(String),
}

/// Who leads, as the edges say.
#[derive(Clone, Copy, Debug)]
struct Leader {
    node: u64,
    term: u64,
}

/// A leader that is none any more, since when, and what became of it.
#[derive(Debug)]
struct Lost {
    node: u64,
    at_ms: u64,
    how: &'static str,
}

/// What the next command waits for.
#[derive(Debug)]
enum Busy {
    No,
    Asked,
    Waits(For, Instant),
}

type Done = Result<(), Box<dyn std::error::Error>>;

struct Chaos {
    nodes: Nodes,
    screen: Screen,
    shown: Shown,
    leader: Option<Leader>,
    lost: Option<Lost>,
    /// The last election that was won: by whom, in which term, and when.
    won: Option<(u64, u64, u64)>,
    busy: Busy,
    asks: UnboundedSender<Ask>,
    load: Option<Load>,
    events: Sender<Event>,
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Runs the nodes and the prompt, on the thread that lives as long as this process, until somebody types `quit`, the input ends,
/// or `stop` is wanted.
pub(super) fn run(setup: Setup, stop: &Stop, banner: impl FnOnce() -> io::Result<()>) -> Done {
    let (events, heard) = channel();
    let endpoints: Vec<String> = setup.addresses.iter().map(|[client, ..]| client.clone()).collect();
    let mut chaos = Chaos {
        asks: clients::asked(endpoints, events.clone())?,
        nodes: Nodes::new(setup, events.clone())?,
        screen: Screen::new(now_ms()),
        shown: Shown::Main,
        leader: None,
        lost: None,
        won: None,
        busy: Busy::Waits(For::Ready, Instant::now() + BEGIN),
        load: None,
        events,
    };
    for id in chaos.ids() {
        chaos.nodes.start(id)?;
    }
    let lived = chaos.live(&heard, stop, banner);
    if let Some(load) = chaos.load.take() {
        // Whoever does not read any more is not told.
        let _ = chaos.screen.sentence(&load.stop());
    }
    chaos.nodes.stop()?;
    lived
}

impl Chaos {
    fn ids(&self) -> Vec<u64> {
        self.nodes.all.iter().map(|node| node.id).collect()
    }

    fn live(
        &mut self,
        heard: &Receiver<Event>,
        stop: &Stop,
        banner: impl FnOnce() -> io::Result<()>,
    ) -> Done {
        let mut banner = Some(banner);
        let mut typed: VecDeque<Option<String>> = VecDeque::new();
        while !stop.is_wanted() {
            if let Busy::No = self.busy {
                if let Some(banner) = banner.take() {
                    banner()?;
                    self.listen()?;
                }
                match typed.pop_front() {
                    Some(Some(line)) => {
                        if self.obey(&line)? {
                            return Ok(());
                        }
                        continue;
                    }
                    Some(None) => return Ok(()),
                    None => self.screen.prompt()?,
                }
            }
            match heard.recv_timeout(POLL) {
                Ok(Event::Typed(line)) => typed.push_back(line),
                Ok(Event::Line(id, start, line)) => self.hear(id, start, &line)?,
                Ok(Event::Ended(id, start)) => {
                    if self.ended(id, start)? && banner.is_some() {
                        return Err("a node ended before all of them were ready".into());
                    }
                }
                Ok(Event::Answer(text)) => {
                    self.busy = Busy::No;
                    self.screen.say(&text)?;
                }
                Ok(Event::Said(text)) => self.screen.sentence(&text)?,
                Err(RecvTimeoutError::Timeout) => {}
                // This side keeps a sender.
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            self.resume_who_is_due()?;
            self.look_whether_it_is_so()?;
            if banner.is_some() && matches!(self.busy, Busy::No) && !self.all_ready() {
                return Err("the nodes were not ready in time".into());
            }
        }
        Ok(())
    }

    /// Begins to listen to what is typed.
    fn listen(&self) -> io::Result<()> {
        let events = self.events.clone();
        let listen = move || {
            for line in io::stdin().lock().lines().map_while(Result::ok) {
                if events.send(Event::Typed(Some(line))).is_err() {
                    return;
                }
            }
            let _ = events.send(Event::Typed(None));
        };
        std::thread::Builder::new().name("input".to_owned()).spawn(listen).map(drop)
    }

    /// A line of the log of a node.
    fn hear(&mut self, id: u64, start: u64, line: &str) -> Done {
        let Some(node) = self.nodes.get(id).filter(|node| node.starts == start) else { return Ok(()) };
        match node.machines.read(line) {
            Line::Edge(edge) => {
                if edge.machine == LifeMachine::NUMBER {
                    node.listens();
                }
                let counts = node.runs() && !node.paused;
                let least = if edge.is_main() { Shown::Main } else { Shown::All };
                if self.shown >= least {
                    self.screen.edge(id, &edge)?;
                }
                if counts { self.follow(id, &edge) } else { Ok(()) }
            }
            Line::Other(Level::Error, text) => Ok(self.screen.wrong(&format!("n{id}: {text}"))?),
            Line::Other(Level::Warning, text) if self.shown == Shown::All => {
                Ok(self.screen.say(&format!("n{id}: {text}"))?)
            }
            Line::Other(Level::Warning | Level::Quiet, _) => Ok(()),
        }
    }

    /// Takes note of who leads.
    fn follow(&mut self, id: u64, edge: &Edge) -> Done {
        let leads = self.leader.is_some_and(|leader| leader.node == id);
        match (edge.machine, edge.to, edge.term) {
            (RoleMachine::NUMBER, "Leader", Some(term)) => self.won = Some((id, term, edge.at_ms)),
            (RoleMachine::NUMBER, ..) if leads => self.lose(id, edge.at_ms, "stopped leading"),
            (LeadershipMachine::NUMBER, "Established", Some(term))
                if self.leader.is_none_or(|leader| leader.term < term) =>
            {
                self.leader = Some(Leader { node: id, term });
                if let Some(lost) = self.lost.take() {
                    let won = self.won.filter(|(node, ..)| *node == id).map_or(edge.at_ms, |(.., at)| at);
                    let [won, serves] = [won, edge.at_ms].map(|at| at.saturating_sub(lost.at_ms));
                    let Lost { node, how, .. } = lost;
                    self.screen.sentence(&format!(
                        "n{id} leads in term {term}: it won the election {won} ms after n{node} {how}, and took writes after \
                         {serves} ms"
                    ))?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes note that a node leads no more, if it did.
    fn lose(&mut self, id: u64, at_ms: u64, how: &'static str) {
        if self.leader.is_some_and(|leader| leader.node == id) {
            self.leader = None;
            self.lost = Some(Lost { node: id, at_ms, how });
        }
    }

    /// A node is back that led when it was lost, and nobody else has led meanwhile: it still does, until it says otherwise.
    fn regain(&mut self, id: u64) {
        let led = self.nodes.get(id).is_some_and(|node| node.machines.state::<RoleMachine>() == "Leader");
        if self.leader.is_none()
            && led
            && self.lost.as_ref().is_some_and(|lost| lost.node == id)
            && let Some((node, term, _)) = self.won
            && node == id
        {
            (self.leader, self.lost) = (Some(Leader { node, term }), None);
        }
    }

    /// A process has ended. Says whether by itself.
    fn ended(&mut self, id: u64, start: u64) -> Result<bool, io::Error> {
        let Some(node) = self.nodes.get(id).filter(|node| node.starts == start) else { return Ok(false) };
        let Some(how) = node.ended() else { return Ok(false) };
        self.lose(id, now_ms(), "ended by itself");
        self.screen.wrong(&format!("n{id} ended by itself: {how}"))?;
        Ok(true)
    }

    fn resume_who_is_due(&mut self) -> Done {
        let now = Instant::now();
        let due = self.nodes.all.iter().filter(|node| node.resume_at.is_some_and(|at| at <= now));
        for id in due.map(|node| node.id).collect::<Vec<_>>() {
            self.resume(id)?;
        }
        Ok(())
    }

    fn all_ready(&self) -> bool {
        let mut running = self.nodes.all.iter().filter(|node| node.runs() && !node.paused);
        running.all(|node| node.machines.state::<LifeMachine>() == "Ready")
    }

    /// Ends a wait that is over.
    fn look_whether_it_is_so(&mut self) -> Done {
        let Busy::Waits(what, until) = self.busy else { return Ok(()) };
        let is_so = match what {
            For::Leader => self.leader.is_some(),
            For::Ready => self.all_ready(),
            For::Time => Instant::now() >= until,
        };
        if is_so {
            self.busy = Busy::No;
        } else if Instant::now() >= until {
            self.busy = Busy::No;
            let missing = match what {
                For::Leader => "nobody leads",
                For::Ready => "not all nodes that run are ready",
                For::Time => "the time is over",
            };
            self.screen.wrong(&format!("{missing}, and it was waited for long enough"))?;
        }
        Ok(())
    }
}
