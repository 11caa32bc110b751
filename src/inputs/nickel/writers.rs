//! [`Writers`]: who may be able to write to a file that is believed.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Who may be able to write to a file, by its owner and mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Writers {
    /// Nobody looks.
    Anybody,
    /// Root alone.
    Root,
    /// The user with this id, and root.
    User(u32),
}

impl Writers {
    /// Checks a file or directory that is at `path`. The error completes "it …" and holds the command to run.
    ///
    /// # Errors
    /// When somebody else may write to it.
    pub fn check(self, metadata: &Metadata, path: &Path) -> Result<(), String> {
        self.judge(metadata.uid(), metadata.mode(), &path.display().to_string())
    }

    fn judge(self, owner: u32, mode: u32, path: &str) -> Result<(), String> {
        let user = match self {
            Self::Anybody => return Ok(()),
            Self::Root => 0,
            Self::User(id) => id,
        };
        if owner != 0 && owner != user {
            return Err(format!("belongs to the user {owner}, who could change it: `chown {user} {path}`"));
        }
        if mode & 0o022 != 0 {
            let mode = mode & 0o7777;
            return Err(format!("can be changed by others (its mode is {mode:o}): `chmod go-w {path}`"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_that_is_meant_may_write() {
        for (writers, owner, mode, refused) in [
            (Writers::Anybody, 7, 0o100_666, None),
            (Writers::Root, 0, 0o100_644, None),
            (Writers::Root, 7, 0o100_600, Some("`chown 0 /p`")),
            (Writers::Root, 0, 0o100_664, Some("`chmod go-w /p`")),
            (Writers::User(7), 7, 0o100_600, None),
            (Writers::User(7), 0, 0o100_644, None),
            (Writers::User(7), 8, 0o100_600, Some("`chown 7 /p`")),
            (Writers::User(7), 7, 0o100_620, Some("mode is 620")),
            (Writers::User(7), 7, 0o100_602, Some("mode is 602")),
            (Writers::User(7), 7, 0o041_777, Some("mode is 1777")),
        ] {
            let said = writers.judge(owner, mode, "/p").err();
            match refused {
                Some(word) => assert!(said.as_deref().is_some_and(|said| said.contains(word)), "{said:?}"),
                None => assert_eq!(said, None, "{writers:?} {owner} {mode:o}"),
            }
        }
    }
}
