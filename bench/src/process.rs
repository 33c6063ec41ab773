//! What a process has used so far, as the kernel counts it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A tick of the CPU times in `/proc`: `USER_HZ` is 100 on every architecture that this builds for.
const TICK: Duration = Duration::from_millis(10);

/// What a process has used since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Use {
    /// CPU time in user and kernel mode, of all threads, in steps of 10 ms.
    pub(crate) cpu: Duration,
    /// Context switches, voluntary and not, of the threads that are alive.
    pub(crate) switches: u64,
    /// Resident memory in bytes: what it has now, not what it has had.
    pub(crate) resident: u64,
    /// Bytes that it made the kernel send to a device; `None` if the kernel does not tell, or not us.
    pub(crate) written: Option<u64>,
}

impl Use {
    /// Of the process `pid`. `None` if it is gone or the kernel tells nothing.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        Self::read(&PathBuf::from(format!("/proc/{pid}")))
    }

    /// Of this process.
    pub(crate) fn of_self() -> Option<Self> {
        Self::of(std::process::id())
    }

    fn read(process: &Path) -> Option<Self> {
        let cpu = cpu(&fs::read_to_string(process.join("stat")).ok()?)?;
        let resident = field(&fs::read_to_string(process.join("status")).ok()?, "VmRSS")? * 1024;
        // The status of the process itself counts the switches of its first thread only.
        let threads = fs::read_dir(process.join("task")).ok()?.flatten();
        let switches = threads.filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok());
        let switches = switches.filter_map(|status| switches_of(&status)).sum();
        let io = fs::read_to_string(process.join("io")).unwrap_or_default();
        Some(Self { cpu, switches, resident, written: field(&io, "write_bytes") })
    }

    /// What was used since `before`; the resident memory stays as it is.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            switches: self.switches.saturating_sub(before.switches),
            resident: self.resident,
            written: self.written.zip(before.written).map(|(after, before)| after.saturating_sub(before)),
        }
    }
}

/// User and kernel time from the text of `stat`.
fn cpu(stat: &str) -> Option<Duration> {
    // The second field is the name in brackets, and may itself hold spaces and brackets.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    TICK.checked_mul(user.checked_add(system)?)
}

/// The number behind `name:` in the text of `status`.
fn field(status: &str, name: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse().ok()
}

/// Voluntary and involuntary switches from the text of `status` of a thread.
fn switches_of(status: &str) -> Option<u64> {
    Some(field(status, "voluntary_ctxt_switches")? + field(status, "nonvoluntary_ctxt_switches")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_user_and_kernel_time_behind_whatever_name() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 100 0 0 0 250 31 7 9 20 0 2 0 100 200 300 4";
        assert_eq!(cpu(stat), Some(Duration::from_millis(2810)));
    }

    #[test]
    fn text_that_is_not_as_expected_is_no_use_and_no_panic() {
        let most = u32::MAX;
        for stat in
            ["", "42 (x", "42 (x)", "42 (x) S 1 2 3", &format!("1 (x) S{} {most} {most}", " 0".repeat(10))]
        {
            assert_eq!(cpu(stat), None, "{stat}");
        }
        for status in ["", "VmRSS", "VmRSS:", "VmRSS: many kB", "VmRSSes: 3 kB"] {
            assert_eq!(field(status, "VmRSS"), None, "{status}");
        }
    }

    #[test]
    fn switches_are_both_kinds() {
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t40\nnonvoluntary_ctxt_switches:\t2\n";
        assert_eq!(switches_of(status), Some(42));
    }

    #[test]
    fn this_process_uses_memory() {
        let now = Use::of_self().unwrap();
        assert!(now.resident > 100 * 1024 && now.switches > 0, "{now:?}");
    }

    #[test]
    fn the_use_since_a_moment_is_a_difference_except_for_memory() {
        let ms = Duration::from_millis;
        let before = Use { cpu: ms(10), switches: 3, resident: 500, written: Some(4096) };
        let after = Use { cpu: ms(40), switches: 10, resident: 400, written: Some(12_288) };
        let since = Use { cpu: ms(30), switches: 7, resident: 400, written: Some(8192) };
        assert_eq!(after.since(&before), since);
        assert_eq!(after.since(&Use { written: None, ..before }).written, None);
    }
}
