//! A file system in a file, that nothing else uses and that is gone at the end.

use std::fs::{self, File};
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// An ext4 file system on a loop device.
pub(crate) struct LoopDisk {
    device: String,
    mounted: bool,
    directory: TempDir,
}

/// Runs a program. Its words, if it failed.
fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output =
        Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    let Output { status, stdout, stderr } = output;
    if status.success() {
        Ok(String::from_utf8_lossy(&stdout).trim().to_owned())
    } else {
        let said = String::from_utf8_lossy(&stderr);
        Err(format!("{program} {}: {}", arguments.join(" "), said.trim()))
    }
}

/// Says, so that it is seen although the test passes, that it did nothing.
pub(crate) fn skipped(test: &str, reason: &str) {
    // Not `eprintln!`, which is kept back when a test passes.
    let _ = writeln!(stderr(), "SKIPPED: {test}: {reason}");
}

impl LoopDisk {
    /// Makes one of `bytes` and mounts it.
    ///
    /// # Errors
    /// What is missing: the programs, the rights, a loop device.
    pub(crate) fn new(bytes: u64) -> Result<Self, String> {
        let directory =
            tempfile::Builder::new().prefix("holdfast-loop-").tempdir().map_err(|error| error.to_string())?;
        let image = directory.path().join("image");
        let made = File::create_new(&image).and_then(|file| file.set_len(bytes));
        made.map_err(|error| format!("{}: {error}", image.display()))?;
        fs::create_dir(directory.path().join("mount")).map_err(|error| error.to_string())?;
        let image = image.display().to_string();
        run("mkfs.ext4", &["-q", "-F", &image])?;
        let device = run("losetup", &["--find", "--show", &image])?;
        let mut disk = Self { device, mounted: false, directory };
        disk.mount("rw")?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("mount")
    }

    pub(crate) fn mount(&mut self, how: &str) -> Result<(), String> {
        let path = self.path().display().to_string();
        run("mount", &["-t", "ext4", "-o", how, &self.device, &path])?;
        self.mounted = true;
        Ok(())
    }

    pub(crate) fn unmount(&mut self) -> Result<(), String> {
        run("umount", &[&self.path().display().to_string()])?;
        self.mounted = false;
        Ok(())
    }

    /// Ends the file system where it stands: nothing that is not on the device by now will be. The journal is
    /// not written.
    pub(crate) fn cut_power(&self) -> Result<(), String> {
        cut_power(&self.path())
    }
}

/// By a program of a few words: the call needs `unsafe` in Rust, and is no part of what is tested.
fn cut_power(path: &Path) -> Result<(), String> {
    // EXT4_IOC_SHUTDOWN is _IOR('X', 125, u32); 2 is NOLOGFLUSH.
    let words = "import fcntl, os, struct, sys\n\
                 fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))";
    run("python3", &["-c", words, &path.display().to_string()]).map(|_| ())
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        let path = self.path().display().to_string();
        let unmounted = if self.mounted { run("umount", &["--lazy", &path]) } else { Ok(String::new()) };
        for result in [unmounted, run("losetup", &["--detach", &self.device])] {
            if let Err(error) = result {
                let _ = writeln!(stderr(), "{error}");
            }
        }
    }
}
