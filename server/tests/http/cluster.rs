//! Real nodes on loopback, in this process, and a plain HTTP client.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use holdfast_server::runtime::{self, Options, RunError, Running};
use serde_json::Value;
use tempfile::TempDir;

/// How long anything is waited for. A test that takes longer has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Some nodes that form one cluster.
pub(crate) struct Cluster {
    options: Vec<Options>,
    running: Vec<Option<Running>>,
    _root: TempDir,
}

/// Loopback addresses that nobody listens on now.
fn free_addresses(count: usize) -> Vec<String> {
    let listeners: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    listeners.iter().map(|listener| listener.local_addr().expect("its address").to_string()).collect()
}

impl Cluster {
    /// Starts `count` nodes, and waits until all of them serve. A port that was free when it was chosen may be somebody's
    /// when it is listened on: then others are chosen.
    pub(crate) fn start(count: usize) -> Self {
        (0..5).find_map(|_| Self::try_start(count)).expect("free ports")
    }

    fn try_start(count: usize) -> Option<Self> {
        let root = tempfile::tempdir().expect("a directory");
        let mut addresses = free_addresses(3 * count).into_iter();
        let mut next = || addresses.next().expect("as many as asked for");
        let mut options: Vec<Options> = (1..=count)
            .map(|node| Options {
                listen_client: next(),
                listen_peer: next(),
                listen_http: Some(next()),
                segment_bytes: runtime::SEGMENT_BYTES_MIN,
                ..Options::new(node as u64, root.path().join(format!("n{node}")))
            })
            .collect();
        let members: Vec<(u64, String)> =
            options.iter().map(|options| (options.node, options.listen_peer.clone())).collect();
        options.iter_mut().for_each(|options| options.initial_cluster.clone_from(&members));
        let mut cluster = Self { running: (0..count).map(|_| None).collect(), options, _root: root };
        (0..count).for_each(|at| cluster.start_node(at));
        for at in 0..count {
            while cluster.try_ask(at, "GET", "/health/ready", &[], b"").map_or(0, |reply| reply.status) != 200
            {
                if let Some(over) =
                    cluster.running.iter_mut().find(|running| running.as_ref().is_some_and(Running::is_over))
                {
                    match over.take().expect("it ran").stop() {
                        Err(RunError::Listen { .. }) => return None,
                        ended => panic!("a node ended: {ended:?}"),
                    }
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Some(cluster)
    }

    pub(crate) fn start_node(&mut self, at: usize) {
        self.running[at] = Some(runtime::start(self.options[at].clone()).expect("a thread"));
    }

    pub(crate) fn stop_node(&mut self, at: usize) {
        self.running[at].take().expect("it runs").stop().expect("an ordered end");
    }

    pub(crate) fn len(&self) -> usize {
        self.options.len()
    }

    /// The HTTP address of a node.
    pub(crate) fn http(&self, at: usize) -> &str {
        self.options[at].listen_http.as_deref().expect("it serves HTTP")
    }

    /// The client addresses of all nodes.
    pub(crate) fn clients(&self) -> Vec<String> {
        self.options.iter().map(|options| options.listen_client.clone()).collect()
    }

    /// Waits until a node says that it serves, or that it does not.
    pub(crate) fn until_ready(&self, at: usize, ready: bool) -> Reply {
        let until = Instant::now() + PATIENCE;
        loop {
            let reply = self.try_ask(at, "GET", "/health/ready", &[], b"");
            match reply {
                Ok(reply) if (reply.status == 200) == ready => return reply,
                other => assert!(Instant::now() < until, "node {at} is not ready={ready}: {other:?}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Which node leads, as node `at` sees it.
    pub(crate) fn leader(&self, at: usize) -> usize {
        let status = self.ask(at, "GET", "/v1/status", &[], b"").json();
        usize::try_from(status["leader"].as_u64().expect("a leader")).expect("small") - 1
    }

    pub(crate) fn try_ask(
        &self,
        at: usize,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Reply, ureq::Error> {
        ask(&format!("http://{}{path}", self.http(at)), method, headers, body)
    }

    /// Asks a node, and follows nothing.
    pub(crate) fn ask(
        &self,
        at: usize,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let asked = self.try_ask(at, method, path, headers, body);
        asked.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Asks a node, goes where it says, as `curl -L` does, and comes again if it is told that nothing was done and that waiting
    /// helps: on a machine that is busy elsewhere a leader may be lost at any time.
    pub(crate) fn follow(
        &self,
        at: usize,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let until = Instant::now() + PATIENCE;
        loop {
            let reply = self.follow_once(at, method, path, headers, body);
            let may_come_again = reply.status == 503 && reply.json()["error"]["outcome"] == "not_applied";
            if !may_come_again || Instant::now() > until {
                return reply;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn follow_once(
        &self,
        at: usize,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let mut reply = self.ask(at, method, path, headers, body);
        for _ in 0..5 {
            if reply.status != 307 {
                break;
            }
            let place = reply.header("location").expect("where to go").to_owned();
            reply = ask(&place, method, headers, body).unwrap_or_else(|error| panic!("{place}: {error}"));
        }
        reply
    }

    /// Opens a stream of events.
    pub(crate) fn events(&self, at: usize, path: &str, headers: &[(&str, &str)]) -> Events {
        let mut request = ureq::http::Request::builder().uri(format!("http://{}{path}", self.http(at)));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = agent().run(request.body(()).expect("a request")).expect("a stream");
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Events { lines: Box::new(BufReader::new(response.into_body().into_reader())) }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.running.iter().flatten().for_each(Running::ask_to_stop);
        for running in self.running.iter_mut().filter_map(Option::take) {
            let _ = running.stop();
        }
    }
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0);
    config.max_redirects_will_error(false).timeout_global(Some(PATIENCE)).build().into()
}

fn ask(url: &str, method: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Reply, ureq::Error> {
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut response = if body.is_empty() && matches!(method, "GET" | "DELETE") {
        agent().run(request.body(()).expect("a request"))?
    } else {
        agent().run(request.body(body).expect("a request"))?
    };
    let status = response.status().as_u16();
    let name = |(name, value): (&ureq::http::HeaderName, &ureq::http::HeaderValue)| {
        (name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned())
    };
    let headers = response.headers().iter().map(name).collect();
    let body = response.body_mut().with_config().limit(64 << 20).read_to_vec()?;
    Ok(Reply { status, headers, body })
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(there, _)| there == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The same, if it has this status.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// The same, if it is this error.
    #[track_caller]
    pub(crate) fn fails(self, status: u16, code: &str) -> Self {
        let told = self.is(status);
        let error = &told.json()["error"];
        assert_eq!(error["code"], code, "{error}");
        for field in ["what", "why", "outcome", "next"] {
            assert!(error[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {error}");
        }
        told
    }
}

/// Server-sent events, as they come.
pub(crate) struct Events {
    lines: Box<dyn std::io::BufRead + Send>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    pub(crate) data: Value,
}

impl Events {
    /// The next one; none if the stream ended.
    pub(crate) fn next(&mut self) -> Option<Event> {
        let (mut name, mut id, mut data) = (String::new(), None, String::new());
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).expect("an event in time") == 0 {
                return None;
            }
            let line = line.trim_end_matches(['\r', '\n']);
            if let Some(text) = line.strip_prefix("event: ") {
                text.clone_into(&mut name);
            } else if let Some(text) = line.strip_prefix("id: ") {
                id = Some(text.to_owned());
            } else if let Some(text) = line.strip_prefix("data: ") {
                data.push_str(text);
            } else if line.is_empty() && !data.is_empty() {
                let data = serde_json::from_str(&data).expect("JSON");
                return Some(Event { name, id, data });
            }
        }
    }

    /// So many lines as they come.
    pub(crate) fn lines(&mut self, count: usize) -> String {
        let mut text = String::new();
        for _ in 0..count {
            self.lines.read_line(&mut text).expect("a line in time");
        }
        text
    }

    /// The next one of this name.
    pub(crate) fn expect(&mut self, name: &str) -> Event {
        let event = self.next().expect("an event");
        assert_eq!(event.name, name, "{event:?}");
        event
    }
}
