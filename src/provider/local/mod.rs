//! `'local`: a throwaway `sshd` and `buildkitd` on this machine.

mod config;
mod local_provider;

pub use config::LocalConfig;
pub use local_provider::LocalProvider;
