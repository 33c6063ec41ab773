//! The circuit breaker of one endpoint: who fails is left alone for a while, and then tried with one connection.
//!
//! # Why
//! A node that is gone costs each call that tries it a round trip or a timeout, and a node that comes back is met by
//! the connections of all its clients at once. So after some failures in a row it is not tried at all for a while, with
//! jitter; and then with one connection and one Ping, before calls are sent there again.

mod table;

use holdfast_machine::{Machine, Trace};

pub use self::table::{BreakerEdge, BreakerEvent, BreakerMachine, BreakerState};
use super::backoff::{Rng, backoff};

/// So many failures in a row open the breaker. A node that restarts fails once or twice.
pub const FAILURES_MAX: u32 = 3;

/// About how long an endpoint is left alone for the first time, in milliseconds. Each further time is twice as long.
pub const WAIT_MS: u64 = 100;

/// The longest that an endpoint is left alone: a refused connection costs little, and a node that is back is wanted
/// soon.
pub const WAIT_MAX_MS: u64 = 2_000;

/// How many steps are remembered for a post-mortem.
const TRACE_STEPS: usize = 8;

/// What is known in each state and in no other.
#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed { failures: u32 },
    Open { since: u64, until: u64, trips: u32 },
    HalfOpen { trips: u32 },
}

/// The breaker of one endpoint. See the module documentation.
#[derive(Debug)]
pub struct Breaker {
    phase: Phase,
    trace: Trace<BreakerMachine, TRACE_STEPS>,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { phase: Phase::Closed { failures: 0 }, trace: Trace::new() }
    }
}

impl Breaker {
    /// Where it is.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        match self.phase {
            Phase::Closed { .. } => BreakerState::Closed,
            Phase::Open { .. } => BreakerState::Open,
            Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Until when the endpoint is left alone; `None` if it is not.
    #[must_use]
    pub fn until(&self) -> Option<u64> {
        match self.phase {
            Phase::Open { until, .. } => Some(until),
            Phase::Closed { .. } | Phase::HalfOpen { .. } => None,
        }
    }

    /// The last steps, and how often each edge was taken.
    #[must_use]
    pub fn trace(&self) -> &Trace<BreakerMachine, TRACE_STEPS> {
        &self.trace
    }

    /// Whether a connection may be tried now. To be asked only when one is wanted: an open breaker whose time is over
    /// becomes half-open by it, and the connection is its probe.
    pub fn try_connect(&mut self, now: u64) -> bool {
        match self.phase {
            Phase::Open { until, .. } if now < until => return false,
            Phase::Open { trips, .. } => {
                self.shift(BreakerEvent::WaitOver, now, |_| Phase::HalfOpen { trips });
            }
            Phase::Closed { .. } | Phase::HalfOpen { .. } => {}
        }
        true
    }

    /// Another node says that this one leads, so it is alive: it is left alone for [`WAIT_MS`] at most. No less, since who says so may
    /// not know yet that it died, and says it in answer to each call.
    pub fn vouched(&mut self, now: u64) {
        if let Phase::Open { since, until, .. } = &mut self.phase {
            *until = (*until).min(since.saturating_add(WAIT_MS)).max(now);
        }
    }

    /// The endpoint answered.
    pub fn succeeded(&mut self, now: u64) {
        if let Phase::Closed { failures } = &mut self.phase {
            *failures = 0;
        }
        self.shift(BreakerEvent::Succeeded, now, |_| Phase::Closed { failures: 0 });
    }

    /// A connection failed, could not be made or was lost.
    pub fn failed(&mut self, now: u64, rng: &mut Rng) {
        let (event, trips) = match &mut self.phase {
            Phase::Closed { failures } => {
                *failures += 1;
                let often = *failures >= FAILURES_MAX;
                (if often { BreakerEvent::FailedOften } else { BreakerEvent::Failed }, 0)
            }
            Phase::Open { trips, .. } | Phase::HalfOpen { trips } => (BreakerEvent::FailedOften, *trips),
        };
        self.shift(event, now, |_| {
            let wait = backoff(trips, WAIT_MS, WAIT_MAX_MS, rng);
            Phase::Open { since: now, until: now.saturating_add(wait), trips: trips.saturating_add(1) }
        });
    }

    /// The only place where the phase changes.
    fn shift(&mut self, event: BreakerEvent, now: u64, enter: impl FnOnce(BreakerEdge) -> Phase) {
        let from = self.state();
        let Some(edge) = holdfast_machine::decide::<BreakerMachine>(from, event) else { return };
        self.phase = enter(edge);
        assert_eq!(self.state(), BreakerMachine::target(edge), "{edge}");
        self.trace.record(now, from, event, edge);
    }
}

