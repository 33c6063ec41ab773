//! A lease, and the task that renews it.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use holdfast_command::leases::{GrantLease, RevokeLease};
use holdfast_command::query::QueueKind;
use holdfast_command::{Command, Refusal, Reply};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::election::Leadership;
use super::lock::LockGuard;
use super::{Name, Place};
use crate::client::CallOptions;
use crate::{Client, Error, Kind};

/// A lease is renewed so often within its time to live.
const RENEWALS: u32 = 3;

/// A lease of the cluster that renews itself for as long as one of its clones is there.
///
/// When the last clone is dropped nobody renews it any more, and it ends when its time is over; [`revoke`](Self::revoke)
/// ends it at once. What hangs on it (keys, locks, candidacies) ends with it.
#[derive(Clone)]
pub struct Lease(Arc<Inner>);

struct Inner {
    client: Client,
    id: i64,
    ttl: Duration,
    /// Until when this side may believe in it; none once it is lost.
    until: watch::Sender<Option<Instant>>,
    keeper: AbortHandle,
    runtime: Handle,
    claims: Claims,
}

/// The queues in which a lease has a place, or is about to: one guard for each, or the end of one would be that of the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims(Arc<Mutex<BTreeSet<Name>>>);

impl Claims {
    /// Whether there was none.
    fn claim(&self, name: &Name) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone())
    }

    pub(super) fn forget(&self, name: &Name) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("id", &self.0.id).field("ttl", &self.0.ttl).finish_non_exhaustive()
    }
}

/// Until when to believe in a renewal that was sent then: nine tenths of the time to live. The rest is for clocks that
/// do not run alike.
pub(super) fn trusted_until(sent: Instant, ttl: Duration) -> Instant {
    sent + ttl / 10 * 9
}

impl Client {
    /// Grants a lease that lives `ttl` from each renewal, and renews it. Has to be called within a tokio runtime.
    ///
    /// # Errors
    /// As [`put`](Client::put); [`Refusal::LeaseTtlOutOfRange`] if the settings do not allow the time.
    pub async fn lease(&self, ttl: Duration) -> Result<Lease, Error> {
        self.lease_with(0, ttl).await
    }

    /// The same, under a number of one's own, positive; 0 lets the cluster choose.
    ///
    /// # Errors
    /// As [`lease`](Self::lease); [`Refusal::LeaseExists`].
    pub async fn lease_with(&self, id: i64, ttl: Duration) -> Result<Lease, Error> {
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let sent = Instant::now();
        let (reply, _) = self.submit(Command::GrantLease(GrantLease { lease: id, ttl_ms })).await?;
        let Reply::LeaseGranted { lease: id, ttl_ms } = reply else {
            return Err(Error::unheard(Kind::Unreadable, "grant a lease", "an answer of another kind"));
        };
        let ttl = Duration::from_millis(ttl_ms);
        Ok(Lease::keep(self.clone(), id, ttl, sent))
    }

    /// Goes on renewing a lease that was granted before, if it is still there.
    ///
    /// # Errors
    /// [`Refusal::UnknownLease`] if it is not; otherwise as any call.
    pub async fn adopt_lease(&self, id: i64) -> Result<Lease, Error> {
        let sent = Instant::now();
        match self.keep_lease(id, CallOptions::default()).await? {
            Some(ttl) => Ok(Lease::keep(self.clone(), id, ttl, sent)),
            None => Err(Error::refused("adopt a lease", Refusal::UnknownLease { lease: id })),
        }
    }
}

impl Lease {
    fn keep(client: Client, id: i64, ttl: Duration, sent: Instant) -> Self {
        let until = watch::Sender::new(Some(trusted_until(sent, ttl)));
        let keeper = tokio::spawn(keep(client.clone(), id, ttl, sent, until.clone())).abort_handle();
        let (runtime, claims) = (Handle::current(), Claims::default());
        Self(Arc::new(Inner { client, id, ttl, until, keeper, runtime, claims }))
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> i64 {
        self.0.id
    }

    /// How long it lives from each renewal.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.0.ttl
    }

    /// Until when this side may believe in it, unless it is renewed before; none once it is lost. The cluster ends it no earlier
    /// than a ninth of that time later.
    #[must_use]
    pub fn until(&self) -> Option<Instant> {
        *self.0.until.borrow()
    }

    pub(super) fn client(&self) -> &Client {
        &self.0.client
    }

    pub(super) fn runtime(&self) -> &Handle {
        &self.0.runtime
    }

    /// Until when to believe in it; the channel ends with the lease.
    pub(super) fn watch(&self) -> watch::Receiver<Option<Instant>> {
        self.0.until.subscribe()
    }

    pub(super) fn claims(&self) -> Claims {
        self.0.claims.clone()
    }

    /// Takes a queue for one guard; false if there is one already.
    pub(super) fn claim(&self, name: &Name) -> bool {
        self.0.claims.claim(name)
    }

