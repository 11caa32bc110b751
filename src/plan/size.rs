//! Decides the size of the runner, with its reason. Pure: values in, values out.

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::ids::Actor;
use crate::inputs::spec::BuildSpec;
use crate::plan::{Languages, Tier, Tiers};
use crate::record::Advice;

/// Everything a size is decided from.
#[derive(Debug, Clone, Copy)]
pub struct SizeRequest<'a> {
    /// `--runner-type`, or an override in directives.
    pub override_runner_type: Option<&'a str>,
    /// The project's `.build-spec.ncl`.
    pub spec: Option<&'a BuildSpec>,
    /// What past runs say.
    pub advice: Option<&'a Advice>,
    /// Who builds: `'ci` uses approved advice only.
    pub actor: Actor,
    /// The language found in the context, `rust` say, or `other`.
    pub language: &'a str,
    /// Why that language: `Cargo.toml`, say.
    pub evidence: &'a str,
    /// Default sizes by language.
    pub languages: &'a Languages,
    /// The ladder.
    pub tiers: &'a Tiers,
}

/// Which rule decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SizingSource {
    /// `--runner-type` or the directives.
    Override,
    /// `.build-spec.ncl`.
    Spec,
    /// The workspace's history.
    P95,
    /// The language's default.
    Language,
}

/// The decided size.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Sizing {
    /// Which rule decided.
    pub source: SizingSource,
    /// The tier in full, for the lease.
    #[serde(skip)]
    pub tier: Tier,
    /// The tier's name.
    pub runner_type: String,
    /// The tier's CPUs.
    pub cpu: u32,
    /// The tier's memory in GB (2^30).
    pub memory_gb: f64,
    /// The tier's disk in GB (2^30).
    pub disk_gb: u32,
    /// Minutes an attempt may take, from lease to end of solve.
    pub time_budget_min: f64,
    /// Whether one retry on the next tier is allowed after memory ran out.
    #[serde(skip)]
    pub oom_retry: bool,
    /// True when the memory was asked for (override or spec): a machine with less is then refused, not used.
    #[serde(skip)]
    pub memory_is_explicit: bool,
    /// Why this size, in words.
    pub reason: String,
    /// What was seen but not used, and what was limited.
    #[serde(skip)]
    pub notes: Vec<String>,
}

/// Decides. The first rule that applies wins: override, spec, history, language.
///
/// # Errors
/// [`ErrorKind::Usage`] for an unknown `--runner-type`, [`ErrorKind::Spec`] for one in the spec or a size beside it
/// that does not fit in it, [`ErrorKind::NoCapacity`] for a size that no tier holds.
pub fn decide(request: &SizeRequest<'_>) -> Result<Sizing> {
    let _ = request;
    Err(Error::new(ErrorKind::Spec, "not there yet"))
}
