//! [`ServeConfig`]: what `serve.ncl` says of a pool. The contract `schemas/serve.ncl` checks every value.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::inputs::nickel::{Contract, Document, Evaluator};

/// What `serve.ncl` says of a pool.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServeConfig {
    /// The format's version: always 1.
    #[serde(default = "version")]
    pub schema_version: u32,
    /// Where it listens.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub listen: Option<SocketAddr>,
    /// Who leases the runners.
    #[serde(default)]
    pub providers: Option<Vec<String>>,
    /// The file with the tokens.
    #[serde(default)]
    pub tokens: Option<PathBuf>,
    /// Certificate and key.
    #[serde(default)]
    pub tls: Option<TlsFiles>,
    /// File with other tiers than the built-in ones.
    #[serde(default)]
    pub tiers: Option<PathBuf>,
    /// Where the pool keeps what outlives it.
    #[serde(default)]
    pub state_dir: Option<PathBuf>,
    /// Whose the runners are at the provider.
    #[serde(default)]
    pub owner: Option<String>,
    /// The longest time between two renewals, in seconds.
    #[serde(default)]
    pub ttl_s: Option<u64>,
    /// The longest life of a lease, in seconds.
    #[serde(default)]
    pub max_ttl_s: Option<u64>,
    /// Most leases at the same time.
    #[serde(default)]
    pub max_leases: Option<usize>,
}

/// Certificate and key, PEM.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The certificate chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

const fn version() -> u32 {
    1
}

impl ServeConfig {
    /// Reads a file. The paths in it count from its own directory.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] when it is not valid, cannot be read, or needs too much to evaluate.
    pub async fn read(evaluator: &Evaluator, path: &Path) -> Result<Self> {
        let name = path
            .file_name()
            .ok_or_else(|| Error::new(ErrorKind::Spec, format!("`{}` does not name a file", path.display())))?;
        let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
        let shown = directory.map(|directory| directory.join("").to_string_lossy().into_owned()).unwrap_or_default();
        let directory = directory.unwrap_or(Path::new("."));
        let document = Document::file(directory, name, &shown, Contract::Serve);
        let value = evaluator.evaluate(vec![document]).await?.into_iter().next().map(|evaluated| evaluated.value);
        let config: Self = serde_json::from_value(value.unwrap_or_default())
            .context(ErrorKind::Spec, || format!("`{}` is not valid", path.display()))?;
        Ok(config.with_paths_from(directory))
    }

    fn with_paths_from(mut self, directory: &Path) -> Self {
        let tls = self.tls.iter_mut().flat_map(|tls| [&mut tls.cert, &mut tls.key]);
        let others = [&mut self.tokens, &mut self.tiers, &mut self.state_dir].into_iter().flatten();
        for path in tls.chain(others) {
            *path = directory.join(&*path);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_count_from_the_files_directory() {
        let value = serde_json::json!({ "schema_version": 1, "tokens": "t.json", "state_dir": "/var/lib/pool",
            "tls": { "cert": "a.pem", "key": "/etc/b.pem" }, "listen": "127.0.0.1:1" });
        let config: ServeConfig = serde_json::from_value(value).unwrap();
        let config = config.with_paths_from(Path::new("/etc/pool"));
        assert_eq!(config.tokens.unwrap(), Path::new("/etc/pool/t.json"));
        assert_eq!(config.state_dir.unwrap(), Path::new("/var/lib/pool"));
        let tls = config.tls.unwrap();
        assert_eq!((tls.cert.as_path(), tls.key.as_path()), (Path::new("/etc/pool/a.pem"), Path::new("/etc/b.pem")));
    }
}
