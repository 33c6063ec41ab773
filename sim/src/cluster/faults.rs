//! How each fault is made, and how it is undone.
//!
//! One at a time, and only so many nodes that a quorum is left, unless it is one that takes all of them and gives all of them
//! back. What the machine does not allow is skipped, and said to be.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_client::MemberChange;
use rustix::process::Signal;

use super::super::raft::rng::Rng;
use super::ground::system;
use super::nodes::{Cluster, PATIENCE};
use super::proxy::{CLIENTS, Place, Treatment};
use super::schedule::{Fault, Step};

/// How long a process may go on whose disk fails.
const SYNC_FAILS: Duration = Duration::from_secs(20);
/// How long a node may take to stop in order, or to be refused.
const STOP: Duration = Duration::from_secs(30);
/// A sector, as disks lose them.
const SECTOR: usize = 512;

/// What became of a step.
#[derive(Debug)]
pub(super) enum Struck {
    /// It was made and undone; what there is to say about it.
    Done(String),
    /// It could not be made.
    Skipped(String),
}

/// Makes a fault, lets it last, undoes it. `struck` is called when it begins to act.
///
/// # Errors
/// What makes it senseless to go on.
pub(super) fn strike(cluster: &mut Cluster, step: &Step, struck: &mut dyn FnMut()) -> Result<Struck, String> {
    let mut rng = Rng::new(step.chance);
    if let Some(why) = impossible(cluster, step.fault) {
        return Ok(Struck::Skipped(why));
    }
    let leader = cluster.await_leader()?;
    let places = cluster.places();
    let followers: Vec<Place> = places.iter().copied().filter(|place| *place != leader).collect();
    let follower = *rng.pick(&followers);
    let any = *rng.pick(&places);
    let id = |cluster: &Cluster, place| cluster.id(place);
    let lasts = step.lasts_ms;
    let done = |what: String| Ok(Struck::Done(what));
    match step.fault {
        Fault::KillFollower | Fault::KillLeader => {
            let victim = if step.fault == Fault::KillLeader { leader } else { follower };
            cluster.kill(victim);
            struck();
            // Sometimes it comes back at once, sometimes the others have gone on without it.
            cluster.sleep(if rng.chance(300) { 0 } else { lasts });
            cluster.start_again(victim)?;
            done(format!("node {}", id(cluster, victim)))
        }
        Fault::KillAll => {
            for place in &places {
                cluster.signal(*place, Signal::KILL);
            }
            for place in &places {
                cluster.kill(*place);
            }
            struck();
            for place in &places {
                cluster.start_again(*place)?;
            }
            done(String::new())
        }
        Fault::PauseLeader | Fault::PauseFollower => {
            let victim = if step.fault == Fault::PauseLeader { leader } else { follower };
            cluster.signal(victim, Signal::STOP);
            struck();
            cluster.sleep(lasts);
            cluster.signal(victim, Signal::CONT);
            done(format!("node {} for {lasts} ms", id(cluster, victim)))
        }
        Fault::StopLeader | Fault::StopFollower => {
            let victim = if step.fault == Fault::StopLeader { leader } else { follower };
            struck();
            cluster.signal(victim, Signal::TERM);
            let node = id(cluster, victim);
            match cluster.await_end(victim, STOP) {
                Some((_, Some(0))) => {}
                Some((how, _)) => {
                    let words = cluster.last_words(victim);
                    cluster.trouble(format!(
                        "node {node} was asked to stop and has ended otherwise ({how}): {words}"
                    ));
                }
                None => {
                    cluster.trouble(format!("node {node} was asked to stop and does not"));
                    cluster.kill(victim);
                }
            }
            cluster.sleep(lasts / 2);
            cluster.start_again(victim)?;
            done(format!("node {node}"))
        }
        Fault::Transfer => {
            let node = id(cluster, follower);
            struck();
            let said = cluster.change(MemberChange::Transfer, node, None);
            done(match said {
                Ok(()) => format!("to node {node}"),
                Err((_, why)) => format!("to node {node}: {}", why.lines().next().unwrap_or_default()),
            })
        }
        Fault::Replace => {
            let (old, in_one_step) = (*rng.pick(&[follower, leader]), rng.chance(500));
            let node = id(cluster, old);
            struck();
            let new = cluster.replace(old, in_one_step)?;
            let how = if in_one_step { "one step" } else { "three steps" };
            done(format!("node {node} by node {} in {how}", id(cluster, new)))
        }
        Fault::Wipe => wipe(cluster, follower, struck),
        Fault::Delay
        | Fault::Duplicate
        | Fault::Replay
        | Fault::Tear
        | Fault::OneWay
        | Fault::Mute
        | Fault::DeafLeader
        | Fault::HalfOpen
        | Fault::SlowLink
        | Fault::LostReplies
        | Fault::PartitionFollower
        | Fault::PartitionLeader
        | Fault::Bridge => {
            let links = links(step.fault, &places, leader, follower, &mut rng);
            for (speaker, listener, treatment) in &links {
                cluster.board.treat(*speaker, *listener, *treatment);
            }
            struck();
            cluster.sleep(lasts);
            cluster.board.heal();
            let told =
                links.first().map(|(speaker, listener, how)| format!("{speaker} to {listener}: {how:?}"));
            done(format!("{} links, {}", links.len(), told.unwrap_or_default()))
        }
        Fault::HostDown | Fault::LeaderHostDown => {
            let victim = if step.fault == Fault::LeaderHostDown { leader } else { follower };
            cluster.ground.link(victim, false)?;
            struck();
            cluster.sleep(lasts);
            cluster.ground.link(victim, true)?;
            done(format!("node {} for {lasts} ms", id(cluster, victim)))
        }
        Fault::HostsIsolated => {
            let other = if rng.chance(700) { leader } else { *rng.pick(&followers) };
            let other = if other == follower { leader } else { other };
            for place in [follower, other] {
                cluster.ground.isolate(place, true)?;
            }
            struck();
            cluster.sleep(lasts);
            for place in [follower, other] {
                cluster.ground.isolate(place, false)?;
            }
            done(format!("nodes {} and {}", id(cluster, follower), id(cluster, other)))
        }
        Fault::DiskFull => {
            let filler = cluster.ground.directory(any).join("filler");
            struck();
            let bytes = fill(&filler);
            cluster.sleep(2 * lasts);
            let removed = fs::remove_file(&filler);
            removed.map_err(|error| format!("cannot free the disk: {error}"))?;
            done(format!("node {}, {} MiB", id(cluster, any), bytes >> 20))
        }
        Fault::PowerCut | Fault::PowerCutAll => {
            let victims = if step.fault == Fault::PowerCutAll { places.clone() } else { vec![any] };
            for place in &victims {
                cluster.ground.cut_power(*place)?;
                cluster.signal(*place, Signal::KILL);
            }
            struck();
            for place in &victims {
                cluster.kill(*place);
                cluster.ground.unmount(*place)?;
                cluster.ground.mount(*place)?;
            }
            if victims.len() == 1 {
                cluster.sleep(lasts / 2);
            }
            for place in &victims {
                cluster.start_again(*place)?;
            }
            done(format!("{} nodes", victims.len()))
        }
        Fault::SyncFails => {
            let node = id(cluster, any);
            cluster.ground.cut_power(any)?;
            struck();
            let said = match cluster.await_end(any, SYNC_FAILS) {
                Some((_, Some(0))) => "it has stopped in order".to_owned(),
                Some((how, _)) => format!("it has ended: {how}"),
                None => "it goes on".to_owned(),
            };
            if !said.contains("has ended") {
                cluster.trouble(format!("every sync of node {node} fails, and {said}"));
            }
            cluster.kill(any);
            cluster.ground.unmount(any)?;
            cluster.ground.mount(any)?;
            cluster.start_again(any)?;
            done(format!("node {node}: {said}"))
        }
        Fault::RotLog | Fault::ZeroLog | Fault::RotSnapshot => {
            rot(cluster, step.fault, any, &mut rng, struck)
        }
        Fault::SlowDisk => {
            let rate = rng.between(100, 600) << 10;
            let process =
                cluster.node(any).and_then(|node| node.process.as_ref()).map(super::process::Process::id);
            let process = process.ok_or_else(|| "a node does not run".to_owned())?;
            cluster.ground.limit_disk(any, process, rate)?;
            struck();
            cluster.sleep(2 * lasts);
            cluster.ground.limit_disk(any, process, 0)?;
            done(format!("node {}, {} KiB a second", id(cluster, any), rate >> 10))
        }
    }
}

