//! [`Advice`]: what history says about a workspace's size.

use serde::{Deserialize, Serialize};

use crate::record::{AttemptRecord, quantile};
use crate::report::envelope::Outcome;

/// Fewer samples than this are shown, not used.
pub const MIN_SAMPLES: u32 = 5;

/// How many of a workspace's newest attempts advice is taken from.
pub const WINDOW: u32 = 200;

/// A lower bound (memory ran out, a CPU was saturated) is forgotten once this many newer attempts gave real samples
/// of the same resource. Until then history cannot shrink below a size that was proven too small; afterwards a
/// project that slimmed down gets its smaller runner back. 20 is the least number of values of which the 95th
/// percentile is not simply the largest.
pub const BOUND_LIFE: usize = 20;

/// A CPU counts as saturated when its 95th percentile reaches this share of what the runner had: more CPUs would have
/// been used, so the value is a lower bound.
pub const SATURATED_SHARE: f64 = 0.9;

/// What past runs of a workspace say. Raw percentiles: the head room is added where the size is decided.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Advice {
    /// How many attempts the percentiles are taken over.
    pub samples: u32,
    /// 95th percentile over the attempts whose CPU was not saturated; `None` without such an attempt.
    pub cpu_p95: Option<f64>,
    /// At least this many CPUs: the largest runner on which a CPU stayed saturated. A lower bound, not a sample.
    pub cpu_at_least: Option<f64>,
    /// 95th percentile over the attempts' peaks of memory that could not be reclaimed, in GB.
    pub mem_p95: Option<f64>,
    /// More than this many GB: the largest runner on which an attempt ran out of memory.
    pub mem_more_than: Option<f64>,
    /// What an operator approved, until revoked.
    pub approved: Option<Approved>,
}

/// A size that an operator approved for a workspace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Approved {
    /// CPUs.
    pub cpu: f64,
    /// Memory in GB.
    pub memory_gb: f64,
    /// Who approved it.
    pub by: String,
    /// When, RFC 3339.
    pub at: String,
}

impl Advice {
    /// Reads a workspace's attempts on one platform, **newest first**; only the first [`WINDOW`] count.
    ///
    /// * A successful attempt that was measured is a sample: its memory peak, and its CPU unless saturated.
    /// * An attempt that ran out of memory is a lower bound of memory and nothing else: what it would have used is not
    ///   known.
    /// * A saturated CPU of a successful attempt is a lower bound of CPU.
    /// * Bounds live until [`BOUND_LIFE`] newer samples of the same resource exist.
    /// * Every other attempt (failed, lost, cancelled, over its time) is history only: it stopped somewhere, and what
    ///   it used until then is less than what a whole build uses.
    pub fn from_history(newest_first: &[AttemptRecord]) -> Self {
        let (mut cpu, mut memory) = (Vec::new(), Vec::new());
        let (mut cpu_at_least, mut mem_more_than) = (None::<f64>, None::<f64>);
        for attempt in newest_first.iter().take(WINDOW as usize) {
            match (attempt.outcome, &attempt.metrics) {
                (Outcome::Oom, _) if memory.len() < BOUND_LIFE => {
                    mem_more_than = Some(mem_more_than.unwrap_or(0.0).max(attempt.memory_gb));
                }
                (Outcome::Succeeded, Some(metrics)) => {
                    memory.push(metrics.mem_peak);
                    if metrics.cpu_p95 < attempt.cpu * SATURATED_SHARE {
                        cpu.push(metrics.cpu_p95);
                    } else if cpu.len() < BOUND_LIFE {
                        cpu_at_least = Some(cpu_at_least.unwrap_or(0.0).max(attempt.cpu));
                    }
                }
                _ => {}
            }
        }
        Self {
            samples: u32::try_from(memory.len()).unwrap_or(u32::MAX),
            cpu_p95: quantile::p95(&cpu),
            cpu_at_least,
            mem_p95: quantile::p95(&memory),
            mem_more_than,
            approved: None,
        }
    }

    /// What two histories say together. Percentiles are those of the one with more samples: the same attempts may be in both,
    /// so they are not added up. Bounds and an approval count wherever they were seen.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        let higher = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).reduce(f64::max);
        let cpu_at_least = higher(self.cpu_at_least, other.cpu_at_least);
        let mem_more_than = higher(self.mem_more_than, other.mem_more_than);
        let (most, least) = if other.samples > self.samples { (other, self) } else { (self, other) };
        Self { cpu_at_least, mem_more_than, approved: most.approved.or(least.approved), ..most }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Metrics;

