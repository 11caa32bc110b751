//! [`RunnerOverride`]: the size of the machine, before spec and history.

use serde::{Deserialize, Serialize};

/// The size of the machine, before `.build-spec.ncl` and history. Either `runner_type` is set, or `cpu` and `memory_gb`
/// are, or none of the three.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunnerOverride {
    /// A tier by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner_type: Option<String>,
    /// CPUs, in (0, 256].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// Memory in GB (2^30), in (0, 4096].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_gb: Option<f64>,
    /// Disk in GB (2^30), in (0, 65536].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_gb: Option<f64>,
    /// Minutes an attempt may take, in (0, 1440].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_budget_min: Option<f64>,
    /// Whether a build that ran out of memory is tried once more on the next tier; `None` for the spec's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom_retry: Option<bool>,
}