/// Why a fault cannot be made on this machine.
fn impossible(cluster: &Cluster, fault: Fault) -> Option<String> {
    let ground = &cluster.ground;
    match fault {
        Fault::HostDown | Fault::LeaderHostDown | Fault::HostsIsolated => ground.no_hosts.clone(),
        Fault::DiskFull | Fault::PowerCut | Fault::PowerCutAll | Fault::SyncFails => ground.no_disks.clone(),
        Fault::SlowDisk => ground.no_slow_disks.clone(),
        Fault::KillFollower
        | Fault::KillLeader
        | Fault::KillAll
        | Fault::PauseLeader
        | Fault::PauseFollower
        | Fault::StopLeader
        | Fault::StopFollower
        | Fault::Transfer
        | Fault::Replace
        | Fault::Wipe
        | Fault::Delay
        | Fault::Duplicate
        | Fault::Replay
        | Fault::Tear
        | Fault::OneWay
        | Fault::Mute
        | Fault::DeafLeader
        | Fault::HalfOpen
        | Fault::SlowLink
        | Fault::LostReplies
        | Fault::PartitionFollower
        | Fault::PartitionLeader
        | Fault::Bridge
        | Fault::RotLog
        | Fault::ZeroLog
        | Fault::RotSnapshot => None,
    }
}

