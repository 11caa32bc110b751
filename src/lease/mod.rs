//! The right to a runner, with a deadline; what every provider yields is an SSH endpoint.

mod endpoint;
mod request;

pub use endpoint::{CgroupVersion, Endpoint, Isolation, MemoryLimit, RunnerPaths};
pub use request::LeaseRequest;
