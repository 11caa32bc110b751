//! [`RustProject`]: everything that the Dockerfile of a Rust project has to know.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::base_image::BaseImage;
use super::binaries::{self, Binary};
use super::cargo_config::CargoConfig;
use super::manifest::Manifest;
use super::members;
use super::native::NativePackages;
use crate::error::{Error, Result};
use crate::inputs::context::Root;

/// A Rust project, from its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RustProject {
    /// True for a workspace, false for a single package.
    pub is_workspace: bool,
    /// Its programs, by name. Empty for a library.
    pub binaries: Vec<Binary>,
    /// The program whose image is built where no stage is named; `None` without programs.
    pub default: Option<DefaultBinary>,
    /// What it is built in.
    pub image: BaseImage,
    /// Where its programs end up.
    pub config: CargoConfig,
    /// True when there is a `Cargo.lock`.
    pub is_locked: bool,
    /// What its crates need of Debian.
    pub native: NativePackages,
    /// What was left out and why, in words.
    pub notes: Vec<String>,
}

/// The program that counts where none is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultBinary {
    /// Its name.
    pub name: String,
    /// Why it is this one.
    pub reason: String,
}

/// `Cargo.lock`.
#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
}

impl RustProject {
    /// Looks at the project at `root`, whose name is `project`; `None` when there is no `Cargo.toml`.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] when a manifest, the lock file or the toolchain file cannot be read.
    pub fn find(root: &Root, project: &str) -> Result<Option<Self>> {
        let Some(manifest) = Manifest::read(root, Path::new(""))? else { return Ok(None) };
        let mut notes = Vec::new();
        let mut binaries = Vec::new();
        for (directory, manifest) in packages(root, &manifest, &mut notes)? {
            let found = binaries::of_package(root, &directory, &manifest);
            notes.extend(found.skipped.into_iter().map(|why| format!("left out: {why}")));
            for binary in found.binaries {
                if binaries.iter().any(|known: &Binary| known.name.eq_ignore_ascii_case(&binary.name)) {
                    notes.push(format!("left out: `{}` of `{}` has another's name", binary.name, binary.package));
                } else {
                    binaries.push(binary);
                }
            }
        }
        // A helper of the developers' is no part of what is delivered.
        if binaries.len() > 1 {
            binaries.retain(|binary| binary.name != "xtask");
        }
        binaries.sort_by(|one, other| one.name.cmp(&other.name));
        let lock = lock(root)?;
        Ok(Some(Self {
            is_workspace: manifest.workspace.is_some(),
            default: default_binary(&manifest, &binaries, project),
            binaries,
            image: BaseImage::of(root)?,
            config: CargoConfig::of(root)?,
            is_locked: lock.is_some(),
            native: NativePackages::of(&lock.unwrap_or_default()),
            notes,
        }))
    }
}

/// The packages whose programs count, with their directories: the root's, and a workspace's `default-members`, or all of
/// its members where it names none of them.
fn packages(root: &Root, manifest: &Manifest, notes: &mut Vec<String>) -> Result<Vec<(PathBuf, Manifest)>> {
    let mut packages = Vec::new();
    if manifest.package.is_some() {
        packages.push((PathBuf::new(), manifest.clone()));
    }
    let Some(workspace) = &manifest.workspace else { return Ok(packages) };
    let patterns = if workspace.default_members.is_empty() { &workspace.members } else { &workspace.default_members };
    let mut outside = Vec::new();
    for directory in members::matching(root, patterns, workspace, &mut outside) {
        if directory.as_os_str().is_empty() {
            continue;
        }
        if let Some(manifest) = Manifest::read(root, &directory)? {
            packages.push((directory, manifest));
        }
    }
    let outside = outside.iter().map(|pattern| format!("left out: the workspace's `{pattern}` lies outside of it"));
    notes.extend(outside);
    Ok(packages)
}

fn default_binary(manifest: &Manifest, binaries: &[Binary], project: &str) -> Option<DefaultBinary> {
    let named = |name: &str, reason: &str| {
        let binary = binaries.iter().find(|binary| binary.name == name)?;
        Some(DefaultBinary { name: binary.name.clone(), reason: reason.to_owned() })
    };
    let package = manifest.package.as_ref();
    package
        .and_then(|package| named(package.default_run.as_deref()?, "`default-run` in `Cargo.toml`"))
        .or_else(|| named(&package?.name, "named like the package"))
        .or_else(|| named(project, "named like the project"))
        .or_else(|| {
            let reason = if binaries.len() == 1 { "the only one" } else { "the first by name" };
            named(&binaries.first()?.name, reason)
        })
}

/// The names in `Cargo.lock`; `None` when there is none.
fn lock(root: &Root) -> Result<Option<BTreeSet<String>>> {
    let Some(bytes) = root.read(Path::new("Cargo.lock"), "lock file")? else { return Ok(None) };
    let lock: Lock = toml::from_str(&String::from_utf8_lossy(&bytes))
        .map_err(|error| Error::usage("`Cargo.lock` is no lock file").because(error))?;
    Ok(Some(lock.package.into_iter().map(|package| package.name).collect()))
}
