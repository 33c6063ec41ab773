//! `holdfast snapshot`: looks at the file of a snapshot, without a cluster.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use holdfast_machine::Numbered as _;
use holdfast_raft::ClusterId;
use holdfast_store::NoPlant;
use holdfast_store::snapshot::{Decoder, FORMAT_VERSION, Section, SnapshotError, Summary, Survey};

use super::ask::say;
use super::serve::INTEGRITY;
use crate::storage::decode_membership;

/// Bytes that are read at a time.
const READ_BYTES: usize = 1 << 20;

#[derive(Debug, Args)]
pub(super) struct Snapshot {
    #[command(subcommand)]
    command: Asked,
}

#[derive(Debug, Subcommand)]
enum Asked {
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
}

/// Why a snapshot cannot be looked at, or is none.
#[derive(Debug, thiserror::Error)]
enum Failed {
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
    #[error("writing the output")]
    Output,
}

pub(super) fn run(snapshot: &Snapshot) -> ExitCode {
    let done = match &snapshot.command {
        Asked::Inspect { file } => inspect(file),
        Asked::Verify { file } => verify(file),
    };
    match done {
        // A reader that went away wants no more.
        Ok(()) | Err(Failed::Output) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("holdfast: {error}");
            ExitCode::from(if matches!(error, Failed::Io { .. }) { 2 } else { INTEGRITY })
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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn verify(path: &Path) -> Result<(), Failed> {
    let mut decoder = Decoder::<NoPlant>::new();
    read(path, |piece| decoder.push(piece))?;
    let decoded = decoder.finish().map_err(|error| Failed::Damaged { path: path.to_owned(), error })?;
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
