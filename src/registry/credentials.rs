//! [`DockerConfig`]: the logins of Docker's client configuration.
//!
//! A login is only ever looked up by the host it is for. Nothing here prints or stores one: the way out is
//! [`DockerConfig::minimal_config`], whose bytes go to the runner over the SSH channel's standard input.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use secrecy::SecretString;

use crate::env_vars::Environment;
use crate::error::{Error, ErrorKind, Result};
use crate::secret_bytes::SecretBytes;

/// What proves who we are to one registry.
#[derive(Debug)]
pub enum Login {
    /// A user name with a password or an access token.
    Basic {
        /// The user's name.
        username: String,
        /// The password.
        password: SecretString,
    },
    /// An OAuth2 refresh token, which only the registry's token server understands.
    IdentityToken(SecretString),
    /// A bearer token that is sent to the registry as it stands.
    RegistryToken(SecretString),
}

/// A login with the place it was found at.
#[derive(Debug)]
pub struct Credential {
    /// The login.
    pub login: Login,
    /// Where it came from, for errors: a file or a helper.
    pub source: String,
}

/// Docker's client configuration, as far as logins go.
#[derive(Debug, Default)]
pub struct DockerConfig {
    path: Option<PathBuf>,
    found: tokio::sync::Mutex<BTreeMap<String, Option<Arc<Credential>>>>,
}

impl DockerConfig {
    /// Reads `config.json` of `DOCKER_CONFIG`, or of `~/.docker`. A file that is not there means no logins.
    ///
    /// # Errors
    /// [`ErrorKind::Credentials`] when the file cannot be read or is not what Docker writes.
    pub fn load(environment: &Environment) -> Result<Self> {
        let _ = environment;
        Err(Error::new(ErrorKind::Credentials, "not there yet"))
    }

    /// The login for `host`, from a credential helper or the file; asked for once per host.
    ///
    /// # Errors
    /// [`ErrorKind::Credentials`] naming the helper that failed.
    pub async fn credential(&self, host: &str) -> Result<Option<Arc<Credential>>> {
        Ok(self.found.lock().await.get(host).cloned().flatten())
    }

    /// A `config.json` that holds the logins for `hosts` and nothing else.
    ///
    /// # Errors
    /// As [`DockerConfig::credential`].
    pub async fn minimal_config(&self, hosts: &[&str]) -> Result<SecretBytes> {
        let _ = (hosts, &self.path);
        Err(Error::new(ErrorKind::Credentials, "not there yet"))
    }
}
