//! [`RunnersRelease`]: what became of the leases that were to be released.

use schemars::JsonSchema;
use serde::Serialize;

use crate::ids::LeaseId;
use crate::report::CommandBody;

/// The format's name and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub enum RunnersReleaseSchema {
    /// Version 1.
    #[default]
    #[serde(rename = "lian-build/runners-release/v1")]
    V1,
}

/// What became of the leases that were to be released.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct RunnersRelease {
    /// One for each lease, in the order they were named. Empty when the command was refused: then nothing was released.
    pub released: Vec<ReleaseItem>,
}

impl CommandBody for RunnersRelease {
    type Schema = RunnersReleaseSchema;
    const COMMAND: &'static str = "runners release";
}

/// One lease and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReleaseItem {
    /// The lease.
    pub lease_id: LeaseId,
    /// Its provider's name; `null` when no provider has it and nothing is on record.
    pub provider: Option<String>,
    /// What became of it.
    pub outcome: ReleaseOutcome,
    /// Why it could not be confirmed; `null` otherwise.
    pub error: Option<String>,
}

/// What became of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseOutcome {
    /// Its runner was there, and is verified gone.
    Released,
    /// There was nothing any more.
    AlreadyGone,
    /// Something may still exist.
    Unconfirmed,
}
