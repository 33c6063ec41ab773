//! Watches as server-sent events: what browsers and `curl -N` read.
//!
//! An event has all changes of one revision and the revision as its id, so that a reader that lost its connection goes on
//! behind the last one it has: `EventSource` sends that id by itself (`Last-Event-ID`).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use holdfast_command::keys::Span;
use holdfast_command::query::{Answer, Query, QueueKind, When};
use holdfast_command::{Code, Refusal, WatchEvent};
use holdfast_machine::Numbered as _;
use holdfast_wire::Message;
use holdfast_wire::message::{Watch, WatchEnded, WatchEvents, WatchProgress};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use super::ask::{Call, Fresh, Handled, TIMEOUT_MAX, not_serving, unreadable};
use super::params::tail;
use super::problem::Problem;
use super::queues::ShownQueue;
use crate::json::{self, Entry};
use crate::node::limits::RETRY_AFTER_MS;
use crate::runtime::desk::{NoSeat, Seat};

/// A comment is sent so often while nothing happens, so that whatever stands between does not take the line for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// One change.
#[derive(Serialize)]
struct Change<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    entry: Entry<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<Entry<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    previous_left_out: bool,
}

/// All changes of a revision.
#[derive(Serialize)]
struct Changes<'a> {
    revision: u64,
    changes: Vec<Change<'a>>,
}

#[derive(Serialize)]
struct Progress {
    revision: u64,
}

/// Why a watch ended, and from where another one misses nothing.
#[derive(Serialize)]
struct End {
    #[serde(flatten)]
    error: serde_json::Value,
    from_revision: u64,
    oldest: u64,
}

/// Puts together what belongs to one revision.
#[derive(Debug, Default)]
struct Assembly {
    /// Of the revision that is not whole yet.
    pending: Vec<WatchEvent>,
}

impl Assembly {
    /// Takes a message; gives the revisions that are whole by now.
    fn take(&mut self, message: WatchEvents) -> Result<Vec<Vec<WatchEvent>>, Problem> {
        if !message.continues {
            // What came of a revision before it broke off comes anew.
            self.pending.clear();
        }
        for bytes in message.events {
            self.pending.push(WatchEvent::decode(bytes).map_err(|_| unreadable())?);
        }
        let mut whole: Vec<Vec<WatchEvent>> = Vec::new();
        for event in std::mem::take(&mut self.pending) {
            match whole.last_mut() {
                Some(last) if last.first().map(WatchEvent::revision) == Some(event.revision()) => {
                    last.push(event);
                }
                Some(_) | None => whole.push(vec![event]),
            }
        }
        if message.more {
            self.pending = whole.pop().unwrap_or_default();
        }
        Ok(whole)
    }
}

fn change(event: &WatchEvent) -> Change<'_> {
    let WatchEvent { entry, deleted, previous, previous_left_out } = event;
    Change {
        kind: if *deleted { "delete" } else { "put" },
        entry: Entry::new(entry, !*deleted),
        previous: previous.as_ref().map(|previous| Entry::new(previous, true)),
        previous_left_out: *previous_left_out,
    }
}

fn shown(events: &[WatchEvent]) -> Event {
    let revision = events.first().map_or(0, WatchEvent::revision);
    let changes = Changes { revision, changes: events.iter().map(change).collect() };
    Event::default().event("changes").id(revision.to_string()).data(json::text(&changes))
}

fn ended(ended: WatchEnded) -> Event {
    let refusal = match Code::from_number(ended.code) {
        Some(Code::Compacted) => Some(Refusal::Compacted { asked: ended.resume, oldest: ended.oldest }),
        Some(Code::Overloaded) => Some(Refusal::Overloaded { retry_after_ms: RETRY_AFTER_MS.into() }),
        Some(code) => Refusal::from_parts(code, [0, 0]),
        None => None,
    };
    let problem = Problem::of(refusal.unwrap_or(Refusal::Stopping));
    end(&problem, ended.resume, ended.oldest)
}

fn end(problem: &Problem, from_revision: u64, oldest: u64) -> Event {
    let error = serde_json::from_str(&problem.to_json()).unwrap_or_default();
    Event::default().event("end").data(json::text(&End { error, from_revision, oldest }))
}

