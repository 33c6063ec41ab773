//! Watches: one stream per watch that goes on behind whatever happens to nodes and connections.
//!
//! # How it goes on
//! A watch knows the revision that it has to get next: it rises with each revision that was handed over whole, and with
//! each mark of the node. When its connection ends, or the node ends it, it is opened anew from there, at another endpoint
//! if there is one. A node that is behind delivers nothing below that revision, so it does not matter which it is.
//!
//! # A slow reader
//! What has come and was not taken waits here, up to a bound per watch. Beyond, the watch is cancelled at the node, and what
//! is still on its way is dropped; when half of the buffer was taken it is opened anew behind what is there. So a reader that
//! stops costs the bound and no more, and holds up neither the other watches nor the calls of this client, which share the
//! connection.

use std::collections::VecDeque;

use bytes::Bytes;
use holdfast_command::keys::Span;
use holdfast_command::{Code, Refusal, WatchEvent};
use holdfast_machine::Numbered;
use holdfast_wire::connection::SendError;
use holdfast_wire::message::{
    Refused, Watch as WatchMessage, WatchCancel, WatchEnded, WatchEvents, WatchProgress,
};
use holdfast_wire::{CallId, Message};

use super::answers::{copied, is_passing};
use super::endpoint::{Endpoint, LinkId};
use super::{Core, PLACE_BITS, backoff, call};
use crate::{Error, Failure, Kind, Outcome, Position};

/// What a buffered event counts beside its bytes.
const NOTICE_BYTES: usize = 64;

/// Names a watch of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId(u64);

/// What is to be watched, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchAsk {
    /// Which keys.
    pub span: Span,
    /// From which revision on; 0 for what comes next at the member that is asked.
    pub from: u64,
    /// With what the keys were before.
    pub previous: bool,
    /// With writes.
    pub puts: bool,
    /// With deletions.
    pub deletes: bool,
    /// Hand over how far the watch is, too.
    pub progress: bool,
    /// What the member has to have applied before the watch begins.
    pub min_position: Option<Position>,
    /// How many bytes of events may wait to be taken. One revision may be longer.
    pub buffer_bytes: usize,
}

/// All changes of one revision in the span of a watch, as it filters them. Never a part of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The revision.
    pub revision: u64,
    /// One for each key that it has changed.
    pub events: Vec<WatchEvent>,
}

/// What a watch hands over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A revision.
    Changes(Changes),
    /// Everything up to and with this revision has been handed over.
    Progress(u64),
}

/// Where a watch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// To be opened as soon as an endpoint can be asked.
    Ready,
    /// To be opened, but not before.
    Waiting { until: u64 },
    /// Asked for there.
    Asked { endpoint: usize, number: u64, wire: u64 },
    /// Open there.
    Open { endpoint: usize, number: u64, wire: u64 },
    /// Not wanted for now: the buffer is full.
    Paused,
    /// It has ended.
    Over,
}

/// One watch.
#[derive(Debug)]
pub(super) struct Watch {
    ask: WatchAsk,
    stage: Stage,
    /// The revision that it has to get next; 0 as long as nobody has said where it begins.
    next: u64,
    /// What has come of a revision that is not whole.
    partial: Vec<WatchEvent>,
    buffer: VecDeque<(Notice, usize)>,
    bytes: usize,
    tries: u32,
    avoid: Option<usize>,
    /// Why it has ended.
    error: Option<Error>,
}

impl Watch {
    pub(super) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    fn failure(&self, kind: Kind, code: u16, refusal: Option<Refusal>, detail: &str) -> Error {
        Failure {
            kind,
            outcome: Outcome::NotApplied,
            code: Code::from_number(code),
            code_number: code,
            refusal,
            operation: format!("watch {}", call::span(&self.ask.span)),
            write: false,
            detail: detail.to_owned(),
            tried: Vec::new(),
            tried_before: 0,
            elapsed_ms: 0,
        }
        .into()
    }
}

