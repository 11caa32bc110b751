//! [`prepare`]: what a project needs, chosen and worded, before anything is written.

use std::path::Path;

use super::dockerfile;
use super::project::{Dockerfile, Project};
use super::rust::RustProject;
use super::text::{self, Directives};
use crate::env_vars::Environment;
use crate::error::{Error, Result};
use crate::ids::Workspace;
use crate::inputs::context::Root;
use crate::inputs::spec;
use crate::report::init::{InitChoice, ProjectInfo};

/// Where the directives are, from the project's directory.
pub(super) const DIRECTIVES: &str = "ci/directives.ncl";

/// What a project needs.
#[derive(Debug)]
pub struct Prepared {
    /// What the project is.
    pub project: ProjectInfo,
    /// Its name.
    pub workspace: Workspace,
    /// The files, in the order in which they are to be written.
    pub files: Vec<Wanted>,
    /// What was chosen, and why.
    pub choices: Vec<InitChoice>,
    /// What has to come from somebody else.
    pub missing: Vec<String>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// What to do next.
    pub next: Vec<String>,
}

/// A file that the project needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Relative to the project's directory.
    pub path: &'static str,
    /// Its text, if it is to be written.
    pub text: String,
}

/// Looks at the project in `directory`, which is called `workspace` or by its own name, and says what it needs. Reads only.
///
/// # Errors
/// [`crate::error::ErrorKind::Usage`] when `directory` is none, or a file in it that counts cannot be read.
pub async fn prepare(directory: &Path, workspace: Option<Workspace>, environment: &Environment) -> Result<Prepared> {
    if !directory.is_dir() {
        let what = if directory.symlink_metadata().is_ok() { "is no directory" } else { "does not exist" };
        return Err(Error::usage(format!("`{}` {what}", directory.display()))
            .hint("name the project's directory: `lian-build init DIR`"));
    }
    let root = Root::open(directory)?;
    let project = Project::find(&root, workspace, environment).await?;
    let mut prepared = Prepared {
        project: ProjectInfo {
            kind: project.kind,
            description: project.description(),
            language: project.detected.language.clone(),
            evidence: project.detected.evidence.clone(),
            binaries: project.rust.iter().flat_map(|rust| &rust.binaries).map(|binary| binary.name.clone()).collect(),
        },
        workspace: project.workspace.0.clone(),
        files: Vec::new(),
        choices: Vec::new(),
        missing: Vec::new(),
        warnings: Vec::new(),
        next: Vec::new(),
    };
    prepared.choose("workspace", project.workspace.0.as_str(), &project.workspace.1);
    prepared.add(spec::FILE_NAME, text::SPEC.to_owned());
    let stages = prepared.dockerfile(&project);
    prepared.directives(&project, &stages);
    prepared.next(directory, &project);
    Ok(prepared)
}

impl Prepared {
    fn add(&mut self, path: &'static str, text: String) {
        self.files.push(Wanted { path, text });
    }

    fn choose(&mut self, name: &str, value: &str, reason: &str) {
        let value = Some(value.to_owned());
        self.choices.push(InitChoice { name: name.to_owned(), value, reason: reason.to_owned() });
    }

    /// The Dockerfile, where it can be written. Yields the stages of it that are not built where none is named.
    fn dockerfile(&mut self, project: &Project) -> Vec<String> {
        match (&project.dockerfile, &project.rust) {
            (Some(Dockerfile { path, .. }), _) => {
                self.choose("dockerfile", path, "it is there already");
                Vec::new()
            }
            (None, Some(rust)) => self.rust_dockerfile(rust),
            (None, None) => {
                self.missing.push("a `Dockerfile`: one can be written for Rust only".to_owned());
                Vec::new()
            }
        }
    }

    fn rust_dockerfile(&mut self, rust: &RustProject) -> Vec<String> {
        self.warnings.extend(rust.notes.iter().cloned());
        let (Some(text), Some(default)) = (dockerfile::of_rust(rust), &rust.default) else {
            self.missing.push("a program: a library alone makes no image".to_owned());
            return Vec::new();
        };
        self.choose("base image", &rust.image.name, &rust.image.reason);
        self.choose("program", &default.name, &default.reason);
        for need in &rust.native.because {
            let reason = format!("`{}` in `Cargo.lock` is built with them", need.name);
            self.choose("packages", &need.packages.join(", "), &reason);
        }
        if !rust.is_locked {
            self.warnings
                .push("there is no `Cargo.lock`: each build takes the newest dependencies; commit one".to_owned());
        }
        // The Dockerfile comes after it: a first build may start while this is still at work.
        self.add(".dockerignore", dockerfile::DOCKERIGNORE.to_owned());
        self.add("Dockerfile", text);
        let others = rust.binaries.iter().filter(|binary| binary.name != default.name);
        others.map(|binary| dockerfile::stage(&binary.name)).collect()
    }

    fn directives(&mut self, project: &Project, stages: &[String]) {
        let image = project.image();
        match &image {
            _ if project.has_directives => self.choices.push(InitChoice {
                name: "image".to_owned(),
                value: None,
                reason: format!("`{DIRECTIVES}` is there already, and says it"),
            }),
            Some(image) => self.choose("image", &format!("{image}:${{sha}}"), "the registry beside the git remote"),
            None => self.choices.push(InitChoice {
                name: "image".to_owned(),
                value: None,
                reason: format!("no registry is known: nothing is pushed until `{DIRECTIVES}` names an image"),
            }),
        }
        let directives = Directives {
            workspace: &project.workspace.0,
            image: image.as_deref(),
            context: &project.prefix,
            dockerfile: project.dockerfile.filter(|file| !file.is_usual).map(|file| file.path),
            stages,
        };
        self.add(DIRECTIVES, directives.text());
    }

    fn next(&mut self, directory: &Path, project: &Project) {
        if directory != Path::new(".") {
            // Outside of a git repository paths count from the current directory.
            let shown = directory.display().to_string();
            let quoted = shlex::try_quote(&shown).map_or_else(|_| shown.clone(), std::borrow::Cow::into_owned);
            self.next.push(format!("cd {quoted}"));
        }
        if !self.missing.is_empty() {
            self.next.push("write what is missing".to_owned());
        }
        if project.image().is_some() && !project.has_directives {
            self.next.push("commit these files: `${sha}` names a commit".to_owned());
        }
        self.next.push("lian-build check".to_owned());
        self.next.push(format!("lian-build plan --directives {DIRECTIVES}"));
        self.next.push(format!("lian-build build --directives {DIRECTIVES} --push=false"));
    }
}
