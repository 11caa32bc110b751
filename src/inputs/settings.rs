//! [`Settings`]: every Nickel document that sizing needs, read in one go.

use std::path::Path;

use crate::error::Result;
use crate::inputs::spec::BuildSpec;
use crate::plan::{Languages, Tiers};

/// The tiers, the defaults per language and the project's own spec.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The ladder: built in, or the file that the user named.
    pub tiers: Tiers,
    /// Sizes for projects without history.
    pub languages: Languages,
    /// The project's `.build-spec.ncl`; `None` when there is no such file.
    pub spec: Option<BuildSpec>,
}

/// Reads `.build-spec.ncl` of the context at `root` and the tiers (`tiers_file`, or the built-in ladder). One guarded
/// child evaluates everything.
///
/// # Errors
/// [`crate::error::ErrorKind::Spec`] when a file is not valid, cannot be read, or needs too much to evaluate.
pub async fn load(root: &Path, tiers_file: Option<&Path>) -> Result<Settings> {
    let _ = (root, tiers_file);
    Err(crate::error::Error::new(crate::error::ErrorKind::Spec, "not there yet"))
}