impl<W> Core<W> {
    /// Begins a watch. That there is something to take is told by [`next_news`](Self::next_news).
    pub fn watch(&mut self, ask: WatchAsk, now: u64) -> WatchId {
        self.last_watch += 1;
        let id = self.last_watch;
        let next = ask.from;
        let watch = Watch {
            ask,
            stage: Stage::Ready,
            next,
            partial: Vec::new(),
            buffer: VecDeque::new(),
            bytes: 0,
            tries: 0,
            avoid: None,
            error: None,
        };
        self.watches.insert(id, watch);
        if self.life == super::Life::Open {
            self.ready_watches.insert(id);
            self.advance(now);
        } else {
            self.end_watch(id, Kind::Closed, 0, None, "");
        }
        WatchId(id)
    }

    /// The next of a watch, in the order of revisions; `None` if nothing has come. Its end comes again and again.
    pub fn next_notice(&mut self, id: WatchId, now: u64) -> Option<Result<Notice, Error>> {
        let watch = self.watches.get_mut(&id.0)?;
        let Some((notice, bytes)) = watch.buffer.pop_front() else {
            return watch.error.clone().map(Err);
        };
        watch.bytes -= bytes;
        if watch.stage == Stage::Paused && watch.bytes <= watch.ask.buffer_bytes / 2 {
            watch.stage = Stage::Ready;
            self.ready_watches.insert(id.0);
            self.advance(now);
        }
        Some(Ok(notice))
    }

    /// The revision that a watch has to get next, all below having come; 0 as long as nobody has said where it begins.
    #[must_use]
    pub fn watch_next(&self, id: WatchId) -> u64 {
        self.watches.get(&id.0).map_or(0, |watch| watch.next)
    }

    /// Nobody wants a watch any more.
    pub fn unwatch(&mut self, id: WatchId) {
        self.take_off(id.0, true);
        if let Some(watch) = self.watches.remove(&id.0) {
            self.forget_stage(id.0, watch.stage);
        }
    }

    /// A watch for which something has come, or that has ended; `None` if there is none that was not told.
    pub fn next_news(&mut self) -> Option<WatchId> {
        self.news.pop_front().map(WatchId)
    }

    fn forget_stage(&mut self, id: u64, stage: Stage) {
        self.ready_watches.remove(&id);
        if let Stage::Waiting { until } = stage {
            self.watch_waits.remove(&(until, id));
        }
    }

    /// Whether any watch is to be kept open.
    pub(super) fn wants_watches(&self) -> bool {
        self.watches.values().any(|watch| !watch.is_over())
    }

    /// Ends all watches: the client is closed.
    pub(super) fn end_watches(&mut self) {
        let all: Vec<u64> = self.watches.keys().copied().collect();
        for id in all {
            self.end_watch(id, Kind::Closed, 0, None, "");
        }
    }

    fn end_watch(&mut self, id: u64, kind: Kind, code: u16, refusal: Option<Refusal>, detail: &str) {
        self.take_off(id, false);
        let Some(watch) = self.watches.get_mut(&id) else { return };
        if watch.is_over() {
            return;
        }
        watch.error = Some(watch.failure(kind, code, refusal, detail));
        watch.partial = Vec::new();
        let stage = std::mem::replace(&mut watch.stage, Stage::Over);
        self.forget_stage(id, stage);
        self.news.push_back(id);
    }

    /// A watch belongs to its connection no more; with a word to the node, if that still has it.
    fn take_off(&mut self, id: u64, tell: bool) {
        let Some(watch) = self.watches.get_mut(&id) else { return };
        let (Stage::Asked { endpoint, number, wire } | Stage::Open { endpoint, number, wire }) = watch.stage
        else {
            return;
        };
        watch.partial.clear();
        watch.stage = Stage::Ready;
        self.watch_calls.remove(&wire);
        let Some(up) = self.endpoints.get_mut(endpoint).and_then(Endpoint::up) else { return };
        if up.number != number {
            return;
        }
        up.watches = up.watches.saturating_sub(1);
        if tell {
            let cancel = Message::from(WatchCancel {});
            // Should it not go out, what the node goes on to send finds nobody here.
            if up.wire.send(cancel.header().for_call(CallId(wire)), &cancel).is_ok() {
                self.flush(endpoint);
            }
        }
    }

    /// Opens what is to be opened.
    pub(super) fn dispatch_watches(&mut self, now: u64) {
        while let Some(&(at, id)) = self.watch_waits.first()
            && at <= now
        {
            self.watch_waits.pop_first();
            if let Some(watch) = self.watches.get_mut(&id) {
                watch.stage = Stage::Ready;
                self.ready_watches.insert(id);
            }
        }
        for id in self.ready_watches.clone() {
            let Some(watch) = self.watches.get(&id) else { continue };
            let Some(endpoint) = self.any_usable(watch.avoid) else { return };
            self.open_watch(id, endpoint, now);
        }
    }

