//! [`AttemptRecord`]: one row of history.

use jiff::Timestamp;

use crate::ids::{Actor, RunId, Workspace};
use crate::record::Metrics;
use crate::report::envelope::{Cost, Outcome};

/// One attempt, as history keeps it. The run and the attempt's number name it: recording the same attempt again
/// replaces what was there.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptRecord {
    /// The run.
    pub run_id: RunId,
    /// What was built.
    pub workspace: Workspace,
    /// `linux/arm64`, say. History of one platform says nothing about another.
    pub platform: String,
    /// What sort of build it was: `dockerfile`, `cargo_chef`.
    pub build_kind: String,
    /// What kind of caller it was.
    pub actor: Actor,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// The tier's name.
    pub runner_type: String,
    /// CPUs that the attempt could really use: the tier's, or the machine's where that has fewer.
    pub cpu: f64,
    /// The tier's memory in GB (2^30).
    pub memory_gb: f64,
    /// How it ended.
    pub outcome: Outcome,
    /// What was used; `None` when nothing was measured **or every step came from a cache**, as then nothing was
    /// needed and the attempt says nothing about the next one that has to work.
    pub metrics: Option<Metrics>,
    /// What the runner cost; `None` where nothing is billed or the price was not known.
    pub cost: Option<Cost>,
    /// How long the attempt took, from the request for the lease to the end of the solve.
    pub seconds: f64,
    /// When it ended.
    pub at: Timestamp,
}

#[cfg(test)]
impl AttemptRecord {
    /// An attempt that succeeded, without metrics.
    pub(crate) fn example() -> Self {
        Self {
            run_id: RunId::new(),
            workspace: "demo".parse().unwrap(),
            platform: "linux/amd64".to_owned(),
            build_kind: "dockerfile".to_owned(),
            actor: Actor::Human,
            attempt: 1,
            runner_type: "cax21".to_owned(),
            cpu: 4.0,
            memory_gb: 8.0,
            outcome: Outcome::Succeeded,
            metrics: None,
            cost: None,
            seconds: 1.0,
            at: Timestamp::UNIX_EPOCH,
        }
    }
}
