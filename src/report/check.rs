//! [`Check`]: what `check` says of every file.

use schemars::JsonSchema;
use serde::Serialize;

use crate::check::Kind;
use crate::inputs::nickel::Diagnostic;
use crate::report::CommandBody;

/// The format's name and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub enum CheckSchema {
    /// Version 1.
    #[default]
    #[serde(rename = "lian-build/check/v1")]
    V1,
}

/// What became of the files.
#[derive(Debug, Clone, PartialEq, Default, Serialize, JsonSchema)]
pub struct Check {
    /// The files, in the order in which they were named.
    pub files: Vec<CheckFile>,
}

impl CommandBody for Check {
    type Schema = CheckSchema;
    const COMMAND: &'static str = "check";
}

/// One file.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct CheckFile {
    /// The file, as it was named.
    pub file: String,
    /// What it is meant to say.
    pub kind: Kind,
    /// Whether it can be used.
    pub valid: bool,
    /// All that is wrong, in the order of the source.
    pub diagnostics: Vec<Diagnostic>,
    /// What its author should know besides.
    pub warnings: Vec<String>,
}
