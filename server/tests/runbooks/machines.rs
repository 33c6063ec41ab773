//! Machines of a scripted site: each has addresses, directories and a service of its own, and all of them are this one.
//!
//! # What stands for what
//! | on a page | here |
//! |---|---|
//! | `10.0.0.N` | an address of 127.0.0.0/8 that only this test listens on; the ports are the same |
//! | `/var/lib/holdfast`, `/etc/holdfast`, `/usr/local/bin` | the same below a directory of the machine |
//! | `/backup` | a directory that all machines have, and that outlives them |
//! | `systemctl` | `service.rs`: it does with the process what the unit `docs/operating/holdfast.service` says |
//! | `chronyc` | `clock.rs`, where a test gives a machine a wrong clock |
//! | `journalctl` | the standard error of the service, of all its lives |

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::disk::SmallDisk;

/// How long anything may take before the test fails: real processes on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// How long a pause between two looks is.
pub(crate) const PAUSE: Duration = Duration::from_millis(50);

/// Where the pages have their machines.
pub(crate) const NETWORK: &str = "10.0.0.";

/// What pages name below a machine's own root.
const OWN: [&str; 4] = ["/var/lib", "/etc/holdfast", "/usr/local/bin", "/run/holdfast"];

/// Timeouts for a machine that tests share: five times the usual ones. The segments are small, because there are many of them here.
const CALM: &str =
    "heartbeat = \"250ms\"\nelection = \"1500ms\"\nsegment_size = \"24MiB\"\nlog_rate = 1000\n";

/// Networks that tests of this process have taken.
static NETWORKS: AtomicU16 = AtomicU16::new(0);

/// One machine.
#[derive(Debug)]
pub(crate) struct Machine {
    name: char,
    pub(crate) process: Option<Child>,
    /// Where its service says how far it is.
    pub(crate) notify: Option<UnixDatagram>,
    pub(crate) disk: Option<SmallDisk>,
    /// Further environment of all its programs: what is wrong with this machine.
    environment: Vec<(String, String)>,
}

/// Some machines. Whatever runs on them is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Site {
    root: TempDir,
    network: String,
    machines: Vec<Machine>,
    /// What `HOLDFAST_ENDPOINTS` is in the shell of whoever operates the site.
    named: String,
}

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) code: Option<i32>,
}

/// A network of loopback whose ports nobody has.
fn free_network() -> String {
    let process = std::process::id();
    for _ in 0..1_000 {
        let taken = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let [low, high, ..] = (process.wrapping_mul(31) + u32::from(taken)).to_le_bytes();
        let network = format!("127.{}.{low}.", 64 + high % 128);
        let is_free =
            |port: u16| (1..=5).all(|host| TcpListener::bind((format!("{network}{host}"), port)).is_ok());
        if [7400, 7401, 7402].into_iter().all(is_free) {
            return network;
        }
    }
    panic!("no network of loopback is free");
}

impl Site {
    /// Machines with these names, with nothing on them but the binary, and no configuration.
    pub(crate) fn bare(names: &str) -> Self {
        let root = tempfile::tempdir().expect("a directory");
        let machine =
            |name| Machine { name, process: None, notify: None, disk: None, environment: Vec::new() };
        let named: Vec<String> = (1..=3).map(|number| format!("{NETWORK}{number}:7400")).collect();
        let machines = names.chars().map(machine).collect();
        let site = Self { root, network: free_network(), machines, named: named.join(",") };
        fs::create_dir(site.root.path().join("backup")).expect("a directory");
        let journal = "#!/bin/sh\nexec cat \"$JOURNAL\"\n";
        for name in names.chars().chain(['-']) {
            for own in OWN {
                fs::create_dir_all(site.path(name, own)).expect("a directory");
            }
            let bin = site.path(name, "/usr/local/bin");
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_holdfast"), bin.join("holdfast")).expect("a link");
            fs::write(bin.join("journalctl"), journal).expect("a file");
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(bin.join("journalctl"), mode).expect("it is ours");
            File::create(site.journal(name)).expect("a file");
        }
        site
    }

