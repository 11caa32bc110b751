//! [`Export`]: one result of the build, and what happens to it.

use crate::inputs::output::{OutputKind, OutputSpec};
use crate::registry::Reference;

/// Why a result is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// `--output`, or a named image that is pushed.
    Asked,
    /// Nothing was asked for: the image is kept as a file on this machine, and the result says where.
    Kept,
    /// `--load`: the file goes into the local Docker.
    DockerLoad,
    /// `--push=false`: built under its name, and gone with the runner.
    Discarded,
}

/// One result of the build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// What BuildKit is asked for.
    pub spec: OutputSpec,
    /// Why.
    pub purpose: Purpose,
}

impl Export {
    /// A push of `references` in one go.
    pub fn push(references: &[Reference]) -> Self {
        let attrs = vec![("name".to_owned(), join(references)), ("push".to_owned(), "true".to_owned())];
        Self { spec: OutputSpec { kind: OutputKind::Image, dest: None, attrs }, purpose: Purpose::Asked }
    }

    /// An image that goes nowhere.
    pub fn discarded(references: &[Reference]) -> Self {
        let attrs = if references.is_empty() { Vec::new() } else { vec![("name".to_owned(), join(references))] };
        Self { spec: OutputSpec { kind: OutputKind::Image, dest: None, attrs }, purpose: Purpose::Discarded }
    }

    /// An archive in Docker's format (an OCI layout too) at `dest`.
    pub fn archive(names: &str, dest: std::path::PathBuf, purpose: Purpose) -> Self {
        let attrs = vec![("name".to_owned(), names.to_owned())];
        Self { spec: OutputSpec { kind: OutputKind::Docker, dest: Some(dest), attrs }, purpose }
    }

    /// The image that nobody asked for, as a file at `dest`: for Docker, or as an OCI layout when it comes with attestations,
    /// which Docker's format has no place for.
    pub fn kept(names: &str, dest: std::path::PathBuf, is_attested: bool) -> Self {
        let mut export = Self::archive(names, dest, Purpose::Kept);
        if is_attested {
            export.spec.kind = OutputKind::Oci;
        }
        export
    }

    /// True when the runner pushes it.
    pub fn is_push(&self) -> bool {
        self.spec.kind == OutputKind::Image && self.purpose == Purpose::Asked
    }

    /// The names it is pushed under; empty for anything that is not pushed.
    pub fn pushed_references(&self) -> Vec<Reference> {
        // The names were checked when the export was made.
        if self.is_push() { self.spec.references().unwrap_or_default() } else { Vec::new() }
    }
}

/// The names were parsed, so none of them holds a comma.
fn join(references: &[Reference]) -> String {
    references.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
