//! Client sessions: a request that comes twice happens once.
//!
//! # Why
//! A client that loses its connection cannot know whether its last write was executed. It sends it again, to another
//! node, after an election. So every request carries a number within a session, and the replicated state remembers the
//! answer to each number that the client may still ask about. What is remembered has to be the same on every node, and
//! has to have a bound: the client says below which number it waits for nothing any more, and the settings say how far
//! ahead it may be.
//!
//! # Expiry
//! A session whose client is gone would be kept for ever. It ends when the cluster clock, which stands still without a
//! leader and is carried by the entries, reaches its deadline: at the same entry on every node. From then on its number
//! is unknown, and an unknown session is an error and never a reason to execute something.
//!
//! # Timers
//! A renewal moves a deadline with each request. To keep the deadlines in order would cost a step through a tree per
//! request; so a session stands in the order at the deadline that it had when it was last looked at, and is put back
//! when it is found there and lives on.

mod machine;
mod portable;
mod request;

use std::collections::VecDeque;

use bytes::Bytes;
use bytestring::ByteString;
use holdfast_command::audit::TouchedKind;
use holdfast_command::sessions::{CloseSession, KeepSessions, OpenSession};
use holdfast_command::{Actor, Outcome, Refusal, Reply, SessionId, Setting, Settings};
use holdfast_machine::{Machine, Numbered};
use imbl::{OrdMap, OrdSet};
pub use machine::{Edge, Event, SessionMachine, State as SessionState};
pub use request::{Answered, Facts, Row, decide};
use triomphe::Arc;

use crate::plant::{Bug, Plant};
use crate::state::{Execute, State};
use crate::store::LogPosition;
use crate::trail::{Effect, Trail};
use crate::version::Origin;

/// Each millisecond has so many bits of session numbers to itself.
const NUMBERS_PER_MS_BITS: u32 = 10;

/// Room for answers that a session without any keeps.
const ANSWERS_KEPT: usize = 16;

/// The window of planted bug 5.
const WINDOW_OF_NODE: u64 = 2;

/// What was answered to a request, and where it was executed.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) at: LogPosition,
    /// The encoded outcome; none if it was too long to keep.
    pub(crate) outcome: Option<Bytes>,
}

impl Answer {
    /// The answer again.
    pub(crate) fn repeat(&self) -> Recognised {
        let dropped = Outcome(Err(Refusal::AppliedReplyDropped { index: self.at.index }));
        let outcome = match &self.outcome {
            None => dropped,
            // It was encoded by this crate.
            Some(bytes) => Outcome::decode(bytes.clone()).unwrap_or(dropped),
        };
        Recognised::Before(outcome, self.at)
    }

    /// Bytes that are kept of it.
    pub(crate) fn bytes(&self) -> u64 {
        self.outcome.as_ref().map_or(0, |outcome| outcome.len() as u64)
    }
}

/// An answer that is being given.
#[derive(Debug)]
pub(crate) struct Given<'a> {
    pub(crate) at: LogPosition,
    pub(crate) refused: bool,
    pub(crate) encoded: &'a [u8],
}

impl Given<'_> {
    /// As much of it as may be kept where there is room for so many bytes. A refusal always is: it is short, and one that
    /// were dropped would look like something that was executed.
    pub(crate) fn keep(&self, room: u64) -> Answer {
        let fits = self.encoded.len() as u64 <= room;
        Answer { at: self.at, outcome: (self.refused || fits).then(|| Bytes::copy_from_slice(self.encoded)) }
    }
}

/// What a request key says of a request.
#[derive(Debug)]
pub(crate) enum Recognised {
    /// It is to be executed.
    New,
    /// It was executed there, to this outcome.
    Before(Outcome, LogPosition),
    /// It is not to be executed.
    Refused(Refusal),
}

/// A client session.
#[derive(Clone, Debug)]
pub struct Session {
    actor: Actor,
    ttl_ms: u64,
    deadline: u64,
    /// When it is to be looked at: where it stands among the timers.
    due: u64,
    low: u64,
    state: SessionState,
    /// By sequence, ascending, none below `low`.
    answers: VecDeque<(u64, Answer)>,
    reply_bytes: u64,
}

impl Session {
    /// Who opened it.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// How long it lives after its client was last heard, in milliseconds of the cluster clock.
    #[must_use]
    pub fn ttl_ms(&self) -> u64 {
        self.ttl_ms
    }

    /// When it ends, on the cluster clock.
    #[must_use]
    pub fn deadline(&self) -> u64 {
        self.deadline
    }

    /// The lowest sequence that its client waits for, as far as it has said; 1 at first.
    #[must_use]
    pub fn low(&self) -> u64 {
        self.low
    }

    /// The sequences that were answered and are not below `low`, ascending.
    pub fn answered(&self) -> impl Iterator<Item = u64> {
        self.answers.iter().map(|(sequence, _)| *sequence)
    }

    /// Bytes of the answers that are kept.
    #[must_use]
    pub fn reply_bytes(&self) -> u64 {
        self.reply_bytes
    }

