//! Turns what the stages know into what the envelope says.

use super::envelope::{Oom, OomVerdict, SizingInfo, SizingSource as Source};
use crate::plan::{Sizing, SizingSource};
use crate::solve::oom::{Judgement, Verdict};

impl From<&Sizing> for SizingInfo {
    fn from(sizing: &Sizing) -> Self {
        Self {
            source: match sizing.source {
                SizingSource::Override => Source::Override,
                SizingSource::Spec => Source::Spec,
                SizingSource::P95 => Source::P95,
                SizingSource::Language => Source::Language,
            },
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
