//! [`Init`]: what `init` found, chose and wrote.

use schemars::JsonSchema;
use serde::Serialize;

use crate::report::CommandBody;

/// The format's name and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub enum InitSchema {
    /// Version 1.
    #[default]
    #[serde(rename = "lian-build/init/v1")]
    V1,
}

/// What was found, chosen and written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Init {
    /// True when nothing was to be written.
    pub dry_run: bool,
    /// The project's directory, as it was named.
    pub directory: String,
    /// What the project is; `null` when that was not found out.
    pub project: Option<ProjectInfo>,
    /// What was chosen, and why.
    pub choices: Vec<InitChoice>,
    /// The files, in the order in which they are written.
    pub files: Vec<InitFile>,
    /// What the project needs and `init` cannot write.
    pub missing: Vec<String>,
    /// What to do next, in this order: commands, and in words what no command does.
    pub next: Vec<String>,
}

impl CommandBody for Init {
    type Schema = InitSchema;
    const COMMAND: &'static str = "init";
}

/// What a project is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ProjectInfo {
    /// Its kind.
    pub kind: ProjectKind,
    /// The kind in words.
    pub description: String,
    /// The language that its default size comes from.
    pub language: String,
    /// The files that say so.
    pub evidence: String,
    /// The programs that it makes, where that is known.
    pub binaries: Vec<String>,
}

/// The kinds of project that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProjectKind {
    /// A Cargo workspace.
    RustWorkspace,
    /// One Rust package with a program.
    RustPackage,
    /// Rust without any program.
    RustLibrary,
    /// A Go module or workspace.
    Go,
    /// A Node package.
    Node,
    /// Java, Kotlin or Scala with Maven.
    Maven,
    /// Java, Kotlin or Scala with Gradle.
    Gradle,
    /// Anything else.
    Other,
}

/// Something that was chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct InitChoice {
    /// What it is: `workspace`, `image`.
    pub name: String,
    /// The value; `null` where none was chosen.
    pub value: Option<String>,
    /// Why.
    pub reason: String,
}

/// A file that the project needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct InitFile {
    /// Relative to the project's directory.
    pub path: String,
    /// What became of it.
    pub action: InitAction,
    /// What would be written, with `--dry-run`; `null` otherwise.
    pub text: Option<String>,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InitAction {
    /// It was not there, and is now.
    Written,
    /// It would be written without `--dry-run`.
    WouldWrite,
    /// It was there already, and stays as it is.
    Left,
}
