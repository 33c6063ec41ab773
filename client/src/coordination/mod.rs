//! Leases that keep themselves, locks, elections.
//!
//! # What a lock can promise and what it cannot
//! The cluster gives a lock to one lease at a time. Whether the *holder* still acts as one is another question: a process
//! that was suspended finds out late. So a guard declares itself lost by its own clock, early: when nine tenths of the time
//! to live have passed since the renewal was **sent** that was last acknowledged. The cluster counts the time to live from
//! when it applied that renewal, which was later; so the guard is lost before somebody else can be granted the lock, as long
//! as the two clocks do not differ by more than about five percent in rate.
//!
//! Beyond that, and for what a holder has sent before it was suspended, only the **fencing token** protects: it is part of
//! what is written, and whoever is written to refuses a token lower than the highest that it has seen. The store does that
//! for its own keys when a transaction carries [`LockGuard::fence`].
//!
//! # Shape
//! ```text
//!   Lease      id, keeper task ── renews every third of its time ──► lost()
//!     ├─ LockGuard    name, token, fence()                      released when dropped
//!     └─ Leadership   name, token, proclaim(), term()           resigned when dropped
//!   Observer   who is elected, from now on
//! ```

mod election;
mod lease;
mod lock;

use std::time::Duration;

use bytes::Bytes;
pub use election::{Leadership, Observed, Observer};
use holdfast_command::elections::{Campaign, Resign};
use holdfast_command::locks::{Acquire, Release};
use holdfast_command::query::{Answer, Query, QueueInfo, QueueKind, When};
use holdfast_command::{Command, Refusal, Reply};
pub use lease::Lease;
pub use lock::{LockGuard, LockOptions};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::client::{CallOptions, ReadOptions};
use crate::{Client, Error, Kind, Outcome, Position};

/// How long one question for news is waited for: longer than elections of the cluster take, shorter than what sits between
/// client and cluster forgets a silent connection.
const NEWS: Duration = Duration::from_secs(20);

/// How long taking a place may take at least, however short the wait for it is to be.
const ENTER: Duration = Duration::from_secs(1);

/// The pause after a question that was not answered.
const PAUSE: Duration = Duration::from_millis(200);

/// A lock or an election by kind and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    kind: QueueKind,
    name: Bytes,
}

impl Name {
    fn enter(&self, lease: i64, value: Bytes, wait: bool) -> Command {
        let name = self.name.clone();
        match self.kind {
            QueueKind::Lock => Command::Acquire(Acquire { name, lease, wait, value }),
            QueueKind::Election => Command::Campaign(Campaign { name, lease, value }),
        }
    }

    fn leave(&self, lease: i64) -> Command {
        let name = self.name.clone();
        match self.kind {
            QueueKind::Lock => Command::Release(Release { name, lease }),
            QueueKind::Election => Command::Resign(Resign { name, lease }),
        }
    }

    /// Who holds it and who waits, when it is time to say so.
    async fn ask(&self, client: &Client, when: When, timeout: Duration) -> Result<QueueInfo, Error> {
        let query = Query::Queue { kind: self.kind, name: self.name.clone(), when };
        let options = ReadOptions { timeout: Some(timeout), ..ReadOptions::default() };
        match client.query(query, options).await? {
            (Answer::Queue(queue), _) => Ok(queue),
            _ => Err(Error::unheard(Kind::Unreadable, "ask for a queue", "an answer of another kind")),
        }
    }
}

/// A place in a queue, given up when this is dropped: then in the background, until the cluster has said so or the lease is gone.
#[derive(Debug)]
struct Place {
    lease: Lease,
    name: Name,
    /// The request for it, which may still be under way: it is not given up before that has ended, or it could be taken behind.
    entering: Option<JoinHandle<Result<(Reply, Position), Error>>>,
    left: bool,
    /// The lease is there for this place alone, and ends with it.
    owns_lease: bool,
}

impl Place {
    /// Gives it up, and waits for the word of the cluster. Should that not come, it is asked again in the background.
    async fn leave(mut self) -> Result<(), Error> {
        match self.lease.client().submit(self.name.leave(self.lease.id())).await {
            Err(error) if !is_gone(&error) => Err(error),
            Ok(_) | Err(_) => {
                self.left = true;
                Ok(())
            }
        }
    }

    /// Gives it up for sure, after an attempt that failed: when this returns, it is not granted any more, or the lease is lost.
    async fn give_up(mut self) {
        if self.left {
            return;
        }
        let lease = self.lease.clone();
        let left = tokio::select! {
            biased;
            () = lease.lost() => false,
            () = self.leave_for_sure() => true,
        };
        self.left = left;
    }

