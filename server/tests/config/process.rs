//! Processes of the one binary, and what they say.

use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long anything may take before the test fails: real processes on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A directory for files.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.0.path().join(name).exists()
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        self.raw(name, text.as_bytes())
    }

    pub(crate) fn raw(&self, name: &str, bytes: &[u8]) -> String {
        fs::write(self.path(name), bytes).expect("a file");
        self.path(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub(crate) fn directory(&self, name: &str) -> String {
        fs::create_dir(self.path(name)).expect("a directory");
        self.path(name)
    }
}

/// Loopback addresses that nobody listens on now.
pub(crate) fn addresses(count: usize) -> Vec<String> {
    let listeners: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    listeners.iter().map(|listener| listener.local_addr().expect("its address").to_string()).collect()
}

/// A command, without the environment of the test.
pub(crate) fn holdfast(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

/// Runs a command to its end: its exit code, what it printed and what it said. Killed if it does not end in time.
pub(crate) fn said(mut command: Command) -> (Option<i32>, String, String) {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("the binary that cargo built");
    let until = Instant::now() + PATIENCE;
    // What it says fits into a pipe.
    while child.try_wait().expect("it is ours").is_none() {
        if Instant::now() > until {
            let _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let code = child.wait().expect("it is ours").code();
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().expect("piped").read_to_string(&mut out).expect("text");
    child.stderr.take().expect("piped").read_to_string(&mut err).expect("text");
    (code, out, err)
}

/// Waits until something is so.
pub(crate) fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A node that is a cluster of its own, with its log in a file. Killed when it is dropped.
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) client: String,
    process: Option<Child>,
}

impl Node {
    /// Starts a node with this configuration file, behind one with what it needs.
    pub(crate) fn start(configuration: &str, environment: &[(&str, &str)]) -> Self {
        let [client, peer] = <[String; 2]>::try_from(addresses(2)).expect("two");
        let place = Place::new();
        let data = place.path("data");
        let base = format!(
            "node_id = 1\ndata_dir = {data:?}\nlisten_client = {client:?}\nlisten_peer = {peer:?}\nlisten_http = \"off\"\n\
             initial_cluster = [\"1={peer}\"]\nsegment_size = \"24MiB\"\n"
        );
        let (base, file) = (place.file("base.toml", &base), place.file("node.toml", configuration));
        let log = fs::File::create(place.path("log")).expect("a file");
        let mut command = holdfast(&["server", "--config", &base, "--config", &file]);
        command.envs(environment.iter().copied()).stderr(log);
        let process = Some(command.spawn().expect("the binary that cargo built"));
        Self { place, client, process }
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        self.place.read("log")
    }

    /// Waits for a line of its log that has all of these in it.
    pub(crate) fn wait_for(&mut self, parts: &[&str]) -> String {
        wait_until(&format!("{parts:?} in its log"), || {
            let log = self.log();
            let line =
                log.lines().find(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned);
            if line.is_none()
                && let Some(process) = &mut self.process
                && let Some(status) = process.try_wait().expect("it is ours")
            {
                panic!("it ended ({status}): {log}");
            }
            line
        })
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().expect("kill is there").success());
    }

    /// Stops it in order.
    pub(crate) fn stop(&mut self) {
        self.signal("-TERM");
        let mut process = self.process.take().expect("it runs");
        let status = wait_until("it ends", || process.try_wait().expect("it is ours"));
        assert!(status.success(), "{status}: {}", self.log());
    }

    /// Writes a key, as soon as that is possible.
    pub(crate) fn put(&self, key: &str, value: &str) {
        wait_until("it takes a write", || {
            let (code, ..) =
                said(holdfast(&["put", key, value, "--endpoints", &self.client, "--timeout", "60"]));
            (code == Some(0)).then_some(())
        });
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
