//! [`ServeToken`]: what the commands of `serve token` say.

use schemars::JsonSchema;
use serde::Serialize;

use crate::report::CommandBody;

/// The format's name and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub enum ServeTokenSchema {
    /// Version 1.
    #[default]
    #[serde(rename = "lian-build/serve-token/v1")]
    V1,
}

/// Tokens of a pool.
#[derive(Clone, PartialEq, Default, Serialize, JsonSchema)]
pub struct ServeToken {
    /// The text of a new token, which is nowhere else; `null` from every other command.
    pub token: Option<String>,
    /// The tokens that were made, listed or taken away.
    pub tokens: Vec<TokenInfo>,
}

impl std::fmt::Debug for ServeToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServeToken").field("tokens", &self.tokens).finish_non_exhaustive()
    }
}

impl CommandBody for ServeToken {
    type Schema = ServeTokenSchema;
    const COMMAND: &'static str = "serve token";
}

/// A token, without what proves it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TokenInfo {
    /// What stands in logs.
    pub id: String,
    /// What the operator calls it.
    pub name: String,
    /// When it was made, RFC 3339 in UTC.
    pub created_at: String,
    /// When it ends; `null` for never.
    pub expires_at: Option<String>,
    /// The workspaces that it may have.
    pub workspaces: Vec<String>,
    /// The tiers; `null` for all.
    pub runner_types: Option<Vec<String>>,
    /// The providers; `null` for all that are served.
    pub providers: Option<Vec<String>>,
    /// Most leases at the same time; `null` for any number.
    pub concurrent_leases: Option<u32>,
    /// Most hours of runners in 24 hours; `null` for any number.
    pub hours_per_day: Option<f64>,
}
