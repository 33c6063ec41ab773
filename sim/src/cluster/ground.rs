//! What the machine lends to a run: a directory, hosts, disks. Taken back whatever happens.
//!
//! # Hosts
//! A *hub* and a host for each place, each a network namespace, joined by a bridge in the hub. The clients live in the hub. A
//! link is cut by taking an interface down; a pair by isolating two ports of the bridge, which still reach all others.
//!
//! # Disks
//! A file with ext4 in it for each place, mounted through a loop device. Its power is cut by `EXT4_IOC_SHUTDOWN` without a flush
//! of the journal: what was synced is there when it is mounted again, and nothing else is sure to be. The call needs a
//! file descriptor and a number, and no crate has it without `unsafe`; so perl makes it, which is on every machine that has
//! `mkfs.ext4`.
//!
//! # Who cleans up
//! [`Ground`] when it is dropped. A run that was killed cannot: so the names carry the process id, and the next run removes what
//! belongs to a process that is not there any more.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

/// A file in the directory of a run that has not ended: without it the directory is kept for people.
const RUNNING: &str = "running";
/// How names of namespaces, directories and groups begin; the process id follows.
const NAME: &str = "hfsim-";
/// Bytes of the file system of a node.
const DISK_BYTES: u64 = 512 << 20;
/// `EXT4_IOC_SHUTDOWN`, and the flag for no flush.
const SHUTDOWN: &str =
    r#"open(my $f, "<", $ARGV[0]) or die $!; my $how = pack("L", 2); ioctl($f, 0x8004587d, $how) or die $!;"#;
/// Where slow disks are made.
const BLKIO: &str = "/sys/fs/cgroup/blkio";
/// Ports of nodes and proxies in hosts.
const PORTS: [u16; 4] = [7_400, 7_401, 7_410, 7_411];
/// Where ports are looked for on loopback: below those that systems give to outgoing connections.
const LOOPBACK: std::ops::Range<u16> = 12_000..30_000;

/// Runs a program of the system: what it says, or why not.
pub(super) fn system(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} {}: {}", arguments.join(" "), said.lines().next().unwrap_or("failed")))
}

/// Where a node and its proxy are reached.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    /// Where the node listens: peers, clients.
    pub(super) node: [SocketAddr; 2],
    /// Where the proxy listens, and where all others go: peers, clients.
    pub(super) proxy: [SocketAddr; 2],
}

/// Everything that is lent.
#[derive(Debug)]
pub(super) struct Ground {
    root: TempDir,
    places: usize,
    /// Why there are no hosts.
    pub(super) no_hosts: Option<String>,
    /// Why there are no disks.
    pub(super) no_disks: Option<String>,
    /// Why disks cannot be slow.
    pub(super) no_slow_disks: Option<String>,
    /// The namespace that this process came from.
    home: Option<File>,
}

impl Ground {
    /// For so many places. What the machine does not allow is left out, and why is kept. `plain`: nothing of it is tried.
    pub(super) fn new(places: usize, plain: bool) -> Result<Self, String> {
        clean_up_after_others();
        let root = tempfile::Builder::new().prefix(&mine("")).tempdir().map_err(|error| error.to_string())?;
        fs::write(root.path().join(RUNNING), "").map_err(|error| error.to_string())?;
        let mut ground =
            Self { root, places, no_hosts: None, no_disks: None, no_slow_disks: None, home: None };
        if plain {
            let why = Some("--plain".to_owned());
            (ground.no_hosts, ground.no_disks, ground.no_slow_disks) = (why.clone(), why.clone(), why);
        } else {
            ground.no_hosts = ground.make_hosts().err();
            ground.no_disks = ground.make_disks().err();
            ground.no_slow_disks = match &ground.no_disks {
                Some(why) => Some(why.clone()),
                None => fs::create_dir(group()).err().map(|error| format!("no group for disks: {error}")),
            };
        }
        for place in 1..=places {
            let made = fs::create_dir_all(ground.directory(place));
            made.map_err(|error| error.to_string())?;
        }
        Ok(ground)
    }

    /// Where everything is.
    pub(super) fn root(&self) -> &Path {
        self.root.path()
    }

    /// Does not remove the directory at the end.
    pub(super) fn keep(&mut self) {
        self.root.disable_cleanup(true);
    }

    /// Where the node of this place keeps its files.
    pub(super) fn directory(&self, place: usize) -> PathBuf {
        self.root().join(format!("place{place}"))
    }

    fn image(&self, place: usize) -> PathBuf {
        self.root().join(format!("disk{place}.img"))
    }