/// Which links are treated how.
fn links(
    fault: Fault,
    places: &[Place],
    leader: Place,
    follower: Place,
    rng: &mut Rng,
) -> Vec<(Place, Place, Treatment)> {
    let with_clients: Vec<Place> = [CLIENTS].iter().chain(places).copied().collect();
    let pairs = |of: &[Place], how: Treatment| -> Vec<(Place, Place, Treatment)> {
        let all = of.iter().flat_map(|one| of.iter().map(move |other| (*one, *other)));
        all.filter(|(one, other)| one != other).map(|(one, other)| (one, other, how)).collect()
    };
    let around = |of: &[Place], victim: Place, how: Treatment| {
        let mut links = pairs(of, how);
        links.retain(|(speaker, listener, _)| *speaker == victim || *listener == victim);
        links
    };
    match fault {
        Fault::Delay => {
            let (low, high) = (rng.below(20), rng.between(20, 150));
            pairs(&with_clients, Treatment::Delay(low, high))
        }
        Fault::Duplicate => pairs(&with_clients, Treatment::Duplicate(rng.between(5, 300))),
        Fault::Replay => pairs(places, Treatment::Replay(rng.between(20, 300))),
        Fault::Tear => pairs(&with_clients, Treatment::Tear(rng.between(3, 60))),
        Fault::OneWay => vec![(leader, follower, Treatment::Hold)],
        Fault::Mute => around(places, follower, Treatment::Hold)
            .into_iter()
            .filter(|(speaker, ..)| *speaker == follower)
            .collect(),
        Fault::DeafLeader => around(places, leader, Treatment::Hold)
            .into_iter()
            .filter(|(_, listener, _)| *listener == leader)
            .collect(),
        Fault::HalfOpen => around(&with_clients, follower, Treatment::Swallow),
        Fault::SlowLink => {
            let victim = if rng.chance(500) { leader } else { follower };
            around(places, victim, Treatment::Rate(rng.between(10, 100) << 10))
        }
        Fault::LostReplies => places.iter().map(|place| (*place, CLIENTS, Treatment::Swallow)).collect(),
        Fault::PartitionFollower => around(&with_clients, follower, Treatment::Hold),
        Fault::PartitionLeader => around(&with_clients, leader, Treatment::Hold),
        Fault::Bridge => {
            let mut others: Vec<Place> = places.iter().copied().filter(|place| *place != follower).collect();
            let other = if rng.chance(700) { leader } else { others.swap_remove(rng.position(others.len())) };
            pairs(&[follower, other], Treatment::Hold)
        }
        Fault::KillFollower
        | Fault::KillLeader
        | Fault::KillAll
        | Fault::PauseLeader
        | Fault::PauseFollower
        | Fault::StopLeader
        | Fault::StopFollower
        | Fault::Transfer
        | Fault::Replace
        | Fault::Wipe
        | Fault::HostDown
        | Fault::LeaderHostDown
        | Fault::HostsIsolated
        | Fault::DiskFull
        | Fault::PowerCut
        | Fault::PowerCutAll
        | Fault::SyncFails
        | Fault::RotLog
        | Fault::ZeroLog
        | Fault::RotSnapshot
        | Fault::SlowDisk => Vec::new(),
    }
}

