//! [`CapacityWait`]: `--wait-capacity`: for how long, and how often, providers without room are asked again.

use std::time::{Duration, Instant};

/// The pause before the second round; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause: what is free may be taken by others within it, but asking costs the provider something.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The pauses of one run. Its time begins with the first answer that there is no room.
#[derive(Debug)]
pub(super) struct CapacityWait {
    limit: Duration,
    end: Option<Instant>,
    pause: Duration,
}

impl CapacityWait {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, end: None, pause: FIRST_PAUSE }
    }

    /// True once it was asked for a pause.
    pub(super) fn has_begun(&self) -> bool {
        self.end.is_some()
    }

    /// How long to wait before the providers are asked again; `None` when the time is over. The last round is at the end of
    /// the time, not before it.
    pub(super) fn next(&mut self, now: Instant) -> Option<Duration> {
        let end = *self.end.get_or_insert_with(|| now + self.limit);
        let left = end.saturating_duration_since(now);
        if left.is_zero() {
            return None;
        }
        let pause = self.pause.min(left);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, SystemClock};

    #[test]
    fn without_a_duration_there_is_no_second_round() {
        assert_eq!(CapacityWait::new(Duration::ZERO).next(SystemClock.monotonic()), None);
    }

    #[test]
    fn pauses_grow_to_a_bound_and_end_with_the_time() {
        let (mut wait, mut now, mut pauses) =
            (CapacityWait::new(Duration::from_secs(100)), SystemClock.monotonic(), Vec::new());
        assert!(!wait.has_begun());
        while let Some(pause) = wait.next(now) {
            assert!(wait.has_begun());
            now += pause;
            pauses.push(pause.as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 9]);
    }
}
