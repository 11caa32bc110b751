//! [`TierCaps`]: the largest tiers that are allowed.

use crate::error::{Error, ErrorKind, Result};
use crate::inputs::policy::{Policies, Rule};
use crate::nearest::nearest;
use crate::plan::need::amount;
use crate::plan::{Tier, Tiers};

/// The field of the policy.
const NAME: &str = "caps.runner_type";

/// The largest tiers that are allowed, each with the line that says so. A tier keeps all of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TierCaps(Vec<(Rule, Tier)>);

impl TierCaps {
    /// The caps of `policies`. A name means the built-in tier where there is one of that name: a tiers file of the caller's
    /// must not make a cap larger. It may make it smaller.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] for a tier that neither ladder has: a cap that cannot be understood is never left out.
    pub fn of(policies: &Policies, builtin: &Tiers, ladder: &Tiers) -> Result<Self> {
        let mut caps = Vec::new();
        for (rule, name) in policies.said(NAME, |policy| policy.caps.runner_type.as_deref()) {
            let cap = match (builtin.get(name), ladder.get(name)) {
                (Some(one), Some(other)) => {
                    Tier { cpu: one.cpu.min(other.cpu), memory_gb: one.memory_gb.min(other.memory_gb), ..one.clone() }
                }
                (Some(one), None) | (None, Some(one)) => one.clone(),
                (None, None) => return Err(unknown(&rule, name, builtin, ladder)),
            };
            caps.push((rule, cap));
        }
        Ok(Self(caps))
    }

    /// True when `tier` keeps every cap.
    pub fn allow(&self, tier: &Tier) -> bool {
        self.broken_by(tier).next().is_none()
    }

    /// The caps that `tier` does not keep: the line, and in words what it allows.
    pub fn broken_by<'a>(&'a self, tier: &'a Tier) -> impl Iterator<Item = (Rule, String)> + 'a {
        let broken = self.0.iter().filter(|(_, cap)| tier.cpu > cap.cpu || tier.memory_gb > cap.memory_gb);
        broken.map(|(rule, cap)| {
            (rule.clone(), format!("at most `{}` ({} cpu, {} GB)", cap.name, cap.cpu, amount(cap.memory_gb)))
        })
    }
}

fn unknown(rule: &Rule, name: &str, builtin: &Tiers, ladder: &Tiers) -> Error {
    let names: Vec<&str> = builtin.iter().chain(ladder.iter()).map(|tier| tier.name.as_str()).collect();
    let error = Error::new(ErrorKind::Spec, format!("the policy's {rule} names the tier `{name}`, and there is none"));
    match nearest(name, names.iter().copied()) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint(format!("tiers are {}", names.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::inputs::policy::policies;

    fn tier(name: &str, cpu: u32, memory_gb: f64) -> Tier {
        Tier { name: name.to_owned(), cpu, memory_gb, disk_gb: 10 }
    }

    fn tiers(tiers: &[(&str, u32, f64)]) -> Tiers {
        Tiers::new(tiers.iter().map(|(name, cpu, memory_gb)| tier(name, *cpu, *memory_gb)).collect()).unwrap()
    }

    fn cap(name: &str) -> Policies {
        policies(&[(json!({ "caps": { "runner_type": name } }), &[("caps.runner_type", 2)])])
    }

    #[test]
    fn a_tier_keeps_cpu_and_memory_of_every_cap() {
        let ladder = tiers(&[("s", 2, 4.0), ("m", 4, 8.0), ("l", 8, 16.0)]);
        let both = policies(&[
            (json!({ "caps": { "runner_type": "l" } }), &[]),
            (json!({ "caps": { "runner_type": "m" } }), &[("caps.runner_type", 7)]),
        ]);
        let caps = TierCaps::of(&both, &ladder, &ladder).unwrap();
        assert!(caps.allow(ladder.get("m").unwrap()));
        assert!(!caps.allow(&tier("many", 8, 1.0)) && !caps.allow(&tier("wide", 1, 9.0)));
        let large = tier("l", 8, 16.0);
        let broken: Vec<String> = caps.broken_by(&large).map(|(rule, allowed)| format!("{rule}: {allowed}")).collect();
        assert_eq!(broken.first().map(String::as_str), Some("`caps.runner_type` at /p1:7: at most `m` (4 cpu, 8 GB)"));
        assert!(TierCaps::default().allow(&large));
    }

    #[test]
    fn a_tiers_file_cannot_lift_a_cap_by_its_name() {
        let builtin = tiers(&[("m", 4, 8.0)]);
        let larger = TierCaps::of(&cap("m"), &builtin, &tiers(&[("m", 64, 512.0), ("x", 1, 1.0)])).unwrap();
        assert!(!larger.allow(&tier("m", 64, 512.0)) && larger.allow(&tier("x", 4, 8.0)));
        let smaller = TierCaps::of(&cap("m"), &builtin, &tiers(&[("m", 1, 1.0)])).unwrap();
        assert!(!smaller.allow(&tier("x", 4, 8.0)) && smaller.allow(&tier("m", 1, 1.0)));
        assert!(TierCaps::of(&cap("own"), &builtin, &tiers(&[("own", 1, 1.0)])).unwrap().allow(&tier("own", 1, 1.0)));
    }

    #[test]
    fn a_cap_that_names_no_tier_is_an_error_that_says_where() {
        let builtin = tiers(&[("cax21", 4, 8.0)]);
        let error = TierCaps::of(&cap("cax12"), &builtin, &builtin).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Spec);
        assert_eq!(
            error.message(),
            "the policy's `caps.runner_type` at /p0:2 names the tier `cax12`, and there is none"
        );
        assert_eq!(error.hints(), ["did you mean `cax21`?"]);
    }
}
