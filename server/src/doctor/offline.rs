//! The directory of a node that is stopped: what stands in it, whether it is whole, and how the disk below it is.
//!
//! Nothing in it is changed: files are opened for reading, no lock is taken, and what is measured is measured with a file that
//! has no name. If a process works in it, the disk is left alone, and what is found may be in motion.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use holdfast_store::NoPlant;
use holdfast_store::snapshot::{Decoder, Header};
use holdfast_wal::disk::{Disk as _, RealDisk};
use holdfast_wal::tools;
use holdfast_wal::{Ending, OpenError};
use holdfast_wire::message::Figure;

use super::facts::Facts;
use super::lock::in_use;
use super::probe::{Measured, probe};
use super::system::{self, System};
use super::{Check, DAMAGED, Finding, Notes, REPLACE, SLOW_DISK, Severity, Thresholds, Whom, nodes};
use crate::audit::{self, AUDIT_DIRECTORY, AuditVerified};
use crate::storage::{
    IDENTITY_COPY, IDENTITY_FILE, Identity, LOG_DIRECTORY, SNAPSHOT_DIRECTORY, look_at_identity, snapshot_of,
};

/// How long the file system is waited for.
const SYSTEM_PATIENCE: Duration = Duration::from_secs(2);

/// Bytes of a snapshot that are read at a time.
const READ_BYTES: usize = 1 << 20;

/// What a node makes in its directory, or a file system in the highest of its own.
const OWN: [&str; 9] = [
    RealDisk::LOCK_FILE,
    IDENTITY_FILE,
    IDENTITY_COPY,
    "identity.new",
    "identity.copy.new",
    LOG_DIRECTORY,
    SNAPSHOT_DIRECTORY,
    AUDIT_DIRECTORY,
    "lost+found",
];

/// What was found of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogFound {
    /// There is none.
    Missing,
    /// It is whole; so many records.
    Whole(u64),
    /// It is damaged where the next start writes anew.
    Healable(String),
    /// Acknowledged entries are damaged or missing.
    Damaged(String),
    /// Term and vote may be older than what was promised.
    HardStateLost,
    /// It is that of another node or cluster than the identity says.
    Foreign(String),
    /// It cannot be read at all.
    Unreadable(String),
}

/// What was found in a directory.
#[derive(Debug)]
pub struct Ward {
    /// The directory.
    pub place: String,
    /// The process that works in it, if one does.
    pub in_use: Option<String>,
    /// How many things stand in it that no node makes.
    pub strange: usize,
    /// Each of the two identity files: its name, and what it says.
    pub identity: Vec<(String, Result<Option<Identity>, String>)>,
    /// The log.
    pub log: LogFound,
    /// Each snapshot, the newest first: its name, and whose it is, or what is wrong with it.
    pub snapshots: Vec<(String, Result<Header, String>)>,
    /// The audit log; `None` if there is none.
    pub audit: Option<Result<AuditVerified, String>>,
    /// Why the disk was not measured, if it was tried.
    pub unmeasured: Option<String>,
    /// What the system says, and what was measured.
    pub facts: Facts,
}

impl Ward {
    /// What the identity says: of the two copies the later one.
    #[must_use]
    pub fn known(&self) -> Option<Identity> {
        let whole = self.identity.iter().filter_map(|(_, found)| found.as_ref().ok()?.clone());
        whole.reduce(Identity::or_later)
    }

    /// Whether nothing in it is of a node: no identity, no log, no snapshot, no audit log. What cannot be read counts as one.
    #[must_use]
    pub fn holds_nothing(&self) -> bool {
        let is_audited = match &self.audit {
            None => false,
            Some(Ok(found)) => found.files > 0,
            Some(Err(_)) => true,
        };
        let is_blank = self.identity.iter().all(|(_, found)| matches!(found, Ok(None)));
        is_blank && self.log == LogFound::Missing && self.snapshots.is_empty() && !is_audited
    }

    /// Whether it is no data directory: nothing in it is of a node, and something is of others.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        !self.facts.is(Figure::Silent) && self.holds_nothing() && self.strange > 0
    }
}

