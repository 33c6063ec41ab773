//! What is asked of a cluster and for how long, and the record of what came back.
//!
//! The loop is closed: each of `connections × in_flight` callers sends its next operation when the last one is
//! answered. So a cluster that stalls is asked less, and the latencies of a closed loop say how long an operation
//! takes at that many outstanding ones, not at a rate.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::failure::{Doing, Failure};

/// Latencies above this are recorded as this.
const LONGEST: Duration = Duration::from_secs(60);

/// How much is asked at once, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Connections, at least 1.
    pub(crate) connections: u32,
    /// Operations outstanding on each connection, at least 1.
    pub(crate) in_flight: u32,
    /// Bytes of each value.
    pub(crate) value_bytes: u32,
    /// The load runs this long before anything counts.
    pub(crate) warmup: Duration,
    /// What is answered in this long after the warm-up counts.
    pub(crate) measured: Duration,
    /// Ends the measurement early, after so many operations. For tests: seconds do not bound the work of a run.
    pub(crate) operations: Option<u64>,
}

impl Load {
    /// The name of a row: connections × in flight.
    pub(crate) fn name(&self) -> String {
        format!("{} × {}", self.connections, self.in_flight)
    }

    /// The window of a run that begins now.
    pub(crate) fn window(&self) -> Window {
        let begin = Instant::now() + self.warmup;
        Window { begin, end: begin + self.measured }
    }
}

/// The time in which answers count.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    /// The end of the warm-up.
    pub(crate) begin: Instant,
    /// What is answered from here on does not count.
    pub(crate) end: Instant,
}

/// A histogram of nanoseconds with three digits.
pub(crate) fn histogram() -> Result<Histogram<u64>, Failure> {
    Histogram::new_with_max(LONGEST.as_nanos() as u64, 3).doing(|| "make a histogram".to_owned())
}

/// Collects the answers of one run.
#[derive(Debug)]
pub(crate) struct Recorder {
    window: Window,
    operations: u64,
    latencies: Histogram<u64>,
    errors: u64,
    first_error: Option<String>,
    /// When the last answer that counts came, if the run was ended by a number of operations.
    full: Option<Instant>,
}

impl Recorder {
    /// For a run of `load` in `window`.
    pub(crate) fn new(load: &Load, window: Window) -> Result<Self, Failure> {
        let operations = load.operations.unwrap_or(u64::MAX);
        Ok(Self { window, operations, latencies: histogram()?, errors: 0, first_error: None, full: None })
    }

    /// An answer that came at `now` to what was sent at `sent`.
    pub(crate) fn answer(&mut self, sent: Instant, now: Instant) {
        if self.counts(now) {
            self.latencies.saturating_record((now - sent).as_nanos() as u64);
            if self.latencies.len() >= self.operations {
                self.full = Some(now);
            }
        }
    }

    /// A refusal or a failure that came at `now`; it counts as an error and as nothing else. The first one is kept, even of
    /// the warm-up.
    pub(crate) fn error(&mut self, now: Instant, why: String) {
        self.first_error.get_or_insert(why);
        if self.counts(now) {
            self.errors += 1;
        }
    }

    /// When the run ends, if no number of operations ends it before.
    pub(crate) fn end(&self) -> Instant {
        self.window.end
    }

    /// Whether the run ends here.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        now >= self.window.end || self.full.is_some()
    }

    fn counts(&self, now: Instant) -> bool {
        now >= self.window.begin && !self.is_over(now)
    }

    /// What was recorded.
    pub(crate) fn finish(self) -> Answers {
        let end = self.full.unwrap_or(self.window.end);
        Answers {
            elapsed: end.saturating_duration_since(self.window.begin),
            latencies: self.latencies,
            errors: self.errors,
            first_error: self.first_error,
        }
    }
}

/// What came back in the window of a run.
#[derive(Debug)]
pub(crate) struct Answers {
    /// How long the window was.
    pub(crate) elapsed: Duration,
    /// Nanoseconds from before the write of a request to after the read of its answer; one sample for each
    /// operation that was answered.
    pub(crate) latencies: Histogram<u64>,
    /// Operations that were refused or failed.
    pub(crate) errors: u64,
    /// The first error: one says more than their number.
    pub(crate) first_error: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(operations: Option<u64>) -> Load {
        let second = Duration::from_secs(1);
        Load { connections: 1, in_flight: 1, value_bytes: 256, warmup: second, measured: second, operations }
    }

    #[test]
    fn only_answers_inside_the_window_count() {
        let load = load(None);
        let window = load.window();
        let mut recorder = Recorder::new(&load, window).unwrap();
        let tick = Duration::from_micros(10);
        for now in [window.begin - tick, window.begin, window.end - tick, window.end] {
            recorder.answer(now - tick, now);
        }
        assert!(recorder.is_over(window.end) && !recorder.is_over(window.end - tick));
        let answers = recorder.finish();
        assert_eq!((answers.latencies.len(), answers.elapsed), (2, load.measured));
    }

    #[test]
    fn a_bound_on_operations_ends_the_run_and_its_time() {
        let load = load(Some(3));
        let window = load.window();
        let mut recorder = Recorder::new(&load, window).unwrap();
        let tick = Duration::from_micros(10);
        for number in 1..=5 {
            recorder.answer(window.begin, window.begin + tick * number);
        }
        assert!(recorder.is_over(window.begin + tick * 3));
        let answers = recorder.finish();
        assert_eq!((answers.latencies.len(), answers.elapsed), (3, tick * 3));
    }

    #[test]
    fn a_latency_beyond_the_range_is_kept_as_the_longest() {
        let mut load = load(None);
        load.measured = LONGEST * 3;
        let window = load.window();
        let mut recorder = Recorder::new(&load, window).unwrap();
        recorder.answer(window.begin, window.begin + LONGEST * 2);
        let latencies = recorder.finish().latencies;
        assert!(latencies.len() == 1 && latencies.max() >= LONGEST.as_nanos() as u64);
    }
}
