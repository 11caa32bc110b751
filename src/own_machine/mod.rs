//! A machine of its own: how a stock Debian 12 machine becomes a runner, whoever rents it.
//!
//! [`UserData`] is what its first boot is given, where the cloud takes such a thing. What is needed besides is done over SSH
//! before `buildkitd` starts, by [`prepare()`], which also does what no user data did; [`bring_buildkit`] brings the programs.
//! ADR 0016 says why it is so.

mod buildkit;
mod heartbeat;
mod prepare;
mod seal;
mod supply;
mod user_data;

pub use buildkit::bring_buildkit;
pub use heartbeat::beat;
pub use prepare::{Deadlines, Prepared, prepare};
pub use seal::seal;
pub use supply::Supply;
pub use user_data::{HostKey, UserData};
