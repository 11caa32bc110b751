//! Runs BuildKit on the runner and understands what it says.

pub mod agents;
mod build_state;
pub mod buildctl;
pub mod buildkitd;
pub mod csv;
mod failure;
pub mod oom;
pub mod rawjson;
pub mod secret_store;
pub mod source_policy;
pub mod status;
mod step;
mod step_log;
pub mod supervisor;
pub mod unpack;

pub use build_state::{BuildObserver, BuildState, StepCounts};
pub use failure::Failure;
pub use step::{Step, StepStatus, Transfer};
