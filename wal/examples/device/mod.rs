//! What the device behind a directory writes.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Counts what is written to a device, by anybody.
pub(crate) struct Device {
    counter: Option<PathBuf>,
}

impl Device {
    /// The one that holds `path`.
    pub(crate) fn of(path: &Path) -> Self {
        let numbers = fs::metadata(path).map(|metadata| {
            let device = metadata.dev();
            ((device >> 8) & 0xFFF, (device & 0xFF) | ((device >> 12) & 0xF_FF00))
        });
        let counter =
            numbers.ok().map(|(major, minor)| PathBuf::from(format!("/sys/dev/block/{major}:{minor}/stat")));
        Self { counter: counter.filter(|counter| counter.exists()) }
    }

    /// Bytes written so far; 0 if nobody counts them.
    pub(crate) fn written(&self) -> u64 {
        let stat = self.counter.as_ref().and_then(|counter| fs::read_to_string(counter).ok());
        let sectors = stat.and_then(|stat| stat.split_whitespace().nth(6)?.parse::<u64>().ok());
        sectors.unwrap_or(0) * 512
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.counter {
            Some(counter) => write!(f, "device bytes by {} (of everybody)", counter.display()),
            None => f.write_str("device bytes are not counted here"),
        }
    }
}
