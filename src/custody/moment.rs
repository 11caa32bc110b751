//! [`Moment`]: what both clocks show at once. From two of them it is seen that this machine stood still, or was set.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use crate::clock::Clock;

/// How much the two clocks may differ between two moments: they are not read at once, and a wall clock is corrected slowly.
const TOLERANCE: Duration = Duration::from_secs(30);

/// What both clocks show at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// The wall clock.
    pub(super) wall: Timestamp,
    monotonic: Instant,
}

impl Moment {
    /// This one.
    pub(super) fn now(clock: &dyn Clock) -> Self {
        Self { wall: clock.now(), monotonic: clock.monotonic() }
    }

    /// True when the wall clock went another way than the time between this moment and a later one: the machine was
    /// suspended, which the monotonic clock does not count, or the wall clock was set, forwards or back.
    pub(super) fn disagrees_with(self, later: Self) -> bool {
        let shown = later.wall.duration_since(self.wall);
        let passed = later.monotonic.saturating_duration_since(self.monotonic);
        let passed = SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
        shown.saturating_sub(passed).unsigned_abs() > TOLERANCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn only_clocks_that_go_apart_disagree() {
        let start = Moment::now(&SystemClock);
        let disagree = |shown: i64, passed: u64| {
            start.disagrees_with(Moment {
                wall: start.wall + SignedDuration::from_secs(shown),
                monotonic: start.monotonic + Duration::from_secs(passed),
            })
        };
        for (shown, passed) in [(0, 0), (3600, 3600), (329, 300), (271, 300), (30, 0), (-30, 0)] {
            assert!(!disagree(shown, passed), "{shown} s in {passed} s");
        }
        // Suspended, set forwards, set back, and stopped.
        for (shown, passed) in [(3600, 10), (31, 0), (-31, 0), (-3600, 300), (0, 300), (331, 300)] {
            assert!(disagree(shown, passed), "{shown} s in {passed} s");
        }
    }
}