    fn make_hosts(&mut self) -> Result<(), String> {
        let hub = mine("hub");
        let home = File::open("/proc/thread-self/ns/net").map_err(|error| error.to_string())?;
        system("ip", &["netns", "add", &hub])?;
        // Things are half made from here on, and removed when this is dropped.
        self.home = Some(home);
        system("ip", &["-n", &hub, "link", "set", "lo", "up"])?;
        system("ip", &["-n", &hub, "link", "add", "br0", "type", "bridge"])?;
        system("ip", &["-n", &hub, "addr", "add", "10.98.7.254/24", "dev", "br0"])?;
        system("ip", &["-n", &hub, "link", "set", "br0", "up"])?;
        for place in 1..=self.places {
            let (host, port) = (host(place), port_of(place));
            let address = format!("10.98.7.{place}/24");
            system("ip", &["netns", "add", &host])?;
            system("ip", &["-n", &host, "link", "set", "lo", "up"])?;
            let pair =
                ["-n", &hub, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &host];
            system("ip", &pair)?;
            system("ip", &["-n", &hub, "link", "set", &port, "master", "br0", "up"])?;
            system("ip", &["-n", &host, "addr", "add", &address, "dev", "eth0"])?;
            system("ip", &["-n", &host, "link", "set", "eth0", "up"])?;
        }
        // So that a machine without these commands is found out before a fault wants them.
        system("bridge", &["-n", &hub, "link", "set", "dev", &port_of(1), "isolated", "off"])?;
        enter(&hub)
    }

    fn make_disks(&self) -> Result<(), String> {
        system("perl", &["-e", "1"])?;
        for place in 1..=self.places {
            let image = self.image(place);
            let directory = self.directory(place);
            let file = File::create(&image).and_then(|file| file.set_len(DISK_BYTES));
            file.and_then(|()| fs::create_dir_all(&directory)).map_err(|error| error.to_string())?;
            let image = image.display().to_string();
            system("mkfs.ext4", &["-q", "-F", "-m", "0", "-O", "^resize_inode", &image])?;
            self.mount(place)?;
        }
        Ok(())
    }

    /// Mounts the disk of a place.
    pub(super) fn mount(&self, place: usize) -> Result<(), String> {
        let (image, directory) = (self.image(place), self.directory(place));
        let (image, directory) = (image.display().to_string(), directory.display().to_string());
        system("mount", &["-o", "loop,noatime", &image, &directory]).map(drop)
    }

    /// Unmounts it; nobody may use it.
    pub(super) fn unmount(&self, place: usize) -> Result<(), String> {
        system("umount", &[&self.directory(place).display().to_string()]).map(drop)
    }

    /// Cuts the power of the disk of a place.
    pub(super) fn cut_power(&self, place: usize) -> Result<(), String> {
        system("perl", &["-e", SHUTDOWN, &self.directory(place).display().to_string()]).map(drop)
    }

    /// Lets the disk of a place write so many bytes a second, for this process; 0 for as many as it can.
    pub(super) fn limit_disk(&self, place: usize, process: u32, rate: u64) -> Result<(), String> {
        let why = |error: std::io::Error| error.to_string();
        let directory = self.directory(place).display().to_string();
        let device = system("findmnt", &["-no", "MAJ:MIN", &directory])?;
        let group = group();
        let group = Path::new(&group);
        fs::write(group.join("blkio.throttle.write_bps_device"), format!("{} {rate}", device.trim()))
            .map_err(why)?;
        // It stays in the group when the limit is gone: the group ends with the run.
        fs::write(group.join("cgroup.procs"), process.to_string()).map_err(why)
    }

    /// Takes the link of a host up or down.
    pub(super) fn link(&self, place: usize, up: bool) -> Result<(), String> {
        let how = if up { "up" } else { "down" };
        system("ip", &["-n", &mine("hub"), "link", "set", &port_of(place), how]).map(drop)
    }

    /// Isolates a host from all others that are isolated.
    pub(super) fn isolate(&self, place: usize, isolated: bool) -> Result<(), String> {
        let how = if isolated { "on" } else { "off" };
        let port = port_of(place);
        system("bridge", &["-n", &mine("hub"), "link", "set", "dev", &port, "isolated", how]).map(drop)
    }

