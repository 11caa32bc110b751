//! [`Listed`]: a runner as its provider knows it, for lists and sweeps.

use jiff::Timestamp;

use crate::ids::LeaseId;
use crate::lease::{HolderState, Labels};
use crate::report::envelope::Cost;

/// What the provider says of a runner's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunnerStatus {
    /// It is being made.
    Starting,
    /// It runs.
    Running,
    /// It does not run any more, and is still there.
    Stopped,
    /// The provider does not say.
    Unknown,
}

/// A runner as its provider knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name at the provider: the lease id, when it is ours.
    pub name: String,
    /// The lease, when the name is one.
    pub lease_id: Option<LeaseId>,
    /// What it says of itself; the reason when it says it is ours and the rest cannot be read.
    pub labels: Result<Labels, String>,
    /// What the provider says of its state.
    pub status: RunnerStatus,
    /// Whether the process that leased it lives.
    pub holder: HolderState,
    /// The soft deadline where renewals cannot change labels; the later one counts.
    pub renewed_until: Option<Timestamp>,
    /// What it has cost so far, where anything is billed.
    pub cost: Option<Cost>,
}

/// Whether a runner lives, asked of its provider and not of the runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Liveness {
    /// It runs.
    Alive,
    /// It does not, with the provider's reason.
    Dead(String),
}
