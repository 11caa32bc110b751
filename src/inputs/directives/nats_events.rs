//! [`NatsEventConfig`]: where lifecycle events go.

use serde::{Deserialize, Serialize};

use crate::events::SubjectPrefix;

/// Where lifecycle events go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NatsEventConfig {
    /// Whether they are sent.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The servers, without a login; `None` for the caller's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The first tokens of subjects; `None` for the caller's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_prefix: Option<SubjectPrefix>,
}

fn yes() -> bool {
    true
}
