//! [`ProgressView`]: one way to show a run.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::event::{Event, Summary};
use super::writer::Target;
use crate::sanitise;
use crate::solve::{BuildObserver, BuildState, StepCounts};
use crate::units;

/// The moment at which something is shown.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For durations of our own.
    pub monotonic: Instant,
    /// To compare with the runner's clock, which need not agree.
    pub wall: Timestamp,
}

/// One way to show a run. Nothing here waits for the stream or fails with it.
pub trait ProgressView: BuildObserver + Send {
    /// The run says something of itself.
    fn event(&mut self, event: &Event, now: Now);
    /// A message of BuildKit as it came, without its line break. Told before it is folded.
    fn raw_message(&mut self, _line: &[u8]) {}
    /// Time passes, or the build moved on: a chance to draw.
    fn tick(&mut self, _state: &BuildState, _now: Now) {}
    /// How often time should pass.
    fn tick_every(&self) -> Duration {
        Duration::from_secs(1)
    }
    /// Writes what was said so far.
    fn flush(&mut self);
    /// The run has ended; nothing comes after this.
    fn finish(&mut self, summary: &Summary, now: Now);
}

/// How the end of a run reads: the headline, the steps of the last attempt where there was one, the time in all. Where
/// a failure was shown just before, the headline would say it again.
pub(super) fn closing_line(summary: &Summary, counts: StepCounts, elapsed: Duration) -> String {
    let headline = if summary.failure.is_some() { "failed" } else { &summary.headline };
    let mut details = Vec::new();
    if counts.total > 0 {
        details.push(format!("{}/{} steps", counts.completed, counts.total));
        if counts.cached > 0 {
            details.push(format!("{} cached", counts.cached));
        }
    }
    details.push(units::duration(elapsed));
    format!("{} ({})", sanitise::line(headline), details.join(", "))
}

/// What a view says, gathered into whole lines on their way to the stream.
pub(super) struct Sink {
    target: Box<dyn Target>,
    waiting: Vec<u8>,
}

impl Sink {
    /// More than this goes on without waiting for [`Sink::flush`].
    const ENOUGH: usize = 32 << 10;

    pub(super) fn new(target: Box<dyn Target>) -> Self {
        Self { target, waiting: Vec::new() }
    }

    /// Takes bytes; whole lines, so that they do not mix with those of others.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= Self::ENOUGH {
            self.flush();
        }
    }

    /// Hands on what was taken.
    pub(super) fn flush(&mut self) {
        if !self.waiting.is_empty() {
            self.target.send(std::mem::take(&mut self.waiting));
        }
    }

    /// True while the stream has not taken everything yet.
    pub(super) fn is_busy(&self) -> bool {
        self.target.is_busy()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_says_steps_and_time() {
        let counts = StepCounts { total: 7, completed: 5, cached: 2 };
        let time = Duration::from_millis(12_345);
        let built = Summary { success: true, headline: "built".to_owned(), failure: None };
        assert_eq!(closing_line(&built, counts, time), "built (5/7 steps, 2 cached, 12.3s)");
        let failed = Summary { success: false, failure: Some("error: no\n".to_owned()), ..built };
        assert_eq!(closing_line(&failed, StepCounts::default(), time), "failed (12.3s)");
    }
}
