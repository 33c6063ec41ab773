//! What is asked of a cluster and for how long, and the record of what came back.
//!
//! Without a [`Pace`] the loop is closed: each of `connections × in_flight` callers sends its next operation when the last
//! one is answered. So a cluster that stalls is asked less, and the latencies of a closed loop say how long an operation
//! takes at that many outstanding ones, not at a rate. With one it is open, and counts from the intended times.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::failure::{Doing, Failure};
use crate::pace::Pace;

/// Latencies above this are recorded as this.
const LONGEST: Duration = Duration::from_secs(60);
/// Of an open loop: so long after its end, what was due before is still waited for.
const DRAIN: Duration = Duration::from_secs(10);
/// A window has so many intervals at most, so that one of a day needs no more memory than one of a minute.
const INTERVALS_MAX: u32 = 120;
/// No interval is shorter.
const INTERVAL: Duration = Duration::from_secs(1);
/// A schedule of which more than this part was missed says nothing about its rate.
const MISSED_MAX: f64 = 0.01;

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
    /// The schedule of an open loop; `None` for a closed one.
    pub(crate) pace: Option<Pace>,
}

impl Load {
    /// The name of a row: connections × in flight, and the rate of an open loop.
    pub(crate) fn name(&self) -> String {
        let rate = self.pace.map(|pace| format!(" at {}/s", pace.rate)).unwrap_or_default();
        format!("{} × {}{rate}", self.connections, self.in_flight)
    }

    /// How long an interval is: a second, or as long as it has to be for [`INTERVALS_MAX`].
    fn interval(&self) -> Duration {
        let seconds = (self.measured / INTERVALS_MAX).as_secs_f64().ceil();
        Duration::from_secs_f64(seconds).max(INTERVAL)
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

/// What goes on beside a run, as whoever brings it about says it: the run tells its answers apart by it, and ends when it is
/// told to. An answer belongs to the phase in which it comes.
#[derive(Debug)]
pub(crate) struct Phases {
    now: AtomicUsize,
    over: AtomicBool,
    /// How long each phase was, and since when the one of now is.
    times: Mutex<(Vec<Duration>, Instant)>,
}

impl Phases {
    /// `count` of them, at least 1; the first one begins at `begin`, which may lie ahead.
    pub(crate) fn new(count: usize, begin: Instant) -> Self {
        let times = Mutex::new((vec![Duration::ZERO; count], begin));
        Self { now: AtomicUsize::new(0), over: AtomicBool::new(false), times }
    }

    /// The phase of now is `phase` from now on.
    pub(crate) fn enter(&self, phase: usize) {
        let now = Instant::now();
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let (lengths, since) = &mut *times;
        if let Some(length) = lengths.get_mut(self.now.swap(phase, Ordering::AcqRel)) {
            *length += now.saturating_duration_since(*since);
        }
        *since = now.max(*since);
    }

    /// Ends the run.
    pub(crate) fn end(&self) {
        self.enter(self.now.load(Ordering::Acquire));
        self.over.store(true, Ordering::Release);
    }

    /// How long each phase was, as often as it was, up to the last change.
    pub(crate) fn lengths(&self) -> Vec<Duration> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }
}

/// Collects the answers of one run.
#[derive(Debug)]
pub(crate) struct Recorder {
    window: Window,
    operations: u64,
    latencies: Histogram<u64>,
    errors: u64,
    unknown: u64,
    first_error: Option<String>,
    /// When the last answer that counts came, if the run was ended by a number of operations.
    full: Option<Instant>,
    phases: Option<Arc<Phases>>,
    /// The answers of each phase.
    of_phases: Vec<Histogram<u64>>,
    /// Of an open loop.
    paced: Option<Paced>,
    interval: Duration,
    /// The answers of each interval since the begin of the window, by the time of the answer; the last may lie behind its end.
    intervals: Vec<Histogram<u64>>,
    /// Those of the samples whose answer came before the end of the window.
    in_time: u64,
    /// How many have been answered so far, for those who watch.
    told: Arc<AtomicU64>,
    /// The same calls once more, each with those of its kind; empty if they are all of one kind.
    apart: Vec<Recorder>,
}

impl Recorder {
    /// For a run of `load` in `window`.
    pub(crate) fn new(load: &Load, window: Window) -> Result<Self, Failure> {
        let operations = load.operations.unwrap_or(u64::MAX);
        Ok(Self {
            window,
            operations,
            latencies: histogram()?,
            errors: 0,
            unknown: 0,
            first_error: None,
            full: None,
            phases: None,
            of_phases: Vec::new(),
            paced: load
                .pace
                .map(|_| Ok(Paced { scheduled: 0, missed: 0, late: histogram()? }))
                .transpose()?,
            interval: load.interval(),
            intervals: Vec::new(),
            in_time: 0,
            told: Arc::default(),
            apart: Vec::new(),
        })
    }

