//! Runs BuildKit on the runner and understands what it says.

pub mod buildkitd;
pub mod csv;
pub mod oom;
pub mod secret_store;
pub mod unpack;
