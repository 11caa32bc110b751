//! Starts `buildkitd` on the runner over SSH, with a configuration of our own, and tells later what became of it.
//!
//! One round trip brings the files, starts the daemon under a supervisor that survives a dropped connection, and waits
//! until it answers. It must not read any configuration of the runner's own (`/etc/buildkit`): what is built does not
//! depend on where.

mod config;
mod daemon;
mod toml;

pub use config::{BuildkitConfig, RegistryConfig};
pub use daemon::{DaemonState, Diagnosis, Started, address, diagnose, start};
