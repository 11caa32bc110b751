//! The one clock. Nothing else asks the system for the time, so tests can move it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;

/// A source of wall-clock and monotonic time.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The wall clock: for records and labels, never for measuring.
    fn now(&self) -> Timestamp;
    /// The monotonic clock: for durations and deadlines.
    fn monotonic(&self) -> Instant;
}

/// A shared clock.
pub type SharedClock = Arc<dyn Clock>;

/// The system's own clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn now(&self) -> Timestamp {
        let now = Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH);
        // A test's machine may be one whose time is later: a debug build's only.
        now.checked_add(crate::failpoint::seconds("clock", Duration::ZERO)).unwrap_or(now)
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
    fn monotonic(&self) -> Instant {
        Instant::now()
    }
}

/// A duration in seconds with millisecond resolution, as it stands in envelopes and records.
pub fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}