    /// The same, for calls of so many kinds, which are told apart as well.
    pub(crate) fn of_kinds(mut self, load: &Load, kinds: usize) -> Result<Self, Failure> {
        // All of them together end the run.
        let load = Load { operations: None, ..*load };
        self.apart = (0..kinds).map(|_| Self::new(&load, self.window)).collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// [`sent`](Self::sent), of a call of this kind.
    pub(crate) fn sent_of(&mut self, kind: usize, since: Instant, now: Instant) {
        if let Some(apart) = self.apart.get_mut(kind).filter(|_| self.full.is_none()) {
            apart.sent(since, now);
        }
        self.sent(since, now);
    }

    /// [`answer`](Self::answer), of a call of this kind.
    pub(crate) fn answer_of(&mut self, kind: usize, since: Instant, now: Instant) {
        let counts = self.counts(since, now);
        if let Some(apart) = self.apart.get_mut(kind).filter(|_| counts) {
            apart.answer(since, now);
        }
        self.answer(since, now);
    }

    /// [`error`](Self::error), of a call of this kind.
    pub(crate) fn error_of(&mut self, kind: usize, now: Instant, why: String) {
        if let Some(apart) = self.apart.get_mut(kind).filter(|_| self.full.is_none()) {
            apart.error(now, why.clone());
        }
        self.error(now, why);
    }

    /// [`lost`](Self::lost), of a call of this kind; one that `may_be_done` has an unknown outcome.
    pub(crate) fn lost_of(
        &mut self,
        kind: usize,
        since: Instant,
        now: Instant,
        why: &str,
        may_be_done: bool,
    ) {
        let lose = |recorder: &mut Self| {
            let before = recorder.errors;
            recorder.lost(since, now, why);
            recorder.unknown += if may_be_done { recorder.errors - before } else { 0 };
        };
        if let Some(apart) = self.apart.get_mut(kind).filter(|_| self.full.is_none()) {
            lose(apart);
        }
        lose(self);
    }

    /// The same, with the count of its answers in `told`.
    pub(crate) fn telling(self, told: &Arc<AtomicU64>) -> Self {
        Self { told: Arc::clone(told), ..self }
    }

    /// A call that counts since `since` was sent at `now`.
    pub(crate) fn sent(&mut self, since: Instant, now: Instant) {
        if self.paced.is_some() && self.counts(since, now) {
            let missed = now >= self.window.end;
            if let Some(paced) = &mut self.paced {
                paced.scheduled += 1;
                paced.missed += u64::from(missed);
                paced.late.saturating_record((now - since).as_nanos() as u64);
            }
        }
    }

    /// A call that was due at `since` was never sent. Of which kind it would have been nobody knows: each has missed it.
    pub(crate) fn unsent(&mut self, since: Instant) {
        if self.full.is_none() {
            self.apart.iter_mut().for_each(|apart| apart.unsent(since));
        }
        if self.full.is_none()
            && since >= self.window.begin
            && let Some(paced) = &mut self.paced
        {
            paced.scheduled += 1;
            paced.missed += 1;
        }
    }

    /// The same, for a run whose answers are told apart by phases, and which they may end.
    pub(crate) fn in_phases(load: &Load, window: Window, phases: &Arc<Phases>) -> Result<Self, Failure> {
        let of_phases = phases.lengths().iter().map(|_| histogram()).collect::<Result<_, _>>()?;
        Ok(Self { phases: Some(Arc::clone(phases)), of_phases, ..Self::new(load, window)? })
    }

    /// An answer that came at `now` to what counts since `sent`.
    pub(crate) fn answer(&mut self, sent: Instant, now: Instant) {
        if self.counts(sent, now) {
            let nanos = (now - sent).as_nanos() as u64;
            self.latencies.saturating_record(nanos);
            self.in_time += u64::from(now < self.window.end);
            self.told.fetch_add(1, Ordering::Relaxed);
            let at = (now - self.window.begin).as_nanos() / self.interval.as_nanos().max(1);
            let at = usize::try_from(at).unwrap_or(usize::MAX).min(2 * INTERVALS_MAX as usize);
            while self.intervals.len() <= at {
                // Grows with what it holds: most intervals hold nothing slow. Three digits are always possible.
                let Ok(interval) = Histogram::new(3) else { break };
                self.intervals.push(interval);
            }
            if let Some(interval) = self.intervals.get_mut(at) {
                // It grows, so that nothing is out of range.
                let _ = interval.record(nanos.min(LONGEST.as_nanos() as u64));
            }
            if let Some(phases) = &self.phases
                && let Some(of_phase) = self.of_phases.get_mut(phases.now.load(Ordering::Acquire))
            {
                of_phase.saturating_record(nanos);
            }
            if self.latencies.len() >= self.operations {
                self.full = Some(now);
            }
        }
    }

    /// A refusal or a failure that came at `now`; it counts as an error and as nothing else. The first one is kept, even of
    /// the warm-up.
    pub(crate) fn error(&mut self, now: Instant, why: String) {
        self.first_error.get_or_insert(why);
        if now >= self.window.begin && !self.is_over(now) {
            self.errors += 1;
        }
    }

    /// A call that counts since `since`, and whose answer nobody waits for any more at `now`, for the reason `why`.
    pub(crate) fn lost(&mut self, since: Instant, now: Instant, why: &str) {
        self.first_error.get_or_insert_with(|| why.to_owned());
        let due = since >= self.window.begin && since < self.window.end && self.full.is_none();
        let counts = if self.paced.is_some() { due } else { now >= self.window.begin && !self.is_over(now) };
        self.errors += u64::from(counts);
    }

    /// The time in which answers count.
    pub(crate) fn window(&self) -> Window {
        self.window
    }

    /// When the run ends, if no number of operations ends it before.
    pub(crate) fn end(&self) -> Instant {
        self.window.end
    }

    /// Whether the run ends here.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        let ended = self.phases.as_ref().is_some_and(|phases| phases.over.load(Ordering::Acquire));
        now >= self.last() || self.full.is_some() || ended
    }

