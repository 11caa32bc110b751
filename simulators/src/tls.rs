//! [`Identity`]: a certificate that signs itself, for APIs that are reached over TLS only.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, SanType};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};

/// A certificate that signs itself, with its key.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate, for a client's list of authorities.
    pub certificate_pem: String,
    /// The SHA-256 of the certificate, as `AB:CD:…`, for clients that pin it.
    pub fingerprint: String,
    config: Arc<ServerConfig>,
}

impl Identity {
    /// One that is valid for these addresses.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn self_signed(addresses: &[IpAddr]) -> Result<Self> {
        let broken = |error: &dyn std::fmt::Display| Error::new(format!("no certificate can be made: {error}"));
        let key = KeyPair::generate().map_err(|error| broken(&error))?;
        let mut params = CertificateParams::default();
        params.subject_alt_names = addresses.iter().copied().map(SanType::IpAddress).collect();
        let certificate = params.self_signed(&key).map_err(|error| broken(&error))?;
        let der = certificate.der().clone();
        let digest = Sha256::digest(&der);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| broken(&error))?
            .with_no_client_auth()
            .with_single_cert(vec![der], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
            .map_err(|error| broken(&error))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            certificate_pem: certificate.pem(),
            fingerprint: digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":"),
            config: Arc::new(config),
        })
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }
}
