//! [`ProgressView`]: one way to show a run.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::event::{Event, Summary};
use crate::solve::{BuildObserver, BuildState};

/// The moment at which something is shown.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For durations of our own.
    pub monotonic: Instant,
    /// To compare with the runner's clock, which need not agree.
    pub wall: Timestamp,
}

/// One way to show a run. Write errors are the view's own business: a closed stderr never ends a run.
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
    /// The run has ended; nothing comes after this.
    fn finish(&mut self, summary: &Summary, now: Now);
}

/// Where a view writes. Once a write has failed nothing more is tried.
pub(super) struct Sink(Option<Box<dyn Write + Send>>);

impl Sink {
    pub(super) fn new(out: Box<dyn Write + Send>) -> Self {
        Self(Some(out))
    }

    /// Writes it all at once, so that lines do not mix with those of others.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        let result = self.0.as_mut().map_or(Ok(()), |out| write(out, bytes));
        if result.is_err() {
            self.0 = None;
        }
    }
}

fn write(out: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    out.write_all(bytes)?;
    out.flush()
}
