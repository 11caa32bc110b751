//! [`Clock`]: the simulator's time. It follows real time, or stands still, and can be moved forward by hand.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The simulator's time. Clones show and move the same one.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    moved: Notify,
}

#[derive(Debug)]
struct State {
    base: Timestamp,
    /// Since when real time is added to `base`; `None` while it stands.
    since: Option<Instant>,
}

impl State {
    fn now(&self) -> Timestamp {
        let passed = self.since.map_or(Duration::ZERO, |since| since.elapsed());
        later(self.base, passed)
    }
}

/// `time` and `passed` after it; at the end of what can be told, that.
pub(crate) fn later(time: Timestamp, passed: Duration) -> Timestamp {
    time.checked_add(passed).unwrap_or(Timestamp::MAX)
}

impl Clock {
    /// Begins now and follows real time.
    pub fn real() -> Self {
        Self::new(State { base: Timestamp::now(), since: Some(Instant::now()) })
    }

    /// Begins at `start` and stands until it is moved.
    pub fn standing(start: Timestamp) -> Self {
        Self::new(State { base: start, since: None })
    }

    fn new(state: State) -> Self {
        Self(Arc::new(Shared { state: Mutex::new(state), moved: Notify::new() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it shows.
    pub fn now(&self) -> Timestamp {
        self.state().now()
    }

    /// Moves it forward. Everything that waits for a time up to then goes on.
    pub fn advance(&self, by: Duration) {
        {
            let mut state = self.state();
            state.base = later(state.base, by);
        }
        self.0.moved.notify_waiters();
    }

    /// Lets it follow real time from where it is.
    pub fn follow(&self) {
        {
            let mut state = self.state();
            state.base = state.now();
            state.since = Some(Instant::now());
        }
        self.0.moved.notify_waiters();
    }

    /// Stops it where it is.
    pub fn stand(&self) {
        {
            let mut state = self.state();
            state.base = state.now();
            state.since = None;
        }
        self.0.moved.notify_waiters();
    }

    /// Whether it follows real time.
    pub fn follows(&self) -> bool {
        self.state().since.is_some()
    }

    /// Waits until it shows `time`: for as long as it stands, until somebody moves it.
    pub async fn wait_until(&self, time: Timestamp) {
        loop {
            let moved = self.0.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            let (now, follows) = {
                let state = self.state();
                (state.now(), state.since.is_some())
            };
            let Ok(left) = Duration::try_from(time.duration_since(now)) else { return };
            if left.is_zero() {
                return;
            }
            if follows {
                tokio::select! {
                    () = tokio::time::sleep(left) => {}
                    () = moved => {}
                }
            } else {
                moved.await;
            }
        }
    }

    /// What it will show after `time`.
    pub fn after(&self, time: Duration) -> Timestamp {
        later(self.now(), time)
    }

    /// Waits for `time` from now on, by this clock.
    pub async fn sleep(&self, time: Duration) {
        self.wait_until(self.after(time)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_standing_clock_moves_by_hand_and_wakes_who_waits() {
        let clock = Clock::standing(Timestamp::UNIX_EPOCH);
        let waiting = tokio::spawn({
            let clock = clock.clone();
            async move {
                clock.sleep(Duration::from_secs(3600)).await;
                clock.now().as_second()
            }
        });
        tokio::task::yield_now().await;
        clock.advance(Duration::from_secs(3599));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        clock.advance(Duration::from_secs(1));
        assert_eq!(waiting.await.unwrap(), 3600);
    }

    #[tokio::test]
    async fn a_following_clock_adds_what_it_was_moved_to_real_time() {
        let clock = Clock::standing(Timestamp::UNIX_EPOCH);
        clock.advance(Duration::from_secs(10));
        clock.follow();
        clock.sleep(Duration::from_millis(20)).await;
        assert!(clock.now().as_millisecond() >= 10_020, "real time is added");
        clock.stand();
        let stopped = clock.now();
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert_eq!(clock.now(), stopped);
    }
}
