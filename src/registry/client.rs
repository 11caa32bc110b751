//! [`Client`]: the two questions we ask a registry ourselves: may we push here, and what was pushed.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::registry::{DockerConfig, Reference};

/// How registries are talked to.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Hosts (`host[:port]`) that plain HTTP is spoken to although they are not on this machine.
    pub insecure: Vec<String>,
    /// The longest time one request may take, its answer included.
    pub request_timeout: Duration,
    /// How often a request that failed for a passing reason is sent again.
    pub retries: usize,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self { insecure: Vec::new(), request_timeout: Duration::from_secs(20), retries: 3 }
    }
}

/// A registry client that uses each login for its own host only.
#[derive(Debug)]
pub struct Client {
    options: ClientOptions,
    config: Arc<DockerConfig>,
}

impl Client {
    /// A client with the logins of `config`. The process-wide TLS provider must be installed.
    ///
    /// # Errors
    /// [`ErrorKind::Network`] when TLS cannot be set up.
    pub fn new(options: ClientOptions, config: Arc<DockerConfig>) -> Result<Self> {
        Ok(Self { options, config })
    }

    /// Proves that a push to `reference` will be allowed, by opening an upload and cancelling it.
    ///
    /// # Errors
    /// [`ErrorKind::Credentials`] when the registry refuses; [`ErrorKind::Network`] when it cannot be reached.
    pub async fn check_push(&self, reference: &Reference) -> Result<()> {
        let _ = (&self.options, &self.config, reference);
        Err(Error::new(ErrorKind::Network, "not there yet"))
    }

    /// The digest of the manifest that `reference` names, as the registry has it now.
    ///
    /// # Errors
    /// [`ErrorKind::Network`] when it cannot be had; [`ErrorKind::Credentials`] when reading is refused.
    pub async fn manifest_digest(&self, reference: &Reference) -> Result<String> {
        let _ = reference;
        Err(Error::new(ErrorKind::Network, "not there yet"))
    }
}
