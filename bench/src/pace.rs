//! When calls are due: at once when an answer is there (a closed loop), or at times that nobody's answers move (an open loop).
//!
//! In a closed loop a server that stalls is asked less, so the stall is a few slow samples among many: *coordinated omission*.
//! An open loop has a schedule. Each call has an *intended* time that depends on nothing but rate, arrivals and seed, and its
//! latency counts from there, however late it was sent. So each call that a stall kept waiting is a slow sample of its own.
//!
//! Nothing here reads a clock: times are given, so that tests run on a virtual one.

use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::load::Window;

/// How intended times follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Arrivals {
    /// One call each so many microseconds; connections take turns.
    Constant,
    /// By chance, each independent of all others, as calls of many users are: they come in bunches.
    Poisson,
}

impl Arrivals {
    /// As it stands on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Poisson => "poisson",
        }
    }
}

/// The schedule of a whole run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pace {
    /// Calls in a second, of all connections together; above 0 and finite.
    pub(crate) rate: f64,
    /// How they follow one another.
    pub(crate) arrivals: Arrivals,
    /// What chance begins with.
    pub(crate) seed: u64,
}

/// SplitMix64: the state is a count, the output its mixture.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// The sequence of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number of it.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A gap before the next arrival, in means; exponentially distributed.
    fn gap(&mut self) -> f64 {
        // Of (0, 1]: the logarithm of 0 would be a gap without end.
        let part = ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        -part.ln()
    }
}

/// The intended times of one connection, in order.
#[derive(Debug)]
struct Schedule {
    arrivals: Arrivals,
    begin: Instant,
    /// Seconds between two calls, on average.
    mean: f64,
    /// Means from `begin` to the next call.
    at: f64,
    random: Random,
}

impl Schedule {
    /// Of connection `number` of so many, which all begin at `begin`.
    fn new(pace: &Pace, connections: u32, number: u32, begin: Instant) -> Self {
        let connections = connections.max(1);
        // Numbers that differ by one are far apart in the sequence of the generator only after mixing.
        let seed = Random::new(pace.seed ^ (u64::from(number) << 32)).next();
        let mut random = Random::new(seed);
        let at = match pace.arrivals {
            Arrivals::Constant => f64::from(number) / f64::from(connections),
            Arrivals::Poisson => random.gap(),
        };
        Self { arrivals: pace.arrivals, begin, mean: f64::from(connections) / pace.rate, at, random }
    }

    /// When the next call is due; never, if that is beyond what the clock can say.
    fn due(&self) -> Option<Instant> {
        self.begin.checked_add(Duration::try_from_secs_f64(self.at * self.mean).ok()?)
    }

    fn advance(&mut self) {
        self.at += match self.arrivals {
            Arrivals::Constant => 1.0,
            Arrivals::Poisson => self.random.gap(),
        };
    }
}

/// The calls of one connection: which are outstanding, since when each of them counts, and when the next one is due.
#[derive(Debug)]
pub(crate) struct Slots {
    schedule: Option<Schedule>,
    /// Calls are due before this only.
    end: Instant,
    free: Vec<usize>,
    /// Since when the call at each place counts; `None` for one that is free.
    since: Vec<Option<Instant>>,
}

impl Slots {
    /// Of a connection with at most `in_flight` outstanding, in a closed loop.
    pub(crate) fn closed(in_flight: u32, window: Window) -> Self {
        let places = in_flight as usize;
        // The last one is taken first.
        Self { schedule: None, end: window.end, free: (0..places).rev().collect(), since: vec![None; places] }
    }

    /// Of connection `number` of `connections`, as `load` wants them. A schedule begins with the warm-up.
    pub(crate) fn new(load: &crate::load::Load, number: u32, window: Window) -> Self {
        let schedule = load.pace.map(|pace| {
            let begin = window.begin.checked_sub(load.warmup).unwrap_or(window.begin);
            Schedule::new(&pace, load.connections, number, begin)
        });
        Self { schedule, ..Self::closed(load.in_flight, window) }
    }

    /// A place whose call is to be sent at `now`, if there is one: it is outstanding from here on. Second comes since when it
    /// counts: since its intended time, or since `now` in a closed loop.
    pub(crate) fn take(&mut self, now: Instant) -> Option<(usize, Instant)> {
        let since = match &self.schedule {
            None => now,
            Some(schedule) => schedule.due().filter(|due| *due <= now && *due < self.end)?,
        };
        let place = self.free.pop()?;
        if let Some(schedule) = &mut self.schedule {
            schedule.advance();
        }
        self.since[place] = Some(since);
        Some((place, since))
    }

    /// The call at a place is answered: since when it counts. `None` if none is outstanding there.
    pub(crate) fn answered(&mut self, place: usize) -> Option<Instant> {
        let since = self.since.get_mut(place)?.take()?;
        self.free.push(place);
        Some(since)
    }

    /// When the next call is due, if it is a schedule that is to be waited for and not an answer.
    pub(crate) fn wake(&self) -> Option<Instant> {
        let due = self.schedule.as_ref()?.due().filter(|due| *due < self.end)?;
        (!self.free.is_empty()).then_some(due)
    }

