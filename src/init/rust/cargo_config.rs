//! [`CargoConfig`]: the parts of `.cargo/config.toml` that say where programs end up.

use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::inputs::context::Root;

/// Where a build of the project puts its programs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CargoConfig {
    /// The target that is built for where none is said; `None` for the machine's own.
    pub target: Option<String>,
    /// True when the directory of results is not `target`.
    pub moves_target_dir: bool,
}

/// The file.
#[derive(Default, Deserialize)]
#[serde(default)]
struct File {
    build: Build,
}

/// Its `[build]`.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Build {
    target: Option<toml::Value>,
    target_dir: Option<String>,
}

impl CargoConfig {
    /// Reads it. Cargo takes the name without an extension before the other.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] when it cannot be read, or is no configuration.
    pub(super) fn of(root: &Root) -> Result<Self> {
        for path in [".cargo/config", ".cargo/config.toml"] {
            let Some(bytes) = root.read(Path::new(path), "Cargo configuration")? else { continue };
            let file: File = toml::from_str(&String::from_utf8_lossy(&bytes))
                .map_err(|error| Error::usage(format!("`{path}` is no Cargo configuration")).because(error))?;
            let target = file.build.target.as_ref().and_then(toml::Value::as_str).filter(|name| is_plain(name));
            return Ok(Self {
                target: target.map(str::to_owned),
                moves_target_dir: file.build.target_dir.is_some_and(|directory| directory != "target"),
            });
        }
        Ok(Self::default())
    }

    /// Where the programs are, from the project's directory, when `--target-dir target` undoes a move.
    pub fn programs(&self) -> String {
        self.target.as_ref().map_or_else(|| "target/release".to_owned(), |target| format!("target/{target}/release"))
    }
}

/// True for a target's name that needs no quoting: one in a file of its own (`x.json`) is none.
fn is_plain(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    !name.is_empty() && name.len() <= 64 && !name.starts_with('-') && name.bytes().all(fits)
}
