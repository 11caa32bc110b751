//! [`BuildSpec`]: what `.build-spec.ncl` at the root of a context asks for.
//!
//! The contract `schemas/build_spec.ncl` has checked every value before it arrives here; this module only gives the
//! values a shape. It decides nothing.

use serde::{Deserialize, Serialize};

/// The file's name, at the root of the context.
pub const FILE_NAME: &str = ".build-spec.ncl";

/// What a project asks for. Either `runner_type` is set, or `cpu` and `memory_gb` are, or none of the three.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BuildSpec {
    /// The format's version: always 1.
    #[serde(default = "version")]
    pub schema_version: u32,
    /// A tier by name. Authoritative: `cpu` and `memory_gb` beside it must fit in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner_type: Option<String>,
    /// CPUs, in (0, 256].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// Memory in GB (2^30), in (0, 4096].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_gb: Option<f64>,
    /// Disk in GB (2^30), above 0. Picks the tier; whether the disk is limited is the provider's business.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_gb: Option<f64>,
    /// Minutes an attempt may take, in (0, 1440].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_budget_min: Option<f64>,
    /// Whether a build that ran out of memory is tried once more on the next tier.
    #[serde(default = "yes")]
    pub oom_retry: bool,
    /// Names of further caches to read. Without effect so far: there are no remote caches.
    #[serde(default)]
    pub cache_keys: Vec<String>,
}

fn version() -> u32 {
    1
}

fn yes() -> bool {
    true
}
