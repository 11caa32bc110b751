//! `'local`: a throwaway `sshd` and `buildkitd` on this machine.
//!
//! As root, the runner is a tree of processes in PID and mount namespaces of its own, with its memory held by a cgroup;
//! without root the same tree stands inside of `rootlesskit`. Its first process ends with ours, so nothing outlives a
//! build. It touches nothing outside the lease's own directories and cgroup, and it is no isolation: a build step that
//! owns the runner owns this machine, and the notes of every lease say so.

mod buildkit_root;
mod cgroup;
mod config;
mod held_lease;
mod keys;
mod lease_dirs;
mod local_provider;
mod record;
mod remains;
mod rootless;
mod runner;
pub(in crate::provider) mod tools;

pub use config::LocalConfig;
pub use local_provider::LocalProvider;
