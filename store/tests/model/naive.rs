//! The model: `docs/store.md` written down with maps that are copied and lists that are searched from end to end.
//!
//! It keeps the whole state of the keys after each revision, so that there is nothing to get wrong about history, and works
//! out everything else anew whenever it is asked. It shares no rule with the store; what it has in common with it are the
//! types of `command` and their bytes.
//!
//! One thing it cannot know: the bytes of a continuation, which are the store's own affair. It takes them over from the store's
//! answer ([`reads::adopt`]), remembers what they have to mean, and holds the store to that meaning when they come back.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use bytestring::ByteString;
use holdfast_command::audit::Touched;
use holdfast_command::namespaces::Rules;
use holdfast_command::{
    Actor, AuditRecord, Command, Envelope, FeatureLevel, Outcome, Refusal, Reply, Request, RequestKey,
    Setting, Settings,
};

use super::coordination::{self, Lease, Queue, Touch};
use super::keys::Work;
use super::reads::{self, Place};
use super::rules;

/// What a key is at some revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) value: Bytes,
    pub(crate) create_revision: u64,
    pub(crate) mod_revision: u64,
    pub(crate) version: u64,
    pub(crate) lease: i64,
    pub(crate) writer: Writer,
}

/// Who made a revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Writer {
    pub(crate) stamp: u64,
    pub(crate) actor: Actor,
    pub(crate) reason: ByteString,
}

pub(crate) type Keys = BTreeMap<Bytes, Item>;

/// A revision: who made it, which keys it changed, and all keys as they were behind it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Revision {
    pub(crate) writer: Writer,
    pub(crate) changed: Vec<Bytes>,
    pub(crate) keys: Keys,
}

/// Term and index.
pub(crate) type Position = (u64, u64);

/// An outcome that is remembered, or that there was one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) at: Position,
    pub(crate) kept: Option<Outcome>,
}

#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) actor: Actor,
    pub(crate) ttl: u64,
    pub(crate) deadline: u64,
    pub(crate) low: u64,
    pub(crate) answers: BTreeMap<u64, Answer>,
}

impl Session {
    pub(crate) fn reply_bytes(&self) -> u64 {
        bytes_kept(self.answers.values())
    }
}

/// An idempotency key.
#[derive(Clone, Debug)]
pub(crate) struct Remembered {
    pub(crate) request: [u8; 32],
    pub(crate) deadline: u64,
    pub(crate) answer: Answer,
}

pub(crate) fn bytes_kept<'a>(answers: impl Iterator<Item = &'a Answer>) -> u64 {
    answers.filter_map(|answer| answer.kept.as_ref()).map(|outcome| outcome.encode().len() as u64).sum()
}

/// What applying an entry comes to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answered {
    pub(crate) outcome: Outcome,
    pub(crate) at: Position,
    pub(crate) repeated: bool,
}

/// The node cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Halted;

#[derive(Clone, Debug)]
pub(crate) struct Naive {
    pub(crate) applied: Position,
    pub(crate) clock: u64,
    pub(crate) stamp: u64,
    pub(crate) level: FeatureLevel,
    pub(crate) settings: Settings,
    pub(crate) oldest: u64,
    /// One for each revision, from 0, which never was.
    pub(crate) revisions: Vec<Revision>,
    pub(crate) namespaces: BTreeMap<String, Rules>,
    /// The last session that was opened.
    pub(crate) opened: u64,
    pub(crate) sessions: BTreeMap<u64, Session>,
    pub(crate) remembered: BTreeMap<[u8; 32], Remembered>,
    pub(crate) leases: BTreeMap<i64, Lease>,
    /// The last number of a lease that was chosen.
    pub(crate) chosen: i64,
    /// Leases that have ended.
    pub(crate) ended: BTreeSet<i64>,
    /// All places in all queues, in the order in which they were taken.
    pub(crate) places_taken: Vec<coordination::Place>,
    /// When holder or value of a queue last changed.
    pub(crate) changed: BTreeMap<Queue, u64>,
    /// The last fencing token.
    pub(crate) token: u64,
    /// The digest, the ranges that ended, and what the entry under way adds.
    pub(crate) digest: [u8; 32],
    pub(crate) finished: Vec<(u64, [u8; 32])>,
    pub(crate) open_bytes: usize,
    pub(crate) effects: Vec<u8>,
    /// What the command under way touches, and the record that the last one left.
    pub(crate) things: Vec<Touched>,
    pub(crate) record: Option<AuditRecord>,
    /// What the last entry did to queues.
    pub(crate) touched: Vec<(Queue, Touch)>,
    /// What the continuations that the store gave have to mean.
    pub(crate) places: Vec<(Bytes, Place)>,
    /// Which of the finer points of the page it came across.
    pub(crate) marks: BTreeSet<&'static str>,
}