/// Looks at a directory. `election_ms` is the election timeout that its disk is judged by.
///
/// # Errors
/// It is not there, or cannot be listed.
pub fn look(directory: &Path, election_ms: u64) -> std::io::Result<Ward> {
    let mut ward = Ward {
        place: directory.display().to_string(),
        in_use: None,
        strange: 0,
        identity: Vec::new(),
        log: LogFound::Missing,
        snapshots: Vec::new(),
        audit: None,
        unmeasured: None,
        facts: Facts::default(),
    };
    ward.facts.set(Figure::ElectionMs, election_ms);
    let Some(system) = look_at_system(directory) else {
        // Whatever is asked of it next would not come back either.
        ward.facts.set(Figure::Silent, 1);
        ward.facts.say(Figure::DataDirectory, &ward.place);
        return Ok(ward);
    };
    let disk = RealDisk::read_only(directory)?;
    let is_strange = |name: &&String| !OWN.contains(&name.as_str());
    ward.strange = everything(directory)?.iter().filter(is_strange).count();
    for (figure, value) in system.figures {
        // Files and memory are those of this process, and say nothing about a node.
        let of_process = [Figure::OpenFiles, Figure::OpenFilesMax, Figure::MemoryBytes, Figure::MemoryMax];
        if !of_process.contains(&figure) {
            ward.facts.set(figure, value);
        }
    }
    system.words.iter().for_each(|(figure, word)| ward.facts.say(*figure, word));
    ward.in_use = in_use(directory);
    let identity = look_at_identity(&disk).into_iter();
    ward.identity =
        identity.map(|(name, found)| (name.to_owned(), found.map_err(|error| error.to_string()))).collect();
    if directory.join(LOG_DIRECTORY).is_dir() {
        let names = ward.known().and_then(|identity| identity.names());
        let names = names.map(|(cluster, uuid)| holdfast_wal::Identity { cluster: cluster.0, node: uuid.0 });
        ward.log = log(&directory.join(LOG_DIRECTORY), names, &mut ward.facts);
    }
    ward.snapshots = snapshots(&directory.join(SNAPSHOT_DIRECTORY), &mut ward.facts);
    let audited = directory.join(AUDIT_DIRECTORY);
    if audited.is_dir() {
        let verified = RealDisk::read_only(&audited).and_then(|disk| audit::verify(&disk));
        ward.audit = Some(verified.map_err(|error| error.to_string()));
    }
    if ward.in_use.is_none() && !ward.is_elsewhere() {
        match probe(directory) {
            Ok(Measured { syncs, p50_us, p99_us, max_us }) => {
                ward.facts.set(Figure::Syncs, syncs);
                ward.facts.set(Figure::SyncP50Us, p50_us);
                ward.facts.set(Figure::SyncP99Us, p99_us);
                ward.facts.set(Figure::SyncMaxUs, max_us);
            }
            Err(error) => ward.unmeasured = Some(error.to_string()),
        }
    }
    Ok(ward)
}

/// The names of all that stands there, directories among them.
fn everything(directory: &Path) -> std::io::Result<Vec<String>> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// What the system says, if it answers.
fn look_at_system(directory: &Path) -> Option<System> {
    let (sender, looked) = mpsc::channel();
    let directory = directory.to_owned();
    // If it hangs it is left behind, and ends with the process.
    let look = thread::Builder::new().name("look".to_owned()).spawn(move || {
        let _ = sender.send(system::look(&directory));
    });
    look.ok()?;
    looked.recv_timeout(SYSTEM_PATIENCE).ok()
}