    fn open_watch(&mut self, id: u64, endpoint: usize, now: u64) {
        let Some(watch) = self.watches.get_mut(&id) else { return };
        let Some(up) = self.endpoints.get_mut(endpoint).and_then(Endpoint::up) else { return };
        let WatchAsk { span, previous, puts, deletes, min_position, .. } = &watch.ask;
        let flag = |is_set: bool, flag| if is_set { flag } else { 0 };
        // The marks are for us: with them a quiet watch goes on from where it is, and not from where it was.
        let flags = WatchMessage::PROGRESS
            | flag(*previous, WatchMessage::PREVIOUS)
            | flag(!*puts, WatchMessage::NO_PUTS)
            | flag(!*deletes, WatchMessage::NO_DELETES);
        let mut bytes = Vec::new();
        span.write(&mut bytes);
        let min_position = min_position.map(Into::into);
        let message =
            Message::from(WatchMessage { from: watch.next, flags, min_position, span: bytes.into() });
        // The place of no call.
        let wire = (self.copies + 1) << PLACE_BITS | ((1 << PLACE_BITS) - 1);
        match up.wire.send(message.header().for_call(CallId(wire)), &message) {
            Ok(()) => {
                self.copies += 1;
                if !up.owes() {
                    (up.quiet_since, up.pinged) = (now, false);
                }
                up.watches += 1;
                watch.stage = Stage::Asked { endpoint, number: up.number, wire };
                self.ready_watches.remove(&id);
                self.watch_calls.insert(wire, id);
                self.flush(endpoint);
            }
            Err(SendError::Full { .. } | SendError::NotOpen { .. }) => up.full = true,
            Err(error @ (SendError::NotOurs { .. } | SendError::Unencodable(_))) => {
                self.end_watch(id, Kind::Invalid, 0, None, &error.to_string());
            }
        }
    }

    /// Opens a watch again: at once, or after a wait that grows.
    fn reopen_watch(&mut self, id: u64, avoid: usize, least_ms: Option<u64>, now: u64) {
        self.take_off(id, false);
        let Some(watch) = self.watches.get_mut(&id) else { return };
        watch.avoid = Some(avoid);
        let Some(least_ms) = least_ms else {
            watch.stage = Stage::Ready;
            self.ready_watches.insert(id);
            return;
        };
        let wait = backoff::retry(watch.tries, &mut self.rng).max(least_ms).max(1);
        watch.tries = watch.tries.saturating_add(1);
        let until = now.saturating_add(wait);
        watch.stage = Stage::Waiting { until };
        self.watch_waits.insert((until, id));
    }

    /// The connection of an endpoint has ended, and all watches on it go on elsewhere.
    pub(super) fn watches_lost(&mut self, lost: usize, now: u64) {
        let on_it = |watch: &Watch| matches!(watch.stage, Stage::Asked { endpoint, .. } | Stage::Open { endpoint, .. } if endpoint == lost);
        let gone: Vec<u64> =
            self.watches.iter().filter(|(_, watch)| on_it(watch)).map(|(id, _)| *id).collect();
        for id in gone {
            self.reopen_watch(id, lost, None, now);
        }
    }

