//! Where things are kept on the caller's machine.

use std::path::PathBuf;

use crate::env_vars::{self, Environment};
use crate::error::{Error, ErrorKind, Result};

/// Where the system's administrator keeps the policy. No variable moves it: whoever is bound by it could.
const SYSTEM_CONFIG: &str = "/etc/lian-build";

/// The directories of this user, and the system's.
#[derive(Debug, Clone)]
pub struct Dirs {
    /// History, journal, spool, logs. Survives.
    pub state: PathBuf,
    /// BuildKit caches and results. May be deleted at any time.
    pub cache: PathBuf,
    /// Tiers files, the user's own policy.
    pub config: PathBuf,
    /// The system's policy.
    pub system_config: PathBuf,
}

impl Dirs {
    /// The XDG directories, each with `lian-build` at its end.
    ///
    /// # Errors
    /// [`ErrorKind::State`] when neither the XDG variable nor `HOME` is an absolute path.
    pub fn from_environment(environment: &Environment) -> Result<Self> {
        let base = |variable: &str, below_home: &str| -> Result<PathBuf> {
            environment
                .path(variable)
                .filter(|path| path.is_absolute())
                .or_else(|| environment.home().filter(|path| path.is_absolute()).map(|home| home.join(below_home)))
                .map(|path| path.join("lian-build"))
                .ok_or_else(|| {
                    Error::new(ErrorKind::State, format!("neither `{variable}` nor `HOME` names an absolute directory"))
                        .hint(format!("set `{variable}` or `HOME`"))
                })
        };
        Ok(Self {
            state: base(env_vars::XDG_STATE_HOME, ".local/state")?,
            cache: base(env_vars::XDG_CACHE_HOME, ".cache")?,
            config: base(env_vars::XDG_CONFIG_HOME, ".config")?,
            system_config: SYSTEM_CONFIG.into(),
        })
    }
}
