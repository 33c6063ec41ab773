//! What was not executed, on this node: lines of JSON for people and their tools.
//!
//! A refused request changes nothing, so no other node knows of it, and nothing can be rebuilt: these files are written as
//! well as it goes, are never synced, and hold neither keys nor values. They are bounded in size, and so is how fast they grow.

use std::io;
use std::net::SocketAddr;

use bytestring::ByteString;
use holdfast_wal::disk::{Access, Disk};
use serde::Serialize;

use super::error::AuditError;

/// The newest file. The older ones are `refused.1.jsonl` to `refused.3.jsonl`.
const NEWEST: &str = "refused.jsonl";

/// So many files at most.
const FILES: usize = 4;

/// From so many bytes on, a file is not appended to any more.
const FILE_BYTES: u64 = 4 * 1024 * 1024;

/// So many lines at most in each second of the time of day.
const LINES_PER_SECOND: u32 = 100;

/// Bytes of lines that wait in memory at most, when the disk fails.
const PENDING_BYTES_MAX: usize = 256 * 1024;

/// Bytes of each text in a line at most.
const TEXT_BYTES_MAX: usize = 1024;

/// A request that was not executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// In whose name; empty if nobody's.
    pub actor: ByteString,
    /// From where.
    pub address: Option<SocketAddr>,
    /// What was asked for, by name.
    pub request: ByteString,
    /// The code of the refusal, as `HF0101`.
    pub code: ByteString,
    /// What is said of it. No keys and no values.
    pub message: ByteString,
}

/// A line of the file.
#[derive(Debug, Serialize)]
struct Line {
    time_ms: u64,
    actor: String,
    request: String,
    code: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "is_zero")]
    suppressed_before: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The file that is appended to.
#[derive(Debug)]
struct Open<F> {
    file: F,
    at: u64,
    length: u64,
}

/// The refused requests of a node. All calls belong on a thread that may wait for the disk.
#[derive(Debug)]
pub struct RefusedLog<D: Disk> {
    disk: D,
    open: Option<Open<D::File>>,
    pending: String,
    /// The second that lines are counted in, and how many it has.
    second: (u64, u32),
    suppressed: u64,
}

fn older(number: usize) -> String {
    format!("refused.{number}.jsonl")
}

impl<D: Disk> RefusedLog<D> {
    /// A log that goes on in a new file, with whatever is called like it moved aside at its first line.
    #[must_use]
    pub fn anew(disk: D) -> Self {
        Self { disk, open: None, pending: String::new(), second: (0, 0), suppressed: 0 }
    }

    /// Opens the directory. What a crash left half written becomes spaces.
    ///
    /// # Errors
    /// [`AuditError::Io`].
    pub fn open(disk: D) -> Result<Self, AuditError> {
        let mut log = Self::anew(disk);
        log.open = log.reopen().map_err(log.io("opening the refused requests"))?;
        Ok(log)
    }

    fn io(&self, doing: &'static str) -> impl Fn(io::Error) -> AuditError + use<D> {
        let place = self.disk.place();
        move |error| AuditError::Io { place: place.clone(), doing, error }
    }

    fn has(&self, name: &str) -> io::Result<bool> {
        Ok(self.disk.list()?.iter().any(|found| found == name))
    }

    fn reopen(&self) -> io::Result<Option<Open<D::File>>> {
        if !self.has(NEWEST)? {
            return Ok(None);
        }
        let file = self.disk.open(NEWEST, Access::Write)?;
        let length = self.disk.len(&file)?;
        let looked_at = usize::try_from(length).unwrap_or(usize::MAX).min(2 * FILE_BYTES as usize);
        let mut bytes = vec![0; looked_at];
        self.disk.read_at(&file, 0, &mut bytes)?;
        // Zeros are what was never written of an allocated file.
        let text = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        let whole = bytes[..text].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if whole < bytes.len() {
            let mut blank = vec![b' '; bytes.len() - whole];
            if let Some(last) = blank.last_mut() {
                *last = b'\n';
            }
            self.disk.write_at(&file, whole as u64, &blank)?;
        }
        Ok(Some(Open { file, at: length, length }))
    }

    /// Notes a request, at this time of day in milliseconds since 1970. In memory until [`flush`](Self::flush). Of more than
    /// a hundred in a second, the rest is only counted; the next line says how many there were.
    pub fn note(&mut self, now_ms: u64, refused: &Refused) {
        let second = now_ms / 1_000;
        if self.second.0 != second {
            self.second = (second, 0);
        }
        if self.second.1 >= LINES_PER_SECOND || self.pending.len() >= PENDING_BYTES_MAX {
            self.suppressed += 1;
            return;
        }
        self.second.1 += 1;
        let Refused { actor, address, request, code, message } = refused;
        let line = Line {
            time_ms: now_ms,
            actor: plain(actor),
            request: plain(request),
            code: plain(code),
            message: plain(message),
            address: address.map(|address| address.to_string()),
            suppressed_before: self.suppressed,
        };
        // Numbers and texts are always written.
        if let Ok(line) = serde_json::to_string(&line) {
            self.pending.push_str(&line);
            self.pending.push('\n');
        }
        self.suppressed = 0;
    }

    /// Counts requests that nobody could say more about.
    pub fn note_more(&mut self, count: u64) {
        self.suppressed = self.suppressed.saturating_add(count);
    }

    /// Writes what was noted.
    ///
    /// # Errors
    /// [`AuditError::Io`]. It stays in memory, up to a bound, and the next call tries again.
    pub fn flush(&mut self) -> Result<(), AuditError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let written = self.write();
        written.map_err(self.io("writing refused requests"))?;
        self.pending.clear();
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        if self.open.as_ref().is_some_and(|open| open.at >= FILE_BYTES) {
            self.open = None;
            self.rotate()?;
        }
        if self.open.is_none() {
            // What has the name was left by an attempt that failed.
            if self.has(NEWEST)? {
                self.rotate()?;
            }
            self.open = Some(Open { file: self.disk.create(NEWEST)?, at: 0, length: 0 });
        }
        let Some(open) = self.open.as_mut() else { return Ok(()) };
        let end = open.at + self.pending.len() as u64;
        if end > open.length {
            self.disk.allocate(&open.file, end)?;
            open.length = end;
        }
        self.disk.write_at(&open.file, open.at, self.pending.as_bytes())?;
        open.at = end;
        Ok(())
    }

    /// Gives every file the next older name; the oldest goes.
    fn rotate(&self) -> io::Result<()> {
        for number in (1..FILES).rev() {
            let from = if number == 1 { NEWEST.to_owned() } else { older(number - 1) };
            if self.has(&from)? {
                self.disk.rename(&from, &older(number))?;
            }
        }
        Ok(())
    }
}

/// A text, cut off if it is long, without what moves a terminal's cursor or turns the direction of text and is no escape in
/// JSON.
fn plain(text: &str) -> String {
    let end = text.floor_char_boundary(TEXT_BYTES_MAX);
    let turns = |character: char| {
        character >= '\u{7f}' && character.is_control() || ('\u{2028}'..='\u{202e}').contains(&character)
    };
    text.get(..end).unwrap_or_default().replace(turns, "\u{fffd}")
}
