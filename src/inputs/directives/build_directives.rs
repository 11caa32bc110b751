//! [`BuildDirectives`]: one build, as its caller describes it.

use serde::{Deserialize, Serialize};

use super::{BuildArtifact, CachePolicy, ComputeProviderRef, NatsEventConfig, RegistryProviderRef, RunnerOverride};
use crate::ids::Workspace;

/// One build, as its caller describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BuildDirectives {
    /// The format's version: always 1.
    #[serde(default = "version")]
    pub schema_version: u32,
    /// Its name in a file that holds several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Workspace>,
    /// What is built; owns history and cache.
    pub workspace: Workspace,
    /// What comes out.
    #[serde(default)]
    pub artifact: BuildArtifact,
    /// Who leases the runner, in the order in which they are tried; `None` leaves it to the caller's machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute_provider: Option<Vec<ComputeProviderRef>>,
    /// The registry that caches are kept in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_provider: Option<RegistryProviderRef>,
    /// Who builds, and what becomes of the cache.
    pub cache_policy: CachePolicy,
    /// The size of the machine, before spec and history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner_override: Option<RunnerOverride>,
    /// Where lifecycle events go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nats_events: Option<NatsEventConfig>,
}

/// A directives file: one record, or several with names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum DirectivesFile {
    /// One build.
    One(Box<BuildDirectives>),
    /// Several, of which one is picked by its name.
    Many(Vec<BuildDirectives>),
}

fn version() -> u32 {
    1
}
