//! [`Stall`]: tells a build that stands still for want of memory from one that is only quiet. Pure.

use std::time::{Duration, Instant};

/// "Near 100 %", in hundredths of a percent: nine tenths of a minute in which nothing ran. Builds that swap hard and go on
/// stay well below.
const NEAR_ALL: u32 = 9_000;

/// Follows pressure and output. A build is stalled when the pressure was near 100 % all the while it printed nothing.
#[derive(Debug)]
pub struct Stall {
    limit: Duration,
    since: Option<Instant>,
    printed: u64,
}

impl Stall {
    /// Stalled is what stands still for `limit`.
    pub fn new(limit: Duration) -> Self {
        Self { limit, since: None, printed: 0 }
    }

    /// True for a pressure at which nothing moves any more.
    pub fn is_near_all(pressure: Option<u32>) -> bool {
        pressure.is_some_and(|pressure| pressure >= NEAR_ALL)
    }

    /// Takes a reading: the pressure in hundredths of a percent (`None` where the kernel does not say) and how many bytes
    /// the build printed so far. Yields for how long the build has stood still once that is too long.
    pub fn see(&mut self, now: Instant, pressure: Option<u32>, printed: u64) -> Option<Duration> {
        if printed != self.printed || !Self::is_near_all(pressure) {
            self.printed = printed;
            self.since = None;
            return None;
        }
        let since = *self.since.get_or_insert(now);
        Some(now.saturating_duration_since(since)).filter(|stood| *stood >= self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a build with these readings, one a minute, is told.
    fn seen(readings: &[(Option<u32>, u64)]) -> Vec<Option<u64>> {
        let mut stall = Stall::new(Duration::from_secs(120));
        #[expect(clippy::disallowed_methods, reason = "any moment serves")]
        let start = Instant::now();
        let mut now = start;
        readings
            .iter()
            .map(|(pressure, printed)| {
                now += Duration::from_secs(60);
                stall.see(now, *pressure, *printed).map(|stood| stood.as_secs())
            })
            .collect()
    }

    #[test]
    fn silence_under_pressure_is_a_stall() {
        assert_eq!(seen(&[(Some(9800), 0), (Some(9900), 0), (Some(10_000), 0)]), [None, None, Some(120)]);
    }

    #[test]
    fn a_byte_of_output_starts_it_again() {
        let all = Some(9900);
        assert_eq!(
            seen(&[(all, 0), (all, 0), (all, 1), (all, 1), (all, 1), (all, 1)]),
            [None, None, None, None, None, Some(120)]
        );
    }

    #[test]
    fn less_pressure_starts_it_again() {
        let all = Some(9900);
        assert_eq!(
            seen(&[(all, 0), (all, 0), (Some(8999), 0), (all, 0), (all, 0), (all, 0)])[3..],
            [None, None, Some(120)]
        );
    }

    #[test]
    fn without_a_word_of_the_kernel_nothing_is_a_stall() {
        assert_eq!(seen(&[(None, 0); 9]), [None; 9]);
        assert_eq!(seen(&[(Some(0), 0); 9]), [None; 9]);
    }
}
