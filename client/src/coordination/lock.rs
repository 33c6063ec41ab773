//! Locks.

use std::time::Duration;

use bytes::Bytes;
use holdfast_command::keys::{Against, Compare, Relation, Span};

use super::{Lease, Place};
use crate::{Client, Error};

/// How a lock is acquired that has a lease of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockOptions {
    /// After how long without a renewal the lock passes to the next. The default is ten seconds.
    pub ttl: Duration,
    /// How long to queue up: `None` as long as it takes, zero not at all.
    pub wait: Option<Duration>,
    /// Who holds it and what for, in words for people.
    pub value: Bytes,
}

impl Default for LockOptions {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(10), wait: None, value: Bytes::new() }
    }
}

impl Client {
    /// Acquires a lock under a lease of its own, which ends with the guard.
    ///
    /// # Errors
    /// As [`Client::lease`] and [`Lease::lock`].
    pub async fn lock(&self, name: impl Into<Bytes>, options: LockOptions) -> Result<LockGuard, Error> {
        let LockOptions { ttl, wait, value } = options;
        let lease = self.lease(ttl).await?;
        match lease.lock_owned(name.into(), value, wait, true).await {
            Ok(guard) => Ok(guard),
            Err(error) => {
                // It holds nothing; should this fail, it ends by itself.
                let _ = lease.revoke().await;
                Err(error)
            }
        }
    }
}

/// A lock that is held. It is released when this is dropped, in the background; [`release`](Self::release) waits for it. A lease
/// that was granted for it alone ([`Client::lock`]) is revoked then, with whatever else hangs on it: nothing of it is left behind
/// for its time to live.
#[derive(Debug)]
pub struct LockGuard {
    place: Place,
    token: u64,
}

impl LockGuard {
    pub(super) fn new(place: Place, token: u64) -> Self {
        Self { place, token }
    }

    /// The name of the lock.
    #[must_use]
    pub fn name(&self) -> &Bytes {
        &self.place.name.name
    }

    /// The fencing token: higher than that of every grant before, of any lock. Everything that the holder writes elsewhere
    /// carries it, and whoever is written to refuses one that is lower than the highest that it has seen.
    #[must_use]
    pub fn token(&self) -> u64 {
        self.token
    }

    /// What it lives by.
    #[must_use]
    pub fn lease(&self) -> &Lease {
        &self.place.lease
    }

    /// The comparison that makes a transaction hold only while this very grant does: the store itself refuses what comes
    /// late.
    #[must_use]
    pub fn fence(&self) -> Compare {
        Compare {
            span: Span::Key(self.name().clone()),
            relation: Relation::Equal,
            against: Against::Fence(self.token),
        }
    }

    /// Whether this side may still believe that it holds the lock; see the module documentation.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.place.lease.is_alive()
    }

    /// Returns once this side must not believe any more that it holds the lock.
    pub async fn lost(&self) {
        self.place.lease.lost().await;
    }

    /// Releases it; the next in the queue holds it when this returns.
    ///
    /// # Errors
    /// As [`put`](Client::put). A lock that was lost already is no error.
    pub async fn release(self) -> Result<(), Error> {
        let Self { mut place, .. } = self;
        if place.owns_lease {
            place.left = true;
            return place.lease.revoke().await;
        }
        place.leave().await
    }
}
