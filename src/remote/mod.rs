//! How to talk to a leased runner: one SSH connection, multiplexed, with the lease's own key and a pinned host key.
//!
//! `ssh` is run through [`crate::process::Cmd`] with one generated configuration file for every call, so neither the
//! user's `~/.ssh/config` nor an agent has a say, a Ctrl-C at the terminal reaches only us, and every start is logged
//! in one place. Arguments reach the runner's shell quoted, never pasted. It knows nothing of BuildKit.

mod child;
mod connection_lost;
mod enter;
mod forward;
mod output;
mod quote;
mod remote_shell;
mod session;
mod ssh_config;

pub use child::RemoteChild;
pub use connection_lost::ConnectionLost;
pub use enter::enter;
pub use output::{MAX_STDERR, MAX_STDOUT, RemoteOutput};
pub use quote::shell_line;
pub use remote_shell::RemoteShell;
pub use session::Session;
