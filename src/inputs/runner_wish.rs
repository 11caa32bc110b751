//! [`RunnerWish`]: what was asked of the runner before the project's spec and history count.

use super::resolve::Said;

/// What was asked of the runner, each with the one who asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunnerWish {
    /// How large it is to be.
    pub size: Option<Said<RunnerSize>>,
    /// The CPUs in it, where they are said.
    pub cpu: Option<Said<f64>>,
    /// The memory in it in GB (2^30), where it is said.
    pub memory_gb: Option<Said<f64>>,
    /// Disk in GB (2^30).
    pub disk_gb: Option<Said<f64>>,
    /// Minutes that one attempt may take.
    pub time_budget_min: Option<Said<f64>>,
    /// Whether a build that ran out of memory is tried once more.
    pub oom_retry: Option<Said<bool>>,
}

/// A size that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum RunnerSize {
    /// A tier by name. What stands beside it has to fit in it.
    Tier {
        /// The name.
        name: String,
        /// CPUs beside it.
        cpu: Option<f64>,
        /// Memory beside it, in GB (2^30).
        memory_gb: Option<f64>,
    },
    /// The smallest tier that holds this.
    Raw {
        /// CPUs.
        cpu: f64,
        /// Memory in GB (2^30).
        memory_gb: f64,
    },
}

impl RunnerSize {
    /// A tier by name alone.
    pub fn tier(name: impl Into<String>) -> Self {
        Self::Tier { name: name.into(), cpu: None, memory_gb: None }
    }

    /// The size that a document asks for; `None` when it asks for none. A document that keeps its contract has `cpu` and
    /// `memory_gb` together, or a tier.
    pub fn of(runner_type: Option<&String>, cpu: Option<f64>, memory_gb: Option<f64>) -> Option<Self> {
        match (runner_type, cpu, memory_gb) {
            (Some(name), cpu, memory_gb) => Some(Self::Tier { name: name.clone(), cpu, memory_gb }),
            (None, Some(cpu), Some(memory_gb)) => Some(Self::Raw { cpu, memory_gb }),
            _ => None,
        }
    }
}

impl std::fmt::Display for RunnerSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tier { name, .. } => f.write_str(name),
            Self::Raw { cpu, memory_gb } => write!(f, "{cpu} cpu and {memory_gb} GB"),
        }
    }
}
