//! [`Project`]: what a directory holds, as far as `init` needs to know.

use std::path::Path;

use super::image_name;
use super::prepare::DIRECTIVES;
use super::rust::RustProject;
use crate::env_vars::Environment;
use crate::error::Result;
use crate::ids::Workspace;
use crate::inputs::context::Root;
use crate::inputs::git::Git;
use crate::inputs::language::{self, Detected};
use crate::inputs::workspace;
use crate::report::init::ProjectKind;

/// Where a Dockerfile is looked for after the places where `build` finds it by itself.
const OTHER_DOCKERFILES: &[&str] = &["Containerfile", "docker/Dockerfile", "build/Dockerfile", ".docker/Dockerfile"];

/// What a directory holds.
#[derive(Debug)]
pub(super) struct Project {
    /// Its kind.
    pub(super) kind: ProjectKind,
    /// Its language, and the files that say so.
    pub(super) detected: Detected,
    /// Its name, and where that is from.
    pub(super) workspace: (Workspace, String),
    /// The address of the git remote.
    pub(super) remote: Option<String>,
    /// Where it is in its git repository, without a slash at the end; empty at the root, and without git.
    pub(super) prefix: String,
    /// The Dockerfile that is there.
    pub(super) dockerfile: Option<Dockerfile>,
    /// True when directives are there, of which nothing is known.
    pub(super) has_directives: bool,
    /// What a Rust project makes.
    pub(super) rust: Option<RustProject>,
}

/// A Dockerfile that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dockerfile {
    /// Relative to the project's directory.
    pub(super) path: &'static str,
    /// True when `build` looks there by itself.
    pub(super) is_usual: bool,
}

impl Project {
    /// Looks at the project at `root`, which is called `workspace` or by its own name.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] when a file that counts cannot be read, or the directory's name is no name.
    pub(super) async fn find(root: &Root, workspace: Option<Workspace>, environment: &Environment) -> Result<Self> {
        let detected = language::detect_by(|name| is_file(root, name));
        let workspace = match workspace {
            Some(said) => (said, "--workspace".to_owned()),
            None => workspace::default_name(environment, root.path()).await?,
        };
        let (mut remote, mut prefix) = (None, String::new());
        if let Some(git) = Git::find(environment, root.path()) {
            remote = git.remote_url().await;
            prefix = git.prefix().await.unwrap_or_default();
        }
        let rust = match detected.language.as_str() {
            "rust" => RustProject::find(root, workspace.0.as_str())?,
            _ => None,
        };
        let kind = kind(root, &detected, rust.as_ref());
        let dockerfile = dockerfile(root)?;
        let has_directives = root.path().join(DIRECTIVES).symlink_metadata().is_ok();
        Ok(Self { kind, detected, workspace, remote, prefix, dockerfile, has_directives, rust })
    }

    /// The image's name without a tag, where the remote suggests one.
    pub(super) fn image(&self) -> Option<String> {
        self.remote.as_deref().and_then(image_name::of_remote)
    }

    /// The kind in words.
    pub(super) fn description(&self) -> String {
        let programs = self.rust.as_ref().map_or(0, |rust| rust.binaries.len());
        let programs = if programs == 1 { "1 program".to_owned() } else { format!("{programs} programs") };
        match self.kind {
            ProjectKind::RustWorkspace => format!("a Rust workspace with {programs}"),
            ProjectKind::RustPackage => format!("a Rust package with {programs}"),
            ProjectKind::RustLibrary => "a Rust library".to_owned(),
            ProjectKind::Go => "a Go module".to_owned(),
            ProjectKind::Node => "a Node package".to_owned(),
            ProjectKind::Maven => "a Maven project".to_owned(),
            ProjectKind::Gradle => "a Gradle project".to_owned(),
            ProjectKind::Other if self.detected.language == "other" => "a project of no known language".to_owned(),
            ProjectKind::Other => format!("a project in {}", self.detected.language),
        }
    }
}

fn kind(root: &Root, detected: &Detected, rust: Option<&RustProject>) -> ProjectKind {
    match (detected.language.as_str(), rust) {
        ("rust", Some(rust)) if rust.binaries.is_empty() => ProjectKind::RustLibrary,
        ("rust", Some(rust)) if rust.is_workspace => ProjectKind::RustWorkspace,
        ("rust", Some(_)) => ProjectKind::RustPackage,
        ("go", _) => ProjectKind::Go,
        ("node", _) => ProjectKind::Node,
        ("java" | "kotlin" | "scala", _) if is_file(root, "pom.xml") => ProjectKind::Maven,
        ("java" | "kotlin", _)
            if ["build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts"]
                .iter()
                .any(|name| is_file(root, name)) =>
        {
            ProjectKind::Gradle
        }
        _ => ProjectKind::Other,
    }
}

fn is_file(root: &Root, name: &str) -> bool {
    root.path().join(name).is_file()
}

/// The first Dockerfile that is there.
fn dockerfile(root: &Root) -> Result<Option<Dockerfile>> {
    for path in ["Dockerfile", "dockerfile"] {
        if root.resolve(Path::new(path), "Dockerfile")?.is_some() {
            return Ok(Some(Dockerfile { path, is_usual: true }));
        }
    }
    for &path in OTHER_DOCKERFILES {
        if is_file(root, path) {
            return Ok(Some(Dockerfile { path, is_usual: false }));
        }
    }
    Ok(None)
}
