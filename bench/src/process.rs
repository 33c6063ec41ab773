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

/// What a process has in memory now, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Pages of no file: what the program has allocated and touched.
    pub(crate) anonymous: u64,
    /// All pages, those of mapped files among them.
    pub(crate) resident: u64,
    /// The most that were ever resident.
    pub(crate) peak: u64,
    /// All pages, each divided by how many processes share it (`Pss`); `None` if the kernel does not tell, or not us.
    pub(crate) proportional: Option<u64>,
    /// Pages that no other process has (`Private_Clean` and `Private_Dirty`).
    pub(crate) private: Option<u64>,
}

impl Memory {
    /// Of the process `pid`. `None` if it is gone or the kernel tells nothing.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let process = PathBuf::from(format!("/proc/{pid}"));
        let rollup = fs::read_to_string(process.join("smaps_rollup")).unwrap_or_default();
        Self::read(&fs::read_to_string(process.join("status")).ok()?, &rollup)
    }

    fn read(status: &str, rollup: &str) -> Option<Self> {
        let kib = |text, name| field(text, name).map(|kib| kib * 1024);
        let private = kib(rollup, "Private_Clean").zip(kib(rollup, "Private_Dirty"));
        Some(Self {
            anonymous: kib(status, "RssAnon")?,
            resident: kib(status, "VmRSS")?,
            peak: kib(status, "VmHWM")?,
            proportional: kib(rollup, "Pss"),
            private: private.map(|(clean, dirty)| clean + dirty),
        })
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
    fn memory_is_told_apart_by_what_it_is_of() {
        let status =
            "VmHWM:\t    900 kB\nVmRSS:\t     800 kB\nRssAnon:\t     300 kB\nRssFile:\t     500 kB\n";
        let rollup = "00400000-7ff000 ---p 00000000 00:00 0 [rollup]\nRss:  800 kB\nPss:  700 kB\nPss_Anon: 1 kB\n\
                      Private_Clean:  40 kB\nPrivate_Dirty:  310 kB\n";
        let kib = |kib: u64| kib * 1024;
        let all = Memory {
            anonymous: kib(300),
            resident: kib(800),
            peak: kib(900),
            proportional: Some(kib(700)),
            private: Some(kib(350)),
        };
        assert_eq!(Memory::read(status, rollup), Some(all));
        assert_eq!(Memory::read(status, ""), Some(Memory { proportional: None, private: None, ..all }));
        assert_eq!(Memory::read("VmRSS: 800 kB\n", rollup), None);
        let own = Memory::of(std::process::id()).unwrap();
        assert!(own.anonymous > 0 && own.resident >= own.anonymous && own.peak >= own.resident, "{own:?}");
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
