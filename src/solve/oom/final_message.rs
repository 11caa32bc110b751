//! [`NoRetry`]: what to tell the user when memory ran out and no retry is left.

use super::judgement::Judgement;
use super::size::megabytes;
use crate::error::{Error, ErrorKind};
use crate::plan::Tier;

/// Why an attempt that ran out of memory is not repeated, and the tier that would have been next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NoRetry<'a> {
    /// The spec says `oom_retry = false`.
    SwitchedOff {
        /// The next larger tier, if there is one.
        next: Option<&'a Tier>,
    },
    /// It was the retry already.
    UsedUp {
        /// The next larger tier, if there is one.
        next: Option<&'a Tier>,
    },
    /// It was the largest tier.
    NoNextTier,
    /// The next tier is larger than the provider's machine.
    NextDoesNotFit {
        /// The tier.
        next: &'a Tier,
        /// The provider's reason.
        reason: &'a str,
    },
}

impl<'a> NoRetry<'a> {
    fn next(&self) -> Option<&'a Tier> {
        match *self {
            Self::SwitchedOff { next } | Self::UsedUp { next } => next,
            Self::NextDoesNotFit { next, .. } => Some(next),
            Self::NoNextTier => None,
        }
    }
}

impl Judgement {
    /// The final error: step, victim, peak, tier, and what to write into `.build-spec.ncl`. Exit 3.
    pub fn final_error(&self, tier: &Tier, why: NoRetry<'_>) -> Error {
        let step = self.step.as_deref().map_or_else(|| "the build".to_owned(), |step| format!("step `{step}`"));
        let victim =
            self.victim.as_deref().map_or_else(String::new, |victim| format!(", the kernel killed `{victim}`"));
        let peak = match (self.peak_bytes, self.limit_bytes) {
            (Some(peak), Some(limit)) => format!(", peak {} of {}", megabytes(peak), megabytes(limit)),
            (Some(peak), None) => format!(", peak {}", megabytes(peak)),
            (None, Some(limit)) => format!(", limit {}", megabytes(limit)),
            (None, None) => String::new(),
        };
        let because = match why {
            NoRetry::SwitchedOff { .. } => "not retried, for `oom_retry = false` is set".to_owned(),
            NoRetry::UsedUp { .. } => "this was the one retry".to_owned(),
            NoRetry::NoNextTier => format!("not retried, for `{}` is the largest tier", tier.name),
            NoRetry::NextDoesNotFit { next, reason } => {
                format!("not retried, for the next tier `{}` cannot be had: {reason}", next.name)
            }
        };
        let message = format!(
            "{step} ran out of memory on `{}` ({} GB; {}){victim}{peak}; {because}",
            tier.name,
            tier.memory_gb,
            self.verdict.as_str(),
        );
        let mut error = Error::new(ErrorKind::OutOfMemory, message);
        for hint in hints(tier, why) {
            error = error.hint(hint);
        }
        error
    }
}

/// What to do: first the line for the spec, then what else helps.
fn hints(tier: &Tier, why: NoRetry<'_>) -> Vec<String> {
    let mut hints = Vec::new();
    match why.next() {
        Some(next) => hints.push(format!(
            "write `runner_type = \"{}\"` ({} GB) into `.build-spec.ncl`: `{}` has been too small",
            next.name, next.memory_gb, tier.name
        )),
        None => hints.push(format!(
            "no tier is larger than `{}`: write `runner_type = \"{}\"` into `.build-spec.ncl` so that no smaller one is \
             tried first, and name a tiers file with a larger one (`--tiers`)",
            tier.name, tier.name
        )),
    }
    match why {
        NoRetry::NextDoesNotFit { .. } => {
            hints.push("build with a provider that has such a machine (`--provider`)".to_owned());
        }
        NoRetry::SwitchedOff { next: Some(_) } => {
            hints.push("or set `oom_retry = true` there: then the next tier is tried once by itself".to_owned());
        }
        _ => {}
    }
    hints.push(
        "or let the step need less: fewer parallel jobs (`CARGO_BUILD_JOBS=1`, `make -j1`), no debug info, no LTO"
            .to_owned(),
    );
    hints
}
