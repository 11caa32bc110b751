//! Talks to OCI registries: names, logins, digests.

mod challenge;
mod client;
mod credentials;
mod docker_config;
mod failure;
mod helper;
mod reference;
mod token;

pub use client::{Client, ClientOptions};
pub use credentials::{Credential, Login};
pub use docker_config::{DockerConfig, MinimalConfig};
pub use reference::{DEFAULT_TAG, DOCKER_HUB, Reference, is_digest, is_loopback_host};
