//! Talks to OCI registries: names, logins, digests.

mod client;
mod credentials;
mod reference;

pub use client::{Client, ClientOptions};
pub use credentials::{Credential, DockerConfig, Login};
pub use reference::{DEFAULT_TAG, DOCKER_HUB, Reference, is_digest, is_loopback_host};
