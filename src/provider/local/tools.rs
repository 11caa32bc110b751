//! [`Tools`]: the programs a local runner is made of, and what to install when one is missing.

use std::path::{Path, PathBuf};

use crate::env_vars::is_executable;
use crate::error::{Error, ErrorKind, Result};

/// A program, and where a Debian machine gets it.
#[derive(Debug, Clone, Copy)]
struct Tool {
    name: &'static str,
    from: &'static str,
}

const BUILDKIT: &str = "BuildKit's release; set LIAN_BUILDKIT_DIR to its directory";

/// The programs that were found, as absolute paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tools {
    pub(super) buildctl: PathBuf,
    pub(super) buildkitd: PathBuf,
    /// `runc`, or `crun` where that is what the machine has.
    pub(super) oci_runtime: PathBuf,
    pub(super) sshd: PathBuf,
    pub(super) ssh_keygen: PathBuf,
    pub(super) launcher: Launcher,
}

/// What makes the runner's namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Launcher {
    /// As root: `unshare` of util-linux.
    Unshare(PathBuf),
    /// Otherwise: `rootlesskit`.
    Rootlesskit(PathBuf),
}

impl Launcher {
    /// True when the runner's root is an ordinary user of the machine.
    pub(super) fn is_rootless(&self) -> bool {
        matches!(self, Self::Rootlesskit(_))
    }
}

impl Tools {
    /// Looks in `dirs`, in order.
    ///
    /// # Errors
    /// [`ErrorKind::NoCapacity`] naming every program that is missing, with where it comes from.
    pub(super) fn find(dirs: &[PathBuf], rootless: bool) -> Result<Self> {
        let mut search = Search { dirs, missing: Vec::new() };
        let buildctl = search.one(Tool { name: "buildctl", from: BUILDKIT });
        let buildkitd = search.one(Tool { name: "buildkitd", from: BUILDKIT });
        let oci_runtime = search.first(&[Tool { name: "runc", from: "runc" }, Tool { name: "crun", from: "crun" }]);
        let sshd = search.one(Tool { name: "sshd", from: "openssh-server" });
        let ssh_keygen = search.one(Tool { name: "ssh-keygen", from: "openssh-client" });
        search.one(Tool { name: "ssh", from: "openssh-client" });
        search.one(Tool { name: "rsync", from: "rsync" });
        search.one(Tool { name: "mount", from: "mount" });
        let launcher = if rootless {
            search.one(Tool { name: "newuidmap", from: "uidmap" });
            search.one(Tool { name: "newgidmap", from: "uidmap" });
            Launcher::Rootlesskit(search.one(Tool { name: "rootlesskit", from: "rootlesskit" }))
        } else {
            Launcher::Unshare(search.one(Tool { name: "unshare", from: "util-linux" }))
        };
        search.verdict("a runner on this machine")?;
        Ok(Self { buildctl, buildkitd, oci_runtime, sshd, ssh_keygen, launcher })
    }
}

/// Looks for what this side of a connection needs, whatever the runner is.
///
/// # Errors
/// [`ErrorKind::NoCapacity`] naming every program that is missing, with where it comes from.
pub(in crate::provider) fn check_ssh_client(dirs: &[PathBuf]) -> Result<()> {
    let mut search = Search { dirs, missing: Vec::new() };
    for (name, from) in [("ssh", "openssh-client"), ("ssh-keygen", "openssh-client"), ("rsync", "rsync")] {
        search.one(Tool { name, from });
    }
    search.verdict("the connection to a runner")
}

struct Search<'a> {
    dirs: &'a [PathBuf],
    missing: Vec<Tool>,
}

impl Search<'_> {
    fn one(&mut self, tool: Tool) -> PathBuf {
        self.first(&[tool])
    }

    /// The first of several that will do; the first is named when there is none.
    fn first(&mut self, tools: &[Tool]) -> PathBuf {
        for tool in tools {
            if let Some(path) = find(self.dirs, tool.name) {
                return path;
            }
        }
        self.missing.extend(tools.first());
        PathBuf::new()
    }

    fn verdict(self, who: &str) -> Result<()> {
        if self.missing.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = self.missing.iter().map(|tool| format!("`{}`", tool.name)).collect();
        let mut error =
            Error::new(ErrorKind::NoCapacity, format!("{who} needs {}, which is not installed", names.join(", ")));
        let mut packages: Vec<&str> =
            self.missing.iter().map(|tool| tool.from).filter(|from| *from != BUILDKIT).collect();
        packages.sort_unstable();
        packages.dedup();
        if !packages.is_empty() {
            error = error.hint(format!("on Debian: apt-get install {}", packages.join(" ")));
        }
        if self.missing.iter().any(|tool| tool.from == BUILDKIT) {
            error = error.hint(format!("`buildctl` and `buildkitd` come from {BUILDKIT}"));
        }
        Err(error)
    }
}

/// The first executable of that name.
pub(super) fn find(dirs: &[PathBuf], name: &str) -> Option<PathBuf> {
    dirs.iter().map(|dir: &PathBuf| dir.join(name)).find(|path: &PathBuf| is_executable(Path::new(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_missing_program_is_named_with_its_package() {
        let error = Tools::find(&[PathBuf::from("/nowhere")], false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoCapacity);
        for name in ["buildctl", "buildkitd", "runc", "sshd", "ssh-keygen", "rsync", "unshare"] {
            assert!(error.to_string().contains(&format!("`{name}`")), "{name}: {error}");
        }
        let hints = error.hints().join("\n");
        assert!(hints.contains("openssh-server") && hints.contains("LIAN_BUILDKIT_DIR"), "{hints}");
    }

    #[test]
    fn the_connection_needs_programs_of_its_own() {
        let error = check_ssh_client(&[PathBuf::from("/nowhere")]).unwrap_err();
        assert!(error.to_string().contains("`ssh`, `ssh-keygen`, `rsync`"), "{error}");
        assert!(error.hints().join("\n").contains("apt-get install openssh-client rsync"));
    }

    #[test]
    fn without_root_the_rootless_programs_are_needed() {
        let error = Tools::find(&[PathBuf::from("/nowhere")], true).unwrap_err();
        assert!(error.to_string().contains("`rootlesskit`") && !error.to_string().contains("unshare"), "{error}");
        assert!(error.hints().join("\n").contains("uidmap"));
    }
}
