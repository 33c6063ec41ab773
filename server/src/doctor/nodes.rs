//! What ails a single node: its disk, its limits, its log, as far as its own figures tell.
//!
//! A figure that is missing is unknown: of an earlier build, or because the system would not say. Then nothing is found of it,
//! neither good nor bad, and [`Check::Examined`] says so where it matters.

use holdfast_wire::message::Figure;

use super::facts::Facts;
use super::{
    CLI, CLOCK, Check, DAMAGED, DISK_FULL, Notes, REPLACE, SLOW_DISK, Severity, Thresholds, Whom, bytes,
    micros,
};

/// A tenth of an election timeout: an election needs three syncs one after the other, and so there is room for three times that.
const SYNC_WARN: u64 = 10;

/// A third of an election timeout: the three syncs of an election take as long as the others wait for its end.
const SYNC_FAIL: u64 = 3;

/// Free bytes below which it is always said, however small the segments: a log of a busy minute.
const FREE_BYTES_LEAST: u64 = 1 << 30;

/// Segments and snapshots that should find room: two segments are prepared ahead, and a snapshot is written beside the two that
/// are kept; and as much again.
const SEGMENTS_ROOM: u64 = 4;
const SNAPSHOTS_ROOM: u64 = 2;

const INODES_WARN: u64 = 1_000;
const INODES_FAIL: u64 = 10;

/// Percent of the memory beyond which the process may be killed at any moment.
const MEMORY_FAIL: u64 = 95;

/// Revisions that are due to be compacted, and more than one compaction looks at.
const COMPACTION_DUE: u64 = 100_000;

/// Kinds of file systems that do not keep what is synced, or not on this machine, and what is wrong with them.
const DOUBTFUL: [(&str, &str); 16] = [
    ("tmpfs", "is in memory: all of it is gone when the machine stops"),
    ("ramfs", "is in memory: all of it is gone when the machine stops"),
    (
        "overlay",
        "is a layer over another: made for images, it copies whole files, and goes with the container",
    ),
    ("aufs", "is a layer over another, and goes with the container"),
    ("nfs", "is on another machine: a sync takes a round trip, and locks may be lost"),
    ("nfs4", "is on another machine: a sync takes a round trip, and locks may be lost"),
    ("cifs", "is on another machine: a sync takes a round trip, and locks may be lost"),
    ("smb3", "is on another machine: a sync takes a round trip, and locks may be lost"),
    ("9p", "is on another machine: whether it keeps what is synced is for that to say"),
    ("virtiofs", "is on another machine: whether it keeps what is synced is for that to say"),
    ("ceph", "is on other machines, and a sync takes round trips"),
    ("glusterfs", "is on other machines, and a sync takes round trips"),
    ("vfat", "has no journal, and may not survive a crash"),
    ("exfat", "has no journal, and may not survive a crash"),
    ("ext2", "has no journal, and may not survive a crash"),
    ("fuseblk", "is a program: whether it keeps what is synced is for that to say"),
];

/// Options by which what is synced may be lost or reordered.
const DANGEROUS: [&str; 4] = ["nobarrier", "barrier=0", "data=writeback", "journal_async_commit"];

/// All checks of a node that has examined itself.
pub(super) fn node(notes: &mut Notes, whom: &Whom, facts: &Facts, thresholds: &Thresholds) {
    disk(notes, whom, facts, thresholds);
    open_files(notes, whom, facts, thresholds);
    memory(notes, whom, facts, thresholds);
    log(notes, whom, facts);
    snapshots(notes, whom, facts);
    audit(notes, whom, facts);
    stamps(notes, whom, facts);
    compaction(notes, whom, facts, thresholds);
    clients(notes, whom, facts);
    drill(notes, whom, facts);
}

/// The checks of a disk, which a node that is stopped has as well.
pub(super) fn disk(notes: &mut Notes, whom: &Whom, facts: &Facts, thresholds: &Thresholds) {
    disk_answers(notes, whom, facts);
    sync(notes, whom, facts, thresholds);
    space(notes, whom, facts, thresholds);
    file_system(notes, whom, facts);
}

/// The severity of a value that warns above one bound and fails above another.
pub(super) fn above(value: u64, warn: u64, fail: u64) -> Severity {
    match value {
        _ if value > fail => Severity::Fail,
        _ if value > warn => Severity::Warn,
        _ => Severity::Ok,
    }
}

/// Bounds of a time that is judged against the election timeout: a tenth of it or what was asked for, and a third of it, but
/// nothing fails that was asked for.
pub(super) fn of_election(election_ms: u64, asked: Option<u64>) -> (u64, u64) {
    let election_us = election_ms.saturating_mul(1_000);
    let warn = asked.unwrap_or(election_us / SYNC_WARN);
    (warn, (election_us / SYNC_FAIL).max(warn))
}