    fn attempt(outcome: Outcome, memory_gb: f64, used: Option<(f64, f64)>) -> AttemptRecord {
        AttemptRecord {
            memory_gb,
            outcome,
            metrics: used.map(|(cpu_p95, mem_peak)| Metrics { cpu_p95, mem_p95: mem_peak / 2.0, mem_peak }),
            ..AttemptRecord::example()
        }
    }

    fn succeeded(cpu: f64, peak: f64) -> AttemptRecord {
        attempt(Outcome::Succeeded, 8.0, Some((cpu, peak)))
    }

    #[test]
    fn nothing_is_known_without_history() {
        assert_eq!(Advice::from_history(&[]), Advice::default());
    }

    #[test]
    fn memory_is_taken_over_the_peaks() {
        let advice = Advice::from_history(&[succeeded(1.0, 2.0), succeeded(1.5, 3.0), succeeded(0.5, 1.0)]);
        assert_eq!((advice.samples, advice.mem_p95, advice.cpu_p95), (3, Some(3.0), Some(1.5)));
        assert_eq!((advice.cpu_at_least, advice.mem_more_than), (None, None));
    }

    #[test]
    fn running_out_of_memory_is_a_bound_and_no_sample() {
        let oom = attempt(Outcome::Oom, 4.0, Some((3.9, 3.5)));
        let advice = Advice::from_history(&[succeeded(1.0, 5.0), oom]);
        assert_eq!((advice.samples, advice.mem_p95, advice.mem_more_than), (1, Some(5.0), Some(4.0)));
        assert_eq!(advice.cpu_at_least, None, "an attempt that ran out of memory says nothing about CPUs");
    }

    #[test]
    fn a_project_that_slimmed_down_gets_its_smaller_runner_back() {
        let oom = attempt(Outcome::Oom, 4.0, None);
        let mut history = vec![succeeded(1.0, 2.0); BOUND_LIFE - 1];
        history.push(oom.clone());
        assert_eq!(Advice::from_history(&history).mem_more_than, Some(4.0));
        history.insert(0, succeeded(1.0, 2.0));
        assert_eq!(Advice::from_history(&history).mem_more_than, None);
        history.insert(0, oom);
        assert_eq!(Advice::from_history(&history).mem_more_than, Some(4.0), "it ran out again");
    }

    #[test]
    fn a_saturated_cpu_is_a_bound_and_no_sample() {
        let advice = Advice::from_history(&[succeeded(3.6, 1.0), succeeded(1.2, 1.0)]);
        assert_eq!((advice.cpu_at_least, advice.cpu_p95), (Some(4.0), Some(1.2)));
        assert_eq!(advice.samples, 2, "its memory is a sample all the same");
        let advice = Advice::from_history(&vec![succeeded(4.0, 1.0); 50]);
        assert_eq!((advice.cpu_at_least, advice.cpu_p95), (Some(4.0), None));
    }

    #[test]
    fn attempts_that_stopped_early_are_history_only() {
        for outcome in [Outcome::Failed, Outcome::Lost, Outcome::TimedOut, Outcome::Cancelled] {
            let advice = Advice::from_history(&[attempt(outcome, 4.0, Some((4.0, 4.0)))]);
            assert_eq!(advice, Advice::default(), "{outcome:?}");
        }
    }

    #[test]
    fn two_histories_are_not_added_up() {
        let own = Advice { samples: 2, mem_p95: Some(1.0), mem_more_than: Some(4.0), ..Advice::default() };
        let approved =
            Approved { cpu: 4.0, memory_gb: 8.0, by: "ann".to_owned(), at: "2026-11-29T10:00:00Z".to_owned() };
        let pools = Advice { samples: 9, mem_p95: Some(3.0), cpu_p95: Some(1.0), ..Advice::default() };
        for (a, b) in [(own.clone(), pools.clone()), (pools.clone(), own.clone())] {
            let both = a.with(b);
            assert_eq!((both.samples, both.mem_p95, both.cpu_p95), (9, Some(3.0), Some(1.0)));
            assert_eq!(both.mem_more_than, Some(4.0), "memory ran out, wherever that was seen");
        }
        let fewer = Advice { samples: 1, approved: Some(approved.clone()), ..Advice::default() };
        assert_eq!(pools.with(fewer).approved, Some(approved));
        assert_eq!(own.clone().with(Advice::default()), own);
    }

    #[test]
    fn only_the_newest_attempts_count() {
        let mut history = vec![succeeded(1.0, 1.0); WINDOW as usize];
        history.extend(vec![succeeded(1.0, 7.0); WINDOW as usize]);
        let advice = Advice::from_history(&history);
        assert_eq!((advice.samples, advice.mem_p95), (WINDOW, Some(1.0)));
    }
}
