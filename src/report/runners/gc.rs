//! [`RunnersGc`]: what was removed, what was left, and why.

use schemars::JsonSchema;
use serde::Serialize;

use super::{OwnerInfo, UnreadableRecord};
use crate::ids::LeaseId;
use crate::report::CommandBody;

/// The format's name and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub enum RunnersGcSchema {
    /// Version 1.
    #[default]
    #[serde(rename = "lian-build/runners-gc/v1")]
    V1,
}

/// What was removed, what was left, and why.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct RunnersGc {
    /// True when nothing was to be touched.
    pub dry_run: bool,
    /// Whose runners count as ours; `null` when that was not found out.
    pub owner: Option<OwnerInfo>,
    /// Every runner that was looked at, in the order of the leases.
    pub items: Vec<GcItem>,
    /// Records of leases that cannot be read. They are never touched.
    pub unreadable: Vec<UnreadableRecord>,
}

impl CommandBody for RunnersGc {
    type Schema = RunnersGcSchema;
    const COMMAND: &'static str = "runners gc";
}

/// One runner and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GcItem {
    /// Its name at the provider: the lease id, when it is one of lian-build's.
    pub name: String,
    /// The lease; `null` when the name is none.
    pub lease_id: Option<LeaseId>,
    /// The provider's name.
    pub provider: String,
    /// What became of it.
    pub action: GcAction,
    /// Why, in words.
    pub reason: String,
    /// Why its removal could not be confirmed; `null` otherwise.
    pub error: Option<String>,
}

/// What became of a runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GcAction {
    /// It was removed and is verified gone.
    Removed,
    /// It would be removed without `--dry-run`.
    WouldRemove,
    /// It had to go, and may still exist.
    Unconfirmed,
    /// It says it is one of lian-build's and cannot be proven to be: it was left.
    Suspicious,
    /// Somebody may need it: it was left.
    Left,
}
