//! How far long work has come: a bar on a terminal, a line now and then elsewhere. On standard error, as all that is no data.

use std::borrow::Cow;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

/// How often a line is printed where there is no terminal.
const EVERY: Duration = Duration::from_secs(5);

/// How often a bar moves that has nothing to count yet.
const TICK: Duration = Duration::from_millis(200);

/// Bytes of the whole, bytes so far, rate, time left.
const BAR: &str = "{msg:10} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} left";

/// Of work that takes a time that is known: time so far and of the whole, and how much was done.
const TIMED: &str = "{msg} {bar:30} {pos}/{len} s";

/// The same if nobody knows how many come.
const SPINNER: &str = "{msg:10} {spinner} {elapsed}";

/// One phase of long work. It is over when this is dropped.
#[derive(Debug)]
pub struct Progress {
    phase: Cow<'static, str>,
    /// How many bytes there are; 0 if nobody knows.
    total: u64,
    /// How long it takes, of work that ends by the clock and counts operations, not bytes.
    within: Option<Duration>,
    done: u64,
    began: Instant,
    said: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// A phase of so many bytes; 0 if nobody knows.
    pub(super) fn new(phase: &'static str, total: u64) -> Self {
        Self::of(phase.into(), total, None)
    }

    /// A phase that takes so long, and does as many operations as it can.
    #[must_use]
    pub fn timed(phase: String, within: Duration) -> Self {
        Self::of(phase.into(), within.as_secs().max(1), Some(within))
    }

    fn of(phase: Cow<'static, str>, total: u64, within: Option<Duration>) -> Self {
        let now = Instant::now();
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = if total > 0 { ProgressBar::new(total) } else { ProgressBar::new_spinner() };
            // Both are fixed text, and right; if they were not, there is a usual style.
            let template = match within {
                Some(_) => TIMED,
                None if total > 0 => BAR,
                None => SPINNER,
            };
            let style = ProgressStyle::with_template(template);
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar.set_message(phase.clone());
            if total == 0 {
                bar.enable_steady_tick(TICK);
            }
            bar
        });
        Self { phase, total, within, done: 0, began: now, said: now, bar }
    }

    /// So many more are done.
    pub fn add(&mut self, more: u64) {
        self.done += more;
        let elapsed = self.began.elapsed();
        match &self.bar {
            Some(bar) if self.within.is_some() => {
                bar.set_position(elapsed.as_secs());
                bar.set_message(format!("{}: {} operations", self.phase, HumanCount(self.done)));
            }
            Some(bar) => bar.set_position(self.done),
            None if self.said.elapsed() >= EVERY => {
                self.said = Instant::now();
                match self.within {
                    Some(within) => eprintln!("{}", timed_line(&self.phase, self.done, within, elapsed)),
                    None => eprintln!("{}", line(&self.phase, self.done, self.total, elapsed)),
                }
            }
            None => {}
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Phase, bytes, rate and time left.
fn line(phase: &str, done: u64, total: u64, elapsed: Duration) -> String {
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    let rate = u64::try_from(u128::from(done) * 1_000 / u128::from(millis)).unwrap_or(u64::MAX);
    let (so_far, per_second) = (HumanBytes(done), HumanBytes(rate));
    match total {
        0 => format!("{phase}: {so_far}, {per_second}/s"),
        _ => {
            let left = total.saturating_sub(done) / rate.max(1);
            format!("{phase}: {so_far} of {}, {per_second}/s, {left} s left", HumanBytes(total))
        }
    }
}

/// Phase, time and operations.
fn timed_line(phase: &str, done: u64, within: Duration, elapsed: Duration) -> String {
    let (elapsed, within) = (elapsed.as_secs(), within.as_secs_f64().ceil());
    format!("{phase}: {elapsed} s of {within} s, {} operations", HumanCount(done))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_timed_work_says_how_long_and_how_many() {
        let text = timed_line("put 8 × 8", 1_234_567, Duration::from_millis(9_500), Duration::from_secs(5));
        assert_eq!(text, "put 8 × 8: 5 s of 10 s, 1,234,567 operations");
    }

    #[test]
    fn a_line_says_how_much_how_fast_and_how_long_still() {
        let text = line("receiving", 10 << 20, 30 << 20, Duration::from_secs(5));
        assert_eq!(text, "receiving: 10.00 MiB of 30.00 MiB, 2.00 MiB/s, 10 s left");
        assert_eq!(line("receiving", 0, 5, Duration::ZERO), "receiving: 0 B of 5 B, 0 B/s, 5 s left");
        assert_eq!(line("reading", 1 << 20, 0, Duration::from_secs(1)), "reading: 1.00 MiB, 1.00 MiB/s");
    }
}
