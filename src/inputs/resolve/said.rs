//! [`Said`]: a value that somebody said.

use std::fmt::Display;

use crate::inputs::origin::By;

/// A value with the one who said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said<T> {
    /// The value.
    pub value: T,
    /// The value for a reader.
    pub shown: String,
    /// What sort of source it is.
    pub by: By,
    /// The source: `--target`, `BUILDKIT_WORKSPACE`, `ci/directives.ncl:3:3`.
    pub from: String,
}

impl<T> Said<T> {
    /// What the command line says with `flag`.
    pub fn by_flag(flag: &str, value: T, shown: impl Into<String>) -> Self {
        Self { value, shown: shown.into(), by: By::Flag, from: flag.to_owned() }
    }

    /// What an environment variable says.
    pub fn by_variable(variable: &str, value: T, shown: impl Into<String>) -> Self {
        Self { value, shown: shown.into(), by: By::Variable, from: variable.to_owned() }
    }
}

impl<T: Display> Said<T> {
    /// As [`Said::by_flag`], for a value that shows itself.
    pub fn flag(flag: &str, value: T) -> Self {
        let shown = value.to_string();
        Self::by_flag(flag, value, shown)
    }

    /// As [`Said::by_variable`], for a value that shows itself.
    pub fn variable(variable: &str, value: T) -> Self {
        let shown = value.to_string();
        Self::by_variable(variable, value, shown)
    }
}