/// A watch that goes on.
struct Running {
    _room: OwnedSemaphorePermit,
    seat: Seat,
    assembly: Assembly,
    ready: VecDeque<Event>,
    /// What a watch that misses nothing begins with, should this one end without a word.
    from: u64,
    is_over: bool,
}

impl Running {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.is_over {
                return None;
            }
            let Some(message) = self.seat.next().await else {
                self.is_over = true;
                return Some(end(&Problem::of(Refusal::Stopping), self.from, 0));
            };
            self.hear(message);
        }
    }

    fn hear(&mut self, message: Message) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "a watch is told nothing else")]
        match message {
            Message::WatchEvents(events) => match self.assembly.take(events) {
                Ok(whole) => {
                    for events in &whole {
                        self.from = events.first().map_or(self.from, |event| event.revision() + 1);
                        self.ready.push_back(shown(events));
                    }
                }
                Err(problem) => {
                    self.is_over = true;
                    self.ready.push_back(end(&problem, self.from, 0));
                }
            },
            Message::WatchProgress(WatchProgress { revision }) => {
                self.from = revision + 1;
                let event = Event::default().event("progress").id(revision.to_string());
                self.ready.push_back(event.data(json::text(&Progress { revision })));
            }
            Message::WatchEnded(told) => {
                self.is_over = true;
                self.ready.push_back(ended(told));
            }
            _ => {}
        }
    }
}

/// `GET /v1/watch?key=` or `?prefix=`.
pub(super) async fn watch(mut call: Call) -> Handled {
    let params = &mut call.params;
    let (key, prefix) = (params.bytes("key"), params.bytes("prefix"));
    let span = match (key, prefix) {
        (Some(_), Some(_)) => return Err(Problem::parameter("name one: key or prefix")),
        (Some(key), None) => Span::Key(key),
        (None, Some(prefix)) if !prefix.is_empty() => Span::prefix(prefix),
        (None, Some(_) | None) => Span::all(),
    };
    let asked = params.number::<u64>("from_revision")?;
    let min_position = params.position("min_position")?;
    let wanted = [
        ("previous", Watch::PREVIOUS),
        ("no_puts", Watch::NO_PUTS),
        ("no_deletes", Watch::NO_DELETES),
        ("progress", Watch::PROGRESS),
    ];
    let mut flags = 0;
    for (name, flag) in wanted {
        flags |= if params.flag(name)? { flag } else { 0 };
    }
    call.finish()?;
    let from = match call.headers.get("last-event-id") {
        None => asked.unwrap_or(0),
        Some(id) => {
            let id = id.to_str().ok().and_then(|id| id.parse::<u64>().ok()?.checked_add(1));
            id.ok_or_else(|| Problem::parameter("Last-Event-ID is the id of an event, a revision"))?
        }
    };
    let room = stream_room(&call)?;
    let mut bytes = Vec::new();
    span.write(&mut bytes);
    let watch = Watch { from, flags, min_position: min_position.map(Into::into), span: bytes.into() };
    let seat = call.app.desk.watch(call.from, watch).await;
    let mut seat = seat.map_err(|no_seat| match no_seat {
        NoSeat::Full => Problem::of(Refusal::Overloaded { retry_after_ms: RETRY_AFTER_MS.into() }),
        NoSeat::NotServing(life) => not_serving(life),
    })?;
    let started = tokio::time::timeout(call.timeout, seat.next()).await;
    let from = match started {
        Err(_) => return Err(Problem::of(Refusal::TimedOut).of_no_outcome()),
        Ok(None) => return Err(Problem::of(Refusal::Stopping)),
        Ok(Some(Message::WatchStarted(started))) => started.from,
        Ok(Some(Message::Refused(refused))) => return Err(Problem::refused(&refused)),
        Ok(Some(_)) => return Err(unreadable()),
    };
    let running = Running {
        _room: room,
        seat,
        assembly: Assembly::default(),
        ready: VecDeque::new(),
        from,
        is_over: false,
    };
    let events = stream::unfold(running, |mut running| async move {
        let event = running.next().await?;
        Some((Ok::<_, Infallible>(event), running))
    });
    Ok(streamed(events))
}

