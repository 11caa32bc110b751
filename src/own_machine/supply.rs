//! [`Supply`]: where the BuildKit programs of a machine of its own come from.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::env_vars::{self, Environment, is_executable};
use crate::error::{Error, ErrorKind, Result};
use crate::sanitise;

/// The programs that every runner needs.
pub(super) const NAMES: [&str; 2] = ["buildctl", "buildkitd"];

/// Where the BuildKit programs of a machine of its own come from: this machine, else an address, else they are there already
/// (in a snapshot).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supply {
    /// Where this machine's are looked for, in order.
    dirs: Vec<PathBuf>,
    /// An archive of BuildKit's release that runners fetch themselves.
    pub(super) download: Option<Download>,
}

/// An archive of BuildKit's release, with `bin/buildctl` and `bin/buildkitd` in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Download {
    /// Its address; `{arch}` stands for the runner's architecture, as OCI names it.
    pub(super) url: String,
    /// Its SHA-256, 64 hexadecimal digits.
    pub(super) sha256: String,
}

impl Supply {
    /// What the caller's environment says: `LIAN_BUILDKIT_DIR` (with `linux-<arch>` in it for other architectures) and
    /// `PATH`, else `LIAN_BUILDKIT_URL` with `LIAN_BUILDKIT_SHA256`.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for an address without a checksum, and for what is neither.
    pub fn from_environment(environment: &Environment) -> Result<Self> {
        let download = match environment.text(env_vars::LIAN_BUILDKIT_URL).map(str::trim) {
            None => None,
            Some(url) => Some(Download {
                url: checked_url(url)?,
                sha256: checked_sum(environment.text(env_vars::LIAN_BUILDKIT_SHA256).map(str::trim))?,
            }),
        };
        Ok(Self { dirs: environment.program_dirs(), download })
    }

    /// This machine's programs for a runner of that architecture; `None` when it does not have both.
    pub(super) fn find(&self, architecture: &str) -> Option<[PathBuf; 2]> {
        // For another architecture than this machine's a directory of its own, so that both can lie side by side.
        let own = self.dirs.iter().map(|dir| dir.join(format!("linux-{architecture}")));
        own.chain(self.dirs.iter().cloned()).find_map(|dir| {
            let programs = NAMES.map(|name| dir.join(name));
            programs.iter().all(|program| is_for(program, architecture)).then_some(programs)
        })
    }

    /// Whether a stock machine of that architecture can get the programs, asked before it is paid for.
    ///
    /// # Errors
    /// [`ErrorKind::NoCapacity`] with every way there is.
    pub fn check(&self, architecture: &str) -> Result<()> {
        if self.download.is_some() || self.find(architecture).is_some() {
            return Ok(());
        }
        Err(missing(ErrorKind::NoCapacity, architecture))
    }
}

/// Neither the caller nor the runner has the programs.
pub(super) fn missing(kind: ErrorKind, architecture: &str) -> Error {
    Error::new(kind, format!("no BuildKit programs for linux/{architecture} are at hand, and a stock machine has none"))
        .hint(format!(
            "put `buildctl` and `buildkitd` of BuildKit's release for linux/{architecture} into `linux-{architecture}` of the \
             directory that `{}` names",
            env_vars::LIAN_BUILDKIT_DIR
        ))
        .hint(format!(
            "or let runners fetch the release: its address in `{}`, its checksum in `{}`",
            env_vars::LIAN_BUILDKIT_URL,
            env_vars::LIAN_BUILDKIT_SHA256
        ))
        .hint("or name a snapshot that has them")
}

/// Whether a file is a Linux program of the architecture, by its ELF header.
fn is_for(program: &Path, architecture: &str) -> bool {
    let machine = match architecture {
        "amd64" => 0x3e,
        "arm64" => 0xb7,
        _ => return false,
    };
    let mut header = [0; 20];
    let mut read = || std::fs::File::open(program)?.read_exact(&mut header);
    is_executable(program)
        && read().is_ok()
        && header.starts_with(b"\x7fELF\x02\x01")
        && header.get(18..20) == Some(&[machine, 0])
}

fn checked_url(text: &str) -> Result<String> {
    let url = url::Url::parse(&text.replace("{arch}", "arch"));
    let fits = url
        .is_ok_and(|url| matches!(url.scheme(), "https" | "http") && url.host().is_some() && url.password().is_none());
    if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err(Error::usage(format!("`{}` is no address: `{}`", env_vars::LIAN_BUILDKIT_URL, sanitise::line(text))))
}

fn checked_sum(text: Option<&str>) -> Result<String> {
    match text {
        Some(sum) if sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit()) => Ok(sum.to_lowercase()),
        _ => Err(Error::usage(format!(
            "`{}` needs the archive's SHA-256 in `{}`: 64 hexadecimal digits",
            env_vars::LIAN_BUILDKIT_URL,
            env_vars::LIAN_BUILDKIT_SHA256
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn program(path: &Path, machine: u8) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut header = b"\x7fELF\x02\x01".to_vec();
        header.resize(18, 0);
        header.extend([machine, 0]);
        std::fs::write(path, header).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn supply(dir: &Path) -> Supply {
        Supply::from_environment(&Environment::from_pairs([("LIAN_BUILDKIT_DIR", dir)])).unwrap()
    }

    #[test]
    fn programs_are_of_the_runners_architecture_or_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        for name in NAMES {
            program(&dir.path().join(name), 0x3e);
        }
        let supply = supply(dir.path());
        assert!(supply.find("amd64").is_some());
        let error = supply.check("arm64").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoCapacity);
        assert!(error.hints().join("").contains("linux-arm64"), "{error:?}");
        program(&dir.path().join("linux-arm64/buildctl"), 0xb7);
        assert!(supply.find("arm64").is_none(), "one of two");
        program(&dir.path().join("linux-arm64/buildkitd"), 0xb7);
        supply.check("arm64").unwrap();
        // A script of that name, and another system's program.
        std::fs::write(dir.path().join("buildctl"), "#!/bin/sh\n").unwrap();
        assert!(supply.find("amd64").is_none());
    }

    #[test]
    fn an_address_needs_a_checksum() {
        let with = |url: &str, sum: &str| {
            Supply::from_environment(&Environment::from_pairs([
                ("LIAN_BUILDKIT_URL", url),
                ("LIAN_BUILDKIT_SHA256", sum),
            ]))
        };
        let sum = "0123456789abcdef".repeat(4);
        with("https://example.org/buildkit.linux-{arch}.tar.gz", &sum).unwrap().check("arm64").unwrap();
        for (url, sum) in [("https://example.org/b", ""), ("https://example.org/b", "abc"), ("nowhere", sum.as_str())] {
            assert_eq!(with(url, sum).unwrap_err().kind(), ErrorKind::Usage, "{url} {sum}");
        }
    }
}
