//! [`LeaseCaps`]: how many runners may be held at the same time.

use super::Finding;
use super::verdict::over_policy;
use crate::error::Result;
use crate::ids::LeaseId;
use crate::inputs::policy::{Policies, Rule};

/// How many runners may be held at the same time, each cap with its line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeaseCaps(Vec<(Rule, u32)>);

impl LeaseCaps {
    /// The caps of `policies`.
    pub fn of(policies: &Policies) -> Self {
        Self(policies.said("caps.concurrent_leases", |policy| policy.caps.concurrent_leases).collect())
    }

    /// True where there is none, and nothing need be counted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one more may be leased beside `held`.
    ///
    /// # Errors
    /// `OverPolicy` naming the rule and the leases that are held.
    pub fn admit(&self, held: &[LeaseId]) -> Result<()> {
        let refused: Vec<String> = self.findings(held).iter().map(ToString::to_string).collect();
        if refused.is_empty() {
            return Ok(());
        }
        Err(over_policy(&refused).hint("`lian-build runners list` shows them; wait for their builds, or release one"))
    }

    /// The caps that one more would break.
    pub(in crate::plan) fn findings(&self, held: &[LeaseId]) -> Vec<Finding> {
        let names: Vec<&str> = held.iter().map(LeaseId::as_str).collect();
        let broken = self.0.iter().filter(|(_, most)| held.len() >= usize::try_from(*most).unwrap_or(usize::MAX));
        broken
            .map(|(rule, most)| {
                let asked = format!("a runner beside {} ({})", held.len(), names.join(", "));
                Finding::refused(rule.clone(), asked, format!("at most {most} at the same time"))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::ErrorKind;
    use crate::inputs::policy::policies;

    #[test]
    fn one_more_than_the_smallest_cap_is_refused_with_the_leases() {
        let both = policies(&[
            (json!({ "caps": { "concurrent_leases": 3 } }), &[]),
            (json!({ "caps": { "concurrent_leases": 2 } }), &[("caps", 5)]),
        ]);
        let caps = LeaseCaps::of(&both);
        let held = [LeaseId::new(), LeaseId::new()];
        assert!(caps.admit(&[]).is_ok() && caps.admit(&held[..1]).is_ok());
        let error = caps.admit(&held).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OverPolicy);
        let [one, two] = &held;
        let said = format!("/p1:5 (caps.concurrent_leases): a runner beside 2 ({one}, {two}) is asked for");
        assert!(error.message().contains(&said) && !error.message().contains("/p0"), "{error}");
        assert!(LeaseCaps::default().is_empty() && LeaseCaps::default().admit(&held).is_ok());
    }
}
