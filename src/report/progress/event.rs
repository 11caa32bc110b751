//! [`Event`]: what a run says of itself, beside the build's own messages.

/// How much a message matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Good to know.
    Info,
    /// Something the user should look at.
    Warning,
    /// Something failed.
    Error,
}

/// What a run says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A stage of the flow begins: `lease`, `sync`, `build`, `release`. Ends a wait.
    Stage(String),
    /// Nothing moves; the text says why: `waiting for 3 GB of the memory budget, held by 2 other builds`. The time counts
    /// from the first event with the same text; another text starts it again.
    Waiting(String),
    /// The wait is over.
    Ready,
    /// The context is on its way.
    Transfer {
        /// Bytes sent so far.
        bytes: u64,
        /// Bytes in all, where known.
        total: Option<u64>,
        /// Files sent so far.
        files: u64,
    },
    /// An attempt begins.
    Attempt {
        /// Its number, from 1.
        number: u32,
        /// The tier it runs on.
        tier: String,
    },
    /// Something to read; may have several lines.
    Message {
        /// How much it matters.
        level: Level,
        /// The text; made safe where it is shown.
        text: String,
    },
}

/// How the run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// True when it is a success.
    pub success: bool,
    /// One line that says how it ended: `built in 12.3s`. The views add steps and time themselves.
    pub headline: String,
    /// What is shown of a failure ([`crate::report::failure::render_failure`]): printed as it is, so already safe.
    pub failure: Option<String>,
}
