//! [`SecretBindingRule`] and [`SshBindingRule`]: where what directives name comes from, and for whom.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::ids::{Actor, Workspace};

/// Where a secret's value comes from: exactly one of `env` and `src`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretBindingRule {
    /// An environment variable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// A file, absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub src: Option<PathBuf>,
    /// Who may have it; `None` for everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actors: Option<Vec<Actor>>,
    /// For which workspaces; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspaces: Option<Vec<Workspace>>,
}

/// Which SSH agent stands behind an id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SshBindingRule {
    /// Its socket, absolute; `None` for the one in `SSH_AUTH_SOCK`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<PathBuf>,
    /// Who may use it; `None` for everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actors: Option<Vec<Actor>>,
    /// For which workspaces; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspaces: Option<Vec<Workspace>>,
}
