//! `holdfast snapshot`: looks at the file of a snapshot, and begins a cluster anew from one, both without a cluster; or takes
//! one away from a cluster that runs.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use holdfast_machine::Numbered as _;
use holdfast_raft::{ClusterId, NodeId, NodeUuid};
use holdfast_store::NoPlant;
use holdfast_store::snapshot::{Decoded, Decoder, FORMAT_VERSION, Section, SnapshotError, Summary, Survey};

use super::exit::Exit;
use super::failed::{Failed, Trouble};
use super::out::{Cell, Format, Out, Shape, say};
use super::progress::Progress;
use super::save::Save;
use crate::storage::{self, DataDir, Restoration, Restored, StorageError, decode_membership};

/// Bytes that are read at a time.
const READ_BYTES: usize = 1 << 20;

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast snapshot save backup.snap
  holdfast snapshot verify backup.snap
  holdfast snapshot restore backup.snap --node-id 1 --data-dir /var/lib/holdfast --peer a:7401")]
pub(super) struct Snapshot {
    #[command(subcommand)]
    command: Asked,
}

#[derive(Debug, Subcommand)]
enum Asked {
    /// Write the state of a cluster that runs to a file, as a backup; the file appears when all of it is there and checked
    Save(Save),
    /// Say what a snapshot holds: cluster, last entry, members, sections; checks its frame, not what stands in it
    Inspect {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        shape: Shape,
    },
    /// Check every byte of a snapshot as a node does that starts from it; exits with 9 if one is not as it should be
    Verify {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        shape: Shape,
    },
    /// Begin another life of a cluster from a snapshot, as one node in a blank directory; the others join it
    Restore(Restore),
}

#[derive(Debug, Args)]
struct Restore {
    /// The file
    file: PathBuf,
    /// Where the node will keep its identity and its log; blank
    #[arg(long, env = "HOLDFAST_DATA_DIR")]
    data_dir: PathBuf,
    /// The number of the node
    #[arg(long, env = "HOLDFAST_NODE_ID", value_parser = clap::value_parser!(u64).range(1..1 << 62))]
    node_id: u64,
    /// Where the other nodes will reach it
    #[arg(long, value_name = "HOST:PORT")]
    peer: String,
    /// What the cluster is called
    #[arg(long, env = "HOLDFAST_CLUSTER", default_value = "holdfast")]
    cluster: String,
    /// Revisions to pass over, if that is more than a billion and a million for each second since the snapshot
    #[arg(long, default_value_t = 0)]
    bump_revision: u64,
    #[command(flatten)]
    shape: Shape,
}

impl From<StorageError> for Failed {
    fn from(error: StorageError) -> Self {
        let exit = if matches!(error, StorageError::NotBlank { .. }) { Exit::Usage } else { Exit::Integrity };
        Trouble::new(exit, error.to_string()).outcome("the directory is as it was").into()
    }
}

pub(super) fn run(snapshot: &Snapshot) -> ExitCode {
    let (shape, done) = match &snapshot.command {
        Asked::Save(save) => return save.run(),
        Asked::Inspect { file, shape } => (shape, inspect(shape.out(), file)),
        Asked::Verify { file, shape } => (shape, verify(shape.out(), file)),
        Asked::Restore(restore) => (&restore.shape, begin(restore)),
    };
    match done {
        Ok(()) => Exit::Done.into(),
        Err(failed) => failed.report(shape.paint(), &[], None),
    }
}

/// Shows a file to `push`, piece by piece.
fn read(path: &Path, mut push: impl FnMut(&[u8]) -> Result<(), SnapshotError>) -> Result<(), Failed> {
    let io = |error| Failed::file(path, "read", &error);
    let mut file = File::open(path).map_err(io)?;
    let mut progress = Progress::new("reading", file.metadata().map_or(0, |file| file.len()));
    let mut piece = vec![0; READ_BYTES];
    loop {
        let count = file.read(&mut piece).map_err(io)?;
        if count == 0 {
            return Ok(());
        }
        push(&piece[..count]).map_err(|error| damaged(path, &error))?;
        progress.add(count as u64);
    }
}

fn damaged(path: &Path, error: &SnapshotError) -> Failed {
    Failed::damaged(format!("{} is no whole snapshot: {error}", path.display()))
}

fn inspect(out: Out, path: &Path) -> Result<(), Failed> {
    let mut survey = Survey::new();
    read(path, |piece| survey.push(piece))?;
    let (summary, membership) = survey.finish().map_err(|error| damaged(path, &error))?;
    let members = match decode_membership(membership) {
        Ok((index, configuration)) => {
            let members = configuration.members().keys().map(|id| {
                let role = if configuration.is_voter(*id) { "voter" } else { "learner" };
                format!("{id} {role}")
            });
            format!("{}, since index {index}", members.collect::<Vec<_>>().join(", "))
        }
        Err(error) => format!("unreadable: {error}"),
    };
    match out.format {
        Format::Json | Format::Jsonl => tell(out, &summary, &members),
        Format::Table | Format::Plain | Format::Value => show(&summary, &members),
    }
}