/// Of fewer samples the slowest hundredth is one or two of them, and says nothing: then half of them are judged, as right after
/// a start or a join.
pub(super) const PERCENTILE_SAMPLES: u64 = 300;

/// Which of two quantiles of so many samples is judged, and what is said of that.
pub(super) fn judged(samples: u64, half: u64, most: u64) -> (u64, String) {
    if samples >= PERCENTILE_SAMPLES {
        return (most, String::new());
    }
    (half, format!("; of fewer than {PERCENTILE_SAMPLES} the half is judged"))
}

fn disk_answers(notes: &mut Notes, whom: &Whom, facts: &Facts) {
    let check = Check::DiskAnswers;
    let place = facts.word(Figure::DataDirectory).unwrap_or("its directory");
    let what = if facts.is(Figure::Silent) {
        format!("the file system of {place} does not answer: nothing is known of its room and its options")
    } else if facts.is(Figure::DiskStalled) {
        "its disk has kept a sync waiting for more than two election timeouts".to_owned()
    } else {
        return notes.note(Severity::Ok, check, whom, "its disk answers", "");
    };
    notes.note(
        Severity::Fail,
        check,
        whom,
        what,
        format!("see {SLOW_DISK}; on that machine: dmesg | tail -50"),
    );
}

fn sync(notes: &mut Notes, whom: &Whom, facts: &Facts, thresholds: &Thresholds) {
    let known = (facts.get(Figure::Syncs), facts.get(Figure::SyncP50Us), facts.get(Figure::SyncP99Us));
    let (Some(syncs), Some(half), Some(most)) = known else { return };
    let Some(election) = facts.get(Figure::ElectionMs) else { return };
    let (warn, fail) = of_election(election, thresholds.sync_p99_us);
    let longest =
        facts.get(Figure::SyncMaxUs).map_or(String::new(), |max| format!(", the longest {}", micros(max)));
    let (judged, few) = judged(syncs, half, most);
    let severity = if syncs == 0 { Severity::Ok } else { above(judged, warn, fail) };
    let what = format!(
        "of {syncs} syncs half took {}, 99 of 100 {}{longest}{few}; {} would be fine with an election timeout of {election} ms",
        micros(half),
        micros(most),
        micros(warn)
    );
    notes.note(severity, Check::DiskSync, whom, what, format!("see {SLOW_DISK}"));
}

fn space(notes: &mut Notes, whom: &Whom, facts: &Facts, thresholds: &Thresholds) {
    if let Some(free) = facts.get(Figure::FreeBytes) {
        let segment = facts.get(Figure::SegmentBytes).unwrap_or(0);
        let snapshot = facts.get(Figure::SnapshotBytes).unwrap_or(0);
        let wanted =
            segment.saturating_mul(SEGMENTS_ROOM).saturating_add(snapshot.saturating_mul(SNAPSHOTS_ROOM));
        let wanted = thresholds.free_bytes.unwrap_or(wanted.max(FREE_BYTES_LEAST));
        let full = facts.is(Figure::LogFull);
        let severity = match free {
            _ if full || free < segment => Severity::Fail,
            _ if free < wanted => Severity::Warn,
            _ => Severity::Ok,
        };
        let refused = if full { "the log has no room, and takes no writes: " } else { "" };
        let of = facts.get(Figure::TotalBytes).map_or(String::new(), |total| format!(" of {}", bytes(total)));
        let place = facts.word(Figure::DataDirectory).unwrap_or("its directory");
        let what = format!("{refused}{}{of} are free for {place}; {} should be", bytes(free), bytes(wanted));
        notes.note(severity, Check::DiskSpace, whom, what, format!("see {DISK_FULL}"));
    } else if facts.is(Figure::LogFull) {
        let what = "the log has no room on its disk, and takes no writes";
        notes.note(Severity::Fail, Check::DiskSpace, whom, what, format!("see {DISK_FULL}"));
    }
    let inodes = (facts.get(Figure::FreeInodes), facts.get(Figure::TotalInodes).filter(|total| *total > 0));
    if let (Some(free), Some(total)) = inodes {
        let severity = match free {
            0..INODES_FAIL => Severity::Fail,
            INODES_FAIL..INODES_WARN => Severity::Warn,
            _ => Severity::Ok,
        };
        let what = format!("{free} more files can be made there, of {total}");
        notes.note(severity, Check::Inodes, whom, what, format!("see {DISK_FULL}"));
    }
}