impl Naive {
    pub(crate) fn new() -> Self {
        Self {
            applied: (0, 0),
            clock: 0,
            stamp: 0,
            level: FeatureLevel(1),
            settings: Settings::default(),
            oldest: 1,
            revisions: vec![Revision::default(), Revision::default()],
            namespaces: BTreeMap::new(),
            opened: 0,
            sessions: BTreeMap::new(),
            remembered: BTreeMap::new(),
            leases: BTreeMap::new(),
            chosen: 0,
            ended: BTreeSet::new(),
            places_taken: Vec::new(),
            changed: BTreeMap::new(),
            token: 0,
            digest: [0; 32],
            finished: Vec::new(),
            open_bytes: 0,
            effects: Vec::new(),
            things: Vec::new(),
            record: None,
            touched: Vec::new(),
            places: Vec::new(),
            marks: BTreeSet::new(),
        }
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revisions.len() as u64 - 1
    }

    pub(crate) fn current(&self) -> &Keys {
        &self.revisions[self.revisions.len() - 1].keys
    }

    pub(crate) fn setting(&self, setting: Setting) -> u64 {
        self.settings.get(setting)
    }

    pub(crate) fn idempotency_reply_bytes(&self) -> u64 {
        bytes_kept(self.remembered.values().map(|remembered| &remembered.answer))
    }

    /// An entry without a command.
    pub(crate) fn skip(&mut self, at: Position) -> Result<(), Halted> {
        self.follow(at)?;
        self.effect(1, None, &[]);
        self.end_of_entry(0);
        Ok(())
    }

    fn follow(&mut self, at: Position) -> Result<(), Halted> {
        if at.1 != self.applied.1 + 1 {
            return Err(Halted);
        }
        self.applied = at;
        Ok(())
    }

    /// What becomes of an entry; `seen` is what the store said, and is looked at for the bytes of continuations only.
    pub(crate) fn apply(
        &mut self,
        at: Position,
        entry: &Bytes,
        seen: Option<&Outcome>,
    ) -> Result<Answered, Halted> {
        self.follow(at)?;
        self.touched.clear();
        self.record = None;
        let answered = self.answer(at, entry, seen)?;
        self.things.clear();
        self.effects_behind(&answered.outcome, answered.repeated);
        self.end_of_entry(entry.len());
        Ok(answered)
    }

    fn answer(&mut self, at: Position, entry: &Bytes, seen: Option<&Outcome>) -> Result<Answered, Halted> {
        let fresh = |outcome| Ok(Answered { outcome: Outcome(outcome), at, repeated: false });
        let (envelope, bytes) = match Envelope::split(entry) {
            Ok(parts) => parts,
            Err(_) => {
                self.marks.insert("unreadable envelope");
                return fresh(Err(Refusal::Malformed { offset: 0 }));
            }
        };
        self.advance(&envelope);
        let gate = rules::gate(&bytes, self.level);
        let gate = gate.and_then(|(request, not_after)| {
            rules::of_request_key(&request, &envelope.actor)?;
            Ok((request, not_after))
        });
        let (request, not_after) = match gate {
            Ok(passed) => passed,
            Err(refusal) => return fresh(Err(refusal)),
        };
        match self.recognise(&request.key, &envelope.actor) {
            Err(refusal) => return fresh(Err(refusal)),
            Ok(Some(Answer { at, kept })) => {
                let dropped = Outcome(Err(Refusal::AppliedReplyDropped { index: at.1 }));
                return Ok(Answered { outcome: kept.unwrap_or(dropped), at, repeated: true });
            }
            Ok(None) => {}
        }
        let settings = self.settings;
        if matches!(request.command, Command::ChangeSettings(_)) && request.key != RequestKey::None {
            self.marks.insert("settings changed under a request key");
        }
        let mut places = Vec::new();
        let late = not_after.filter(|not_after| self.clock > *not_after);
        let result = match (rules::limits(&request, bytes.len() as u64, &settings), late) {
            (Err(refusal), _) => {
                if request.key != RequestKey::None {
                    self.marks.insert("beyond the limits under a request key");
                }
                Err(refusal)
            }
            (Ok(()), Some(not_after)) => Err(Refusal::TooLate { clock: self.clock, not_after }),
            (Ok(()), None) => self.execute(&request, &envelope, &mut places)?,
        };
        if let Ok(reply) = &result {
            self.leave_record(&request, &envelope, reply);
        }
        let mut outcome = Outcome(result);
        if let (Ok(mine), Some(Outcome(Ok(seen)))) = (&mut outcome.0, seen) {
            reads::adopt(mine, seen, &places, &mut self.places);
        }
        self.keep(&request.key, Answer { at, kept: Some(outcome.clone()) }, &settings);
        fresh(outcome.0)
    }

