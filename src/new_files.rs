//! [`NewFiles`]: writes files into a directory, whole or not at all and through no link.

use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use uuid::Uuid;

use crate::error::{Error, ErrorKind, Result};

/// A directory that files are added to.
#[derive(Debug)]
pub struct NewFiles {
    directory: OwnedFd,
    shown: PathBuf,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is there now, with the text that was given.
    Written,
    /// Something of that name was there, and was left.
    Left,
}

impl NewFiles {
    /// Opens `directory`.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] when it is no directory, or cannot be opened.
    pub fn open(directory: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(directory, flags, Mode::empty());
        let shown = directory.to_owned();
        match opened {
            Ok(directory) => Ok(Self { directory, shown }),
            Err(error) => Err(Error::usage(format!("the directory `{}` cannot be opened", shown.display()))
                .because(std::io::Error::from(error))),
        }
    }

    /// Whether there is something at `name`: a file, or a link wherever it leads.
    ///
    /// # Errors
    /// As [`NewFiles::write`].
    pub fn has(&self, name: &str) -> Result<bool> {
        let (parent, file) = split(name);
        let Some(parent) = self.parent(parent, false)? else { return Ok(false) };
        match rustix::fs::statat(&parent, file, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(self.cannot_write(name, error)),
        }
    }

    /// Writes `text` to `name`, which is relative; its directories are made. The file gets its name when it is complete, and
    /// only when nothing has it.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] when the directory cannot be written, or is a link; [`ErrorKind::State`] when writing fails, on
    /// a full disk, say.
    pub fn write(&self, name: &str, text: &str) -> Result<Outcome> {
        if self.has(name)? {
            return Ok(Outcome::Left);
        }
        match self.place(name, text, give_name)? {
            Ok(()) => Ok(Outcome::Written),
            // Somebody else wrote it at this very moment.
            Err(Errno::EXIST) => Ok(Outcome::Left),
            Err(error) => Err(self.cannot_write(name, error)),
        }
    }

    /// As [`NewFiles::write`], in the place of whatever file or link has the name.
    ///
    /// # Errors
    /// As [`NewFiles::write`].
    pub fn replace(&self, name: &str, text: &str) -> Result<()> {
        let rename = |parent: &OwnedFd, draft: &str, file: &str| rustix::fs::renameat(parent, draft, parent, file);
        self.place(name, text, rename)?.map_err(|error| self.cannot_write(name, error))
    }

    /// The bytes of the regular file `name`; `None` when nothing has that name.
    ///
    /// # Errors
    /// As [`NewFiles::write`], and when it is no regular file, or longer than `longest`.
    pub fn read(&self, name: &str, longest: u64) -> Result<Option<Vec<u8>>> {
        let (parent, file) = split(name);
        let Some(parent) = self.parent(parent, false)? else { return Ok(None) };
        let shown = self.shown.join(name);
        let unreadable = |why: &str| Error::usage(format!("`{}` {why}", shown.display()));
        // A FIFO would wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&parent, file, flags, Mode::empty()) {
            Ok(file) => std::fs::File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(unreadable("is a link")),
            Err(error) => return Err(unreadable("cannot be read").because(std::io::Error::from(error))),
        };
        if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            return Err(unreadable("is no file"));
        }
        let mut bytes = Vec::new();
        file.take(longest + 1).read_to_end(&mut bytes).map_err(|error| unreadable("cannot be read").because(error))?;
        if bytes.len() as u64 > longest {
            return Err(unreadable("is too long to be one of ours"));
        }
        Ok(Some(bytes))
    }

    /// Writes a draft beside the name and lets `name_it` give it the name. Nothing is left of a draft that gets none.
    fn place(
        &self,
        name: &str,
        text: &str,
        name_it: impl FnOnce(&OwnedFd, &str, &str) -> Result<(), Errno>,
    ) -> Result<Result<(), Errno>> {
        let (parent, file) = split(name);
        let Some(parent) = self.parent(parent, true)? else {
            return Err(self.cannot_write(name, Errno::NOENT));
        };
        let draft = format!(".{file}.{}", Uuid::now_v7().simple());
        let written = write_draft(&parent, &draft, text).and_then(|()| name_it(&parent, &draft, file));
        if written.is_err() {
            let _ = rustix::fs::unlinkat(&parent, draft.as_str(), AtFlags::empty());
        }
        Ok(written)
    }

    /// The directory at this path below this one; `None` when it is not there and shall not be made.
    fn parent(&self, path: &str, make: bool) -> Result<Option<OwnedFd>> {
        let mut parent = self.directory.try_clone().map_err(|error| {
            Error::new(ErrorKind::State, format!("`{}` cannot be used", self.shown.display())).because(error)
        })?;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let made = if make { rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o777)) } else { Ok(()) };
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened = match made {
                Ok(()) | Err(Errno::EXIST) => rustix::fs::openat(&parent, name, flags, Mode::empty()),
                Err(error) => Err(error),
            };
            parent = match opened {
                Ok(directory) => directory,
                Err(Errno::NOENT) if !make => return Ok(None),
                Err(Errno::LOOP | Errno::NOTDIR) => {
                    let shown = self.shown.join(path);
                    return Err(Error::usage(format!("`{}` is no directory of its own", shown.display()))
                        .hint("nothing is written through links; remove what is there, or name another directory"));
                }
                Err(error) => return Err(self.cannot_write(path, error)),
            };
        }
        Ok(Some(parent))
    }

    fn cannot_write(&self, name: &str, error: Errno) -> Error {
        let kind = match error {
            Errno::ACCESS | Errno::PERM | Errno::ROFS => ErrorKind::Usage,
            _ => ErrorKind::State,
        };
        let message = format!("`{}` cannot be written", self.shown.join(name).display());
        Error::new(kind, message).because(std::io::Error::from(error))
    }
}