    /// Machines `a`, `b` and `c` that form a cluster, and those with further names, which have their configuration and nothing
    /// else.
    pub(crate) fn formed(further: &str) -> Self {
        let mut site = Self::bare(&format!("abc{further}"));
        for (number, name) in (1..).zip("abc".chars().chain(further.chars())) {
            site.configure(name, number, "");
        }
        for name in "abc".chars() {
            site.launch(name);
        }
        for name in "abc".chars() {
            assert!(site.await_ready(name), "{}", site.log(name));
        }
        site
    }

    /// Writes the configuration of a node as the page about operating has it, calm, and with further lines.
    pub(crate) fn configure(&self, name: char, number: u64, further: &str) {
        let host = |port: u16| format!("{NETWORK}{number}:{port}");
        let (client, peer, http) = (host(7400), host(7401), host(7402));
        let begins = if number > 3 {
            format!("join = [\"{NETWORK}1:7400\", \"{NETWORK}2:7400\", \"{NETWORK}3:7400\"]")
        } else {
            let list: Vec<String> = (1..=3).map(|id| format!("\"{id}={NETWORK}{id}:7401\"")).collect();
            format!("initial_cluster = [{}]", list.join(", "))
        };
        let text = format!(
            "node_id = {number}\ndata_dir = \"/var/lib/holdfast\"\ncluster = \"billing\"\nallow_plaintext = true\n\
             listen_client = \"{client}\"\nlisten_peer = \"{peer}\"\nlisten_http = \"{http}\"\n{begins}\n{CALM}{further}"
        );
        fs::write(self.path(name, "/etc/holdfast/holdfast.toml"), self.inside(name, &text)).expect("a file");
    }

    /// A file or directory of a machine.
    pub(crate) fn path(&self, name: char, path: &str) -> PathBuf {
        self.root.path().join(name.to_string()).join(path.trim_start_matches('/'))
    }

    pub(crate) fn journal(&self, name: char) -> PathBuf {
        self.path(name, "/run/holdfast/journal")
    }

    /// All that its service has said.
    pub(crate) fn log(&self, name: char) -> String {
        fs::read_to_string(self.journal(name)).unwrap_or_default()
    }

