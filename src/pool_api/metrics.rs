//! [`PostMetrics`]: an attempt, for the history that a pool keeps.

use serde::{Deserialize, Serialize};

/// An attempt, for the history that a pool keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PostMetrics {
    /// The run, a UUID.
    pub run_id: String,
    /// What was built.
    pub workspace: String,
    /// `linux/arm64`, say.
    pub platform: String,
    /// What sort of build it was.
    pub build_kind: String,
    /// What kind of caller it was.
    pub actor: String,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// The tier's name.
    pub runner_type: String,
    /// How it ended.
    pub outcome: String,
    /// CPUs in use, 95th percentile; `null` when nothing was measured.
    #[serde(default)]
    pub cpu_p95: Option<f64>,
    /// Memory that could not be reclaimed, 95th percentile, in GB (2^30).
    #[serde(default)]
    pub mem_p95: Option<f64>,
    /// The highest use of memory, in GB (2^30).
    #[serde(default)]
    pub mem_peak: Option<f64>,
    /// How long the attempt took.
    pub seconds: f64,
    /// CPUs that it could use; the tier's where it is left out.
    #[serde(default)]
    pub cpu: Option<f64>,
    /// Memory that it could use, in GB (2^30); the tier's where it is left out.
    #[serde(default)]
    pub memory_gb: Option<f64>,
}

/// The answer to metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Accepted {
    /// Always true.
    pub accepted: bool,
}
