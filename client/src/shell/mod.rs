//! The core on tokio: one task per connection, one for timers, and a lock around the core.
//!
//! # Why a lock
//! A call is made and sent by the task of its caller: it takes the lock, the core queues it and encodes it into the
//! outbox of the connection, and the task of that connection is woken once. When that runs, whatever all callers have
//! asked for meanwhile goes out in one write. A channel to a task that owns the core would cost each call a hop more.
//!
//! # Shape
//! ```text
//!   caller ──lock──► Core::call ──► outbox, Notify ──► link task: read all, Core::received, write all
//!   oneshot ◄──────────────────────────────────────────────┘
//!   driver: sleeps until Core::deadline, Core::tick            dials: one task each, becomes the link task
//! ```
//! Nothing is awaited under the lock. Socket calls under it do not block.

mod link;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::core::{Action, Answer, Ask, Core, LinkId, Made, Notice, WatchAsk, WatchId};
use crate::{Builder, EndpointView, Error, Kind};

/// Who waits for a call.
type Waiter = oneshot::Sender<Result<Answer, Error>>;

/// The half that the handles hold: when it is dropped, nobody asks any more.
pub(crate) struct Shell {
    shared: Arc<Shared>,
}

/// What the tasks hold.
struct Shared {
    runtime: Handle,
    started: Instant,
    connect: Duration,
    inner: Mutex<Inner>,
    /// The timers have changed.
    driver: Notify,
    /// The core is closed.
    closed: Notify,
}

struct Inner {
    core: Core<Waiter>,
    /// For each link the one who writes to it.
    writers: HashMap<LinkId, Arc<Notify>>,
    /// For each watch the one who reads it.
    watchers: HashMap<WatchId, Arc<Notify>>,
    /// Until when the driver sleeps.
    armed: u64,
}

impl Shell {
    pub(crate) fn start(builder: Builder) -> Result<Self, Error> {
        let Builder { endpoints, config, seed } = builder;
        let invalid = |detail: String| Error::before_sending(Kind::Invalid, "make a client", detail);
        let runtime = Handle::try_current().map_err(|error| invalid(error.to_string()))?;
        let seed = match seed {
            Some(seed) => seed,
            None => getrandom::u64().map_err(|error| invalid(format!("no randomness: {error}")))?,
        };
        let connect = Duration::from_millis(config.connect_ms);
        let core = Core::new(config, &endpoints, seed)?;
        let shared = Arc::new(Shared {
            runtime,
            started: Instant::now(),
            connect,
            inner: Mutex::new(Inner {
                core,
                writers: HashMap::new(),
                watchers: HashMap::new(),
                armed: u64::MAX,
            }),
            driver: Notify::new(),
            closed: Notify::new(),
        });
        shared.runtime.spawn(drive(shared.clone()));
        Ok(Self { shared })
    }

    pub(crate) async fn ask(&self, ask: Ask) -> Result<Answer, Error> {
        let (waiter, answer) = oneshot::channel();
        let made = {
            let mut inner = self.shared.lock();
            let made = inner.core.call(ask, waiter, self.shared.now());
            self.shared.settle(&mut inner);
            made
        };
        let mut waiting = Waiting { shared: &self.shared, made };
        let answered = answer.await;
        waiting.made = None;
        answered.unwrap_or_else(|_| {
            let detail = "the runtime of the client has ended";
            Err(Error::unheard(Kind::Closed, "make the call", detail))
        })
    }

    pub(crate) fn watch(&self, ask: WatchAsk, watcher: Arc<Notify>) -> WatchId {
        let mut inner = self.shared.lock();
        let id = inner.core.watch(ask, self.shared.now());
        inner.watchers.insert(id, watcher);
        self.shared.settle(&mut inner);
        id
    }

    pub(crate) fn next_notice(&self, id: WatchId) -> Option<Result<Notice, Error>> {
        let mut inner = self.shared.lock();
        let next = inner.core.next_notice(id, self.shared.now());
        self.shared.settle(&mut inner);
        next
    }

    pub(crate) fn watch_next(&self, id: WatchId) -> u64 {
        self.shared.lock().core.watch_next(id)
    }

    pub(crate) fn unwatch(&self, id: WatchId) {
        let mut inner = self.shared.lock();
        inner.core.unwatch(id);
        inner.watchers.remove(&id);
        self.shared.settle(&mut inner);
    }

    pub(crate) fn endpoints(&self) -> Vec<EndpointView> {
        self.shared.lock().core.endpoints()
    }

    pub(crate) async fn close(&self) {
        {
            let mut inner = self.shared.lock();
            inner.core.close(self.shared.now());
            self.shared.settle(&mut inner);
        }
        loop {
            // Before the look, so that what happens behind it is not missed.
            let closed = self.shared.closed.notified();
            if self.shared.lock().core.is_closed() {
                return;
            }
            closed.await;
        }
    }
}

/// Somebody who waits for a call; when this is dropped before the answer, nobody does.
struct Waiting<'a> {
    shared: &'a Arc<Shared>,
    made: Option<Made>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(made) = self.made {
            let mut inner = self.shared.lock();
            inner.core.cancel(made, self.shared.now());
            self.shared.settle(&mut inner);
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let mut inner = self.shared.lock();
        inner.core.abandon(self.shared.now());
        self.shared.settle(&mut inner);
    }
}

impl fmt::Debug for Shell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shell").field("endpoints", &self.endpoints()).finish_non_exhaustive()
    }
}

impl Shared {
    /// A core that panicked is asked no less: its calls still end by their deadlines.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Does what the core asks for, and tells who waits.
    fn settle(self: &Arc<Self>, inner: &mut Inner) {
        while let Some(done) = inner.core.next_done() {
            // Who has gone away is not told.
            let _ = done.waiter.send(done.result);
        }
        while let Some(watch) = inner.core.next_news() {
            if let Some(watcher) = inner.watchers.get(&watch) {
                watcher.notify_one();
            }
        }
        while let Some(action) = inner.core.next_action() {
            match action {
                Action::Dial { link, address } => {
                    self.runtime.spawn(link::run(self.clone(), link, address));
                }
                Action::Flush(link) => {
                    if let Some(writer) = inner.writers.get(&link) {
                        writer.notify_one();
                    }
                }
            }
        }
        if inner.core.is_closed() {
            self.closed.notify_waiters();
            self.driver.notify_one();
        } else if inner.core.deadline().is_some_and(|deadline| deadline < inner.armed) {
            self.driver.notify_one();
        }
    }
}

/// Sleeps until the core has something to do, until it is closed.
async fn drive(shared: Arc<Shared>) {
    loop {
        let deadline = {
            let mut inner = shared.lock();
            inner.core.tick(shared.now());
            inner.armed = inner.core.deadline().unwrap_or(u64::MAX);
            shared.settle(&mut inner);
            if inner.core.is_closed() {
                return;
            }
            inner.armed
        };
        let notified = shared.driver.notified();
        match shared.started.checked_add(Duration::from_millis(deadline)) {
            Some(at) if deadline != u64::MAX => {
                tokio::select! {
                    () = notified => {}
                    () = tokio::time::sleep_until(at) => {}
                }
            }
            _ => notified.await,
        }
    }
}
