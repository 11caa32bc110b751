//! [`Diagnostic`]: one thing that is wrong with a document, for people and for programs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What kind of rule was broken. Kinds are only added within a version of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The text is no Nickel.
    Syntax,
    /// A file cannot be imported.
    Import,
    /// A name is used that nothing defines.
    Unbound,
    /// A field that this record does not have.
    UnknownField,
    /// A field that has to be there.
    MissingField,
    /// A value of the wrong type.
    Type,
    /// A value of the right type that is not allowed.
    Value,
    /// Fields that do not go together, or not without each other.
    Together,
    /// Two definitions of one field that differ.
    Conflict,
    /// A value that is defined by itself.
    Recursion,
    /// The evaluation failed in another way.
    Evaluation,
    /// The evaluation needed more time, memory or depth than it may.
    Limit,
    /// The file cannot be read.
    Unreadable,
    /// A valid document names something that there is not: a file, a tier, a placeholder.
    Reference,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 14] = [
        Self::Syntax,
        Self::Import,
        Self::Unbound,
        Self::UnknownField,
        Self::MissingField,
        Self::Type,
        Self::Value,
        Self::Together,
        Self::Conflict,
        Self::Recursion,
        Self::Evaluation,
        Self::Limit,
        Self::Unreadable,
        Self::Reference,
    ];

    /// As programs know it: `unknown-field`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::Import => "import",
            Self::Unbound => "unbound",
            Self::UnknownField => "unknown-field",
            Self::MissingField => "missing-field",
            Self::Type => "type",
            Self::Value => "value",
            Self::Together => "together",
            Self::Conflict => "conflict",
            Self::Recursion => "recursion",
            Self::Evaluation => "evaluation",
            Self::Limit => "limit",
            Self::Unreadable => "unreadable",
            Self::Reference => "reference",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnostic {
    /// The file to change, as its user knows it.
    pub file: String,
    /// The line, from 1; 1 where the whole file is meant.
    pub line: u32,
    /// The character in the line, from 1; 1 where the whole file is meant.
    pub column: u32,
    /// The line in which it ends.
    pub end_line: u32,
    /// The first character after it.
    pub end_column: u32,
    /// The field by its path in the document (`artifact.image`, `[0].workspace`), where it is known.
    pub path: Option<String>,
    /// What kind of rule was broken.
    pub rule: Rule,
    /// What is wrong.
    pub message: String,
    /// What to do about it, where it is known.
    pub hint: Option<String>,
    /// The same for people, with the lines of the source; empty where there are none to show.
    pub excerpt: String,
}

impl Diagnostic {
    /// What is wrong with a file as a whole.
    pub fn of_file(file: impl Into<String>, rule: Rule, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: 1,
            column: 1,
            end_line: 1,
            end_column: 1,
            path: None,
            rule,
            message: message.into(),
            hint: None,
            excerpt: String::new(),
        }
    }

    /// The same, with what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same about the field at `path`, which stands at `place`.
    #[must_use]
    pub fn at(mut self, path: &str, place: Option<&super::Place>) -> Self {
        self.path = Some(path.to_owned());
        if let Some(place) = place {
            self.file.clone_from(&place.file);
            (self.line, self.column) = (place.line, place.column);
            (self.end_line, self.end_column) = (place.line, place.column);
        }
        self
    }

    /// What identifies it: the same fault may be found on several ways.
    pub(super) fn identity(&self) -> (&str, u32, u32, Rule, &str) {
        (&self.file, self.line, self.column, self.rule, &self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_and_programs_see_the_same_names() {
        for rule in Rule::ALL {
            assert_eq!(serde_json::to_value(rule).unwrap(), rule.name());
        }
    }
}
