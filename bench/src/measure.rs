//! One run: a load, the processes that serve it, and what all of them use meanwhile.

use std::thread;
use std::time::{Instant, SystemTime};

use hdrhistogram::Histogram;

use crate::child::Process;
use crate::failure::{Doing, Failure};
use crate::load::{Answers, Load, Paced, Window};
use crate::process::Use;

/// What one run brought.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// What came back.
    pub(crate) answers: Answers,
    /// When the window began, by the clock of the world.
    pub(crate) began: SystemTime,
    /// What each process did in the window; this one, which generates the load, is the last.
    pub(crate) parts: Vec<Part>,
}

impl Outcome {
    /// Whether its schedule was missed.
    pub(crate) fn is_void(&self) -> bool {
        self.answers.paced.as_ref().is_some_and(Paced::is_void)
    }
}

/// What one process did: since it began, or in a window.
#[derive(Debug)]
pub(crate) struct Part {
    /// What people call it.
    pub(crate) name: String,
    /// What it used; `None` for one on another machine.
    pub(crate) used: Option<Use>,
    /// The number of its process, if it tells: another one has begun to count anew.
    pub(crate) process: Option<u32>,
    /// Calls of `fdatasync`; `None` for one that does not tell.
    pub(crate) syncs: Option<u64>,
    /// A histogram of microseconds for each stage of a request, in the order of their numbers. Empty for a process
    /// that has no such stages.
    pub(crate) stages: Vec<Histogram<u64>>,
    /// A histogram of microseconds of the turns of a node; `None` for a process that has none.
    pub(crate) turns: Option<Histogram<u64>>,
}

impl Part {
    /// This process.
    fn own() -> Self {
        Self { used: Use::of_self(), ..Self::gone("generator".to_owned()) }
    }

    /// One of which nothing is known.
    pub(crate) fn gone(name: String) -> Self {
        Self { name, used: None, process: None, syncs: None, stages: Vec::new(), turns: None }
    }

    /// What was done since `before`. Of a node that was gone, or is another process than before, nothing is known: it has
    /// not counted all of it, or more.
    pub(crate) fn since(mut self, before: &Self) -> Result<Self, Failure> {
        if self.process != before.process {
            let name = self.name;
            let name = if self.process.is_some() { format!("{name}, was away") } else { name };
            return Ok(Self::gone(name));
        }
        self.used = self.used.zip(before.used).map(|(after, before)| after.since(&before));
        self.syncs = self.syncs.zip(before.syncs).map(|(after, before)| after.saturating_sub(before));
        let turns = self.turns.iter_mut().zip(&before.turns);
        for (after, before) in self.stages.iter_mut().zip(&before.stages).chain(turns) {
            after.subtract(before).doing(|| format!("subtract the stages of {}", self.name))?;
        }
        Ok(self)
    }
}

/// What each of `processes` did since it began.
pub(crate) fn look(processes: &mut [Process]) -> Result<Vec<Part>, Failure> {
    let look = |process: &mut Process| {
        let syncs = Some(process.stats()?.syncs);
        Ok(Part { used: process.used(), syncs, ..Part::gone(process.name().to_owned()) })
    };
    processes.iter_mut().map(look).collect()
}

/// Runs `load`, and takes what all processes do between the end of the warm-up and the end of the run. `look` says what
/// each of those that serve has done since it began: the same processes in the same order each time.
pub(crate) fn measure(
    load: &Load,
    mut look: impl FnMut() -> Result<Vec<Part>, Failure> + Send,
    run: impl FnOnce(Window) -> Result<Answers, Failure>,
) -> Result<Outcome, Failure> {
    let mut sample = || {
        let mut parts = look()?;
        parts.push(Part::own());
        Ok::<_, Failure>(parts)
    };
    let began = SystemTime::now() + load.warmup;
    let (before, answers) = if load.warmup.is_zero() {
        // There is no time for it later.
        (sample(), run(load.window()))
    } else {
        let window = load.window();
        // Beside the load, which must not stop for it.
        thread::scope(|scope| {
            let sampling = scope.spawn(|| {
                thread::sleep(window.begin.saturating_duration_since(Instant::now()));
                sample()
            });
            let answers = run(window);
            let panicked = |_| Err(Failure::new("look at the processes", "a thread panicked"));
            (sampling.join().unwrap_or_else(panicked), answers)
        })
    };
    let after = sample()?;
    let parts = after.into_iter().zip(before?).map(|(after, before)| after.since(&before));
    Ok(Outcome { parts: parts.collect::<Result<_, _>>()?, answers: answers?, began })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::load::Recorder;

    /// A process that has done `times` as much as after its first step.
    fn part(times: u64) -> Part {
        let used = Use {
            cpu: Duration::from_millis(30) * times as u32,
            switches: 5 * times,
            resident: 1000 * times,
            written: Some(7 * times),
        };
        let mut stage = Histogram::new_with_bounds(1, 1000, 2).unwrap();
        stage.record_n(7, 2 * times).unwrap();
        Part {
            name: "node".to_owned(),
            used: Some(used),
            process: Some(1),
            syncs: Some(4 * times),
            stages: vec![stage],
            turns: None,
        }
    }

    fn run(warmup: Duration) -> Outcome {
        let measured = Duration::from_millis(1);
        let load = Load {
            connections: 1,
            in_flight: 1,
            value_bytes: 1,
            warmup,
            measured,
            operations: None,
            pace: None,
        };
        let mut looks = 0;
        let look = || {
            looks += 2;
            Ok(vec![part(looks)])
        };
        measure(&load, look, |window| Ok(Recorder::new(&load, window)?.finish())).unwrap()
    }

    #[test]
    fn what_happened_between_two_looks_is_reported_and_the_generator_is_the_last() {
        // With a warm-up another thread looks first, without one this one does.
        for warmup in [Duration::ZERO, Duration::from_millis(1)] {
            let outcome = run(warmup);
            let [node, generator] = outcome.parts.as_slice() else { panic!("{:?}", outcome.parts) };
            let expected =
                Use { cpu: Duration::from_millis(60), switches: 10, resident: 4000, written: Some(14) };
            assert_eq!((node.used, node.syncs, node.stages[0].len()), (Some(expected), Some(8), 4));
            assert_eq!((generator.name.as_str(), generator.syncs), ("generator", None));
        }
    }

    #[test]
    fn of_a_node_that_was_away_nothing_is_told_and_the_run_is_kept() {
        let again = Part { process: Some(2), ..part(1) };
        let back = again.since(&part(2)).unwrap();
        assert_eq!((back.name.as_str(), back.syncs, back.stages.len()), ("node, was away", None, 0));
        let gone = Part::gone("node, gone".to_owned()).since(&part(2)).unwrap();
        assert_eq!((gone.name.as_str(), gone.used), ("node, gone", None));
        let came = part(2).since(&Part::gone("node, gone".to_owned())).unwrap();
        assert_eq!((came.name.as_str(), came.syncs), ("node, was away", None));
    }

    #[test]
    fn a_failure_to_look_is_a_failure_of_the_run() {
        let second = Duration::ZERO;
        let load = Load {
            connections: 1,
            in_flight: 1,
            value_bytes: 1,
            warmup: second,
            measured: second,
            operations: None,
            pace: None,
        };
        let look = || Err(Failure::new("look", "it is dark"));
        let outcome = measure(&load, look, |window| Ok(Recorder::new(&load, window)?.finish()));
        assert_eq!(outcome.unwrap_err().to_string(), "cannot look: it is dark");
    }
}