/// Fills the file system of a file with it: how many bytes it took.
fn fill(filler: &Path) -> u64 {
    let name = filler.display().to_string();
    let mut length = 0;
    for bytes in (10..29).rev().map(|bits| 1_u64 << bits) {
        // Each of them until it does not fit any more; the file system has less than twice the first.
        for _ in 0..2 {
            let (from, more) = (length.to_string(), bytes.to_string());
            if system("fallocate", &["-o", &from, "-l", &more, &name]).is_err() {
                break;
            }
            length += bytes;
        }
    }
    length
}

/// A follower loses its directory: under its number it must not come back, and another one takes its place.
fn wipe(cluster: &mut Cluster, victim: Place, struck: &mut dyn FnMut()) -> Result<Struck, String> {
    let node = cluster.id(victim);
    struck();
    cluster.kill(victim);
    let data = cluster.files(victim, "");
    fs::remove_dir_all(&data).map_err(|error| error.to_string())?;
    cluster.start_as_at_first(victim)?;
    let said = match cluster.await_end(victim, STOP) {
        Some((_, Some(2 | 9))) => "refused",
        Some((how, _)) => {
            let words = cluster.last_words(victim);
            cluster.trouble(format!("node {node} came back with nothing and has ended ({how}): {words}"));
            "ended"
        }
        None if cluster.status(victim).is_some_and(|status| status.ready) => {
            cluster.trouble(format!("node {node} came back with nothing and serves"));
            "served"
        }
        None => "waits, and does not serve",
    };
    cluster.kill(victim);
    let new = cluster.replace(victim, true)?;
    Ok(Struck::Done(format!("node {node}: {said}; replaced by node {}", cluster.id(new))))
}

/// Damages a file of a stopped node. It has to come back by itself and repair what is damaged; if it says that it cannot
/// (exit code 9), another one takes its place, as operators are told to do.
fn rot(
    cluster: &mut Cluster,
    fault: Fault,
    victim: Place,
    rng: &mut Rng,
    struck: &mut dyn FnMut(),
) -> Result<Struck, String> {
    let folder = if fault == Fault::RotSnapshot { "snapshots" } else { "wal" };
    let folder = cluster.files(victim, folder);
    let files = files_in(&folder);
    if files.is_empty() {
        return Ok(Struck::Skipped(format!("there is no file in {folder:?} yet")));
    }
    let node = cluster.id(victim);
    struck();
    cluster.kill(victim);
    // What there is now: the process may have removed one of them meanwhile.
    let files = files_in(&folder);
    let file = rng.pick(&files).clone();
    let what = damage(&file, fault == Fault::ZeroLog, rng).map_err(|error| format!("{file:?}: {error}"))?;
    let name = file.file_name().unwrap_or_default().display().to_string();
    cluster.timeline.line(format_args!("node {node}: {name}: {what}"));
    cluster.start_again(victim)?;
    let mut came_back = false;
    let mut ended = None;
    let patience = std::time::Instant::now() + PATIENCE;
    while std::time::Instant::now() < patience && !cluster.stopped.is_stopped() {
        came_back = cluster.status(victim).is_some_and(|status| status.ready);
        ended = cluster.await_end(victim, Duration::from_millis(50));
        if came_back || ended.is_some() {
            break;
        }
    }
    let said = match ended {
        Some((_, Some(9))) => {
            let words = cluster.last_words(victim);
            cluster.timeline.line(format_args!("node {node} refuses to start: {words}"));
            let new = cluster.replace(victim, true)?;
            format!("refused to start, replaced by node {}", cluster.id(new))
        }
        Some((how, _)) => {
            let words = cluster.last_words(victim);
            cluster.trouble(format!("node {node} with {name} damaged ({what}) has ended ({how}): {words}"));
            let new = cluster.replace(victim, true)?;
            format!("ended, replaced by node {}", cluster.id(new))
        }
        None if came_back => "came back".to_owned(),
        None => {
            cluster.trouble(format!("node {node} with {name} damaged ({what}) does not become ready"));
            "did not become ready".to_owned()
        }
    };
    Ok(Struck::Done(format!("node {node}, {name}: {what}: {said}")))
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    // The lock of a directory holds nothing that could be damaged.
    let data = |path: &PathBuf| path.is_file() && !path.ends_with("lock");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(data).collect();
    files.sort();
    files
}

