//! [`Origin`]: where a value came from, for `plan`.

use serde::Serialize;

/// What sort of thing set a value. In the order in which they win.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The operator's policy: it binds, and it limits what everybody else says.
    Policy,
    /// The command line.
    Flag,
    /// The directives. They never disagree with the command line: that is refused.
    Directives,
    /// `.build-spec.ncl`.
    Spec,
    /// An environment variable.
    Variable,
    /// What was found: the git remote, the machine, past runs.
    Found,
    /// Nobody said anything.
    Default,
}

/// A value with the place it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Origin {
    /// What is set: `workspace`, `provider`, `build_arg.VERSION`.
    pub name: String,
    /// To what.
    pub value: String,
    /// By what: a flag, a place in the directives, a variable, a default.
    pub from: String,
    /// What sort of thing `from` is.
    pub by: By,
    /// What said something else and lost: `BUILDKIT_WORKSPACE = other`.
    pub instead_of: Vec<String>,
}

impl Origin {
    /// An origin that nothing lost to.
    pub fn new(name: impl Into<String>, value: impl Into<String>, by: By, from: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into(), from: from.into(), by, instead_of: Vec::new() }
    }
}
