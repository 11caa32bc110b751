//! `'docker_local`: runners that are containers of a Docker daemon on, or beside, this machine.
//!
//! A container is made from the runner image, with the lease's labels and limits in the request that creates it, keys put
//! into it before it starts, and its SSH port on the loopback. It is less than a machine of its own: it shares the daemon's
//! kernel and has named capabilities (`privileges.rs`), and the notes of every lease say so. Nothing that is not labelled
//! with the lease is ever touched.

mod address;
mod config;
mod container;
mod create;
mod daemon;
mod docker_provider;
mod facts;
mod failure;
mod files;
mod held_container;
mod kept_cache;
mod privileges;
mod ready;
mod removal;
mod volumes;

/// Where its leases are in the runtime directory.
const DIR: &str = "docker";

pub use config::{CacheConfig, DockerLocalConfig};
pub(crate) use daemon::Daemon;
pub use docker_provider::DockerLocalProvider;
