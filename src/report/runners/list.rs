//! [`RunnersList`]: the runners there are.

use schemars::JsonSchema;
use serde::Serialize;

use crate::ids::{LeaseId, RunId, Workspace};
use crate::lease::{HolderState, OwnerId};
use crate::provider::RunnerStatus;
use crate::report::CommandBody;
use crate::report::envelope::Cost;

/// The format's name and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub enum RunnersListSchema {
    /// Version 1.
    #[default]
    #[serde(rename = "lian-build/runners-list/v1")]
    V1,
}

/// The runners there are, with what `gc` would do with each.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct RunnersList {
    /// Whose runners count as ours; `null` when that was not found out.
    pub owner: Option<OwnerInfo>,
    /// The runners, in the order of their leases.
    pub runners: Vec<RunnerInfo>,
    /// How many runners of other owners are not shown, because nothing is wrong with them.
    pub hidden: u64,
    /// Records of leases that cannot be read. They are never touched.
    pub unreadable: Vec<UnreadableRecord>,
}

impl CommandBody for RunnersList {
    type Schema = RunnersListSchema;
    const COMMAND: &'static str = "runners list";
}

/// Whose runners count as ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OwnerInfo {
    /// The id that stands in the runners' labels.
    pub id: OwnerId,
    /// How it was found: `--owner`, a variable, `from the git remote`.
    pub from: String,
}

/// One runner. Times are UTC, as in RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RunnerInfo {
    /// Its name at the provider: the lease id, when it is one of lian-build's.
    pub name: String,
    /// The lease; `null` when the name is none.
    pub lease_id: Option<LeaseId>,
    /// The provider's name.
    pub provider: String,
    /// Whose it is; `null` when nothing says so.
    pub owner: Option<OwnerId>,
    /// True when it is of our owner, on this user's record, or on a provider that shows this user's runners only.
    pub ours: bool,
    /// What is built.
    pub workspace: Option<Workspace>,
    /// The run that leased it.
    pub run_id: Option<RunId>,
    /// The tier's name.
    pub tier: Option<String>,
    /// 1 for the first attempt of the run.
    pub attempt: Option<u32>,
    /// When it was asked for.
    pub since: Option<String>,
    /// Until when it is held, unless renewed.
    pub until: Option<String>,
    /// When it must be gone whatever happens.
    pub hard_deadline: Option<String>,
    /// Until when it is kept after a failure; `null` when it is not.
    pub kept_until: Option<String>,
    /// Where the lease stands on this user's record: `ready`; `null` when it is not on record.
    pub state: Option<String>,
    /// What the provider says of it; `null` when the provider does not have it, or could not be asked.
    pub status: Option<RunnerStatus>,
    /// Whether the process that leased it lives.
    pub holder: HolderWord,
    /// Whether the process lives that releases it when the holder is gone; `null` when there is none on record.
    pub reaper: Option<HolderWord>,
    /// What it has cost so far; `null` where nothing is billed.
    pub cost: Option<Cost>,
    /// What `gc` would do with it.
    pub gc: GcAdvice,
}

/// Whether a process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HolderWord {
    /// It lives.
    Alive,
    /// It is proven dead.
    Dead,
    /// It ran on another machine or since another boot, or nothing names it.
    Unknown,
}

impl HolderWord {
    /// The word as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Dead => "dead",
            Self::Unknown => "unknown",
        }
    }
}

impl From<HolderState> for HolderWord {
    fn from(state: HolderState) -> Self {
        match state {
            HolderState::Alive => Self::Alive,
            HolderState::Dead => Self::Dead,
            HolderState::Unknown => Self::Unknown,
        }
    }
}

/// What `gc` would do with a runner, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GcAdvice {
    /// What.
    pub verdict: GcVerdict,
    /// Why, in words.
    pub reason: String,
}

/// What `gc` would do with a runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GcVerdict {
    /// Remove it.
    Remove,
    /// Leave it: somebody may need it.
    Keep,
    /// Leave it: it says it is one of lian-build's and cannot be proven to be.
    Suspicious,
}

/// A record of a lease that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct UnreadableRecord {
    /// The file.
    pub path: String,
    /// Why not.
    pub reason: String,
}
