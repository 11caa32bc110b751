//! [`Policy`]: one policy file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Caps, MinimumIsolation, SecretBindingRule, SshBindingRule};
use crate::ids::Actor;

/// What one policy file says. A list that is `None` allows everything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The format's version: always 1.
    #[serde(default = "version")]
    pub schema_version: u32,
    /// Upper limits on machines, time and money.
    #[serde(default)]
    pub caps: Caps,
    /// Compute providers that may be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub providers: Option<Vec<String>>,
    /// Registries, or parts of them, that may be pushed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_to: Option<Vec<String>>,
    /// Registries, or parts of them, that may be pulled from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_from: Option<Vec<String>>,
    /// Cloud Native Buildpacks builders that may be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builders: Option<Vec<String>>,
    /// NATS servers that events may go to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nats: Option<Vec<String>>,
    /// The least isolation of a runner, by actor.
    #[serde(default)]
    pub minimum_isolation: MinimumIsolation,
    /// Who may keep a failed runner; `None` says nothing, and then sessions may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_failed: Option<Vec<Actor>>,
    /// Whose steps may share the runner's network; `None` for everybody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_network: Option<Vec<Actor>>,
    /// Where the values of secrets come from, by id.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretBindingRule>,
    /// SSH agents, by id.
    #[serde(default)]
    pub ssh: BTreeMap<String, SshBindingRule>,
}

impl Default for Policy {
    /// What holds where there is no file.
    fn default() -> Self {
        Self {
            schema_version: version(),
            caps: Caps::default(),
            providers: None,
            push_to: None,
            pull_from: None,
            builders: None,
            nats: None,
            minimum_isolation: MinimumIsolation::default(),
            keep_failed: None,
            host_network: None,
            secrets: BTreeMap::new(),
            ssh: BTreeMap::new(),
        }
    }
}

fn version() -> u32 {
    1
}
