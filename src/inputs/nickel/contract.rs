//! [`Contract`]: the embedded schema that a document has to keep.

use serde::{Deserialize, Serialize};

/// A contract of an embedded schema file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contract {
    /// `.build-spec.ncl`.
    BuildSpec,
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
            Self::Tiers => "/__lian__/lian/schemas/tiers.ncl",
            Self::Languages => "/__lian__/lian/schemas/languages.ncl",
        }
    }

    /// The contract's name in the schema.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::BuildSpec => "BuildSpec",
            Self::Tiers => "TiersFile",
            Self::Languages => "LanguagesFile",
        }
    }

    /// The closed records of the schema: their fields are what an unknown field may have been meant to be.
    pub(super) const fn records(self) -> &'static [&'static str] {
        match self {
            Self::BuildSpec => &["Fields"],
            Self::Tiers => &["TiersFile", "Tier"],
            Self::Languages => &["LanguagesFile", "Size"],
        }
    }
}