/// The directory part and the name.
fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('/').unwrap_or(("", name))
}

fn write_draft(parent: &OwnedFd, draft: &str, text: &str) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(parent, draft, flags, Mode::from_raw_mode(0o666))?;
    let mut file = std::fs::File::from(file);
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// Gives a complete file its name, if nothing has it.
fn give_name(parent: &OwnedFd, draft: &str, name: &str) -> Result<(), Errno> {
    let parent = parent.as_fd();
    match rustix::fs::renameat_with(parent, draft, parent, name, RenameFlags::NOREPLACE) {
        // Not every file system can do that (NFS); those have hard links.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            rustix::fs::linkat(parent, draft, parent, name, AtFlags::empty())?;
            rustix::fs::unlinkat(parent, draft, AtFlags::empty())
        }
        named => named,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_there_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let files = NewFiles::open(directory.path()).unwrap();
        assert_eq!(files.write("ci/new.ncl", "one").unwrap(), Outcome::Written);
        assert_eq!(files.write("ci/new.ncl", "two").unwrap(), Outcome::Left);
        assert_eq!(std::fs::read_to_string(directory.path().join("ci/new.ncl")).unwrap(), "one");
        assert_eq!(names(&directory.path().join("ci")), ["new.ncl"], "a draft is left");
    }

    #[test]
    fn a_link_is_something_that_is_there() {
        let (directory, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        symlink(other.path().join("target"), directory.path().join("new")).unwrap();
        let files = NewFiles::open(directory.path()).unwrap();
        assert_eq!(files.write("new", "text").unwrap(), Outcome::Left);
        symlink(other.path(), directory.path().join("ci")).unwrap();
        let error = files.write("ci/new", "text").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.message().contains("is no directory of its own"), "{error}");
        assert!(names(other.path()).is_empty());
    }

    #[test]
    fn a_name_that_was_taken_meanwhile_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let parent: OwnedFd = std::fs::File::open(directory.path()).unwrap().into();
        write_draft(&parent, "draft", "ours").unwrap();
        std::fs::write(directory.path().join("name"), "theirs").unwrap();
        assert_eq!(give_name(&parent, "draft", "name"), Err(Errno::EXIST));
        assert_eq!(std::fs::read_to_string(directory.path().join("name")).unwrap(), "theirs");
    }

    #[test]
    fn a_file_is_no_directory() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ci"), "a file").unwrap();
        let error = NewFiles::open(directory.path()).unwrap().write("ci/new", "text").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        assert_eq!(NewFiles::open(&directory.path().join("ci")).unwrap_err().kind(), ErrorKind::Usage);
        assert_eq!(NewFiles::open(&directory.path().join("none")).unwrap_err().kind(), ErrorKind::Usage);
    }
}
