//! [`SchemaExport`]: what `schema export` wrote.

use schemars::JsonSchema;
use serde::Serialize;

use crate::report::CommandBody;

/// The format's name and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub enum SchemaExportSchema {
    /// Version 1.
    #[default]
    #[serde(rename = "lian-build/schema-export/v1")]
    V1,
}

/// What was written, and how an editor finds it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct SchemaExport {
    /// The directory, absolute.
    pub directory: String,
    /// The files, sorted.
    pub files: Vec<ExportedFile>,
    /// What to set so that Nickel, in an editor or elsewhere, finds the files that documents import: variables and their
    /// values.
    pub environment: std::collections::BTreeMap<String, String>,
}

impl CommandBody for SchemaExport {
    type Schema = SchemaExportSchema;
    const COMMAND: &'static str = "schema export";
}

/// A file that was exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ExportedFile {
    /// Relative to the directory.
    pub path: String,
    /// What became of it.
    pub action: ExportAction,
}

/// What became of an exported file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExportAction {
    /// It was not there, and is now.
    Written,
    /// An earlier export's was replaced.
    Replaced,
    /// It was there with the same text.
    Unchanged,
}