/// `names` are those that the log has to have, if they are known.
fn log(directory: &Path, names: Option<holdfast_wal::Identity>, facts: &mut Facts) -> LogFound {
    let disk = match RealDisk::read_only(directory) {
        Ok(disk) => disk,
        Err(error) => return LogFound::Unreadable(error.to_string()),
    };
    if let Ok(stat) = tools::stat(&disk) {
        facts.set(Figure::SegmentBytes, stat.segment_bytes);
    }
    let found = match tools::verify(&disk, names) {
        Ok(found) => found,
        Err(OpenError::NoLog { .. }) => return LogFound::Missing,
        Err(error @ OpenError::Foreign { .. }) => return LogFound::Foreign(error.to_string()),
        Err(error) => return LogFound::Unreadable(error.to_string()),
    };
    if found.hard_state_lost {
        return LogFound::HardStateLost;
    }
    let holes = found.damage.iter().flat_map(|group| &group.holes);
    let holes: Vec<String> = holes.map(|hole| format!("entries {} to {}", hole.first, hole.last)).collect();
    let places = found.regions.len();
    let what = match (places, holes.is_empty()) {
        (1, true) => "1 damaged place".to_owned(),
        (places, true) => format!("{places} damaged places"),
        (_, false) => format!("{} are damaged or missing", holes.join(", ")),
    };
    match found.ending {
        Ending::Clean | Ending::Torn => LogFound::Whole(found.records),
        Ending::Damaged if found.healable => LogFound::Healable(what),
        Ending::Damaged => LogFound::Damaged(what),
    }
}

fn snapshots(directory: &Path, facts: &mut Facts) -> Vec<(String, Result<Header, String>)> {
    let Ok(disk) = RealDisk::read_only(directory) else { return Vec::new() };
    let mut names: Vec<_> = disk
        .list()
        .unwrap_or_default()
        .into_iter()
        .filter_map(|name| Some((snapshot_of(&name)?, name)))
        .collect();
    names.sort_unstable();
    if let Some((_, newest)) = names.last() {
        let bytes = fs::metadata(directory.join(newest)).map_or(0, |file| file.len());
        facts.set(Figure::SnapshotBytes, bytes);
    }
    names.into_iter().rev().map(|(_, name)| (name.clone(), snapshot(directory.join(name)))).collect()
}

/// Reads all of it, as a start does.
fn snapshot(path: PathBuf) -> Result<Header, String> {
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let mut decoder = Decoder::<NoPlant>::new();
    let mut piece = vec![0; READ_BYTES];
    loop {
        let count = file.read(&mut piece).map_err(|error| error.to_string())?;
        if count == 0 {
            return decoder.finish().map(|decoded| decoded.header).map_err(|error| error.to_string());
        }
        decoder.push(&piece[..count]).map_err(|error| error.to_string())?;
    }
}

/// What ails the node of this directory.
#[must_use]
pub fn judge(ward: &Ward, thresholds: &Thresholds) -> Vec<Finding> {
    let mut notes = Notes::default();
    let known = ward.known();
    let known = known.as_ref();
    let whom = known.map_or_else(|| Whom::Place(ward.place.clone()), |identity| Whom::Node(identity.node.0));
    nodes::disk(&mut notes, &whom, &ward.facts, thresholds);
    if !ward.facts.is(Figure::Silent) {
        use_of(&mut notes, &whom, ward);
        identity(&mut notes, &whom, ward);
        whole_log(&mut notes, &whom, ward, known);
        whole_snapshots(&mut notes, &whom, ward, known);
        whole_audit(&mut notes, &whom, ward, known);
    }
    if let Some(why) = &ward.unmeasured {
        let what = format!("the disk could not be tried in {}: {why}", ward.place);
        notes.note(Severity::Fail, Check::DiskSync, &whom, what, format!("see {SLOW_DISK}"));
    }
    let mut findings = notes.0;
    if ward.in_use.is_some() {
        // What is being written while it is read may look torn, and a file may go away.
        let moving = [Check::LogWhole, Check::SnapshotsWhole, Check::AuditLog, Check::Identity];
        for finding in &mut findings {
            if finding.severity == Severity::Fail && moving.contains(&finding.check) {
                finding.severity = Severity::Warn;
                finding.what.push_str("; it is in use, so look again when it is stopped");
            }
        }
    }
    findings.retain(|finding| !thresholds.except.contains(&finding.check));
    super::sort(&mut findings);
    findings
}

fn use_of(notes: &mut Notes, whom: &Whom, ward: &Ward) {
    match &ward.in_use {
        Some(process) => {
            let what = format!(
                "process {process} works in {}: its disk is not tried, and what it writes may look torn",
                ward.place
            );
            let next = "ask it instead: holdfast doctor --endpoints HOST:PORT; or stop it first";
            notes.note(Severity::Warn, Check::NotInUse, whom, what, next);
        }
        None => notes.note(Severity::Ok, Check::NotInUse, whom, "no process works in it", ""),
    }
}