/// Room for one more stream of events.
fn stream_room(call: &Call) -> Result<OwnedSemaphorePermit, Problem> {
    let full = || Problem::of(Refusal::Overloaded { retry_after_ms: RETRY_AFTER_MS.into() });
    let room = std::sync::Arc::clone(&call.app.streams).try_acquire_owned();
    room.map_err(|_| full().because("as many streams of events are open as this node serves"))
}

fn streamed(events: impl stream::Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

/// `GET /v1/elections/{name}/observe`: who is in office, and again whenever that changes.
pub(super) async fn observe(call: Call) -> Handled {
    let path = call.path.strip_suffix("/observe").unwrap_or(&call.path);
    let name = tail(path, "/v1/elections/");
    call.finish()?;
    let room = stream_room(&call)?;
    let first = look(&call, &name, None).await?;
    let begun = Some(((call, room), name, Some(first), 0_u64));
    let events = stream::unfold(begun, |going| async move {
        let ((call, room), name, first, changed_at) = going?;
        let is_first = first.is_some();
        let looked = match first {
            Some(first) => Ok(first),
            None => look(&call, &name, Some(changed_at)).await,
        };
        match looked {
            // Whoever has waited as long as anybody may is told what is so, though nothing has changed.
            Ok((_, same)) if !is_first && same == changed_at => {
                let nothing = Event::default().comment("nothing has changed");
                Some((Ok::<_, Infallible>(nothing), Some(((call, room), name, None, changed_at))))
            }
            Ok((event, changed_at)) => Some((Ok(event), Some(((call, room), name, None, changed_at)))),
            Err(problem) => Some((Ok(Event::default().event("end").data(problem.to_json())), None)),
        }
    });
    Ok(streamed(events))
}

/// Who is in office, once that is another than at this index; at once without one.
async fn look(call: &Call, name: &Bytes, changed_at: Option<u64>) -> Result<(Event, u64), Problem> {
    let when = changed_at.map_or(When::Now, |index| When::ChangedFrom { index });
    let query = Query::Queue { kind: QueueKind::Election, name: name.clone(), when };
    let timeout = if changed_at.is_some() { TIMEOUT_MAX } else { call.timeout };
    let (answer, _) = call.query_within(&query, Fresh::LINEARIZABLE, timeout).await?;
    let Answer::Queue(queue) = answer else { return Err(unreadable()) };
    let shown = json::text(&ShownQueue::new(name, &queue));
    Ok((Event::default().event("office").data(shown), queue.changed_at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_command::KeyValue;

    fn event(revision: u64, key: &str) -> Bytes {
        let entry = KeyValue {
            key: Bytes::copy_from_slice(key.as_bytes()),
            mod_revision: revision,
            ..KeyValue::default()
        };
        WatchEvent { entry, deleted: false, previous: None, previous_left_out: false }.encode().into()
    }

    fn revisions(whole: &[Vec<WatchEvent>]) -> Vec<(u64, usize)> {
        whole.iter().map(|events| (events[0].revision(), events.len())).collect()
    }

    #[test]
    fn a_revision_is_given_as_a_whole_however_it_was_cut() {
        let mut assembly = Assembly::default();
        let message = |continues, more, events| WatchEvents { continues, more, events };
        let whole = assembly.take(message(false, true, vec![event(2, "a"), event(3, "a")])).unwrap();
        assert_eq!(revisions(&whole), [(2, 1)]);
        let whole = assembly.take(message(true, true, vec![event(3, "b")])).unwrap();
        assert_eq!(revisions(&whole), []);
        let whole = assembly.take(message(true, false, vec![event(3, "c"), event(4, "a")])).unwrap();
        assert_eq!(revisions(&whole), [(3, 3), (4, 1)]);
    }

    #[test]
    fn what_came_of_a_revision_before_it_broke_off_is_void() {
        let mut assembly = Assembly::default();
        let message = |continues, more, events| WatchEvents { continues, more, events };
        assert!(assembly.take(message(false, true, vec![event(3, "a"), event(3, "b")])).unwrap().is_empty());
        let whole = assembly.take(message(false, false, vec![event(3, "a"), event(3, "c")])).unwrap();
        assert_eq!(revisions(&whole), [(3, 2)]);
    }
}
