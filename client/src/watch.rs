//! Watches for callers: how one is asked for, and the stream of what it brings.

use std::fmt;
use std::sync::Arc;

use holdfast_command::keys::Span;
use tokio::sync::Notify;

use crate::core::{Notice, WatchAsk, WatchId};
use crate::shell::Shell;
use crate::{Error, Position};

/// How many bytes of events wait at most to be taken, unless the watch says so itself.
const BUFFER_BYTES: usize = 4 << 20;

/// A watch that is to be begun; see [`Client::watch`](crate::Client::watch).
#[derive(Clone, Debug)]
#[must_use = "a watch begins with start"]
pub struct WatchOptions {
    pub(crate) shell: Arc<Shell>,
    pub(crate) ask: WatchAsk,
}

impl WatchOptions {
    pub(crate) fn new(shell: Arc<Shell>, span: Span) -> Self {
        let ask = WatchAsk {
            span,
            from: 0,
            previous: false,
            puts: true,
            deletes: true,
            progress: false,
            min_position: None,
            buffer_bytes: BUFFER_BYTES,
        };
        Self { shell, ask }
    }

    /// From this revision on, history included. Default, and 0: what comes next at the member that is asked, which may be a
    /// little behind the others; see [`behind`](Self::behind).
    pub fn from(mut self, revision: u64) -> Self {
        self.ask.from = revision;
        self
    }

    /// Begin only where this position has been applied: behind a write of one's own, a watch of what comes next does not
    /// bring that write.
    pub fn behind(mut self, position: Position) -> Self {
        self.ask.min_position = Some(position);
        self
    }

    /// With what each key was before.
    pub fn with_previous(mut self) -> Self {
        self.ask.previous = true;
        self
    }

    /// Only deletions.
    pub fn without_puts(mut self) -> Self {
        self.ask.puts = false;
        self
    }

    /// Only writes.
    pub fn without_deletes(mut self) -> Self {
        self.ask.deletes = false;
        self
    }

    /// Hand over how far the watch is, too: about each second in which there were revisions without anything for it.
    pub fn with_progress(mut self) -> Self {
        self.ask.progress = true;
        self
    }

    /// How many bytes of events may wait to be taken before the watch is paused at the node. Nothing is lost by that; a
    /// revision that is longer is handed over all the same. Default: 4 MiB.
    pub fn buffer(mut self, bytes: usize) -> Self {
        self.ask.buffer_bytes = bytes;
        self
    }

    /// Begins the watch. It is opened in the background.
    #[must_use]
    pub fn start(self) -> Watch {
        let Self { shell, ask } = self;
        let notify = Arc::new(Notify::new());
        let id = shell.watch(ask, Arc::clone(&notify));
        Watch { shell, id, notify }
    }
}

/// A stream of changes: in the order of revisions, each revision once and whole, none left out.
///
/// It goes on by itself, at any member, whatever happens to nodes and connections, for as long as it lives. Dropping it ends
/// it. It keeps the client open.
pub struct Watch {
    shell: Arc<Shell>,
    id: WatchId,
    notify: Arc<Notify>,
}

impl Watch {
    /// What comes next. Safe to be dropped before it is ready: nothing is lost.
    ///
    /// # Errors
    /// Why the watch has ended, each time from then on. With the code
    /// [`Compacted`](holdfast_command::Code::Compacted), what was next is not there any more; the
    /// [`refusal`](crate::Failure::refusal) names it, and the oldest revision that can be read. Read the keys anew, and
    /// watch from behind what was read. That no member can be reached is no end: it goes on trying.
    pub async fn next(&mut self) -> Result<Notice, Error> {
        loop {
            if let Some(next) = self.shell.next_notice(self.id) {
                return next;
            }
            self.notify.notified().await;
        }
    }

    /// The revision from which another watch would have to begin to go on where this one has come to, with what has come and
    /// was not taken yet; 0 as long as no member has said where it begins.
    #[must_use]
    pub fn next_revision(&self) -> u64 {
        self.shell.watch_next(self.id)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shell.unwatch(self.id);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("id", &self.id).field("next", &self.next_revision()).finish()
    }
}
