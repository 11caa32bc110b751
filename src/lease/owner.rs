//! [`OwnerId`]: whose a runner is, across homes and machines.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::error::{Error, Result};
use crate::ids::Workspace;

/// Whose a runner is: the same for every job of a project, wherever it runs, and never taken from a home directory that
/// CI throws away. 12 lower-case hexadecimal digits, so that it fits into any provider's labels.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct OwnerId(String);

impl OwnerId {
    /// The owner that `name` stands for: a name an operator configured, or the address of a git remote.
    pub fn derive(name: &str) -> Self {
        let digest = sha2::Sha256::digest(name.as_bytes());
        Self(digest.iter().take(6).fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
    }

    /// The owner of a project without a git remote: its workspace's name is all that two jobs share.
    pub fn of_workspace(workspace: &Workspace) -> Self {
        Self::derive(&format!("workspace:{workspace}"))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for OwnerId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let valid = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::usage(format!("`{text}` is not an owner id")).hint("an owner id is 12 hexadecimal digits"))
        }
    }
}

impl TryFrom<String> for OwnerId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<OwnerId> for String {
    fn from(owner: OwnerId) -> Self {
        owner.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_the_same_everywhere_and_another_for_another_project() {
        let one = OwnerId::derive("example.org/group/tool");
        assert_eq!(one, OwnerId::derive("example.org/group/tool"));
        assert_ne!(one, OwnerId::derive("example.org/group/other"));
        assert_eq!(one.as_str().parse::<OwnerId>().unwrap(), one);
        for bad in ["", "abc", "ABCDEF012345", "g00000000000"] {
            assert!(bad.parse::<OwnerId>().is_err(), "{bad}");
        }
    }
}
