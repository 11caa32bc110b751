//! [`Metrics`]: what one attempt used.

use serde::{Deserialize, Serialize};

/// What one attempt used, from samples taken on the runner.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Metrics {
    /// 95th percentile of the CPUs in use.
    pub cpu_p95: f64,
    /// 95th percentile of the memory that could not be reclaimed, in GB (2^30).
    pub mem_p95: f64,
    /// Highest memory that could not be reclaimed, in GB (2^30).
    pub mem_peak: f64,
}

impl Metrics {
    /// Raises the peak to `limit_gb`: memory ran out there, between two samples.
    #[must_use]
    pub fn having_reached(mut self, limit_gb: f64) -> Self {
        self.mem_peak = self.mem_peak.max(limit_gb);
        self
    }
}
