//! What a node wants done with its audit log, done: its jobs in their order, what failed once more, and what time asks for.
//!
//! It is told the time and waits for nothing but the disk, so that it runs on a thread in a process, and in a test without one.

use std::net::SocketAddr;

use bytestring::ByteString;
use holdfast_command::query::{self, Answer, AuditQuery, ITEMS_MAX, MissingRecords};
use holdfast_command::{CommandNumber, Refusal};
use holdfast_machine::Numbered;
use holdfast_wal::disk::Disk;
use holdfast_wire::message::QueryDone;

use super::{
    AuditError, AuditFiles, AuditFilter, AuditPage, AuditStatus, MissingReason, Refused, RefusedLog,
};
use crate::node::limits::ANSWER_BYTES;
use crate::node::{AuditDone, AuditJob, RefusedWrite};

/// The files of a node, and what could not be done with them yet.
#[derive(Debug)]
pub struct AuditWork<D: Disk> {
    files: AuditFiles<D>,
    refused: RefusedLog<D>,
    /// Bytes of jobs whose records are taken and not written.
    unwritten: usize,
    /// Writing has failed, and was not tried again with success.
    failing: bool,
}

impl<D: Disk> AuditWork<D> {
    /// Around files that were just opened.
    #[must_use]
    pub fn new(files: AuditFiles<D>, refused: RefusedLog<D>) -> Self {
        Self { files, refused, unwritten: 0, failing: false }
    }

    /// What is known of the files at a glance.
    #[must_use]
    pub fn status(&self) -> AuditStatus {
        self.files.status()
    }

    /// Whether something could not be written: then [`retry`](Self::retry) is to be called from time to time.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failing
    }

    /// Does a job, and adds to `done` what the node is to be told.
    pub fn run(&mut self, job: AuditJob, done: &mut Vec<AuditDone>) {
        match job {
            AuditJob::Append { through, records, bytes } => {
                for (index, record) in records {
                    self.files.append(index, &record);
                }
                self.files.complete(through);
                self.unwritten += bytes;
                // While it fails, what comes is kept, and the next attempt is a matter of time.
                if !self.failing {
                    self.write(done);
                }
            }
            AuditJob::Reinstalled { index } => self.files.reinstalled(index),
            AuditJob::Sync => {
                let synced = self.files.sync().map_err(|error| error.to_string());
                if synced.is_ok() {
                    self.written(done);
                }
                done.push(AuditDone::Synced(synced));
            }
            AuditJob::Read { caller, query, position, staleness_ms } => {
                let page = self.files.read(&filter(*query));
                let answer = page.map(|page| Answer::Audit(to_answer(page)));
                let answer = answer.map_err(|error| {
                    tracing::error!(%error, "the audit log cannot be read");
                    Refusal::AuditUnreadable
                });
                let answer = Answer::encode(&answer);
                done.push(AuditDone::Answer(caller, QueryDone { position, staleness_ms, answer }.into()));
            }
            AuditJob::Refused { writes, more } => {
                for write in writes {
                    self.refused.note(write.wall.get(), &line(write));
                }
                self.refused.note_more(more);
                if let Err(error) = self.refused.flush() {
                    tracing::warn!(%error, "refused requests are not noted");
                }
                done.push(AuditDone::Noted);
            }
        }
    }

    /// Tries again to write what could not be written.
    pub fn retry(&mut self, done: &mut Vec<AuditDone>) {
        if self.failing {
            self.write(done);
        }
    }

    /// Deletes the files that are too old or too many by this time of day, in milliseconds since 1970. Says which.
    ///
    /// # Errors
    /// [`AuditError::Io`]; those that are left go the next time.
    pub fn retain(&mut self, now_ms: u64) -> Result<Vec<String>, AuditError> {
        self.files.retain(now_ms)
    }

    /// Makes durable what there is, at the end.
    ///
    /// # Errors
    /// [`AuditError::Io`]: what is missing is made again from the log at the next start.
    pub fn close(mut self) -> Result<(), AuditError> {
        if let Err(error) = self.refused.flush() {
            tracing::warn!(%error, "refused requests are not noted");
        }
        self.files.sync().map(drop)
    }

    fn write(&mut self, done: &mut Vec<AuditDone>) {
        match self.files.flush() {
            Ok(()) => self.written(done),
            Err(error) => {
                // Said once; the thread says it again as long as it lasts.
                if !std::mem::replace(&mut self.failing, true) {
                    done.push(AuditDone::Failed(error.to_string()));
                }
            }
        }
    }

    fn written(&mut self, done: &mut Vec<AuditDone>) {
        self.failing = false;
        let bytes = std::mem::take(&mut self.unwritten);
        if bytes > 0 {
            done.push(AuditDone::Written { bytes });
        }
    }
}

/// A query in terms of the files.
fn filter(query: AuditQuery) -> AuditFilter {
    let AuditQuery { from, since, until, limit, prefix, actor } = query;
    let limit = if limit == 0 { ITEMS_MAX } else { limit.min(ITEMS_MAX) };
    AuditFilter {
        from,
        since,
        until: if until == 0 { u64::MAX } else { until },
        prefix,
        actor,
        limit: limit as usize,
        bytes_max: ANSWER_BYTES,
    }
}

/// A page in terms of the answer.
fn to_answer(page: AuditPage) -> query::AuditPage {
    let AuditPage { records, next, complete_from, through, missing } = page;
    let mut missing: Vec<MissingRecords> = missing
        .into_iter()
        .map(|missing| MissingRecords {
            first: missing.first,
            last: missing.last,
            why: match missing.why {
                MissingReason::Passed => query::MissingReason::Passed,
                MissingReason::Lost => query::MissingReason::Lost,
            },
        })
        .collect();
    // More than that cannot lie within what one call looks through, and must not make an answer that nobody reads.
    missing.truncate(ITEMS_MAX as usize);
    query::AuditPage { complete_from, through, next: next.unwrap_or(0), records, missing }
}

/// A line for people.
fn line(write: RefusedWrite) -> Refused {
    let RefusedWrite { wall: _, actor, address, command, refusal } = write;
    let request = match command.map(|number| (number, CommandNumber::from_number(number))) {
        Some((_, Some(known))) => known.name().to_owned(),
        Some((number, None)) => number.to_string(),
        None => String::new(),
    };
    Refused {
        actor: ByteString::from(actor.name()),
        address: address.map(|(ip, port)| SocketAddr::new(ip, port)),
        request: request.into(),
        code: refusal.code().tag().into(),
        message: refusal.to_string().into(),
    }
}
