//! [`RetryBudget`]: what follows a failed attempt. Pure; three classes, each counted by itself.
//!
//! The build's own failure is never retried. Memory is retried once on the next tier. Infrastructure is retried on the
//! same tier: twice before the first step ran, once when a runner was lost in the middle of a build.

use crate::plan::policy::TierCaps;
use crate::plan::{Tier, Tiers};

/// An attempt that ran out of memory is repeated at most this often. A second kill is a wrong size, not bad luck, and
/// a loop would spend the caller's money on it (adr/0007; the original design calls it ADR-039).
pub const MAX_OOM_RETRIES: u8 = 1;

/// New leases after an infrastructure fault before the first build step.
pub const MAX_RELEASES_BEFORE_FIRST_STEP: u8 = 2;

/// New leases after a runner was lost while steps ran.
pub const MAX_LOST_RETRIES: u8 = 1;

/// The most attempts of one run: the first, and each retry that is allowed.
pub fn most_attempts() -> u32 {
    1 + u32::from(MAX_OOM_RETRIES) + u32::from(MAX_RELEASES_BEFORE_FIRST_STEP) + u32::from(MAX_LOST_RETRIES)
}

/// Why there is no retry after an attempt ran out of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoOomRetry {
    /// `oom_retry = false` in the spec.
    SwitchedOff,
    /// It was the retry.
    UsedUp,
    /// It was the largest tier.
    NoNextTier,
    /// The policy allows no larger one.
    OverPolicy,
}

/// Counts the retries of one run.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct RetryBudget {
    oom: u8,
    before_first_step: u8,
    lost: u8,
}

impl RetryBudget {
    /// The tier to repeat an attempt on that ran out of memory on `tier`.
    ///
    /// # Errors
    /// With the reason when it is not repeated.
    pub fn after_oom<'a>(
        &mut self,
        tier: &'a Tier,
        tiers: &'a Tiers,
        caps: &TierCaps,
        allowed: bool,
    ) -> Result<&'a Tier, NoOomRetry> {
        if !allowed {
            return Err(NoOomRetry::SwitchedOff);
        }
        if self.oom >= MAX_OOM_RETRIES {
            return Err(NoOomRetry::UsedUp);
        }
        let none = if tiers.next_above(tier).is_some() { NoOomRetry::OverPolicy } else { NoOomRetry::NoNextTier };
        let next = tiers.above(tier).find(|next| caps.allow(next)).ok_or(none)?;
        self.oom += 1;
        Ok(next)
    }

    /// Whether an attempt that ended by an infrastructure fault is repeated on the same tier.
    pub fn after_infrastructure_fault(&mut self, steps_had_started: bool) -> bool {
        let (used, most) = if steps_had_started {
            (&mut self.lost, MAX_LOST_RETRIES)
        } else {
            (&mut self.before_first_step, MAX_RELEASES_BEFORE_FIRST_STEP)
        };
        let granted = *used < most;
        *used += u8::from(granted);
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::policy::policies;

    fn tiers() -> Tiers {
        let tier = |name: &str, cpu, memory_gb| Tier { name: name.to_owned(), cpu, memory_gb, disk_gb: 10 };
        Tiers::new(vec![tier("small", 2, 4.0), tier("middle", 4, 8.0), tier("large", 8, 16.0)]).unwrap()
    }

    #[test]
    fn memory_is_retried_once_on_the_next_tier() {
        let tiers = tiers();
        let mut budget = RetryBudget::default();
        let small = tiers.get("small").unwrap();
        let next = budget.after_oom(small, &tiers, &TierCaps::default(), true).unwrap();
        assert_eq!(next.name, "middle");
        assert_eq!(budget.after_oom(next, &tiers, &TierCaps::default(), true), Err(NoOomRetry::UsedUp));
    }

    #[test]
    fn memory_is_not_retried_where_it_cannot_or_may_not_be() {
        let tiers = tiers();
        let large = tiers.get("large").unwrap();
        assert_eq!(
            RetryBudget::default().after_oom(large, &tiers, &TierCaps::default(), true),
            Err(NoOomRetry::NoNextTier)
        );
        assert_eq!(
            RetryBudget::default().after_oom(tiers.get("small").unwrap(), &tiers, &TierCaps::default(), false),
            Err(NoOomRetry::SwitchedOff)
        );
    }

    #[test]
    fn a_retry_never_goes_over_the_policys_cap() {
        let tiers = tiers();
        let policy = policies(&[(serde_json::json!({ "caps": { "runner_type": "middle" } }), &[])]);
        let caps = TierCaps::of(&policy, &tiers, &tiers).unwrap();
        let (small, middle) = (tiers.get("small").unwrap(), tiers.get("middle").unwrap());
        assert_eq!(RetryBudget::default().after_oom(small, &tiers, &caps, true), Ok(middle));
        assert_eq!(RetryBudget::default().after_oom(middle, &tiers, &caps, true), Err(NoOomRetry::OverPolicy));
        let large = tiers.get("large").unwrap();
        assert_eq!(RetryBudget::default().after_oom(large, &tiers, &caps, true), Err(NoOomRetry::NoNextTier));
    }

    #[test]
    fn infrastructure_has_its_own_counts() {
        let mut budget = RetryBudget::default();
        assert_eq!([(); 3].map(|()| budget.after_infrastructure_fault(false)), [true, true, false]);
        assert_eq!([(); 2].map(|()| budget.after_infrastructure_fault(true)), [true, false]);
    }
}
