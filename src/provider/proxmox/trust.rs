//! [`Trust`]: by what the API's certificate is known. A Proxmox node signs its own, so it is named by its authority or by
//! its fingerprint; none is ever taken unseen.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::env_vars;
use crate::error::{Context as _, Error, ErrorKind, Result};

/// By what the API's certificate is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// An authority that this machine trusts has signed it.
    System,
    /// An authority of these has signed it: certificates as PEM.
    Authorities(String),
    /// It is the one with this SHA-256, whoever signed it.
    Fingerprint([u8; 32]),
}

impl Trust {
    /// Authorities from a file.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] when it cannot be read, or has no certificate.
    pub(super) fn from_file(file: &Path) -> Result<Self> {
        let named = || format!("{} names `{}`", env_vars::PROXMOX_VE_CA_FILE, file.display());
        let pem =
            std::fs::read_to_string(file).context(ErrorKind::Usage, || format!("{}, which cannot be read", named()))?;
        let trust = Self::Authorities(pem);
        trust.client_config().map_err(|error| Error::usage(format!("{}: {}", named(), error.message())))?;
        Ok(trust)
    }

    /// A fingerprint as Proxmox shows it: 32 bytes in hexadecimal, with colons or without.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for anything else.
    pub(super) fn from_fingerprint(text: &str) -> Result<Self> {
        let digits: String = text.trim().chars().filter(|c| *c != ':').collect();
        let byte = |at: usize| digits.get(2 * at..2 * at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let bytes: Vec<u8> = (0..32).map_while(byte).collect();
        match <[u8; 32]>::try_from(bytes) {
            Ok(bytes) if digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
                Ok(Self::Fingerprint(bytes))
            }
            _ => Err(Error::usage(format!(
                "{} is `{}`, which is no SHA-256 fingerprint",
                env_vars::PROXMOX_VE_FINGERPRINT,
                crate::sanitise::short(text, 100)
            ))
            .hint("`pvenode cert info` shows it: 32 bytes in hexadecimal, `AB:CD:…`")),
        }
    }

    /// What the connection is made with; `None` for what this machine trusts.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a PEM that has no certificate.
    pub(super) fn client_config(&self) -> Result<Option<ClientConfig>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = || {
            ClientConfig::builder_with_provider(Arc::clone(&provider))
                .with_safe_default_protocol_versions()
                .context(ErrorKind::Provider, || "no TLS connection can be made".to_owned())
        };
        let config = match self {
            Self::System => return Ok(None),
            Self::Authorities(pem) => {
                let mut store = RootCertStore::empty();
                let certificates = CertificateDer::pem_slice_iter(pem.as_bytes());
                for certificate in certificates {
                    let certificate =
                        certificate.map_err(|error| Error::usage(format!("it is no PEM file: {error:?}")))?;
                    store.add(certificate).context(ErrorKind::Usage, || "a certificate cannot be used".to_owned())?;
                }
                if store.is_empty() {
                    return Err(Error::usage("there is no certificate in it"));
                }
                builder()?.with_root_certificates(store).with_no_client_auth()
            }
            Self::Fingerprint(fingerprint) => {
                let pin = Pin { fingerprint: *fingerprint, provider: Arc::clone(&provider) };
                builder()?.dangerous().with_custom_certificate_verifier(Arc::new(pin)).with_no_client_auth()
            }
        };
        Ok(Some(config))
    }
}

/// Takes one certificate, whatever name and date stand in it, and no other. That the other side has its key is proven by
/// the handshake's signature, as always.
struct Pin {
    fingerprint: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pin").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if Sha256::digest(end_entity.as_ref()).as_slice() == self.fingerprint.as_slice() {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_it_is_shown() {
        let bytes: [u8; 32] = std::array::from_fn(|at| u8::try_from(at * 7).unwrap());
        let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        for text in [pairs.join(":"), pairs.concat().to_lowercase()] {
            assert_eq!(Trust::from_fingerprint(&text).unwrap(), Trust::Fingerprint(bytes));
        }
        for text in
            ["", "AB", &pairs[..31].join(":"), &format!("{}0", pairs.concat()), &"G".repeat(64), &"+1".repeat(32)]
        {
            assert_eq!(Trust::from_fingerprint(text).unwrap_err().kind(), ErrorKind::Usage, "{text}");
        }
    }

    #[test]
    fn a_file_without_a_certificate_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        for text in ["", "no", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(Trust::from_file(&file).unwrap_err().kind(), ErrorKind::Usage, "{text}");
        }
    }
}