/// Flips some bits of a file, or zeroes one of its sectors, where something is written: what was done.
fn damage(path: &Path, zero: bool, rng: &mut Rng) -> std::io::Result<String> {
    let mut file = File::options().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    let mut bytes = vec![0; SECTOR];
    let mut offset = 0;
    // Mostly where something is: segments are made long and full of zeros. Half of the time near their begin.
    for _ in 0..200 {
        let end = if rng.chance(500) { length.min(1 << 20) } else { length };
        offset = rng.below(end) / SECTOR as u64 * SECTOR as u64;
        file.seek(SeekFrom::Start(offset))?;
        bytes = vec![0; SECTOR.min(usize::try_from(length - offset).unwrap_or(SECTOR))];
        file.read_exact(&mut bytes)?;
        if bytes.iter().any(|byte| *byte != 0) {
            break;
        }
    }
    let what = if zero {
        bytes.fill(0);
        format!("sector at {offset} of {length} zeroed")
    } else {
        let flips = rng.between(1, 8);
        for _ in 0..flips {
            let at = rng.position(bytes.len());
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << rng.below(8);
            }
        }
        format!("{flips} bits at {offset} of {length} flipped")
    };
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    Ok(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differing(zero: bool, seed: u64) -> (Vec<u8>, Vec<u8>) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let before: Vec<u8> = (0..10_000_u32).map(|at| if at < 5_000 { 7 } else { 0 }).collect();
        fs::write(file.path(), &before).expect("written");
        damage(file.path(), zero, &mut Rng::new(seed)).expect("damaged");
        (before, fs::read(file.path()).expect("read"))
    }

    #[test]
    fn flipped_bits_stay_within_a_sector_and_the_length_stays() {
        for seed in 0..30 {
            let (before, after) = differing(false, seed);
            assert_eq!(before.len(), after.len(), "seed {seed}");
            let places: Vec<usize> = (0..before.len()).filter(|at| before[*at] != after[*at]).collect();
            assert!(places.len() <= 8, "seed {seed}");
            assert!(places.iter().all(|at| at / SECTOR == places[0] / SECTOR), "seed {seed}");
        }
        assert!((0..30).any(|seed| differing(false, seed).0 != differing(false, seed).1));
    }

    #[test]
    fn a_zeroed_sector_is_all_zero_and_held_something() {
        for seed in 0..30 {
            let (before, after) = differing(true, seed);
            let first = (0..before.len()).find(|at| before[*at] != after[*at]);
            let sector = first.expect("half of the file is written") / SECTOR * SECTOR;
            assert!(
                after[sector..(sector + SECTOR).min(after.len())].iter().all(|byte| *byte == 0),
                "seed {seed}"
            );
            assert_eq!(before[..sector], after[..sector], "seed {seed}");
        }
    }

    #[test]
    fn links_of_a_minority_leave_a_quorum_that_hears_itself() {
        for places in [vec![1, 2, 3], vec![1, 2, 4, 5, 6]] {
            for fault in [
                Fault::PartitionFollower,
                Fault::PartitionLeader,
                Fault::Bridge,
                Fault::Mute,
                Fault::HalfOpen,
            ] {
                for seed in 0..20 {
                    let links = links(fault, &places, places[0], places[1], &mut Rng::new(seed));
                    assert!(!links.is_empty());
                    // Without one of the two, nothing is treated among the others.
                    let rest = |gone: Place| {
                        links.iter().filter(|(one, other, _)| *one != gone && *other != gone).count()
                    };
                    assert!(places.iter().any(|gone| rest(*gone) == 0), "{fault:?} seed {seed}");
                }
            }
        }
    }
}
