//! `wal dump`, `wal verify` and `wal stat`: the log of a node, for people. Offline, and nothing is changed: no lock is taken,
//! nothing is repaired, no file is opened for writing. What a start would do about what is found is only said.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bytes::Bytes;
use clap::{Args, Subcommand};
use holdfast_machine::Numbered as _;
use holdfast_wal::disk::RealDisk;
use holdfast_wal::format::{HardStateBody, Head, Kind, Pieces};
use holdfast_wal::tools::{self, Line, Shown, Stat};
use holdfast_wal::{Ending, OpenError, Recovery, Region, segment_name};

use super::exit::Exit;
use super::failed::{Failed, Trouble};
use super::out::{put_out, say};
use super::paint::{Color, Paint};
use crate::describe::{self, Described};
pub(super) use crate::doctor::lock::in_use as user_of;
use crate::storage::LOG_DIRECTORY;

/// See the module documentation.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast wal stat /var/lib/holdfast
  holdfast wal verify /var/lib/holdfast
  holdfast wal dump /var/lib/holdfast | grep app/db/url")]
pub(super) struct Wal {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print every record, with what it holds
    Dump(Place),
    /// Read every record and check it; exits with 9 if acknowledged data is damaged
    Verify(Place),
    /// Count records and bytes
    Stat(Place),
}

#[derive(Debug, Args)]
struct Place {
    /// The data directory of a node, or the directory `wal` in it
    directory: PathBuf,
}

/// Why a command ends otherwise than well.
enum Ended {
    /// Damage was found, and is said.
    Damaged,
    /// There is no log, or it is not readable.
    Open(OpenError),
    /// Reading or printing.
    Failed(Failed),
}

