//! [`PlanDocument`]: a plan as it stands on stdout, `lian-build/plan/v1`.
//!
//! Its head is that of [`super::Envelope`]; a field without a value is present as `null`. Fields are only added within
//! v1. Every path is text, so that any plan can be written.

use schemars::JsonSchema;
use serde::Serialize;

use super::envelope::{ErrorInfo, SizingInfo, Status};
use crate::error::Error;
use crate::ids::{RunId, Workspace};
use crate::inputs::origin::Origin;
use crate::plan::Reach;
use crate::plan::against::Against;
use crate::plan::policy::PolicyVerdict;

/// What stands where only the network could tell.
pub const UNKNOWN_OFFLINE: &str = "unknown (offline)";

/// The format's name and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub enum PlanSchemaName {
    /// Version 1.
    #[serde(rename = "lian-build/plan/v1")]
    PlanV1,
}

/// A plan as it is printed.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PlanDocument {
    /// The format's name and version.
    pub schema: PlanSchemaName,
    /// The command: `plan`.
    pub command: String,
    /// This invocation, a UUID v7; a build that follows has one of its own.
    pub run_id: RunId,
    /// What would be built; `null` when the plan was refused before that was known.
    pub workspace: Option<Workspace>,
    /// `succeeded` when the build can be attempted; else what the build's own status would be.
    pub status: Status,
    /// The exit code of the process.
    pub exit_code: u8,
    /// The plan; `null` when there is none.
    pub plan: Option<PlanBody>,
    /// What is reached newly, where the plan was compared with an earlier one (`--against`); else `null`.
    pub against: Option<Against>,
    /// What the user should know although the build can be attempted.
    pub warnings: Vec<String>,
    /// Why there is no plan, or why it cannot be carried out here; `null` for `succeeded`.
    pub error: Option<ErrorInfo>,
}

/// The plan itself.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PlanBody {
    /// What is built from: `dockerfile`.
    pub build_kind: String,
    /// The Dockerfile.
    pub dockerfile: String,
    /// `linux/arm64`, say.
    pub platform: String,
    /// Who leases the runner.
    pub provider: String,
    /// The size and its reason.
    pub sizing: SizingInfo,
    /// What it costs, in words.
    pub price: String,
    /// How much is sent.
    pub context: PlannedContext,
    /// What is read from and written to caches.
    pub cache: PlannedCache,
    /// What is known to need no work, in words. Nothing in this version: BuildKit finds out what it has.
    pub skipped: Vec<String>,
    /// The command on the runner, with `<…>` for the lease's directories.
    pub argv: Vec<String>,
    /// What the build can reach.
    pub reach: Reach,
    /// What the operator's policy did, rule by rule.
    pub policy: PolicyVerdict,
    /// Whether the registries that are pushed to or pulled from let us in.
    pub logins: Vec<PlannedLogin>,
    /// Where values came from: with `--explain` every one, otherwise those that several sources could have set.
    pub origins: Vec<Origin>,
    /// How the values came about, where that is not obvious.
    pub notes: Vec<String>,
}

/// How much is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PlannedContext {
    /// Files.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Entries that an ignore file left out.
    pub ignored: u64,
}

/// What is read from and written to caches.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct PlannedCache {
    /// Remote references that are read.
    pub imported: Vec<String>,
    /// Remote references that are written.
    pub exported: Vec<String>,
    /// Namespaces of shared caches that may be read. No remote cache is used in this version.
    pub reads: Vec<String>,
    /// Namespaces of shared caches that may be written.
    pub writes: Vec<String>,
    /// The most that is kept on the runner's machine for the next build of this workspace and actor, in bytes; 0 when
    /// nothing is kept.
    pub kept_bytes: u64,
}

/// Whether a registry lets us in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PlannedLogin {
    /// The registry's host.
    pub registry: String,
    /// What is known: a plan does not ask, so `unknown (offline)`.
    pub state: String,
}

impl PlanDocument {
    /// A plan that can be attempted.
    pub fn planned(run_id: RunId, workspace: Workspace, plan: PlanBody, warnings: Vec<String>) -> Self {
        Self {
            workspace: Some(workspace),
            status: Status::Succeeded,
            exit_code: crate::exit::SUCCESS,
            plan: Some(plan),
            warnings,
            error: None,
            ..Self::empty(run_id)
        }
    }

    /// The answer when there is no plan.
    pub fn refused(run_id: RunId, error: &Error) -> Self {
        Self::empty(run_id).because(error)
    }

    /// The same plan, but it cannot be carried out here: `error` decides status and exit code.
    #[must_use]
    pub fn because(mut self, error: &Error) -> Self {
        self.exit_code = crate::exit::code(error.kind());
        self.status = Status::of_exit_code(self.exit_code);
        self.error = Some(ErrorInfo::from(error));
        self
    }

    /// The same plan, compared with an earlier one. What it reaches newly is refused, and nothing else is: whoever compares
    /// asks about reach. Why it cannot be carried out here is told beside the answer.
    #[must_use]
    pub fn compared(mut self, against: Against) -> Self {
        let refusal = against.refusal();
        self.against = Some(against);
        if let Some(error) = self.error.take() {
            self.warnings.push(format!("it cannot be built here: {}", error.message));
            self.exit_code = crate::exit::SUCCESS;
            self.status = Status::of_exit_code(self.exit_code);
        }
        match refusal {
            Some(error) => self.because(&error),
            None => self,
        }
    }

    fn empty(run_id: RunId) -> Self {
        Self {
            schema: PlanSchemaName::PlanV1,
            command: "plan".to_owned(),
            run_id,
            workspace: None,
            status: Status::Failed,
            exit_code: crate::exit::INFRASTRUCTURE,
            plan: None,
            against: None,
            warnings: Vec::new(),
            error: None,
        }
    }
}
