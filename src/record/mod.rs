//! Remembers what builds needed.

mod advice;
mod metrics;

pub use advice::{Advice, Approved, MIN_SAMPLES};
pub use metrics::Metrics;
