//! Sessions in a snapshot: what an outcome can depend on, and not when a deadline is looked at.

use std::ops::Bound;

use bytes::BufMut;
use holdfast_command::layout::Reader;
use holdfast_command::{Actor, Outcome, SessionId};
use holdfast_machine::Machine;
use triomphe::Arc;

use super::{Answer, Session, SessionMachine, Sessions};
use crate::snapshot::{COUNT_END, Records, Refused, Section, own_actor};
use crate::store::LogPosition;

impl Answer {
    /// Index, term, whether the outcome was kept, and the outcome up to the end.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.put_u64_le(self.at.index);
        out.put_u64_le(self.at.term);
        out.put_u8(self.outcome.is_some().into());
        out.put_slice(self.outcome.as_deref().unwrap_or_default());
    }

    pub(crate) fn read(fields: &mut Reader) -> Result<Self, Refused> {
        let at = LogPosition { index: fields.u64()?, term: fields.u64()? };
        if fields.flags(1)? == 0 {
            return Ok(Self { at, outcome: None });
        }
        let outcome = fields.take(fields.left())?;
        // It will be decoded when it is asked for; whoever repeats a request then must not be told something else.
        Outcome::decode(outcome.clone())?;
        // A copy: a slice would keep the chunk.
        Ok(Self { at, outcome: Some(bytes::Bytes::copy_from_slice(&outcome)) })
    }
}

impl Sessions {
    /// Writes the last number that was given away.
    pub(crate) fn write_number(&self, records: &mut Records) {
        records.put(Section::SessionNumber, |out| out.put_u64_le(self.last));
    }

    /// Writes sessions, from behind `behind` on, until there is enough. Says behind which to go on; none if there are no more.
    pub(crate) fn write(&self, behind: Option<SessionId>, records: &mut Records) -> Option<SessionId> {
        let bounds = (behind.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        for (id, session) in self.all.range(bounds) {
            records.put(Section::Sessions, |out| {
                out.put_u64_le(id.0);
                session.actor.write(out);
                for field in [session.ttl_ms, session.deadline, session.low] {
                    out.put_u64_le(field);
                }
            });
            if records.is_full() {
                return Some(*id);
            }
        }
        None
    }

    /// Writes answers, from behind this session and sequence on, until there is enough.
    pub(crate) fn write_answers(
        &self,
        behind: Option<(SessionId, u64)>,
        records: &mut Records,
    ) -> Option<(SessionId, u64)> {
        let first = behind.map_or(Bound::Unbounded, |(id, _)| Bound::Included(id));
        for (id, session) in self.all.range((first, Bound::Unbounded)) {
            let written = behind.filter(|(behind, _)| behind == id).map(|(_, sequence)| sequence);
            let from = session.answers.partition_point(|(sequence, _)| Some(*sequence) <= written);
            for (sequence, answer) in session.answers.range(from..) {
                records.put(Section::Answers, |out| {
                    out.put_u64_le(id.0);
                    out.put_u64_le(*sequence);
                    answer.write(out);
                });
                if records.is_full() {
                    return Some((*id, *sequence));
                }
            }
        }
        None
    }

    pub(crate) fn read_number(&mut self, fields: &mut Reader) -> Result<(), Refused> {
        self.last = fields.u64()?;
        Refused::unless(self.last < COUNT_END, "numbers of sessions are below 2^62")
    }

    pub(crate) fn read(&mut self, fields: &mut Reader) -> Result<(), Refused> {
        let id = SessionId(fields.u64()?);
        let actor = own_actor(Actor::read_from(fields)?);
        let (ttl_ms, deadline, low) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let ascends = self.all.get_max().is_none_or(|(last, _)| *last < id) && id.0 <= self.last;
        Refused::unless(ascends, "sessions ascend, up to the last number that was given")?;
        Refused::unless(low >= 1, "the lowest sequence is at least 1")?;
        let (state, answers) = (SessionMachine::INITIAL, std::collections::VecDeque::new());
        let session = Session { actor, ttl_ms, deadline, due: deadline, low, state, answers, reply_bytes: 0 };
        self.due.insert((deadline, id));
        self.all.insert(id, Arc::new(session));
        Ok(())
    }

    pub(crate) fn read_answer(&mut self, fields: &mut Reader) -> Result<(), Refused> {
        let (id, sequence) = (SessionId(fields.u64()?), fields.u64()?);
        let answer = Answer::read(fields)?;
        let Some(session) = self.all.get_mut(&id) else {
            return Refused::unless(false, "an answer belongs to a session that is there");
        };
        let session = Arc::make_mut(session);
        let last = session.answers.back().map(|(last, _)| *last);
        Refused::unless(
            last < Some(sequence) && sequence >= session.low,
            "sequences ascend, from the lowest",
        )?;
        session.reply_bytes += answer.bytes();
        self.reply_bytes += answer.bytes();
        session.answers.push_back((sequence, answer));
        Ok(())
    }
}
