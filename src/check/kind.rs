//! [`Kind`]: what a file is meant to say.

use schemars::JsonSchema;
use serde::Serialize;

use crate::inputs::nickel::Contract;
use crate::inputs::spec;

/// What a file is meant to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A project's size: `.build-spec.ncl`
    Spec,
    /// What to build: `ci/directives.ncl`
    Directives,
    /// What an operator allows: `policy.ncl`
    Policy,
    /// What a pool of runners is: `serve.ncl`
    Serve,
    /// The sizes of machine that there are: `tiers.ncl`
    Tiers,
}

impl Kind {
    /// What a file of this name is.
    pub fn of_name(name: &str) -> Self {
        if name.ends_with(spec::FILE_NAME) {
            Self::Spec
        } else if is_called(name, "policy.ncl") && !is_called(name, "cache_policy.ncl") {
            Self::Policy
        } else if is_called(name, "serve.ncl") {
            Self::Serve
        } else if name.contains("tiers") {
            Self::Tiers
        } else {
            Self::Directives
        }
    }

    /// Whether a file's name says that it is of this kind, or nothing else at all.
    pub fn is_said_by(self, name: &str) -> bool {
        self != Self::Directives || ["directives", "session"].iter().any(|word| name.contains(word))
    }

    /// The contract that the file has to keep.
    pub const fn contract(self) -> Contract {
        match self {
            Self::Spec => Contract::BuildSpec,
            Self::Directives => Contract::Directives,
            Self::Policy => Contract::Policy,
            Self::Serve => Contract::Serve,
            Self::Tiers => Contract::Tiers,
        }
    }

    /// As people call it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Spec => "spec",
            Self::Directives => "directives",
            Self::Policy => "policy",
            Self::Serve => "serve",
            Self::Tiers => "tiers",
        }
    }
}

/// `policy.ncl`, or a name that ends so after a mark: `laptop.policy.ncl`, `team-policy.ncl`.
fn is_called(name: &str, end: &str) -> bool {
    name.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with(['.', '-', '_']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_is_in_the_file() {
        for (name, kind) in [
            (".build-spec.ncl", Kind::Spec),
            ("small.build-spec.ncl", Kind::Spec),
            ("policy.ncl", Kind::Policy),
            ("laptop.policy.ncl", Kind::Policy),
            ("03_policy.ncl", Kind::Policy),
            ("nopolicy.ncl", Kind::Directives),
            ("serve.ncl", Kind::Serve),
            ("eu.serve.ncl", Kind::Serve),
            ("tiers.ncl", Kind::Tiers),
            ("our-tiers-2.ncl", Kind::Tiers),
            ("directives.ncl", Kind::Directives),
            ("session.ncl", Kind::Directives),
            ("cache_policy.ncl", Kind::Directives),
        ] {
            assert_eq!(Kind::of_name(name), kind, "{name}");
        }
    }
}
