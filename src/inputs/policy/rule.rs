//! [`Rule`]: one line of a policy, to be named wherever it has an effect.

use std::fmt;

/// One line of a policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// The field: `caps.runner_type`.
    pub name: String,
    /// The file it stands in.
    pub file: String,
    /// The line in it, from 1; `None` when it cannot be told.
    pub line: Option<u32>,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "`{}` at {}:{line}", self.name, self.file),
            None => write!(f, "`{}` in {}", self.name, self.file),
        }
    }
}