    /// Something came under the call of a watch. Says what makes no sense about it, if it does not.
    pub(super) fn watch_heard(
        &mut self,
        link: LinkId,
        id: u64,
        message: Message,
        now: u64,
    ) -> Result<(), &'static str> {
        let Some(watch) = self.watches.get_mut(&id) else { return Ok(()) };
        let is_open = matches!(watch.stage, Stage::Open { .. });
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "whatever else there is does not belong to a watch"
        )]
        match message {
            Message::WatchStarted(started) if !is_open => {
                if let Stage::Asked { endpoint, number, wire } = watch.stage {
                    watch.stage = Stage::Open { endpoint, number, wire };
                }
                if started.from == 0 || (watch.next > 0 && started.from != watch.next) {
                    return Err("a watch that begins elsewhere than it was to");
                }
                watch.next = started.from;
                watch.tries = 0;
                self.answered(link.endpoint, now);
                Ok(())
            }
            Message::Refused(refused) if !is_open => {
                self.answered(link.endpoint, now);
                self.watch_refused(id, link.endpoint, &refused, now);
                Ok(())
            }
            Message::WatchEvents(events) if is_open => self.watch_events(id, events),
            Message::WatchProgress(WatchProgress { revision }) if is_open => {
                if !watch.partial.is_empty() {
                    return Err("a mark within a revision");
                }
                watch.next = watch.next.max(revision.saturating_add(1));
                if watch.ask.progress {
                    watch.buffer.pop_back_if(|(last, _)| matches!(last, Notice::Progress(_)));
                    watch.buffer.push_back((Notice::Progress(revision), 0));
                    self.news.push_back(id);
                }
                Ok(())
            }
            Message::WatchEnded(ended) if is_open => {
                self.watch_ended(id, link.endpoint, ended, now);
                Ok(())
            }
            _ => Err("an answer of another kind than the watch"),
        }
    }

    fn watch_refused(&mut self, id: u64, from: usize, refused: &Refused, now: u64) {
        let code = Code::from_number(refused.code);
        if is_passing(code, refused.code) {
            self.reopen_watch(id, from, Some(refused.retry_after_ms.into()), now);
        } else {
            let refusal = code.and_then(|code| Refusal::from_parts(code, [refused.first, refused.second]));
            self.end_watch(id, Kind::Refused, refused.code, refusal, &refused.detail);
        }
    }

    fn watch_ended(&mut self, id: u64, from: usize, ended: WatchEnded, now: u64) {
        let WatchEnded { code: number, resume, oldest } = ended;
        let Some(watch) = self.watches.get_mut(&id) else { return };
        watch.next = watch.next.max(resume);
        let asked = watch.next;
        let code = Code::from_number(number);
        if number == 0 || is_passing(code, number) {
            self.reopen_watch(id, from, Some(0), now);
            return;
        }
        let refusal = code.and_then(|code| Refusal::from_parts(code, [asked, oldest]));
        self.end_watch(id, Kind::Refused, number, refusal, "");
    }

    /// Events have come: what is whole is handed over.
    fn watch_events(&mut self, id: u64, events: WatchEvents) -> Result<(), &'static str> {
        let Some(watch) = self.watches.get_mut(&id) else { return Ok(()) };
        let WatchEvents { continues, more, events } = events;
        if !continues {
            // What came of it before is void, and comes anew.
            watch.partial.clear();
        } else if watch.partial.is_empty() {
            return Err("the rest of a revision that has no beginning");
        }
        let mut open = std::mem::take(&mut watch.partial);
        for bytes in events {
            let event = decode(bytes)?;
            if open.first().is_some_and(|first| first.revision() != event.revision()) {
                hand_over(watch, std::mem::take(&mut open))?;
            }
            open.push(event);
        }
        if more {
            watch.partial = open;
        } else if !open.is_empty() {
            hand_over(watch, open)?;
        }
        let is_full = watch.bytes > watch.ask.buffer_bytes;
        if !watch.buffer.is_empty() {
            self.news.push_back(id);
        }
        if is_full {
            self.take_off(id, true);
            if let Some(watch) = self.watches.get_mut(&id) {
                watch.stage = Stage::Paused;
            }
        }
        Ok(())
    }
}

fn decode(bytes: Bytes) -> Result<WatchEvent, &'static str> {
    WatchEvent::decode(copied(bytes)).map_err(|_| "an event that is none")
}

/// Puts a whole revision into the buffer.
fn hand_over(watch: &mut Watch, events: Vec<WatchEvent>) -> Result<(), &'static str> {
    let revision = events.first().map_or(0, WatchEvent::revision);
    if revision < watch.next {
        return Err("a revision that came before, or that was not asked for");
    }
    watch.next = revision + 1;
    let size = |event: &WatchEvent| {
        let previous = event.previous.as_ref().map_or(0, |entry| entry.key.len() + entry.value.len());
        NOTICE_BYTES + event.entry.key.len() + event.entry.value.len() + previous
    };
    let bytes = events.iter().map(size).sum();
    watch.bytes += bytes;
    watch.buffer.push_back((Notice::Changes(Changes { revision, events }), bytes));
    Ok(())
}