    /// After this nothing is waited for. Of an open loop it lies behind the end: what was due in time is waited for, as to leave
    /// it out would be to leave out the slowest.
    pub(crate) fn last(&self) -> Instant {
        if self.paced.is_some() { self.window.end + DRAIN } else { self.window.end }
    }

    /// Of an open loop a call counts by its intended time, of a closed one by the time of its answer.
    fn counts(&self, since: Instant, now: Instant) -> bool {
        let at = if self.paced.is_some() { since } else { now };
        at >= self.window.begin && at < self.window.end && !self.is_over(now)
    }

    /// What was recorded.
    pub(crate) fn finish(self) -> Answers {
        let end = self.full.unwrap_or(self.window.end);
        let full = self.full;
        let apart = self.apart.into_iter().map(|apart| Self { full, ..apart }.finish()).collect();
        Answers {
            apart,
            elapsed: end.saturating_duration_since(self.window.begin),
            latencies: self.latencies,
            errors: self.errors,
            unknown: self.unknown,
            first_error: self.first_error,
            of_phases: self.of_phases,
            paced: self.paced,
            in_time: self.in_time,
            interval: self.interval,
            intervals: self.intervals,
        }
    }
}

/// How well an open loop kept its schedule.
#[derive(Debug, Clone)]
pub(crate) struct Paced {
    /// Calls that were due in the window.
    pub(crate) scheduled: u64,
    /// Those of them that were not sent before its end.
    pub(crate) missed: u64,
    /// Nanoseconds from when a call was due to when it was sent: what the latencies owe to the generator, and to a
    /// connection on which no place was free.
    pub(crate) late: Histogram<u64>,
}

impl Paced {
    /// Whether so much was missed that the figures are not those of this rate.
    pub(crate) fn is_void(&self) -> bool {
        self.missed as f64 > MISSED_MAX * self.scheduled as f64
    }
}

/// What came back in the window of a run.
#[derive(Debug)]
pub(crate) struct Answers {
    /// How long the window was.
    pub(crate) elapsed: Duration,
    /// Nanoseconds from before the write of a request, or from its intended time, to after the read of its answer; one sample
    /// for each operation that was answered.
    pub(crate) latencies: Histogram<u64>,
    /// Operations that were refused or failed.
    pub(crate) errors: u64,
    /// Those of them that write, and of which nobody said what came of them.
    pub(crate) unknown: u64,
    /// The first error: one says more than their number.
    pub(crate) first_error: Option<String>,
    /// The latencies of each phase; empty for a run that has none.
    pub(crate) of_phases: Vec<Histogram<u64>>,
    /// The answers of each kind; empty for a run of calls of one kind.
    pub(crate) apart: Vec<Answers>,
    /// How the schedule was kept; `None` for a closed loop.
    pub(crate) paced: Option<Paced>,
    /// Operations that were answered before the end of the window: what its rate is made of. All of them, in a closed loop.
    pub(crate) in_time: u64,
    /// How long an interval is.
    pub(crate) interval: Duration,
    /// The latencies of each interval since the begin of the window, by the time of the answer. Those of an open loop go on
    /// behind its end, until all is answered.
    pub(crate) intervals: Vec<Histogram<u64>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(operations: Option<u64>) -> Load {
        let second = Duration::from_secs(1);
        Load {
            connections: 1,
            in_flight: 1,
            value_bytes: 256,
            warmup: second,
            measured: second,
            operations,
            pace: None,
        }
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
        assert_eq!(answers.intervals.iter().map(Histogram::len).sum::<u64>(), 2);
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
    fn answers_belong_to_the_phase_they_come_in_and_the_end_of_the_phases_ends_the_run() {
        let load = load(None);
        let window = Window { begin: Instant::now(), end: Instant::now() + LONGEST };
        let phases = Arc::new(Phases::new(2, window.begin));
        let mut recorder = Recorder::in_phases(&load, window, &phases).unwrap();
        let mut answer = |count| {
            for _ in 0..count {
                recorder.answer(window.begin, Instant::now());
            }
            recorder.is_over(Instant::now())
        };
        answer(2);
        phases.enter(1);
        answer(3);
        phases.enter(0);
        assert!(!answer(1));
        phases.end();
        assert!(answer(7), "nothing counts behind the end");
        let counts: Vec<u64> = recorder.finish().of_phases.iter().map(Histogram::len).collect();
        assert_eq!(counts, [3, 3]);
        let all: Duration = phases.lengths().iter().sum();
        assert!(all > Duration::ZERO && all <= window.begin.elapsed());
    }

    #[test]
    fn calls_of_two_kinds_are_counted_together_and_apart() {
        let load = load(Some(4));
        let window = load.window();
        let mut recorder = Recorder::new(&load, window).unwrap().of_kinds(&load, 2).unwrap();
        let tick = Duration::from_micros(10);
        // Of the first kind each takes one tick, of the second three; the last two come when the run is over.
        for (number, kind) in (1..).zip([0, 1, 0, 0, 1, 0]) {
            let now = window.begin + tick * (number * 10);
            recorder.answer_of(kind, now - tick * (1 + 2 * kind as u32), now);
        }
        recorder.error_of(1, window.begin + tick, "no".to_owned());
        let answers = recorder.finish();
        let of =
            |answers: &Answers| (answers.latencies.len(), answers.latencies.max() / 1000, answers.elapsed);
        assert_eq!(of(&answers), (4, 30, tick * 40));
        let apart: Vec<_> = answers.apart.iter().map(of).collect();
        assert_eq!(apart, [(3, 10, tick * 40), (1, 30, tick * 40)]);
    }

    #[test]
    fn what_is_lost_or_refused_is_an_error_of_its_kind_and_what_was_never_sent_is_missed_by_all() {
        let pace = Pace { rate: 10.0, arrivals: crate::pace::Arrivals::Constant, seed: 1 };
        let load = Load { pace: Some(pace), ..load(None) };
        let window = load.window();
        let mut recorder = Recorder::new(&load, window).unwrap().of_kinds(&load, 2).unwrap();
        let tick = Duration::from_micros(10);
        recorder.sent_of(0, window.begin, window.begin + tick);
        recorder.sent_of(1, window.begin, window.begin + tick);
        recorder.error_of(0, window.begin + tick, "no".to_owned());
        recorder.lost_of(1, window.begin, window.begin + tick, "gone", true);
        recorder.lost_of(1, window.begin + tick, window.begin + tick, "gone", false);
        recorder.unsent(window.begin + tick * 2);
        let answers = recorder.finish();
        let of = |answers: &Answers| {
            let paced = answers.paced.clone().unwrap();
            (answers.errors, paced.scheduled, paced.missed)
        };
        assert_eq!((of(&answers), answers.unknown), ((3, 3, 1), 1));
        assert_eq!(answers.apart.iter().map(of).collect::<Vec<_>>(), [(1, 2, 1), (2, 2, 1)]);
        assert_eq!(answers.apart[1].first_error.as_deref(), Some("gone"));
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
