//! [`Manifest`]: the parts of a `Cargo.toml` that say which programs there are.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::inputs::context::Root;

/// A `Cargo.toml`.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Manifest {
    /// Absent in a workspace without a root package.
    pub(super) package: Option<Package>,
    /// Present at the root of a workspace.
    pub(super) workspace: Option<Workspace>,
    /// Programs that are described one by one.
    #[serde(default)]
    pub(super) bin: Vec<Target>,
    /// The features and what each turns on.
    #[serde(default)]
    pub(super) features: BTreeMap<String, Vec<String>>,
}

/// `[package]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) default_run: Option<String>,
    pub(super) autobins: Option<bool>,
}

/// `[workspace]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Workspace {
    pub(super) members: Vec<String>,
    pub(super) exclude: Vec<String>,
    pub(super) default_members: Vec<String>,
}

/// `[[bin]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Target {
    pub(super) name: Option<String>,
    pub(super) path: Option<String>,
    #[serde(default)]
    pub(super) required_features: Vec<String>,
}

impl Manifest {
    /// Reads `directory/Cargo.toml`, `directory` being relative to the root; `None` when there is none.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] when it cannot be read or is no manifest.
    pub(super) fn read(root: &Root, directory: &Path) -> Result<Option<Self>> {
        let path = directory.join("Cargo.toml");
        let shown = path.display();
        let Some(bytes) = root.read(&path, "manifest")? else { return Ok(None) };
        let text = String::from_utf8(bytes)
            .map_err(|error| Error::usage(format!("`{shown}` is not UTF-8 text")).because(error))?;
        let manifest = toml::from_str(&text)
            .map_err(|error| Error::usage(format!("`{shown}` is no Cargo manifest")).because(error))?;
        Ok(Some(manifest))
    }

    /// The features that are on where none are named.
    pub(super) fn has_by_default(&self, feature: &str) -> bool {
        let mut reached = vec!["default"];
        let mut next = 0;
        while let Some(name) = reached.get(next).copied() {
            next += 1;
            for on in self.features.get(name).into_iter().flatten() {
                if !reached.contains(&on.as_str()) {
                    reached.push(on);
                }
            }
        }
        reached.contains(&feature)
    }
}
