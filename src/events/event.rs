//! [`Event`]: what can happen to a build.

/// What happened to a build. A refusal before a lease is none of these: it sends nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The first lease stands, and the work begins.
    Started,
    /// An attempt ended without a result and another one follows.
    Retrying {
        /// The number of the attempt that ended.
        attempt: u32,
    },
    /// Built, and the runner is gone.
    Completed,
    /// Failed, cancelled or out of time, and the runner is gone.
    Failed,
    /// Nothing had to be built.
    UpToDate,
}

impl Event {
    /// The last token of the subject, and the word in the type.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Retrying { .. } => "retrying",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::UpToDate => "up_to_date",
        }
    }

    /// What tells this event from the run's others: its word, and for a retry which one it is.
    pub fn discriminator(self) -> String {
        match self {
            Self::Retrying { attempt } => format!("retrying.{attempt}"),
            other => other.as_str().to_owned(),
        }
    }
}
