//! [`Binaries`]: BuildKit's programs on this machine, which go into the image.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::env_vars::{self, Environment};
use crate::error::{Error, ErrorKind, Result};
use crate::process::Cmd;

/// How long a program may take to say its version.
const VERSION_LIMIT: Duration = Duration::from_secs(10);

/// BuildKit's programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    pub(super) buildctl: PathBuf,
    pub(super) buildkitd: PathBuf,
}

impl Binaries {
    /// Finds them as the local provider does: in `LIAN_BUILDKIT_DIR`, then in `PATH`.
    ///
    /// # Errors
    /// [`ErrorKind::Provider`] naming what is missing.
    pub fn find(environment: &Environment) -> Result<Self> {
        let find = |name: &str| {
            environment.find_tool(name).ok_or_else(|| {
                Error::new(
                    ErrorKind::Provider,
                    format!("the image needs BuildKit's `{name}`, which is not on this machine"),
                )
                .hint(format!("set `{}` to the directory of BuildKit's release", env_vars::LIAN_BUILDKIT_DIR))
            })
        };
        Ok(Self { buildctl: find("buildctl")?, buildkitd: find("buildkitd")? })
    }

    /// Their version, which must be the same: `v0.33.1`.
    ///
    /// # Errors
    /// [`ErrorKind::Provider`] when they do not run here or differ.
    pub async fn version(&self) -> Result<String> {
        let (client, daemon) = (version_of(&self.buildctl).await?, version_of(&self.buildkitd).await?);
        if client == daemon {
            return Ok(client);
        }
        Err(Error::new(
            ErrorKind::Provider,
            format!(
                "`{}` is {client}, but `{}` is {daemon}: they must come from one release",
                self.buildctl.display(),
                self.buildkitd.display()
            ),
        ))
    }
}

async fn version_of(program: &Path) -> Result<String> {
    let output =
        Cmd::new(program, ErrorKind::Provider).plain_env().arg("--version").output_within(VERSION_LIMIT).await?;
    let said = output.stdout_text();
    let version = parse_version(&said).filter(|_| output.success());
    version.map(str::to_owned).ok_or_else(|| {
        Error::new(ErrorKind::Provider, format!("`{} --version` does not say a version: {said}", program.display()))
    })
}

/// `buildctl github.com/moby/buildkit v0.33.1 <revision>`.
fn parse_version(text: &str) -> Option<&str> {
    text.split_whitespace().nth(2).filter(|version| {
        version.len() <= 40 && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-+_".contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_third_word() {
        assert_eq!(parse_version("buildctl github.com/moby/buildkit v0.33.1 abc\n"), Some("v0.33.1"));
        assert_eq!(parse_version("buildctl"), None);
        assert_eq!(parse_version("buildctl x v0;rm y"), None);
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = Binaries::find(&Environment::from_pairs([("PATH", "/nowhere")])).unwrap_err();
        assert!(error.message().contains("`buildctl`"), "{error}");
        assert!(error.hints().join("").contains("LIAN_BUILDKIT_DIR"));
    }
}
