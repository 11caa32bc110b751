//! [`NoBody`]: the result of `runners` where no command of the group was named.

use schemars::JsonSchema;
use serde::Serialize;

use crate::report::command_document::CommandBody;

/// Only what every command has: for arguments that name none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct NoBody {}

/// The format's name and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub enum RunnersSchema {
    /// Version 1.
    #[default]
    #[serde(rename = "lian-build/runners/v1")]
    V1,
}

impl CommandBody for NoBody {
    type Schema = RunnersSchema;
    const COMMAND: &'static str = "runners";
}