    /// How many are outstanding.
    pub(crate) fn outstanding(&self) -> usize {
        self.since.len() - self.free.len()
    }

    /// Whether a schedule has ended and all its calls are answered. A closed loop has no end of its own.
    pub(crate) fn is_done(&self) -> bool {
        let ended =
            self.schedule.as_ref().is_some_and(|schedule| schedule.due().is_none_or(|due| due >= self.end));
        ended && self.outstanding() == 0
    }

    /// Whether there is a schedule.
    pub(crate) fn is_open(&self) -> bool {
        self.schedule.is_some()
    }

    /// Nothing that is outstanding will be answered: at which places that was, and since when each of those counts.
    pub(crate) fn reset(&mut self) -> Vec<(usize, Instant)> {
        (0..self.since.len()).filter_map(|place| Some((place, self.answered(place)?))).collect()
    }

    /// The next call that was due before `end` and is never sent. Each is told once.
    pub(crate) fn unsent(&mut self) -> Option<Instant> {
        let schedule = self.schedule.as_mut()?;
        let due = schedule.due().filter(|due| *due < self.end)?;
        schedule.advance();
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::ops::Range;

    use super::*;
    use crate::load::{Answers, Load, Recorder};

    const MS: Duration = Duration::from_millis(1);

    fn load(pace: Option<Pace>) -> Load {
        let measured = Duration::from_secs(10);
        let warmup = Duration::from_secs(1);
        Load { connections: 2, in_flight: 1024, value_bytes: 1, warmup, measured, operations: None, pace }
    }

    fn pace(rate: f64, arrivals: Arrivals) -> Pace {
        Pace { rate, arrivals, seed: 7 }
    }

    /// Intended times of a connection, since the begin of its schedule.
    fn times(load: &Load, number: u32) -> Vec<Duration> {
        let begin = Instant::now();
        let window = Window { begin: begin + load.warmup, end: begin + load.warmup + load.measured };
        let mut slots = Slots::new(load, number, window);
        std::iter::from_fn(|| slots.unsent()).map(|due| due - begin).collect()
    }

    #[test]
    fn constant_arrivals_are_even_and_connections_take_turns() {
        let load = load(Some(pace(100.0, Arrivals::Constant)));
        let (even, odd) = (times(&load, 0), times(&load, 1));
        assert_eq!((even.len(), odd.len()), (550, 550));
        assert_eq!(even[..3], [Duration::ZERO, MS * 20, MS * 40]);
        assert_eq!(odd[..3], [MS * 10, MS * 30, MS * 50]);
        // The last one is where it belongs: nothing adds up.
        assert_eq!(odd.last(), Some(&(MS * 10 + MS * 20 * 549)));
    }

    #[test]
    fn poisson_arrivals_are_the_same_for_a_seed_and_have_the_rate_and_the_spread_of_chance() {
        let load = load(Some(pace(2000.0, Arrivals::Poisson)));
        let all = times(&load, 0);
        assert_eq!(all, times(&load, 0));
        assert_ne!(all, times(&load, 1));
        let gaps: Vec<f64> = all.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        // 11,000 gaps: 5 standard errors of the mean are 5 %. Of an exponential distribution the spread is the mean.
        assert!((0.95..1.05).contains(&(mean / 0.001)), "seed 7: mean {mean}");
        assert!((0.9..1.1).contains(&(variance.sqrt() / mean)), "seed 7: spread {variance}");
    }

    #[test]
    fn a_call_counts_since_its_intended_time_and_a_closed_one_since_it_was_sent() {
        let begin = Instant::now();
        let window = Window { begin: begin + MS * 1000, end: begin + MS * 11_000 };
        let mut open = Slots::new(&load(Some(pace(100.0, Arrivals::Constant))), 0, window);
        assert_eq!(open.take(begin).map(|(_, since)| since), Some(begin));
        assert_eq!(open.take(begin), None);
        assert_eq!(open.wake(), Some(begin + MS * 20));
        let late = begin + MS * 45;
        let (place, since) = open.take(late).unwrap();
        assert_eq!(since, begin + MS * 20);
        assert_eq!(open.take(late).map(|(_, since)| since), Some(begin + MS * 40));
        assert_eq!((open.answered(place), open.answered(place)), (Some(since), None));
        assert_eq!((open.reset().len(), open.outstanding()), (2, 0));
        let mut closed = Slots::closed(1, window);
        assert_eq!((closed.take(late), closed.take(late), closed.wake()), (Some((0, late)), None, None));
    }

    #[test]
    fn a_schedule_waits_for_a_place_and_is_done_when_all_is_answered() {
        let begin = Instant::now();
        let window = Window { begin, end: begin + MS * 30 };
        let pace = Some(pace(100.0, Arrivals::Constant));
        let load = Load { connections: 1, in_flight: 1, warmup: Duration::ZERO, ..load(pace) };
        let mut slots = Slots::new(&load, 0, window);
        for round in 0..3 {
            let (place, since) = slots.take(begin + MS * 500).unwrap();
            assert_eq!(since, begin + MS * 10 * round);
            // The next is due; there is no place.
            assert_eq!((slots.take(begin + MS * 500), slots.wake(), slots.is_done()), (None, None, false));
            slots.answered(place);
        }
        assert!(slots.is_done() && slots.unsent().is_none());
    }

    /// A server that takes 200 µs for a call, and answers nothing from second 5 to 5.5 of the window, against the loops as the
    /// generators run them, on a virtual clock.
    fn against_a_stall(load: &Load) -> Answers {
        let (step, service) = (Duration::from_micros(100), Duration::from_micros(200));
        against(load, step, service, 5000..5500)
    }

    /// The same with another clock and server, and with a stall in these milliseconds of the window.
    fn against(load: &Load, step: Duration, service: Duration, stall: Range<u32>) -> Answers {
        let begin = Instant::now();
        let window = Window { begin: begin + load.warmup, end: begin + load.warmup + load.measured };
        let (stall, wakes) = (window.begin + MS * stall.start, window.begin + MS * stall.end);
        let mut recorder = Recorder::new(load, window).unwrap();
        let mut slots = Slots::new(load, 0, window);
        let mut server: VecDeque<(Instant, usize)> = VecDeque::new();
        let mut now = begin;
        while !recorder.is_over(now) && !slots.is_done() {
            while let Some((place, since)) = slots.take(now) {
                recorder.sent(since, now);
                server.push_back((now + service, place));
            }
            now += step;
            while server.front().is_some_and(|(at, _)| *at <= now) && !(stall..wakes).contains(&now) {
                let (_, place) = server.pop_front().unwrap();
                let since = slots.answered(place).unwrap();
                recorder.answer(since, now);
            }
        }
        recorder.finish()
    }

    /// The page on measuring has these numbers in a table.
    #[test]
    fn the_worked_example_of_the_page_is_what_both_loops_record() {
        let whole = |in_flight, pace| Load {
            connections: 1,
            in_flight,
            warmup: Duration::ZERO,
            measured: Duration::from_secs(100),
            ..load(pace)
        };
        let millis = |load: &Load| {
            let latencies = against(load, MS, MS, 10_000..12_000).latencies;
            let at = |part| (latencies.value_at_quantile(part) as f64 / 1e6).round();
            let [p50, p99, p999] = [0.5, 0.99, 0.999].map(at);
            let max = latencies.max() as f64 / 1e6;
            (latencies.len(), p50, p99, p999, max, latencies.mean() / 1e6)
        };
        let near = |value: f64, wanted: f64| (value - wanted).abs() <= wanted * 0.003;
        let (count, p50, p99, p999, max, mean) = millis(&whole(1, None));
        assert!((97_999..=98_001).contains(&count), "{count}");
        assert_eq!((p50, p99, p999), (1.0, 1.0, 1.0));
        assert!(near(max, 2001.0) && near(mean, 1.02), "{max} {mean}");
        let (count, p50, p99, p999, max, mean) = millis(&whole(4096, Some(pace(1000.0, Arrivals::Constant))));
        assert_eq!((count, p50), (100_000, 1.0));
        assert!(near(p99, 1000.0) && near(p999, 1900.0), "{p99} {p999}");
        assert!(near(max, 2001.0) && near(mean, 20.99), "{max} {mean}");
    }

    #[test]
    fn a_stalled_server_shows_in_the_p99_of_an_open_loop_and_not_as_fewer_samples() {
        let pace = Some(pace(1000.0, Arrivals::Constant));
        // There are places for 8 while 500 are due: most of them are sent late, and count all the same.
        let open = against_a_stall(&Load { connections: 1, in_flight: 8, ..load(pace) });
        // One for each intended call, though for half a second none was answered; 500 of them waited for its end.
        assert_eq!(open.latencies.len(), 10_000);
        let p99 = Duration::from_nanos(open.latencies.value_at_quantile(0.99));
        assert!((MS * 390..MS * 410).contains(&p99), "{p99:?}");
        let paced = open.paced.unwrap();
        assert_eq!((paced.scheduled, paced.missed, paced.is_void()), (10_000, 0, false));
        // What the same stall is to a closed loop.
        let closed = against_a_stall(&Load { connections: 1, in_flight: 1, ..load(None) });
        assert!(closed.latencies.value_at_quantile(0.99) < 1_000_000);
        assert!(closed.latencies.len() < 47_501 && closed.paced.is_none(), "{}", closed.latencies.len());
    }

    #[test]
    fn a_rate_beyond_what_is_answered_voids_the_point_and_all_is_counted() {
        // One place and 200 µs: 5,000 calls a second at most, of 10,000.
        let pace = Some(pace(10_000.0, Arrivals::Constant));
        let answers = against_a_stall(&Load { connections: 1, in_flight: 1, ..load(pace) });
        let paced = answers.paced.unwrap();
        assert!(paced.is_void() && paced.missed > 45_000, "{} of {}", paced.missed, paced.scheduled);
        // What was answered behind the end is no throughput.
        assert!(
            answers.in_time <= 50_000 && answers.in_time < answers.latencies.len(),
            "{}",
            answers.in_time
        );
    }
}
