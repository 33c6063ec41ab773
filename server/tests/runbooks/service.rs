//! What systemd does with a service: starts what the unit says, waits until that is ready, and tells it to stop.

use std::fs;
use std::fs::OpenOptions;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Instant;

use crate::machines::{PATIENCE, PAUSE, Said, Site};

/// The unit that the pages install.
pub(crate) const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operating/holdfast.service");

impl Site {
    /// What `systemctl` would do and say.
    pub(crate) fn systemctl(&mut self, name: char, command: &str) -> Said {
        let words: Vec<&str> = command.split_whitespace().collect();
        let done = Said { text: String::new(), code: Some(0) };
        match words.as_slice() {
            ["daemon-reload"] | ["enable", "holdfast"] => done,
            ["start", "--no-block", "holdfast"] => {
                self.launch(name);
                done
            }
            ["start", "holdfast"] => self.start(name),
            ["stop", "holdfast"] => {
                self.stop(name);
                done
            }
            ["restart", "holdfast"] => {
                self.stop(name);
                self.start(name)
            }
            ["reload", "holdfast"] => {
                self.signal(name, "-HUP");
                done
            }
            ["is-active", "holdfast"] => {
                let runs = self.is_running(name);
                Said {
                    text: if runs { "active" } else { "failed" }.to_owned(),
                    code: Some(if runs { 0 } else { 3 }),
                }
            }
            _ => panic!("systemctl {command} is not known here"),
        }
    }

    fn start(&mut self, name: char) -> Said {
        self.launch(name);
        let (text, code) = match self.await_ready(name) {
            true => ("", 0),
            false => {
                ("Job for holdfast.service failed because the control process exited with error code.", 1)
            }
        };
        Said { text: text.to_owned(), code: Some(code) }
    }

    /// Starts what the unit says, and does not wait.
    pub(crate) fn launch(&mut self, name: char) {
        let unit = fs::read_to_string(UNIT).expect("the unit");
        let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("what to start");
        let line = self.inside(name, line);
        let (program, arguments) = line.split_once(' ').expect("arguments");
        let notify = self.path(name, "/run/holdfast/notify");
        let _ = fs::remove_file(&notify);
        let journal = OpenOptions::new().append(true).open(self.journal(name)).expect("the journal");
        let mut command = self.program(name, program);
        // It is gone when the test is, however that ends.
        command.args(arguments.split(' ')).arg(format!("--ends-with={}", std::process::id()));
        command.env("NOTIFY_SOCKET", &notify);
        // Bound before the service starts, and read by whoever waits for it.
        let socket = UnixDatagram::bind(&notify).expect("a socket");
        let process = command.stderr(journal).spawn().expect("the binary that cargo built");
        let machine = self.machine(name);
        (machine.process, machine.notify) = (Some(process), Some(socket));
    }

    /// Waits until the service says that it is ready; false if it ends before.
    pub(crate) fn await_ready(&mut self, name: char) -> bool {
        let mut ready = false;
        self.wait_until("the service is ready, or ends", |site| {
            let is_over = !site.is_running(name);
            ready |= site.notified(name).iter().any(|told| told.lines().any(|line| line == "READY=1"));
            ready || is_over
        });
        ready
    }

    /// What the service has told whoever started it, since somebody last looked.
    pub(crate) fn notified(&mut self, name: char) -> Vec<String> {
        let socket = self.machine(name).notify.as_ref().expect("it was launched");
        socket.set_nonblocking(true).expect("a socket");
        let (mut all, mut message) = (Vec::new(), [0; 4096]);
        while let Ok(length) = socket.recv(&mut message) {
            all.push(String::from_utf8_lossy(&message[..length]).into_owned());
        }
        all
    }

    pub(crate) fn is_running(&mut self, name: char) -> bool {
        let process = self.machine(name).process.as_mut();
        process.is_some_and(|process| process.try_wait().expect("it is ours").is_none())
    }

    /// Sends its service a signal.
    pub(crate) fn signal(&mut self, name: char, signal: &str) {
        let id = self.machine(name).process.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill is there").success());
    }

    /// Stops its service in order, if it runs. How it ended.
    pub(crate) fn stop(&mut self, name: char) -> Option<i32> {
        if self.is_running(name) {
            self.signal(name, "-TERM");
        }
        self.await_end(name)
    }

    /// Waits until its service has ended by itself, and says how.
    pub(crate) fn await_end(&mut self, name: char) -> Option<i32> {
        let until = Instant::now() + PATIENCE;
        while self.is_running(name) {
            assert!(Instant::now() < until, "{name} does not end: {}", self.log(name));
            std::thread::sleep(PAUSE);
        }
        let mut process = self.machine(name).process.take()?;
        process.wait().expect("it is ours").code()
    }

    /// Kills its service, as a power cut would.
    pub(crate) fn kill(&mut self, name: char) {
        if let Some(mut process) = self.machine(name).process.take() {
            process.kill().expect("it is ours");
            process.wait().expect("it is ours");
        }
    }
}
