//! Remembers what builds needed: measures an attempt on its runner, keeps the history, and turns it into advice.
//!
//! Decides no size: that is `plan`'s business.

mod advice;
mod attempt;
mod http;
mod metrics;
pub mod quantile;
pub mod sampler;
mod samples;
mod sqlite;
mod sqlite_reader;
mod store;

pub use advice::{Advice, Approved, MIN_SAMPLES};
pub use attempt::AttemptRecord;
pub use http::HttpStore;
pub use metrics::Metrics;
pub use sampler::{MACHINE_PRESSURE, Pressure, Sampler, SamplerOptions, SamplerScope};
pub use samples::{Sample, Samples};
pub use sqlite::SqliteStore;
pub use store::StateStore;
