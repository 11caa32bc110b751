//! [`ProviderConfig`]: everything a provider needs to be opened, also in another process.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ComputeProvider;
use super::docker_local::{DockerLocalConfig, DockerLocalProvider};
use super::hcloud::{HcloudConfig, HcloudProvider};
use super::local::{LocalConfig, LocalProvider};
use super::proxmox::{ProxmoxConfig, ProxmoxProvider};
use super::vm_pool::{VmPoolConfig, VmPoolProvider};
use crate::dirs::Dirs;
use crate::env_vars::Environment;
use crate::error::{Error, Result};
use crate::inputs::directives::ProxmoxOptions;

/// Everything a provider needs to be opened. It may hold a credential: it goes from process to process through a socket
/// only, never through arguments, the environment or a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "provider", rename_all = "snake_case")]
pub enum ProviderConfig {
    /// `'local`.
    Local(LocalConfig),
    /// `'docker_local`.
    DockerLocal(DockerLocalConfig),
    /// `'proxmox`.
    Proxmox(Box<ProxmoxConfig>),
    /// `'vm_pool`.
    VmPool(VmPoolConfig),
    /// `'hcloud`.
    Hcloud(Box<HcloudConfig>),
}

impl ProviderConfig {
    /// The configuration of the provider with this name, which is one of [`super::choice::KNOWN`].
    ///
    /// # Errors
    /// `Usage` for an environment variable that cannot be used.
    pub fn from_environment(name: &str, environment: &Environment, dirs: &Dirs) -> Result<Self> {
        match name {
            "local" => Ok(Self::Local(LocalConfig::from_environment(environment, dirs)?)),
            "docker_local" => {
                let config = DockerLocalConfig::from_environment(environment);
                Ok(Self::DockerLocal(config.with_cache(environment, &dirs.cache)?))
            }
            "proxmox" => {
                Ok(Self::Proxmox(Box::new(ProxmoxConfig::from_environment(environment, &ProxmoxOptions::default())?)))
            }
            "vm_pool" => Ok(Self::VmPool(VmPoolConfig::from_environment(environment)?)),
            "hcloud" => Ok(Self::Hcloud(Box::new(HcloudConfig::from_environment(environment)?))),
            _ => Err(Error::usage(format!("the provider `{name}` is not known"))),
        }
    }

    /// As it is, with this limit on the wait for the memory that other builds of the machine hold.
    #[must_use]
    pub fn queue_timeout(self, limit: Duration) -> Self {
        match self {
            Self::Local(config) => Self::Local(LocalConfig { queue_timeout: limit, ..config }),
            Self::DockerLocal(config) => Self::DockerLocal(DockerLocalConfig { queue_timeout: limit, ..config }),
            Self::Proxmox(config) => Self::Proxmox(config),
            // Whatever a pool waits for is its own business.
            Self::VmPool(config) => Self::VmPool(config),
            // Nobody else's builds stand on a rented machine.
            Self::Hcloud(config) => Self::Hcloud(config),
        }
    }

    /// The most that the provider keeps of a build's cache, in bytes.
    pub fn kept_cache_bytes(&self) -> u64 {
        match self {
            Self::Local(config) => config.cache_cap_bytes,
            Self::DockerLocal(config) => config.cache.as_ref().map_or(0, |cache| cache.cap_bytes),
            Self::Proxmox(_) => 0,
            Self::VmPool(_) => 0,
            Self::Hcloud(_) => 0,
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
            Self::Proxmox(config) => Ok(Arc::new(ProxmoxProvider::new((**config).clone()))),
            Self::VmPool(config) => Ok(Arc::new(VmPoolProvider::new(config.clone()))),
            Self::Hcloud(config) => Ok(Arc::new(HcloudProvider::new(config.as_ref().clone()))),
        }
    }
}
