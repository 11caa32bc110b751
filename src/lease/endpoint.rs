//! [`Endpoint`]: how a leased runner is reached, and what it says of itself.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::ids::LeaseId;

/// How far a runner is apart from the machine it stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// Processes of this machine: a build step that owns the runner owns the machine.
    None,
    /// A container.
    Container,
    /// A machine of its own.
    Vm,
}

impl Isolation {
    /// The word that stands in envelopes, plans and policies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Container => "container",
            Self::Vm => "vm",
        }
    }
}

/// The cgroup hierarchy that carries the memory controller on the runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CgroupVersion {
    /// `/sys/fs/cgroup/memory/…`
    V1,
    /// `/sys/fs/cgroup/…` with `memory.max`.
    V2,
}

/// How the tier's memory is enforced for build steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemoryLimit {
    /// By a cgroup that the provider made for this lease. `parent` is its path below the hierarchy's root, with a
    /// leading slash; BuildKit's steps go below it, and its limit is the tier's memory less the reserve.
    Cgroup {
        /// Which hierarchy.
        version: CgroupVersion,
        /// Where BuildKit puts its steps: `defaultCgroupParent`.
        parent: String,
        /// The limit, in bytes.
        bytes: u64,
    },
    /// Not enforced, with the reason (rootless without delegation, say).
    None {
        /// Why not.
        reason: String,
    },
}

/// Absolute paths on the runner. On a shared machine all of them are the lease's own private directories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunnerPaths {
    /// Where the build context goes.
    pub context: String,
    /// Below which extra contexts go, one directory a name.
    pub extra_contexts: String,
    /// Sockets, pid files, generated configuration, metadata. Short: socket paths are limited to 104 bytes.
    pub run: String,
    /// BuildKit's root directory (snapshots, content, cache).
    pub buildkit_root: String,
    /// Where results wait to be fetched.
    pub output: String,
    /// A tmpfs of mode 0700 for secrets and logins; checked to be one before anything is written.
    pub secrets: String,
    /// The directory with `buildctl`, `buildkitd` and, where rootful, the OCI runtime.
    pub bin: String,
}

/// How a leased runner is reached.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Endpoint {
    /// The lease this runner stands for; also the name that its host key is pinned to.
    pub lease_id: LeaseId,
    /// Host name or address.
    pub host: String,
    /// SSH port.
    pub port: u16,
    /// Login user.
    pub user: String,
    /// The host's public key as `known_hosts` writes it: `ssh-ed25519 AAAA…`. Nothing else is accepted.
    pub host_key: String,
    /// The private key made for this lease.
    pub identity_file: PathBuf,
    /// A directory on the caller's machine for this lease's SSH connection: private, short enough for a socket, made
    /// when it is needed, and removed with the lease, also by a sweep after we were killed.
    pub session_dir: PathBuf,
    /// Where things are on the runner.
    pub paths: RunnerPaths,
    /// How far the runner is apart.
    pub isolation: Isolation,
    /// True when others use the machine too: only the lease's own evidence counts, and nothing outside the lease's
    /// directories and cgroup is touched.
    pub shared: bool,
    /// True when `buildkitd` must be started through `rootlesskit`.
    pub rootless: bool,
    /// How the tier's memory is enforced.
    pub memory: MemoryLimit,
    /// What the runner really has, in bytes: less than the tier's memory when it was reduced to fit a shared machine
    /// (`notes` says so then).
    pub effective_memory_bytes: u64,
    /// The CPUs the runner really has.
    pub effective_cpu: u32,
    /// How many bytes BuildKit may keep in its root, where that outlives the lease; `None` where it goes with it.
    pub cache_cap_bytes: Option<u64>,
    /// The architecture as OCI names it: `arm64`, `amd64`.
    pub architecture: String,
    /// What the user should know: cpus reduced, isolation none, memory not enforced.
    pub notes: Vec<String>,
    /// What the result must say, too: memory reduced, or its limit not enforced.
    pub warnings: Vec<String>,
}

impl Endpoint {
    /// True when nothing else runs on the runner's machine, so that what its kernel says of all of it speaks of this lease.
    pub fn is_own_machine(&self) -> bool {
        !self.shared && self.isolation == Isolation::Vm
    }
}

#[cfg(test)]
impl Endpoint {
    /// An endpoint that nothing listens at.
    pub(crate) fn nowhere() -> Self {
        let text = r#"{"lease_id":"lb-00000000000000000000000000000001","host":"h","port":22,"user":"root","host_key":"k",
            "identity_file":"/i","session_dir":"/s","isolation":"vm","shared":false,"rootless":false,
            "memory":{"None":{"reason":"r"}},"paths":{"context":"/","extra_contexts":"/","run":"/","buildkit_root":"/",
            "output":"/","secrets":"/","bin":"/"},"effective_memory_bytes":1,"effective_cpu":1,"cache_cap_bytes":null,
            "architecture":"arm64","notes":[],"warnings":[]}"#;
        serde_json::from_str(text).unwrap()
    }
}
