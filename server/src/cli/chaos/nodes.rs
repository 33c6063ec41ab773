//! The nodes as processes of their own, so that they can be killed and suspended; and their configuration files, through which
//! everything else is done to them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::edges::{FILTER, Machines};
use super::{Event, Setup};

/// How long the nodes may take to stop in order. Then they are killed, which loses nothing either.
const STOP: Duration = Duration::from_secs(5);

/// How often it is looked whether they have.
const POLL: Duration = Duration::from_millis(10);

/// A node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: u64,
    /// Where its clients reach it.
    pub(super) client: String,
    file: PathBuf,
    child: Option<Child>,
    /// How often it was started: what an earlier process said counts no more.
    pub(super) starts: u64,
    pub(super) paused: bool,
    pub(super) resume_at: Option<Instant>,
    /// By how much each sync of its log takes longer, as it stands in its file; empty if nobody said so.
    pub(super) slow: String,
    /// It listens to SIGHUP: before that, it would die of it.
    listens: bool,
    /// Its file has changed since it was read.
    stale: bool,
    pub(super) machines: Machines,
}

impl Node {
    /// Whether there is a process, suspended or not.
    pub(super) fn runs(&self) -> bool {
        self.child.is_some()
    }

    fn tell(&self, signal: Signal) {
        let id = self.child.as_ref().and_then(|child| i32::try_from(child.id()).ok()).and_then(Pid::from_raw);
        if let Some(id) = id {
            // It may have ended by itself, and then there is nothing to tell; it is not waited for yet, so its number is its own.
            let _ = kill_process(id, signal);
        }
    }

    pub(super) fn pause(&mut self, until: Option<Instant>) {
        self.tell(Signal::STOP);
        (self.paused, self.resume_at) = (true, until);
    }

    pub(super) fn resume(&mut self) {
        self.tell(Signal::CONT);
        (self.paused, self.resume_at) = (false, None);
    }

    /// Kills the process, and waits until it is gone.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        (self.paused, self.resume_at) = (false, None);
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Takes note that it has ended by itself, and says how.
    pub(super) fn ended(&mut self) -> Option<String> {
        let status = self.child.take()?.wait();
        (self.paused, self.resume_at) = (false, None);
        Some(status.map_or_else(|error| error.to_string(), |status| status.to_string()))
    }

    /// It has said something that it says only when it listens to signals.
    pub(super) fn listens(&mut self) {
        self.listens = true;
        if std::mem::take(&mut self.stale) {
            self.tell(Signal::HUP);
        }
    }
}

/// All of them. Whatever still runs is killed when it is dropped.
#[derive(Debug)]
pub(super) struct Nodes {
    pub(super) all: Vec<Node>,
    /// Between whom the network is cut, the smaller number first.
    pub(super) cuts: BTreeSet<(u64, u64)>,
    program: PathBuf,
    setup: Setup,
    events: Sender<Event>,
}

impl Nodes {
    /// None of them is started.
    pub(super) fn new(setup: Setup, events: Sender<Event>) -> io::Result<Self> {
        let node = |(id, addresses): (u64, &[String; 3])| Node {
            id,
            client: addresses[0].clone(),
            file: setup.root.join(format!("n{id}.toml")),
            child: None,
            starts: 0,
            paused: false,
            resume_at: None,
            slow: String::new(),
            listens: false,
            stale: false,
            machines: Machines::default(),
        };
        let all = (1..).zip(&setup.addresses).map(node).collect();
        Ok(Self { all, cuts: BTreeSet::new(), program: std::env::current_exe()?, setup, events })
    }

    pub(super) fn get(&mut self, id: u64) -> Option<&mut Node> {
        self.all.iter_mut().find(|node| node.id == id)
    }

    /// Who is cut from a node.
    pub(super) fn cut_from(&self, id: u64) -> Vec<u64> {
        let other = |(one, other): &(u64, u64)| match id {
            _ if *one == id => Some(*other),
            _ if *other == id => Some(*one),
            _ => None,
        };
        self.cuts.iter().filter_map(other).collect()
    }

