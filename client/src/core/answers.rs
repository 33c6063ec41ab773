//! What an answer means for the call it belongs to.

use bytes::Bytes;
use holdfast_command::query;
use holdfast_command::{Code, Effect, Outcome as StoreOutcome, Refusal, Reply, SessionId};
use holdfast_machine::Numbered;
use holdfast_wire::Message;
use holdfast_wire::message::{
    CloseReason, LeaseKept, MembersChanged, QueryDone, ReadDone, Refused, SessionKept, Submitted,
};

use super::call::{Call, Met, Payload, Place};
use super::config::{COPY_MAX, REDIRECTS_MAX, SESSIONS_PER_CALL};
use super::endpoint::LinkId;
use super::{Answer, Core, PLACE_BITS};
use crate::{Kind, Outcome, Page, What};

impl<W> Core<W> {
    /// A message came that is not of the connection itself.
    pub(super) fn heard(&mut self, link: LinkId, wire: u64, message: Message, now: u64) {
        if matches!(message, Message::Pong(_)) {
            self.answered(link.endpoint, now);
            return;
        }
        if let Some(&watch) = self.watch_calls.get(&wire) {
            if let Err(what) = self.watch_heard(link, watch, message, now) {
                self.violated(link, what, now);
            }
            return;
        }
        let index = (wire & ((1 << PLACE_BITS) - 1)) as usize;
        let ours = |call: &&mut Call<W>| match call.place {
            Place::Sent { endpoint, wire: copy, .. } => (endpoint, copy) == (link.endpoint, wire),
            Place::Queued | Place::Waiting { .. } => false,
        };
        let Some(call) = self.calls.get_mut(index).and_then(Option::as_mut).filter(ours) else {
            // Nobody waits for it any more; unless it was never asked.
            if wire >> PLACE_BITS == 0 || wire >> PLACE_BITS > self.copies {
                self.violated(link, "an answer to a call that was never made", now);
            }
            return;
        };
        let Place::Sent { at, .. } = call.place else { return };
        let answers = matches!(
            (&call.payload, &message),
            (_, Message::Refused(_))
                | (Payload::Submit { .. }, Message::Submitted(_))
                | (Payload::Read { .. }, Message::ReadDone(_))
                | (Payload::Keep { .. }, Message::SessionKept(_))
                | (Payload::Query { .. }, Message::QueryDone(_))
                | (Payload::KeepLease { .. }, Message::LeaseKept(_))
                | (Payload::ChangeMembers(_), Message::MembersChanged(_))
                | (Payload::Status, Message::StatusReply(_))
                | (Payload::Stats, Message::StatsReply(_))
                | (Payload::Trace(_), Message::TraceReply(_))
                | (Payload::Examine, Message::Examined(_))
                | (Payload::SaveSnapshot(_), Message::SnapshotPiece(_))
        );
        if !answers {
            self.violated(link, "an answer of another kind than the call", now);
            return;
        }
        self.answered(link.endpoint, now);
        if let Some(up) = self.endpoints.get_mut(link.endpoint).and_then(super::Endpoint::up) {
            up.sent = up.sent.saturating_sub(1);
        }
        if let Some(call) = self.call_at(index) {
            call.place = Place::Queued;
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "what else there is was sorted out above")]
        match message {
            Message::Submitted(submitted) => self.submitted(index, link.endpoint, at, submitted, now),
            Message::ReadDone(read) => self.read_done(index, read, now),
            Message::SessionKept(SessionKept { known, .. }) => self.session_kept(index, at, known, now),
            Message::QueryDone(done) => self.query_done(index, done, now),
            Message::LeaseKept(LeaseKept { known, ttl_ms, .. }) => {
                self.finish(index, Ok(Answer::LeaseKept { known, ttl_ms }), now);
            }
            Message::MembersChanged(MembersChanged { configuration, .. }) => {
                self.finish(index, Ok(Answer::MembersChanged { configuration }), now);
            }
            Message::StatusReply(status) => self.finish(index, Ok(Answer::Status(Box::new(status))), now),
            Message::SnapshotPiece(piece) => self.finish(index, Ok(Answer::Snapshot(piece)), now),
            Message::TraceReply(trace) => self.finish(index, Ok(Answer::Trace(trace)), now),
            Message::StatsReply(stats) => self.finish(index, Ok(Answer::Stats(Box::new(stats))), now),
            Message::Examined(examined) => {
                self.finish(index, Ok(Answer::Examined(Box::new(examined))), now);
            }
            Message::Refused(refused) => self.refused(index, link.endpoint, at, &refused, now),
            _ => {}
        }
    }

    /// What came is whole and makes no sense: nothing further from there can be trusted.
    fn violated(&mut self, link: LinkId, what: &str, now: u64) {
        if let Some(wire) = self.connection(link) {
            wire.close(CloseReason::Violation, what, now);
            wire.lost(what, now);
        }
    }

    fn submitted(&mut self, index: usize, from: usize, at: u64, submitted: Submitted, now: u64) {
        let Submitted { position, outcome } = submitted;
        // Who executes it is the leader.
        self.set_leader(Some(from));
        let Ok(StoreOutcome(outcome)) = StoreOutcome::decode(copied(outcome)) else {
            let detail = "the outcome is none that this version knows".to_owned();
            let write = self.call_at(index).is_some_and(|call| call.is_write());
            let outcome = if write { Outcome::Unknown } else { Outcome::NotApplied };
            self.fail_with(index, Kind::Unreadable, outcome, detail, now);
            return;
        };
        if let Some(bound) = self.call_at(index).and_then(|call| call.bound)
            && !matches!(outcome, Err(Refusal::UnknownSession { .. }))
        {
            self.session_heard(bound.session, at);
        }
        match outcome {
            Ok(reply) => self.written(index, reply, position, now),
            Err(refusal) => self.refused_in_log(index, refusal, now),
        }
    }

    fn written(&mut self, index: usize, reply: Reply, position: holdfast_wire::message::Position, now: u64) {
        self.finish(index, Ok(Answer::Written { reply, position: position.into() }), now);
    }

    /// The store refused it: for good, unless it says that only this copy met that.
    fn refused_in_log(&mut self, index: usize, refusal: Refusal, now: u64) {
        let Some(call) = self.call_at(index) else { return };
        call.met = Some(Box::new(Met {
            code: refusal.code().number(),
            particulars: refusal.particulars(),
            detail: String::new(),
        }));
        if matches!(refusal, Refusal::UnknownSession { .. }) {
            self.session_unknown(index, now);
        } else if matches!(refusal, Refusal::WindowFull { .. }) && call.bound.is_some() {
            // The window moves as the oldest are answered.
            self.retry(index, 0, false, now);
        } else {
            let outcome = fate(refusal.code(), call.uncertain);
            self.fail_with(index, Kind::Refused, outcome, String::new(), now);
        }
    }

    /// This copy was not executed, because its session is gone. Nor was any other, if there was none: then it is sent
    /// again in a new session.
    fn session_unknown(&mut self, index: usize, now: u64) {
        let Some(call) = self.call_at(index) else { return };
        let Some(bound) = call.bound else {
            self.fail(index, Kind::Refused, String::new(), now);
            return;
        };
        call.sessions += 1;
        let again = !call.uncertain && call.sessions < SESSIONS_PER_CALL;
        if again {
            (call.bound, call.met) = (None, None);
        }
        self.session_lost(bound.session);
        if again {
            self.requeue(index);
        } else {
            self.fail(index, Kind::Refused, String::new(), now);
        }
    }

    fn read_done(&mut self, index: usize, read: ReadDone, now: u64) {
        let ReadDone { position, staleness_ms, outcome } = read;
        match StoreOutcome::decode(copied(outcome)) {
            Ok(StoreOutcome(Ok(Reply::Ranged(page)))) => {
                let page = Page { page, position: position.into(), staleness_ms };
                self.finish(index, Ok(Answer::Read(page)), now);
            }
            Ok(StoreOutcome(Err(refusal))) => self.refused_in_log(index, refusal, now),
            Ok(StoreOutcome(Ok(_))) | Err(_) => {
                let detail = "the outcome is no page that this version knows".to_owned();
                self.fail_with(index, Kind::Unreadable, Outcome::NotApplied, detail, now);
            }
        }
    }

    fn query_done(&mut self, index: usize, done: QueryDone, now: u64) {
        match query::Answer::decode(copied(done.answer)) {
            Ok(Ok(answer)) => {
                let position = done.position.into();
                self.finish(index, Ok(Answer::Queried { answer, position }), now);
            }
            Ok(Err(refusal)) => self.refused_in_log(index, refusal, now),
            Err(_) => {
                let detail = "the answer is none that this version knows".to_owned();
                self.fail_with(index, Kind::Unreadable, Outcome::NotApplied, detail, now);
            }
        }
    }

    fn session_kept(&mut self, index: usize, at: u64, known: bool, now: u64) {
        let Some(&Payload::Keep { session }) = self.call_at(index).map(|call| &call.payload) else { return };
        self.finish(index, Ok(Answer::Done), now);
        if known {
            self.session_heard(SessionId(session), at);
        } else {
            self.session_lost(SessionId(session));
        }
    }

    /// A node did not take a copy on, or gave it up.
    fn refused(&mut self, index: usize, from: usize, at: u64, refused: &Refused, now: u64) {
        let code = Code::from_number(refused.code);
        let hint = self.follow(from, code, refused, now);
        let Some(Some(call)) = self.calls.get_mut(index) else { return };
        let what = What::Refused { code: refused.code, detail: refused.detail.to_string() };
        if let Some(endpoint) = self.endpoints.get(from) {
            call.note(&endpoint.address, endpoint.node, what, now.saturating_sub(at));
        }
        call.met = Some(Box::new(Met {
            code: refused.code,
            particulars: [refused.first, refused.second],
            detail: refused.detail.to_string(),
        }));
        if code == Some(Code::UnknownSession) {
            self.session_unknown(index, now);
            return;
        }
        call.uncertain |= refused.effect != Refused::NOT_APPLIED;
        call.avoid = Some(from);
        let again =
            call.may_repeat() && (is_passing(code, refused.code) || (call.is_write() && call.uncertain));
        if !again {
            self.fail(index, Kind::Refused, String::new(), now);
            return;
        }
        let redirected = hint.is_some() && call.redirects < REDIRECTS_MAX;
        if redirected {
            call.redirects += 1;
        } else {
            call.redirects = 0;
        }
        self.retry(index, refused.retry_after_ms.into(), redirected, now);
    }

    /// Takes a node at its word on who leads. The endpoint to ask instead, if it is another.
    fn follow(&mut self, from: usize, code: Option<Code>, refused: &Refused, now: u64) -> Option<usize> {
        let hint = refused.leader.as_ref().and_then(|hint| self.learn(hint)).filter(|hint| *hint != from);
        let resigned = matches!(
            code,
            Some(Code::NotLeader | Code::NoLeader | Code::LeadershipLost | Code::Starting | Code::Stopping)
        );
        if let Some(index) = hint {
            self.set_leader(hint);
            // A node that came back and was elected is not to be left alone for as long as it had been away.
            self.endpoints.get_mut(index).into_iter().for_each(|endpoint| endpoint.breaker.vouched(now));
        } else if resigned && self.leader == Some(from) {
            self.set_leader(None);
        }
        hint
    }
}

