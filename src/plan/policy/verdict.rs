//! [`PolicyVerdict`]: everything that the policy did to a build.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Effect, Finding};
use crate::error::{Error, ErrorKind};
use crate::inputs::policy::Policies;

/// Everything that the policy did to a build.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PolicyVerdict {
    /// The policy files that count, the system's first; empty where there is none.
    pub files: Vec<String>,
    /// The rules that had an effect on this build.
    pub rules: Vec<Finding>,
}

impl PolicyVerdict {
    /// What `policies` did.
    pub(in crate::plan) fn new(policies: &Policies, rules: Vec<Finding>) -> Self {
        Self { files: policies.names(), rules }
    }

    /// What was made smaller, in words.
    pub fn notes(&self) -> impl Iterator<Item = String> {
        self.rules.iter().filter(|finding| finding.effect == Effect::Capped).map(ToString::to_string)
    }

    /// Why nothing is built: every rule that refuses the build, at once; `None` when none does.
    pub fn refusal(&self) -> Option<Error> {
        let said = |effect| -> Vec<String> {
            self.rules.iter().filter(|finding| finding.effect == effect).map(ToString::to_string).collect()
        };
        let (refused, withheld) = (said(Effect::Refused), said(Effect::Withheld));
        if !refused.is_empty() {
            let all = [refused, withheld].concat();
            return Some(over_policy(&all));
        }
        (!withheld.is_empty()).then(|| {
            Error::new(ErrorKind::Credentials, format!("the policy keeps a credential back: {}", withheld.join("; ")))
                .hint(
                    "bind it yourself (`--secret id=ID,src=FILE`, `--ssh ID=SOCKET`), or ask whoever keeps the policy",
                )
        })
    }
}

/// The answer to a build that the policy does not allow, for these reasons.
pub(super) fn over_policy(reasons: &[String]) -> Error {
    Error::new(ErrorKind::OverPolicy, format!("the policy does not allow this build: {}", reasons.join("; "))).hint(
        "ask for what is allowed, or ask whoever keeps the policy; `lian-build plan` shows every rule that counts",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::policy::Rule;

    fn finding(effect: Effect, name: &str) -> Finding {
        let rule = Rule { name: name.to_owned(), file: "/p".to_owned(), line: Some(3) };
        Finding::new(effect, rule, "much", "little")
    }

    fn verdict(rules: Vec<Finding>) -> PolicyVerdict {
        PolicyVerdict { files: Vec::new(), rules }
    }

    #[test]
    fn everything_that_refuses_is_said_at_once() {
        let findings = vec![
            finding(Effect::Refused, "a"),
            finding(Effect::Capped, "b"),
            finding(Effect::Withheld, "c"),
            finding(Effect::Refused, "d"),
        ];
        let verdict = verdict(findings);
        let error = verdict.refusal().unwrap();
        assert_eq!(error.kind(), ErrorKind::OverPolicy);
        assert_eq!(
            error.message(),
            "the policy does not allow this build: /p:3 (a): much is asked for, and little is allowed; /p:3 (d): much is \
             asked for, and little is allowed; /p:3 (c): much is for little only"
        );
        assert_eq!(verdict.notes().collect::<Vec<_>>(), ["/p:3 (b): much, capped to little"]);
    }

    #[test]
    fn a_credential_that_is_for_others_is_a_matter_of_credentials() {
        let error = verdict(vec![finding(Effect::Withheld, "secrets.x")]).refusal().unwrap();
        assert_eq!(error.kind(), ErrorKind::Credentials);
        assert_eq!(
            verdict(vec![finding(Effect::Bound, "x"), finding(Effect::Capped, "y")]).refusal().map(|_| ()),
            None
        );
    }
}