    /// Starts the process of a node. On the thread that lives as long as this process: its children end with that thread.
    pub(super) fn start(&mut self, id: u64) -> io::Result<()> {
        self.write(id)?;
        let (program, events) = (self.program.clone(), self.events.clone());
        let Some(node) = self.get(id) else { return Ok(()) };
        let mut command = Command::new(program);
        command.arg("server").arg("--config").arg(&node.file);
        command.args(["--ends-with", &std::process::id().to_string()]);
        // Its file says everything, and no variable that is meant for other commands says it otherwise.
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_ours(name)) {
            command.env_remove(name);
        }
        // A group of its own: an interrupt at the terminal is for the prompt, which stops the nodes in order.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let stderr = child.stderr.take();
        (node.child, node.starts) = (Some(child), node.starts + 1);
        (node.paused, node.listens, node.stale) = (false, false, false);
        node.machines = Machines::default();
        let start = node.starts;
        let listen = move || {
            let lines = stderr.into_iter().flat_map(|stderr| BufReader::new(stderr).split(b'\n'));
            for line in lines.map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                if events.send(Event::Line(id, start, line)).is_err() {
                    return;
                }
            }
            // Nobody listens any more if all is over.
            let _ = events.send(Event::Ended(id, start));
        };
        thread::Builder::new().name(format!("log-{id}")).spawn(listen)?;
        Ok(())
    }

    /// Writes the files of these nodes, and lets those that run read them again.
    pub(super) fn change(&mut self, ids: impl IntoIterator<Item = u64>) -> io::Result<()> {
        for id in ids {
            self.write(id)?;
            let Some(node) = self.get(id) else { continue };
            if node.listens {
                node.tell(Signal::HUP);
            } else {
                node.stale = true;
            }
        }
        Ok(())
    }

    /// Writes the file of a node, in one step: it may be reading it.
    fn write(&mut self, id: u64) -> io::Result<()> {
        let Setup { root, addresses } = &self.setup;
        let cut = self.cut_from(id);
        let members: Vec<String> =
            (1..).zip(addresses).map(|(id, [_, peer, _]): (u64, _)| format!("{id}={peer}")).collect();
        let mine = usize::try_from(id - 1).ok().and_then(|at| addresses.get(at));
        let (Some([client, peer, http]), Some(node)) = (mine, self.all.iter().find(|node| node.id == id))
        else {
            return Ok(());
        };
        let slow = if node.slow.is_empty() { "0" } else { &node.slow };
        let data = root.join(format!("n{id}"));
        // Texts are escaped as JSON does, which TOML reads as well.
        let text = format!(
            "# Written by `holdfast dev --chaos`, and again whenever something is done to the node.\n\
             node_id = {id}\ndata_dir = {}\ncluster = \"dev\"\nlisten_client = {client:?}\nlisten_peer = {peer:?}\n\
             listen_http = {http:?}\ninitial_cluster = {members:?}\nsegment_size = \"24MiB\"\nlog = {FILTER:?}\n\
             log_format = \"json\"\ndrill_cut = {cut:?}\ndrill_sync_delay = {slow:?}\n",
            serde_json::Value::from(data.display().to_string()),
        );
        replace(&node.file, &text)
    }

    /// Stops all in order, and kills what does not stop in time.
    pub(super) fn stop(&mut self) -> io::Result<()> {
        for node in &mut self.all {
            // One that hangs hears nothing.
            if node.paused { node.kill()? } else { node.tell(Signal::TERM) }
        }
        let until = Instant::now() + STOP;
        for node in &mut self.all {
            while let Some(child) = &mut node.child
                && child.try_wait()?.is_none()
                && Instant::now() < until
            {
                thread::sleep(POLL);
            }
            node.kill()?;
        }
        Ok(())
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for node in &mut self.all {
            // What cannot be killed ends with this process.
            let _ = node.kill();
        }
    }
}

fn is_ours(name: &OsString) -> bool {
    name.to_string_lossy().starts_with("HOLDFAST_")
}

fn replace(file: &Path, text: &str) -> io::Result<()> {
    let new = file.with_extension("toml.new");
    fs::write(&new, text)?;
    fs::rename(&new, file)
}
