//! [`SubjectPrefix`]: the first tokens of event subjects.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::events::Event;
use crate::ids::Workspace;

/// The first tokens of event subjects: `[a-z0-9_-]+`, separated by dots. Wildcards, empty tokens and spaces cannot be
/// written, so a subject always means one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct SubjectPrefix(String);

impl SubjectPrefix {
    /// The longest prefix in bytes; servers refuse very long subjects.
    pub const MAX_LEN: usize = 128;

    /// The prefix as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `<prefix>.<workspace>.build.<event>`
    pub fn subject(&self, workspace: &Workspace, event: Event) -> String {
        format!("{}.{workspace}.build.{}", self.0, event.as_str())
    }
}

impl Default for SubjectPrefix {
    fn default() -> Self {
        Self("lian-build".to_owned())
    }
}

impl fmt::Display for SubjectPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SubjectPrefix {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let is_token = |token: &str| {
            !token.is_empty()
                && token.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte))
        };
        if text.len() <= Self::MAX_LEN && text.split('.').all(is_token) {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::usage(format!("`{text}` is not a NATS subject prefix")).hint(format!(
            "a prefix is made of tokens of lower-case letters, digits, `_` and `-`, with single dots between them, at \
             most {} bytes",
            Self::MAX_LEN
        )))
    }
}

impl TryFrom<String> for SubjectPrefix {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<SubjectPrefix> for String {
    fn from(prefix: SubjectPrefix) -> Self {
        prefix.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prefixes_are_checked() {
        for good in ["lian-build", "ci", "org.team_1.build", "0", &"x".repeat(128)] {
            assert!(good.parse::<SubjectPrefix>().is_ok(), "{good}");
        }
        for bad in ["", ".", "a.", ".a", "a..b", "a b", "A", "a.*", ">", "a\n", "ä", "$sys", &"x".repeat(129)] {
            assert!(bad.parse::<SubjectPrefix>().is_err(), "{bad}");
        }
    }

    #[test]
    fn subjects_are_as_designed() {
        let workspace = "my-app".parse().unwrap();
        let subject = |event| SubjectPrefix::default().subject(&workspace, event);
        assert_eq!(subject(Event::Started), "lian-build.my-app.build.started");
        assert_eq!(subject(Event::Retrying { attempt: 1 }), "lian-build.my-app.build.retrying");
        assert_eq!(subject(Event::Completed), "lian-build.my-app.build.completed");
        assert_eq!(subject(Event::Failed), "lian-build.my-app.build.failed");
        assert_eq!(subject(Event::UpToDate), "lian-build.my-app.build.up_to_date");
    }

    proptest! {
        #[test]
        fn a_subject_is_always_one_place(text in ".{0,40}") {
            if let Ok(prefix) = text.parse::<SubjectPrefix>() {
                let subject = prefix.subject(&"w".parse().unwrap(), Event::Failed);
                prop_assert!(!subject.contains(['*', '>', ' ', '\t', '\r', '\n']));
                prop_assert!(!subject.split('.').any(str::is_empty));
            }
        }
    }
}
