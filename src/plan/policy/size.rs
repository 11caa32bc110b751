//! The caps on a runner's size and on an attempt's time.

use std::fmt::Write as _;

use super::{Finding, TierCaps};
use crate::inputs::policy::Policies;
use crate::plan::need::amount;
use crate::plan::{Sizing, Tier, Tiers};

/// Keeps the tier within the caps: one that was asked for is refused, one that a default or history chose is made smaller.
/// `disk_gb` is what was asked for beside it.
pub(in crate::plan) fn cap_tier(
    sizing: &mut Sizing,
    caps: &TierCaps,
    tiers: &Tiers,
    disk_gb: Option<f64>,
) -> Vec<Finding> {
    let chosen = sizing.tier.clone();
    let said = describe(&chosen);
    let holds_disk = |tier: &&Tier| disk_gb.is_none_or(|disk| f64::from(tier.disk_gb) >= disk);
    let largest = tiers.iter().rev().filter(holds_disk).find(|tier| caps.allow(tier));
    match largest.filter(|_| !sizing.memory_is_explicit) {
        Some(tier) => {
            let findings: Vec<Finding> =
                caps.broken_by(&chosen).map(|(rule, _)| Finding::capped(rule, &said, describe(tier))).collect();
            if !findings.is_empty() {
                sizing.take(tier);
                let _ = write!(sizing.reason, "; the policy's cap makes it {}", tier.name);
            }
            findings
        }
        None => caps.broken_by(&chosen).map(|(rule, allowed)| Finding::refused(rule, &said, allowed)).collect(),
    }
}

/// Keeps the time budget within the caps, in the same way.
pub(in crate::plan) fn cap_time(sizing: &mut Sizing, policies: &Policies) -> Vec<Finding> {
    let asked = sizing.time_budget_min;
    let minutes = |minutes: f64| format!("{} min for an attempt", amount(minutes));
    let mut findings = Vec::new();
    for (rule, most) in policies.said("caps.time_budget_min", |policy| policy.caps.time_budget_min) {
        if asked <= most {
            continue;
        }
        if sizing.time_is_explicit {
            findings.push(Finding::refused(rule, minutes(asked), format!("at most {} min", amount(most))));
        } else {
            findings.push(Finding::capped(rule, minutes(asked), format!("{} min", amount(most))));
            sizing.time_budget_min = sizing.time_budget_min.min(most);
        }
    }
    findings
}

fn describe(tier: &Tier) -> String {
    format!("`{}` ({} cpu, {} GB)", tier.name, tier.cpu, amount(tier.memory_gb))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Effect;
    use super::*;
    use crate::inputs::policy::policies;
    use crate::plan::SizingSource;

    fn tier(name: &str, cpu: u32, memory_gb: f64) -> Tier {
        Tier { name: name.to_owned(), cpu, memory_gb, disk_gb: cpu * 10 }
    }

    fn ladder() -> Tiers {
        Tiers::new(vec![tier("s", 2, 4.0), tier("m", 4, 8.0), tier("l", 8, 16.0)]).unwrap()
    }

    fn sizing(name: &str, source: SizingSource) -> Sizing {
        let is_explicit = matches!(source, SizingSource::Override | SizingSource::Spec);
        let tier = ladder().get(name).unwrap().clone();
        Sizing {
            source,
            runner_type: String::new(),
            cpu: 0,
            memory_gb: 0.0,
            disk_gb: 0,
            time_budget_min: 60.0,
            time_is_explicit: is_explicit,
            oom_retry: true,
            memory_is_explicit: is_explicit,
            reason: "a reason".to_owned(),
            notes: Vec::new(),
            tier,
        }
    }

    fn caps(name: &str) -> TierCaps {
        let policies = policies(&[(json!({ "caps": { "runner_type": name } }), &[("caps", 2)])]);
        TierCaps::of(&policies, &ladder(), &ladder()).unwrap()
    }

    #[test]
    fn a_size_that_was_asked_for_is_refused_and_left_as_it_is() {
        for source in [SizingSource::Override, SizingSource::Spec] {
            let mut asked = sizing("l", source);
            let findings = cap_tier(&mut asked, &caps("m"), &ladder(), None);
            let said: Vec<String> = findings.iter().map(ToString::to_string).collect();
            let expected =
                "/p0:2 (caps.runner_type): `l` (8 cpu, 16 GB) is asked for, and at most `m` (4 cpu, 8 GB) is allowed";
            assert_eq!((said.first().map(String::as_str), asked.tier.name.as_str()), (Some(expected), "l"));
            assert!(findings.iter().all(|finding| finding.effect == Effect::Refused));
        }
    }

    #[test]
    fn a_default_or_advice_is_capped_with_a_reason() {
        for source in [SizingSource::P95, SizingSource::Language] {
            let mut advised = sizing("l", source);
            let findings = cap_tier(&mut advised, &caps("m"), &ladder(), None);
            assert!(findings.iter().all(|finding| finding.effect == Effect::Capped) && !findings.is_empty());
            assert_eq!((advised.tier.name.as_str(), advised.runner_type.as_str(), advised.cpu), ("m", "m", 4));
            assert_eq!(advised.reason, "a reason; the policy's cap makes it m");
        }
        let mut small = sizing("s", SizingSource::Language);
        assert_eq!(cap_tier(&mut small, &caps("m"), &ladder(), None), []);
        assert_eq!(small.tier.name, "s");
    }

    #[test]
    fn a_cap_that_leaves_nothing_that_would_do_refuses() {
        let mut with_disk = sizing("l", SizingSource::Language);
        let findings = cap_tier(&mut with_disk, &caps("m"), &ladder(), Some(70.0));
        assert!(findings.iter().any(|finding| finding.effect == Effect::Refused), "{findings:?}");
        let tiny = Tiers::new(vec![tier("tiny", 1, 1.0)]).unwrap();
        let policies = policies(&[(json!({ "caps": { "runner_type": "tiny" } }), &[])]);
        let caps = TierCaps::of(&policies, &tiny, &ladder()).unwrap();
        let findings = cap_tier(&mut sizing("s", SizingSource::P95), &caps, &ladder(), None);
        assert!(findings.iter().any(|finding| finding.effect == Effect::Refused), "{findings:?}");
    }

    #[test]
    fn time_keeps_the_shortest_of_all_caps() {
        let both = policies(&[
            (json!({ "caps": { "time_budget_min": 20 } }), &[]),
            (json!({ "caps": { "time_budget_min": 30.5 } }), &[("caps", 9)]),
        ]);
        let mut default = sizing("s", SizingSource::Language);
        let findings = cap_time(&mut default, &both);
        assert!((default.time_budget_min - 20.0).abs() < f64::EPSILON);
        assert_eq!(findings.iter().map(|finding| finding.effect).collect::<Vec<_>>(), [Effect::Capped; 2]);
        let mut asked = sizing("s", SizingSource::Override);
        let findings = cap_time(&mut asked, &both);
        assert_eq!(
            findings.last().map(ToString::to_string).as_deref(),
            Some("/p1:9 (caps.time_budget_min): 60 min for an attempt is asked for, and at most 30.5 min is allowed")
        );
        assert!((asked.time_budget_min - 60.0).abs() < f64::EPSILON);
        asked.time_budget_min = 20.0;
        assert_eq!(cap_time(&mut asked, &both), []);
    }
}
