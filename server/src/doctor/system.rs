//! What the operating system says about a process and the file system of its directory.
//!
//! # Why not a library
//! There are some that read all of this, and much more, and none that says which mount a directory lies on and with which options:
//! that is what matters most here. What is read are a handful of lines of `/proc`.
//!
//! # Whoever calls this may wait for ever
//! A sick disk answers `statvfs` when it likes. So nothing here is called on the thread of a node.

use std::fs;
use std::path::{Path, PathBuf};

use holdfast_wire::message::Figure;
use rustix::process::{Resource, getrlimit};

/// What was read. What could not be is missing, and said in words.
#[derive(Clone, Debug, Default)]
pub struct System {
    /// Figures about nothing but the node.
    pub figures: Vec<(Figure, u64)>,
    /// Words.
    pub words: Vec<(Figure, String)>,
}

impl System {
    fn put(&mut self, figure: Figure, value: Option<u64>) {
        self.figures.extend(value.map(|value| (figure, value)));
    }
}

/// A line of `/proc/self/mountinfo`, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where it is mounted.
    pub point: PathBuf,
    /// What kind of file system it is.
    pub kind: String,
    /// The options of the mount, and behind them those of the file system.
    pub options: String,
}

/// Looks at this process and at the file system of a directory. May wait for a disk that does not answer.
#[must_use]
pub fn look(directory: &Path) -> System {
    let mut system = System::default();
    let mut unread: Vec<String> = Vec::new();
    let place = fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
    system.words.push((Figure::DataDirectory, place.display().to_string()));
    match rustix::fs::statvfs(&place) {
        Ok(stat) => {
            system.put(Figure::FreeBytes, Some(stat.f_bavail.saturating_mul(stat.f_frsize)));
            system.put(Figure::TotalBytes, Some(stat.f_blocks.saturating_mul(stat.f_frsize)));
            system.put(Figure::FreeInodes, Some(stat.f_favail));
            system.put(Figure::TotalInodes, Some(stat.f_files));
        }
        Err(error) => unread.push(format!("the room in {}: {error}", place.display())),
    }
    match fs::read_to_string("/proc/self/mountinfo") {
        Ok(text) => {
            if let Some(mount) = mount_of(&text, &place) {
                system.words.push((Figure::FileSystem, mount.kind));
                system.words.push((Figure::MountOptions, mount.options));
                system.words.push((Figure::MountPoint, mount.point.display().to_string()));
            }
        }
        Err(error) => unread.push(format!("/proc/self/mountinfo: {error}")),
    }
    match fs::read_dir("/proc/self/fd") {
        // The directory itself is open while it is read.
        Ok(files) => system.put(Figure::OpenFiles, Some((files.count() as u64).saturating_sub(1))),
        Err(error) => unread.push(format!("/proc/self/fd: {error}")),
    }
    system.put(Figure::OpenFilesMax, getrlimit(Resource::Nofile).current);
    let (status, machine) = (fs::read_to_string("/proc/self/status"), fs::read_to_string("/proc/meminfo"));
    let machine = machine.unwrap_or_default();
    system.put(Figure::MemoryBytes, kilobytes(&status.unwrap_or_default(), "VmRSS:"));
    system.put(Figure::MemoryFree, kilobytes(&machine, "MemAvailable:"));
    let limits = [kilobytes(&machine, "MemTotal:"), group_limit()];
    system.put(Figure::MemoryMax, limits.into_iter().flatten().min());
    if !unread.is_empty() {
        system.words.push((Figure::Unread, unread.join("; ")));
    }
    system
}

/// The mount on which a path lies, of the text of `/proc/self/mountinfo`: the longest one above it, and of two at one place the
/// later one, which hides the other.
#[must_use]
pub fn mount_of(mountinfo: &str, path: &Path) -> Option<Mount> {
    let mounts = mountinfo.lines().filter_map(mount);
    let above = mounts.filter(|mount| path.starts_with(&mount.point));
    above.max_by_key(|mount| mount.point.components().count())
}