    /// Where nodes and proxies listen, place by place from 1.
    pub(super) fn addresses(&self) -> Result<Vec<Addresses>, String> {
        if self.no_hosts.is_none() {
            let at = |place: usize, port: u16| {
                let last = u8::try_from(place).unwrap_or(u8::MAX);
                SocketAddr::from((Ipv4Addr::new(10, 98, 7, last), port))
            };
            let [client, peer, proxy_client, proxy_peer] = PORTS;
            return Ok((1..=self.places)
                .map(|place| Addresses {
                    node: [at(place, peer), at(place, client)],
                    proxy: [at(place, proxy_peer), at(place, proxy_client)],
                })
                .collect());
        }
        // All are held until the last is found, so that they differ.
        let first = std::process::id() as usize * 97 % LOOPBACK.len();
        let ports = LOOPBACK.cycle().skip(first).take(LOOPBACK.len());
        let held = ports.filter_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
        let held: Vec<TcpListener> = held.take(4 * self.places).collect();
        let found: Result<Vec<SocketAddr>, _> = held.iter().map(TcpListener::local_addr).collect();
        let found = found.map_err(|error| error.to_string())?;
        let four = |four: &[SocketAddr]| match four {
            &[a, b, c, d] => Some(Addresses { node: [a, b], proxy: [c, d] }),
            _ => None,
        };
        let all: Option<Vec<Addresses>> = found.chunks(4).map(four).collect();
        all.filter(|all| all.len() == self.places).ok_or_else(|| "no free ports".to_owned())
    }

    /// Does something on the host of a place, in this thread.
    pub(super) fn on_host<T>(&self, place: usize, work: impl FnOnce() -> T) -> Result<T, String> {
        if self.no_hosts.is_some() {
            return Ok(work());
        }
        enter(&host(place))?;
        let done = work();
        enter(&mine("hub"))?;
        Ok(done)
    }

    /// What a thread calls to move to the host of a place for ever.
    pub(super) fn mover(&self, place: usize) -> impl FnOnce() -> std::io::Result<()> + Send + 'static {
        let there = self.no_hosts.is_none();
        move || if there { enter(&host(place)).map_err(std::io::Error::other) } else { Ok(()) }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.root().join(RUNNING));
        if self.no_disks.as_deref() != Some("--plain") {
            remove_of(&format!("{}-", std::process::id()));
        }
        if let Some(home) = &self.home {
            let _ = move_into_link_name_space(home.as_fd(), Some(LinkNameSpaceType::Network));
        }
    }
}

/// A name of this run.
fn mine(what: &str) -> String {
    format!("{NAME}{}-{what}", std::process::id())
}

fn host(place: usize) -> String {
    mine(&place.to_string())
}

fn port_of(place: usize) -> String {
    format!("port{place}")
}

fn group() -> String {
    format!("{BLKIO}/{}", mine("disks"))
}

/// Moves this thread into a namespace.
fn enter(name: &str) -> Result<(), String> {
    let file = File::open(format!("/run/netns/{name}")).map_err(|error| format!("{name}: {error}"))?;
    let moved = move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network));
    moved.map_err(|error| format!("enter {name}: {error}"))
}

/// Mount points, namespaces and groups whose name goes on like this behind [`NAME`] are removed.
fn remove_of(whose: &str) {
    let wanted = format!("{NAME}{whose}");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for point in mounts.lines().filter_map(|line| line.split(' ').nth(4)) {
        if point.contains(&wanted) {
            let _ = system("umount", &["-l", point]);
        }
    }
    for name in names_in("/run/netns") {
        if name.starts_with(&wanted) {
            let _ = system("ip", &["netns", "del", &name]);
        }
    }
    for name in names_in(BLKIO) {
        if name.starts_with(&wanted) {
            let _ = fs::remove_dir(Path::new(BLKIO).join(name));
        }
    }
}

fn names_in(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Removes what runs have left behind whose process is gone.
fn clean_up_after_others() {
    let temporary = std::env::temp_dir().display().to_string();
    let places = ["/run/netns", BLKIO, temporary.as_str()];
    let names = places.iter().flat_map(|place| names_in(place));
    let mut gone: Vec<String> = names
        .filter_map(|name| Some(name.strip_prefix(NAME)?.split_once('-')?.0.to_owned()))
        .filter(|id| id.parse::<u32>().is_ok() && !Path::new(&format!("/proc/{id}")).exists())
        .collect();
    gone.sort();
    gone.dedup();
    for id in gone {
        remove_of(&format!("{id}-"));
    }
    for name in names_in(&temporary) {
        let directory = Path::new(&temporary).join(&name);
        let id = name.strip_prefix(NAME).and_then(|rest| rest.split_once('-')).map(|(id, _)| id);
        let gone = id.is_some_and(|id| !Path::new(&format!("/proc/{id}")).exists());
        if gone && directory.join(RUNNING).exists() {
            let _ = fs::remove_dir_all(directory);
        }
    }
}