impl From<OpenError> for Ended {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<Failed> for Ended {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

impl Wal {
    /// Exits with 0, with 2 if there is no log there, with 9 if it is damaged.
    pub(super) fn run(self) -> ExitCode {
        let (Command::Dump(place) | Command::Verify(place) | Command::Stat(place)) = &self.command;
        let directory = log_directory(&place.directory);
        warn_if_in_use(&directory);
        let opened = RealDisk::read_only(&directory)
            .map_err(|error| Ended::Failed(Failed::file(&directory, "read", &error)));
        let done = opened.and_then(|disk| match &self.command {
            Command::Dump(_) => dump(&disk),
            Command::Verify(_) => verify(&disk),
            Command::Stat(_) => stat(&disk),
        });
        let failed = match done {
            Ok(()) => return Exit::Done.into(),
            // It is said already, record by record.
            Err(Ended::Damaged) => return Exit::Integrity.into(),
            Err(Ended::Failed(failed)) => failed,
            Err(Ended::Open(error)) => {
                let none = matches!(error, OpenError::NoLog { .. } | OpenError::Io { .. });
                let exit = if none { Exit::Usage } else { Exit::Integrity };
                Trouble::new(exit, error.to_string()).outcome("nothing was changed").into()
            }
        };
        failed.report(Paint::new(Color::Auto), &[], None)
    }
}

/// The log in a data directory, or the directory itself.
fn log_directory(directory: &Path) -> PathBuf {
    let inner = directory.join(LOG_DIRECTORY);
    if inner.is_dir() { inner } else { directory.to_owned() }
}

fn warn_if_in_use(log: &Path) {
    if let Some(holder) = user_of(log.parent().unwrap_or(log)) {
        eprintln!(
            "holdfast: warning: in use by process {holder}: it writes while this is read, so the end of the log may look torn \
             and a file may go away"
        );
    }
}

fn dump(disk: &RealDisk) -> Result<(), Ended> {
    say("file\toffset\tkind\tgroup\tindex\tterm\tbytes\tchecks\tcommand\tabout\tactor")?;
    let (mut out, mut said, mut parts) = (Vec::new(), Ok(()), Vec::new());
    tools::dump_with_bodies(disk, &mut |line, body| {
        if said.is_err() {
            return;
        }
        out.extend_from_slice(row(line, body, &mut parts).as_bytes());
        out.push(b'\n');
        if out.len() >= PRINTED_AT_ONCE {
            said = put_out(&out);
            out.clear();
        }
    })?;
    said?;
    Ok(put_out(&out)?)
}

/// Bytes of output that are collected before they are written.
const PRINTED_AT_ONCE: usize = 64 * 1024;

/// A line of the dump. `parts` are the fragments of an entry so far.
fn row(line: &Line, body: &[u8], parts: &mut Vec<u8>) -> String {
    let Line { file, offset, shown } = line;
    let other =
        |kind: &str, what: &dyn std::fmt::Display| format!("{file}\t{offset}\t{kind}\t\t\t\t\t\t{what}\t\t");
    match shown {
        Shown::Slot(slot) => {
            let lost = if slot.hard_state_lost { " HARD STATE LOST" } else { "" };
            let text = format!(
                "epoch {} synced_upto {} first_live {} active {}{lost}",
                slot.epoch, slot.synced_upto, slot.first_live, slot.active
            );
            other("slot", &text)
        }
        Shown::Header(header) => {
            other("segment", &format!("base {} size {} {}", header.base(), header.size, header.identity))
        }
        Shown::Unsupported { number } => other("later", &format!("number {number} is of a later build")),
        Shown::Unreadable { to } => other("UNREADABLE", &format!("to {to}")),
        Shown::Zero { to } => other("zero", &format!("to {to}")),
        Shown::NotAFile(why) => other("NO FILE", why),
        Shown::Record { head, pieces } => {
            let checks = match pieces {
                Pieces::Exact => "ok",
                Pieces::SomeZero => "PARTLY ZERO",
                Pieces::SomeWrong => "DAMAGED",
            };
            let Described { command, about, actor } = record(head, *pieces, body, parts);
            let (index, term) = if head.is_entry() {
                (head.index.to_string(), head.term.to_string())
            } else if head.kind == Kind::HardState {
                (String::new(), head.term.to_string())
            } else {
                Default::default()
            };
            let (kind, group, bytes) = (head.kind.label(), head.group.0, head.length);
            format!(
                "{file}\t{offset}\t{kind}\t{group}\t{index}\t{term}\t{bytes}\t{checks}\t{command}\t{about}\t{actor}"
            )
        }
    }
}

/// What a record holds, in words. An entry of several fragments is told with its last.
fn record(head: &Head, pieces: Pieces, body: &[u8], parts: &mut Vec<u8>) -> Described {
    let words = |command: &str, about: String| Described {
        command: command.to_owned(),
        about,
        ..Described::default()
    };
    match head.kind {
        Kind::HardState => match HardStateBody::read(body).filter(|_| pieces == Pieces::Exact) {
            Some(HardStateBody { vote: 0, .. }) => words("(vote)", "for nobody".to_owned()),
            Some(HardStateBody { vote, .. }) => words("(vote)", format!("for node {vote}")),
            None => Described::default(),
        },
        Kind::Entry | Kind::Fill => {
            if head.first {
                parts.clear();
            }
            parts.extend_from_slice(body);
            if !head.last {
                return words("(a fragment)", String::new());
            }
            if pieces == Pieces::Exact {
                describe::entry(&Bytes::from(std::mem::take(parts)))
            } else {
                Described::default()
            }
        }
        Kind::Checkpoint | Kind::Bounds | Kind::Healed | Kind::Mark | Kind::Skip => Described::default(),
    }
}

fn verify(disk: &RealDisk) -> Result<(), Ended> {
    let found = tools::verify(disk, None)?;
    let Stat { segment_bytes, live_segments, .. } = tools::stat(disk)?;
    say(format_args!(
        "{} records in {live_segments} segments, up to {} offset {}",
        found.records, found.file, found.offset
    ))?;
    for (group, bounds, hard) in &found.groups {
        let vote = if hard.vote == 0 { "nobody".to_owned() } else { format!("node {}", hard.vote) };
        say(format_args!(
            "group {}: entries {} to {} of term {}; term {}, vote for {vote}",
            group.0, bounds.first, bounds.last, bounds.last_term, hard.term
        ))?;
    }
    for region in &found.regions {
        say(damaged(region, segment_bytes))?;
    }
    for group in &found.damage {
        let (term, index) = group.claimed_end;
        for hole in &group.holes {
            let what = if hole.doubtful { "doubtful" } else { "missing" };
            say(format_args!("group {}: entries {} to {} are {what}", group.group.0, hole.first, hole.last))?;
        }
        say(format_args!(
            "group {}: the log did not end before index {index} of term {term}",
            group.group.0
        ))?;
    }
    conclude(&found)
}

/// A damaged place, by file and offset.
fn damaged(region: &Region, segment_bytes: u64) -> String {
    let size = segment_bytes.max(1);
    let (file, from) = (segment_name(region.from / size), region.from % size);
    let what = region.kind.map_or_else(String::new, |kind| format!(" ({})", kind.label()));
    let entry = region.entry.map_or_else(String::new, |(_, index)| format!(" index {index}"));
    let why = region
        .row
        .map_or("the record is whole, and does not follow from those before it", |row| row.caption());
    let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("DAMAGED {file} offset {from}, {} bytes{what}{entry}: {why}", region.to - region.from)
}

/// What all of it means.
fn conclude(found: &Recovery) -> Result<(), Ended> {
    if found.hard_state_lost {
        say(
            "DAMAGED: term and vote may be older than what this node has promised: let another node take its place",
        )?;
    }
    match found.ending {
        Ending::Damaged if found.healable && !found.hard_state_lost => {
            say(
                "damaged, but no entry, no vote and no end of the log: the next start writes a fresh checkpoint, and all is well",
            )?;
            Err(Ended::Damaged)
        }
        Ending::Damaged => {
            say(
                "DAMAGED: what was acknowledged here is lost here; started with others, the node is sent it again by a leader",
            )?;
            Err(Ended::Damaged)
        }
        Ending::Clean | Ending::Torn if found.hard_state_lost => Err(Ended::Damaged),
        Ending::Torn => Ok(say(
            "whole; its tail is torn, which is fine: it was being written, nobody was told of it, and the next start cuts it",
        )?),
        Ending::Clean => Ok(say("whole")?),
    }
}

fn stat(disk: &RealDisk) -> Result<(), Ended> {
    let Stat { live_segments, segment_bytes, kinds, groups, synced_upto, end } = tools::stat(disk)?;
    say("what\trecords\tbytes")?;
    for (kind, (records, bytes)) in &kinds {
        say(format_args!("{kind}\t{records}\t{bytes}"))?;
    }
    let (records, bytes) =
        kinds.values().fold((0, 0), |(records, bytes), (more, further)| (records + more, bytes + further));
    say(format_args!("all\t{records}\t{bytes}"))?;
    say(format_args!("segments\t{live_segments}\t{}", live_segments * segment_bytes))?;
    for (group, (first, last)) in &groups {
        say(format_args!("group {}: entries {first} to {last}", group.0))?;
    }
    Ok(say(format_args!("durable up to position {synced_upto}, written up to {end}"))?)
}