/// `36 35 98:0 /root /point rw,noatime shared:1 - ext4 /dev/root rw,errors=continue`.
fn mount(line: &str) -> Option<Mount> {
    let (front, back) = line.split_once(" - ")?;
    let mut front = front.split(' ');
    let (point, own) = (front.nth(4)?, front.next()?);
    let mut back = back.split(' ');
    let (kind, options) = (back.next()?, back.nth(1).unwrap_or_default());
    // Lists of directories may be longer than all else together, and say nothing about safety.
    let is_short = |option: &&str| !option.contains('/');
    let options: Vec<&str> = own.split(',').chain(options.split(',')).filter(is_short).collect();
    Some(Mount { point: unescaped(point).into(), kind: kind.to_owned(), options: options.join(",") })
}

/// A name in which a space, a tab, a newline and a backslash are written as three octal digits.
fn unescaped(name: &str) -> String {
    let mut out = String::new();
    let mut rest = name;
    while let Some((before, behind)) = rest.split_once('\\') {
        out.push_str(before);
        let code = behind.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        rest = match code {
            Some(code) => {
                out.push(char::from(code));
                &behind[3..]
            }
            None => {
                out.push('\\');
                behind
            }
        };
    }
    out + rest
}

/// `VmRSS:      1676 kB`, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let count: u64 = line.trim().trim_end_matches(" kB").trim().parse().ok()?;
    count.checked_mul(1_024)
}

/// The lowest limit of memory of the control groups of this process, of either version.
fn group_limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let limits = groups.lines().filter_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        // Those above bind as well. In a container the path may be one of the machine, and only the root be there.
        let above = Path::new(path).ancestors().map(|path| {
            let path = path.strip_prefix("/").unwrap_or(path);
            fs::read_to_string(Path::new(root).join(path).join(file)).ok()?.trim().parse::<u64>().ok()
        });
        above.flatten().min()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &str = "\
27 0 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,errors=remount-ro
41 40 8:1 / /var/lib\\040a rw,noatime - xfs /dev/sda1 rw,nobarrier,lowerdir=/a:/b
40 27 0:50 / /var rw,nosuid shared:2 master:1 - tmpfs tmpfs rw,size=4k
42 27 8:2 / /mnt ro,relatime - ext4 /dev/sda2 rw
43 27 8:3 / /mnt rw,relatime - nfs4 host:/x rw,vers=4.2,addr=10.0.0.1
";

    fn found(path: &str) -> (String, String, String) {
        let mount = mount_of(MOUNTINFO, Path::new(path)).expect("all lies on something");
        (mount.point.display().to_string(), mount.kind, mount.options)
    }

    #[test]
    fn a_path_lies_on_the_longest_mount_above_it_and_of_two_at_one_place_on_the_later() {
        let text = |point: &str, kind: &str, options: &str| (point.into(), kind.into(), options.into());
        assert_eq!(found("/data"), text("/", "ext4", "rw,relatime,rw,errors=remount-ro"));
        assert_eq!(found("/variable"), text("/", "ext4", "rw,relatime,rw,errors=remount-ro"));
        assert_eq!(found("/var/run"), text("/var", "tmpfs", "rw,nosuid,rw,size=4k"));
        assert_eq!(found("/var/lib a/n1"), text("/var/lib a", "xfs", "rw,noatime,rw,nobarrier"));
        assert_eq!(found("/mnt/n1"), text("/mnt", "nfs4", "rw,relatime,rw,vers=4.2,addr=10.0.0.1"));
        assert_eq!(mount_of("nonsense\n", Path::new("/")), None);
    }

    #[test]
    fn what_the_kernel_writes_in_kilobytes_is_read_in_bytes() {
        assert_eq!(kilobytes("VmPeak:\t 9 kB\nVmRSS:\t    1676 kB\n", "VmRSS:"), Some(1_676 * 1_024));
        assert_eq!(kilobytes("VmRSS: many kB\n", "VmRSS:"), None);
        assert_eq!(kilobytes("", "VmRSS:"), None);
    }

    #[test]
    fn this_process_has_memory_files_and_a_file_system() {
        let system = look(&std::env::temp_dir());
        for figure in [Figure::TotalBytes, Figure::OpenFiles, Figure::MemoryBytes, Figure::MemoryMax] {
            assert!(system.figures.iter().any(|(found, value)| *found == figure && *value > 0), "{figure:?}");
        }
        assert!(system.words.iter().any(|(figure, word)| *figure == Figure::FileSystem && !word.is_empty()));
    }
}
