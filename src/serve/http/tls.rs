//! [`Tls`]: the certificate and its key, read again when the file changes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::error::{Context as _, Error, ErrorKind, Result};

/// A certificate and its key. What renews them replaces the files; the next connection has the new ones.
#[derive(Debug)]
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    version: Option<SystemTime>,
    config: Arc<ServerConfig>,
}

impl Tls {
    /// Reads both files, PEM.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] when one of them cannot be used, or they do not belong together.
    pub fn open(certificate: &Path, key: &Path) -> Result<Self> {
        let version = modified(certificate);
        let config = read(certificate, key)?;
        let state = Mutex::new(State { version, config });
        Ok(Self { certificate: certificate.to_owned(), key: key.to_owned(), state })
    }

    /// What accepts a connection now. Files that cannot be used change nothing.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let version = modified(&self.certificate);
        if version.is_some() && version != state.version {
            state.version = version;
            match read(&self.certificate, &self.key) {
                Ok(config) => state.config = config,
                Err(error) => tracing::error!(%error, "the new certificate; the old one stays in use"),
            }
        }
        TlsAcceptor::from(Arc::clone(&state.config))
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}

fn read(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>> {
    let cannot = |path: &Path, what: &str| Error::usage(format!("`{}` is no {what} in PEM", path.display()));
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| cannot(certificate, "certificate").because(error))?;
    if chain.is_empty() {
        return Err(cannot(certificate, "certificate"));
    }
    // The cause may quote the file.
    let key_der = PrivateKeyDer::from_pem_file(key).map_err(|_| cannot(key, "private key"))?;
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key_der).context(
        ErrorKind::Usage,
        || {
            format!(
                "the certificate `{}` and the key `{}` cannot be used together",
                certificate.display(),
                key.display()
            )
        },
    )?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
