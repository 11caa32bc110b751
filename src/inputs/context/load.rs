//! The way from a directory's name to everything that is known of the context.

use std::path::Path;

use super::contents::Context;
use super::dockerfile::DockerfileSource;
use super::dockerignore::IgnoreFile;
use super::root::Root;
use crate::error::Result;

/// The main context and its Dockerfile.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What is sent.
    pub context: Context,
    /// The Dockerfile; `None` when none was named and none is there.
    pub dockerfile: Option<DockerfileSource>,
}

/// Loads the main context: `<Dockerfile>.dockerignore` beside the Dockerfile wins over `.dockerignore` at the root.
///
/// # Errors
/// [`crate::error::ErrorKind::Usage`] for every input that cannot be used; the message names the path.
pub fn load(directory: &Path, file: Option<&Path>) -> Result<Loaded> {
    let root = Root::open(directory)?;
    let dockerfile = DockerfileSource::find(&root, file)?;
    let ignore = IgnoreFile::find(&root, dockerfile.as_ref())?;
    Ok(Loaded { context: Context::walk(root, ignore)?, dockerfile })
}

/// Loads an extra context (`--build-context name=DIRECTORY`); its own `.dockerignore` counts, as in BuildKit.
///
/// # Errors
/// As [`load`].
pub fn load_named(directory: &Path) -> Result<Context> {
    let root = Root::open(directory)?;
    let ignore = IgnoreFile::find(&root, None)?;
    Context::walk(root, ignore)
}
