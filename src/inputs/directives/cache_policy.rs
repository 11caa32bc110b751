//! [`CachePolicy`]: who builds, and what becomes of the cache.

use serde::{Deserialize, Serialize};

use crate::ids::{Actor, ActorId};

/// Who builds, and what becomes of the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CachePolicy {
    /// What kind of caller.
    pub actor: Actor,
    /// Which human or agent; `None` takes the caller's user name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_id: Option<ActorId>,
    /// What becomes of the cache.
    #[serde(default)]
    pub disposition: Disposition,
    /// Narrows what is read and written.
    #[serde(default)]
    pub namespaces: Namespaces,
}

/// What becomes of the cache that a run made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// Written back after success.
    #[default]
    Export,
    /// Thrown away.
    Discard,
    /// The last good state is put back when the run fails.
    Rollback,
}

/// Cache namespaces; `None` for all that the actor may.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Namespaces {
    /// What is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Vec<String>>,
    /// What is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write: Option<Vec<String>>,
}