    /// Where clients reach all machines.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        (1..=self.machines.len()).map(|number| format!("{}{number}:7400", self.network)).collect()
    }

    /// A text of a page as it is on this machine.
    pub(crate) fn inside(&self, name: char, text: &str) -> String {
        let root = self.root.path();
        let mut text = text.replace(NETWORK, &self.network);
        for own in OWN {
            text = text.replace(own, &self.path(name, own).display().to_string());
        }
        // `/backup` as a whole word: nothing else on the pages begins with it.
        text.replace("/backup", &root.join("backup").display().to_string())
    }

    /// What was said, as a page would show it: each machine has its paths to itself.
    pub(crate) fn outside(&self, text: &str) -> String {
        let root = self.root.path().display().to_string();
        let text = text.replace(&format!("{root}/backup"), "/backup").replace(&self.network, NETWORK);
        let names = self.machines.iter().map(|machine| machine.name).chain(['-']);
        names.fold(text, |text, name| text.replace(&format!("{root}/{name}/"), "/"))
    }

    pub(crate) fn machine(&mut self, name: char) -> &mut Machine {
        self.machines.iter_mut().find(|machine| machine.name == name).expect("a machine of this site")
    }

    /// Further environment of whatever is started on this machine from now on.
    pub(crate) fn set_environment(&mut self, name: char, key: &str, value: &str) {
        self.machine(name).environment.push((key.to_owned(), value.to_owned()));
    }

    /// A program that runs on this machine.
    pub(crate) fn program(&self, name: char, program: &str) -> Command {
        let disk = self
            .machines
            .iter()
            .find(|machine| machine.name == name)
            .and_then(|machine| machine.disk.as_ref());
        let mut command = match disk.map(|disk| disk.enter.as_slice()) {
            Some([first, rest @ ..]) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
            _ => Command::new(program),
        };
        let path = std::env::var("PATH").unwrap_or_default();
        let bin = self.path(name, "/usr/local/bin");
        command.env_clear().env("PATH", format!("{}:{path}", bin.display())).env("HOME", self.root.path());
        let machine = self.machines.iter().find(|machine| machine.name == name);
        let environment = machine.map_or(&[][..], |machine| machine.environment.as_slice());
        command.envs(environment.iter().map(|(key, value)| (key, value)));
        command.env("JOURNAL", self.journal(name)).current_dir(self.path(name, "/")).stdin(Stdio::null());
        command
    }

    /// Runs a command of a page on a machine, in the shell of somebody who operates the site.
    pub(crate) fn shell(&mut self, name: char, command: &str) -> Said {
        if let Some(rest) = command.strip_prefix("systemctl ") {
            return self.systemctl(name, rest);
        }
        if let Some(named) = command.strip_prefix("export HOLDFAST_ENDPOINTS=") {
            named.clone_into(&mut self.named);
            return Said { text: String::new(), code: Some(0) };
        }
        let mut shell = self.program(name, "sh");
        let command = self.inside(name, command);
        shell
            .args(["-c", &format!("exec 2>&1; {command}")])
            .env("HOLDFAST_ENDPOINTS", self.inside(name, &self.named));
        let done = shell.output().expect("a shell");
        let text = self.outside(&String::from_utf8_lossy(&done.stdout));
        Said { text, code: done.status.code() }
    }

    /// The machine is gone, with all that was on its disk.
    pub(crate) fn destroy(&mut self, name: char) {
        self.kill(name);
        for own in ["/var/lib/holdfast", "/etc/holdfast"] {
            let _ = fs::remove_dir_all(self.path(name, own));
        }
    }

    /// Waits until something is so.
    pub(crate) fn wait_until(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !look(self) {
            assert!(Instant::now() < until, "{what}");
            std::thread::sleep(PAUSE);
        }
    }

    /// Waits until every node that runs is ready, and three of them do.
    pub(crate) fn await_health(&mut self) {
        let names: Vec<char> = self.machines.iter().map(|machine| machine.name).collect();
        self.wait_until("every node is ready", |site| {
            // Anew each time: one that was removed ends only when it is told.
            let all = names.iter().zip(site.endpoints());
            let running = all.filter(|(name, _)| site.is_running(**name)).map(|(_, endpoint)| endpoint);
            let running: Vec<String> = running.collect();
            let question = format!("holdfast status -o json --endpoints {}", running.join(","));
            let said = site.shell('-', &question);
            let document: serde_json::Value = serde_json::from_str(&said.text).unwrap_or_default();
            let rows = document["endpoints"].as_array().cloned().unwrap_or_default();
            let ready = rows.iter().filter(|row| row["ready"] == true).count();
            said.code == Some(0) && ready == running.len() && ready >= 3
        });
    }

    /// Which machine leads, as soon as one does.
    pub(crate) fn leader(&mut self) -> char {
        let mut found = None;
        self.wait_until("somebody leads", |site| {
            let said = site.shell('-', "holdfast status -o json");
            let document: serde_json::Value = serde_json::from_str(&said.text).unwrap_or_default();
            let rows = document["endpoints"].as_array().cloned().unwrap_or_default();
            let place = rows.iter().position(|row| row["role"] == "leader" && row["ready"] == true);
            found = place.map(|place| site.machines[place].name);
            found.is_some()
        });
        found.expect("it was waited for")
    }

    /// Makes a machine the one that leads.
    pub(crate) fn make_leader(&mut self, name: char) {
        let number = 1 + self.machines.iter().position(|machine| machine.name == name).expect("a machine");
        self.wait_until("it leads", |site| {
            site.leader() == name || {
                site.shell('-', &format!("holdfast member transfer {number}"));
                false
            }
        });
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for machine in &mut self.machines {
            if let Some(mut process) = machine.process.take() {
                let _ = process.kill();
                let _ = process.wait();
            }
        }
        if std::thread::panicking() {
            for machine in &self.machines {
                eprintln!("--- journal of {}\n{}", machine.name, tail(&self.log(machine.name)));
            }
        }
    }
}

/// The last lines of a text.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

/// Bytes of a file are turned over, as a disk might do it.
pub(crate) fn damage(file: &Path, at: u64, count: usize) {
    let mut bytes = fs::read(file).expect("a file");
    let at = usize::try_from(at).expect("small");
    for byte in &mut bytes[at..at + count] {
        *byte ^= 0xff;
    }
    fs::write(file, bytes).expect("it is ours");
}
