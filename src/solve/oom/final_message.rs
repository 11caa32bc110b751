//! [`NoRetry`]: what to tell the user when memory ran out and no retry is left.

use super::judgement::Judgement;
use crate::error::{Error, ErrorKind};
use crate::plan::Tier;
use crate::units;

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
    /// The policy allows no larger tier.
    OverPolicy {
        /// The next larger tier.
        next: Option<&'a Tier>,
        /// The policy's rule, with its line.
        rule: &'a str,
    },
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
            Self::SwitchedOff { next } | Self::UsedUp { next } | Self::OverPolicy { next, .. } => next,
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
            (Some(peak), Some(limit)) => format!(", peak {} of {}", units::bytes(peak), units::bytes(limit)),
            (Some(peak), None) => format!(", peak {}", units::bytes(peak)),
            (None, Some(limit)) => format!(", limit {}", units::bytes(limit)),
            (None, None) => String::new(),
        };
        let because = match why {
            NoRetry::SwitchedOff { .. } => "not retried, for `oom_retry = false` is set".to_owned(),
            NoRetry::UsedUp { .. } => "this was the one retry".to_owned(),
            NoRetry::NoNextTier => format!("not retried, for `{}` is the largest tier", tier.name),
            NoRetry::OverPolicy { rule, .. } => format!("not retried, for the policy allows no larger tier ({rule})"),
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

#[cfg(test)]
mod tests {
    use super::super::judgement::Verdict;
    use super::*;

    fn tier(name: &str, memory_gb: f64) -> Tier {
        Tier { name: name.to_owned(), cpu: 4, memory_gb, disk_gb: 40 }
    }

    fn judgement() -> Judgement {
        Judgement {
            verdict: Verdict::Proven,
            step: Some("RUN cargo build --release".to_owned()),
            victim: Some("rustc".to_owned()),
            evidence: Vec::new(),
            peak_bytes: Some(7_680 << 20),
            limit_bytes: Some(7_680 << 20),
            warning: None,
            disk_full: false,
        }
    }

    #[test]
    fn the_message_says_step_victim_peak_and_tier() {
        let next = tier("cax31", 16.0);
        let error = judgement().final_error(&tier("cax21", 8.0), NoRetry::UsedUp { next: Some(&next) });
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        assert_eq!(
            error.message(),
            "step `RUN cargo build --release` ran out of memory on `cax21` (8 GB; proven), the kernel killed `rustc`, \
             peak 7.5 GB of 7.5 GB; this was the one retry"
        );
        assert_eq!(
            error.hints().first().map(String::as_str),
            Some("write `runner_type = \"cax31\"` (16 GB) into `.build-spec.ncl`: `cax21` has been too small")
        );
    }

    #[test]
    fn every_refusal_says_what_to_write() {
        let (this, next) = (tier("cax31", 16.0), tier("cax41", 32.0));
        let refusals = [
            (NoRetry::SwitchedOff { next: Some(&next) }, "cax41", "`oom_retry = false`"),
            (NoRetry::SwitchedOff { next: None }, "cax31", "`oom_retry = false`"),
            (NoRetry::UsedUp { next: Some(&next) }, "cax41", "the one retry"),
            (NoRetry::UsedUp { next: None }, "cax31", "the one retry"),
            (NoRetry::NoNextTier, "cax31", "the largest tier"),
            (NoRetry::OverPolicy { next: Some(&next), rule: "/p:3" }, "cax41", "no larger tier (/p:3)"),
            (
                NoRetry::NextDoesNotFit { next: &next, reason: "this machine has 24 GB" },
                "cax41",
                "this machine has 24 GB",
            ),
        ];
        for (why, name, because) in refusals {
            let error = judgement().final_error(&this, why);
            assert!(error.message().contains(because), "{why:?}: {}", error.message());
            let first = error.hints().first().unwrap();
            assert!(first.contains(&format!("`runner_type = \"{name}\"`")), "{why:?}: {first}");
        }
    }

    #[test]
    fn nothing_known_is_nothing_said() {
        let bare = Judgement { step: None, victim: None, peak_bytes: None, limit_bytes: None, ..judgement() };
        let error = bare.final_error(&tier("cax11", 4.0), NoRetry::NoNextTier);
        assert_eq!(
            error.message(),
            "the build ran out of memory on `cax11` (4 GB; proven); not retried, for `cax11` is the largest tier"
        );
    }
}
