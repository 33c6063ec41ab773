//! Clients of the nodes: one for what is typed, one for the load. Each on a thread of its own, so that edges are shown while a
//! call waits.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use std::{fmt, io};

use holdfast_client::{Client, StatusReply};
use holdfast_machine::Numbered as _;
use holdfast_raft::RoleState;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc};

use super::Event;

/// How long a call that was typed may take.
const CALL: Duration = Duration::from_secs(10);

/// How long a node may take to say how it is.
const STATUS: Duration = Duration::from_secs(1);

/// Time between two writes of the load.
const LOAD_PAUSE: Duration = Duration::from_millis(200);

/// From when on it is worth a line that no write of the load was acknowledged for so long.
const GAP: Duration = Duration::from_millis(500);

/// The key that the load writes.
const LOAD_KEY: &str = "chaos/load";

/// What a client is asked.
#[derive(Debug)]
pub(super) enum Ask {
    Put(String, String),
    Get(String),
    /// How these nodes are: their number, their address, and what was done to them; without an address, one that is not asked.
    Status(Vec<(u64, Option<String>, String)>),
}

fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Begins a thread that answers one question after the other, until nobody asks any more.
pub(super) fn asked(endpoints: Vec<String>, events: Sender<Event>) -> io::Result<mpsc::UnboundedSender<Ask>> {
    let runtime = runtime()?;
    let (sender, mut questions) = mpsc::unbounded_channel();
    let work = move || {
        runtime.block_on(async {
            let made = |timeout| {
                Client::builder(endpoints.iter().cloned()).timeout(timeout).wait_for_cluster(true).build()
            };
            let (calls, states) = match (made(CALL), made(STATUS)) {
                (Ok(calls), Ok(states)) => (calls, states),
                (Err(error), _) | (_, Err(error)) => {
                    let _ = events.send(Event::Answer(error.to_string()));
                    return;
                }
            };
            while let Some(question) = questions.recv().await {
                let answer = match question {
                    Ask::Status(nodes) => status(&states, nodes).await,
                    Ask::Put(key, value) => put(&calls, key, value).await,
                    Ask::Get(key) => get(&calls, key).await,
                };
                if events.send(Event::Answer(answer)).is_err() {
                    return;
                }
            }
        });
    };
    Builder::new().name("client".to_owned()).spawn(work)?;
    Ok(sender)
}

async fn put(client: &Client, key: String, value: String) -> String {
    let began = Instant::now();
    match client.put(key.clone(), value).await {
        Ok((_, position)) => {
            format!("put {key}: acknowledged at {position} after {} ms", began.elapsed().as_millis())
        }
        Err(error) => error.to_string(),
    }
}

async fn get(client: &Client, key: String) -> String {
    match client.get(key.clone()).await {
        Ok(Some(found)) => {
            format!("get {key}: {} (revision {})", String::from_utf8_lossy(&found.value), found.mod_revision)
        }
        Ok(None) => format!("get {key}: there is no such key"),
        Err(error) => error.to_string(),
    }
}

async fn status(client: &Client, nodes: Vec<(u64, Option<String>, String)>) -> String {
    let mut lines = Vec::new();
    for (id, endpoint, done) in nodes {
        let state = match endpoint {
            None => String::new(),
            Some(endpoint) => match client.status(&endpoint).await {
                Ok(status) => shown(&status),
                Err(error) => format!("no answer: {}", error.why()),
            },
        };
        let parts: Vec<&str> =
            [state.as_str(), done.as_str()].into_iter().filter(|part| !part.is_empty()).collect();
        lines.push(format!("n{id}  {}", parts.join("  ")));
    }
    lines.join("\n")
}

fn shown(status: &StatusReply) -> String {
    let role = RoleState::from_number(status.role).map_or("?", RoleState::name);
    let ready = if status.ready { "ready" } else { "not ready" };
    let leader = status.leader.map_or("nobody".to_owned(), |leader| format!("n{leader}"));
    let StatusReply { term, commit, applied, .. } = status;
    format!("{role:12}  term {term}  {ready:9}  leader {leader:6}  commit {commit}  applied {applied}")
}

/// What became of the writes of a load.
#[derive(Debug)]
struct Writes {
    acknowledged: u64,
    others: u64,
    /// When the last one was acknowledged, or the load began.
    last: Instant,
    longest: Duration,
}

impl Writes {
    /// Takes note of an acknowledgement, and says how long it had to be waited for.
    fn acknowledge(&mut self) -> Duration {
        let gap = self.last.elapsed();
        (self.acknowledged, self.last, self.longest) =
            (self.acknowledged + 1, Instant::now(), self.longest.max(gap));
        gap
    }
}

impl fmt::Display for Writes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, others, .. } = self;
        let longest = self.longest.max(self.last.elapsed()).as_millis();
        write!(
            f,
            "load: {acknowledged} writes acknowledged, {others} not; the longest time without an acknowledgement was {longest} ms"
        )
    }
}

/// A load that runs.
#[derive(Debug)]
pub(super) struct Load {
    stop: Arc<Notify>,
    thread: JoinHandle<String>,
}

impl Load {
    /// Begins to write.
    pub(super) fn start(endpoints: Vec<String>, events: Sender<Event>) -> io::Result<Self> {
        let runtime = runtime()?;
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let work = move || runtime.block_on(write(endpoints, &stopped, &events));
        let thread = Builder::new().name("load".to_owned()).spawn(work)?;
        Ok(Self { stop, thread })
    }

    /// Ends it, and says what came of it.
    pub(super) fn stop(self) -> String {
        self.stop.notify_one();
        self.thread.join().unwrap_or_else(|_| "load: it has panicked; please report this".to_owned())
    }
}

async fn write(endpoints: Vec<String>, stop: &Notify, events: &Sender<Event>) -> String {
    let client = match Client::builder(endpoints).timeout(CALL).wait_for_cluster(true).build() {
        Ok(client) => client,
        Err(error) => return error.to_string(),
    };
    let mut writes = Writes { acknowledged: 0, others: 0, last: Instant::now(), longest: Duration::ZERO };
    for count in 0_u64.. {
        let put = client.put(LOAD_KEY, count.to_string());
        let done = tokio::select! {
            done = put => done,
            () = stop.notified() => break,
        };
        match done {
            Ok(_) => {
                let gap = writes.acknowledge();
                if gap >= GAP {
                    let line = format!("load: no write was acknowledged for {} ms", gap.as_millis());
                    let _ = events.send(Event::Said(line));
                }
            }
            Err(_) => writes.others += 1,
        }
        tokio::select! {
            () = tokio::time::sleep(LOAD_PAUSE) => {}
            () = stop.notified() => break,
        }
    }
    // Its session ends by itself: there may be nobody who could end it.
    writes.to_string()
}
