//! Elections.

use bytes::Bytes;
use holdfast_command::Command;
use holdfast_command::elections::Proclaim;
use holdfast_command::keys::{Against, Compare, Relation, Span};
use holdfast_command::query::{QueueKind, When};

use super::{Lease, NEWS, Name, PAUSE, Place, is_final};
use crate::{Client, Error};

/// An office that is held. It is given up when this is dropped, in the background; [`resign`](Self::resign) waits for it.
#[derive(Debug)]
pub struct Leadership {
    place: Place,
    token: u64,
}

impl Leadership {
    pub(super) fn new(place: Place, token: u64) -> Self {
        Self { place, token }
    }

    /// The name of the election.
    #[must_use]
    pub fn name(&self) -> &Bytes {
        &self.place.name.name
    }

    /// The term of office: a fencing token, as that of a lock.
    #[must_use]
    pub fn token(&self) -> u64 {
        self.token
    }

    /// What it lives by.
    #[must_use]
    pub fn lease(&self) -> &Lease {
        &self.place.lease
    }

    /// The comparison that makes a transaction hold only within this term of office.
    #[must_use]
    pub fn term(&self) -> Compare {
        Compare {
            span: Span::Key(self.name().clone()),
            relation: Relation::Equal,
            against: Against::Term(self.token),
        }
    }

    /// Whether this side may still believe that it is in office.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.place.lease.is_alive()
    }

    /// Returns once this side must not believe any more that it is in office.
    pub async fn lost(&self) {
        self.place.lease.lost().await;
    }

    /// Proclaims something else to those who observe.
    ///
    /// # Errors
    /// [`NotElected`](holdfast_command::Refusal::NotElected) if the term is over; otherwise as [`put`](Client::put).
    pub async fn proclaim(&self, value: impl Into<Bytes>) -> Result<(), Error> {
        let (name, lease) = (self.name().clone(), self.place.lease.id());
        let proclaim = Proclaim { name, lease, token: self.token, value: value.into() };
        self.place.lease.client().submit(Command::Proclaim(proclaim)).await.map(drop)
    }

    /// Gives the office up; the next in the queue is elected when this returns.
    ///
    /// # Errors
    /// As [`put`](Client::put). A term that is over already is no error.
    pub async fn resign(self) -> Result<(), Error> {
        self.place.leave().await
    }
}

/// Who is in office, and what is proclaimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The term of office.
    pub token: u64,
    /// The lease that is elected.
    pub lease: i64,
    /// What it proclaims.
    pub value: Bytes,
}

/// Follows an election.
#[derive(Debug)]
pub struct Observer {
    client: Client,
    name: Name,
    /// What was last seen changed, by log index.
    seen: Option<u64>,
}

impl Client {
    /// Follows an election: who is in office, from now on.
    #[must_use]
    pub fn observe(&self, name: impl Into<Bytes>) -> Observer {
        let name = Name { kind: QueueKind::Election, name: name.into() };
        Observer { client: self.clone(), name, seen: None }
    }
}

impl Observer {
    /// Who is in office, the first time at once and then whenever that or the proclamation has changed; `None` for nobody.
    /// What came and went between two calls is not told: this is about who leads now, in the order of the log.
    ///
    /// Waits while the cluster cannot be reached.
    ///
    /// # Errors
    /// What waiting does not mend.
    pub async fn next(&mut self) -> Result<Option<Observed>, Error> {
        loop {
            let when = self.seen.map_or(When::Now, |index| When::ChangedFrom { index });
            match self.name.ask(&self.client, when, NEWS).await {
                Ok(queue) if self.seen == Some(queue.changed_at) => {}
                Ok(queue) => {
                    self.seen = Some(queue.changed_at);
                    return Ok(queue.holder.map(|holder| Observed {
                        token: holder.token,
                        lease: holder.lease,
                        value: holder.value,
                    }));
                }
                Err(error) if is_final(&error) => return Err(error),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}
