//! [`ManualClock`]: a wall clock that a test moves.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use lian_build::clock::Clock;

/// A wall clock that stands still until it is moved, forwards or back. Its monotonic side is the system's: nothing moves
/// that back.
#[derive(Debug)]
pub(crate) struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    pub(crate) fn at(now: Timestamp) -> Self {
        Self(Mutex::new(now))
    }

    /// Jumps, as a clock does that was wrong.
    pub(crate) fn jump(&self, by: SignedDuration) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = now.checked_add(by).unwrap();
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[expect(clippy::disallowed_methods, reason = "stands for the one place that reads it")]
    fn monotonic(&self) -> Instant {
        Instant::now()
    }
}
