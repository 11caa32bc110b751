//! [`Answer`]: what every body of the API is.

use serde::{Deserialize, Serialize};

use super::Code;

/// What every body of the API is, of success and of refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Answer<T> {
    /// Whether it was done.
    pub success: bool,
    /// What was asked for; `null` when there is none.
    pub data: Option<T>,
    /// Why it was not done, for people.
    pub error: Option<String>,
    /// Why it was not done, for programs.
    pub code: Option<Code>,
}

impl<T> Answer<T> {
    /// It was done.
    pub fn of(data: T) -> Self {
        Self { success: true, data: Some(data), error: None, code: None }
    }

    /// It was done, and there is nothing to say: no advice for a workspace without history, say.
    pub fn empty() -> Self {
        Self { success: true, data: None, error: None, code: None }
    }

    /// It was not done.
    pub fn refused(code: Code, why: impl Into<String>) -> Self {
        Self { success: false, data: None, error: Some(why.into()), code: Some(code) }
    }
}