#[cfg(test)]
mod tests {
    use holdfast_machine::{Numbered, audit};

    use super::*;

    const SEED: u64 = 17;

    fn tripped() -> (Breaker, Rng) {
        let (mut breaker, mut rng) = (Breaker::default(), Rng::new(SEED));
        for _ in 0..FAILURES_MAX {
            breaker.failed(0, &mut rng);
        }
        (breaker, rng)
    }

    #[test]
    fn the_table_of_machine_17_is_alive_everywhere() {
        assert_eq!(audit::faults::<BreakerMachine>(), [""; 0]);
    }

    #[test]
    fn t1_trip_after_failures_in_a_row_and_not_after_as_many_with_an_answer_between() {
        let (mut breaker, mut rng) = (Breaker::default(), Rng::new(SEED));
        for now in 0..100 {
            for _ in 1..FAILURES_MAX {
                breaker.failed(now, &mut rng);
            }
            assert_eq!(breaker.state(), BreakerState::Closed);
            breaker.succeeded(now);
        }
        let (breaker, _) = tripped();
        assert_eq!((breaker.state(), breaker.trace().count(BreakerEdge::Trip)), (BreakerState::Open, 1));
    }

    #[test]
    fn t2_probe_when_the_wait_is_over_and_not_before() {
        let (mut breaker, _) = tripped();
        let until = breaker.until().expect("a wait");
        assert!((WAIT_MS / 2..=WAIT_MS).contains(&until), "{until}");
        assert!(!breaker.try_connect(until - 1));
        assert_eq!(breaker.state(), BreakerState::Open);
        assert!(breaker.try_connect(until));
        assert_eq!((breaker.state(), breaker.until()), (BreakerState::HalfOpen, None));
    }

    #[test]
    fn who_is_said_to_lead_is_left_alone_for_the_shortest_wait_however_often_that_is_said() {
        let (mut breaker, mut rng) = tripped();
        let mut now = 0;
        for _ in 0..8 {
            let since = now;
            now = breaker.until().expect("a wait");
            assert!(breaker.try_connect(now));
            breaker.failed(now, &mut rng);
            let began = now;
            while !breaker.try_connect(now) {
                breaker.vouched(now);
                now += 1;
            }
            assert!(now - began <= WAIT_MS && now - since >= WAIT_MS / 2, "{since} {began} {now}");
            breaker.failed(now, &mut rng);
        }
        let mut closed = Breaker::default();
        closed.vouched(1);
        assert_eq!((closed.state(), closed.until()), (BreakerState::Closed, None));
    }

    #[test]
    fn t3_restore_after_one_answer_and_count_failures_from_0_again() {
        let (mut breaker, mut rng) = tripped();
        assert!(breaker.try_connect(WAIT_MS));
        breaker.succeeded(WAIT_MS);
        assert_eq!(breaker.state(), BreakerState::Closed);
        for _ in 1..FAILURES_MAX {
            breaker.failed(WAIT_MS, &mut rng);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn t4_trip_again_after_one_failure_and_for_longer_up_to_a_bound() {
        let (mut breaker, mut rng) = tripped();
        let mut now = 0;
        for trip in 1..20 {
            now = breaker.until().expect("a wait");
            assert!(breaker.try_connect(now));
            breaker.failed(now, &mut rng);
            let wait = breaker.until().expect("a wait") - now;
            let most = (WAIT_MS << trip.min(32)).min(WAIT_MAX_MS);
            assert!((most / 2..=most).contains(&wait), "trip {trip}: {wait}");
        }
        assert_eq!(breaker.trace().count(BreakerEdge::TripAgain), 19);
        breaker.succeeded(now);
        breaker.failed(now, &mut rng);
        assert_eq!(
            breaker.state(),
            BreakerState::Open,
            "who is left alone is not asked, whatever is reported late"
        );
    }

    #[test]
    fn any_reports_in_any_order_end_in_a_state_and_take_every_edge() {
        let (mut breaker, mut rng) = (Breaker::default(), Rng::new(SEED));
        for now in 0..20_000 {
            match rng.below(8) {
                0 => breaker.succeeded(now),
                1..5 => breaker.failed(now, &mut rng),
                _ => assert_eq!(breaker.try_connect(now), breaker.state() != BreakerState::Open),
            }
        }
        for edge in BreakerEdge::ALL {
            assert!(breaker.trace().count(*edge) > 0, "{edge} is drawn and never taken");
        }
    }
}
