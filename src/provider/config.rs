//! [`ProviderConfig`]: everything a provider needs to be opened, also in another process.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ComputeProvider;
use super::docker_local::{DockerLocalConfig, DockerLocalProvider};
use super::local::{LocalConfig, LocalProvider};
use crate::dirs::Dirs;
use crate::env_vars::Environment;
use crate::error::{Error, Result};

/// Everything a provider needs to be opened. It may hold a credential: it goes from process to process through a socket
/// only, never through arguments, the environment or a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "provider", rename_all = "snake_case")]
pub enum ProviderConfig {
    /// `'local`.
    Local(LocalConfig),
    /// `'docker_local`.
    DockerLocal(DockerLocalConfig),
}

impl ProviderConfig {
    /// The configuration of the provider with this name, which is one of [`super::choice::KNOWN`].
    ///
    /// # Errors
    /// `Usage` for an environment variable that cannot be used.
    pub fn from_environment(name: &str, environment: &Environment, dirs: &Dirs) -> Result<Self> {
        match name {
            "local" => Ok(Self::Local(LocalConfig::from_environment(environment, dirs)?)),
            "docker_local" => Ok(Self::DockerLocal(DockerLocalConfig::from_environment(environment))),
            _ => Err(Error::usage(format!("the provider `{name}` is not known"))),
        }
    }

    /// As it is, with this limit on the wait for the memory that other builds of the machine hold.
    #[must_use]
    pub fn queue_timeout(self, limit: Duration) -> Self {
        match self {
            Self::Local(config) => Self::Local(LocalConfig { queue_timeout: limit, ..config }),
            Self::DockerLocal(config) => Self::DockerLocal(DockerLocalConfig { queue_timeout: limit, ..config }),
        }
    }

    /// The most that the provider keeps of a build's cache, in bytes.
    pub fn kept_cache_bytes(&self) -> u64 {
        match self {
            Self::Local(config) => config.cache_cap_bytes,
            // A container's cache goes with it.
            Self::DockerLocal(_) => 0,
        }
    }

    /// Opens the provider. Asks nothing of its backend yet.
    ///
    /// # Errors
    /// With what about the configuration cannot be used.
    pub fn open(&self) -> Result<Arc<dyn ComputeProvider>> {
        match self {
            Self::Local(config) => Ok(Arc::new(LocalProvider::new(config.clone()))),
            Self::DockerLocal(config) => Ok(Arc::new(DockerLocalProvider::new(config.clone()))),
        }
    }
}