/// Whether what is in the way passes by itself, or at another node: the availability codes, those that later versions
/// add too, but not a position of another history.
pub(super) fn is_passing(code: Option<Code>, number: u16) -> bool {
    (1201..=1299).contains(&number) && !matches!(code, Some(Code::OtherEpoch | Code::OtherGroup))
}

/// What a write has done that the store refused with this code, if earlier copies of it are `uncertain`.
fn fate(code: Code, uncertain: bool) -> Outcome {
    match (code.effect(), code.is_of_copy()) {
        (Effect::Applied, _) => Outcome::Applied,
        (Effect::NotApplied, false) => Outcome::NotApplied,
        (Effect::NotApplied, true) if !uncertain => Outcome::NotApplied,
        // Both say of the copy at hand that it was not executed.
        (Effect::Unknown, _) if !uncertain && matches!(code, Code::UnknownSession | Code::StaleSequence) => {
            Outcome::NotApplied
        }
        (Effect::NotApplied | Effect::Unknown, _) => Outcome::Unknown,
    }
}

/// The bytes, in memory of their own if they are few.
pub(super) fn copied(bytes: Bytes) -> Bytes {
    // The reply to a put holds no bytes that could be kept.
    const NOTHING_TO_KEEP: usize = 32;
    if (NOTHING_TO_KEEP..=COPY_MAX).contains(&bytes.len()) { Bytes::copy_from_slice(&bytes) } else { bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_refusal_in_the_log_says_of_all_copies_holds_for_all_and_of_one_only_if_there_was_one() {
        for &code in Code::ALL {
            let (alone, among_others) = (fate(code, false), fate(code, true));
            assert!(!code.is_of_copy() || among_others == Outcome::Unknown, "{code}");
            assert!(code.is_of_copy() || alone == among_others, "{code}");
            match code.effect() {
                Effect::Applied => assert_eq!(alone, Outcome::Applied, "{code}"),
                Effect::NotApplied => assert_eq!(alone, Outcome::NotApplied, "{code}"),
                // These two say of the copy itself that it was not executed; the others do not.
                Effect::Unknown => {
                    let of_copy = matches!(code, Code::UnknownSession | Code::StaleSequence);
                    assert_eq!(alone == Outcome::NotApplied, of_copy, "{code}");
                }
            }
        }
    }

    #[test]
    fn availability_passes_and_a_position_of_another_history_does_not() {
        for &code in Code::ALL {
            let passes = is_passing(Some(code), code.number());
            let family = (1201..=1299).contains(&code.number());
            assert_eq!(passes, family && !matches!(code, Code::OtherEpoch | Code::OtherGroup), "{code}");
        }
        assert!(is_passing(None, 1299), "also what a later version adds");
        assert!(!is_passing(None, 1999));
    }
}
