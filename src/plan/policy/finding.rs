//! [`Finding`]: one effect of one rule on a build.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use crate::inputs::policy::Rule;

/// What a rule did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// What nobody asked for was made smaller.
    Capped,
    /// What was asked for is not allowed: nothing is built.
    Refused,
    /// A secret or an SSH agent is there, but not for this actor or workspace: nothing is built.
    Withheld,
    /// A secret or an SSH agent has its place from here.
    Bound,
}

impl Effect {
    /// The word as it stands in plans.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Capped => "capped",
            Self::Refused => "refused",
            Self::Withheld => "withheld",
            Self::Bound => "bound",
        }
    }
}

/// One effect of one rule on a build. Never holds a secret's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// What the rule did.
    pub effect: Effect,
    /// The rule's field: `caps.runner_type`.
    pub rule: String,
    /// The policy file.
    pub file: String,
    /// The line in it, from 1; `null` when it cannot be told.
    pub line: Option<u32>,
    /// What the build asked for, or would have got.
    pub asked: String,
    /// What the rule allows, or gives.
    pub allowed: String,
}

impl Finding {
    /// What `rule` did.
    pub(super) fn new(effect: Effect, rule: Rule, asked: impl Into<String>, allowed: impl Into<String>) -> Self {
        let Rule { name, file, line } = rule;
        Self { effect, rule: name, file, line, asked: asked.into(), allowed: allowed.into() }
    }

    /// `rule` does not allow what was asked for.
    pub(super) fn refused(rule: Rule, asked: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self::new(Effect::Refused, rule, asked, allowed)
    }

    /// `rule` made smaller what nobody asked for.
    pub(super) fn capped(rule: Rule, asked: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self::new(Effect::Capped, rule, asked, allowed)
    }
}

impl Finding {
    /// Where the rule stands: `/etc/lian-build/policy.ncl:3`.
    pub fn place(&self) -> String {
        match self.line {
            Some(line) => format!("{}:{line}", self.file),
            None => self.file.clone(),
        }
    }
}

impl fmt::Display for Finding {
    /// `/etc/lian-build/policy.ncl:3 (caps.runner_type): …`, in words that stand for themselves.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place())?;
        let Self { rule, asked, allowed, .. } = self;
        match self.effect {
            Effect::Capped => write!(f, " ({rule}): {asked}, capped to {allowed}"),
            Effect::Refused => write!(f, " ({rule}): {asked} is asked for, and {allowed} is allowed"),
            Effect::Withheld => write!(f, " ({rule}): {asked} is for {allowed} only"),
            Effect::Bound => write!(f, " ({rule}): {asked} comes from {allowed}"),
        }
    }
}