    fn advance(&mut self, envelope: &Envelope) {
        if envelope.clock < self.clock {
            self.marks.insert("clock behind");
        } else if envelope.clock - self.clock > 2_000 {
            self.marks.insert("clock far ahead");
            self.clock += 2_000;
        } else {
            self.clock = envelope.clock;
        }
        if envelope.stamp < self.stamp {
            self.marks.insert("stamp behind");
        }
        self.stamp = self.stamp.max(envelope.stamp);
        self.effect(2, None, &[self.clock, self.stamp]);
        let (clock, sessions, keys) = (self.clock, self.sessions.len(), self.remembered.len());
        let over: Vec<u64> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.deadline <= clock)
            .map(|(id, _)| *id)
            .collect();
        for id in over {
            self.sessions.remove(&id);
            self.effect(9, None, &[id, 0]);
        }
        self.remembered.retain(|_, remembered| remembered.deadline > clock);
        if self.remembered.len() < keys {
            self.effect(10, None, &[(keys - self.remembered.len()) as u64]);
        }
        if self.sessions.len() < sessions {
            self.marks.insert("edge Expire");
        }
        if self.remembered.len() < keys {
            self.marks.insert("idempotency key expired");
        }
    }

    /// What is wrong with a request at admission; else the request. What the request key decides is not measured.
    pub(crate) fn admit(&self, bytes: &Bytes, actor: &Actor) -> Result<Request, Refusal> {
        let (request, _) = rules::gate(bytes, self.level)?;
        rules::of_request_key(&request, actor)?;
        let (sessions, remembered) = (self.sessions.clone(), self.remembered.clone());
        let mut copy = Self { sessions, remembered, settings: self.settings, ..Self::new() };
        let recognised = copy.recognise(&request.key, actor);
        // Nor what it refuses for good.
        if recognised == Ok(None) || recognised.is_err_and(|refusal| refusal.code().is_retryable()) {
            rules::limits(&request, bytes.len() as u64, &self.settings)?;
        }
        if let Command::RaiseFeatureLevel(raise) = &request.command
            && raise.level > FeatureLevel::LATEST
        {
            return Err(Refusal::LevelNotNext { level: self.level, asked: raise.level });
        }
        Ok(request)
    }

    /// Whether a request came before.
    fn recognise(&mut self, key: &RequestKey, actor: &Actor) -> Result<Option<Answer>, Refusal> {
        match *key {
            RequestKey::None => Ok(None),
            RequestKey::Session { session: id, sequence, low } => {
                let Some(session) = self.sessions.get_mut(&id.0).filter(|session| session.actor == *actor)
                else {
                    self.marks.insert("row Unknown");
                    return Err(Refusal::UnknownSession { session: id });
                };
                self.marks.insert("edge Renew");
                session.deadline = self.clock + session.ttl;
                let deadline = session.deadline;
                self.effect(9, None, &[id.0, deadline]);
                let session = self.sessions.get_mut(&id.0).expect("it is there");
                session.low = session.low.max(low);
                let low = session.low;
                let answers = session.answers.len();
                session.answers.retain(|sequence, _| *sequence >= low);
                if session.answers.len() < answers {
                    self.marks.insert("answers forgotten");
                }
                if sequence < low {
                    self.marks.insert("row Stale");
                    return Err(Refusal::StaleSequence { sequence, low });
                }
                let highest = u128::from(low) + u128::from(self.settings.get(Setting::SessionWindow)) - 1;
                if let Some(answer) = session.answers.get(&sequence) {
                    if u128::from(sequence) > highest {
                        self.marks.insert("repetition beyond the window");
                    }
                    self.marks.insert(match &answer.kept {
                        Some(_) => "row Repeat",
                        None => "row RepeatDropped",
                    });
                    if matches!(answer.kept, Some(Outcome(Err(_)))) {
                        self.marks.insert("refusal repeated in a session");
                    }
                    return Ok(Some(answer.clone()));
                }
                if let Ok(highest) = u64::try_from(highest)
                    && sequence > highest
                {
                    self.marks.insert("row WindowFull");
                    return Err(Refusal::WindowFull { sequence, highest });
                }
                self.marks.insert("row Execute");
                Ok(None)
            }
            RequestKey::Idempotency { key, request } => match self.remembered.get(&key) {
                Some(known) if known.request == request => {
                    self.marks.insert(match &known.answer.kept {
                        Some(Outcome(Ok(_))) => "reply repeated for an idempotency key",
                        Some(Outcome(Err(_))) => "refusal repeated for an idempotency key",
                        None => "answer dropped for an idempotency key",
                    });
                    Ok(Some(known.answer.clone()))
                }
                Some(known) => Err(Refusal::IdempotencyMismatch { index: known.answer.at.1 }),
                None => {
                    let limit = self.setting(Setting::IdempotencyKeys);
                    if self.remembered.len() as u64 >= limit {
                        return Err(Refusal::TooManyIdempotencyKeys { limit });
                    }
                    Ok(None)
                }
            },
        }
    }

    /// Remembers an answer under its request key, by the settings from before the command.
    fn keep(&mut self, key: &RequestKey, mut answer: Answer, settings: &Settings) {
        let bytes = bytes_kept([&answer].into_iter());
        let refused = matches!(answer.kept, Some(Outcome(Err(_))));
        match *key {
            RequestKey::None => {}
            RequestKey::Session { session, sequence, .. } => {
                let all: u64 = self.sessions.values().map(Session::reply_bytes).sum();
                match self.sessions.get_mut(&session.0) {
                    None => {
                        self.marks.insert("session closed by its own request");
                    }
                    Some(session) => {
                        let over_own =
                            session.reply_bytes() + bytes > settings.get(Setting::SessionReplyBytes);
                        let over_all = all + bytes > settings.get(Setting::AllSessionsReplyBytes);
                        if refused && (over_own || over_all) {
                            self.marks.insert("refusal kept without room for it");
                        }
                        if !refused && over_all && !over_own {
                            self.marks.insert("answer dropped for want of room for all sessions");
                        }
                        if !refused && (over_own || over_all) {
                            answer.kept = None;
                        }
                        session.answers.insert(sequence, answer);
                    }
                }
            }
            RequestKey::Idempotency { key, request } => {
                let most = settings.get(Setting::IdempotencyReplyBytes);
                if !refused && self.idempotency_reply_bytes() + bytes > most {
                    answer.kept = None;
                }
                let deadline = self.clock + settings.get(Setting::IdempotencyTtl);
                self.remembered.insert(key, Remembered { request, deadline, answer });
            }
        }
    }

    fn execute(
        &mut self,
        request: &Request,
        envelope: &Envelope,
        places: &mut Vec<Place>,
    ) -> Result<Result<Reply, Refusal>, Halted> {
        let writer =
            Writer { stamp: self.stamp, actor: envelope.actor.clone(), reason: request.reason.clone() };
        let mut work = Work::new(self, writer);
        let reply = match &request.command {
            Command::Put(put) => work.put(put),
            Command::Delete(delete) => work.delete(delete),
            Command::Restore(restore) => work.restore(restore),
            Command::Transact(transaction) => {
                work.decide(transaction).and_then(|decision| work.transact(transaction, &decision))
            }
            Command::Compact(compact) => return Ok(self.compact(*compact)),
            Command::SetNamespace(set) => return Ok(self.set_namespace(set)),
            Command::DeleteNamespace(delete) => return Ok(self.delete_namespace(delete)),
            Command::ChangeSettings(change) => return Ok(self.change_settings(change)),
            Command::RaiseFeatureLevel(raise) => return self.raise(*raise),
            Command::OpenSession(open) => return Ok(self.open(*open, &envelope.actor)),
            Command::KeepSessions(keep) => return Ok(self.keep_sessions(keep)),
            Command::CloseSession(close) => return Ok(self.close(*close, &envelope.actor)),
            Command::Tick => return Ok(Ok(Reply::Ticked)),
            Command::GrantLease(grant) => return Ok(self.grant(*grant, &envelope.actor)),
            Command::RenewLeases(renew) => return Ok(self.renew(renew)),
            Command::RevokeLease(revoke) => {
                let writer = work.writer;
                return Ok(self.revoke(*revoke, writer));
            }
            Command::ExpireLease(expire) => {
                let writer = work.writer;
                return Ok(self.expire(*expire, writer));
            }
            Command::Acquire(acquire) => return Ok(self.acquire(acquire, &envelope.actor)),
            Command::Release(release) => return Ok(self.release(release, &envelope.actor)),
            Command::Campaign(campaign) => return Ok(self.campaign(campaign, &envelope.actor)),
            Command::Proclaim(proclaim) => return Ok(self.proclaim(proclaim, &envelope.actor)),
            Command::Resign(resign) => return Ok(self.resign(resign, &envelope.actor)),
        };
        let reply = reply.and_then(|reply| {
            work.quotas()?;
            work.leases()?;
            Ok(reply)
        });
        let Work { keys, changed, writer, places: made, marks, .. } = work;
        self.marks.extend(marks);
        if reply.is_ok() {
            *places = made;
            if !changed.is_empty() {
                let before = self.current().clone();
                self.revisions.push(Revision { writer, changed: changed.clone(), keys: keys.clone() });
                self.effects_on_keys(&changed, &before, &keys);
            }
        }
        Ok(reply)
    }
}
