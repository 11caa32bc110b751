//! Runs BuildKit on the runner and understands what it says.

pub mod csv;
pub mod oom;
pub mod unpack;