/// For programs.
fn tell(out: Out, summary: &Summary, members: &str) -> Result<(), Failed> {
    let header = summary.header;
    let sections = summary.sections.iter().map(|tally| {
        let fields = [
            ("number", u64::from(tally.number).into()),
            (
                "name",
                Section::from_number(tally.number)
                    .map_or(Cell::Nothing, |section| Cell::Text(section.label())),
            ),
            ("records", tally.records.into()),
            ("bytes", tally.bytes.into()),
        ];
        Cell::object(String::new(), &fields)
    });
    let fields = [
        ("format", u64::from(FORMAT_VERSION).into()),
        ("cluster", Cell::text(ClusterId(header.cluster))),
        ("epoch", Cell::text(header.epoch)),
        ("index", header.last.index.into()),
        ("term", header.last.term.into()),
        ("stamp", Cell::text(header.stamp)),
        ("members", members.into()),
        ("level", u64::from(summary.level.0).into()),
        ("revision", summary.revision.into()),
        ("oldest", summary.oldest.into()),
        ("bytes", summary.bytes.into()),
        ("sha256", Cell::Text(hex(&summary.hash))),
        ("sections", Cell::list(String::new(), &sections.collect::<Vec<_>>())),
    ];
    out.record("", &fields, "sha256")
}

fn show(summary: &Summary, members: &str) -> Result<(), Failed> {
    let header = summary.header;
    say(format_args!("format      {FORMAT_VERSION}"))?;
    say(format_args!("cluster     {}, epoch {}", ClusterId(header.cluster), header.epoch))?;
    say(format_args!("last entry  index {}, term {}", header.last.index, header.last.term))?;
    say(format_args!("time        {}, cluster clock {} ms", header.stamp, header.clock))?;
    say(format_args!("members     {members}"))?;
    say(format_args!("level       {}", summary.level.0))?;
    say(format_args!("revision    {}, oldest {}", summary.revision, summary.oldest))?;
    say(format_args!("bytes       {}", summary.bytes))?;
    say(format_args!("sha-256     {}", hex(&summary.hash)))?;
    say(format_args!("\n{:24} {:>12} {:>14}", "section", "records", "bytes"))?;
    for tally in &summary.sections {
        let name = match Section::from_number(tally.number) {
            Some(section) => section.label(),
            None => format!("{} (skipped)", tally.number),
        };
        say(format_args!("{name:24} {:>12} {:>14}", tally.records, tally.bytes))?;
    }
    Ok(())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a whole snapshot.
pub(super) fn decode(path: &Path) -> Result<Decoded, Failed> {
    let mut decoder = Decoder::<NoPlant>::new();
    read(path, |piece| decoder.push(piece))?;
    decoder.finish().map_err(|error| damaged(path, &error))
}

fn begin(restore: &Restore) -> Result<(), Failed> {
    let Restore { file, data_dir, node_id, peer, cluster, bump_revision, shape } = restore;
    let decoded = decode(file)?;
    let mut uuid = [0; 16];
    getrandom::fill(&mut uuid).map_err(|error| {
        Failed::from(Trouble::new(Exit::Usage, "the system gives no randomness").why(error.to_string()))
    })?;
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let directory = DataDir::open(data_dir)?;
    let restoration = Restoration {
        node: NodeId(*node_id),
        uuid: NodeUuid(uuid),
        cluster_name: cluster.clone(),
        peer: peer.as_str().into(),
        seconds,
        revisions: *bump_revision,
    };
    let Restored { cluster: id, epoch, last, revision } = storage::restore(&directory, decoded, restoration)?;
    let index = last.index;
    let restored = format!("restored: cluster {id}, epoch {epoch}, up to index {index}, revision {revision}");
    let start = format!(
        "holdfast server --node-id {node_id} --data-dir {} --cluster {cluster} --listen-peer {peer} …",
        data_dir.display()
    );
    let sentence =
        format!("{restored}\nstart it:  {start}\nthe others join it, in blank directories, with --join");
    let fields = [
        ("cluster", Cell::text(id)),
        ("epoch", Cell::text(epoch)),
        ("index", index.into()),
        ("revision", revision.into()),
    ];
    shape.out().record(sentence, &fields, "cluster")
}

fn verify(out: Out, path: &Path) -> Result<(), Failed> {
    whole(out, &decode(path)?, "whole", path)
}

/// What a whole snapshot holds.
pub(super) fn whole(out: Out, decoded: &Decoded, what: &str, path: &Path) -> Result<(), Failed> {
    let (last, store, summary) = (decoded.header.last, &decoded.store, &decoded.summary);
    let (keys, revision, hash) = (store.keys(), store.revision(), hex(&summary.hash));
    let sentence = format!(
        "{what}: up to index {} of term {}, {keys} keys at revision {revision}, {} bytes, sha-256 {hash}",
        last.index, last.term, summary.bytes
    );
    let fields = [
        ("file", Cell::text(path.display())),
        ("index", last.index.into()),
        ("term", last.term.into()),
        ("keys", (keys as u64).into()),
        ("revision", revision.into()),
        ("bytes", summary.bytes.into()),
        ("sha256", Cell::Text(hash)),
    ];
    out.record(sentence, &fields, "sha256")
}
