//! What the tests share.
#![allow(dead_code, unused_imports, reason = "each test uses its part")]

pub mod docker_registry;
mod gate;
pub mod http_server;
mod leftovers;
mod machine;
pub mod nats_server;
mod runner;
mod sandbox;
pub mod tarball;

use lian_build::env_vars::Environment;

pub(crate) use gate::Gate;
pub(crate) use leftovers::Leftovers;
pub(crate) use machine::{LocalMachine, tier, variable};
pub(crate) use runner::Runner;
pub(crate) use sandbox::{Finished, Running, Sandbox};

/// The environment the tests were started with: where the real parts are (`ci/setup` prints it).
pub fn environment() -> Environment {
    Environment::from_process()
}

/// Installs the process-wide TLS provider, as the command line does. Repeating it is harmless.
pub fn install_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