    /// Gives it up once the request for it has ended, and asks until there is a word of the cluster.
    async fn leave_for_sure(&mut self) {
        // Awaited where it is: whoever drops this in the middle leaves it to what is done when the place is dropped.
        if let Some(entering) = self.entering.as_mut() {
            let _ = entering.await;
        }
        self.entering = None;
        loop {
            match self.lease.client().submit(self.name.leave(self.lease.id())).await {
                Err(error) if !is_gone(&error) && !is_final(&error) => tokio::time::sleep(PAUSE).await,
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Takes a place and waits until it is the first; `wait` says for how long. Under which token. If that fails, the place is
    /// given up before this returns: nobody is granted what he was told that he has not got.
    async fn take(
        lease: &Lease,
        name: Name,
        value: Bytes,
        wait: Option<Duration>,
        owns_lease: bool,
    ) -> Result<(Self, u64), Error> {
        if !lease.claim(&name) {
            let detail = "this lease holds it or waits for it already".to_owned();
            return Err(Error::before_sending(Kind::Invalid, "take a place in a queue", detail));
        }
        let mut place = Self { lease: lease.clone(), name, entering: None, left: false, owns_lease };
        match place.wait(value, wait).await {
            Ok(token) => Ok((place, token)),
            Err(error) => {
                place.give_up().await;
                Err(error)
            }
        }
    }

    /// Asks for the place, and waits until it is the first. Under which token.
    async fn wait(&mut self, value: Bytes, wait: Option<Duration>) -> Result<u64, Error> {
        let place = self;
        let lease = &place.lease.clone();
        let until = wait.and_then(|wait| Instant::now().checked_add(wait));
        let enter = place.name.enter(lease.id(), value, wait != Some(Duration::ZERO));
        let options = CallOptions { timeout: wait.map(|wait| wait.max(ENTER)), exactly_once: None };
        let client = lease.client().clone();
        let entering = lease.runtime().spawn(async move { client.submit_with(enter, options).await });
        let entering = place.entering.insert(entering);
        let entered = lease.or_lost(async { entering.await.unwrap_or_else(|_| Err(ended())) }).await;
        if place.entering.as_ref().is_some_and(JoinHandle::is_finished) {
            place.entering = None;
        }
        let entered = entered.inspect_err(|error| {
            // Nothing was taken, so there is nothing to give up.
            place.left = error.kind == Kind::Refused
                && error.outcome == Outcome::NotApplied
                && !matches!(error.refusal, Some(Refusal::UnknownLease { .. }));
        })?;
        if let Reply::LockGranted { token } | Reply::Elected { token } = entered.0 {
            return Ok(token);
        }
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Err(Error::before_sending(
                    Kind::TimedOut,
                    "wait for a place in a queue",
                    "somebody else holds it".to_owned(),
                ));
            }
            let when = When::Settled { lease: lease.id() };
            // No shorter than a round trip takes: what comes a little late is better than nothing.
            let patience = left.unwrap_or(NEWS).clamp(PAUSE, NEWS);
            match lease.or_lost(place.name.ask(lease.client(), when, patience)).await {
                Ok(queue) => match queue.holder {
                    Some(holder) if holder.lease == lease.id() => return Ok(holder.token),
                    Some(_) | None if queue.places.is_empty() => {
                        return Err(Error::refused(
                            "wait for a place in a queue",
                            Refusal::NotInQueue { lease: lease.id() },
                        ));
                    }
                    Some(_) | None => {}
                },
                Err(error) if is_final(&error) => return Err(error),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.left {
            return self.lease.forget(&self.name);
        }
        let client = self.lease.client().clone();
        let owns_lease = self.owns_lease;
        let end = if owns_lease { self.lease.end() } else { self.name.leave(self.lease.id()) };
        let (entering, name, claims) = (self.entering.take(), self.name.clone(), self.lease.claims());
        // Not the lease itself: it is not to be renewed for this.
        let mut lost = self.lease.watch();
        let until = Instant::now() + self.lease.ttl();
        self.lease.runtime().spawn(async move {
            if let Some(entering) = entering {
                let _ = entering.await;
            }
            loop {
                match client.submit(end.clone()).await {
                    Err(error) if !is_gone(&error) && !is_final(&error) => {}
                    Ok(_) | Err(_) => break,
                }
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    // Its places have gone with it, or will.
                    _ = lost.wait_for(Option::is_none), if !owns_lease => break,
                    () = tokio::time::sleep_until(until), if owns_lease => break,
                }
            }
            claims.forget(&name);
        });
    }
}

/// Whether a place that was to be given up is gone already: with its lease, or by a copy of the call.
fn is_gone(error: &Error) -> bool {
    matches!(error.refusal, Some(Refusal::NotInQueue { .. } | Refusal::UnknownLease { .. }))
}

fn ended() -> Error {
    Error::unheard(Kind::Closed, "take a place in a queue", "the runtime of the client has ended")
}

/// Whether asking again does not help.
fn is_final(error: &Error) -> bool {
    match error.kind {
        Kind::Refused => !error.code.is_some_and(holdfast_command::Code::is_retryable),
        Kind::Incompatible | Kind::Invalid | Kind::Unreadable | Kind::Closed => true,
        Kind::NoEndpoint | Kind::TimedOut | Kind::ConnectionLost | Kind::Overloaded => false,
    }
}
