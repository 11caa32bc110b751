//! [`Judgement`]: the verdict over one attempt, with what speaks for it.

use serde::{Deserialize, Serialize};

/// Was it memory?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The build failed and the kernel says that it killed one of its processes for memory.
    Proven,
    /// The build stood still for minutes under memory pressure on a runner of its own.
    Stalled,
    /// A step was ended by SIGKILL, and the kernel could not be asked.
    Suspected,
    /// Anything else. Never retried for memory.
    NotMemory,
}

impl Verdict {
    /// True for the three that are worth one retry on a larger machine.
    pub const fn is_memory(self) -> bool {
        !matches!(self, Self::NotMemory)
    }

    /// The word that stands in the envelope.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Stalled => "stalled",
            Self::Suspected => "suspected",
            Self::NotMemory => "not_memory",
        }
    }
}

/// The verdict over one attempt. All texts are safe to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Was it memory?
    pub verdict: Verdict,
    /// The Dockerfile step that failed.
    pub step: Option<String>,
    /// Name of the process that the kernel killed, `rustc` say.
    pub victim: Option<String>,
    /// What speaks for the verdict, a sentence each.
    pub evidence: Vec<String>,
    /// Highest use of memory in the build's cgroup, in bytes; page cache counts in it.
    pub peak_bytes: Option<u64>,
    /// The limit of the build's cgroup, in bytes.
    pub limit_bytes: Option<u64>,
    /// Set when a process was killed for memory and the build succeeded all the same.
    pub warning: Option<String>,
    /// True when the runner's disk is, or was, full, which explains many failures and is not memory.
    pub disk_full: bool,
}
