//! Runs BuildKit on the runner and understands what it says.
pub mod oom;
