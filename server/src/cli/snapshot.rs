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

use super::ask::say;
use super::save::Save;
use super::serve::INTEGRITY;
use crate::storage::{self, DataDir, Restoration, Restored, StorageError, decode_membership};

/// Bytes that are read at a time.
const READ_BYTES: usize = 1 << 20;

#[derive(Debug, Args)]
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
    },
    /// Check every byte of a snapshot as a node does that starts from it; exits with 9 if one is not as it should be
    Verify {
        /// The file
        file: PathBuf,
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
}

/// Why a snapshot cannot be looked at, or is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("{}: {error}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        error: std::io::Error,
    },
    #[error("{}: {error}", path.display())]
    Damaged {
        path: PathBuf,
        #[source]
        error: SnapshotError,
    },
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("the system gives no randomness: {0}")]
    Random(getrandom::Error),
    #[error("writing the output")]
    Output,
}

pub(super) fn run(snapshot: &Snapshot) -> ExitCode {
    let done = match &snapshot.command {
        Asked::Save(save) => return save.run(),
        Asked::Inspect { file } => inspect(file),
        Asked::Verify { file } => verify(file),
        Asked::Restore(restore) => begin(restore),
    };
    match done {
        // A reader that went away wants no more.
        Ok(()) | Err(Failed::Output) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("holdfast: {error}");
            let usage = matches!(error, Failed::Io { .. } | Failed::Storage(StorageError::NotBlank { .. }));
            ExitCode::from(if usage { 2 } else { INTEGRITY })
        }
    }
}

/// Shows a file to `push`, piece by piece.
fn read(path: &Path, mut push: impl FnMut(&[u8]) -> Result<(), SnapshotError>) -> Result<(), Failed> {
    let io = |error| Failed::Io { path: path.to_owned(), error };
    let mut file = File::open(path).map_err(io)?;
    let mut piece = vec![0; READ_BYTES];
    loop {
        let count = file.read(&mut piece).map_err(io)?;
        if count == 0 {
            return Ok(());
        }
        push(&piece[..count]).map_err(|error| Failed::Damaged { path: path.to_owned(), error })?;
    }
}

fn inspect(path: &Path) -> Result<(), Failed> {
    let mut survey = Survey::new();
    read(path, |piece| survey.push(piece))?;
    let (summary, membership) =
        survey.finish().map_err(|error| Failed::Damaged { path: path.to_owned(), error })?;
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
    show(&summary, &members).map_err(|_| Failed::Output)
}

fn show(summary: &Summary, members: &str) -> Result<(), super::ask::Failed> {
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
    decoder.finish().map_err(|error| Failed::Damaged { path: path.to_owned(), error })
}

fn begin(restore: &Restore) -> Result<(), Failed> {
    let Restore { file, data_dir, node_id, peer, cluster, bump_revision } = restore;
    let decoded = decode(file)?;
    let mut uuid = [0; 16];
    getrandom::fill(&mut uuid).map_err(Failed::Random)?;
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
    let done = || {
        say(format_args!(
            "restored: cluster {id}, epoch {epoch}, up to index {}, revision {revision}",
            last.index
        ))?;
        say(format_args!(
            "start it:  holdfast server --node-id {node_id} --data-dir {} --cluster {cluster} --listen-peer {peer} …",
            data_dir.display()
        ))?;
        say("the others join it, in blank directories, with --join")
    };
    done().map_err(|_| Failed::Output)
}

fn verify(path: &Path) -> Result<(), Failed> {
    let decoded = decode(path)?;
    let (last, store) = (decoded.header.last, decoded.store);
    say(format_args!(
        "whole: up to index {} of term {}, {} keys at revision {}, {} bytes, sha-256 {}",
        last.index,
        last.term,
        store.keys(),
        store.revision(),
        decoded.summary.bytes,
        hex(&decoded.summary.hash)
    ))
    .map_err(|_| Failed::Output)
}
