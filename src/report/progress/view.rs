//! [`ProgressView`]: one way to show a run.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::event::{Event, Summary};
use crate::report::units;
use crate::sanitise;
use crate::solve::{BuildObserver, BuildState, StepCounts};

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
    /// Writes what was said so far.
    fn flush(&mut self);
    /// The run has ended; nothing comes after this.
    fn finish(&mut self, summary: &Summary, now: Now);
}

/// How the end of a run reads: the headline, the steps of the last attempt where there was one, the time in all.
pub(super) fn closing_line(headline: &str, counts: StepCounts, elapsed: Duration) -> String {
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

/// Where a view writes. Once a write has failed nothing more is tried.
pub(super) struct Sink {
    out: Option<Box<dyn Write + Send>>,
    waiting: Vec<u8>,
}

impl Sink {
    /// More than this is written without waiting for [`Sink::flush`].
    const ENOUGH: usize = 32 << 10;

    pub(super) fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out: Some(out), waiting: Vec::new() }
    }

    /// Takes bytes; whole lines, so that they do not mix with those of others.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= Self::ENOUGH {
            self.flush();
        }
    }

    /// Writes what was taken.
    pub(super) fn flush(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let written = self.out.as_mut().map_or(Ok(()), |out| write(out, &self.waiting));
        if written.is_err() {
            self.out = None;
        }
        self.waiting.clear();
        // One huge line must not keep its memory.
        self.waiting.shrink_to(Self::ENOUGH.saturating_mul(2));
    }
}

/// Writes it all. A stream that somebody else made non-blocking (terminals are shared) is waited for, not given up.
fn write(out: &mut dyn Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => return Err(error),
        }
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// Takes two bytes at a time and refuses every other time.
    struct Grudging(Arc<Mutex<(Vec<u8>, u32)>>);

    impl Write for Grudging {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut guard = self.0.lock().unwrap();
            guard.1 += 1;
            match guard.1 % 3 {
                0 => Err(io::ErrorKind::WouldBlock.into()),
                1 => Err(io::ErrorKind::Interrupted.into()),
                _ => {
                    let part = bytes.get(..2).unwrap_or(bytes);
                    guard.0.extend_from_slice(part);
                    Ok(part.len())
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stream_that_takes_little_at_a_time_gets_it_all() {
        let shared = Arc::new(Mutex::new((Vec::new(), 0)));
        let mut sink = Sink::new(Box::new(Grudging(Arc::clone(&shared))));
        sink.put(b"hello ");
        sink.put(b"world\n");
        assert!(shared.lock().unwrap().0.is_empty());
        sink.flush();
        assert_eq!(shared.lock().unwrap().0, b"hello world\n");
    }

    #[test]
    fn the_closing_line_says_steps_and_time() {
        let counts = StepCounts { total: 7, completed: 5, cached: 2 };
        let time = Duration::from_millis(12_345);
        assert_eq!(closing_line("built", counts, time), "built (5/7 steps, 2 cached, 12.3s)");
        assert_eq!(closing_line("refused", StepCounts::default(), time), "refused (12.3s)");
    }
}
