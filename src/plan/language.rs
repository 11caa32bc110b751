//! [`Languages`]: what a project of a language gets as long as nothing better is known.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// The entry for every language without one of its own.
pub const OTHER: &str = "other";

/// What a language needs, by experience.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LanguageSize {
    /// CPUs.
    pub cpu: f64,
    /// Memory in GB (2^30).
    pub memory_gb: f64,
    /// Minutes an attempt may take.
    pub time_budget_min: f64,
}

/// Default sizes by language. Always has [`OTHER`].
#[derive(Debug, Clone, PartialEq)]
pub struct Languages {
    sizes: BTreeMap<String, LanguageSize>,
    other: LanguageSize,
}

impl Languages {
    /// Checks a table.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] without an entry `other`.
    pub fn new(sizes: BTreeMap<String, LanguageSize>) -> Result<Self> {
        let other = sizes
            .get(OTHER)
            .copied()
            .ok_or_else(|| Error::new(ErrorKind::Spec, format!("the table of languages has no entry `{OTHER}`")))?;
        Ok(Self { sizes, other })
    }

    /// Whether `language` has a default of its own.
    pub fn knows(&self, language: &str) -> bool {
        language != OTHER && self.sizes.contains_key(language)
    }

    /// The size for `language`, or that of [`OTHER`].
    pub fn get(&self, language: &str) -> LanguageSize {
        self.sizes.get(language).copied().unwrap_or(self.other)
    }
}