fn file_system(notes: &mut Notes, whom: &Whom, facts: &Facts) {
    let Some(kind) = facts.word(Figure::FileSystem) else { return };
    let options = facts.word(Figure::MountOptions).unwrap_or_default();
    let point = facts.word(Figure::MountPoint).unwrap_or("its mount");
    let check = Check::FileSystem;
    let has = |wanted: &str| options.split(',').any(|option| option == wanted);
    if has("ro") {
        let what = format!("{point} ({kind}) is mounted read-only: nothing can be written");
        let next = format!("on that machine: dmesg | tail -50; mount -o remount,rw {point}");
        return notes.note(Severity::Fail, check, whom, what, next);
    }
    let fuse = kind
        .strip_prefix("fuse.")
        .map(|_| "is a program: whether it keeps what is synced is for that to say");
    let doubt = DOUBTFUL.iter().find(|(doubtful, _)| *doubtful == kind).map(|(_, why)| *why).or(fuse);
    let dangerous: Vec<&str> = DANGEROUS.into_iter().filter(|option| has(option)).collect();
    if let Some(why) = doubt {
        let next = format!(
            "put the data directory on a local disk with ext4 or XFS, one member at a time: {REPLACE}"
        );
        return notes.note(Severity::Warn, check, whom, format!("{point} is {kind}, which {why}"), next);
    }
    if !dangerous.is_empty() {
        let what = format!(
            "{point} ({kind}) is mounted with {}: what was synced may be lost when the power fails",
            dangerous.join(", ")
        );
        let next = format!("mount {point} without it, one member at a time");
        return notes.note(Severity::Warn, check, whom, what, next);
    }
    notes.note(Severity::Ok, check, whom, format!("{point} is {kind} with {options}"), "");
}

fn open_files(notes: &mut Notes, whom: &Whom, facts: &Facts, thresholds: &Thresholds) {
    let Some(open) = facts.get(Figure::OpenFiles) else { return };
    let Some(most) = facts.get(Figure::OpenFilesMax) else {
        return notes.note(
            Severity::Ok,
            Check::OpenFiles,
            whom,
            format!("{open} files are open, without a limit"),
            "",
        );
    };
    let severity = match most {
        _ if open.saturating_mul(10) >= most.saturating_mul(9) => Severity::Fail,
        _ if most < thresholds.open_files => Severity::Warn,
        _ => Severity::Ok,
    };
    let what =
        format!("{open} of {most} files and sockets are open; the limit should be {}", thresholds.open_files);
    let next = "start it with LimitNOFILE=65536 in its unit, or after: ulimit -n 65536";
    notes.note(severity, Check::OpenFiles, whom, what, next);
}

fn memory(notes: &mut Notes, whom: &Whom, facts: &Facts, thresholds: &Thresholds) {
    let known = (facts.get(Figure::MemoryBytes), facts.get(Figure::MemoryMax).filter(|most| *most > 0));
    let (Some(used), Some(most)) = known else { return };
    let percent = u64::try_from(u128::from(used) * 100 / u128::from(most)).unwrap_or(u64::MAX);
    let warn = thresholds.memory_percent;
    let severity = above(percent, warn, MEMORY_FAIL.max(warn));
    let free =
        facts.get(Figure::MemoryFree).map_or(String::new(), |free| format!("; {} are free", bytes(free)));
    let what = format!("the process has {} of {}, {percent} %{free}", bytes(used), bytes(most));
    let next = "give it more memory, or let it hold less: holdfast settings set HistoryBytes=256MiB";
    notes.note(severity, Check::Memory, whom, what, next);
}

fn log(notes: &mut Notes, whom: &Whom, facts: &Facts) {
    let check = Check::LogWhole;
    if facts.is(Figure::HardStateLost) {
        let what = "its term and its vote may be older than what it has promised: it takes part in no quorum, for ever";
        notes.note(Severity::Fail, check, whom, what, format!("let another node take its place: {REPLACE}"));
    } else if facts.is(Figure::Damaged) {
        let what = "something that was acknowledged is damaged in its log; a leader sends it again, and until then it does not lead";
        notes.note(Severity::Fail, check, whom, what, format!("holdfast status --watch; see {DAMAGED}"));
    } else if facts.get(Figure::Damaged).is_some() {
        notes.note(Severity::Ok, check, whom, "its log is whole", "");
    }
}

fn snapshots(notes: &mut Notes, whom: &Whom, facts: &Facts) {
    let Some(damaged) = facts.get(Figure::SnapshotsDamaged) else { return };
    let index = facts.get(Figure::SnapshotIndex).unwrap_or(0);
    if damaged > 0 {
        let what = format!(
            "{damaged} of its snapshots were damaged when it started, and no newer one has replaced them"
        );
        return notes.note(Severity::Warn, Check::SnapshotsWhole, whom, what, format!("see {DAMAGED}"));
    }
    let what = if index == 0 {
        "it has no snapshot yet".to_owned()
    } else {
        format!("its newest goes up to index {index}")
    };
    notes.note(Severity::Ok, Check::SnapshotsWhole, whom, what, "");
}

