//! Where things are on a runner that the recipe made, whoever started it.

use crate::ids::LeaseId;
use crate::lease::{CgroupVersion, MemoryLimit, RunnerPaths};

/// A tmpfs for secrets and logins.
pub(crate) const SECRETS: &str = "/run/lian-secrets";

/// BuildKit's state: on a file system that overlay mounts can stand on.
pub(crate) const BUILDKIT_ROOT: &str = "/var/lib/buildkit";

/// The directories in which BuildKit writes each running step's configuration, by snapshotter. A secret that a step gets as a
/// variable stands in it.
pub(crate) const STEPS: [&str; 2] =
    ["/var/lib/buildkit/runc-overlayfs/executor", "/var/lib/buildkit/runc-native/executor"];

/// Where things are.
pub(crate) fn paths() -> RunnerPaths {
    RunnerPaths {
        context: "/workspace".to_owned(),
        extra_contexts: "/build/extra-contexts".to_owned(),
        run: "/run/lian".to_owned(),
        buildkit_root: BUILDKIT_ROOT.to_owned(),
        output: "/build/output".to_owned(),
        secrets: SECRETS.to_owned(),
        bin: "/usr/local/bin".to_owned(),
    }
}

/// How the runner limits its build steps: a group with the lease's name in it, so that the kernel's word on a kill is known
/// to be about this lease and no other.
pub(crate) fn memory_limit(lease: &LeaseId, version: CgroupVersion, bytes: u64) -> MemoryLimit {
    MemoryLimit::Cgroup { version, parent: format!("/{lease}/build"), bytes }
}