fn identity(notes: &mut Notes, whom: &Whom, ward: &Ward) {
    let whole = ward.identity.iter().filter(|(_, found)| matches!(found, Ok(Some(_)))).count();
    let wrong = ward.identity.iter().filter_map(|(name, found)| match found {
        Err(why) => Some(why.clone()),
        Ok(None) => Some(format!("{name} is missing")),
        Ok(Some(_)) => None,
    });
    let wrong = wrong.collect::<Vec<_>>().join("; ");
    let differ = ward.identity.windows(2).any(|pair| match pair {
        [(_, Ok(one)), (_, Ok(other))] => one != other,
        _ => false,
    });
    if whole == ward.identity.len() && differ {
        let what = "the copies of its identity differ: it was killed between them, or the disk has put an older one back; the later counts";
        notes.note(Severity::Warn, Check::Identity, whom, what, "start the node: it writes both anew");
    } else if whole == ward.identity.len() {
        notes.note(Severity::Ok, Check::Identity, whom, "both copies of its identity are whole", "");
    } else if whole > 0 {
        let next = "start the node: it writes both anew";
        notes.note(
            Severity::Warn,
            Check::Identity,
            whom,
            format!("one copy of its identity counts: {wrong}"),
            next,
        );
    } else if ward.holds_nothing() {
        let what = "nothing is there: no node was ever started in it";
        notes.note(
            Severity::Warn,
            Check::Identity,
            whom,
            what,
            "name the directory that --data-dir of the node names",
        );
    } else {
        let next = format!("nobody knows who this node is: let another take its place: {REPLACE}");
        notes.note(Severity::Fail, Check::Identity, whom, wrong, next);
    }
}

fn whole_log(notes: &mut Notes, whom: &Whom, ward: &Ward, identity: Option<&Identity>) {
    let verify = format!("holdfast wal verify {}; see {DAMAGED}", ward.place);
    let mut note =
        |severity, what: String, next: String| notes.note(severity, Check::LogWhole, whom, what, next);
    let had = identity.is_some_and(|identity| identity.log_made);
    if identity.is_some_and(|identity| identity.hard_state_lost) {
        let what =
            "its identity says that term and vote were lost once: it takes part in no quorum, for ever";
        return note(Severity::Fail, what.to_owned(), format!("let another node take its place: {REPLACE}"));
    }
    let is_member = identity.is_none_or(|identity| identity.names().is_some());
    match &ward.log {
        LogFound::Foreign(why) => {
            let what = format!("its log is another's: {why}");
            note(Severity::Fail, what, format!("bring the directory back as it was, or see {REPLACE}"));
        }
        log if !is_member && *log != LogFound::Missing => {
            let what = "it has a log, and its identity says that it belongs to no cluster yet".to_owned();
            note(Severity::Fail, what, format!("bring the directory back as it was, or see {REPLACE}"));
        }
        LogFound::Missing if had => {
            let what = "its log is missing, and it had one".to_owned();
            note(Severity::Fail, what, format!("bring the directory back as it was, or see {REPLACE}"));
        }
        LogFound::Missing => note(Severity::Ok, "it has no log yet".to_owned(), String::new()),
        LogFound::Whole(records) => {
            note(Severity::Ok, format!("its log is whole: {records} records"), String::new());
        }
        LogFound::Healable(what) => {
            let what = format!(
                "{what}, but no entry, no vote and no end of the log: the next start writes that anew"
            );
            note(Severity::Warn, what, verify);
        }
        LogFound::Damaged(what) => {
            note(Severity::Fail, format!("what was acknowledged is damaged in its log: {what}"), verify);
        }
        LogFound::HardStateLost => {
            let what = "term and vote may be older than what it has promised".to_owned();
            note(Severity::Fail, what, format!("let another node take its place: {REPLACE}"));
        }
        LogFound::Unreadable(why) => note(Severity::Fail, format!("its log cannot be read: {why}"), verify),
    }
}

