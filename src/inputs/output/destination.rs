//! Looks at an output's destination before anything is paid for.

use std::io::ErrorKind as Io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::error::{Error, Result};

/// A file that can be written: its directory exists and is writable, and what is there already is a regular file.
/// Gives the path with links resolved, so that the file behind a link is replaced and not the link.
///
/// # Errors
/// Usage errors that name the path and the obstacle.
pub fn check_file(path: &Path) -> Result<PathBuf> {
    let shown = path.display();
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => {
            return Err(Error::usage(format!("the destination `{shown}` is a directory"))
                .hint(format!("name a file, as in `dest={shown}/result.tar`")));
        }
        Ok(metadata) if !metadata.is_file() => {
            return Err(Error::usage(format!("the destination `{shown}` is not a regular file")));
        }
        Ok(_) => {
            let path = path.canonicalize().map_err(|error| unusable(path, error))?;
            if let Some(parent) = path.parent() {
                writable(parent, &path)?;
            }
            return Ok(path);
        }
        Err(error) if error.kind() == Io::NotFound => {}
        Err(error) => return Err(unusable(path, error)),
    }
    if path.is_symlink() {
        return Err(Error::usage(format!("the destination `{shown}` is a link that leads nowhere")));
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::usage(format!("the destination `{shown}` names no file")));
    };
    let parent = parent.canonicalize().map_err(|error| match error.kind() {
        Io::NotFound => Error::usage(format!("the directory of the destination `{shown}` does not exist"))
            .hint(format!("create it: `mkdir -p {}`", parent.display())),
        _ => unusable(path, error),
    })?;
    writable(&parent, path)?;
    Ok(parent.join(name))
}

/// A directory that can be filled: it exists and is writable, or it can be made, with its parents as buildctl does.
/// Gives the path with links resolved.
///
/// # Errors
/// Usage errors that name the path and the obstacle.
pub(super) fn check_directory(path: &Path) -> Result<PathBuf> {
    let mut missing = Vec::new();
    let mut existing = path;
    loop {
        match existing.canonicalize() {
            Ok(found) if found.is_dir() => {
                writable(&found, path)?;
                return Ok(missing.iter().rev().fold(found, |whole, name| whole.join(name)));
            }
            Ok(found) => {
                return Err(Error::usage(format!(
                    "the destination `{}` cannot be a directory: `{}` is a file",
                    path.display(),
                    found.display()
                )));
            }
            Err(error) if error.kind() == Io::NotFound && !existing.is_symlink() => {}
            Err(error) => return Err(unusable(path, error)),
        }
        let (Some(parent), Some(name)) = (existing.parent(), existing.file_name()) else {
            return Err(Error::usage(format!("the destination `{}` names no directory", path.display())));
        };
        missing.push(name);
        existing = parent;
    }
}

fn writable(directory: &Path, destination: &Path) -> Result<()> {
    if !directory.is_dir() {
        return Err(Error::usage(format!(
            "the destination `{}` cannot be written: `{}` is not a directory",
            destination.display(),
            directory.display()
        )));
    }
    access(directory, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
        Error::usage(format!(
            "the destination `{}` cannot be written: `{}` is not writable for this user",
            destination.display(),
            directory.display()
        ))
        .because(error)
    })
}

fn unusable(path: &Path, error: std::io::Error) -> Error {
    Error::usage(format!("the destination `{}` cannot be used", path.display())).because(error)
}
