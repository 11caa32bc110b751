//! [`Contract`]: the embedded schema that a document has to keep.

use serde::{Deserialize, Serialize};

/// A contract of an embedded schema file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contract {
    /// `.build-spec.ncl`.
    BuildSpec,
    /// A directives file: one record, or an array of named ones.
    Directives,
    /// The operator's policy.
    Policy,
    /// A pool's configuration.
    Serve,
    /// A tiers file.
    Tiers,
    /// The table of default sizes by language.
    Languages,
}

impl Contract {
    /// The schema's path among the embedded files.
    pub(super) const fn file(self) -> &'static str {
        match self {
            Self::BuildSpec => "/__lian__/lian/schemas/build_spec.ncl",
            Self::Directives => "/__lian__/lian/schemas/build_directives.ncl",
            Self::Policy => "/__lian__/lian/schemas/policy.ncl",
            Self::Serve => "/__lian__/lian/schemas/serve.ncl",
            Self::Tiers => "/__lian__/lian/schemas/tiers.ncl",
            Self::Languages => "/__lian__/lian/schemas/languages.ncl",
        }
    }

    /// The contract's name in the schema.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::BuildSpec => "BuildSpec",
            Self::Directives => "DirectivesFile",
            Self::Policy => "Policy",
            Self::Serve => "Serve",
            Self::Tiers => "TiersFile",
            Self::Languages => "LanguagesFile",
        }
    }
}