    fn answer(&self, sequence: u64) -> Option<&Answer> {
        let at = self.answers.binary_search_by_key(&sequence, |(sequence, _)| *sequence).ok()?;
        self.answers.get(at).map(|(_, answer)| answer)
    }

    /// Forgets answers below the higher of the two lows, and says how many bytes they had.
    fn forget_below(&mut self, low: u64) -> u64 {
        let before = self.reply_bytes;
        self.low = self.low.max(low);
        while let Some((_, answer)) = self.answers.pop_front_if(|(sequence, _)| *sequence < self.low) {
            self.reply_bytes -= answer.bytes();
        }
        if self.answers.is_empty() {
            self.answers.shrink_to(ANSWERS_KEPT);
        }
        before - self.reply_bytes
    }

    /// The edge that is taken. A session that it ends is taken out by whoever asks, so only a renewal is written into
    /// it.
    fn edge(&self, event: Event) -> Option<Edge> {
        holdfast_machine::decide::<SessionMachine>(self.state, event)
    }

    /// Its client was heard.
    fn renew(&mut self, clock: u64) -> Option<Edge> {
        let edge = self.edge(Event::ClientHeard)?;
        self.deadline = clock.saturating_add(self.ttl_ms);
        self.state = SessionMachine::target(edge);
        Some(edge)
    }
}

/// All sessions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sessions {
    all: OrdMap<SessionId, Arc<Session>>,
    /// When each is to be looked at: at its deadline or before.
    due: OrdSet<(u64, SessionId)>,
    /// The last number given away.
    last: u64,
    /// Bytes of the answers that are kept.
    reply_bytes: u64,
    /// How often each edge was taken.
    edges: [u64; Edge::ALL.len()],
}

impl Sessions {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        self.all.iter().map(|(id, session)| (*id, &**session))
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Bytes of the answers that are kept for all of them.
    pub(crate) fn reply_bytes(&self) -> u64 {
        self.reply_bytes
    }

    pub(crate) fn edge_count(&self, edge: Edge) -> u64 {
        self.edges.get(edge.position()).copied().unwrap_or_default()
    }

    fn count(&mut self, edge: Option<Edge>) {
        if let Some(place) = edge.and_then(|edge| self.edges.get_mut(edge.position())) {
            *place += 1;
        }
    }

    /// A session of this actor.
    fn own(&mut self, id: SessionId, actor: &Actor) -> Option<&mut Session> {
        let session = self.all.get_mut(&id)?;
        // Looked at before it is made writable: whoever is refused costs no copy.
        if session.actor == *actor { Some(Arc::make_mut(session)) } else { None }
    }

    /// Its client was heard. False if there is no such session of this actor.
    fn hear(&mut self, id: SessionId, actor: &Actor, clock: u64, trail: &mut Trail) -> bool {
        let Some(session) = self.own(id, actor) else { return false };
        let edge = session.renew(clock);
        trail.note(Effect::Session, &[id.0, session.deadline]);
        self.count(edge);
        true
    }

    /// Ends sessions whose deadline the clock has reached, and gives them back by number: in which order they come up
    /// depends on when each was last looked at.
    pub(crate) fn expire(&mut self, clock: u64) -> Vec<SessionId> {
        let mut ended = Vec::new();
        while let Some(&(due, id)) = self.due.get_min()
            && due <= clock
        {
            self.due.remove(&(due, id));
            let Some(session) = self.all.get_mut(&id) else { continue };
            if session.deadline > clock {
                let session = Arc::make_mut(session);
                session.due = session.deadline;
                self.due.insert((session.due, id));
                continue;
            }
            let (edge, kept) = (session.edge(Event::DeadlinePassed), session.reply_bytes);
            self.count(edge);
            self.reply_bytes -= kept;
            self.all.remove(&id);
            ended.push(id);
        }
        ended.sort_unstable();
        ended
    }

    /// Whether a request of this actor would be new, and not answered or refused by its session. (Its window is not
    /// looked at.)
    pub(crate) fn is_new(&self, id: SessionId, sequence: u64, actor: &Actor) -> bool {
        let session = self.all.get(&id).filter(|session| session.actor == *actor);
        session.is_some_and(|session| sequence >= session.low && session.answer(sequence).is_none())
    }

    /// Whether a request is to be executed. Its client was heard, and waits for nothing below its low.
    pub(crate) fn recognise<P: Plant>(
        &mut self,
        (id, sequence, low): (SessionId, u64, u64),
        actor: &Actor,
        (clock, settings): (u64, &Settings),
        trail: &mut Trail,
    ) -> Recognised {
        let window = match settings.get(Setting::SessionWindow) {
            _ if P::plants(Bug::CapFromNode) => WINDOW_OF_NODE,
            window => window,
        };
        let unknown = Recognised::Refused(Refusal::UnknownSession { session: id });
        let Some(session) = self.own(id, actor) else { return unknown };
        let edge = session.renew(clock);
        trail.note(Effect::Session, &[id.0, session.deadline]);
        let forgotten = session.forget_below(low);
        let answer = session.answer(sequence);
        let highest = session.low.saturating_add(window - 1);
        let row = decide(Facts {
            exists: true,
            own: true,
            below_low: sequence < session.low && !P::plants(Bug::StaleReexecuted),
            answered: match answer {
                None => Answered::No,
                Some(Answer { outcome: None, .. }) => Answered::Dropped,
                Some(Answer { outcome: Some(_), .. }) => Answered::Kept,
            },
            beyond_window: sequence > highest,
        });
        let recognised = match row {
            Row::Unknown => unknown,
            Row::Stale => Recognised::Refused(Refusal::StaleSequence { sequence, low: session.low }),
            Row::Repeat | Row::RepeatDropped => answer.map_or(Recognised::New, Answer::repeat),
            Row::WindowFull => Recognised::Refused(Refusal::WindowFull { sequence, highest }),
            Row::Execute => Recognised::New,
        };
        self.count(edge);
        self.reply_bytes -= forgotten;
        recognised
    }

