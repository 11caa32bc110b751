//! Turns what the stages know into what the envelope says.

use super::envelope::{Oom, OomVerdict, SizingInfo};
use crate::plan::Sizing;
use crate::solve::oom::{Judgement, Verdict};

impl From<&Sizing> for SizingInfo {
    fn from(sizing: &Sizing) -> Self {
        Self {
            source: sizing.source,
            runner_type: sizing.runner_type.clone(),
            cpu: f64::from(sizing.cpu),
            memory_gb: sizing.memory_gb,
            disk_gb: f64::from(sizing.disk_gb),
            time_budget_min: sizing.time_budget_min,
            reason: sizing.reason.clone(),
        }
    }
}

impl Oom {
    /// What the envelope says of a verdict; `None` when it was not memory.
    pub fn of(judgement: &Judgement) -> Option<Self> {
        let verdict = match judgement.verdict {
            Verdict::Proven => OomVerdict::Proven,
            Verdict::Stalled => OomVerdict::Stalled,
            Verdict::Suspected => OomVerdict::Suspected,
            Verdict::NotMemory => return None,
        };
        Some(Self {
            verdict,
            step: judgement.step.clone(),
            victim: judgement.victim.clone(),
            evidence: judgement.evidence.clone(),
        })
    }
}
