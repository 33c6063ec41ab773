//! The log: lines for people or objects for machines, on standard error, and not more of them than anybody reads.
//!
//! # Why warnings are limited
//! A disk that is full or a peer that is gone makes the same line thousands of times in a second. That hides what else is
//! said, and slows the node down when it is worst off. So of each place in the code that warns, so many lines a second are
//! written; the rest is counted, and the count is a line of its own. What is no warning is never limited: edges of machines and
//! steps of a life are few, and each is wanted.

use std::collections::HashMap;
use std::fmt;
use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt as lines, reload};

/// The target of warnings and errors that are never left out: those about the configuration, and those that say how many others
/// were.
pub(crate) const UNLIMITED: &str = "holdfast_server::always";

/// Characters that are kept of a message, to say later which one it was.
const LIKE_MAX: usize = 120;

/// The log of this process.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    filter: reload::Handle<EnvFilter, Registry>,
    limiter: Limiter,
}

/// Begins to log. If somebody in this process has done so already, their way stays.
pub(crate) fn start(filter: EnvFilter, json: bool, rate: u32) -> Log {
    let limiter = Limiter::new(rate);
    let (filter, handle) = reload::Layer::new(filter);
    let color =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
    let human = || lines::layer().with_writer(std::io::stderr).with_ansi(color).with_target(false);
    let machine = || {
        lines::layer()
            .with_writer(std::io::stderr)
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
    };
    let registry = tracing_subscriber::registry().with(filter).with(limiter.clone());
    let _ = registry.with((!json).then(human)).with(json.then(machine)).try_init();
    Log { filter: handle, limiter }
}

impl Log {
    /// Chooses other lines from now on.
    ///
    /// # Errors
    /// What is wrong with the filter; nothing is changed then.
    pub(crate) fn choose(&self, filter: &str) -> Result<(), String> {
        let filter = EnvFilter::builder().parse(filter).map_err(|error| error.to_string())?;
        self.filter.reload(filter).map_err(|error| error.to_string())
    }

    /// Writes so many warnings of one kind in a second from now on; any number if it is 0.
    pub(crate) fn limit(&self, rate: u32) {
        self.limiter.0.rate.store(rate, Ordering::Relaxed);
    }

    /// Says how many lines were left out since this was last called.
    pub(crate) fn tell_suppressed(&self) {
        for (like, suppressed) in self.limiter.take_suppressed() {
            tracing::warn!(target: UNLIMITED, suppressed, like, "{suppressed} more suppressed");
        }
    }
}

/// Lets so many warnings of one place in the code through in a second. Clones are the same.
#[derive(Clone, Debug)]
struct Limiter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    rate: AtomicU32,
    began: Instant,
    /// By the place in the code, of which there are some hundreds at most.
    buckets: Mutex<HashMap<Identifier, Bucket>>,
}

/// Tokens of one place: as many as a second has, filled up evenly.
#[derive(Debug, Default)]
struct Bucket {
    /// Thousandths of a token that are left.
    left: u64,
    /// When that was counted, in milliseconds; `None` before the first line.
    at: Option<u64>,
    suppressed: u64,
    /// The first message that was left out.
    like: String,
}

impl Bucket {
    /// Whether one more line may be written at this moment.
    fn admits(&mut self, rate: u32, now_ms: u64) -> bool {
        let full = u64::from(rate) * 1_000;
        let passed = self.at.map(|at| now_ms.saturating_sub(at));
        self.left = passed.map_or(full, |passed| full.min(self.left + passed.saturating_mul(rate.into())));
        self.at = Some(now_ms);
        let admits = self.left >= 1_000;
        self.left -= if admits { 1_000 } else { 0 };
        admits
    }
}

impl Limiter {
    fn new(rate: u32) -> Self {
        let buckets = Mutex::new(HashMap::new());
        Self(Arc::new(Shared { rate: AtomicU32::new(rate), began: Instant::now(), buckets }))
    }

    /// What was left out by now: which message, and how often.
    fn take_suppressed(&self) -> Vec<(String, u64)> {
        let mut buckets = self.0.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let suppressed = buckets.values_mut().filter(|bucket| bucket.suppressed > 0);
        suppressed
            .map(|bucket| (std::mem::take(&mut bucket.like), std::mem::take(&mut bucket.suppressed)))
            .collect()
    }

    fn admits(&self, of: &Metadata<'_>, event: &Event<'_>) -> bool {
        let rate = self.0.rate.load(Ordering::Relaxed);
        if rate == 0 || *of.level() > Level::WARN || of.target() == UNLIMITED {
            return true;
        }
        let now_ms = u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut buckets = self.0.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(of.callsite()).or_default();
        if bucket.admits(rate, now_ms) {
            return true;
        }
        if bucket.suppressed == 0 {
            event.record(&mut Message(&mut bucket.like));
        }
        bucket.suppressed += 1;
        false
    }
}

impl<S: Subscriber> Layer<S> for Limiter {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        self.admits(event.metadata(), event)
    }
}

/// Takes the message out of an event.
struct Message<'a>(&'a mut String);

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            *self.0 = format!("{value:?}").chars().take(LIKE_MAX).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_lets_a_second_full_through_at_once_and_then_what_time_brings() {
        let mut bucket = Bucket::default();
        let admitted = |bucket: &mut Bucket, now| (0..100).filter(|_| bucket.admits(10, now)).count();
        assert_eq!(admitted(&mut bucket, 5_000), 10);
        assert_eq!(admitted(&mut bucket, 5_050), 0, "half a token is none");
        assert_eq!(admitted(&mut bucket, 5_100), 1, "and is not lost");
        assert_eq!(admitted(&mut bucket, 5_600), 5);
        assert_eq!(admitted(&mut bucket, 1_000_000), 10, "never more than a second has");
    }

    #[test]
    fn repeated_warnings_are_counted_with_their_message_and_everything_else_is_written() {
        let limiter = Limiter::new(3);
        let subscriber = tracing_subscriber::registry().with(limiter.clone());
        tracing::subscriber::with_default(subscriber, || {
            for round in 0..1_000 {
                tracing::warn!(round, "the disk is slow");
                tracing::info!(round, "an edge");
            }
        });
        // As many more as time has brought meanwhile.
        let suppressed = limiter.take_suppressed();
        assert_eq!(suppressed.len(), 1, "{suppressed:?}");
        assert_eq!(suppressed[0].0, "the disk is slow");
        assert!((1..=997).contains(&suppressed[0].1), "{suppressed:?}");
        assert_eq!(limiter.take_suppressed(), [], "each is told once");
    }
}