fn audit(notes: &mut Notes, whom: &Whom, facts: &Facts) {
    let (Some(waiting), Some(most)) =
        (facts.get(Figure::AuditWaitingBytes), facts.get(Figure::AuditWaitingMax))
    else {
        return;
    };
    let (severity, before) = if facts.is(Figure::AuditFailing) {
        (Severity::Fail, "it cannot be written, and is tried again: ")
    } else if waiting > most / 2 {
        (Severity::Warn, "it is written too slowly: ")
    } else {
        (Severity::Ok, "")
    };
    let what = format!(
        "{before}{} of the audit log wait to be written; at {} nothing more is applied",
        bytes(waiting),
        bytes(most)
    );
    notes.note(severity, Check::AuditLog, whom, what, format!("see {DISK_FULL} and {SLOW_DISK}"));
}

fn stamps(notes: &mut Notes, whom: &Whom, facts: &Facts) {
    let (Some(ahead), Some(bound)) = (facts.get(Figure::StampAheadMs), facts.get(Figure::StampBoundMs))
    else {
        return;
    };
    let severity = above(ahead, bound, u64::MAX);
    let what = format!("the highest stamp in its store is {ahead} ms ahead of its clock; {bound} ms may be");
    notes.note(
        severity,
        Check::Stamps,
        whom,
        what,
        format!("chronyc tracking, at every member; see {CLOCK}"),
    );
}

fn compaction(notes: &mut Notes, whom: &Whom, facts: &Facts, thresholds: &Thresholds) {
    let known = (facts.get(Figure::HistoryBytes), facts.get(Figure::HistoryBytesMax));
    let (Some(held), Some(most)) = known else { return };
    let (age, due) =
        (facts.get(Figure::HistoryAgeMaxMs).unwrap_or(0), facts.get(Figure::CompactionDue).unwrap_or(0));
    let next = "holdfast settings set HistoryAge=1h HistoryBytes=1GiB; or once: holdfast compact --help";
    let bound =
        thresholds.history_bytes.unwrap_or(if most == 0 { u64::MAX } else { most.saturating_add(most / 4) });
    let (severity, what) = if held > bound {
        (Severity::Warn, format!("history takes {}, and {} should be the most", bytes(held), bytes(bound)))
    } else if most == 0 && age == 0 && thresholds.history_bytes.is_none() {
        (Severity::Warn, format!("history is kept for ever, and takes {} already", bytes(held)))
    } else if due > COMPACTION_DUE {
        (Severity::Warn, format!("{due} revisions are due to be compacted, and are not"))
    } else {
        (Severity::Ok, format!("history takes {}, {due} revisions are due to be compacted", bytes(held)))
    };
    notes.note(severity, Check::Compaction, whom, what, next);
}

fn clients(notes: &mut Notes, whom: &Whom, facts: &Facts) {
    let (Some(open), Some(most)) = (facts.get(Figure::Clients), facts.get(Figure::ClientsMax)) else {
        return;
    };
    let severity = above(open, fifths(most), most.saturating_sub(1));
    let what = format!("{open} clients are connected, and {most} may be");
    let next = format!("let some of them use other members, or find who opens so many; see {CLI}");
    notes.note(severity, Check::Clients, whom, what, next);
}

fn drill(notes: &mut Notes, whom: &Whom, facts: &Facts) {
    let delay = facts.get(Figure::DrillSyncDelayUs);
    let cut: Vec<String> = facts.all_about(Figure::DrillCut).map(|(peer, _)| peer.to_string()).collect();
    let mut on = Vec::new();
    if let Some(delay) = delay.filter(|delay| *delay > 0) {
        on.push(format!("each sync of its log takes {} longer", micros(delay)));
    }
    if !cut.is_empty() {
        on.push(format!("it has no connection with node {}", cut.join(", ")));
    }
    if !on.is_empty() {
        let what = format!("a drill is on: {}, on purpose", on.join(", and "));
        let next = "take drill_sync_delay and drill_cut out of its configuration, and send it SIGHUP";
        notes.note(Severity::Warn, Check::Drill, whom, what, next);
    } else if delay.is_some() {
        notes.note(Severity::Ok, Check::Drill, whom, "no drill is on", "");
    }
}

/// Four fifths.
pub(super) fn fifths(most: u64) -> u64 {
    most - most.div_ceil(5)
}

/// What of the whole cluster there are only so many of: leases and sessions.
pub(super) fn pile(
    notes: &mut Notes,
    check: Check,
    (name, command): (&str, &str),
    (held, most): (u64, u64),
    asked: Option<u64>,
) {
    let warn = asked.unwrap_or(fifths(most));
    let severity = above(held, warn, most.saturating_sub(1).max(asked.unwrap_or(0)));
    let what = format!("there are {held} {name}, and {most} may be");
    notes.note(severity, check, &Whom::Cluster, what, format!("{command}; see {CLI}"));
}