    /// Keeps what was answered, if the session is still there, as far as it has room for it.
    pub(crate) fn remember(
        &mut self,
        (id, sequence): (SessionId, u64),
        given: &Given<'_>,
        settings: &Settings,
    ) {
        let Some(session) = self.all.get_mut(&id).map(Arc::make_mut) else { return };
        let Err(place) = session.answers.binary_search_by_key(&sequence, |(sequence, _)| *sequence) else {
            return;
        };
        // As much as there is room for, in the session and in all of them.
        let room = |limit, kept: u64| settings.get(limit).saturating_sub(kept);
        let own = room(Setting::SessionReplyBytes, session.reply_bytes);
        let answer = given.keep(own.min(room(Setting::AllSessionsReplyBytes, self.reply_bytes)));
        session.reply_bytes += answer.bytes();
        self.reply_bytes += answer.bytes();
        session.answers.insert(place, (sequence, answer));
    }
}

impl Execute for OpenSession {
    fn execute<P: Plant>(&self, state: &mut State, origin: Origin<'_>) -> Result<Reply, Refusal> {
        let State { sessions, settings, clock, trail, .. } = state;
        let ttl_ms = self.ttl_ms;
        for (bound_ms, misses) in [
            (settings.get(Setting::SessionTtlMin), ttl_ms < settings.get(Setting::SessionTtlMin)),
            (settings.get(Setting::SessionTtlMax), ttl_ms > settings.get(Setting::SessionTtlMax)),
        ] {
            if misses {
                return Err(Refusal::TtlOutOfRange { ttl_ms, bound_ms });
            }
        }
        let limit = settings.get(Setting::Sessions);
        if sessions.len() as u64 >= limit {
            return Err(Refusal::TooManySessions { limit });
        }
        // Ascending, and others in another cluster, or in this one after it was restored from a backup: a client that
        // brings the number of a session there must not be taken for somebody else's. Below 2^53 for two centuries, so
        // that JSON keeps it exact.
        sessions.last = (sessions.last + 1).max(origin.stamp.millis().get() << NUMBERS_PER_MS_BITS);
        let session = SessionId(sessions.last);
        let deadline = clock.saturating_add(ttl_ms);
        // The name is kept as long as the session; a slice of the entry would pin all of it.
        let actor = match origin.actor {
            Actor::Named(name) => Actor::Named(ByteString::from(&**name)),
            Actor::Anonymous => Actor::Anonymous,
            Actor::Cluster => Actor::Cluster,
        };
        let answers = VecDeque::new();
        let state = SessionMachine::INITIAL;
        let new = Session { actor, ttl_ms, deadline, due: deadline, low: 1, state, answers, reply_bytes: 0 };
        sessions.all.insert(session, Arc::new(new));
        sessions.due.insert((deadline, session));
        trail.note(Effect::Session, &[session.0, deadline]);
        trail.touch_number(TouchedKind::Session, session.0, 0, false);
        Ok(Reply::SessionOpened { session })
    }
}

impl Execute for KeepSessions {
    fn execute<P: Plant>(&self, state: &mut State, _: Origin<'_>) -> Result<Reply, Refusal> {
        let State { sessions, clock, trail, .. } = state;
        let unknown = self.kept.iter().filter(|kept| {
            let heard = sessions.hear(kept.session, &kept.actor, *clock, trail);
            !heard
        });
        Ok(Reply::SessionsKept { unknown: unknown.map(|kept| kept.session).collect() })
    }
}

impl Execute for CloseSession {
    fn execute<P: Plant>(&self, state: &mut State, origin: Origin<'_>) -> Result<Reply, Refusal> {
        let unknown = Refusal::UnknownSession { session: self.session };
        let session = state.sessions.own(self.session, origin.actor).ok_or(unknown)?;
        let (edge, due, kept) = (session.edge(Event::CloseAsked), session.due, session.reply_bytes);
        state.sessions.count(edge);
        state.sessions.reply_bytes -= kept;
        state.sessions.due.remove(&(due, self.session));
        state.sessions.all.remove(&self.session);
        state.trail.note(Effect::Session, &[self.session.0, 0]);
        state.trail.touch_number(TouchedKind::Session, self.session.0, 0, true);
        Ok(Reply::SessionClosed)
    }
}
