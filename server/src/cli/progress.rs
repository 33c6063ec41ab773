//! How far long work has come: a bar on a terminal, a line now and then elsewhere. On standard error, as all that is no data.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

/// How often a line is printed where there is no terminal.
const EVERY: Duration = Duration::from_secs(5);

/// How often a bar moves that has nothing to count yet.
const TICK: Duration = Duration::from_millis(200);

/// Bytes of the whole, bytes so far, rate, time left.
const BAR: &str = "{msg:10} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} left";

/// The same if nobody knows how many come.
const SPINNER: &str = "{msg:10} {spinner} {elapsed}";

/// One phase of long work. It is over when this is dropped.
#[derive(Debug)]
pub(super) struct Progress {
    phase: &'static str,
    /// How many bytes there are; 0 if nobody knows.
    total: u64,
    done: u64,
    began: Instant,
    said: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// A phase of so many bytes; 0 if nobody knows.
    pub(super) fn new(phase: &'static str, total: u64) -> Self {
        let now = Instant::now();
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = if total > 0 { ProgressBar::new(total) } else { ProgressBar::new_spinner() };
            // Both are fixed text, and right; if they were not, there is a usual style.
            let style = ProgressStyle::with_template(if total > 0 { BAR } else { SPINNER });
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar.set_message(phase);
            if total == 0 {
                bar.enable_steady_tick(TICK);
            }
            bar
        });
        Self { phase, total, done: 0, began: now, said: now, bar }
    }

    /// So many more are done.
    pub(super) fn add(&mut self, bytes: u64) {
        self.done += bytes;
        match &self.bar {
            Some(bar) => bar.set_position(self.done),
            None if self.said.elapsed() >= EVERY => {
                self.said = Instant::now();
                eprintln!("{}", line(self.phase, self.done, self.total, self.began.elapsed()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_much_how_fast_and_how_long_still() {
        let text = line("receiving", 10 << 20, 30 << 20, Duration::from_secs(5));
        assert_eq!(text, "receiving: 10.00 MiB of 30.00 MiB, 2.00 MiB/s, 10 s left");
        assert_eq!(line("receiving", 0, 5, Duration::ZERO), "receiving: 0 B of 5 B, 0 B/s, 5 s left");
        assert_eq!(line("reading", 1 << 20, 0, Duration::from_secs(1)), "reading: 1.00 MiB, 1.00 MiB/s");
    }
}
