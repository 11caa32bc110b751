//! The table of environment variables. Nothing else in the crate reads the environment.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// One variable that is read, and what for.
#[derive(Debug, Clone, Copy)]
pub struct EnvVar {
    /// The name.
    pub name: &'static str,
    /// What it sets.
    pub help: &'static str,
}

macro_rules! env_vars {
    ($($(#[doc = $doc:literal])+ $ident:ident = $name:literal;)+) => {
        $($(#[doc = $doc])+ pub const $ident: &str = $name;)+
        /// Every variable that is read.
        pub const ALL: &[EnvVar] = &[$(EnvVar { name: $name, help: concat!($($doc),+) }),+];
    };
}

env_vars! {
    /// The workspace, where `--workspace` is not given.
    BUILDKIT_WORKSPACE = "BUILDKIT_WORKSPACE";
    /// A private key the runner is reached with, where `--ssh-key` is not given.
    BUILDKIT_SSH_KEY = "BUILDKIT_SSH_KEY";
    /// The image a runner is started from, where the provider uses one.
    BUILDKIT_RUNNER_IMAGE = "BUILDKIT_RUNNER_IMAGE";
    /// The vm-pool's address: runners are leased from it where no provider is said.
    ORCHESTRATOR_URL = "ORCHESTRATOR_URL";
    /// The token that the vm-pool knows the caller by. It is sent to `ORCHESTRATOR_URL` and nowhere else.
    ORCHESTRATOR_TOKEN = "ORCHESTRATOR_TOKEN";
    /// The provider that the vm-pool is asked for, where the directives name none.
    ORCHESTRATOR_PROVIDER = "ORCHESTRATOR_PROVIDER";
    /// The NATS server that lifecycle events go to.
    NATS_URL = "NATS_URL";
    /// The NKey seed the NATS connection logs in with.
    NATS_NKEY_SEED = "NATS_NKEY_SEED";
    /// The first tokens of event subjects.
    NATS_SUBJECT_PREFIX = "NATS_SUBJECT_PREFIX";
    /// The directory that holds `buildctl`, `buildkitd` and the OCI runtime, searched before `PATH`.
    LIAN_BUILDKIT_DIR = "LIAN_BUILDKIT_DIR";
    /// An archive of BuildKit's release that machines of their own fetch, where this machine has no programs for them; `{arch}` stands for `arm64` or `amd64`.
    LIAN_BUILDKIT_URL = "LIAN_BUILDKIT_URL";
    /// The SHA-256 of what `LIAN_BUILDKIT_URL` names.
    LIAN_BUILDKIT_SHA256 = "LIAN_BUILDKIT_SHA256";
    /// The token of a Hetzner Cloud project, which may read and write, as in Hetzner's own command.
    HCLOUD_TOKEN = "HCLOUD_TOKEN";
    /// The address of the Hetzner Cloud API, as in Hetzner's own command.
    HCLOUD_ENDPOINT = "HCLOUD_ENDPOINT";
    /// An SSH key of the Hetzner Cloud project, by name: with one named, Hetzner sends no password by mail. It opens no runner.
    LIAN_HCLOUD_SSH_KEY = "LIAN_HCLOUD_SSH_KEY";
    /// The image or snapshot that runners at Hetzner are made from, by name, description or id.
    LIAN_HCLOUD_IMAGE = "LIAN_HCLOUD_IMAGE";
    /// The location of runners at Hetzner; without one, those where the type is sold are asked one after the other.
    LIAN_HCLOUD_LOCATION = "LIAN_HCLOUD_LOCATION";
    /// From which addresses runners at Hetzner can be reached over SSH (CIDR, separated by commas); without any, from everywhere.
    LIAN_HCLOUD_SSH_FROM = "LIAN_HCLOUD_SSH_FROM";
    /// The size cap of the local BuildKit cache of one workspace and actor, in GB; 0 keeps none.
    LIAN_LOCAL_CACHE_GB = "LIAN_LOCAL_CACHE_GB";
    /// The directory of Docker's client configuration (registry logins and credential helpers).
    DOCKER_CONFIG = "DOCKER_CONFIG";
    /// Where the Docker daemon listens, as in the Docker command: `unix://…` or `tcp://…`.
    DOCKER_HOST = "DOCKER_HOST";
    /// The Proxmox VE API's address: `https://HOST:8006`.
    PROXMOX_VE_ENDPOINT = "PROXMOX_VE_ENDPOINT";
    /// The Proxmox VE API's token: `USER@REALM!TOKENID=SECRET`.
    PROXMOX_VE_API_TOKEN = "PROXMOX_VE_API_TOKEN";
    /// A file with the certificates of the authorities that may have signed the Proxmox VE API's certificate.
    PROXMOX_VE_CA_FILE = "PROXMOX_VE_CA_FILE";
    /// The SHA-256 fingerprint of the Proxmox VE API's certificate, in place of an authority.
    PROXMOX_VE_FINGERPRINT = "PROXMOX_VE_FINGERPRINT";
    /// The Proxmox VE template that runners are cloned from: its id, or its name.
    PROXMOX_VE_TEMPLATE = "PROXMOX_VE_TEMPLATE";
    /// The Proxmox VE node that runners are made on, where it is not the template's.
    PROXMOX_VE_NODE = "PROXMOX_VE_NODE";
    /// The Proxmox VE resource pool that runners belong to.
    PROXMOX_VE_POOL = "PROXMOX_VE_POOL";
    /// The Proxmox VE storage that runners' disks are copied to, where clones do not share the template's.
    PROXMOX_VE_STORAGE = "PROXMOX_VE_STORAGE";
    /// The ids that runners get in Proxmox VE: `FIRST-LAST`, 700000000-799999999 where nothing is said.
    PROXMOX_VE_VMID_RANGE = "PROXMOX_VE_VMID_RANGE";
    /// Registry logins as JSON (`auths` alone), before the file of `DOCKER_CONFIG`, as in the Docker command.
    DOCKER_AUTH_CONFIG = "DOCKER_AUTH_CONFIG";
    /// How progress is shown where `--progress` is not given, as in buildx.
    BUILDKIT_PROGRESS = "BUILDKIT_PROGRESS";
    /// Whose runners are, where `--owner` is not given: any name that all jobs of a project share.
    LIAN_OWNER = "LIAN_OWNER";
    /// Log filter for diagnostics on stderr.
    LIAN_LOG = "LIAN_LOG";
    /// When set to anything, no colour is used.
    NO_COLOR = "NO_COLOR";
    /// The terminal's kind.
    TERM = "TERM";
    /// The caller's user name, from which the actor id comes.
    USER = "USER";
    /// The socket of the caller's SSH agent, for `--ssh default`.
    SSH_AUTH_SOCK = "SSH_AUTH_SOCK";
    /// The home directory.
    HOME = "HOME";
    /// Where programs are found.
    PATH = "PATH";
    /// Base of the cache directory.
    XDG_CACHE_HOME = "XDG_CACHE_HOME";
    /// Base of the state directory.
    XDG_STATE_HOME = "XDG_STATE_HOME";
    /// Base of the configuration directory.
    XDG_CONFIG_HOME = "XDG_CONFIG_HOME";
    /// Base of the directory for sockets.
    XDG_RUNTIME_DIR = "XDG_RUNTIME_DIR";
}

/// A secret bound through the environment: `LIAN_SECRET_<ID>`, with the id in upper case and `-` as `_`.
pub const SECRET_PREFIX: &str = "LIAN_SECRET_";

/// Where programs are found, for a child that gets nothing else of the environment.
#[expect(clippy::disallowed_methods, reason = "here, where the environment is read")]
pub fn search_path() -> Option<OsString> {
    std::env::var_os(PATH)
}

/// The process's environment, read once.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl std::fmt::Debug for Environment {
    /// Names only: values may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Environment {
    /// The environment this process was started with.
    #[expect(clippy::disallowed_methods, reason = "with `search_path` the one place that reads the environment")]
    pub fn from_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// An environment made by hand, for tests.
    pub fn from_pairs<K: Into<OsString>, V: Into<OsString>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// The raw value; an empty one counts as unset.
    pub fn os(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// The value as text; `None` when unset, empty or not UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.os(name).and_then(OsStr::to_str)
    }

    /// The value as a path.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.os(name).map(PathBuf::from)
    }

    /// `$HOME`.
    pub fn home(&self) -> Option<PathBuf> {
        self.path(HOME)
    }

    /// Where the programs of a runner are looked for: `LIAN_BUILDKIT_DIR` first, then `PATH`, then the sbin directories,
    /// which an ordinary user may not have in it.
    pub fn program_dirs(&self) -> Vec<PathBuf> {
        let mut dirs: Vec<PathBuf> = self.path(LIAN_BUILDKIT_DIR).into_iter().collect();
        dirs.extend(self.os(PATH).map(std::env::split_paths).into_iter().flatten());
        dirs.extend(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
        // A relative entry would mean another program in every directory.
        dirs.retain(|path| path.is_absolute());
        dirs
    }

    /// Finds an executable by name in [`Environment::program_dirs`].
    pub fn find_tool(&self, name: &str) -> Option<PathBuf> {
        self.program_dirs().into_iter().map(|directory| directory.join(name)).find(|path| is_executable(path))
    }

    /// Finds an executable by name in `$PATH`.
    pub fn find_program(&self, name: &str) -> Option<PathBuf> {
        std::env::split_paths(self.os(PATH)?).map(|directory| directory.join(name)).find(|path| is_executable(path))
    }
}

/// True for a regular file that somebody may execute.
pub fn is_executable(path: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
