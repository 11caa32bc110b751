//! [`CommandDocument`]: what commands that build nothing write to stdout, one format for each command.
//!
//! The head is that of [`crate::report::Envelope`]; a field without a value is present as `null`. Fields are only added
//! within a version.

use schemars::JsonSchema;
use serde::Serialize;

use crate::error::Error;
use crate::ids::{RunId, Workspace};
use crate::report::envelope::{ErrorInfo, Status};

/// What one command says besides the head.
pub trait CommandBody: Serialize + Default + PartialEq {
    /// The format's name and version.
    type Schema: Serialize + Default;
    /// The command.
    const COMMAND: &'static str;
}

/// The result of one command.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(bound = "B: JsonSchema, B::Schema: JsonSchema", title = B::COMMAND)]
pub struct CommandDocument<B: CommandBody> {
    /// The format's name and version.
    pub schema: B::Schema,
    /// The command: `runners list`.
    pub command: String,
    /// This invocation, a UUID v7.
    pub run_id: RunId,
    /// What the command was about; `null` where it was about no workspace.
    pub workspace: Option<Workspace>,
    /// How it ended.
    pub status: Status,
    /// The exit code of the process.
    pub exit_code: u8,
    /// The command's own part.
    #[serde(flatten)]
    pub body: B,
    /// What the user should know although it went on: a provider that could not be asked, say.
    pub warnings: Vec<String>,
    /// What went wrong; `null` for `succeeded`.
    pub error: Option<ErrorInfo>,
}

impl<B: CommandBody> CommandDocument<B> {
    /// A command that did all it was asked for.
    pub fn done(body: B, warnings: Vec<String>) -> Self {
        Self {
            schema: B::Schema::default(),
            command: B::COMMAND.to_owned(),
            run_id: RunId::new(),
            workspace: None,
            status: Status::Succeeded,
            exit_code: crate::exit::SUCCESS,
            body,
            warnings,
            error: None,
        }
    }

    /// The answer when nothing was done.
    pub fn refused(error: &Error) -> Self {
        Self::done(B::default(), Vec::new()).because(error)
    }

    /// The same, about this workspace.
    #[must_use]
    pub fn about(mut self, workspace: Workspace) -> Self {
        self.workspace = Some(workspace);
        self
    }

    /// The same, but `error` decides status and exit code.
    #[must_use]
    pub fn because(mut self, error: &Error) -> Self {
        self.exit_code = crate::exit::code(error.kind());
        self.status = Status::of_exit_code(self.exit_code);
        self.error = Some(ErrorInfo::from(error));
        self
    }
}
