//! What the tests share.

pub mod docker_registry;
pub mod http_server;

use lian_build::env_vars::Environment;

/// The environment the tests were started with: where the real parts are (`ci/setup` prints it).
pub fn environment() -> Environment {
    Environment::from_process()
}

/// Installs the process-wide TLS provider, as the command line does. Repeating it is harmless.
pub fn install_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