/// The cluster and the life of it that all in the directory should be of, if the identity tells.
fn life_of(identity: Option<&Identity>) -> Option<([u8; 16], u64)> {
    let identity = identity?;
    Some((identity.names()?.0.0, identity.epoch))
}

/// A cluster and its life, in words.
fn life((cluster, epoch): ([u8; 16], u64)) -> String {
    format!("cluster {:032x}, epoch {epoch}", u128::from_be_bytes(cluster))
}

/// Notes what is of another cluster or life than the identity says; whether there was any.
fn foreign(
    notes: &mut Notes,
    (check, whom): (Check, &Whom),
    own: Option<([u8; 16], u64)>,
    others: &[(&str, ([u8; 16], u64))],
) -> bool {
    let Some(own) = own.filter(|_| !others.is_empty()) else { return false };
    let each = others.iter().map(|(name, whose)| format!("{name} is of {}", life(*whose)));
    let what = format!("{}; and this node is of {}", each.collect::<Vec<_>>().join("; "), life(own));
    let next = format!("put it back where it came from; see {REPLACE}");
    notes.note(Severity::Fail, check, whom, what, next);
    true
}

fn whole_snapshots(notes: &mut Notes, whom: &Whom, ward: &Ward, identity: Option<&Identity>) {
    let own = life_of(identity);
    let whose = ward.snapshots.iter().filter_map(|(name, found)| {
        let header = found.as_ref().ok()?;
        Some((name.as_str(), (header.cluster, header.epoch)))
    });
    // As a start does: one of another life is not begun with.
    let others: Vec<_> = whose.filter(|(_, whose)| Some(*whose) != own).collect();
    if foreign(notes, (Check::SnapshotsWhole, whom), own, &others) {
        return;
    }
    let wrong = ward.snapshots.iter().filter_map(|(name, found)| Some((name, found.as_ref().err()?)));
    let wrong: Vec<String> = wrong.map(|(name, why)| format!("{name} is damaged: {why}")).collect();
    let whole = ward.snapshots.len() - wrong.len();
    let next = format!("holdfast snapshot verify {}/{SNAPSHOT_DIRECTORY}/NAME; see {DAMAGED}", ward.place);
    let (severity, what) = match (wrong.is_empty(), whole) {
        (true, 0) => (Severity::Ok, "it has no snapshot yet".to_owned()),
        (true, _) => (Severity::Ok, format!("{whole} of {whole} snapshots are whole")),
        (false, 0) => (Severity::Fail, format!("{}; none is whole", wrong.join("; "))),
        (false, _) => {
            (Severity::Warn, format!("{}; {whole} of {} are whole", wrong.join("; "), ward.snapshots.len()))
        }
    };
    notes.note(severity, Check::SnapshotsWhole, whom, what, next);
}

fn whole_audit(notes: &mut Notes, whom: &Whom, ward: &Ward, identity: Option<&Identity>) {
    let own = life_of(identity);
    if let (Some(Ok(found)), Some((cluster, epoch))) = (&ward.audit, own) {
        let whose = found.whose.iter().map(|(name, cluster, epoch)| (name.as_str(), (cluster.0, epoch.0)));
        // Those of earlier lives are kept.
        let others: Vec<_> = whose.filter(|(_, whose)| whose.0 != cluster || whose.1 > epoch).collect();
        if foreign(notes, (Check::AuditLog, whom), own, &others) {
            return;
        }
    }
    let next = format!("the other members have the same records: holdfast audit; see {DAMAGED}");
    let (severity, what) = match &ward.audit {
        None => return,
        Some(Err(why)) => (Severity::Fail, format!("the audit log cannot be read: {why}")),
        Some(Ok(found)) if found.damaged.is_empty() => {
            (Severity::Ok, format!("{} files of the audit log are whole", found.files))
        }
        Some(Ok(found)) => {
            let wrong = found.damaged.iter().map(|(name, why)| format!("{name}: {why}"));
            (
                Severity::Warn,
                format!("files of the audit log are damaged: {}", wrong.collect::<Vec<_>>().join("; ")),
            )
        }
    };
    notes.note(severity, Check::AuditLog, whom, what, next);
}
