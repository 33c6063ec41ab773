//! A disk that is small, for one scripted machine.
//!
//! It is a file system in memory, mounted in a namespace of its own: only programs that enter that see it, and the kernel takes it
//! back when nobody is left in it. Root may make one, and mostly everybody else, as root of a namespace of users.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::machines::Site;

/// A disk of its own that is small, for as long as this lives: a file system that only those see who enter its namespace.
#[derive(Debug)]
pub(crate) struct SmallDisk {
    holder: Child,
    /// The holder ends with it, also if this test is killed.
    _ends_with: ChildStdin,
    /// The words before a command that is to see it.
    pub(crate) enter: Vec<String>,
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

impl Site {
    /// From now on `/var/lib` of this machine is a disk of so many MiB. Why not, if the machine that the test runs on does not
    /// allow it.
    pub(crate) fn give_small_disk(&mut self, name: char, mebibytes: u32) -> Result<(), String> {
        let at = self.path(name, "/var/lib").display().to_string();
        let mount = format!("mount -t tmpfs -o size={mebibytes}m tmpfs '{at}' && echo mounted && exec cat");
        let ways: [(&[&str], &[&str]); 2] = [
            (&["unshare", "-m"], &["-m"]),
            (&["unshare", "-r", "-m"], &["-U", "-m", "--preserve-credentials"]),
        ];
        let mut why = String::new();
        for (unshare, enter) in ways {
            let mut command = Command::new(unshare[0]);
            command.args(&unshare[1..]).args(["sh", "-c", &mount]);
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut holder = command.spawn().map_err(|error| format!("unshare: {error}"))?;
            let ends_with = holder.stdin.take().expect("piped");
            let mut line = String::new();
            let mut said = BufReader::new(holder.stdout.take().expect("piped"));
            said.read_line(&mut line).expect("a line");
            if line.trim() == "mounted" {
                let id = holder.id().to_string();
                let mut words: Vec<String> = ["nsenter", "-t", &id].map(str::to_owned).into();
                words.extend(enter.iter().map(|word| (*word).to_owned()));
                words.push("--".to_owned());
                self.machine(name).disk = Some(SmallDisk { holder, _ends_with: ends_with, enter: words });
                return Ok(());
            }
            drop(ends_with);
            let output = holder.wait_with_output().expect("it is ours");
            let _ =
                write!(why, "{}: {}; ", unshare.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Err(why)
    }
}
