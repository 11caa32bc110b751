//! [`DockerfileSource`]: the Dockerfile that is built, found as buildx finds it.

use std::path::{Component, Path, PathBuf};

use super::root::{Root, read_small};
use crate::error::{Error, Result};

/// The name that is looked for when none is given.
const DEFAULT_NAME: &str = "Dockerfile";

/// The Dockerfile's bytes and where they came from. It is sent apart from the context, so an ignore file that excludes
/// it does no harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerfileSource {
    /// Where it was read, as it is shown to the user.
    pub path: PathBuf,
    /// Its file name.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
    /// The directory beside which `<name>.dockerignore` is looked for.
    pub(super) directory: PathBuf,
}

impl DockerfileSource {
    /// Finds the Dockerfile. `file` is relative to the current directory, as in buildx, and may lie outside the
    /// context; without it `Dockerfile` and then `dockerfile` at the context's root are tried.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] when a named file does not exist, cannot be read or is too large, and when a
    /// link inside the context leads outside.
    pub fn find(root: &Root, file: Option<&Path>) -> Result<Option<Self>> {
        match file {
            Some(file) => Self::named(root, file).map(Some),
            None => Self::at_the_root(root),
        }
    }

    fn at_the_root(root: &Root) -> Result<Option<Self>> {
        for name in [DEFAULT_NAME, "dockerfile"] {
            if let Some(path) = root.resolve(Path::new(name), DEFAULT_NAME)? {
                return Ok(Some(Self {
                    bytes: read_small(&path, DEFAULT_NAME)?,
                    path: root.given().join(name),
                    // Also for `dockerfile` the ignore file beside it is `Dockerfile.dockerignore`.
                    name: DEFAULT_NAME.to_owned(),
                    directory: root.path().to_owned(),
                }));
            }
        }
        Ok(None)
    }

    fn named(root: &Root, file: &Path) -> Result<Self> {
        if file.as_os_str() == "-" {
            return Err(Error::usage("a Dockerfile on standard input is not supported").hint("write it to a file"));
        }
        let shown = file.display();
        let missing = |error: std::io::Error| {
            let beside = root.given().join(file);
            let error = Error::usage(format!("the Dockerfile `{shown}` cannot be found")).because(error);
            if file.is_relative() && beside.exists() {
                error.hint(format!("`--file` is relative to the current directory: `--file {}`", beside.display()))
            } else {
                error
            }
        };
        let absolute = std::path::absolute(file).map_err(missing)?;
        let resolved = absolute.canonicalize().map_err(missing)?;
        let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else {
            return Err(Error::usage(format!("`{shown}` is not the name of a Dockerfile")));
        };
        let directory = parent.canonicalize().map_err(missing)?;
        let given = std::path::absolute(root.given()).unwrap_or_else(|_| root.given().to_owned());
        // `CONTEXT/../x` only begins like something inside.
        let goes_up = absolute.components().any(|part| part == Component::ParentDir);
        let begins_inside = !goes_up && (absolute.starts_with(root.path()) || absolute.starts_with(given));
        let is_inside = begins_inside || directory.starts_with(root.path());
        if is_inside && !resolved.starts_with(root.path()) {
            return Err(root.leads_outside(file, &resolved, DEFAULT_NAME));
        }
        let Some(name) = name.to_str() else {
            return Err(Error::usage(format!("the name of the Dockerfile `{shown}` is not UTF-8")));
        };
        Ok(Self {
            bytes: read_small(&resolved, DEFAULT_NAME)?,
            path: file.to_owned(),
            name: name.to_owned(),
            directory,
        })
    }
}
