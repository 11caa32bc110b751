//! Identifiers and names, checked once and carried as types.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Result};

/// One `build`: a UUID v7, so runs sort by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RunId(Uuid);

impl RunId {
    /// A new id.
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl Default for RunId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RunId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Uuid::parse_str(text).map(Self).map_err(|_| Error::usage(format!("`{text}` is not a run id")))
    }
}

/// The right to one runner: `lb-<uuid v7 without dashes>`, a valid host, container and cgroup name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct LeaseId(String);

impl LeaseId {
    /// A new id.
    pub fn new() -> Self {
        Self(format!("lb-{}", Uuid::now_v7().simple()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for LeaseId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LeaseId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let hex = text.strip_prefix("lb-").unwrap_or_default();
        if hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::usage(format!("`{text}` is not a lease id"))
                .hint("lease ids look like `lb-` and 32 hexadecimal digits"))
        }
    }
}

impl TryFrom<String> for LeaseId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<LeaseId> for String {
    fn from(id: LeaseId) -> Self {
        id.0
    }
}

/// What is built; it owns history and cache. `[a-z0-9]+([_-][a-z0-9]+)*`, at most 63 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Workspace(String);

impl Workspace {
    /// The longest name, in bytes: a DNS label.
    pub const MAX_LEN: usize = 63;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The nearest valid name for `text` (a directory or repository name); `None` when nothing valid is left.
    pub fn normalise(text: &str) -> Option<Self> {
        let mut name = String::with_capacity(text.len());
        for character in text.chars() {
            let character = character.to_ascii_lowercase();
            if character.is_ascii_lowercase() || character.is_ascii_digit() {
                name.push(character);
            } else if !name.is_empty() && !name.ends_with(['-', '_']) {
                name.push(if character == '_' { '_' } else { '-' });
            }
        }
        name.truncate(Self::MAX_LEN);
        let name = name.trim_end_matches(['-', '_']);
        // Valid by construction. Parsing it would come back here for the hint of an empty name, for ever.
        (!name.is_empty()).then(|| Self(name.to_owned()))
    }
}

impl fmt::Display for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Workspace {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let words_are_valid = text.split(['-', '_']).all(|word| {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        });
        if words_are_valid && text.len() <= Self::MAX_LEN {
            return Ok(Self(text.to_owned()));
        }
        let error = Error::usage(format!("`{text}` is not a workspace name")).hint(
            "a workspace is made of lower-case letters and digits with single `-` or `_` between them, at most 63 bytes",
        );
        Err(match Self::normalise(text) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error,
        })
    }
}

impl TryFrom<String> for Workspace {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Workspace> for String {
    fn from(workspace: Workspace) -> Self {
        workspace.0
    }
}

/// Who builds: `[a-z0-9]{1,32}`, without separators so that `dev/<actor id>-<workspace>` has one reading.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct ActorId(String);

impl ActorId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The nearest valid id for `text` (a user name); `None` when nothing valid is left.
    pub fn normalise(text: &str) -> Option<Self> {
        text.chars()
            .map(|character| character.to_ascii_lowercase())
            .filter(|character| character.is_ascii_lowercase() || character.is_ascii_digit())
            .take(32)
            .collect::<String>()
            .parse()
            .ok()
    }
}

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ActorId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let valid = (1..=32).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::usage(format!("`{text}` is not an actor id"))
                .hint("an actor id is 1 to 32 lower-case letters and digits"))
        }
    }
}

impl TryFrom<String> for ActorId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<ActorId> for String {
    fn from(actor: ActorId) -> Self {
        actor.0
    }
}

/// What kind of caller it is; decides what may be read and written in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[clap(rename_all = "snake_case")]
pub enum Actor {
    /// The project's CI.
    Ci,
    /// A developer.
    Human,
    /// An automated agent working in a session.
    Agent,
    /// A helper job of CI.
    CiAux,
}

impl Actor {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Ci, Self::Human, Self::Agent, Self::CiAux];

    /// The word as it is written in directives and envelopes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ci => "ci",
            Self::Human => "human",
            Self::Agent => "agent",
            Self::CiAux => "ci_aux",
        }
    }

    /// The actor that `word` names.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|actor| actor.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn workspaces_are_checked() {
        for good in ["a", "lian-build", "a_b-c9", &"x".repeat(63)] {
            assert!(good.parse::<Workspace>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "a--b", "A", "a.b", "a/b", "a b", &"x".repeat(64)] {
            assert!(bad.parse::<Workspace>().is_err(), "{bad}");
        }
    }

    #[test]
    fn lease_ids_round_trip() {
        let id = LeaseId::new();
        assert_eq!(id.as_str().parse::<LeaseId>().unwrap(), id);
        assert!("lb-../../etc/passwd00000000000000000".parse::<LeaseId>().is_err());
    }

    proptest! {
        #[test]
        fn normalised_names_are_valid(text in ".{0,200}") {
            if let Some(workspace) = Workspace::normalise(&text) {
                prop_assert!(workspace.as_str().parse::<Workspace>().is_ok());
            }
            if let Some(actor) = ActorId::normalise(&text) {
                prop_assert!(actor.as_str().parse::<ActorId>().is_ok());
            }
        }
    }
}
