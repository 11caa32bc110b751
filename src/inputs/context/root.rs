//! [`Root`]: the context's directory, checked and resolved once.

use std::io::ErrorKind as Io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The largest Dockerfile or ignore file that is read, in bytes. BuildKit's built-in frontend refuses more.
pub const MAX_FILE_BYTES: u64 = 16 << 20;

/// The context's directory: it exists, is a directory and can be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    given: PathBuf,
    path: PathBuf,
}

impl Root {
    /// Checks `directory`, which may be a link to a directory.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] when it is missing, not a directory, or cannot be listed.
    pub fn open(directory: &Path) -> Result<Self> {
        let shown = directory.display();
        let path = directory.canonicalize().map_err(|error| match error.kind() {
            Io::NotFound => Error::usage(format!("the context `{shown}` does not exist"))
                .hint("give the directory that holds your Dockerfile: `lian-build build DIRECTORY`"),
            _ => Error::usage(format!("the context `{shown}` cannot be opened")).because(error),
        })?;
        if !path.is_dir() {
            return Err(Error::usage(format!("the context `{shown}` is not a directory"))
                .hint("archives and single files are not taken as a context; unpack them first"));
        }
        std::fs::read_dir(&path)
            .map_err(|error| Error::usage(format!("the context `{shown}` cannot be read")).because(error))?;
        Ok(Self { given: directory.to_owned(), path })
    }

    /// The directory as an absolute path without links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory as the user wrote it.
    pub fn given(&self) -> &Path {
        &self.given
    }

    /// Resolves a file that belongs to the context, following links as long as they stay inside. `None` when there is
    /// no such file. `what` names it in the error: `Dockerfile`, `spec`.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] when a link leads outside, or the file cannot be looked at.
    pub fn resolve(&self, relative: &Path, what: &str) -> Result<Option<PathBuf>> {
        let path = self.path.join(relative);
        match path.canonicalize() {
            Ok(resolved) if resolved.starts_with(&self.path) => Ok(Some(resolved)),
            Ok(resolved) => Err(self.leads_outside(&path, &resolved, what)),
            Err(error) if matches!(error.kind(), Io::NotFound | Io::NotADirectory) => {
                // A link that leads nowhere is no missing file: the user meant something by it.
                match path.symlink_metadata() {
                    Ok(_) => Err(Error::usage(format!("the {what} `{}` is a link that leads nowhere", path.display()))),
                    Err(_) => Ok(None),
                }
            }
            Err(error) => Err(Error::usage(format!("the {what} `{}` cannot be read", path.display())).because(error)),
        }
    }

    /// Reads a small file that belongs to the context. `None` when there is none.
    ///
    /// # Errors
    /// As [`Root::resolve`], and for what is no regular file, larger than [`MAX_FILE_BYTES`] or unreadable.
    pub fn read(&self, relative: &Path, what: &str) -> Result<Option<Vec<u8>>> {
        self.resolve(relative, what)?.map(|path| read_small(&path, what)).transpose()
    }

    /// The refusal of a link that leaves the context.
    pub(super) fn leads_outside(&self, path: &Path, resolved: &Path, what: &str) -> Error {
        Error::usage(format!(
            "the {what} `{}` is a link that leads outside the context, to `{}`",
            path.display(),
            resolved.display()
        ))
        .hint(format!("put a copy of the {what} into `{}`", self.given.display()))
    }
}

/// Reads a small file whole.
///
/// # Errors
/// [`crate::error::ErrorKind::Usage`] when it is not a regular file, larger than [`MAX_FILE_BYTES`], or unreadable.
pub(super) fn read_small(path: &Path, what: &str) -> Result<Vec<u8>> {
    use std::io::Read as _;
    let shown = path.display();
    let unreadable = |error| Error::usage(format!("the {what} `{shown}` cannot be read")).because(error);
    // Looked at before it is opened: opening a FIFO would wait for a writer.
    let metadata = path.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Error::usage(format!("the {what} `{shown}` is not a regular file")));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Error::usage(format!(
            "the {what} `{shown}` is larger than {} MB, which BuildKit refuses",
            MAX_FILE_BYTES >> 20
        )));
    }
    Ok(bytes)
}
