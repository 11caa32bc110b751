//! [`Checked`]: what became of one document.

use serde::{Deserialize, Serialize};

use super::diagnostic::Diagnostic;
use super::evaluated::Evaluated;
use super::partial::Partial;

/// A document's value, or everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checked {
    /// What it says; `None` when it is not valid.
    pub value: Option<Evaluated>,
    /// All that is wrong, in the order of the source; empty when it is valid.
    pub diagnostics: Vec<Diagnostic>,
    /// What of a document that is not valid could be evaluated; empty for a valid one.
    pub partial: Partial,
}

impl Checked {
    pub(super) fn valid(evaluated: Evaluated) -> Self {
        Self { value: Some(evaluated), diagnostics: Vec::new(), partial: Partial::default() }
    }

    pub(super) fn invalid(diagnostics: Vec<Diagnostic>) -> Self {
        Self { value: None, diagnostics, partial: Partial::default() }
    }

    /// The same, with what could be evaluated.
    pub(super) fn seen(self, partial: Partial) -> Self {
        Self { partial, ..self }
    }
}
