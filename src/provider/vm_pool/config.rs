//! [`VmPoolConfig`]: which pool, as whom, and what it is asked for.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{PoolAddress, PoolClient, Token};
use crate::env_vars::{self, Environment};
use crate::error::{Error, Result};
use crate::lease::Isolation;
use crate::provider::host::machine::architecture;
use crate::provider::host::runtime_dir::runtime_dir;
use crate::sanitise;

/// The longest name of a provider.
const LONGEST_NAME: usize = 64;

/// Which pool, as whom, and what it is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VmPoolConfig {
    /// The pool.
    pub address: PoolAddress,
    /// Who asks. Holds a secret.
    pub token: Option<Token>,
    /// The provider that the pool is asked for; `None` leaves it to the pool, and then its runners have to be machines of
    /// their own.
    pub asks_for: Option<String>,
    /// Where programs are looked for.
    pub program_dirs: Vec<PathBuf>,
    /// Private and short: keys and sockets of leases. Shared by all builds of this user on this machine.
    pub runtime_dir: PathBuf,
}

impl VmPoolConfig {
    /// The pool that the environment names.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] when it names none, or with what it names it cannot be spoken to.
    pub fn from_environment(environment: &Environment) -> Result<Self> {
        let Some(address) = environment.text(env_vars::ORCHESTRATOR_URL) else {
            return Err(Error::usage(format!("no vm-pool is known: `{}` is not set", env_vars::ORCHESTRATOR_URL))
                .hint(format!("set it to the pool's address, and {} to a token of it", env_vars::ORCHESTRATOR_TOKEN)));
        };
        let token = environment.text(env_vars::ORCHESTRATOR_TOKEN).map(Token::new).transpose();
        let config = Self {
            address: address.parse()?,
            token: token.map_err(|error| error.hint(format!("it is read from {}", env_vars::ORCHESTRATOR_TOKEN)))?,
            asks_for: None,
            program_dirs: environment.program_dirs(),
            runtime_dir: runtime_dir(environment),
        };
        config.asking_for(environment.text(env_vars::ORCHESTRATOR_PROVIDER))
    }

    /// The same, asking the pool for this provider where one is named.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] for what no provider is called.
    pub fn asking_for(self, provider: Option<&str>) -> Result<Self> {
        let Some(name) = provider.map(|name| name.strip_prefix('\'').unwrap_or(name)) else { return Ok(self) };
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(plain) {
            let shown = sanitise::short(name, LONGEST_NAME);
            return Err(Error::usage(format!("a pool cannot be asked for the provider `{shown}`")).hint(format!(
                "it is named by the directives, or by {}: `hcloud`, say",
                env_vars::ORCHESTRATOR_PROVIDER
            )));
        }
        if name == "vm_pool" {
            return Err(Error::usage("a pool cannot be asked for a pool"));
        }
        Ok(Self { asks_for: Some(name.to_owned()), ..self })
    }

    /// Speaks to the pool.
    pub(crate) fn client(&self) -> PoolClient {
        PoolClient::new(self.address.clone(), self.token.clone())
    }

    /// How far the pool's runners are apart at the least, by the provider that it is asked for.
    pub(super) fn isolation(&self) -> Isolation {
        match self.asks_for.as_deref() {
            Some("local") => Isolation::None,
            Some("docker_local") => Isolation::Container,
            _ => Isolation::Vm,
        }
    }

    /// What stands for the machine that runners share, where they do.
    pub(super) fn shared_machine(&self) -> Option<&'static str> {
        (self.isolation() != Isolation::Vm).then_some("the pool's machine")
    }

    /// What it leases, the usual one first: clouds have ARM, and a pool of shared machines is most likely of our own kind.
    pub(super) fn architectures(&self) -> Vec<String> {
        let first = if self.isolation() == Isolation::Vm { "arm64" } else { architecture() };
        let other = if first == "arm64" { "amd64" } else { "arm64" };
        vec![first.to_owned(), other.to_owned()]
    }

    /// Which pool, and as whom, without the token.
    pub(super) fn backend(&self) -> String {
        let address = self.address.to_string();
        match &self.token {
            Some(token) => format!("{address}#{}", token.fingerprint(&address)),
            None => address,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Result<VmPoolConfig> {
        VmPoolConfig::from_environment(&Environment::from_pairs(pairs.iter().copied()))
    }

    const URL: (&str, &str) = ("ORCHESTRATOR_URL", "https://pool.example");

    #[test]
    fn what_is_asked_for_says_what_comes() {
        for (asked, isolation, shared) in [
            (None, Isolation::Vm, false),
            (Some("'hcloud"), Isolation::Vm, false),
            (Some("docker_local"), Isolation::Container, true),
            (Some("local"), Isolation::None, true),
        ] {
            let config = config(&[URL]).unwrap().asking_for(asked).unwrap();
            assert_eq!((config.isolation(), config.shared_machine().is_some()), (isolation, shared), "{asked:?}");
            assert_eq!(config.architectures().len(), 2);
        }
        let of_environment = config(&[URL, ("ORCHESTRATOR_PROVIDER", "docker_local")]).unwrap();
        assert_eq!(of_environment.asks_for.as_deref(), Some("docker_local"));
        let of_directives = of_environment.asking_for(Some("hcloud")).unwrap();
        assert_eq!(of_directives.asks_for.as_deref(), Some("hcloud"), "directives are nearer");
        for bad in ["", "Hcloud", "a b", "a\nb", "vm_pool", &"x".repeat(65)] {
            assert!(config(&[URL]).unwrap().asking_for(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_token_is_in_no_fingerprint_and_no_error() {
        let backend = |token: &str| config(&[URL, ("ORCHESTRATOR_TOKEN", token)]).unwrap().backend();
        assert_ne!(backend("hidden1"), backend("hidden2"));
        assert!(backend("hidden1").starts_with("https://pool.example#") && !backend("hidden1").contains("hidden1"));
        let shown = format!("{:?}", config(&[URL, ("ORCHESTRATOR_TOKEN", "hidden1")]).unwrap());
        assert!(!shown.contains("hidden1"), "{shown}");
        let error = config(&[URL, ("ORCHESTRATOR_TOKEN", "hidden 1")]).unwrap_err();
        assert!(!format!("{error:?}").contains("hidden 1") && format!("{error:?}").contains("ORCHESTRATOR_TOKEN"));
        assert!(config(&[]).unwrap_err().message().contains("ORCHESTRATOR_URL"));
    }
}
