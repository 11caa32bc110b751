//! [`Advice`]: what history says about a workspace's size.

use serde::{Deserialize, Serialize};

/// Fewer samples than this are shown, not used.
pub const MIN_SAMPLES: u32 = 5;

/// What past runs of a workspace say. Raw percentiles: the head room is added where the size is decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Advice {
    /// How many attempts the percentiles are taken over.
    pub samples: u32,
    /// 95th percentile over the attempts whose CPU was not saturated; `None` without such an attempt.
    pub cpu_p95: Option<f64>,
    /// At least this many CPUs: the largest runner on which a CPU stayed saturated. A lower bound, not a sample.
    pub cpu_at_least: Option<f64>,
    /// 95th percentile over the attempts' peaks of memory that could not be reclaimed, in GB.
    pub mem_p95: Option<f64>,
    /// More than this many GB: the largest runner on which an attempt ran out of memory.
    pub mem_more_than: Option<f64>,
    /// What an operator approved, until revoked.
    pub approved: Option<Approved>,
}

/// A size that an operator approved for a workspace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Approved {
    /// CPUs.
    pub cpu: f64,
    /// Memory in GB.
    pub memory_gb: f64,
    /// Who approved it.
    pub by: String,
    /// When, RFC 3339.
    pub at: String,
}
