//! [`P95`]: what past runs of a workspace say.

use serde::{Deserialize, Serialize};

/// What past runs of a workspace say. A percentile without a sample is 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct P95 {
    /// What is built.
    pub workspace: String,
    /// CPUs in use, 95th percentile.
    pub cpu_p95: f64,
    /// Memory that could not be reclaimed, 95th percentile of the peaks, in GB (2^30).
    pub mem_p95: f64,
    /// How many runs that is taken over.
    pub samples: u32,
    /// At least this many CPUs: a CPU stayed saturated on a runner with so many.
    #[serde(default)]
    pub cpu_at_least: Option<f64>,
    /// More than this many GB: memory ran out on a runner with so much.
    #[serde(default)]
    pub mem_more_than: Option<f64>,
    /// What an operator approved; `null` for nothing.
    #[serde(default)]
    pub approved: Option<Approved>,
}

/// A size that an operator approved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Approved {
    /// CPUs.
    pub cpu: f64,
    /// Memory in GB (2^30).
    pub memory_gb: f64,
    /// Who approved it.
    pub by: String,
    /// When, RFC 3339 in UTC.
    pub at: String,
}