    pub(super) fn forget(&self, name: &Name) {
        self.0.claims.forget(name);
    }

    /// Whether this side may still believe in it. Looks at the clock, so it is right also in a process that was suspended a
    /// moment ago.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.0.until.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// Returns once this side must not believe in it any more: it was not renewed in time, or the cluster does not know it.
    pub async fn lost(&self) {
        let mut until = self.0.until.subscribe();
        loop {
            let Some(at) = *until.borrow_and_update() else { return };
            if Instant::now() >= at {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep_until(at) => {}
                // This holds a sender as well, so there is always one.
                _ = until.changed() => {}
            }
        }
    }

    /// Does something, unless the lease is lost before it is done.
    pub(super) async fn or_lost<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::select! {
            biased;
            () = self.lost() => {
                Err(Error::refused("act under a lease", Refusal::UnknownLease { lease: self.id() }))
            }
            done = work => done,
        }
    }

    /// Ends it now, with everything that hangs on it.
    ///
    /// # Errors
    /// As [`put`](Client::put). A lease that is gone already is no error.
    pub async fn revoke(&self) -> Result<(), Error> {
        match self.client().submit(self.end()).await {
            Err(error) if matches!(error.refusal, Some(Refusal::UnknownLease { .. })) => Ok(()),
            done => done.map(drop),
        }
    }

    /// Renews it no more, and believes in it no more. The command that ends it.
    pub(super) fn end(&self) -> Command {
        self.0.keeper.abort();
        self.0.until.send_replace(None);
        Command::RevokeLease(RevokeLease { lease: self.id() })
    }

    /// Acquires a lock that lives by this lease, after all who asked before. `value` says who and what for, to people. `wait`
    /// is how long to queue up: `None` as long as it takes, zero not at all. A lease has one guard for a lock at a time: the
    /// cluster would take a second one for the first.
    ///
    /// # Errors
    /// [`Kind::Invalid`] if this lease holds it or waits for it already;
    /// [`Refusal::LockHeld`] if it is held and `wait` is zero; [`Kind::TimedOut`] when that time is over;
    /// [`Refusal::UnknownLease`] if this lease was lost meanwhile. The place in the queue has been given up then: who was told
    /// that he did not get it is not granted it a moment later. That may take longer than `wait` if the cluster cannot be
    /// reached, but no longer than this lease lives. When the future is dropped it is given up in the background.
    pub async fn lock(
        &self,
        name: impl Into<Bytes>,
        value: impl Into<Bytes>,
        wait: Option<Duration>,
    ) -> Result<LockGuard, Error> {
        self.lock_owned(name.into(), value.into(), wait, false).await
    }

    /// The same; with `owns_lease`, this lease ends with the guard, and with the attempt if that is dropped.
    pub(super) async fn lock_owned(
        &self,
        name: Bytes,
        value: Bytes,
        wait: Option<Duration>,
        owns_lease: bool,
    ) -> Result<LockGuard, Error> {
        let name = Name { kind: QueueKind::Lock, name };
        let (place, token) = Place::take(self, name, value, wait, owns_lease).await?;
        Ok(LockGuard::new(place, token))
    }

    /// Stands for election, and returns once elected; `value` is proclaimed then.
    ///
    /// # Errors
    /// As [`lock`](Self::lock); with zero to wait, [`Kind::TimedOut`] if somebody else is in office.
    pub async fn campaign(
        &self,
        name: impl Into<Bytes>,
        value: impl Into<Bytes>,
        wait: Option<Duration>,
    ) -> Result<Leadership, Error> {
        let name = Name { kind: QueueKind::Election, name: name.into() };
        let (place, token) = Place::take(self, name, value.into(), wait, false).await?;
        Ok(Leadership::new(place, token))
    }
}

/// Renews a lease until it is lost.
async fn keep(
    client: Client,
    id: i64,
    ttl: Duration,
    mut sent: Instant,
    tell: watch::Sender<Option<Instant>>,
) {
    let mut until = trusted_until(sent, ttl);
    let mut next = sent + ttl / RENEWALS;
    loop {
        tokio::time::sleep_until(next.min(until)).await;
        let asked = Instant::now();
        if asked >= until {
            break;
        }
        let options = CallOptions { timeout: Some(until - asked), exactly_once: None };
        match client.keep_lease(id, options).await {
            Ok(Some(_)) => {
                sent = asked;
                until = trusted_until(sent, ttl);
                next = sent + ttl / RENEWALS;
                // It may have been revoked meanwhile, and nothing brings it back.
                let alive = tell.send_if_modified(|known| {
                    known.is_some() && {
                        *known = Some(until);
                        true
                    }
                });
                if !alive {
                    return;
                }
            }
            Ok(None) => break,
            Err(error) if super::is_final(&error) => break,
            Err(_) => next = Instant::now() + ttl / (RENEWALS * 10),
        }
    }
    tell.send_replace(None);
}
